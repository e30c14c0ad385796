//! Writing into a layout directory.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::OnceCell;

use super::{Blobs, Edit, INDEX, LayoutIndex, MARKER, read_file};
use crate::blob::{Blob, blocking};
use crate::error::{Error, IoContext, Result};
use crate::spec::{
    Algorithm, Descriptor, Digest, MAX_INDEX_DEPTH, MAX_MANIFEST, Manifest, MediaType,
};
use crate::store::{Partials, Staging, lock_place};
use crate::sys::{self, Dir};
use crate::transport::{Abilities, Entry, InPath, Item, ItemKind, Origin, Presence, Sink, Usual};

/// A layout directory, for writing one image, or several under several names.
///
/// Content and names appear together, in [`Sink::finish`].
pub struct LayoutSink {
    shared: Arc<Shared>,
    name: Option<String>,
    /// What this image, and not another one on its way into the same layout, counts on.
    needs: Mutex<HashSet<Digest>>,
    edits: Mutex<Vec<Edit>>,
}

/// What images on their way into one layout have in common.
struct Shared {
    path: PathBuf,
    blobs: Blobs,
    partials: Option<Partials>,
    /// Made when there is something to write.
    staging: OnceCell<Arc<Staging>>,
}

impl LayoutSink {
    /// A sink for the directory at `place`, which is made when the first content arrives. Its blobs
    /// go into the directory `share`, if there is one. Large downloads that are cut go on among
    /// `partials` next time.
    ///
    /// # Errors
    /// `Usage` for `@N`: what is written has a name or none.
    pub fn new(
        place: &InPath,
        share: Option<&Path>,
        partials: Option<Partials>,
    ) -> Result<LayoutSink> {
        let shared = Shared {
            path: place.path.clone(),
            blobs: Blobs::new(share),
            partials,
            staging: OnceCell::new(),
        };
        LayoutSink::of(Arc::new(shared), place)
    }

    /// A sink for another image that goes into the same directory, so that what the two have in
    /// common is written once, whichever is finished first.
    pub fn renamed(&self, place: &InPath) -> Result<LayoutSink> {
        LayoutSink::of(self.shared.clone(), place)
    }

    fn of(shared: Arc<Shared>, place: &InPath) -> Result<LayoutSink> {
        let name = match &place.entry {
            Entry::Only => None,
            Entry::Named(name) => Some(checked_name(name)?.to_owned()),
            Entry::Nth(_) => {
                return Err(Error::usage(format!("oci:{place} can be read but not written to")));
            }
        };
        Ok(LayoutSink { shared, name, needs: Mutex::default(), edits: Mutex::default() })
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

    fn need(&self, digests: impl IntoIterator<Item = Digest>) {
        self.needs.lock().unwrap_or_else(PoisonError::into_inner).extend(digests);
    }

    fn edits(&self) -> MutexGuard<'_, Vec<Edit>> {
        self.edits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the directory has a blob of this digest, whole or not.
    async fn holds(&self, what: &Descriptor) -> Result<bool> {
        let (shared, digest) = (self.shared.clone(), what.digest.clone());
        blocking(move || {
            let dir = open_if_there(&shared.path)?;
            let Some(blobs) = shared.blobs.open(dir.as_ref(), &digest)? else { return Ok(false) };
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
            self.edits().push(edit);
        }
        let descriptor = known.cloned().unwrap_or_else(|| manifest.descriptor());
        let staging = self.staging().await?;
        staging.write(Blob::Bytes(raw), Some(&descriptor), algorithm).await?;
        self.need([descriptor.digest.clone()]);
        Ok(descriptor)
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
        let staging = self.shared.staging.get();
        let collected = staging.is_some_and(|s| s.size_of(&what.digest).is_some());
        if !collected && !self.holds(what).await? {
            // Nothing is made just because somebody asked.
            return Ok(Presence::Missing);
        }
        let (staging, what) = (self.staging().await?, what.clone());
        let blobs = self.shared.blobs.clone();
        let holding = blocking(move || {
            let mut held = Vec::new();
            let presence = hold(&staging, &blobs, &what, MAX_INDEX_DEPTH, &mut held)?;
            Ok((presence, held))
        });
        let (presence, held) = holding.await?;
        self.need(held);
        Ok(presence)
    }

    async fn put(&self, item: Item, content: Blob) -> Result<Descriptor> {
        let known = item.descriptor;
        if item.kind == ItemKind::Manifest {
            let raw = content.into_bytes(MAX_MANIFEST).await?;
            return self.put_manifest(known.as_ref(), raw).await;
        }
        let staging = self.staging().await?;
        let (digest, size) = staging.write(content, known.as_ref(), Algorithm::Sha256).await?;
        self.need([digest.clone()]);
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
            self.edits().push(edit);
        }
        Ok(())
    }

    async fn finish(&self) -> Result<()> {
        let Some(staging) = self.shared.staging.get().cloned() else { return Ok(()) };
        let edits = self.edits().clone();
        let needs = self.needs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let count = edits.len();
        let blobs = self.shared.blobs.clone();
        blocking(move || {
            let needs: Vec<Digest> = needs.into_iter().collect();
            staging.flush(&needs)?;
            let _lock = lock_place(staging.path(), &MARKER)?;
            promote(&staging, &blobs, &needs)?;
            write_index(&staging, &edits)
        })
        .await?;
        self.edits().drain(..count);
        Ok(())
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
fn hold(
    staging: &Staging,
    blobs: &Blobs,
    what: &Descriptor,
    depth: usize,
    all: &mut Vec<Digest>,
) -> Result<Presence> {
    if staging.size_of(&what.digest) != Some(what.size) {
        let held = match blobs.open(Some(staging.place()), &what.digest)? {
            Some(dir) => staging.hold(what, &dir, what.digest.hex())?,
            None => false,
        };
        if !held {
            return Ok(Presence::Missing);
        }
    }
    all.push(what.digest.clone());
    if !what.media_type.is_manifest() || depth == 0 {
        return Ok(Presence::Present);
    }
    // A manifest that cannot be read is not there: putting it again mends it.
    let Ok(manifest) = read_here(staging, blobs, what) else { return Ok(Presence::Missing) };
    for child in manifest.children() {
        let presence = hold(staging, blobs, child, depth - 1, all)?;
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

fn read_here(staging: &Staging, blobs: &Blobs, what: &Descriptor) -> Result<Manifest> {
    let dir = blobs.open(Some(staging.place()), &what.digest)?;
    let file = match (staging.open(&what.digest)?, dir) {
        (Some(file), _) => file,
        (None, Some(dir)) => dir
            .open_file(what.digest.hex().as_bytes())
            .doing(|| format!("opening {}", what.digest))?,
        (None, None) => return Err(Error::not_found("no such blob")),
    };
    let raw = super::read_manifest(&super::sized(file, what)?)?;
    Manifest::verified(raw, what)
}

/// Moves what was collected to its final names and makes those durable.
fn promote(staging: &Staging, blobs: &Blobs, digests: &[Digest]) -> Result<()> {
    let flushing = || format!("flushing {}", staging.path().display());
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let mut here = digests.iter().filter(|digest| digest.algorithm() == algorithm).peekable();
        if here.peek().is_none() {
            continue;
        }
        let (dir, above) = blobs.make(staging.place(), algorithm)?;
        for digest in here {
            staging.promote(digest, &dir, digest.hex())?;
        }
        dir.sync().doing(flushing)?;
        above.sync().doing(flushing)?;
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
