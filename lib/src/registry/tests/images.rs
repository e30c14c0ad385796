//! Images made in memory, and the plainest of copies.

use std::collections::HashMap;

use bytes::Bytes;
use serde_json::json;

use crate::blob::Blob;
use crate::error::{Error, Result};
use crate::spec::{Descriptor, Dialect, Digest, Manifest, MediaType};
use crate::transport::{Item, ItemKind, Origin, Presence, Referrer, Sink, Source};

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Some images under one index, in memory.
pub(super) struct Images {
    pub(super) root: Manifest,
    pub(super) content: HashMap<Digest, Bytes>,
}

/// An index of four platforms with seven different blobs: four configs and three layers.
pub(super) fn four_platforms() -> Images {
    let mut content = HashMap::new();
    let mut keep = |media_type: MediaType, bytes: Vec<u8>| {
        let descriptor = Descriptor::of(media_type, &bytes);
        content.insert(descriptor.digest.clone(), Bytes::from(bytes));
        descriptor
    };
    let layers: Vec<_> = (0..3_u8)
        .map(|number| keep(MediaType::parse(LAYER), vec![number; 100_000 * usize::from(number)]))
        .collect();
    let mut manifests = Vec::new();
    for architecture in ["amd64", "arm64", "s390x", "riscv64"] {
        let config = json!({"architecture": architecture, "os": "linux"}).to_string();
        let config = keep(MediaType::Config(Dialect::Oci), config.into_bytes());
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config,
            "layers": layers,
        });
        let manifest = keep(MediaType::Manifest(Dialect::Oci), manifest.to_string().into_bytes());
        manifests.push(manifest);
    }
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": manifests,
    });
    Images { root: Manifest::parse(index.to_string().into(), None).unwrap(), content }
}

impl Source for Images {
    async fn resolve(&self) -> Result<Descriptor> {
        Ok(self.root.descriptor())
    }

    async fn read_root(&self) -> Result<Manifest> {
        Ok(self.root.clone())
    }

    async fn open(&self, what: &Descriptor) -> Result<Blob> {
        let bytes = self.content.get(&what.digest).cloned();
        bytes.map(Blob::Bytes).ok_or_else(|| Error::not_found("no such content"))
    }

    async fn measure(&self, _: &Digest) -> Result<u64> {
        Err(Error::unsupported("not needed"))
    }

    async fn referrers(&self, _: &Descriptor) -> Result<Vec<Referrer>> {
        Ok(Vec::new())
    }

    fn origin(&self) -> Origin {
        Origin::Elsewhere
    }
}

/// Copies everything below a name; returns whether anything had to be done.
pub(super) async fn copy(source: &impl Source, sink: &impl Sink) -> Result<bool> {
    if let Some(current) = sink.current().await?
        && source.resolve().await?.digest == current.digest
    {
        assert_eq!(sink.presence(&current).await?, Presence::Complete);
        return Ok(false);
    }
    let root = source.read_root().await?;
    let mut manifests = Vec::new();
    for child in root.as_index().map(|index| index.manifests.clone()).unwrap_or_default() {
        let raw = source.open(&child).await?.into_bytes(1 << 20).await?;
        manifests.push(Manifest::verified(raw, &child)?);
    }
    let images = manifests.iter().chain(root.as_image().map(|_| &root));
    for blob in images.flat_map(|manifest| manifest.children()) {
        let is_there = sink.presence(blob).await? != Presence::Missing
            || sink.link(blob, &source.origin()).await?;
        if !is_there {
            let item = Item { kind: ItemKind::Layer(None), descriptor: Some(blob.clone()) };
            sink.put(item, source.open(blob).await?).await?;
        }
    }
    for manifest in &manifests {
        let descriptor = Some(manifest.descriptor());
        let item = Item { kind: ItemKind::Manifest, descriptor };
        sink.put(item, Blob::Bytes(manifest.raw().clone())).await?;
    }
    sink.publish(None, &root).await?;
    sink.finish().await?;
    Ok(true)
}
