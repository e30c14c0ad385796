//! Namespaces that a container joins.

use std::fs::File;
use std::path::Path;

use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::runtime::options::{IpcMode, NamespaceMode, Namespaces, UserMode};
use crate::sys::{NamespaceKind, namespace_kind};

/// Refuses paths at which there is no namespace of the wanted kind, before anything is made.
pub(super) fn check(asked: &Namespaces) -> Result<()> {
    let path = |mode: &NamespaceMode| match mode {
        NamespaceMode::Path(path) => Some(path.clone()),
        _ => None,
    };
    let ipc = match &asked.ipc {
        IpcMode::Path(path) => Some(path.clone()),
        _ => None,
    };
    let all = [
        ("--network", NamespaceKind::Network, path(&asked.network)),
        ("--ipc", NamespaceKind::Ipc, ipc),
        ("--pid", NamespaceKind::Pid, path(&asked.pid)),
        ("--uts", NamespaceKind::Uts, path(&asked.uts)),
        ("--cgroupns", NamespaceKind::Cgroup, asked.cgroup.as_ref().and_then(path)),
    ];
    for (flag, kind, path) in all {
        path.map_or(Ok(()), |path| check_path(flag, kind, &path))?;
    }
    match &asked.user {
        UserMode::Path(_) => Err(Error::unsupported(
            "--userns ns:PATH is not supported yet: there are host, auto and keep-id, and --uidmap",
        )),
        _ => Ok(()),
    }
}

fn check_path(flag: &str, kind: NamespaceKind, path: &Path) -> Result<()> {
    let opening = || format!("opening the namespace of {flag} ns:{}", path.display());
    let found = File::open(path).and_then(namespace_kind).doing(opening)?;
    if found == Some(kind) {
        return Ok(());
    }
    let what = format!("{flag} ns:{}: this is no {} namespace", path.display(), kind.word());
    Err(Error::new(ErrorKind::Usage, what))
}
