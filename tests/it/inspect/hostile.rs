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
