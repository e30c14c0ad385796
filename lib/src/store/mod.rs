//! The local store: plain files under one root.
//!
//! ```text
//! <root>/format                    JSON: version and lists of features a reader must know
//! <root>/lock                      held while names or final file names change, never while bytes move
//! <root>/.creel-<id>/              content on its way; locked by its owner, swept when that is gone
//! <root>/partial/<alg>-<hex>       a download that was cut
//! <root>/uploads/                  notes on uploads that were cut (kept by `registry`)
//! <root>/blobs/<alg>/<hex>         content by digest: manifests, configs, layers
//! <root>/images/<escaped name>     JSON: one name and the descriptor it stands for
//! <root>/cache/                    what can be made again
//! <root>/layers/ containers/ volumes/ networks/    reserved
//! ```
//!
//! Promise: **whatever has its final name is complete and on disk.** Content is written under
//! `.creel-…`, flushed together, renamed under the lock, the directories flushed, and the name
//! written last. A crash at any point leaves the old state or the new one, and at most content
//! that nothing refers to, which [`Store::prune`] removes. Names in `images/` are the roots.
//!
//! Does not know registries; what it is given has been verified by its reader.

mod fill;
mod format;
mod names;
mod partial;
mod prune;
mod staging;

use std::fs::File;
use std::path::{Path, PathBuf};

use bytes::Bytes;

pub(crate) use fill::fill;
pub use names::{Image, StoreName};
pub use partial::{Partial, Partials};
pub use prune::{PruneOptions, Pruned};
pub(crate) use staging::{Marker, Staging, lock_place, sweep};

use crate::blob::FileBlob;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::spec::{Descriptor, Digest, MAX_INDEX_DEPTH, MAX_MANIFEST, Manifest};
use crate::sys::{self, Dir, Lock};

/// The file whose lock guards final names.
pub(crate) const LOCK: Marker = Marker { name: "lock", content: "" };

/// A store, open for reading; what writes takes the lock by itself.
///
/// A root that does not exist is an empty store: nothing is made before something is written.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

/// How much of an image is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holding {
    /// Not even the manifest.
    Nothing,
    /// The bytes themselves, or a manifest of whose children something is missing.
    Part,
    /// The manifest and all that it refers to.
    Whole,
}

impl Store {
    /// Opens the store at `root`.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if a newer version wrote it in a form that is not known here.
    pub fn open(root: &Path) -> Result<Store> {
        format::check(root)?;
        Ok(Store { root: root.to_owned() })
    }

    /// Where the store is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Prepares to write: makes the root, readable by its owner alone, and notes the format.
    pub(crate) fn begin(&self) -> Result<Staging> {
        let making = || format!("making the store {}", self.root.display());
        std::fs::create_dir_all(&self.root).doing(making)?;
        let root = Dir::open(&self.root).doing(making)?;
        sys::set_mode(&root, 0o700).doing(making)?;
        format::ensure(&root)?;
        let staging = Staging::begin(&self.root, &LOCK)?;
        Ok(staging.with_partials(Partials::new(&self.root)))
    }

    /// Waits for the right to change final names.
    pub(crate) fn lock(&self) -> Result<Lock> {
        lock_place(&self.root, &LOCK)
    }

    /// Where the bytes of `digest` are or would be.
    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs").join(digest.algorithm().as_str()).join(digest.hex())
    }

    /// The directory of blobs that `digest` belongs into, made if missing.
    pub(crate) fn blob_directory(&self, digest: &Digest) -> Result<Dir> {
        let path = self.root.join("blobs").join(digest.algorithm().as_str());
        let making = || format!("making {}", path.display());
        std::fs::create_dir_all(&path).doing(making)?;
        Dir::open(&path).doing(making)
    }

    /// The size of a blob, if it is there.
    pub fn size_of(&self, digest: &Digest) -> Result<Option<u64>> {
        match std::fs::symlink_metadata(self.blob_path(digest)) {
            Ok(meta) if meta.is_file() => Ok(Some(meta.len())),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(format!("looking for {digest} in the store"), error)),
        }
    }

    /// Opens a blob; its reader verifies it.
    ///
    /// # Errors
    /// `NotFound`, and `Corrupt` when its size is not the descriptor's.
    pub fn blob(&self, what: &Descriptor) -> Result<FileBlob> {
        let opening = || format!("opening {} in the store", what.digest);
        let file = match File::open(self.blob_path(&what.digest)) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::not_found(format!("the store does not hold {}", what.digest)));
            }
            Err(error) => return Err(Error::io(opening(), error)),
        };
        let size = file.metadata().doing(opening)?.len();
        if size != what.size {
            return Err(Error::corrupt(format!(
                "{} has {size} bytes in the store but should have {}: `creel-inspect check` tells more",
                what.digest, what.size
            )));
        }
        Ok(FileBlob::whole(file, what))
    }

    /// Reads a manifest.
    pub fn manifest(&self, what: &Descriptor) -> Result<Manifest> {
        use std::io::Read;
        if what.size > MAX_MANIFEST {
            return Err(Error::invalid(format!("manifest {} is too large", what.digest)));
        }
        let mut raw = Vec::new();
        let read = self.blob(what)?.reader().read_to_end(&mut raw);
        read.doing(|| format!("reading manifest {} of the store", what.digest))?;
        Manifest::verified(Bytes::from(raw), what)
    }

    /// How much of `what` is there. Blobs are looked for, not read.
    pub fn holding(&self, what: &Descriptor) -> Result<Holding> {
        self.holding_below(what, MAX_INDEX_DEPTH + 1)
    }

    fn holding_below(&self, what: &Descriptor, depth: usize) -> Result<Holding> {
        if self.size_of(&what.digest)? != Some(what.size) {
            return Ok(Holding::Nothing);
        }
        if !what.media_type.is_manifest() {
            return Ok(Holding::Whole);
        }
        if depth == 0 {
            return Ok(Holding::Part);
        }
        let manifest = match self.manifest(what) {
            Ok(manifest) => manifest,
            // A manifest that cannot be read is not there: putting it again mends it.
            Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(Holding::Nothing),
            Err(error) => return Err(error),
        };
        for child in manifest.children() {
            if self.holding_below(child, depth - 1)? != Holding::Whole {
                return Ok(Holding::Part);
            }
        }
        Ok(Holding::Whole)
    }
}
