//! The client at a real registry.

use std::io::{Read, Seek};
use std::sync::Arc;

use super::distribution::{Distribution, run};
use super::{options, repository};
use crate::blob::{Blob, FileBlob};
use crate::config::{Certificates, Endpoint, Pem};
use crate::error::ErrorKind;
use crate::registry::{Access, ClientOptions};
use crate::spec::{Descriptor, MediaType};

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
    assert!(registry.log().contains("/v2/a/b/tags/list?n=1000 HTTP/2.0\" 404"));

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
