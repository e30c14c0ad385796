//! What scripts for skopeo say, said to `creel-inspect`.

use std::fs;

use serde_json::{Value, json};

use crate::support::image::{Built, image, layer, three_platforms};
use crate::support::log::Kind;
use crate::support::peers::{need, skopeo};
use crate::support::program::Sandbox;
use crate::support::registry::TestRegistry;

fn app() -> Built {
    image()
        .layer(layer().file("a", "1"))
        .layer(layer().file("b", "2"))
        .env("PATH", "/bin")
        .label("a", "1")
        .label("b", "<2>")
        .build()
}

/// Every flag of skopeo 1.22's `inspect`, its common and its global ones.
#[test]
fn every_flag_is_taken_warned_of_or_refused() {
    let (registry, sandbox) = (TestRegistry::start(), Sandbox::new());
    app().push(&registry, "app", "1");
    let name = registry.image("app:1");
    for taken in [
        &["--no-tags"][..],
        &["-n"],
        &["-n", "--raw"],
        &["--config"],
        &["--config", "--raw"],
        &["--raw"],
        &["-f", "{{.Digest}}"],
        &["--format", "{{.Name}}"],
        &["--format=json"],
        &["--manifest-digest", "sha512", "-f", "{{.Digest}}"],
        &["--manifest-digest=sha256"],
        &["--authfile", "none.json"],
        &["--creds", "user:password"],
        &["--username", "user", "--password", "secret"],
        &["--registry-token", "token"],
        &["--no-creds"],
        &["--cert-dir", "."],
        &["--tls-verify=false"],
        &["--daemon-host", "unix:///nowhere"],
        &["--shared-blob-dir", "blobs"],
        &["--retry-times", "3"],
        &["--retry-delay", "2s"],
        &["--command-timeout", "1m30s"],
        &["--debug"],
        &["--insecure-policy"],
        &["--override-arch", "amd64"],
        &["--override-os", "linux"],
        &["--override-variant", "v1"],
        &["--tmpdir", "."],
        &["--registries-conf", "none.conf"],
    ] {
        sandbox.write("work/none.conf", "");
        let said = |words: &[&str]| sandbox.inspect(words).args(taken).arg(&name).run();
        said(&[]).success();
        said(&["inspect"]).success();
        // Before the verb, where global options of skopeo stand.
        if !["-n", "--no-tags", "--config", "--raw", "-f", "--format", "--format=json"]
            .contains(&taken[0])
            && !taken[0].starts_with("--manifest-digest")
        {
            sandbox.inspect(taken).args(["inspect", &name]).run().success();
        }
    }
    for (warned, words) in [
        (&["--registries.d", "dir"][..], "--registries.d is ignored"),
        (&["--user-agent-prefix", "me"], "--user-agent-prefix is ignored"),
    ] {
        sandbox.inspect(["inspect"]).args(warned).arg(&name).run().success().says(words);
    }
    for (refused, code, words) in [
        (&["--require-signed"][..], 1, "signatures are not verified"),
        (&["--tls-details", "file"], 1, "TLS versions and ciphers cannot be chosen"),
        (&["--manifest-digest", "md5"], 2, "expected sha256 or sha512"),
        (&["--command-timeout", "soon"], 2, "expected a form like 30s"),
        (&["--password", "x"], 2, "--password needs --username"),
        (&["--no-creds", "--username", "x"], 2, "in one way only"),
        (&["--raw", "--format", "x"], 2, "--format"),
    ] {
        sandbox.inspect(["inspect"]).args(refused).arg(&name).run().fails(code).says(words);
    }
}

#[test]
fn inspect_prints_what_skopeo_prints() {
    let (registry, sandbox) = (TestRegistry::start(), Sandbox::new());
    app().push(&registry, "team/app", "1");
    app().push(&registry, "team/app", "2");
    let name = registry.image("team/app:1");
    let output = sandbox.inspect(["inspect", &name]).run().success();
    assert!(output.stdout.starts_with("{\n    \"Name\": "), "{output}");
    let ours = output.json();
    assert_eq!(ours["RepoTags"], json!(["1", "2"]));
    let keys: Vec<&String> = ours.as_object().unwrap().keys().collect();
    let expected = [
        "Name",
        "Digest",
        "RepoTags",
        "Created",
        "DockerVersion",
        "Labels",
        "Architecture",
        "Os",
        "Layers",
        "LayersData",
        "Env",
    ];
    assert_eq!(keys, expected);
    registry.clear_log();
    let bare = sandbox.inspect(["inspect", "-n", &name]).run().success().json();
    assert_eq!((&bare["RepoTags"], &bare["Digest"]), (&json!([]), &ours["Digest"]));
    assert_eq!(registry.count("GET", Kind::Tags), 0);
    need!("skopeo");
    let theirs = skopeo(&sandbox, ["inspect", &name]).run().success().json();
    for (key, value) in theirs.as_object().unwrap() {
        assert_eq!(&ours[key], value, "{key}");
    }
}

#[test]
fn platforms_are_chosen_in_skopeos_words() {
    let sandbox = Sandbox::new();
    let built = three_platforms().build();
    built.write_layout(&sandbox.work("l"), Some("1"));
    let told = |words: &[&str]| {
        let words = [&["inspect", "-f", "{{.Architecture}}", "oci:l:1"], words].concat();
        sandbox.inspect(words).run().success().stdout
    };
    assert_eq!(told(&["--override-arch", "arm64"]), "arm64\n");
    assert_eq!(told(&["--override-arch=arm64", "--platform", "linux/amd64"]), "amd64\n");
    let raw =
        |words: &[&str]| sandbox.inspect(["--raw", "oci:l:1"]).args(words).run().success().stdout;
    assert_eq!(raw(&[]).as_bytes(), built.root_bytes());
    assert_ne!(raw(&["--override-arch", "arm64"]).as_bytes(), built.root_bytes());
    sandbox.inspect(["--override-arch", "none", "oci:l:1"]).run().fails(3);
}

#[test]
fn templates_of_every_kind() {
    let sandbox = Sandbox::new();
    let built = app();
    built.write_layout(&sandbox.work("l"), Some("1"));
    let digest = &built.root.digest;
    let filled = |template: &str, more: &[&str]| {
        sandbox.inspect(["--format", template, "oci:l:1"]).args(more).run()
    };
    for (template, expected) in [
        ("{{printf \"%.12s\" .Digest}}", &digest[..12]),
        ("{{slice .Digest 7 19}}", &digest[7..19]),
        ("{{gt (len .Layers) 1}} {{lt (len .Layers) 1}}", "true false"),
        ("{{$a := .Architecture}}{{$a}}/{{.Os}}", "amd64/linux"),
        ("{{.Labels.nope}}", "<no value>"),
        ("{{or .Labels.nope \"default\"}} {{or .Labels.a \"default\"}}", "default 1"),
        ("{{index .Labels \"b\" | html}}", "&lt;2&gt;"),
        (
            "{{.Config.Cmd}}{{.Config.Volumes}}{{.Config.User}}{{.Config.Healthcheck}}",
            "[]map[]<nil>",
        ),
        ("{{with .Config}}{{range .Env}}{{.}}{{end}}{{end}}", "PATH=/bin"),
        ("{{define \"x\"}}<{{.}}>{{end}}{{range .Env}}{{template \"x\" .}}{{end}}", "<PATH=/bin>"),
        ("{{.Os}}\\t{{.Architecture}}\\n", "linux\tamd64\n"),
    ] {
        assert_eq!(filled(template, &[]).success().stdout, format!("{expected}\n"), "{template}");
    }
    for (template, expected) in [
        (
            "{{.Architecture}} {{.OS}} {{.Config.Env}} {{.Config.User}}|",
            "amd64 linux [PATH=/bin] |",
        ),
        ("{{.architecture}} {{.config.Env}}", "amd64 [PATH=/bin]"),
        ("{{.RootFS.Type}} {{len .RootFS.DiffIDs}} {{(index .History 0).CreatedBy}}", "layers 2 "),
        ("{{.Config.Labels.nope}} {{index .Config.Labels \"a\"}}", "<no value> 1"),
    ] {
        let output = filled(template, &["--config"]).success();
        assert!(output.stdout.starts_with(expected), "{template}: {output}");
    }
    for template in ["json", "{{json .}}"] {
        let document: Value = filled(template, &[]).success().json();
        assert_eq!(document["Digest"], *digest);
        assert_eq!(document["Labels"], json!({"a": "1", "b": "<2>"}));
    }
    assert_eq!(filled("json", &["--config"]).success().json()["os"], "linux");
    filled("{{.Nope}}", &[]).fails(2).says("can't evaluate field Nope (known fields: Name, ");
    filled("{{.Config.Nope}}", &["--config"]).fails(2).says("can't evaluate field Nope");
    filled("{{if}}", &[]).fails(2).says("missing value for if");
}

/// A template is read before anything is asked for.
#[test]
fn a_mistake_costs_no_request() {
    let (registry, sandbox) = (TestRegistry::start(), Sandbox::new());
    let name = registry.image("app:1");
    sandbox.inspect(["-f", "{{exec}}", &name]).run().fails(2).says("function \"exec\" not defined");
    assert!(registry.requests().is_empty());
    assert!(!fs::exists(sandbox.work("l")).unwrap());
}
