//! What kind of namespace a file stands for.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// A kind of namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceKind {
    /// Links, addresses, ports.
    Network,
    /// Shared memory and message queues.
    Ipc,
    /// Processes.
    Pid,
    /// Names of the host.
    Uts,
    /// The root of the cgroups.
    Cgroup,
    /// Anything else, such as users and mounts.
    Other,
}

impl NamespaceKind {
    /// What people call it.
    pub fn word(self) -> &'static str {
        match self {
            NamespaceKind::Network => "network",
            NamespaceKind::Ipc => "IPC",
            NamespaceKind::Pid => "PID",
            NamespaceKind::Uts => "UTS",
            NamespaceKind::Cgroup => "cgroup",
            NamespaceKind::Other => "other",
        }
    }
}

/// `NS_GET_NSTYPE` (ioctl_nsfs(2)).
const GET_KIND: libc::c_ulong = 0xb703;

/// The kind of the namespace that a file stands for; `None` if it stands for none.
pub fn namespace_kind(file: File) -> io::Result<Option<NamespaceKind>> {
    // SAFETY: this request takes no argument.
    #[allow(unsafe_code)]
    let kind = unsafe { libc::ioctl(file.as_raw_fd(), GET_KIND as _) };
    if kind < 0 {
        let error = io::Error::last_os_error();
        return match error.raw_os_error() {
            Some(libc::ENOTTY | libc::EINVAL) => Ok(None),
            _ => Err(error),
        };
    }
    Ok(Some(match kind {
        libc::CLONE_NEWNET => NamespaceKind::Network,
        libc::CLONE_NEWIPC => NamespaceKind::Ipc,
        libc::CLONE_NEWPID => NamespaceKind::Pid,
        libc::CLONE_NEWUTS => NamespaceKind::Uts,
        libc::CLONE_NEWCGROUP => NamespaceKind::Cgroup,
        _ => NamespaceKind::Other,
    }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_apart() {
        let kind = |path: &str| namespace_kind(File::open(path).unwrap()).unwrap();
        assert_eq!(kind("/proc/self/ns/net"), Some(NamespaceKind::Network));
        assert_eq!(kind("/proc/self/ns/uts"), Some(NamespaceKind::Uts));
        assert_eq!(kind("/proc/self/ns/user"), Some(NamespaceKind::Other));
        assert_eq!(kind("/proc/self/status"), None);
        assert_eq!(kind("/"), None);
    }
}
