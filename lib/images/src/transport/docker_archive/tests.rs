use std::io::Write;
use std::path::Path;

use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::ErrorKind;
use crate::layer::tar::EntryKind;
use crate::spec::{Compression, Dialect, Digest, Manifest, MediaType, Platform};
use crate::transport::archive::tests::tar_of;
use crate::transport::cases::{
    Made, bytes_of, check, check_sink, image, index, plain_image, put_as_child, put_children,
    signature, store,
};
use crate::transport::{Entry, InPath, LayoutSource, Sink, Source};

fn at(path: &Path, entry: Entry) -> InPath {
    InPath { path: path.to_owned(), entry }
}

async fn open(path: &Path, entry: Entry) -> DockerArchiveSource {
    DockerArchiveSource::open(&at(path, entry), path.parent().unwrap()).await.unwrap()
}

fn named(name: &str) -> Entry {
    Entry::Named(name.to_owned())
}

/// A packed layer in place of the plain one.
fn pack(how: Compression, plain: &[u8]) -> Bytes {
    match how {
        Compression::None => plain.to_vec().into(),
        Compression::Zstd => zstd::encode_all(plain, 1).unwrap().into(),
        Compression::Gzip => {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(plain).unwrap();
            gzip.finish().unwrap().into()
        }
    }
}

fn write(path: &Path, members: &[(&str, EntryKind, &[u8])]) {
    std::fs::write(path, tar_of(members)).unwrap();
}

fn list(config: &str, layers: &[&str]) -> Vec<u8> {
    let list = json!([{"Config": config, "RepoTags": ["app:1"], "Layers": layers}]);
    list.to_string().into_bytes()
}

/// The manifest that is made for `made` when its layers lie there as `layers`.
async fn check_made(path: &Path, made: &Made, how: Compression, layers: &[Bytes]) {
    let source = open(path, Entry::Only).await;
    let manifest = source.read_root().await.unwrap();
    let dialect = if how == Compression::Zstd { Dialect::Oci } else { Dialect::Docker };
    assert_eq!(*manifest.media_type(), MediaType::Manifest(dialect));
    let image = manifest.as_image().unwrap();
    assert_eq!(image.config.digest, Digest::sha256(&made.config));
    assert_eq!(bytes_of(&source, &image.config).await.unwrap(), made.config);
    assert_eq!(image.layers.len(), layers.len());
    for (what, bytes) in image.layers.iter().zip(layers) {
        assert_eq!(what.media_type, MediaType::layer(dialect, how));
        assert_eq!(what.digest, Digest::sha256(bytes));
        assert_eq!(bytes_of(&source, what).await.unwrap(), *bytes);
    }
}

#[tokio::test]
async fn what_was_written_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tar");
    let (one, two) = (image(Dialect::Docker, "1"), image(Dialect::Oci, "2"));
    let sink = DockerArchiveSink::new(&at(&path, named("app")), dir.path()).unwrap();
    check_sink(&sink, &one).await;
    sink.publish(None, &one.manifest).await.unwrap();
    sink.publish(Some("h.io/app:2"), &one.manifest).await.unwrap();
    put_children(&sink, &two).await.unwrap();
    sink.publish(Some("h.io/two:2"), &two.manifest).await.unwrap();
    assert!(!path.exists());
    sink.finish().await.unwrap();
    for name in ["app", "docker.io/library/app:latest", "h.io/app:2"] {
        check(&open(&path, named(name)).await, &one).await;
    }
    check(&open(&path, Entry::Nth(1)).await, &two).await;
    let error = open(&path, Entry::Only).await.resolve().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    let names = "docker.io/library/app:latest, h.io/app:2, h.io/two:2";
    assert!(error.to_string().ends_with(names), "{error}");
    // It is a layout as well.
    let place = at(&path, named("h.io/two:2"));
    let platform = Platform::new("linux", "amd64", None);
    let layout = LayoutSource::open_archive(&place, platform, dir.path()).await.unwrap();
    check(&layout, &two).await;
}

#[tokio::test]
async fn a_tag_belongs_to_the_last_that_took_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tar");
    std::fs::write(&path, "").unwrap();
    let (one, two) = (image(Dialect::Docker, "1"), image(Dialect::Docker, "2"));
    let sink = DockerArchiveSink::new(&at(&path, named("app:1")), dir.path()).unwrap();
    put_children(&sink, &one).await.unwrap();
    sink.publish(None, &one.manifest).await.unwrap();
    put_children(&sink, &two).await.unwrap();
    sink.publish(None, &two.manifest).await.unwrap();
    sink.finish().await.unwrap();
    check(&open(&path, named("app:1")).await, &two).await;
    check(&open(&path, Entry::Nth(0)).await, &one).await;
}

#[tokio::test]
async fn what_cannot_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tar");
    let made = image(Dialect::Docker, "1");
    std::fs::write(&path, "something").unwrap();
    let create = |entry| DockerArchiveSink::new(&at(&path, entry), dir.path());
    let error = create(Entry::Only).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(create(Entry::Nth(0)).err().unwrap().kind(), ErrorKind::Usage);
    let pinned = format!("app@{}", made.manifest.digest());
    assert_eq!(create(named(&pinned)).err().unwrap().kind(), ErrorKind::Usage);
    let sink = create(Entry::Only).unwrap();
    let list = index(&[&made]);
    assert_eq!(sink.publish(None, &list).await.unwrap_err().kind(), ErrorKind::Unsupported);
    assert!(put_as_child(&sink, &made).await.is_err());
    let artifact = signature(&made);
    let error = sink.publish(None, &artifact.manifest).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let other = image(Dialect::Docker, "never put");
    let error = sink.publish(None, &other.manifest).await.unwrap_err();
    assert!(error.to_string().contains("was not put"), "{error}");
    drop(sink);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn the_classic_form_with_links_between_layers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tar");
    let mut made = plain_image(Dialect::Docker, "x");
    // The same layer twice: the second one is a link.
    made.layers[1] = made.layers[0].clone();
    let config = json!({"rootfs": {"type": "layers", "diff_ids": [
        Digest::sha256(&made.layers[0]), Digest::sha256(&made.layers[0])]}});
    made.config = config.to_string().into();
    let list = list("c.json", &["one/layer.tar", "two/layer.tar"]);
    write(
        &path,
        &[
            ("one/", EntryKind::Directory, b""),
            ("one/VERSION", EntryKind::File, b"1.0"),
            ("one/layer.tar", EntryKind::File, &made.layers[0]),
            ("two/layer.tar", EntryKind::Symlink(b"../one/layer.tar".to_vec()), b""),
            ("c.json", EntryKind::File, &made.config),
            ("manifest.json", EntryKind::File, &list),
            ("repositories", EntryKind::File, b"{}"),
        ],
    );
    check_made(&path, &made, Compression::None, &made.layers).await;
}

#[tokio::test]
async fn layers_are_told_by_their_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tar");
    let made = plain_image(Dialect::Docker, "x");
    for how in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let layers: Vec<_> = made.layers.iter().map(|layer| pack(how, layer)).collect();
        let config = Digest::sha256(&made.config).to_string();
        // The list comes first, names have a prefix, and the config has no ending.
        let list = list(&config, &["./l1.tar.gz", "/l2.tar.gz"]);
        write(
            &path,
            &[
                ("./manifest.json", EntryKind::File, &list),
                (&format!("./{config}"), EntryKind::File, &made.config),
                ("./l1.tar.gz", EntryKind::File, &layers[0]),
                ("./l2.tar.gz", EntryKind::File, &layers[1]),
            ],
        );
        check_made(&path, &made, how, &layers).await;
        // The same again, packed as a whole.
        let packed = pack(Compression::Gzip, &std::fs::read(&path).unwrap());
        std::fs::write(&path, packed).unwrap();
        check_made(&path, &made, how, &layers).await;
    }
}

#[tokio::test]
async fn layers_that_no_manifest_can_name_come_out_unpacked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tar");
    let made = plain_image(Dialect::Docker, "x");
    let bzip2 = |plain: &[u8]| {
        let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        out.write_all(plain).unwrap();
        out.finish().unwrap()
    };
    let list = list("c", &["1", "2"]);
    let members = |second: &[u8]| {
        write(
            &path,
            &[
                ("1", EntryKind::File, &bzip2(&made.layers[0])),
                ("2", EntryKind::File, &bzip2(second)),
                ("c", EntryKind::File, &made.config),
                ("manifest.json", EntryKind::File, &list),
            ],
        );
    };
    members(&made.layers[1]);
    check_made(&path, &made, Compression::None, &made.layers).await;
    members(&made.layers[0]);
    let source = open(&path, Entry::Only).await;
    let manifest = source.read_root().await.unwrap();
    let layers = &manifest.as_image().unwrap().layers;
    assert_eq!(bytes_of(&source, &layers[1]).await.unwrap_err().kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn an_index_that_holds_only_one_of_its_platforms() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tar");
    let (here, absent) = (image(Dialect::Oci, "here"), image(Dialect::Oci, "absent"));
    let root = index(&[&absent, &here]);
    let layout = json!({"schemaVersion": 2, "manifests": [root.descriptor()]}).to_string();
    let inside = |bytes: &[u8]| format!("blobs/sha256/{}", Digest::sha256(bytes).hex());
    let blobs = [&here.layers[0], &here.layers[1], &here.config, here.manifest.raw(), root.raw()];
    let names: Vec<_> = blobs.iter().map(|bytes| inside(bytes)).collect();
    let list = list(&names[2], &[&names[0], &names[1]]);
    let mut members = vec![
        ("index.json", EntryKind::File, layout.as_bytes()),
        ("manifest.json", EntryKind::File, &list[..]),
    ];
    for (name, bytes) in names.iter().zip(blobs) {
        members.push((name, EntryKind::File, bytes));
    }
    write(&path, &members);
    check(&open(&path, named("app:1")).await, &here).await;
}

#[tokio::test]
async fn hostile_and_foreign_archives() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tar");
    let made = plain_image(Dialect::Docker, "x");
    let fails = async |members: &[(&str, EntryKind, &[u8])]| {
        write(&path, members);
        let error = open(&path, Entry::Only).await.resolve().await.unwrap_err();
        (error.kind(), error.chain())
    };
    let layer = &made.layers[0][..];
    let no_list = fails(&[("README", EntryKind::File, b"x")]).await;
    assert!(no_list.1.ends_with("is no docker archive: it has no manifest.json"), "{no_list:?}");
    let layout = fails(&[("index.json", EntryKind::File, b"{}")]).await;
    assert!(layout.1.contains("write oci-archive:"), "{layout:?}");
    let short = list("c", &["1"]);
    let count = fails(&[
        ("manifest.json", EntryKind::File, &short),
        ("c", EntryKind::File, &made.config),
        ("1", EntryKind::File, layer),
    ])
    .await;
    assert!(count.1.contains("tells of 2 layers, manifest.json of 1"), "{count:?}");
    let outside = list("../../etc/hostname", &["/etc/passwd", "/etc/passwd"]);
    let escape = fails(&[("manifest.json", EntryKind::File, &outside)]).await;
    assert!(escape.1.contains("its config is missing"), "{escape:?}");
    let outside = list("c", &["/etc/passwd", "1"]);
    let escape = fails(&[
        ("manifest.json", EntryKind::File, &outside),
        ("c", EntryKind::File, &made.config),
        ("1", EntryKind::File, layer),
    ])
    .await;
    assert!(escape.1.contains("layer /etc/passwd: it is missing"), "{escape:?}");
    let circle = list("c", &["1", "2"]);
    let cycle = fails(&[
        ("manifest.json", EntryKind::File, &circle),
        ("c", EntryKind::File, &made.config),
        ("1", EntryKind::Symlink(b"2".to_vec()), b""),
        ("2", EntryKind::Symlink(b"1".to_vec()), b""),
    ])
    .await;
    assert!(cycle.1.contains("too many links"), "{cycle:?}");
}

#[tokio::test]
async fn a_layer_that_is_not_what_the_config_says() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tar");
    let made = plain_image(Dialect::Docker, "x");
    let list = list("c", &["1", "2"]);
    write(
        &path,
        &[
            ("manifest.json", EntryKind::File, &list),
            ("c", EntryKind::File, &made.config),
            ("1", EntryKind::File, &made.layers[1]),
            ("2", EntryKind::File, &made.layers[1]),
        ],
    );
    let source = open(&path, Entry::Only).await;
    let manifest: Manifest = source.read_root().await.unwrap();
    let error = bytes_of(&source, &manifest.as_image().unwrap().layers[0]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn one_image_needs_no_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tar");
    let made = image(Dialect::Docker, "1");
    let sink = DockerArchiveSink::new(&at(&path, Entry::Only), dir.path()).unwrap();
    store(&sink, &made, None).await.unwrap();
    check(&open(&path, Entry::Only).await, &made).await;
    let error = open(&path, named("app")).await.resolve().await.unwrap_err();
    assert!(error.to_string().ends_with("holds no image \"app\"; it has @0"), "{error}");
}
