//! Formats and compressions change when asked, and nothing else does.

use std::fs;
use std::io::Read;

use serde_json::{Value, json};

use crate::support::content::{Descriptor, encoded, noise, sha512};
use crate::support::image::{
    Built, DOCKER_CONFIG, DOCKER_LIST, DOCKER_MANIFEST, ImageBuilder, OCI_CONFIG, OCI_INDEX,
    OCI_MANIFEST, artifact, image, index, layer, schema1, small, three_platforms,
};
use crate::support::log::Kind;
use crate::support::peers::{need, skopeo};
use crate::support::program::Sandbox;
use crate::support::registry::TestRegistry;

const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

fn rich() -> ImageBuilder {
    image()
        .rich()
        .empty_history()
        .annotation("org.example.kept", "yes")
        .manifest_field("x-unknown", json!({"deep": [1, null]}))
        .layer(layer().file("etc/motd", "hi\n").annotation("of", "layer"))
        .layer(layer().noise("data", 50_000, 1))
}

/// The manifest without the words that a conversion changes.
fn without_types(manifest: &Value) -> Value {
    let mut manifest = manifest.clone();
    let object = manifest.as_object_mut().unwrap();
    object.remove("mediaType");
    object["config"].as_object_mut().unwrap().remove("mediaType");
    for layer in object["layers"].as_array_mut().unwrap() {
        layer.as_object_mut().unwrap().remove("mediaType");
    }
    manifest
}

fn layer_types(manifest: &Value) -> Vec<&str> {
    let layers = manifest["layers"].as_array().unwrap();
    layers.iter().map(|layer| layer["mediaType"].as_str().unwrap()).collect()
}

fn blob(registry: &TestRegistry, repository: &str, descriptor: &Value) -> Vec<u8> {
    let digest = descriptor["digest"].as_str().unwrap();
    registry.blob(repository, digest).unwrap_or_else(|| panic!("{digest}")).bytes().to_vec()
}

#[test]
fn images_change_their_words_and_lose_nothing() {
    let sandbox = Sandbox::new();
    let (from, to) = (TestRegistry::start(), TestRegistry::start());
    let docker = (DOCKER_MANIFEST, DOCKER_CONFIG, DOCKER_LAYER);
    let gzip = format!("{OCI_LAYER}+gzip");
    let oci = (OCI_MANIFEST, OCI_CONFIG, gzip.as_str());
    for (format, built, types) in
        [("docker", rich().build(), docker), ("oci", rich().docker().build(), oci)]
    {
        built.push(&from, "app", format);
        let source = from.image(&format!("app:{format}"));
        let target = to.image(&format!("app:{format}"));
        let output = sandbox.copy(["--format", format, &source, &target]).run().success();
        let manifest = to.manifest("app", format).unwrap();
        assert_eq!(manifest.media_type, types.0);
        let json = manifest.json();
        assert_eq!(
            (&json["mediaType"], &json["config"]["mediaType"]),
            (&types.0.into(), &types.1.into())
        );
        assert_eq!(layer_types(&json), [types.2, types.2]);
        assert_eq!(without_types(&json), without_types(&built.root_json()));
        assert_eq!(blob(&to, "app", &json["config"]), built.image().config_bytes);
        assert_eq!(output.stdout.trim(), manifest.digest);
        to.assert_whole("app");

        // Asked again there is nothing to do; asked for what it is already, its bytes stay.
        to.clear_log();
        let again = sandbox.copy(["--format", format, &source, &target]).run().success();
        assert_eq!(again.stdout, output.stdout);
        assert_eq!(
            to.count("POST", Kind::Upload) + to.count("PUT", Kind::Manifest),
            0,
            "{}",
            to.log_text()
        );
        let other = if format == "oci" { "docker" } else { "oci" };
        let same = to.image("same:1");
        let kept = sandbox.copy(["--format", other, &source, &same]).run().success();
        assert_eq!(kept.stdout.trim(), built.root.digest);
        // And back: the same image.
        let back = to.image("back:1");
        sandbox.copy(["--format", other, &target, &back]).run().success();
        let back = to.manifest("back", "1").unwrap().json();
        assert_eq!(back, built.root_json());
    }
}

#[test]
fn other_programs_take_what_was_converted() {
    need!("skopeo");
    let sandbox = Sandbox::new();
    let from = TestRegistry::start();
    rich().docker().build().push(&from, "app", "1");
    rich().build().push(&from, "app", "2");
    three_platforms().build().push(&from, "app", "3");
    for (tag, format) in [("1", "oci"), ("2", "docker"), ("3", "docker")] {
        let target = from.image(&format!("new:{tag}"));
        let source = from.image(&format!("app:{tag}"));
        let output = sandbox.copy(["--format", format, &source, &target]).run().success();
        let file = sandbox.path("digest");
        let place = format!("dir:{}", sandbox.path(&format!("d{tag}")).display());
        skopeo(&sandbox, ["copy", "--all", "--preserve-digests", "--digestfile"])
            .arg(&file)
            .args([&target, &place])
            .run()
            .success();
        assert_eq!(fs::read_to_string(&file).unwrap(), output.stdout.trim());
    }
}

#[test]
fn whole_indexes_change_their_words() {
    let sandbox = Sandbox::new();
    let (from, to) = (TestRegistry::start(), TestRegistry::start());
    three_platforms()
        .annotation("a", "b")
        .field("x-unknown", json!(7))
        .build()
        .push(&from, "app", "oci");
    index()
        .docker()
        .image(small("linux/amd64").docker())
        .image(small("linux/arm64").docker())
        .build()
        .push(&from, "app", "docker");
    for (tag, format, list, manifest) in [
        ("oci", "docker", DOCKER_LIST, DOCKER_MANIFEST),
        ("docker", "oci", OCI_INDEX, OCI_MANIFEST),
    ] {
        let source = from.image(&format!("app:{tag}"));
        sandbox
            .copy(["--format", format, &source, &to.image(&format!("app:{tag}"))])
            .run()
            .success();
        let found = to.manifest("app", tag).unwrap();
        assert_eq!(found.media_type, list);
        let (old, new) = (from.manifest("app", tag).unwrap().json(), found.json());
        let (old, new) = (old.as_object().unwrap(), new.as_object().unwrap());
        assert_eq!(old.keys().collect::<Vec<_>>(), new.keys().collect::<Vec<_>>());
        assert_eq!(old.get("annotations"), new.get("annotations"));
        for (old, new) in
            old["manifests"].as_array().unwrap().iter().zip(new["manifests"].as_array().unwrap())
        {
            assert_eq!(new["mediaType"], manifest);
            assert_eq!(old["platform"], new["platform"]);
            assert_ne!(old["digest"], new["digest"]);
        }
    }
    to.assert_whole("app");
}

#[test]
fn attestations_keep_their_form_and_follow_their_image() {
    let sandbox = Sandbox::new();
    let (from, to) = (TestRegistry::start(), TestRegistry::start());
    index().image(small("linux/amd64").docker()).attestations().build().push(&from, "app", "1");
    sandbox.copy(["--format", "oci", &from.image("app:1"), &to.image("app:1")]).run().success();
    let list = to.manifest("app", "1").unwrap().json();
    let (image, statement) = (&list["manifests"][0], &list["manifests"][1]);
    assert_eq!(image["mediaType"], OCI_MANIFEST);
    assert_eq!(statement["annotations"]["vnd.docker.reference.digest"], image["digest"]);
    to.assert_whole("app");
}

#[test]
fn nested_indexes() {
    let sandbox = Sandbox::new();
    let (from, to) = (TestRegistry::start(), TestRegistry::start());
    let inner = index().image(small("linux/arm64")).image(small("linux/s390x")).build();
    let built = index().image(small("linux/amd64")).child(inner).build();
    built.push(&from, "app", "1");
    let output = sandbox.copy([&from.image("app:1"), &to.image("app:1")]).run().success();
    assert_eq!(output.stdout.trim(), built.root.digest);
    sandbox.copy(["--format", "docker", &from.image("app:1"), &to.image("app:2")]).run().success();
    let list = to.manifest("app", "2").unwrap().json();
    assert_eq!(list["manifests"][1]["mediaType"], DOCKER_LIST);
    to.assert_whole("app");
}

/// What two configs have in common that matters to whoever runs them.
fn essence(config: &Value) -> Value {
    let parts = ["architecture", "os", "created", "rootfs", "history"];
    let mut essence: Value = parts.iter().map(|part| (*part, config[*part].clone())).collect();
    for part in ["Env", "Cmd", "Entrypoint", "WorkingDir", "User"] {
        let value = &config["config"][part];
        // Go writes what is empty in one of two ways.
        let empty = value.is_null() || *value == json!("");
        essence[part] = if empty { Value::Null } else { value.clone() };
    }
    essence
}

#[test]
fn schema1_becomes_what_skopeo_makes_of_it() {
    need!("skopeo");
    let sandbox = Sandbox::new();
    let (from, to) = (TestRegistry::start(), TestRegistry::start());
    let layers = [layer().file("a", "1"), layer().noise("b", 30_000, 1), layer().file("c", "3")];
    for signed in [true, false] {
        let built = schema1("old", "1", &layers, signed);
        built.push(&from, "old", "1");
        for (format, theirs, manifest_type) in
            [("docker", "v2s2", DOCKER_MANIFEST), ("oci", "oci", OCI_MANIFEST)]
        {
            let source = from.image("old:1");
            let (ours, judged) = (to.image("ours:1"), to.image("theirs:1"));
            let output =
                sandbox.copy(["--json", "--format", format, &source, &ours]).run().success();
            assert_eq!(output.json()["sourceDigest"], built.root.digest, "{output}");
            skopeo(&sandbox, ["copy", "--format", theirs, &source, &judged]).run().success();
            let ours = to.manifest("ours", "1").unwrap();
            let theirs = to.manifest("theirs", "1").unwrap();
            assert_eq!(
                (ours.media_type.as_str(), &ours.media_type),
                (manifest_type, &theirs.media_type)
            );
            assert_eq!(ours.json()["layers"], theirs.json()["layers"]);
            let config = |repository: &str, manifest: &Value| -> Value {
                serde_json::from_slice(&blob(&to, repository, &manifest["config"])).unwrap()
            };
            let (ours, theirs) = (config("ours", &ours.json()), config("theirs", &theirs.json()));
            assert_eq!(essence(&ours), essence(&theirs), "signed: {signed}, {format}");
            to.assert_whole("ours");
            to.delete("ours", "1");
        }
    }
    // Without a wish it becomes Docker's, of which it is the ancestor; it is not kept.
    sandbox.copy([&from.image("old:1"), &to.image("plain:1")]).run().success();
    assert_eq!(to.manifest("plain", "1").unwrap().media_type, DOCKER_MANIFEST);
    sandbox
        .copy(["--preserve-digests", &from.image("old:1"), &to.image("kept:1")])
        .run()
        .fails(1)
        .says("schema 1");
    assert!(to.tags("kept").is_empty());
}

/// An image with one layer of each compression.
fn mixed() -> Built {
    image()
        .rich()
        .layer(layer().noise("plain", 400_000, 1).file("text", "text ".repeat(40_000)).plain())
        .layer(layer().noise("gzip", 30_000, 2))
        .layer(layer().noise("zstd", 30_000, 3).zstd())
        .build()
}

/// The uncompressed bytes of a layer, by what its media type says.
fn unpacked(bytes: &[u8], media_type: &str) -> Vec<u8> {
    let mut out = Vec::new();
    match media_type.rsplit_once('+').map_or("", |(_, end)| end) {
        "gzip" => flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut out).unwrap(),
        "zstd" => zstd::Decoder::new(bytes).unwrap().read_to_end(&mut out).unwrap(),
        _ => bytes.to_vec().as_slice().read_to_end(&mut out).unwrap(),
    };
    out
}

#[test]
fn layers_are_compressed_as_asked() {
    let sandbox = Sandbox::new();
    let from = TestRegistry::start();
    let built = mixed();
    built.push(&from, "app", "1");
    let kind = |compression: &str| match compression {
        "" => OCI_LAYER.to_owned(),
        other => format!("{OCI_LAYER}+{other}"),
    };
    for (flags, expected) in [
        (&["--compression", "gzip"][..], ["gzip", "gzip", "zstd"]),
        (&["--compression", "zstd"], ["zstd", "gzip", "zstd"]),
        (&["--compression", "none"], ["", "", ""]),
        (&["--compression", "gzip:9", "--recompress"], ["gzip", "gzip", "gzip"]),
        (&["--compression", "zstd:1", "--recompress"], ["zstd", "zstd", "zstd"]),
        (
            &["--dest-compress-format", "zstd", "--dest-compress-level", "5"],
            ["zstd", "gzip", "zstd"],
        ),
    ] {
        let to = TestRegistry::start();
        sandbox.copy(flags).args([from.image("app:1"), to.image("app:1")]).run().success();
        let manifest = to.manifest("app", "1").unwrap().json();
        assert_eq!(layer_types(&manifest), expected.map(kind), "{flags:?}");
        assert_eq!(manifest["config"], built.root_json()["config"], "{flags:?}");
        let layers = manifest["layers"].as_array().unwrap();
        for (layer, old) in layers.iter().zip(&built.image().layers) {
            let bytes = blob(&to, "app", layer);
            let tar = unpacked(&bytes, layer["mediaType"].as_str().unwrap());
            assert_eq!(crate::support::content::sha256(&tar), old.diff_id, "{flags:?}");
            if layer["mediaType"] == old.descriptor.media_type.as_str() {
                assert_eq!(layer["digest"], old.descriptor.digest, "{flags:?} left it alone");
            }
            if layer["mediaType"] == kind("gzip") {
                let file = sandbox.write("layer.gz", &bytes);
                sandbox.command("gzip", ["-t"]).arg(file).run().success();
            }
        }
        to.assert_whole("app");
    }
    for (flags, why) in [("--compression=gzip:10", "1..9"), ("--compression=zstd:x", "level")] {
        sandbox.copy([flags, &from.image("app:1"), "oci:x:1"]).run().fails(2).says(why);
    }
    let alone = sandbox.copy(["--recompress", &from.image("app:1"), "oci:x:1"]).run().success();
    alone.says("compression options have no effect without --compression");
}

#[test]
fn other_programs_unpack_what_was_compressed() {
    need!("skopeo", "umoci");
    let sandbox = Sandbox::new();
    let built = mixed();
    built.write_layout(&sandbox.path("l"), Some("1"));
    let source = format!("oci:{}:1", sandbox.path("l").display());
    for compression in ["gzip", "zstd", "none"] {
        let layout = sandbox.path(compression);
        let target = format!("oci:{}:1", layout.display());
        sandbox
            .copy(["--compression", compression, "--recompress", &source, &target])
            .run()
            .success();
        let plain = sandbox.path(&format!("{compression}-plain"));
        let place = format!("dir:{}", plain.display());
        skopeo(&sandbox, ["copy", "--dest-decompress", &target, &place]).run().success();
        for layer in &built.image().layers {
            let file = plain.join(encoded(&layer.diff_id));
            assert!(file.exists(), "{compression}: {}", file.display());
        }
        if compression != "zstd" {
            let image = format!("{}:1", layout.display());
            crate::support::peers::umoci(&sandbox, ["unpack", "--rootless", "--image", &image])
                .arg(sandbox.path(&format!("{compression}-root")))
                .run()
                .success();
            let text = sandbox.path(&format!("{compression}-root/rootfs/text"));
            assert_eq!(fs::read_to_string(text).unwrap(), "text ".repeat(40_000));
        }
    }
}

#[test]
fn compressing_gives_the_same_bytes_every_time() {
    need!("taskset");
    let sandbox = Sandbox::new();
    let built = image()
        .layer(layer().noise("a", 3_000_000, 1).file("t", "text ".repeat(900_000)).plain())
        .build();
    built.write_layout(&sandbox.path("l"), Some("1"));
    let source = format!("oci:{}:1", sandbox.path("l").display());
    let program = crate::support::program::find_program("creel-copy");
    for compression in ["gzip", "zstd", "gzip:1", "zstd:9"] {
        let mut digests = Vec::new();
        for (number, cores) in ["0", "0,1", "0,1"].into_iter().enumerate() {
            let target = format!("oci:{}:x", sandbox.path("out").display());
            let _ = fs::remove_dir_all(sandbox.path("out"));
            // A store of its own, so that nothing is remembered.
            let root = sandbox.path(&format!("root-{compression}-{number}"));
            let output = sandbox
                .command("taskset", ["-c", cores])
                .arg(&program)
                .arg("--root")
                .arg(root)
                .args(["--compression", compression, &source, &target])
                .run();
            if output.code() != Some(0) && cores == "0,1" && output.stderr.contains("taskset") {
                // A machine with one core.
                continue;
            }
            digests.push(output.success().stdout);
        }
        digests.dedup();
        assert_eq!(digests.len(), 1, "{compression}: {digests:?}");
    }
}

#[test]
fn what_was_compressed_once_is_remembered() {
    let sandbox = Sandbox::new();
    let (from, to) = (TestRegistry::start(), TestRegistry::start());
    mixed().push(&from, "app", "1");
    let copy = |target: &str| {
        let args = ["--compression", "zstd", "--recompress", "--json"];
        let output = sandbox.copy(args).args([from.image("app:1"), to.image(target)]).run();
        output.success().json()
    };
    let first = copy("app:1");
    from.clear_log();
    to.clear_log();
    let again = copy("app:1");
    assert_eq!((&again["digest"], &again["unchanged"]), (&first["digest"], &true.into()));
    assert_eq!(to.count("POST", Kind::Upload), 0, "{}", to.log_text());
    assert_eq!(to.count("PUT", Kind::Manifest), 0, "{}", to.log_text());
    assert_eq!(from.count("GET", Kind::Blob), 0, "{}", from.log_text());
    // Under another name in the same repository: asked about, and not made again.
    from.clear_log();
    to.clear_log();
    assert_eq!(copy("app:2")["digest"], first["digest"]);
    assert_eq!(to.tags("app"), ["1", "2"]);
    let large = from.requests().iter().filter(|r| r.kind == Kind::Blob && r.sent > 100_000).count();
    assert_eq!(large, 0, "{}", from.log_text());
    to.delete("app", "2");
    // One of its layers is gone there: that one is made again, and nothing else.
    let lost = to.manifest("app", "1").unwrap().json()["layers"][0].clone();
    to.delete("app", lost["digest"].as_str().unwrap());
    small("linux/amd64").build().push(&to, "app", "1");
    copy("app:1");
    let large = from.requests().iter().filter(|r| r.kind == Kind::Blob && r.sent > 100_000).count();
    assert_eq!(large, 1, "{}", from.log_text());
    to.assert_whole("app");
}

#[test]
fn zstd_makes_a_docker_image_an_oci_image() {
    let sandbox = Sandbox::new();
    let (from, to) = (TestRegistry::start(), TestRegistry::start());
    let built = rich().docker().build();
    built.push(&from, "app", "1");
    let args = ["--compression", "zstd", "--recompress"];
    sandbox.copy(args).args([from.image("app:1"), to.image("app:1")]).run().success();
    let manifest = to.manifest("app", "1").unwrap();
    assert_eq!(manifest.media_type, OCI_MANIFEST);
    assert_eq!(
        layer_types(&manifest.json()),
        [format!("{OCI_LAYER}+zstd"), format!("{OCI_LAYER}+zstd")]
    );
    assert_eq!(manifest.json()["config"]["digest"], built.image().config.digest);
    sandbox
        .copy(args)
        .args(["--format", "docker", &from.image("app:1"), &to.image("app:2")])
        .run()
        .fails(1)
        .says("gzip");
    assert_eq!(to.tags("app"), ["1"]);
    // There is no word for zstd in Docker's format either.
    mixed().push(&from, "mixed", "1");
    sandbox
        .copy(["--format", "docker", &from.image("mixed:1"), &to.image("mixed:1")])
        .run()
        .fails(1)
        .says("compress it with gzip");
    sandbox
        .copy(["--format", "docker", "--compression", "gzip", "--recompress"])
        .args([from.image("mixed:1"), to.image("mixed:1")])
        .run()
        .success();
    assert_eq!(layer_types(&to.manifest("mixed", "1").unwrap().json()), [DOCKER_LAYER; 3]);
}

#[test]
fn preserve_digests_refuses_every_change() {
    let sandbox = Sandbox::new();
    let (from, to) = (TestRegistry::start(), TestRegistry::start());
    let built = mixed();
    built.push(&from, "app", "1");
    three_platforms().build().push(&from, "many", "1");
    let app = from.image("app:1");
    let many = from.image("many:1");
    let target = to.image("x:1");
    for args in [
        &["--format", "docker", "--compression", "gzip", "--recompress", &app][..],
        &["--compression", "none", &app],
        &["--platform", "linux/arm64", &many],
    ] {
        sandbox
            .copy(["--preserve-digests"])
            .args(args)
            .arg(&target)
            .run()
            .fails(2)
            .says("--preserve-digests");
        assert!(to.tags("x").is_empty());
    }
    for args in [&[app.as_str()][..], &["--format", "oci", &app], &["--all", &many]] {
        sandbox.copy(["--preserve-digests"]).args(args).arg(&target).run().success();
    }
}

#[test]
fn foreign_layers_stay_where_they_are() {
    let sandbox = Sandbox::new();
    let (from, to) = (TestRegistry::start(), TestRegistry::start());
    let built = image()
        .docker()
        .layer(layer().file("base", "of windows").foreign("https://example.invalid/base"))
        .layer(layer().file("own", "mine"))
        .build();
    built.push(&from, "app", "1");
    let foreign = &built.image().layers[0].descriptor.digest;
    for flags in [&[][..], &["--format", "oci"], &["--compression", "none"]] {
        to.delete("app", "1");
        sandbox.copy(flags).args([from.image("app:1"), to.image("app:1")]).run().success();
        let layers = to.manifest("app", "1").unwrap().json()["layers"].clone();
        assert_eq!(layers[0]["digest"], *foreign);
        assert_eq!(layers[0]["urls"], json!(["https://example.invalid/base"]));
        assert!(!to.has_blob("app", foreign));
        to.assert_whole("app");
    }
    assert!(from.requests().iter().all(|r| !r.path_and_query.contains(foreign.as_str())));
}

#[test]
fn encrypted_layers_are_copied_as_they_are() {
    let sandbox = Sandbox::new();
    let (from, to) = (TestRegistry::start(), TestRegistry::start());
    let diff_id = format!("sha256:{}", "5".repeat(64));
    let secret = layer()
        .raw(noise(1, 5000), &diff_id)
        .media_type("application/vnd.oci.image.layer.v1.tar+gzip+encrypted")
        .annotation("org.opencontainers.image.enc.keys.jwe", "key");
    let built = image().layer(layer().file("a", "b").plain()).layer(secret).build();
    built.push(&from, "app", "1");
    let source = from.image("app:1");
    let copied = sandbox.copy([&source, &to.image("same:1")]).run().success();
    assert_eq!(copied.stdout.trim(), built.root.digest);
    sandbox
        .copy(["--compression", "zstd", "--recompress", &source, &to.image("app:1")])
        .run()
        .success();
    let layers = to.manifest("app", "1").unwrap().json()["layers"].clone();
    assert_eq!(layers[0]["mediaType"], format!("{OCI_LAYER}+zstd"));
    assert_eq!(layers[1], built.root_json()["layers"][1]);
    sandbox
        .copy(["--format", "docker", &source, &to.image("app:2")])
        .run()
        .fails(1)
        .says("decrypt");
}

#[test]
fn artifacts_have_one_form() {
    let sandbox = Sandbox::new();
    let (from, to) = (TestRegistry::start(), TestRegistry::start());
    let built = artifact("application/x").layer("text/plain", "hello").build();
    built.push(&from, "app", "1");
    let source = from.image("app:1");
    sandbox
        .copy(["--format", "docker", &source, &to.image("app:1")])
        .run()
        .fails(1)
        .says("artifact");
    for flags in [&["--format", "oci"][..], &["--compression", "zstd", "--recompress"]] {
        let output = sandbox.copy(flags).args([&source, &to.image("app:2")]).run().success();
        assert_eq!(output.stdout.trim(), built.root.digest);
    }
}

#[test]
fn layouts_of_sha512() {
    let sandbox = Sandbox::new();
    let layout = sandbox.path("l");
    let blobs = layout.join("blobs/sha512");
    fs::create_dir_all(&blobs).unwrap();
    let add = |media_type: &str, bytes: &[u8]| {
        let digest = sha512(bytes);
        fs::write(blobs.join(encoded(&digest)), bytes).unwrap();
        Descriptor::new(media_type, &digest, bytes.len() as u64).json()
    };
    let built = image().layer(layer().file("a", "b")).build();
    let made = built.image();
    let config = add(OCI_CONFIG, &made.config_bytes);
    let content = add(&format!("{OCI_LAYER}+gzip"), &made.layers[0].content.bytes());
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [content],
    });
    let mut root = add(OCI_MANIFEST, manifest.to_string().as_bytes());
    root["annotations"] = json!({"org.opencontainers.image.ref.name": "1"});
    let list = json!({"schemaVersion": 2, "manifests": [root]});
    fs::write(layout.join("index.json"), list.to_string()).unwrap();
    fs::write(layout.join("oci-layout"), "{\"imageLayoutVersion\":\"1.0.0\"}").unwrap();

    let mut source = format!("oci:{}:1", layout.display());
    let digest = root["digest"].as_str().unwrap();
    for place in ["oci:DIR/l2:1", "oci-archive:DIR/a.tar:1", "store:app:1", "dir:DIR/d"] {
        let place = place.replace("DIR", &sandbox.path("").display().to_string());
        let output = sandbox.copy([&source, &place]).run().success();
        assert_eq!(output.stdout.trim(), digest, "{place}");
        source = place;
    }
    let to = TestRegistry::start();
    sandbox.copy([&source, &to.image("app:1")]).run().success();
    assert_eq!(to.manifest("app", "1").unwrap().json(), manifest);
    to.assert_whole("app");
    // One wrong byte is found here as well.
    let path = blobs.join(encoded(content["digest"].as_str().unwrap()));
    let mut bytes = fs::read(&path).unwrap();
    bytes[30] ^= 1;
    fs::write(&path, bytes).unwrap();
    let source = format!("oci:{}:1", layout.display());
    sandbox.copy([&source, "oci:x:1"]).run().fails(6).says("sha512");
}
