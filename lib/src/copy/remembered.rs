//! Remembers what a layer became when it was compressed anew, so that the same work is not done
//! twice and its result can be found at the destination by digest.
//!
//! One small file per layer and way of compressing, in a directory that may be deleted at any time.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::options::LayerCompression;
use crate::spec::{Compression, Descriptor, DiffId, Digest};
use crate::sys::atomic;

/// The record, or nothing at all where no directory can be written.
pub struct Remembered {
    directory: Option<PathBuf>,
}

/// What a layer became.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Became {
    /// The blob.
    pub descriptor: Descriptor,
    /// Digest of its uncompressed stream.
    pub diff_id: DiffId,
}

impl Remembered {
    /// Keeps records below `directory`; `None` keeps none.
    pub fn new(directory: Option<PathBuf>) -> Remembered {
        Remembered { directory }
    }

    /// What `layer` became before, if that is known.
    pub(super) fn find(&self, layer: &Digest, how: LayerCompression) -> Option<Became> {
        let bytes = std::fs::read(self.path(layer, how)?).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Notes what `layer` became. Failing to do so costs only time later.
    pub(super) fn record(&self, layer: &Digest, how: LayerCompression, became: &Became) {
        let (Some(path), Ok(bytes)) = (self.path(layer, how), serde_json::to_vec(became)) else { return };
        if let Some(parent) = path.parent()
            && std::fs::create_dir_all(parent).is_ok()
        {
            let _ = atomic::write_file(&path, &bytes);
        }
    }

    /// The name holds everything that the result's bytes depend on.
    fn path(&self, layer: &Digest, how: LayerCompression) -> Option<PathBuf> {
        let algorithm = match how.compression {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        };
        let level = how.level.map_or("default".to_owned(), |level| level.to_string());
        let name = format!("{}-{algorithm}-{level}-v{ENCODER_VERSION}.json", layer.hex());
        Some(self.directory.as_ref()?.join(name))
    }
}

/// Changed whenever an encoder of ours may give other bytes than before.
const ENCODER_VERSION: u32 = 1;
