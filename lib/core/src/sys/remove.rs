//! Deleting trees by handle.

use std::io;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::dir::{Dir, proc_path};
use super::meta::{FileKind, Meta};

/// Levels that are entered with one handle each; deeper trees are first moved up, so that the
/// number of open files does not depend on what is deleted.
const MAX_LEVELS: usize = 64;

impl Dir {
    /// Removes `name` and, if it is a directory, all below it. Nothing of that name is no error,
    /// and neither is somebody else who removes the same tree at the same time.
    ///
    /// Never follows a link and never enters another mount: a mount point below fails with
    /// `EXDEV` or `EBUSY` and stays, together with the directories above it.
    pub fn remove_tree(&self, name: &[u8]) -> io::Result<()> {
        match self.remove_file(name) {
            // Linux says EISDIR, POSIX EPERM.
            Err(error) if is(&error, Errno::ISDIR) || is(&error, Errno::PERM) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => return other,
        }
        if let Some(tree) = unless_gone(self.enter_to_remove(name))? {
            unless_gone(tree.remove_contents())?;
        }
        unless_gone(self.remove_dir(name))?;
        Ok(())
    }

    /// Removes everything in this directory, which itself stays.
    pub fn remove_contents(&self) -> io::Result<()> {
        let mut moved = 0;
        loop {
            self.remove_below(self, 1, &mut moved)?;
            // What was too deep now lies at the top.
            if self.entries()?.is_empty() {
                return Ok(());
            }
        }
    }

    fn remove_below(&self, top: &Dir, level: usize, moved: &mut u64) -> io::Result<()> {
        for entry in self.entries()? {
            let is_dir = match entry.kind {
                Some(kind) => kind == FileKind::Directory,
                None => matches!(
                    self.lookup(&entry.name)?,
                    Some(Meta { kind: FileKind::Directory, .. })
                ),
            };
            if !is_dir {
                unless_gone(self.remove_file(&entry.name))?;
            } else if level >= MAX_LEVELS {
                unless_gone(self.move_up(&entry.name, top, moved))?;
            } else if let Some(below) = unless_gone(self.enter_to_remove(&entry.name))? {
                unless_gone(below.remove_below(top, level + 1, moved))?;
                unless_gone(self.remove_dir(&entry.name))?;
            }
        }
        Ok(())
    }

    /// Renames a deep directory to a new name at the top, where the next round finds it.
    fn move_up(&self, name: &[u8], top: &Dir, moved: &mut u64) -> io::Result<()> {
        loop {
            *moved += 1;
            let new_name = format!(".removing-{moved}");
            if top.lookup(new_name.as_bytes())?.is_none() {
                return self.rename(name, top, new_name.as_bytes());
            }
        }
    }

    /// Opens a directory that is to be deleted, making it accessible first if need be.
    fn enter_to_remove(&self, name: &[u8]) -> io::Result<Dir> {
        let writable = |dir: Dir| -> io::Result<Dir> {
            if rustix::process::geteuid().is_root() || dir.meta()?.mode & 0o700 == 0o700 {
                return Ok(dir);
            }
            super::set_mode(&dir, 0o700)?;
            Ok(dir)
        };
        match self.open_dir(name) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            other => return writable(other?),
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let pinned = super::dir::resolve(self, name, flags, super::dir::PLAIN)?;
        rustix::fs::chmod(proc_path(&pinned), Mode::RWXU)?;
        self.open_dir(name)
    }
}

/// [`Dir::remove_tree`] of what is at `path`, which must have a name.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    Dir::open(parent)?.remove_tree(name.as_encoded_bytes())
}

/// `None` where somebody else has removed it just before.
fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

fn is(error: &io::Error, number: Errno) -> bool {
    Errno::from_io_error(error) == Some(number)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn links_are_removed_and_their_targets_stay() {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(place.path().join("keep/inner")).unwrap();
        std::fs::create_dir_all(place.path().join("gone/sub")).unwrap();
        std::os::unix::fs::symlink("../../keep", place.path().join("gone/sub/link")).unwrap();
        let dir = Dir::open(place.path()).unwrap();
        dir.remove_tree(b"gone").unwrap();
        assert!(place.path().join("keep/inner").is_dir());
        assert!(!place.path().join("gone").exists());
        dir.remove_tree(b"never-there").unwrap();
    }

    #[test]
    fn depth_costs_no_handles() {
        let place = tempfile::tempdir().unwrap();
        let top = Dir::open(place.path()).unwrap();
        top.make_dir(b"tree", 0o755).unwrap();
        let mut here = top.open_dir(b"tree").unwrap();
        for level in 0..2500 {
            here.make_dir(b"d", 0o755).unwrap();
            if level % 100 == 0 {
                drop(here.create_file(b"f", 0o644).unwrap());
            }
            here = here.open_dir(b"d").unwrap();
        }
        drop(here);
        top.remove_tree(b"tree").unwrap();
        assert_eq!(top.entries().unwrap(), []);
    }

    #[test]
    fn several_may_remove_the_same_tree() {
        let place = tempfile::tempdir().unwrap();
        for _ in 0..20 {
            for directory in 0..20 {
                let directory = place.path().join(format!("tree/{directory}/sub"));
                std::fs::create_dir_all(&directory).unwrap();
                for file in 0..10 {
                    std::fs::write(directory.join(file.to_string()), "").unwrap();
                }
            }
            std::thread::scope(|scope| {
                let removing = || Dir::open(place.path())?.remove_tree(b"tree");
                let all: Vec<_> = (0..4).map(|_| scope.spawn(removing)).collect();
                for one in all {
                    one.join().unwrap().unwrap();
                }
            });
            assert!(!place.path().join("tree").exists());
        }
    }

    #[test]
    fn names_with_more_than_one_part_are_refused() {
        let place = tempfile::tempdir().unwrap();
        let dir = Dir::open(place.path()).unwrap();
        for name in [&b""[..], b".", b"..", b"a/b", b"../x", b"a\0b"] {
            let error = dir.remove_tree(name).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{name:?}");
        }
    }
}
