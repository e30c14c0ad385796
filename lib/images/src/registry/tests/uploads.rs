//! Blobs and manifests that are sent badly.

use std::io::{Cursor, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::scripted::{Received, Reply, Server};
use super::{options, repository};
use crate::blob::{Blob, FileBlob};
use crate::error::ErrorKind;
use crate::registry::{Access, ClientOptions, Mount};
use crate::spec::{Descriptor, Digest, Manifest, MediaType};

/// An upload endpoint that keeps what it is sent, and at its `trouble`th request does as it is
/// told instead.
fn upload_server(
    trouble: impl Fn(&Received, usize, &mut Vec<u8>) -> Option<Reply> + Send + Sync + 'static,
) -> (Server, Arc<Mutex<Vec<u8>>>) {
    let held = Arc::<Mutex<Vec<u8>>>::default();
    let (kept, count) = (held.clone(), AtomicUsize::new(0));
    let server = Server::start(move |request| {
        let mut kept = kept.lock().unwrap();
        let number = count.fetch_add(1, Ordering::Relaxed);
        if let Some(reply) = trouble(request, number, &mut kept) {
            return reply;
        }
        let at = |reply: Reply, kept: &[u8]| {
            let last = kept.len().saturating_sub(1);
            reply
                .header("Location", format!("/up/1?_state=s%3D&at={}", kept.len()))
                .header("Range", format!("0-{last}"))
        };
        match request.method.as_str() {
            "POST" => {
                kept.clear();
                at(Reply::new(202), &kept)
            }
            "PATCH" => {
                let start = request.header("content-range").split('-').next().unwrap();
                if start != kept.len().to_string() {
                    return at(Reply::new(416), &kept);
                }
                kept.extend(&request.body);
                at(Reply::new(202), &kept)
            }
            "GET" => at(Reply::new(204), &kept),
            "PUT" => {
                kept.extend(&request.body);
                Reply::new(201).header("Docker-Content-Digest", Digest::sha256(&kept))
            }
            _ => Reply::new(204),
        }
    });
    (server, held)
}

fn small_pieces() -> ClientOptions {
    ClientOptions { chunk: 10, chunk_above: 10, ..options() }
}

fn unnamed(bytes: &[u8]) -> Blob {
    Blob::Unnamed(Box::new(Cursor::new(bytes.to_owned())))
}

fn file(bytes: &[u8], digest: Digest) -> Blob {
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, bytes).unwrap();
    let what = Descriptor::new(MediaType::parse("x/y"), digest, bytes.len() as u64);
    Blob::File(FileBlob::whole(file, &what))
}

#[tokio::test]
async fn two_requests_for_a_blob() {
    let (server, held) = upload_server(|_, _, _| None);
    let repository = repository(options(), server.host(), Access::Push);
    let digest = Digest::sha256(b"hello");
    let put = repository.put_blob(file(b"hello", digest.clone()), None, None).await.unwrap();
    assert_eq!(put, (digest.clone(), 5));
    assert_eq!(*held.lock().unwrap(), b"hello");
    let finish = server.received().pop().unwrap();
    let encoded = digest.to_string().replace(':', "%3A");
    assert_eq!(finish.line(), format!("PUT /up/1?_state=s%3D&at=0&digest={encoded}"));
    assert_eq!(finish.header("content-type"), "application/octet-stream");
    assert_eq!(finish.header("content-length"), "5");
    assert_eq!(server.lines()[0], "POST /v2/a/b/blobs/uploads/");
    assert_eq!(server.lines().len(), 2);
    assert!(repository.knows_blob(&digest));
    // Nothing at all is a blob too.
    let empty = Digest::sha256(b"");
    repository.put_blob(file(b"", empty.clone()), None, None).await.unwrap();
    assert_eq!(server.received().pop().unwrap().header("content-length"), "0");
}

#[tokio::test]
async fn a_failed_upload_begins_again() {
    for status in [500, 503, 429] {
        let (server, held) = upload_server(move |request, number, _| {
            (request.method == "PUT" && number < 4).then(|| Reply::new(status))
        });
        let repository = repository(options(), server.host(), Access::Push);
        repository.put_blob(file(b"hello", Digest::sha256(b"hello")), None, None).await.unwrap();
        assert_eq!(*held.lock().unwrap(), b"hello");
        let methods: Vec<_> = server.received().into_iter().map(|r| r.method).collect();
        assert_eq!(methods, ["POST", "PUT", "POST", "PUT", "POST", "PUT"]);
    }
}

#[tokio::test]
async fn damaged_content_does_not_arrive() {
    let (server, held) = upload_server(|_, _, _| None);
    let repository = repository(options(), server.host(), Access::Push);
    let damaged = file(&vec![1; 1 << 20], Digest::sha256(b"something else"));
    let error = repository.put_blob(damaged, None, None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.chain().contains("has other bytes"), "{}", error.chain());
    assert!(held.lock().unwrap().is_empty());
    assert_eq!(server.received().pop().unwrap().method, "DELETE");
}

#[tokio::test]
async fn a_registry_must_have_what_it_took() {
    for (reply, text) in [
        (Reply::new(201).header("Docker-Content-Digest", Digest::sha256(b"x")), "stored sha256:"),
        (Reply::new(201), "does not have it"),
    ] {
        let (server, _) = upload_server(move |request, _, _| match request.method.as_str() {
            "PUT" => Some(reply.clone()),
            "HEAD" | "GET" => Some(Reply::new(404)),
            _ => None,
        });
        let repository = repository(options(), server.host(), Access::Push);
        let error = repository.put_blob(Blob::Bytes("hello".into()), None, None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.chain().contains(text), "{}", error.chain());
    }
}

#[tokio::test]
async fn locations_that_lead_astray() {
    for (location, kind) in [
        ("", ErrorKind::Invalid),
        ("file:///x", ErrorKind::Invalid),
        ("http://169.254.169.254/up", ErrorKind::Denied),
        ("http://2852039166/up", ErrorKind::Denied),
    ] {
        let (server, _) = upload_server(move |request, _, _| {
            (request.method == "POST").then(|| Reply::new(202).header("Location", location))
        });
        let repository = repository(options(), server.host(), Access::Push);
        let error = repository.put_blob(Blob::Bytes("hello".into()), None, None).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{location}: {}", error.chain());
    }
}

#[tokio::test]
async fn an_upload_elsewhere_carries_no_credentials() {
    let storage = Server::start(|request| {
        Reply::new(201).header("Docker-Content-Digest", Digest::sha256(&request.body))
    });
    let location = format!("http://{}/bucket?sig=x", storage.host());
    let (server, _) = upload_server(move |request, _, _| match request.header("authorization") {
        "" => Some(Reply::new(401).header("WWW-Authenticate", "Basic realm=\"x\"")),
        _ => Some(Reply::new(202).header("Location", &location)),
    });
    let repository = repository(super::with_password(), server.host(), Access::Push);
    repository.put_blob(Blob::Bytes("hello".into()), None, None).await.unwrap();
    let put = &storage.received()[0];
    assert!(put.target.starts_with("/bucket?sig=x&digest=sha256%3A"), "{}", put.target);
    assert_eq!((put.header("authorization"), put.body.as_slice()), ("", &b"hello"[..]));
}

#[tokio::test]
async fn a_refused_mount_is_an_upload() {
    let (server, held) = upload_server(|_, _, _| None);
    let repository = repository(options(), server.host(), Access::Push);
    let digest = Digest::sha256(b"hello");
    let Mount::Refused(Some(session)) = repository.mount_blob(&digest, "c/d").await else {
        panic!("the server does not mount")
    };
    repository.put_blob(Blob::Bytes("hello".into()), None, Some(session)).await.unwrap();
    assert_eq!(*held.lock().unwrap(), b"hello");
    let lines = server.lines();
    let expected =
        format!("POST /v2/a/b/blobs/uploads/?mount=sha256%3A{}&from=c%2Fd", digest.hex());
    assert_eq!((lines.len(), &lines[0]), (2, &expected));
}

#[tokio::test]
async fn content_without_a_name_goes_in_pieces() {
    let (server, held) = upload_server(|_, _, _| None);
    let repository = repository(small_pieces(), server.host(), Access::Push);
    let bytes = b"0123456789abcdefghijABCDE";
    let (digest, size) = repository.put_blob(unnamed(bytes), None, None).await.unwrap();
    assert_eq!((digest, size), (Digest::sha256(bytes), 25));
    assert_eq!(*held.lock().unwrap(), bytes);
    let ranges: Vec<_> =
        server.received().iter().map(|r| r.header("content-range").to_owned()).collect();
    assert_eq!(ranges, ["", "0-9", "10-19", "20-24", ""]);
    // What fits into one piece needs none.
    let short = repository.put_blob(unnamed(b"short"), None, None).await.unwrap();
    assert_eq!(short, (Digest::sha256(b"short"), 5));
    assert_eq!(server.lines().len(), 7);
}

#[tokio::test]
async fn pieces_have_the_size_that_the_registry_wants() {
    let (server, held) = upload_server(|request, _, kept| {
        (request.method == "POST").then(|| {
            kept.clear();
            Reply::new(202).header("Location", "/up").header("OCI-Chunk-Min-Length", 12)
        })
    });
    let repository = repository(small_pieces(), server.host(), Access::Push);
    let bytes = b"0123456789abcdefghijABCDE";
    repository.put_blob(file(bytes, Digest::sha256(bytes)), None, None).await.unwrap();
    assert_eq!(*held.lock().unwrap(), bytes);
    let ranges: Vec<_> =
        server.received().iter().map(|r| r.header("content-range").to_owned()).collect();
    assert_eq!(ranges, ["", "0-11", "12-23", "24-24", ""]);
}

#[tokio::test]
async fn an_upload_in_pieces_goes_on_after_trouble() {
    let bytes = b"0123456789abcdefghijABCDE";
    // (what happens to the second piece, the requests after it)
    let trouble: [(&str, &[&str]); 4] = [
        ("refused", &["GET", "PATCH 10-19", "PATCH 20-24", "PUT"]),
        ("cut, half kept", &["GET", "PATCH 15-19", "PATCH 20-24", "PUT"]),
        ("half taken", &["PATCH 15-19", "PATCH 20-24", "PUT"]),
        ("lost", &["GET", "POST", "PATCH 0-9", "PATCH 10-19", "PATCH 20-24", "PUT"]),
    ];
    for (what, expected) in trouble {
        let (server, held) = upload_server(move |request, number, kept| match (what, number) {
            ("refused", 2) => Some(Reply::new(503)),
            ("cut, half kept", 2) => {
                kept.extend(&request.body[..5]);
                Some(Reply::nothing())
            }
            ("half taken", 2) => {
                kept.extend(&request.body[..5]);
                Some(Reply::new(202).header("Location", "/up/2").header("Range", "0-14"))
            }
            ("lost", 2) => Some(Reply::new(500)),
            ("lost", 3) => Some(Reply::new(404)),
            _ => None,
        });
        let repository = repository(small_pieces(), server.host(), Access::Push);
        let content = file(bytes, Digest::sha256(bytes));
        repository.put_blob(content, None, None).await.unwrap();
        assert_eq!(*held.lock().unwrap(), bytes, "{what}");
        let lines: Vec<_> = server.received()[3..]
            .iter()
            .map(|r| format!("{} {}", r.method, r.header("content-range")).trim().to_owned())
            .collect();
        assert_eq!(lines, expected, "{what}");
    }
}

#[tokio::test]
async fn another_process_goes_on_with_an_upload() {
    let bytes = b"0123456789abcdefghijABCDE";
    let journal = tempfile::tempdir().unwrap();
    let options = || ClientOptions { journal: Some(journal.path().to_owned()), ..small_pieces() };
    let (server, held) = upload_server(|request, number, _| {
        (request.method == "PATCH" && number == 2).then(|| Reply::new(400))
    });
    let content = || file(bytes, Digest::sha256(bytes));
    let first = repository(options(), server.host(), Access::Push);
    first.put_blob(content(), None, None).await.unwrap_err();
    let second = repository(options(), server.host(), Access::Push);
    let asked = server.lines().len();
    second.put_blob(content(), None, None).await.unwrap();
    assert_eq!(*held.lock().unwrap(), bytes);
    let methods: Vec<_> = server.received()[asked..].iter().map(|r| r.method.clone()).collect();
    assert_eq!(methods, ["GET", "PATCH", "PATCH", "PUT"]);
    assert_eq!(std::fs::read_dir(journal.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn an_upload_from_elsewhere_goes_on_with_the_rest_alone() {
    let bytes = b"0123456789abcdefghijABCDE";
    let origin = Server::start(move |request| match request.header("range") {
        "" => Reply::new(200).body(bytes),
        _ => Reply::new(206).header("Content-Range", "bytes 10-24/25").body(&bytes[10..]),
    });
    let journal = tempfile::tempdir().unwrap();
    let (server, held) = upload_server(|_, number, _| (number == 2).then(|| Reply::new(400)));
    let what = Descriptor::of(MediaType::parse("x/y"), bytes);
    for attempt in 0..2 {
        let options = ClientOptions { journal: Some(journal.path().to_owned()), ..small_pieces() };
        let blob = repository(options.clone(), origin.host(), Access::Pull).blob(&what);
        let target = repository(options, server.host(), Access::Push);
        assert_eq!(target.put_blob(blob, None, None).await.is_ok(), attempt == 1);
    }
    assert_eq!(*held.lock().unwrap(), bytes);
    let ranges: Vec<_> = origin.received().iter().map(|r| r.header("range").to_owned()).collect();
    assert_eq!(ranges, ["", "bytes=10-24"]);
}

/// Fails after some bytes.
struct Breaking(usize);

impl Read for Breaking {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.0 == 0 {
            return Err(std::io::Error::other("the disk broke"));
        }
        let count = self.0.min(buffer.len());
        self.0 -= count;
        buffer[..count].fill(b'x');
        Ok(count)
    }
}

#[tokio::test]
async fn an_upload_whose_content_fails_is_cancelled() {
    let (server, _) = upload_server(|_, _, _| None);
    let options = ClientOptions { chunk: 100_000, ..options() };
    let repository = repository(options, server.host(), Access::Push);
    let size = crate::blob::CHUNK + 5;
    let blob = Blob::Unnamed(Box::new(Breaking(size)));
    let error = repository.put_blob(blob, None, None).await.unwrap_err();
    assert!(error.chain().contains("the disk broke"), "{}", error.chain());
    assert_eq!(server.received().pop().unwrap().method, "DELETE");
}

#[tokio::test]
async fn a_manifest_is_put_again_when_the_registry_is_busy() {
    let manifest = r#"{"schemaVersion":2,"manifests":[]}"#;
    let count = AtomicUsize::new(0);
    let server = Server::start(move |request| match count.fetch_add(1, Ordering::Relaxed) {
        0 => Reply::new(429).header("Retry-After", "0"),
        _ => Reply::new(201).header("Docker-Content-Digest", Digest::sha256(&request.body)),
    });
    let repository = repository(options(), server.host(), Access::Push);
    let manifest = Manifest::parse(manifest.into(), None).unwrap();
    repository.put_manifest(Some("1"), &manifest).await.unwrap();
    let put = server.received().pop().unwrap();
    assert_eq!(put.line(), "PUT /v2/a/b/manifests/1");
    assert_eq!(put.header("content-type"), "application/vnd.oci.image.index.v1+json");
    assert_eq!(put.body, manifest.raw().as_ref());
    assert_eq!(server.lines().len(), 2);
}
