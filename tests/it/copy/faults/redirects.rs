//! Other hosts that a registry sends us to: they never learn who we are.

use super::Fixture;
use crate::support::http::RecordingServer;
use crate::support::log::Kind;
use crate::support::registry::{Fault, TestRegistry, always, once};

/// A host that has the layer and remembers what it was told.
fn storage(f: &Fixture) -> RecordingServer {
    let other = RecordingServer::start();
    let layer = f.built.image().layers[0].content.clone();
    other.answer(f.layer(), 200, &[], layer);
    other
}

#[track_caller]
fn assert_told_nothing(other: &RecordingServer) {
    for request in other.requests() {
        assert_eq!(request.authorization, None);
        assert_eq!(request.header("cookie"), None);
        let text = format!("{request:?}");
        assert!(!text.contains("secret") && !text.contains("c2VjcmV0"), "{text}");
    }
}

#[test]
fn blobs_of_another_host_are_fetched_without_credentials() {
    let token = TestRegistry::builder().token_auth("user", "secret").start();
    let basic = TestRegistry::builder().basic_auth("user", "secret").start();
    for registry in [token, basic] {
        for code in [301, 302, 303, 307, 308] {
            let f = Fixture::on(TestRegistry::start(), 10_000);
            f.built.push(&registry, "app", "1");
            let other = storage(&f);
            registry.clear_faults();
            let to = Fault::Redirect { code, to: other.url() };
            registry.inject(always("GET", Kind::Blob).path(f.layer()), to);
            let target = format!("oci:{}:x", f.sandbox.path("out").display());
            f.sandbox
                .copy(["--src-creds", "user:secret", &registry.image("app:1"), &target])
                .run()
                .success();
            f.assert_pulled();
            assert_eq!(other.requests().len(), 1);
            assert_told_nothing(&other);
        }
    }
}

#[test]
fn a_cut_at_another_host_goes_on_from_the_registry() {
    let f = Fixture::new(200_000);
    let storage = TestRegistry::start();
    f.built.push(&storage, "app", "1");
    storage.inject(once("GET", Kind::Blob), Fault::DropAfter(50_000));
    f.registry.inject(always("GET", Kind::Blob).path(f.layer()), Fault::redirect(&storage.url()));
    f.pull().run().success();
    f.assert_pulled();
    let ranges: Vec<_> = storage.requests().into_iter().map(|r| r.range).collect();
    assert_eq!(ranges, [None, Some(format!("bytes=50000-{}", f.size() - 1))]);
    // Pointers to storage expire: the registry was asked for a new one.
    assert_eq!(f.layer_requests().len(), 2);
}

#[test]
fn manifests_of_a_host_that_wants_to_know_us() {
    let registry = TestRegistry::builder().token_auth("user", "secret").start();
    let f = Fixture::on(registry, 1000);
    let other = RecordingServer::start();
    for challenge in
        ["Basic realm=\"x\"".to_owned(), format!("Bearer realm=\"{}/token\"", other.url())]
    {
        other.answer("/v2/", 401, &[("WWW-Authenticate", &challenge)], "");
        f.registry.clear_faults();
        f.registry.inject(always("GET", Kind::Manifest), Fault::redirect(&other.url()));
        let output = f.pull().args(["--src-creds", "user:secret"]).run();
        assert!(matches!(output.code(), Some(1 | 4)), "{output}");
        output.hides("secret");
        assert!(!other.requests().is_empty());
        assert_told_nothing(&other);
    }
}

#[test]
fn redirects_without_end() {
    let f = Fixture::new(1000);
    let again =
        f.registry.inject(always("GET", Kind::Manifest), Fault::redirect(&f.registry.url()));
    f.pull().run().fails(1).says("redirects");
    assert_eq!(again.fired(), 11);
}

#[test]
fn redirects_to_nowhere() {
    for to in ["ftp://127.0.0.1", "file://", "http://", "javascript:"] {
        let f = Fixture::new(1000);
        f.registry.inject(always("GET", Kind::Blob), Fault::redirect(to));
        let output = f.pull().args(["--retry-times", "0"]).run();
        assert!(matches!(output.code(), Some(1 | 5)), "{to}: {output}");
        f.assert_nothing_named();
    }
}

#[test]
fn https_becomes_http_only_without_verification() {
    let f = Fixture::on(TestRegistry::builder().tls().start(), 10_000);
    let other = storage(&f);
    f.registry.inject(always("GET", Kind::Blob).path(f.layer()), Fault::redirect(&other.url()));
    let verified = f.pull().arg("--src-cert-dir").arg(certificates(&f)).run();
    verified.fails(4).says("from https to http");
    assert_eq!(other.connections(), 0);
    // Who takes any certificate has no encryption to lose, and asked for plain HTTP too.
    f.pull().arg("--src-tls-verify=false").run().success();
    f.assert_pulled();
    assert_told_nothing(&other);
}

/// A directory that makes the registry's authority trusted.
fn certificates(f: &Fixture) -> std::path::PathBuf {
    let authority = std::fs::read(f.registry.ca_path()).expect("a certificate");
    f.sandbox.write("certs/ca.crt", authority);
    f.sandbox.path("certs")
}
