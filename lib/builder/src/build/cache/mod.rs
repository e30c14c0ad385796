//! What earlier builds have made, as plain files below the store's `cache/`.
//!
//! ```text
//! steps/<definition>/<inputs>   JSON: the layer that a step made
//! toc/<diff id>                 a layer's table of contents
//! last/<place>                  JSON: the parts of a step's key, to tell what differs
//! prints/<context>              digests of a context's files, by what `stat` says of them
//! flights/<step>                locked while somebody makes a step
//! web/<url>                     JSON: what a file of the web was, and what its server calls that
//! ```
//!
//! A step is found in two looks: its definition (the instruction, expanded, and the files below it
//! by their chain ID) and then the content that it reads. Promise: a record appears whole, after
//! its layer is in the store, and one whose layer is gone does not count; deleting any of these
//! files costs time and nothing else. Keys are length-framed and versioned. Secrets and proxies
//! are in none of them.

mod prints;
mod record;
pub(super) mod usage;
mod web;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

pub(super) use prints::{Prints, with_xattrs};
pub(super) use record::{Key, Reader, Writer};
pub(super) use web::WebRecord;

use super::view::Toc;
use crate::error::{IoContext, Result};
use crate::spec::{DiffId, Digest};

/// Largest file of the cache that is read whole.
const MAX_FILE: u64 = 256 << 20;

/// What a step made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Made {
    /// The layer.
    pub(super) diff_id: DiffId,
    /// Its size, uncompressed.
    pub(super) size: u64,
    /// When it was made, RFC 3339.
    pub(super) created: String,
}

/// A named part of a step's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    /// What it is, in words.
    pub(super) name: String,
    /// What it was.
    pub(super) digest: Digest,
}

/// The key of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StepKey {
    /// What is done, to what.
    pub(super) definition: Digest,
    /// What it reads; empty steps read nothing.
    pub(super) inputs: Digest,
}

/// The cache of one store.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    dir: PathBuf,
}

impl Cache {
    /// Below the root of a store. Nothing is made before something is recorded.
    pub(super) fn new(store: &Path) -> Cache {
        Cache { dir: store.join("cache/build") }
    }

    fn definition(&self, definition: &Digest) -> PathBuf {
        self.dir.join("steps").join(definition.hex())
    }

    /// Whether a step of this definition was ever made; if not, its inputs need not be read to
    /// look for it.
    pub(super) fn knows(&self, definition: &Digest) -> bool {
        self.definition(definition).is_dir()
    }

    /// What a step made before.
    pub(super) fn find(&self, key: &StepKey) -> Option<Made> {
        let bytes = std::fs::read(self.definition(&key.definition).join(key.inputs.hex())).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Notes what a step made, whose layer is in the store.
    pub(super) fn record(&self, key: &StepKey, made: &Made) -> Result<()> {
        let bytes = serde_json::to_vec(made).map_err(|error| {
            crate::Error::caused(crate::ErrorKind::Failed, "writing a record of the cache", error)
        })?;
        publish(&self.definition(&key.definition), key.inputs.hex(), &bytes)
    }

    /// The file that is locked while a step is made.
    pub(super) fn flight(&self, key: &StepKey) -> PathBuf {
        let mut name = Key::new("flight");
        name.text(key.definition.hex()).text(key.inputs.hex());
        self.dir.join("flights").join(name.finish().hex())
    }

    /// The parts of the key of the step at a place, the last time that it was made.
    pub(super) fn last_parts(&self, place: &Digest) -> Option<Vec<Part>> {
        serde_json::from_slice(&read(&self.dir.join("last").join(place.hex()))?).ok()
    }

    /// Notes the parts of a step's key.
    pub(super) fn note_parts(&self, place: &Digest, parts: &[Part]) {
        if let Ok(bytes) = serde_json::to_vec(parts) {
            // Without it, nothing can be explained.
            let _ = publish(&self.dir.join("last"), place.hex(), &bytes);
        }
    }

    /// A layer's table of contents, if it was noted.
    pub(super) fn toc(&self, layer: &DiffId) -> Option<Toc> {
        Toc::from_bytes(&read(&self.dir.join("toc").join(layer.0.hex()))?)
    }

    /// Notes a layer's table of contents.
    pub(super) fn note_toc(&self, layer: &DiffId, toc: &Toc) {
        // Without it, the layer is read again.
        let _ = publish(&self.dir.join("toc"), layer.0.hex(), &toc.to_bytes());
    }

    /// The digests of a context's files.
    pub(super) fn prints(&self, context: &Path) -> Prints {
        let context = context.canonicalize().unwrap_or_else(|_| context.to_owned());
        let mut key = Key::new("context");
        key.bytes(context.as_os_str().as_encoded_bytes());
        Prints::load(self.dir.join("prints"), key.finish().hex().to_owned())
    }
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let file = std::fs::File::open(path).ok()?;
    if file.metadata().ok()?.len() > MAX_FILE {
        return None;
    }
    std::fs::read(path).ok()
}

/// Gives bytes their name, whole or not at all. They need not survive a power cut: what is torn
/// does not count.
fn publish(dir: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let path = dir.join(name);
    let writing = || format!("writing {}", path.display());
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let temporary = dir.join(format!(".{}-{count}", std::process::id()));
    let written = std::fs::create_dir_all(dir)
        .and_then(|()| std::fs::write(&temporary, bytes))
        .and_then(|()| std::fs::rename(&temporary, &path));
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written.doing(writing)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back() {
        let place = tempfile::tempdir().unwrap();
        let cache = Cache::new(place.path());
        let digest = |text: &str| Digest::sha256(text.as_bytes());
        let key = StepKey { definition: digest("d"), inputs: digest("i") };
        let made = Made { diff_id: DiffId(digest("l")), size: 7, created: "now".into() };
        assert!(!cache.knows(&key.definition) && cache.find(&key).is_none());
        cache.record(&key, &made).unwrap();
        assert_eq!((cache.knows(&key.definition), cache.find(&key)), (true, Some(made)));
        let other = StepKey { inputs: digest("j"), ..key.clone() };
        assert_eq!(cache.find(&other), None);
        let path = cache.definition(&key.definition).join(key.inputs.hex());
        std::fs::write(path, b"{\"diffId\":").unwrap();
        assert_eq!(cache.find(&key), None);
    }
}
