//! Which images of an index are copied, and what the index becomes.

use serde_json::Value;

use crate::support::image::{small, three_platforms};
use crate::support::program::Sandbox;
use crate::support::registry::TestRegistry;

fn platforms(index: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let entries = index["manifests"].as_array().unwrap();
    entries
        .iter()
        .map(|entry| {
            let platform = &entry["platform"];
            format!("{}/{}", text(&platform["os"]), text(&platform["architecture"]))
        })
        .collect()
}

#[test]
fn a_stripped_index_lists_what_was_copied() {
    let (from, to) = (TestRegistry::start(), TestRegistry::start());
    let sandbox = Sandbox::new();
    three_platforms().attestations().annotation("kept", "yes").build().push(&from, "app", "1");
    let source = from.image("app:1");
    let target = to.image("app:1");
    sandbox.copy(["--platform", "linux/arm64,linux/amd64", &source, &target]).run().success();
    let index = to.manifest("app", "1").unwrap().json();
    // The attestations of the two stay with them, the third one's went with it.
    assert_eq!(
        platforms(&index),
        ["linux/amd64", "linux/arm64", "unknown/unknown", "unknown/unknown"]
    );
    assert_eq!(index["annotations"]["kept"], "yes");
    to.assert_whole("app");
}

#[test]
fn a_sparse_index_keeps_its_bytes() {
    let from = TestRegistry::start();
    let to = TestRegistry::builder().sparse_indexes().start();
    let sandbox = Sandbox::new();
    let built = three_platforms().build();
    built.push(&from, "app", "1");
    let source = from.image("app:1");
    let target = to.image("app:1");
    sandbox.copy(["--platform", "linux/arm64", "--sparse", &source, &target]).run().success();
    assert_eq!(to.manifest("app", "1").unwrap().digest, built.root.digest);
    assert_eq!(to.manifests("app").len(), 2);
}

#[test]
fn one_platform_alone() {
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new();
    let built = three_platforms().build();
    built.push(&registry, "app", "1");
    let source = registry.image("app:1");
    let target = registry.image("arm:1");
    for flags in
        [&["--platform", "linux/arm64", "--platform-manifest"][..], &["--override-arch", "arm64"]]
    {
        registry.delete("arm", "1");
        sandbox.copy(flags).args([&source, &target]).run().success();
        let manifest = registry.manifest("arm", "1").unwrap();
        assert_eq!(manifest.digest, built.root_json()["manifests"][1]["digest"]);
    }
}

#[test]
fn the_store_takes_this_machine_and_keeps_the_index() {
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new();
    let built = three_platforms().build();
    built.push(&registry, "app", "1");
    let source = registry.image("app:1");
    let output = sandbox.copy([&source]).run().success();
    assert_eq!(output.stdout.trim(), built.root.digest);
    // The others are not there: said, with their names.
    let stored = format!("store:{}/app:1", registry.host());
    let target = registry.image("again:1");
    sandbox
        .copy([&stored, &target])
        .run()
        .fails(3)
        .says("linux/arm64")
        .says("linux/arm/v7")
        .says("--platform");
    assert!(registry.tags("again").is_empty());
    sandbox.copy(["--platform", "linux/amd64", &stored, &target]).run().success();
    registry.assert_whole("again");
    sandbox.copy(["--all", &source]).run().success();
    sandbox.copy([&stored, &target]).run().success();
    assert_eq!(registry.manifest("again", "1").unwrap().digest, built.root.digest);
}

#[test]
fn a_platform_that_is_not_there() {
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new();
    three_platforms().build().push(&registry, "app", "1");
    small("linux/amd64").build().push(&registry, "single", "1");
    let index = registry.image("app:1");
    sandbox
        .copy(["--platform", "linux/s390x", &index, "store:x"])
        .run()
        .fails(3)
        .says("linux/s390x")
        .says("linux/arm64");
    let single = registry.image("single:1");
    sandbox
        .copy(["--platform", "linux/arm64", &single, "store:x"])
        .run()
        .fails(3)
        .says("the image is for linux/amd64, not for linux/arm64");
}
