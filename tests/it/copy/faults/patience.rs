//! Busy registries, failing ones and silent ones: how often they are asked again, and how soon.

use std::process::Command;
use std::time::{Duration, Instant};

use super::Fixture;
use crate::support::image::{image, layer};
use crate::support::log::{Kind, Logged};
use crate::support::program::Sandbox;
use crate::support::raw::RawServer;
use crate::support::registry::{Fault, TestRegistry, always, once};

/// Every kind of request that a copy makes.
const VERBS: [(&str, Kind); 9] = [
    ("GET", Kind::Token),
    ("GET", Kind::Manifest),
    ("GET", Kind::Blob),
    ("HEAD", Kind::Manifest),
    ("HEAD", Kind::Blob),
    ("POST", Kind::Upload),
    ("PATCH", Kind::Upload),
    ("PUT", Kind::Upload),
    ("PUT", Kind::Manifest),
];

/// A copy of two layers between two registries with every verb in it but `HEAD` of blobs.
fn copy_with_every_verb(inject: impl Fn(&TestRegistry)) -> (Sandbox, TestRegistry, TestRegistry) {
    let from = TestRegistry::builder().token_auth("user", "secret").start();
    let to = TestRegistry::builder().tokens_from(&from).start();
    let built =
        image().layer(layer().noise("a", 100_000, 1)).layer(layer().noise("b", 30_000, 2)).build();
    built.push(&from, "app", "1");
    inject(&from);
    inject(&to);
    let sandbox = Sandbox::new();
    sandbox
        .copy(["--retry-delay", "5ms", "--upload-piece", "40000"])
        .args(["--src-creds", "user:secret", "--dest-creds", "user:secret"])
        .args([from.image("app:1"), to.image("app:1")])
        .run()
        .success();
    to.assert_whole("app");
    assert_eq!(to.tags("app"), ["1"]);
    (sandbox, from, to)
}

#[test]
fn every_verb_is_asked_again() {
    for fault in [
        Fault::error(429, "TOOMANYREQUESTS", "slow down").header("Retry-After", "0"),
        Fault::error(429, "TOOMANYREQUESTS", "slow down")
            .header("Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT"),
        Fault::status(503),
        Fault::LoseReply,
    ] {
        let (_, from, to) = copy_with_every_verb(|registry| {
            for (method, kind) in VERBS {
                registry.inject(once(method, kind), fault.clone());
            }
        });
        for (method, kind) in VERBS {
            let asked: usize = [&from, &to].map(|r| r.count(method, kind)).iter().sum();
            // What only looks ahead is not worth a second request.
            let needed = method != "HEAD";
            assert!(!needed || asked >= 2, "{method} {kind:?}: {asked}\n{}", to.log_text());
        }
    }
}

/// The pause between the first two requests for the same.
fn pause(requests: &[Logged], method: &str, part: &str) -> Duration {
    let is_it = |r: &&Logged| r.method == method && r.path_and_query.contains(part);
    let mut of_kind = requests.iter().filter(is_it);
    let (first, second) = (of_kind.next().expect("a request"), of_kind.next().expect("another"));
    second.at - first.at
}

#[test]
fn retry_after_is_obeyed_for_manifests_and_blobs() {
    let refused = |after: &str| Fault::status(429).header("Retry-After", after);
    let output = Command::new("date")
        .args(["-u", "-d", "+3 seconds", "+%a, %d %b %Y %H:%M:%S GMT"])
        .output()
        .expect("date");
    let date = String::from_utf8(output.stdout).expect("text");
    let begun = Instant::now();
    let to = TestRegistry::start();
    let f = Fixture::new(1000);
    let layer = &f.layer()["sha256:".len()..];
    to.inject(once("PUT", Kind::Upload).path(layer), refused("1"));
    to.inject(once("PUT", Kind::Manifest), refused("1"));
    to.inject(once("HEAD", Kind::Manifest), refused(date.trim()));
    f.to(&to.image("app:1")).run().success();
    to.assert_whole("app");
    let requests = to.requests();
    for part in [layer, "/manifests/1"] {
        assert!(pause(&requests, "PUT", part) >= Duration::from_secs(1), "{part}");
    }
    let second = requests.iter().filter(|r| r.method == "HEAD").nth(1).expect("another");
    assert!(second.at - begun >= Duration::from_secs(2));
}

#[test]
fn nonsense_in_retry_after() {
    let f = Fixture::new(1000);
    for (number, value) in ["-1", "soon", "1e9"].into_iter().enumerate() {
        let when = once("GET", Kind::Manifest).after(number);
        f.registry.inject(when, Fault::status(429).header("Retry-After", value));
    }
    f.pull().run().success();
    assert_eq!(f.registry.count("GET", Kind::Manifest), 4);
}

#[test]
fn failing_servers() {
    for status in [500, 502, 503, 504, 408] {
        for kind in [Kind::Manifest, Kind::Blob] {
            let f = Fixture::new(1000);
            let failing = f.registry.inject(once("GET", kind).times(3), Fault::status(status));
            f.pull().run().success();
            assert_eq!(failing.fired(), 3);
            f.assert_pulled();
        }
        let f = Fixture::new(1000);
        let failing = f.registry.inject(always("GET", Kind::Manifest), Fault::status(status));
        let code = f.pull().args(["--retry-times", "2"]).run().fails(5);
        code.says(&status.to_string()).says("3 attempts");
        assert_eq!(failing.fired(), 3);
    }
}

#[test]
fn failing_servers_while_writing() {
    for (method, kind) in [("POST", Kind::Upload), ("PUT", Kind::Upload), ("PUT", Kind::Manifest)] {
        let (f, to) = (Fixture::new(1000), TestRegistry::start());
        let failing = to.inject(once(method, kind).times(3), Fault::status(502));
        f.to(&to.image("app:1")).run().success();
        assert_eq!(failing.fired(), 3);
        to.assert_whole("app");

        let (f, to) = (Fixture::new(1000), TestRegistry::start());
        to.inject(always(method, kind), Fault::status(502));
        let output = f.to(&to.image("app:1")).args(["--retry-times", "2"]).run().fails(5);
        output.says("502").says(method);
        assert!(to.tags("app").is_empty());
    }
}

#[test]
fn what_repetition_does_not_cure_is_asked_once() {
    for (status, code) in [(400, 1), (404, 3), (403, 4), (410, 1), (501, 1)] {
        let f = Fixture::new(1000);
        let refused = f.registry.inject(always("GET", Kind::Manifest), Fault::status(status));
        let output = f.pull().run();
        assert!(matches!(output.code(), Some(1 | 3 | 4 | 5)), "{status}: {output}");
        if status != 410 && status != 501 {
            output.fails(code);
        }
        assert_eq!(refused.fired(), 1, "{status}");
    }
}

#[test]
fn silence_ends_in_bounded_time() {
    let patience = ["--stall-timeout", "300ms", "--retry-times", "1"];
    let server = RawServer::silent();
    let sandbox = Sandbox::new();
    let source = format!("docker://{}/app:1", server.host());
    let output = sandbox.copy(patience).args([&source, "store:x"]).run().fails(5);
    output.says("no answer in time").says(&server.host());
    for (method, kind) in [("GET", Kind::Manifest), ("GET", Kind::Blob)] {
        let f = Fixture::new(1000);
        let hung = f.registry.inject(always(method, kind), Fault::Hang);
        f.pull().args(patience).run().fails(5).says("no answer in time");
        assert!(hung.fired() >= 2);
    }
    for (method, kind) in [
        ("HEAD", Kind::Manifest),
        ("POST", Kind::Upload),
        ("PUT", Kind::Upload),
        ("PUT", Kind::Manifest),
    ] {
        let (f, to) = (Fixture::new(1000), TestRegistry::start());
        let hung = to.inject(always(method, kind), Fault::Hang);
        f.to(&to.image("app:1")).args(patience).run().fails(5).says("no answer in time");
        assert!(hung.fired() >= 2, "{method} {kind:?}");
        assert!(to.tags("app").is_empty());
    }
}

#[test]
fn what_is_not_http() {
    for answer in [
        "SSH-2.0-OpenSSH_9.2\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(1 << 20)),
        format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(5000)),
        "HTTP/1.1 200 OK\r\nX\u{1}\u{1b}Y: z\r\n\r\n".to_owned(),
        "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100_000),
        String::new(),
    ] {
        let server = RawServer::answering(answer);
        let sandbox = Sandbox::new();
        let source = format!("docker://{}/app:1", server.host());
        let patience = ["--stall-timeout", "2s", "--retry-times", "0"];
        let output = sandbox.copy(patience).args([&source, "store:x"]).run();
        assert!(matches!(output.code(), Some(1 | 5 | 6)), "{output}");
        output.says(&server.host()).hides("\u{1b}").hides("panicked");
    }
}
