//! `du` and `prune`: what the cache keeps, and its bounds.

use serde_json::Value;

use super::result::{build, steps};
use super::working::with_commands;
use crate::support::program::Sandbox;

const FILE: &str = "FROM scratch AS one\nCOPY a /a\nFROM scratch\nCOPY --from=one /a /b\n";

fn entries(out: &Value, kind: &str) -> usize {
    let all = out["entries"].as_array().expect("entries");
    all.iter().filter(|entry| entry["kind"] == kind).count()
}

fn asked(sandbox: &Sandbox, args: &[&str]) -> Value {
    sandbox.build(args).arg("--json").run().success().json()
}

#[test]
fn layers_that_no_image_has_are_the_caches() {
    let Some(sandbox) = with_commands() else { return };
    sandbox.write("work/a", vec![b'a'; 100_000]);
    let args = ["-t", "app"];
    assert_eq!(steps(&sandbox, FILE, &args), (2, 0));
    let before = asked(&sandbox, &["du"]);
    // The layer of the first stage; the other one is the image's.
    assert_eq!(entries(&before, "layer"), 1);
    assert!(before["bytes"].as_u64().expect("a number") > 100_000);
    let untouched = asked(&sandbox, &["prune", "--max-size", "1g"]);
    assert_eq!((entries(&untouched, "layer"), &untouched["bytes"]), (0, &0.into()));
    assert_eq!(steps(&sandbox, FILE, &args), (0, 2));
    let gone = asked(&sandbox, &["prune", "--max-size", "0"]);
    assert!(gone["bytes"].as_u64().expect("a number") > 100_000);
    let after = asked(&sandbox, &["du"]);
    assert_eq!((entries(&after, "layer"), &after["bytes"]), (0, &0.into()));
    sandbox.inspect(["check"]).run().success();
    // The image is whole, and what is gone is made again.
    sandbox.copy(["-q", "store:app", "oci:out:x"]).run().success();
    assert_eq!(steps(&sandbox, FILE, &args).0, 1);
    let shown = sandbox.build(["du"]).run().success().stdout;
    let used: Vec<&str> = shown.lines().filter_map(|line| line.split_whitespace().last()).collect();
    assert_eq!(used[0], "USED");
    // To the second, as other listings tell times.
    assert_eq!((used[1].len(), used[1].ends_with('Z')), ("2026-01-01T00:00:00Z".len(), true));
}

#[test]
fn cache_mounts_go_with_it() {
    let Some(sandbox) = with_commands() else { return };
    sandbox.write(
        "work/Dockerfile",
        "FROM base\nRUN --network=none --mount=type=cache,target=/c echo 1 >> /c/f; cat /c/f > /o\n",
    );
    build(&sandbox, &["-q", "."]).success();
    assert_eq!(entries(&asked(&sandbox, &["du"]), "mount"), 1);
    let out = sandbox.build(["prune"]).run().success();
    assert!(out.stdout.contains("freed: "), "{}", out.stdout);
    assert_eq!(entries(&asked(&sandbox, &["du"]), "mount"), 0);
    let out = build(&sandbox, &["-q", "--no-cache", "."]).success();
    let made = super::result::Made::of(&sandbox, out.stdout.trim());
    assert_eq!(made.top(), ["o 644 0:0 \"1\\n\""]);
}
