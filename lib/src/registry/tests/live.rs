//! How many requests things take at a real registry, and that the bytes are right.

use std::io::{Read, Seek};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use serde_json::json;

use super::distribution::Distribution;
use super::images::{Images, copy, four_platforms};
use super::{options, repository, with_password};
use crate::blob::{Blob, FileBlob};
use crate::config::{Certificates, Endpoint, Pem};
use crate::error::ErrorKind;
use crate::registry::{Access, Client, ClientOptions, Deletion};
use crate::spec::{Descriptor, Digest, Manifest, MediaType, Reference};
use crate::transport::{RegistrySink, RegistrySource, Sink as _, Source as _};

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
    let image = crate::spec::Manifest::verified(raw, child).unwrap();
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

/// Runs a program; `false` where it is not installed.
fn run(program: &str, arguments: &[&str], stdout: Option<&Path>) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stderr(std::process::Stdio::null());
    if let Some(path) = stdout {
        command.stdout(std::fs::File::create(path).unwrap());
    }
    match command.status() {
        Ok(status) => {
            assert!(status.success(), "{program} {arguments:?}");
            true
        }
        Err(error) => {
            eprintln!("skipped: {program}: {error}");
            false
        }
    }
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
    let nobody = RegistrySource::new(&Client::new(options()), &target).unwrap();
    assert_eq!(nobody.resolve().await.unwrap_err().kind(), ErrorKind::Unauthorized);
}

#[tokio::test]
async fn certificates_decide() {
    let place = tempfile::tempdir().unwrap();
    let (cert, key) = (place.path().join("cert.pem"), place.path().join("key.pem"));
    let (cert_text, key_text) = (cert.to_str().unwrap(), key.to_str().unwrap());
    let arguments = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-keyout",
        key_text,
        "-out",
        cert_text,
        "-days",
        "2",
        "-subj",
        "/CN=registry for tests",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ];
    if !run("openssl", &arguments, None) {
        return;
    }
    let tls = format!("  tls:\n    certificate: {cert_text}\n    key: {key_text}\n");
    let Some(registry) = Distribution::start_with(&tls, "") else { return };
    let listed = |options: ClientOptions| {
        let repository = repository(options, &registry.host(), Access::List);
        async move { repository.tags().await.unwrap_err() }
    };
    let strict = || ClientOptions { plain_loopback: false, ..options() };

    // An unknown repository is as good an answer as any.
    let unknown = listed(strict()).await;
    assert_eq!(unknown.kind(), ErrorKind::Failed, "{}", unknown.chain());
    assert!(unknown.chain().contains("no secure connection"), "{}", unknown.chain());

    let pem = std::fs::read(&cert).unwrap();
    let trusting = ClientOptions {
        certificates: Arc::new(move |_| {
            let pem = Pem { path: "ca.crt".into(), bytes: pem.clone().into() };
            Ok(Certificates { authorities: vec![pem], identities: Vec::new() })
        }),
        ..options()
    };
    assert_eq!(listed(trusting).await.kind(), ErrorKind::NotFound);

    let host = registry.host();
    for plain_loopback in [false, true] {
        let insecure = Endpoint {
            registry: host.clone(),
            repository: "a".to_owned(),
            insecure: true,
            is_mirror: false,
        };
        let endpoints = Arc::new(move |_: &_, _| Ok(vec![insecure.clone()]));
        let options = ClientOptions { endpoints, plain_loopback, ..options() };
        assert_eq!(listed(options).await.kind(), ErrorKind::NotFound, "{plain_loopback}");
    }
    let plain = listed(options()).await;
    assert!(plain.chain().contains("HTTP request to an HTTPS server"), "{}", plain.chain());
}

#[tokio::test]
async fn a_server_without_tls_is_named_as_such() {
    let Some(registry) = Distribution::start("") else { return };
    let strict = ClientOptions { plain_loopback: false, ..options() };
    let error = repository(strict, &registry.host(), Access::List).tags().await.unwrap_err();
    assert!(error.chain().contains("speaks http, not https"), "{}", error.chain());
    assert_eq!(error.kind(), ErrorKind::Failed);
}

#[tokio::test]
async fn large_content_in_pieces() {
    let Some(mut registry) = Distribution::start("") else { return };
    let mut file = tempfile::tempfile().unwrap();
    let mut random = std::fs::File::open("/dev/urandom").unwrap().take(5 << 20);
    std::io::copy(&mut random, &mut file).unwrap();
    file.rewind().unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    let what = Descriptor::of(MediaType::parse("x/y"), &bytes);
    let pieces = ClientOptions { chunk: 1 << 20, chunk_above: 1 << 20, ..options() };
    let repository = repository(pieces, &registry.host(), Access::Push);

    let blob = Blob::File(FileBlob::whole(file, &what));
    repository.put_blob(blob, None, None).await.unwrap();
    assert_eq!(registry.requests().len(), 7);
    assert_eq!(repository.blob(&what).into_bytes(6 << 20).await.unwrap(), bytes);
    assert_eq!(repository.blob_size(&what.digest).await.unwrap(), Some(5 << 20));
    repository.delete_blob(&what.digest).await.unwrap();
    assert_eq!(repository.blob_size(&what.digest).await.unwrap(), None);

    let unnamed = Blob::Unnamed(Box::new(std::io::Cursor::new(bytes)));
    assert_eq!(repository.put_blob(unnamed, None, None).await.unwrap().0, what.digest);
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
    let item = |kind, descriptor| crate::transport::Item { kind, descriptor: Some(descriptor) };
    use crate::transport::ItemKind;
    sink.put(item(ItemKind::Config, empty), Blob::Bytes("{}".into())).await.unwrap();
    let raw = Blob::Bytes(manifest.raw().clone());
    sink.put(item(ItemKind::Manifest, manifest.descriptor()), raw).await.unwrap();
    manifest
}

#[tokio::test]
async fn referrers_where_the_registry_lists_none() {
    let Some(registry) = Distribution::start("") else { return };
    let images = four_platforms();
    let client = Client::new(options());
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
    let sink = || RegistrySink::new(&Client::new(options()), &target).unwrap();
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
