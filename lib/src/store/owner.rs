//! Directories for work in progress, each owned by the process that holds its lock.
//!
//! Owns `<root>/tmp/<owner>/`: a file `lock`, and whatever its owner writes before it gets a final
//! name. The kernel drops the lock with its owner, however that ends; what can be locked has no
//! owner and is swept. Does not know what is written.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{ErrorKind, IoContext, Result};
use crate::sys::{Dir, Lock, LockMode};

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
    /// Makes one in the directory `tmp`.
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
            match Lock::acquire(&path.join(LOCK), LockMode::Exclusive) {
                Ok(owner) => {
                    return Ok(Workplace { path, count: AtomicU64::new(0), _owner: owner });
                }
                // Swept between the two calls, while it had no lock yet.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
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
        let _ = remove_tree(&self.path);
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

/// The lock of a workplace whose owner is gone; `None` while it lives.
pub(super) fn ownerless(workplace: &Path) -> Result<Option<Lock>> {
    match Lock::try_acquire(&workplace.join(LOCK), LockMode::Exclusive) {
        // Removed just now, by its owner or another sweep.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        other => other,
    }
}

/// Removes the workplaces whose owners are gone.
pub(super) fn sweep(tmp: &Path) -> Result<()> {
    for path in workplaces(tmp)? {
        if let Some(_held) = ownerless(&path)? {
            remove_tree(&path).doing(|| format!("removing {}", path.display()))?;
        }
    }
    Ok(())
}

fn remove_tree(path: &Path) -> std::io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    Dir::open(parent)?.remove_tree(name.as_encoded_bytes())
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
        sweep(tmp.path()).unwrap();
        assert!(!dead.exists() && foreign.exists());
        assert!(tmp.path().join("00000000000000ab").exists());
        assert_eq!(std::fs::read(living.path().join("0")).unwrap(), b"half");
        let path = living.path().to_owned();
        drop(living);
        assert!(!path.exists());
    }

    #[test]
    fn makers_and_sweepers_do_not_trip_over_each_other() {
        let tmp = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let mine = Workplace::create(tmp.path()).unwrap();
                        let file = mine.fresh();
                        std::fs::write(&file, "x").unwrap();
                        sweep(tmp.path()).unwrap();
                        assert!(file.exists());
                    }
                });
            }
        });
        assert_eq!(std::fs::read_dir(tmp.path()).unwrap().count(), 0);
    }
}
