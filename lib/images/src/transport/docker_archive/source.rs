//! Reading a docker archive, whoever wrote it.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;
use tokio::sync::OnceCell;

use super::LIST;
use super::index::{Listed, choose, parse};
use crate::blob::{Blob, Budget, Decoder, Format, Verifier, VerifyReader, blocking};
use crate::error::{Error, IoContext, Result};
use crate::spec::json::to_go_bytes;
use crate::spec::{
    Algorithm, Compression, Descriptor, Dialect, DiffId, Digest, Hasher, ImageConfig, MAX_CONFIG,
    MAX_INDEX_DEPTH, MAX_MANIFEST, Manifest, MediaType,
};
use crate::transport::archive::{Archive, MAGIC, Stretch};
use crate::transport::layout::{INDEX, LayoutIndex, blob_path};
use crate::transport::{Entry, InPath, Origin, Referrer, Source};

/// An image in a docker archive, for reading.
pub struct DockerArchiveSource {
    archive: Arc<Archive>,
    entry: Entry,
    image: OnceCell<Arc<Image>>,
}

/// What an archive tells about one image.
struct Image {
    manifest: Manifest,
    parts: HashMap<Digest, Part>,
}

/// Where something is.
#[derive(Clone)]
enum Part {
    Memory(Bytes),
    Stretch(Stretch),
    /// Packed in a way that no manifest can name: it is handed out unpacked.
    Packed(Stretch, u64),
}

impl DockerArchiveSource {
    /// Opens the archive of `docker-archive:`. What is compressed as a whole is first unpacked into
    /// a nameless file in the directory `scratch`.
    pub async fn open(place: &InPath, scratch: &Path) -> Result<DockerArchiveSource> {
        let (path, scratch) = (place.path.clone(), scratch.to_owned());
        let archive = blocking(move || Archive::open(&path, &scratch)).await?;
        Ok(DockerArchiveSource::of(archive, place.entry.clone()))
    }

    /// The only image in the archive `file`, called `name` in errors.
    pub(in crate::transport) async fn only_in(
        file: File,
        name: String,
        scratch: &Path,
    ) -> Result<DockerArchiveSource> {
        let scratch = scratch.to_owned();
        let archive = blocking(move || Archive::from_file(file, name, &scratch)).await?;
        Ok(DockerArchiveSource::of(archive, Entry::Only))
    }

    fn of(archive: Archive, entry: Entry) -> DockerArchiveSource {
        DockerArchiveSource { archive: Arc::new(archive), entry, image: OnceCell::new() }
    }

    async fn image(&self) -> Result<Arc<Image>> {
        let (archive, entry) = (self.archive.clone(), self.entry.clone());
        let load = || blocking(move || Image::load(&archive, &entry).map(Arc::new));
        self.image.get_or_try_init(load).await.cloned()
    }
}

impl Image {
    fn load(archive: &Archive, entry: &Entry) -> Result<Image> {
        let list = archive.read(LIST, MAX_MANIFEST)?.ok_or_else(|| no_list(archive))?;
        let list = parse(&list, archive.name())?;
        let listed = choose(&list, entry, archive.name())?;
        let reading = || format!("reading image {} of {}", listed.config, archive.name());
        let config = archive.read(&listed.config, MAX_CONFIG)?;
        let config =
            config.ok_or_else(|| Error::invalid("its config is missing")).doing(reading)?;
        Image::of_config(archive, listed, config).doing(reading)
    }

    fn of_config(archive: &Archive, listed: &Listed, config: Bytes) -> Result<Image> {
        let config = ImageConfig::parse(config)?;
        let diff_ids = &config.fields().rootfs.diff_ids;
        if diff_ids.len() != listed.layers.len() {
            return Err(Error::invalid(format!(
                "its config tells of {} layers, manifest.json of {}",
                diff_ids.len(),
                listed.layers.len()
            )));
        }
        let mut parts =
            HashMap::from([(config.digest().clone(), Part::Memory(config.raw().clone()))]);
        let manifest = match original_manifest(archive, config.digest(), listed)? {
            Some(manifest) => {
                for layer in manifest.as_image().iter().flat_map(|image| &image.layers) {
                    let stretch = archive.find(&blob_path(&layer.digest))?;
                    parts.extend(stretch.map(|s| (layer.digest.clone(), Part::Stretch(s))));
                }
                manifest
            }
            None => {
                let mut layers = Vec::new();
                for (name, diff_id) in listed.layers.iter().zip(diff_ids) {
                    let (what, part) =
                        layer(archive, name, diff_id).doing(|| format!("layer {name}"))?;
                    parts.insert(what.digest.clone(), part);
                    layers.push(what);
                }
                made_manifest(&config, layers)?
            }
        };
        parts.insert(manifest.digest().clone(), Part::Memory(manifest.raw().clone()));
        Ok(Image { manifest, parts })
    }
}

fn no_list(archive: &Archive) -> Error {
    let hint = match archive.find(INDEX) {
        Ok(Some(_)) => "; it is an OCI layout: write oci-archive: instead of docker-archive:",
        _ => "",
    };
    Error::invalid(format!("{} is no docker archive: it has no {LIST}{hint}", archive.name()))
}

/// The manifest that the image had before it was saved, if the archive holds it and it describes
/// the very members that are listed.
fn original_manifest(
    archive: &Archive,
    config: &Digest,
    listed: &Listed,
) -> Result<Option<Manifest>> {
    let Some(bytes) = archive.read(INDEX, MAX_MANIFEST)? else { return Ok(None) };
    let index = LayoutIndex::parse(&bytes, INDEX)?;
    let mut ahead: Vec<_> = index.entries().iter().rev().map(|e| (e.clone(), 0)).collect();
    while let Some((what, depth)) = ahead.pop() {
        if !what.media_type.is_manifest() || depth > MAX_INDEX_DEPTH {
            continue;
        }
        // Of an index for several platforms, only some may be there.
        let path = blob_path(&what.digest);
        let Some(raw) = archive.read(&path, MAX_MANIFEST)? else { continue };
        let manifest = Manifest::verified(raw, &what)?;
        if let Some(index) = manifest.as_index() {
            ahead.extend(index.manifests.iter().rev().map(|e| (e.clone(), depth + 1)));
        } else if describes(archive, &manifest, config, listed)? {
            return Ok(Some(manifest));
        }
    }
    Ok(None)
}

fn describes(
    archive: &Archive,
    manifest: &Manifest,
    config: &Digest,
    listed: &Listed,
) -> Result<bool> {
    let Some(image) = manifest.as_image().filter(|image| image.config.digest == *config) else {
        return Ok(false);
    };
    if image.layers.len() != listed.layers.len() {
        return Ok(false);
    }
    for (layer, name) in image.layers.iter().zip(&listed.layers) {
        let place = archive.find(&blob_path(&layer.digest))?;
        let fits = place.is_some_and(|stretch| stretch.size == layer.size);
        if !fits || archive.find(name)? != place {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Describes one layer as it lies there. What is not compressed need not be hashed: its name in
/// the config is its digest.
fn layer(archive: &Archive, name: &str, diff_id: &DiffId) -> Result<(Descriptor, Part)> {
    let stretch = archive.find(name)?.ok_or_else(|| Error::invalid("it is missing"))?;
    let mut start = Vec::new();
    let read = archive.reader(stretch).take(MAGIC as u64).read_to_end(&mut start);
    read.doing(|| "reading its first bytes")?;
    let format = Format::of(&start);
    let how = format.compression().unwrap_or(Compression::None);
    let (digest, size, part) = match format {
        Format::Plain => (diff_id.0.clone(), stretch.size, Part::Stretch(stretch)),
        Format::Gzip | Format::Zstd => {
            (hash(archive, stretch)?, stretch.size, Part::Stretch(stretch))
        }
        Format::Bzip2 | Format::Xz => {
            let mut reader = Decoder::new(archive.reader(stretch)).doing(|| "unpacking it")?;
            reader.drain().doing(|| "unpacking it")?;
            let size = reader.count();
            (diff_id.0.clone(), size, Part::Packed(stretch, size))
        }
    };
    let media_type = MediaType::layer(Dialect::Docker, how);
    Ok((Descriptor::new(media_type, digest, size), part))
}

fn hash(archive: &Archive, stretch: Stretch) -> Result<Digest> {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut reader = archive.reader(stretch);
    let mut buffer = vec![0; crate::blob::CHUNK];
    loop {
        match reader.read(&mut buffer).doing(|| "hashing it")? {
            0 => return Ok(hasher.finish()),
            count => hasher.update(&buffer[..count]),
        }
    }
}

/// A manifest in Docker's words, or in OCI's where Docker has none.
fn made_manifest(config: &ImageConfig, layers: Vec<Descriptor>) -> Result<Manifest> {
    let zstd = MediaType::layer(Dialect::Docker, Compression::Zstd);
    let dialect = match layers.iter().any(|layer| layer.media_type == zstd) {
        true => Dialect::Oci,
        false => Dialect::Docker,
    };
    let describe = |what: &Descriptor| {
        let media_type = what.media_type.in_dialect(dialect);
        json!({
            "mediaType": media_type.as_ref().unwrap_or(&what.media_type),
            "size": what.size,
            "digest": what.digest,
        })
    };
    let config = config.descriptor(dialect);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::Manifest(dialect),
        "config": describe(&config),
        "layers": layers.iter().map(describe).collect::<Vec<_>>(),
    });
    Manifest::parse(to_go_bytes(&manifest)?.into(), None)
}

impl Source for DockerArchiveSource {
    async fn resolve(&self) -> Result<Descriptor> {
        Ok(self.image().await?.manifest.descriptor())
    }

    async fn read_root(&self) -> Result<Manifest> {
        Ok(self.image().await?.manifest.clone())
    }

    async fn open(&self, what: &Descriptor) -> Result<Blob> {
        let part = self.image().await?.parts.get(&what.digest).cloned();
        let part = part.ok_or_else(|| self.missing(&what.digest))?;
        let size = part.size();
        if size != what.size {
            return Err(Error::corrupt(format!(
                "{} of {} has {size} bytes but should have {}",
                what.digest,
                self.archive.name(),
                what.size
            )));
        }
        Ok(match part {
            Part::Memory(bytes) => Blob::Bytes(bytes),
            Part::Stretch(stretch) => Blob::File(self.archive.stretch_blob(stretch, what)),
            Part::Packed(stretch, _) => {
                let reader = Decoder::new(self.archive.reader(stretch));
                // The verifier knows where to stop.
                let reader = reader.doing(|| "unpacking")?.with_budget(Budget::UNLIMITED);
                let verifier = Verifier::new(&what.digest, what.size);
                Blob::Unnamed(Box::new(VerifyReader::new(reader, verifier)))
            }
        })
    }

    async fn measure(&self, blob: &Digest) -> Result<u64> {
        let image = self.image().await?;
        image.parts.get(blob).map(Part::size).ok_or_else(|| self.missing(blob))
    }

    async fn referrers(&self, _: &Descriptor) -> Result<Vec<Referrer>> {
        Ok(Vec::new())
    }

    fn origin(&self) -> Origin {
        Origin::Elsewhere
    }
}

impl DockerArchiveSource {
    fn missing(&self, digest: &Digest) -> Error {
        Error::not_found(format!("{} holds no {digest}", self.archive.name()))
    }
}

impl Part {
    fn size(&self) -> u64 {
        match self {
            Part::Memory(bytes) => bytes.len() as u64,
            Part::Stretch(stretch) => stretch.size,
            Part::Packed(_, size) => *size,
        }
    }
}
