//! Packing, and packing what was unpacked.

use std::os::unix::net::UnixListener;

use super::super::tar::{Entry, EntryKind, TarReader};
use super::super::{PackOptions, PackReport, Stack, WhiteoutForm, pack};
use super::support::{Place, archive, entry, is_root};
use crate::error::{ErrorKind, Result};
use crate::sys::{Device, Dir, FileKind, Root, Time, set_xattr};

fn packed(place: &Place, options: &PackOptions<'_>) -> Result<(Vec<u8>, PackReport)> {
    let mut bytes = Vec::new();
    let report = pack(&Root::open(&place.root())?, options, &mut bytes)?;
    assert_eq!(report.archive_bytes, bytes.len() as u64);
    Ok((bytes, report))
}

fn names(bytes: &[u8]) -> Vec<String> {
    let mut reader = TarReader::new(bytes);
    let mut names = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        names.push(entry.path.escape_ascii().to_string());
    }
    names
}

#[test]
fn what_is_unpacked_packs_to_the_same_bytes() {
    if !is_root() {
        return;
    }
    let time = Time { secs: 1_700_000_000, nanos: 5 };
    let long = format!("z/{}/{}", "d".repeat(180), "n".repeat(200));
    let described =
        |path: &str, kind| Entry { mtime: time, uid: 3, gid: 70_000, ..entry(path, kind) };
    let dir = |path: &str| Entry { mode: 0o1777, ..described(path, EntryKind::Directory) };
    let bytes = archive()
        .entry(Entry { xattrs: vec![(b"user.a".to_vec(), b"\0\n".to_vec())], ..dir("./") }, b"")
        .file(".wh.gone", "")
        .entry(Entry { mode: 0o4755, ..described("a", EntryKind::File) }, b"content")
        .entry(described("b", EntryKind::Char(Device { major: 1, minor: 3 })), b"")
        .entry(dir("c/"), b"")
        .file("c/.wh..wh..opq", "")
        .entry(Entry { mode: 0o4755, ..described("c/a", EntryKind::HardLink(b"a".to_vec())) }, b"")
        .entry(Entry { mode: 0o777, ..described("c/b", EntryKind::Symlink(b"../x".to_vec())) }, b"")
        .entry(Entry { mode: 0o777, ..described("c/c", EntryKind::HardLink(b"c/b".to_vec())) }, b"")
        .entry(dir("z/"), b"")
        .file("z/.wh.deleted", "")
        .file("z/.wh.too", "")
        .entry(dir(&format!("z/{}/", "d".repeat(180))), b"")
        .entry(Entry { size: 0, ..described(&long, EntryKind::File) }, b"x")
        .entry(described("z/p", EntryKind::Fifo), b"")
        .end();
    let place = Place::new();
    let unpacked = place.unpack(&bytes).unwrap();
    assert_eq!(unpacked.dropped_xattrs, []);
    let options = PackOptions { subseconds: true, root_entry: true, ..PackOptions::default() };
    let (again, report) = packed(&place, &options).unwrap();
    assert!(again == bytes, "{:?} {:?}", names(&again), names(&bytes));
    assert_eq!((report.entries, report.whiteouts, report.bytes), (15, 4, 8));
    assert_eq!((unpacked.entries, unpacked.whiteouts, unpacked.bytes), (15, 4, 8));
}

#[test]
fn order_and_deletions_of_an_overlay_layer() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let dir = Dir::open(&place.root()).unwrap();
    for name in [&b"!first"[..], b"dir", b"gone", b"zero"] {
        match name {
            b"dir" => dir.make_dir(name, 0o755).unwrap(),
            b"gone" => dir.make_node(name, FileKind::Char, 0, Device::default()).unwrap(),
            _ => drop(dir.create_file(name, 0o644).unwrap()),
        }
    }
    let inner = dir.open_dir(b"dir").unwrap();
    set_xattr(&inner, b"trusted.overlay.opaque", b"y").unwrap();
    set_xattr(&inner, b"trusted.overlay.origin", b"x").unwrap();
    inner.create_file(b"-", 0o644).unwrap();
    inner.make_node(b"a", FileKind::Char, 0, Device::default()).unwrap();
    let (bytes, report) = packed(&place, &PackOptions::default()).unwrap();
    // A whiteout below an opaque marker says nothing more.
    assert_eq!(names(&bytes), [".wh.gone", "!first", "dir/", "dir/.wh..wh..opq", "dir/-", "zero"]);
    assert_eq!(report.whiteouts, 2);
    let (again, _) = packed(&place, &PackOptions::default()).unwrap();
    assert_eq!(bytes, again);
}

#[test]
fn deletions_of_what_lower_layers_lack_are_left_out() {
    if !is_root() {
        return;
    }
    let lower = Place::new();
    lower.unpack(&archive().file("d/old", "").file("e/old", "").end()).unwrap();
    let upper = Place::new();
    let made = archive()
        .file(".wh.never", "")
        .file("d/.wh.old", "")
        .file("d/.wh.never", "")
        .file("e/.wh..wh..opq", "")
        .file("new/.wh..wh..opq", "")
        .file("new/.wh.x", "");
    upper.unpack(&made.end()).unwrap();
    let layers = [Root::open(&lower.root()).unwrap()];
    let stack = Stack::new(&layers, WhiteoutForm::OverlayTrusted);
    let options = PackOptions { lower: Some(&stack), ..PackOptions::default() };
    let (bytes, _) = packed(&upper, &options).unwrap();
    assert_eq!(names(&bytes), ["d/", "d/.wh.old", "e/", "e/.wh..wh..opq", "new/"]);
}

#[test]
fn files_of_which_only_metadata_was_copied() {
    if !is_root() {
        return;
    }
    let lower = Place::new();
    lower.unpack(&archive().file("d/f", "content").file("d/other", "more").end()).unwrap();
    let upper = Place::new();
    let dir = Dir::open(&upper.root()).unwrap();
    dir.make_dir(b"d", 0o755).unwrap();
    let inner = dir.open_dir(b"d").unwrap();
    for (name, redirect) in [(&b"f"[..], &b""[..]), (b"g", b"other"), (b"h", b"/d/f")] {
        let file = inner.create_file(name, 0o600).unwrap();
        set_xattr(&file, b"trusted.overlay.metacopy", b"").unwrap();
        if !redirect.is_empty() {
            set_xattr(&file, b"trusted.overlay.redirect", redirect).unwrap();
        }
    }
    let error = packed(&upper, &PackOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", error.chain());
    let layers = [Root::open(&lower.root()).unwrap()];
    let stack = Stack::new(&layers, WhiteoutForm::OverlayTrusted);
    let (bytes, _) =
        packed(&upper, &PackOptions { lower: Some(&stack), ..PackOptions::default() }).unwrap();
    let place = Place::new();
    place.unpack(&bytes).unwrap();
    let listing = place.listing();
    for (name, content) in [("f", "content"), ("g", "more"), ("h", "content")] {
        let line = listing.lines().find(|line| line.contains(&format!(" d/{name} "))).unwrap();
        assert!(line.starts_with("f 0600") && line.ends_with(&format!("{content:?}")), "{line}");
    }
}

#[test]
fn times_are_cut_and_clamped() {
    let at =
        |path: &str, secs| Entry { mtime: Time { secs, nanos: 7 }, ..entry(path, EntryKind::File) };
    let place = Place::new();
    place.unpack(&archive().entry(at("old", 100), b"").entry(at("new", 300), b"").end()).unwrap();
    let times = |options: &PackOptions<'_>| {
        let (bytes, _) = packed(&place, options).unwrap();
        let mut reader = TarReader::new(&bytes[..]);
        let mut times = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            times.push((entry.mtime.secs, entry.mtime.nanos));
        }
        times
    };
    let latest = Some(Time { secs: 200, nanos: 0 });
    assert_eq!(times(&PackOptions::default()), [(300, 0), (100, 0)]);
    assert_eq!(times(&PackOptions { latest, ..PackOptions::default() }), [(200, 0), (100, 0)]);
    let subseconds = PackOptions { latest, subseconds: true, ..PackOptions::default() };
    assert_eq!(times(&subseconds), [(200, 0), (100, 7)]);
}

#[test]
fn what_no_layer_can_express() {
    let place = Place::new();
    let _listener = UnixListener::bind(place.root().join("socket")).unwrap();
    let (bytes, report) = packed(&place, &PackOptions::default()).unwrap();
    assert_eq!(names(&bytes), [""; 0]);
    assert_eq!(report.skipped_sockets, [b"socket".to_vec()]);
    std::fs::write(place.root().join(".wh.x"), "").unwrap();
    let error = packed(&place, &PackOptions::default()).unwrap_err();
    let expected = "packing \".wh.x\": a name with .wh. means a deletion in a layer";
    assert_eq!((error.kind(), error.chain()), (ErrorKind::Unsupported, expected.to_owned()));
    std::fs::remove_file(place.root().join(".wh.x")).unwrap();
    std::fs::create_dir_all(place.root().join("a/b/c")).unwrap();
    let error = packed(&place, &PackOptions { depth: 2, ..PackOptions::default() }).unwrap_err();
    assert!(
        error.chain().ends_with("packing directory \"a/b/c\": more than 2 levels"),
        "{}",
        error.chain()
    );
    if is_root() {
        let dir = Dir::open(&place.root().join("a")).unwrap();
        set_xattr(&dir, b"trusted.overlay.redirect", b"other").unwrap();
        let error = packed(&place, &PackOptions::default()).unwrap_err();
        assert!(
            error.chain().ends_with("overlayfs has renamed this directory"),
            "{}",
            error.chain()
        );
    }
}

/// Changes a mounted overlay as a container would, packs its upper directory, and applies that to
/// a flat copy of the lower layer: the same tree as the mount must come of it.
fn check_mounted_changes(mount_options: &str, change: fn(&std::path::Path)) {
    let lower_layer = archive()
        .dir("dir")
        .dir("dir/sub")
        .file("dir/sub/old", "old")
        .file("dir/a", "a")
        .file("dir/b", "b")
        .file("dir/c", "c")
        .dir("gone")
        .file("gone/x", "")
        .symlink("link", "dir")
        .end();
    let [lower, upper, work, target, flat] = [(); 5].map(|()| Place::new());
    lower.unpack(&lower_layer).unwrap();
    let [low, up, work, at] =
        [&lower, &upper, &work, &target].map(|place| place.root().to_str().unwrap().to_owned());
    let options = format!("lowerdir={low},upperdir={up},workdir={work}{mount_options}\0");
    let options = std::ffi::CStr::from_bytes_with_nul(options.as_bytes()).unwrap();
    let flags = rustix::mount::MountFlags::empty();
    rustix::mount::mount("overlay", &at[..], "overlay", flags, options).unwrap();
    let changed = std::panic::catch_unwind(|| change(target.root().as_path()));
    let expected = target.listing();
    rustix::mount::unmount(&at[..], rustix::mount::UnmountFlags::empty()).unwrap();
    changed.unwrap();

    let layers = [Root::open(&lower.root()).unwrap()];
    let stack = Stack::new(&layers, WhiteoutForm::OverlayTrusted);
    let options = PackOptions { lower: Some(&stack), subseconds: true, ..PackOptions::default() };
    let (bytes, _) = packed(&upper, &options).unwrap();
    flat.apply(&lower_layer).unwrap();
    flat.apply(&bytes).unwrap();
    assert_eq!(flat.listing(), expected);
}

#[test]
fn changes_in_a_mounted_overlay_survive_packing() {
    if !is_root() {
        return;
    }
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    let change = |root: &std::path::Path| {
        fs::remove_file(root.join("dir/a")).unwrap();
        fs::write(root.join("dir/b"), "changed").unwrap();
        fs::set_permissions(root.join("dir/c"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::hard_link(root.join("dir/c"), root.join("c2")).unwrap();
        fs::remove_dir_all(root.join("gone")).unwrap();
        fs::remove_dir_all(root.join("dir/sub")).unwrap();
        fs::create_dir_all(root.join("dir/sub/deep/er")).unwrap();
        fs::write(root.join("dir/sub/deep/er/new"), "new").unwrap();
        fs::remove_file(root.join("link")).unwrap();
        fs::create_dir(root.join("link")).unwrap();
        fs::rename(root.join("dir/b"), root.join("link/b")).unwrap();
    };
    check_mounted_changes(",redirect_dir=off,metacopy=off,index=off", change);
    check_mounted_changes(",redirect_dir=on,metacopy=on,index=off", change);
}
