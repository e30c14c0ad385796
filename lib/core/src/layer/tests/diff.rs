//! Changes as data.

use super::super::tar::{Entry, EntryKind};
use super::super::{Stack, WhiteoutForm, changes};
use super::support::{Archive, Place, archive, entry, is_root};
use crate::sys::{Root, Time};

fn diff(lower: &[Archive], upper: Archive) -> Vec<String> {
    let form = WhiteoutForm::OverlayTrusted;
    let unpacked = |made: &Archive| {
        let place = Place::new();
        place.unpack(&made.clone().end()).unwrap();
        place
    };
    let places: Vec<Place> = lower.iter().rev().map(unpacked).collect();
    let layers: Vec<Root> = places.iter().map(|place| Root::open(&place.root()).unwrap()).collect();
    let upper = unpacked(&upper);
    let upper = Root::open(&upper.root()).unwrap();
    changes(&upper, form, &Stack::new(&layers, form))
        .unwrap()
        .iter()
        .map(|change| format!("{:?} {}", change.kind, change.path.escape_ascii()))
        .collect()
}

#[test]
fn kinds_of_changes() {
    if !is_root() {
        return;
    }
    let later = |path: &str, kind| Entry { mtime: Time { secs: 9, nanos: 0 }, ..entry(path, kind) };
    let lower = archive()
        .dir("d")
        .file("d/deleted", "")
        .file("d/same", "")
        .file("d/chmod", "")
        .file("d/content", "a")
        .symlink("d/link", "a")
        .dir("touched")
        .dir("type")
        .file("type/x", "")
        .file("kept", "");
    let upper = archive()
        .dir("d")
        .file("d/.wh.deleted", "")
        .file("d/.wh.never", "")
        .file("d/same", "")
        .entry(Entry { mode: 0o600, ..entry("d/chmod", EntryKind::File) }, b"")
        .entry(later("d/content", EntryKind::File), b"b")
        .symlink("d/link", "b")
        .entry(later("touched", EntryKind::Directory), b"")
        .file("type", "")
        .dir("new")
        .file("new/file", "");
    assert_eq!(
        diff(&[lower], upper),
        [
            "Metadata d/chmod",
            "Modified d/content",
            "Deleted d/deleted",
            "Modified d/link",
            "Added new",
            "Added new/file",
            "Metadata touched",
            "Modified type"
        ]
    );
}

#[test]
fn opaque_directories_delete_what_they_hide() {
    if !is_root() {
        return;
    }
    let lower = [
        archive().dir("d").file("d/one", "").dir("d/sub").file("d/sub/x", "").file("d/sub/y", ""),
        archive().dir("d").file("d/two", "").file("d/.wh.one", ""),
    ];
    let upper = archive()
        .dir("d")
        .file("d/.wh..wh..opq", "")
        .dir("d/sub")
        .file("d/sub/y", "")
        .file("d/new", "");
    assert_eq!(diff(&lower, upper), ["Added d/new", "Deleted d/sub/x", "Deleted d/two"]);
    assert_eq!(diff(&lower, archive().file(".wh.d", "")), ["Deleted d"]);
}
