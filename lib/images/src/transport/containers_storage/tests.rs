use std::io::Write;

use super::*;
use crate::ErrorKind;
use crate::layer::tar::EntryKind;
use crate::transport::archive::tests::tar_of;
use crate::transport::cases::{Made, bytes_of, check, image, plain_image};

const FILES: [(&str, &[u8]); 2] = [("etc/x", b"text"), ("etc/y", &[b'y'; 70_000])];

/// One layer's notes: everything but the file's content, as podman writes them.
fn notes(tar: &[u8], name: &str, content: &[u8]) -> Vec<u8> {
    use base64::Engine as _;
    let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let raw = encode(name.as_bytes());
    let lines = [
        json!({"type": 2, "payload": encode(&tar[..512]), "position": 0}),
        json!({"type": 1, "name_raw": raw, "size": content.len(), "payload": "AAAAAAAAAAA=",
            "position": 1}),
        json!({"type": 2, "payload": encode(&tar[512 + content.len()..]), "position": 2}),
        json!({"type": 1, "name": "an/empty/file", "payload": null, "position": 3}),
    ];
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

fn write(path: &Path, bytes: impl AsRef<[u8]>) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// A store with the one image `made`, whose layers hold `FILES`.
fn save(root: &Path, driver: &str, made: &Made) {
    let id = made.manifest.as_image().unwrap().config.digest.clone();
    let layers = ["a".repeat(64), "b".repeat(64)];
    let images = json!([{"id": id.hex(), "names": ["localhost/app:1"], "layer": layers[1]}]);
    write(&root.join(format!("{driver}-images/images.json")), images.to_string());
    let data = root.join(format!("{driver}-images/{}", id.hex()));
    write(&data.join("manifest"), made.manifest.raw());
    write(&data.join(records::big_data_name(&id.to_string())), &made.config);
    let size = |at: usize| tar_of(&[(FILES[at].0, EntryKind::File, FILES[at].1)]).len();
    let records = json!([
        {"id": layers[0], "diff-size": size(0)},
        {"id": layers[1], "parent": layers[0], "diff-size": -1, "flags": null},
    ]);
    write(&root.join(format!("{driver}-layers/layers.json")), records.to_string());
    for (id, (name, content)) in layers.iter().zip(FILES) {
        let tar = tar_of(&[(name, EntryKind::File, content)]);
        let file = format!("{driver}-layers/{id}.tar-split.gz");
        write(&root.join(file), notes(&tar, name, content));
        let tree = match driver {
            "vfs" => format!("vfs/dir/{id}"),
            _ => format!("{driver}/{id}/diff"),
        };
        write(&root.join(tree).join(name), content);
    }
}

async fn open(root: &Path, name: &str) -> Result<StorageSource> {
    StorageSource::open(name, &[root.join("nothing"), root.to_owned()]).await
}

#[tokio::test]
async fn plain_layers_keep_their_manifest() {
    for driver in ["overlay", "vfs"] {
        let dir = tempfile::tempdir().unwrap();
        let made = plain_image(Dialect::Oci, "text");
        save(dir.path(), driver, &made);
        let source = open(dir.path(), "app:1").await.unwrap();
        check(&source, &made).await;
        let id = made.manifest.as_image().unwrap().config.digest.hex().to_owned();
        let place = format!("[{driver}@{}+/run]@{id}", dir.path().display());
        check(&StorageSource::open(&place, &[]).await.unwrap(), &made).await;
    }
}

#[tokio::test]
async fn packed_layers_come_out_unpacked() {
    let dir = tempfile::tempdir().unwrap();
    let (packed, plain) = (image(Dialect::Docker, "text"), plain_image(Dialect::Docker, "text"));
    save(dir.path(), "overlay", &packed);
    let source = open(dir.path(), "localhost/app:1").await.unwrap();
    let manifest = source.read_root().await.unwrap();
    assert_eq!(manifest.media_type(), packed.manifest.media_type());
    let found = manifest.as_image().unwrap();
    let expected = plain.manifest.as_image().unwrap();
    assert_eq!((&found.config, &found.layers), (&expected.config, &expected.layers));
    for (what, bytes) in found.layers.iter().zip(&plain.layers) {
        assert_eq!(bytes_of(&source, what).await.unwrap(), *bytes);
    }
    assert_eq!(bytes_of(&source, &found.config).await.unwrap(), packed.config);
}

#[tokio::test]
async fn what_was_changed_in_the_store_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let made = plain_image(Dialect::Oci, "text");
    save(dir.path(), "overlay", &made);
    let file = dir.path().join("overlay").join("a".repeat(64)).join("diff/etc/x");
    let layer = &made.manifest.as_image().unwrap().layers[0];
    let why = async || {
        let source = open(dir.path(), "app:1").await.unwrap();
        let error = bytes_of(&source, layer).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
        error.chain()
    };
    std::fs::write(&file, "TEXT").unwrap();
    assert!(why().await.contains("has other bytes"));
    std::fs::write(&file, "longer").unwrap();
    assert!(why().await.contains("its file etc/x has another size"));
    std::fs::remove_file(&file).unwrap();
    assert!(why().await.contains("its file etc/x is gone"));
    // A link to a file of the machine is resolved within the layer.
    let outside = dir.path().join("outside");
    std::fs::write(&outside, "text").unwrap();
    std::os::unix::fs::symlink(&outside, &file).unwrap();
    assert!(why().await.contains("is gone"));
}

#[tokio::test]
async fn damaged_stores() {
    let dir = tempfile::tempdir().unwrap();
    let made = plain_image(Dialect::Oci, "text");
    let layers = dir.path().join("overlay-layers");
    let fails = async |name: &str| open(dir.path(), name).await.err().unwrap();
    assert_eq!(fails("app:1").await.kind(), ErrorKind::NotFound);
    save(dir.path(), "overlay", &made);
    assert_eq!(fails("app:2").await.kind(), ErrorKind::NotFound);
    let notes = layers.join(format!("{}.tar-split.gz", "b".repeat(64)));
    std::fs::write(&notes, "{\"type\":7}\n").unwrap();
    let error = fails("app:1").await;
    assert!(error.chain().contains("unknown kind"), "{error:?}");
    std::fs::remove_file(&notes).unwrap();
    assert_eq!(fails("app:1").await.kind(), ErrorKind::Unsupported);
    let circle = json!([{"id": "b".repeat(64), "parent": "b".repeat(64)}]);
    write(&layers.join("layers.json"), circle.to_string());
    assert!(fails("app:1").await.chain().contains("circle"));
    let cut = json!([{"id": "b".repeat(64), "flags": {"incomplete": true}}]);
    write(&layers.join("layers.json"), cut.to_string());
    assert!(fails("app:1").await.chain().contains("never completed"));
    write(&layers.join("layers.json"), "[]");
    assert!(fails("app:1").await.chain().contains("is missing"));
    write(&dir.path().join("overlay-images/images.json"), "{");
    assert_eq!(fails("app:1").await.kind(), ErrorKind::Invalid);
}
