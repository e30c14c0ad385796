//! Images of which a part is missing or lies: the rest is shown, and the exit code is 6.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use crate::support::content::{Descriptor, sha256};
use crate::support::image::{Built, image, index, layer, small};
use crate::support::program::{Output, Sandbox};
use crate::support::registry::TestRegistry;

fn two_layers() -> Built {
    image().layer(layer().noise("n", 9000, 1)).layer(layer().file("b", "2")).build()
}

fn written(sandbox: &Sandbox, built: &Built) -> impl Fn(&Descriptor) -> PathBuf {
    built.write_layout(&sandbox.work("l"), Some("1"));
    let blobs = sandbox.work("l/blobs/sha256");
    move |blob: &Descriptor| blobs.join(blob.digest.strip_prefix("sha256:").unwrap())
}

/// What every answer about a broken image has: its name, its digest and what is wrong.
fn shown(sandbox: &Sandbox, built: &Built, problem: &str) -> Output {
    let output = sandbox.inspect(["oci:l:1"]).run().fails(6);
    assert!(output.stdout.contains(&built.root.digest), "{output}");
    assert!(output.stdout.contains("problem "), "{output}");
    assert!(output.stdout.contains(problem), "{problem}: {output}");
    let report = sandbox.inspect(["--json", "oci:l:1"]).run().fails(6).json();
    assert_eq!(report["damaged"], true);
    assert!(!report["problems"].as_array().unwrap().is_empty());
    output
}

#[test]
fn a_whole_image_is_not_damaged() {
    let sandbox = Sandbox::new();
    let _ = written(&sandbox, &two_layers());
    assert_eq!(sandbox.inspect(["--json", "oci:l:1"]).run().success().json()["damaged"], false);
}

#[test]
fn a_config_that_is_missing() {
    let sandbox = Sandbox::new();
    let built = two_layers();
    let path = written(&sandbox, &built);
    fs::remove_file(path(&built.image().config)).unwrap();
    let output = shown(&sandbox, &built, "the config is missing");
    for layer in &built.image().layers {
        assert!(output.stdout.contains(&layer.descriptor.digest), "{output}");
    }
    for words in [
        &["--config", "oci:l:1"][..],
        &["-f", "{{.Digest}}", "oci:l:1"],
        &["inspect", "oci:l:1"],
        &["layers", "oci:l:1"],
        &["history", "oci:l:1"],
        &["files", "oci:l:1"],
    ] {
        sandbox.inspect(words).run().fails(6).says("the config is missing");
    }
    // The manifest is there all the same.
    let raw = sandbox.inspect(["--raw", "oci:l:1"]).run().success().stdout;
    assert_eq!(raw.as_bytes(), built.root_bytes());
}

#[test]
fn a_config_with_other_bytes_or_of_another_size() {
    for change in [|bytes: &mut Vec<u8>| bytes[3] ^= 1, |bytes: &mut Vec<u8>| bytes.push(b' ')] {
        let sandbox = Sandbox::new();
        let built = two_layers();
        let path = written(&sandbox, &built);
        let config = path(&built.image().config);
        let mut bytes = fs::read(&config).unwrap();
        change(&mut bytes);
        fs::write(&config, bytes).unwrap();
        shown(&sandbox, &built, &built.image().config.digest);
    }
    // The manifest lies about the size.
    let sandbox = Sandbox::new();
    let config = two_layers().image().config.clone();
    let lie =
        json!({"mediaType": config.media_type, "digest": config.digest, "size": config.size + 1});
    let built = image()
        .layer(layer().noise("n", 9000, 1))
        .layer(layer().file("b", "2"))
        .manifest_field("config", lie)
        .build();
    let _ = written(&sandbox, &built);
    shown(&sandbox, &built, &config.digest);
}

#[test]
fn a_config_that_is_none() {
    for bytes in [&b"{"[..], b"[]", b"{\"os\":7}", b"{\"rootfs\":{\"diff_ids\":[\"x\"]}}"] {
        let sandbox = Sandbox::new();
        let config = json!({"mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": sha256(bytes), "size": bytes.len()});
        let built = image().layer(layer().file("b", "2")).manifest_field("config", config).build();
        let path = written(&sandbox, &built);
        let place = path(&Descriptor::new("x", &sha256(bytes), bytes.len() as u64));
        fs::write(place, bytes).unwrap();
        shown(&sandbox, &built, &sha256(bytes));
    }
}

#[test]
fn layers_that_are_missing_or_of_another_size() {
    let sandbox = Sandbox::new();
    let built = two_layers();
    let path = written(&sandbox, &built);
    let [first, second] = [0, 1].map(|n| built.image().layers[n].descriptor.clone());
    fs::remove_file(path(&first)).unwrap();
    fs::write(path(&second), "x").unwrap();
    let output = shown(&sandbox, &built, &format!("layer {}", first.digest));
    assert!(output.stdout.contains(&format!("problem      layer {}", second.digest)), "{output}");
    // The config is read and shown.
    assert!(output.stdout.contains("linux/amd64"), "{output}");
}

#[test]
fn layers_that_contradict_the_config() {
    let sandbox = Sandbox::new();
    let rootfs = json!({"type": "layers", "diff_ids": []});
    let built = small("linux/amd64").config_top("rootfs", rootfs).build();
    let _ = written(&sandbox, &built);
    shown(&sandbox, &built, "has 0 diff IDs");
}

#[test]
fn a_manifest_whose_descriptors_are_wrong() {
    for layers in [
        json!([{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": "sha256:00", "size": 1}]),
        json!([{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": sha256("x"), "size": -1}]),
        json!([{"digest": sha256("x")}]),
        json!("none"),
    ] {
        let sandbox = Sandbox::new();
        let built = image().layer(layer().file("b", "2")).manifest_field("layers", layers).build();
        let _ = written(&sandbox, &built);
        shown(&sandbox, &built, "manifest");
    }
}

#[test]
fn a_registry_that_lost_a_config() {
    let (registry, sandbox) = (TestRegistry::start(), Sandbox::new());
    let built = two_layers();
    built.push(&registry, "app", "1");
    registry.delete("app", &built.image().config.digest);
    let name = registry.image("app:1");
    let output = sandbox.inspect([&name]).run().fails(6);
    assert!(output.stdout.contains("the config is missing"), "{output}");
    assert!(output.stdout.contains(&built.root.digest), "{output}");
    sandbox.inspect([registry.image("none:1")]).run().fails(3);
}

#[test]
fn an_index_without_its_image() {
    let sandbox = Sandbox::new();
    let built = index().image(small("linux/amd64")).image(small("linux/arm64")).build();
    let path = written(&sandbox, &built);
    fs::remove_file(path(&built.images[0].manifest)).unwrap();
    let output = shown(&sandbox, &built, &built.images[0].manifest.digest);
    assert!(output.stdout.contains("linux/arm64"), "{output}");
    sandbox.inspect(["--platform", "linux/arm64", "oci:l:1"]).run().success();
    sandbox.inspect(["--platform", "linux/amd64", "oci:l:1"]).run().fails(3);
    // An index may be kept without other machines' images.
    fs::write(
        path(&built.images[0].manifest),
        built.manifest(&built.images[0].manifest.digest).unwrap(),
    )
    .unwrap();
    fs::remove_file(path(&built.images[1].manifest)).unwrap();
    sandbox.inspect(["--full", "--platform", "linux/amd64", "oci:l:1"]).run().success();
}
