//! Power cuts: the disk as it was at many moments, started again.
//!
//! The store lies on ext4 (with as few guarantees as it can be mounted with) in a file on XFS. A
//! clone of that file is the disk at one moment between two of its writes, as if the power had
//! gone just then.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Disk, soak, tool};
use crate::support::image::{Built, image, layer};
use crate::support::peers::need;
use crate::support::program::Sandbox;

/// The least that ext4 promises.
const HARSH: &str = "data=writeback,noauto_da_alloc,commit=1";

struct Machine {
    sandbox: Sandbox,
    outer: Disk,
}

impl Machine {
    fn new() -> Machine {
        let sandbox = Sandbox::new();
        let outer =
            Disk::make(&sandbox.path("outer.img"), &sandbox.path("outer"), "xfs", 4096, "nodev");
        for (name, seed) in [("one", 1), ("two", 2)] {
            built(seed).write_layout(&sandbox.path(name), Some("x"));
        }
        Machine { sandbox, outer }
    }

    fn disk(&self) -> PathBuf {
        self.outer.place.join("disk")
    }

    fn clone_to(&self, from: &Path, to: &Path) {
        let (from, to) = (from.to_str().expect("text"), to.to_str().expect("text"));
        tool("cp", ["--reflink=always", from, to]);
    }

    fn words(&self, root: &Path, work: &str) -> Vec<String> {
        let from = |name: &str| format!("oci:{}:x", self.sandbox.path(name).display());
        let root = root.to_str().expect("text").to_owned();
        let mut words = vec!["--root".to_owned(), root];
        words.extend(match work {
            "pull" => vec![from("two"), "store:two".to_owned()],
            "tag" => ["tag", "store:one", "again"].map(str::to_owned).to_vec(),
            "rm" => ["rm", "one"].map(str::to_owned).to_vec(),
            "prune" => ["prune"].map(str::to_owned).to_vec(),
            "first pull" => vec![from("one"), "store:one".to_owned()],
            other => panic!("{other}"),
        });
        words
    }
}

fn built(seed: u64) -> Built {
    let mut made = image().layer(layer().dir("etc").file("etc/shared", "shared"));
    for n in 0..3 {
        let mut next = layer().dir("data").noise("data/noise", 900_000, seed * 10 + n);
        for file in 0..60 {
            next = next.file(&format!("data/{n}-{file}"), format!("{seed} {file}"));
        }
        made = made.layer(next);
    }
    made.build()
}

/// Does the work while the disk is cloned again and again; then starts each clone.
fn cut(work: &str) {
    let machine = Machine::new();
    let sandbox = &machine.sandbox;
    let inner = sandbox.path("inner");
    let disk = Disk::make(&machine.disk(), &inner, "ext4", 96, HARSH);
    let store = disk.place.join("store");
    if work != "first pull" {
        sandbox.copy(machine.words(&store, "first pull")).run().success();
    }
    if work == "prune" {
        sandbox.copy(machine.words(&store, "rm")).run().success();
    }
    tool("sync", ["-f", disk.place.to_str().expect("text")]);
    let most = if soak() { 200 } else { 16 };
    let mut clones = Vec::new();
    let take = |clones: &mut Vec<PathBuf>| {
        let clone = machine.outer.place.join(format!("clone-{}", clones.len()));
        machine.clone_to(&machine.disk(), &clone);
        clones.push(clone);
    };
    take(&mut clones);
    let running = sandbox.copy(machine.words(&store, work)).start();
    let process = format!("/proc/{}/stat", running.id());
    let runs = || {
        let stat = std::fs::read_to_string(&process).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z")
    };
    while runs() && clones.len() < most {
        take(&mut clones);
        if !soak() {
            std::thread::sleep(Duration::from_millis(15));
        }
    }
    running.wait().success();
    // What the program has told is on the disk.
    take(&mut clones);
    drop(disk);
    let last = clones.len() - 1;
    println!("{work}: {} moments", clones.len());
    for (number, clone) in clones.iter().enumerate() {
        started_again(&machine, clone, work, number == last);
        std::fs::remove_file(clone).expect("a clone");
    }
}

/// A machine that lost its power, with this disk.
fn started_again(machine: &Machine, clone: &Path, work: &str, done: bool) {
    let sandbox = &machine.sandbox;
    let disk = Disk::mount(clone, &sandbox.path("again"), "ext4", HARSH);
    let store = disk.place.join("store");
    let root = store.to_str().expect("text");
    let at = clone.display();
    let check = || {
        let checked = sandbox.inspect(["--root", root, "check"]).run();
        assert_eq!(checked.code(), Some(0), "{work} at {at}: {}{}", checked.stdout, checked.stderr);
    };
    check();
    let images = sandbox.inspect(["--root", root, "images", "--json"]).run().success().stdout;
    if done {
        let expected = match work {
            "pull" => "library/two:latest",
            "tag" => "library/one:again",
            "first pull" => "library/one:latest",
            _ => "[]",
        };
        assert!(images.contains(expected), "{work} at {at}: {images}");
    }
    // Once more, as one does.
    let again = sandbox.copy(machine.words(&store, work)).run();
    let gone = work == "rm" && again.code() == Some(3);
    assert!(again.code() == Some(0) || gone, "{work} at {at}: {}", again.stderr);
    sandbox.copy(["--root", root, "prune"]).run().success();
    check();
    let left = std::fs::read_dir(store.join("tmp")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "{work} at {at}");
    if work.ends_with("pull") {
        let name = if work == "pull" { "store:two" } else { "store:one" };
        let digest = sandbox.copy(["--root", root, "digest", name]).run().success().stdout;
        let seed = if work == "pull" { 2 } else { 1 };
        assert_eq!(digest.trim(), built(seed).root.digest);
    }
}

#[test]
fn power_cuts_during_pulls() {
    need!("root", "mkfs.xfs", "mkfs.ext4");
    cut("first pull");
    cut("pull");
}

#[test]
fn power_cuts_when_names_change_and_content_goes() {
    need!("root", "mkfs.xfs", "mkfs.ext4");
    cut("tag");
    cut("rm");
    cut("prune");
}
