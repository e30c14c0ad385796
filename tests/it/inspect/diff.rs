//! `diff`: what changed between two images.

use crate::support::image::{ImageBuilder, image, layer};
use crate::support::program::Sandbox;

fn base() -> ImageBuilder {
    image()
        .layer(
            layer()
                .dir("etc")
                .file("etc/motd", "one\ntwo\nthree\n")
                .file("etc/old", "x")
                .file("etc/same", "same")
                .symlink("link", "etc/motd")
                .created_by("RUN base"),
        )
        .env("A", "1")
}

/// Two images in one layout: `old` and `new`.
fn two(sandbox: &Sandbox, old: ImageBuilder, new: ImageBuilder) {
    old.build().write_layout(&sandbox.work("l"), Some("old"));
    new.build().write_layout(&sandbox.work("l"), Some("new"));
}

#[test]
fn equal_images_are_equal() {
    let sandbox = Sandbox::new();
    two(&sandbox, base(), base());
    let output = sandbox.inspect(["diff", "oci:l:old", "oci:l:new"]).run().success();
    assert_eq!(output.stdout, "--- oci:l:old\n+++ oci:l:new\n\nno difference\n");
}

#[test]
fn every_kind_of_change_is_named() {
    let sandbox = Sandbox::new();
    let new = base()
        .layer(
            layer()
                .file("etc/motd", "one\n2\nthree\n")
                .file("etc/same", "same")
                .mode(0o600)
                .owner(5, 6)
                .mtime(5)
                .xattr("user.a", "b")
                .whiteout("etc/old")
                .file("bin/new", vec![b'n'; 3000])
                .symlink("link", "etc/same")
                .created_by("RUN change"),
        )
        .env("B", "2");
    two(&sandbox, base(), new);
    let report =
        sandbox.inspect(["diff", "--json", "oci:l:old", "oci:l:new"]).run().fails(1).json();
    let files: Vec<String> = report["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| {
            let what = file.get("what").map(|what| what.to_string()).unwrap_or_default();
            let path = file["path"].as_str().unwrap();
            format!("{} {path} {what}", file["change"].as_str().unwrap())
        })
        .collect();
    let expected = [
        "added /bin ",
        "added /bin/new ",
        "changed /etc/motd [\"content\"]",
        "removed /etc/old ",
        "changed /etc/same [\"mode\",\"owner\",\"time\",\"xattrs\"]",
        "changed /link [\"link\"]",
    ];
    assert_eq!(files, expected);
    assert_eq!(report["config"], serde_json::json!([{"path": "config.Env.B", "new": "2"}]));
    assert_eq!(report["history"]["added"], serde_json::json!(["RUN change"]));
    assert_eq!(report["layers"]["common"], 1);
    assert_eq!(report["equal"], false);
    let text = sandbox.inspect(["diff", "oci:l:old", "oci:l:new"]).run().fails(1).stdout;
    for part in [
        "\n  config.Env.B: - => \"2\"\n",
        "\nhistory: 1 lines in common\n  + RUN change\n",
        "\nlayers: 1 in common, 0 removed, 1 added\n",
        "  /bin/new   | added                   +3.00 kB\n",
        "  /etc/motd  | content                 14 B => 12 B\n",
        "  3 changed, 2 added, 1 removed, +3.00 kB\n",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn a_semantic_comparison_ignores_times_history_and_layers() {
    let sandbox = Sandbox::new();
    let one = image().layer(
        layer().file("a", "1").mtime(1).file("b", "2").hardlink("c", "b").created_by("RUN one"),
    );
    let other = image()
        .layer(layer().file("b", "2").created_by("RUN two"))
        .layer(layer().file("a", "1").file("c", "2").created_by("RUN three").zstd())
        .config_top("created", "2024-01-01T00:00:00Z".into());
    two(&sandbox, one, other);
    sandbox.inspect(["diff", "oci:l:old", "oci:l:new"]).run().fails(1);
    let semantic = ["diff", "--semantic", "oci:l:old", "oci:l:new"];
    let output = sandbox.inspect(semantic).run().success();
    assert!(output.stdout.ends_with("no difference\n"), "{output}");
}

#[test]
fn the_difference_of_a_text() {
    let sandbox = Sandbox::new();
    let new = base().layer(layer().file("etc/motd", "one\n2\u{1b}\nthree\n"));
    two(&sandbox, base(), new);
    let content = ["diff", "--content", "/etc/motd", "oci:l:old", "oci:l:new"];
    let output = sandbox.inspect(content).run().fails(1).hides("\u{1b}");
    let expected = "--- oci:l:old /etc/motd\n+++ oci:l:new /etc/motd\n@@ -1,3 +1,3 @@\n one\n-two\n\
                    +2\\u{1b}\n three\n";
    assert_eq!(output.stdout, expected);
    let same = ["diff", "--content", "etc/same", "oci:l:old", "oci:l:new"];
    assert_eq!(sandbox.inspect(same).run().success().stdout, "");
    sandbox.inspect(["diff", "--content", "/no", "oci:l:old", "oci:l:new"]).run().fails(3);
}

#[test]
fn packages_are_compared() {
    let sandbox = Sandbox::new();
    let status =
        |version: &str| format!("Package: app\nStatus: install ok installed\nVersion: {version}\n");
    let with = |version: &str| image().layer(layer().file("var/lib/dpkg/status", status(version)));
    two(&sandbox, with("1.0"), with("1.1"));
    let text = sandbox.inspect(["diff", "oci:l:old", "oci:l:new"]).run().fails(1).stdout;
    assert!(text.contains("\npackages\n  deb  app  1.0 => 1.1\n"), "{text}");
}
