//! Metadata of files, and setting it by handle.

use std::io;
use std::os::fd::AsFd;

use rustix::fs::{FileType, Gid, Mode, Stat, Timespec, Timestamps, Uid};

/// What sort of object a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device.
    Char,
    /// A block device.
    Block,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

impl FileKind {
    /// `None` for types this kernel does not tell.
    pub(crate) fn from_type(file_type: FileType) -> Option<FileKind> {
        match file_type {
            FileType::RegularFile => Some(FileKind::File),
            FileType::Directory => Some(FileKind::Directory),
            FileType::Symlink => Some(FileKind::Symlink),
            FileType::CharacterDevice => Some(FileKind::Char),
            FileType::BlockDevice => Some(FileKind::Block),
            FileType::Fifo => Some(FileKind::Fifo),
            FileType::Socket => Some(FileKind::Socket),
            _ => None,
        }
    }

    pub(crate) fn to_type(self) -> FileType {
        match self {
            FileKind::File => FileType::RegularFile,
            FileKind::Directory => FileType::Directory,
            FileKind::Symlink => FileType::Symlink,
            FileKind::Char => FileType::CharacterDevice,
            FileKind::Block => FileType::BlockDevice,
            FileKind::Fifo => FileType::Fifo,
            FileKind::Socket => FileType::Socket,
        }
    }
}

/// A device number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Device {
    /// The driver; the kernel knows numbers below 2^12.
    pub major: u32,
    /// The unit; the kernel knows numbers below 2^20.
    pub minor: u32,
}

/// A point in time: seconds since 1970 (may be negative) and nanoseconds (below 10^9) after them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    /// Whole seconds, rounded down.
    pub secs: i64,
    /// The rest.
    pub nanos: u32,
}

/// What `stat` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The type.
    pub kind: FileKind,
    /// Permission, set-id and sticky bits: 0 to 0o7777.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes of content.
    pub size: u64,
    /// Last change of content.
    pub mtime: Time,
    /// Last change of content, names or attributes; nobody can set it.
    pub ctime: Time,
    /// Number of names.
    pub links: u64,
    /// Inode number.
    pub ino: u64,
    /// File system the inode lives on.
    pub dev: u64,
    /// Which device a device file stands for.
    pub device: Device,
}

impl Meta {
    pub(crate) fn from_stat(stat: &Stat) -> io::Result<Meta> {
        let file_type = FileType::from_raw_mode(stat.st_mode);
        let kind = FileKind::from_type(file_type).ok_or(io::ErrorKind::Unsupported)?;
        let device = Device {
            major: rustix::fs::major(stat.st_rdev),
            minor: rustix::fs::minor(stat.st_rdev),
        };
        Ok(Meta {
            kind,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: stat.st_size as u64,
            mtime: Time { secs: stat.st_mtime, nanos: stat.st_mtime_nsec as u32 },
            ctime: Time { secs: stat.st_ctime, nanos: stat.st_ctime_nsec as u32 },
            // Narrower on other architectures.
            #[allow(clippy::useless_conversion)]
            links: stat.st_nlink.into(),
            ino: stat.st_ino,
            dev: stat.st_dev,
            device,
        })
    }

    /// Metadata of an open file.
    pub fn of(handle: impl AsFd) -> io::Result<Meta> {
        Meta::from_stat(&rustix::fs::fstat(handle)?)
    }
}

/// Changes owner and group of an open file. `u32::MAX` is no id and refused.
pub fn set_owner(handle: impl AsFd, uid: u32, gid: u32) -> io::Result<()> {
    let (uid, gid) = owner(uid, gid)?;
    Ok(rustix::fs::fchown(handle, Some(uid), Some(gid))?)
}

pub(crate) fn owner(uid: u32, gid: u32) -> io::Result<(Uid, Gid)> {
    // To the kernel this number means "leave as it is".
    if uid == u32::MAX || gid == u32::MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "4294967295 is not a user or group id",
        ));
    }
    Ok((Uid::from_raw(uid), Gid::from_raw(gid)))
}

/// Sets permission, set-id and sticky bits of an open file.
pub fn set_mode(handle: impl AsFd, mode: u32) -> io::Result<()> {
    Ok(rustix::fs::fchmod(handle, Mode::from_raw_mode(mode & 0o7777))?)
}

/// Sets access and modification time of an open file.
pub fn set_time(handle: impl AsFd, time: Time) -> io::Result<()> {
    Ok(rustix::fs::futimens(handle, &timestamps(time))?)
}

pub(crate) fn timestamps(time: Time) -> Timestamps {
    let spec = Timespec { tv_sec: time.secs, tv_nsec: time.nanos.into() };
    Timestamps { last_access: spec, last_modification: spec }
}

/// Flushes the whole file system that holds `handle`.
pub fn sync_filesystem(handle: impl AsFd) -> io::Result<()> {
    Ok(rustix::fs::syncfs(handle)?)
}

/// The permission bits that the kernel takes away from new files of this process.
///
/// Read without changing it, which another thread would feel; everything when that fails, so
/// that callers set every mode themselves.
pub fn file_creation_mask() -> u32 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("Umask:"))
        .and_then(|octal| u32::from_str_radix(octal.trim(), 8).ok())
        .unwrap_or(0o777)
}

/// User and group that new files of this process belong to.
pub fn effective_ids() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}
