//! Mounts of a thread's own, and their end.

use std::io;
use std::path::Path;

use nix::sched::{CloneFlags, unshare};
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount};

/// Gives the calling thread a mount namespace of its own: what it mounts from now on is seen by it
/// and by the programs that it starts, and is gone with the last of them, however they end.
///
/// Mounts of the host still arrive here; none of ours gets out.
pub fn own_mounts() -> io::Result<()> {
    // Threads share their working directory; one that has mounts of its own cannot.
    unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS)?;
    Ok(mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?)
}

/// Takes a mount away from its place; those who use it keep it until they are done.
pub fn detach(place: &Path) -> io::Result<()> {
    Ok(unmount(place, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)?)
}
