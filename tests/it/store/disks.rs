//! Disks that are full, and disks that cannot be written to.

use super::Disk;
use crate::support::image::{image, layer};
use crate::support::peers::need;
use crate::support::program::Sandbox;

#[test]
fn a_full_disk_is_told_and_loses_nothing() {
    need!("root", "mkfs.ext4");
    let sandbox = Sandbox::new();
    let disk = Disk::make(&sandbox.path("disk"), &sandbox.path("small"), "ext4", 24, "nodev");
    let root = disk.place.join("store");
    let root = root.to_str().expect("text");
    image()
        .layer(layer().noise("a", 2_000_000, 1))
        .build()
        .write_layout(&sandbox.path("fits"), Some("x"));
    // Packed it is small.
    let zeros = layer().file("zeros", vec![0x61; 60_000_000]);
    image().layer(zeros).build().write_layout(&sandbox.path("bomb"), Some("x"));
    image()
        .layer(layer().noise("b", 40_000_000, 2))
        .build()
        .write_layout(&sandbox.path("large"), Some("x"));
    let pull = |what: &str| {
        let from = format!("oci:{}:x", sandbox.path(what).display());
        sandbox.copy(["--root", root, &from, &format!("store:{what}")]).run()
    };
    pull("fits").success();
    for what in ["bomb", "large", "bomb"] {
        pull(what).fails(1).says("No space left on device");
        sandbox.inspect(["--root", root, "check"]).run().success();
        let left = std::fs::read_dir(disk.place.join("store/tmp")).expect("tmp").count();
        assert_eq!(left, 0, "{what}");
    }
    pull("fits").success();
    sandbox.copy(["--root", root, "rm", "fits"]).run().success();
    sandbox.copy(["--root", root, "prune"]).run().success();
    pull("fits").success();
}

#[test]
fn a_disk_that_cannot_be_written_to_can_be_read() {
    need!("root", "mkfs.ext4");
    let sandbox = Sandbox::new();
    let disk = Disk::make(&sandbox.path("disk"), &sandbox.path("place"), "ext4", 24, "nodev");
    let root = disk.place.join("store");
    let root = root.to_str().expect("text");
    let built = image().layer(layer().noise("a", 2_000_000, 1)).build();
    built.write_layout(&sandbox.path("layout"), Some("x"));
    let from = format!("oci:{}:x", sandbox.path("layout").display());
    sandbox.copy(["--root", root, &from, "store:app"]).run().success();
    let place = disk.place.to_str().expect("text");
    super::tool("mount", ["-o", "remount,ro", place]);
    let listed = sandbox.inspect(["--root", root, "images", "--json"]).run().success();
    assert!(listed.stdout.contains("docker.io/library/app:latest"), "{}", listed.stdout);
    sandbox.inspect(["--root", root, "check"]).run().success();
    sandbox.inspect(["--root", root, "df"]).run().success();
    sandbox.copy(["--root", root, "store:app", "oci:out:x"]).run().success();
    sandbox
        .copy(["--root", root, &from, "store:other"])
        .run()
        .fails(1)
        .says("Read-only file system");
    sandbox.copy(["--root", root, "rm", "app"]).run().fails(1).says("Read-only file system");
}
