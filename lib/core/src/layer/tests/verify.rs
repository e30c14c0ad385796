//! A tree that was changed is told from one that was not. That no tree as it was unpacked differs
//! is looked at by every test that unpacks.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::super::tar::EntryKind;
use super::super::{Limits, differences};
use super::support::{Place, archive, entry};
use crate::sys::Root;

/// What is found after `change` in a tree of each kind of entry.
fn found(change: impl FnOnce(&Path)) -> Vec<(String, String)> {
    let holes: [(&str, &[u8]); 3] = [
        ("GNU.sparse.size", b"200000"),
        ("GNU.sparse.numblocks", b"1"),
        ("GNU.sparse.map", b"100000,3"),
    ];
    let bytes = archive()
        .dir("d")
        .file("d/a", &"content".repeat(20_000))
        .file("d/b", "b")
        .symlink("l", "d/a")
        .link("again", "d/b")
        .entry(entry("p", EntryKind::Fifo), b"")
        .pax(&holes)
        .raw(b'0', "holes", b"abc", |_| {})
        .end();
    let place = Place::new();
    place.unpack(&bytes).unwrap();
    change(&place.root());
    let root = Root::open(&place.root()).unwrap();
    let found = differences(&root, &bytes[..], &Limits::default()).unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    found.into_iter().map(|(path, why)| (text(&path), why)).collect()
}

#[track_caller]
fn finds(path: &str, why: &str, change: impl FnOnce(&Path)) {
    assert_eq!(found(change), [(path.to_owned(), why.to_owned())]);
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn every_change_is_named() {
    assert_eq!(found(|_| ()), []);
    for at in [0, 70_000, 139_999] {
        finds("d/a", "its content is another", |root| flip(&root.join("d/a"), at));
    }
    for at in [0, 99_999, 100_001, 100_003, 199_999] {
        finds("holes", "its content is another", |root| flip(&root.join("holes"), at));
    }
    finds("d/a", "its size is another", |root| fs::write(root.join("d/a"), "").unwrap());
    finds("d/b", "it is missing", |root| fs::remove_file(root.join("d/b")).unwrap());
    finds("again", "it is missing", |root| fs::remove_file(root.join("again")).unwrap());
    finds("p", "it is of another type", |root| {
        fs::remove_file(root.join("p")).unwrap();
        fs::write(root.join("p"), "").unwrap();
    });
    finds("l", "it is a link to \"/etc/passwd\"", |root| {
        fs::remove_file(root.join("l")).unwrap();
        symlink("/etc/passwd", root.join("l")).unwrap();
    });
    finds("d", "its mode is another", |root| {
        fs::set_permissions(root.join("d"), fs::Permissions::from_mode(0o700)).unwrap();
    });
}

#[test]
fn nothing_outside_the_tree_is_looked_at() {
    let lost = found(|root| {
        fs::rename(root.join("d"), root.parent().unwrap().join("d")).unwrap();
        symlink("../d", root.join("d")).unwrap();
    });
    let paths: Vec<&str> = lost.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["d", "d/a", "d/b"]);
}
