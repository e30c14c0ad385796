use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;

use super::*;
use crate::runtime::config::{Container, build};
use crate::runtime::flags::{parse_tmpfs, parse_volume};
use crate::runtime::host::HostFacts;
use crate::runtime::options::{ImageDefaults, RunOptions};

/// A root in a directory beside which nothing may change.
struct Place {
    dir: tempfile::TempDir,
    options: RunOptions,
}

impl Place {
    fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("root")).unwrap();
        std::fs::create_dir(dir.path().join("out")).unwrap();
        std::fs::write(dir.path().join("hosts"), "hosts").unwrap();
        let options = RunOptions { command: vec!["x".into()], ..RunOptions::default() };
        Place { dir, options }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn spec(&self) -> Spec {
        let mut container = Container { id: "a".repeat(64), ..Container::default() };
        container.files.insert("/etc/hosts".into(), self.dir.path().join("hosts"));
        let host = HostFacts::gather(false).unwrap();
        build(&self.options, &ImageDefaults::default(), &host, &container).unwrap().spec
    }

    fn prepare(&self) -> Result<Made> {
        prepare(&Root::open(&self.root()).unwrap(), &self.spec(), true, None)
    }

    /// What is in the root: type letter, mode, path.
    fn list(&self) -> String {
        let mut out = Vec::new();
        let mut ahead = vec![self.root()];
        while let Some(dir) = ahead.pop() {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                let meta = path.symlink_metadata().unwrap();
                let shown = path.strip_prefix(self.root()).unwrap().display().to_string();
                if meta.is_dir() {
                    out.push(format!("{shown}/ {:o}", meta.mode() & 0o7777));
                    ahead.push(path);
                } else if meta.is_symlink() {
                    out.push(format!("{shown} -> {}", path.read_link().unwrap().display()));
                } else {
                    out.push(format!("{shown} {:o}", meta.mode() & 0o7777));
                }
            }
        }
        out.sort();
        out.join("\n")
    }

    fn outside_is_untouched(&self) {
        assert_eq!(std::fs::read_dir(self.dir.path().join("out")).unwrap().count(), 0);
        assert_eq!(std::fs::read_dir(self.dir.path()).unwrap().count(), 3);
        assert_eq!(std::fs::read(self.dir.path().join("hosts")).unwrap(), b"hosts");
    }
}

#[test]
fn an_empty_root() {
    let mut place = Place::new();
    place.options.workdir = Some("/a/b".into());
    place.options.mounts = vec![
        parse_tmpfs("/t/u").unwrap(),
        parse_volume(
            &format!("{}:/f/file", place.dir.path().join("hosts").display()),
            Path::new("/"),
        )
        .unwrap(),
        parse_tmpfs("/dev/x").unwrap(),
        parse_tmpfs("/t/u/below").unwrap(),
    ];
    let made = place.prepare().unwrap();
    let expected = ".dockerenv 644
a/ 755
a/b/ 755
dev/ 755
etc/ 755
etc/hosts 644
etc/mtab -> /proc/mounts
f/ 755
f/file 644
proc/ 755
run/ 755
run/.containerenv 644
sys/ 755
t/ 755
t/u/ 1777";
    assert_eq!(place.list(), expected);
    place.prepare().unwrap();
    assert_eq!(place.list(), expected);
    std::fs::write(place.root().join("a/b/new"), "").unwrap();
    std::fs::write(place.root().join(".dockerenv"), "changed").unwrap();
    made.remove_unused().unwrap();
    assert_eq!(
        place.list(),
        ".dockerenv 644\na/ 755\na/b/ 755\na/b/new 644\netc/ 755\netc/mtab -> /proc/mounts"
    );
}

#[test]
fn links_in_the_way_are_replaced_or_stay_inside() {
    let mut place = Place::new();
    let root = place.root();
    let out = place.dir.path().join("out").display().to_string();
    for name in ["dev", "proc", "sys"] {
        symlink(&out, root.join(name)).unwrap();
    }
    std::fs::create_dir(root.join("etc")).unwrap();
    for name in ["etc/hosts", "etc/mtab", ".dockerenv"] {
        symlink(format!("{out}/x"), root.join(name)).unwrap();
    }
    symlink("../../../../out", root.join("run")).unwrap();
    symlink(&out, root.join("work")).unwrap();
    symlink(&out, root.join("mount")).unwrap();
    symlink(format!("{out}/file"), root.join("filelink")).unwrap();
    place.options.workdir = Some("/work/deep".into());
    place.options.mounts = vec![
        parse_tmpfs("/mount/deep").unwrap(),
        parse_volume(
            &format!("{}:/filelink", place.dir.path().join("hosts").display()),
            Path::new("/"),
        )
        .unwrap(),
    ];
    place.prepare().unwrap();
    place.outside_is_untouched();
    let list = place.list();
    for line in [
        "dev/ 755".to_owned(),
        "proc/ 755".to_owned(),
        "sys/ 755".to_owned(),
        "etc/hosts 644".to_owned(),
        ".dockerenv 644".to_owned(),
        "out/.containerenv 644".to_owned(),
        format!("etc/mtab -> {out}/x"),
        format!("{}/deep/ 1777", out.trim_start_matches('/')),
        format!("{}/file 644", out.trim_start_matches('/')),
    ] {
        assert!(list.lines().any(|have| have == line), "{line} in\n{list}");
    }
}

#[test]
fn no_working_directory_in_proc() {
    let mut place = Place::new();
    symlink("/proc/self/fd/7", place.root().join("w")).unwrap();
    place.options.workdir = Some("/w".into());
    assert_eq!(
        place.prepare().unwrap_err().chain(),
        "\"/w\" cannot be the working directory: it leads to /proc/self/fd/7"
    );
}

#[test]
fn directories_and_files_do_not_mix() {
    let mut place = Place::new();
    std::fs::write(place.root().join("file"), "").unwrap();
    place.options.mounts = vec![parse_tmpfs("/file").unwrap()];
    let error = place.prepare().unwrap_err().chain();
    assert!(error.contains("/file in the image: not a directory"), "{error}");
    let mut place = Place::new();
    std::fs::create_dir_all(place.root().join("etc/hosts")).unwrap();
    assert!(place.prepare().is_err());
    place.options.mounts = Vec::new();
    std::fs::create_dir(place.root().join("d")).unwrap();
    std::fs::remove_dir(place.root().join("etc/hosts")).unwrap();
    let file = place.dir.path().join("hosts").display().to_string();
    place.options.mounts = vec![parse_volume(&format!("{file}:/d"), Path::new("/")).unwrap()];
    assert!(place.prepare().unwrap_err().chain().contains("vice-versa"));
}

/// What is staged for a mount, or why it is not; `skipped` where this process may not mount.
fn staged(place: &Place, hold: impl FnOnce(&mut Sources) -> Result<()>) -> Option<Result<String>> {
    if let Err(error) = crate::sys::own_mounts() {
        eprintln!("skipped: no mounts of its own: {error}");
        return None;
    }
    let staging = place.dir.path().join("staging");
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
    let place = Place::new();
    let base = place.dir.path();
    let parse = |text: &str| parse_volume(text, base).unwrap();
    let held = staged(&place, |sources| {
        sources.hold_binds(&[parse("./new/dir:/b"), parse("./hosts:/a")])?;
        std::fs::rename(base.join("hosts"), base.join("moved")).unwrap();
        symlink("/etc/passwd", base.join("hosts")).unwrap();
        let targets: Vec<String> = sources.paths().map(|(target, _)| target).collect();
        assert_eq!(targets, ["/b", "/a"]);
        Ok(())
    });
    let Some(held) = held else { return };
    assert_eq!(held.unwrap(), "hosts");
    assert!(base.join("new/dir").is_dir());
    let missing = crate::runtime::flags::parse_mount("type=bind,src=/none,dst=/x", base).unwrap();
    let error = staged(&place, |sources| sources.hold_binds(&[missing])).unwrap().unwrap_err();
    assert_eq!(error.chain(), "bind source path does not exist: /none");
}

#[test]
fn parts_of_a_volume_stay_in_it() {
    let place = Place::new();
    let volume = place.root();
    std::fs::create_dir(volume.join("d")).unwrap();
    std::fs::write(volume.join("d/f"), "inside").unwrap();
    symlink("/d/f", volume.join("link")).unwrap();
    symlink(place.dir.path().join("hosts"), volume.join("bad")).unwrap();
    for (part, content) in [("link", "inside"), ("d/f", "inside"), ("d", "a directory")] {
        let held = staged(&place, |sources| sources.hold_part("/x", &volume, part));
        let Some(held) = held else { return };
        assert_eq!(held.unwrap(), content, "{part}");
    }
    for part in ["bad", "../hosts", "d/../../hosts", "none"] {
        let held = staged(&place, |sources| sources.hold_part("/x", &volume, part));
        assert!(held.unwrap().is_err(), "{part}");
    }
}
