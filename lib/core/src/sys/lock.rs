//! Locks between processes: kernel locks on an open file, gone with their owner.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::error::{Error, ErrorKind, IoContext, Result};

/// Whether others may hold the lock at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// Together with other shared holders.
    Shared,
    /// Alone.
    Exclusive,
}

/// A held lock; released when dropped, or when the process ends in whatever way.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Lock {
    /// Waits for the lock on the file at `path`, which is made if missing.
    pub fn acquire(path: &Path, mode: LockMode) -> Result<Lock> {
        let waited = Lock::attempt(path, &mut |file| {
            match mode {
                LockMode::Shared => file.lock_shared()?,
                LockMode::Exclusive => file.lock()?,
            }
            Ok(true)
        })?;
        waited.ok_or_else(|| busy(path))
    }

    /// Takes the lock if nobody is in the way; else `None`.
    pub fn try_acquire(path: &Path, mode: LockMode) -> Result<Option<Lock>> {
        Lock::attempt(path, &mut |file| {
            let tried = match mode {
                LockMode::Shared => file.try_lock_shared(),
                LockMode::Exclusive => file.try_lock(),
            };
            match tried {
                Ok(()) => Ok(true),
                Err(TryLockError::WouldBlock) => Ok(false),
                Err(TryLockError::Error(error)) => Err(error),
            }
        })
    }

    fn attempt(
        path: &Path,
        lock: &mut dyn FnMut(&File) -> io::Result<bool>,
    ) -> Result<Option<Lock>> {
        let locking = || format!("locking {}", path.display());
        loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32)
                .open(path)
                .doing(locking)?;
            if !lock(&file).doing(locking)? {
                return Ok(None);
            }
            // Whoever held it before may have deleted the file; a lock on that protects nothing.
            if is_still_at(&file, path).doing(locking)? {
                return Ok(Some(Lock { file }));
            }
        }
    }

    /// The locked file, for what its owner wants to keep in it.
    pub fn file(&self) -> &File {
        &self.file
    }
}

fn is_still_at(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    match std::fs::symlink_metadata(path) {
        Ok(named) => Ok(named.dev() == held.dev() && named.ino() == held.ino()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn busy(path: &Path) -> Error {
    Error::new(ErrorKind::Busy, format!("{} is locked by another process", path.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn one_owner_or_many_readers() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("lock");
        let first = Lock::try_acquire(&path, LockMode::Shared).unwrap().unwrap();
        let second = Lock::acquire(&path, LockMode::Shared).unwrap();
        assert!(Lock::try_acquire(&path, LockMode::Exclusive).unwrap().is_none());
        drop((first, second));
        let alone = Lock::try_acquire(&path, LockMode::Exclusive).unwrap().unwrap();
        assert!(Lock::try_acquire(&path, LockMode::Shared).unwrap().is_none());
        drop(alone);
    }

    #[test]
    fn a_lock_on_a_deleted_file_is_not_taken_for_one() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("lock");
        let old = Lock::acquire(&path, LockMode::Exclusive).unwrap();
        let waiter = std::thread::spawn({
            let path = path.clone();
            move || {
                Lock::acquire(&path, LockMode::Exclusive).unwrap().file.metadata().unwrap().ino()
            }
        });
        std::fs::remove_file(&path).unwrap();
        drop(old);
        let got = waiter.join().unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().ino(), got);
    }
}
