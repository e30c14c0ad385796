//! Every fault does what it says, as often as it says, and nothing else.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::client::{RawReply, get, request};
use crate::support::content::{noise, sha256};
use crate::support::http::RecordingServer;
use crate::support::image::{OCI_INDEX, OCI_MANIFEST, small};
use crate::support::registry::{Fault, Kind, Location, TestRegistry, always, once};

/// A registry with the blob of `len` bytes in repository `a`, and the blob's URL.
fn with_blob(len: usize) -> (TestRegistry, String, Vec<u8>) {
    let reg = TestRegistry::start();
    let bytes = noise(9, len);
    let digest = reg.put_blob("a", bytes.clone());
    let url = format!("{}/v2/a/blobs/{digest}", reg.url());
    (reg, url, bytes)
}

/// The answer to one blob GET with this fault.
fn spoiled(fault: Fault) -> (RawReply, Vec<u8>) {
    spoiled_within(fault, Duration::from_secs(10))
}

/// The same with a client that waits only so long for the next byte.
fn spoiled_within(fault: Fault, patience: Duration) -> (RawReply, Vec<u8>) {
    let (reg, url, bytes) = with_blob(1000);
    let injected = reg.inject(once("GET", Kind::Blob), fault);
    let reply = request("GET", &url).patience(patience).send();
    assert_eq!(injected.fired(), 1);
    assert_eq!(get(&url).expect(200).body, bytes, "the next one is honest again");
    (reply, bytes)
}

#[test]
fn which_requests() {
    let (reg, url, _) = with_blob(10);
    let teapot = |n| Fault::status(n);
    let every = reg.inject(always("GET", Kind::Blob).path("nothing-like-this"), teapot(410));
    let second = reg.inject(once("GET", Kind::Blob).after(1).path("/v2/a/"), teapot(418));
    let heads = reg.inject(always("HEAD", Kind::Blob).times(2), teapot(503));
    let any = reg.inject(once("*", Kind::Ping), teapot(500));
    let gets: Vec<u16> = (0..3).map(|_| get(&url).status).collect();
    assert_eq!(gets, [200, 418, 200]);
    let asked: Vec<u16> = (0..3).map(|_| request("HEAD", &url).send().status).collect();
    assert_eq!(asked, [503, 503, 200]);
    get(&format!("{}/v2/", reg.url())).expect(500);
    assert_eq!((every.fired(), second.fired(), heads.fired(), any.fired()), (0, 1, 2, 1));
    let always = reg.inject(always("GET", Kind::Blob), teapot(500));
    get(&url).expect(500);
    get(&url).expect(500);
    reg.clear_faults();
    get(&url).expect(200);
    assert_eq!(always.fired(), 2);
}

#[test]
fn cut_answers() {
    for cut in [0, 1, 500, 999] {
        let (reply, bytes) = spoiled(Fault::DropAfter(cut));
        assert_eq!(reply.expect_header("content-length"), "1000");
        assert!(!reply.whole);
        assert_eq!(reply.body, bytes[..cut as usize], "exactly {cut} bytes");
    }
    // More than any buffer on the way holds.
    let (reg, url, bytes) = with_blob(8 << 20);
    reg.inject(once("GET", Kind::Blob), Fault::DropAfter(5_000_001));
    let reply = get(&url);
    assert!(!reply.whole && reply.body == bytes[..5_000_001]);
    assert_eq!(reg.requests()[0].sent, 5_000_001);
    // A range is cut after so many bytes of its own.
    reg.inject(once("GET", Kind::Blob), Fault::DropAfter(10));
    let reply = request("GET", &url).header("Range", "bytes=100-").send().expect(206);
    assert_eq!(reply.body, bytes[100..110]);
}

#[test]
fn lost_answers() {
    let (reg, url, _) = with_blob(10);
    reg.inject(once("DELETE", Kind::Blob), Fault::LoseReply);
    let lost = request("DELETE", &url).try_send();
    assert!(lost.is_err(), "{lost:?}");
    get(&url).expect(404);
    assert_eq!(reg.requests()[0].status, 0);

    let (reg, url, _) = with_blob(10);
    reg.inject(once("GET", Kind::Blob), Fault::Hang);
    let hung = request("GET", &url).patience(Duration::from_millis(100)).try_send();
    assert!(hung.is_err(), "{hung:?}");
    let start = Instant::now();
    reg.inject(once("GET", Kind::Blob), Fault::Delay(Duration::from_millis(50)));
    get(&url).expect(200);
    assert!(start.elapsed() >= Duration::from_millis(50));
}

#[test]
fn cut_requests() {
    let reg = TestRegistry::start();
    let post = || request("POST", &format!("{}/v2/a/blobs/uploads/", reg.url())).send();
    let location = post().expect(202).expect_header("location").to_string();
    let bytes = noise(3, 1 << 20);
    let cut = reg.inject(once("PATCH", Kind::Upload), Fault::DropRequestAfter(1000));
    let sent = request("PATCH", &location).body(bytes.clone()).try_send();
    assert!(sent.is_err(), "{:?}", sent.map(|reply| reply.status));
    assert_eq!(cut.fired(), 1);
    // What came is kept, and the upload goes on from there.
    let status = request("GET", &location).send().expect(204);
    assert_eq!(status.expect_header("range"), "0-999");
    let rest = &bytes[1000..];
    let range = format!("1000-{}", bytes.len() - 1);
    request("PATCH", &location).header("Content-Range", &range).body(rest).send().expect(202);
    let digest = sha256(&bytes);
    request("PUT", &format!("{location}&digest={digest}")).send().expect(201);
    assert!(reg.has_blob("a", &digest));

    reg.inject(once("PUT", Kind::Manifest), Fault::DropRequestAfter(10));
    let put = format!("{}/v2/a/manifests/1", reg.url());
    let put =
        request("PUT", &put).header("Content-Type", OCI_MANIFEST).body("{\"a\": 1}".repeat(9));
    assert!(put.try_send().is_err());
}

#[test]
fn slow_and_silent_bodies() {
    let slow = Fault::Slow { bytes: 300, pause: Duration::from_millis(15) };
    let start = Instant::now();
    let (reply, bytes) = spoiled(slow);
    assert_eq!(reply.body, bytes);
    assert!(start.elapsed() >= Duration::from_millis(45), "four parts, three pauses between them");
    let (reply, bytes) = spoiled_within(Fault::StallAfter(300), Duration::from_secs(1));
    assert!(!reply.whole);
    assert_eq!(reply.body, bytes[..300]);
}

#[test]
fn wrong_bodies() {
    let (reply, mut bytes) = spoiled(Fault::FlipByte(70));
    assert!(reply.whole && reply.body != bytes);
    bytes[70] ^= 0xff;
    assert_eq!(reply.body, bytes);

    let (reply, bytes) = spoiled(Fault::Shorten(900));
    assert_eq!((reply.whole, reply.expect_header("content-length")), (true, "900"));
    assert_eq!(reply.body, bytes[..900]);

    let (reply, bytes) = spoiled(Fault::Lengthen(24));
    assert_eq!((reply.whole, reply.expect_header("content-length")), (true, "1024"));
    assert_eq!(reply.body, [bytes.as_slice(), &[0; 24]].concat());

    let (reply, bytes) = spoiled(Fault::NoLength);
    assert_eq!(reply.header("content-length"), None);
    assert_eq!(reply.header("transfer-encoding"), Some("chunked"));
    assert_eq!(reply.body, bytes);

    let (reply, bytes) = spoiled(Fault::ClaimLength(2000));
    assert_eq!((reply.whole, reply.expect_header("content-length")), (false, "2000"));
    assert_eq!(reply.body, bytes);

    let (reply, _) = spoiled(Fault::replace("other"));
    assert_eq!((reply.whole, reply.text().as_str()), (true, "other"));
}

#[test]
fn several_faults_at_once() {
    let (reg, url, bytes) = with_blob(1000);
    reg.inject(once("GET", Kind::Blob), Fault::NoLength);
    reg.inject(once("GET", Kind::Blob), Fault::Lengthen(5));
    reg.inject(once("GET", Kind::Blob), Fault::DropAfter(1003));
    let reply = get(&url);
    assert_eq!(
        (reply.whole, reply.body.len(), reply.header("content-length")),
        (false, 1003, None)
    );
    assert_eq!(reply.body[..1000], bytes);
}

#[test]
fn endless_bodies() {
    let (reg, url, _) = with_blob(10);
    reg.inject(once("GET", Kind::Blob), Fault::Endless);
    reg.inject(once("GET", Kind::Blob), Fault::DropAfter(3 << 20));
    let reply = get(&url);
    assert_eq!((reply.whole, reply.body.len()), (false, 3 << 20));
    assert_eq!(reply.header("content-length"), None);

    let app = small("linux/amd64").build();
    app.push(&reg, "app", "1");
    reg.inject(once("GET", Kind::Manifest), Fault::replace(vec![b' '; 5 << 20]));
    let reply = get(&format!("{}/v2/app/manifests/1", reg.url())).expect(200);
    assert_eq!(reply.body.len(), 5 << 20);
    assert_eq!(reply.expect_header("content-type"), OCI_MANIFEST);
}

#[test]
fn wrong_heads() {
    let (reg, url, bytes) = with_blob(1000);
    let name = "docker-content-digest";
    reg.inject(once("GET", Kind::Blob), Fault::set(name, &sha256("other")));
    assert_eq!(get(&url).expect_header(name), sha256("other"));
    reg.inject(once("GET", Kind::Blob), Fault::unset(name));
    assert_eq!(get(&url).header(name), None);
    reg.inject(once("GET", Kind::Blob), Fault::set("Content-Type", "text/html"));
    assert_eq!(get(&url).expect_header("content-type"), "text/html");

    let ask = || request("GET", &url).header("Range", "bytes=10-19").send();
    reg.inject(once("GET", Kind::Blob), Fault::IgnoreRange);
    assert_eq!(ask().expect(200).body, bytes);
    reg.inject(once("GET", Kind::Blob), Fault::set("Content-Range", "bytes 11-20/1000"));
    let reply = ask().expect(206);
    assert_eq!(reply.expect_header("content-range"), "bytes 11-20/1000");
    assert_eq!(reply.body, bytes[10..20]);

    reg.inject(once("HEAD", Kind::Blob), Fault::NoLength);
    assert_eq!(request("HEAD", &url).send().expect(200).header("content-length"), None);
    assert_eq!(request("HEAD", &url).send().expect_header("content-length"), "1000");
    reg.inject(once("HEAD", Kind::Blob), Fault::status(405));
    request("HEAD", &url).send().expect(405);
    reg.inject(once("GET", Kind::Blob), Fault::edit(|reply| reply.status = 203));
    get(&url).expect(203);
}

#[test]
fn canned_answers() {
    let (reg, url, _) = with_blob(10);
    let limited =
        Fault::error(429, "TOOMANYREQUESTS", "slow\u{1b}[31m down").header("Retry-After", "1");
    reg.inject(once("GET", Kind::Blob), limited);
    let reply = get(&url).expect(429);
    assert_eq!(
        (reply.code().as_str(), reply.expect_header("retry-after")),
        ("TOOMANYREQUESTS", "1")
    );
    assert_eq!(reply.json()["errors"][0]["message"], "slow\u{1b}[31m down");
    let huge = Fault::status(500).body(vec![b'e'; 2 << 20]);
    reg.inject(once("GET", Kind::Blob), huge);
    assert_eq!(get(&url).expect(500).body.len(), 2 << 20);

    // Early: the answer comes although the body is still being sent.
    reg.inject(once("PUT", Kind::Manifest), Fault::status(413).early());
    let put = format!("{}/v2/a/manifests/1", reg.url());
    let reply = request("PUT", &put).declare(1 << 40).body("x").send();
    assert_eq!(reply.status, 413);
}

#[test]
fn redirects() {
    let (reg, url, bytes) = with_blob(1000);
    let other = RecordingServer::start();
    other.answer("/v2/a/blobs/", 200, &[("X-From", "storage")], bytes.clone());
    reg.inject(once("GET", Kind::Blob), Fault::redirect(&other.url()));
    let reply = get(&url).expect(307);
    let location = reply.expect_header("location").to_string();
    assert_eq!(location, url.replace(&reg.url(), &other.url()));
    let reply = request("GET", &location).header("Authorization", "Bearer x").send().expect(200);
    assert_eq!(reply.body, bytes);
    assert_eq!(reply.expect_header("x-from"), "storage");
    get(&format!("{}/else", other.url())).expect(404);
    let seen = other.requests();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].authorization.as_deref(), Some("Bearer x"));
    assert_eq!((seen[0].kind, seen[1].status), (Kind::Blob, 404));
    reg.inject(once("GET", Kind::Blob), Fault::Redirect { code: 302, to: other.url() });
    get(&url).expect(302);
    // Nothing is done at the place that sends elsewhere.
    reg.inject(once("PUT", Kind::Manifest), Fault::redirect(&other.url()));
    let put = request("PUT", &format!("{}/v2/a/manifests/1", reg.url()));
    put.header("Content-Type", OCI_INDEX).body("{}").send().expect(307);
    assert!(reg.tags("a").is_empty());
    assert_eq!(other.connections(), 2);
}

#[test]
fn upload_faults() {
    let reg = TestRegistry::start();
    let post =
        |query: &str| request("POST", &format!("{}/v2/a/blobs/uploads/{query}", reg.url())).send();
    let located = |form: Location| {
        reg.inject(once("POST", Kind::Upload), Fault::Location(form));
        post("").expect(202).header("location").map(String::from)
    };
    assert_eq!(located(Location::Missing), None);
    let relative = located(Location::Relative).expect("a location");
    assert!(relative.starts_with("/v2/a/blobs/uploads/") && relative.contains("?_state="));
    let bare = located(Location::Bare).expect("a location");
    assert!(bare.starts_with("/v2/a/") && !bare.contains('?'));
    let away = located(Location::Under("http://127.0.0.2:1".into())).expect("a location");
    assert!(away.starts_with("http://127.0.0.2:1/v2/a/blobs/uploads/"));
    assert_eq!(located(Location::Exactly("x".into())).as_deref(), Some("x"));
    // A session works under every true form of its Location.
    let end = format!("{}{bare}?digest={}", reg.url(), sha256("x"));
    request("PUT", &end).body("x").send().expect(201);

    let blob = reg.put_blob("b", "y");
    reg.inject(once("POST", Kind::Upload), Fault::RefuseMount);
    let mount = format!("?mount={blob}&from=b");
    assert!(post(&mount).expect(202).header("location").is_some());
    assert!(!reg.has_blob("a", &blob));
    post(&mount).expect(201);

    // 201, and then nothing there.
    reg.inject(once("POST", Kind::Upload), Fault::Forget);
    let lost = sha256("");
    post(&format!("?digest={lost}")).expect(201);
    get(&format!("{}/v2/a/blobs/{lost}", reg.url())).expect(404);
    reg.inject(once("PUT", Kind::Manifest), Fault::Forget);
    let put = request("PUT", &format!("{}/v2/a/manifests/1", reg.url()));
    put.header("Content-Type", OCI_INDEX).body("{}").send().expect(201);
    assert!(reg.manifest("a", "1").is_none());
}

#[test]
fn paging_faults() {
    let reg = TestRegistry::start();
    reg.tag("a", "x", &sha256("x"));
    let url = format!("{}/v2/a/tags/list", reg.url());
    let again = "</v2/a/tags/list?last=w>; rel=\"next\"";
    let endless = reg.inject(always("GET", Kind::Tags), Fault::set("Link", again));
    for _ in 0..3 {
        let reply = get(&format!("{url}?last=w")).expect(200);
        assert_eq!(reply.expect_header("link"), again);
        assert_eq!(reply.json()["tags"], json!(["x"]));
    }
    assert_eq!(endless.fired(), 3);
}

#[test]
fn counts_what_runs_at_once() {
    let (reg, url, _) = with_blob(1000);
    reg.inject(always("GET", Kind::Blob).times(3), Fault::StallAfter(10));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| request("GET", &url).patience(Duration::from_secs(3)).send());
        }
    });
    assert_eq!(reg.most_in_flight(Kind::Blob), 3);
    // The server sees that the clients are gone in its own time.
    while reg.most_in_flight(Kind::Blob) != 0 {
        reg.clear_log();
    }
    for _ in 0..20 {
        get(&url).expect(200);
    }
    assert_eq!(reg.most_in_flight(Kind::Blob), 1, "one after the other");
}
