//! Where contexts come from.

use std::io::Write as _;

use super::result::{Made, build, built, steps};
use crate::support::content::sha256;
use crate::support::git::{Daemon, Repository, TIME};
use crate::support::http::RecordingServer;
use crate::support::image::{image, layer};
use crate::support::peers::need;
use crate::support::program::Sandbox;

const FILES: [(&str, &str); 4] = [
    ("Dockerfile", "FROM scratch\nCOPY . /\n"),
    ("Other", "FROM scratch\nCOPY d /d\n"),
    ("d/x", "x"),
    (".dockerignore", ".dockerignore\nDockerfile\nOther\n"),
];

fn archive() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, text) in FILES {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(TIME);
        tar.append_data(&mut header, name, text.as_bytes()).expect("an entry");
    }
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar.into_inner().expect("an archive")).expect("written");
    gzip.finish().expect("compressed")
}

const TREE: [&str; 2] = ["d/ 755 0:0 dir", "d/x 644 0:0 \"x\""];

fn made(sandbox: &Sandbox, args: &[&str]) -> Made {
    let out = build(sandbox, &[&["-q"], args].concat()).success();
    Made::of(sandbox, out.stdout.trim())
}

#[test]
fn archives_and_dockerfiles_of_the_web() {
    let (sandbox, server) = (Sandbox::new(), RecordingServer::start());
    let date = "Sun, 09 Sep 2001 01:46:40 GMT";
    server.answer("/c.tgz", 200, &[("last-modified", date)], archive());
    server.answer("/alone", 200, &[], "FROM scratch\nLABEL a=b\n");
    server.answer("/other", 200, &[], "FROM scratch\nCOPY d/x /y\n");
    let url = server.url();
    let address = format!("{url}/c.tgz");
    assert_eq!(made(&sandbox, &[&address]).top(), TREE);
    // The Dockerfile of the archive is meant, not one that lies here.
    sandbox.write("work/Other", "FROM scratch\nLABEL wrong=1\n");
    assert_eq!(made(&sandbox, &["-f", "Other", &address]).top(), TREE);
    assert_eq!(
        made(&sandbox, &["-f", &format!("{url}/other"), &address]).top(),
        ["y 644 0:0 \"x\""]
    );
    let alone = made(&sandbox, &[&format!("{url}/alone")]);
    assert_eq!(alone.config["config"]["Labels"]["a"], "b");
    // Its time is the server's.
    let out = sandbox.build(["build", "-q", &address]).env("SOURCE_DATE_EPOCH", "context");
    let timed = Made::of(&sandbox, out.run().success().stdout.trim());
    assert_eq!(timed.config["created"], "2001-09-09T01:46:40Z");
    let same = made(&sandbox, &["--reproducible", &address]);
    assert_eq!(same.manifest, timed.manifest);
    build(&sandbox, &["-q", &format!("{url}/none.tgz")]).fails(3).says("404 Not Found");
    // Credentials of an address are for its server and for nobody's eyes.
    let with = address.replace("http://", "http://me:s3cret-word@");
    let out = build(&sandbox, &["-q", &with]).success();
    assert!(!out.stderr.contains("s3cret-word"));
    let shown = server.requests().last().expect("a request").authorization.clone();
    assert_eq!(shown.as_deref(), Some("Basic bWU6czNjcmV0LXdvcmQ="));
    let left = std::fs::read_dir(sandbox.store().join("tmp")).expect("a folder").count();
    assert_eq!(left, 0);
    // A place that is gone with its build is not remembered.
    let prints = sandbox.store().join("cache/build/prints");
    assert_eq!(std::fs::read_dir(prints).map_or(0, Iterator::count), 0);
}

#[test]
fn repositories() {
    need!("git");
    let sandbox = Sandbox::new();
    let repository = Repository::new(&sandbox.path("git/r"));
    repository.commit(&FILES);
    let first = repository.git(&["rev-parse", "HEAD"]);
    repository.git(&["branch", "old"]);
    repository.commit(&[
        ("d/x", "new"),
        ("in/Dockerfile", "FROM scratch\nCOPY f /f\n"),
        ("in/f", "f"),
    ]);
    let daemon = Daemon::start(&sandbox.path("git"));
    let url = daemon.url("r");
    assert_eq!(made(&sandbox, &[&url]).layers[0]["d/x"], "644 0:0 \"new\"");
    for address in [format!("{url}#old"), format!("{url}#{first}")] {
        assert_eq!(made(&sandbox, &[&address]).top(), TREE, "{address}");
    }
    assert_eq!(made(&sandbox, &[&format!("{url}#main:in")]).top(), ["f 644 0:0 \"f\""]);
    assert_eq!(made(&sandbox, &["-f", "Other", &format!("{url}#old")]).top(), TREE);
    // The commit gives everything its time.
    let old = format!("{url}#old");
    let timed = made(&sandbox, &["--reproducible", &old]);
    assert_eq!(timed.config["created"], "2001-09-09T01:46:40Z");
    assert!(timed.times(&sandbox).values().all(|time| *time == TIME));
    let again = made(&sandbox, &["--no-cache", "--reproducible", &old]);
    assert_eq!(again.manifest, timed.manifest);
    let kept = made(&sandbox, &["--build-arg", "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1", &url]);
    assert!(kept.layers[0].contains_key(".git/HEAD"));
    build(&sandbox, &["-q", &format!("{url}#none")]).fails(3).says("no branch or tag none");
    // It can be looked at without building.
    let out = sandbox.build(["check", &url]).run().success();
    assert!(out.stdout.contains("no warnings") || out.stdout.is_empty(), "{}", out.stdout);
}

#[test]
fn further_contexts_from_everywhere() {
    need!("git");
    let (sandbox, server) = (Sandbox::new(), RecordingServer::start());
    server.answer("/c.tgz", 200, &[], archive());
    Repository::new(&sandbox.path("git/r")).commit(&[("g", "g")]);
    let daemon = Daemon::start(&sandbox.path("git"));
    sandbox.write("work/c.tar", archive());
    let base = image().layer(layer().file("from-layout", "l")).env("IN", "layout").build();
    base.write_layout(&sandbox.work("layout"), Some("1"));
    let web = format!("web={}/c.tgz", server.url());
    let git = format!("git={}", daemon.url("r"));
    let layout = format!("base=oci-layout://{}:1", sandbox.work("layout").display());
    let args: Vec<&str> = [web.as_str(), &git, "tar=c.tar", &layout]
        .into_iter()
        .flat_map(|context| ["--build-context", context])
        .collect();
    let file = "FROM base\nCOPY --from=web d /w\nCOPY --from=git g /g\nCOPY --from=tar d/x /t$IN\n";
    let image = built(&sandbox, file, &args);
    assert_eq!(image.layers.len(), 4);
    assert_eq!(image.layers[1]["w/x"], "644 0:0 \"x\"");
    assert_eq!(image.layers[2]["g"], "644 0:0 \"g\"");
    assert_eq!(image.layers[3]["tlayout"], "644 0:0 \"x\"");
    assert_eq!(steps(&sandbox, file, &args), (0, 3));
    let digest = base.root.digest.to_string();
    let by_digest = format!("base=oci-layout://{}@{digest}", sandbox.work("layout").display());
    let made = built(&sandbox, "FROM base\n", &["--build-context", &by_digest]);
    assert_eq!(made.manifest["layers"][0]["digest"], image.manifest["layers"][0]["digest"]);
    sandbox.write("work/Dockerfile", "FROM base\n");
    let wrong = by_digest.replace(&digest, &sha256(b"other"));
    build(&sandbox, &["-q", "--build-context", &wrong, "."]).fails(3).says("has no sha256:");
}

#[test]
fn a_directory_is_a_base() {
    let sandbox = Sandbox::new();
    for (name, content) in [("root/etc/f", "f"), ("root/left-out", ""), ("root/run", "r")] {
        sandbox.write(&format!("work/{name}"), content);
    }
    sandbox.write("work/root/.dockerignore", ".dockerignore\nleft-out\n");
    std::os::unix::fs::symlink("f", sandbox.work("root/etc/l")).expect("a link");
    let args = ["--build-context", "base=root"];
    let file = "FROM base\nWORKDIR etc\nCOPY root/run g\n";
    let made = built(&sandbox, file, &args);
    let layer: Vec<String> =
        made.layers[0].iter().map(|(name, what)| format!("{name} {what}")).collect();
    assert_eq!(
        layer,
        ["etc/ 755 0:0 dir", "etc/f 644 0:0 \"f\"", "etc/l 777 0:0 -> f", "run 644 0:0 \"r\""]
    );
    assert_eq!(made.top(), ["etc/ 755 0:0 dir", "etc/g 644 0:0 \"r\""]);
    assert_eq!(made.config["config"]["WorkingDir"], "/etc");
    assert_eq!(steps(&sandbox, file, &args), (0, 3));
    // A context of a stage's name stands for the stage.
    let file = "FROM none.invalid/x AS base\nRUN false\nFROM scratch\nCOPY --from=base /etc/f /h\n";
    assert_eq!(built(&sandbox, file, &args).top(), ["h 644 0:0 \"f\""]);
    sandbox.write("work/root/etc/f", "new");
    let made = built(&sandbox, "FROM base\n", &args);
    assert_eq!(made.layers[0]["etc/f"], "644 0:0 \"new\"");
}
