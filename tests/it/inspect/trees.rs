//! Images that the store keeps unpacked only.

use std::fs;

use serde_json::Value;

use crate::support::image::{Built, image, layer};
use crate::support::peers::need;
use crate::support::program::Sandbox;

fn built() -> Built {
    image()
        .layer(
            layer()
                .dir("etc")
                .file("etc/motd", "old\n")
                .file("etc/shadow", "root:*\n")
                .mode(0o600)
                .owner(7, 8)
                .dir("var/cache")
                .file("var/cache/a", vec![b'a'; 700])
                .file("gone", vec![b'g'; 300])
                .hardlink("etc/same", "etc/motd"),
        )
        .layer(
            layer()
                .file("etc/motd", "new\n")
                .opaque("var/cache")
                .file("var/cache/b", "b")
                .whiteout("gone")
                .symlink("etc/link", "motd"),
        )
        .cmd(["/bin/x"])
        .build()
}

fn rows(mut rows: Value) -> Value {
    // A layer is packed again in the order of names.
    let list = rows.as_array_mut().unwrap();
    list.sort_by_key(|row| row["path"].to_string());
    rows
}

#[test]
fn all_questions_about_files_are_answered() {
    need!("root", "overlay");
    let sandbox = Sandbox::new();
    built().write_layout(&sandbox.work("l"), Some("1"));
    sandbox.copy(["--no-keep-blobs", "oci:l:1", "store:app:1"]).run().success();
    let (whole, kept) = ("oci:l:1", "store:app:1");
    let both = |words: &[&str], place: usize| {
        [whole, kept].map(|name| {
            let mut words = words.to_vec();
            words.insert(place, name);
            sandbox.inspect(words).run()
        })
    };
    for words in [
        &["files", "-R", "--json", "--full"][..],
        &["files", "--json", "--layer", "1"],
        &["files", "--json", "--layer", "2"],
    ] {
        let [whole, kept] = both(words, words.len());
        let (mut whole, mut kept) = (rows(whole.success().json()), rows(kept.success().json()));
        for side in [&mut whole, &mut kept] {
            for row in side.as_array_mut().unwrap() {
                let row = row.as_object_mut().unwrap();
                // A deletion has no time of its own there.
                if row["type"] == "whiteout" || row["type"] == "opaque" {
                    row.remove("mtime");
                }
                // Which of two names of a file is the link is not known any more.
                if row["path"] == "/etc/motd" || row["path"] == "/etc/same" {
                    for key in ["type", "link", "size", "digest", "mtime", "mtimeNanos"] {
                        row.remove(key);
                    }
                }
            }
        }
        assert_eq!(whole, kept, "{words:?}");
    }
    for words in [
        &["cat", "/etc/motd", "/etc/same", "/etc/link", "/etc/shadow"][..],
        &["grep", "o|n"],
        &["packages"],
    ] {
        let place = if words[0] == "grep" { 2 } else { 1 };
        let [whole, kept] = both(words, place);
        assert_eq!(whole.stdout, kept.stdout, "{words:?}");
    }
    let [whole_waste, kept_waste] = both(&["waste", "--json"], 2).map(|output| output.json());
    assert_eq!(whole_waste["files"], kept_waste["files"]);
    assert_eq!(whole_waste["efficiency"], kept_waste["efficiency"]);
    let diff = sandbox.inspect(["diff", whole, kept]).run().fails(0).stdout;
    assert!(diff.contains("no difference"), "{diff}");
    sandbox.inspect(["extract", kept, "/", "out"]).run().success();
    assert_eq!(fs::read_to_string(sandbox.work("out/etc/motd")).unwrap(), "new\n");
    assert!(!sandbox.work("out/gone").exists());
    let checked = sandbox.inspect(["validate", kept]).run().success().stdout;
    assert!(checked.contains("2 layers are kept unpacked only"), "{checked}");
    // What was known of the archive does not mislead.
    let output = sandbox.inspect(["cat", kept, "/var/cache/b"]).run().success();
    assert_eq!(output.stdout, "b");
}
