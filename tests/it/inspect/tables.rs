//! Layers with a table of contents: only the table and what is wanted of the content move.

use std::fs;

use serde_json::Value;

use crate::support::image::{Built, Layer, Lie, TableForm, image, layer};
use crate::support::log::Kind;
use crate::support::peers::{buildah, need};
use crate::support::program::Sandbox;
use crate::support::registry::TestRegistry;

const BOTH: [TableForm; 2] = [TableForm::ZstdChunked, TableForm::Stargz];

/// A layer in which every kind of entry is before and behind large content that does not shrink.
fn large() -> Layer {
    let sparse = [vec![b'a'; 64 << 10], vec![0; 128 << 10], vec![b'b'; 10]].concat();
    layer()
        .dir("etc")
        .file("etc/motd", "hello\n")
        .xattr("user.note", "\0raw")
        .file("etc/empty", "")
        .noise("big/one", 3_000_000, 1)
        .hardlink("big/same", "big/one")
        .file("etc/shadow", "root:*\n")
        .mode(0o600)
        .owner(7, 8)
        .symlink("etc/link", "motd")
        .fifo("run/pipe")
        .noise("big/two", 2_000_000, 2)
        .file("sparse", sparse)
        .whiteout("old")
        .file("usr/bin/app", vec![b'x'; 100_000])
        .mode(0o755)
}

fn with_table(form: TableForm) -> Built {
    image().layer(layer().file("old", "x")).layer(large().table(form)).build()
}

/// Bytes of layers that were sent, and how many requests for them were made.
fn moved(registry: &TestRegistry, built: &Built) -> (u64, usize) {
    let digest = &built.image().layers.last().unwrap().descriptor.digest;
    let asked = registry.requests().into_iter();
    let asked: Vec<_> = asked
        .filter(|request| request.kind == Kind::Blob && request.path_and_query.contains(digest))
        .collect();
    (asked.iter().map(|request| request.sent).sum(), asked.len())
}

fn layerless(mut rows: Value) -> Value {
    for row in rows.as_array_mut().unwrap() {
        row.as_object_mut().unwrap().remove("layerDigest");
    }
    rows
}

#[test]
fn a_list_costs_the_table_alone() {
    for form in BOTH {
        let (registry, sandbox) = (TestRegistry::start(), Sandbox::new());
        let built = with_table(form);
        built.push(&registry, "app", "1");
        // The same without a table, to compare with.
        let plain = image().layer(layer().file("old", "x")).layer(large()).build();
        plain.push(&registry, "plain", "1");
        let list = |name: &str| {
            let words = ["files", "-R", "--json", "--full", &registry.image(name)];
            sandbox.inspect(words).run().success().json()
        };
        let listed = list("app:1");
        let (bytes, requests) = moved(&registry, &built);
        assert!(bytes < 20_000, "{form:?}: {bytes}");
        // eStargz tells at its end where the table is.
        assert_eq!(requests, if form == TableForm::Stargz { 2 } else { 1 });
        let mut expected = layerless(list("plain:1"));
        let mut listed = layerless(listed);
        if form == TableForm::Stargz {
            // The table is a file of the archive.
            let rows = listed.as_array_mut().unwrap();
            let own = rows.iter().position(|row| row["path"] == "/stargz.index.json").unwrap();
            rows.remove(own);
        }
        assert_eq!(listed, expected.take(), "{form:?}");
        // The second question costs nothing.
        registry.clear_log();
        list("app:1");
        assert_eq!(moved(&registry, &built), (0, 0));
    }
}

#[test]
fn a_file_costs_its_own_stretch() {
    for form in BOTH {
        let (registry, sandbox) = (TestRegistry::start(), Sandbox::new());
        let built = with_table(form);
        built.push(&registry, "app", "1");
        let name = registry.image("app:1");
        sandbox.inspect(["files", &name]).run().success();
        for (path, content, most) in [
            ("/etc/motd", "hello\n".to_owned(), 5_000),
            ("/etc/link", "hello\n".to_owned(), 5_000),
            ("/etc/empty", String::new(), 0),
            ("/etc/shadow", "root:*\n".to_owned(), 5_000),
            ("/usr/bin/app", "x".repeat(100_000), 10_000),
        ] {
            registry.clear_log();
            let output = sandbox.inspect(["cat", &name, path]).run().success();
            assert_eq!(output.stdout, content, "{form:?} {path}");
            let (bytes, requests) = moved(&registry, &built);
            assert!(bytes <= most && requests <= 1, "{form:?} {path}: {bytes} {requests}");
        }
        // Two files far from each other: what lies between does not move.
        registry.clear_log();
        let found = sandbox.inspect(["grep", "hello|root", &name, "/etc"]).run().success();
        assert_eq!(found.stdout, "/etc/motd:1:hello\n/etc/shadow:1:root:*\n");
        let (bytes, requests) = moved(&registry, &built);
        assert!(bytes < 20_000 && requests == 2, "{form:?}: {bytes} {requests}");
    }
}

#[test]
fn everything_comes_out_as_it_is_in_the_archive() {
    for form in BOTH {
        let (registry, sandbox) = (TestRegistry::start(), Sandbox::new());
        with_table(form).push(&registry, "app", "1");
        image().layer(layer()).layer(large()).build().push(&registry, "plain", "1");
        for name in ["app", "plain"] {
            let words = ["extract", &registry.image(&format!("{name}:1")), "/", name];
            sandbox.inspect(words).run().success();
        }
        let _ = fs::remove_file(sandbox.work("app/stargz.index.json"));
        let listing = |folder: &str| {
            let script = "find . -mindepth 1 ! -type d -printf '%p %y %m %n %s %T@ %l\\n' | sort; \
                          find . -type f | sort | xargs sha256sum";
            sandbox.command("sh", ["-c", script]).current_dir(sandbox.work(folder)).run().success()
        };
        let listed = listing("app").stdout;
        assert!(listed.contains("./big/same f 644 2 3000000 "), "{listed}");
        assert_eq!(listed, listing("plain").stdout, "{form:?}");
        // Differences are found by the digests that the tables tell.
        let both = [registry.image("app:1"), registry.image("plain:1")];
        let words = ["diff", "--semantic", "--json"].map(str::to_owned);
        let diff = sandbox.inspect(words.iter().chain(&both)).run().json();
        let paths: Vec<_> = diff["files"].as_array().unwrap().iter().map(|f| &f["path"]).collect();
        let own = ["/stargz.index.json"];
        assert_eq!(paths, own[..usize::from(form == TableForm::Stargz)], "{diff}");
    }
}

#[test]
fn a_table_with_another_digest_is_told_and_not_used() {
    for (key, value) in [
        (
            "io.github.containers.zstd-chunked.manifest-checksum",
            "sha256:0000000000000000000000000000000000000000000000000000000000000000",
        ),
        ("io.github.containers.zstd-chunked.manifest-position", "8:100:1000:1"),
    ] {
        let sandbox = Sandbox::new();
        let layer = large().table(TableForm::ZstdChunked).annotation(key, value);
        image().layer(layer).build().write_layout(&sandbox.work("l"), Some("1"));
        for _ in 0..2 {
            let output = sandbox.inspect(["cat", "oci:l:1", "/etc/motd"]).run().success();
            assert_eq!(output.stdout, "hello\n");
        }
        let output = sandbox.inspect(["files", "oci:l:1"]).run().success();
        let output = output.says("layer 1: table of contents: reading the table of contents of ");
        output.says("the manifest says sha256:");
        let words = ["validate", "oci:l:1"];
        let found = sandbox.inspect(words).run().fails(6).stdout;
        assert!(found.contains("the manifest says sha256:"), "{found}");
    }
}

/// Tables that are what their digest says, and not what the archive is.
#[test]
fn a_table_that_lies_is_found_out() {
    fn entry<'a>(table: &'a mut Value, name: &str) -> &'a mut Value {
        let entries = table["entries"].as_array_mut().unwrap();
        entries.iter_mut().find(|entry| entry["name"] == name).unwrap()
    }
    let zeros = |table: &mut Value| {
        entry(table, "etc/motd")["chunkDigest"] = format!("sha256:{}", "0".repeat(64)).into();
    };
    let elsewhere = |table: &mut Value| {
        let other = entry(table, "etc/shadow").clone();
        let motd = entry(table, "etc/motd");
        motd["offset"] = other["offset"].clone();
        if let Some(end) = other.get("endOffset") {
            motd["endOffset"] = end.clone();
        }
    };
    let longer = |table: &mut Value| entry(table, "etc/motd")["size"] = 7.into();
    let outside = |table: &mut Value| {
        entry(table, "etc/motd")["offset"] = u64::MAX.into();
    };
    let lies: [(Lie, &str); 4] = [
        (zeros, "has other bytes"),
        (elsewhere, ""),
        (longer, "not as long as the file"),
        (outside, "outside of the blob"),
    ];
    for form in BOTH {
        for (lie, says) in lies {
            let sandbox = Sandbox::new();
            let built = image().layer(large().false_table(form, lie)).build();
            built.write_layout(&sandbox.work("l"), Some("1"));
            let output = sandbox.inspect(["cat", "oci:l:1", "/etc/motd"]).run().fails(6);
            assert_eq!(output.says(says).stdout, "", "{form:?}");
            // Other files are not touched by it.
            let output = sandbox.inspect(["cat", "oci:l:1", "/etc/shadow"]).run().success();
            assert_eq!(output.stdout, "root:*\n");
        }
        // What only concerns the list is found by comparing.
        let hidden = |table: &mut Value| {
            let entries = table["entries"].as_array_mut().unwrap();
            entries.retain(|entry| entry["name"] != "etc/shadow");
        };
        let owner = |table: &mut Value| entry(table, "etc/shadow")["uid"] = 0.into();
        let more = |table: &mut Value| {
            let dir = serde_json::json!({"type": "dir", "name": "more", "mode": 493});
            table["entries"].as_array_mut().unwrap().push(dir);
        };
        let lies: [(Lie, &str); 3] = [
            (hidden, "has another entry for /etc/shadow"),
            (owner, "has other permissions or owners for /etc/shadow"),
            (more, "the table of contents"),
        ];
        for (lie, says) in lies {
            let sandbox = Sandbox::new();
            let built = image().layer(large().false_table(form, lie)).build();
            built.write_layout(&sandbox.work("l"), Some("1"));
            sandbox.inspect(["files", "oci:l:1"]).run().success();
            let found = sandbox.inspect(["validate", "oci:l:1"]).run().fails(6).stdout;
            assert!(found.contains("the table of contents ") && found.contains(says), "{found}");
        }
        let sandbox = Sandbox::new();
        let built = with_table(form);
        built.write_layout(&sandbox.work("l"), Some("1"));
        sandbox.inspect(["validate", "oci:l:1"]).run().success();
    }
}

#[test]
fn what_a_table_cannot_tell_is_read_from_the_archive() {
    let lost = |table: &mut Value| {
        let entries = table["entries"].as_array_mut().unwrap();
        entries[0]["name"] = "\u{fffd}".into();
    };
    let version = |table: &mut Value| table["version"] = 2.into();
    let undigested = |table: &mut Value| {
        for entry in table["entries"].as_array_mut().unwrap() {
            entry.as_object_mut().unwrap().remove("digest");
        }
    };
    let tables: [Lie; 3] = [lost, version, undigested];
    for form in BOTH {
        for table in tables {
            let sandbox = Sandbox::new();
            let built = image().layer(large().false_table(form, table)).build();
            built.write_layout(&sandbox.work("l"), Some("1"));
            let output = sandbox.inspect(["files", "oci:l:1"]).run().success();
            assert!(output.stdout.contains("/etc") && output.stderr.is_empty(), "{output}");
            let output = sandbox.inspect(["cat", "oci:l:1", "/etc/motd"]).run().success();
            assert_eq!(output.stdout, "hello\n");
        }
    }
}

#[test]
fn a_registry_without_ranges_serves_too() {
    let registry = TestRegistry::builder().no_ranges().start();
    let sandbox = Sandbox::new();
    let built = with_table(TableForm::ZstdChunked);
    built.push(&registry, "app", "1");
    let name = registry.image("app:1");
    let output = sandbox.inspect(["cat", &name, "/etc/shadow"]).run().success();
    assert_eq!(output.stdout, "root:*\n");
}

/// Layers as containers/storage makes them.
#[test]
fn what_buildah_writes_is_read() {
    need!("root", "buildah");
    let (registry, sandbox) = (TestRegistry::start(), Sandbox::new());
    let tree = sandbox.work("tree");
    fs::create_dir_all(tree.join("etc")).unwrap();
    fs::write(tree.join("etc/motd"), "hello\n").unwrap();
    fs::write(tree.join("etc/zeros"), vec![0; 300_000]).unwrap();
    let noise: Vec<u8> = crate::support::content::noise(7, 2_000_000);
    fs::write(tree.join("big"), &noise).unwrap();
    fs::write(tree.join("zz"), "the last\n").unwrap();
    fs::write(sandbox.work("Dockerfile"), "FROM scratch\nCOPY tree /\n").unwrap();
    buildah(&sandbox, ["bud", "-q", "-t", "app", "."]).run().success();
    let to = format!("docker://{}/app:1", registry.host());
    let words =
        ["push", "-q", "--format", "oci", "--compression-format", "zstd:chunked", "app", &to];
    buildah(&sandbox, words).run().success();
    let manifest = registry.manifest("app", "1").unwrap().json();
    let layer = &manifest["layers"][0];
    // Newer versions have another name for it.
    assert!(
        layer["annotations"].to_string().contains(".zstd-chunked.manifest-position"),
        "{layer}"
    );
    registry.clear_log();
    let name = registry.image("app:1");
    let list = sandbox.inspect(["files", "-R", &name]).run().success().stdout;
    assert!(list.contains(" /etc/motd\n") && list.contains(" 2000000 "), "{list}");
    for (path, content) in [("/etc/motd", "hello\n"), ("/zz", "the last\n")] {
        let output = sandbox.inspect(["cat", &name, path]).run().success();
        assert_eq!(output.stdout, content, "{path}");
    }
    let sent: u64 = registry.requests().iter().map(|request| request.sent).sum();
    assert!(sent < 100_000, "{sent}");
    sandbox.inspect(["extract", &name, "/", "out"]).run().success();
    assert!(fs::read(sandbox.work("out/big")).unwrap() == noise);
    assert!(fs::read(sandbox.work("out/etc/zeros")).unwrap() == vec![0; 300_000]);
    sandbox.inspect(["validate", &name]).run().success();
}
