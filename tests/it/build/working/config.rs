//! `config`: what the image says.

use serde_json::json;

use super::{commit, verb};
use crate::support::program::Sandbox;

#[test]
fn every_field() {
    let sandbox = Sandbox::new();
    verb(&sandbox, &["from", "--name", "c", "--format", "docker", "scratch"]);
    let args = [
        "--author",
        "me",
        "--comment",
        "a note",
        "--arch",
        "arm64",
        "--variant",
        "v8",
        "--os",
        "linux",
        "--entrypoint",
        "[\"/e\"]",
        "--cmd",
        "a b",
        "--env",
        "A=1",
        "--env",
        "B=$A:2",
        "--label",
        "l=1",
        "--port",
        "80",
        "--port",
        "53/udp",
        "--volume",
        "/v",
        "--user",
        "u:g",
        "--workingdir",
        "/w",
        "--stop-signal",
        "SIGINT",
        "--shell",
        "/bin/bash -c",
        "--healthcheck",
        "CMD-SHELL true",
        "--healthcheck-interval",
        "5s",
        "--healthcheck-timeout",
        "1s",
        "--healthcheck-start-period",
        "2s",
        "--healthcheck-retries",
        "3",
        "--onbuild",
        "RUN x",
        "--created-by",
        "my script",
        "--history-comment",
        "note",
        "--hostname",
        "h",
    ];
    verb(&sandbox, &[&["config"], &args[..], &["c"]].concat());
    let made = commit(&sandbox, &["c"]);
    let config = &made.config;
    assert_eq!(
        config["config"],
        json!({
            "Hostname": "h", "User": "u:g", "ExposedPorts": {"53/udp": {}, "80/tcp": {}},
            "Env": ["A=1", "B=1:2"], "Cmd": ["a", "b"], "Volumes": {"/v": {}},
            "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 5_000_000_000_u64,
                "Timeout": 1_000_000_000, "StartPeriod": 2_000_000_000, "Retries": 3},
            "WorkingDir": "/w", "Entrypoint": ["/e"], "OnBuild": ["RUN x"],
            "Labels": {"l": "1"}, "StopSignal": "SIGINT", "Shell": ["/bin/bash", "-c"],
        })
    );
    for (field, value) in
        [("author", "me"), ("comment", "a note"), ("architecture", "arm64"), ("variant", "v8")]
    {
        assert_eq!(config[field], value, "{field}");
    }
    let line = &config["history"][0];
    assert_eq!((&line["created_by"], &line["comment"]), (&json!("my script"), &json!("note")));
    assert_eq!(line["author"], "me");
    let docker = "application/vnd.docker.distribution.manifest.v2+json";
    assert_eq!(made.manifest["mediaType"], docker);
    // OCI has no word for it.
    assert!(commit(&sandbox, &["--format", "oci", "c"]).config.get("comment").is_none());
}

#[test]
fn fields_are_taken_away_and_mistakes_change_nothing() {
    let sandbox = Sandbox::new();
    verb(&sandbox, &["from", "--name", "c", "scratch"]);
    verb(
        &sandbox,
        &["config", "-e", "A=1", "-e", "B=2", "-l", "x=1", "-p", "80", "-a", "n=1", "c"],
    );
    verb(&sandbox, &["config", "-e", "A-", "-l", "-", "-p", "80-", "c"]);
    let made = commit(&sandbox, &["c"]);
    assert_eq!(made.config["config"], json!({"Env": ["B=2"]}));
    assert_eq!(made.manifest["annotations"], json!({"n": "1"}));
    for (flag, value) in [
        ("--stop-signal", "SIGNONE"),
        ("--port", "x"),
        ("--env", "NAME"),
        ("--healthcheck-interval", "5"),
        ("--cmd", "a 'b"),
    ] {
        let out = sandbox.build(["config", "--user", "u", flag, value, "c"]).run().fails(2);
        out.says(flag);
    }
    assert_eq!(commit(&sandbox, &["c"]).config["config"], json!({"Env": ["B=2"]}));
    let unset = commit(&sandbox, &["--unsetenv", "B", "c"]);
    assert!(unset.config.get("config").is_none());
}

#[test]
fn history_is_written_when_asked_for() {
    let sandbox = Sandbox::new();
    sandbox.write("work/f", "f");
    verb(&sandbox, &["from", "--name", "c", "scratch"]);
    verb(&sandbox, &["config", "--add-history", "--cmd", "x", "--user", "u", "c"]);
    let digest = verb(&sandbox, &["copy", "--add-history", "c", "f", "/f"]);
    assert_eq!(
        commit(&sandbox, &["c"]).history(),
        [
            "- /bin/sh -c #(nop) USER u".to_owned(),
            "- /bin/sh -c #(nop) CMD x".to_owned(),
            format!("- /bin/sh -c #(nop) COPY file:{digest} in /f "),
            "/bin/sh".to_owned(),
        ]
    );
}
