//! What is unpacked here is what umoci and podman unpack.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::tool;
use crate::support::image::{Built, image, layer};
use crate::support::peers::{need, podman, umoci};
use crate::support::program::Sandbox;

/// Two layers with everything that real images have, and deletions. The upper layer only implies a
/// directory of the lower one, unless it is to `name_all`.
fn odd(name_all: bool) -> Built {
    let low = layer()
        .dir("etc")
        .mode(0o750)
        .owner(3, 4)
        .mtime(1_000_000_000)
        .file("etc/passwd", "root:x:0:0::/:/bin/sh\n")
        .owner(0, 42)
        .file("etc/gone", "low")
        .dir("opaque")
        .file("opaque/old", "low")
        .dir("changes")
        .file("changes/into-a-directory", "file")
        .dir("changes/into-a-file")
        .file("changes/into-a-file/x", "low")
        .dir("bin")
        .file("bin/su", "set-id")
        .mode(0o4755)
        .file("bin/capable", "can")
        .xattr("security.capability", b"\x01\0\0\x02\x00\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0")
        .hardlink("bin/same", "bin/su")
        .mode(0o4755)
        .symlink("bin/link", "../etc/passwd")
        .owner(7, 8)
        .symlink("dangling", "/nowhere/\u{e9}")
        .file("attributes", "x")
        .xattr("user.note", b"text")
        .dir("dev")
        .char_device("dev/null", 1, 3)
        .mode(0o666)
        .block_device("dev/disk", 8, 0)
        .mode(0o660)
        .owner(0, 6)
        .fifo("dev/pipe")
        .mode(0o600)
        .dir("sticky")
        .mode(0o1777)
        .dir("long")
        .dir(&format!("long/{}", "d".repeat(120)))
        .file(&format!("long/{}/{}", "d".repeat(120), "f".repeat(180)), "deep")
        .noise("large", 700_000, 9);
    let mut high = layer();
    if name_all {
        high = high.dir("etc").mode(0o750).owner(3, 4).mtime(1_000_000_000);
    }
    let high = high
        .whiteout("etc/gone")
        .dir("opaque")
        .mode(0o711)
        .opaque("opaque")
        .file("opaque/new", "high")
        .dir("changes")
        .whiteout("changes/into-a-directory")
        .dir("changes/into-a-directory")
        .file("changes/into-a-directory/y", "high")
        .file("changes/into-a-file", "high")
        .file("etc/passwd", "root:x:0:0::/:/bin/sh\nuser:x:1:1::/:\n")
        .mode(0o640)
        .file("new", "high")
        .owner(1000, 1000)
        .mtime(1_234_567_890);
    image().layer(low).layer(high).build()
}

/// Everything below a directory, and what a person could notice of it.
fn listing(root: &Path) -> BTreeMap<String, String> {
    let path = root.to_str().expect("text");
    let format = "%P|%y %m %U:%G %n %l %s %T@ %D\\0";
    let all = tool("find", [path, "-mindepth", "1", "-printf", format]);
    let mut found = BTreeMap::new();
    for line in all.split_terminator('\0') {
        let (name, rest) = line.split_once('|').expect("a name");
        let mut fields: Vec<&str> = rest.split(' ').collect();
        // The size of a directory, its number of links and the device are the file system's.
        if fields[0] == "d" {
            (fields[3], fields[5]) = ("-", "-");
        }
        fields.pop();
        let mut text = fields.join(" ");
        let file = root.join(name);
        match fields[0] {
            "f" => text += &format!(" {:x}", sum(&fs::read(&file).expect("content"))),
            "c" | "b" => text += &tool("stat", ["-c", " %t:%T", file.to_str().expect("text")]),
            _ => {}
        }
        found.insert(name.to_owned(), text);
    }
    let of_image = "^(user|security)\\.";
    let xattrs = tool("getfattr", ["-R", "-h", "-d", "-m", of_image, "--absolute-names", path]);
    for part in xattrs.split("\n\n").filter(|part| part.starts_with("# file: ")) {
        let (head, values) = part.split_once('\n').expect("attributes");
        let name = head.trim_start_matches("# file: ").trim_start_matches(path);
        let mut values: Vec<&str> = values.lines().collect();
        values.sort_unstable();
        let entry = found.get_mut(name.trim_start_matches('/')).expect("a listed file");
        entry.push_str(&format!(" {values:?}"));
    }
    found
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(7, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)))
}

#[track_caller]
fn assert_same(peer: &BTreeMap<String, String>, ours: &BTreeMap<String, String>) {
    assert!(ours.len() > 20, "{ours:#?}");
    for (name, theirs) in peer {
        assert_eq!(ours.get(name), Some(theirs), "{name}");
    }
    let more: Vec<_> = ours.keys().filter(|name| !peer.contains_key(*name)).collect();
    assert!(more.is_empty(), "{more:?}");
}

/// The image as `creel-inspect mount` shows it.
fn mounted(sandbox: &Sandbox, layout: &Path) -> BTreeMap<String, String> {
    let from = format!("oci:{}:x", layout.display());
    sandbox.copy([&from, "store:odd"]).run().success();
    let place = sandbox.path("mounted");
    fs::create_dir_all(&place).expect("a directory");
    let place = place.to_str().expect("text").to_owned();
    sandbox.inspect(["mount", "odd", &place]).run().success();
    let found = listing(Path::new(&place));
    sandbox.inspect(["umount", &place]).run().success();
    assert_eq!(fs::read_dir(&place).expect("a directory").count(), 0);
    found
}

#[test]
fn a_tree_is_umocis() {
    need!("root", "overlay", "umoci", "getfattr");
    let sandbox = Sandbox::new();
    let layout = sandbox.path("layout");
    odd(false).write_layout(&layout, Some("x"));
    let image = format!("{}:x", layout.display());
    let bundle = sandbox.path("bundle");
    umoci(&sandbox, ["unpack", "--image", &image, bundle.to_str().expect("text")]).run().success();
    assert_same(&listing(&bundle.join("rootfs")), &mounted(&sandbox, &layout));
}

/// podman forgets the owner and mode of directories that an upper layer only implies; umoci and
/// containerd do not.
#[test]
fn a_tree_is_podmans() {
    need!("root", "overlay", "podman", "getfattr");
    let sandbox = Sandbox::new();
    let layout = sandbox.path("layout");
    odd(true).write_layout(&layout, Some("x"));
    let archive = sandbox.path("archive");
    odd(true).write_oci_archive(&archive, Some("x"));
    let archive = archive.to_str().expect("text");
    podman(&sandbox, ["load", "--quiet", "--input", archive]).run().success();
    let id = podman(&sandbox, ["images", "--quiet"]).run().success().stdout;
    let place = podman(&sandbox, ["image", "mount", id.trim()]).run().success().stdout;
    let theirs = listing(Path::new(place.trim()));
    podman(&sandbox, ["image", "umount", id.trim()]).run().success();
    assert_same(&theirs, &mounted(&sandbox, &layout));
}
