//! Images that are damaged or mean harm.

use std::fs;

use crate::support::content::sha256;
use crate::support::image::{Built, image, layer};
use crate::support::program::Sandbox;

fn place(sandbox: &Sandbox, built: &Built) -> &'static str {
    built.write_layout(&sandbox.work("l"), Some("1"));
    "oci:l:1"
}

#[test]
fn names_do_not_act_on_a_terminal() {
    let sandbox = Sandbox::new();
    let built = image()
        .layer(
            layer()
                .file("a\u{1b}[31mred\u{202e}", "text \u{1b}]0;title\u{7}\n")
                .symlink("link", "to\u{1b}[0m\nline")
                .created_by("RUN \u{1b}[2J"),
        )
        .label("evil", "\u{1b}[2J")
        .build();
    let at = place(&sandbox, &built);
    for words in [
        &["files", "-R", at][..],
        &["files", "--full", "--layer=1", at],
        &["grep", "text", at],
        &[at],
        &["history", at],
        &["layers", at],
        &["cat", at, "/no\u{1b}[31m"],
    ] {
        let output = sandbox.inspect(words).run();
        output.hides("\u{1b}").hides("\u{202e}").hides("\u{7}");
    }
    let listed = sandbox.inspect(["files", at]).run().success().stdout;
    assert!(listed.contains("/a\\u{1b}[31mred\\u{202e}\n"), "{listed}");
    assert!(listed.contains("-> to\\u{1b}[0m\\nline"), "{listed}");
}

/// Docker and podman stop at the end mark of an archive and ignore global headers.
#[test]
fn what_docker_takes_is_taken() {
    let tar = layer().file("first", "1").tar();
    let other = layer().file("second", "2").tar();
    let behind = |bytes: &[u8]| [tar.as_slice(), bytes].concat();
    let global =
        |record: &str| layer().file("global", record).type_byte(b'g').file("first", "1").tar();
    for (what, bytes) in [
        ("a byte", behind(b"x")),
        ("a block", behind(&[b'x'; 512])),
        ("many bytes", behind(&[0xff; 100_000])),
        ("a second archive", behind(&other)),
        ("zeros and a second archive", behind(&[vec![0; 10_240], other.clone()].concat())),
        ("a global comment", global("17 comment=abcde\n")),
        ("a global time", global("20 mtime=1700000000\n")),
        ("global owners", global("12 uid=1000\n12 gid=1000\n")),
        ("a global name", global("14 path=other\n")),
    ] {
        let sandbox = Sandbox::new();
        let built = image().layer(layer().raw(bytes.clone(), &sha256(&bytes)).plain()).build();
        let at = place(&sandbox, &built);
        let listed = sandbox.inspect(["files", "-R", at]).run().success().stdout;
        assert!(listed.contains("/first\n") && !listed.contains("second"), "{what}: {listed}");
        let row = listed.lines().find(|line| line.ends_with("/first")).unwrap_or_default();
        assert!(
            row.contains(" 0:0 ") || row.contains(" 0  0 ") || !row.contains("1000"),
            "{what}: {row}"
        );
        // The DiffID covers all bytes.
        sandbox.copy([at, "store:t:1"]).run().success();
        assert_eq!(sandbox.inspect(["cat", "t:1", "first"]).run().success().stdout, "1", "{what}");
        sandbox.inspect(["check"]).run().success();
        sandbox.copy(["store:t:1", "oci:back:1"]).run().success();
        let raw = sandbox.inspect(["--raw", "oci:back:1"]).run().success().stdout;
        assert_eq!(raw.as_bytes(), built.root_bytes(), "{what}");
    }
    // Other bytes behind the end are another layer.
    let sandbox = Sandbox::new();
    let built = image().layer(layer().raw(behind(b"x"), &sha256(behind(b"y"))).plain()).build();
    let at = place(&sandbox, &built);
    sandbox.copy([at, "store:t:1"]).run().fails(6);
    sandbox.inspect(["validate", at]).run().fails(6);
}

/// A layer of a hundred kilobytes must not keep a program busy for minutes.
#[test]
fn attributes_without_number_are_refused_at_once() {
    let sandbox = Sandbox::new();
    let mut many = layer().file("f", "");
    for number in 0..30_000 {
        many = many.xattr(&format!("user.{number:05}"), "");
    }
    let at = place(&sandbox, &image().layer(many).build());
    let started = std::time::Instant::now();
    sandbox.inspect(["files", "-R", at]).run().fails(1).says("extended attributes have more than");
    sandbox.copy([at, "store:t:1"]).run().fails(1).says("extended attributes have more than");
    assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
}

/// Labels and variables that somebody never set.
#[test]
fn nulls_in_a_config_are_empty() {
    let sandbox = Sandbox::new();
    let built = image()
        .layer(layer().file("f", "1"))
        .config("Labels", serde_json::json!({"a": null, "b": "1"}))
        .config("Env", serde_json::json!(["A=1", null]))
        .config("Cmd", serde_json::Value::Null)
        .config("Entrypoint", serde_json::json!([null]))
        .config("ExposedPorts", serde_json::json!({"80": null}))
        .config("User", serde_json::Value::Null)
        .config_top("author", serde_json::Value::Null)
        .build();
    let at = place(&sandbox, &built);
    sandbox.inspect([at]).run().success();
    sandbox.copy([at, "store:t:1"]).run().success();
    let filled = sandbox.inspect(["-f", "{{.Config.User}}|{{.Config.Cmd}}|{{len .Labels}}", "t:1"]);
    assert_eq!(filled.run().success().stdout, "|[]|2\n");
    let raw = sandbox.inspect(["--config", "--raw", "t:1"]).run().success().stdout;
    assert_eq!(raw.as_bytes(), &built.image().config_bytes[..]);
}

#[test]
fn a_broken_layer_is_marked_and_the_others_are_shown() {
    let sandbox = Sandbox::new();
    let noise = b"this is no archive at all".repeat(100);
    let built = image()
        .layer(layer().file("good", "1"))
        .layer(layer().raw(noise.clone(), &sha256(&noise)))
        .build();
    let at = place(&sandbox, &built);
    let output = sandbox.inspect(["files", at]).run().fails(1).says("layer 2 is broken");
    assert!(output.stdout.contains("/good"), "{output}");
    assert_eq!(sandbox.inspect(["cat", at, "good"]).run().stdout, "1");
    sandbox.inspect(["extract", at, "/", "out"]).run().fails(1).says("layer 2 is broken");
    assert!(!sandbox.work("out").exists());
}

#[test]
fn a_blob_that_lies_is_corrupt() {
    let sandbox = Sandbox::new();
    let built = image().layer(layer().file("good", "1").noise("n", 9000, 1).plain()).build();
    let at = place(&sandbox, &built);
    let digest = built.image().layers[0].descriptor.digest.clone();
    let path = sandbox.work("l/blobs/sha256").join(digest.strip_prefix("sha256:").unwrap());
    let mut bytes = fs::read(&path).unwrap();
    bytes[1500] ^= 1;
    fs::write(&path, bytes).unwrap();
    sandbox.inspect(["files", at]).run().fails(6).says("layer 1 is broken");
    // What was wrong is not remembered as an answer.
    sandbox.inspect(["files", at]).run().fails(6);
}

#[test]
fn entries_that_leave_the_root_are_named_and_ignored() {
    let sandbox = Sandbox::new();
    let built = image()
        .layer(
            layer().file("../escape", "x").file("ok", "y").whiteout("a/.wh.b").file("z/../q", ""),
        )
        .build();
    let at = place(&sandbox, &built);
    let output = sandbox.inspect(["files", at]).run().success();
    assert!(output.stdout.contains("/ok") && !output.stdout.contains("escape"), "{output}");
    let output = output.says("../escape: name with a \"..\" in it");
    output.says("z/../q");
}

#[test]
fn links_in_an_image_lead_nowhere_else() {
    let sandbox = Sandbox::new();
    let secret = sandbox.write("secret", "host secret");
    let built = image()
        .layer(
            layer()
                .symlink("abs", secret.to_str().unwrap())
                .symlink("loop", "loop2")
                .symlink("loop2", "/loop")
                .symlink("dir", sandbox.root().to_str().unwrap())
                .file("f", "1"),
        )
        .build();
    let at = place(&sandbox, &built);
    sandbox.inspect(["cat", at, "/abs"]).run().fails(3).hides("host secret");
    sandbox.inspect(["cat", at, "/dir/secret"]).run().fails(3).hides("host secret");
    sandbox.inspect(["cat", at, "/loop"]).run().fails(1).says("too many links");
    // Extracting through a link of the image, and into a directory that a link of ours names.
    sandbox.inspect(["extract", at, "/", "out"]).run().success();
    assert!(fs::symlink_metadata(sandbox.work("out/abs")).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(&secret).unwrap(), "host secret");
}
