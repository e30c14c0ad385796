//! Answers that are too large, contradict themselves, or are meant to confuse.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::Fixture;
use crate::support::http::RecordingServer;
use crate::support::image::{Built, OCI_INDEX, OCI_MANIFEST, index, small};
use crate::support::log::Kind;
use crate::support::program::Sandbox;
use crate::support::registry::{Fault, TestRegistry, always, once};

/// More memory than any of these answers may cost.
const MEMORY: u64 = 150 << 20;

#[test]
fn head_that_is_not_allowed() {
    let f = Fixture::new(10_000);
    let to = TestRegistry::start();
    for _ in 0..2 {
        to.inject(always("HEAD", Kind::Manifest), Fault::status(405));
        to.inject(always("HEAD", Kind::Blob), Fault::status(405));
        f.to(&to.image("app:1")).run().success();
        to.assert_whole("app");
    }
    f.registry.inject(always("HEAD", Kind::Manifest), Fault::status(405));
    let output = f.sandbox.copy(["digest", &f.registry.image("app:1")]).run().success();
    assert_eq!(output.stdout.trim(), f.built.root.digest);
}

#[test]
fn head_that_says_little() {
    for fault in
        [Fault::NoLength, Fault::unset("Docker-Content-Digest"), Fault::unset("Content-Type")]
    {
        let f = Fixture::new(10_000);
        let to = TestRegistry::start();
        for registry in [&f.registry, &to] {
            registry.inject(always("HEAD", Kind::Manifest), fault.clone());
        }
        f.to(&to.image("app:1")).run().success();
        let again = f.to(&to.image("app:1")).args(["--json"]).run().success().json();
        assert_eq!(again["digest"], f.built.root.digest);
        let output = f.sandbox.copy(["digest", &f.registry.image("app:1")]).run().success();
        assert_eq!(output.stdout.trim(), f.built.root.digest);
    }
}

#[test]
fn manifests_that_are_not_what_was_asked_for() {
    let wrong = crate::support::content::sha256("another");
    let f = Fixture::new(1000);
    f.registry.inject(always("GET", Kind::Manifest), Fault::set("Docker-Content-Digest", &wrong));
    f.pull().run().fails(6).says(&wrong);
    f.registry.clear_faults();
    // Another image under the digest that was asked for.
    let other = small("linux/amd64").build();
    let bytes = other.root_bytes().clone();
    f.registry.inject(always("GET", Kind::Manifest), Fault::replace(bytes));
    f.registry.inject(always("GET", Kind::Manifest), Fault::unset("Docker-Content-Digest"));
    let source = f.registry.image(&format!("app@{}", f.built.root.digest));
    let target = format!("oci:{}:x", f.sandbox.path("out").display());
    f.sandbox.copy([&source, &target]).run().fails(6).says(&f.built.root.digest);
    f.assert_nothing_named();
}

#[test]
fn content_types() {
    for (fault, fine) in [
        (Fault::set("Content-Type", &format!("{OCI_MANIFEST}; charset=utf-8")), true),
        (Fault::set("Content-Type", "application/json"), true),
        (Fault::unset("Content-Type"), true),
        (Fault::set("Content-Type", OCI_INDEX), false),
    ] {
        let f = Fixture::new(1000);
        f.registry.inject(always("GET", Kind::Manifest), fault);
        let output = f.pull().run();
        match fine {
            true => {
                output.success();
                f.assert_pulled();
            }
            false => {
                assert!(matches!(output.code(), Some(1 | 6)), "{output}");
                f.assert_nothing_named();
            }
        }
    }
}

#[test]
fn what_is_no_manifest() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for body in ["", "{}", "null", "<html>log in</html>", "\u{feff}{}", &deep] {
        let f = Fixture::new(1000);
        f.registry.inject(always("GET", Kind::Manifest), Fault::replace(body));
        f.registry.inject(always("GET", Kind::Manifest), Fault::unset("Docker-Content-Digest"));
        let output = f.pull().run();
        assert!(matches!(output.code(), Some(1 | 6)), "{body:.20}: {output}");
        output.hides("panicked");
    }
}

#[test]
fn answers_that_are_too_large() {
    let large = json!({"schemaVersion": 2, "x": "x".repeat(5 << 20)}).to_string();
    for fault in [Fault::replace(large), Fault::Endless, Fault::ClaimLength(1 << 60)] {
        let f = Fixture::new(1000);
        f.registry.inject(always("GET", Kind::Manifest), fault);
        let output = f.pull().run().fails(1).says("limit");
        assert!(output.peak_memory < MEMORY, "{}", output.peak_memory);
    }
    for (kind, args) in [(Kind::Tags, vec!["tags", "app"]), (Kind::Blob, vec!["digest", "app:1"])] {
        let f = Fixture::new(1000);
        f.registry.inject(always("GET", kind), Fault::Endless);
        let place = f.registry.image(args[1]);
        let output = f.sandbox.copy([args[0], &place]).run();
        if kind == Kind::Tags {
            assert!(output.peak_memory < MEMORY, "{}", output.peak_memory);
            output.fails(1).says("limit");
        }
    }
    // A config that says of itself that it is huge.
    let f = Fixture::new(1000);
    let mut manifest = f.built.root_json();
    manifest["config"]["size"] = json!(100 << 20);
    f.registry.put_manifest("app", Some("huge"), OCI_MANIFEST, manifest.to_string());
    let source = f.registry.image("app:huge");
    let output = f.sandbox.copy([&source, "store:x"]).run();
    assert!(matches!(output.code(), Some(1 | 6)), "{output}");
}

#[test]
fn token_servers_that_never_end() {
    let registry = TestRegistry::builder().token_auth("user", "secret").start();
    let f = Fixture::on(registry, 1000);
    f.registry.inject(always("*", Kind::Token), Fault::Endless);
    let output = f.pull().args(["--src-creds", "user:secret"]).run();
    assert!(output.peak_memory < MEMORY, "{}", output.peak_memory);
    output.fails(1).says("limit").hides("secret");
}

#[test]
fn error_bodies_are_shown_safely() {
    let evil = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{202e}gnp.exe\r\nsecond line ";
    let message = evil.repeat(200_000);
    let token = "registry-token-value";
    for body in [
        json!({"errors": [{"code": "DENIED\u{1b}[1m", "message": message}]}).to_string(),
        message.clone(),
        format!("you sent Bearer {token} and that is wrong"),
    ] {
        let f = Fixture::on(TestRegistry::builder().token_auth("u", "p").start(), 1000);
        for style in ["plain", "json"] {
            f.registry.clear_faults();
            // The first 401 makes the program show its token.
            f.registry.inject(
                always("GET", Kind::Manifest).after(1),
                Fault::status(403).body(body.as_str()),
            );
            let output = f
                .pull()
                .args(["--progress", style, "--src-registry-token", token])
                .run()
                .fails(4)
                .says("403");
            assert!(output.stderr.len() < 10_000, "{} bytes", output.stderr.len());
            output.hides("\u{1b}").hides("\u{7}").hides("\u{202e}").hides(token);
        }
    }
    let f = Fixture::new(1000);
    f.registry.inject(always("GET", Kind::Manifest), Fault::status(403));
    f.registry.inject(always("GET", Kind::Manifest), Fault::Endless);
    let output = f.pull().run().fails(4).says("403");
    assert!(output.peak_memory < MEMORY, "{}", output.peak_memory);
}

#[test]
fn warnings_are_shown_safely() {
    let f = Fixture::new(1000);
    f.registry.inject(
        always("GET", Kind::Manifest),
        Fault::set("Warning", "299 - \"moved to elsewhere\""),
    );
    f.pull().run().success().says("moved to elsewhere");
}

/// `tags` of a registry whose lists of tags never end.
fn endless_tags(next: impl Fn(usize) -> String + Send + Sync + 'static) -> (TestRegistry, Sandbox) {
    let (registry, sandbox) = (TestRegistry::start(), Sandbox::new());
    small("linux/amd64").build().push(&registry, "app", "1");
    let count = AtomicUsize::new(0);
    let link = Fault::edit(move |reply| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        reply.set_header("Link", &format!("<{}>; rel=\"next\"", next(number)));
    });
    registry.inject(always("GET", Kind::Tags), link);
    (registry, sandbox)
}

#[test]
fn pages_without_end() {
    let (registry, sandbox) = endless_tags(|n| format!("/v2/app/tags/list?last=x{n}"));
    sandbox.copy(["tags", &registry.image("app")]).run().fails(1).says("10000 pages");
    assert_eq!(registry.count("GET", Kind::Tags), 10_000);
    let (registry, sandbox) = endless_tags(|_| "/v2/app/tags/list?last=x".to_owned());
    sandbox.copy(["tags", &registry.image("app")]).run().fails(1).says("read already");
    assert_eq!(registry.count("GET", Kind::Tags), 2);
}

#[test]
fn pages_of_another_host() {
    let other = RecordingServer::start();
    let url = other.url().replace("127.0.0.1", "localhost");
    let (registry, sandbox) = endless_tags(move |_| format!("{url}/v2/app/tags/list?last=x"));
    sandbox.copy(["tags", &registry.image("app")]).run().fails(1).says("read already");
    assert_eq!(other.connections(), 0);
    let url = other.url();
    let (registry, sandbox) = endless_tags(move |n| match n {
        0 => format!("{url}/v2/app/tags/list?last=x"),
        _ => "ftp://x/".to_owned(),
    });
    assert_ne!(sandbox.copy(["tags", &registry.image("app")]).run().code(), Some(0));
    assert_eq!(other.connections(), 0);
}

/// An index in an index, so many times.
fn nested(depth: usize) -> Built {
    let mut built = index().image(small("linux/amd64")).build();
    for _ in 1..depth {
        built = index().child(built).build();
    }
    built
}

#[test]
fn indexes_that_are_nested_too_deep() {
    let (registry, sandbox) = (TestRegistry::start(), Sandbox::new());
    nested(3).push(&registry, "app", "fine");
    sandbox.copy(["--all", &registry.image("app:fine"), "store:x"]).run().success();
    nested(40).push(&registry, "app", "deep");
    for args in [vec!["--all"], vec![]] {
        let output =
            sandbox.copy(args).args([&registry.image("app:deep"), "store:y"]).run().fails(1);
        output.says("nested");
    }
}

#[test]
fn indexes_that_are_too_wide() {
    let (registry, sandbox) = (TestRegistry::start(), Sandbox::new());
    let child = |n: usize| {
        let digest = crate::support::content::sha256(n.to_string());
        json!({"mediaType": OCI_MANIFEST, "size": 500, "digest": digest})
    };
    let children: Vec<_> = (0..22_000).map(child).collect();
    let wide = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children});
    registry.put_manifest("app", Some("wide"), OCI_INDEX, wide.to_string());
    registry.clear_log();
    let source = registry.image("app:wide");
    sandbox.copy(["--all", &source, "store:x"]).run().fails(1).says("20000 manifests");
    assert_eq!(registry.requests().len(), 1);
}

#[test]
fn a_tag_that_changes_between_two_requests() {
    let f = Fixture::new(1000);
    let to = TestRegistry::start();
    let other = small("linux/arm64").build();
    other.push_untagged(&f.registry, "app");
    f.registry.inject(once("GET", Kind::Manifest), Fault::replace(other.root_bytes().clone()));
    let digest = Fault::set("Docker-Content-Digest", &other.root.digest);
    f.registry.inject(once("GET", Kind::Manifest), digest);
    let output = f.to(&to.image("app:1")).run();
    if output.code() == Some(0) {
        let stored = to.tags("app");
        assert_eq!(stored, ["1"]);
        to.assert_whole("app");
    } else {
        assert!(to.tags("app").is_empty(), "{output}");
    }
}
