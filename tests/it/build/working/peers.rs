//! The same script for buildah, and others as readers of what comes out.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Made, verb, with_commands};
use crate::support::peers::{self, need};
use crate::support::program::Sandbox;
use crate::support::server::Dockerd;

/// A script in words that both understand; the container is called `c`.
const SCRIPT: &[&[&str]] = &[
    &["copy", "c", "file", "/etc/file"],
    &["copy", "--chown", "5:6", "c", "dir", "/data"],
    &["copy", "--chmod", "0700", "c", "file", "dir/a", "/both/"],
    &["add", "c", "a.tar", "/unpacked/"],
    &[
        "run",
        "--network",
        "none",
        "c",
        "--",
        "sh",
        "-c",
        "rm /etc/passwd; mkdir /made; mkdir -m 1777 /tmp; echo 1 > /made/f",
    ],
    &["run", "--network", "none", "--user", "5:6", "c", "--", "touch", "/tmp/of-app"],
    &["config", "--author", "me", "--cmd", "a 'b c'", "--entrypoint", "[\"/e\", \"f\"]", "c"],
    &["config", "--env", "A=1", "--env", "B=x:$A", "--label", "l=1", "--label", "m=a=b", "c"],
    &["config", "--port", "80/tcp", "--port", "53/udp", "--volume", "/v", "--user", "u:g", "c"],
    &["config", "--workingdir", "/w", "--stop-signal", "SIGINT", "--annotation", "n=1", "c"],
    &["config", "--created-by", "the script", "c"],
];

fn files(sandbox: &Sandbox) {
    sandbox.write("work/file", "file");
    sandbox.write("work/dir/a", "a");
    sandbox.write("work/dir/sub/b", "b");
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(1);
    header.set_mode(0o640);
    header.set_uid(3);
    header.set_gid(4);
    archive.append_data(&mut header, "in/f", &b"x"[..]).expect("an entry");
    sandbox.write("work/a.tar", archive.into_inner().expect("an archive"));
}

/// The image of buildah's container `c`, brought into our store.
fn theirs(sandbox: &Sandbox, flags: &[&str]) -> Made {
    let commit = [&["commit", "-q"], flags, &["c", "oci:theirs:x"]].concat();
    peers::buildah(sandbox, commit).run().success();
    sandbox.copy(["--quiet", "oci:theirs:x", "store:theirs"]).run().success();
    Made::of(sandbox, sandbox.copy(["digest", "store:theirs"]).run().success().stdout.trim())
}

/// Begins `c` from `base` with buildah, too.
fn begin(sandbox: &Sandbox) {
    sandbox.copy(["--quiet", "store:base", "oci:base:x"]).run().success();
    let place = peers::containers_storage(sandbox, "localhost/base:latest");
    peers::skopeo(sandbox, ["copy", "-q", "oci:base:x", &place]).run().success();
    let from = ["from", "--pull=never", "--name", "c", "localhost/base:latest"];
    peers::buildah(sandbox, from).run().success();
    verb(sandbox, &["from", "--name", "c", "base"]);
}

/// The new entries of a layer, without directories and what a runtime needs to mount.
fn entries(made: &Made) -> BTreeSet<String> {
    let mounts = ["dev/", "proc/", "sys/", "run/", "etc/hosts", "etc/hostname", "etc/resolv.conf"];
    let top = made.top().into_iter();
    let told =
        top.filter(|line| !line.ends_with(" dir") && !mounts.iter().any(|m| line.starts_with(m)));
    let same = |line: String| {
        let (path, rest) = line.split_once(' ').expect("a path");
        let (mode, rest) = rest.split_once(' ').expect("a mode");
        // buildah writes the kind of file too, and whiteouts without any mode.
        let mode = u32::from_str_radix(mode, 8).expect("octal") & 0o7777;
        match path.contains(".wh.") {
            true => path.to_owned(),
            false => format!("{path} {mode:o} {rest}"),
        }
    };
    told.map(same).collect()
}

/// Lines of history without their times and the name of the base, which differs.
fn lines(made: &Made) -> Vec<Value> {
    let mut lines = made.config["history"].as_array().expect("history").clone();
    for line in &mut lines {
        let line = line.as_object_mut().expect("a line");
        line.remove("created");
        if let Some(Value::String(comment)) = line.get_mut("comment")
            && comment.starts_with("FROM ")
        {
            comment.truncate("FROM".len());
        }
    }
    lines
}

#[test]
fn the_script_makes_what_it_makes_with_buildah() {
    need!("buildah", "skopeo");
    let Some(sandbox) = with_commands() else { return };
    files(&sandbox);
    begin(&sandbox);
    for step in SCRIPT {
        peers::buildah(&sandbox, *step).run().success();
        verb(&sandbox, step);
    }
    let ours = super::commit(&sandbox, &["c"]);
    let theirs = theirs(&sandbox, &["--identity-label=false"]);
    assert_eq!(ours.config["config"], theirs.config["config"]);
    assert_eq!(lines(&ours), lines(&theirs));
    for field in ["author", "architecture", "os"] {
        assert_eq!(ours.config[field], theirs.config[field], "{field}");
    }
    assert_eq!(entries(&ours), entries(&theirs));
    assert_eq!(ours.layers.len(), theirs.layers.len());
    assert_eq!(ours.manifest["annotations"]["n"], theirs.manifest["annotations"]["n"]);
}

#[test]
fn others_read_the_image() {
    need!("skopeo", "podman", "dockerd", "docker");
    let Some(sandbox) = with_commands() else { return };
    files(&sandbox);
    verb(&sandbox, &["from", "--name", "c", "base"]);
    verb(
        &sandbox,
        &["run", "--network", "none", "c", "--", "sh", "-c", "rm /etc/passwd; echo made > /f"],
    );
    verb(&sandbox, &["config", "--cmd", "sh -c 'cat /f; ls /etc'", "--label", "l=1", "c"]);
    verb(&sandbox, &["commit", "c", "oci:out:app"]);
    verb(&sandbox, &["commit", "--format", "docker", "c", "docker-archive:app.tar:app:1"]);
    let out = peers::skopeo(&sandbox, ["inspect", "oci:out:app"]).run().success().json();
    assert_eq!(out["Labels"]["l"], "1");
    let load = ["load", "-q", "-i", "app.tar"];
    let run = ["run", "--rm", "--network", "none", "app:1"];
    peers::podman(&sandbox, load).run().success();
    let by_podman = peers::podman(&sandbox, run).run().success().stdout;
    assert!(by_podman.starts_with("made\n") && !by_podman.contains("passwd"), "{by_podman}");
    let docker = Dockerd::start();
    let archive = sandbox.work("app.tar").display().to_string();
    docker.docker(&sandbox, ["load", "-q", "-i", &archive]).run().success();
    let by_docker = docker.docker(&sandbox, run).run().success().stdout;
    assert!(by_docker.starts_with("made\n") && !by_docker.contains("passwd"), "{by_docker}");
}
