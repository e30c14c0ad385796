//! Where a command's bundle lies while it runs, and the end of commands whose builder was killed.
//!
//! Owns `<state>/build/<id>/`, in it `lock`, held by whoever runs the command; and
//! `<state>/build/lock`, held together while one is made, alone while those without an owner are
//! looked for. All of it is on memory.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::error::{IoContext, Result};
use crate::runtime::{Bundle, HostFacts, Runtime};
use crate::sys::{Lock, LockMode};

const BUILD: &str = "build";
const LOCK: &str = "lock";
const RUNTIME: &str = "runtime";

/// What runs commands, and where their state is.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The container runtime's program.
    pub runtime: PathBuf,
    /// Its whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Where the state of running containers is: on memory, gone with the machine.
    pub state: PathBuf,
}

impl Machine {
    /// The runtime as this host wants it called.
    pub(in crate::build) fn called(&self, host: &HostFacts) -> Runtime {
        Runtime {
            program: self.runtime.clone(),
            state: self.state.join(RUNTIME),
            systemd_cgroup: host.cgroups.systemd,
            without_cgroups: !host.cgroups.writable,
            env: self.env.clone(),
        }
    }

    /// Whether a container has a place in the state: then its address is not to be given away.
    pub(in crate::build) fn is_running(&self, id: &str) -> bool {
        ["containers", BUILD].iter().any(|kind| self.state.join(kind).join(id).exists())
    }

    /// Ends the commands whose builders are gone, and removes what they left. What cannot be
    /// removed is no reason not to build.
    pub(in crate::build) fn sweep(&self) {
        let left = self.abandoned().unwrap_or_default();
        if left.is_empty() {
            return;
        }
        let Ok(host) = HostFacts::gather(false) else { return };
        for (id, mut place) in left {
            let known = self.state.join(RUNTIME).join(&id).exists();
            let bundle = Bundle { dir: place.path.clone(), id };
            // Else the next one tries again.
            place.kept = known && self.called(&host).delete(&bundle).is_err();
        }
    }

    fn abandoned(&self) -> Result<Vec<(String, Place)>> {
        let directory = self.state.join(BUILD);
        let entries = match std::fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(_) => return Ok(Vec::new()),
        };
        let names = entries.flatten().map(|entry| entry.file_name());
        let ids = names.filter_map(|name| name.into_string().ok()).filter(|name| is_id(name));
        let ids: Vec<String> = ids.collect();
        let mut found = Vec::new();
        if ids.is_empty() {
            return Ok(found);
        }
        let Some(_alone) = Lock::try_acquire(&directory.join(LOCK), LockMode::Exclusive)? else {
            return Ok(found);
        };
        for id in ids {
            let path = directory.join(&id);
            if path.is_dir()
                && let Some(lock) = Lock::try_acquire(&path.join(LOCK), LockMode::Exclusive)?
            {
                found.push((id, Place { path, kept: false, _lock: lock }));
            }
        }
        Ok(found)
    }
}

/// A directory for one command's bundle, removed when dropped.
pub(in crate::build) struct Place {
    path: PathBuf,
    kept: bool,
    _lock: Lock,
}

impl Place {
    /// Makes the directory for the container `id`.
    pub(in crate::build) fn create(machine: &Machine, id: &str) -> Result<Place> {
        let directory = machine.state.join(BUILD);
        let path = directory.join(id);
        let making = || format!("making directory {}", path.display());
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&directory).doing(making)?;
        let _together = Lock::acquire(&directory.join(LOCK), LockMode::Shared)?;
        builder.create(&path).doing(making)?;
        let lock = Lock::acquire(&path.join(LOCK), LockMode::Exclusive)?;
        Ok(Place { path, kept: false, _lock: lock })
    }

    /// Where it is.
    pub(in crate::build) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.kept {
            let _ = remove(&self.path);
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    crate::sys::Dir::open(parent)?.remove_tree(name.as_encoded_bytes())
}

fn is_id(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}
