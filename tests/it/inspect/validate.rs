//! `validate` and `base`: whether an image is whole, and whether it is current.

use std::fs;

use serde_json::json;

use crate::support::content::sha256;
use crate::support::image::{ImageBuilder, image, layer, small, three_platforms};
use crate::support::log::Kind;
use crate::support::program::{Output, Sandbox};
use crate::support::registry::TestRegistry;

fn check(image: ImageBuilder) -> Output {
    let sandbox = Sandbox::new();
    image.build().write_layout(&sandbox.work("l"), Some("1"));
    sandbox.inspect(["validate", "oci:l:1"]).run()
}

#[test]
fn a_whole_index_is_whole() {
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new();
    three_platforms().attestations().build().push(&registry, "app", "1");
    let output = sandbox.inspect(["validate", &registry.image("app:1")]).run().success();
    assert!(output.stdout.starts_with("whole: 7 manifests, 6 configs, "), "{output}");
    registry.clear_log();
    let fast = ["validate", "--fast", "--platform", "linux/arm64", &registry.image("app:1")];
    let output = sandbox.inspect(fast).run().success();
    assert!(output.stdout.starts_with("whole: 1 manifests, 1 configs, 0 layers"), "{output}");
    assert_eq!(registry.count("GET", Kind::Blob), 1);
    sandbox.inspect(["validate", &registry.image("none:1")]).run().fails(3);
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let tar = layer().file("a", "1").tar();
    let lie = sha256("something else");
    let built = image().layer(layer().raw(tar.clone(), &lie));
    let output = check(built).fails(6);
    assert!(output.stdout.contains(&format!("the config says that {lie} is inside")), "{output}");
    assert!(output.stdout.contains("is the type, but it is plain"), "{output}");
    let output = check(image().layer(layer().file("../x", "1"))).fails(6);
    assert!(output.stdout.contains("entry ../x: name with a \"..\" in it"), "{output}");
    let noise = vec![7_u8; 3000];
    let output = check(image().layer(layer().raw(noise.clone(), &sha256(&noise)))).fails(6);
    assert!(
        output.stdout.contains("layer sha256:") && output.stdout.contains("tar header"),
        "{output}"
    );
    let rootfs = json!({"type": "layers", "diff_ids": []});
    let output = check(small("linux/amd64").config_top("rootfs", rootfs)).fails(6);
    assert!(output.stdout.contains("but its config has 0 diff IDs"), "{output}");
}

/// Signatures and attestations have the form of an image without being one.
#[test]
fn layers_that_are_documents_are_compared_by_digest() {
    let payload = br#"{"critical":{}}"#;
    for (kind, platform) in [
        ("application/vnd.dev.cosign.simplesigning.v1+json", "/"),
        ("application/vnd.dev.cosign.simplesigning.v1+json", "linux/amd64"),
        ("application/vnd.in-toto+json", "unknown/unknown"),
        ("application/vnd.wasm.content.layer.v1+wasm", "wasip1/wasm"),
    ] {
        let document =
            |bytes: &[u8]| layer().raw(bytes.to_vec(), &sha256(payload)).media_type(kind);
        let two = || image().platform(platform).layer(document(payload)).layer(document(payload));
        let output = check(two()).success();
        assert!(output.stdout.starts_with("whole: 1 manifests, 1 configs, "), "{kind}: {output}");
    }
    // Beside an archive it is a layer that nobody can read.
    let odd = layer().raw(payload.to_vec(), &sha256(payload)).media_type("text/plain");
    let output = check(image().layer(layer().file("a", "1")).layer(odd)).fails(6);
    assert!(output.stdout.contains("layer sha256:"), "{output}");
}

#[test]
fn bits_that_rot_are_found() {
    let sandbox = Sandbox::new();
    let built = image().layer(layer().noise("n", 50_000, 1)).layer(layer().file("b", "2")).build();
    built.write_layout(&sandbox.work("l"), Some("1"));
    let blobs = sandbox.work("l/blobs/sha256");
    let path = |digest: &str| blobs.join(digest.strip_prefix("sha256:").unwrap());
    let layers = &built.image().layers;
    let first = path(&layers[0].descriptor.digest);
    let mut bytes = fs::read(&first).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&first, bytes).unwrap();
    fs::remove_file(path(&layers[1].descriptor.digest)).unwrap();
    let report = sandbox.inspect(["validate", "--json", "oci:l:1"]).run().fails(6).json();
    let findings = report["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 2, "{report}");
    assert_eq!(findings[0]["at"], format!("layer {}", layers[0].descriptor.digest));
    assert_eq!(findings[1]["at"], format!("layer {}", layers[1].descriptor.digest));
    assert_eq!(report["blobs"], 0);
}

#[test]
fn a_base_is_known_by_annotations_and_compared_by_layers() {
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new();
    let lower = || layer().file("base", "1");
    let base = image().layer(lower()).build();
    base.push(&registry, "base", "1");
    let name = format!("{}/base:1", registry.host());
    let app = image()
        .layer(lower())
        .layer(layer().file("app", "2"))
        .annotation("org.opencontainers.image.base.name", &name)
        .annotation("org.opencontainers.image.base.digest", &base.root.digest)
        .build();
    app.push(&registry, "app", "1");
    let at = registry.image("app:1");
    let output = sandbox.inspect(["base", &at]).run().success();
    assert_eq!(output.stdout, format!("{name} {}\n", base.root.digest));
    let report = sandbox.inspect(["base", "--check", "--json", &at]).run().success().json();
    assert_eq!(report["upToDate"], true);
    let newer = image().layer(layer().file("base", "1.1")).build();
    newer.push(&registry, "base", "1");
    let output = sandbox.inspect(["base", "--check", &at]).run().fails(1);
    assert!(output.stdout.contains(&format!("out of date: it is {} now", newer.root.digest)));
    let plain = registry.image("base:1");
    sandbox.inspect(["base", &plain]).run().fails(3).says("say it with --base");
    sandbox.inspect(["base", "--check", "--base", &name, &plain]).run().success();
}
