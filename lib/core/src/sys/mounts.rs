//! Mounts: of a thread's own, of stacked directories, and their end.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, unshare};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatVfsMountFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount,
    fsopen, mount_change, mount_remount, move_mount, open_tree, unmount,
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

/// The same for a mount and all below it that others may see too: from them nothing is taken.
pub fn detach_alone(place: &Path) -> io::Result<()> {
    mount_change(place, MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    detach(place)
}

/// Whether what is mounted below a file or directory spreads to other mounts of the same.
pub fn is_shared(handle: impl AsFd) -> io::Result<bool> {
    let number = handle.as_fd().as_raw_fd();
    let about = fs::read_to_string(format!("/proc/thread-self/fdinfo/{number}"))?;
    let id = about.lines().find_map(|line| line.strip_prefix("mnt_id:")).map(str::trim);
    let id = id.ok_or(io::ErrorKind::Unsupported)?;
    let table = fs::read("/proc/thread-self/mountinfo")?;
    let own = |line: &&[u8]| line.split(|&b| b == b' ').next() == Some(id.as_bytes());
    let line = table.split(|&byte| byte == b'\n').find(own).unwrap_or_default();
    // Behind the mount's own options, before a dash.
    let mut marks = line.split(|&b| b == b' ').skip(6).take_while(|word| *word != b"-");
    Ok(marks.any(|mark| mark.starts_with(b"shared:")))
}

/// The switches, in mount(8)'s words, that restrict what is done with files in a mount.
pub fn restrictions(path: &Path) -> io::Result<Vec<&'static str>> {
    const ALL: [(StatVfsMountFlags, &str); 4] = [
        (StatVfsMountFlags::RDONLY, "ro"),
        (StatVfsMountFlags::NOSUID, "nosuid"),
        (StatVfsMountFlags::NODEV, "nodev"),
        (StatVfsMountFlags::NOEXEC, "noexec"),
    ];
    let flags = rustix::fs::statvfs(path)?.f_flag;
    Ok(ALL.into_iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, word)| word).collect())
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
    pub(super) fn new(handle: OwnedFd) -> DetachedMount {
        DetachedMount { handle, remount: MountFlags::empty() }
    }

    /// The same, read-only, where set-id bits, file capabilities and devices have no effect.
    pub fn into_harmless_view(mut self) -> io::Result<DetachedMount> {
        let attributes = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
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

    /// Gives it a place: the directory or file `target`, in the calling thread's mounts.
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
/// They are named by short names of open handles, however long their paths are: the mount's line
/// in `mountinfo`, which runtimes read whole, names all of them. Kernels from 6.5 on take one option
/// for each layer, older ones one for all of them, which has to fit into a page. That way, and
/// owners that are not the disk's, need the directory `spare` for a moment, in mounts of the
/// thread's own ([`own_mounts`]).
pub fn mount_overlay(overlay: &Overlay<'_>, spare: &Path) -> io::Result<DetachedMount> {
    let lowers = match overlay.owners {
        Some(owners) => Lowers::Mapped(MappedMounts::new(overlay.lowers, owners, spare)?),
        None => Lowers::Plain(ShortNames::of(overlay.lowers)?),
    };
    let upper = match overlay.upper {
        Some((upper, work)) => Some(ShortNames::of(&[upper, work])?),
        None => None,
    };
    let changes = match upper.as_ref().map(|short| short.names.as_slice()) {
        Some([upper, work]) => Some((upper.as_path(), work.as_path())),
        _ => None,
    };
    let lowers: Vec<&Path> = lowers.names().iter().map(PathBuf::as_path).collect();
    let short = Overlay { lowers: &lowers, upper: changes, ..*overlay };
    match overlay_by_options(&short) {
        Err(Errno::INVAL) => overlay_by_page(&short, spare),
        made => Ok(DetachedMount::new(made?)),
    }
}

/// Directories by names that are good while this lives.
struct ShortNames {
    names: Vec<PathBuf>,
    _handles: Vec<OwnedFd>,
}

impl ShortNames {
    fn of(paths: &[&Path]) -> io::Result<ShortNames> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = |path: &&Path| Ok(rustix::fs::open(*path, flags, Mode::empty())?);
        let handles = paths.iter().map(open).collect::<io::Result<Vec<OwnedFd>>>()?;
        Ok(ShortNames { names: short_names(&handles), _handles: handles })
    }
}

fn short_names(handles: &[OwnedFd]) -> Vec<PathBuf> {
    let name = |handle: &OwnedFd| format!("/proc/self/fd/{}", handle.as_raw_fd()).into();
    handles.iter().map(name).collect()
}

enum Lowers<'a> {
    Plain(ShortNames),
    Mapped(MappedMounts<'a>),
}

impl Lowers<'_> {
    fn names(&self) -> &[PathBuf] {
        match self {
            Lowers::Plain(short) => &short.names,
            Lowers::Mapped(mapped) => &mapped.names,
        }
    }
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
        let names = short_names(&handles);
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

fn overlay_by_options(overlay: &Overlay<'_>) -> Result<OwnedFd, Errno> {
    let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let set = |key: &str, path: &Path| fsconfig_set_string(fs.as_fd(), key, path);
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

/// The old way.
fn overlay_by_page(overlay: &Overlay<'_>, spare: &Path) -> io::Result<DetachedMount> {
    let lowers: Vec<_> = overlay.lowers.iter().map(|path| path.as_os_str().as_bytes()).collect();
    let mut data = [&b"lowerdir="[..], &lowers.join(&b':')].concat();
    let mut flags = MountFlags::RDONLY;
    if let Some((upper, work)) = overlay.upper {
        let (upper, work) = (upper.as_os_str().as_bytes(), work.as_os_str().as_bytes());
        data.extend([&b",upperdir="[..], upper, b",workdir=", work].concat());
        flags = MountFlags::empty();
        if overlay.volatile {
            data.extend_from_slice(b",volatile");
        }
    }
    if overlay.user_xattrs {
        data.extend_from_slice(b",userxattr");
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
                mount_overlay(&overlay, &path("spare")),
                overlay_by_options(&overlay).map(DetachedMount::new).map_err(Into::into),
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

    #[test]
    fn a_line_of_many_layers_with_long_paths_is_short() {
        if super::super::effective_uid() != 0 {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let long = directory.path().join("x".repeat(200)).join("y".repeat(200));
        let layers: Vec<PathBuf> = (0..128).map(|layer| long.join(layer.to_string())).collect();
        for name in ["upper", "work", "place", "spare"].map(|name| long.join(name)) {
            std::fs::create_dir_all(name).unwrap();
        }
        for (number, layer) in layers.iter().enumerate() {
            std::fs::create_dir(layer).unwrap();
            std::fs::write(layer.join(number.to_string()), "").unwrap();
        }
        let overlay = Overlay {
            lowers: &layers.iter().map(PathBuf::as_path).collect::<Vec<_>>(),
            upper: Some((&long.join("upper"), &long.join("work"))),
            volatile: true,
            user_xattrs: false,
            owners: None,
        };
        let place = long.join("place");
        mount_overlay(&overlay, &long.join("spare")).unwrap().attach(&place).unwrap();
        let count = std::fs::read_dir(&place).unwrap().count();
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        detach(&place).unwrap();
        let line = table.lines().find(|line| line.contains(place.to_str().unwrap())).unwrap();
        let options = line.rsplit(' ').next().unwrap();
        assert_eq!(count, 128);
        assert!(options.len() < 4096 - 200, "{} bytes", options.len());
    }
}
