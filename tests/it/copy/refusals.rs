//! Registries that refuse what others allow, or answer it wrongly: there is mostly another way.

use crate::support::content::sha256;
use crate::support::image::{Built, image, index, layer, small};
use crate::support::log::Kind;
use crate::support::program::Sandbox;
use crate::support::registry::{Fault, TestRegistry, always};

const PAGE: &str = "<!DOCTYPE html><html><title>Sign in</title></html>";

fn app() -> Built {
    image().layer(layer().noise("data", 100_000, 3)).build()
}

fn web_page(status: u16) -> Fault {
    Fault::status(status).header("Content-Type", "text/html; charset=utf-8").body(PAGE)
}

/// Wrong answers to HEAD.
fn lies() -> Vec<(String, Fault)> {
    let mut lies: Vec<_> = [400, 401, 403, 404, 405, 429 - 8, 500, 501, 502, 503]
        .map(|status| (status.to_string(), Fault::status(status)))
        .into();
    lies.push(("page".into(), web_page(200)));
    lies.push(("redirect".into(), Fault::status(307).header("Location", "/v2/nowhere")));
    lies
}

#[test]
fn a_push_goes_on_whatever_head_says() {
    for (what, lie) in lies() {
        for kind in [Kind::Manifest, Kind::Blob] {
            let registry = TestRegistry::start();
            let sandbox = Sandbox::new();
            app().push(&registry, "app", "1");
            // An older image there makes the copy look ahead at blobs, too.
            small("linux/amd64").build().push(&registry, "copy", "1");
            registry.inject(always("HEAD", kind), lie.clone());
            let (from, to) = (registry.image("app:1"), registry.image("copy:1"));
            sandbox.copy(["--retry-times=0", &from, &to]).run().success();
            assert_eq!(
                registry.manifest("copy", "1").map(|it| it.digest),
                Some(app().root.digest.clone()),
                "{what}"
            );
            registry.assert_whole("copy");
        }
    }
}

#[test]
fn a_digest_is_asked_for_again_by_get() {
    for (what, lie) in lies() {
        let registry = TestRegistry::start();
        let sandbox = Sandbox::new();
        app().push(&registry, "app", "1");
        registry.inject(always("HEAD", Kind::Manifest), lie);
        let found = sandbox.copy(["digest", "--retry-times=0", &registry.image("app:1")]).run();
        assert_eq!(found.stdout.trim(), app().root.digest, "{what}: {found}");
        sandbox.copy(["digest", "--retry-times=0", &registry.image("app:2")]).run().fails(3);
    }
}

#[test]
fn no_clobber_counts_on_get_alone() {
    for (what, lie) in lies() {
        let registry = TestRegistry::start();
        let sandbox = Sandbox::new();
        app().push(&registry, "app", "1");
        let old = small("linux/amd64").build();
        old.push(&registry, "copy", "1");
        registry.inject(always("HEAD", Kind::Manifest), lie);
        let from = registry.image("app:1");
        let copy = |to: &str| sandbox.copy(["-n", "--retry-times=0", &from, &registry.image(to)]);
        copy("copy:1").run().success();
        assert_eq!(registry.manifest("copy", "1").unwrap().digest, old.root.digest, "{what}");
        copy("copy:2").run().success();
        assert_eq!(registry.manifest("copy", "2").unwrap().digest, app().root.digest, "{what}");
    }
    // Who cannot be sure does not write.
    let registry = TestRegistry::start();
    app().push(&registry, "app", "1");
    registry.inject(always("GET", Kind::Manifest).path("/copy/"), Fault::status(403));
    let (from, to) = (registry.image("app:1"), registry.image("copy:1"));
    Sandbox::new().copy(["-n", "--retry-times=0", &from, &to]).run().fails(4);
    assert_eq!(registry.count("PUT", Kind::Manifest), 0);
}

#[test]
fn a_mount_that_fails_becomes_an_upload() {
    for status in [400, 401, 403, 404, 405, 409, 415, 500, 501, 502, 503] {
        let registry = TestRegistry::start();
        let sandbox = Sandbox::new();
        app().push(&registry, "app", "1");
        registry.inject(always("POST", Kind::Upload).path("mount="), Fault::status(status));
        let (from, to) = (registry.image("app:1"), registry.image("copy:1"));
        sandbox.copy(["--retry-times=2", "--retry-delay=5ms", &from, &to]).run().success();
        registry.assert_whole("copy");
        let mounts = registry.requests().into_iter();
        let mounts = mounts.filter(|r| r.path_and_query.contains("mount=")).count();
        assert!(mounts <= 2, "{status}: no mount is tried twice: {mounts}");
    }
}

#[test]
fn a_format_that_is_refused_is_converted() {
    let refusals = [
        (415, "UNSUPPORTED"),
        (400, "MANIFEST_INVALID"),
        (400, "TAG_INVALID"),
        (405, "UNSUPPORTED"),
        (406, ""),
        (422, "MANIFEST_INVALID"),
    ];
    let whole = index().image(small("linux/amd64")).image(small("linux/arm64")).build();
    for built in [app(), whole] {
        for (status, code) in refusals {
            let registry = TestRegistry::start();
            let sandbox = Sandbox::new();
            built.write_layout(&sandbox.work("layout"), Some("1"));
            let refusal = Fault::error(status, code, "manifest invalid");
            let oci = always("PUT", Kind::Manifest).header("Content-Type", "vnd.oci.image");
            registry.inject(oci, refusal);
            let to = registry.image("app:1");
            let copied = sandbox.copy(["--retry-times=0", "oci:layout:1", &to]).run().success();
            copied.says("converting it to Docker format");
            let stored = registry.manifest("app", "1").expect("a manifest");
            assert!(stored.media_type.contains("vnd.docker.distribution"), "{}", stored.media_type);
            registry.assert_whole("app");
            for forbids in ["--preserve-digests", "--format=oci"] {
                let to = registry.image("other:1");
                let args = ["--retry-times=0", forbids, "oci:layout:1", &to];
                sandbox.copy(args).run().fails(1).says("--format docker");
                assert!(registry.manifest("other", "1").is_none());
            }
        }
    }
}

#[test]
fn a_refusal_for_another_reason_is_told_as_it_is() {
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new();
    app().write_layout(&sandbox.work("layout"), Some("1"));
    let refusal = Fault::error(400, "MANIFEST_INVALID", "the quota is used up");
    registry.inject(always("PUT", Kind::Manifest), refusal);
    let to = registry.image("app:1");
    sandbox.copy(["--retry-times=0", "oci:layout:1", &to]).run().fails(1).says("quota");
}

#[test]
fn who_takes_no_whole_blob_gets_pieces() {
    for status in [400, 404, 405, 411, 413, 415, 500, 501] {
        let registry = TestRegistry::start();
        let sandbox = Sandbox::new();
        app().write_layout(&sandbox.work("layout"), Some("1"));
        registry.inject(
            always("PUT", Kind::Upload).header("Content-Type", "octet-stream").with_body(),
            Fault::status(status),
        );
        let to = registry.image("app:1");
        let args = ["--retry-times=1", "--retry-delay=5ms", "-j1", "oci:layout:1", &to];
        sandbox.copy(args).run().success();
        registry.assert_whole("app");
        assert!(registry.count("PATCH", Kind::Upload) >= 2, "{status}");
    }
}

#[test]
fn a_web_page_is_told_as_such() {
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new();
    app().push(&registry, "app", "1");
    let host = registry.host();
    for (kind, args) in [
        (Kind::Manifest, vec![registry.image("app:1"), "oci:out:1".to_owned()]),
        (Kind::Tags, vec!["tags".to_owned(), format!("{host}/app")]),
        (Kind::Ping, vec!["login".into(), "-u=a".into(), "-p=b".into(), host.clone()]),
    ] {
        registry.clear_faults();
        registry.inject(always("GET", kind), web_page(200));
        sandbox.copy(&args).arg("--retry-times=0").run();
        let failed = sandbox.copy(&args).run().fails(1);
        failed.says("web page");
    }
    registry.clear_faults();
    registry.inject(always("GET", Kind::Manifest), Fault::status(200).body(PAGE));
    sandbox.copy([&registry.image("app:1"), "oci:out:1"]).run().fails(1).says("web page");
}

#[test]
fn digests_are_compared_in_their_own_algorithm() {
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new();
    let built = app();
    built.write_layout(&sandbox.work("layout"), Some("1"));
    // The registry names by another algorithm what it has stored.
    let other = format!("sha512:{}", "0".repeat(128));
    registry.inject(always("PUT", Kind::Upload), Fault::set("Docker-Content-Digest", &other));
    sandbox.copy(["oci:layout:1", &registry.image("app:1")]).run().success();
    registry.assert_whole("app");
    // A wrong digest of the same algorithm stays an error.
    registry.clear_faults();
    let wrong = sha256("something else");
    registry.inject(always("PUT", Kind::Manifest), Fault::set("Docker-Content-Digest", &wrong));
    sandbox.copy(["oci:layout:1", &registry.image("app:2")]).run().fails(6);
}
