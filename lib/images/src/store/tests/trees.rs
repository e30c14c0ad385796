//! Unpacked layers: how they come in, what keeps them, what goes.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use super::*;
use crate::layer::Limits;
use crate::spec::{Compression, Image as Whole, ImageConfig};

/// A layer archive: directories end in a slash.
pub(super) fn archive(entries: &[(&str, u32, &str)]) -> Vec<u8> {
    let mut builder = ::tar::Builder::new(Vec::new());
    for (path, mode, content) in entries {
        let mut header = ::tar::Header::new_gnu();
        header.set_mode(*mode);
        header.set_size(content.len() as u64);
        header.set_entry_type(match path.ends_with('/') {
            true => ::tar::EntryType::Directory,
            false => ::tar::EntryType::Regular,
        });
        header.set_cksum();
        builder.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// An image of compressed layers with these archives inside.
pub(super) fn packed(archives: &[Vec<u8>]) -> Made {
    let diff_ids: Vec<Digest> = archives.iter().map(|bytes| Digest::sha256(bytes)).collect();
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let config = Bytes::from(config.to_string());
    let mut leaves = vec![(Descriptor::of(MediaType::Config(Dialect::Oci), &config), config)];
    for archive in archives {
        let bytes = Bytes::from(zstd::encode_all(&archive[..], 1).unwrap());
        let media_type = MediaType::layer(Dialect::Oci, Compression::Zstd);
        leaves.push((Descriptor::of(media_type, &bytes), bytes));
    }
    let described: Vec<_> = leaves.iter().map(|(what, _)| what.clone()).collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::Manifest(Dialect::Oci),
        "config": described[0],
        "layers": described[1..],
    });
    Made { manifest: parsed(&manifest), leaves }
}

pub(super) fn whole(made: &Made) -> Whole {
    let (what, bytes) = &made.leaves[0];
    Whole::new(made.manifest.clone(), ImageConfig::verified(bytes.clone(), what).unwrap()).unwrap()
}

pub(super) fn settings() -> UnpackSettings {
    let ownership = match crate::sys::effective_uid() {
        0 => crate::layer::Ownership::Keep,
        _ => crate::layer::Ownership::Current,
    };
    UnpackSettings { ownership, ..UnpackSettings::default() }
}

/// Noise: it stays large when it is compressed.
fn noise(bytes: usize) -> String {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b' ' + ((state >> 40) % 94) as u8)
    };
    (0..bytes).map(|_| next()).collect()
}

fn layer_count(place: &Place) -> usize {
    count(&place.root.join("layers"))
}

/// Takes in the only layer of `made` as it comes over a network, and then the image.
async fn pull(
    writer: &Arc<Writer>,
    made: &Made,
    server: &Arc<Server>,
    settings: &UnpackSettings,
) -> Result<()> {
    let layer = whole(made).layers()[0].clone();
    writer.put_layer(server.blob(), &layer.descriptor, &layer.diff_id, settings).await?;
    let (what, bytes) = &made.leaves[0];
    writer.put_reader(Role::Leaf, what, &bytes[..])?;
    put_manifest(writer, &made.manifest)?;
    writer.publish(&[(name("app"), made.manifest.descriptor())])
}

fn big() -> Made {
    packed(&[archive(&[("dir/", 0o750, ""), ("dir/data", 0o640, &noise(3 << 20))])])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_is_unpacked_while_it_arrives() {
    for keep_blobs in [true, false] {
        let place = place();
        let made = big();
        let server = Server::new(made.leaves[1].1.clone(), Duration::from_millis(1));
        let writer = Arc::new(place.store.begin().unwrap());
        let settings = UnpackSettings { keep_blobs, ..settings() };
        pull(&writer, &made, &server, &settings).await.unwrap();
        let trees = writer.unpack(&whole(&made), &settings).unwrap();
        drop(writer);
        assert_eq!(server.asked.load(Ordering::SeqCst), 1);
        assert_eq!(trees.len(), 1);
        let file = trees[0].join("dir/data");
        assert_eq!(fs::read_to_string(&file).unwrap(), noise(3 << 20));
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o640);
        assert_eq!(place.store.size_of(&made.leaves[1].0.digest).unwrap().is_some(), keep_blobs);
        assert_eq!(place.findings(), []);
        assert_eq!(place.store.prune(&PruneOptions::default()).unwrap().layers, 0);
        assert!(file.exists());
        let record = place.store.layer(&whole(&made).layers()[0].diff_id).unwrap().unwrap();
        assert_eq!((record.entries, record.source), (2, Some(made.leaves[1].0.clone())));
        assert_eq!(count(&place.root.join("tmp")) + count(&place.root.join("partial")), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_download_goes_on_and_is_unpacked_as_a_whole() {
    let place = place();
    let made = big();
    let slow = Server::new(made.leaves[1].1.clone(), Duration::from_millis(30));
    let writer = Arc::new(place.store.begin().unwrap());
    let cut = Duration::from_millis(200);
    let settings = settings();
    let pulling = pull(&writer, &made, &slow, &settings);
    tokio::time::timeout(cut, pulling).await.unwrap_err();
    drop(writer);
    assert_eq!(count(&place.root.join("partial")), 1);
    let server = Server::new(made.leaves[1].1.clone(), Duration::ZERO);
    let writer = Arc::new(place.store.begin().unwrap());
    pull(&writer, &made, &server, &settings).await.unwrap();
    let trees = writer.unpack(&whole(&made), &settings).unwrap();
    assert_eq!(fs::read_to_string(trees[0].join("dir/data")).unwrap(), noise(3 << 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_run_left_wrong_is_fetched_and_unpacked_anew() {
    let place = place();
    let made = big();
    let (what, bytes) = &made.leaves[1];
    let partial = place.root.join("partial");
    fs::create_dir_all(&partial).unwrap();
    let mut wrong = bytes[..1_500_000].to_vec();
    wrong[1_000_000] ^= 1;
    let file = format!("{}-{}", what.digest.algorithm().as_str(), what.digest.hex());
    fs::write(partial.join(file), wrong).unwrap();
    let server = Server::new(bytes.clone(), Duration::ZERO);
    let writer = Arc::new(place.store.begin().unwrap());
    pull(&writer, &made, &server, &settings()).await.unwrap();
    let trees = writer.unpack(&whole(&made), &settings()).unwrap();
    assert_eq!(fs::read_to_string(trees[0].join("dir/data")).unwrap(), noise(3 << 20));
    assert_eq!(server.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_is_not_what_the_config_says_leaves_nothing() {
    let place = place();
    let made = big();
    let other = DiffId(Digest::sha256(b"other"));
    let server = Server::new(made.leaves[1].1.clone(), Duration::ZERO);
    let writer = Arc::new(place.store.begin().unwrap());
    let settings = settings();
    let put = writer.put_layer(server.blob(), &made.leaves[1].0, &other, &settings);
    let error = put.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.chain().contains("but the config says"), "{}", error.chain());
    writer.commit().unwrap();
    assert_eq!(layer_count(&place), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_beyond_a_limit_leaves_nothing() {
    let place = place();
    let made = big();
    let server = Server::new(made.leaves[1].1.clone(), Duration::ZERO);
    let writer = Arc::new(place.store.begin().unwrap());
    let limits = Limits { entries: 1, ..Limits::default() };
    let tight = UnpackSettings { limits, ..settings() };
    let error = pull(&writer, &made, &server, &tight).await.unwrap_err();
    assert!(error.chain().contains("more than 1 entries"), "{}", error.chain());
    drop(writer);
    assert_eq!((layer_count(&place), count(&place.root.join("tmp"))), (0, 0));
    assert!(place.names().is_empty());
}

#[test]
fn layers_that_are_there_as_bytes_are_unpacked_when_needed() {
    let place = place();
    let made = packed(&[
        archive(&[("a", 0o644, "low"), ("b", 0o644, "low")]),
        archive(&[("a", 0o644, "high"), (".wh.b", 0o644, "")]),
    ]);
    publish(&place.store, &made, &name("app")).unwrap();
    let image = whole(&made);
    assert_eq!(place.store.ready(&image).unwrap(), None);
    let writer = place.store.begin().unwrap();
    let trees = writer.unpack(&image, &settings()).unwrap();
    assert_eq!(place.store.ready(&image).unwrap(), Some(trees.clone()));
    assert_eq!(fs::read_to_string(trees[0].join("b")).unwrap(), "low");
    assert_eq!(fs::read_to_string(trees[1].join("a")).unwrap(), "high");
    assert_eq!(place.findings(), []);
}

#[test]
fn what_a_layer_only_implies_is_completed_above_it() {
    let place = place();
    let low = archive(&[("dir/", 0o700, ""), ("dir/a", 0o644, "low")]);
    let high = archive(&[("dir/b", 0o644, "high")]);
    let made = packed(&[low, high.clone()]);
    let alone = packed(&[high]);
    publish(&place.store, &made, &name("app")).unwrap();
    publish(&place.store, &alone, &name("alone")).unwrap();
    let writer = place.store.begin().unwrap();
    let trees = writer.unpack(&whole(&made), &settings()).unwrap();
    let mode = |path: &Path| fs::metadata(path.join("dir")).unwrap().mode() & 0o7777;
    let modes: Vec<u32> = trees.iter().map(|tree| mode(tree)).collect();
    assert_eq!(modes, [0o700, 0o755, 0o700]);
    assert_eq!(writer.unpack(&whole(&alone), &settings()).unwrap(), trees[1..2]);
    drop(writer);
    assert_eq!(place.store.ready(&whole(&made)).unwrap(), Some(trees.clone()));
    assert_eq!(place.store.prune(&PruneOptions::default()).unwrap().layers, 0);
    place.store.remove(&name("app")).unwrap();
    assert!(!trees[0].exists() && trees[1].exists() && !trees[2].exists());
    assert_eq!(place.findings(), []);
}

#[test]
fn a_damaged_tree_is_found_and_made_again() {
    let place = place();
    let made = packed(&[archive(&[("a", 0o644, "content")])]);
    publish(&place.store, &made, &name("app")).unwrap();
    let image = whole(&made);
    let trees = place.store.begin().unwrap().unpack(&image, &settings()).unwrap();
    fs::remove_file(trees[0].parent().unwrap().join("layer.json")).unwrap();
    let findings = place.findings();
    let [Finding::DamagedLayer { diff_id, .. }] = &findings[..] else { panic!("{findings:?}") };
    assert_eq!(*diff_id, image.layers()[0].diff_id.0);
    let checked = place.store.check(&silent()).unwrap();
    let repaired = place.store.repair(&checked, &mut |_, _| panic!("nothing to fetch")).unwrap();
    assert_eq!(repaired.layers, [image.layers()[0].diff_id.0.clone()]);
    assert_eq!(place.findings(), []);
    let again = place.store.begin().unwrap().unpack(&image, &settings()).unwrap();
    assert_eq!(fs::read_to_string(again[0].join("a")).unwrap(), "content");
}

#[test]
fn several_may_unpack_the_same_at_once() {
    let place = place();
    let archives: Vec<Vec<u8>> =
        (0..6).map(|n| archive(&[(&format!("file-{n}"), 0o644, &noise(100_000))])).collect();
    let made = packed(&archives);
    publish(&place.store, &made, &name("app")).unwrap();
    let image = whole(&made);
    let all: Vec<Vec<PathBuf>> = std::thread::scope(|scope| {
        let work = || place.store.begin().unwrap().unpack(&image, &settings()).unwrap();
        let lanes: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        lanes.into_iter().map(|lane| lane.join().unwrap()).collect()
    });
    assert!(all.iter().all(|trees| *trees == all[0]));
    assert_eq!((layer_count(&place), count(&place.root.join("tmp"))), (6, 0));
    assert_eq!(place.findings(), []);
}

#[test]
fn a_tree_that_was_made_here_becomes_a_layer() {
    let place = place();
    let bytes = archive(&[("made", 0o644, "here")]);
    let diff_id = DiffId(Digest::sha256(&bytes));
    let writer = place.store.begin().unwrap();
    let draft = writer.draft().unwrap();
    fs::write(draft.tree().join("made"), "here").unwrap();
    let form = crate::layer::WhiteoutForm::OverlayTrusted;
    writer.put_tree(draft, &diff_id, form, (bytes.len() as u64, 1)).unwrap();
    assert!(!place.store.layer_tree(&diff_id).exists());
    writer.commit().unwrap();
    let tree = place.store.layer_tree(&diff_id);
    assert_eq!(fs::read_to_string(tree.join("made")).unwrap(), "here");
    // Nothing but this writer needs it.
    assert_eq!(place.store.prune(&PruneOptions::default()).unwrap().layers, 0);
    drop(writer);
    assert_eq!(place.store.prune(&PruneOptions::default()).unwrap().layers, 1);
}
