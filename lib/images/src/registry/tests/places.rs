//! Mirrors, and lists in pages.

use std::sync::Arc;

use super::scripted::{Reply, Server};
use super::{options, repository};
use crate::config::Endpoint;
use crate::error::ErrorKind;
use crate::registry::{Access, Client, ClientOptions};
use crate::spec::{Descriptor, Digest, MediaType};

const INDEX: &str = r#"{"schemaVersion":2,"manifests":[]}"#;

fn mirrored(servers: &[&Server]) -> ClientOptions {
    let endpoints: Vec<_> = servers
        .iter()
        .enumerate()
        .map(|(number, server)| Endpoint {
            registry: server.host().to_owned(),
            repository: format!("m{number}"),
            insecure: false,
            is_mirror: number + 1 < servers.len(),
        })
        .collect();
    ClientOptions { endpoints: Arc::new(move |_, _| Ok(endpoints.clone())), ..options() }
}

#[tokio::test]
async fn mirrors_that_fail_or_lie_are_skipped() {
    let absent = Server::start(|_| Reply::new(404));
    let lying = Server::start(|_| Reply::new(200).body(r#"{"schemaVersion":2,"manifests":null}"#));
    let primary = Server::start(|request| match request.target.contains("/blobs/") {
        true => Reply::new(200).body("blob"),
        false => Reply::new(200).body(INDEX),
    });
    let options = mirrored(&[&absent, &lying, &primary]);
    let repository = repository(options, "r.example", Access::Pull);
    let digest = Digest::sha256(INDEX.as_bytes());
    assert_eq!(repository.manifest(&digest.to_string()).await.unwrap().raw(), INDEX);
    assert_eq!(absent.lines(), [format!("GET /v2/m0/manifests/{digest}")]);
    assert_eq!(lying.lines(), [format!("GET /v2/m1/manifests/{digest}")]);
    // Who served the manifest serves the blobs.
    let what = Descriptor::of(MediaType::parse("x/y"), b"blob");
    assert_eq!(repository.blob(&what).into_bytes(10).await.unwrap(), "blob");
    assert_eq!((absent.lines().len(), lying.lines().len(), primary.lines().len()), (1, 1, 2));
}

#[tokio::test]
async fn a_blob_that_was_wrong_comes_from_the_next_place() {
    let lying = Server::start(|_| Reply::new(200).body("evil"));
    let primary = Server::start(|_| Reply::new(200).body("blob"));
    let repository = repository(mirrored(&[&lying, &primary]), "r.example", Access::Pull);
    let what = Descriptor::of(MediaType::parse("x/y"), b"blob");
    let error = repository.blob(&what).into_bytes(10).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(repository.blob(&what).into_bytes(10).await.unwrap(), "blob");
}

#[tokio::test]
async fn the_primary_says_what_is_wrong() {
    let mirror = Server::start(|_| Reply::new(500));
    let primary = Server::start(|_| Reply::new(403).body("no"));
    let repository = repository(mirrored(&[&mirror, &primary]), "r.example", Access::Pull);
    let error = repository.manifest("1").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.chain().contains("/v2/m1/manifests/1: 403 Forbidden: no"), "{}", error.chain());
}

#[tokio::test]
async fn tags_in_pages() {
    let server = Server::start(|request| match request.target.as_str() {
        "/v2/a/b/tags/list?n=1000" => Reply::new(200)
            .header("Link", r#"</v2/a/b/tags/list?n=1000&last=b>; rel="next""#)
            .body(r#"{"name":"a/b","tags":["b","a","","sha256:00","b"]}"#),
        "/v2/a/b/tags/list?n=1000&last=b" => Reply::new(200).body(r#"{"tags":["c","a"]}"#),
        _ => Reply::new(404),
    });
    let tags = repository(options(), server.host(), Access::List).tags().await.unwrap();
    assert_eq!(tags, ["b", "a", "c"]);

    let empty = Server::start(|_| Reply::new(200).body(r#"{"name":"a/b","tags":null}"#));
    assert!(repository(options(), empty.host(), Access::List).tags().await.unwrap().is_empty());
}

#[tokio::test]
async fn pages_end() {
    let here = "<list?n=1000>; rel=next";
    let elsewhere = "<http://evil.example/v2/a/b/tags/list>; rel=next";
    for (link, text) in [(here, "read already"), (elsewhere, "another host")] {
        let server =
            Server::start(move |_| Reply::new(200).header("Link", link).body(r#"{"tags":[]}"#));
        let tags = repository(options(), server.host(), Access::List).tags().await;
        let error = tags.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.chain().contains(text), "{}", error.chain());
        assert_eq!(server.lines().len(), 1);
    }
    let endless = Server::start(|request| {
        let link = format!("<{}x>; rel=next", request.target);
        Reply::new(200).header("Link", link).body(r#"{"tags":["a"]}"#)
    });
    let tags = repository(options(), endless.host(), Access::List).tags().await;
    assert!(tags.unwrap_err().chain().contains("more than 1000 pages"));
}

#[tokio::test]
async fn the_catalog_is_of_the_registry() {
    let server = Server::start(|_| Reply::new(200).body(r#"{"repositories":["a","b/c","../x"]}"#));
    let client = Client::new(options());
    assert_eq!(client.catalog(server.host()).await.unwrap(), ["a", "b/c"]);
    assert_eq!(server.lines(), ["GET /v2/_catalog?n=1000"]);
}

#[tokio::test]
async fn referrers_are_filtered_and_paged() {
    let entry = |name: &str| {
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{}","size":1,"artifactType":"{name}"}}"#,
            Digest::sha256(name.as_bytes())
        )
    };
    let page = move |name: &str| {
        format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{}]}}"#,
            entry(name)
        )
    };
    let server = Server::start(move |request| match request.target.contains("page=2") {
        true => Reply::new(200).body(page("b")),
        false => Reply::new(200).header("Link", "<?page=2>; rel=next").body(page("a")),
    });
    let repository = repository(options(), server.host(), Access::Pull);
    let subject = Digest::sha256(b"subject");
    let all = repository.referrers(&subject, None).await.unwrap();
    assert_eq!(
        all.iter().map(|d| d.artifact_type.as_deref().unwrap()).collect::<Vec<_>>(),
        ["a", "b"]
    );
    let some = repository.referrers(&subject, Some("b")).await.unwrap();
    assert_eq!((some.len(), &some[0].digest), (1, &Digest::sha256(b"b")));
    let lines = server.lines();
    assert_eq!(lines[2], format!("GET /v2/a/b/referrers/{subject}?artifactType=b"));
}
