//! The verbs beside `copy` and `sync`, and what all of them share: help, streams, time limits.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::support::image::{Built, SCHEMA1_SIGNED, image, layer, schema1, small, three_platforms};
use crate::support::log::Kind;
use crate::support::peers::need;
use crate::support::program::{Sandbox, find_program};
use crate::support::registry::{Fault, TestRegistry, always};

/// `METHOD kind` of all requests, in their order.
fn asked(registry: &TestRegistry) -> Vec<String> {
    registry.requests().iter().map(|r| format!("{} {:?}", r.method, r.kind)).collect()
}

fn tags(output: &Value) -> Vec<&str> {
    output["Tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap()).collect()
}

#[test]
fn tags_are_sorted_filtered_and_all_pages_of_them() {
    let registry = TestRegistry::builder().tag_page(2).start();
    let sandbox = Sandbox::new();
    let built = small("linux/amd64").build();
    for tag in ["2.0", "1.10", "latest", "1.2", "1.2-rc1"] {
        built.push(&registry, "app", tag);
    }
    let repository = registry.image("app");
    let output = sandbox.copy(["tags", &repository]).run().success();
    assert_eq!(output.stdout, "1.10\n1.2\n1.2-rc1\n2.0\nlatest\n");
    assert_eq!(output.stderr, "");
    let output = sandbox
        .copy(["list-tags", "--json", "--include", "^1\\.", "--include", "^2", "--exclude", "rc"])
        .arg(&repository)
        .run()
        .success()
        .json();
    assert_eq!(output["Repository"], format!("{}/app", registry.host()));
    assert_eq!(tags(&output), ["1.10", "1.2", "2.0"]);
    // The prefix may be left out where a host is named.
    let bare = repository.strip_prefix("docker://").unwrap();
    sandbox.copy(["tags", "--exclude", ".", bare]).run().success();
    sandbox.copy(["tags", "--include", "(", bare]).run().fails(2).says("regular expression");
    sandbox.copy(["tags", &registry.image("none")]).run().fails(3).says("none");
    sandbox.copy(["tags", &registry.image("app:1.2")]).run().fails(2).says("names one image");
    sandbox.copy(["tags", "docker-archive:x.tar"]).run().fails(3).says("x.tar");
}

#[test]
fn long_lists_of_tags_tell_what_they_are() {
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new();
    let (one, many) = (small("linux/amd64").build(), three_platforms().attestations().build());
    one.push(&registry, "app", "one");
    many.push(&registry, "app", "many");
    let output = sandbox.copy(["tags", "--long", "--json", &registry.image("app")]).run();
    let rows = output.success().json()["Tags"].clone();
    assert_eq!(rows[0]["tag"], "many");
    assert_eq!(rows[0]["digest"], many.root.digest);
    let platforms: Vec<_> = rows[0]["platforms"].as_array().unwrap().iter().collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64", "linux/arm/v7"]);
    assert_eq!(rows[1]["digest"], one.root.digest);
    assert_eq!(rows[1]["created"], "2001-09-09T01:46:40Z");
    let size: u64 = one.blobs.values().map(|blob| blob.size()).sum();
    assert_eq!(rows[1]["size"], size);
    let text = sandbox.copy(["tags", "-l", &registry.image("app")]).run().success().stdout;
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[0].starts_with("TAG"), "{text}");
    assert!(lines[2].contains(&one.root.digest) && lines[2].contains("linux/amd64"), "{text}");
}

#[test]
fn credentials_count_for_every_verb() {
    let registry = TestRegistry::builder().token_auth("user", "secret").start();
    let sandbox = Sandbox::new();
    small("linux/amd64").build().push(&registry, "app", "1");
    let (repository, name) = (registry.image("app"), registry.image("app:1"));
    sandbox.copy(["tags", &repository]).run().fails(4).says("creel-copy login");
    let output = sandbox.copy(["tags", "--creds", "user:secret", &repository]).run().success();
    assert_eq!(output.stdout, "1\n");
    // Credentials from files, named in each of the ways there are.
    let auth = "{\"auths\": {\"HOST\": {\"auth\": \"dXNlcjpzZWNyZXQ=\"}}}";
    let file = sandbox.write("elsewhere.json", auth.replace("HOST", &registry.host()));
    for verb in [
        &["tags", &repository][..],
        &["digest", &name],
        &["tag", &name, "2"],
        &["sync", "--dry-run", &repository, "oci:out"],
        &["delete", &name],
    ] {
        sandbox.copy(verb).run().fails(4);
        let by_variable = sandbox.copy(verb).env("REGISTRY_AUTH_FILE", &file).run().success();
        by_variable.hides("secret");
        small("linux/amd64").build().push(&registry, "app", "1");
        sandbox.copy(verb).arg("--authfile").arg(&file).run().success().hides("secret");
        small("linux/amd64").build().push(&registry, "app", "1");
    }
}

#[test]
fn a_tag_alone_is_deleted_where_the_registry_can() {
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new();
    let built = small("linux/amd64").build();
    built.push(&registry, "app", "1");
    built.push(&registry, "app", "2");
    registry.clear_log();
    sandbox.copy(["delete", &registry.image("app:1")]).run().success().says("the tag 1");
    assert_eq!(registry.tags("app"), ["2"]);
    assert_eq!(asked(&registry), ["DELETE Manifest"]);
    assert_eq!(registry.manifests("app"), [built.root.digest.as_str()]);
    sandbox.copy(["delete", &registry.image("app:1")]).run().fails(3).says("app:1");
    let by_digest = registry.image(&format!("app@{}", built.root.digest));
    sandbox.copy(["delete", &by_digest]).run().success();
    assert!(registry.tags("app").is_empty() && registry.manifests("app").is_empty());
    sandbox.copy(["delete", &by_digest]).run().fails(3);
}

#[test]
fn deleting_never_takes_other_tags_unasked() {
    for status in [400, 405] {
        let registry = TestRegistry::builder().no_tag_delete(status).start();
        let sandbox = Sandbox::new();
        let (built, other) = (small("linux/amd64").build(), small("linux/arm64").build());
        for tag in ["1", "2", "latest"] {
            built.push(&registry, "app", tag);
        }
        other.push(&registry, "app", "other");
        sandbox
            .copy(["delete", &registry.image("app:1")])
            .run()
            .fails(1)
            .says("2, latest")
            .hides("other,")
            .says("--all-tags");
        assert_eq!(registry.tags("app"), ["1", "2", "latest", "other"]);
        // The only tag of its image is not in doubt.
        sandbox.copy(["delete", &registry.image("app:other")]).run().success();
        assert_eq!(registry.tags("app"), ["1", "2", "latest"]);
        sandbox.copy(["delete", "--all-tags", &registry.image("app:1")]).run().success();
        assert!(registry.tags("app").is_empty());
        sandbox.copy(["delete", "--all-tags", &registry.image("app:1")]).run().fails(3);
    }
    let registry = TestRegistry::builder().no_delete().start();
    let sandbox = Sandbox::new();
    small("linux/amd64").build().push(&registry, "app", "1");
    sandbox.copy(["delete", &registry.image("app:1")]).run().fails(1).says("delet");
    assert_eq!(registry.tags("app"), ["1"]);
}

#[test]
fn names_of_layouts_and_of_the_store_are_deleted() {
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new();
    let built = small("linux/amd64").build();
    built.push(&registry, "app", "1");
    let layout = format!("oci:{}", sandbox.path("l").display());
    for name in ["a", "b"] {
        sandbox.copy([registry.image("app:1"), format!("{layout}:{name}")]).run().success();
    }
    sandbox.copy(["delete", &format!("{layout}:a")]).run().success();
    sandbox.copy(["digest", &format!("{layout}:a")]).run().fails(3);
    sandbox.copy(["digest", &format!("{layout}:b")]).run().success();
    sandbox.copy(["delete", &format!("{layout}:a")]).run().fails(3);
    sandbox.copy(["delete", &layout]).run().fails(2);

    sandbox.copy([&registry.image("app:1"), "store:one"]).run().success();
    sandbox.copy(["tag", "store:one", "two", "host.example/three:3"]).run().success();
    sandbox.copy(["delete", "store:one"]).run().success();
    sandbox.copy(["digest", "store:one"]).run().fails(3);
    let removed = sandbox.copy(["rm", "one:two", "store:host.example/three:3"]).run().success();
    assert_eq!(removed.stdout, "docker.io/library/one:two\nhost.example/three:3\n");
    sandbox.copy(["rm", "one:two"]).run().fails(3).says("one:two");
    sandbox.copy(["rm", &registry.image("app:1")]).run().fails(2);
    sandbox.copy(["delete", "dir:/tmp"]).run().fails(1).says("dir");
}

#[test]
fn a_tag_costs_two_requests() {
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new();
    let built = three_platforms().attestations().build();
    built.push(&registry, "app", "1");
    registry.clear_log();
    let output = sandbox.copy(["tag", &registry.image("app:1"), "2"]).run().success();
    let renamed = registry.image("app:2");
    assert_eq!(output.stdout, format!("{} {renamed}\n", built.root.digest));
    assert_eq!(registry.manifest("app", "2").unwrap().bytes, *built.root_bytes());
    let requests = asked(&registry);
    assert!(requests.len() <= 3, "{}", registry.log_text());
    assert_eq!(requests.iter().filter(|r| *r == "GET Manifest").count(), 1, "{requests:?}");
    assert_eq!(requests.iter().filter(|r| *r == "PUT Manifest").count(), 1, "{requests:?}");
    // By digest, several at once, and onto a name that exists.
    let by_digest = registry.image(&format!("app@{}", built.root.digest));
    sandbox.copy(["tag", &by_digest, "2", "3", "4"]).run().success();
    assert_eq!(registry.tags("app"), ["1", "2", "3", "4"]);
    sandbox.copy(["tag", &registry.image("app:9"), "x"]).run().fails(3).says("app:9");
    sandbox.copy(["tag", &registry.image("app:1"), "a:b"]).run().fails(2);
}

#[test]
fn tags_in_layouts_and_in_the_store() {
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new();
    let built = three_platforms().build();
    built.push(&registry, "app", "1");
    let layout = format!("oci:{}", sandbox.path("l").display());
    sandbox.copy([registry.image("app:1"), format!("{layout}:1")]).run().success();
    sandbox.copy(["tag", &format!("{layout}:1"), "2"]).run().success();
    // One platform of an index is all the store has, and it can be tagged all the same.
    sandbox.copy([&registry.image("app:1"), "store:app:1"]).run().success();
    sandbox.copy(["tag", "store:app:1", "2", "other.example/x"]).run().success();
    for name in [format!("{layout}:2"), "store:app:2".into(), "store:other.example/x".into()] {
        let output = sandbox.copy(["digest", &name]).run().success();
        assert_eq!(output.stdout.trim(), built.root.digest, "{name}");
    }
    sandbox.copy(["tag", "dir:/tmp", "x"]).run().fails(1).says("oci: and store:");
}

#[test]
fn digests_of_files_and_images() {
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new();
    let built = small("linux/amd64").build();
    built.push(&registry, "app", "1");
    let old = schema1("old", "1", &[layer().file("a", "b")], true);
    for made in [&built, &old] {
        let file = sandbox.write("work/manifest.json", made.root_bytes());
        for invocation in [
            sandbox.copy(["digest"]).arg(&file),
            sandbox.copy(["manifest-digest", "manifest.json"]),
            sandbox.copy(["digest", "-"]).input(made.root_bytes().to_vec()),
        ] {
            let output = invocation.run().success();
            assert_eq!(output.stdout, format!("{}\n", made.root.digest));
        }
    }
    assert_eq!(old.root.media_type, SCHEMA1_SIGNED);
    registry.clear_log();
    let output = sandbox.copy(["digest", &registry.image("app:1")]).run().success();
    assert_eq!(output.stdout.trim(), built.root.digest);
    assert_eq!(asked(&registry), ["HEAD Manifest"]);
    sandbox.copy(["digest", "-"]).input("no manifest").run().fails(1).says("standard input");
    sandbox.copy(["digest", "-"]).input("").run().fails(1);
}

/// Files below the store's blobs.
fn blobs_in_store(sandbox: &Sandbox) -> usize {
    let folder = sandbox.store().join("blobs/sha256");
    fs::read_dir(folder).map_or(0, |entries| entries.count())
}

#[test]
fn prune_takes_only_what_no_name_needs() {
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new();
    let base = || layer().noise("base", 50_000, 1);
    let one = image().layer(base()).layer(layer().noise("one", 60_000, 2)).build();
    let two = image().layer(base()).layer(layer().noise("two", 70_000, 3)).build();
    one.push(&registry, "app", "1");
    two.push(&registry, "app", "2");
    for tag in ["1", "2"] {
        let from = registry.image(&format!("app:{tag}"));
        sandbox.copy([from, format!("store:app:{tag}")]).arg("--no-unpack").run().success();
    }
    assert_eq!(blobs_in_store(&sandbox), 7);
    let nothing = sandbox.copy(["prune", "--json"]).run().success().json();
    assert_eq!((&nothing["blobs"], &nothing["bytes"]), (&0.into(), &0.into()));

    sandbox.copy(["--no-unpack", &registry.image("app:2"), "store:other:2"]).run().success();
    sandbox.copy(["rm", "other:2"]).run().success();
    // What another name needs stays.
    assert_eq!(blobs_in_store(&sandbox), 7);
    sandbox.copy(["rm", "--no-prune", "app:1"]).run().success();
    let own =
        [&one.root.digest, &one.image().config.digest, &one.image().layers[1].descriptor.digest];
    let size = |built: &Built, digest: &String| {
        built.manifest(digest).map_or_else(|| built.blobs[digest].size(), |m| m.len() as u64)
    };
    let expected: u64 = own.iter().map(|digest| size(&one, digest)).sum();
    let plan = sandbox.copy(["prune", "--dry-run", "--json"]).run().success().json();
    assert_eq!((&plan["blobs"], &plan["bytes"]), (&3.into(), &expected.into()));
    assert_eq!(blobs_in_store(&sandbox), 7);
    let young = sandbox.copy(["prune", "--older-than", "1d", "--json"]).run().success().json();
    assert_eq!(young["blobs"], 0);
    let done = sandbox.copy(["prune", "--json"]).run().success().json();
    assert_eq!(done, plan);
    assert_eq!(blobs_in_store(&sandbox), 4);
    sandbox.copy(["store:app:2", "oci:out:2"]).run().success();
    // Without the option, what only this name needed goes with it.
    sandbox.copy(["rm", "app:2"]).run().success();
    assert_eq!(blobs_in_store(&sandbox), 0);
}

#[test]
fn prune_keeps_to_a_size() {
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new();
    for (tag, seed) in [("1", 1), ("2", 2), ("3", 3)] {
        let built = image().layer(layer().noise("data", 100_000, seed)).build();
        built.push(&registry, "app", tag);
        let from = registry.image(&format!("app:{tag}"));
        sandbox.copy([from, format!("store:app:{tag}")]).arg("--no-unpack").run().success();
    }
    let args = ["prune", "--max-size", "250KB", "--json"];
    let plan = sandbox.copy(args).arg("--dry-run").run().success().json();
    assert_eq!(plan["names"], serde_json::json!(["docker.io/library/app:1"]));
    assert_eq!(sandbox.copy(args).run().success().json(), plan);
    sandbox.copy(["digest", "store:app:1"]).run().fails(3);
    for tag in ["2", "3"] {
        sandbox.copy([&format!("store:app:{tag}"), &format!("oci:out:{tag}")]).run().success();
    }
    sandbox.copy(["prune", "--max-size", "much"]).run().fails(2).says("size");
}

#[test]
fn prune_leaves_a_running_copy_alone() {
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new();
    let built = image()
        .layer(layer().noise("quick", 50_000, 1))
        .layer(layer().noise("slow", 400_000, 2))
        .build();
    built.push(&registry, "app", "1");
    let slow = &built.image().layers[1].descriptor.digest;
    registry.inject(
        always("GET", Kind::Blob).path(slow).times(1),
        Fault::Slow { bytes: 40_000, pause: Duration::from_millis(100) },
    );
    let running = sandbox.copy([&registry.image("app:1"), "store:app:1"]).start();
    // As soon as the slow layer flows, prune again and again until the copy has ended.
    while registry.count("GET", Kind::Blob) < 3 {
        std::thread::sleep(Duration::from_millis(5));
    }
    for _ in 0..5 {
        sandbox.copy(["prune"]).run().success();
    }
    running.wait().success();
    sandbox.copy(["prune"]).run().success();
    sandbox.copy(["store:app:1", "oci:out:1"]).run().success();
}

#[test]
fn gc_of_a_layout() {
    let sandbox = Sandbox::new();
    let layout = sandbox.path("l");
    let (kept, gone) =
        (three_platforms().build(), image().layer(layer().noise("x", 9_000, 1)).build());
    kept.write_layout(&layout, Some("kept"));
    gone.write_layout(&layout, Some("gone"));
    let name = format!("oci:{}", layout.display());
    sandbox.copy(["gc", &name]).run().success().says("removed 0 blobs");
    sandbox.copy(["delete", &format!("{name}:gone")]).run().success();
    sandbox.copy(["gc"]).arg(&layout).run().success();
    let left = fs::read_dir(layout.join("blobs/sha256")).unwrap().count();
    assert_eq!(left, kept.blobs.len() + kept.manifests.len());
    sandbox.copy([&format!("{name}:kept"), "store:kept"]).run().success();
    sandbox.copy(["gc", "/nonexistent"]).run().fails(3).says("/nonexistent");
}

#[test]
fn help_lists_every_verb() {
    let sandbox = Sandbox::new();
    let help = sandbox.copy(["--help"]).run().success();
    let verbs =
        ["copy", "sync", "tags", "delete", "tag", "digest", "login", "logout", "gc", "rm", "prune"];
    for verb in verbs.iter().chain(&["completion"]) {
        let line = format!("  {verb} ");
        assert!(help.stdout.contains(&line), "{verb}\n{}", help.stdout);
        sandbox.copy([verb, "--help"]).run().success();
    }
    assert_eq!(help.stderr, "");
    for part in ["docker-archive:FILE", "Exit codes"] {
        assert!(help.stdout.contains(part), "{part}");
    }
    sandbox.copy([""; 0]).run().fails(2).says("Usage");
    let version = sandbox.copy(["--version"]).run().success().stdout;
    assert!(version.starts_with("creel-copy "), "{version}");
}

#[test]
fn completions_and_manual_pages() {
    let sandbox = Sandbox::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = sandbox.copy(["completion", shell]).run().success().stdout;
        assert!(script.contains("creel-copy") && script.contains("additional-tag"), "{shell}");
        if shell == "bash" {
            let file = sandbox.write("completion", &script);
            sandbox.command("bash", ["-n"]).arg(file).run().success();
        }
    }
    sandbox.copy(["completion", "csh.exe"]).run().fails(2);
    let pages = sandbox.path("man");
    sandbox.copy(["man"]).arg(&pages).run().success();
    let page = fs::read_to_string(pages.join("creel-copy.1")).unwrap();
    assert!(page.contains(".TH creel-copy 1"), "{page}");
    let names: Vec<_> = fs::read_dir(&pages)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(names.contains(&"creel-copy-sync.1".to_owned()), "{names:?}");
}

#[test]
fn a_completion_script_that_cannot_be_written_is_an_error() {
    let sandbox = Sandbox::new();
    for program in ["creel-copy", "creel-build", "creel-inspect", "creel-run"] {
        let script = "exec \"$0\" completion bash >/dev/full";
        let shell = sandbox.command("sh", ["-c", script]).arg(find_program(program));
        shell.run().fails(1).says(&format!("{program}: writing the result: No space left"));
    }
}

#[test]
fn the_verb_copy_may_be_left_out() {
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new();
    let built = small("linux/amd64").build();
    built.push(&registry, "app", "1");
    let source = registry.image("app:1");
    let mut results = Vec::new();
    for (number, words) in [
        &["copy"][..],
        &[],
        &["--"],
        &["copy", "--"],
        &["-q", "copy"],
        &["--progress", "none", "--json", "copy"],
        &["--root", "elsewhere"],
        &["--all"],
    ]
    .into_iter()
    .enumerate()
    {
        let target = format!("oci:out{number}:1");
        let output = sandbox.copy(words).args([&source, &target]).run().success();
        results.push(sandbox.copy(["digest", &target]).run().success().stdout);
        assert!(output.stdout.contains(&built.root.digest), "{words:?}: {output}");
    }
    assert!(results.iter().all(|digest| digest.trim() == built.root.digest));
    // Behind `--` a verb's name is an image's.
    let unknown = sandbox.copy(["--retry-times", "0", "--", "tags", "oci:x:1"]);
    let conf = "[[registry]]\nprefix = \"docker.io\"\nlocation = \"HOST\"\ninsecure = true\n";
    sandbox.write_registries_conf(&conf.replace("HOST", &registry.host()));
    unknown.run().fails(3).says("library/tags");
}

#[test]
fn streams_are_kept_apart() {
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new();
    let built = image().layer(layer().noise("data", 300_000, 1)).build();
    built.push(&registry, "app", "1");
    let source = registry.image("app:1");
    let json = sandbox.copy(["--progress", "json", &source, "oci:a:1"]).run().success();
    assert_eq!(json.stdout, format!("{}\n", built.root.digest));
    let events: Vec<Value> = json
        .stderr
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    let text = json.stderr.clone();
    assert!(text.contains(&built.image().config.digest) && events.len() >= 4, "{text}");
    let others: Vec<_> = text.lines().filter(|line| !line.starts_with('{')).collect();
    assert!(others.is_empty(), "{others:?}");

    let plain = sandbox.copy(["--progress", "plain", &source, "oci:b:1"]).run().success();
    assert_eq!(plain.stdout, format!("{}\n", built.root.digest));
    assert!(plain.stderr.contains("copied sha256:"), "{}", plain.stderr);
    plain.hides("\u{1b}").hides("\r");
    let none = sandbox.copy(["--progress", "none", "--json", &source, "oci:c:1"]).run().success();
    assert_eq!((none.json()["digest"].as_str().unwrap(), &*none.stderr), (&*built.root.digest, ""));
    let debug =
        sandbox.copy(["--debug", "--progress", "plain", &source, "oci:d:0"]).run().success();
    debug.says("debug: GET http://127.0.0.1:").says("/manifests/").says(": 200 (");
    sandbox.copy(["--progress", "plain", &source, "oci:d:9"]).run().success().hides("debug:");
    let timings = sandbox.copy(["--timings", &source, "oci:d:1"]).run().success();
    assert_eq!(timings.stdout, format!("{}\n", built.root.digest));
    // Failures say nothing on stdout.
    let failed = sandbox.copy([&registry.image("app:2"), "oci:e:1"]).run().fails(3);
    assert_eq!(failed.stdout, "");
}

#[test]
fn a_closed_pipe_is_no_news() {
    need!("bash");
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new();
    let built = small("linux/amd64").build();
    for number in 0..3000 {
        built.push(&registry, "app", &format!("{}{number}", "tag-of-a-good-length-".repeat(5)));
    }
    let program = crate::support::program::find_program("creel-copy");
    let script = format!("{} tags {} | head -1", program.display(), registry.image("app"));
    let output = sandbox.command("bash", ["-c", &script]).run().success();
    assert_eq!(output.stdout.lines().count(), 1);
    assert_eq!(output.stderr, "");
}

#[test]
fn time_may_be_limited() {
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new();
    small("linux/amd64").build().push(&registry, "app", "1");
    registry.inject(always("GET", Kind::Blob), Fault::Hang);
    let source = registry.image("app:1");
    sandbox
        .copy(["--command-timeout", "1s", &source, "oci:out:1"])
        .run()
        .fails(5)
        .says("--command-timeout");
    sandbox.copy(["--command-timeout", "soon", &source, "oci:out:1"]).run().fails(2).says("time");
    sandbox.copy(["digest", "oci:out:1"]).run().fails(3);
}
