//! Where a layout keeps its blobs: in itself, or in a directory that several layouts share
//! (skopeo's `--shared-blob-dir`), which then holds `sha256/` and its like without a `blobs/`.

use std::path::{Path, PathBuf};

use super::blob_directory;
use crate::error::{Error, IoContext, Result};
use crate::spec::{Algorithm, Digest};
use crate::sys::{Dir, Root};

/// The directory of blobs of a layout.
#[derive(Clone, Debug, Default)]
pub(in crate::transport) struct Blobs {
    shared: Option<PathBuf>,
}

impl Blobs {
    /// Those in `shared`, else those in the layout itself.
    pub(in crate::transport) fn new(shared: Option<&Path>) -> Blobs {
        Blobs { shared: shared.map(Path::to_owned) }
    }

    /// The directory that `digest` belongs into, if there is one. Links below the layout, or below
    /// the shared directory, are not followed: a layout from elsewhere could lead them anywhere.
    pub(super) fn open(&self, layout: Option<&Dir>, digest: &Digest) -> Result<Option<Dir>> {
        let (root, name) = match (&self.shared, layout) {
            (Some(shared), _) => (Dir::open(shared), digest.algorithm().as_str().to_owned()),
            (None, Some(layout)) => (layout.try_clone(), blob_directory(digest)),
            (None, None) => return Ok(None),
        };
        match root.and_then(|dir| Root::new(dir).open_dir_plain(name.as_bytes())) {
            Ok(dir) => Ok(Some(dir)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(format!("opening the blobs beside {digest}"), error)),
        }
    }

    /// The directory for blobs of `algorithm`, made if it is missing, and the one above it.
    pub(super) fn make(&self, layout: &Dir, algorithm: Algorithm) -> Result<(Dir, Dir)> {
        let making = || "making the directory of blobs";
        let (root, name) = match &self.shared {
            None => {
                let root = Root::new(layout.try_clone().doing(making)?);
                root.make_dirs(b"blobs", 0o755)?;
                (root, format!("blobs/{}", algorithm.as_str()))
            }
            Some(shared) => {
                std::fs::create_dir_all(shared)
                    .doing(|| format!("making directory {}", shared.display()))?;
                (Root::open(shared).doing(making)?, algorithm.as_str().to_owned())
            }
        };
        let blobs = root.make_dirs(name.as_bytes(), 0o755)?;
        let above = match &self.shared {
            None => root.open_dir_plain(b"blobs").doing(making)?,
            Some(_) => root.dir().try_clone().doing(making)?,
        };
        Ok((blobs, above))
    }
}
