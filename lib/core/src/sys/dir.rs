//! An open directory, and what can be done to the names in it.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, RawDir, ResolveFlags};
use rustix::io::Errno;

use super::meta::{Device, FileKind, Meta, Time, owner, timestamps};

/// A handle of a directory.
///
/// Every `name` is one component: not empty, not `.` or `..`, without `/` or NUL; anything else is
/// [`io::ErrorKind::InvalidInput`]. No operation follows a link or enters another mount.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// The name's bytes.
    pub name: Vec<u8>,
    /// The type, where the file system tells it here.
    pub kind: Option<FileKind>,
}

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Strictly below the handle, through real directories of one mount.
pub(super) const PLAIN: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

fn checked(name: &[u8]) -> io::Result<&[u8]> {
    let odd = name.is_empty() || name == b"." || name == b".." || name.contains(&b'/');
    if odd {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a plain file name"));
    }
    Ok(name)
}

impl Dir {
    /// Opens a directory by a path that the caller trusts.
    pub fn open(path: &Path) -> io::Result<Dir> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Dir { fd: rustix::fs::open(path, flags, Mode::empty())? })
    }

    /// Another handle of the same directory.
    pub fn try_clone(&self) -> io::Result<Dir> {
        Ok(Dir { fd: self.fd.try_clone()? })
    }

    /// The directory's own metadata.
    pub fn meta(&self) -> io::Result<Meta> {
        Meta::of(self)
    }

    /// Opens the directory `name`.
    pub fn open_dir(&self, name: &[u8]) -> io::Result<Dir> {
        self.open_plain(checked(name)?)
    }

    /// Opens the directory at a relative path of which no part is a link.
    pub(super) fn open_plain(&self, path: &[u8]) -> io::Result<Dir> {
        self.open_resolved(path, PLAIN)
    }

    pub(super) fn open_resolved(&self, path: &[u8], how: ResolveFlags) -> io::Result<Dir> {
        Ok(Dir { fd: resolve(self, path, DIRECTORY, how)? })
    }

    /// Metadata of `name` itself; `None` when nothing has that name.
    pub fn lookup(&self, name: &[u8]) -> io::Result<Option<Meta>> {
        match rustix::fs::statat(self, checked(name)?, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Meta::from_stat(&stat).map(Some),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a directory.
    pub fn make_dir(&self, name: &[u8], mode: u32) -> io::Result<()> {
        Ok(rustix::fs::mkdirat(self, checked(name)?, Mode::from_raw_mode(mode))?)
    }

    /// Makes a new empty file and opens it for writing; fails when the name is taken.
    pub fn create_file(&self, name: &[u8], mode: u32) -> io::Result<File> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(self, checked(name)?, flags, Mode::from_raw_mode(mode))?;
        Ok(File::from(fd))
    }

    /// Makes a new empty file and opens it for reading and writing; fails when the name is taken.
    pub fn create_file_rw(&self, name: &[u8], mode: u32) -> io::Result<File> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(self, checked(name)?, flags, Mode::from_raw_mode(mode))?;
        Ok(File::from(fd))
    }

    /// Makes a file without a name on this file system, opened for reading and writing.
    pub fn create_unnamed_file(&self, mode: u32) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        Ok(File::from(rustix::fs::openat(self, ".", flags, Mode::from_raw_mode(mode))?))
    }

    /// Opens a regular file for reading. Never waits for the other end of a pipe.
    pub fn open_file(&self, name: &[u8]) -> io::Result<File> {
        open_regular(self, checked(name)?, PLAIN)
    }

    /// Opens the regular file that [`lookup`](Dir::lookup) has told `meta` of, for reading; fails
    /// when `name` stands for something else by now.
    pub fn open_known_file(&self, name: &[u8], meta: &Meta) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW;
        let file = File::from(resolve(self, checked(name)?, flags | OFlags::CLOEXEC, PLAIN)?);
        let now = Meta::of(&file)?;
        if (now.dev, now.ino, now.kind) != (meta.dev, meta.ino, FileKind::File) {
            return Err(io::Error::other("replaced while it was read"));
        }
        Ok(file)
    }

    /// Makes a symbolic link that reads `target`.
    pub fn make_symlink(&self, target: &[u8], name: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::symlinkat(target, self, checked(name)?)?)
    }

    /// The text of a symbolic link.
    pub fn read_link(&self, name: &[u8]) -> io::Result<Vec<u8>> {
        Ok(rustix::fs::readlinkat(self, checked(name)?, Vec::new())?.into_bytes())
    }

    /// Gives the object `existing` of directory `from` the further name `name` here.
    pub fn make_link(&self, from: &Dir, existing: &[u8], name: &[u8]) -> io::Result<()> {
        let (existing, name) = (checked(existing)?, checked(name)?);
        Ok(rustix::fs::linkat(from, existing, self, name, AtFlags::empty())?)
    }

    /// Makes a device, pipe or socket.
    pub fn make_node(
        &self,
        name: &[u8],
        kind: FileKind,
        mode: u32,
        device: Device,
    ) -> io::Result<()> {
        let number = rustix::fs::makedev(device.major, device.minor);
        let mode = Mode::from_raw_mode(mode);
        Ok(rustix::fs::mknodat(self, checked(name)?, kind.to_type(), mode, number)?)
    }

    /// Renames within or between directories, replacing what has the new name.
    pub fn rename(&self, name: &[u8], to: &Dir, new_name: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::renameat(self, checked(name)?, to, checked(new_name)?)?)
    }

    /// Removes a name that is no directory.
    pub fn remove_file(&self, name: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(self, checked(name)?, AtFlags::empty())?)
    }

    /// Removes an empty directory.
    pub fn remove_dir(&self, name: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(self, checked(name)?, AtFlags::REMOVEDIR)?)
    }

    /// Changes owner and group of `name` itself, also when it is a link.
    pub fn set_owner_of(&self, name: &[u8], uid: u32, gid: u32) -> io::Result<()> {
        let (uid, gid) = owner(uid, gid)?;
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        Ok(rustix::fs::chownat(self, checked(name)?, Some(uid), Some(gid), flags)?)
    }

    /// Sets access and modification time of `name` itself, also when it is a link.
    pub fn set_time_of(&self, name: &[u8], time: Time) -> io::Result<()> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        Ok(rustix::fs::utimensat(self, checked(name)?, &timestamps(time), flags)?)
    }

    /// Sets the mode of `name` itself, which may be anything but a link, without opening it.
    pub fn set_mode_of(&self, name: &[u8], mode: u32) -> io::Result<()> {
        let pinned = self.pin(name)?;
        if Meta::of(&pinned)?.kind == FileKind::Symlink {
            return Err(Errno::OPNOTSUPP.into());
        }
        // The kernel takes this path to the very object that the handle holds.
        Ok(rustix::fs::chmod(proc_path(&pinned), Mode::from_raw_mode(mode & 0o7777))?)
    }

    /// A handle of `name` itself that can neither be read nor written.
    pub(super) fn pin(&self, name: &[u8]) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(self, checked(name)?, flags, Mode::empty())?)
    }

    /// A path to `name` for calls that know no handles; the last part must not be followed.
    pub(super) fn path_of(&self, name: &[u8]) -> io::Result<Vec<u8>> {
        let mut path = proc_path(self).into_bytes();
        path.push(b'/');
        path.extend_from_slice(checked(name)?);
        Ok(path)
    }

    /// All names but `.` and `..`, in no particular order.
    pub fn entries(&self) -> io::Result<Vec<DirEntry>> {
        // A handle of its own: the reading position belongs to the open file, not to us.
        let fd = rustix::fs::openat(self, ".", DIRECTORY, Mode::empty())?;
        let mut buffer = vec![MaybeUninit::uninit(); 32 * 1024];
        let mut raw = RawDir::new(fd, &mut buffer);
        let mut entries = Vec::new();
        while let Some(entry) = raw.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                let kind = FileKind::from_type(entry.file_type());
                entries.push(DirEntry { name: name.to_vec(), kind });
            }
        }
        Ok(entries)
    }

    /// Makes the directory's names durable.
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(self)?)
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<OwnedFd> for Dir {
    /// The caller has opened `fd` as a directory.
    fn from(fd: OwnedFd) -> Dir {
        Dir { fd }
    }
}

pub(super) fn proc_path(handle: impl AsFd) -> String {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}", handle.as_fd().as_raw_fd())
}

pub(super) fn open_regular(dir: &Dir, path: &[u8], how: ResolveFlags) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    // Looked at before it is opened: opening a device may already do something.
    let pinned = resolve(dir, path, OFlags::PATH | OFlags::CLOEXEC, how)?;
    match Meta::of(&pinned)?.kind {
        FileKind::File => {
            Ok(File::from(rustix::fs::open(proc_path(&pinned), flags, Mode::empty())?))
        }
        FileKind::Symlink => Err(Errno::LOOP.into()),
        FileKind::Directory => Err(Errno::ISDIR.into()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
    }
}

/// `openat2`, repeated when somebody renamed directories meanwhile.
pub(super) fn resolve(
    dir: impl AsFd,
    path: &[u8],
    flags: OFlags,
    how: ResolveFlags,
) -> io::Result<OwnedFd> {
    let mut last = Errno::AGAIN;
    for _ in 0..128 {
        match rustix::fs::openat2(&dir, path, flags, Mode::empty(), how) {
            Err(error @ (Errno::AGAIN | Errno::INTR)) => last = error,
            Err(error) => return Err(error.into()),
            Ok(fd) => return Ok(fd),
        }
    }
    Err(last.into())
}
