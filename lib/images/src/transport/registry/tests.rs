//! Registries as places, at a real registry: how many requests things take.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;

use super::{RegistrySink, RegistrySource, is_digest_tag};
use crate::blob::Blob;
use crate::config::{Credential, Secret};
use crate::error::{Error, ErrorKind, Result};
use crate::registry::tests::distribution::{Distribution, run};
use crate::registry::{Access, Client, ClientOptions, Deletion};
use crate::spec::{Descriptor, Dialect, Digest, Manifest, MediaType, Reference};
use crate::transport::cases::{check_children, check_sink, image, store};
use crate::transport::{Item, ItemKind, Origin, Presence, Referrer, Sink, Source};

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Some images under one index, in memory.
struct Images {
    root: Manifest,
    content: HashMap<Digest, Bytes>,
}

/// An index of four platforms with seven different blobs: four configs and three layers.
fn four_platforms() -> Images {
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
async fn copy(source: &impl Source, sink: &impl Sink) -> Result<bool> {
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

fn with_password() -> ClientOptions {
    let credential = Credential::Basic { user: "user".to_owned(), password: Secret::new("pass") };
    ClientOptions {
        credentials: Arc::new(move |_, _| Ok(credential.clone())),
        ..ClientOptions::default()
    }
}

fn name(registry: &Distribution, rest: &str) -> Reference {
    Reference::parse(&format!("{}/{rest}", registry.host())).unwrap()
}

#[tokio::test]
async fn as_few_requests_as_possible() {
    let Some(mut registry) = Distribution::start("") else { return };
    let images = four_platforms();
    // Every step with a client of its own, as if with a process of its own.
    let sink = |rest: &str| {
        RegistrySink::new(&Client::new(ClientOptions::default()), &name(&registry, rest)).unwrap()
    };
    let source = |rest: &str| {
        RegistrySource::new(&Client::new(ClientOptions::default()), &name(&registry, rest)).unwrap()
    };
    let (first, again, other, other_again) =
        (sink("a/b:1"), sink("a/b:1"), sink("c:1"), sink("c:1"));
    let (from, from_again, read) = (source("a/b:1"), source("a/b:1"), source("c:1"));
    let mut count = |what: &str, expected: usize| {
        let requests = registry.requests();
        assert_eq!(requests.len(), expected, "{what}: {requests:#?}");
    };

    assert!(copy(&images, &first).await.unwrap());
    count("push", 20);
    assert!(!copy(&images, &again).await.unwrap());
    count("unchanged push", 1);
    assert!(copy(&from, &other).await.unwrap());
    count("copy within the registry", 18);
    assert!(!copy(&from_again, &other_again).await.unwrap());
    count("unchanged copy", 2);

    let root = read.read_root().await.unwrap();
    assert_eq!(root.raw(), images.root.raw());
    let child = &root.as_index().unwrap().manifests[0];
    let raw = read.open(child).await.unwrap().into_bytes(1 << 20).await.unwrap();
    let image = Manifest::verified(raw, child).unwrap();
    let config = &image.as_image().unwrap().config;
    let bytes = read.open(config).await.unwrap().into_bytes(1 << 20).await.unwrap();
    assert_eq!(bytes, images.content[&config.digest]);
    count("inspect", 3);

    for layer in &image.as_image().unwrap().layers {
        let bytes = read.open(layer).await.unwrap().into_bytes(1 << 20).await.unwrap();
        assert_eq!(bytes, images.content[&layer.digest]);
    }
    assert!(first.current().await.unwrap().is_some());
}

#[tokio::test]
async fn a_password_is_asked_for_and_used() {
    let place = tempfile::tempdir().unwrap();
    let passwords = place.path().join("htpasswd");
    if !run("htpasswd", &["-Bbn", "user", "pass"], Some(&passwords)) {
        return;
    }
    let auth = format!("auth:\n  htpasswd:\n    realm: x\n    path: {}\n", passwords.display());
    let Some(mut registry) = Distribution::start(&auth) else { return };
    let images = four_platforms();
    let target = name(&registry, "a:1");
    let sink = RegistrySink::new(&Client::new(with_password()), &target).unwrap();
    copy(&images, &sink).await.unwrap();
    assert_eq!(registry.requests().len(), 21);
    let nobody = RegistrySource::new(&Client::new(ClientOptions::default()), &target).unwrap();
    assert_eq!(nobody.resolve().await.unwrap_err().kind(), ErrorKind::Unauthorized);
}

/// Puts an artifact about `subject`.
async fn attach(images: &Images, sink: &RegistrySink, artifact_type: &str) -> Manifest {
    let empty = Descriptor::of(MediaType::Empty, b"{}");
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": artifact_type,
        "config": empty,
        "layers": [],
        "subject": images.root.descriptor(),
    });
    let manifest = Manifest::parse(manifest.to_string().into(), None).unwrap();
    let item = |kind, descriptor| Item { kind, descriptor: Some(descriptor) };
    sink.put(item(ItemKind::Config, empty), Blob::Bytes("{}".into())).await.unwrap();
    let raw = Blob::Bytes(manifest.raw().clone());
    sink.put(item(ItemKind::Manifest, manifest.descriptor()), raw).await.unwrap();
    manifest
}

#[tokio::test]
async fn referrers_where_the_registry_lists_none() {
    let Some(registry) = Distribution::start("") else { return };
    let images = four_platforms();
    let client = Client::new(ClientOptions::default());
    let target = name(&registry, "a:1");
    let sink = RegistrySink::new(&client, &target).unwrap();
    copy(&images, &sink).await.unwrap();
    let signature = attach(&images, &sink, "application/signature").await;
    let sbom = attach(&images, &sink, "application/sbom").await;
    attach(&images, &sink, "application/sbom").await;

    let subject = images.root.descriptor();
    let cosign = format!("sha256-{}.sig", subject.digest.hex());
    sink.publish(Some(&cosign), &sbom).await.unwrap();
    let source = RegistrySource::new(&client, &target).unwrap();
    let found: Vec<_> = source
        .referrers(&subject)
        .await
        .unwrap()
        .into_iter()
        .map(|found| (found.descriptor.digest, found.descriptor.artifact_type, found.tag))
        .collect();
    let of =
        |manifest: &Manifest, kind: &str| (manifest.digest().clone(), Some(kind.to_owned()), None);
    assert_eq!(
        found,
        [
            of(&signature, "application/signature"),
            of(&sbom, "application/sbom"),
            (sbom.digest().clone(), None, Some(cosign)),
        ]
    );

    let deleting = client.repository(&target, Access::Delete).unwrap();
    let gone = deleting.delete_manifest(&signature.digest().to_string()).await.unwrap();
    assert_eq!(gone, Deletion::Done);
    deleting.forget_referrer(&subject.digest, signature.digest()).await.unwrap();
    assert_eq!(deleting.referrers(&subject.digest, None).await.unwrap().len(), 1);
    assert_eq!(deleting.delete_manifest("1").await.unwrap(), Deletion::TagsUnsupported);
    let absent = Digest::sha256(b"absent").to_string();
    assert_eq!(deleting.delete_manifest(&absent).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn an_update_asks_before_it_sends() {
    let Some(mut registry) = Distribution::start("") else { return };
    let images = four_platforms();
    let target = name(&registry, "a:1");
    let sink = || RegistrySink::new(&Client::new(ClientOptions::default()), &target).unwrap();
    copy(&images, &sink()).await.unwrap();
    registry.requests();
    // The same layers under another root.
    let mut newer = four_platforms();
    let mut root: serde_json::Value = serde_json::from_slice(newer.root.raw()).unwrap();
    root["annotations"] = json!({"version": "2"});
    newer.root = Manifest::parse(root.to_string().into(), None).unwrap();
    copy(&newer, &sink()).await.unwrap();
    let requests = registry.requests();
    let sent = requests.iter().filter(|r| r.starts_with("PUT") && r.contains("/blobs/")).count();
    // Four configs and the empty layer are too small to ask about.
    assert_eq!(sent, 5, "{requests:#?}");
}

#[test]
fn tags_that_hang_on_a_digest() {
    let hex = "a".repeat(64);
    assert!(is_digest_tag(&format!("sha256-{hex}.sig")));
    for other in [format!("sha256-{hex}"), format!("sha256-{hex}."), "v1.2".into(), "a-b.c".into()]
    {
        assert!(!is_digest_tag(&other), "{other}");
    }
}

#[tokio::test]
async fn what_every_place_does() {
    let Some(registry) = Distribution::start("") else { return };
    let client = Client::new(ClientOptions::default());
    for (number, dialect) in [Dialect::Oci, Dialect::Docker].into_iter().enumerate() {
        let made = image(dialect, "text");
        let target = name(&registry, &format!("r{number}:1"));
        let sink = RegistrySink::new(&client, &target).unwrap();
        assert!(sink.current().await.unwrap().is_none());
        check_sink(&sink, &made).await;
        store(&sink, &made, None).await.unwrap();
        let source = RegistrySource::new(&client, &target).unwrap();
        assert_eq!(source.read_root().await.unwrap().raw(), made.manifest.raw());
        check_children(&source, &made).await;
        let absent = Digest::sha256(b"what nobody has");
        let error = source.measure(&absent).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}
