use super::*;
use crate::ErrorKind;
use crate::spec::{Algorithm, Platform};

fn digest(text: &str) -> Digest {
    Digest::sha256(text.as_bytes())
}

fn parse(text: &str) -> Manifest {
    Manifest::parse(text.to_owned().into(), None).unwrap()
}

fn text(manifest: &Manifest) -> &str {
    std::str::from_utf8(manifest.raw()).unwrap()
}

/// An OCI image with unknown fields, odd order and no media type of its own.
fn image() -> Manifest {
    parse(&format!(
        r#"{{"layers":[{{"digest":"{a}","size":1,"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","x-note":{{"b":1,"a":2}},"annotations":{{"z":"1","containerd.io/snapshot/stargz/toc.digest":"t"}}}},{{"size":2,"digest":"{b}","mediaType":"application/vnd.oci.image.layer.v1.tar"}}],"future":[1.5,null],"schemaVersion":2,"config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{c}","size":3}},"annotations":{{"k":"<v>"}}}}"#,
        a = digest("a"),
        b = digest("b"),
        c = digest("c"),
    ))
}

/// Two images, an attestation for each, an orphan, and a nested index.
fn index() -> Manifest {
    let entry = |name: &str, rest: &str| {
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{}","size":9{rest}}}"#,
            digest(name)
        )
    };
    let platform = |arch: &str| format!(r#","platform":{{"os":"linux","architecture":"{arch}"}}"#);
    let about = |what: &Digest| {
        format!(
            r#","annotations":{{"vnd.docker.reference.type":"attestation-manifest","vnd.docker.reference.digest":"{what}"}},"platform":{{"os":"unknown","architecture":"unknown"}}"#
        )
    };
    let entries = [
        entry("amd", &format!(r#","q":1{}"#, platform("amd64"))),
        entry("arm", &platform("arm64")),
        entry("about amd", &about(&digest("amd"))),
        entry("about arm", &about(&digest("arm"))),
        entry("orphan", &about(&digest("gone"))),
    ];
    parse(&format!(
        r#"{{"schemaVersion":2,"manifests":[{}],"mediaType":"application/vnd.oci.image.index.v1+json","y":{{}}}}"#,
        entries.join(",")
    ))
}

fn entries(index: &Manifest) -> Vec<Digest> {
    index.as_index().unwrap().manifests.iter().map(|entry| entry.digest.clone()).collect()
}

fn is_for(architecture: &'static str) -> impl Fn(&Descriptor) -> bool {
    move |entry| entry.platform.as_ref().is_some_and(|p| p.architecture == architecture)
}

#[test]
fn kept_entries_take_their_attestations_along() {
    let index = index();
    let kept = keep_entries(&index, is_for("arm64")).unwrap();
    assert_eq!(entries(&kept), [digest("arm"), digest("about arm")]);
    assert!(
        text(&kept).ends_with(r#""mediaType":"application/vnd.oci.image.index.v1+json","y":{}}"#)
    );
    let kept = keep_entries(&index, is_for("amd64")).unwrap();
    assert_eq!(entries(&kept), [digest("amd"), digest("about amd")]);
    assert!(text(&kept).contains(r#""size":9,"q":1,"platform""#), "{}", text(&kept));
    let error = keep_entries(&index, is_for("s390x")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(keep_entries(&image(), |_| true).is_err());
    // Nothing to drop: the same bytes.
    let kept = keep_entries(&index, |_| true).unwrap();
    assert_eq!(keep_entries(&kept, |_| true).unwrap().raw(), kept.raw());
}

#[test]
fn children_are_replaced_where_they_differ() {
    let image = image();
    let mut children: Vec<Descriptor> = image.children().into_iter().cloned().collect();
    assert_eq!(replace_children(&image, &children).unwrap().raw(), image.raw());
    children[2].digest = digest("new");
    children[2].size = 20;
    let replaced = replace_children(&image, &children).unwrap();
    let expected = text(&image)
        .replace(
            &format!(r#"{{"size":2,"digest":"{}""#, digest("b")),
            &format!(r#"{{"size":20,"digest":"{}""#, digest("new")),
        )
        .replace("<v>", r"\u003cv\u003e");
    assert_eq!(text(&replaced), expected);
    let error = replace_children(&image, &children[..2]).unwrap_err();
    assert!(error.to_string().contains("has 3 children, 2 were given"), "{error}");
}

#[test]
fn attestations_follow_what_they_are_about() {
    let index = index();
    let mut children: Vec<Descriptor> = index.children().into_iter().cloned().collect();
    children[0].digest = digest("amd converted");
    let replaced = replace_children(&index, &children).unwrap();
    let about: Vec<_> = replaced.children().iter().filter_map(|e| e.attests()).collect();
    let expected = [digest("amd converted"), digest("arm"), digest("gone")].map(|d| d.to_string());
    assert_eq!(about, expected);
    // The edit says nothing of the rest.
    assert_eq!(text(&replaced), text(&index).replace(&digest("amd").to_string(), &expected[0]));
}

#[test]
fn what_held_for_the_old_bytes_is_dropped() {
    let inline = r#"{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"DIGEST","size":2,"data":"e30=","urls":["https://a"]}}"#
        .replace("DIGEST", &digest("{}").to_string());
    let manifest = parse(&inline);
    let mut config = manifest.children()[0].clone();
    config.digest = digest("other");
    let replaced = replace_children(&manifest, &[config]).unwrap();
    assert_eq!(
        text(&replaced),
        inline
            .replace(r#","data":"e30=","urls":["https://a"]"#, "")
            .replace(&digest("{}").to_string(), &digest("other").to_string())
    );
}

#[test]
fn a_recompressed_layer_forgets_its_old_form() {
    let image = image();
    let layer = &image.as_image().unwrap().layers[0];
    let zstd = recompressed(layer, Compression::Zstd, digest("n"), 5).unwrap();
    assert_eq!(zstd.media_type.to_string(), "application/vnd.oci.image.layer.v1.tar+zstd");
    assert_eq!((zstd.size, &zstd.digest), (5, &digest("n")));
    assert_eq!(zstd.annotations, BTreeMap::from([("z".into(), "1".into())]));
    let docker = Descriptor {
        media_type: MediaType::layer(Dialect::Docker, Compression::Gzip),
        ..layer.clone()
    };
    let plain = recompressed(&docker, Compression::None, digest("n"), 5).unwrap();
    assert_eq!(plain.media_type.to_string(), "application/vnd.docker.image.rootfs.diff.tar");
    let error = recompressed(&docker, Compression::Zstd, digest("n"), 5).unwrap_err();
    assert!(error.to_string().contains(&docker.digest.to_string()), "{error}");
    for opaque in ["application/vnd.oci.image.layer.v1.tar+gzip+encrypted", "text/plain"] {
        let layer = Descriptor { media_type: MediaType::parse(opaque), ..layer.clone() };
        let error = recompressed(&layer, Compression::Zstd, digest("n"), 5).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}

#[test]
fn an_entry_keeps_platform_and_notes() {
    let mut old = Descriptor::new(MediaType::Manifest(Dialect::Oci), digest("old"), 1);
    old.platform = Some(Platform::new("linux", "arm64", None));
    old.annotations.insert("k".into(), "v".into());
    old.annotations.insert(ZSTD_ENTRY.into(), "true".into());
    let entry = replaced_entry(&old, &image());
    assert_eq!((entry.size, &entry.digest), (image().raw().len() as u64, image().digest()));
    assert_eq!(entry.platform, old.platform);
    assert_eq!(entry.annotations, BTreeMap::from([("k".into(), "v".into())]));
    // With a zstd layer the mark stays.
    let mut children: Vec<Descriptor> = image().children().into_iter().cloned().collect();
    children[1] = recompressed(&children[1], Compression::Zstd, digest("n"), 5).unwrap();
    let zstd = replace_children(&image(), &children).unwrap();
    assert_eq!(replaced_entry(&old, &zstd).annotations.len(), 2);
}

#[test]
fn conversion_changes_types_and_nothing_else() {
    let oci = image();
    let docker = convert(&oci, Dialect::Docker).unwrap();
    let expected = text(&oci)
        .replace("oci.image.layer.v1.tar+gzip", "docker.image.rootfs.diff.tar.gzip")
        .replace("oci.image.layer.v1.tar", "docker.image.rootfs.diff.tar")
        .replace("oci.image.config.v1", "docker.container.image.v1")
        .replace("<v>", r"\u003cv\u003e")
        .replacen(
            r#"],"future""#,
            r#"],"mediaType":"application/vnd.docker.distribution.manifest.v2+json","future""#,
            1,
        );
    assert_eq!(text(&docker), expected);
    assert_eq!(docker.as_image().unwrap().annotations["k"], "<v>");
    assert_eq!(convert(&docker, Dialect::Docker).unwrap().raw(), docker.raw());
    assert_eq!(convert(&oci, Dialect::Oci).unwrap().raw(), oci.raw());
    // There and back again: only the type that it now says itself is new.
    let back = convert(&docker, Dialect::Oci).unwrap();
    assert_eq!(*back.media_type(), MediaType::Manifest(Dialect::Oci));
    let own = r#","mediaType":"application/vnd.oci.image.manifest.v1+json""#;
    assert_eq!(text(&back).replacen(own, "", 1), text(&oci).replace("<v>", r"\u003cv\u003e"));
}

#[test]
fn an_index_is_converted_with_its_entries() {
    let index = index();
    let docker = convert(&index, Dialect::Docker).unwrap();
    assert_eq!(*docker.media_type(), MediaType::Index(Dialect::Docker));
    assert_eq!(entries(&docker), entries(&index));
    let mut children: Vec<Descriptor> = docker.children().into_iter().cloned().collect();
    children[0] = replaced_entry(&children[0], &convert(&image(), Dialect::Docker).unwrap());
    let replaced = replace_children(&docker, &children).unwrap();
    let first = &replaced.as_index().unwrap().manifests[0];
    assert_eq!(first.media_type, MediaType::Manifest(Dialect::Docker));
    assert!(text(&replaced).contains(r#""q":1,"platform":{"os":"linux","architecture":"amd64"}"#));
}

#[test]
fn what_docker_cannot_say_is_refused() {
    let check = |from: &str, to: &str, word: &str| {
        let manifest = parse(&text(&image()).replacen(from, to, 1));
        let error = convert(&manifest, Dialect::Docker).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(word), "{error}");
        error.to_string()
    };
    let message = check("v1.tar+gzip", "v1.tar+zstd", "compress it with gzip");
    assert!(message.starts_with(&format!("layer {} (", digest("a"))), "{message}");
    check("v1.tar+gzip", "v1.tar+gzip+encrypted", "decrypt");
    check("vnd.oci.image.layer.v1.tar+gzip", "vnd.in-toto+json", "keep the OCI format");
    check("vnd.oci.image.config.v1+json", "vnd.cncf.helm.config.v1+json", "no artifacts");
    check(r#""schemaVersion""#, r#""artifactType":"a/b","schemaVersion""#, "no artifacts");
    let subject = format!(
        r#""subject":{{"mediaType":"text/plain","digest":"{}","size":1}},"schemaVersion""#,
        digest("s")
    );
    check(r#""schemaVersion""#, &subject, "no subjects");
}

#[test]
fn the_digest_algorithm_stays() {
    let manifest = Manifest::parse_with(image().raw().clone(), None, Algorithm::Sha512).unwrap();
    let docker = convert(&manifest, Dialect::Docker).unwrap();
    assert_eq!(*docker.digest(), Digest::compute(Algorithm::Sha512, docker.raw()));
}

#[test]
fn new_documents_look_as_go_writes_them() {
    let config = Descriptor::of(MediaType::Config(Dialect::Docker), b"{}");
    let layer = Descriptor::of(MediaType::layer(Dialect::Docker, Compression::Gzip), b"l");
    let manifest =
        new_image(Dialect::Docker, &config, std::slice::from_ref(&layer), &BTreeMap::new())
            .unwrap();
    assert_eq!(
        text(&manifest),
        format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":{{"mediaType":"application/vnd.docker.container.image.v1+json","digest":"{}","size":2}},"layers":[{{"mediaType":"application/vnd.docker.image.rootfs.diff.tar.gzip","digest":"{}","size":1}}]}}"#,
            config.digest, layer.digest
        )
    );
    let mut entry = manifest.descriptor();
    entry.platform = Some(Platform::new("linux", "amd64", None));
    let notes =
        BTreeMap::from([("b".to_owned(), "1".to_owned()), ("a".to_owned(), "&".to_owned())]);
    let index = new_index(Dialect::Oci, std::slice::from_ref(&entry), &notes).unwrap();
    assert_eq!(
        text(&index),
        format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{{"mediaType":"application/vnd.docker.distribution.manifest.v2+json","digest":"{}","size":{},"platform":{{"architecture":"amd64","os":"linux"}}}}],"annotations":{{"a":"\u0026","b":"1"}}}}"#,
            entry.digest, entry.size
        )
    );
}
