//! What builds keep to be quicker the next time, how much that is, and its bounds.
//!
//! Counts what nothing but the cache needs: layers that steps have made and no image has, the
//! directories of `RUN --mount=type=cache`, and notes on files and layers.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;

use super::{Cache, Made};
use crate::error::{IoContext, Result};
use crate::spec::Digest;
use crate::store::Store;
use crate::sys::{Dir, Lock, LockMode};

/// What kind of thing is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A layer that a step made.
    Layer,
    /// The directory of a cache mount.
    Mount,
    /// Notes: tables of contents, digests of files.
    Notes,
}

impl Kind {
    /// One word.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Layer => "layer",
            Kind::Mount => "mount",
            Kind::Notes => "notes",
        }
    }
}

/// Something that is kept.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Kept {
    /// What kind of thing it is.
    pub kind: Kind,
    /// A layer's DiffId, or the name of a directory.
    pub id: String,
    /// What it takes up (bytes).
    pub bytes: u64,
    /// When it was made or used last, RFC 3339.
    pub used: String,
    #[serde(skip)]
    time: SystemTime,
}

/// What the cache of a store keeps, the oldest first.
pub fn usage(store: &Store) -> Result<Vec<Kept>> {
    let cache = Cache::new(store.root());
    let mut found = Vec::new();
    let loose = sum(store.loose()?);
    for (_, made, time) in steps(&cache)? {
        let digest = made.diff_id.0;
        if let Some(bytes) = loose.get(&digest) {
            found.push(Kept::new(Kind::Layer, digest.to_string(), *bytes, time));
        }
    }
    // A layer may be what several steps made.
    found.sort_by(|a, b| (&a.id, b.time).cmp(&(&b.id, a.time)));
    found.dedup_by(|later, first| later.id == first.id);
    for path in mounts(store)? {
        let time = modified(&path);
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        found.push(Kept::new(Kind::Mount, name, size(&path, 0)?, time));
    }
    for name in ["toc", "prints", "last"] {
        let path = cache.dir.join(name);
        let bytes = size(&path, 0)?;
        if bytes > 0 {
            found.push(Kept::new(Kind::Notes, name.to_owned(), bytes, modified(&path)));
        }
    }
    found.sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
    Ok(found)
}

/// Removes the oldest of what the cache keeps until the rest takes up no more than `max` bytes;
/// without a limit, all of it. What was removed.
///
/// Whatever a build uses now stays.
pub fn prune(store: &Store, max: Option<u64>) -> Result<Vec<Kept>> {
    let all = usage(store)?;
    let mut left: u64 = all.iter().map(|kept| kept.bytes).sum();
    let mut gone = Vec::new();
    for kept in all {
        if max.is_some_and(|max| left <= max) {
            break;
        }
        left -= kept.bytes;
        gone.push(kept);
    }
    let cache = Cache::new(store.root());
    let layers: HashSet<Digest> = gone
        .iter()
        .filter(|kept| kept.kind == Kind::Layer)
        .filter_map(|kept| kept.id.parse().ok())
        .collect();
    // A record without its layer does not count; the other way round nobody would find it.
    for (path, made, _) in steps(&cache)? {
        if layers.contains(&made.diff_id.0) {
            remove(&path)?;
        }
    }
    store.remove_loose(&layers)?;
    gone.retain(|kept| match kept.kind {
        Kind::Layer => true,
        Kind::Mount => remove_mount(store, &kept.id).is_ok_and(|removed| removed),
        Kind::Notes => remove(&cache.dir.join(&kept.id)).is_ok(),
    });
    Ok(gone)
}

impl Kept {
    fn new(kind: Kind, id: String, bytes: u64, time: SystemTime) -> Kept {
        let used = jiff::Timestamp::try_from(time);
        let used = used.and_then(|used| jiff::Timestamp::from_second(used.as_second()));
        let used = used.map(|used| used.to_string()).unwrap_or_default();
        Kept { kind, id, bytes, used, time }
    }
}

fn sum(content: Vec<(Digest, u64)>) -> HashMap<Digest, u64> {
    let mut sizes = HashMap::new();
    for (digest, size) in content {
        *sizes.entry(digest).or_default() += size;
    }
    sizes
}

/// All records of steps.
fn steps(cache: &Cache) -> Result<Vec<(PathBuf, Made, SystemTime)>> {
    let mut found = Vec::new();
    for definition in list(&cache.dir.join("steps"))? {
        for path in list(&definition)? {
            let made =
                std::fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
            let Some(made) = made else { continue };
            let time = modified(&path);
            found.push((path, made, time));
        }
    }
    Ok(found)
}

/// The directories of cache mounts.
fn mounts(store: &Store) -> Result<Vec<PathBuf>> {
    let mut found = list(&store.root().join("cache/mounts"))?;
    found.retain(|path| path.is_dir());
    Ok(found)
}

/// Removes a cache mount's directory; `false` while a build has it for itself.
fn remove_mount(store: &Store, name: &str) -> Result<bool> {
    let path = store.root().join("cache/mounts").join(name);
    let lock = path.with_extension("lock");
    let Some(_alone) = Lock::try_acquire(&lock, LockMode::Exclusive)? else { return Ok(false) };
    remove(&path)?;
    let _ = std::fs::remove_file(&lock);
    Ok(true)
}

fn list(directory: &Path) -> Result<Vec<PathBuf>> {
    let listing = || format!("listing {}", directory.display());
    match std::fs::read_dir(directory) {
        Ok(entries) => {
            entries.map(|entry| entry.map(|entry| entry.path()).doing(listing)).collect()
        }
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(Vec::new())
        }
        Err(error) => Err(error).doing(listing),
    }
}

fn modified(path: &Path) -> SystemTime {
    let time = std::fs::symlink_metadata(path).and_then(|meta| meta.modified());
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Bytes on disk of everything below a path, links not followed; each thing counts `entry` more.
pub(in crate::build) fn size(path: &Path, entry: u64) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut ahead = vec![path.to_owned()];
    let mut seen = HashSet::new();
    let mut bytes = 0;
    while let Some(path) = ahead.pop() {
        let Ok(meta) = std::fs::symlink_metadata(&path) else { continue };
        if seen.insert((meta.dev(), meta.ino())) {
            bytes += meta.blocks() * 512 + entry;
        }
        if meta.is_dir() {
            ahead.extend(list(&path)?);
        }
    }
    Ok(bytes)
}

fn remove(path: &Path) -> Result<()> {
    let removing = || format!("removing {}", path.display());
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    match Dir::open(parent).and_then(|dir| dir.remove_tree(name.as_encoded_bytes())) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed.doing(removing),
    }
}
