//! From any place to any place and back: the same bytes.

use crate::support::image::{Built, DockerSave, image, layer, small, three_platforms};
use crate::support::program::Sandbox;
use crate::support::registry::TestRegistry;

fn rich() -> Built {
    image()
        .rich()
        .layer(layer().file("etc/motd", "hi\n"))
        .layer(layer().noise("data", 300_000, 7))
        .build()
}

/// Copies `built` through `places` in turn, starting in a registry, and expects the same digest in
/// a registry at the end.
fn round_trip(built: &Built, places: &[&str]) {
    let (from, to) = (TestRegistry::start(), TestRegistry::start());
    let sandbox = Sandbox::new();
    built.push(&from, "app", "1");
    let mut source = from.image("app:1");
    for place in places {
        let place = place.replace("DIR", &sandbox.path("").display().to_string());
        sandbox.copy(["--all", &source, &place]).run().success();
        source = place;
    }
    let target = to.image("back:1");
    let output = sandbox.copy(["--all", &source, &target]).run().success();
    assert_eq!(output.stdout.trim(), built.root.digest);
    assert_eq!(to.manifest("back", "1").unwrap().digest, built.root.digest);
    to.assert_whole("back");
}

#[test]
fn indexes_keep_their_bytes_everywhere() {
    let built = three_platforms().attestations().annotation("a", "b").build();
    round_trip(&built, &["oci:DIR/layout:1"]);
    round_trip(&built, &["oci-archive:DIR/a.tar:1", "dir:DIR/d", "store:app:1", "oci:DIR/l:x"]);
}

#[test]
fn images_keep_their_bytes_everywhere() {
    round_trip(&rich(), &["oci:DIR/l:1", "oci-archive:DIR/a.tar", "dir:DIR/d", "store:app"]);
    let docker = image().docker().rich().layer(layer().file("x", "y")).build();
    round_trip(&docker, &["dir:DIR/d", "oci:DIR/l", "store:app:1", "oci-archive:DIR/x.tar:1"]);
    // What Docker writes today holds the manifest too.
    round_trip(&docker, &["docker-archive:DIR/a.tar:app:1"]);
}

#[test]
fn every_form_of_docker_save_is_read() {
    for style in
        [DockerSave::Classic, DockerSave::Skopeo, DockerSave::Docker25, DockerSave::Compressed]
    {
        let sandbox = Sandbox::new();
        let registry = TestRegistry::start();
        let built = image().docker().rich().layer(layer().file("x", "y")).build();
        let file = sandbox.path("a.tar");
        built.write_docker_archive(&file, style, &["app:1", "app:2"]);
        let source = format!("docker-archive:{}:app:2", file.display());
        let target = registry.image("app:1");
        sandbox.copy([&source, &target]).run().success();
        registry.assert_whole("app");
        let config = registry.manifest("app", "1").unwrap().json()["config"]["digest"].clone();
        assert_eq!(config, built.image().config.digest, "{style:?}");
    }
}

#[test]
fn one_layout_holds_several_names() {
    let sandbox = Sandbox::new();
    let registry = TestRegistry::start();
    let (one, two) = (small("linux/amd64").build(), small("linux/arm64").build());
    one.push(&registry, "app", "1");
    two.push(&registry, "app", "2");
    let layout = sandbox.path("layout");
    for tag in ["1", "2"] {
        let source = registry.image(&format!("app:{tag}"));
        sandbox.copy([source, format!("oci:{}:{tag}", layout.display())]).run().success();
    }
    for (tag, built) in [("1", &one), ("2", &two)] {
        let output =
            sandbox.copy(["digest", &format!("oci:{}:{tag}", layout.display())]).run().success();
        assert_eq!(output.stdout.trim(), built.root.digest);
    }
    let unnamed = format!("oci:{}", layout.display());
    sandbox.copy([unnamed, "store:x".into()]).run().fails(2).says("1").says("2");
    let nothing_left = std::fs::read_dir(&layout).unwrap();
    let mut names: Vec<_> =
        nothing_left.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["blobs", "index.json", "oci-layout"]);
}

#[test]
fn the_result_is_on_stdout_and_in_files() {
    let sandbox = Sandbox::new();
    let registry = TestRegistry::start();
    let built = rich();
    built.push(&registry, "app", "1");
    let source = registry.image("app:1");
    let digests = sandbox.path("digest");
    let output = sandbox
        .copy(["--json", "--additional-tag", "latest,stable", "--digestfile"])
        .arg(&digests)
        .args([source.clone(), registry.image("copy:1")])
        .run()
        .success();
    let report = output.json();
    assert_eq!(report["digest"], built.root.digest);
    assert_eq!(report["unchanged"], false);
    assert_eq!(std::fs::read_to_string(&digests).unwrap(), built.root.digest);
    for tag in ["1", "latest", "stable"] {
        assert_eq!(registry.manifest("copy", tag).unwrap().digest, built.root.digest);
    }
    let quiet = sandbox.copy(["-q", &source, "store:x"]).run().success();
    assert_eq!((quiet.stdout.trim(), quiet.stderr.as_str()), (built.root.digest.as_str(), ""));
}

#[test]
fn a_dry_run_moves_nothing() {
    let sandbox = Sandbox::new();
    let (from, to) = (TestRegistry::start(), TestRegistry::start());
    let built = rich();
    built.push(&from, "app", "1");
    let source = from.image("app:1");
    let target = to.image("app:1");
    let plan = sandbox.copy(["--dry-run", "--json", &source, &target]).run().success().json();
    assert_eq!(plan["unchanged"], false);
    assert_eq!(plan["blobs"].as_array().unwrap().len(), 3);
    let total: u64 = built.blobs.iter().map(|blob| blob.1.size()).sum();
    assert_eq!(plan["bytes"], total);
    assert!(to.repositories().is_empty());
    sandbox.copy([&source, &target]).run().success();
    let plan = sandbox.copy(["--dry-run", "--json", &source, &target]).run().success().json();
    assert_eq!(plan["unchanged"], true);
}

#[test]
fn what_exists_can_be_left_alone() {
    let sandbox = Sandbox::new();
    let registry = TestRegistry::start();
    let (old, new) = (small("linux/amd64").build(), rich());
    old.push(&registry, "app", "1");
    new.push(&registry, "new", "1");
    let args = ["--no-clobber".to_owned(), registry.image("new:1"), registry.image("app:1")];
    sandbox.copy(args).run().success();
    assert_eq!(registry.manifest("app", "1").unwrap().digest, old.root.digest);
}

#[test]
fn timings_tell_where_the_time_went() {
    let sandbox = Sandbox::new();
    let registry = TestRegistry::start();
    rich().push(&registry, "app", "1");
    let output = sandbox.copy(["--timings", &registry.image("app:1")]).run().success();
    let line = output.stderr.lines().find(|line| line.starts_with("timings: ")).unwrap();
    for part in ["planning ", "moving ", "bringing to disk and naming "] {
        assert!(line.contains(part), "{line}");
    }
}
