use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::*;
use crate::spec::{Dialect, MediaType};
use crate::transport::cases::{
    Made, bytes_of, check, check_children, check_sink, image, index, put_as_child, put_children,
    signature, store,
};
use crate::transport::{Presence, Sink};

fn at(path: &Path, entry: Entry) -> InPath {
    InPath { path: path.to_owned(), entry }
}

fn named(path: &Path, name: &str) -> InPath {
    at(path, Entry::Named(name.to_owned()))
}

fn amd64() -> Platform {
    Platform::new("linux", "amd64", None)
}

async fn source(place: &InPath) -> LayoutSource {
    LayoutSource::open(place, amd64(), None).await.unwrap()
}

async fn save(path: &Path, made: &Made, name: &str) {
    let sink = LayoutSink::new(&named(path, name), None, None).unwrap();
    store(&sink, made, None).await.unwrap();
}

fn listing(path: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut ahead = vec![path.to_owned()];
    while let Some(dir) = ahead.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { ahead.push(path) } else { names.push(path) }
        }
    }
    let mut names: Vec<_> = names
        .iter()
        .map(|name: &PathBuf| name.strip_prefix(path).unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

fn edit_index(path: &Path, edit: impl FnOnce(&mut Value)) {
    let file = path.join(INDEX);
    let mut value: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    edit(&mut value);
    std::fs::write(file, value.to_string()).unwrap();
}

#[tokio::test]
async fn what_was_written_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new");
    for (dialect, name) in [(Dialect::Oci, "h.io/a:1"), (Dialect::Docker, "b")] {
        let made = image(dialect, name);
        let sink = LayoutSink::new(&named(&path, name), None, None).unwrap();
        assert_eq!(sink.current().await.unwrap(), None);
        store(&sink, &made, None).await.unwrap();
        assert_eq!(sink.current().await.unwrap().unwrap().digest, *made.manifest.digest());
        drop(sink);
        check(&source(&named(&path, name)).await, &made).await;
    }
    assert_eq!(
        std::fs::read_to_string(path.join("oci-layout")).unwrap(),
        r#"{"imageLayoutVersion":"1.0.0"}"#
    );
    assert!(listing(&path).iter().all(|name| !name.contains(".creel")), "{:?}", listing(&path));
    assert_eq!(listing(&path).len(), 2 + 7);
}

#[tokio::test]
async fn nothing_is_there_before_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let made = image(Dialect::Oci, "x");
    let sink = LayoutSink::new(&named(dir.path(), "n"), None, None).unwrap();
    check_sink(&sink, &made).await;
    sink.publish(None, &made.manifest).await.unwrap();
    assert!(!dir.path().join(INDEX).exists() && !dir.path().join("blobs").exists());
    drop(sink);
    assert_eq!(listing(dir.path()), ["oci-layout"]);
}

#[tokio::test]
async fn an_index_and_all_that_belongs_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    let (one, two) = (image(Dialect::Oci, "1"), image(Dialect::Docker, "2"));
    let inner = index(&[&two]);
    let list = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [one.manifest.descriptor(), inner.descriptor()],
    });
    let outer = Manifest::parse(list.to_string().into(), None).unwrap();
    let sink = LayoutSink::new(&at(path, Entry::Only), None, None).unwrap();
    put_as_child(&sink, &one).await.unwrap();
    put_as_child(&sink, &two).await.unwrap();
    let item = crate::transport::Item {
        kind: crate::transport::ItemKind::Manifest,
        descriptor: Some(inner.descriptor()),
    };
    sink.put(item, Blob::Bytes(inner.raw().clone())).await.unwrap();
    sink.publish(None, &outer).await.unwrap();
    sink.finish().await.unwrap();
    let source = source(&at(path, Entry::Only)).await;
    assert_eq!(source.read_root().await.unwrap().raw(), outer.raw());
    check_children(&source, &one).await;
    check_children(&source, &two).await;

    let again = LayoutSink::new(&at(path, Entry::Only), None, None).unwrap();
    assert_eq!(again.presence(&outer.descriptor()).await.unwrap(), Presence::Complete);
    std::fs::remove_file(path.join(blob_path(&two.manifest.as_image().unwrap().config.digest)))
        .unwrap();
    let again = LayoutSink::new(&at(path, Entry::Only), None, None).unwrap();
    assert_eq!(again.presence(&outer.descriptor()).await.unwrap(), Presence::Present);
    assert_eq!(again.presence(&one.manifest.descriptor()).await.unwrap(), Presence::Complete);
}

#[tokio::test]
async fn damaged_blobs_are_found_and_mended() {
    let dir = tempfile::tempdir().unwrap();
    let made = image(Dialect::Oci, "x");
    save(dir.path(), &made, "n").await;
    let layers = &made.manifest.as_image().unwrap().layers;
    let path = |at: usize| dir.path().join(blob_path(&layers[at].digest));
    std::fs::write(path(0), "short").unwrap();
    let mut flipped = made.layers[1].to_vec();
    flipped[9] ^= 1;
    std::fs::write(path(1), &flipped).unwrap();
    let manifest = dir.path().join(blob_path(made.manifest.digest()));
    std::fs::write(&manifest, made.manifest.raw().to_ascii_uppercase()).unwrap();
    let from = source(&named(dir.path(), "n")).await;
    assert_eq!(from.read_root().await.unwrap_err().kind(), ErrorKind::Corrupt);
    for layer in layers {
        let error = bytes_of(&from, layer).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.chain().contains(&layer.digest.to_string()), "{error:?}");
    }
    let sink = LayoutSink::new(&named(dir.path(), "n"), None, None).unwrap();
    assert_eq!(sink.presence(&layers[0]).await.unwrap(), Presence::Missing);
    assert_eq!(sink.presence(&made.manifest.descriptor()).await.unwrap(), Presence::Missing);
    drop(sink);
    save(dir.path(), &made, "n").await;
    check(&source(&named(dir.path(), "n")).await, &made).await;
}

#[tokio::test]
async fn links_and_pipes_in_a_layout_are_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let made = image(Dialect::Oci, "x");
    save(dir.path(), &made, "n").await;
    let config = &made.manifest.as_image().unwrap().config;
    let blob = dir.path().join(blob_path(&config.digest));
    let elsewhere = dir.path().join("elsewhere");
    std::fs::rename(&blob, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &blob).unwrap();
    let from = source(&named(dir.path(), "n")).await;
    assert!(bytes_of(&from, config).await.is_err());
    std::fs::remove_file(&blob).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &blob, kind, mode, 0).unwrap();
    assert!(bytes_of(&from, config).await.is_err());
}

#[tokio::test]
async fn what_is_no_layout_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let open = async |path: &Path| LayoutSource::open(&at(path, Entry::Only), amd64(), None).await;
    for path in [dir.path().join("missing"), dir.path().to_owned()] {
        let error = open(&path).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.chain().contains(path.to_str().unwrap()), "{error:?}");
    }
    for bad in ["", "{", "{}{}"] {
        std::fs::write(dir.path().join(INDEX), bad).unwrap();
        assert_eq!(open(dir.path()).await.err().unwrap().kind(), ErrorKind::Invalid);
        let made = image(Dialect::Oci, "x");
        let sink = LayoutSink::new(&named(dir.path(), "n"), None, None).unwrap();
        let error = store(&sink, &made, None).await.unwrap_err();
        assert!(error.chain().contains("index.json of oci:"), "{error:?}");
        assert_eq!(std::fs::read_to_string(dir.path().join(INDEX)).unwrap(), bad);
    }
    std::fs::write(dir.path().join(INDEX), r#"{"schemaVersion":2,"manifests":[]}"#).unwrap();
    let empty = open(dir.path()).await.unwrap();
    assert_eq!(empty.resolve().await.unwrap_err().kind(), ErrorKind::NotFound);
    std::fs::write(dir.path().join("oci-layout"), r#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
    assert_eq!(open(dir.path()).await.err().unwrap().kind(), ErrorKind::Unsupported);
    assert!(LayoutSink::new(&at(dir.path(), Entry::Nth(0)), None, None).is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_writers_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let made: Vec<_> = (0..16).map(|n| image(Dialect::Oci, &n.to_string())).collect();
    let tasks: Vec<_> = made
        .iter()
        .enumerate()
        .map(|(n, made)| {
            let (path, made) = (dir.path().to_owned(), made.clone());
            tokio::spawn(async move { save(&path, &made, &format!("n{n}")).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    for (n, made) in made.iter().enumerate() {
        check(&source(&named(dir.path(), &format!("n{n}"))).await, made).await;
    }
    assert_eq!(entries(dir.path()).unwrap().len(), 16);
    assert_eq!(collect_garbage(dir.path()).unwrap(), Collected::default());
}

#[tokio::test]
async fn garbage_is_what_no_name_leads_to() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    let (old, new, kept) =
        (image(Dialect::Oci, "old"), image(Dialect::Oci, "new"), image(Dialect::Docker, "kept"));
    save(path, &old, "n").await;
    save(path, &new, "n").await;
    let sink = LayoutSink::new(&named(path, "list"), None, None).unwrap();
    put_as_child(&sink, &kept).await.unwrap();
    put_as_child(&sink, &signature(&kept)).await.unwrap();
    sink.publish(None, &index(&[&kept])).await.unwrap();
    sink.finish().await.unwrap();
    drop(sink);
    std::fs::write(path.join("blobs/sha256/README"), "not a blob").unwrap();
    std::fs::create_dir(path.join(".creel-dead")).unwrap();

    // A writer at work: it found the old config and brings something new.
    let writer = LayoutSink::new(&named(path, "old"), None, None).unwrap();
    let old_config = &old.manifest.as_image().unwrap().config;
    assert_eq!(writer.presence(old_config).await.unwrap(), Presence::Present);
    put_children(&writer, &old).await.unwrap();

    // Manifest, config and the first layer; the second one is shared.
    let collected = collect_garbage(path).unwrap();
    assert_eq!(collected.blobs, 3);
    let sizes = [old.manifest.raw().len(), old.config.len(), old.layers[0].len()];
    assert_eq!(collected.bytes, sizes.iter().sum::<usize>() as u64);
    assert_eq!(collect_garbage(path).unwrap(), Collected::default());
    assert!(path.join("blobs/sha256/README").exists() && !path.join(".creel-dead").exists());
    check(&source(&named(path, "n")).await, &new).await;

    writer.publish(None, &old.manifest).await.unwrap();
    writer.finish().await.unwrap();
    check(&source(&named(path, "old")).await, &old).await;
    let subject = kept.manifest.descriptor();
    let referrers = source(&named(path, "list")).await.referrers(&subject).await.unwrap();
    assert_eq!(referrers.len(), 1);

    assert_eq!(remove_name(path, "n").unwrap()[0].digest, *new.manifest.digest());
    assert_eq!(remove_name(path, "n").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(collect_garbage(path).unwrap().blobs, 3);
}

#[tokio::test]
async fn nothing_is_collected_when_a_manifest_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let made = image(Dialect::Oci, "x");
    save(dir.path(), &made, "n").await;
    std::fs::write(dir.path().join(blob_path(made.manifest.digest())), "{}").unwrap();
    let before = listing(dir.path());
    assert_eq!(collect_garbage(dir.path()).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(listing(dir.path()), before);
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(collect_garbage(empty.path()).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(listing(empty.path()), Vec::<String>::new());
}

#[tokio::test]
async fn referrers_are_found_however_they_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    let made = image(Dialect::Oci, "x");
    let other = image(Dialect::Oci, "other");
    save(path, &made, "n").await;
    let signed = signature(&made);
    let sink = LayoutSink::new(&at(path, Entry::Only), None, None).unwrap();
    store(&sink, &signed, None).await.unwrap();
    drop(sink);
    check(&source(&at(path, Entry::Only)).await, &made).await;

    let subject = made.manifest.descriptor();
    let found = source(&named(path, "n")).await.referrers(&subject).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].descriptor.digest, *signed.manifest.digest());
    assert_eq!(found[0].descriptor.artifact_type.as_deref(), Some("application/x.signature"));
    assert_eq!(found[0].descriptor.annotations["a"], "b");

    // The same under a fallback tag, together with one that is about something else.
    let foreign = signature(&other);
    let list = index(&[&signed, &foreign]);
    let tag = format!("sha256-{}", subject.digest.hex());
    let sink = LayoutSink::new(&named(path, &tag), None, None).unwrap();
    put_as_child(&sink, &foreign).await.unwrap();
    store(&sink, &signed, None).await.unwrap();
    sink.publish(None, &list).await.unwrap();
    sink.finish().await.unwrap();
    drop(sink);
    edit_index(path, |index| {
        let list = index["manifests"].as_array_mut().unwrap();
        list.retain(|entry| entry["artifactType"].is_null());
    });
    let from = source(&named(path, "n")).await;
    assert_eq!(from.referrers(&subject).await.unwrap().len(), 1);
    assert_eq!(from.referrers(&other.manifest.descriptor()).await.unwrap().len(), 0);

    // Cosign's way: a tag and nothing else.
    save(path, &other, &format!("{tag}.sig")).await;
    let found = source(&named(path, "n")).await.referrers(&subject).await.unwrap();
    assert_eq!(found[1].tag, Some(format!("{tag}.sig")));
    assert_eq!(found[1].descriptor.digest, *other.manifest.digest());
}

#[tokio::test]
async fn content_without_a_descriptor_gets_one() {
    let dir = tempfile::tempdir().unwrap();
    let sink = LayoutSink::new(&named(dir.path(), "n"), None, None).unwrap();
    let item = crate::transport::Item { kind: crate::transport::ItemKind::Other, descriptor: None };
    let got = sink.put(item, Blob::Unnamed(Box::new(&b"made"[..]))).await.unwrap();
    let expected = Descriptor::of(MediaType::Other("application/octet-stream".into()), b"made");
    assert_eq!(got, expected);
    assert_eq!(sink.presence(&got).await.unwrap(), Presence::Present);
}

#[tokio::test]
async fn archives_hold_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.tar");
    std::fs::write(&file, "old").unwrap();
    let (one, two) = (image(Dialect::Oci, "1"), image(Dialect::Docker, "2"));
    let place = named(&file, "one");
    let sink = crate::transport::LayoutArchiveSink::new(&place, dir.path()).unwrap();
    check_sink(&sink, &one).await;
    sink.publish(None, &one.manifest).await.unwrap();
    put_children(&sink, &two).await.unwrap();
    sink.publish(Some("two"), &two.manifest).await.unwrap();
    put_as_child(&sink, &signature(&one)).await.unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), b"old");
    sink.finish().await.unwrap();
    assert_eq!(listing(dir.path()), ["a.tar"]);
    let open = async |name| {
        LayoutSource::open_archive(&named(&file, name), amd64(), dir.path()).await.unwrap()
    };
    check(&open("one").await, &one).await;
    check(&open("two").await, &two).await;
    let referrers = open("one").await.referrers(&one.manifest.descriptor()).await.unwrap();
    assert_eq!(referrers.len(), 1);
    let error = open("three").await.resolve().await.unwrap_err();
    assert!(error.to_string().contains("it has one, two"), "{error}");
}

#[tokio::test]
async fn images_on_their_way_into_one_layout_share_content_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    let (one, two) = (image(Dialect::Oci, "1"), image(Dialect::Oci, "2"));
    let first = LayoutSink::new(&named(path, "one"), None, None).unwrap();
    let second = first.renamed(&named(path, "two")).unwrap();
    put_children(&first, &one).await.unwrap();
    let shared = &two.manifest.as_image().unwrap().layers[1];
    assert_eq!(second.presence(shared).await.unwrap(), Presence::Present);
    store(&second, &two, None).await.unwrap();
    check(&source(&named(path, "two")).await, &two).await;
    // Nothing of the first one is there yet, but what both need.
    assert_eq!(entries(path).unwrap().len(), 1);
    assert_eq!(collect_garbage(path).unwrap(), Collected::default());
    remove_name(path, "two").unwrap();
    assert_eq!(collect_garbage(path).unwrap().blobs, 4);
    first.publish(None, &one.manifest).await.unwrap();
    first.finish().await.unwrap();
    first.finish().await.unwrap();
    drop((first, second));
    check(&source(&named(path, "one")).await, &one).await;
    assert_eq!(listing(path).len(), 2 + 4);
}
