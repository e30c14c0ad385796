//! Writes images as an OCI layout.
//!
//! On purpose not with the library's own writers: what is measured shall not make its own input.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use creel::spec::{Algorithm, Digest, Hasher};
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::Result;
use crate::content::{Content, Kind, Random};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// How a layer is kept.
#[derive(Clone, Copy)]
pub(crate) enum Encoding {
    /// As it is.
    Tar,
    /// As gzip of this level; 0 stores without compressing.
    Gzip(u32),
}

/// A layer that has been written.
#[derive(Clone)]
pub(crate) struct Layer {
    media_type: String,
    digest: Digest,
    size: u64,
    diff_id: Digest,
}

/// A layout that is being written.
pub(crate) struct Layout {
    root: PathBuf,
    entries: Vec<Value>,
}

impl Layout {
    pub(crate) fn create(root: &Path) -> Result<Layout> {
        std::fs::create_dir_all(root.join("blobs/sha256"))?;
        std::fs::write(root.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
        Ok(Layout { root: root.into(), entries: Vec::new() })
    }

    /// Writes a layer with what `fill` puts into it.
    pub(crate) fn layer(
        &self,
        encoding: Encoding,
        fill: impl FnOnce(&mut Tree<'_>) -> io::Result<()>,
    ) -> Result<Layer> {
        let unfinished = self.root.join("blobs/unfinished");
        let file = BufWriter::with_capacity(1 << 20, File::create(&unfinished)?);
        let encoder = Encoder::new(encoding, Hashing::new(file));
        let mut plain = Hashing::new(encoder);
        let mut tree = Tree { archive: tar::Builder::new(&mut plain) };
        fill(&mut tree)?;
        tree.archive.finish()?;
        drop(tree);
        let (encoder, diff_id) = plain.finish();
        let packed = encoder.finish()?;
        let size = packed.hasher.count();
        let (mut file, digest) = packed.finish();
        file.flush()?;
        std::fs::rename(&unfinished, blob_path(&self.root, &digest))?;
        let suffix = if matches!(encoding, Encoding::Gzip(_)) { "+gzip" } else { "" };
        Ok(Layer { media_type: format!("{LAYER}{suffix}"), digest, size, diff_id })
    }

    /// Writes config and manifest of an image with these layers, and names it.
    pub(crate) fn image(&mut self, tag: &str, layers: &[Layer]) -> Result<Digest> {
        let config = json!({
            "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
            "os": "linux",
            "config": { "Cmd": ["true"], "Labels": { "tag": tag } },
            "rootfs": {
                "type": "layers",
                "diff_ids": layers.iter().map(|layer| layer.diff_id.to_string()).collect::<Vec<_>>(),
            },
        });
        let describe = |layer: &Layer| descriptor(&layer.media_type, &layer.digest, layer.size);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.json(CONFIG, &config)?,
            "layers": layers.iter().map(describe).collect::<Vec<_>>(),
        });
        let mut entry = self.json(MANIFEST, &manifest)?;
        entry["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
        self.entries.push(entry);
        Ok(Digest::sha256(manifest.to_string().as_bytes()))
    }

    /// Writes an index of the images that were named until now, and names it instead of them.
    pub(crate) fn index(&mut self, tag: &str) -> Result<Digest> {
        let mut images = std::mem::take(&mut self.entries);
        for image in &mut images {
            let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
            image["annotations"] = Value::Null;
            image["platform"] = json!({ "os": "linux", "architecture": architecture });
        }
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": images });
        let mut entry = self.json(INDEX, &index)?;
        entry["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
        self.entries.push(entry);
        Ok(Digest::sha256(index.to_string().as_bytes()))
    }

    /// Makes the named images visible.
    pub(crate) fn finish(self) -> Result<()> {
        let index = json!({ "schemaVersion": 2, "manifests": self.entries });
        Ok(std::fs::write(self.root.join("index.json"), index.to_string())?)
    }

    fn json(&self, media_type: &str, value: &Value) -> Result<Value> {
        let bytes = value.to_string();
        let digest = Digest::sha256(bytes.as_bytes());
        std::fs::write(blob_path(&self.root, &digest), &bytes)?;
        Ok(descriptor(media_type, &digest, bytes.len() as u64))
    }
}

/// Where a layout keeps a blob.
pub(crate) fn blob_path(layout: &Path, digest: &Digest) -> PathBuf {
    layout.join("blobs/sha256").join(digest.hex())
}

fn descriptor(media_type: &str, digest: &Digest, size: u64) -> Value {
    json!({ "mediaType": media_type, "digest": digest.to_string(), "size": size })
}

/// The files of a layer.
pub(crate) struct Tree<'a> {
    archive: tar::Builder<&'a mut dyn Write>,
}

impl Tree<'_> {
    /// Adds one file.
    pub(crate) fn file(&mut self, path: &str, size: u64, kind: Kind, seed: u64) -> io::Result<()> {
        let mut header = header(tar::EntryType::Regular, 0o644);
        header.set_size(size);
        self.archive.append_data(&mut header, path, Content::new(kind, seed).take(size))
    }

    /// Adds one program.
    pub(crate) fn program(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let mut header = header(tar::EntryType::Regular, 0o755);
        header.set_size(bytes.len() as u64);
        self.archive.append_data(&mut header, path, bytes)
    }

    /// Adds `count` files, `total` bytes together, most of them small and some large; a part of
    /// them, `noise`, does not compress.
    pub(crate) fn files(
        &mut self,
        count: u64,
        total: u64,
        noise: f64,
        seed: u64,
    ) -> io::Result<()> {
        let mut random = Random::new(seed);
        let weights: Vec<f64> = (0..count).map(|_| (random.fraction() * 10.0).exp2()).collect();
        let sum: f64 = weights.iter().sum();
        for (number, weight) in weights.iter().enumerate() {
            let folder = format!("usr/share/folder-{seed}-{:03}", number / 100);
            if number % 100 == 0 {
                let mut header = header(tar::EntryType::Directory, 0o755);
                self.archive.append_data(&mut header, &folder, io::empty())?;
            }
            let size = (weight / sum * total as f64) as u64;
            let kind = if random.fraction() < noise { Kind::Noise } else { Kind::Text };
            self.file(&format!("{folder}/file-{number:05}"), size, kind, random.next())?;
        }
        Ok(())
    }
}

fn header(kind: tar::EntryType, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(1_700_000_000);
    header.set_size(0);
    header
}

/// Hashes what passes.
struct Hashing<W> {
    inner: W,
    hasher: Hasher,
}

impl<W> Hashing<W> {
    fn new(inner: W) -> Hashing<W> {
        Hashing { inner, hasher: Hasher::new(Algorithm::Sha256) }
    }

    fn finish(self) -> (W, Digest) {
        (self.inner, self.hasher.finish())
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

enum Encoder<W: Write> {
    Tar(W),
    Gzip(Box<GzEncoder<W>>),
}

impl<W: Write> Encoder<W> {
    fn new(encoding: Encoding, inner: W) -> Encoder<W> {
        match encoding {
            Encoding::Tar => Encoder::Tar(inner),
            Encoding::Gzip(level) => {
                Encoder::Gzip(Box::new(GzEncoder::new(inner, flate2::Compression::new(level))))
            }
        }
    }

    fn finish(self) -> io::Result<W> {
        match self {
            Encoder::Tar(inner) => Ok(inner),
            Encoder::Gzip(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Encoder::Tar(inner) => inner.write(bytes),
            Encoder::Gzip(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Encoder::Tar(inner) => inner.flush(),
            Encoder::Gzip(encoder) => encoder.flush(),
        }
    }
}
