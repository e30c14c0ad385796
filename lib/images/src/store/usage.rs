//! Where the bytes are: every file and directory below the root, once.
//!
//! Owns the count, in the blocks that files really take up, so that the sum agrees with `du`. Does
//! not follow links and does not enter other file systems. Does not decide what can go: that is
//! [`Store::prune`] with `dry_run`.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::Serialize;

use super::Store;
use super::prune::list;
use crate::error::{IoContext, Result};

/// What the root directory itself and files of no known part belong to.
const REST: &str = "other";
/// The directories that are counted apart.
const PARTS: &[&str] = &[
    "blobs",
    "layers",
    "images",
    "partial",
    "uploads",
    "tmp",
    "containers",
    "mounts",
    "volumes",
    "networks",
    "cache",
];
/// Size of the blocks that the kernel counts in.
const BLOCK: u64 = 512;

/// Where a store's bytes are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// What each part takes up; the sum is the whole.
    pub parts: Vec<Part>,
    /// Bytes on disk of everything.
    pub bytes: u64,
}

/// One part of a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// The directory below the root, or `other`.
    pub name: &'static str,
    /// Number of files that are no directories.
    pub files: u64,
    /// Bytes on disk, directories included.
    pub bytes: u64,
    /// Bytes that the files hold, counting holes.
    pub content: u64,
}

impl Store {
    /// Counts every byte below the root. Files of several names count where they are met first.
    pub fn usage(&self) -> Result<Usage> {
        let mut parts: Vec<Part> = PARTS
            .iter()
            .chain([&REST])
            .map(|&name| Part { name, files: 0, bytes: 0, content: 0 })
            .collect();
        let Some(meta) = root_meta(&self.root)? else { return Ok(Usage { parts, bytes: 0 }) };
        let mut count = Count { device: meta.dev(), seen: HashSet::new() };
        let mut rest = Vec::new();
        for (path, meta) in list(&self.root)? {
            let name = path.file_name().unwrap_or_default();
            match PARTS.iter().position(|part| name == *part) {
                Some(at) => count.add(&path, &meta, &mut parts[at])?,
                None => rest.push((path, meta)),
            }
        }
        if let Some(other) = parts.last_mut() {
            other.bytes += meta.blocks() * BLOCK;
            for (path, meta) in rest {
                count.add(&path, &meta, other)?;
            }
        }
        let bytes = parts.iter().map(|part| part.bytes).sum();
        Ok(Usage { parts, bytes })
    }
}

fn root_meta(root: &Path) -> Result<Option<std::fs::Metadata>> {
    match std::fs::metadata(root) {
        Ok(meta) => Ok(Some(meta)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).doing(|| format!("looking at {}", root.display())),
    }
}

struct Count {
    device: u64,
    /// Files of several names that have been met.
    seen: HashSet<u64>,
}

impl Count {
    fn add(&mut self, path: &Path, meta: &std::fs::Metadata, to: &mut Part) -> Result<()> {
        let mut ahead = vec![(path.to_owned(), meta.clone())];
        while let Some((path, meta)) = ahead.pop() {
            if meta.dev() != self.device {
                continue;
            }
            if meta.is_dir() {
                to.bytes += meta.blocks() * BLOCK;
                ahead.extend(list(&path)?);
            } else if meta.nlink() == 1 || self.seen.insert(meta.ino()) {
                to.files += 1;
                to.bytes += meta.blocks() * BLOCK;
                to.content += meta.len();
            }
        }
        Ok(())
    }
}
