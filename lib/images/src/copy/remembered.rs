//! Remembers what a layer became when it was compressed anew, so that the same work is not done
//! twice and its result can be found at the destination by digest.
//!
//! One small file per layer and way of compressing, in a directory that may be deleted at any time.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::options::LayerCompression;
use crate::spec::{Compression, Descriptor, DiffId, Digest};
use crate::sys;

/// The record, or nothing at all where no directory can be written.
pub struct Remembered {
    directory: Option<PathBuf>,
}

/// What a layer became.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Became {
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
        let bytes = std::fs::read(self.directory.as_ref()?.join(name(layer, how))).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Notes what `layer` became. Failing to do so costs only time later.
    pub(super) fn record(&self, layer: &Digest, how: LayerCompression, became: &Became) {
        let (Some(directory), Ok(bytes)) = (&self.directory, serde_json::to_vec(became)) else {
            return;
        };
        if std::fs::create_dir_all(directory).is_ok()
            && let Ok(directory) = sys::Dir::open(directory)
        {
            let _ = sys::write_file(&directory, name(layer, how).as_bytes(), &bytes, 0o644);
        }
    }
}

/// The name holds everything that the result's bytes depend on.
fn name(layer: &Digest, how: LayerCompression) -> String {
    let algorithm = match how.compression {
        Compression::None => "none",
        Compression::Gzip => "gzip",
        Compression::Zstd => "zstd",
    };
    let level = how.level.map_or("default".to_owned(), |level| level.to_string());
    format!("{}-{algorithm}-{level}-v{ENCODER_VERSION}.json", layer.hex())
}

/// Changed whenever an encoder of ours may give other bytes than before.
const ENCODER_VERSION: u32 = 2;
