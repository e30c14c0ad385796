//! Volumes: data that outlives containers.
//!
//! Owns `<root>/volumes/<name>/`: `volume.json`, which never changes, `_data/`, and `lock`, held
//! while the volume is given its first content. Promise: a directory with its name is complete;
//! one that somebody needs is not removed. Does not know containers: who needs a volume is asked.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Store;
use super::prune::directories;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::sys::{self, Lock, LockMode};

const RECORD: &str = "volume.json";
const DATA: &str = "_data";
const LOCK: &str = "lock";
/// What directories begin with that are not volumes yet, or not any more.
const GONE: char = '~';
const MAX_RECORD: u64 = 1 << 20;

/// A volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// When it was made, RFC 3339.
    pub created: String,
    /// Whether it was made for one container and has no name that a person gave.
    pub anonymous: bool,
    /// Notes for people.
    pub labels: BTreeMap<String, String>,
}

impl Store {
    fn volumes_dir(&self) -> PathBuf {
        self.root.join("volumes")
    }

    /// Where the data of a volume is.
    pub fn volume_data(&self, name: &str) -> PathBuf {
        self.volumes_dir().join(name).join(DATA)
    }

    /// Makes a volume unless there is one of its name; whether it was made.
    pub fn ensure_volume(&self, volume: &Volume) -> Result<bool> {
        let path = self.volumes_dir().join(checked(&volume.name)?);
        if path.is_dir() {
            return Ok(false);
        }
        if !self.root.join("format").exists() {
            drop(self.begin()?);
        }
        self.writable()?;
        let new =
            self.volumes_dir().join(format!("{GONE}new-{}-{}", volume.name, std::process::id()));
        let making = || format!("making volume {}", volume.name);
        let text = serde_json::to_vec(volume)
            .map_err(|error| Error::caused(ErrorKind::Failed, making(), error))?;
        DirBuilder::new().mode(0o700).recursive(true).create(&new).doing(making)?;
        DirBuilder::new().mode(0o755).create(new.join(DATA)).doing(making)?;
        // Whatever our own mask is.
        let everybody = fs::Permissions::from_mode(0o755);
        fs::set_permissions(new.join(DATA), everybody).doing(making)?;
        fs::write(new.join(RECORD), text).doing(making)?;
        let _together = self.lock(LockMode::Shared)?;
        match fs::rename(&new, &path) {
            Ok(()) => Ok(true),
            Err(error) => {
                let _ = sys::remove_tree(&new);
                // Somebody else was quicker.
                if path.is_dir() { Ok(false) } else { Err(Error::io(making(), error)) }
            }
        }
    }

    /// What is known of a volume.
    pub fn volume(&self, name: &str) -> Result<Option<Volume>> {
        read(&self.volumes_dir().join(checked(name)?))
    }

    /// All volumes, by name.
    pub fn volumes(&self) -> Result<Vec<Volume>> {
        let mut found = Vec::new();
        for path in directories(&self.volumes_dir())? {
            if path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with(GONE)) {
                found.extend(read(&path)?);
            }
        }
        found.sort_by(|a: &Volume, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// Waits until nobody gives this volume its first content.
    pub fn lock_volume(&self, name: &str) -> Result<Lock> {
        Lock::acquire(&self.volumes_dir().join(checked(name)?).join(LOCK), LockMode::Exclusive)
    }

    /// Removes a volume, unless `user` names somebody who needs it. Nothing begins to need it
    /// meanwhile that has said so before looking for it.
    ///
    /// # Errors
    /// `NotFound`; `Busy`, with the user.
    pub fn remove_volume(
        &self,
        name: &str,
        user: &mut dyn FnMut() -> Result<Option<String>>,
    ) -> Result<()> {
        let path = self.volumes_dir().join(checked(name)?);
        let gone = self.volumes_dir().join(format!("{GONE}{name}-{}", std::process::id()));
        let removing = || format!("removing volume {name}");
        {
            let _alone = self.lock(LockMode::Exclusive)?;
            if !path.is_dir() {
                return Err(Error::not_found(format!("no such volume: {name}")));
            }
            if let Some(user) = user()? {
                return Err(Error::new(
                    ErrorKind::Busy,
                    format!("volume {name} is in use by container {user}"),
                ));
            }
            fs::rename(&path, &gone).doing(removing)?;
        }
        sys::remove_tree(&gone).doing(removing)
    }
}

/// A name that cannot be a path.
fn checked(name: &str) -> Result<&str> {
    let first = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    let rest = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    match first && rest && name.len() <= 200 {
        true => Ok(name),
        false => Err(Error::usage(format!(
            "invalid volume name {name:?}: only [a-zA-Z0-9][a-zA-Z0-9_.-]* is allowed"
        ))),
    }
}

fn read(volume: &Path) -> Result<Option<Volume>> {
    super::record::read(&volume.join(RECORD), MAX_RECORD, ErrorKind::Corrupt)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn volumes_come_and_go() {
        let place = tempfile::tempdir().unwrap();
        let store = Store::open(place.path()).unwrap();
        let volume = Volume { name: "db".into(), ..Volume::default() };
        assert!(store.ensure_volume(&volume).unwrap());
        assert!(!store.ensure_volume(&volume).unwrap());
        fs::write(store.volume_data("db").join("x"), "1").unwrap();
        assert_eq!(store.volume("db").unwrap(), Some(volume.clone()));
        assert_eq!(store.volumes().unwrap(), [volume]);
        let busy = store.remove_volume("db", &mut || Ok(Some("web".into()))).unwrap_err();
        assert_eq!(busy.chain(), "volume db is in use by container web");
        store.remove_volume("db", &mut || Ok(None)).unwrap();
        assert_eq!(store.volume("db").unwrap(), None);
        let error = store.remove_volume("db", &mut || Ok(None)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        for bad in ["", ".x", "a/b", "..", "~x", &"a".repeat(201)] {
            assert!(store.volume(bad).is_err(), "{bad}");
        }
    }
}
