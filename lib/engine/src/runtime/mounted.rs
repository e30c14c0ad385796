//! What a configuration mounts, as paths inside the root.
//!
//! Shared by those who must know what an image's own files are hidden by.

use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;

use super::config::INIT_TARGET;
use super::files;
use super::flags::clean;
use crate::error::{IoContext, Result};

/// The mode that the kernel gives the root of a new tmpfs.
const MEMORY_MODE: u32 = 0o1777;

/// The mounts of one configuration.
#[derive(Debug)]
pub(super) struct Mounted {
    entries: Vec<MountedAt>,
}

/// One mount.
#[derive(Debug)]
pub(super) struct MountedAt {
    /// Absolute and clean.
    pub(super) target: String,
    /// Of a bind: what is bound.
    pub(super) bound: Option<PathBuf>,
    /// Of memory: the mode of its root.
    pub(super) mode: Option<u32>,
    /// Whether it is one of the files that we put over the image's.
    pub(super) is_ours: bool,
}

impl Mounted {
    /// Reads them out of a configuration.
    pub(super) fn of(spec: &Spec) -> Mounted {
        const OURS: [&str; 4] = [files::HOSTS, files::RESOLV_CONF, files::HOSTNAME, INIT_TARGET];
        let entries = spec.mounts().iter().flatten().map(|mount| {
            let target = clean(&mount.destination().to_string_lossy());
            let is_bind = mount.typ().as_deref() == Some("bind");
            let bound = mount.source().clone().filter(|_| is_bind);
            let options = mount.options().iter().flatten();
            let said = options.rev().find_map(|word| word.strip_prefix("mode="));
            let mode = said.and_then(|mode| u32::from_str_radix(mode, 8).ok());
            let is_memory = mount.typ().as_deref() == Some("tmpfs");
            let mode = is_memory.then(|| mode.unwrap_or(MEMORY_MODE));
            MountedAt { mode, is_ours: OURS.contains(&target.as_str()), target, bound }
        });
        Mounted { entries: entries.collect() }
    }

    /// The mount that a path is at or below: the innermost, of equals the last.
    pub(super) fn at(&self, path: &str) -> Option<&MountedAt> {
        let above = self.entries.iter().filter(|entry| Path::new(path).starts_with(&entry.target));
        above.max_by_key(|entry| entry.target.len())
    }

    /// The mounts whose places are in the root itself, not in another mount.
    pub(super) fn outermost(&self) -> impl Iterator<Item = &MountedAt> {
        let is_below = |entry: &MountedAt, other: &MountedAt| {
            entry.target != other.target && Path::new(&entry.target).starts_with(&other.target)
        };
        self.entries
            .iter()
            .filter(move |entry| !self.entries.iter().any(|other| is_below(entry, other)))
    }

    /// Whether anything but the kernel's own file systems and our files is mounted.
    pub(super) fn has_foreign(&self) -> bool {
        self.entries.iter().any(|entry| {
            let kernel = ["/dev", "/proc", "/sys"]
                .iter()
                .any(|top| Path::new(&entry.target).starts_with(top));
            !entry.is_ours && !kernel
        })
    }
}

impl MountedAt {
    /// Whether it needs a directory to be mounted on.
    pub(super) fn is_directory(&self) -> Result<bool> {
        let Some(source) = &self.bound else { return Ok(true) };
        let meta = std::fs::metadata(source)
            .doing(|| format!("looking at the source of the mount at {}", self.target))?;
        Ok(meta.is_dir())
    }
}
