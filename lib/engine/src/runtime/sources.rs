//! What mounts show, held by handles until the runtime takes it.
//!
//! Owns a directory in which each source is mounted once more: whatever happens to its name
//! meanwhile, the runtime finds what was there when it was looked at. Promise: nothing is taken from
//! the host when the held mounts go. Does not know targets but as keys.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::options::{MountRequest, MountSource, Propagation};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::sys::{DetachedMount, FileKind, Pin, Root, UserNamespace, detach_alone, is_shared};

/// The content of mounts, each held by a handle and mounted in a staging directory, from where the
/// runtime takes it: whatever happens to its name meanwhile.
///
/// Best used in a thread with [`own_mounts`](crate::sys::own_mounts). Dropping it takes the staged
/// mounts away.
#[derive(Debug)]
pub struct Sources {
    staging: PathBuf,
    staged: Vec<(String, PathBuf)>,
    owners: BTreeMap<String, Arc<UserNamespace>>,
}

impl Sources {
    /// Stages in an empty directory.
    pub fn in_directory(staging: &Path) -> Sources {
        Sources { staging: staging.to_owned(), staged: Vec::new(), owners: BTreeMap::new() }
    }

    /// Lets the container see the owners of what will be held for the mount at `target` as `users`
    /// maps them.
    pub fn map_owners(&mut self, target: &str, users: Arc<UserNamespace>) {
        self.owners.insert(target.to_owned(), users);
    }

    /// Whether that was asked for.
    pub fn maps_owners(&self, target: &str) -> bool {
        self.owners.contains_key(target)
    }

    /// Holds the sources of all binds, making directories that may be made; `shared` has those
    /// that spread to the host.
    ///
    /// Fails when a source is missing, with Docker's words.
    pub fn hold_binds(&mut self, mounts: &[MountRequest], shared: SharedSources) -> Result<()> {
        let mut shared = shared.held;
        for mount in mounts {
            let MountSource::Bind { path, create } = &mount.source else { continue };
            if !spreads(mount) {
                self.stage(&mount.target, &pin_bind(path, *create)?)?;
                continue;
            }
            let at = shared.iter().position(|(target, ..)| *target == mount.target);
            let Some(at) = at else {
                return Err(refused(mount, "nothing here can spread mounts to the host"));
            };
            let (target, kind, held) = shared.swap_remove(at);
            self.put(&target, kind, &held)?;
        }
        Ok(())
    }

    /// Holds a part of a directory (a volume's, an image's) for the mount at `target`; links lead
    /// nowhere but inside the directory.
    pub fn hold_part(&mut self, target: &str, directory: &Path, part: &str) -> Result<()> {
        let opening = || format!("opening {part:?} in {}", directory.display());
        let root = Root::open(directory)?;
        let pin = Pin::inside(&root, part.as_bytes()).doing(opening)?;
        self.stage(target, &pin).map(drop)
    }

    /// Holds a file for the mount at `target`; returns where it is held.
    pub fn hold_file(&mut self, target: &str, path: &Path) -> Result<PathBuf> {
        let pin = Pin::open(path).doing(|| format!("opening {}", path.display()))?;
        self.stage(target, &pin)
    }

    /// The paths for [`Container::sources`](super::config::Container), good while this lives.
    pub fn paths(&self) -> impl Iterator<Item = (String, PathBuf)> {
        self.staged.iter().cloned()
    }

    fn stage(&mut self, target: &str, pin: &Pin) -> Result<PathBuf> {
        let staging = || format!("holding the source of the mount at {target}");
        let held = match self.owners.get(target) {
            None => pin.mount(None).doing(staging)?,
            Some(users) => pin.mount(Some(users.as_fd())).map_err(|error| {
                let what = format!(
                    "idmap at {target}: the kernel or the source's file system cannot map owners"
                );
                Error::caused(ErrorKind::Unsupported, what, Error::io(staging(), error))
            })?,
        };
        self.put(target, pin.meta().doing(staging)?.kind, &held)
    }

    fn put(&mut self, target: &str, kind: FileKind, held: &DetachedMount) -> Result<PathBuf> {
        let staging = || format!("holding the source of the mount at {target}");
        let place = self.staging.join(self.staged.len().to_string());
        match kind {
            FileKind::Directory => std::fs::create_dir(&place).doing(staging)?,
            _ => drop(std::fs::File::create_new(&place).doing(staging)?),
        }
        held.attach(&place).doing(staging)?;
        self.staged.push((target.to_owned(), place.clone()));
        Ok(place)
    }
}

impl Drop for Sources {
    fn drop(&mut self) {
        for (_, place) in &self.staged {
            // What cannot be taken away is swept with the directory it is in.
            let _ = detach_alone(place);
            let _ = std::fs::remove_file(place).or_else(|_| std::fs::remove_dir(place));
        }
    }
}

/// The sources of binds that spread to the host what is mounted below them in the container, as
/// the host has them: to be held before this thread has mounts of its own.
#[derive(Debug, Default)]
pub struct SharedSources {
    held: Vec<(String, FileKind, DetachedMount)>,
}

impl SharedSources {
    /// Holds those of `mounts`. `mapped` tells whether the container has a user namespace.
    ///
    /// # Errors
    /// `Unsupported` and `Invalid` where nothing would spread, with the reason.
    pub fn hold(mounts: &[MountRequest], mapped: bool) -> Result<SharedSources> {
        let mut held = Vec::new();
        for mount in mounts.iter().filter(|mount| spreads(mount)) {
            let MountSource::Bind { path, create } = &mount.source else { continue };
            let holding = || format!("holding the source of the mount at {}", mount.target);
            if mapped {
                return Err(refused(mount, "no mount of a user namespace reaches the host"));
            }
            if mount.idmap.is_some() {
                return Err(refused(mount, "a mount with other owners does not reach the host"));
            }
            let pin = pin_bind(path, *create)?;
            if !is_shared(&pin).doing(holding)? {
                return Err(not_shared(mount, path));
            }
            let kind = pin.meta().doing(holding)?.kind;
            held.push((mount.target.clone(), kind, pin.mount(None).doing(holding)?));
        }
        Ok(SharedSources { held })
    }
}

fn spreads(mount: &MountRequest) -> bool {
    matches!(mount.propagation, Some(Propagation::Shared | Propagation::RShared))
}

fn refused(mount: &MountRequest, reason: &str) -> Error {
    let word = mount.propagation.map_or("shared", Propagation::word);
    Error::unsupported(format!("{word} at {}: {reason}", mount.target))
}

fn not_shared(mount: &MountRequest, path: &Path) -> Error {
    let word = mount.propagation.map_or("shared", Propagation::word);
    let path = path.display();
    Error::invalid(format!(
        "{word} at {}: {path} is not on a shared mount, so that nothing would reach the host \
         (hint: `mount --bind {path} {path}`, `mount --make-shared {path}`)",
        mount.target
    ))
}

fn pin_bind(path: &Path, create: bool) -> Result<Pin> {
    let opening = || format!("opening bind source {}", path.display());
    match Pin::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && create => {
            std::fs::create_dir_all(path)
                .doing(|| format!("creating bind source {}", path.display()))?;
            Pin::open(path).doing(opening)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Error::not_found(format!("bind source path does not exist: {}", path.display())))
        }
        other => other.doing(opening),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
