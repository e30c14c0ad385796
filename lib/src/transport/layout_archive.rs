//! Writing `oci-archive:`: an OCI layout in a tar file, in one pass.
//!
//! Uses `archive` for the file and `layout` for its index. Promise: an archive that is there stays
//! until the new one is whole, and is then replaced by it. Reading is `layout`'s business.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::sync::Mutex;

use super::archive::{ArchiveFile, Output};
use super::layout::{Edit, INDEX, LayoutIndex, MARKER, checked_name};
use super::{Abilities, Entry, InPath, Item, ItemKind, Origin, Presence, Sink, Usual};
use crate::blob::{Blob, blocking};
use crate::error::{Error, Result};
use crate::spec::{Algorithm, Descriptor, MAX_MANIFEST, Manifest, MediaType};

/// A layout archive, for writing one image, or several under several names.
pub struct LayoutArchiveSink {
    output: Output,
    name: Option<String>,
    scratch: PathBuf,
    index: Mutex<LayoutIndex>,
}

impl LayoutArchiveSink {
    /// Starts the archive at `place`. What has no size before it is read passes through a nameless
    /// file in the directory `scratch`.
    ///
    /// # Errors
    /// `Usage` for `@N`: what is written has a name or none.
    pub async fn create(place: &InPath, scratch: &Path) -> Result<LayoutArchiveSink> {
        let name = match &place.entry {
            Entry::Only => None,
            Entry::Named(name) => Some(checked_name(name)?.to_owned()),
            Entry::Nth(_) => {
                let what = format!("oci-archive:{place} can be read but not written to");
                return Err(Error::usage(what));
            }
        };
        let (path, scratch) = (place.path.clone(), scratch.to_owned());
        let output = {
            let scratch = scratch.clone();
            blocking(move || ArchiveFile::create(&path, &scratch)).await?
        };
        output.append(MARKER.name, MARKER.content.into()).await?;
        output.append("blobs/", Vec::new()).await?;
        output.append("blobs/sha256/", Vec::new()).await?;
        Ok(LayoutArchiveSink { output, name, scratch, index: Mutex::new(LayoutIndex::empty()) })
    }
}

impl LayoutArchiveSink {
    async fn put_manifest(&self, known: Option<&Descriptor>, raw: Bytes) -> Result<Manifest> {
        let algorithm = known.map_or(Algorithm::Sha256, |known| known.digest.algorithm());
        let declared = known.map(|known| &known.media_type);
        let manifest = Manifest::parse_with(raw.clone(), declared, algorithm)?;
        let edit = Edit::for_manifest(&manifest)?;
        let descriptor = known.cloned().unwrap_or_else(|| manifest.descriptor());
        self.output.put(Some(&descriptor), Blob::Bytes(raw), &self.scratch).await?;
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
        Ok(match self.output.size_of(&what.digest).await {
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
        let (digest, size) = self.output.put(known.as_ref(), content, &self.scratch).await?;
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
        let index = self.index.lock().await.to_bytes()?;
        self.output.append(INDEX, index).await?;
        self.output.finish().await
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
