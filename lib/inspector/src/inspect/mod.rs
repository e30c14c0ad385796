//! Answers about images, from any place, without pulling them.
//!
//! What manifests and configs tell costs three requests for a remote image: index, manifest,
//! config. What only layers tell costs one pass over each layer, once: `files` keeps its indexes.
//! Reports are made for output and never confuse the digest of an index with that of one of its
//! images. Prints nothing.

mod base;
mod diff;
mod fields;
pub mod files;
mod gate;
mod lines;
mod mount;
mod packages;
mod report;
mod sbom;
mod summary;
mod tree;
mod validate;
mod waste;

pub use base::{Base, Freshness, base, freshness};
pub use diff::{Diff, DiffOptions, FileChange, ListChange, ValueChange, diff};
pub use fields::{CONFIG_SCHEMA, SCHEMA, fields, skopeo_fields};
pub use gate::{GateRules, Status, Verdict};
pub use lines::unified;
pub use mount::{mount, unmount};
pub use packages::packages;
pub use report::{ReportInput, report};
pub use sbom::{SbomFormat, sbom};
pub use summary::{
    Blob, Entry, ImageSummary, LayerSummary, ReferrerSummary, StepSummary, Summary, SummaryOptions,
    age, summary,
};
pub use tree::{Tree, tree};
pub use validate::{Finding, ValidateOptions, Validation, validate};
pub use waste::{LayerWaste, Waste, WastedFile, waste};

use std::collections::BTreeMap;

use crate::error::{Error, ErrorKind, Result};
use crate::spec::{
    Body, Descriptor, Image, ImageConfig, MAX_CONFIG, MAX_INDEX_DEPTH, MAX_MANIFEST, Manifest,
    Platform,
};
use crate::transport::Source;

/// The manifest that runs on `platform`: the root itself, or the best entry of the index.
///
/// # Errors
/// `NotFound` when no entry suits.
pub async fn choose<S: Source>(
    source: &S,
    root: &Manifest,
    platform: &Platform,
) -> Result<Manifest> {
    let chosen = find(source, root, platform).await?;
    chosen.ok_or_else(|| none_for(root, platform))
}

/// The same; `None` when no entry suits.
async fn find<S: Source>(
    source: &S,
    root: &Manifest,
    platform: &Platform,
) -> Result<Option<Manifest>> {
    let mut manifest = root.clone();
    for _ in 0..=MAX_INDEX_DEPTH {
        let Body::Index(index) = manifest.body() else { return Ok(Some(manifest)) };
        let Some(entry) = platform.choose(&index.manifests) else { return Ok(None) };
        manifest = load(source, entry).await?;
    }
    Err(Error::invalid(format!("indexes are nested deeper than {MAX_INDEX_DEPTH}")))
}

fn none_for(root: &Manifest, platform: &Platform) -> Error {
    Error::not_found(format!("the index {} has no image for {platform}", root.digest()))
}

/// Reads a manifest.
pub async fn load<S: Source>(source: &S, what: &Descriptor) -> Result<Manifest> {
    let blob = source.open(what).await?;
    Manifest::verified(blob.into_bytes(MAX_MANIFEST).await?, what)
}

/// Reads the config of an image and checks it against its manifest.
///
/// # Errors
/// `Unsupported` for artifacts, which have none; `Corrupt` where it is missing, for the manifest
/// promises it.
pub async fn image<S: Source>(source: &S, manifest: Manifest) -> Result<Image> {
    let Some(body) = manifest.as_image() else {
        return Err(Error::unsupported(format!(
            "{} is a {}, which has no config of its own",
            manifest.digest(),
            manifest.media_type()
        )));
    };
    let read = async { source.open(&body.config).await?.into_bytes(MAX_CONFIG).await };
    let raw = read.await.map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::caused(ErrorKind::Corrupt, "the config is missing", error),
        _ => error,
    })?;
    let config = ImageConfig::verified(raw, &body.config)?;
    Image::new(manifest, config)
}

/// The history line that made each layer, where the config tells.
pub(crate) fn made_by(image: &Image) -> BTreeMap<usize, String> {
    let steps = image.steps().into_iter();
    steps.filter_map(|step| Some((step.layer?, step.history?.created_by.clone()?))).collect()
}
