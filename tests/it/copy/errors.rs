//! What goes wrong is said plainly, with the right exit code, and leaves nothing behind.

use std::net::TcpListener;
use std::path::Path;

use crate::support::image::{DockerSave, image, layer, small};
use crate::support::log::Kind;
use crate::support::program::Sandbox;
use crate::support::registry::{Fault, TestRegistry, always};

#[test]
fn wrong_usage_is_code_2() {
    let sandbox = Sandbox::new();
    sandbox.copy(["debian", "app:1"]).run().fails(2).says("docker://app:1").says("store:app:1");
    sandbox.copy(["oci:", "store:x"]).run().fails(2).says("oci:");
    sandbox.copy(["ftp://x/y", "store:x"]).run().fails(2).says("ftp://");
    sandbox.copy(["Debian", "store:x"]).run().fails(2).says("lower case");
    sandbox.copy(["--nonsense"]).run().fails(2);
    sandbox.copy(["--platform", "a/b/c/d", "x.io/a", "store:x"]).run().fails(2).says("platform");
    sandbox
        .copy(["--compression", "lz4", "x.io/a", "store:x"])
        .run()
        .fails(2)
        .says("gzip, zstd and none");
}

#[test]
fn what_is_not_there_is_code_3() {
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new();
    small("linux/amd64").build().push(&registry, "app", "1");
    let target = format!("oci:{}:x", sandbox.path("out").display());
    for source in [
        registry.image("app:2"),
        registry.image("none:1"),
        "oci:/nonexistent/layout:1".to_owned(),
        "docker-archive:/nonexistent.tar".to_owned(),
        "dir:/nonexistent".to_owned(),
        "store:nothing:1".to_owned(),
    ] {
        let output = sandbox.copy([&source, &target]).run().fails(3);
        assert!(
            output.stderr.contains(source.split_once(':').unwrap().1.trim_start_matches('/')),
            "{}",
            output.stderr
        );
    }
    assert!(!sandbox.path("out").exists());
    let output = sandbox.copy(["oci:/nonexistent/layout:1", &target]).run().fails(3);
    output.says("oci:/nonexistent/layout: there is no file or directory of that name");
}

#[test]
fn a_tag_that_is_not_there_is_told_with_the_way_to_those_that_are() {
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new();
    small("linux/amd64").build().push(&registry, "app", "1");
    let name = registry.image("app");
    let name = name.trim_start_matches("docker://");
    let cure =
        format!("there is no image {name}:2 (`creel-copy tags {name}` lists those there are)");
    sandbox.copy([&format!("{name}:2"), "store:x"]).run().fails(3).says(&cure);
    sandbox.copy(["digest", &format!("{name}:2")]).run().fails(3).says(&cure);
    let missing = name.replace("/app", "/none");
    let output = sandbox.copy(["sync", &missing, "oci:out"]).run().fails(3);
    output.says(&format!("listing the tags of {missing}"));
    sandbox.copy(["sync", name, "mirror"]).run().fails(2).says("as in docker.io/mirror");
}

#[test]
fn what_cannot_end_well_is_refused_before_anything_is_moved() {
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new();
    small("linux/amd64").build().push(&registry, "app", "1");
    let (from, to) = (registry.image("app:1"), registry.image("other:1"));
    let copied = sandbox.copy([&from, &to, "--additional-tag", "not a tag"]).run().fails(2);
    copied.says("\"not a tag\" is not a tag");
    let missing = sandbox.path("none/digest");
    let digestfile = format!("--digestfile={}", missing.display());
    sandbox.copy([&from, &to, &digestfile]).run().fails(2).says("there is no directory");
    sandbox.copy(["tags", to.trim_end_matches(":1")]).run().fails(3);
    let directory = sandbox.path("dir");
    let to = format!("dir:{}", directory.display());
    let copied = sandbox.copy([&from, &to, "--additional-tag", "x"]).run().fails(2);
    copied.says("leave out \"x\"");
    assert!(!directory.exists());
}

#[test]
fn wrong_credentials_are_code_4_and_are_never_shown() {
    let registry = TestRegistry::builder().token_auth("user", "right").start();
    let sandbox = Sandbox::new();
    small("linux/amd64").build().push(&registry, "app", "1");
    let source = registry.image("app:1");
    sandbox.copy([&source, "store:x"]).run().fails(4).says("creel-copy login");
    sandbox
        .copy(["--src-creds", "user:wr0ng-pass", &source, "store:x"])
        .run()
        .fails(4)
        .hides("wr0ng-pass");
    sandbox.copy(["--src-creds", "user:right", &source, "store:x"]).run().success();
}

#[test]
fn an_unreachable_registry_is_code_5() {
    let sandbox = Sandbox::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    sandbox
        .copy(["--retry-times", "0", &format!("docker://127.0.0.1:{port}/app:1"), "store:x"])
        .run()
        .fails(5)
        .says(&format!("127.0.0.1:{port}"));
    let registry = TestRegistry::start();
    small("linux/amd64").build().push(&registry, "app", "1");
    let limited = registry.inject(
        always("GET", Kind::Manifest),
        Fault::error(429, "TOOMANYREQUESTS", "slow down").header("Retry-After", "0"),
    );
    sandbox
        .copy(["--retry-times", "2", &registry.image("app:1"), "store:x"])
        .run()
        .fails(5)
        .says("429");
    assert_eq!(limited.fired(), 3);
}

#[test]
fn corrupt_content_is_code_6_and_is_not_kept() {
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new();
    image().layer(layer().noise("data", 100_000, 1)).build().push(&registry, "app", "1");
    let flipped = registry.inject(always("GET", Kind::Blob), Fault::FlipByte(50));
    let out = sandbox.path("out");
    let source = registry.image("app:1");
    sandbox.copy([&source, &format!("oci:{}:x", out.display())]).run().fails(6).says("digest");
    assert!(flipped.fired() >= 1);
    sandbox.copy([&source, "store:x"]).run().fails(6);
    registry.clear_faults();
    // Nothing wrong was kept: the next run succeeds.
    sandbox.copy([&source, &format!("oci:{}:x", out.display())]).run().success();
    sandbox.copy([&source, "store:x"]).run().success();
}

#[test]
fn damaged_layouts_and_archives() {
    let sandbox = Sandbox::new();
    let built = image().layer(layer().noise("data", 100_000, 1)).build();
    let layout = sandbox.path("layout");
    built.write_layout(&layout, Some("1"));
    let blob = layout
        .join("blobs/sha256")
        .join(built.image().layers[0].descriptor.digest.strip_prefix("sha256:").unwrap());
    let mut bytes = std::fs::read(&blob).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&blob, &bytes).unwrap();
    let source = format!("oci:{}:1", layout.display());
    sandbox.copy([&source, "store:x"]).run().fails(6);
    bytes.truncate(1000);
    std::fs::write(&blob, &bytes).unwrap();
    sandbox.copy([&source, "store:x"]).run().fails(6).says("1000 bytes");

    let archive = sandbox.path("a.tar");
    built.write_docker_archive(&archive, DockerSave::Skopeo, &["app:1", "other:2"]);
    truncate(&archive, 2);
    let code =
        sandbox.copy([&format!("docker-archive:{}", archive.display()), "store:x"]).run().code();
    assert!(matches!(code, Some(1 | 3 | 6)), "{code:?}");
    sandbox.copy(["digest", "store:x"]).run().fails(3);
}

fn truncate(path: &Path, divisor: u64) {
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() / divisor).unwrap();
}

#[test]
fn several_images_without_a_name() {
    let sandbox = Sandbox::new();
    let archive = sandbox.path("a.tar");
    small("linux/amd64").build().write_docker_archive(
        &archive,
        DockerSave::Classic,
        &["app:1", "app:2"],
    );
    // Two tags of one image are no question.
    sandbox.copy([&format!("docker-archive:{}", archive.display()), "store:x"]).run().success();
    sandbox
        .copy([&format!("docker-archive:{}:app:3", archive.display()), "store:x"])
        .run()
        .fails(3)
        .says("app:1");
}
