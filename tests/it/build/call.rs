//! `--call outline` and `--call targets`.

use serde_json::{Value, json};

use crate::support::program::Sandbox;

const FILE: &str = "\
# inherited is a global one
ARG inherited=1
ARG unused=2
ARG tag=3-$inherited
# base is where all begins
FROM busybox:${tag} AS base
# sub changes the base
ARG sub=4
RUN --mount=type=secret,id=top,required=true --mount=type=ssh true
RUN --mount=type=cache,target=/c --mount=type=secret,id=top true

FROM scratch AS other
ARG lost
RUN --mount=type=secret,id=lost true

# final is what people want
FROM base AS final
ARG inherited bare
";

#[test]
fn an_outline_lists_what_a_target_can_be_told() {
    let sandbox = Sandbox::new();
    sandbox.write("work/Dockerfile", FILE);
    let out = sandbox.build(["--call", "outline", "."]).run().success();
    assert_eq!(
        out.stdout,
        "\
TARGET:      final
DESCRIPTION: is what people want

BUILD ARG  VALUE  DESCRIPTION
inherited  1      is a global one
tag        3-1
sub        4      changes the base
bare

SECRET  REQUIRED
top     true

SSH      REQUIRED
default

CACHE
/c
"
    );
    let out = sandbox
        .build(["--call=outline,format=json", "--target", "base", "--build-arg", "sub=5", "."])
        .run()
        .success();
    let report: Value = serde_json::from_str(&out.stdout).expect("JSON");
    let names: Vec<(&Value, &Value)> = report["args"]
        .as_array()
        .expect("args")
        .iter()
        .map(|a| (&a["name"], &a["value"]))
        .collect();
    assert_eq!(
        names,
        [
            (&json!("inherited"), &json!("1")),
            (&json!("tag"), &json!("3-1")),
            (&json!("sub"), &json!("5"))
        ]
    );
    assert_eq!(report["name"], "base");
    assert_eq!(report["secrets"], json!([{ "name": "top", "required": true }]));
    assert_eq!(report["cache"], json!([{ "ID": "/c" }]));
    assert_eq!(
        report["args"][2]["location"]["ranges"][0]["start"],
        json!({ "line": 8, "character": 5 })
    );
}

#[test]
fn targets_are_listed() {
    let sandbox = Sandbox::new();
    sandbox.write("work/Dockerfile", FILE);
    let out = sandbox.build(["--call", "targets", "."]).run().success();
    assert_eq!(
        out.stdout,
        "\
TARGET           BASE            DESCRIPTION
base             busybox:${tag}  is where all begins
other            scratch
final (default)  base            is what people want
"
    );
    let out = sandbox.build(["--call", "subrequests.targets", "--json", "."]).run().success();
    let report: Value = serde_json::from_str(&out.stdout).expect("JSON");
    assert_eq!(report["targets"][1]["name"], "other");
    assert_eq!(report["targets"][1]["default"], Value::Null);
    assert_eq!(
        report["targets"][2],
        json!({
            "name": "final",
            "default": true,
            "description": "is what people want",
            "base": "base",
            "location": {
                "sourceIndex": 0,
                "ranges": [{
                    "start": { "line": 17, "character": 1 },
                    "end": { "line": 17, "character": 19 },
                }],
            },
        })
    );
}

#[test]
fn mistakes_come_first() {
    let sandbox = Sandbox::new();
    sandbox.write("work/Dockerfile", "FROM scratch\nNOPE\n");
    for method in ["outline", "targets"] {
        let out = sandbox.build(["--call", method, "."]).run().fails(1);
        assert_eq!(out.stdout, "");
        assert!(out.stderr.ends_with("creel-build: Dockerfile has a mistake\n"), "{}", out.stderr);
    }
}
