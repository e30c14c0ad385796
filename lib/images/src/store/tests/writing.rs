//! What becomes visible, in which order, and what is refused.

use std::time::Duration;

use super::*;

/// Whether a power cut after any of `steps` finds only whole things under final names.
fn check_order(steps: &[String]) {
    let flushed = |file: &str, before: &[String]| {
        let directory = file.rsplit_once('/').map_or("", |(directory, _)| directory);
        before
            .iter()
            .any(|s| *s == format!("flush {file}") || *s == format!("flush-all {directory}"))
    };
    for (at, step) in steps.iter().enumerate() {
        let Some((from, to)) = step.strip_prefix("rename ").and_then(|rest| rest.split_once(' '))
        else {
            continue;
        };
        let before = &steps[..at];
        assert!(flushed(from, before), "{to} before its bytes: {steps:#?}");
        if to.starts_with("images/") {
            let last = before.iter().rposition(|s| s.contains(" blobs/sha256/"));
            let directory = before.iter().rposition(|s| s == "flush-dir blobs/sha256");
            assert!(last < directory, "{to} before its blobs: {steps:#?}");
        }
    }
    assert_eq!(steps.last().unwrap(), "flush-dir images");
}

#[test]
fn names_come_last_and_nothing_comes_before_its_bytes() {
    let place = place();
    let (hook, steps) = recorder(&place.root);
    let store = place.hooked(hook);
    let many: Vec<Vec<u8>> = (0..20_u8).map(|n| vec![n; 100]).collect();
    let many: Vec<&[u8]> = many.iter().map(Vec::as_slice).collect();
    for made in [image(&[b"one", b"two"]), image(&many)] {
        steps.lock().unwrap().clear();
        publish(&store, &made, &name("app")).unwrap();
        let steps = steps.lock().unwrap().clone();
        check_order(&steps);
        let position = |digest: &Digest| steps.iter().position(|s| s.ends_with(digest.hex()));
        let manifest = position(made.manifest.digest()).unwrap();
        for (leaf, _) in &made.leaves {
            assert!(position(&leaf.digest).unwrap() < manifest, "children first: {steps:#?}");
        }
    }
    assert!(steps.lock().unwrap().iter().any(|step| step.starts_with("flush-all tmp/")));
    assert_eq!(count(&place.root.join("tmp")), 0);
}

#[test]
fn relaxed_stores_flush_nothing() {
    let place = place();
    let (hook, steps) = recorder(&place.root);
    let options =
        OpenOptions { durability: Durability::Relaxed, hook: Some(hook), read_only: false };
    let store = Store::open_with(&place.root, options).unwrap();
    publish(&store, &image(&[b"x"]), &name("app")).unwrap();
    assert!(steps.lock().unwrap().iter().all(|step| step.starts_with("rename ")));
    assert!(place.findings().is_empty());
}

#[test]
fn a_failed_flush_publishes_nothing() {
    let place = place();
    drop(place.store.begin().unwrap());
    let hook: StepHook = Arc::new(|step| match step {
        Step::FlushFile(_) => Err(std::io::Error::from_raw_os_error(5)),
        _ => Ok(()),
    });
    let store = place.hooked(hook);
    let error = publish(&store, &image(&[b"x"]), &name("app")).unwrap_err();
    assert!(error.chain().contains("os error 5"), "{}", error.chain());
    assert_eq!((place.blob_count(), place.names().len()), (0, 0));
    assert_eq!(count(&place.root.join("tmp")), 0);
}

#[test]
fn an_image_is_published_and_read_back() {
    use std::os::unix::fs::PermissionsExt;
    let place = place();
    let made = image(&[b"layer"]);
    assert!(place.store.images().unwrap().is_empty());
    assert!(!place.root.exists(), "reading makes nothing");
    // As the registry's notes do.
    std::fs::create_dir_all(place.store.uploads()).unwrap();
    publish(&place.store, &made, &name("app:1")).unwrap();
    let root = place.store.resolve(&name("app:1")).unwrap().unwrap();
    assert_eq!(place.store.manifest(&root).unwrap().raw(), made.manifest.raw());
    assert_eq!(place.store.holding(&root).unwrap(), Holding::Whole);
    let (layer, bytes) = &made.leaves[1];
    let mut read = Vec::new();
    place.store.blob(layer).unwrap().reader().read_to_end(&mut read).unwrap();
    assert_eq!(read, *bytes);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&place.path_of(&layer.digest)), 0o444);
    assert_eq!((mode(&place.root), mode(&place.root.join("blobs/sha256"))), (0o700, 0o700));
    let listed = &place.store.image(&name("app:1")).unwrap().unwrap();
    assert_eq!(listed.images.len(), 1);
    let held = &listed.images[0];
    assert_eq!((&held.manifest, &held.config), (&root.digest, &made.leaves[0].0.digest));
    assert_eq!(held.platform.to_string(), "linux/amd64");
    assert_eq!(held.size, made.leaves[0].0.size + 5);
    assert_eq!(held.created.as_deref(), Some("2026-01-02T03:04:05Z"));
}

#[test]
fn sha512_has_a_directory_of_its_own() {
    let place = place();
    let writer = place.store.begin().unwrap();
    let digest = Digest::compute(crate::spec::Algorithm::Sha512, b"x");
    let what = Descriptor::new(MediaType::Empty, digest, 1);
    writer.put_reader(Role::Leaf, &what, &b"x"[..]).unwrap();
    writer.commit().unwrap();
    assert_eq!(place.store.size_of(&what.digest).unwrap(), Some(1));
    assert!(place.root.join("blobs/sha512").join(what.digest.hex()).is_file());
    assert!(place.findings().is_empty());
}

#[test]
fn wrong_bytes_are_refused_and_leave_nothing() {
    let place = place();
    let writer = place.store.begin().unwrap();
    let what = Descriptor::of(MediaType::Empty, b"abc");
    for wrong in [&b"abd"[..], b"ab", b"abcd"] {
        let error = writer.put_reader(Role::Leaf, &what, wrong).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
    }
    writer.commit().unwrap();
    assert_eq!(place.blob_count(), 0);
    drop(writer);
    assert_eq!(count(&place.root.join("tmp")), 0);
}

#[test]
fn a_name_never_stands_for_something_incomplete() {
    let place = place();
    let made = image(&[b"one", b"two"]);
    let writer = place.store.begin().unwrap();
    put_manifest(&writer, &made.manifest).unwrap();
    writer.put_reader(Role::Leaf, &made.leaves[0].0, &made.leaves[0].1[..]).unwrap();
    let named = [(name("app"), made.manifest.descriptor())];
    let error = writer.publish(&named).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains(&made.leaves[1].0.digest.to_string()), "{error}");
    assert!(place.names().is_empty());
    writer.commit().unwrap();
    assert_eq!(writer.need(&named[0].1).unwrap(), Holding::Part);
    assert_eq!(place.store.missing(&named[0].1).unwrap().len(), 2);
    put(&writer, &made).unwrap();
    writer.publish(&named).unwrap();
    assert_eq!(place.names(), ["docker.io/library/app:latest"]);
}

#[test]
fn an_index_may_be_here_for_one_platform() {
    let place = place();
    let (here, elsewhere) = (image(&[b"here"]), image(&[b"elsewhere"]));
    let root = index(&[&here, &elsewhere]);
    let writer = place.store.begin().unwrap();
    put_manifest(&writer, &root).unwrap();
    let named = [(name("app"), root.descriptor())];
    assert_eq!(writer.publish(&named).unwrap_err().kind(), ErrorKind::NotFound);
    put(&writer, &here).unwrap();
    writer.publish(&named).unwrap();
    let image = place.store.image(&name("app")).unwrap().unwrap();
    assert_eq!(image.images.len(), 1);
    assert_eq!(image.images[0].manifest, *here.manifest.digest());
    assert_eq!(place.store.holding(&root.descriptor()).unwrap(), Holding::Part);
    let missing = place.store.missing(&root.descriptor()).unwrap();
    assert_eq!(missing, [elsewhere.manifest.descriptor()]);
    assert!(place.findings().is_empty(), "that is as it should be");
}

#[test]
fn an_unpacked_layer_is_as_good_as_its_blob() {
    let place = place();
    let made = image(&[b"one", b"two"]);
    publish(&place.store, &made, &name("app")).unwrap();
    std::fs::remove_file(place.path_of(&made.leaves[2].0.digest)).unwrap();
    let root = made.manifest.descriptor();
    assert_eq!(place.store.missing(&root).unwrap(), [made.leaves[2].0.clone()]);
    let layer = place.store.layer_path(&DiffId(Digest::sha256(b"two")));
    std::fs::create_dir_all(layer.join("diff")).unwrap();
    assert_eq!(place.store.holding(&root).unwrap(), Holding::Part, "not whole yet");
    std::fs::write(layer.join("layer.json"), "{}").unwrap();
    assert_eq!(place.store.holding(&root).unwrap(), Holding::Whole);
}

#[test]
fn repeating_children_cost_nothing() {
    let place = place();
    let inner = image(&[b"x"]);
    let mut root = index(&[&inner]);
    // Each level names the one below a thousand times.
    let writer = place.store.begin().unwrap();
    put(&writer, &inner).unwrap();
    for _ in 0..3 {
        put_manifest(&writer, &root).unwrap();
        let entries = vec![root.descriptor(); 1000];
        root = parsed(&json!({
            "schemaVersion": 2,
            "mediaType": MediaType::Index(Dialect::Oci),
            "manifests": entries,
        }));
    }
    put_manifest(&writer, &root).unwrap();
    writer.commit().unwrap();
    assert_eq!(place.store.holding(&root.descriptor()).unwrap(), Holding::Whole);
    place.store.prune(&PruneOptions::default()).unwrap();
}

#[test]
fn names_come_and_go() {
    let place = place();
    let made = image(&[b"x"]);
    let what = made.manifest.descriptor();
    let untag = |text: &str| place.store.untag(&name(text));
    assert_eq!(untag("app").unwrap_err().kind(), ErrorKind::NotFound);
    publish(&place.store, &made, &name("h.io/app:1")).unwrap();
    place.store.tag(&name("b"), &what).unwrap();
    let long = format!("h.io/{}x:{}", "a/".repeat(100), "t".repeat(128));
    place.store.tag(&name(&long), &what).unwrap();
    assert_eq!(place.names(), ["docker.io/library/b:latest", &long, "h.io/app:1"]);
    for found in [long.as_str(), &format!("@{}", what.digest), &format!("h.io/app@{}", what.digest)]
    {
        assert_eq!(place.store.resolve(&name(found)).unwrap().as_ref(), Some(&what), "{found}");
    }
    for absent in ["h.io/app:2", &format!("h.io/other@{}", what.digest)] {
        assert_eq!(place.store.resolve(&name(absent)).unwrap(), None, "{absent}");
    }
    let nothing = Descriptor::of(MediaType::Manifest(Dialect::Oci), b"nothing");
    assert_eq!(place.store.tag(&name("b"), &nothing).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(place.store.resolve(&name("b")).unwrap().as_ref(), Some(&what), "it stays");
    untag("b").unwrap();
    assert_eq!(place.store.resolve(&name("b")).unwrap(), None);
    assert_eq!(place.store.holding(&what).unwrap(), Holding::Whole);
}

#[test]
fn a_store_that_may_only_be_read_is_only_read() {
    let place = place();
    let made = image(&[b"x"]);
    publish(&place.store, &made, &name("app")).unwrap();
    let options = OpenOptions { read_only: true, ..OpenOptions::default() };
    let store = Store::open_with(&place.root, options).unwrap();
    assert!(store.resolve(&name("app")).unwrap().is_some());
    assert!(store.check(&silent()).unwrap().findings.is_empty());
    for error in [
        store.begin().err().unwrap(),
        store.untag(&name("app")).unwrap_err(),
        store.remove(&name("app")).unwrap_err(),
        store.prune(&PruneOptions::default()).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    }
    std::fs::write(place.root.join("format"), r#"{"version":1,"readOnlyCompatible":["later"]}"#)
        .unwrap();
    let newer = Store::open(&place.root).unwrap();
    assert!(newer.resolve(&name("app")).unwrap().is_some());
    let error = newer.begin().err().unwrap().to_string();
    assert!(error.contains("later") && error.contains("cannot be written to"), "{error}");
    assert_eq!(place.names().len(), 1);
}

#[test]
fn the_store_of_somebody_else_is_not_written_to() {
    let place = place();
    publish(&place.store, &image(&[b"x"]), &name("app")).unwrap();
    if std::os::unix::fs::chown(&place.root, Some(12345), None).is_err() {
        eprintln!("skipped: needs the right to give files away");
        return;
    }
    let error = place.store.begin().err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().contains("12345"), "{error}");
}

#[tokio::test]
async fn a_long_pull_keeps_what_it_has() {
    let place = place();
    let writer = Arc::new(place.store.begin().unwrap());
    let (first, second) = (vec![1; 2_000_000], vec![2; 10]);
    let server = Server::new(first.clone().into(), Duration::ZERO);
    writer.put(Role::Leaf, server.blob(), None).await.unwrap();
    assert_eq!(place.blob_count(), 0);
    std::thread::sleep(Duration::from_millis(1100));
    writer.put(Role::Leaf, Blob::Bytes(second.into()), None).await.unwrap();
    assert_eq!(place.blob_count(), 2);
    assert_eq!(place.store.size_of(&Digest::sha256(&first)).unwrap(), Some(2_000_000));
    assert_eq!(count(&place.root.join("partial")), 0);
}

#[tokio::test]
async fn what_is_there_is_not_asked_for() {
    let place = place();
    let content = Bytes::from(vec![7; 2_000_000]);
    let what = Descriptor::of(MediaType::Empty, &content);
    let server = Server::new(content, Duration::ZERO);
    for _ in 0..2 {
        let writer = Arc::new(place.store.begin().unwrap());
        writer.put(Role::Leaf, server.blob(), Some(&what)).await.unwrap();
        writer.put(Role::Leaf, server.blob(), Some(&what)).await.unwrap();
        writer.commit().unwrap();
    }
    assert_eq!(server.asked.load(Ordering::SeqCst), 1);
}
