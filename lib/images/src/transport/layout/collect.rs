//! The care of layout directories: what is named, removing names, collecting garbage.

use std::collections::HashSet;
use std::path::Path;

use serde_json::Value;

use super::sink::{load_index, store_index};
use super::{Layout, LayoutIndex, MARKER, blob_directory, read_file};
use crate::error::{Error, IoContext, Result};
use crate::spec::{Descriptor, Digest, MAX_MANIFEST, MediaType};
use crate::store::{lock_place, sweep};
use crate::sys::{Dir, Root};

/// What a collection removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// How many blobs.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The entries of the layout directory at `path`, in order. Blocks.
pub fn entries(path: &Path) -> Result<Vec<Descriptor>> {
    Ok(Layout::open(path)?.index.entries().to_vec())
}

/// Takes `name` from the layout directory at `path` and returns what it stood for, whose content
/// stays until [`collect_garbage`]. Blocks.
///
/// # Errors
/// `NotFound` when there is no layout or no such name.
pub fn remove_name(path: &Path, name: &str) -> Result<Vec<Descriptor>> {
    let dir = open_existing(path)?;
    let _lock = lock_place(path, &MARKER)?;
    let mut index = load_index(&dir, path)?;
    let gone = index.remove(name);
    if gone.is_empty() {
        return Err(Error::not_found(format!("oci:{} holds no image {name:?}", path.display())));
    }
    store_index(&dir, &index)?;
    Ok(gone)
}

/// Removes the blobs of the layout directory at `path` that nothing in `index.json` leads to, and
/// what writers that are gone have left. Blocks.
///
/// What a writer at work has collected or found there is safe. Whatever is not named as a blob is
/// left alone. When something that is named cannot be read, nothing is removed.
pub fn collect_garbage(path: &Path) -> Result<Collected> {
    let collecting = || format!("collecting garbage in oci:{}", path.display());
    let dir = open_existing(path)?;
    let _lock = lock_place(path, &MARKER)?;
    sweep(path)?;
    let root = Root::new(dir.try_clone().doing(collecting)?);
    let live = reachable(&root, &load_index(&dir, path)?).doing(collecting)?;
    let mut collected = Collected::default();
    for algorithm in ["sha256", "sha512"] {
        let blobs = match root.open_dir_plain(format!("blobs/{algorithm}").as_bytes()) {
            Ok(blobs) => blobs,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(Error::io(collecting(), error)),
        };
        remove_dead(&blobs, algorithm, &live, &mut collected).doing(collecting)?;
    }
    Ok(collected)
}

/// A directory that is a layout already: nothing is made of one that is not.
fn open_existing(path: &Path) -> Result<Dir> {
    Layout::open(path)?;
    Dir::open(path).doing(|| format!("opening directory {}", path.display()))
}

fn remove_dead(
    blobs: &Dir,
    algorithm: &str,
    live: &HashSet<Digest>,
    collected: &mut Collected,
) -> Result<()> {
    for entry in blobs.entries().doing(|| "listing blobs")? {
        let digest = std::str::from_utf8(&entry.name)
            .ok()
            .and_then(|hex| format!("{algorithm}:{hex}").parse::<Digest>().ok());
        let Some(digest) = digest.filter(|digest| !live.contains(digest)) else { continue };
        let removing = || format!("removing {digest}");
        let size = blobs.lookup(&entry.name).doing(removing)?.map_or(0, |meta| meta.size);
        blobs.remove_file(&entry.name).doing(removing)?;
        collected.blobs += 1;
        collected.bytes += size;
    }
    Ok(())
}

/// All digests that `index` leads to, through whatever document there is that names others.
fn reachable(root: &Root, index: &LayoutIndex) -> Result<HashSet<Digest>> {
    let mut live = HashSet::new();
    let mut ahead: Vec<Descriptor> = index.entries().to_vec();
    while let Some(next) = ahead.pop() {
        if live.insert(next.digest.clone()) && may_lead_on(&next)? {
            ahead.extend(named_in(root, &next)?);
        }
    }
    Ok(live)
}

/// Layers and configs name nothing; a type that is not known here might.
fn may_lead_on(what: &Descriptor) -> Result<bool> {
    let opaque =
        matches!(what.media_type, MediaType::Config(_) | MediaType::Layer(_) | MediaType::Empty);
    if what.media_type.is_manifest() && what.size > MAX_MANIFEST {
        return Err(Error::invalid(format!("manifest {} is too large to read", what.digest)));
    }
    Ok(!opaque && what.size <= MAX_MANIFEST)
}

/// Every descriptor in the document `what`; none if it is not there or no JSON.
fn named_in(root: &Root, what: &Descriptor) -> Result<Vec<Descriptor>> {
    let dir = match root.open_dir_plain(blob_directory(&what.digest).as_bytes()) {
        Ok(dir) => dir,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io(format!("opening {}", what.digest), error)),
    };
    let Some(bytes) = read_file(&dir, what.digest.hex(), MAX_MANIFEST)? else {
        return Ok(Vec::new());
    };
    if !what.digest.matches(&bytes) {
        return Err(Error::corrupt(format!("{} has other bytes", what.digest)));
    }
    let mut found = Vec::new();
    if let Ok(value) = serde_json::from_slice(&bytes) {
        gather(&value, &mut found);
    }
    Ok(found)
}

fn gather(value: &Value, found: &mut Vec<Descriptor>) {
    match value {
        Value::Array(list) => list.iter().for_each(|item| gather(item, found)),
        Value::Object(map) => {
            let digest = map.get("digest").or_else(|| map.get("blobSum")).and_then(Value::as_str);
            if let Some(digest) = digest.and_then(|text| text.parse().ok()) {
                let media_type = map.get("mediaType").and_then(Value::as_str).unwrap_or_default();
                // Not trusted for anything but whether it is worth a look.
                let size = map.get("size").and_then(Value::as_u64).unwrap_or(0);
                found.push(Descriptor::new(MediaType::parse(media_type), digest, size));
            }
            map.values().for_each(|item| gather(item, found));
        }
        _ => {}
    }
}
