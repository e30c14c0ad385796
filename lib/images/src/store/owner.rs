//! Directories for work in progress, each owned by the process that holds its lock.
//!
//! Owns `<root>/tmp/<owner>/`: a file `lock`, and whatever its owner writes before it gets a final
//! name. The kernel drops the lock with its owner, however that ends; what can be locked has no
//! owner and is swept. Does not know what is written.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{IoContext, Result};
use crate::sys::{self, Lock, LockMode};

const LOCK: &str = "lock";
/// Digits of an owner's name; other names in `tmp/` are not ours.
const DIGITS: usize = 16;

/// A directory of this process, removed when dropped.
pub(super) struct Workplace {
    path: PathBuf,
    count: AtomicU64,
    _owner: Lock,
}

impl Workplace {
    /// Makes one in the directory `tmp`. The caller keeps [`sweep`] away meanwhile.
    pub(super) fn create(tmp: &Path) -> Result<Workplace> {
        use std::hash::{BuildHasher, RandomState};
        use std::os::unix::fs::DirBuilderExt;
        loop {
            let id = RandomState::new().hash_one(std::process::id());
            let path = tmp.join(format!("{id:0DIGITS$x}"));
            match std::fs::DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
                other => other.doing(|| format!("making directory {}", path.display()))?,
            }
            let owner = Lock::acquire(&path.join(LOCK), LockMode::Exclusive)?;
            crate::sys::spread_directories(&path);
            return Ok(Workplace { path, count: AtomicU64::new(0), _owner: owner });
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A path in it that nothing has yet.
    pub(super) fn fresh(&self) -> PathBuf {
        self.path.join(self.count.fetch_add(1, Ordering::Relaxed).to_string())
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        // What stays is swept by the next writer.
        let _ = sys::remove_tree(&self.path);
    }
}

/// The workplaces in `tmp`, whoever owns them.
pub(super) fn workplaces(tmp: &Path) -> Result<Vec<PathBuf>> {
    let listing = || format!("listing {}", tmp.display());
    let entries = match std::fs::read_dir(tmp) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).doing(listing),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.doing(listing)?;
        let name = entry.file_name();
        let ours = name.len() == DIGITS
            && name.as_encoded_bytes().iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if ours && entry.file_type().doing(listing)?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Whether the owner of a workplace lives. No workplace must be in the making.
pub(super) fn owned(workplace: &Path) -> Result<bool> {
    Ok(take_over(workplace)?.is_none())
}

/// The lock of a workplace whose owner is gone, in case it had one; `None` while it lives.
fn take_over(workplace: &Path) -> Result<Option<Option<File>>> {
    let path = workplace.join(LOCK);
    let locking = || format!("locking {}", path.display());
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(None)),
        Err(error) => return Err(error).doing(locking),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(Some(file))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error).doing(locking),
    }
}

/// Takes over the workplaces whose owners are gone; dropping the result removes them. No workplace
/// must be in the making.
pub(super) fn sweep(tmp: &Path) -> Result<Vec<Swept>> {
    let mut swept = Vec::new();
    for path in workplaces(tmp)? {
        if let Some(lock) = take_over(&path)? {
            swept.push(Swept { path, _lock: lock });
        }
    }
    Ok(swept)
}

/// What an owner that is gone has left.
pub(super) struct Swept {
    path: PathBuf,
    _lock: Option<File>,
}

impl Drop for Swept {
    fn drop(&mut self) {
        // Others may be at the same; what all of them leave is swept next time.
        let _ = sys::remove_tree(&self.path);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_no_owner_is_swept() {
        let tmp = tempfile::tempdir().unwrap();
        let living = Workplace::create(tmp.path()).unwrap();
        std::fs::write(living.fresh(), "half").unwrap();
        let dead = tmp.path().join("00000000000000aa");
        std::fs::create_dir_all(dead.join("deep/er")).unwrap();
        let foreign = tmp.path().join("foreign");
        std::fs::create_dir(&foreign).unwrap();
        std::fs::write(tmp.path().join("00000000000000ab"), "no directory").unwrap();
        drop(sweep(tmp.path()).unwrap());
        assert!(!dead.exists() && foreign.exists());
        assert!(tmp.path().join("00000000000000ab").exists());
        assert_eq!(std::fs::read(living.path().join("0")).unwrap(), b"half");
        let path = living.path().to_owned();
        drop(living);
        assert!(!path.exists());
    }
}
