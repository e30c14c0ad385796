//! What a person may ask of a copy, and what they are told afterwards.

use serde::Serialize;

use crate::spec::{Compression, Descriptor, Dialect, Digest, MediaType, Platform};

/// Which images of an index are copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Selection {
    /// The whole index; the one image where the destination holds only one or is the local store.
    #[default]
    Usual,
    /// The whole index, everywhere.
    All,
    /// These platforms and what is attested about them.
    Platforms(Vec<Platform>, Shape),
}

/// What becomes of an index of which only some images are copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// A new index that lists only what was copied.
    #[default]
    Stripped,
    /// The same bytes, though some of its images are not there.
    Sparse,
    /// No index: the one image's manifest.
    Single,
}

/// How layers are to be compressed at the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerCompression {
    /// The algorithm.
    pub compression: Compression,
    /// Its level; `None` for its default.
    pub level: Option<i32>,
    /// Also layers that are compressed already, in another way.
    pub recompress: bool,
}

impl LayerCompression {
    /// Whether a layer has to be written anew.
    pub fn applies_to(&self, layer: &Descriptor) -> bool {
        let Some(layer) = layer.media_type.as_layer() else { return false };
        let differs = layer.compression != self.compression;
        let free = layer.compression == Compression::None
            || self.compression == Compression::None
            || self.recompress;
        differs && free && !layer.encrypted && !layer.foreign
    }
}

/// Behaviour of one copy.
#[derive(Clone, Debug)]
pub struct CopyOptions {
    /// Which images of an index.
    pub selection: Selection,
    /// Convert manifests and configs to this vocabulary.
    pub format: Option<Dialect>,
    /// Change how layers are compressed.
    pub compression: Option<LayerCompression>,
    /// Fail rather than change any byte of a manifest.
    pub preserve_digests: bool,
    /// Signatures, SBOMs and attestations that refer to what is copied come along.
    pub with_referrers: bool,
    /// Leave a destination name alone that exists already.
    pub no_clobber: bool,
    /// Further tags for the result, at the same destination.
    pub additional_tags: Vec<String>,
    /// Copy an index although some of its images are not at the source.
    pub sparse_source: bool,
    /// The digest the source must have, when the person pinned one.
    pub expected: Option<Digest>,
}

impl Default for CopyOptions {
    fn default() -> CopyOptions {
        CopyOptions {
            selection: Selection::Usual,
            format: None,
            compression: None,
            preserve_digests: false,
            with_referrers: false,
            no_clobber: false,
            additional_tags: Vec::new(),
            sparse_source: false,
            expected: None,
        }
    }
}

impl CopyOptions {
    /// Whether manifests may end up with other bytes than they had.
    pub fn edits(&self) -> bool {
        self.format.is_some()
            || self.compression.is_some()
            || matches!(self.selection, Selection::Platforms(..))
    }
}

/// So many pieces and so many bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Number of blobs.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Tally {
    /// Counts one more.
    pub fn add(&mut self, bytes: u64) {
        self.blobs += 1;
        self.bytes += bytes;
    }
}

/// What a copy did.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CopyReport {
    /// Digest of the root manifest at the destination.
    pub digest: Digest,
    /// Digest of the root manifest at the source.
    pub source_digest: Digest,
    /// What the root is.
    pub media_type: MediaType,
    /// Names it was published under, besides the destination's own.
    pub additional_tags: Vec<String>,
    /// Blobs whose bytes moved.
    pub moved: Tally,
    /// Blobs that were there already.
    pub skipped: Tally,
    /// Blobs that the destination took from elsewhere by itself.
    pub mounted: Tally,
    /// Manifests written.
    pub manifests: u64,
    /// Referrers that came along.
    pub referrers: u64,
    /// The destination had it all before.
    pub unchanged: bool,
    /// How long it took.
    pub seconds: f64,
}

/// What a copy would do.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanReport {
    /// Digest of the root manifest at the source.
    pub digest: Digest,
    /// What the root is.
    pub media_type: MediaType,
    /// Nothing to do: the destination has it.
    pub unchanged: bool,
    /// Manifests that would be written, children first.
    pub manifests: Vec<PlannedManifest>,
    /// Blobs, largest first.
    pub blobs: Vec<PlannedBlob>,
    /// Bytes that would have to move at most.
    pub bytes: u64,
}

/// A manifest of a plan.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedManifest {
    /// Its digest at the source.
    pub digest: Digest,
    /// What it is.
    pub media_type: MediaType,
    /// Its platform, where the index told it.
    pub platform: Option<String>,
}

/// A blob of a plan.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedBlob {
    /// Its digest at the source.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// `config`, `layer` or `other`.
    pub what: &'static str,
    /// `move`, `present` or `convert`.
    pub action: &'static str,
}
