use std::os::unix::fs::symlink;

use super::*;
use crate::runtime::flags::{parse_mount, parse_volume};

/// A file, and an empty directory.
fn place() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    std::fs::create_dir(place.path().join("root")).unwrap();
    std::fs::write(place.path().join("hosts"), "hosts").unwrap();
    place
}

/// What is staged for a mount, or why it is not; `skipped` where this process may not mount.
fn staged(base: &Path, hold: impl FnOnce(&mut Sources) -> Result<()>) -> Option<Result<String>> {
    if let Err(error) = crate::sys::own_mounts() {
        eprintln!("skipped: no mounts of its own: {error}");
        return None;
    }
    let staging = base.join("staging");
    std::fs::create_dir_all(&staging).unwrap();
    let mut sources = Sources::in_directory(&staging);
    let content = hold(&mut sources).map(|()| {
        let (_, path) = sources.paths().last().unwrap();
        std::fs::read_to_string(path).unwrap_or_else(|_| "a directory".to_owned())
    });
    drop(sources);
    assert_eq!(std::fs::read_dir(&staging).unwrap().count(), 0);
    Some(content)
}

#[test]
fn sources_are_held() {
    let place = place();
    let base = place.path();
    let parse = |text: &str| parse_volume(text, base).unwrap();
    let held = staged(place.path(), |sources| {
        let mounts = [parse("./new/dir:/b"), parse("./hosts:/a")];
        sources.hold_binds(&mounts, SharedSources::default())?;
        std::fs::rename(base.join("hosts"), base.join("moved")).unwrap();
        symlink("/etc/passwd", base.join("hosts")).unwrap();
        let targets: Vec<String> = sources.paths().map(|(target, _)| target).collect();
        assert_eq!(targets, ["/b", "/a"]);
        Ok(())
    });
    let Some(held) = held else { return };
    assert_eq!(held.unwrap(), "hosts");
    assert!(base.join("new/dir").is_dir());
    let missing = parse_mount("type=bind,src=/none,dst=/x", base).unwrap();
    let hold = |sources: &mut Sources| sources.hold_binds(&[missing], SharedSources::default());
    let error = staged(base, hold).unwrap().unwrap_err();
    assert_eq!(error.chain(), "bind source path does not exist: /none");
}

#[test]
fn parts_of_a_volume_stay_in_it() {
    let place = place();
    let volume = place.path().join("root");
    std::fs::create_dir(volume.join("d")).unwrap();
    std::fs::write(volume.join("d/f"), "inside").unwrap();
    symlink("/d/f", volume.join("link")).unwrap();
    symlink(place.path().join("hosts"), volume.join("bad")).unwrap();
    for (part, content) in [("link", "inside"), ("d/f", "inside"), ("d", "a directory")] {
        let held = staged(place.path(), |sources| sources.hold_part("/x", &volume, part));
        let Some(held) = held else { return };
        assert_eq!(held.unwrap(), content, "{part}");
    }
    for part in ["bad", "../hosts", "d/../../hosts", "none"] {
        let held = staged(place.path(), |sources| sources.hold_part("/x", &volume, part));
        assert!(held.unwrap().is_err(), "{part}");
    }
}

/// What cannot reach the host is refused with the reason.
#[test]
fn mounts_that_spread_are_shared_or_refused() {
    let place = place();
    let base = place.path();
    let parse = |text: &str| parse_volume(text, base).unwrap();
    for word in ["shared", "rshared"] {
        let mount = [parse(&format!("./root:/m:{word}"))];
        let mapped = SharedSources::hold(&mount, true).unwrap_err();
        assert_eq!(
            mapped.chain(),
            format!("{word} at /m: no mount of a user namespace reaches the host")
        );
        // Held too late, as by somebody who has mounts of its own already.
        let hold = |sources: &mut Sources| sources.hold_binds(&mount, SharedSources::default());
        let Some(held) = staged(base, hold) else { return };
        let error = held.unwrap_err().chain();
        assert_eq!(error, format!("{word} at /m: nothing here can spread mounts to the host"));
        // The thread's mounts are its own by now: nobody shares them.
        let error = SharedSources::hold(&mount, false).unwrap_err().chain();
        assert!(error.starts_with(&format!("{word} at /m: ")), "{error}");
        assert!(error.contains("is not on a shared mount"), "{error}");
    }
    for other in ["slave", "rslave", "private", "rprivate"] {
        let mount = [parse(&format!("./root:/m:{other}"))];
        SharedSources::hold(&mount, true).unwrap();
    }
}
