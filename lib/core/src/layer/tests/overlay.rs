//! Whiteouts in both forms (advisory classes 1.5 and 1.6) and special files (1.7).

use proptest::prelude::*;

use super::super::tar::{Entry, EntryKind};
use super::super::{DropReason, Stack, UnpackOptions, WhiteoutForm, patch_implied};
use super::support::{Archive, Place, archive, entry, is_root, listing, options};
use crate::error::ErrorKind;
use crate::sys::Root;

/// A layer unpacked for overlayfs, as text.
#[track_caller]
fn layer(made: Archive) -> String {
    let place = Place::new();
    place.unpack(&made.end()).unwrap();
    place.listing()
}

/// Layers applied to one tree, lowest first, as text.
#[track_caller]
fn flat(layers: &[Archive]) -> String {
    let place = Place::new();
    for made in layers {
        place.apply(&made.clone().end()).unwrap();
    }
    place.listing()
}

/// Layers mounted with overlayfs, lowest first, as text.
fn mounted(layers: &[Archive]) -> crate::Result<String> {
    let places: Vec<Place> = layers.iter().map(|_| Place::new()).collect();
    let patches: Vec<_> = layers.iter().map(|_| tempfile::tempdir().unwrap()).collect();
    let mut below: Vec<Root> = Vec::new();
    for ((place, patch), made) in places.iter().zip(&patches).zip(layers) {
        let report = place.unpack(&made.clone().end())?;
        let layer = Root::open(&place.root())?;
        let form = WhiteoutForm::OverlayTrusted;
        let stack = Stack::new(&below, form);
        let patch = Root::open(patch.path())?;
        patch_implied(&patch, &layer, &report.implied_dirs, &stack, form)?;
        below.insert(0, layer);
        below.insert(0, patch);
    }
    let empty = tempfile::tempdir().unwrap();
    let target = tempfile::tempdir().unwrap();
    let named = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let mut lower: Vec<String> = places
        .iter()
        .zip(&patches)
        .rev()
        .flat_map(|(place, patch)| [named(patch.path()), named(&place.root())])
        .collect();
    lower.push(empty.path().to_str().unwrap().to_owned());
    let options = format!("lowerdir={}\0", lower.join(":"));
    let options = std::ffi::CStr::from_bytes_with_nul(options.as_bytes()).unwrap();
    let flags = rustix::mount::MountFlags::RDONLY;
    rustix::mount::mount("overlay", target.path(), "overlay", flags, options).unwrap();
    let text = listing(target.path());
    rustix::mount::unmount(target.path(), rustix::mount::UnmountFlags::empty()).unwrap();
    Ok(text)
}

#[test]
fn whiteouts_are_written_down() {
    let made = archive()
        .file("etc/.wh.passwd", "")
        .file(".wh.gone", "")
        .dir("d")
        .file("d/.wh..wh..opq", "");
    assert_eq!(
        layer(made.file("d/new", "")),
        "d 0755 d/ [opaque]\nf 0644 d/new \"\"\nd 0755 etc/\nwhiteout etc/passwd\nwhiteout gone\n"
    );
}

#[test]
fn whiteouts_are_carried_out() {
    let lower =
        archive().file("a", "").file("d/x", "").file("d/y", "").file("e/x", "").file("s", "");
    let upper = archive()
        .file(".wh.a", "")
        .dir("d")
        .file("d/.wh..wh..opq", "")
        .file("d/new", "")
        .file("e/.wh.x", "")
        .file("s2/.wh.x", "");
    assert_eq!(flat(&[lower, upper]), "d 0755 d/\nf 0644 d/new \"\"\nd 0755 e/\nf 0644 s \"\"\n");
}

#[test]
fn whiteout_of_any_type_is_one() {
    let made = archive().file("x", "").link(".wh.a", "x").symlink(".wh.b", "x").dir(".wh.c");
    assert_eq!(layer(made), "whiteout a\nwhiteout b\nwhiteout c\nf 0644 x \"\"\n");
}

#[test]
fn whiteout_never_hides_its_own_layer() {
    let before =
        archive().file(".wh.f", "").file("f", "new").file(".wh.d", "").dir("d").file("d/x", "new");
    let after =
        archive().file("f", "new").file(".wh.f", "").dir("d").file("d/x", "new").file(".wh.d", "");
    let lower = archive().file("f", "old").file("d/x", "old").file("d/y", "old");
    for upper in [before, after] {
        let expected = "d 0755 d/ [opaque]\nf 0644 d/x \"new\"\nf 0644 f \"new\"\n";
        assert_eq!(layer(upper.clone()), expected);
        assert_eq!(flat(&[lower.clone(), upper]), expected.replace(" [opaque]", ""));
    }
}

#[test]
fn opaque_never_hides_its_own_layer() {
    let lower = archive().file("d/old", "").file("d/sub/old", "").file("d/sub2/old", "");
    let marker = |made: Archive| made.file("d/.wh..wh..opq", "");
    let files = |made: Archive| made.file("d/new", "").file("d/sub/new", "");
    for upper in [marker(files(archive())), files(marker(archive()))] {
        assert_eq!(
            flat(&[lower.clone(), upper.clone()]),
            "d 0755 d/\nf 0644 d/new \"\"\nd 0755 d/sub/\nf 0644 d/sub/new \"\"\n"
        );
        assert!(layer(upper).starts_with("d 0755 d/ [opaque]\n"));
    }
}

#[test]
fn whiteout_dir_then_child() {
    // The directory is deleted and made anew, explicitly or by implication.
    let expected = "d 0755 d/ [opaque]\nf 0644 d/x \"\"\n";
    assert_eq!(layer(archive().file(".wh.d", "").dir("d").file("d/x", "")), expected);
    assert_eq!(layer(archive().file(".wh.d", "").file("d/x", "")), expected);
    assert_eq!(layer(archive().file("d/x", "").file(".wh.d", "")), expected);
}

#[test]
fn whiteouts_below_a_whiteout_say_nothing_more() {
    let lower = archive().file("d/x", "").file("d/y", "");
    for upper in [
        archive().file(".wh.d", "").file("d/.wh.x", ""),
        archive().file("d/.wh.x", "").file(".wh.d", ""),
    ] {
        assert_eq!(layer(upper.clone()), "whiteout d\n");
        assert_eq!(flat(&[lower.clone(), upper]), "");
    }
}

#[test]
fn whiteouts_below_an_opaque_directory_say_nothing_more() {
    let expected = "d 0755 d/ [opaque]\n";
    assert_eq!(layer(archive().file("d/.wh..wh..opq", "").file("d/e/.wh.x", "")), expected);
    assert_eq!(
        layer(archive().file("d/e/.wh.x", "").file("d/.wh.y", "").file("d/.wh..wh..opq", "")),
        expected
    );
}

#[test]
fn a_directory_made_anew_does_not_get_its_old_metadata() {
    let old = Entry { mode: 0o700, ..entry("d", EntryKind::Directory) };
    let lower = archive().entry(old, b"").file("d/old", "");
    for upper in
        [archive().file(".wh.d", "").file("d/x", ""), archive().file("d/x", "").file(".wh.d", "")]
    {
        assert_eq!(flat(&[lower.clone(), upper.clone()]), "d 0755 d/\nf 0644 d/x \"\"\n");
        let report = Place::new().unpack(&upper.end()).unwrap();
        let implied: Vec<_> = report.implied_dirs.iter().map(|dir| dir.path.as_slice()).collect();
        assert_eq!(implied, [b""]);
    }
}

#[test]
fn directories_that_only_hold_whiteouts_are_reported() {
    let report = Place::new()
        .unpack(&archive().file("a/b/.wh.x", "").file("c/.wh.x", "").file("c/y", "").end())
        .unwrap();
    let implied: Vec<_> =
        report.implied_dirs.iter().map(|dir| (dir.path.as_slice(), dir.only_whiteouts)).collect();
    assert_eq!(implied, [(&b""[..], false), (b"a", true), (b"a/b", true), (b"c", false)]);
    assert_eq!(report.whiteouts, 2);
}

#[test]
fn whiteout_of_parent_and_nothing() {
    for name in [
        ".wh...",
        ".wh..",
        ".wh.",
        "d/.wh...",
        "d/.wh..",
        ".wh.x/y",
        "d/.wh..wh.x",
        "d/.wh..wh..opq/x",
    ] {
        let bytes = archive().dir("d").file(name, "").end();
        for error in
            [Place::new().unpack(&bytes).unwrap_err(), Place::new().apply(&bytes).unwrap_err()]
        {
            assert_eq!(error.kind(), ErrorKind::Invalid, "{}", error.chain());
            assert!(error.chain().contains("whiteout"), "{}", error.chain());
        }
    }
}

#[test]
fn whiteout_through_symlinks_stays_inside() {
    let lower = archive().file("canary/file", "mine");
    for link in ["../canary", "/canary", "x/../../canary"] {
        let upper = archive().dir("x").symlink("out", link).file("out/.wh.file", "");
        assert!(!flat(&[lower.clone(), upper.clone()]).contains("file"));
        assert!(layer(upper).contains("whiteout canary/file\n"));
        let upper = archive().dir("x").symlink("out", link).file("out/.wh..wh..opq", "");
        assert!(!flat(&[lower.clone(), upper.clone()]).contains("file"));
        assert!(layer(upper).contains("canary/ [opaque]\n"));
    }
    let dead = archive().symlink("dead", "nowhere").file("dead/.wh.x", "");
    assert!(
        flat(&[lower.clone(), dead]).starts_with("d 0755 canary/\nf 0644 canary/file \"mine\"\n")
    );
    // A whiteout of a link deletes the link.
    let upper = archive().file(".wh.link", "");
    assert!(flat(&[lower.symlink("link", "canary"), upper]).ends_with("canary/file \"mine\"\n"));
}

#[test]
fn aufs_leftovers_are_skipped() {
    let made = archive()
        .file(".wh..wh.aufs", "")
        .dir(".wh..wh.plnk")
        .file(".wh..wh.plnk/1.2", "x")
        .file("a", "");
    assert_eq!(layer(made), "f 0644 a \"\"\n");
}

#[test]
fn opaque_root() {
    let made = archive().file(".wh..wh..opq", "").file("new", "");
    let report = Place::new().unpack(&made.clone().end()).unwrap();
    assert!(report.hides_lower_layers);
    assert!(!Place::new().unpack(&archive().file("new", "").end()).unwrap().hides_lower_layers);
    assert_eq!(flat(&[archive().file("old", "").dir("d"), made]), "f 0644 new \"\"\n");
}

#[test]
fn overlay_xattrs_of_a_layer_are_dropped() {
    let names = [
        "trusted.overlay.opaque",
        "trusted.overlay.redirect",
        "trusted.overlay.metacopy",
        "trusted.other",
        "user.overlay.opaque",
        "user.overlay.overlay.opaque",
        "security.selinux",
    ];
    for kind in [EntryKind::Directory, EntryKind::File] {
        let xattrs = names.iter().map(|name| (name.as_bytes().to_vec(), b"y".to_vec())).collect();
        let made = archive().entry(Entry { xattrs, mode: 0o755, ..entry("x", kind) }, b"");
        let place = Place::new();
        let report = place.unpack(&made.end()).unwrap();
        assert!(!place.listing().contains('['), "{}", place.listing());
        assert_eq!(report.dropped_xattrs.len(), names.len());
        assert!(report.dropped_xattrs.iter().all(|dropped| dropped.reason == DropReason::Private));
    }
}

#[test]
fn device_zero_is_refused() {
    for made in [archive().char("x", 0, 0), archive().file("x", "").char("x", 0, 0)] {
        let error = Place::new().unpack(&made.end()).unwrap_err();
        assert_eq!(error.chain(), "unpacking \"x\": device 0:0, which is a deletion to overlayfs");
    }
}

#[test]
fn hardlink_to_a_whiteout_is_refused() {
    let error = Place::new().unpack(&archive().file(".wh.x", "").link("y", "x").end()).unwrap_err();
    assert!(error.chain().ends_with("there is no such file in this layer"), "{}", error.chain());
}

#[test]
fn ids_out_of_range_are_refused() {
    for (key, value) in [
        ("uid", "4294967295"),
        ("uid", "4294967296"),
        ("gid", "99999999999999"),
        ("gid", "4294967295"),
    ] {
        let error = Place::new()
            .unpack(&archive().pax(&[(key, value.as_bytes())]).file("x", "").end())
            .unwrap_err();
        assert!(
            error.chain().ends_with(&format!("{key} {value} is out of range")),
            "{}",
            error.chain()
        );
    }
    let negative = archive().raw(b'0', "x", b"", |header| header.as_old_mut().uid = [0xff; 8]);
    let error = Place::new().unpack(&negative.end()).unwrap_err();
    assert!(error.chain().ends_with("uid -1 is out of range"), "{}", error.chain());
}

#[test]
fn the_directory_must_be_empty_for_an_overlay() {
    let place = Place::new();
    std::fs::write(place.root().join("there"), "").unwrap();
    let error = place.unpack(&archive().end()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
}

#[test]
fn user_form_uses_user_attributes() {
    let place = Place::new();
    let options = UnpackOptions { whiteouts: WhiteoutForm::OverlayUser, ..options() };
    place.unpack_with(&archive().file("d/.wh..wh..opq", "").end(), options).unwrap();
    let dir = crate::sys::Dir::open(&place.root()).unwrap();
    let expected = [(b"user.overlay.opaque".to_vec(), b"y".to_vec())];
    assert_eq!(dir.read_xattrs_of(b"d").unwrap(), expected);
}

#[test]
fn applied_directories_take_over_all_metadata_and_keep_times() {
    if !is_root() {
        return;
    }
    let time = crate::sys::Time { secs: 77, nanos: 0 };
    let dir = |path: &str, xattr: &str| Entry {
        mtime: time,
        xattrs: vec![(xattr.into(), b"1".to_vec())],
        ..entry(path, EntryKind::Directory)
    };
    let lower = archive()
        .entry(dir("kept", "user.old"), b"")
        .file("kept/x", "")
        .entry(dir("changed", "user.old"), b"");
    let changed = Entry { mode: 0o700, uid: 3, ..dir("changed", "user.new") };
    let upper = archive().file("kept/.wh.x", "").file("kept/new", "").entry(changed, b"");
    assert_eq!(
        flat(&[lower, upper]),
        "d 0700 3:0 @77 changed/ [user.new=1]\nd 0755 @77 kept/ [user.old=1]\nf 0644 kept/new \"\"\n"
    );
}

#[derive(Clone, Debug)]
enum Step {
    File(String),
    Link(String),
    Dir(String),
    Whiteout(String, char),
    Opaque(String),
}

fn any_layer() -> impl Strategy<Value = Vec<Step>> {
    let path = proptest::string::string_regex("[ab](/[abc]){0,2}").unwrap().boxed();
    let dir = proptest::string::string_regex("[ab](/[abc])?").unwrap().boxed();
    let name = proptest::sample::select(vec!['a', 'b', 'c']);
    let step = prop_oneof![
        3 => path.clone().prop_map(Step::File),
        1 => path.clone().prop_map(Step::Link),
        3 => path.prop_map(Step::Dir),
        2 => (dir.clone(), name).prop_map(|(dir, name)| Step::Whiteout(dir, name)),
        1 => dir.prop_map(Step::Opaque),
    ];
    proptest::collection::vec(step, 0..8)
}

fn archive_of(number: usize, steps: &[Step], with_parents: bool) -> Archive {
    let content = number.to_string();
    let dir =
        |path: &str| Entry { mode: 0o700 + number as u32, ..entry(path, EntryKind::Directory) };
    steps.iter().fold(archive(), |mut made, step| {
        let (path, directory) = match step {
            Step::File(path) | Step::Link(path) | Step::Dir(path) => (path.clone(), false),
            Step::Whiteout(dir, _) | Step::Opaque(dir) => (dir.clone(), true),
        };
        if with_parents {
            let ends: Vec<usize> = path.match_indices('/').map(|(at, _)| at).collect();
            for end in ends.into_iter().chain(directory.then_some(path.len())) {
                made = made.entry(dir(&path[..end]), b"");
            }
        }
        match step {
            // What a layer only implies below a link of a lower one, overlayfs cannot follow.
            Step::Link(path) if with_parents => made.symlink(path, "b"),
            Step::File(path) | Step::Link(path) => made.file(path, &content),
            Step::Dir(path) => made.entry(dir(path), b""),
            Step::Whiteout(dir, name) => made.file(&format!("{dir}/.wh.{name}"), ""),
            Step::Opaque(dir) => made.file(&format!("{dir}/.wh..wh..opq"), ""),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mounted_equals_flat(layers in proptest::collection::vec(any_layer(), 1..4), with_parents: bool) {
        if !is_root() {
            return Ok(());
        }
        let made: Vec<Archive> = layers
            .iter()
            .enumerate()
            .map(|(number, steps)| archive_of(number, steps, with_parents))
            .collect();
        let place = Place::new();
        let applied: crate::Result<()> =
            made.iter().try_for_each(|layer| place.apply(&layer.clone().end()).map(drop));
        match (applied, mounted(&made)) {
            (Ok(()), Ok(mounted)) => prop_assert_eq!(place.listing(), mounted),
            (Err(_), Err(_)) => {}
            (applied, mounted) => prop_assert!(false, "{applied:?} {mounted:?}"),
        }
    }
}
