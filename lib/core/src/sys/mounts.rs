//! Mounts: of a thread's own, of stacked directories, and their end.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, unshare};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags, fsconfig_create, fsconfig_set_fd, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, mount_change, mount_remount, move_mount, open_tree,
    unmount,
};

use super::user_namespace::{map_owners, set_attributes};

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

/// Takes a mount away from its place, unless somebody uses it.
pub fn unmount_idle(place: &Path) -> io::Result<()> {
    Ok(unmount(place, UnmountFlags::NOFOLLOW)?)
}

/// Whether something is mounted at `path`, a link at whose end is not followed.
pub fn is_mount(path: &Path) -> io::Result<bool> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let found = rustix::fs::statx(CWD, path, flags, StatxFlags::BASIC_STATS)?;
    Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Directories to stack with overlayfs.
#[derive(Clone, Copy, Debug)]
pub struct Overlay<'a> {
    /// What is seen through, uppermost first; at least two, or one with an upper directory.
    pub lowers: &'a [&'a Path],
    /// Where changes go, and an empty directory beside it for the kernel's use.
    pub upper: Option<(&'a Path, &'a Path)>,
    /// Whether the kernel may leave out flushing: what is written is gone after a crash.
    pub volatile: bool,
    /// Whether marks are `user.overlay.…` attributes instead of `trusted.overlay.…`.
    pub user_xattrs: bool,
    /// The user namespace whose owners the lower directories' files have; the upper directory is
    /// taken as it is. Needs Linux 5.19 and a file system that maps owners.
    pub owners: Option<BorrowedFd<'a>>,
}

/// Something mounted that has no place yet; gone when dropped before it gets one.
#[derive(Debug)]
pub struct DetachedMount {
    handle: OwnedFd,
    /// Flags that it gets when it has its place.
    remount: MountFlags,
}

impl DetachedMount {
    fn new(handle: OwnedFd) -> DetachedMount {
        DetachedMount { handle, remount: MountFlags::empty() }
    }

    /// The same, read-only, where set-id bits, file capabilities and devices have no effect.
    pub fn into_harmless_view(mut self) -> io::Result<DetachedMount> {
        let attributes =
            libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
        match set_attributes(self.handle.as_fd(), attributes, None) {
            Ok(()) => self.remount = MountFlags::empty(),
            // Before Linux 5.12 only what has a place can be changed.
            Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {
                self.remount = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
            }
            Err(error) => return Err(error),
        }
        Ok(self)
    }

    /// Gives it a place: the directory `target`, in the calling thread's mounts.
    pub fn attach(&self, target: &Path) -> io::Result<()> {
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        move_mount(&self.handle, "", CWD, target, flags)?;
        if !self.remount.is_empty() {
            let flags = MountFlags::BIND | self.remount;
            mount_remount(target, flags, c"").inspect_err(|_| drop(detach(target)))?;
        }
        Ok(())
    }
}

/// Mounts a stack of directories.
///
/// Handles are used where the kernel takes them (6.13 and later), then one path for each layer
/// (6.5), then one option for all of them, which has to fit into a page. That way, and owners that
/// are not the disk's, need the directory `spare` for a moment, in mounts of the thread's own
/// ([`own_mounts`]).
pub fn mount_overlay(overlay: &Overlay<'_>, spare: &Path) -> io::Result<DetachedMount> {
    let Some(owners) = overlay.owners else { return stack(overlay, spare) };
    let mapped = MappedMounts::new(overlay.lowers, owners, spare)?;
    let lowers: Vec<&Path> = mapped.names.iter().map(PathBuf::as_path).collect();
    stack(&Overlay { lowers: &lowers, ..*overlay }, spare)
}

fn stack(overlay: &Overlay<'_>, spare: &Path) -> io::Result<DetachedMount> {
    for by_handle in [true, false] {
        match overlay_by_options(overlay, by_handle) {
            Err(Errno::INVAL) => {}
            other => return Ok(DetachedMount::new(other?)),
        }
    }
    overlay_by_page(overlay, spare)
}

/// Directories mounted once more, with owners as a user namespace has them.
///
/// They lie one upon the other on one place, because older kernels stack nothing that has no
/// place; an overlay keeps what it needs of them.
struct MappedMounts<'a> {
    place: &'a Path,
    placed: usize,
    names: Vec<PathBuf>,
    _handles: Vec<OwnedFd>,
}

impl<'a> MappedMounts<'a> {
    fn new(
        paths: &[&Path],
        owners: BorrowedFd<'_>,
        place: &'a Path,
    ) -> io::Result<MappedMounts<'a>> {
        // All are opened before anything hides one of them.
        let handles =
            paths.iter().map(|path| Ok(copy_mount(path)?)).collect::<io::Result<Vec<OwnedFd>>>()?;
        let name = |handle: &OwnedFd| format!("/proc/self/fd/{}", handle.as_raw_fd()).into();
        let names = handles.iter().map(name).collect();
        let mut mapped = MappedMounts { place, placed: 0, names, _handles: Vec::new() };
        for handle in &handles {
            map_owners(handle.as_fd(), owners)?;
            move_mount(handle, "", CWD, place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
            mapped.placed += 1;
        }
        mapped._handles = handles;
        Ok(mapped)
    }
}

impl Drop for MappedMounts<'_> {
    fn drop(&mut self) {
        for _ in 0..self.placed {
            // What stays is gone with this process's mounts.
            let _ = detach(self.place);
        }
    }
}

fn overlay_by_options(overlay: &Overlay<'_>, by_handle: bool) -> Result<OwnedFd, Errno> {
    let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let set = |key: &str, path: &Path| match by_handle {
        true => fsconfig_set_fd(fs.as_fd(), key, open_path(path)?),
        false => fsconfig_set_string(fs.as_fd(), key, path),
    };
    overlay.lowers.iter().try_for_each(|lower| set("lowerdir+", lower))?;
    if let Some((upper, work)) = overlay.upper {
        set("upperdir", upper)?;
        set("workdir", work)?;
    }
    for (key, value) in [("index", "off"), ("xino", "off"), ("metacopy", "off")] {
        fsconfig_set_string(fs.as_fd(), key, value)?;
    }
    if overlay.volatile && overlay.upper.is_some() {
        fsconfig_set_flag(fs.as_fd(), "volatile")?;
    }
    if overlay.user_xattrs {
        fsconfig_set_flag(fs.as_fd(), "userxattr")?;
    }
    fsconfig_create(fs.as_fd())?;
    let attributes = match overlay.upper {
        Some(_) => MountAttrFlags::empty(),
        None => MountAttrFlags::MOUNT_ATTR_RDONLY,
    };
    fsmount(fs.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

fn open_path(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
}

/// The old way, through short names of open handles.
fn overlay_by_page(overlay: &Overlay<'_>, spare: &Path) -> io::Result<DetachedMount> {
    let mut open = Vec::new();
    let mut name = |path: &Path| -> io::Result<String> {
        let handle = open_path(path)?;
        let name = format!("/proc/self/fd/{}", handle.as_raw_fd());
        open.push(handle);
        Ok(name)
    };
    let lowers = overlay.lowers.iter().map(|path| name(path)).collect::<io::Result<Vec<_>>>()?;
    let mut data = format!("lowerdir={}", lowers.join(":"));
    let mut flags = MountFlags::RDONLY;
    if let Some((upper, work)) = overlay.upper {
        data += &format!(",upperdir={},workdir={}", name(upper)?, name(work)?);
        flags = MountFlags::empty();
        if overlay.volatile {
            data += ",volatile";
        }
    }
    if overlay.user_xattrs {
        data += ",userxattr";
    }
    let data = CString::new(data).map_err(|_| io::Error::from(Errno::INVAL))?;
    rustix::mount::mount("overlay", spare, "overlay", flags, data.as_c_str())?;
    let taken = copy_mount(spare);
    detach(spare)?;
    Ok(DetachedMount::new(taken?))
}

fn copy_mount(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    open_tree(CWD, path, flags)
}

/// Another mount of the directory `path`, read-only if asked for.
pub fn mount_again(path: &Path, read_only: bool) -> io::Result<DetachedMount> {
    let remount = if read_only { MountFlags::RDONLY } else { MountFlags::empty() };
    Ok(DetachedMount { handle: copy_mount(path)?, remount })
}

/// Mounts memory on a directory: at most 64 MiB, for its owner alone, without programs.
pub fn mount_memory(place: &Path) -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    Ok(rustix::mount::mount("tmpfs", place, "tmpfs", flags, c"size=64m,mode=0700")?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn all_ways_to_stack_directories_agree() {
        if super::super::effective_uid() != 0 {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for name in ["low", "high", "upper", "work", "place", "spare"] {
            std::fs::create_dir(path(name)).unwrap();
        }
        std::fs::write(path("low/a"), "low").unwrap();
        std::fs::write(path("low/b"), "low").unwrap();
        std::fs::write(path("high/b"), "high").unwrap();
        let (high, low) = (path("high"), path("low"));
        let (upper, work) = (path("upper"), path("work"));
        let lowers: [&Path; 2] = [&high, &low];
        for upper in [None, Some((upper.as_path(), work.as_path()))] {
            let overlay = Overlay {
                lowers: &lowers,
                upper,
                volatile: false,
                user_xattrs: false,
                owners: None,
            };
            let ways = [
                overlay_by_options(&overlay, true).map(DetachedMount::new).map_err(Into::into),
                overlay_by_options(&overlay, false).map(DetachedMount::new).map_err(Into::into),
                overlay_by_page(&overlay, &path("spare")),
            ];
            for (number, way) in ways.into_iter().enumerate() {
                way.unwrap().attach(&path("place")).unwrap();
                let read = |name: &str| std::fs::read_to_string(path("place").join(name)).unwrap();
                let written = std::fs::write(path("place/c"), "new").is_ok();
                let seen = (read("a"), read("b"), written);
                detach(&path("place")).unwrap();
                let expected = ("low".to_owned(), "high".to_owned(), upper.is_some());
                assert_eq!(seen, expected, "way {number}");
            }
        }
        assert_eq!(std::fs::read_to_string(path("upper/c")).unwrap(), "new");
        let again = mount_again(&low, true).unwrap();
        again.attach(&path("place")).unwrap();
        let refused = std::fs::write(path("place/c"), "new").unwrap_err();
        detach(&path("place")).unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::ReadOnlyFilesystem);
    }
}
