//! Frees what no name refers to.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::{Store, StoreName, sweep};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::spec::{Algorithm, Descriptor, Digest, MAX_INDEX_DEPTH};

/// What is freed.
#[derive(Clone, Debug, Default)]
pub struct PruneOptions {
    /// Only what has not changed for this time.
    pub older_than: Option<Duration>,
    /// Then the oldest names too, until blobs take up no more bytes than this.
    pub max_size: Option<u64>,
    /// Report, but remove nothing.
    pub dry_run: bool,
}

/// What was freed, or would be.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Pruned {
    /// Names taken away because of `max_size`.
    pub names: Vec<String>,
    /// Number of blobs.
    pub blobs: u64,
    /// Their bytes, and those of cut downloads.
    pub bytes: u64,
}

impl Store {
    /// Removes blobs that no name refers to, and cut downloads.
    ///
    /// What a running copy needs is safe: it holds further names of it in its own directory and
    /// gives it back its place when it publishes, under the same lock.
    pub fn prune(&self, options: &PruneOptions) -> Result<Pruned> {
        if !self.root.exists() {
            return Ok(Pruned::default());
        }
        let _lock = self.lock()?;
        if !options.dry_run {
            sweep(&self.root)?;
        }
        let mut pruned = Pruned::default();
        if let Some(limit) = options.max_size {
            self.forget_oldest(limit, options.dry_run, &mut pruned)?;
        }
        let mut live = HashSet::new();
        for image in self.images()? {
            if !pruned.names.contains(&image.name) {
                self.mark(&image.descriptor, MAX_INDEX_DEPTH + 1, &mut live)?;
            }
        }
        let garbage = self.blobs()?.into_iter().filter(|blob| !live.contains(&blob.digest));
        for blob in garbage.filter(|blob| old_enough(&blob.path, options.older_than)) {
            remove(&blob.path, options.dry_run)?;
            pruned.blobs += 1;
            pruned.bytes += blob.size;
        }
        self.drop_partials(options, &mut pruned)?;
        Ok(pruned)
    }

    /// Everything below `root`, itself included. Missing children are no reason to stop: an index
    /// may be here for one platform.
    fn mark(&self, root: &Descriptor, depth: usize, live: &mut HashSet<Digest>) -> Result<()> {
        if !live.insert(root.digest.clone()) || depth == 0 || !root.media_type.is_manifest() {
            return Ok(());
        }
        match self.manifest(root) {
            Ok(manifest) => manifest
                .children()
                .into_iter()
                .try_for_each(|child| self.mark(child, depth - 1, live)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            // Children of a damaged manifest are not known: removing on a guess loses data.
            Err(error) => Err(error.while_doing("finding out what is in use")),
        }
    }

    /// Takes away the oldest names until what the others need fits into `limit`.
    fn forget_oldest(&self, limit: u64, dry_run: bool, pruned: &mut Pruned) -> Result<()> {
        let mut images = self.images()?;
        images.sort_by(|a, b| b.updated.cmp(&a.updated));
        let mut live = HashSet::new();
        for image in images {
            let mut with = live.clone();
            self.mark(&image.descriptor, MAX_INDEX_DEPTH + 1, &mut with)?;
            let mut size = 0;
            for digest in &with {
                size += self.size_of(digest)?.unwrap_or(0);
            }
            if size <= limit {
                live = with;
                continue;
            }
            if !dry_run {
                self.remove_name(&StoreName::parse(&image.name)?)?;
            }
            pruned.names.push(image.name);
        }
        Ok(())
    }

    fn drop_partials(&self, options: &PruneOptions, pruned: &mut Pruned) -> Result<()> {
        let directory = self.root.join("partial");
        for path in files(&directory)? {
            let in_use = std::fs::File::open(&path).is_ok_and(|file| file.try_lock().is_err());
            if in_use || !old_enough(&path, options.older_than) {
                continue;
            }
            pruned.bytes += std::fs::symlink_metadata(&path).map_or(0, |meta| meta.len());
            remove(&path, options.dry_run)?;
        }
        Ok(())
    }

    /// All blobs there are.
    pub(super) fn blobs(&self) -> Result<Vec<Stored>> {
        let mut blobs = Vec::new();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let directory = self.root.join("blobs").join(algorithm.as_str());
            for path in files(&directory)? {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                // Foreign files are nobody's to delete.
                let Ok(digest) = format!("{}:{name}", algorithm.as_str()).parse() else { continue };
                let meta = std::fs::symlink_metadata(&path);
                let size = meta.doing(|| format!("looking at {}", path.display()))?.len();
                blobs.push(Stored { digest, size, path });
            }
        }
        Ok(blobs)
    }
}

/// A blob on disk.
pub(super) struct Stored {
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) path: PathBuf,
}

fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let listing = || format!("listing {}", directory.display());
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io(listing(), error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.doing(listing)?;
        if entry.file_type().doing(listing)?.is_file() {
            paths.push(entry.path());
        }
    }
    Ok(paths)
}

fn remove(path: &Path, dry_run: bool) -> Result<()> {
    if dry_run {
        return Ok(());
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.doing(|| format!("removing {}", path.display())),
    }
}

/// A clock that went backwards makes nothing old.
fn old_enough(path: &Path, age: Option<Duration>) -> bool {
    let Some(age) = age else { return true };
    let changed = std::fs::symlink_metadata(path).and_then(|meta| meta.modified());
    changed.is_ok_and(|changed| SystemTime::now().duration_since(changed).is_ok_and(|d| d >= age))
}
