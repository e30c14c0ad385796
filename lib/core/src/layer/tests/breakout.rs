//! Archives that want to leave the root (advisory classes 1.1 to 1.4 of names, links, modes).

use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::tar::{Entry, EntryKind};
use super::support::{Archive, Place, archive, entry, is_root};
use crate::error::ErrorKind;

/// Unpacks into an overlay layer and into a plain tree; both must refuse for the same reason.
#[track_caller]
fn refused(made: Archive, reason: &str) {
    let bytes = made.end();
    let place = Place::new();
    let error = place.unpack(&bytes).unwrap_err();
    assert!(error.chain().contains(reason), "{}", error.chain());
    assert_ne!(error.kind(), ErrorKind::Failed, "{}", error.chain());
    let error = place_for_apply().apply(&bytes).unwrap_err();
    assert!(error.chain().contains(reason), "{}", error.chain());
}

fn place_for_apply() -> Place {
    let place = Place::new();
    place.apply(&archive().file("lower/file", "lower").end()).unwrap();
    place
}

/// Unpacks into both forms; nothing but the expected tree may come of it.
#[track_caller]
fn stays_inside(made: Archive, expected: &str) {
    let bytes = made.end();
    let place = Place::new();
    place.unpack(&bytes).unwrap();
    // A directory that takes a file's place hides lower ones: nothing a plain tree would show.
    assert_eq!(place.listing().replace(" [opaque]", ""), expected);
    let place = Place::new();
    place.apply(&bytes).unwrap();
    assert_eq!(place.listing(), expected);
}

#[test]
fn path_dotdot() {
    for name in ["../x", "a/../../x", "..", "a/..", "/../x", "a/b/../c"] {
        refused(archive().raw(b'0', name, b"x", |_| {}), "\"..\"");
    }
}

#[test]
fn path_absolute_means_the_root() {
    stays_inside(
        archive().file("/etc/x", "1").dir("//y//"),
        "d 0755 etc/\nf 0644 etc/x \"1\"\nd 0755 y/\n",
    );
}

#[test]
fn path_dotdot_in_prefix_pax_and_gnu_names() {
    let in_prefix = archive().raw(b'0', "x", b"", |header| {
        header.as_ustar_mut().unwrap().prefix[..5].copy_from_slice(b"../..");
    });
    refused(in_prefix, "\"..\"");
    refused(archive().pax(&[("path", b"../x")]).file("ok", ""), "\"..\"");
    refused(archive().gnu_long(b'L', b"../x\0").file("ok", ""), "\"..\"");
}

#[test]
fn path_nul_and_too_long() {
    refused(archive().pax(&[("path", b"a\0b")]).file("ok", ""), "NUL");
    let long = [b'a'; 256];
    refused(archive().pax(&[("path", &long)]).file("ok", ""), "more than 255 bytes");
    let longer = b"a/".repeat(2049);
    refused(archive().gnu_long(b'L', &longer).file("ok", ""), "name of 4098 bytes (limit 4096)");
}

#[test]
fn path_empty() {
    refused(archive().raw(b'0', "", b"", |_| {}), "empty name");
}

#[test]
fn root_becomes_something_else() {
    let place = Place::new();
    for name in [".", "./", "/", "/."] {
        let link = archive().entry(entry(name, EntryKind::Symlink(place.canary().into())), b"");
        refused(link.file("x", "1"), "can only be a directory");
        refused(archive().file(name, "x"), "can only be a directory");
        refused(archive().file("a", "").link(name, "a"), "can only be a directory");
    }
}

#[test]
fn symlink_absolute_then_write_through() {
    let canary = Place::new().canary();
    let made = archive().symlink("out", &canary).file("out/file", "evil");
    let place = Place::new();
    place.unpack(&made.end()).unwrap();
    let inside = std::fs::read(place.root().join(&canary[1..]).join("file")).unwrap();
    assert_eq!(inside, b"evil");
}

#[test]
fn symlink_relative_then_write_through() {
    stays_inside(
        archive().symlink("out", "../canary").file("out/file", "evil"),
        "d 0755 canary/\nf 0644 canary/file \"evil\"\nl out -> ../canary\n",
    );
}

#[test]
fn symlink_chain_then_write_through() {
    let made = archive()
        .dir("a")
        .symlink("a/up", "..")
        .symlink("b", "a/up/../../..")
        .file("b/canary/file", "evil");
    stays_inside(
        made,
        "d 0755 a/\nl a/up -> ..\nl b -> a/up/../../..\nd 0755 canary/\nf 0644 canary/file \"evil\"\n",
    );
}

#[test]
fn symlink_in_a_lower_layer_then_write_through() {
    let place = Place::new();
    place.apply(&archive().symlink("out", "../canary").end()).unwrap();
    place.apply(&archive().file("out/file", "evil").dir("out/new").end()).unwrap();
    assert_eq!(
        place.listing(),
        "d 0755 canary/\nf 0644 canary/file \"evil\"\nd 0755 canary/new/\nl out -> ../canary\n"
    );
}

#[test]
fn symlink_as_the_last_part_is_replaced() {
    stays_inside(archive().symlink("x", "../canary/file").file("x", "evil"), "f 0644 x \"evil\"\n");
    stays_inside(
        archive().symlink("x", "../canary").dir("x/").file("x/file", "1"),
        "d 0755 x/\nf 0644 x/file \"1\"\n",
    );
}

#[test]
fn symlink_loops_and_magic() {
    refused(
        archive().symlink("a", "b").symlink("b", "a").file("a/x", "1"),
        "too many symbolic links",
    );
    refused(archive().symlink("a", "a").file("a/x", "1"), "too many symbolic links");
    stays_inside(
        archive().symlink("r", "/proc/self/root").file("r/x", "1"),
        "d 0755 proc/\nd 0755 proc/self/\nd 0755 proc/self/root/\nf 0644 proc/self/root/x \"1\"\nl r -> /proc/self/root\n",
    );
}

#[test]
fn symlink_with_an_empty_target() {
    refused(archive().symlink("a", ""), "empty name");
}

#[test]
fn symlink_then_dir_chmod() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let mode = |kind| Entry { mode: 0o777, uid: 5, ..entry("x", kind) };
    let bytes = archive()
        .entry(mode(EntryKind::Symlink(place.canary().into())), b"")
        .entry(mode(EntryKind::Directory), b"")
        .end();
    place.unpack(&bytes).unwrap();
    assert!(place.listing().starts_with("d 0777 5:0 x/"), "{}", place.listing());
}

#[test]
fn hardlink_to_outside() {
    refused(archive().link("x", "../canary/file"), "\"..\"");
    refused(archive().link("x", "/etc/passwd"), "no such file in this layer");
    refused(
        archive().symlink("out", "../canary").link("x", "out/file"),
        "no such file in this layer",
    );
    refused(archive().link("x", ""), "empty name");
    refused(archive().link("x", "missing"), "no such file in this layer");
}

#[test]
fn hardlink_to_directories_and_itself() {
    refused(archive().dir("d").link("x", "d"), "a directory");
    refused(archive().dir("d").link("x", "."), "no file");
    refused(archive().file("x", "1").link("x", "x"), "hard link to itself");
    refused(archive().file("x", "1").link("./x", "/x"), "hard link to itself");
    refused(archive().file("x", "1").link("y", ".wh.x"), "no file");
    refused(archive().file("d/x", "1").link("d", "d/x"), "No such file");
}

#[test]
fn hardlink_to_symlink_chmod_and_write() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let outside = format!("{}/file", place.canary());
    let link = Entry { mode: 0o777, uid: 9, ..entry("y", EntryKind::HardLink(b"x".to_vec())) };
    let bytes = archive().symlink("x", &outside).entry(link, b"").file("y", "evil").end();
    place.unpack(&bytes).unwrap();
    assert_eq!(place.listing(), format!("l 9:0 x -> {outside}\nf 0644 y \"evil\"\n"));
}

#[test]
fn hardlink_never_writes_into_a_sibling_or_lower_file() {
    let place = Place::new();
    place.apply(&archive().file("lower", "old").end()).unwrap();
    place.apply(&archive().link("upper", "lower").file("upper", "new").end()).unwrap();
    assert_eq!(place.listing(), "f 0644 lower \"old\"\nf 0644 upper \"new\"\n");
}

#[test]
fn hardlink_with_a_body() {
    let made = archive().file("x", "1").raw(b'1', "y", b"body", |header| {
        header.set_link_name_literal("x").unwrap();
    });
    refused(made, "entry without content has a size of 4");
}

#[test]
fn a_link_put_in_the_way_meanwhile_is_not_followed() {
    let place = Place::new();
    let mut made = archive();
    for number in 0..300 {
        made = made.file(&format!("dir/sub/f{number}"), "evil").file(&format!("g{number}"), "");
    }
    let bytes = made.end();
    let stop = AtomicBool::new(false);
    let (root, canary) = (place.root(), place.canary());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (dir, away) = (root.join("dir"), root.join("away"));
            while !stop.load(Ordering::Relaxed) {
                // Swaps a directory for a link to the outside and back, as often as it can.
                if std::fs::rename(&dir, &away).is_ok() {
                    let _ = symlink(&canary, &dir);
                    let _ = std::fs::remove_file(&dir);
                    let _ = std::fs::rename(&away, &dir);
                }
            }
        });
        for _ in 0..5 {
            // May fail or not; the canary is compared either way.
            let _ = place.apply(&bytes);
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(std::fs::read_dir(place.canary()).unwrap().count() == 1);
}
