//! Config, history, manifest and names of what is built.

use serde_json::json;

use super::result::{Made, build, built};
use crate::support::image::{image, layer};
use crate::support::program::Sandbox;

const FILE: &str = r#"ARG V=1
FROM scratch AS base
ENV A=1 B="x y"
ONBUILD LABEL from=trigger
ONBUILD ENV T=$A
MAINTAINER me

FROM base
ARG V
ENV A=2
LABEL a=b c="d e" over=file
COPY f /
EXPOSE 80 53/udp 8000-8001
VOLUME /data [x]
USER 1:2
WORKDIR /w
SHELL ["/bin/bash", "-c"]
STOPSIGNAL SIGINT
HEALTHCHECK --interval=3s --retries=2 CMD true
ENTRYPOINT ["/x", "y"]
CMD run $V
"#;

#[test]
fn instructions_fill_the_config() {
    let sandbox = Sandbox::new();
    sandbox.write("work/f", "f");
    let made = built(&sandbox, FILE, &["--label", "over=given", "--label", "more=1"]);
    let config = &made.config["config"];
    assert_eq!(
        *config,
        json!({
            "User": "1:2",
            "ExposedPorts": {"53/udp": {}, "80/tcp": {}, "8000/tcp": {}, "8001/tcp": {}},
            "Env": [
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "A=2", "B=x y", "T=1"
            ],
            "Cmd": ["/bin/bash", "-c", "run $V"],
            "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 3_000_000_000_u64, "Retries": 2},
            "Volumes": {"/data": {}, "[x]": {}},
            "WorkingDir": "/w",
            "Entrypoint": ["/x", "y"],
            "Labels": {"a": "b", "c": "d e", "over": "given", "from": "trigger", "more": "1"},
            "StopSignal": "SIGINT",
            "Shell": ["/bin/bash", "-c"],
        })
    );
    assert_eq!(made.config["author"], "me");
    assert_eq!(
        made.history(),
        [
            "- ENV A=1 B=x y",
            "- MAINTAINER me",
            "- LABEL from=trigger",
            "- ENV T=1",
            "- ARG V=1",
            "- ENV A=2",
            "- LABEL a=b c=d e over=file",
            "COPY f / # buildkit",
            "- EXPOSE [53/udp 80/tcp 8000-8001/tcp]",
            "- VOLUME [/data [x]]",
            "- USER 1:2",
            "WORKDIR /w",
            "- SHELL [/bin/bash -c]",
            "- STOPSIGNAL SIGINT",
            "- HEALTHCHECK {Test:[CMD-SHELL true] Interval:3s Timeout:0s StartPeriod:0s StartInterval:0s Retries:2}",
            "- ENTRYPOINT [\"/x\" \"y\"]",
            "- CMD [\"/bin/bash\" \"-c\" \"run $V\"]",
        ]
    );
    assert_eq!(made.layers.len(), 2);
    assert_eq!(made.config["rootfs"]["diff_ids"].as_array().map(Vec::len), Some(2));
}

#[test]
fn an_entrypoint_clears_an_inherited_command_only() {
    let sandbox = Sandbox::new();
    let base = "FROM scratch AS base\nCMD [\"inherited\"]\n";
    let cmd = |rest: &str| {
        built(&sandbox, &format!("{base}FROM base\n{rest}"), &[]).config["config"]["Cmd"].clone()
    };
    assert_eq!(cmd("ENTRYPOINT [\"x\"]\n"), json!(null));
    assert_eq!(cmd("CMD [\"own\"]\nENTRYPOINT [\"x\"]\n"), json!(["own"]));
    assert_eq!(cmd("CMD []\n"), json!(null));
    assert_eq!(cmd("LABEL a=b\n"), json!(["inherited"]));
}

#[test]
fn names_digests_and_files_say_what_came_out() {
    let sandbox = Sandbox::new();
    sandbox.write("work/Dockerfile", "FROM scratch\nLABEL a=b\n");
    let args = [
        "-q",
        "-t",
        "app",
        "-t",
        "host:5/app:1",
        "--iidfile",
        "iid",
        "--metadata-file",
        "meta",
        "--digestfile",
        "digest",
        "--annotation",
        "k=v",
        ".",
    ];
    let digest = build(&sandbox, &args).success().stdout.trim().to_owned();
    let read = |name: &str| std::fs::read_to_string(sandbox.work(name)).expect("a file");
    let made = Made::of(&sandbox, &digest);
    assert_eq!(read("digest"), digest);
    assert_eq!(json!(read("iid")), made.manifest["config"]["digest"]);
    let meta: serde_json::Value = serde_json::from_str(&read("meta")).expect("JSON");
    assert_eq!(meta["containerimage.digest"], json!(digest));
    assert_eq!(meta["containerimage.config.digest"], made.manifest["config"]["digest"]);
    assert_eq!(meta["image.name"], "docker.io/library/app:latest,host:5/app:1");
    assert_eq!(made.manifest["annotations"], json!({"k": "v"}));
    for name in ["store:app", "store:host:5/app:1"] {
        assert_eq!(sandbox.copy(["digest", name]).run().success().stdout.trim(), digest);
    }
    // Without a name it is kept under its digest.
    let out = build(&sandbox, &["-q", "."]).success();
    let other = out.stdout.trim();
    assert_ne!(other, digest);
    sandbox.copy(["digest", &format!("store:{other}")]).run().success();
}

#[test]
fn both_vocabularies_are_spoken() {
    let sandbox = Sandbox::new();
    sandbox.write("work/f", "f");
    let types = |args: &[&str]| {
        let made = built(&sandbox, "FROM scratch\nCOPY f /\n", args);
        let of = |value: &serde_json::Value| value["mediaType"].as_str().unwrap_or("").to_owned();
        let manifest = &made.manifest;
        [of(manifest), of(&manifest["config"]), of(&manifest["layers"][0])]
    };
    assert_eq!(
        types(&[]),
        [
            "application/vnd.oci.image.manifest.v1+json",
            "application/vnd.oci.image.config.v1+json",
            "application/vnd.oci.image.layer.v1.tar",
        ]
    );
    assert_eq!(
        types(&["--format", "docker"]),
        [
            "application/vnd.docker.distribution.manifest.v2+json",
            "application/vnd.docker.container.image.v1+json",
            "application/vnd.docker.image.rootfs.diff.tar",
        ]
    );
}

#[test]
fn a_base_of_the_store_costs_no_request() {
    let sandbox = Sandbox::new();
    sandbox.write("work/f", "f");
    sandbox.write("work/base/Dockerfile", "FROM scratch\nCOPY f /base\nENV B=1\nCMD [\"b\"]\n");
    sandbox.write("work/base/f", "b");
    // Nobody listens on this port.
    build(&sandbox, &["-q", "-t", "localhost:1/base", "base"]).success();
    let made = built(&sandbox, "FROM localhost:1/base\nCOPY f /$B\n", &[]);
    assert_eq!(made.layers.len(), 2);
    assert_eq!(made.top(), ["1 644 0:0 \"f\""]);
    assert_eq!(made.config["config"]["Cmd"], json!(["b"]));
    assert_eq!(made.history()[3], "COPY f /1 # buildkit");
    sandbox.write("work/Dockerfile", "FROM localhost:1/other\n");
    let out = build(&sandbox, &["-q", "--pull=never", "."]).fails(3);
    assert!(out.stderr.contains("the store has no localhost:1/other"), "{}", out.stderr);
    build(&sandbox, &["-q", "."]).fails(5);
}

#[test]
fn unused_stages_cost_nothing() {
    let sandbox = Sandbox::new();
    let file = "FROM localhost:1/nowhere AS unused\nCOPY missing /\nFROM scratch AS a\nLABEL a=1\n\
                FROM scratch AS b\nLABEL b=1\n";
    sandbox.write("work/Dockerfile", file);
    build(&sandbox, &["-q", "."]).success();
    let made = built(&sandbox, file, &["--target", "a"]);
    assert_eq!(made.config["config"]["Labels"], json!({"a": "1"}));
}

#[test]
fn layers_that_the_base_does_not_tell_of_get_a_line() {
    let sandbox = Sandbox::new();
    sandbox.write("work/f", "f");
    let base = image().layer(layer().file("a", "a")).layer(layer().file("b", "b"));
    let base = base.config_top("history", json!([{"created_by": "made a"}]));
    base.build().write_layout(&sandbox.path("base"), Some("x"));
    let from = format!("oci:{}:x", sandbox.path("base").display());
    sandbox.copy([&from, "store:localhost:1/base"]).run().success();
    let made = built(&sandbox, "FROM localhost:1/base\nCOPY f /\n", &[]);
    let lines = made.config["history"].as_array().expect("history");
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0], json!({"created_by": "made a"}));
    assert_eq!(lines[1], json!({"comment": "a layer that the base's history does not tell of"}));
    assert_eq!(lines[2]["created_by"], "COPY f / # buildkit");
}
