//! The process ends at every step in turn; the store works afterwards and leaks nothing.

use std::process::Command;

use super::*;

/// For the process that is to end: root, what to do, and at which step.
const ORDER: &str = "CREEL_STORE_TEST_CRASH";

fn first() -> Made {
    image(&[b"shared", b"first"])
}

fn second() -> Made {
    image(&[b"shared", b"second"])
}

/// What is done, by its name.
fn work(store: &Store, what: &str) -> Result<()> {
    match what {
        "publish" => publish(store, &second(), &name("app")),
        "pull" => pull(store),
        "tag" => store.tag(&name("other"), &first().manifest.descriptor()),
        "untag" => store.untag(&name("app")),
        "remove" => store.remove(&name("app")).map(drop),
        "prune" => store.prune(&PruneOptions::default()).map(drop),
        "repair" => {
            let checked = store.check(&silent())?;
            let mut fetch = |_: &str, what: &Descriptor| {
                let found = first().leaves.into_iter().find(|(leaf, _)| leaf == what);
                let bytes = found.ok_or_else(|| Error::not_found("gone"))?.1;
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                runtime.block_on(Blob::Bytes(bytes).into_reader())
            };
            store.repair(&checked, &mut fetch).map(drop)
        }
        other => panic!("{other}"),
    }
}

/// Two layers, one of which implies a directory of the other.
fn unpackable() -> Made {
    let low = trees::archive(&[("dir/", 0o700, ""), ("dir/a", 0o644, "low")]);
    trees::packed(&[low, trees::archive(&[("dir/b", 0o644, "high")])])
}

/// As a run does: everything in, unpacked, and then the name.
fn pull(store: &Store) -> Result<()> {
    let made = unpackable();
    let writer = store.begin()?;
    put(&writer, &made)?;
    writer.unpack(&trees::whole(&made), &trees::settings())?;
    writer.publish(&[(name("app"), made.manifest.descriptor())])
}

/// A store before the work, and what of it must survive.
fn prepare(place: &Place, what: &str) {
    publish(&place.store, &first(), &name("app")).unwrap();
    match what {
        "prune" => {
            let result = image(&[b"shared", b"result"]);
            publish(&place.store, &result, &untagged(&result.manifest)).unwrap();
        }
        "repair" => damage(&place.path_of(&first().leaves[1].0.digest), b"damage"),
        _ => {}
    }
}

/// Runs in a process of its own, when asked to.
#[test]
fn ends_at_a_step() {
    let Ok(order) = std::env::var(ORDER) else { return };
    let mut parts = order.split('|');
    let mut next = || parts.next().unwrap();
    let (root, what, step) = (next(), next(), next().parse().unwrap());
    let options = OpenOptions { hook: Some(abort_at(step)), ..OpenOptions::default() };
    let store = Store::open_with(Path::new(root), options).unwrap();
    work(&store, what).unwrap();
}

/// Does the work in another process that ends before step `n`; whether it came to its end instead.
fn ends_well(place: &Place, what: &str, n: usize) -> bool {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::crashes::ends_at_a_step", "-q"])
        .env(ORDER, format!("{}|{what}|{n}", place.root.display()))
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    use std::os::unix::process::ExitStatusExt;
    assert!(status.success() || status.signal() == Some(6), "{what} at {n}: {status}");
    status.success()
}

/// What the names stand for, as far as this test knows.
fn state(place: &Place) -> Vec<(String, Digest)> {
    let images = place.store.images().unwrap().into_iter();
    images.map(|image| (image.name, image.descriptor.digest)).collect()
}

fn check_every_step(what: &str) {
    let whole = place();
    prepare(&whole, what);
    let before = state(&whole);
    work(&whole.store, what).unwrap();
    let after = state(&whole);
    whole.store.prune(&PruneOptions::default()).unwrap();
    let (blobs, layers) = (whole.blob_count(), count(&whole.root.join("layers")));
    let mut n = 1;
    loop {
        let place = place();
        prepare(&place, what);
        let done = ends_well(&place, what, n);
        let now = state(&place);
        assert!(now == before || now == after, "{what} at {n}: {now:?}");
        if what != "repair" || done {
            assert_eq!(place.findings(), [], "{what} at {n}");
        }
        match work(&place.store, what) {
            Ok(()) => {}
            // Done before the end came.
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{what} at {n}"),
        }
        place.store.prune(&PruneOptions::default()).unwrap();
        let trees = count(&place.root.join("layers"));
        let left = (state(&place), place.blob_count(), trees, count(&place.root.join("tmp")));
        assert_eq!(left, (state(&whole), blobs, layers, 0), "{what} at {n}");
        assert_eq!(place.findings(), [], "{what} at {n}");
        if done {
            assert!(n > 1, "{what} takes no step");
            return;
        }
        n += 1;
    }
}

#[test]
fn publishing() {
    check_every_step("publish");
}

#[test]
fn pulling() {
    check_every_step("pull");
}

#[test]
fn tagging() {
    check_every_step("tag");
    check_every_step("untag");
}

#[test]
fn removing() {
    check_every_step("remove");
    check_every_step("prune");
}

#[test]
fn repairing() {
    check_every_step("repair");
}

#[test]
fn the_first_use() {
    for n in 1.. {
        let place = place();
        let done = ends_well(&place, "publish", n);
        assert_eq!(place.findings(), [], "at {n}");
        work(&place.store, "publish").unwrap();
        assert_eq!(place.findings(), [], "at {n}");
        assert_eq!((place.names().len(), place.blob_count()), (1, 4), "at {n}");
        assert_eq!(count(&place.root.join("tmp")), 0, "at {n}");
        if done {
            assert!(n > 10);
            return;
        }
    }
}

#[test]
fn names_go_before_what_they_stand_for() {
    for what in ["remove", "prune"] {
        let place = place();
        prepare(&place, what);
        let (hook, steps) = recorder(&place.root);
        work(&place.hooked(hook), what).unwrap();
        let steps = steps.lock().unwrap().clone();
        let names = steps.iter().rposition(|step| step.starts_with("remove images/")).unwrap();
        assert_eq!(steps[names + 1], "flush-dir images");
        let blobs = steps.iter().position(|step| step.starts_with("rename blobs/")).unwrap();
        assert!(names + 1 < blobs, "{steps:#?}");
    }
}

#[test]
fn a_full_disk_is_told_and_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
        .arg(directory.path())
        .stderr(std::process::Stdio::null())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("skipped: cannot mount a small file system");
        return;
    }
    let root = directory.path().join("store");
    let outcome = std::panic::catch_unwind(|| on_a_full_disk(&root));
    Command::new("umount").arg("-l").arg(directory.path()).status().unwrap();
    outcome.unwrap();
}

fn on_a_full_disk(root: &Path) {
    let store = Store::open(root).unwrap();
    publish(&store, &first(), &name("app")).unwrap();
    let large = image(&[&[1; 600_000], &vec![2; 3_000_000]]);
    let error = publish(&store, &large, &name("large")).unwrap_err();
    assert!(
        error.chain().contains("writing ") && error.chain().contains("os error 28"),
        "{error:?}"
    );
    assert_eq!(count(&root.join("tmp")), 0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = Server::new(large.leaves[2].1.clone(), std::time::Duration::ZERO);
    let writer = Arc::new(store.begin().unwrap());
    let error = runtime.block_on(writer.put(Role::Leaf, server.blob(), None)).unwrap_err();
    assert!(error.chain().contains("os error 28"), "{error:?}");
    drop(writer);
    assert_eq!(count(&root.join("partial")), 0, "a cut download would keep the disk full");
    assert!(store.check(&silent()).unwrap().findings.is_empty());
    let packed = trees::packed(&[trees::archive(&[("zeros", 0o644, &"0".repeat(3_000_000))])]);
    publish(&store, &packed, &name("packed")).unwrap();
    let writer = store.begin().unwrap();
    let error = writer.unpack(&trees::whole(&packed), &trees::settings()).unwrap_err();
    assert!(error.chain().contains("os error 28"), "{error:?}");
    assert_eq!(count(&root.join("layers")), 0);
    drop(writer);
    assert_eq!(count(&root.join("tmp")), 0);
    assert!(store.check(&silent()).unwrap().findings.is_empty());
    store.remove(&name("packed")).unwrap();
    let filler = root.parent().unwrap().join("filler");
    let _ = std::fs::write(filler, vec![0; 4_000_000]);
    store.remove(&name("app")).unwrap();
    assert!(store.blobs().unwrap().is_empty());
}
