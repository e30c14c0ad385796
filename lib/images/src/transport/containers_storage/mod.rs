//! `containers-storage:`, the images of podman, buildah and CRI-O, read where they lie.
//!
//! Owns the reading of their store: its records, and the archives of its layers, which are put
//! together again from what was noted when they were unpacked. Promise: nothing is written, no
//! other program is needed, and what comes out has the digests that the image's config tells.
//! Takes no locks: records are replaced whole, and whatever vanishes meanwhile ends in an error.

mod records;
mod tar_split;

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::layout::read_file;
use super::{Origin, Referrer, Source};
use crate::blob::{Blob, Decoder, Verifier, VerifyReader, blocking};
use crate::error::{Error, IoContext, Result};
use crate::spec::json::{parse_strict, to_go_bytes};
use crate::spec::{
    Compression, Descriptor, Dialect, DiffId, Digest, ImageConfig, MAX_CONFIG, MAX_MANIFEST,
    Manifest, MediaType,
};
use crate::sys::{Dir, Root};
use records::{Driver, ImageRecord, LayerRecord, StorageName};
use tar_split::TarSplit;

/// An image in podman's and buildah's store, for reading.
pub struct StorageSource {
    store: Arc<Storage>,
    manifest: Manifest,
    config: ImageConfig,
    /// By digest of the unpacked archive.
    layers: HashMap<Digest, Layer>,
}

/// The directories of one store.
struct Storage {
    root: PathBuf,
    driver: Driver,
}

#[derive(Clone)]
struct Layer {
    id: String,
    size: u64,
}

impl StorageSource {
    /// Opens the image `name`: `[driver@graphroot+runroot:options]` if it is not in one of `roots`,
    /// then a name, an image id, or both with an `@` between them.
    ///
    /// # Errors
    /// `NotFound` when no root has such an image, `Unsupported` for lists of images.
    pub async fn open(name: &str, roots: &[PathBuf]) -> Result<StorageSource> {
        let shown = format!("containers-storage:{name}");
        let name = StorageName::parse(name)?;
        let roots = match &name.root {
            Some(root) => vec![root.clone()],
            None => roots.to_vec(),
        };
        blocking(move || find(&name, &roots).doing(|| format!("opening {shown}"))).await
    }
}

fn find(name: &StorageName, roots: &[PathBuf]) -> Result<StorageSource> {
    for root in roots {
        let Some(store) = Storage::at(root, name.driver)? else { continue };
        let images = store.images()?;
        if let Some(image) = name.choose(&images)? {
            return StorageSource::load(store, image);
        }
    }
    let places: Vec<_> = roots.iter().map(|root| root.display().to_string()).collect();
    Err(Error::not_found(format!("there is no such image in {}", places.join(", "))))
}

impl Storage {
    /// The store at `root`, if there is one of this driver, or of any that can be read.
    fn at(root: &Path, driver: Option<Driver>) -> Result<Option<Storage>> {
        let drivers = match driver {
            Some(driver) => vec![driver],
            None => vec![Driver::Overlay, Driver::Vfs],
        };
        let there = |driver: &Driver| root.join(format!("{}-images", driver.as_str())).is_dir();
        let driver = drivers.into_iter().find(there);
        Ok(driver.map(|driver| Storage { root: root.to_owned(), driver }))
    }

    fn directory(&self, what: &str) -> Result<Dir> {
        let path = self.root.join(format!("{}-{what}", self.driver.as_str()));
        Dir::open(&path).doing(|| format!("opening directory {}", path.display()))
    }

    fn images(&self) -> Result<Vec<ImageRecord>> {
        records::load(&self.directory("images")?, &["images.json"])
    }

    fn layers(&self) -> Result<Vec<LayerRecord>> {
        records::load(&self.directory("layers")?, &["layers.json", "volatile-layers.json"])
    }

    /// Something that is kept with an image.
    fn big_data(&self, image: &ImageRecord, key: &str, limit: u64) -> Result<Option<Bytes>> {
        let images = self.directory("images")?;
        let dir = match images.open_dir(image.id.as_bytes()) {
            Ok(dir) => dir,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io(format!("opening image {}", image.id), error)),
        };
        read_file(&dir, &records::big_data_name(key), limit)
    }

    /// The layers under `top`, lowest first.
    fn chain(&self, top: &str) -> Result<Vec<LayerRecord>> {
        let all = self.layers()?;
        let by_id: HashMap<&str, &LayerRecord> =
            all.iter().map(|layer| (layer.id.as_str(), layer)).collect();
        let mut chain = Vec::new();
        let mut next = top;
        while !next.is_empty() {
            let layer = *by_id
                .get(next)
                .ok_or_else(|| Error::corrupt(format!("layer {next} is missing")))?;
            if layer.is_incomplete() {
                return Err(Error::corrupt(format!("layer {next} was never completed")));
            }
            if chain.len() > crate::spec::MAX_LAYERS {
                return Err(Error::invalid("the image's layers form a circle or are too many"));
            }
            chain.push(layer.clone());
            next = &layer.parent;
        }
        chain.reverse();
        Ok(chain)
    }

    /// The archive of a layer, put together again; not verified.
    fn archive(&self, id: &str) -> Result<TarSplit> {
        let name = format!("{id}.tar-split.gz");
        let notes = match self.directory("layers")?.open_file(name.as_bytes()) {
            Ok(notes) => notes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::unsupported(format!(
                    "the store keeps no notes on the archive of layer {id}, so it cannot be put \
                     together again; `podman save` may make a similar one"
                )));
            }
            Err(error) => return Err(Error::io(format!("opening {name}"), error)),
        };
        let notes: Decoder<File> = Decoder::new(notes).doing(|| format!("reading {name}"))?;
        let tree = match self.driver {
            Driver::Overlay => self.root.join("overlay").join(id).join("diff"),
            Driver::Vfs => self.root.join("vfs/dir").join(id),
        };
        Ok(TarSplit::new(notes, Root::open(&tree)?))
    }
}

impl StorageSource {
    fn load(store: Storage, image: &ImageRecord) -> Result<StorageSource> {
        let stored = store.big_data(image, "manifest", MAX_MANIFEST)?;
        let stored = stored.ok_or_else(|| Error::corrupt("the image's manifest is missing"))?;
        let stored = Manifest::parse(stored, None)?;
        let Some(parts) = stored.as_image() else {
            return Err(Error::unsupported(format!(
                "it is {}, and only single images can be read from podman's store",
                stored.media_type()
            )));
        };
        let config = store.big_data(image, &parts.config.digest.to_string(), MAX_CONFIG)?;
        let config = config.ok_or_else(|| Error::corrupt("the image's config is missing"))?;
        let config = ImageConfig::verified(config, &parts.config)?;
        let chain = store.chain(&image.layer)?;
        let diff_ids = &config.fields().rootfs.diff_ids;
        if chain.len() != diff_ids.len() || parts.layers.len() != diff_ids.len() {
            return Err(Error::corrupt(format!(
                "the config tells of {} layers, the manifest of {}, and the store has {}",
                diff_ids.len(),
                parts.layers.len(),
                chain.len()
            )));
        }
        let mut layers = HashMap::new();
        let mut listed = Vec::new();
        for (record, DiffId(digest)) in chain.iter().zip(diff_ids) {
            let size = match record.diff_size {
                Some(size) if size > 0 => size,
                _ => store.archive(&record.id)?.measure()?,
            };
            listed.push((digest.clone(), size));
            layers.insert(digest.clone(), Layer { id: record.id.clone(), size });
        }
        let manifest = with_plain_layers(&stored, &listed)?;
        Ok(StorageSource { store: Arc::new(store), manifest, config, layers })
    }

    fn missing(&self, digest: &Digest) -> Error {
        Error::not_found(format!("the image in {} has no {digest}", self.store.root.display()))
    }
}

/// The manifest as it is if its layers are not compressed, else with unpacked layers in their
/// place: the store keeps no others.
fn with_plain_layers(stored: &Manifest, layers: &[(Digest, u64)]) -> Result<Manifest> {
    let parts = stored.as_image();
    let same = parts.is_some_and(|image| {
        let listed = image.layers.iter().map(|layer| (&layer.digest, layer.size));
        listed.eq(layers.iter().map(|(digest, size)| (digest, *size)))
    });
    if same {
        return Ok(stored.clone());
    }
    let dialect = stored.media_type().dialect().unwrap_or(Dialect::Oci);
    let media_type = MediaType::layer(dialect, Compression::None);
    let list: Vec<Value> = layers
        .iter()
        .map(|(digest, size)| json!({"mediaType": media_type, "size": size, "digest": digest}))
        .collect();
    let mut document = parse_strict(stored.raw(), "manifest")?;
    if let Some(map) = document.as_object_mut() {
        map.insert("layers".to_owned(), Value::Array(list));
    }
    Manifest::parse(to_go_bytes(&document)?.into(), Some(stored.media_type()))
}

impl Source for StorageSource {
    async fn resolve(&self) -> Result<Descriptor> {
        Ok(self.manifest.descriptor())
    }

    async fn read_root(&self) -> Result<Manifest> {
        Ok(self.manifest.clone())
    }

    async fn open(&self, what: &Descriptor) -> Result<Blob> {
        if what.digest == *self.manifest.digest() {
            return Ok(Blob::Bytes(self.manifest.raw().clone()));
        }
        if what.digest == *self.config.digest() {
            return Ok(Blob::Bytes(self.config.raw().clone()));
        }
        let layer = self.layers.get(&what.digest).cloned();
        let layer = layer.ok_or_else(|| self.missing(&what.digest))?;
        let (store, verifier) = (self.store.clone(), Verifier::new(&what.digest, what.size));
        blocking(move || {
            let archive =
                store.archive(&layer.id).doing(|| format!("opening layer {}", layer.id))?;
            Ok(Blob::Unnamed(Box::new(VerifyReader::new(archive, verifier))))
        })
        .await
    }

    async fn measure(&self, blob: &Digest) -> Result<u64> {
        self.layers.get(blob).map(|layer| layer.size).ok_or_else(|| self.missing(blob))
    }

    async fn referrers(&self, _: &Descriptor) -> Result<Vec<Referrer>> {
        Ok(Vec::new())
    }

    fn origin(&self) -> Origin {
        Origin::Elsewhere
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
