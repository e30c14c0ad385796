//! `creel-inspect images|df|check|mount` and what `creel-copy` does with unpacked layers.

use std::fs;

use super::tool;
use crate::support::image::{Built, image, layer};
use crate::support::peers::need;
use crate::support::program::Sandbox;
use crate::support::registry::TestRegistry;

fn built() -> Built {
    let low = layer().dir("etc").file("etc/motd", "low\n").file("etc/gone", "x");
    image().layer(low).layer(layer().whiteout("etc/gone").noise("data", 300_000, 1)).build()
}

fn pulled(args: &[&str]) -> Sandbox {
    let sandbox = Sandbox::new();
    built().write_layout(&sandbox.path("layout"), Some("x"));
    let from = format!("oci:{}:x", sandbox.path("layout").display());
    sandbox.copy([&from, "store:app:1"]).args(args).run().success();
    sandbox
}

fn entries(sandbox: &Sandbox, part: &str) -> usize {
    fs::read_dir(sandbox.store().join(part)).map_or(0, Iterator::count)
}

#[test]
fn a_pull_unpacks_unless_told_not_to() {
    need!("root");
    let sandbox = pulled(&[]);
    assert_eq!((entries(&sandbox, "blobs/sha256"), entries(&sandbox, "layers")), (4, 2));
    let sandbox = pulled(&["--no-unpack"]);
    assert_eq!((entries(&sandbox, "blobs/sha256"), entries(&sandbox, "layers")), (4, 0));
    let sandbox = pulled(&["--no-keep-blobs"]);
    assert_eq!((entries(&sandbox, "blobs/sha256"), entries(&sandbox, "layers")), (2, 2));
    sandbox.inspect(["check"]).run().success();
    sandbox.copy(["prune"]).run().success();
    assert_eq!(entries(&sandbox, "layers"), 2);
    sandbox.copy(["rm", "app:1"]).run().success();
    sandbox.copy(["prune"]).run().success();
    assert_eq!((entries(&sandbox, "blobs/sha256"), entries(&sandbox, "layers")), (0, 0));
}

#[test]
fn what_is_removed_is_told_and_nothing_else_stays_for_one_that_is_missing() {
    let sandbox = pulled(&["--no-unpack"]);
    sandbox.copy(["tag", "store:app:1", "2"]).run().success();
    let removed = sandbox.copy(["rm", "none", "app:2", "app:3"]).run().fails(3);
    assert_eq!(removed.stdout, "docker.io/library/app:2\n");
    removed.says("docker.io/library/none:latest").says("docker.io/library/app:3");
    let young = sandbox.copy(["prune", "--older-than", "1h", "--max-size", "1kB"]).run().success();
    assert_eq!(young.stdout, "freed 0 B\n");
    let told = sandbox.copy(["prune", "--max-size", "1kB", "--dry-run"]).run().success().stdout;
    assert!(told.starts_with("would remove docker.io/library/app:1\nwould free "), "{told}");
    let told = sandbox.copy(["prune", "--max-size", "1kB"]).run().success().stdout;
    assert!(told.starts_with("removed docker.io/library/app:1\nfreed "), "{told}");
}

#[test]
fn df_agrees_with_du() {
    let sandbox = pulled(&[]);
    let store = sandbox.store();
    let told = sandbox.inspect(["df", "--json"]).run().success().json();
    let du = tool("du", ["-s", "--block-size=1", store.to_str().expect("text")]);
    let du: u64 = du.split_whitespace().next().expect("a number").parse().expect("a number");
    assert_eq!(told["bytes"], du);
    assert_eq!(told["reclaimable"]["bytes"], 0);
    sandbox.copy(["rm", "app:1"]).run().success();
    let shown = sandbox.inspect(["df"]).run().success().stdout;
    assert!(shown.contains("creel-copy prune would free"), "{shown}");
}

#[test]
fn images_are_listed_as_docker_lists_them() {
    let sandbox = pulled(&[]);
    let shown = sandbox.inspect(["images"]).run().success().stdout;
    let lines: Vec<Vec<&str>> =
        shown.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["REPOSITORY", "TAG", "IMAGE", "ID", "PLATFORM", "CREATED", "SIZE"]);
    let built = built();
    let id = &built.image().config.digest[7..19];
    assert_eq!(lines[1][..3], ["app", "1", id]);
    let quiet = sandbox.inspect(["images", "-q"]).run().success().stdout;
    assert_eq!(quiet.trim(), id);
    assert_eq!(sandbox.inspect(["images", "-q", "other"]).run().success().stdout, "");
}

#[test]
fn damage_is_found_and_mended_from_where_the_name_points() {
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new();
    let built = built();
    built.push(&registry, "app", "1");
    let from = registry.image("app:1");
    let name = from.trim_start_matches("docker://").to_owned();
    sandbox.copy([&from, &format!("store:{name}")]).run().success();
    let digest = &built.image().layers[1].descriptor.digest;
    let blob = sandbox.store().join("blobs/sha256").join(&digest[7..]);
    let mut bytes = fs::read(&blob).expect("a blob");
    bytes[1000] ^= 1;
    fs::remove_file(&blob).expect("a blob");
    fs::write(&blob, bytes).expect("a blob");
    let found = sandbox.inspect(["check", "--json"]).run().fails(6);
    let found = found.json();
    assert_eq!(found["findings"][0]["kind"], "damaged-blob");
    assert_eq!(found["findings"][0]["digest"], **digest);
    assert_eq!(found["findings"][0]["needed_by"], serde_json::json!([name]));
    sandbox.inspect(["check", "--repair"]).run().success();
    sandbox.inspect(["check"]).run().success();
}

/// Changes a byte of a file in an unpacked layer; the layer's digest.
fn flip_in_a_tree(sandbox: &Sandbox, file: &str) -> String {
    let layers = fs::read_dir(sandbox.store().join("layers")).expect("layers");
    let mut layers = layers.map(|layer| layer.expect("a layer").path());
    let holds = |layer: &std::path::PathBuf| layer.join("diff").join(file).exists();
    let layer = layers.find(holds).expect("a layer with the file");
    let path = layer.join("diff").join(file);
    let mut bytes = fs::read(&path).expect("a file");
    bytes[1] ^= 1;
    fs::write(&path, bytes).expect("a file");
    layer.file_name().expect("a name").to_str().expect("text").replace('-', ":")
}

#[test]
fn a_byte_changed_in_an_unpacked_file_is_found_and_mended() {
    need!("root", "overlay");
    let sandbox = pulled(&[]);
    let whole = sandbox.inspect(["check", "--json"]).run().success().json();
    assert_eq!((&whole["layers"], &whole["compared"]), (&2.into(), &2.into()));
    let layer = flip_in_a_tree(&sandbox, "etc/motd");
    let found = sandbox.inspect(["check", "--json"]).run().fails(6).json();
    let finding = serde_json::json!({
        "kind": "damaged-layer", "diff_id": layer, "why": "etc/motd: its content is another",
    });
    assert_eq!(found["findings"], serde_json::json!([finding]));
    sandbox.inspect(["check", "--repair"]).run().success();
    let place = sandbox.path("place");
    fs::create_dir(&place).expect("a directory");
    sandbox.inspect(["mount", "app:1", place.to_str().expect("text")]).run().success();
    assert_eq!(fs::read_to_string(place.join("etc/motd")).expect("a file"), "low\n");
    sandbox.inspect(["check"]).run().success();
    // Nobody's files are taken away.
    flip_in_a_tree(&sandbox, "etc/motd");
    let kept = sandbox.inspect(["check", "--repair"]).run().fails(6);
    assert!(kept.stdout.contains("a container or a mount uses it"), "{}", kept.stdout);
    sandbox.inspect(["umount", place.to_str().expect("text")]).run().success();
    sandbox.inspect(["check", "--repair"]).run().success();
    sandbox.inspect(["check"]).run().success();
}

#[test]
fn a_tree_alone_is_compared_by_packing_it_again() {
    need!("root");
    // What others pack cannot be made again; that is no damage.
    let sandbox = pulled(&["--no-keep-blobs"]);
    let shown = sandbox.inspect(["check"]).run().success().stdout;
    assert!(shown.contains("2 unpacked layers could not be compared"), "{shown}");
    // What we pack can.
    sandbox.write("context/motd", "hello\n");
    sandbox.write("context/Dockerfile", "FROM scratch\nCOPY motd /\n");
    let context = sandbox.path("context");
    sandbox.build(["-t", "ours", context.to_str().expect("text")]).run().success();
    let out = format!("oci:{}:x", sandbox.path("ours").display());
    sandbox.copy(["store:ours", &out]).run().success();
    let other = sandbox.path("other");
    let other = other.to_str().expect("text");
    let args = ["--root", other, "--no-keep-blobs", &out, "store:ours"];
    sandbox.copy(args).run().success();
    let whole = sandbox.inspect(["--root", other, "check", "--json"]).run().success().json();
    assert_eq!((&whole["layers"], &whole["compared"]), (&1.into(), &1.into()));
}

#[test]
fn whoever_writes_to_the_store_can_be_told_how_durably() {
    let sandbox = Sandbox::new();
    sandbox.write("context/Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    let context = sandbox.path("context");
    let context = context.to_str().expect("text");
    let build = |how: &str| sandbox.build(["--durability", how, "-t", "app", context]).run();
    let copy = |how: &str| sandbox.copy(["--durability", how, "prune"]).run();
    let container = |how: &str| sandbox.container(["--durability", how, "volume", "ls"]).run();
    for how in ["full", "relaxed"] {
        build(how).success();
        copy(how).success();
        container(how).success();
    }
    build("some").fails(2).says("[possible values: full, relaxed]");
    copy("some").fails(2).says("[possible values: full, relaxed]");
    container("some").fails(125).says("[possible values: full, relaxed]");
    let by_variable = sandbox.build(["-t", "app", context]).env("CREEL_DURABILITY", "some").run();
    by_variable.fails(2).says("--durability");
}

/// Other users of the machine can reach what is mounted.
#[test]
fn a_mounted_image_gives_no_rights() {
    need!("root", "overlay");
    let sandbox = Sandbox::new();
    let built =
        image().layer(layer().file("suid", "1").mode(0o4755).char_device("null", 1, 3)).build();
    let built_of_two = image()
        .layer(layer().file("low", "1"))
        .layer(layer().file("suid", "1").mode(0o4755).char_device("null", 1, 3))
        .build();
    let place = sandbox.path("place");
    fs::create_dir(&place).expect("a directory");
    let place = place.to_str().expect("text");
    let options = || {
        let mounts = fs::read_to_string("/proc/self/mounts").expect("a list");
        let line = mounts.lines().find(|line| line.split(' ').nth(1) == Some(place));
        line.expect("a mount").split(' ').nth(3).expect("options").to_owned()
    };
    for (name, built) in [("one", built), ("two", built_of_two)] {
        built.write_layout(&sandbox.work(name), Some("1"));
        sandbox.copy([&format!("oci:{name}:1"), &format!("store:{name}:1")]).run().success();
        sandbox.inspect(["mount", &format!("{name}:1"), place]).run().success();
        let found = options();
        for wanted in ["ro", "nosuid", "nodev"] {
            assert!(found.split(',').any(|option| option == wanted), "{name}: {found}");
        }
        fs::File::open(format!("{place}/null")).expect_err("no device works");
        sandbox.inspect(["umount", place]).run().success();
        sandbox.inspect(["mount", "--keep-special", &format!("{name}:1"), place]).run().success();
        let found = options();
        assert!(!found.contains("nosuid") && !found.contains("nodev"), "{name}: {found}");
        fs::File::open(format!("{place}/null")).expect("a device");
        sandbox.inspect(["umount", place]).run().success();
    }
}

#[test]
fn a_mounted_image_stays() {
    need!("root", "overlay");
    let sandbox = pulled(&["--no-unpack"]);
    let place = sandbox.path("place");
    fs::create_dir(&place).expect("a directory");
    let place = place.to_str().expect("text");
    sandbox.inspect(["mount", "nothing", place]).run().fails(3).says("pull it first");
    sandbox.inspect(["mount", "app:1", place]).run().success();
    sandbox.inspect(["mount", "app:1", place]).run().fails(1).says("umount");
    sandbox.copy(["rm", "app:1"]).run().success();
    sandbox.copy(["prune"]).run().success();
    let read = |name: &str| fs::read_to_string(format!("{place}/{name}"));
    assert_eq!(read("etc/motd").expect("a file"), "low\n");
    assert!(read("etc/gone").is_err());
    let refused = fs::write(format!("{place}/x"), "x").expect_err("read-only");
    assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    sandbox.inspect(["umount", place]).run().success();
    sandbox.inspect(["umount", place]).run().fails(3);
    sandbox.copy(["prune"]).run().success();
    assert_eq!(entries(&sandbox, "layers"), 0);
}
