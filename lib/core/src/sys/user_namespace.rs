//! User namespaces: IDs of processes in them, and of files seen through a mount.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::sched::{CloneFlags, setns};
use rustix::process::{Pid, WaitOptions, waitpid};

use super::netlink::{Netlink, open_without_ipv6};

/// A run of IDs that are mapped one to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdExtent {
    /// First ID in the namespace.
    pub inside: u32,
    /// First ID outside.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// A user namespace without processes of ours; lives as long as the handle or whoever is in it.
#[derive(Debug)]
pub struct UserNamespace {
    handle: OwnedFd,
    network: Option<OwnedFd>,
    users: Vec<IdExtent>,
    groups: Vec<IdExtent>,
}

impl UserNamespace {
    /// Makes one with these IDs; with `network`, also a network namespace that belongs to it, so
    /// that whoever is root inside may change its settings.
    ///
    /// The kernel refuses ranges that overlap and more than 340 of them with `EINVAL`.
    pub fn new(
        users: Vec<IdExtent>,
        groups: Vec<IdExtent>,
        network: bool,
    ) -> io::Result<UserNamespace> {
        let mut flags = libc::CLONE_NEWUSER;
        if network {
            flags |= libc::CLONE_NEWNET;
        }
        let helper = Helper::start(flags)?;
        let process = format!("/proc/{}", helper.pid.as_raw_pid());
        fs::write(format!("{process}/uid_map"), table(&users))?;
        fs::write(format!("{process}/gid_map"), table(&groups))?;
        let handle = File::open(format!("{process}/ns/user"))?.into();
        let network = match network {
            true => Some(File::open(format!("{process}/ns/net"))?.into()),
            false => None,
        };
        Ok(UserNamespace { handle, network, users, groups })
    }

    /// The owner outside of what belongs to `uid` and `gid` inside; `None` without such IDs.
    pub fn outside(&self, uid: u32, gid: u32) -> Option<(u32, u32)> {
        Some((translate(&self.users, uid)?, translate(&self.groups, gid)?))
    }

    /// Whether all IDs are the same inside and outside.
    pub fn is_identity(&self) -> bool {
        self.users.iter().chain(&self.groups).all(|extent| extent.inside == extent.outside)
    }

    /// A path to the namespace, good while this lives.
    pub fn path(&self) -> std::path::PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.handle.as_raw_fd()).into()
    }

    /// Its network namespace, if one was made with it, and a socket for the links there, which
    /// speak no IPv6 until somebody inside says so.
    pub fn network(&self) -> io::Result<Option<(OwnedFd, Netlink)>> {
        let Some(network) = &self.network else { return Ok(None) };
        let (network, entered) = (network.try_clone()?, network.try_clone()?);
        let open = move || {
            setns(entered, CloneFlags::CLONE_NEWNET)?;
            open_without_ipv6()
        };
        // A thread's namespace is its own, and gone with it.
        let thread = std::thread::Builder::new().name("network".to_owned()).spawn(open)?;
        let opened = thread.join();
        let socket =
            opened.unwrap_or_else(|_| Err(io::Error::other("a thread ended unexpectedly")))?;
        Ok(Some((network, socket)))
    }
}

impl AsFd for UserNamespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

/// As the kernel wants to read it.
fn table(extents: &[IdExtent]) -> String {
    let line =
        |extent: &IdExtent| format!("{} {} {}\n", extent.inside, extent.outside, extent.count);
    extents.iter().map(line).collect()
}

fn translate(extents: &[IdExtent], id: u32) -> Option<u32> {
    extents.iter().find_map(|extent| {
        let at = id.checked_sub(extent.inside).filter(|at| *at < extent.count)?;
        extent.outside.checked_add(at)
    })
}

/// A process that is in new namespaces until this is dropped: a program of several threads cannot
/// make a user namespace for itself.
struct Helper {
    pid: Pid,
    /// The process ends when this does, however that happens.
    hold: Option<File>,
}

impl Helper {
    fn start(flags: libc::c_int) -> io::Result<Helper> {
        let (told, tells) = pipe()?;
        let (waits, hold) = pipe()?;
        let (tells_fd, waits_fd, hold_fd) =
            (tells.as_raw_fd(), waits.as_raw_fd(), hold.as_raw_fd());
        // SAFETY: the child makes system calls on its own stack alone, and never returns.
        #[allow(unsafe_code)]
        let pid = unsafe {
            let pid = libc::fork();
            if pid == 0 {
                libc::close(hold_fd);
                let failed = libc::unshare(flags) != 0;
                let code = if failed { *libc::__errno_location() } else { 0 };
                let bytes = code.to_ne_bytes();
                libc::write(tells_fd, bytes.as_ptr().cast(), bytes.len());
                let mut end = 0u8;
                while libc::read(waits_fd, std::ptr::from_mut(&mut end).cast(), 1) < 0
                    && *libc::__errno_location() == libc::EINTR
                {}
                libc::_exit(0);
            }
            pid
        };
        let pid = Pid::from_raw(pid).filter(|pid| pid.as_raw_pid() > 0);
        let helper = match pid {
            Some(pid) => Helper { pid, hold: Some(hold) },
            None => return Err(io::Error::last_os_error()),
        };
        drop(tells);
        let mut code = [0; 4];
        (&told).read_exact(&mut code)?;
        match i32::from_ne_bytes(code) {
            0 => Ok(helper),
            code => Err(io::Error::from_raw_os_error(code)),
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.hold = None;
        while let Err(rustix::io::Errno::INTR) = waitpid(Some(self.pid), WaitOptions::empty()) {}
    }
}

fn pipe() -> io::Result<(File, File)> {
    let (read, write) = io::pipe()?;
    Ok((OwnedFd::from(read).into(), OwnedFd::from(write).into()))
}

/// Lets all who look through the detached mount `mount` see the files' owners as `namespace` maps
/// them: 0 on the disk is what is 0 inside.
pub(super) fn map_owners(mount: BorrowedFd<'_>, namespace: BorrowedFd<'_>) -> io::Result<()> {
    set_attributes(mount, libc::MOUNT_ATTR_IDMAP, Some(namespace))
}

/// Sets attributes of the detached mount `mount` (Linux 5.12).
pub(super) fn set_attributes(
    mount: BorrowedFd<'_>,
    attributes: u64,
    namespace: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let namespace = namespace.map_or(0, |namespace| namespace.as_raw_fd());
    let attributes = libc::mount_attr {
        attr_set: attributes,
        attr_clr: 0,
        propagation: 0,
        userns_fd: u64::try_from(namespace).unwrap_or(u64::MAX),
    };
    // SAFETY: the path is an empty C string, and the kernel reads as many bytes as are told.
    #[allow(unsafe_code)]
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn extent(inside: u32, outside: u32, count: u32) -> IdExtent {
        IdExtent { inside, outside, count }
    }

    #[test]
    fn owners_are_translated() {
        let extents = [extent(0, 100_000, 10), extent(20, 5, 1)];
        assert_eq!(translate(&extents, 9), Some(100_009));
        assert_eq!(translate(&extents, 10), None);
        assert_eq!(translate(&extents, 20), Some(5));
        assert_eq!(table(&extents), "0 100000 10\n20 5 1\n");
    }

    #[test]
    fn a_namespace_has_the_ids_and_leaves_no_process() {
        if super::super::effective_uid() != 0 {
            return;
        }
        let map = || vec![extent(0, 100_000, 1000)];
        let namespace = UserNamespace::new(map(), map(), true).unwrap();
        assert_eq!(namespace.outside(7, 8), Some((100_007, 100_008)));
        assert!(!namespace.is_identity());
        assert!(namespace.network().unwrap().is_some());
        assert!(fs::read_link(namespace.path()).unwrap().to_string_lossy().starts_with("user:["));
        let overlapping = vec![extent(0, 100_000, 10), extent(5, 200_000, 10)];
        let refused = UserNamespace::new(overlapping, map(), false).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::EINVAL));
    }
}
