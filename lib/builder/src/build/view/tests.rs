use super::*;
use crate::layer::tar::{Entry, EntryKind};

fn entry(kind: EntryKind, mode: u32) -> Entry {
    Entry {
        path: Vec::new(),
        kind,
        mode,
        uid: 1,
        gid: 2,
        mtime: Time { secs: 3, nanos: 4 },
        size: 0,
        xattrs: vec![(b"user.x".to_vec(), b"y".to_vec())],
        unread: Vec::new(),
    }
}

fn toc(entries: &[(&str, EntryKind)]) -> Toc {
    let mut toc = Toc::default();
    for (path, kind) in entries {
        toc.add(path.as_bytes().to_vec(), entry(kind.clone(), 0o700));
    }
    Toc::from_bytes(&toc.to_bytes()).filter(|same| *same == toc).unwrap()
}

fn view(layers: &[&[(&str, EntryKind)]]) -> View {
    let mut view = View::default();
    layers.iter().for_each(|layer| view.push(Arc::new(LayerView::Toc(toc(layer)))));
    view
}

fn link(target: &str) -> EntryKind {
    EntryKind::Symlink(target.as_bytes().to_vec())
}

use EntryKind::{Directory, File};

#[test]
fn upper_layers_win_and_delete() {
    let view = view(&[
        &[("a", Directory), ("a/x", File), ("a/y", File), ("b", Directory), ("b/f", File)],
        &[("a/.wh.x", File), ("b", Directory), ("b/.wh..wh..opq", File), ("b/g", File)],
        &[("c/d", File), (".wh.a", File), ("a", Directory), ("a/z", File)],
    ]);
    let has = |path: &str| view.lookup(path.as_bytes()).unwrap().is_some();
    let shown = ["a", "a/x", "a/y", "a/z", "b", "b/f", "b/g", "c", "c/d", "c/d/e", "e"].map(has);
    let expected = [true, false, false, true, true, false, true, true, true, false, false];
    assert_eq!(shown, expected);
}

#[test]
fn an_implied_directory_is_described_below() {
    let view = view(&[&[("etc", Directory)], &[("etc/f", File), ("new/f", File)]]);
    assert_eq!(view.lookup(b"etc").unwrap().unwrap().mode, 0o700);
    assert_eq!(view.lookup(b"new").unwrap().unwrap(), Node::implied());
    assert!(view.lookup(b"").unwrap().unwrap().is_directory());
    assert!(View::default().lookup(b"").unwrap().unwrap().is_directory());
}

#[test]
fn links_stay_inside() {
    let view = view(&[&[
        ("usr/bin", Directory),
        ("bin", link("usr/bin")),
        ("up", link("../../../../usr")),
        ("abs", link("/usr/bin")),
        ("loop", link("loop")),
        ("gone", link("/nowhere/x")),
    ]]);
    let at = |path: &str| {
        let (path, node) = view.resolve(path.as_bytes()).unwrap();
        (String::from_utf8(path).unwrap(), node.is_some())
    };
    assert_eq!(at("/bin/sh"), ("usr/bin/sh".into(), false));
    assert_eq!(at("up/bin"), ("usr/bin".into(), true));
    assert_eq!(at("abs/../x"), ("usr/x".into(), false));
    assert_eq!(at("gone/y"), ("nowhere/x/y".into(), false));
    assert_eq!(at("new/deep/../x"), ("new/x".into(), false));
    assert_eq!(at("../.."), (String::new(), true));
    let error = view.resolve(b"loop").unwrap_err();
    assert_eq!(error.chain(), "too many symbolic links in /loop");
}
