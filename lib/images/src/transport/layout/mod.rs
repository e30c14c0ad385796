//! OCI layouts (image spec, image-layout.md), in a directory or inside a tar file.
//!
//! Owns `oci:` in both directions, reading of `oci-archive:`, and the care of layout directories:
//! names and garbage. Uses `staging` to write and `archive` to look into tar files. Promise: any
//! number of writers may work on one directory; a name appears when all it stands for is on disk,
//! and stands for something whole after a crash at any moment; manifests and unknown fields stay
//! as they are, in Docker's words as well as in OCI's.

mod collect;
mod edit;
mod index;
mod referrers;
mod shared;
mod sink;

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::OnceCell;

pub use collect::{Collected, archive_entries, collect_garbage, entries, remove_name};
pub(super) use edit::Edit;
pub(super) use index::{FULL_NAME, LayoutIndex};
pub(super) use shared::Blobs;
pub use sink::LayoutSink;
pub(super) use sink::checked_name;

use super::archive::Archive;
use super::{Entry, InPath, Origin, Referrer, Source};
use crate::blob::{Blob, FileBlob, blocking};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::spec::json::parse_strict;
use crate::spec::{Descriptor, Digest, MAX_MANIFEST, Manifest, MediaType, Platform};
use crate::store::Marker;
use crate::sys::{Dir, Root};

/// The file that makes a directory a layout.
pub(super) const MARKER: Marker =
    Marker { name: "oci-layout", content: r#"{"imageLayoutVersion":"1.0.0"}"# };
pub(super) const INDEX: &str = "index.json";
const MAX_MARKER: u64 = 4096;

/// An image in a layout, for reading.
pub struct LayoutSource {
    layout: Arc<Layout>,
    entry: Entry,
    platform: Platform,
    referrers: OnceCell<referrers::Referrers>,
}

/// A layout as it was when it was opened: later changes of names are not seen.
pub(super) struct Layout {
    files: Files,
    index: LayoutIndex,
    /// How it is called in errors.
    place: String,
}

enum Files {
    Directory(Root, Blobs),
    Archive(Archive),
}

impl LayoutSource {
    /// Opens the layout directory of `oci:`. Among several images of one name, `platform` decides.
    /// Its blobs may lie in a directory that several layouts `share`.
    pub async fn open(
        place: &InPath,
        platform: Platform,
        share: Option<&Path>,
    ) -> Result<LayoutSource> {
        let (path, blobs) = (place.path.clone(), Blobs::new(share));
        let layout = blocking(move || Layout::open_with(&path, blobs)).await?;
        Ok(LayoutSource::of(layout, place, platform))
    }

    /// Opens the tar file of `oci-archive:`. What is compressed is first unpacked into a nameless
    /// file in the directory `scratch`.
    pub async fn open_archive(
        place: &InPath,
        platform: Platform,
        scratch: &Path,
    ) -> Result<LayoutSource> {
        let (path, scratch) = (place.path.clone(), scratch.to_owned());
        let layout = blocking(move || Layout::open_archive(&path, &scratch));
        Ok(LayoutSource::of(layout.await?, place, platform))
    }

    fn of(layout: Layout, place: &InPath, platform: Platform) -> LayoutSource {
        LayoutSource {
            layout: Arc::new(layout),
            entry: place.entry.clone(),
            platform,
            referrers: OnceCell::new(),
        }
    }
}

impl Layout {
    pub(super) fn open(path: &Path) -> Result<Layout> {
        Layout::open_with(path, Blobs::default())
    }

    pub(super) fn open_archive(path: &Path, scratch: &Path) -> Result<Layout> {
        let name = format!("oci-archive:{}", path.display());
        Layout::read(Files::Archive(Archive::open(path, scratch)?), name)
    }

    fn open_with(path: &Path, blobs: Blobs) -> Result<Layout> {
        let name = format!("oci:{}", path.display());
        let root = Root::open(path).doing(|| format!("opening {name}"))?;
        Layout::read(Files::Directory(root, blobs), name)
    }

    fn read(files: Files, place: String) -> Result<Layout> {
        if let Some(marker) = files.read(MARKER.name, MAX_MARKER)? {
            check_version(&marker, &place)?;
        }
        let bytes = files.read(INDEX, MAX_MANIFEST)?.ok_or_else(|| {
            Error::not_found(format!("{place} is no OCI layout: it has no {INDEX}"))
        })?;
        let index = LayoutIndex::parse(&bytes, &format!("{INDEX} of {place}"))?;
        Ok(Layout { files, index, place })
    }

    /// A blob as a stretch of a file; its size was compared, its digest not yet.
    fn blob(&self, what: &Descriptor) -> Result<FileBlob> {
        self.files.blob(what).doing(|| format!("opening {} of {}", what.digest, self.place))
    }

    /// The descriptor of a manifest that is known by its digest alone.
    fn describe(&self, digest: &Digest) -> Result<Descriptor> {
        let doing = || format!("looking for {digest} in {}", self.place);
        let size = self.files.size(digest).doing(doing)?;
        let unknown = Descriptor::new(MediaType::Other(String::new()), digest.clone(), size);
        let bytes = read_manifest(&self.blob(&unknown)?).doing(doing)?;
        Ok(Manifest::verified(bytes, &unknown).doing(doing)?.descriptor())
    }

    /// A whole manifest.
    fn manifest(&self, what: &Descriptor) -> Result<Manifest> {
        let bytes = read_manifest(&self.blob(what)?).doing(|| format!("reading {}", self.place))?;
        Manifest::verified(bytes, what).doing(|| format!("reading {}", self.place))
    }
}

fn read_manifest(blob: &FileBlob) -> Result<Bytes> {
    if blob.size > MAX_MANIFEST {
        return Err(Error::invalid(format!(
            "manifest {} of {} bytes is larger than the limit of {MAX_MANIFEST}",
            blob.digest, blob.size
        )));
    }
    let mut bytes = Vec::new();
    let read = blob.reader().read_to_end(&mut bytes);
    read.doing(|| format!("reading manifest {}", blob.digest))?;
    Ok(bytes.into())
}

fn check_version(marker: &[u8], place: &str) -> Result<()> {
    // Left by a writer that was killed; the next one fills it.
    if marker.is_empty() {
        return Ok(());
    }
    let value = parse_strict(marker, &format!("oci-layout of {place}"))?;
    match value.get("imageLayoutVersion").and_then(serde_json::Value::as_str) {
        Some(version) if version.split('.').next() == Some("1") => Ok(()),
        Some(version) => {
            Err(Error::unsupported(format!("{place} is an OCI layout of version {version:?}")))
        }
        None => Err(Error::invalid(format!("oci-layout of {place} names no version"))),
    }
}

impl Files {
    /// A small file; `None` when there is none.
    fn read(&self, name: &str, limit: u64) -> Result<Option<Bytes>> {
        match self {
            Files::Archive(archive) => archive.read(name, limit),
            Files::Directory(root, _) => read_file(root.dir(), name, limit),
        }
    }

    fn blob(&self, what: &Descriptor) -> Result<FileBlob> {
        match self {
            Files::Archive(archive) => archive.blob(&blob_path(&what.digest), what),
            Files::Directory(root, blobs) => {
                sized(open_blob(blobs, root.dir(), &what.digest)?, what)
            }
        }
    }

    fn size(&self, digest: &Digest) -> Result<u64> {
        match self {
            Files::Archive(archive) => match archive.find(&blob_path(digest))? {
                Some(stretch) => Ok(stretch.size),
                None => Err(no_blob(digest)),
            },
            Files::Directory(root, blobs) => {
                let meta = open_blob(blobs, root.dir(), digest)?.metadata();
                Ok(meta.doing(|| format!("looking at {digest}"))?.len())
            }
        }
    }
}

fn no_blob(digest: &Digest) -> Error {
    Error::not_found(format!("there is no blob {digest}"))
}

/// Opens a blob of a layout directory.
fn open_blob(blobs: &Blobs, layout: &Dir, digest: &Digest) -> Result<File> {
    let dir = blobs.open(Some(layout), digest)?.ok_or_else(|| no_blob(digest))?;
    dir.open_file(digest.hex().as_bytes()).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => no_blob(digest),
        _ => Error::io(format!("opening blob {digest}"), error),
    })
}

/// Reads a small regular file of a directory; `None` when nothing has that name.
pub(super) fn read_file(dir: &Dir, name: &str, limit: u64) -> Result<Option<Bytes>> {
    let file = match dir.open_file(name.as_bytes()) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io(format!("opening {name}"), error)),
    };
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).doing(|| format!("reading {name}"))?;
    if bytes.len() as u64 > limit {
        return Err(Error::invalid(format!("{name} is larger than the limit of {limit} bytes")));
    }
    Ok(Some(bytes.into()))
}

/// The whole of `file` as the blob `what`, if it is of the right size.
pub(super) fn sized(file: File, what: &Descriptor) -> Result<FileBlob> {
    let size = file.metadata().doing(|| format!("opening {}", what.digest))?.len();
    if size != what.size {
        return Err(Error::corrupt(format!(
            "{} has {size} bytes but should have {}",
            what.digest, what.size
        )));
    }
    Ok(FileBlob::whole(file, what))
}

pub(super) fn blob_directory(digest: &Digest) -> String {
    format!("blobs/{}", digest.algorithm().as_str())
}

/// Where a layout keeps the bytes of `digest`.
pub(super) fn blob_path(digest: &Digest) -> String {
    format!("{}/{}", blob_directory(digest), digest.hex())
}

impl Source for LayoutSource {
    async fn resolve(&self) -> Result<Descriptor> {
        let chosen = self.layout.index.choose(&self.entry, &self.platform, &self.layout.place);
        match (&self.entry, chosen) {
            // It may be an image of an index, and so not in index.json itself.
            (Entry::Digest(digest), Err(error)) if error.kind() == ErrorKind::NotFound => {
                let (layout, digest) = (self.layout.clone(), digest.clone());
                blocking(move || layout.describe(&digest)).await
            }
            (_, chosen) => chosen,
        }
    }

    async fn read_root(&self) -> Result<Manifest> {
        let root = self.resolve().await?;
        let layout = self.layout.clone();
        blocking(move || layout.manifest(&root)).await
    }

    async fn open(&self, what: &Descriptor) -> Result<Blob> {
        let (layout, what) = (self.layout.clone(), what.clone());
        blocking(move || layout.blob(&what)).await.map(Blob::File)
    }

    async fn glance(&self, what: &Descriptor) -> Result<()> {
        self.open(what).await.map(drop)
    }

    async fn measure(&self, blob: &Digest) -> Result<u64> {
        let (layout, blob) = (self.layout.clone(), blob.clone());
        blocking(move || layout.files.size(&blob)).await
    }

    async fn referrers(&self, subject: &Descriptor) -> Result<Vec<Referrer>> {
        let layout = self.layout.clone();
        let all =
            self.referrers.get_or_try_init(|| blocking(move || referrers::scan(&layout))).await?;
        Ok(all.get(&subject.digest).cloned().unwrap_or_default())
    }

    fn origin(&self) -> Origin {
        Origin::Elsewhere
    }
}

/// Whether a reading failed only because this layout does not hold or cannot read the thing.
fn is_absence(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Unsupported | ErrorKind::Invalid)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
