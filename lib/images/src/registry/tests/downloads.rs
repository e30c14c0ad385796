//! Blobs and manifests that arrive badly.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::scripted::{Received, Reply, Server};
use super::{options, repository};
use crate::error::{ErrorKind, Result};
use crate::registry::{Access, ClientOptions};
use crate::spec::{Descriptor, MediaType};

fn content(size: usize) -> Vec<u8> {
    (0..size).map(|index| (index * 7 % 251) as u8).collect()
}

async fn download(server: &Server, content: &[u8]) -> Result<bytes::Bytes> {
    let repository = repository(options(), server.host(), Access::Pull);
    let what = Descriptor::of(MediaType::parse("application/x"), content);
    repository.blob(&what).into_bytes(1 << 30).await
}

/// Serves a range as it should be served.
fn range(request: &Received, content: &[u8]) -> Reply {
    let Some(range) = request.header("range").strip_prefix("bytes=") else {
        return Reply::new(200).body(content);
    };
    let (first, last) = range.split_once('-').unwrap();
    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
    Reply::new(206)
        .header("Content-Range", format!("bytes {first}-{last}/{}", content.len()))
        .body(&content[first..=last])
}

#[tokio::test]
async fn a_cut_download_goes_on_where_it_was() {
    let bytes = content(100_000);
    for cut in [0, 1, 50_000, 99_999] {
        let (served, count) = (bytes.clone(), AtomicUsize::new(0));
        let server = Server::start(move |request| match count.fetch_add(1, Ordering::Relaxed) {
            0 => range(request, &served).cut_after(cut),
            _ => range(request, &served),
        });
        assert_eq!(download(&server, &bytes).await.unwrap(), bytes, "{cut}");
        let ranges: Vec<_> =
            server.received().iter().map(|r| r.header("range").to_owned()).collect();
        let expected = if cut == 0 { String::new() } else { format!("bytes={cut}-99999") };
        assert_eq!(ranges, [String::new(), expected]);
    }
}

#[tokio::test]
async fn a_server_that_ignores_ranges_is_coped_with() {
    let bytes = content(100_000);
    let (served, count) = (bytes.clone(), AtomicUsize::new(0));
    let server = Server::start(move |_| {
        let whole = Reply::new(200).body(&served);
        match count.fetch_add(1, Ordering::Relaxed) {
            0 => whole.cut_after(40_000),
            _ => whole,
        }
    });
    assert_eq!(download(&server, &bytes).await.unwrap(), bytes);
}

#[tokio::test]
async fn ranges_that_were_not_asked_for_are_refused() {
    let bytes = content(1000);
    for (status, header) in [
        (206, "bytes 499-999/1000"),
        (206, "bytes 501-999/1000"),
        (206, "bytes 500-999/2000"),
        (206, "bytes 500-1000/1001"),
        (206, ""),
        (416, "bytes */1000"),
    ] {
        let (served, count) = (bytes.clone(), AtomicUsize::new(0));
        let server = Server::start(move |_| match count.fetch_add(1, Ordering::Relaxed) {
            0 => Reply::new(200).body(&served).cut_after(500),
            _ => Reply::new(status).header("Content-Range", header).body(&served[500..]),
        });
        let error = download(&server, &bytes).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{status} {header}");
    }
}

#[tokio::test]
async fn no_progress_is_given_up() {
    let bytes = content(1000);
    let served = bytes.clone();
    let server = Server::start(move |request| range(request, &served).cut_after(1));
    let error = download(&server, &bytes).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.chain().contains("giving up at byte 3 of 1000"), "{}", error.chain());
    assert_eq!(server.lines().len(), 3);
}

#[tokio::test]
async fn a_stalled_download_is_cut() {
    let bytes = content(1000);
    let (served, count) = (bytes.clone(), AtomicUsize::new(0));
    let server = Server::start(move |request| match count.fetch_add(1, Ordering::Relaxed) {
        0 => range(request, &served).hang_after(300),
        _ => range(request, &served),
    });
    assert_eq!(download(&server, &bytes).await.unwrap(), bytes);
    assert_eq!(server.received()[1].header("range"), "bytes=300-999");
}

#[tokio::test]
async fn the_wrong_bytes_are_never_taken() {
    let bytes = content(1000);
    let other = vec![0; 1000];
    let long = content(1001);
    for (reply, text) in [
        (Reply::new(200).body(&other), "has other bytes"),
        (Reply::new(200).body(&long), "expected 1000 bytes, was offered 1001"),
        (Reply::new(200).body(&bytes[..999]), "expected 1000 bytes, was offered 999"),
        (
            Reply::new(200).header("Content-Encoding", "gzip").body(&long),
            "longer than the 1000 bytes",
        ),
    ] {
        let server = Server::start(move |_| reply.clone());
        let error = download(&server, &bytes).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{}", error.chain());
        assert!(error.chain().contains(text), "{}", error.chain());
    }
}

#[tokio::test]
async fn passing_troubles_pass() {
    for (status, header) in [(500, None), (503, Some("0")), (429, Some("3600")), (408, Some("x"))] {
        let bytes = content(10);
        let (served, count) = (bytes.clone(), AtomicUsize::new(0));
        let server = Server::start(move |_| match count.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => header
                .into_iter()
                .fold(Reply::new(status), |reply, value| reply.header("Retry-After", value)),
            _ => Reply::new(200).body(&served),
        });
        assert_eq!(download(&server, &bytes).await.unwrap(), bytes, "{status}");
        assert_eq!(server.lines().len(), 3);
    }
}

#[tokio::test]
async fn lasting_troubles_are_told() {
    let server = Server::start(|_| {
        Reply::new(429).body(r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}"#)
    });
    let error = download(&server, b"x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let text = error.chain();
    assert!(text.starts_with("giving up after 3 attempts: GET http://127.0.0.1:"), "{text}");
    assert!(text.ends_with("TOOMANYREQUESTS: slow down (rate limit)"), "{text}");
    assert_eq!(server.lines().len(), 3);

    let server = Server::start(|_| Reply::new(404));
    assert_eq!(download(&server, b"x").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(server.lines().len(), 1);
}

#[tokio::test]
async fn foreign_layers_are_fetched_only_when_allowed() {
    let elsewhere = Server::start(|_| Reply::new(200).body("layer"));
    let server = Server::start(|request| match request.header("authorization") {
        "" => Reply::new(401).header("WWW-Authenticate", "Basic realm=\"x\""),
        _ => Reply::new(404),
    });
    let mut what = Descriptor::of(MediaType::parse("application/x"), b"layer");
    what.urls = vec!["file:///etc/passwd".to_owned(), format!("http://{}/layer", elsewhere.host())];
    for (foreign_layers, expected) in [(false, None), (true, Some("layer"))] {
        let options = ClientOptions { foreign_layers, ..super::with_password() };
        let repository = repository(options, server.host(), Access::Pull);
        let bytes = repository.blob(&what).into_bytes(100).await;
        assert_eq!(bytes.ok().as_deref(), expected.map(str::as_bytes));
    }
    let asked = elsewhere.received();
    assert_eq!((asked.len(), asked[0].header("authorization")), (1, ""));
}

#[tokio::test]
async fn manifests_are_checked() {
    let index = r#"{"schemaVersion":2,"manifests":[]}"#;
    let kind = "application/vnd.oci.image.index.v1+json";
    let server = Server::start(move |request| {
        let right = crate::spec::Digest::sha256(index.as_bytes());
        let wrong = crate::spec::Digest::sha256(b"other");
        let reply =
            Reply::new(200).header("Content-Type", format!("{kind}; charset=utf-8")).body(index);
        let tag = request.target.rsplit('/').next().unwrap();
        match (tag, request.method.as_str()) {
            ("plain", "HEAD") => Reply::new(405),
            ("lies", _) => reply.header("Docker-Content-Digest", wrong),
            ("untyped", "HEAD") => Reply::new(200).header("Docker-Content-Digest", right),
            ("huge", _) => Reply::new(200).header("Content-Length", 1_u64 << 60).hang_after(0),
            ("absent", _) => Reply::new(404),
            _ => reply,
        }
    });
    let repository = repository(options(), server.host(), Access::Pull);
    for tag in ["plain", "untyped"] {
        let found = repository.head_manifest(tag).await.unwrap().unwrap();
        assert_eq!((found.size, found.digest.matches(index.as_bytes())), (34, true), "{tag}");
        assert_eq!(found.media_type.to_string(), kind);
    }
    assert_eq!(repository.head_manifest("absent").await.unwrap(), None);
    let other = crate::spec::Digest::sha256(b"other").to_string();
    for (name, kind) in [
        ("lies", ErrorKind::Corrupt),
        (other.as_str(), ErrorKind::Corrupt),
        ("huge", ErrorKind::Invalid),
        ("absent", ErrorKind::NotFound),
    ] {
        assert_eq!(repository.manifest(name).await.unwrap_err().kind(), kind, "{name}");
    }
}
