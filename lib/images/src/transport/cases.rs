//! Images made in code, and what every source and sink must do with them.

use bytes::Bytes;
use flate2::Compression as Level;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::io::Write;

use super::archive::tests::tar_of;
use super::{Item, ItemKind, Presence, Sink, Source};
use crate::blob::Blob;
use crate::error::{ErrorKind, Result};
use crate::layer::tar::EntryKind;
use crate::spec::{Compression, Descriptor, Dialect, DiffId, Digest, Manifest, MediaType};

/// An image with all its bytes.
#[derive(Clone)]
pub(super) struct Made {
    pub(super) manifest: Manifest,
    pub(super) config: Bytes,
    pub(super) layers: Vec<Bytes>,
    pub(super) diff_ids: Vec<DiffId>,
}

/// An image of two gzipped layers that hold `text`.
pub(super) fn image(dialect: Dialect, text: &str) -> Made {
    let tars = layer_tars(text);
    let layers = tars
        .iter()
        .map(|tar| {
            let mut gzip = GzEncoder::new(Vec::new(), Level::fast());
            gzip.write_all(tar).unwrap();
            Bytes::from(gzip.finish().unwrap())
        })
        .collect();
    made(dialect, Compression::Gzip, &tars, layers)
}

/// The same with layers as they are.
pub(super) fn plain_image(dialect: Dialect, text: &str) -> Made {
    let tars = layer_tars(text);
    let layers = tars.iter().cloned().map(Bytes::from).collect();
    made(dialect, Compression::None, &tars, layers)
}

fn layer_tars(text: &str) -> Vec<Vec<u8>> {
    vec![
        tar_of(&[("etc/x", EntryKind::File, text.as_bytes())]),
        tar_of(&[("etc/y", EntryKind::File, &[b'y'; 70_000])]),
    ]
}

fn made(dialect: Dialect, how: Compression, tars: &[Vec<u8>], layers: Vec<Bytes>) -> Made {
    let diff_ids: Vec<_> = tars.iter().map(|tar| DiffId(Digest::sha256(tar))).collect();
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["/bin/sh"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let config = Bytes::from(config.to_string());
    let describe = |media_type: MediaType, bytes: &[u8]| {
        serde_json::to_value(Descriptor::of(media_type, bytes)).unwrap()
    };
    let layer_type = MediaType::layer(dialect, how);
    let listed: Vec<Value> =
        layers.iter().map(|layer| describe(layer_type.clone(), layer)).collect();
    let media_type = MediaType::Manifest(dialect);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": describe(MediaType::Config(dialect), &config),
        "layers": listed,
    });
    let manifest = Manifest::parse(Bytes::from(manifest.to_string()), None).unwrap();
    Made { manifest, config, layers, diff_ids }
}

/// An artifact that is about `subject`.
pub(super) fn signature(subject: &Made) -> Made {
    let config = Bytes::from_static(b"{}");
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/x.signature",
        "config": Descriptor::of(MediaType::Empty, &config),
        "layers": [],
        "subject": subject.manifest.descriptor(),
        "annotations": {"a": "b"},
    });
    let manifest = Manifest::parse(Bytes::from(manifest.to_string()), None).unwrap();
    Made { manifest, config, layers: Vec::new(), diff_ids: Vec::new() }
}

/// An index of the manifests of `images`.
pub(super) fn index(images: &[&Made]) -> Manifest {
    let list: Vec<_> = images.iter().map(|image| image.manifest.descriptor()).collect();
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": list,
    });
    Manifest::parse(Bytes::from(index.to_string()), None).unwrap()
}

fn item(kind: ItemKind, descriptor: &Descriptor) -> Item {
    Item { kind, descriptor: Some(descriptor.clone()) }
}

/// Puts what `made` refers to.
pub(super) async fn put_children(sink: &impl Sink, made: &Made) -> Result<()> {
    let image = made.manifest.as_image().unwrap();
    let config = Blob::Bytes(made.config.clone());
    sink.put(item(ItemKind::Config, &image.config), config).await?;
    for (at, (what, bytes)) in image.layers.iter().zip(&made.layers).enumerate() {
        let kind = ItemKind::Layer(made.diff_ids.get(at).cloned());
        let content = Blob::Unnamed(Box::new(std::io::Cursor::new(bytes.clone())));
        let got = sink.put(item(kind, what), content).await?;
        assert_eq!(got, *what);
    }
    Ok(())
}

/// Puts all of `made` and the name, and completes the place.
pub(super) async fn store(sink: &impl Sink, made: &Made, name: Option<&str>) -> Result<()> {
    put_children(sink, made).await?;
    sink.publish(name, &made.manifest).await?;
    sink.finish().await
}

/// Puts `made` as part of an index.
pub(super) async fn put_as_child(sink: &impl Sink, made: &Made) -> Result<()> {
    put_children(sink, made).await?;
    let raw = Blob::Bytes(made.manifest.raw().clone());
    sink.put(item(ItemKind::Manifest, &made.manifest.descriptor()), raw).await?;
    Ok(())
}

pub(super) async fn bytes_of(source: &impl Source, what: &Descriptor) -> Result<Bytes> {
    source.open(what).await?.into_bytes(1 << 20).await
}

/// The source gives back exactly `made`.
pub(super) async fn check(source: &impl Source, made: &Made) {
    let root = source.resolve().await.unwrap();
    assert_eq!(root.digest, *made.manifest.digest());
    assert_eq!(root.size, made.manifest.raw().len() as u64);
    let manifest = source.read_root().await.unwrap();
    assert_eq!(manifest.raw(), made.manifest.raw());
    assert_eq!(manifest.media_type(), made.manifest.media_type());
    check_children(source, made).await;
    let missing = Descriptor::of(MediaType::Empty, b"what nobody has");
    assert_eq!(source.open(&missing).await.err().unwrap().kind(), ErrorKind::NotFound);
    assert_eq!(source.measure(&missing.digest).await.unwrap_err().kind(), ErrorKind::NotFound);
}

pub(super) async fn check_children(source: &impl Source, made: &Made) {
    let image = made.manifest.as_image().unwrap();
    assert_eq!(bytes_of(source, &made.manifest.descriptor()).await.unwrap(), *made.manifest.raw());
    assert_eq!(bytes_of(source, &image.config).await.unwrap(), made.config);
    for (what, bytes) in image.layers.iter().zip(&made.layers) {
        assert_eq!(bytes_of(source, what).await.unwrap(), *bytes);
        assert_eq!(source.measure(&what.digest).await.unwrap(), what.size);
        let wrong = Descriptor { size: what.size + 1, ..what.clone() };
        let error = bytes_of(source, &wrong).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
    }
}

/// Wrong content is refused, what is there is known, and the same content may be put again.
pub(super) async fn check_sink(sink: &impl Sink, made: &Made) {
    let image = made.manifest.as_image().unwrap();
    let what = &image.layers[0];
    let presence = sink.presence(what).await.unwrap();
    assert_eq!(presence, Presence::Missing);
    let wrong = Blob::Bytes(Bytes::from_static(b"wrong"));
    let error = sink.put(item(ItemKind::Other, what), wrong).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
    put_children(sink, made).await.unwrap();
    put_children(sink, made).await.unwrap();
    let presence = sink.presence(what).await.unwrap();
    assert_eq!(presence, Presence::Present);
}
