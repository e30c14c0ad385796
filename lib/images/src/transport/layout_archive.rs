//! Writing `oci-archive:`: an OCI layout in a tar file, in one pass.
//!
//! Uses `archive` for the file and `layout` for its index. Promise: an archive that is there stays
//! until the new one is whole, and is then replaced by it. Reading is `layout`'s business.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::sync::{Mutex, OnceCell};

use super::archive::{ArchiveFile, Output};
use super::layout::{Edit, INDEX, LayoutIndex, MARKER, checked_name};
use super::{Abilities, Entry, InPath, Item, ItemKind, Origin, Presence, Sink, Usual};
use crate::blob::{Blob, blocking};
use crate::error::{Error, Result};
use crate::spec::{Algorithm, Descriptor, MAX_MANIFEST, Manifest, MediaType};

/// A layout archive, for writing one image, or several under several names.
pub struct LayoutArchiveSink {
    path: PathBuf,
    scratch: PathBuf,
    name: Option<String>,
    /// Made when there is something to write.
    output: OnceCell<Output>,
    index: Mutex<LayoutIndex>,
}

impl LayoutArchiveSink {
    /// A sink for the archive at `place`, which is begun when the first content arrives. What has
    /// no size before it is read passes through a nameless file in the directory `scratch`.
    ///
    /// # Errors
    /// `Usage` for `@N`: what is written has a name or none.
    pub fn new(place: &InPath, scratch: &Path) -> Result<LayoutArchiveSink> {
        let name = match &place.entry {
            Entry::Only => None,
            Entry::Named(name) => Some(checked_name(name)?.to_owned()),
            Entry::Nth(_) => {
                let what = format!("oci-archive:{place} can be read but not written to");
                return Err(Error::usage(what));
            }
        };
        Ok(LayoutArchiveSink {
            path: place.path.clone(),
            scratch: scratch.to_owned(),
            name,
            output: OnceCell::new(),
            index: Mutex::new(LayoutIndex::empty()),
        })
    }

    async fn output(&self) -> Result<&Output> {
        self.output.get_or_try_init(|| begin(self.path.clone(), self.scratch.clone())).await
    }
}

/// Starts an archive that is a layout.
pub(super) async fn begin(path: PathBuf, scratch: PathBuf) -> Result<Output> {
    let output = blocking(move || ArchiveFile::create(&path, &scratch)).await?;
    mark(&output).await?;
    Ok(output)
}

/// Writes the members that every layout begins with.
pub(super) async fn mark(output: &Output) -> Result<()> {
    output.append(MARKER.name, MARKER.content.into()).await?;
    output.append("blobs/", Vec::new()).await?;
    output.append("blobs/sha256/", Vec::new()).await
}

impl LayoutArchiveSink {
    async fn put_manifest(&self, known: Option<&Descriptor>, raw: Bytes) -> Result<Manifest> {
        let algorithm = known.map_or(Algorithm::Sha256, |known| known.digest.algorithm());
        let declared = known.map(|known| &known.media_type);
        let manifest = Manifest::parse_with(raw.clone(), declared, algorithm)?;
        let edit = Edit::for_manifest(&manifest)?;
        let descriptor = known.cloned().unwrap_or_else(|| manifest.descriptor());
        self.output().await?.put(Some(&descriptor), Blob::Bytes(raw), &self.scratch).await?;
        if let Some(edit) = edit {
            edit.apply(&mut *self.index.lock().await)?;
        }
        Ok(manifest)
    }
}

impl Sink for LayoutArchiveSink {
    /// The archive is written anew, so its old content is of no interest.
    async fn current(&self) -> Result<Option<Descriptor>> {
        Ok(None)
    }

    async fn presence(&self, what: &Descriptor) -> Result<Presence> {
        let Some(output) = self.output.get() else { return Ok(Presence::Missing) };
        Ok(match output.size_of(&what.digest).await {
            Some(size) if size == what.size => Presence::Present,
            _ => Presence::Missing,
        })
    }

    async fn put(&self, item: Item, content: Blob) -> Result<Descriptor> {
        let known = item.descriptor;
        if item.kind == ItemKind::Manifest {
            let raw = content.into_bytes(MAX_MANIFEST).await?;
            let manifest = self.put_manifest(known.as_ref(), raw).await?;
            return Ok(known.unwrap_or_else(|| manifest.descriptor()));
        }
        let (digest, size) =
            self.output().await?.put(known.as_ref(), content, &self.scratch).await?;
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
        match Edit::for_root(name, root)? {
            Some(edit) => edit.apply(&mut *self.index.lock().await),
            None => Ok(()),
        }
    }

    async fn finish(&self) -> Result<()> {
        let Some(output) = self.output.get() else { return Ok(()) };
        let index = self.index.lock().await.to_bytes()?;
        output.append(INDEX, index).await?;
        output.finish().await
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
