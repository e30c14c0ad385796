//! Images that are mounted somewhere, and so need their layers.
//!
//! Owns `<root>/mounts/<hash of the place>/`: `needs`, the digests that must stay; `target`, the
//! place; `boot`, which run of the machine it belongs to; and whatever the mount itself takes.
//! Promise: what is noted stays until it is forgotten, or the machine is started anew. Does not
//! mount.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::prune::directories;
use super::{Store, intake};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::spec::Digest;
use crate::sys::{self, LockMode};

const NEEDS: &str = "needs";
const TARGET: &str = "target";
pub(super) const BOOT: &str = "boot";

impl Store {
    fn mounts_dir(&self) -> PathBuf {
        self.root.join("mounts")
    }

    fn mount_path(&self, target: &Path) -> PathBuf {
        let hash = Digest::sha256(target.as_os_str().as_bytes());
        self.mounts_dir().join(hash.hex())
    }

    /// Notes that something will be mounted at `target`, an absolute path, that needs these
    /// digests. Returns a directory for what the mount takes.
    ///
    /// # Errors
    /// `AlreadyExists` if something is noted there.
    pub fn note_mount(&self, target: &Path, needs: &[Digest]) -> Result<PathBuf> {
        self.writable()?;
        let path = self.mount_path(target);
        let noting = || format!("noting the mount at {}", target.display());
        self.steps.make_dir(&self.mounts_dir())?;
        let _together = self.lock(LockMode::Shared)?;
        match std::fs::create_dir(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                let kind = ErrorKind::AlreadyExists;
                let cure = format!("`creel-inspect umount {}` ends that", target.display());
                return Err(Error::new(kind, format!("an image is mounted there: {cure}")))
                    .doing(noting);
            }
            made => made.doing(noting)?,
        }
        let lines: String = needs.iter().map(|digest| format!("{digest}\n")).collect();
        let boot = sys::boot_id().unwrap_or_default();
        let written = std::fs::write(path.join(NEEDS), lines)
            .and_then(|()| std::fs::write(path.join(BOOT), boot))
            .and_then(|()| std::fs::write(path.join(TARGET), target.as_os_str().as_bytes()));
        if written.is_err() {
            intake::remove(&path);
        }
        written.doing(noting)?;
        Ok(path)
    }

    /// Forgets what is noted at `target`; `false` if nothing was.
    pub fn forget_mount(&self, target: &Path) -> Result<bool> {
        self.writable()?;
        let path = self.mount_path(target);
        if !path.exists() {
            return Ok(false);
        }
        crate::sys::Dir::open(&self.mounts_dir())
            .and_then(|dir| dir.remove_tree(path.file_name().unwrap_or_default().as_bytes()))
            .doing(|| format!("forgetting the mount at {}", target.display()))?;
        Ok(true)
    }

    /// Where images are mounted.
    pub fn mounts(&self) -> Result<Vec<PathBuf>> {
        let mut targets = Vec::new();
        for path in directories(&self.mounts_dir())? {
            if let Ok(target) = std::fs::read(path.join(TARGET)) {
                targets.push(PathBuf::from(OsStr::from_bytes(&target)));
            }
        }
        Ok(targets)
    }

    /// The files that list what mounts need.
    pub(super) fn mount_needs(&self) -> Result<Vec<PathBuf>> {
        let paths = directories(&self.mounts_dir())?.into_iter();
        Ok(paths.filter(|path| !is_of_another_boot(path)).map(|path| path.join(NEEDS)).collect())
    }

    /// Removes the notes of mounts that ended with the machine.
    pub(super) fn forget_old_mounts(&self) -> Result<()> {
        for path in directories(&self.mounts_dir())? {
            if is_of_another_boot(&path) {
                intake::remove(&path);
            }
        }
        Ok(())
    }
}

fn is_of_another_boot(mount: &Path) -> bool {
    match (std::fs::read_to_string(mount.join(BOOT)), sys::boot_id()) {
        (Ok(noted), Some(now)) => !noted.is_empty() && noted != now,
        _ => false,
    }
}
