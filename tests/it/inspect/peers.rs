//! The same answers as skopeo, umoci and Docker give about the same images.

use serde_json::{Value, json};

use crate::support::image::{Built, DockerSave, image, layer};
use crate::support::peers::{need, skopeo, umoci};
use crate::support::program::Sandbox;
use crate::support::registry::TestRegistry;
use crate::support::server::Dockerd;

fn rich(docker: bool) -> Built {
    let image = image()
        .layer(layer().noise("base", 50_000, 1).created_by("ADD base / # buildkit"))
        .layer(layer().file("etc/motd", "hi\n").created_by("/bin/sh -c echo hi > /etc/motd"))
        .empty_history()
        .rich();
    if docker { image.docker().build() } else { image.build() }
}

#[test]
fn fields_are_those_of_skopeo() {
    need!("skopeo");
    for docker in [false, true] {
        let (registry, sandbox) = (TestRegistry::start(), Sandbox::new());
        rich(docker).push(&registry, "team/app", "1");
        let name = registry.image("team/app:1");
        let theirs = skopeo(&sandbox, ["inspect", &name]).run().success().json();
        let fields = theirs.as_object().unwrap();
        assert!(fields.len() > 8, "{theirs}");
        // The list of all tags would cost a request that nobody asked for.
        for (key, value) in fields.iter().filter(|(key, _)| *key != "RepoTags") {
            let template = format!("{{{{json .{key}}}}}");
            let ours = sandbox.inspect(["--format", &template, &name]).run().success().json();
            assert_eq!(&ours, value, "{key}");
        }
        for (flags, ours) in [
            (&["inspect", "--raw"][..], &["--raw"][..]),
            (&["inspect", "--config", "--raw"], &["--config", "--raw"]),
        ] {
            let theirs = skopeo(&sandbox, flags).arg(&name).run().success().stdout;
            let ours = sandbox.inspect(ours).arg(&name).run().success().stdout;
            // skopeo ends the config with a line feed of its own.
            assert_eq!(ours.trim_end(), theirs.trim_end());
        }
    }
}

#[test]
fn skopeo_needs_more_requests() {
    need!("skopeo");
    let (registry, sandbox) = (TestRegistry::start(), Sandbox::new());
    rich(false).push(&registry, "app", "1");
    let name = registry.image("app:1");
    skopeo(&sandbox, ["inspect", &name]).run().success();
    let theirs = registry.requests().len();
    registry.clear_log();
    sandbox.inspect([&name]).run().success();
    let ours = registry.requests().len();
    assert!(ours == 2 && theirs > ours, "{ours} {theirs}");
}

#[test]
fn the_history_is_that_of_umoci() {
    need!("umoci");
    let sandbox = Sandbox::new();
    rich(false).write_layout(&sandbox.work("l"), Some("1"));
    let theirs = umoci(&sandbox, ["stat", "--image", "l:1", "--json"]).run().success().json();
    let line = |line: &Value| json!([line["created"], line["created_by"], line["layer"]["digest"]]);
    let theirs: Vec<Value> = theirs["history"].as_array().unwrap().iter().map(line).collect();
    let ours = sandbox.inspect(["history", "--json", "oci:l:1"]).run().success().json();
    let line = |line: &Value| json!([line["created"], line["createdBy"], line["layer"]]);
    let ours: Vec<Value> = ours.as_array().unwrap().iter().map(line).collect();
    assert_eq!(ours.len(), 4);
    assert_eq!(ours, theirs);
}

#[test]
fn docker_tells_the_same() {
    need!("root", "dockerd", "docker");
    let (docker, sandbox) = (Dockerd::start(), Sandbox::new());
    let archive = sandbox.work("image.tar");
    rich(true).write_docker_archive(&archive, DockerSave::Classic, &["app:latest"]);
    let load = ["load", "-q", "-i", &archive.display().to_string()].map(str::to_owned);
    docker.docker(&sandbox, load).run().success();
    let words = ["history", "--no-trunc", "--format", "{{.CreatedBy}}\t{{.Size}}", "app"];
    let theirs = docker.docker(&sandbox, words).run().success().stdout;
    let theirs: Vec<(&str, bool)> = theirs
        .lines()
        .map(|line| line.split_once('\t').unwrap())
        .map(|(by, size)| (by, size != "0B"))
        .collect();
    let at = "docker-archive:image.tar";
    let ours = sandbox.inspect(["history", "--json", at]).run().success().json();
    // Docker shows the newest first.
    let ours = ours.as_array().unwrap().iter().rev();
    let ours: Vec<(&str, bool)> = ours
        .map(|line| {
            (line["createdBy"].as_str().unwrap(), line.get("layer").is_some_and(|l| !l.is_null()))
        })
        .collect();
    assert_eq!(ours, theirs);
    for template in [
        "{{.Id}}",
        "{{.Architecture}} {{.Os}}",
        "{{json .Config.Env}}",
        "{{json .Config.Cmd}}",
        "{{json .Config.Entrypoint}}",
        "{{json .Config.Labels}}",
        "{{json .Config.Healthcheck}}",
        "{{.Config.User}}:{{.Config.WorkingDir}}",
        "{{json .RootFS.Layers}}",
        "{{range .RootFS.Layers}}{{.}} {{end}}",
        "{{.Author}}",
    ] {
        let words = ["image", "inspect", "--format", template, "app"];
        let theirs = docker.docker(&sandbox, words).run().success().stdout;
        let ours = sandbox.inspect(["--format", template, at]).run().success().stdout;
        assert_eq!(ours, theirs, "{template}");
    }
}
