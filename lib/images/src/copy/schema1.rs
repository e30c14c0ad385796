//! Docker's old manifests: converted before they are copied.
//!
//! A schema 1 manifest tells neither sizes nor diff IDs, so its layers are read once into unnamed
//! files. What comes out is a place like any other, holding the same image in today's form.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::path::Path;

use bytes::Bytes;

use crate::blob::{Blob, Decoder, FileBlob};
use crate::error::{Error, IoContext, Result};
use crate::spec::{
    Algorithm, Descriptor, Dialect, DiffId, Digest, Hasher, LayerFacts, Manifest, MediaType,
    Schema1,
};
use crate::sys::{Dir, scratch_file};
use crate::transport::{Origin, Referrer, Source};

/// An image converted from schema 1.
pub(super) struct Converted {
    manifest: Manifest,
    config: Bytes,
    layers: HashMap<Digest, FileBlob>,
}

impl Converted {
    /// Reads all layers of `schema1` from `source` into unnamed files below `scratch`.
    pub(super) async fn read<S: Source>(
        source: &S,
        schema1: &Schema1,
        dialect: Dialect,
        scratch: &Path,
    ) -> Result<Converted> {
        let mut facts = Vec::new();
        let mut layers = HashMap::new();
        for digest in schema1.layers() {
            let size = source.measure(digest).await?;
            let what = Descriptor::new(MediaType::Other(String::new()), digest.clone(), size);
            let blob = source.open(&what).await?;
            let scratch = scratch.to_owned();
            let (file, found) = blob.consume(move |reader| keep(reader, what, &scratch)).await?;
            layers.insert(digest.clone(), file);
            facts.push(found);
        }
        let (config, manifest) = schema1.convert(dialect, &facts)?;
        Ok(Converted { manifest, config: config.raw().clone(), layers })
    }
}

/// Writes one layer to an unnamed file and learns what the manifest does not tell.
fn keep(mut reader: impl Read, what: Descriptor, scratch: &Path) -> Result<(FileBlob, LayerFacts)> {
    let doing = || format!("keeping layer {} in {}", what.digest, scratch.display());
    std::fs::create_dir_all(scratch).doing(doing)?;
    let mut file = Dir::open(scratch).and_then(|dir| scratch_file(&dir)).doing(doing)?;
    std::io::copy(&mut reader, &mut file).doing(doing)?;
    file.flush().doing(doing)?;
    let blob = FileBlob::whole(file, &what);
    let mut decoder = Decoder::new(blob.reader()).doing(doing)?;
    let compression = decoder.format().compression().ok_or_else(|| {
        Error::unsupported(format!("layer {} is wrapped in {}", what.digest, decoder.format()))
    })?;
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut buffer = vec![0; crate::blob::CHUNK];
    loop {
        match decoder.read(&mut buffer).doing(doing)? {
            0 => break,
            count => hasher.update(&buffer[..count]),
        }
    }
    Ok((blob, LayerFacts { size: what.size, compression, diff_id: DiffId(hasher.finish()) }))
}

impl Source for Converted {
    async fn resolve(&self) -> Result<Descriptor> {
        Ok(self.manifest.descriptor())
    }

    async fn read_root(&self) -> Result<Manifest> {
        Ok(self.manifest.clone())
    }

    async fn open(&self, what: &Descriptor) -> Result<Blob> {
        if let Some(layer) = self.layers.get(&what.digest) {
            return Ok(Blob::File(layer.clone()));
        }
        if what.digest.matches(&self.config) {
            return Ok(Blob::Bytes(self.config.clone()));
        }
        Err(Error::not_found(format!("{} is no part of the converted image", what.digest)))
    }

    async fn measure(&self, blob: &Digest) -> Result<u64> {
        match self.layers.get(blob) {
            Some(layer) => Ok(layer.size),
            None => Err(Error::not_found(format!("{blob} is no part of the converted image"))),
        }
    }

    async fn referrers(&self, _: &Descriptor) -> Result<Vec<Referrer>> {
        Ok(Vec::new())
    }

    fn origin(&self) -> Origin {
        Origin::Elsewhere
    }
}
