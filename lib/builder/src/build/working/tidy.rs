//! What a command needs in its container's files and what shall not stay there: mount points.
//!
//! Owns `mounting.json` in the container's directory: the paths that were made for a command that
//! runs, or ran when its keeper was killed. The next step takes them away.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;

use super::super::execute::sandbox::Times;
use super::Working;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::sys::{FileKind, Root};

const NOTE: &str = "mounting.json";

/// All places where something is mounted or where the command starts, and the directories above
/// them, as paths without a `/` in front, parents first.
fn places(spec: &Spec) -> BTreeSet<PathBuf> {
    let mut paths = BTreeSet::new();
    let mounts = spec.mounts().iter().flatten().map(|mount| mount.destination().as_path());
    let cwd = spec.process().iter().map(|process| process.cwd().as_path());
    for path in mounts.chain(cwd) {
        let inner = path.strip_prefix("/").unwrap_or(path);
        paths.extend(inner.ancestors().map(Path::to_owned));
    }
    paths
}

/// The times of the directories in which something may be made.
pub(super) fn times(root: &Root, spec: &Spec) -> Times {
    Times::of(root, places(spec).into_iter().map(|path| path.into_os_string().into_encoded_bytes()))
}

impl Working {
    /// Notes what is missing of all that is about to be made.
    pub(super) fn note_places(&self, root: &Root, spec: &Spec) -> Result<()> {
        let is_missing = |path: &PathBuf| {
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
                return false;
            };
            match root.open_dir_plain(parent.as_os_str().as_encoded_bytes()) {
                Ok(parent) => matches!(parent.lookup(name.as_encoded_bytes()), Ok(None)),
                Err(error) => error.kind() == std::io::ErrorKind::NotFound,
            }
        };
        let missing: Vec<PathBuf> = places(spec).into_iter().filter(is_missing).collect();
        let bytes = serde_json::to_vec(&missing)
            .map_err(|error| Error::caused(ErrorKind::Failed, "noting mount points", error))?;
        self.dir.write(NOTE, &bytes)
    }

    /// Forgets the note: what it names is gone.
    pub(super) fn forget_places(&self) -> Result<()> {
        let path = self.dir.path().join(NOTE);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            removed => removed.doing(|| format!("removing {}", path.display())),
        }
    }

    /// Takes away what was made for a command whose keeper was killed, where it is still empty.
    pub(super) fn tidy(&self) -> Result<()> {
        let path = self.dir.path().join(NOTE);
        let text = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            read => read.doing(|| format!("reading {}", path.display()))?,
        };
        // A note that is torn names nothing.
        let made: BTreeSet<PathBuf> = serde_json::from_slice(&text).unwrap_or_default();
        self.with_mount(|tree| {
            let root = Root::open(tree)?;
            let parents = made.iter().filter_map(|path| path.parent());
            let parents = parents.map(|path| path.as_os_str().as_encoded_bytes().to_vec());
            let times = Times::of(&root, parents);
            made.iter().rev().try_for_each(|path| remove_empty(&root, path))?;
            times.restore(&root)
        })?;
        self.forget_places()
    }
}

fn remove_empty(root: &Root, path: &Path) -> Result<()> {
    let removing = || format!("removing mount point /{}", path.display());
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    let name = name.as_encoded_bytes();
    let Ok(parent) = root.open_dir_plain(parent.as_os_str().as_encoded_bytes()) else {
        return Ok(());
    };
    match parent.lookup(name).doing(removing)? {
        Some(meta) if meta.kind == FileKind::Directory => match parent.remove_dir(name) {
            // Something is in it now.
            Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => Ok(()),
            removed => removed.doing(removing),
        },
        Some(meta) if meta.kind == FileKind::File && meta.size == 0 => {
            parent.remove_file(name).doing(removing)
        }
        _ => Ok(()),
    }
}
