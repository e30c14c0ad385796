//! Containers: a directory each.
//!
//! Owns `<root>/containers/<id>/`, in it `needs` (digests that must stay), `lock` (held by the
//! process that looks after the container, absent while nobody has to) and whatever `run` and
//! `build` keep there; and `<root>/containers/=<name>`, a link to the ID that has this name.
//! Promise: a directory whose `lock` can be taken has lost its owner and can be adopted; a name
//! belongs to one container. Does not know what containers are.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use super::Store;
use super::prune::files;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::spec::Digest;
use crate::sys::{self, Lock, LockMode};

/// The record of a container that `build` works on: whoever meets one without an owner leaves it.
pub const WORKING: &str = "working.json";

const NEEDS: &str = "needs";
const LOCK: &str = "lock";
/// What names begin with, so that none can be an ID.
const NAME: char = '=';
/// What directories begin with that are being removed.
const GONE: char = '~';

/// The directory of a container that this process looks after.
#[derive(Debug)]
pub struct ContainerDir {
    path: PathBuf,
    id: String,
    name: Option<String>,
    _lock: Lock,
}

impl Store {
    fn containers_dir(&self) -> PathBuf {
        self.root.join("containers")
    }

    /// Where the directory of a container is or would be.
    pub fn container_path(&self, id: &str) -> PathBuf {
        self.containers_dir().join(id)
    }

    /// Makes the directory of a new container. What is in `needs` is not taken away while it
    /// exists; look whether it is there only afterwards.
    ///
    /// # Errors
    /// `AlreadyExists` when another container has the name.
    pub fn create_container(
        &self,
        id: &str,
        name: Option<&str>,
        needs: &[Digest],
    ) -> Result<ContainerDir> {
        if !self.root.join("format").exists() {
            drop(self.begin()?);
        }
        self.writable()?;
        let path = self.container_path(id);
        let making = || format!("making directory {}", path.display());
        // Nobody may see the directory without its lock, or take away what it needs.
        let _together = self.lock(LockMode::Shared)?;
        let mut builder = fs::DirBuilder::new();
        builder.mode(0o700);
        match builder.create(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                builder.recursive(true).create(&path).doing(making)?;
            }
            made => made.doing(making)?,
        }
        let lock = Lock::acquire(&path.join(LOCK), LockMode::Exclusive)?;
        let held = ContainerDir { path, id: id.to_owned(), name: None, _lock: lock };
        let lines: String = needs.iter().map(|digest| format!("{digest}\n")).collect();
        held.write(NEEDS, lines.as_bytes())?;
        match name.map(|name| self.claim_container_name(name, id)).transpose() {
            Ok(_) => Ok(ContainerDir { name: name.map(str::to_owned), ..held }),
            Err(error) => {
                let _ = held.remove();
                Err(error)
            }
        }
    }

    fn claim_container_name(&self, name: &str, id: &str) -> Result<()> {
        let path = self.containers_dir().join(format!("{NAME}{name}"));
        loop {
            match symlink(id, &path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => return made.doing(|| format!("naming the container {name:?}")),
            }
            if let Some(owner) = self.container_named(name)? {
                return Err(Error::new(
                    ErrorKind::AlreadyExists,
                    format!(
                        "the container name {name:?} is already in use by {owner}: remove that \
                         container to be able to use the name again"
                    ),
                ));
            }
            // Its container is gone.
            let _ = fs::remove_file(&path);
        }
    }

    /// The ID of the container with this name.
    pub fn container_named(&self, name: &str) -> Result<Option<String>> {
        let path = self.containers_dir().join(format!("{NAME}{name}"));
        match fs::read_link(&path) {
            Ok(id) => {
                let id = id.to_string_lossy().into_owned();
                Ok((is_id(&id) && self.container_path(&id).is_dir()).then_some(id))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(format!("looking for the container {name:?}"), error)),
        }
    }

    /// The IDs of all containers.
    pub fn container_ids(&self) -> Result<Vec<String>> {
        let names = entries(&self.containers_dir())?.into_iter();
        Ok(names.filter(|name| is_id(name)).collect())
    }

    /// Whether some process looks after a container.
    pub fn is_container_held(&self, id: &str) -> Result<bool> {
        let path = self.container_path(id).join(LOCK);
        let looking = || format!("looking at {}", path.display());
        match File::open(&path) {
            Ok(file) => match file.try_lock_shared() {
                Ok(()) => Ok(false),
                Err(fs::TryLockError::WouldBlock) => Ok(true),
                Err(fs::TryLockError::Error(error)) => Err(error).doing(looking),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error).doing(looking),
        }
    }

    /// Takes a container over, at rest or left by its owner; `None` while somebody looks after it.
    ///
    /// # Errors
    /// `NotFound` when there is no such container.
    pub fn adopt_container(&self, id: &str, name: Option<&str>) -> Result<Option<ContainerDir>> {
        let path = self.container_path(id);
        if !path.is_dir() {
            return Err(Error::not_found(format!("no such container: {id}")));
        }
        let Some(lock) = Lock::try_acquire(&path.join(LOCK), LockMode::Exclusive)? else {
            return Ok(None);
        };
        let name = name.map(str::to_owned);
        Ok(Some(ContainerDir { path, id: id.to_owned(), name, _lock: lock }))
    }

    /// The containers whose owners are gone without having put them to rest, adopted. None when
    /// others change things just now.
    pub fn abandoned_containers(&self) -> Result<Vec<ContainerDir>> {
        let directory = self.containers_dir();
        if !directory.is_dir() {
            return Ok(Vec::new());
        }
        let Some(_alone) = Lock::try_acquire(&self.lock_path(), LockMode::Exclusive)? else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        for name in entries(&directory)? {
            if name.starts_with(GONE) {
                // Whoever began to remove it may be at it still.
                let _ = sys::remove_tree(&directory.join(&name));
            } else if is_id(&name)
                && directory.join(&name).join(LOCK).exists()
                && let Some(held) = self.adopt_container(&name, None)?
            {
                found.push(held);
            }
        }
        Ok(found)
    }
}

impl ContainerDir {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The container's ID.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Says which name goes with it, for one that was adopted.
    pub fn named(self, name: Option<String>) -> ContainerDir {
        ContainerDir { name, ..self }
    }

    /// Writes a file in it, which appears whole.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let writing = || format!("writing {}/{name}", self.path.display());
        let (new, last) = (self.path.join(format!(".{name}")), self.path.join(name));
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(&new).doing(writing)?;
        io::Write::write_all(&mut &file, bytes).doing(writing)?;
        fs::rename(&new, &last).doing(writing)
    }

    /// Leaves it: nobody has to look after it any more, and it stays. Its files are on disk then.
    pub fn rest(self) -> Result<()> {
        let resting = || format!("leaving {}", self.path.display());
        for (path, _) in files(&self.path)? {
            File::open(path).and_then(|file| file.sync_all()).doing(resting)?;
        }
        fs::remove_file(self.path.join(LOCK)).doing(resting)?;
        File::open(&self.path).and_then(|dir| dir.sync_all()).doing(resting)
    }

    /// Removes it with all that it holds, and its name.
    pub fn remove(self) -> Result<()> {
        let removing = || format!("removing {}", self.path.display());
        let Some(parent) = self.path.parent() else { return Ok(()) };
        if let Some(name) = &self.name {
            let path = parent.join(format!("{NAME}{name}"));
            // Another container may have it by now.
            if fs::read_link(&path).is_ok_and(|id| id.as_os_str() == self.id.as_str()) {
                fs::remove_file(&path).doing(removing)?;
            }
        }
        let gone = parent.join(format!("{GONE}{}", self.id));
        fs::rename(&self.path, &gone).doing(removing)?;
        match sys::remove_tree(&gone) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.doing(removing),
        }
    }
}

/// An ID as it is in our records: hexadecimal digits.
fn is_id(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn entries(directory: &Path) -> Result<Vec<String>> {
    let listing = || format!("listing {}", directory.display());
    let found = match fs::read_dir(directory) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).doing(listing),
    };
    let mut names = Vec::new();
    for entry in found {
        names.extend(entry.doing(listing)?.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn id(digit: char) -> String {
        std::iter::repeat_n(digit, 64).collect()
    }

    #[test]
    fn a_name_belongs_to_one_container() {
        let place = tempfile::tempdir().unwrap();
        let store = Store::open(&place.path().join("store")).unwrap();
        let first = store.create_container(&id('a'), Some("web"), &[]).unwrap();
        let error = store.create_container(&id('b'), Some("web"), &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert!(error.chain().contains(&id('a')), "{}", error.chain());
        assert_eq!(store.container_ids().unwrap(), [id('a')]);
        assert_eq!(store.container_named("web").unwrap(), Some(id('a')));
        first.remove().unwrap();
        assert_eq!(store.container_named("web").unwrap(), None);
        store.create_container(&id('b'), Some("web"), &[]).unwrap().rest().unwrap();
        assert_eq!(store.container_named("web").unwrap(), Some(id('b')));
    }

    #[test]
    fn only_what_has_lost_its_owner_is_abandoned() {
        let place = tempfile::tempdir().unwrap();
        let store = Store::open(place.path()).unwrap();
        let held = store.create_container(&id('a'), None, &[]).unwrap();
        store.create_container(&id('b'), None, &[]).unwrap().rest().unwrap();
        // As a killed process leaves it: the lock is free, its file is there.
        drop(store.create_container(&id('c'), None, &[]).unwrap());
        fs::create_dir(place.path().join("containers/~dead")).unwrap();
        assert!(store.is_container_held(&id('a')).unwrap());
        assert!(!store.is_container_held(&id('c')).unwrap());
        assert!(store.adopt_container(&id('a'), None).unwrap().is_none());
        let abandoned = store.abandoned_containers().unwrap();
        assert_eq!(abandoned.iter().map(ContainerDir::id).collect::<Vec<_>>(), [id('c')]);
        assert!(!place.path().join("containers/~dead").exists());
        for dir in abandoned {
            dir.remove().unwrap();
        }
        assert_eq!(store.container_ids().unwrap(), [id('a'), id('b')]);
        drop(held);
    }
}
