//! Which file says what is left out of a context.

use super::result::{build, built};
use crate::support::program::Sandbox;

const LEFT: [&str; 3] = ["one", "two", "three"];

/// What of `one`, `two` and `three` comes into an image, built in a directory with these files.
fn copied(files: &[(&str, &str)], args: &[&str]) -> Vec<String> {
    let sandbox = Sandbox::new();
    for name in LEFT {
        sandbox.write(&format!("work/context/{name}"), name);
    }
    sandbox.write("work/context/Dockerfile", "FROM scratch\nCOPY . /\n");
    sandbox.write("work/context/Other", "FROM scratch\nCOPY . /\n");
    for (name, text) in files {
        sandbox.write(&format!("work/{name}"), text);
    }
    let out = build(&sandbox, &[&["-q"], args, &["context"]].concat()).success();
    let made = super::result::Made::of(&sandbox, out.stdout.trim());
    made.layers[0].keys().filter(|name| LEFT.contains(&name.as_str())).cloned().collect()
}

#[test]
fn the_first_file_that_exists_counts_alone() {
    for (files, args, rest) in [
        (&[][..], &[][..], "one three two"),
        (&[("context/.dockerignore", "one")], &[], "three two"),
        (&[("context/.containerignore", "two")], &[], "one three"),
        (
            &[("context/.dockerignore", "one"), ("context/.containerignore", "two")],
            &[],
            "one three",
        ),
        (
            &[("context/.dockerignore", "one"), ("context/.containerignore", "")],
            &[],
            "one three two",
        ),
        (
            &[("context/.containerignore", "two"), ("context/Dockerfile.dockerignore", "one")],
            &[],
            "three two",
        ),
        (
            &[
                ("context/Dockerfile.dockerignore", "one"),
                ("context/Dockerfile.containerignore", "three"),
            ],
            &[],
            "one two",
        ),
        (
            &[("context/Dockerfile.containerignore", "three"), ("context/.dockerignore", "one")],
            &["-f", "context/Other"],
            "three two",
        ),
        (&[("context/Other.containerignore", "three")], &["-f", "context/Other"], "one two"),
        (
            &[("mine", "one\ntwo"), ("context/Dockerfile.containerignore", "three")],
            &["--ignorefile", "mine"],
            "three",
        ),
    ] {
        assert_eq!(copied(files, args).join(" "), rest, "{files:?} {args:?}");
    }
}

#[test]
fn further_contexts_and_working_containers_follow_the_same_rule() {
    let sandbox = Sandbox::new();
    sandbox.write("work/more/in", "in");
    sandbox.write("work/more/out", "out");
    sandbox.write("work/more/.containerignore", "out\n.containerignore\n");
    let args = ["--build-context", "more=more"];
    let made = built(&sandbox, "FROM scratch\nCOPY --from=more . /\n", &args);
    assert_eq!(made.top(), ["in 644 0:0 \"in\""]);
    let container = sandbox.build(["from", "scratch"]).run().success().stdout.trim().to_owned();
    sandbox.build(["copy", "--contextdir", "more", &container, ".", "/"]).run().success();
    let digest = sandbox.build(["commit", &container, "made"]).run().success();
    let made = super::result::Made::of(&sandbox, digest.stdout.trim());
    assert_eq!(made.top(), ["in 644 0:0 \"in\""]);
}

#[test]
fn a_message_names_the_file_that_leaves_a_source_out() {
    for (name, args) in [
        (".dockerignore", &[][..]),
        (".containerignore", &[]),
        ("Dockerfile.dockerignore", &[]),
        ("Dockerfile.containerignore", &[]),
        ("mine", &["--ignorefile", "mine"]),
    ] {
        let sandbox = Sandbox::new();
        sandbox.write("work/Dockerfile", "FROM scratch\nCOPY f /\n");
        sandbox.write("work/f", "f");
        sandbox.write(&format!("work/{name}"), "x\nf\n");
        let out = build(&sandbox, &[&["-q"], args, &["."]].concat()).fails(3);
        assert!(out.stderr.contains(&format!("{name}:2")), "{name}: {}", out.stderr);
    }
}
