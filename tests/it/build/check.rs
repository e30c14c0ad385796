//! `creel-build check`: reports, formats, exit codes.

use serde_json::{Value, json};

use crate::support::program::Sandbox;

const BAD: &str = "\
FROM alpine:3 AS build
RUN --mont=type=cache,target=/c make
ENV a=b c
COPY --from=build \\
  --chmod=999 x /y
FROM scratch
CMD run
";

#[test]
fn findings_are_shown_with_their_places() {
    let sandbox = Sandbox::new();
    sandbox.write("work/Dockerfile", BAD);
    let out = sandbox.build(["check"]).run().fails(1);
    assert_eq!(out.stderr, "");
    assert_eq!(
        out.stdout,
        "\
error: unknown flag: --mont (did you mean mount?)
 --> Dockerfile:2:5
  |
2 | RUN --mont=type=cache,target=/c make
  |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^
  |
  = help: RUN takes --mount, --network, --security, --device
  = help: if it belongs to the command: RUN -- --mont

error: Syntax error - can't find = in \"c\". Must be of the form: name=value
 --> Dockerfile:3:9
  |
3 | ENV a=b c
  |         ^
  |
  = help: values with blanks need quotes: name=\"a b\"

error: circular dependency detected on stage: build
 --> Dockerfile:4:13
  |
4 | COPY --from=build \\
  |             ^^^^^
  |
  = help: a stage cannot take files from itself

error: invalid chmod parameter: '999'. it should be octal string and between 0 and 07777
 --> Dockerfile:5:11
  |
5 |   --chmod=999 x /y
  |           ^^^

warning[JSONArgsRecommended]: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals
 --> Dockerfile:7:1
  |
7 | CMD run
  | ^^^

Check failed, 4 errors and 1 warning have been found!
"
    );
}

#[test]
fn warnings_do_not_fail_unless_the_file_says_so() {
    let sandbox = Sandbox::new();
    sandbox.write("work/Dockerfile", "FROM scratch\nCMD [\"a\"]\n");
    let out = sandbox.build(["check"]).run().success();
    assert_eq!(out.stdout, "Check complete, no warnings found.\n");
    sandbox.write("work/Dockerfile", "FROM scratch as a\n");
    let out = sandbox.build(["check", "--format", "lines"]).run().success();
    let line =
        "Dockerfile:1:14: warning: 'as' and 'FROM' keywords' casing do not match [FromAsCasing]\n";
    assert_eq!(out.stdout, line);
    sandbox.write("work/Dockerfile", "# check=error=true\nFROM scratch as a\n");
    let out = sandbox.build(["--check"]).run().fails(1);
    let end =
        "Check complete, 1 warning has been found!\nlint violation found for rules: FromAsCasing\n";
    assert!(out.stdout.ends_with(end), "{}", out.stdout);
    let argument = "BUILDKIT_DOCKERFILE_CHECK=skip=all";
    sandbox.build(["check", "--build-arg", argument]).run().success();
}

#[test]
fn reports_for_programs() {
    let sandbox = Sandbox::new();
    sandbox.write("work/app/Dockerfile", "FROM scratch AS A\nMAINTAINER é x\nNOPE\n");
    let out = sandbox.build(["check", "--json", "app"]).run().fails(1);
    let report: Value = serde_json::from_str(&out.stdout).expect("JSON");
    assert_eq!(report["file"], "app/Dockerfile");
    assert_eq!(report["ok"], false);
    let place = |line: u32, from: u32, to: u32| {
        json!({
            "sourceIndex": 0,
            "ranges": [{
                "start": { "line": line, "character": from },
                "end": { "line": line, "character": to },
            }],
        })
    };
    assert_eq!(
        report["warnings"][0],
        json!({
            "ruleName": "StageNameCasing",
            "description": "Names of stages are written in lower case.",
            "url": "https://docs.docker.com/go/dockerfile/rule/stage-name-casing/",
            "detail": "Stage name 'A' should be lowercase",
            "hints": [],
            "location": place(1, 17, 18),
        })
    );
    assert_eq!(report["warnings"][1]["ruleName"], "MaintainerDeprecated");
    assert_eq!(report["buildError"]["message"], "unknown instruction: NOPE (did you mean COPY?)");
    assert_eq!(report["buildError"]["location"], place(3, 1, 5));
    assert_eq!(report["errors"].as_array().map(Vec::len), Some(1));

    let out = sandbox.build(["check", "--format=sarif", "app"]).run().fails(1);
    let report: Value = serde_json::from_str(&out.stdout).expect("JSON");
    assert_eq!(report["version"], "2.1.0");
    let run = &report["runs"][0];
    assert_eq!(run["tool"]["driver"]["name"], "creel-build");
    assert_eq!(run["tool"]["driver"]["rules"].as_array().map(Vec::len), Some(30));
    let results = run["results"].as_array().expect("results");
    let shown: Vec<(&str, &str)> = results
        .iter()
        .map(|r| (r["ruleId"].as_str().unwrap_or("?"), r["level"].as_str().unwrap_or("?")))
        .collect();
    assert_eq!(
        shown,
        [
            ("StageNameCasing", "warning"),
            ("MaintainerDeprecated", "warning"),
            ("DockerfileError", "error")
        ]
    );
    assert_eq!(
        results[2]["locations"][0]["physicalLocation"],
        json!({
            "artifactLocation": { "uri": "app/Dockerfile" },
            "region": { "startLine": 3, "startColumn": 1, "endLine": 3, "endColumn": 5 },
        })
    );
}

#[test]
fn arguments_come_from_the_line_a_file_and_the_environment() {
    let sandbox = Sandbox::new();
    let text = "ARG A B C\nFROM scratch\nARG A B C\nCOPY $A$B$C /\n";
    sandbox.write("work/Dockerfile", text);
    sandbox.write("work/args", "# comment\n\nB=two\nA=lost\n");
    let out = sandbox
        .build(["--print-plan", "--build-arg-file", "args"])
        .args([
            "--build-arg",
            "A=one",
            "--build-arg",
            "C",
            "--build-arg",
            "D",
            "--build-arg",
            "E=x",
        ])
        .env("C", "three")
        .run()
        .success();
    assert!(out.stdout.ends_with("  0.2 COPY onetwothree -> /\n"), "{}", out.stdout);
    assert_eq!(out.stderr, "warning: nothing declares --build-arg E\n");
    sandbox.write("work/args", "B\n");
    let out = sandbox.build(["check", "--build-arg-file", "args"]).run().fails(1);
    assert_eq!(out.stderr, "creel-build: reading args: line 1: \"B\" is not NAME=VALUE\n");
}

#[test]
fn only_the_target_is_checked_when_it_is_named() {
    let sandbox = Sandbox::new();
    sandbox
        .write("work/Dockerfile", "FROM scratch AS a\nCOPY $x .\nFROM scratch AS b\nCOPY $y .\n");
    let rules = |args: &[&str]| {
        let out = sandbox.build(["check", "--format=lines"]).args(args).run().success();
        out.stdout.lines().filter(|line| line.contains("[UndefinedVar]")).count()
    };
    assert_eq!(rules(&[]), 2);
    assert_eq!(rules(&["--target", "b"]), 1);
    let out = sandbox.build(["check", "--target", "c"]).run().fails(1);
    assert!(out.stdout.contains("target stage \"c\" could not be found"), "{}", out.stdout);
}

#[test]
fn a_build_checks_first() {
    let sandbox = Sandbox::new();
    sandbox.write("work/Dockerfile", "FROM scratch as a\n");
    let out = sandbox.build(["."]).run().success();
    assert_eq!(
        out.stderr,
        "Dockerfile:1:14: warning: 'as' and 'FROM' keywords' casing do not match [FromAsCasing]\n\
         [a 1/1] FROM scratch\n"
    );
    let out = sandbox.build(["bud", "-q", "."]).run().success();
    assert_eq!(out.stderr, "");
    sandbox.write("work/Dockerfile", "FROM scratch\nRUNN x\nENV\n");
    let out = sandbox.build(["build", "."]).run().fails(1);
    assert_eq!(
        out.stderr,
        "\
error: unknown instruction: RUNN (did you mean RUN?)
 --> Dockerfile:2:1
  |
2 | RUNN x
  | ^^^^

error: ENV requires at least one argument
 --> Dockerfile:3:1
  |
3 | ENV
  | ^^^

creel-build: Dockerfile has 2 mistakes
"
    );
}

#[test]
fn wrong_usage() {
    let sandbox = Sandbox::new();
    sandbox.write("work/Dockerfile", "FROM scratch\n");
    sandbox.build(["check", "--nonsense"]).run().fails(2);
    sandbox.build(["--call", "nonsense", "."]).run().fails(2);
    sandbox.build(["--call", "check,format=xml", "."]).run().fails(2);
    sandbox.build(["check", "--build-context", "x"]).run().fails(2);
    let out = sandbox.build(["check", "missing"]).run().fails(3);
    assert!(out.stderr.starts_with("creel-build: opening the build context"), "{}", out.stderr);
    let out = sandbox.build(["check", "-f", "missing"]).run().fails(3);
    assert!(out.stderr.starts_with("creel-build: opening missing"), "{}", out.stderr);
    let out = sandbox.build(["https://me:word@example.com/a.git#a..b"]).run().fails(1);
    let why = "git repository https://example.com/a.git: a..b is no reference";
    assert!(out.stderr.contains(why) && !out.stderr.contains("word"), "{}", out.stderr);
}

#[test]
fn the_program_describes_itself() {
    let sandbox = Sandbox::new();
    let out = sandbox.build(["completion", "bash"]).run().success();
    assert!(out.stdout.contains("creel-build"), "{}", out.stdout);
    sandbox.build(["man", "pages"]).run().success();
    let page = std::fs::read_to_string(sandbox.work("pages/creel-build-check.1")).expect("a page");
    assert!(page.contains("sarif"), "{page}");
}
