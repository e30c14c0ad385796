//! Files and directories held by a handle, to be mounted where they are needed.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use super::dir::resolve;
use super::meta::Meta;
use super::root::Root;
use super::user_namespace::map_owners;

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

    /// Mounts it, with all that is mounted below it, on the file or directory `place`. Who looks
    /// there sees its owners, not those of what is mounted below it, as the user namespace `owners`
    /// maps them.
    pub fn attach(&self, place: &Path, owners: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let copy = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_EMPTY_PATH
            | OpenTreeFlags::AT_RECURSIVE;
        let tree = open_tree(&self.fd, "", copy)?;
        owners.map_or(Ok(()), |owners| map_owners(tree.as_fd(), owners))?;
        let how = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        Ok(move_mount(&tree, "", CWD, place, how)?)
    }
}
