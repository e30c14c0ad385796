//! Many images at once: names, filters, lists, failures, and that nothing moves twice.

use std::fs;

use serde_json::Value;

use crate::support::image::{Built, image, layer, small, three_platforms};
use crate::support::log::Kind;
use crate::support::program::Sandbox;
use crate::support::registry::{Fault, TestRegistry, always};

/// An image that shares its base with all others of the test.
fn app(seed: u64) -> Built {
    let base = layer().noise("base", 100_000, 99);
    image().layer(base).layer(layer().noise("app", 20_000, seed)).build()
}

fn pushed(registry: &TestRegistry, repository: &str, tags: &[&str]) -> Vec<Built> {
    let images: Vec<_> = (1..).zip(tags).map(|(seed, tag)| (app(seed), tag)).collect();
    images.iter().for_each(|(built, tag)| built.push(registry, repository, tag));
    images.into_iter().map(|(built, _)| built).collect()
}

fn host_and(registry: &TestRegistry, path: &str) -> String {
    format!("{}/{path}", registry.host())
}

#[test]
fn a_repository_with_all_its_tags() {
    let (from, to) = (TestRegistry::start(), TestRegistry::start());
    let sandbox = Sandbox::new();
    let images = pushed(&from, "team/app", &["1", "2", "3"]);
    three_platforms().attestations().build().push(&from, "team/app", "many");
    let (source, target) = (from.image("team/app"), host_and(&to, "mirror/app"));
    let output = sandbox.copy(["sync", &source, &target]).run().success();
    assert_eq!(to.tags("mirror/app"), ["1", "2", "3", "many"]);
    assert_eq!(to.manifest("mirror/app", "2").unwrap().digest, images[1].root.digest);
    to.assert_whole("mirror/app");
    let rows: Vec<_> = output.stdout.lines().collect();
    assert_eq!(rows.len(), 5, "{}", output.stdout);
    assert!(rows[1..].iter().all(|row| row.starts_with("ok")), "{}", output.stdout);

    // Again: the name here, the name there, and no more.
    from.clear_log();
    to.clear_log();
    let again = sandbox.copy(["sync", &source, &target]).run().success();
    assert_eq!(again.stdout.matches("unchanged").count(), 4, "{}", again.stdout);
    assert_eq!((from.requests().len(), to.requests().len()), (5, 4), "{}", from.log_text());
    assert_eq!(from.count("HEAD", Kind::Manifest), 4);
}

#[test]
fn what_images_share_moves_once() {
    let (from, to) = (TestRegistry::start(), TestRegistry::start());
    let sandbox = Sandbox::new();
    let images = pushed(&from, "app", &["1", "2", "3", "4", "5", "6"]);
    sandbox.copy(["sync", &from.image("app"), &host_and(&to, "app")]).run().success();
    // The base, and for every image its layer and config.
    assert_eq!(to.count("PUT", Kind::Upload), 13, "{}", to.log_text());
    let base = &images[0].image().layers[0].descriptor.digest;
    let reads = from.requests().iter().filter(|r| r.path_and_query.contains(base.as_str())).count();
    assert_eq!(reads, 1);
    to.assert_whole("app");
}

#[test]
fn filters_suffixes_and_digests() {
    let (from, to) = (TestRegistry::start(), TestRegistry::start());
    let sandbox = Sandbox::new();
    let images = pushed(&from, "app", &["1.0", "1.1", "1.1-rc", "2.0"]);
    let digests = sandbox.path("digests");
    sandbox
        .copy(["sync", "--include", "^1\\.", "--exclude", "-rc$", "--append-suffix", "-old"])
        .arg("--digestfile")
        .arg(&digests)
        .args([from.image("app"), to.image("app")])
        .run()
        .success();
    assert_eq!(to.tags("app"), ["1.0-old", "1.1-old"]);
    let text = fs::read_to_string(&digests).unwrap();
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    let mut expected = [
        format!("{} {}", images[0].root.digest, to.image("app:1.0-old")),
        format!("{} {}", images[1].root.digest, to.image("app:1.1-old")),
    ];
    expected.sort_unstable();
    assert_eq!(lines, expected);
    let nothing = ["sync", "--include", "^9"].map(String::from);
    let both = [from.image("app"), host_and(&to, "app")];
    sandbox.copy(nothing.iter().chain(&both)).run().fails(3).says("no wanted image");
    sandbox.copy(["sync", "--include", "("]).args(&both).run().fails(2);
    sandbox.copy(["sync", &from.image("none"), &both[1]]).run().fails(3).says("none");
    sandbox.copy(["sync", &from.image("app"), "nohost"]).run().fails(2).says("host");
}

#[test]
fn skopeos_forms_give_skopeos_names() {
    let (from, to) = (TestRegistry::start(), TestRegistry::start());
    let sandbox = Sandbox::new();
    pushed(&from, "team/app", &["1", "2"]);
    let source = host_and(&from, "team/app");
    let flags = ["sync", "--src", "docker", "--dest", "docker"];
    sandbox.copy(flags).args([&source, &host_and(&to, "below")]).run().success();
    assert_eq!(to.tags("below/app"), ["1", "2"]);
    sandbox.copy(flags).args([&source, &to.host()]).run().success();
    assert_eq!(to.tags("app"), ["1", "2"]);
    let one = format!("{source}:2");
    sandbox.copy(flags).arg("--scoped").args([&one, &host_and(&to, "s")]).run().success();
    let scoped = format!("s/{}/team/app", from.host().replace(':', "-"));
    assert_eq!(to.tags(&scoped), ["2"]);

    // To directories and back.
    let folder = sandbox.path("d").display().to_string();
    sandbox.copy(["sync", "--src", "docker", "--dest", "dir", &source, &folder]).run().success();
    assert!(sandbox.path("d/app:1/manifest.json").exists());
    sandbox
        .copy(["sync", "--src", "dir", "--dest", "docker", &folder, &host_and(&to, "back")])
        .run()
        .success();
    assert_eq!(to.tags("back/app"), ["1", "2"]);
    to.assert_whole("back/app");
    sandbox
        .copy(["sync", "--scoped", "--src", "docker", "--dest", "dir", &one])
        .arg(&folder)
        .run()
        .success();
    let scoped = sandbox.path("d").join(from.host()).join("team/app:2");
    assert!(scoped.join("manifest.json").exists(), "{}", scoped.display());
}

#[test]
fn skopeos_yaml() {
    let open = TestRegistry::start();
    let locked = TestRegistry::builder().token_auth("user", "secret").tls().start();
    let to = TestRegistry::start();
    let sandbox = Sandbox::new();
    let images = pushed(&open, "a/busy", &["1", "2", "3"]);
    pushed(&open, "all", &["x", "y"]);
    pushed(&open, "regex", &["1.1-alpine", "1.2-alpine", "1.2"]);
    pushed(&open, "versions", &["v0.9.0", "1.2.0", "1.9.3", "2.0.0", "latest"]);
    pushed(&locked, "secret", &["1"]);
    let digest = &images[2].root.digest;
    let yaml = format!(
        "{}:\n  images:\n    a/busy:\n      - '1'\n      - {digest}\n    all: []\n  \
         images-by-tag-regex:\n    regex: ^1\\.2-alpine$\n  images-by-semver:\n    \
         versions: '>= 1.0, < 2'\n{}:\n  tls-verify: false\n  credentials:\n    \
         username: user\n    password: secret\n  images:\n    secret: ['1']\n",
        open.host(),
        locked.host()
    );
    let file = sandbox.write("sync.yaml", yaml);
    let sync = |to: &str| {
        sandbox.copy(["sync", "--src", "yaml", "--dest", "docker"]).arg(&file).arg(to).run()
    };
    sync(&host_and(&to, "m")).success().hides("secret\"");
    assert_eq!(to.repositories(), ["m/all", "m/busy", "m/regex", "m/secret", "m/versions"]);
    assert_eq!(to.tags("m/busy"), ["1"]);
    assert!(to.manifest("m/busy", digest).is_some());
    assert_eq!(to.tags("m/all"), ["x", "y"]);
    assert_eq!(to.tags("m/regex"), ["1.2-alpine"]);
    assert_eq!(to.tags("m/versions"), ["1.2.0", "1.9.3"]);
    assert_eq!(to.tags("m/secret"), ["1"]);

    let broken = sandbox.write("broken.yaml", "a: [");
    sandbox.copy(["sync", "--src", "yaml"]).arg(broken).arg(to.host()).run().fails(2).says("YAML");
    let unknown = sandbox.write("unknown.yaml", "h.example:\n  imagess: {}\n");
    sandbox
        .copy(["sync", "--src", "yaml"])
        .arg(unknown)
        .arg(to.host())
        .run()
        .fails(2)
        .says("unknown.yaml")
        .says("imagess");
}

#[test]
fn a_list_of_lines() {
    let (from, to) = (TestRegistry::start(), TestRegistry::start());
    let sandbox = Sandbox::new();
    pushed(&from, "app", &["1", "2"]);
    pushed(&from, "other", &["1"]);
    let text = format!(
        "# what we mirror\n{}\n\n{} {}\n{}\n",
        host_and(&from, "app:1"),
        from.image("other:1"),
        to.image("elsewhere/renamed:9"),
        host_and(&from, "app:1"),
    );
    let file = sandbox.write("list", text);
    sandbox.copy(["sync", "--src", "list"]).arg(&file).arg(host_and(&to, "m")).run().success();
    assert_eq!(to.repositories(), ["elsewhere/renamed", "m/app"]);
    assert_eq!(to.tags("m/app"), ["1"]);
    assert_eq!(to.tags("elsewhere/renamed"), ["9"]);
    sandbox
        .copy(["sync", "--src", "list", "/nonexistent/list"])
        .arg(to.host())
        .run()
        .fails(3)
        .says("/nonexistent/list");
}

#[test]
fn one_layout_takes_many_tags() {
    let (from, to) = (TestRegistry::start(), TestRegistry::start());
    let sandbox = Sandbox::new();
    let images = pushed(&from, "app", &["1", "2", "3"]);
    let layout = format!("oci:{}", sandbox.path("l").display());
    sandbox.copy(["sync", &from.image("app"), &layout]).run().success();
    let index: Value =
        serde_json::from_slice(&fs::read(sandbox.path("l/index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 3, "{index}");
    let names: Vec<_> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["annotations"]["org.opencontainers.image.ref.name"].clone())
        .collect();
    let mut names: Vec<_> = names.iter().map(|name| name.as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["1", "2", "3"]);
    for (built, name) in images.iter().zip(names) {
        let output = sandbox.copy([format!("{layout}:{name}"), to.image("back:1")]).run();
        assert_eq!(output.success().stdout.trim(), built.root.digest);
    }
    to.assert_whole("back");
    let base = &images[0].image().layers[0].descriptor.digest;
    let reads = from.requests().iter().filter(|r| r.path_and_query.contains(base.as_str())).count();
    assert_eq!(reads, 1, "{}", from.log_text());
    // Nothing unfinished beside it.
    assert_eq!(fs::read_dir(sandbox.path("l")).unwrap().count(), 3);
    // However the directory is written.
    sandbox.copy(["sync", &from.image("app"), "oci:l"]).run().success();
    sandbox.copy(["digest", "oci:l:3"]).run().success();
}

#[test]
fn one_failure_stops_nobody_and_counts() {
    let (from, to) = (TestRegistry::start(), TestRegistry::start());
    let sandbox = Sandbox::new();
    let images = pushed(&from, "app", &["1", "2", "3", "4"]);
    from.delete("app", &images[1].image().layers[1].descriptor.digest);
    from.inject(
        always("GET", Kind::Blob).path(&images[2].image().config.digest),
        Fault::FlipByte(3),
    );
    let sync = || sandbox.copy(["sync", &from.image("app"), &host_and(&to, "app")]);
    // Not one cause, so the common code.
    let output = sync().run().fails(1).says("2 of 4 images failed");
    assert_eq!(to.tags("app"), ["1", "4"]);
    assert_eq!(output.stdout.matches("FAILED").count(), 2, "{}", output.stdout);
    assert_eq!(output.stdout.matches("\nok").count(), 2, "{}", output.stdout);
    to.assert_whole("app");
    from.clear_faults();
    let rows = sync().arg("--json").run().fails(3).json();
    let outcomes = rows.as_array().unwrap();
    assert_eq!(outcomes.len(), 4);
    let failed: Vec<_> = outcomes.iter().filter(|row| row["error"].is_string()).collect();
    assert_eq!(failed.len(), 1);
    assert!(failed[0]["source"].as_str().unwrap().ends_with("app:2"));
    assert_eq!(to.tags("app"), ["1", "3", "4"]);

    // A repository that cannot even be listed hides no other, and counts; in a dry run too.
    let yaml = format!("{}:\n  images:\n    app: ['1']\n    none: []\n", from.host());
    let file = sandbox.write("sync.yaml", yaml);
    for flags in [&[][..], &["--dry-run"]] {
        let output = sandbox
            .copy(["sync", "--src", "yaml"])
            .args(flags)
            .arg(&file)
            .arg(host_and(&to, "m"))
            .run()
            .fails(3);
        assert!(output.stdout.contains("app:1"), "{output}");
        assert!(output.stdout.contains("none"), "{flags:?} {output}");
    }
    assert_eq!(to.tags("m/app"), ["1"]);
}

#[test]
fn a_dry_run_only_looks() {
    let (from, to) = (TestRegistry::start(), TestRegistry::start());
    let sandbox = Sandbox::new();
    pushed(&from, "app", &["1", "2"]);
    let both = [from.image("app"), host_and(&to, "app")];
    let rows = sandbox.copy(["sync", "--dry-run", "--json"]).args(&both).run().success().json();
    assert_eq!(rows.as_array().unwrap().len(), 2);
    assert_eq!(rows[0]["plan"]["unchanged"], false);
    assert!(to.repositories().is_empty());
    assert!(to.requests().iter().all(|r| r.method == "HEAD" || r.method == "GET"));
    assert_eq!(from.count("GET", Kind::Blob), 0);
    sandbox.copy(["sync", &both[0], &both[1]]).run().success();
    let output = sandbox.copy(["sync", "--dry-run"]).args(&both).run().success();
    assert_eq!(output.stdout.matches("unchanged").count(), 2, "{}", output.stdout);
}

#[test]
fn no_clobber_and_platforms() {
    let (from, to) = (TestRegistry::start(), TestRegistry::start());
    let sandbox = Sandbox::new();
    let old = small("linux/amd64").build();
    old.push(&to, "app", "1");
    pushed(&from, "app", &["1", "2"]);
    three_platforms().build().push(&from, "app", "many");
    let both = [from.image("app"), host_and(&to, "app")];
    sandbox.copy(["sync", "-n", "--include", "."]).args(&both).run().success();
    assert_eq!(to.tags("app"), ["1", "2", "many"]);
    assert_eq!(to.manifest("app", "1").unwrap().digest, old.root.digest);
    sandbox
        .copy(["sync", "--include", "many", "--platform", "linux/arm64", "--append-suffix", "-arm"])
        .args(&both)
        .run()
        .success();
    let index = to.manifest("app", "many-arm").unwrap().json();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 1);
}

#[test]
fn a_registry_that_asks_for_patience_gets_it() {
    let (from, to) = (TestRegistry::start(), TestRegistry::start());
    let sandbox = Sandbox::new();
    pushed(&from, "app", &["1", "2", "3", "4", "5", "6"]);
    let wait = || Fault::error(429, "TOOMANYREQUESTS", "slow down").header("Retry-After", "1");
    let pulls = from.inject(always("GET", Kind::Manifest).after(1).times(3), wait());
    let pushes = to.inject(always("POST", Kind::Upload).after(2).times(4), wait());
    sandbox.copy(["sync", &from.image("app"), &host_and(&to, "app")]).run().success();
    assert_eq!((pulls.fired(), pushes.fired()), (3, 4));
    assert_eq!(to.tags("app").len(), 6);
    to.assert_whole("app");
    // Nothing was asked for again before the second was over.
    let all = from.requests();
    for (number, refused) in all.iter().enumerate().filter(|(_, r)| r.status == 429) {
        let mut later = all[number + 1..].iter();
        let again = later.find(|r| r.path_and_query == refused.path_and_query);
        let waited = again.expect("it was asked again").at - refused.at;
        assert!(waited.as_millis() >= 900, "{waited:?}");
    }
}
