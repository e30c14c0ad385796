//! Looks whether an image is where it should be, and right: every digest and every size, computed
//! from the files themselves and by none of the programs that are measured.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use creel::spec::{Algorithm, Digest, Hasher};
use serde_json::Value;

use crate::Result;
use crate::layout::blob_path;
use crate::registry::Registry;

/// Where an image should be.
pub(crate) enum Place<'a> {
    /// A layout, and the name in it.
    Layout(&'a Path, &'a str),
    /// A registry, and repository and tag in it.
    Registry(&'a Registry, &'a str, &'a str),
}

/// A manifest all of whose content was found and is right.
pub(crate) struct Verified {
    /// The manifest's digest.
    pub(crate) digest: Digest,
    manifest: Value,
    layers: Vec<PathBuf>,
    diff_ids: Vec<String>,
}

impl Place<'_> {
    /// Reads the whole image.
    ///
    /// # Errors
    /// When something is missing or differs from its descriptor.
    pub(crate) fn verify(&self) -> Result<Verified> {
        let digest = self.root()?;
        let bytes = std::fs::read(self.path(&digest))?;
        if !digest.matches(&bytes) {
            return Err(format!("the manifest is not {digest}").into());
        }
        let manifest: Value = serde_json::from_slice(&bytes)?;
        let config: Value =
            serde_json::from_slice(&std::fs::read(self.blob(&manifest["config"])?)?)?;
        let layers = list(&manifest["layers"])?.iter();
        let layers = layers.map(|layer| self.blob(layer)).collect::<Result<Vec<_>>>()?;
        let diff_ids = list(&config["rootfs"]["diff_ids"])?.iter();
        let diff_ids = diff_ids.map(|id| Ok(text(id)?.to_string())).collect::<Result<Vec<_>>>()?;
        if layers.is_empty() || layers.len() != diff_ids.len() {
            return Err(format!("{} layers, {} diff ids", layers.len(), diff_ids.len()).into());
        }
        Ok(Verified { digest, manifest, layers, diff_ids })
    }

    /// Verifies an image that must have arrived with its bytes unchanged.
    pub(crate) fn verify_is(&self, expected: &Digest) -> Result<()> {
        let found = self.verify()?.digest;
        if found != *expected {
            return Err(format!("expected {expected}, found {found}").into());
        }
        Ok(())
    }

    fn root(&self) -> Result<Digest> {
        let (layout, tag) = match self {
            Place::Layout(layout, tag) => (layout, tag),
            Place::Registry(registry, repository, tag) => return registry.digest(repository, tag),
        };
        let index: Value = serde_json::from_slice(&std::fs::read(layout.join("index.json"))?)?;
        let named = |entry: &&Value| {
            entry["annotations"]["org.opencontainers.image.ref.name"].as_str() == Some(tag)
        };
        let entry = list(&index["manifests"])?.iter().find(named);
        let entry = entry.ok_or_else(|| format!("the layout has no {tag}"))?;
        Ok(text(&entry["digest"])?.parse()?)
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        match self {
            Place::Layout(layout, _) => blob_path(layout, digest),
            Place::Registry(registry, ..) => registry.blob_path(digest),
        }
    }

    /// Finds a blob and compares it with its descriptor.
    fn blob(&self, descriptor: &Value) -> Result<PathBuf> {
        let digest: Digest = text(&descriptor["digest"])?.parse()?;
        let path = self.path(&digest);
        let (found, size) = hash(File::open(&path).map_err(|error| format!("{digest}: {error}"))?)?;
        if found != digest || Some(size) != descriptor["size"].as_u64() {
            return Err(format!("{descriptor}: found {size} bytes of {found}").into());
        }
        Ok(path)
    }
}

impl Verified {
    /// Checks that all layers have this media type, and that what they hold, unpacked, is what the
    /// config says; returns their size together.
    pub(crate) fn verify_layers(&self, media_type: &str) -> Result<u64> {
        let mut size = 0;
        let described = list(&self.manifest["layers"])?;
        for ((layer, path), diff_id) in described.iter().zip(&self.layers).zip(&self.diff_ids) {
            if layer["mediaType"] != media_type {
                return Err(format!("a layer is {}, not {media_type}", layer["mediaType"]).into());
            }
            let (found, _) = hash(decoder(File::open(path)?, media_type)?)?;
            if found.to_string() != *diff_id {
                return Err(format!("a layer holds {found}, not {diff_id}").into());
            }
            size += layer["size"].as_u64().ok_or("a layer without size")?;
        }
        Ok(size)
    }
}

fn decoder(file: File, media_type: &str) -> Result<Box<dyn Read>> {
    let file = BufReader::with_capacity(1 << 18, file);
    Ok(match media_type.rsplit_once('+') {
        Some((_, "gzip")) => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
        Some((_, "zstd")) => Box::new(zstd::stream::read::Decoder::with_buffer(file)?),
        _ => Box::new(file),
    })
}

fn hash(mut reader: impl Read) -> io::Result<(Digest, u64)> {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut buffer = vec![0; 1 << 18];
    loop {
        let count = reader.read(&mut buffer)?;
        if count == 0 {
            let size = hasher.count();
            return Ok((hasher.finish(), size));
        }
        hasher.update(&buffer[..count]);
    }
}

fn list(value: &Value) -> Result<&Vec<Value>> {
    value.as_array().ok_or_else(|| format!("{value} is no list").into())
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().ok_or_else(|| format!("{value} is no text").into())
}
