//! Files that appear whole or not at all.

use std::fs::File;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use super::dir::Dir;
use crate::error::{IoContext, Result};

/// A file being written under a temporary name; [`commit`](AtomicFile::commit) gives it the real
/// one. Dropped before that, it is removed.
#[derive(Debug)]
pub struct AtomicFile<'a> {
    dir: &'a Dir,
    file: Option<File>,
    temporary: Vec<u8>,
}

impl<'a> AtomicFile<'a> {
    /// Starts a file in `dir` with permission bits `mode` less the process's mask.
    pub fn create(dir: &'a Dir, mode: u32) -> Result<AtomicFile<'a>> {
        loop {
            let temporary = temporary_name();
            match dir.create_file(&temporary, mode) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                other => {
                    let file = other.doing(|| "creating a temporary file")?;
                    return Ok(AtomicFile { dir, file: Some(file), temporary });
                }
            }
        }
    }

    /// Flushes the content, renames it to `name` (replacing what is there) and flushes the
    /// directory: when this returns, a power cut changes nothing any more.
    pub fn commit(mut self, name: &[u8]) -> Result<()> {
        let publishing = || format!("writing {}", name.escape_ascii());
        if let Some(file) = &self.file {
            file.sync_all().doing(publishing)?;
            self.dir.rename(&self.temporary, self.dir, name).doing(publishing)?;
        }
        self.file = None;
        self.dir.sync().doing(publishing)
    }
}

impl Write for AtomicFile<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.file {
            Some(file) => file.write(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for AtomicFile<'_> {
    fn drop(&mut self) {
        if self.file.is_some() {
            // The error that led here is the one to report.
            let _ = self.dir.remove_file(&self.temporary);
        }
    }
}

/// Writes a small file atomically and durably; see [`AtomicFile`].
pub fn write_file(dir: &Dir, name: &[u8], bytes: &[u8], mode: u32) -> Result<()> {
    let mut file = AtomicFile::create(dir, mode)?;
    file.write_all(bytes).doing(|| format!("writing {}", name.escape_ascii()))?;
    file.commit(name)
}

/// Unlikely to exist; `O_EXCL` decides.
pub(super) fn temporary_name() -> Vec<u8> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    use std::hash::{BuildHasher, RandomState};
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let random = RandomState::new().hash_one((std::process::id(), count));
    format!(".tmp-{random:016x}").into_bytes()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn appears_whole_or_not_at_all() {
        let place = tempfile::tempdir().unwrap();
        let dir = Dir::open(place.path()).unwrap();
        write_file(&dir, b"name", b"old", 0o600).unwrap();
        let mut cut = AtomicFile::create(&dir, 0o600).unwrap();
        cut.write_all(b"half").unwrap();
        drop(cut);
        assert_eq!(std::fs::read(place.path().join("name")).unwrap(), b"old");
        write_file(&dir, b"name", b"new", 0o600).unwrap();
        assert_eq!(std::fs::read(place.path().join("name")).unwrap(), b"new");
        assert_eq!(dir.entries().unwrap().len(), 1);
    }

    #[test]
    fn a_failed_commit_leaves_nothing() {
        let place = tempfile::tempdir().unwrap();
        let dir = Dir::open(place.path()).unwrap();
        dir.make_dir(b"taken", 0o755).unwrap();
        let error = write_file(&dir, b"taken", b"x", 0o600).unwrap_err();
        assert!(error.chain().starts_with("writing taken: "), "{}", error.chain());
        assert_eq!(dir.entries().unwrap().len(), 1);
    }
}
