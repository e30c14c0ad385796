//! Unpacked layers, one directory each.
//!
//! Owns `layers/` under the store's root: `<alg>-<hex of the DiffId>/` with `diff/`, the tree in
//! an overlay form, and `layer.json`. A layer whose archive only implies directories that lower
//! layers have is right only above those: then `<alg>-<hex of the ChainId>.dirs/diff/` holds just
//! these directories, as they should be, and is stacked on top of the layer. Promise: a directory
//! with its final name is whole and, unless flushes are left out, on disk. Does not know images,
//! names or mounts.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Store;
use super::prune::directories;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::layer::{ImpliedDir, Limits, Ownership, UnpackReport, WhiteoutForm};
use crate::spec::{Algorithm, ChainId, Descriptor, DiffId, Digest};

/// The tree of a layer, in its directory.
pub(super) const TREE: &str = "diff";
/// What is known of it, beside the tree.
pub(super) const RECORD: &str = "layer.json";
/// What the directories of [`ChainId`]s end in.
const DIRS: &str = ".dirs";
/// Largest record.
const MAX_RECORD: u64 = 64 << 20;
/// Attributes and devices that a record lists by name.
const MAX_LISTED: usize = 100;

/// How layers are unpacked.
#[derive(Clone, Debug)]
pub struct UnpackSettings {
    /// How deletions are written down.
    pub form: WhiteoutForm,
    /// Whom the files belong to.
    pub ownership: Ownership,
    /// What an archive may cost.
    pub limits: Limits,
    /// Threads beside the reading one that write small files.
    pub writers: usize,
    /// Whether the compressed bytes stay in the store as well.
    pub keep_blobs: bool,
}

impl Default for UnpackSettings {
    fn default() -> UnpackSettings {
        UnpackSettings {
            form: WhiteoutForm::OverlayTrusted,
            ownership: Ownership::Keep,
            limits: Limits::default(),
            writers: 1,
            keep_blobs: true,
        }
    }
}

/// What is known of an unpacked layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerRecord {
    /// Digest of the archive.
    pub diff_id: DiffId,
    /// How deletions are written down.
    pub form: Form,
    /// The blob that it came from, if it came from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Descriptor>,
    /// Length of the archive.
    pub archive_bytes: u64,
    /// Entries in it.
    pub entries: u64,
    /// Bytes of content of all files.
    pub bytes: u64,
    /// Directories that the archive only implies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) implied: Vec<Implied>,
    /// How many extended attributes could not be set.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped_xattrs: u64,
    /// The first of them: path, name and reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<String>,
    /// Devices that could not be made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped_devices: Vec<String>,
}

/// [`WhiteoutForm`] of a tree that stands alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// `trusted.overlay.…`
    OverlayTrusted,
    /// `user.overlay.…`
    OverlayUser,
}

/// A directory that an archive only implies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Implied {
    /// Its path, bytes other than letters, digits and `/._-` as `%` and two digits.
    path: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    only_whiteouts: bool,
}

impl From<Form> for WhiteoutForm {
    fn from(form: Form) -> WhiteoutForm {
        match form {
            Form::OverlayTrusted => WhiteoutForm::OverlayTrusted,
            Form::OverlayUser => WhiteoutForm::OverlayUser,
        }
    }
}

impl TryFrom<WhiteoutForm> for Form {
    type Error = Error;

    fn try_from(form: WhiteoutForm) -> Result<Form> {
        match form {
            WhiteoutForm::OverlayTrusted => Ok(Form::OverlayTrusted),
            WhiteoutForm::OverlayUser => Ok(Form::OverlayUser),
            WhiteoutForm::Apply => Err(Error::invalid("a layer in the store stands alone")),
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl LayerRecord {
    pub(super) fn new(
        diff_id: &DiffId,
        form: Form,
        source: Option<Descriptor>,
        report: &UnpackReport,
    ) -> LayerRecord {
        let dropped = report.dropped_xattrs.iter().take(MAX_LISTED).map(|lost| {
            let (path, name) = (lost.path.escape_ascii(), lost.name.escape_ascii());
            format!("{path}: {name}: {:?}", lost.reason)
        });
        let devices = report.skipped_devices.iter().take(MAX_LISTED);
        LayerRecord {
            diff_id: diff_id.clone(),
            form,
            source,
            archive_bytes: report.archive_bytes,
            entries: report.entries,
            bytes: report.bytes,
            implied: report.implied_dirs.iter().map(Implied::new).collect(),
            dropped_xattrs: report.dropped_xattr_count,
            dropped: dropped.collect(),
            skipped_devices: devices.map(|path| path.escape_ascii().to_string()).collect(),
        }
    }

    /// A record of a tree that was made here and implies nothing.
    pub fn made(diff_id: &DiffId, form: Form, archive_bytes: u64, entries: u64) -> LayerRecord {
        let report = UnpackReport { archive_bytes, entries, ..UnpackReport::default() };
        LayerRecord::new(diff_id, form, None, &report)
    }

    /// The directories that depend on lower layers.
    pub(super) fn implied_dirs(&self) -> Result<Vec<ImpliedDir>> {
        let named = self.implied.iter().filter(|dir| !dir.path.is_empty());
        named.map(Implied::read).collect()
    }

    /// Whether the archive says what the root directory is like.
    pub fn has_root(&self) -> bool {
        !self.implied.iter().any(|dir| dir.path.is_empty())
    }

    pub(super) fn write(&self, layer: &Path) -> Result<()> {
        let path = layer.join(RECORD);
        let writing = || format!("writing {}", path.display());
        let text = serde_json::to_vec(self)
            .map_err(|error| Error::caused(ErrorKind::Failed, writing(), error))?;
        std::fs::write(&path, text).doing(writing)
    }

    pub(super) fn read(layer: &Path) -> Result<Option<LayerRecord>> {
        super::record::read(&layer.join(RECORD), MAX_RECORD, ErrorKind::Corrupt)
    }
}

impl Implied {
    fn new(dir: &ImpliedDir) -> Implied {
        let mut path = String::with_capacity(dir.path.len());
        for &byte in &dir.path {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => {
                    path.push(char::from(byte));
                }
                other => path.push_str(&format!("%{other:02X}")),
            }
        }
        Implied { path, only_whiteouts: dir.only_whiteouts }
    }

    fn read(&self) -> Result<ImpliedDir> {
        let wrong = || Error::corrupt(format!("\"{}\" is no escaped path", self.path));
        let mut path = Vec::with_capacity(self.path.len());
        let mut rest = self.path.as_bytes();
        while let [first, after @ ..] = rest {
            rest = after;
            if *first != b'%' {
                path.push(*first);
                continue;
            }
            let digits = rest.get(..2).and_then(|two| std::str::from_utf8(two).ok());
            let byte = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
            path.push(byte.ok_or_else(wrong)?);
            rest = &rest[2..];
        }
        Ok(ImpliedDir { path, only_whiteouts: self.only_whiteouts })
    }
}

/// A directory in `layers/`.
pub(super) struct StoredLayer {
    /// The layer's DiffId, or the ChainId that its directories belong to.
    pub(super) digest: Digest,
    /// Whether it is a layer, and not directories for one.
    pub(super) whole: bool,
    pub(super) path: PathBuf,
}

impl Store {
    pub(super) fn layers_dir(&self) -> PathBuf {
        self.root.join("layers")
    }

    /// Where a layer is or would be unpacked.
    pub(super) fn layer_path(&self, layer: &DiffId) -> PathBuf {
        self.layers_dir().join(file_name(&layer.0))
    }

    /// Where the directories that a layer only implies are or would be.
    pub(super) fn dirs_path(&self, chain: &ChainId) -> PathBuf {
        self.layers_dir().join(file_name(&chain.0) + DIRS)
    }

    /// What is known of a layer, if it is unpacked here.
    pub fn layer(&self, layer: &DiffId) -> Result<Option<LayerRecord>> {
        LayerRecord::read(&self.layer_path(layer))
    }

    /// Where the tree of an unpacked layer is or would be.
    pub fn layer_tree(&self, layer: &DiffId) -> PathBuf {
        self.layer_path(layer).join(TREE)
    }

    /// All that is in `layers/`.
    pub(super) fn unpacked_layers(&self) -> Result<Vec<StoredLayer>> {
        let mut found = Vec::new();
        for path in directories(&self.layers_dir())? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let stem = name.strip_suffix(DIRS);
            let Some(digest) = parse_name(stem.unwrap_or(&name)) else { continue };
            found.push(StoredLayer { digest, whole: stem.is_none(), path });
        }
        Ok(found)
    }
}

fn file_name(digest: &Digest) -> String {
    format!("{}-{}", digest.algorithm().as_str(), digest.hex())
}

fn parse_name(name: &str) -> Option<Digest> {
    let (algorithm, hex) = name.split_once('-')?;
    let known = [Algorithm::Sha256, Algorithm::Sha512];
    let algorithm = known.into_iter().find(|known| known.as_str() == algorithm)?;
    format!("{}:{hex}", algorithm.as_str()).parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn any_path_survives_a_record() {
        let every: Vec<u8> = (1..=255).collect();
        for path in [b"usr/lib".to_vec(), b"100%41".to_vec(), every] {
            let dir = ImpliedDir { path, only_whiteouts: true };
            assert_eq!(Implied::new(&dir).read().unwrap(), dir);
        }
        for wrong in ["%", "%4", "%xy"] {
            let dir = Implied { path: wrong.to_owned(), only_whiteouts: false };
            assert_eq!(dir.read().unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }
}
