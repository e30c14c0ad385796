use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

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

/// Links lead mounts and the working directory nowhere near the kernel's files.
#[test]
fn nothing_is_mounted_over_the_kernel_s_files_by_links() {
    for (link, target, mount) in [
        ("x", "/dev", "/x"),
        ("x", "dev", "/x/y"),
        ("x", "../../../proc", "/x"),
        ("x", "/sys/fs", "/x"),
        ("x", "/y", "/x/z"),
        ("etc", "dev", "/srv"),
    ] {
        let mut place = Place::new();
        symlink("/dev", place.root().join("y")).unwrap();
        symlink(target, place.root().join(link)).unwrap();
        place.options.mounts = vec![parse_tmpfs(mount).unwrap()];
        let error = place.prepare().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{mount}");
        assert!(error.chain().contains("over the kernel's files"), "{}", error.chain());
    }
    // Where a person says so, and where links stay clear of it.
    for mount in ["/dev/x", "/proc/x", "/var/run/x", "/devices"] {
        let mut place = Place::new();
        std::fs::create_dir_all(place.root().join("run")).unwrap();
        std::fs::create_dir_all(place.root().join("var")).unwrap();
        symlink("/run", place.root().join("var/run")).unwrap();
        place.options.mounts = vec![parse_tmpfs(mount).unwrap()];
        place.prepare().unwrap();
    }
}

#[test]
fn links_in_what_is_mounted_are_followed_too() {
    let mut place = Place::new();
    let volume = place.dir.path().join("out");
    symlink("/dev", volume.join("inner")).unwrap();
    symlink("/proc/self/fd", volume.join("open")).unwrap();
    let bind = parse_volume(&format!("{}:/v", volume.display()), Path::new("/")).unwrap();
    place.options.mounts = vec![bind, parse_tmpfs("/v/inner").unwrap()];
    let error = place.prepare().unwrap_err();
    assert_eq!(
        error.chain(),
        "the mount at /v/inner is refused: a link leads it to /dev, over the kernel's files"
    );
    place.options.mounts.pop();
    for workdir in ["/v/open/7", "/dev/fd/7", "/dev/stdin", "/dev/../dev/fd/0", "/v/inner/fd/3"] {
        place.options.workdir = Some(workdir.into());
        let error = place.prepare().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{workdir}");
        assert!(error.chain().contains("cannot be the working directory"), "{}", error.chain());
    }
    for workdir in ["/dev", "/dev/shm", "/v", "/v/new", "/proc"] {
        place.options.workdir = Some(workdir.into());
        place.prepare().unwrap_or_else(|error| panic!("{workdir}: {}", error.chain()));
    }
}
