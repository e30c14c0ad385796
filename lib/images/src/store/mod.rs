//! The local store: plain files under one root.
//!
//! ```text
//! <root>/format                  JSON: version and lists of features that a program must know
//! <root>/lock                    held for milliseconds: together to add to a lease, alone to take
//!                                content away; never while bytes move
//! <root>/tmp/<owner>/            content on its way and a `lease` of digests; `lock` in it is held by
//!                                its owner, and what has no owner is swept
//! <root>/partial/<alg>-<hex>     a download that was cut, beside it `….state` of its hash; locked
//!                                while in use, outlives its owner
//! <root>/uploads/                notes on uploads that were cut (kept by `registry`)
//! <root>/blobs/<alg>/<hex>       content by digest, read-only: manifests, configs, layers
//! <root>/layers/<alg>-<hex>/     one unpacked layer by DiffId: `diff/` and `layer.json`
//! <root>/layers/<alg>-<hex>.dirs/  directories that a layer only implies, by ChainId
//! <root>/images/<escaped name>   JSON: one name, the descriptor it stands for, what it showed then
//! <root>/containers/<id>/needs   digests that a container keeps from being removed, one per line
//! <root>/cache/                  what can be made again
//! <root>/mounts/<hash>/needs      digests that a mounted image keeps from being removed
//! <root>/volumes/<name>/         what containers keep: `volume.json`, `_data/`
//! <root>/networks/               reserved; addresses in use are in the state directory
//! ```
//!
//! Names are escaped byte by byte: letters, digits, `.`, `_`, `-` and `@` stand for themselves, all
//! others become `%` and two digits; past 200 bytes the file is called `%` and the name's SHA-256.
//!
//! Promise: **whatever has its final name is complete and on disk.** Content is written under
//! `tmp/` or `partial/`, flushed in groups, renamed (children before manifests), the directories
//! flushed, and names written last. A crash at any point leaves the old state or the new one and at
//! most content that nothing refers to, which [`Store::prune`] removes. Names and containers are the
//! roots. One file per fact and no index: a damaged file costs one image, [`Store::check`] tells
//! which, and [`Store::repair`] mends what can be had again.
//!
//! Any number of processes may use one store. Nobody waits for bytes of others longer than they
//! flow, and no lock outlives its owner.
//!
//! Does not know registries; what it is given has been verified by its reader.

mod check;
mod containers;
mod fill;
mod format;
mod graph;
mod intake;
mod layers;
mod lease;
mod made;
mod marks;
mod mounts;
mod names;
mod owner;
mod partial;
mod proof;
mod prune;
mod record;
mod remake;
mod repair;
mod staging;
mod steps;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
mod unpacking;
mod usage;
mod volumes;
mod writer;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;

pub use check::{Checked, Finding};
pub use containers::{ContainerDir, WORKING};
pub(crate) use fill::fill;
pub use graph::Holding;
pub use layers::{Form, LayerRecord, UnpackSettings};
pub use made::NewBlob;
pub use names::{HeldImage, Image, StoreName};
pub use partial::{Claim, Partial, Partials};
pub use prune::{PruneOptions, Pruned};
pub use remake::Repacked;
pub use repair::{Fetch, Repaired};
pub(crate) use staging::{Marker, Staging, lock_place, sweep};
#[cfg(debug_assertions)]
pub use steps::abort_at;
pub use steps::{Durability, Step, StepHook};
pub use unpacking::Draft;
pub use usage::{Part, Usage};
pub use volumes::Volume;
pub use writer::{Role, Writer};

use crate::blob::FileBlob;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::spec::{Descriptor, DiffId, Digest, ImageConfig, MAX_CONFIG, MAX_MANIFEST, Manifest};
use crate::sys::{self, Lock, LockMode};
use graph::Look;
use owner::Workplace;
use steps::Steps;

/// Longest wait for the store's lock, which is only ever held for moments.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a store is used.
#[derive(Clone, Default)]
pub struct OpenOptions {
    /// Refuse to write, whatever the permissions are.
    pub read_only: bool,
    /// Whether what is published survives a power cut.
    pub durability: Durability,
    /// Called before every step that makes something visible or durable; for tests of crashes.
    pub hook: Option<StepHook>,
}

/// A store. Opening makes nothing: a root that does not exist is an empty store.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
    steps: Steps,
    /// Why nothing may be written, if that is so.
    sealed: Option<String>,
}

impl Store {
    /// Opens the store at `root` for reading and, where permissions allow it, writing.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if a newer version wrote it in a form that is not known here.
    pub fn open(root: &Path) -> Result<Store> {
        Store::open_with(root, OpenOptions::default())
    }

    /// [`Store::open`], used as `options` say.
    pub fn open_with(root: &Path, options: OpenOptions) -> Result<Store> {
        let newer = format::check(root)?;
        let asked = options.read_only.then(|| "it was opened to read only".to_owned());
        Ok(Store {
            root: root.to_owned(),
            steps: Steps { hook: options.hook, durability: options.durability },
            sealed: newer.or(asked),
        })
    }

    /// Whether what is published survives a power cut.
    pub fn durability(&self) -> Durability {
        self.steps.durability
    }

    /// Where the store is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where notes on uploads that were cut lie, for the registry client.
    pub fn uploads(&self) -> PathBuf {
        self.root.join("uploads")
    }

    /// Prepares to write: makes what is missing of the store and takes a place in `tmp/`.
    ///
    /// # Errors
    /// `Denied` if the store may only be read or belongs to somebody else.
    pub fn begin(&self) -> Result<Writer> {
        Writer::begin(self)
    }

    fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    fn images_dir(&self) -> PathBuf {
        self.root.join("images")
    }

    /// Fails unless this process may write here.
    fn writable(&self) -> Result<()> {
        let denied = |why: String| {
            let root = self.root.display();
            Error::new(ErrorKind::Denied, format!("the store {root} cannot be written to: {why}"))
        };
        if let Some(why) = &self.sealed {
            return Err(denied(why.clone()));
        }
        use std::os::unix::fs::MetadataExt;
        let us = sys::effective_ids().0;
        match std::fs::metadata(&self.root) {
            // Files of two owners in one store would lock one of them out.
            Ok(meta) if meta.uid() != us => {
                Err(denied(format!("it belongs to user {} and this is user {us}", meta.uid())))
            }
            _ => Ok(()),
        }
    }

    fn lock_path(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// Waits for the store's lock.
    fn lock(&self, mode: LockMode) -> Result<Lock> {
        let path = self.lock_path();
        let deadline = Instant::now() + PATIENCE;
        let mut pause = Duration::from_millis(1);
        loop {
            if let Some(lock) = Lock::try_acquire(&path, mode)? {
                return Ok(lock);
            }
            if Instant::now() >= deadline {
                return Err(Error::new(
                    ErrorKind::Busy,
                    format!(
                        "{} has been locked by another process for {} seconds; is it stopped?",
                        path.display(),
                        PATIENCE.as_secs()
                    ),
                ));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    /// Takes a place to work in.
    fn workplace(&self) -> Result<Workplace> {
        let _together = self.lock(LockMode::Shared)?;
        Workplace::create(&self.tmp())
    }

    /// Removes what writers that are gone have left, unless others change things just now.
    fn sweep(&self) -> Result<()> {
        let swept = match Lock::try_acquire(&self.lock_path(), LockMode::Exclusive)? {
            Some(_alone) => owner::sweep(&self.tmp())?,
            None => return Ok(()),
        };
        drop(swept);
        Ok(())
    }

    fn blob_dir(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs").join(digest.algorithm().as_str())
    }

    /// Where the bytes of `digest` are or would be.
    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.blob_dir(digest).join(digest.hex())
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
        open_blob(&self.blob_path(&what.digest), what)
    }

    /// Reads a manifest.
    pub fn manifest(&self, what: &Descriptor) -> Result<Manifest> {
        read_manifest(self.blob(what)?, what)
    }

    /// Reads an image's config.
    pub fn config(&self, what: &Descriptor) -> Result<ImageConfig> {
        read_config(self.blob(what)?, what)
    }

    /// How much of `what` is there. Blobs are looked for, not read.
    pub fn holding(&self, what: &Descriptor) -> Result<Holding> {
        graph::holding(self, what)
    }

    /// What of `what` and all below it is not there.
    pub fn missing(&self, what: &Descriptor) -> Result<Vec<Descriptor>> {
        graph::missing(self, what)
    }
}

impl Look for Store {
    fn has(&self, what: &Descriptor) -> Result<bool> {
        Ok(self.size_of(&what.digest)? == Some(what.size))
    }

    fn manifest(&self, what: &Descriptor) -> Result<Option<Manifest>> {
        if_good(Store::manifest(self, what))
    }

    fn config(&self, what: &Descriptor) -> Result<Option<ImageConfig>> {
        if_good(Store::config(self, what))
    }

    fn unpacked(&self, layer: &DiffId) -> Result<bool> {
        Ok(self.layer_path(layer).join(layers::RECORD).is_file())
    }
}

/// What is missing or damaged is not there.
fn if_good<T>(read: Result<T>) -> Result<Option<T>> {
    use ErrorKind::{Corrupt, Invalid, NotFound, Unsupported};
    match read {
        Ok(found) => Ok(Some(found)),
        Err(error) => match error.kind() {
            NotFound | Corrupt | Invalid | Unsupported => Ok(None),
            _ => Err(error),
        },
    }
}

fn open_blob(path: &Path, what: &Descriptor) -> Result<FileBlob> {
    let opening = || format!("opening {} in the store", what.digest);
    let file = match File::open(path) {
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

fn read_manifest(blob: FileBlob, what: &Descriptor) -> Result<Manifest> {
    let raw = read_small(blob, what, MAX_MANIFEST).doing(|| format!("reading {}", what.digest))?;
    Manifest::verified(raw, what)
}

fn read_config(blob: FileBlob, what: &Descriptor) -> Result<ImageConfig> {
    let raw = read_small(blob, what, MAX_CONFIG).doing(|| format!("reading {}", what.digest))?;
    ImageConfig::verified(raw, what)
}

fn read_small(blob: FileBlob, what: &Descriptor, limit: u64) -> Result<Bytes> {
    if what.size > limit {
        return Err(Error::invalid(format!("{} is larger than {limit} bytes", what.media_type)));
    }
    let mut raw = Vec::new();
    blob.reader().read_to_end(&mut raw).doing(|| "verifying")?;
    Ok(raw.into())
}
