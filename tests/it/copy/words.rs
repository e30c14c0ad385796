//! What people write who know other programs: their verbs, their flags, paths where names belong.

use crate::support::image::{DockerSave, image, index, layer, small};
use crate::support::log::Kind;
use crate::support::program::Sandbox;
use crate::support::registry::{Fault, TestRegistry, always};

#[test]
fn a_verb_of_another_program_is_no_image() {
    let (registry, mirror) = (TestRegistry::start(), TestRegistry::start());
    let sandbox = Sandbox::new();
    let app = small("linux/amd64").build();
    app.push(&registry, "app", "1");
    sandbox.write_registries_conf(&format!(
        "[[registry]]\nlocation = \"docker.io\"\n[[registry.mirror]]\nlocation = \"{}\"\n",
        mirror.host()
    ));
    registry.clear_log();
    let to = format!("{}/app:1", registry.host());
    for (verb, program) in [
        ("inspect", "creel-inspect"),
        ("pull", "creel-copy IMAGE"),
        ("push", "store:NAME"),
        ("list", "creel-copy tags"),
        ("manifest", "creel-inspect --raw"),
        ("cat", "creel-inspect cat"),
        ("validate", "creel-inspect validate"),
        ("build", "creel-build"),
        ("run", "creel-run"),
        ("images", "creel-inspect images"),
        ("discover", "creel-inspect tree"),
        ("save", "docker-archive:"),
        ("standalone-verify", "nothing in Creel"),
    ] {
        let failed = sandbox.copy([verb, &to]).run().fails(2);
        failed.says(&format!("no verb {verb:?}")).says(program);
        assert!(registry.requests().is_empty() && mirror.requests().is_empty(), "{verb}");
    }
    sandbox.copy(["cp", &to, "oci:out:1"]).run().success();
}

#[test]
fn flags_of_skopeo() {
    let sandbox = Sandbox::new();
    small("linux/amd64").build().write_layout(&sandbox.work("layout"), Some("1"));
    let copy = |args: &[&str], to: &str| {
        let _ = std::fs::remove_dir_all(sandbox.work("out"));
        sandbox.copy(["copy"]).args(args).args(["oci:layout:1", to]).run()
    };
    for taken in [
        &["--dest-oci-accept-uncompressed-layers"][..],
        &["--dest-precompute-digests"],
        &["--remove-signatures"],
        &["--image-parallel-copies", "3"],
        &["--retry-times", "3", "--retry-delay", "1s"],
        &["--command-timeout", "1m30s"],
        &["--command-timeout=1.5h"],
        &["--src-tls-verify=false", "--dest-tls-verify=true"],
        &["--screds", "u:p", "--dcreds", "u:p"],
        &["--dest-compress-format", "zstd:chunked"],
        &["--multi-arch", "all"],
    ] {
        copy(taken, "oci:out:1").success().hides("warning");
    }
    for (warned, what) in [
        (&["--dest-compress"][..], "--dest-compress has no effect"),
        (&["--dest-decompress"], "--dest-decompress has no effect"),
        (&["--dest-compress-level", "3"], "without --compression"),
        (&["--dest-force-compress-format"], "without --compression"),
        (&["--registries.d", "/etc/x"], "--registries.d has no effect"),
        (&["--user-agent-prefix", "x"], "--user-agent-prefix has no effect"),
    ] {
        copy(warned, "oci:out:1").success().says(what);
    }
    for (refused, why) in [
        (&["--sign-by", "KEY"][..], "--sign-by: signing is not supported"),
        (&["--sign-by-sigstore", "f"], "--sign-by-sigstore: signing"),
        (&["--sign-by-sigstore-private-key", "f"], "signing is not supported"),
        (&["--sign-by-sq-fingerprint", "f"], "signing is not supported"),
        (&["--sign-passphrase-file", "f"], "signing is not supported"),
        (&["--sign-identity", "n"], "signing is not supported"),
        (&["--encryption-key", "jwe:k"], "encrypted images are not supported"),
        (&["--encrypt-layer", "-1"], "encrypted images are not supported"),
        (&["--decryption-key", "k"], "encrypted images are not supported"),
        (&["--format", "v2s1"], "schema 1"),
        (&["--require-signed"], "signatures cannot be verified yet"),
        (&["--tls-details", "f"], "--tls-details"),
    ] {
        copy(refused, "oci:out:1").fails(2).says(why);
        assert!(!sandbox.work("out").exists(), "{refused:?}");
    }
    copy(&["--dest-decompress"], "dir:plain").success().hides("warning");
    copy(&["--dest-compress"], "dir:packed").success().hides("warning");
    sandbox.copy(["--tls-verify=false", "copy", "oci:layout:1", "oci:last:1"]).run().success();
}

#[test]
fn names_in_archives_and_layouts() {
    let sandbox = Sandbox::new();
    let built = small("linux/amd64").build();
    let archive = sandbox.work("a.tar");
    built.write_docker_archive(&archive, DockerSave::Skopeo, &["x/one:1", "x/two:2"]);
    let tags = |place: &str| sandbox.copy(["tags", place]).run().success().stdout;
    assert_eq!(tags("docker-archive:a.tar"), "x/one:1\nx/two:2\n");
    sandbox.copy(["docker-archive:a.tar:x/one:1", "oci-archive:b.tar:v1"]).run().success();
    assert_eq!(tags("oci-archive:b.tar"), "v1\n");
    let json = sandbox.copy(["list-tags", "--json", "docker-archive:a.tar"]).run().success().json();
    assert_eq!(json["Tags"], serde_json::json!(["x/one:1", "x/two:2"]));
    sandbox.copy(["tags", "store:app"]).run().fails(2).says("not a repository");
    built.write_docker_archive(&archive, DockerSave::Classic, &[]);
    assert_eq!(tags("docker-archive:a.tar"), "@0\n");
}

#[test]
fn any_manifest_of_a_layout_by_its_digest() {
    let sandbox = Sandbox::new();
    let built = index().image(small("linux/amd64")).image(small("linux/arm64")).build();
    built.write_layout(&sandbox.work("layout"), Some("1"));
    let digests = built.manifests.iter().map(|(descriptor, _)| &descriptor.digest);
    for digest in digests {
        let place = format!("oci:layout@{digest}");
        let found = sandbox.copy(["digest", &place]).run().success();
        assert_eq!(found.stdout.trim(), digest);
        sandbox.copy([&place, "oci:out:1"]).run().success();
    }
    let named = format!("oci:layout:1@{}", built.root.digest);
    sandbox.copy(["digest", &named]).run().success();
    let absent = format!("oci:layout@sha256:{}", "0".repeat(64));
    sandbox.copy(["digest", &absent]).run().fails(3);
    sandbox.copy(["oci:layout:1", &absent]).run().fails(2).says("not written to");
}

#[test]
fn lists_of_tags_are_whole_or_fail() {
    let registry = TestRegistry::builder().tag_page(2).start();
    let sandbox = Sandbox::new();
    let app = small("linux/amd64").build();
    for tag in ["a", "b", "c", "d", "e"] {
        app.push(&registry, "app", tag);
    }
    let name = format!("{}/app", registry.host());
    let tags = || sandbox.copy(["tags", "--retry-times=0", &name]).run();
    assert_eq!(tags().success().stdout, "a\nb\nc\nd\ne\n");
    // A limit below our page size.
    for status in [400, 403, 405, 416, 422, 500, 501] {
        registry.clear_faults();
        registry.inject(always("GET", Kind::Tags).path("n=1000"), Fault::status(status));
        assert_eq!(tags().success().stdout, "a\nb\nc\nd\ne\n", "{status}");
    }
    // Links as servers behind proxies write them.
    for (from, to) in [
        ("</v2", "<http://inner.invalid:8081/v2"),
        ("</v2", "</api/docker/local/v2"),
        ("rel=\"next\"", "rel=next"),
        ("rel=\"next\"", "REL='Next'"),
        ("; rel=\"next\"", ""),
    ] {
        registry.clear_faults();
        let edit = move |reply: &mut crate::support::http::Reply| {
            for (name, value) in &mut reply.headers {
                if name.eq_ignore_ascii_case("link") {
                    *value = value.replace(from, to);
                }
            }
        };
        registry.inject(always("GET", Kind::Tags), Fault::edit(edit));
        assert_eq!(tags().success().stdout, "a\nb\nc\nd\ne\n", "{to}");
    }
    for broken in ["<ftp://x/v2/app/tags/list>; rel=next", "</login>; rel=next"] {
        registry.clear_faults();
        registry.inject(always("GET", Kind::Tags), Fault::set("Link", broken));
        let failed = tags().fails(1);
        assert_eq!(failed.stdout, "");
    }
    registry.clear_faults();
    registry.inject(always("GET", Kind::Tags).path("last="), Fault::status(500));
    assert_eq!(tags().fails(5).stdout, "");
    registry.clear_faults();
    registry.inject(always("GET", Kind::Tags), Fault::replace("{}"));
    tags().fails(1).says("not a list");
}

#[test]
fn one_broken_tag_does_not_hide_the_others() {
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new();
    let app = small("linux/amd64").build();
    app.push(&registry, "app", "1");
    app.push(&registry, "app", "3");
    registry.tag("app", "2", &format!("sha256:{}", "e".repeat(64)));
    let name = format!("{}/app", registry.host());
    let listed = sandbox.copy(["tags", "--long", &name]).run().fails(3);
    let lines: Vec<&str> = listed.stdout.lines().collect();
    assert!(lines[1].starts_with('1') && lines[1].contains("linux/amd64"), "{listed}");
    assert!(lines[2].starts_with('2') && lines[2].contains("(broken)"), "{listed}");
    assert!(lines[3].starts_with('3') && lines[3].contains("linux/amd64"), "{listed}");
    let json = sandbox.copy(["tags", "--long", "--json", &name]).run().fails(3).json();
    assert!(json["Tags"][1]["error"].is_string() && json["Tags"][0].get("error").is_none());
}

#[test]
fn a_failed_copy_leaves_no_layout() {
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new();
    image().layer(layer().noise("data", 100_000, 1)).build().push(&registry, "app", "1");
    registry.inject(always("GET", Kind::Blob), Fault::FlipByte(50));
    let source = registry.image("app:1");
    for to in
        ["oci:new/deep/layout:1", "dir:new/deep/dir", "oci-archive:a.tar", "docker-archive:b.tar"]
    {
        sandbox.copy([&source, to]).run().fails(6);
        let left: Vec<_> = std::fs::read_dir(sandbox.path("work")).unwrap().collect();
        assert!(left.is_empty(), "{to}: {left:?}");
    }
    // What was there before stays.
    std::fs::create_dir_all(sandbox.work("mine")).unwrap();
    sandbox.copy([&source, "oci:mine/layout:1"]).run().fails(6);
    assert!(sandbox.work("mine").is_dir() && !sandbox.work("mine/layout").exists());
}

#[test]
fn what_an_earlier_copy_left_is_told_apart() {
    let registry = TestRegistry::start();
    let sandbox = Sandbox::new();
    let built = image().layer(layer().noise("data", 20_000_000, 1)).build();
    built.push(&registry, "app", "1");
    let size = built.image().layers[0].descriptor.size;
    let config = built.image().config.size;
    registry.inject(
        always("GET", Kind::Blob).times(1).path(&built.image().layers[0].descriptor.digest),
        Fault::DropAfter(15_000_000),
    );
    let source = registry.image("app:1");
    sandbox.copy(["--retry-times=0", &source, "oci:out:1"]).run().fails(5);
    let report = sandbox.copy(["--json", &source, "oci:out:1"]).run().success().json();
    let moved = report["moved"]["bytes"].as_u64().unwrap();
    let resumed = report["resumed"]["bytes"].as_u64().unwrap();
    assert_eq!(moved + resumed, size + config);
    assert!(resumed > 10_000_000 && resumed <= 15_000_000, "{report}");
}
