//! Registries that are hard to write to.

use super::Fixture;
use crate::support::http::RecordingServer;
use crate::support::image::{image, layer};
use crate::support::log::Kind;
use crate::support::program::Sandbox;
use crate::support::registry::{Fault, Location, TestRegistry, always, once};

#[test]
fn a_refused_mount_has_begun_the_upload() {
    let f = Fixture::new(100_000);
    let refused = f.registry.inject(always("POST", Kind::Upload), Fault::RefuseMount);
    f.to(&f.registry.image("other:1")).run().success();
    f.registry.assert_whole("other");
    assert!(refused.fired() >= 1);
    let (posts, puts) =
        (f.registry.count("POST", Kind::Upload), f.registry.count("PUT", Kind::Upload));
    assert_eq!((posts, puts), (2, 2), "{}", f.registry.log_text());
    assert_eq!(f.registry.open_uploads("other"), 0);
}

#[test]
fn mounts_that_fail_do_not_fail_the_copy() {
    for status in [400, 401, 403, 404, 405] {
        let f = Fixture::new(10_000);
        let when = always("POST", Kind::Upload).path("mount=");
        let refused = f.registry.inject(when, Fault::error(status, "DENIED", "no mounts here"));
        f.to(&f.registry.image("other:1")).run().success();
        assert!(refused.fired() >= 1);
        f.registry.assert_whole("other");
    }
}

#[test]
fn locations_of_every_form() {
    for form in [Location::Absolute, Location::Relative, Location::Bare] {
        let f = Fixture::new(100_000);
        let to = TestRegistry::builder().location(form).start();
        f.to(&to.image("app:1")).run().success();
        to.assert_whole("app");
        let target = to.image("pieces:1");
        f.to(&target).args(["--upload-piece", "30000"]).run().success();
        to.assert_whole("pieces");
    }
}

#[test]
fn locations_that_lead_nowhere() {
    let long = format!("/{}", "x".repeat(20_000));
    for text in ["", "ftp://127.0.0.1/x", "http://[", "http:///", "file:///etc/passwd", &long] {
        let f = Fixture::new(1000);
        let to = TestRegistry::builder().location(Location::Exactly(text.to_owned())).start();
        let output = f.to(&to.image("app:1")).args(["--retry-times", "0"]).run();
        assert!(matches!(output.code(), Some(1 | 3 | 5)), "{text}: {output}");
        assert!(to.tags("app").is_empty());
    }
    let f = Fixture::new(1000);
    let to = TestRegistry::builder().location(Location::Missing).start();
    f.to(&to.image("app:1")).run().fails(1).says("where to upload to");
}

#[test]
fn a_location_on_another_host_sees_no_credentials() {
    let other = RecordingServer::start();
    let to = TestRegistry::builder()
        .basic_auth("user", "secret")
        .location(Location::Under(other.url()))
        .start();
    let f = Fixture::new(10_000);
    let output = f.to(&to.image("app:1")).args(["--dest-creds", "user:secret"]).run();
    assert_ne!(output.code(), Some(0));
    assert!(
        other.requests().iter().all(|r| r.authorization.is_none() && r.header("cookie").is_none())
    );
    assert!(to.tags("app").is_empty());
}

#[test]
fn uploads_that_are_cut_begin_again() {
    let f = Fixture::new(300_000);
    for fault in [Fault::DropRequestAfter(0), Fault::DropRequestAfter(100_000), Fault::LoseReply] {
        let to = TestRegistry::start();
        let cut = to.inject(once("PUT", Kind::Upload), fault);
        f.to(&to.image("app:1")).run().success();
        assert_eq!(cut.fired(), 1);
        to.assert_whole("app");
    }
}

#[test]
fn pieces_that_are_cut_go_on_where_they_stopped() {
    let f = Fixture::new(300_000);
    let to = TestRegistry::start();
    let when = once("PATCH", Kind::Upload).after(1);
    let cut = to.inject(when, Fault::DropRequestAfter(10_000));
    f.to(&to.image("app:1")).args(["--upload-piece", "100000"]).run().success();
    assert_eq!(cut.fired(), 1);
    to.assert_whole("app");
    let patches: Vec<_> = to.requests().into_iter().filter(|r| r.method == "PATCH").collect();
    let ranges: Vec<_> = patches.iter().filter_map(|r| r.header("content-range")).collect();
    assert!(ranges.contains(&"110000-199999"), "{ranges:?}");
    assert_eq!(to.open_uploads("app"), 0);
}

#[test]
fn a_blob_that_the_registry_forgot_fails_the_copy() {
    let f = Fixture::new(10_000);
    let to = TestRegistry::start();
    to.inject(always("PUT", Kind::Upload).path(&f.layer()["sha256:".len()..]), Fault::Forget);
    let output = f.to(&to.image("app:1")).run();
    assert!(matches!(output.code(), Some(1 | 3 | 6)), "{output}");
    output.says(f.layer());
    assert!(to.tags("app").is_empty());
    // The same when it does not say what it stored: then it is asked.
    to.clear_faults();
    let hex = &f.layer()["sha256:".len()..];
    to.inject(always("PUT", Kind::Upload).path(hex), Fault::Forget);
    to.inject(always("PUT", Kind::Upload), Fault::unset("Docker-Content-Digest"));
    to.clear_log();
    f.to(&to.image("app:1")).run().fails(6).says("does not have it");
    assert_eq!(to.count("PUT", Kind::Manifest), 0);
}

#[test]
fn a_blob_that_the_registry_forgot_once_is_sent_again() {
    let f = Fixture::new(10_000);
    for pieces in [&[][..], &["--upload-piece", "3000"]] {
        let to = TestRegistry::start();
        let hex = &f.layer()["sha256:".len()..];
        let lost = to.inject(once("PUT", Kind::Upload).path(hex), Fault::Forget);
        let output = f.to(&to.image("app:1")).args(pieces).run().success();
        output.says(f.layer()).says("sent again");
        assert_eq!(lost.fired(), 1);
        to.assert_whole("app");
        let puts = to.count("PUT", Kind::Manifest);
        assert_eq!(puts, 2, "{}", to.log_text());
    }
}

#[test]
fn refused_bodies_say_why() {
    let f = Fixture::new(3 << 20);
    for status in [413, 400, 403] {
        let to = TestRegistry::start();
        let refusal = Fault::error(status, "SIZE_INVALID", "at most 1 MiB here").early();
        to.inject(always("PUT", Kind::Upload), refusal);
        let output = f.to(&to.image("app:1")).args(["--retry-times", "1"]).run();
        assert_ne!(output.code(), Some(0));
        output.says("at most 1 MiB here").says(&status.to_string());
    }
    for (status, code) in [(413, "SIZE_INVALID"), (400, "MANIFEST_INVALID")] {
        let to = TestRegistry::start();
        let refusal = Fault::error(status, code, "not with us");
        let refused = to.inject(always("PUT", Kind::Manifest), refusal);
        f.to(&to.image("app:1")).run().fails(1).says("not with us").says("PUT");
        // It may be the format: the other one is tried once.
        assert_eq!(refused.fired(), 2);
    }
}

#[test]
fn a_wrong_digest_after_a_put_is_noticed() {
    let f = Fixture::new(10_000);
    let wrong = crate::support::content::sha256("another");
    for kind in [Kind::Upload, Kind::Manifest] {
        let to = TestRegistry::start();
        to.inject(always("PUT", kind), Fault::set("Docker-Content-Digest", &wrong));
        f.to(&to.image("app:1")).run().fails(6).says(&wrong);
    }
}

#[test]
fn one_failing_layer_of_six_stops_the_others() {
    let mut many = image();
    for seed in 0..6 {
        many = many.layer(layer().noise("data", 100_000, seed));
    }
    let (from, to, sandbox) = (TestRegistry::start(), TestRegistry::start(), Sandbox::new());
    let built = many.build();
    built.push(&from, "app", "1");
    let third = &built.image().layers[3].descriptor.digest;
    from.inject(always("GET", Kind::Blob).path(third), Fault::status(404));
    let output = sandbox.copy([from.image("app:1"), to.image("app:1")]).run().fails(3);
    output.says(third);
    assert_eq!(to.count("PUT", Kind::Manifest), 0);
    assert!(to.tags("app").is_empty());
}
