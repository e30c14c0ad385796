//! Memory stays flat, whatever an index, a list of tags or of referrers holds.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::content::sha256;
use crate::support::image::small;
use crate::support::log::Kind;
use crate::support::program::{Output, Sandbox};
use crate::support::registry::{Fault, TestRegistry, always};

/// What any program may take.
const MOST: u64 = if cfg!(debug_assertions) { 200 << 20 } else { 100 << 20 };
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

#[track_caller]
fn assert_flat(output: &Output) {
    assert!(output.peak_memory < MOST, "{} MiB\n{output}", output.peak_memory >> 20);
}

/// Writes a blob into a layout and describes it.
fn blob(layout: &Path, media_type: &str, bytes: &[u8]) -> Value {
    let digest = sha256(bytes);
    let folder = layout.join("blobs/sha256");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(digest.trim_start_matches("sha256:")), bytes).unwrap();
    json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
}

/// A layout of an index of `count` manifests, each with what `extra` gives it.
fn layout(path: &Path, count: usize, extra: impl Fn(usize) -> Value) {
    let config =
        br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
    let config = blob(path, "application/vnd.oci.image.config.v1+json", config);
    let manifests: Vec<Value> = (0..count)
        .map(|number| {
            let manifest = json!({
                "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [],
                "annotations": extra(number),
            });
            blob(path, MANIFEST, manifest.to_string().as_bytes())
        })
        .collect();
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
    let mut root = blob(path, INDEX, index.to_string().as_bytes());
    root["annotations"] = json!({"org.opencontainers.image.ref.name": "1"});
    let top = json!({"schemaVersion": 2, "manifests": [root]});
    std::fs::write(path.join("index.json"), top.to_string()).unwrap();
    std::fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

#[test]
fn large_manifests_below_an_index() {
    let sandbox = Sandbox::new();
    // One long text each, and many small ones.
    layout(&sandbox.work("long"), 20, |n| json!({n.to_string(): "x".repeat(3_900_000)}));
    layout(&sandbox.work("many"), 20, |n| {
        (0..100_000)
            .map(|k| (format!("{n}.{k}"), json!("")))
            .collect::<serde_json::Map<_, _>>()
            .into()
    });
    for source in ["oci:long:1", "oci:many:1"] {
        for to in ["dir:out", "oci:out2:1", "oci-archive:out.tar"] {
            let output = sandbox.copy([source, to]).run();
            assert_flat(&output);
            if !output.status.success() {
                output.fails(1).says("of memory");
            }
        }
    }
}

#[test]
fn documents_of_too_many_values() {
    let sandbox = Sandbox::new();
    layout(&sandbox.work("many"), 1, |_| {
        (0..140_000).map(|k| (k.to_string(), json!(""))).collect::<serde_json::Map<_, _>>().into()
    });
    let output = sandbox.copy(["oci:many:1", "dir:out"]).run().fails(1);
    assert_flat(&output);
    output.says("more than 131072 values");
}

#[test]
fn an_index_of_many_manifests() {
    let sandbox = Sandbox::new();
    layout(&sandbox.work("wide"), 16_000, |n| json!({"n": n.to_string()}));
    let output = sandbox.copy(["oci:wide:1", "dir:out"]).run();
    assert_flat(&output);
    if !output.status.success() {
        output.fails(1).says("of memory");
    }
}

#[test]
fn a_hundred_thousand_tags() {
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new();
    small("linux/amd64").build().push(&registry, "app", "1");
    let tags: Vec<String> = (0..100_000).map(|n| format!("{}{n:06}", "t".repeat(122))).collect();
    let page = json!({"name": "app", "tags": tags}).to_string();
    registry.inject(always("GET", Kind::Tags), Fault::replace(page));
    let name = format!("{}/app", registry.host());
    for json in [false, true] {
        let args = if json { vec!["tags", "--json", &name] } else { vec!["tags", &name] };
        let output = sandbox.copy(args).run().success();
        assert_flat(&output);
        assert!(output.stdout.contains(&tags[99_999]));
    }
}

#[test]
fn a_flood_of_referrers() {
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new();
    small("linux/amd64").build().push(&registry, "app", "1");
    let entry = |n: usize| {
        json!({
            "mediaType": MANIFEST, "digest": sha256(n.to_string()), "size": 1,
            "artifactType": "a/b", "annotations": {"note": "x".repeat(3000)},
        })
    };
    let entries: Vec<Value> = (0..1200).map(entry).collect();
    let page = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).to_string();
    registry.inject(always("GET", Kind::Referrers), Fault::replace(page));
    let next = std::sync::atomic::AtomicUsize::new(0);
    let link = Fault::edit(move |reply| {
        let page = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        reply.headers.push(("Link".into(), format!("<?page={page}>; rel=next")));
    });
    registry.inject(always("GET", Kind::Referrers), link);
    let (from, to) = (registry.image("app:1"), registry.image("copy:1"));
    let output = sandbox.copy(["--with-referrers", &from, &to]).run().fails(1);
    assert_flat(&output);
    output.says("referrers");
}
