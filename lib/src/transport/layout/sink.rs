//! Writing into a layout directory.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::OnceCell;

use super::{Edit, INDEX, LayoutIndex, MARKER, blob_directory, read_file};
use crate::blob::{Blob, blocking};
use crate::error::{Error, IoContext, Result};
use crate::spec::{
    Algorithm, Descriptor, Digest, MAX_INDEX_DEPTH, MAX_MANIFEST, Manifest, MediaType,
};
use crate::store::{Partials, Staging, lock_place};
use crate::sys::{self, Dir, Root};
use crate::transport::{Abilities, Entry, InPath, Item, ItemKind, Origin, Presence, Sink, Usual};

/// A layout directory, for writing one image, or several under several names.
///
/// Content and names appear together, in [`Sink::finish`].
pub struct LayoutSink {
    shared: Arc<Shared>,
    name: Option<String>,
}

/// What the sinks of one layout have in common.
struct Shared {
    path: PathBuf,
    partials: Option<Partials>,
    /// Made when there is something to write.
    staging: OnceCell<Arc<Staging>>,
    edits: Mutex<Vec<Edit>>,
}

impl LayoutSink {
    /// A sink for the directory at `place`, which is made when the first content arrives. Large
    /// downloads that are cut go on among `partials` next time.
    ///
    /// # Errors
    /// `Usage` for `@N`: what is written has a name or none.
    pub fn new(place: &InPath, partials: Option<Partials>) -> Result<LayoutSink> {
        let shared = Shared {
            path: place.path.clone(),
            partials,
            staging: OnceCell::new(),
            edits: Mutex::default(),
        };
        Ok(LayoutSink { shared: Arc::new(shared), name: name_in(place)? })
    }

    /// A sink for another name of the same layout: what both put is there once, and whichever is
    /// finished first makes it visible.
    pub fn renamed(&self, place: &InPath) -> Result<LayoutSink> {
        Ok(LayoutSink { shared: self.shared.clone(), name: name_in(place)? })
    }

    async fn staging(&self) -> Result<Arc<Staging>> {
        let (path, partials) = (self.shared.path.clone(), self.shared.partials.clone());
        let begin = || {
            blocking(move || {
                let staging = Staging::begin(&path, &MARKER)?;
                Ok(Arc::new(match partials {
                    Some(partials) => staging.with_partials(partials),
                    None => staging,
                }))
            })
        };
        self.shared.staging.get_or_try_init(begin).await.cloned()
    }

    fn edit(&self, edit: Edit) {
        self.shared.edits.lock().unwrap_or_else(PoisonError::into_inner).push(edit);
    }

    /// Whether the directory has a blob of this digest, whole or not.
    async fn holds(&self, what: &Descriptor) -> Result<bool> {
        let (path, digest) = (self.shared.path.clone(), what.digest.clone());
        blocking(move || {
            let Some(dir) = open_if_there(&path)? else { return Ok(false) };
            let Some(blobs) = open_blobs(&dir, &digest)? else { return Ok(false) };
            let found = blobs.lookup(digest.hex().as_bytes());
            Ok(found.doing(|| format!("looking for {digest}"))?.is_some())
        })
        .await
    }

    async fn put_manifest(&self, known: Option<&Descriptor>, raw: Bytes) -> Result<Descriptor> {
        let algorithm = known.map_or(Algorithm::Sha256, |known| known.digest.algorithm());
        let declared = known.map(|known| &known.media_type);
        let manifest = Manifest::parse_with(raw.clone(), declared, algorithm)?;
        if let Some(edit) = Edit::for_manifest(&manifest)? {
            self.edit(edit);
        }
        let descriptor = known.cloned().unwrap_or_else(|| manifest.descriptor());
        let staging = self.staging().await?;
        staging.write(Blob::Bytes(raw), Some(&descriptor), algorithm).await?;
        Ok(descriptor)
    }
}

fn name_in(place: &InPath) -> Result<Option<String>> {
    match &place.entry {
        Entry::Only => Ok(None),
        Entry::Named(name) => Ok(Some(checked_name(name)?.to_owned())),
        Entry::Nth(_) => Err(Error::usage(format!("oci:{place} can be read but not written to"))),
    }
}

/// Names are free text in practice; what would break the index or a terminal is refused.
pub(in crate::transport) fn checked_name(name: &str) -> Result<&str> {
    if name.is_empty() || name.len() > 512 || name.chars().any(char::is_control) {
        return Err(Error::usage(format!("{name:?} is not a name for an image in a layout")));
    }
    Ok(name)
}

impl Sink for LayoutSink {
    async fn current(&self) -> Result<Option<Descriptor>> {
        let (path, name) = (self.shared.path.clone(), self.name.clone());
        blocking(move || {
            let Some(dir) = open_if_there(&path)? else { return Ok(None) };
            let index = load_index(&dir, &path)?;
            Ok(index.current(name.as_deref()).cloned())
        })
        .await
    }

    async fn presence(&self, what: &Descriptor) -> Result<Presence> {
        let collected =
            self.shared.staging.get().is_some_and(|s| s.size_of(&what.digest).is_some());
        if !collected && !self.holds(what).await? {
            // Nothing is made just because somebody asked.
            return Ok(Presence::Missing);
        }
        let (staging, what) = (self.staging().await?, what.clone());
        blocking(move || hold(&staging, &what, MAX_INDEX_DEPTH)).await
    }

    async fn put(&self, item: Item, content: Blob) -> Result<Descriptor> {
        let known = item.descriptor;
        if item.kind == ItemKind::Manifest {
            let raw = content.into_bytes(MAX_MANIFEST).await?;
            return self.put_manifest(known.as_ref(), raw).await;
        }
        let staging = self.staging().await?;
        let (digest, size) = staging.write(content, known.as_ref(), Algorithm::Sha256).await?;
        Ok(known.unwrap_or_else(|| {
            // Whoever made the bytes knows better what they are.
            Descriptor::new(MediaType::Other("application/octet-stream".into()), digest, size)
        }))
    }

    async fn link(&self, _: &Descriptor, _: &Origin) -> Result<bool> {
        Ok(false)
    }

    async fn publish(&self, name: Option<&str>, root: &Manifest) -> Result<()> {
        let name = match name {
            Some(name) => Some(checked_name(name)?.to_owned()),
            None => self.name.clone(),
        };
        self.put_manifest(Some(&root.descriptor()), root.raw().clone()).await?;
        if let Some(edit) = Edit::for_root(name, root)? {
            self.edit(edit);
        }
        Ok(())
    }

    async fn finish(&self) -> Result<()> {
        let Some(staging) = self.shared.staging.get().cloned() else { return Ok(()) };
        // Before the flush: whatever these names stand for has been put.
        let edits =
            std::mem::take(&mut *self.shared.edits.lock().unwrap_or_else(PoisonError::into_inner));
        blocking(move || {
            let batch = staging.flush()?;
            let _lock = lock_place(staging.path(), &MARKER)?;
            promote(&staging, &batch)?;
            write_index(&staging, &edits)?;
            staging.forget(&batch);
            Ok(())
        })
        .await
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            usual: Usual::Whole,
            artifacts: true,
            keeps_manifests: true,
            wants_diff_ids: false,
        }
    }
}

fn open_if_there(path: &Path) -> Result<Option<Dir>> {
    match Dir::open(path) {
        Ok(dir) => Ok(Some(dir)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(format!("opening directory {}", path.display()), error)),
    }
}

/// The directory of blobs that `digest` belongs into, if there is one.
fn open_blobs(dir: &Dir, digest: &Digest) -> Result<Option<Dir>> {
    let opening = || format!("opening {}", blob_directory(digest));
    let root = Root::new(dir.try_clone().doing(opening)?);
    match root.open_dir_plain(blob_directory(digest).as_bytes()) {
        Ok(dir) => Ok(Some(dir)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(opening(), error)),
    }
}

/// The index of a layout directory, empty where there is none yet.
pub(super) fn load_index(dir: &Dir, path: &Path) -> Result<LayoutIndex> {
    let what = || format!("{INDEX} of oci:{}", path.display());
    match read_file(dir, INDEX, MAX_MANIFEST).doing(what)? {
        Some(bytes) => LayoutIndex::parse(&bytes, &what()),
        None => Ok(LayoutIndex::empty()),
    }
}

/// Replaces `index.json`; the caller holds the layout's lock.
pub(super) fn store_index(dir: &Dir, index: &LayoutIndex) -> Result<()> {
    sys::write_file(dir, INDEX.as_bytes(), &index.to_bytes()?, 0o644)
}

/// Keeps `what` and, if it is a manifest, all it refers to; tells how much of it is there.
fn hold(staging: &Staging, what: &Descriptor, depth: usize) -> Result<Presence> {
    if staging.size_of(&what.digest) != Some(what.size) {
        let held = match open_blobs(staging.place(), &what.digest)? {
            Some(blobs) => staging.hold(what, &blobs, what.digest.hex())?,
            None => false,
        };
        if !held {
            return Ok(Presence::Missing);
        }
    }
    if !what.media_type.is_manifest() || depth == 0 {
        return Ok(Presence::Present);
    }
    // A manifest that cannot be read is not there: putting it again mends it.
    let Ok(manifest) = read_here(staging, what) else { return Ok(Presence::Missing) };
    for child in manifest.children() {
        let presence = hold(staging, child, depth - 1)?;
        let whole = match child.media_type.is_manifest() {
            true => presence == Presence::Complete,
            false => presence == Presence::Present,
        };
        if !whole {
            return Ok(Presence::Present);
        }
    }
    Ok(Presence::Complete)
}

fn read_here(staging: &Staging, what: &Descriptor) -> Result<Manifest> {
    let blobs = open_blobs(staging.place(), &what.digest)?;
    let file = match (staging.open(&what.digest)?, blobs) {
        (Some(file), _) => file,
        (None, Some(blobs)) => blobs
            .open_file(what.digest.hex().as_bytes())
            .doing(|| format!("opening {}", what.digest))?,
        (None, None) => return Err(Error::not_found("no such blob")),
    };
    let raw = super::read_manifest(&super::sized(file, what)?)?;
    Manifest::verified(raw, what)
}

/// Moves all that was collected to its final names and makes those durable.
fn promote(staging: &Staging, batch: &[Digest]) -> Result<()> {
    let root = Root::new(staging.place().try_clone().doing(|| "opening the layout")?);
    let flushing = || format!("flushing {}", staging.path().display());
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let mut digests = batch.iter().filter(|d| d.algorithm() == algorithm).peekable();
        let Some(first) = digests.peek() else { continue };
        let blobs = root.make_dirs(blob_directory(first).as_bytes(), 0o755)?;
        for digest in digests {
            staging.promote(digest, &blobs, digest.hex())?;
        }
        blobs.sync().doing(flushing)?;
        root.open_dir_plain(b"blobs").and_then(|dir| dir.sync()).doing(flushing)?;
    }
    Ok(())
}

fn write_index(staging: &Staging, edits: &[Edit]) -> Result<()> {
    let before = load_index(staging.place(), staging.path())?;
    let mut index = before.clone();
    for edit in edits {
        edit.clone().apply(&mut index)?;
    }
    let there = read_file(staging.place(), INDEX, MAX_MANIFEST)?.is_some();
    if there && index.to_bytes()? == before.to_bytes()? {
        return Ok(());
    }
    store_index(staging.place(), &index)
}
