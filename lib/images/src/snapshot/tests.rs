//! What a snapshot shows and what it tells of changes, for each method.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;
use crate::layer::ChangeKind;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn dir(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn file(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Two layers: the upper one deletes `gone` and hides what the lower has in `opaque`.
    fn layers(&self) -> Vec<PathBuf> {
        self.file("low/keep", "low");
        self.file("low/gone", "low");
        self.file("low/opaque/old", "low");
        self.file("low/dir/change", "low");
        symlink("keep", self.path("low/link")).unwrap();
        fs::hard_link(self.path("low/keep"), self.path("low/same")).unwrap();
        self.file("high/opaque/new", "high");
        let opaque = Dir::open(&self.path("high/opaque")).unwrap();
        sys::set_xattr(&opaque, b"trusted.overlay.opaque", b"y").unwrap();
        let high = Dir::open(&self.path("high")).unwrap();
        let device = sys::Device::default();
        high.make_node(b"gone", sys::FileKind::Char, 0, device).unwrap();
        fs::set_permissions(self.path("high"), fs::Permissions::from_mode(0o711)).unwrap();
        vec![self.path("low"), self.path("high")]
    }
}

/// Mounts in a namespace that ends with the test's thread.
fn apart(test: impl FnOnce() + Send) {
    if sys::effective_uid() != 0 {
        return;
    }
    std::thread::scope(|scope| {
        let own = scope.spawn(|| {
            sys::own_mounts().unwrap();
            test();
        });
        own.join().unwrap();
    });
}

fn options(method: Method) -> SnapshotOptions {
    SnapshotOptions { method: Some(method), ..SnapshotOptions::default() }
}

fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn both_methods_show_the_same_and_tell_the_same_changes() {
    for method in [Method::Overlay, Method::Copy] {
        apart(|| {
            let place = Place::new();
            let layers = place.layers();
            let target = place.dir("target");
            let snapshot =
                Snapshot::prepare(&layers, &place.path("snap"), &options(method)).unwrap();
            assert_eq!(snapshot.method(), method);
            snapshot.mount(&target).unwrap();
            assert!(sys::is_mount(&target).unwrap() && !sys::is_mount(&place.path("low")).unwrap());
            assert_eq!(names(&target), ["dir", "keep", "link", "opaque", "same"]);
            assert_eq!(names(&target.join("opaque")), ["new"]);
            assert_eq!(fs::metadata(&target).unwrap().mode() & 0o7777, 0o711);
            assert_eq!(snapshot.changes().unwrap(), []);
            fs::write(target.join("dir/change"), "longer than before").unwrap();
            fs::write(target.join("new"), "new").unwrap();
            fs::remove_file(target.join("keep")).unwrap();
            fs::set_permissions(target.join("opaque/new"), fs::Permissions::from_mode(0o600))
                .unwrap();
            let changes: Vec<_> = snapshot
                .changes()
                .unwrap()
                .into_iter()
                .filter(|change| change.path != b"dir")
                .map(|change| (String::from_utf8(change.path).unwrap(), change.kind))
                .collect();
            let expected = [
                ("dir/change", ChangeKind::Modified),
                ("keep", ChangeKind::Deleted),
                ("new", ChangeKind::Added),
                ("opaque/new", ChangeKind::Metadata),
            ];
            assert_eq!(changes, expected.map(|(path, kind)| (path.to_owned(), kind)));
            sys::detach(&target).unwrap();
            drop(snapshot);
            let again = Snapshot::prepare(&layers, &place.path("snap"), &options(method)).unwrap();
            again.mount(&target).unwrap();
            assert_eq!(fs::read_to_string(target.join("new")).unwrap(), "new");
            assert_eq!(fs::read_to_string(place.path("low/dir/change")).unwrap(), "low");
            sys::detach(&target).unwrap();
            again.remove().unwrap();
            assert!(!place.path("snap").exists());
        });
    }
}

#[test]
fn a_view_cannot_be_written_whatever_the_number_of_layers() {
    apart(|| {
        let place = Place::new();
        let layers = place.layers();
        for (count, expected) in [(0, 0), (1, 6), (2, 5)] {
            for method in [Method::Overlay, Method::Copy] {
                let target = place.dir("target");
                let dir = place.path(&format!("view-{count}-{method:?}"));
                let view = Snapshot::view(&layers[..count], &dir, &options(method)).unwrap();
                view.mount(&target).unwrap();
                assert_eq!(names(&target).len(), expected, "{count} {method:?}");
                let refused = fs::write(target.join("x"), "x").unwrap_err();
                assert_eq!(refused.kind(), io::ErrorKind::ReadOnlyFilesystem);
                sys::detach(&target).unwrap();
                view.remove().unwrap();
            }
        }
    });
}

#[test]
fn as_many_layers_as_the_kernel_takes() {
    apart(|| {
        let place = Place::new();
        let layers: Vec<PathBuf> = (0..500)
            .map(|n| {
                let name = format!("a-layer-with-a-name-as-long-as-they-are-in-stores-{n:0>60}");
                place.file(&format!("{name}/only-{n}"), "");
                place.path(&name)
            })
            .collect();
        let target = place.dir("target");
        // The same layer again changes nothing.
        let twice = [&layers[..], &layers[..1]].concat();
        let snapshot =
            Snapshot::prepare(&twice, &place.path("snap"), &options(Method::Overlay)).unwrap();
        snapshot.mount(&target).unwrap();
        assert_eq!(names(&target).len(), 500);
        sys::detach(&target).unwrap();
        let mut more = layers;
        place.file("one-more/file", "");
        more.push(place.path("one-more"));
        let refused =
            Snapshot::prepare(&more, &place.path("more"), &options(Method::Overlay)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unsupported);
        let copied =
            Snapshot::prepare(&more, &place.path("more"), &SnapshotOptions::default()).unwrap();
        assert_eq!(names(copied.copy().unwrap()).len(), 501);
    });
}

#[test]
fn a_volatile_snapshot_can_be_mounted_again() {
    apart(|| {
        let place = Place::new();
        let layers = place.layers();
        let target = place.dir("target");
        let volatile = SnapshotOptions { volatile: true, ..options(Method::Overlay) };
        for text in ["first", "second"] {
            let snapshot = Snapshot::prepare(&layers, &place.path("snap"), &volatile).unwrap();
            snapshot.mount(&target).unwrap();
            fs::write(target.join(text), text).unwrap();
            sys::detach(&target).unwrap();
        }
        assert_eq!(names(&place.path("snap/upper")), ["first", "second"]);
    });
}
