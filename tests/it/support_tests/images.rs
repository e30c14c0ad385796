//! What the image maker makes is valid: other programs read it and find the same digests.

use std::collections::BTreeMap;
use std::io::Read as _;

use serde_json::json;

use crate::support::content::{Content, Noise, noise, sha256};
use crate::support::image::{
    self, Built, Compression, DOCKER_LIST, DockerSave, OCI_INDEX, artifact, image, index, layer,
    schema1, small, three_platforms,
};
use crate::support::peers::{need, skopeo, umoci};
use crate::support::program::Sandbox;
use crate::support::registry::TestRegistry;

/// An image with every kind of layer.
fn varied(docker: bool) -> Built {
    let format = if docker { image::Format::Docker } else { image::Format::Oci };
    let zstd = if docker { Compression::Gzip } else { Compression::Zstd };
    image()
        .format(format)
        .rich()
        .empty_history()
        .layer(layer().dir("etc").file("etc/motd", "hello\n").mode(0o600).owner(1000, 1000))
        .layer(layer().file("a", "a").symlink("l", "a").hardlink("h", "a").fifo("p").plain())
        .layer(layer().whiteout("etc/motd").random(2 << 20, 7).compression(zstd))
        .build()
}

#[test]
fn same_calls_same_bytes() {
    assert_eq!(varied(false).root, varied(false).root);
    assert_ne!(varied(false).root.digest, varied(true).root.digest);
    let ids = |built: Built| -> Vec<String> {
        built.image().layers.iter().map(|layer| layer.diff_id.clone()).collect()
    };
    assert_eq!(ids(varied(false)), ids(varied(true)), "compression does not change the content");
    let make = |signed| schema1("a", "1", &[layer().file("a", "b")], signed).root.digest;
    assert_eq!(make(true), make(false));
}

#[test]
fn noise_depends_on_the_seed_alone() {
    let whole = noise(3, 1000);
    let mut parts = Vec::new();
    let mut stream = Noise::new(3, 1000);
    for size in [1, 7, 8, 13, 971] {
        let mut part = vec![0; size];
        stream.read_exact(&mut part).expect("noise");
        parts.extend(part);
    }
    assert_eq!(whole, parts);
    assert_ne!(noise(4, 1000), whole);
    assert!(zstd::encode_all(whole.as_slice(), 3).expect("zstd").len() >= 1000);
}

#[test]
fn entries_are_as_told() {
    let tar = layer()
        .dir("d")
        .file(&format!("d/{}", "n".repeat(200)), "long")
        .file("../escape", "raw")
        .mode(0o4755)
        .owner(3_000_000, 7)
        .mtime(5)
        .symlink("l", "/abs")
        .hardlink("h", "../../x")
        .char_device("null", 1, 3)
        .block_device("sda", 8, 0)
        .fifo("p")
        .whiteout("d/gone")
        .opaque("d")
        .file("x", "y")
        .xattr("user.k", "v")
        .tar();
    let mut archive = tar::Archive::new(tar.as_slice());
    let mut lines = Vec::new();
    for entry in archive.entries().expect("a tar") {
        let mut entry = entry.expect("an entry");
        let name = String::from_utf8_lossy(&entry.path_bytes()).replace(&"n".repeat(200), "N");
        let link = entry.link_name_bytes().map(|link| String::from_utf8_lossy(&link).into_owned());
        let mut pax: Vec<String> = Vec::new();
        for one in entry.pax_extensions().expect("pax").into_iter().flatten() {
            let one = one.expect("a record");
            if one.key_bytes().starts_with(b"SCHILY") {
                pax.push(format!(" {}={}", one.key().expect("utf-8"), one.value().expect("utf-8")));
            }
        }
        let header = entry.header();
        let kind = header.entry_type().as_byte() as char;
        let device = header.device_major().ok().flatten().zip(header.device_minor().ok().flatten());
        let device = device.filter(|_| matches!(kind, '3' | '4'));
        lines.push(format!(
            "{kind} {:o} {}:{} {} {name}{}{}{}",
            header.mode().expect("mode"),
            header.uid().expect("uid"),
            header.gid().expect("gid"),
            header.mtime().expect("mtime"),
            link.map_or(String::new(), |link| format!(" -> {link}")),
            device.map_or(String::new(), |(major, minor)| format!(" {major},{minor}")),
            pax.concat(),
        ));
    }
    assert_eq!(
        lines,
        [
            "5 755 0:0 1000000000 d/",
            "0 644 0:0 1000000000 d/N",
            "0 4755 3000000:7 5 ../escape",
            "2 777 0:0 1000000000 l -> /abs",
            "1 644 0:0 1000000000 h -> ../../x",
            "3 600 0:0 1000000000 null 1,3",
            "4 600 0:0 1000000000 sda 8,0",
            "6 644 0:0 1000000000 p",
            "0 644 0:0 1000000000 d/.wh.gone",
            "0 644 0:0 1000000000 d/.wh..wh..opq",
            "0 644 0:0 1000000000 x SCHILY.xattr.user.k=v",
        ]
    );
}

#[test]
fn diff_ids_are_of_the_uncompressed_tar() {
    for built in [varied(false), varied(true)] {
        let config = built.image().config_json();
        for (number, layer) in built.image().layers.iter().enumerate() {
            assert_eq!(layer.tar().digest_like("sha256:"), layer.diff_id);
            assert_eq!(config["rootfs"]["diff_ids"][number], layer.diff_id.as_str());
            assert_eq!(layer.content.digest_like("sha256:"), layer.descriptor.digest);
        }
        assert_eq!(config["history"].as_array().map(Vec::len), Some(6));
        for (digest, content) in &built.blobs {
            assert_eq!(content.digest_like(digest), *digest);
        }
    }
}

#[test]
fn odd_layers() {
    let built = image()
        .docker()
        .layer(layer().file("a", "b").foreign("http://127.0.0.1:1/x"))
        .layer(layer().raw("not a tar", &sha256("else")).media_type("x/y").annotation("k", "v"))
        .layer(layer().file("a", "b").trailing(vec![0; 10]))
        .build();
    let layers = built.root_json()["layers"].clone();
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    assert_eq!(layers[0]["mediaType"], foreign);
    assert_eq!(layers[0]["urls"], json!(["http://127.0.0.1:1/x"]));
    assert!(!built.blobs.contains_key(layers[0]["digest"].as_str().expect("a digest")));
    assert_eq!(layers[1]["digest"], sha256("not a tar").as_str());
    assert_eq!(
        (&layers[1]["mediaType"], &layers[1]["annotations"]),
        (&json!("x/y"), &json!({"k": "v"}))
    );
    assert_eq!(layers[2]["size"].as_u64(), layers[0]["size"].as_u64().map(|size| size + 10));
    assert_eq!(built.image().layers[0].diff_id, built.image().layers[2].diff_id);
    assert_eq!(built.image().config_json()["rootfs"]["diff_ids"][1], sha256("else").as_str());
}

#[test]
fn indexes() {
    let all = three_platforms().attestations().build();
    let json = all.root_json();
    let platforms: Vec<String> = json["manifests"]
        .as_array()
        .expect("children")
        .iter()
        .map(|child| child["platform"].to_string())
        .collect();
    assert_eq!(platforms[0], r#"{"architecture":"amd64","os":"linux"}"#);
    assert_eq!(platforms[2], r#"{"architecture":"arm","os":"linux","variant":"v7"}"#);
    assert_eq!(platforms[3..], vec![r#"{"architecture":"unknown","os":"unknown"}"#; 3]);
    let about = &json["manifests"][3]["annotations"];
    assert_eq!(about["vnd.docker.reference.type"], "attestation-manifest");
    assert_eq!(about["vnd.docker.reference.digest"], json["manifests"][0]["digest"]);
    assert_eq!((all.images.len(), all.manifests.len()), (3, 7));

    let nested = index().child(all.clone()).image(small("linux/s390x")).docker().build();
    assert_eq!((nested.images.len(), nested.manifests.len()), (4, 9));
    assert_eq!(nested.root.media_type, DOCKER_LIST);
    assert_eq!(nested.root_json()["manifests"][0]["mediaType"], OCI_INDEX);
    // Children before parents: a strict registry takes them in this order.
    let reg = TestRegistry::start();
    nested.push_http(&reg.url(), "nested", "1", |ask| ask);
    reg.assert_whole("nested");
    assert_eq!(reg.manifest("nested", "1").expect("pushed").bytes, *nested.root_bytes());
}

#[test]
fn skopeo_reads_registries() {
    need!("skopeo");
    let reg = TestRegistry::start();
    let sandbox = Sandbox::new();
    for (name, docker) in [("oci", false), ("docker", true)] {
        let built = varied(docker);
        built.push(&reg, name, "1");
        let out = skopeo(&sandbox, ["inspect", &reg.image(&format!("{name}:1"))]).run().success();
        assert_eq!(out.json()["Digest"], built.root.digest.as_str());
        let out =
            skopeo(&sandbox, ["inspect", "--config", "--raw", &reg.image(&format!("{name}:1"))]);
        assert_eq!(out.run().success().stdout.as_bytes(), built.image().config_bytes);
        let (from, to) = (reg.image(&format!("{name}:1")), reg.image(&format!("copy/{name}:2")));
        skopeo(&sandbox, ["copy", "--preserve-digests", &from, &to]).run().success();
        assert_eq!(
            reg.manifest(&format!("copy/{name}"), "2").expect("copied").digest,
            built.root.digest
        );
        reg.assert_whole(&format!("copy/{name}"));
    }
    for (name, built) in [
        ("list", three_platforms().docker().build()),
        ("index", three_platforms().attestations().build()),
    ] {
        built.push(&reg, name, "1");
        let (from, to) = (reg.image(&format!("{name}:1")), reg.image(&format!("copy/{name}:1")));
        skopeo(&sandbox, ["copy", "--all", &from, &to]).run().success();
        assert_eq!(
            reg.manifest(&format!("copy/{name}"), "1").expect("copied").digest,
            built.root.digest
        );
        reg.assert_whole(&format!("copy/{name}"));
    }
}

#[test]
fn skopeo_reads_schema1() {
    need!("skopeo");
    let reg = TestRegistry::start();
    let sandbox = Sandbox::new();
    for (tag, signed) in [("signed", true), ("plain", false)] {
        let old = schema1("old", tag, &[layer().file("a", "b"), layer().file("c", "d")], signed);
        old.push(&reg, "old", tag);
        let image = reg.image(&format!("old:{tag}"));
        let out = skopeo(&sandbox, ["inspect", &image]).run().success();
        assert_eq!(out.json()["Digest"], old.root.digest.as_str());
        skopeo(&sandbox, ["copy", "--format=v2s2", &image, &format!("dir:{tag}")]).run().success();
        let made =
            std::fs::read(sandbox.work(&format!("{tag}/manifest.json"))).expect("a manifest");
        let made: serde_json::Value = serde_json::from_slice(&made).expect("JSON");
        assert_eq!(made["layers"].as_array().map(Vec::len), Some(2));
    }
}

#[test]
fn skopeo_and_umoci_read_layouts() {
    need!("skopeo", "umoci");
    let sandbox = Sandbox::new();
    let built = varied(false);
    built.write_layout(&sandbox.work("layout"), Some("1"));
    small("linux/arm64").build().write_layout(&sandbox.work("layout"), Some("2"));
    built.write_oci_archive(&sandbox.work("archive.tar"), Some("1"));
    for place in ["oci:layout:1", "oci-archive:archive.tar:1"] {
        let out = skopeo(&sandbox, ["inspect", place]).run().success();
        assert_eq!(out.json()["Digest"], built.root.digest.as_str(), "{place}");
        skopeo(&sandbox, ["copy", place, &format!("oci:copy-{}", &place[..3])]).run().success();
    }
    let out = umoci(&sandbox, ["ls", "--layout", "layout"]).run().success();
    assert_eq!(out.stdout, "1\n2\n");
    let out = umoci(&sandbox, ["stat", "--image", "layout:2", "--json"]).run().success();
    assert_eq!(out.json()["history"][0]["layer"]["digest"].as_str().map(str::len), Some(71));
}

#[test]
fn skopeo_reads_docker_archives() {
    need!("skopeo");
    let sandbox = Sandbox::new();
    // The same layer twice: classic archives link the second one.
    let same = layer().file("a", "b");
    let built =
        image().docker().layer(same.clone()).layer(layer().file("c", "d")).layer(same).build();
    for style in
        [DockerSave::Classic, DockerSave::Skopeo, DockerSave::Docker25, DockerSave::Compressed]
    {
        let file = sandbox.work("app.tar");
        built.write_docker_archive(&file, style, &["example.com/app:1", "example.com/app:2"]);
        let place = "docker-archive:app.tar:example.com/app:1";
        let out = skopeo(&sandbox, ["inspect", "--config", "--raw", place]).run().success();
        assert_eq!(out.stdout.as_bytes(), built.image().config_bytes, "{style:?}");
        let folder = format!("dir:{style:?}");
        skopeo(&sandbox, ["copy", place, &folder]).run().success();
        let made = std::fs::read(sandbox.work(&format!("{style:?}/manifest.json")));
        let made: serde_json::Value =
            serde_json::from_slice(&made.expect("a manifest")).expect("JSON");
        assert_eq!(made["layers"].as_array().map(Vec::len), Some(3), "{style:?}");
    }
}

#[test]
fn the_four_docker_archives() {
    let sandbox = Sandbox::new();
    let same = layer().file("a", "b");
    let built = image().docker().layer(same.clone()).layer(same).build();
    let list = |style| {
        let file = sandbox.work("app.tar");
        built.write_docker_archive(&file, style, &["app:1"]);
        let mut names = BTreeMap::new();
        let mut archive = tar::Archive::new(std::fs::File::open(file).expect("the archive"));
        for entry in archive.entries().expect("a tar") {
            let entry = entry.expect("an entry");
            let name = entry.path().expect("a name").display().to_string();
            names.insert(name, entry.header().entry_type());
        }
        names
    };
    let links = |style| list(style).values().filter(|kind| kind.is_symlink()).count();
    assert_eq!(links(DockerSave::Classic), 1);
    assert_eq!(links(DockerSave::Skopeo), 2);
    assert_eq!(links(DockerSave::Docker25), 0);
    assert!(list(DockerSave::Classic).contains_key("repositories"));
    assert!(list(DockerSave::Docker25).contains_key("oci-layout"));
    assert!(list(DockerSave::Compressed).contains_key(&built.image().config.digest));
    assert!(list(DockerSave::Compressed).keys().any(|name| name.ends_with(".tar.gz")));
}

#[test]
fn artifacts() {
    let app = small("linux/amd64").build();
    let sbom = artifact("application/spdx+json")
        .layer("application/spdx+json", "{\"spdx\": 1}")
        .subject(&app.root)
        .annotation("k", "v")
        .build();
    let json = sbom.root_json();
    assert_eq!(json["artifactType"], "application/spdx+json");
    assert_eq!(json["config"]["digest"].as_str(), Some(sha256("{}").as_str()));
    let subject = json!({
        "mediaType": app.root.media_type, "digest": app.root.digest, "size": app.root.size,
    });
    assert_eq!(json["subject"], subject, "without the platform that the index entry has");
    assert_eq!(json["annotations"], json!({"k": "v"}));
    assert_eq!(sbom.blobs[&sha256("{}")].bytes(), Content::from("{}").bytes());
}
