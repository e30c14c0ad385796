//! Single files on their way: without a name until they are whole, shared blocks, early write-back.

use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{Advice, AtFlags, CWD};
use rustix::io::Errno;

use super::atomic::temporary_name;
use super::dir::{Dir, proc_path};

/// A new file that has no name on the file system until it is published.
///
/// Where the file system cannot do that, it has a temporary one, removed when this is dropped.
#[derive(Debug)]
pub struct NewFile {
    dir: Dir,
    file: File,
    temporary: Option<Vec<u8>>,
}

impl NewFile {
    /// Starts a file in `dir`, open for reading and writing, with permission bits `mode` less the
    /// process's mask.
    pub fn create(dir: Dir, mode: u32) -> io::Result<NewFile> {
        match dir.create_unnamed_file(mode) {
            Ok(file) => Ok(NewFile { dir, file, temporary: None }),
            Err(error) if lacks_unnamed(&error) => {
                let (file, name) = create_named(&dir, mode)?;
                Ok(NewFile { dir, file, temporary: Some(name) })
            }
            Err(error) => Err(error),
        }
    }

    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Flushes the content and makes it visible as `name`, replacing what had the name.
    pub fn publish(mut self, name: &[u8]) -> io::Result<()> {
        self.file.sync_all()?;
        if self.temporary.is_none() {
            self.temporary = Some(self.link_somewhere()?);
        }
        if let Some(temporary) = &self.temporary {
            self.dir.rename(temporary, &self.dir, name)?;
        }
        self.temporary = None;
        self.dir.sync()
    }

    /// Gives the nameless file a temporary name: a link cannot replace, a rename can.
    fn link_somewhere(&self) -> io::Result<Vec<u8>> {
        loop {
            let name = temporary_name();
            let from = proc_path(&self.file);
            match rustix::fs::linkat(CWD, from, &self.dir, &name[..], AtFlags::SYMLINK_FOLLOW) {
                Ok(()) => return Ok(name),
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // The error that led here is the one to report.
            let _ = self.dir.remove_file(temporary);
        }
    }
}

/// A file in `dir` that is gone when it is closed.
pub fn scratch_file(dir: &Dir) -> io::Result<File> {
    match dir.create_unnamed_file(0o600) {
        Err(error) if lacks_unnamed(&error) => {
            let (file, name) = create_named(dir, 0o600)?;
            dir.remove_file(&name)?;
            Ok(file)
        }
        other => other,
    }
}

fn lacks_unnamed(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT))
}

fn create_named(dir: &Dir, mode: u32) -> io::Result<(File, Vec<u8>)> {
    loop {
        let name = temporary_name();
        match dir.create_file_rw(&name, mode) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(file) => return Ok((file, name)),
        }
    }
}

/// Asks ext4 to give each directory that will be made in this one a part of the disk of its own.
///
/// Otherwise all trees begin in the same part, where looking for free inodes takes long when many
/// were freed in the last minutes. Other file systems do without; failing is no failure.
pub fn spread_directories(path: &Path) {
    use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
    let Ok(directory) = File::open(path) else { return };
    if let Ok(flags) = ioctl_getflags(&directory) {
        let _ = ioctl_setflags(&directory, flags | IFlags::TOPDIR);
    }
}

/// Lets the empty file `to` share the blocks of all of `from`; `false` where that is impossible.
pub fn share_blocks(from: &File, to: &File) -> io::Result<bool> {
    match rustix::fs::ioctl_ficlone(to, from) {
        Ok(()) => Ok(true),
        Err(Errno::OPNOTSUPP | Errno::NOTTY | Errno::XDEV | Errno::INVAL | Errno::PERM) => {
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// Tells the kernel to begin writing a stretch to disk, so that a later flush has less to wait for.
///
/// Only a hint: it neither waits nor fails.
pub fn start_write_back(file: impl AsFd, offset: u64, length: u64) {
    // For dirty pages this advice starts their write-back and drops nothing.
    if let Some(length) = NonZeroU64::new(length) {
        let _ = rustix::fs::fadvise(file, offset, Some(length), Advice::DontNeed);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_new_file_has_no_name_before_it_is_published() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("x"), "old").unwrap();
        let new = NewFile::create(Dir::open(place.path()).unwrap(), 0o644).unwrap();
        new.file().write_all(b"new").unwrap();
        assert_eq!(std::fs::read(place.path().join("x")).unwrap(), b"old");
        new.publish(b"x").unwrap();
        assert_eq!(std::fs::read(place.path().join("x")).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
    }

    #[test]
    fn without_unnamed_files_a_temporary_name_is_cleaned_up() {
        let place = tempfile::tempdir().unwrap();
        let dir = Dir::open(place.path()).unwrap();
        let (file, name) = create_named(&dir, 0o644).unwrap();
        let new = NewFile { dir, file, temporary: Some(name) };
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
        drop(new);
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
    }
}
