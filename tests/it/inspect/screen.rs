//! The screen about one image, and `--format`, `--raw`, `--config`.

use serde_json::{Value, json};

use crate::support::image::{artifact, image, index, layer, small, three_platforms};
use crate::support::log::Kind;
use crate::support::peers::{need, skopeo};
use crate::support::program::Sandbox;
use crate::support::registry::TestRegistry;

#[test]
fn three_requests_tell_what_a_remote_image_is() {
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new();
    let built = three_platforms().attestations().build();
    built.push(&registry, "app", "1");
    let name = registry.image("app:1");
    let words = ["--platform", "linux/arm64", &name];
    let output = sandbox.inspect(words).run().success();
    let asked: Vec<String> =
        registry.requests().iter().map(|r| format!("{} {:?}", r.method, r.kind)).collect();
    assert_eq!(asked, ["GET Manifest", "GET Manifest", "GET Blob"]);
    let report = sandbox.inspect(["--json"]).args(words).run().success().json();
    assert_eq!(report["digest"], built.root.digest);
    assert_eq!(report["entries"].as_array().unwrap().len(), 6);
    let arm = &report["entries"][1];
    assert_eq!(
        (&arm["platform"], &arm["digest"]),
        (&"linux/arm64".into(), &report["image"]["digest"])
    );
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(
        lines[1],
        format!("index        {}  ({})", built.root.digest, built.root.media_type)
    );
    let this = format!("linux/arm64      {}  (this one)", arm["digest"].as_str().unwrap());
    assert_eq!(lines[3].trim(), this);
    assert!(output.stdout.contains("and 3 attestations"), "{output}");
    assert!(output.stdout.contains("created      2001-09-09T01:46:40Z  ("), "{output}");
    assert!(output.stdout.contains(" years ago)"), "{output}");
    // A platform's config by the digest of its manifest: two requests.
    registry.clear_log();
    let by_digest = registry.image(&format!("app@{}", arm["digest"].as_str().unwrap()));
    sandbox.inspect(["--config", &by_digest]).run().success();
    assert_eq!(registry.requests().len(), 2);
}

#[test]
fn everything_else_is_told_on_request() {
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new();
    let base = image().layer(layer().file("base", "1")).build();
    base.push(&registry, "base", "1");
    let app = |platform: &str| {
        image()
            .platform(platform)
            .layer(layer().file("base", "1"))
            .layer(layer().noise("big", 5000, 3))
            .annotation(
                "org.opencontainers.image.base.name",
                &format!("{}/base:1", registry.host()),
            )
    };
    let built = index().image(app("linux/amd64")).image(app("linux/arm64")).build();
    built.push(&registry, "app", "1");
    let sbom = artifact("application/spdx+json").layer("application/spdx+json", "{}");
    sbom.subject(&built.root).build().push_untagged(&registry, "app");
    let name = registry.image("app:1");
    let words = ["--full", "--json", "--platform", "linux/amd64", &name];
    let report = sandbox.inspect(words).run().success().json();
    let sizes: Vec<u64> =
        report["entries"].as_array().unwrap().iter().map(|e| e["size"].as_u64().unwrap()).collect();
    assert_eq!(sizes[0], report["image"]["size"].as_u64().unwrap());
    assert_eq!(report["referrers"][0]["artifactType"], "application/spdx+json");
    assert_eq!(report["referrers"][0]["subject"], built.root.digest);
    assert_eq!(report["base"]["upToDate"], true);
    let text =
        sandbox.inspect(["--full", "--platform", "linux/amd64", &name]).run().success().stdout;
    assert!(text.contains("\n             up to date\n"), "{text}");
    assert!(text.contains("application/spdx+json, about the name"), "{text}");
    // A base that is gone is told, not an error.
    registry.delete("base", "1");
    let text =
        sandbox.inspect(["--full", "--platform", "linux/amd64", &name]).run().success().stdout;
    assert!(text.contains("not compared: "), "{text}");
}

#[test]
fn unpacked_sizes_are_told_once_they_are_known() {
    let sandbox = Sandbox::new();
    let plain = layer().noise("a", 3000, 1).plain();
    let packed = layer().file("b", vec![b'x'; 10_000]);
    let sum = (plain.tar().len() + packed.tar().len()) as u64;
    image().layer(plain).layer(packed).build().write_layout(&sandbox.work("l"), Some("1"));
    let before = sandbox.inspect(["--json", "oci:l:1"]).run().success().json();
    assert_eq!(before["image"]["unpacked"], Value::Null);
    sandbox.inspect(["files", "oci:l:1"]).run().success();
    let after = sandbox.inspect(["--json", "oci:l:1"]).run().success().json();
    assert_eq!(after["image"]["unpacked"], sum);
}

#[test]
fn what_is_no_image_is_described_as_far_as_it_goes() {
    let sandbox = Sandbox::new();
    let made = artifact("application/vnd.example.thing").layer("text/plain", "hello").build();
    made.write_layout(&sandbox.work("a"), Some("1"));
    let text = sandbox.inspect(["oci:a:1"]).run().success().stdout;
    assert!(text.contains("artifact     application/vnd.example.thing\n"), "{text}");
    assert!(text.contains("5 B  text/plain"), "{text}");
    sandbox.inspect(["layers", "oci:a:1"]).run().fails(1).says("artifact");
    sandbox.inspect(["files", "oci:a:1"]).run().fails(1);
    // An image whose config contradicts its manifest.
    let rootfs = json!({"type": "layers", "diff_ids": []});
    let made = small("linux/amd64").config_top("rootfs", rootfs).build();
    made.write_layout(&sandbox.work("b"), Some("1"));
    let text = sandbox.inspect(["oci:b:1"]).run().fails(6).stdout;
    assert!(text.contains("problem ") && text.contains("has 0 diff IDs"), "{text}");
    assert!(text.contains(&made.image().layers[0].descriptor.digest), "{text}");
    // An index without an image for this machine, unless it was asked for.
    let made = index().image(small("linux/s390x")).image(small("linux/riscv64")).build();
    made.write_layout(&sandbox.work("c"), Some("1"));
    let text = sandbox.inspect(["oci:c:1"]).run().success().stdout;
    assert!(text.contains("linux/s390x") && text.contains("has no image for"), "{text}");
    sandbox.inspect(["--platform", "linux/amd64", "oci:c:1"]).run().fails(3);
}

#[test]
fn templates_give_what_those_of_skopeo_give() {
    let sandbox = Sandbox::new();
    let built = image()
        .layer(layer().file("a", "1"))
        .layer(layer().file("b", "2"))
        .env("PATH", "/bin")
        .env("LANG", "C")
        .label("b", "2")
        .label("a", "1")
        .build();
    built.write_layout(&sandbox.work("l"), Some("1"));
    let templates = [
        "{{.Digest}}",
        "{{.Architecture}}/{{.Os}}",
        "{{.Layers}}",
        "{{range .Layers}}{{.}};{{end}}",
        "{{range $i, $l := .Layers}}{{$i}} {{$l}}{{end}}",
        "{{.Labels}}",
        "{{index .Labels \"a\"}}",
        "{{if .Env}}yes{{else}}no{{end}}",
        "{{len .Layers}}",
        "{{printf \"%s!\" .Os}}",
    ];
    let ours =
        |template: &str| sandbox.inspect(["--format", template, "oci:l:1"]).run().success().stdout;
    assert_eq!(ours("{{json .Env}}"), "[\"PATH=/bin\",\"LANG=C\"]\n");
    assert_eq!(ours("{{join .Config.Env \",\"}}"), "PATH=/bin,LANG=C\n");
    assert_eq!(ours("{{.Id}}").trim_end(), built.image().config.digest);
    assert_eq!(ours("{{.Config.Cmd}}"), "[]\n");
    sandbox
        .inspect(["-f", "{{.Nope}}", "oci:l:1"])
        .run()
        .fails(2)
        .says("can't evaluate field Nope");
    let config = ["--config", "--format", "{{.architecture}}", "oci:l:1"];
    assert_eq!(sandbox.inspect(config).run().success().stdout, "amd64\n");
    need!("skopeo");
    for template in templates {
        let theirs = skopeo(&sandbox, ["inspect", "--format", template, "oci:l:1"]).run().success();
        assert_eq!(ours(template), theirs.stdout, "{template}");
    }
}

#[test]
fn bytes_are_printed_as_they_are() {
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new();
    let built = three_platforms().build();
    built.push(&registry, "app", "1");
    let name = registry.image("app:1");
    let raw = sandbox.inspect(["--raw", &name]).run().success();
    assert_eq!(raw.stdout.as_bytes(), built.root_bytes());
    assert_eq!(registry.count("GET", Kind::Manifest), 1);
    let raw = sandbox.inspect(["--raw", "--platform", "linux/arm64", &name]).run().success();
    assert_ne!(raw.stdout.as_bytes(), built.root_bytes());
    let config = sandbox.inspect(["--config", "--raw", &name]).run().success();
    let parsed: Value = serde_json::from_str(&config.stdout).unwrap();
    assert_eq!(sandbox.inspect(["--config", &name]).run().success().json(), parsed);
    sandbox.inspect(["--raw", "--format", "x", &name]).run().fails(2);
}
