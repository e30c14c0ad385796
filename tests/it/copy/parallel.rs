//! Several processes at one place: nobody's work is lost.

use crate::support::image::{Built, image, layer};
use crate::support::program::{Running, Sandbox};
use crate::support::registry::TestRegistry;

const PROCESSES: usize = 8;

/// Images that share a layer and have one of their own.
fn images(registry: &TestRegistry) -> Vec<Built> {
    let one = |number: usize| {
        let shared = layer().noise("shared", 1_500_000, 99);
        let own = layer().noise("own", 50_000, number as u64);
        let built = image().layer(shared).layer(own).build();
        built.push(registry, "app", &number.to_string());
        built
    };
    (0..PROCESSES).map(one).collect()
}

fn copy_all(sandbox: &Sandbox, registry: &TestRegistry, target: impl Fn(usize) -> String) {
    let start = |number: usize| -> Running {
        sandbox.copy([registry.image(&format!("app:{number}")), target(number)]).start()
    };
    let all: Vec<Running> = (0..PROCESSES).map(start).collect();
    for running in all {
        running.wait().success();
    }
}

/// Requires that every image is where it was put, every byte of it.
fn assert_all_there(sandbox: &Sandbox, built: &[Built], target: impl Fn(usize) -> String) {
    for (number, built) in built.iter().enumerate() {
        let back = sandbox.path(&format!("back{number}"));
        let to = format!("oci:{}:x", back.display());
        sandbox.copy([target(number), to]).run().success();
        super::faults::assert_layout_whole(&back, built);
    }
}

#[test]
fn eight_tags_into_one_layout() {
    let (registry, sandbox) = (TestRegistry::start(), Sandbox::new());
    let built = images(&registry);
    let target = |number: usize| format!("oci:{}:{number}", sandbox.path("out").display());
    copy_all(&sandbox, &registry, target);
    assert_all_there(&sandbox, &built, target);
    let index = std::fs::read_to_string(sandbox.path("out/index.json")).expect("an index");
    let index: serde_json::Value = serde_json::from_str(&index).expect("JSON");
    assert_eq!(index["manifests"].as_array().map(Vec::len), Some(PROCESSES));
}

#[test]
fn eight_tags_into_one_store() {
    let (registry, sandbox) = (TestRegistry::start(), Sandbox::new());
    let built = images(&registry);
    let target = |number: usize| format!("store:app:{number}");
    copy_all(&sandbox, &registry, target);
    assert_all_there(&sandbox, &built, target);
    let left = std::fs::read_dir(sandbox.store().join("tmp")).map_or(0, Iterator::count);
    assert_eq!(left, 0);
}

#[test]
fn eight_tags_into_one_repository() {
    let (registry, to, sandbox) = (TestRegistry::start(), TestRegistry::start(), Sandbox::new());
    images(&registry);
    copy_all(&sandbox, &registry, |number| to.image(&format!("app:{number}")));
    to.assert_whole("app");
    assert_eq!(to.tags("app").len(), PROCESSES);
}
