//! How many requests a copy needs. These numbers are promises: each one is a round trip.

use crate::support::image::{Built, image, index, layer, small};
use crate::support::log::Kind;
use crate::support::program::Sandbox;
use crate::support::registry::TestRegistry;

/// Four platforms that share a base layer: 5 manifests, 4 configs, 3 layers; 7 distinct blobs.
fn four_platforms() -> Built {
    let base = || layer().file("base", "shared by all\n");
    let second = || layer().file("lib", "shared by two\n");
    let third = || layer().file("bin", "of one\n");
    index()
        .image(image().platform("linux/amd64").layer(base()).layer(second()).layer(third()))
        .image(image().platform("linux/arm64").layer(base()).layer(second()))
        .image(image().platform("linux/arm/v7").layer(base()))
        .image(image().platform("linux/s390x").layer(base()))
        .build()
}

fn counts(registry: &TestRegistry) -> String {
    let mut parts = Vec::new();
    for (method, kind, name) in [
        ("GET", Kind::Ping, "ping"),
        ("HEAD", Kind::Manifest, "HEAD manifest"),
        ("GET", Kind::Manifest, "GET manifest"),
        ("PUT", Kind::Manifest, "PUT manifest"),
        ("HEAD", Kind::Blob, "HEAD blob"),
        ("GET", Kind::Blob, "GET blob"),
        ("POST", Kind::Upload, "POST"),
        ("PATCH", Kind::Upload, "PATCH"),
        ("PUT", Kind::Upload, "PUT blob"),
        ("DELETE", Kind::Upload, "DELETE upload"),
        ("GET", Kind::Token, "token"),
    ] {
        match registry.count(method, kind) {
            0 => {}
            count => parts.push(format!("{count} {name}")),
        }
    }
    format!("{} = {}", registry.requests().len(), parts.join(" + "))
}

#[test]
fn push_from_a_layout_and_again() {
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new();
    let built = four_platforms();
    built.write_layout(&sandbox.path("layout"), Some("v1"));
    let source = format!("oci:{}:v1", sandbox.path("layout").display());
    let target = registry.image("app:v1");

    sandbox.copy([&source, &target]).run().success();
    assert_eq!(counts(&registry), "20 = 1 HEAD manifest + 5 PUT manifest + 7 POST + 7 PUT blob");
    registry.assert_whole("app");

    registry.clear_log();
    sandbox.copy([&source, &target]).run().success();
    assert_eq!(counts(&registry), "1 = 1 HEAD manifest");
}

#[test]
fn several_tags_cost_a_manifest_each() {
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new();
    small("linux/amd64").build().write_layout(&sandbox.path("layout"), Some("v1"));
    let source = format!("oci:{}:v1", sandbox.path("layout").display());
    let target = registry.image("app:v1");
    sandbox.copy(["--additional-tag", "a,b", &source, &target]).run().success();
    assert_eq!(counts(&registry), "8 = 1 HEAD manifest + 3 PUT manifest + 2 POST + 2 PUT blob");
    assert_eq!(registry.tags("app"), ["a", "b", "v1"]);
    // They go on to more names without any content.
    registry.clear_log();
    sandbox.copy(["--additional-tag", "c", &source, &target]).run().success();
    assert_eq!(counts(&registry), "2 = 1 HEAD manifest + 1 PUT manifest");
}

#[test]
fn copy_inside_one_registry_and_again() {
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new();
    four_platforms().push(&registry, "app", "v1");
    let source = registry.image("app:v1");
    let target = registry.image("mirror/app:v1");

    registry.clear_log();
    sandbox.copy([&source, &target]).run().success();
    assert_eq!(
        counts(&registry),
        "18 = 1 HEAD manifest + 5 GET manifest + 5 PUT manifest + 7 POST"
    );
    registry.assert_whole("mirror/app");

    registry.clear_log();
    sandbox.copy([&source, &target]).run().success();
    assert_eq!(counts(&registry), "2 = 2 HEAD manifest");
}

#[test]
fn one_token_for_each_repository() {
    let registry = TestRegistry::builder().token_auth("user", "secret").start();
    let sandbox = Sandbox::new();
    let built = four_platforms();
    built.write_layout(&sandbox.path("layout"), Some("v1"));
    sandbox.log_in(&registry.host(), "user", "secret");
    let source = format!("oci:{}:v1", sandbox.path("layout").display());
    sandbox.copy([source, registry.image("app:v1")]).run().success();
    // The first request learns where tokens come from; all others carry the one that it got.
    assert_eq!(
        counts(&registry),
        "22 = 2 HEAD manifest + 5 PUT manifest + 7 POST + 7 PUT blob + 1 token"
    );
}

#[test]
fn pull_of_one_platform_into_the_store() {
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new();
    index()
        .image(small("linux/amd64"))
        .image(small("linux/arm64"))
        .build()
        .push(&registry, "app", "1");
    registry.clear_log();
    let source = registry.image("app:1");
    sandbox.copy([&source]).run().success();
    // Index, manifest, config, layer: nothing is asked twice.
    assert_eq!(counts(&registry), "4 = 2 GET manifest + 2 GET blob");
}

#[test]
fn an_update_sends_only_what_is_new() {
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new();
    // Small blobs are sent as quickly as they are asked about; this one is not.
    let base = || layer().noise("base", 200_000, 3);
    image().layer(base()).layer(layer().file("app", "one\n")).build().push(&registry, "app", "1");
    let new = image().layer(base()).layer(layer().file("app", "two\n")).build();
    new.write_layout(&sandbox.path("layout"), Some("1"));
    registry.clear_log();
    let source = format!("oci:{}:1", sandbox.path("layout").display());
    sandbox.copy([source, registry.image("app:1")]).run().success();
    let uploads = registry.count("PUT", Kind::Upload);
    assert_eq!(uploads, 2, "config and the new layer: {}", registry.log_text());
    registry.assert_whole("app");
}
