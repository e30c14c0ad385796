//! `files`, `cat`, `extract`, `grep`: what is in an image, without unpacking it.

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::Value;

use crate::support::image::{Built, Compression, image, layer};
use crate::support::log::Kind;
use crate::support::peers::{need, umoci};
use crate::support::program::Sandbox;
use crate::support::registry::TestRegistry;

/// Three layers with everything that merging has to get right.
fn rich() -> Built {
    rich_as(Compression::Zstd, Compression::None)
}

fn rich_as(second: Compression, third: Compression) -> Built {
    image()
        .layer(
            layer()
                .dir("etc")
                .file("etc/motd", "old\n")
                .file("etc/keep", "kept\nline two\n")
                .dir("var")
                .dir("var/cache")
                .file("var/cache/a", "aaa")
                .file("var/cache/b", "bbb")
                .dir("gone")
                .file("gone/x", "x")
                .hardlink("etc/keep2", "etc/keep"),
        )
        .layer(
            layer()
                .file("etc/motd", "new text\n")
                .mode(0o600)
                .owner(7, 8)
                .opaque("var/cache")
                .file("var/cache/c", "c")
                .whiteout("gone")
                .compression(second),
        )
        .layer(
            layer()
                .symlink("etc/link", "/etc/motd")
                .symlink("up", "../../etc")
                .file("usr/lib/implied", "i\0binary new\n")
                .compression(third),
        )
        .cmd(["/bin/x"])
        .build()
}

fn place(sandbox: &Sandbox, built: &Built) -> &'static str {
    built.write_layout(&sandbox.work("l"), Some("1"));
    "oci:l:1"
}

fn paths(rows: &Value) -> Vec<String> {
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| format!("{} {}", row["layer"], row["path"].as_str().unwrap())).collect()
}

#[test]
fn the_merged_tree_tells_the_layer_of_each_file() {
    let sandbox = Sandbox::new();
    let at = place(&sandbox, &rich());
    let all = sandbox.inspect(["files", "-R", "--json", at]).run().success().json();
    let expected = [
        "1 /",
        "1 /etc",
        "1 /etc/keep",
        "1 /etc/keep2",
        "3 /etc/link",
        "2 /etc/motd",
        "3 /up",
        "3 /usr",
        "3 /usr/lib",
        "3 /usr/lib/implied",
        "1 /var",
        "1 /var/cache",
        "2 /var/cache/c",
    ];
    assert_eq!(paths(&all), expected);
    let motd = all.as_array().unwrap().iter().find(|row| row["path"] == "/etc/motd").unwrap();
    assert_eq!(
        (motd["mode"].as_u64(), motd["uid"].as_u64(), motd["gid"].as_u64()),
        (Some(0o600), Some(7), Some(8))
    );
    let text = sandbox.inspect(["ls", at, "/etc"]).run().success().stdout;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0].split_whitespace().next(), Some("MODE"), "{text}");
    assert_eq!(lines[1], "-rw-r--r--  0:0    14    2001-09-09 01:46  1      /etc/keep", "{text}");
    assert!(lines[2].ends_with("/etc/keep2 = /etc/keep"), "{text}");
    assert!(lines[3].ends_with("/etc/link -> /etc/motd"), "{text}");
    assert!(lines[4].starts_with("-rw-------  7:8    9 "), "{text}");
    assert_eq!(lines.len(), 5, "{text}");
}

#[test]
fn one_layer_shows_what_it_does() {
    let sandbox = Sandbox::new();
    let built = rich();
    let at = place(&sandbox, &built);
    let second = sandbox.inspect(["files", "--json", "--layer", "2", at]).run().success().json();
    let kinds: Vec<_> = second.as_array().unwrap().iter().map(|row| &row["type"]).collect();
    assert_eq!(kinds, ["file", "opaque", "file", "whiteout"]);
    let digest = &built.image().layers[1].descriptor.digest;
    let by_digest = sandbox.inspect(["files", "--json", "--layer", digest, at]).run().success();
    assert_eq!(by_digest.json(), second);
    let text = sandbox.inspect(["files", "--layer=2", at, "var"]).run().success().stdout;
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.contains("(deleted)") && text.contains("/var/cache/*"), "{text}");
    sandbox.inspect(["files", "--layer=4", at]).run().fails(3).says("has 3 layers");
}

#[test]
fn files_are_found_through_links_inside_the_image() {
    let sandbox = Sandbox::new();
    let at = place(&sandbox, &rich());
    for (path, content) in [
        ("/etc/motd", "new text\n"),
        ("etc/link", "new text\n"),
        ("/up/motd", "new text\n"),
        ("/up/../../../etc/./keep2", "kept\nline two\n"),
        ("var/cache/c", "c"),
    ] {
        let output = sandbox.inspect(["cat", at, path]).run().success();
        assert_eq!(output.stdout, content, "{path}");
    }
    let both = sandbox.inspect(["cat", at, "/var/cache/c", "/etc/motd"]).run().success();
    assert_eq!(both.stdout, "cnew text\n");
    sandbox.inspect(["cat", at, "/gone/x"]).run().fails(3).says("the image has no /gone/x");
    sandbox.inspect(["cat", at, "/var/cache/a"]).run().fails(3);
    sandbox.inspect(["cat", at, "/etc"]).run().fails(1).says("/etc is a directory");
    sandbox.inspect(["files", at, "/nothing"]).run().fails(3).says("the image has no /nothing");
}

#[test]
fn lines_are_found_with_their_place() {
    let sandbox = Sandbox::new();
    let at = place(&sandbox, &rich());
    let found = sandbox.inspect(["grep", "^(new|line)", at]).run().success();
    assert_eq!(found.stdout, "/etc/keep:2:line two\n/etc/keep2:2:line two\n/etc/motd:1:new text\n");
    let found = sandbox.inspect(["grep", "-l", "NEW", "-i", at]).run().success();
    assert_eq!(found.stdout, "/etc/motd\n/usr/lib/implied\n");
    let found = sandbox.inspect(["grep", "new", at, "/usr"]).run().success();
    assert_eq!(found.stdout, "/usr/lib/implied: binary file matches\n");
    let found = sandbox.inspect(["grep", "-F", "--json", "t two", at]).run().fails(1);
    assert_eq!(found.stdout, "[]\n");
    // What upper layers hide is not searched.
    sandbox.inspect(["grep", "old|aaa", at]).run().fails(1);
    sandbox.inspect(["grep", "(", at]).run().fails(2).says("no regular expression");
}

/// Extracting as root must not make set-id programs and devices for everybody on the machine.
#[test]
fn rights_are_extracted_only_when_asked_for() {
    need!("root");
    let sandbox = Sandbox::new();
    let capability = b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let built = image()
        .layer(
            layer()
                .file("suid", "1")
                .mode(0o4755)
                .file("sgid", "2")
                .mode(0o2755)
                .file("cap", "3")
                .xattr("security.capability", capability)
                .file("plain", "4")
                .mode(0o755)
                .hardlink("suid2", "suid")
                .mode(0o4755)
                .dir("shared")
                .mode(0o3775)
                .char_device("null", 1, 3)
                .block_device("disk", 7, 0)
                .fifo("pipe"),
        )
        .build();
    let at = place(&sandbox, &built);
    let mode = |path: &str| fs::symlink_metadata(sandbox.work(path)).unwrap().mode() & 0o7777;
    let has_capability = |path: &str| {
        let listed = sandbox.command("getfattr", ["-n", "security.capability", path]).run();
        listed.code() == Some(0)
    };
    let output = sandbox.inspect(["extract", at, "/", "out"]).run().success();
    output
        .says("4 files lost set-id bits or capabilities (--keep-special keeps them)")
        .says("2 device nodes were left out (--keep-special keeps them)");
    assert_eq!((mode("out/suid"), mode("out/sgid"), mode("out/suid2")), (0o755, 0o755, 0o755));
    assert_eq!((mode("out/plain"), mode("out/shared"), mode("out/pipe")), (0o755, 0o3775, 0o644));
    assert!(!fs::exists(sandbox.work("out/null")).unwrap());
    assert!(!fs::exists(sandbox.work("out/disk")).unwrap());
    sandbox.inspect(["extract", at, "/suid", "one"]).run().success().says("1 files lost");
    assert_eq!(mode("one/suid"), 0o755);
    sandbox.inspect(["extract", at, "/plain", "two"]).run().success().hides("lost");
    sandbox.inspect(["extract", "--keep-special", at, "/", "all"]).run().success().hides("lost");
    assert_eq!((mode("all/suid"), mode("all/sgid"), mode("all/suid2")), (0o4755, 0o2755, 0o4755));
    assert_eq!(fs::symlink_metadata(sandbox.work("all/null")).unwrap().rdev(), 0x103);
    need!("getfattr");
    assert!(!has_capability("out/cap") && has_capability("all/cap"));
}

#[test]
fn extracted_files_are_those_of_the_image() {
    let sandbox = Sandbox::new();
    let at = place(&sandbox, &rich());
    sandbox.inspect(["extract", at, "/etc", "out"]).run().success();
    let out = sandbox.work("out");
    assert_eq!(fs::read_to_string(out.join("etc/motd")).unwrap(), "new text\n");
    assert_eq!(fs::read_link(out.join("etc/link")).unwrap().to_str(), Some("/etc/motd"));
    let keep = fs::metadata(out.join("etc/keep")).unwrap();
    assert_eq!((keep.nlink(), keep.mtime()), (2, 1_000_000_000));
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
    // Nothing is overwritten.
    sandbox.inspect(["extract", at, "etc", "out"]).run().fails(1).says("etc is there already");
    sandbox.inspect(["extract", at, "/", "out"]).run().fails(1).says("not empty");
    // One name of a hard link alone is a file.
    sandbox.inspect(["extract", at, "/etc/keep2", "one"]).run().success();
    assert_eq!(fs::read_to_string(sandbox.work("one/keep2")).unwrap(), "kept\nline two\n");
    sandbox.inspect(["extract", at, "/gone", "none"]).run().fails(3);
    assert!(!sandbox.work("none").exists());
}

#[test]
fn the_whole_tree_is_what_umoci_unpacks() {
    need!("umoci");
    let sandbox = Sandbox::new();
    // umoci reads no zstd.
    let at = place(&sandbox, &rich_as(Compression::Gzip, Compression::None));
    sandbox.inspect(["extract", at, "/", "ours"]).run().success();
    umoci(&sandbox, ["unpack", "--image", "l:1", "theirs"]).run().success();
    let listing = |folder: &str| {
        let script = "find . -mindepth 1 -printf '%p %y %m %U:%G %n %s %l\\n' | \
                      sed '/ d /s/ [0-9]* [0-9]* / /' | sort";
        sandbox.command("sh", ["-c", script]).current_dir(sandbox.work(folder)).run().success()
    };
    assert_eq!(listing("ours").stdout, listing("theirs/rootfs").stdout);
}

#[test]
fn the_second_question_costs_no_layer() {
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new();
    rich().push(&registry, "app", "1");
    let name = registry.image("app:1");
    let first = sandbox.inspect(["files", "-R", &name]).run().success();
    // Three layers and the config.
    assert_eq!(registry.count("GET", Kind::Blob), 4);
    registry.clear_log();
    let second = sandbox.inspect(["files", "-R", &name]).run().success();
    assert_eq!(second.stdout, first.stdout);
    assert_eq!(registry.count("GET", Kind::Blob), 1);
    // For a file's content its own layer alone is read.
    registry.clear_log();
    sandbox.inspect(["cat", &name, "/etc/motd"]).run().success();
    assert_eq!(registry.count("GET", Kind::Blob), 2);
}
