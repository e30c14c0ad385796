//! Both ways with other programs: what they write we read, what we write they read.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::image::{Built, image, index, layer, small, three_platforms};
use crate::support::peers::{need, podman, skopeo, umoci};
use crate::support::program::Sandbox;
use crate::support::registry::TestRegistry;
use crate::support::server::{DockerRegistry, Dockerd};

/// An image that every program takes: Docker's format, all fields, several layers.
fn docker_image() -> Built {
    image()
        .docker()
        .rich()
        .platform(host())
        .layer(layer().dir("etc").file("etc/motd", "hi\n"))
        .layer(layer().noise("data", 200_000, 1))
        .build()
}

fn oci_image() -> Built {
    image()
        .rich()
        .platform(host())
        .annotation("org.example.a", "b")
        .layer(layer().dir("etc").file("etc/motd", "hi\n"))
        .layer(layer().noise("data", 200_000, 1))
        .build()
}

/// This machine's platform, so that nobody chooses another.
fn host() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "linux/arm64",
        _ => "linux/amd64",
    }
}

/// The digest that a program of ours gives for a place.
fn digest(sandbox: &Sandbox, place: &str) -> String {
    sandbox.copy(["digest", place]).run().success().stdout.trim().to_owned()
}

/// The config's digest of what lies in a `dir:`.
fn config_in(folder: &Path) -> String {
    let manifest = fs::read(folder.join("manifest.json")).expect("a manifest");
    let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
    manifest["config"]["digest"].as_str().expect("a config").to_owned()
}

/// A pull and a push through each kind of door of the real registry.
fn through(registry: &DockerRegistry, source_flags: &[String], push_flags: &[String]) {
    let sandbox = Sandbox::new();
    let built = index()
        .image(image().layer(layer().noise("a", 150_000, 1)))
        .image(small("linux/arm64").docker())
        .attestations()
        .build();
    built.write_layout(&sandbox.work("l"), Some("1"));
    let (one, two) = (registry.image("team/app:1"), registry.image("other/app:2"));
    let pushed = sandbox.copy(push_flags).args(["oci:l:1", &one]).run().success();
    assert_eq!(pushed.stdout.trim(), built.root.digest);
    let both = || source_flags.iter().chain(push_flags);
    sandbox.copy(both()).args([&one, &two]).run().success();
    let uploads = |r: &&crate::support::server::Access| {
        r.method == "PUT" && r.path_and_query.contains("/other/app/blobs/")
    };
    assert_eq!(registry.requests().iter().filter(uploads).count(), 0, "blobs are mounted");
    let pulled = sandbox.copy(source_flags).args([&two, "oci:back:1"]).run().success();
    assert_eq!(pulled.stdout.trim(), built.root.digest);
    sandbox.copy(source_flags).args([&two, "store:app:1"]).run().success();
    // Nothing to do the second time.
    let before = registry.requests().len();
    sandbox.copy(push_flags).args(["oci:l:1", &one]).run().success();
    assert_eq!(registry.requests().len() - before, 1 + usize::from(asks(registry)));
    sandbox.copy(source_flags).args([&registry.image("team/app:9"), "oci:x:1"]).run().fails(3);
}

/// Whether the registry answers the first request with 401.
fn asks(registry: &DockerRegistry) -> bool {
    registry.requests().iter().any(|r| r.status == 401)
}

#[test]
fn docker_registry() {
    need!("docker-registry");
    through(&DockerRegistry::start(), &[], &[]);
}

#[test]
fn docker_registry_with_a_password() {
    need!("docker-registry", "htpasswd");
    let registry = DockerRegistry::builder().htpasswd("user", "secret").start();
    let creds = |side: &str| vec![format!("--{side}-creds=user:secret")];
    through(&registry, &creds("src"), &creds("dest"));
    let sandbox = Sandbox::new();
    let name = registry.image("team/app:1");
    sandbox.copy(["digest", &name]).run().fails(4).says("login");
    sandbox.copy(["digest", "--creds", "user:wr0ng", &name]).run().fails(4).hides("wr0ng");
    // Logged in once, for all verbs; and logged out again.
    let login = ["login", "--username", "user", "--password-stdin", &registry.host()];
    sandbox.copy(login).input("secret\n").run().success().hides("secret");
    sandbox.copy(["digest", &name]).run().success();
    assert_eq!(sandbox.copy(["tags", &registry.image("team/app")]).run().success().stdout, "1\n");
    sandbox.copy(login).input("wr0ng").run().fails(4).hides("wr0ng");
    sandbox.copy(["logout", &registry.host()]).run().success();
    sandbox.copy(["digest", &name]).run().fails(4);
}

#[test]
fn docker_registry_with_tls() {
    need!("docker-registry");
    let registry = DockerRegistry::builder().tls().start();
    let sandbox = Sandbox::new();
    let certs = sandbox.path("certs");
    sandbox.write("certs/ca.crt", fs::read(registry.ca_path()).unwrap());
    let flag = |side: &str| vec![format!("--{side}-cert-dir={}", certs.display())];
    through(&registry, &flag("src"), &flag("dest"));
    let sure = |side: &str| vec![format!("--{side}-tls-verify=false")];
    let registry = DockerRegistry::builder().tls().start();
    through(&registry, &sure("src"), &sure("dest"));
}

#[test]
fn docker_registry_tags_and_deletes() {
    need!("docker-registry");
    let registry = DockerRegistry::start();
    let sandbox = Sandbox::new();
    let (built, other) = (docker_image(), small("linux/amd64").build());
    for (tag, built) in [("1", &built), ("2", &built), ("3", &other)] {
        built.push_http(&registry.url(), "app", tag, |request| request);
    }
    let name = |tag: &str| registry.image(&format!("app:{tag}"));
    sandbox.copy(["tag", &name("1"), "10"]).run().success();
    let tags = || sandbox.copy(["tags", &registry.image("app")]).run().success().stdout;
    assert_eq!(tags(), "1\n10\n2\n3\n");
    // It cannot delete a tag alone.
    sandbox.copy(["delete", &name("1")]).run().fails(1).says("10, 2").says("--all-tags");
    sandbox.copy(["delete", &name("3")]).run().success();
    assert_eq!(tags(), "1\n10\n2\n");
    sandbox.copy(["delete", "--all-tags", &name("2")]).run().success();
    sandbox.copy(["digest", &name("1")]).run().fails(3);
    let refusing = DockerRegistry::builder().no_delete().start();
    built.push_http(&refusing.url(), "app", "1", |request| request);
    sandbox.copy(["delete", &refusing.image("app:1")]).run().fails(1).says("delet");
    sandbox.copy(["digest", &refusing.image("app:1")]).run().success();
}

#[test]
fn skopeo_pushes_and_we_pull_and_back() {
    need!("skopeo", "docker-registry");
    let registry = DockerRegistry::start();
    let sandbox = Sandbox::new();
    for (number, built) in [docker_image(), oci_image()].iter().enumerate() {
        // Its own reader of layouts passes Docker's manifests over.
        built.write_layout(&sandbox.work("l"), Some("1"));
        let source = format!("dir:{}", sandbox.work(&format!("s{number}")).display());
        sandbox.copy(["oci:l:1", &source]).run().success();
        fs::remove_dir_all(sandbox.work("l")).unwrap();
        let theirs = registry.image(&format!("theirs:{number}"));
        skopeo(&sandbox, ["copy", "--preserve-digests", &source, &theirs]).run().success();
        let ours = registry.image(&format!("ours:{number}"));
        sandbox.copy([&theirs, &ours]).run().success();
        let raw = skopeo(&sandbox, ["inspect", "--raw", &ours]).run().success().stdout;
        assert_eq!(raw.as_bytes(), built.root_bytes());
        let place = format!("dir:{}", sandbox.path(&format!("d{number}")).display());
        skopeo(&sandbox, ["copy", &ours, &place]).run().success();
    }
}

#[test]
fn directories_of_skopeo() {
    need!("skopeo");
    let sandbox = Sandbox::new();
    let many = three_platforms().attestations().build();
    for (name, built) in [("docker", &docker_image()), ("oci", &oci_image()), ("many", &many)] {
        built.write_layout(&sandbox.work("l"), Some(name));
        let layout = format!("oci:{}:{name}", sandbox.work("l").display());
        let place = |who: &str| format!("dir:{}", sandbox.path(&format!("{who}-{name}")).display());
        sandbox.copy([&layout, &place("ours")]).run().success();
        skopeo(&sandbox, ["copy", "--all", "--preserve-digests", &place("ours"), &place("theirs")])
            .run()
            .success();
        assert_eq!(digest(&sandbox, &place("theirs")), built.root.digest, "{name}");
        sandbox.copy([&place("theirs"), &format!("oci:back:{name}")]).run().success();
        // File for file the same.
        let files = |who: &str| {
            let folder = sandbox.path(&format!("{who}-{name}"));
            let mut names: Vec<_> = fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        assert_eq!(files("ours"), files("theirs"), "{name}");
    }
}

#[test]
fn layouts_of_umoci() {
    need!("umoci");
    let sandbox = Sandbox::new();
    let built = oci_image();
    let registry = TestRegistry::start();
    built.push(&registry, "app", "1");
    sandbox.copy([&registry.image("app:1"), "oci:ours:1"]).run().success();
    sandbox.copy([&registry.image("app:1"), "oci:ours:2"]).run().success();
    let listed = umoci(&sandbox, ["ls", "--layout", "ours"]).run().success().stdout;
    assert_eq!(listed, "1\n2\n");
    umoci(&sandbox, ["unpack", "--rootless", "--image", "ours:1", "bundle"]).run().success();
    assert_eq!(fs::read_to_string(sandbox.work("bundle/rootfs/etc/motd")).unwrap(), "hi\n");
    // It changes the image; we read what it wrote, and gc what it left.
    umoci(&sandbox, ["config", "--image", "ours:1", "--tag", "3", "--config.user", "7"])
        .run()
        .success();
    umoci(&sandbox, ["rm", "--image", "ours:2"]).run().success();
    let changed = registry.image("changed:1");
    sandbox.copy(["oci:ours:3", &changed]).run().success();
    registry.assert_whole("changed");
    let manifest = registry.manifest("changed", "1").unwrap().json();
    let config = registry.blob("changed", manifest["config"]["digest"].as_str().unwrap()).unwrap();
    let config: Value = serde_json::from_slice(&config.bytes()).unwrap();
    assert_eq!(config["config"]["User"], "7");
    sandbox.copy(["gc", "oci:ours"]).run().success();
    umoci(&sandbox, ["gc", "--layout", "ours"]).run().success();
    // One of its own making, from nothing.
    umoci(&sandbox, ["init", "--layout", "theirs"]).run().success();
    umoci(&sandbox, ["new", "--image", "theirs:empty"]).run().success();
    fs::write(sandbox.work("file"), "x").unwrap();
    umoci(&sandbox, ["insert", "--rootless", "--image", "theirs:empty", "file", "/file"])
        .run()
        .success();
    sandbox.copy(["oci:theirs:empty", &registry.image("theirs:1")]).run().success();
    registry.assert_whole("theirs");
    // And both in one layout.
    sandbox.copy([&registry.image("app:1"), "oci:theirs:ours"]).run().success();
    let listed = umoci(&sandbox, ["ls", "--layout", "theirs"]).run().success().stdout;
    assert_eq!(listed, "empty\nours\n");
    umoci(&sandbox, ["unpack", "--rootless", "--image", "theirs:ours", "again"]).run().success();
}

#[test]
fn archives_of_layouts() {
    need!("skopeo");
    let sandbox = Sandbox::new();
    let built = oci_image();
    built.write_layout(&sandbox.work("l"), Some("1"));
    let work = sandbox.work("").display().to_string();
    sandbox.copy(["oci:l:1", "oci-archive:ours.tar:one"]).run().success();
    let theirs = format!("oci-archive:{work}/theirs.tar:two");
    skopeo(&sandbox, ["copy", "--preserve-digests"])
        .args([&format!("oci-archive:{work}/ours.tar:one"), &theirs])
        .run()
        .success();
    assert_eq!(digest(&sandbox, &theirs), built.root.digest);
    sandbox.copy([&theirs, "store:app"]).run().success();
    sandbox.copy(["oci-archive:theirs.tar", "oci:back:1"]).run().success();
    sandbox.copy(["oci-archive:theirs.tar:none", "oci:x:1"]).run().fails(3).says("two");
}

#[test]
fn archives_of_docker_and_skopeo() {
    need!("skopeo");
    let sandbox = Sandbox::new();
    let built = docker_image();
    let config = &built.image().config.digest;
    built.write_layout(&sandbox.work("l"), Some("1"));
    let work = sandbox.work("").display().to_string();
    sandbox
        .copy(["--additional-tag", "2", "oci:l:1", "docker-archive:ours.tar:example.com/app:1"])
        .run()
        .success();
    for tag in ["1", "2"] {
        let folder = sandbox.path(&format!("d{tag}"));
        skopeo(
            &sandbox,
            ["copy", &format!("docker-archive:{work}/ours.tar:example.com/app:{tag}")],
        )
        .arg(format!("dir:{}", folder.display()))
        .run()
        .success();
        assert_eq!(config_in(&folder), *config);
    }
    sandbox.copy(["oci:l:1", "dir:d"]).run().success();
    let source = format!("dir:{work}/d");
    let theirs = format!("docker-archive:{work}/theirs.tar:app:1");
    skopeo(&sandbox, ["copy", "--additional-tag", "app:2", &source, &theirs]).run().success();
    for tag in ["1", "2"] {
        let source = format!("docker-archive:{work}/theirs.tar:app:{tag}");
        let place = format!("dir:{work}/t{tag}");
        sandbox.copy([&source, &place]).run().success();
        assert_eq!(config_in(&sandbox.work(&format!("t{tag}"))), *config);
    }
    sandbox.copy(["docker-archive:theirs.tar:app:9", "store:x"]).run().fails(3).says("app:1");
}

#[test]
fn podman_loads_what_we_write_and_we_read_what_it_saves() {
    need!("podman", "root", "overlay");
    let sandbox = Sandbox::new();
    for (built, place) in [
        (docker_image(), "docker-archive:a.tar:example.com/app:1"),
        (oci_image(), "oci-archive:a.tar:example.com/app:1"),
    ] {
        let _ = fs::remove_file(sandbox.work("a.tar"));
        built.write_layout(&sandbox.work("l"), Some("1"));
        sandbox.copy(["oci:l:1", place]).run().success();
        let file = sandbox.work("a.tar");
        podman(&sandbox, ["load", "-q", "-i"]).arg(&file).run().success();
        let id = podman(&sandbox, ["image", "inspect", "--format", "{{.Id}}", "example.com/app:1"])
            .run()
            .success();
        let config = &built.image().config.digest;
        assert_eq!(format!("sha256:{}", id.stdout.trim()), *config);
        for kind in ["docker-archive", "oci-archive"] {
            let saved = sandbox.work(&format!("saved-{kind}.tar"));
            let _ = fs::remove_file(&saved);
            podman(&sandbox, ["save", "-q", "--format", kind, "-o"])
                .arg(&saved)
                .arg("example.com/app:1")
                .run()
                .success();
            let _ = fs::remove_dir_all(sandbox.work("d"));
            sandbox.copy([&format!("{kind}:{}", saved.display()), "dir:d"]).run().success();
            // For the others it writes the config anew, without what it does not know.
            if kind == "docker-archive" && place.starts_with(kind) {
                assert_eq!(config_in(&sandbox.work("d")), *config);
            }
        }
        podman(&sandbox, ["rmi", "example.com/app:1"]).run().success();
    }
}

#[test]
fn layouts_that_share_their_blobs() {
    let sandbox = Sandbox::new();
    let built = oci_image();
    built.write_layout(&sandbox.work("l"), Some("1"));
    let blobs = |folder: &str| fs::read_dir(sandbox.work(folder)).map_or(0, Iterator::count);
    sandbox.copy(["--dest-shared-blob-dir", "shared", "oci:l:1", "oci:ours:1"]).run().success();
    assert_eq!(blobs("shared/sha256"), 1 + built.blobs.len());
    assert_eq!(blobs("ours/blobs"), 0);
    // Without the directory the blobs are nowhere; with it skopeo finds them, and ours what it wrote.
    sandbox.copy(["oci:ours:1", "dir:none"]).run().fails(3);
    let place = |name: &str| format!("{}:1", sandbox.work(name).display());
    let shared = sandbox.work("shared").display().to_string();
    let theirs = [format!("oci:{}", place("ours")), format!("oci:{}", place("theirs"))];
    skopeo(&sandbox, ["copy", "--src-shared-blob-dir", &shared, "--dest-shared-blob-dir", &shared])
        .args(theirs)
        .run()
        .success();
    assert_eq!(blobs("shared/sha256"), 1 + built.blobs.len());
    sandbox.copy(["--src-shared-blob-dir", "shared", "oci:theirs:1", "dir:d"]).run().success();
    assert_eq!(config_in(&sandbox.work("d")), built.image().config.digest);
    // A second layout moves nothing.
    let again = sandbox
        .copy(["--json", "--dest-shared-blob-dir", "shared", "oci:l:1", "oci:second:1"])
        .run()
        .success()
        .json();
    assert_eq!(again["moved"]["blobs"], 0, "{again}");
}

/// All that a layer may hold and a store has to put together again.
fn odd_layers() -> Built {
    image()
        .rich()
        .platform(host())
        .layer(layer().dir("etc").file("etc/motd", "hi\n").noise("data", 200_000, 1))
        .layer(
            layer()
                .symlink("link", "etc/motd")
                .file("own", "own")
                .hardlink("hard", "own")
                .fifo("pipe")
                .whiteout("etc/motd"),
        )
        .layer(layer().file("empty", "").file(&format!("{}name", "long/".repeat(40)), "long"))
        .build()
}

#[test]
fn the_stores_of_podman_are_read_where_they_lie() {
    need!("podman", "root", "overlay");
    for driver in ["overlay", "vfs"] {
        let sandbox = Sandbox::new();
        let built = odd_layers();
        built.write_layout(&sandbox.work("l"), Some("1"));
        sandbox.copy(["oci:l:1", "oci-archive:a.tar:example.com/app:1"]).run().success();
        let (root, run) = (sandbox.path("peer/its"), sandbox.path("peer/run/its"));
        podman(&sandbox, [format!("--root={}", root.display())])
            .args([format!("--runroot={}", run.display()), format!("--storage-driver={driver}")])
            .args(["load", "-q", "-i"])
            .arg(sandbox.work("a.tar"))
            .run()
            .success();
        let name = format!("[{driver}@{}+{}]example.com/app:1", root.display(), run.display());
        let source = format!("containers-storage:{name}");
        sandbox.copy([&source, "dir:d"]).run().success();
        assert_eq!(config_in(&sandbox.work("d")), built.image().config.digest, "{driver}");
        for layer in &built.image().layers {
            let id = layer.diff_id.trim_start_matches("sha256:");
            assert!(sandbox.work(&format!("d/{id}")).is_file(), "{driver}: {}", layer.diff_id);
        }
        // Compressed on its way, and whole at its end.
        let to = TestRegistry::start();
        sandbox.copy(["--compression", "zstd", &source, &to.image("app:1")]).run().success();
        to.assert_whole("app");
        let wrong = source.replace("app:1", "app:2");
        sandbox.copy([&wrong, "dir:no"]).run().fails(3).says("no such image");
    }
}

#[test]
fn a_docker_engine_both_ways() {
    need!("dockerd", "docker", "root");
    let engine = Dockerd::start();
    let sandbox = Sandbox::new();
    let built = docker_image();
    let config = &built.image().config.digest;
    let registry = TestRegistry::start();
    built.push(&registry, "app", "1");
    index().image(small("linux/s390x")).child(built.clone()).build().push(&registry, "many", "1");
    let to = ["--dest-daemon-host", &engine.url()].map(String::from);
    let from = ["--src-daemon-host", &engine.url()].map(String::from);
    let id = |name: &str| {
        let args = ["image", "inspect", "--format", "{{.Id}}", name];
        engine.docker(&sandbox, args).run().success().stdout.trim().to_owned()
    };
    let one = registry.image("app:1");
    sandbox.copy(&to).args([&one, "docker-daemon:example.com/app:1"]).run().success();
    assert_eq!(id("example.com/app:1"), *config);
    // Of an index it takes this machine's image.
    sandbox.copy(&to).args([&registry.image("many:1"), "docker-daemon:many:1"]).run().success();
    assert_eq!(id("many:1"), *config);
    // DOCKER_HOST says it too.
    sandbox
        .copy(["docker-daemon:example.com/app:1", &registry.image("back:1")])
        .env("DOCKER_HOST", engine.url())
        .run()
        .success();
    registry.assert_whole("back");
    let manifest = registry.manifest("back", "1").unwrap().json();
    assert_eq!(manifest["config"]["digest"], *config);
    sandbox.copy(&from).args(["docker-daemon:many:1", "oci:l:1"]).run().success();
    sandbox.copy(&from).args(["docker-daemon:none:1", "oci:l:2"]).run().fails(3).says("none:1");
    sandbox.copy(&to).args(["oci:l:1", "docker-daemon:again:1"]).run().success();
    assert_eq!(id("again:1"), *config);

    // `docker load` of our archives, ours of `docker save`'s.
    engine.docker(&sandbox, ["rmi", "again:1"]).run().success();
    sandbox.copy([&one, "docker-archive:ours.tar:again:1"]).run().success();
    engine.docker(&sandbox, ["load", "-i", "ours.tar"]).run().success();
    assert_eq!(id("again:1"), *config);
    engine
        .docker(&sandbox, ["save", "-o", "theirs.tar", "again:1", "example.com/app:1"])
        .run()
        .success();
    for name in ["again:1", "example.com/app:1"] {
        let _ = fs::remove_dir_all(sandbox.work("d"));
        sandbox.copy([&format!("docker-archive:theirs.tar:{name}"), "dir:d"]).run().success();
        assert_eq!(config_in(&sandbox.work("d")), *config);
    }
    // And it pulls what we push.
    let target = format!("{}/pushed:1", registry.host());
    sandbox
        .copy(["docker-archive:theirs.tar:again:1", &format!("docker://{target}")])
        .run()
        .success();
    engine.docker(&sandbox, ["pull", &target]).run().success();
    assert_eq!(id(&target), *config);
    sandbox
        .copy(["docker-daemon:app:1", "oci:x:1"])
        .env("DOCKER_HOST", "unix:///nonexistent.sock")
        .run()
        .fails(5)
        .says("/nonexistent.sock");
}
