//! Objects held by a handle, for programs that only know paths.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::dir::resolve;
use super::meta::Meta;
use super::root::Root;

/// A file or directory that stays the same whatever happens to its name.
#[derive(Debug)]
pub struct Pin {
    fd: OwnedFd,
}

const PATH: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

impl Pin {
    /// Holds what is at a path that the caller trusts, links followed.
    pub fn open(path: &Path) -> io::Result<Pin> {
        Ok(Pin { fd: rustix::fs::open(path, PATH, Mode::empty())? })
    }

    /// Holds what is at `path` inside `root`, links followed inside it; other mounts may be
    /// entered.
    pub fn inside(root: &Root, path: &[u8]) -> io::Result<Pin> {
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let path = if path.is_empty() { b"." } else { path };
        Ok(Pin { fd: resolve(root.dir(), path, PATH, how)? })
    }

    /// What it is.
    pub fn meta(&self) -> io::Result<Meta> {
        Meta::of(&self.fd)
    }

    /// A path that leads other processes of the same user to this very object, while this lives.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), self.fd.as_fd().as_raw_fd()))
    }
}
