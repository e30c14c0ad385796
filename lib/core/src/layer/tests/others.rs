//! Archives of other programs, and other programs reading ours.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;
use std::process::Command;

use super::super::{PackOptions, WhiteoutForm, pack};
use super::support::{Place, is_root, listing};
use crate::sys::{Device, Dir, FileKind, Root, Time, set_xattr};

/// Runs a program for its output; `None`, said aloud, when it is not installed.
fn output(program: &str, args: &[&str]) -> Option<Vec<u8>> {
    match Command::new(program).args(args).output() {
        Ok(output) => {
            assert!(output.status.success(), "{program} {args:?}: {output:?}");
            Some(output.stdout)
        }
        Err(_) => {
            eprintln!("skipped: {program} is not installed");
            None
        }
    }
}

/// A tree with all that archives differ in.
fn make_tree(root: &Path) {
    let long = root.join("d".repeat(120)).join("e".repeat(120));
    fs::create_dir_all(&long).unwrap();
    fs::write(long.join("n".repeat(180)), "long").unwrap();
    symlink("t".repeat(300), root.join("to-far")).unwrap();
    fs::write(root.join("plain"), "content").unwrap();
    fs::hard_link(root.join("plain"), root.join("second")).unwrap();
    fs::write(root.join(std::ffi::OsStr::from_bytes(b"not-utf8-\xff\xfe")), "").unwrap();
    let sparse = fs::File::create(root.join("sparse")).unwrap();
    for part in 0..12 {
        sparse.write_all_at(b"part", part * 200_000).unwrap();
    }
    sparse.set_len(3_000_000).unwrap();
    set_times(&Dir::open(root).unwrap());
    let dir = Dir::open(root).unwrap();
    dir.make_node(b"pipe", FileKind::Fifo, 0o600, Device::default()).unwrap();
    dir.make_node(b"null", FileKind::Char, 0o666, Device { major: 1, minor: 3 }).unwrap();
    dir.set_owner_of(b"plain", 1_234_567, 3_000_000).unwrap();
    dir.set_time_of(b"pipe", Time { secs: 1_600_000_000, nanos: 250_000_000 }).unwrap();
    dir.set_time_of(b"null", Time { secs: -3, nanos: 0 }).unwrap();
}

fn set_times(dir: &Dir) {
    for entry in dir.entries().unwrap() {
        if entry.kind == Some(FileKind::Directory) {
            set_times(&dir.open_dir(&entry.name).unwrap());
        }
        dir.set_time_of(&entry.name, Time { secs: 1_600_000_000, nanos: 0 }).unwrap();
    }
}

/// Takes from a listing what a format cannot tell.
type Cut = fn(String) -> String;

fn assert_same_tree(bytes: &[u8], source: &Path, cut: Cut) {
    let place = Place::new();
    let report = place.unpack(bytes).unwrap();
    assert_eq!(report.dropped_xattrs, []);
    let (expected, got) = (cut(listing(source)), cut(place.listing()));
    assert_eq!(expected, got);
    let read = |root: &Path| fs::read(root.join("sparse")).unwrap();
    assert!(read(source) == read(&place.root()));
}

/// Formats without fractions of seconds or times before 1970.
fn whole_seconds(text: String) -> String {
    let cut = |line: &str| match line.split_once('@') {
        Some((before, after)) => {
            let (time, rest) = after.split_once(' ').unwrap();
            format!("{before}@{} {rest}\n", time.split('.').next().unwrap())
        }
        None => format!("{line}\n"),
    };
    text.lines().map(cut).collect()
}

fn exact(text: String) -> String {
    text
}

#[test]
fn archives_of_gnu_tar() {
    if !is_root() {
        return;
    }
    let source = tempfile::tempdir().unwrap();
    make_tree(source.path());
    let from = source.path().to_str().unwrap();
    let common = ["--sparse", "--numeric-owner", "--sort=name", "-C", from, "-c", "."];
    let formats: [(&[&str], Cut); 5] = [
        (&["--format=gnu"], whole_seconds),
        (&["--format=oldgnu"], whole_seconds),
        (&["--format=posix", "--sparse-version=1.0"], exact),
        (&["--format=posix", "--sparse-version=0.1"], exact),
        (&["--format=posix", "--sparse-version=0.0"], exact),
    ];
    for (format, cut) in formats {
        let args: Vec<&str> = format.iter().chain(&common).copied().collect();
        let Some(bytes) = output("tar", &args) else { return };
        assert_same_tree(&bytes, source.path(), cut);
    }
}

#[test]
fn attributes_of_gnu_tar() {
    if !is_root() {
        return;
    }
    let source = tempfile::tempdir().unwrap();
    let file = fs::File::create(source.path().join("file")).unwrap();
    set_xattr(&file, b"user.name", b"va\nl\0ue").unwrap();
    let dir = Dir::open(source.path()).unwrap();
    dir.make_dir(b"dir", 0o755).unwrap();
    dir.set_xattr_of(b"dir", b"user.dir", b"1").unwrap();
    let from = source.path().to_str().unwrap();
    let args = ["--xattrs", "--xattrs-include=*", "--format=posix", "-C", from, "-c", "."];
    let Some(bytes) = output("tar", &args) else { return };
    let place = Place::new();
    place.unpack(&bytes).unwrap();
    assert_eq!(place.listing(), listing(source.path()));
}

#[test]
fn archives_of_python() {
    if !is_root() {
        return;
    }
    let source = tempfile::tempdir().unwrap();
    make_tree(source.path());
    let script = "import sys, tarfile\n\
        out = tarfile.open(fileobj=sys.stdout.buffer, mode='w|', format=int(sys.argv[2]))\n\
        out.add(sys.argv[1], '.')\n\
        out.close()\n";
    for (format, cut) in [("1", whole_seconds as Cut), ("2", exact)] {
        let from = source.path().to_str().unwrap();
        let Some(bytes) = output("python3", &["-c", script, from, format]) else { return };
        assert_same_tree(&bytes, source.path(), cut);
    }
}

#[test]
fn gnu_tar_and_python_read_what_is_packed() {
    if !is_root() {
        return;
    }
    let source = tempfile::tempdir().unwrap();
    make_tree(source.path());
    let archive = tempfile::NamedTempFile::new().unwrap();
    let form = WhiteoutForm::Apply;
    let options =
        PackOptions { form, subseconds: true, root_entry: true, ..PackOptions::default() };
    let root = Root::open(source.path()).unwrap();
    pack(&root, &options, &mut archive.as_file()).unwrap();
    let path = archive.path().to_str().unwrap();

    let target = tempfile::tempdir().unwrap();
    let to = target.path().to_str().unwrap();
    let args = ["--numeric-owner", "-p", "-C", to, "-xf", path];
    if output("tar", &args).is_some() {
        assert_eq!(listing(target.path()), listing(source.path()));
    }
    let script = "import sys, tarfile\n\
        for member in tarfile.open(sys.argv[1]):\n\
        \x20   print(member.name.encode('utf-8', 'surrogateescape'), member.size)\n";
    if let Some(names) = output("python3", &["-c", script, path]) {
        let names = String::from_utf8(names).unwrap();
        assert_eq!(names.lines().count(), 11, "{names}");
        assert!(names.contains("b'sparse' 3000000\n"), "{names}");
        assert!(names.contains("b'not-utf8-\\xff\\xfe' 0\n"), "{names}");
    }
}
