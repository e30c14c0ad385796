//! What `login` and `logout` change.
//!
//! Writes to one file (the explicit one, else the user's auth.json) or, where that file or
//! registries.conf names a credential helper, to the helper. Promises: see `files::replace`;
//! entries of others stay as they are. Prints nothing.

use std::fmt;
use std::path::PathBuf;

use super::document::{Change, Document, edit};
use super::key::{self, DOCKER_HUB, DOCKER_HUB_KEY};
use super::{AuthKey, AuthStore, FILES, Origin, load};
use crate::config::{AuthFile, AuthFormat, Credential, files};
use crate::error::{Error, Result};

/// Where a credential was put or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// This file.
    File(PathBuf),
    /// The helper of this name, without `docker-credential-`.
    Helper(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(path) => path.display().fmt(f),
            Place::Helper(name) => write!(f, "docker-credential-{name}"),
        }
    }
}

/// What a logout came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Logout {
    /// Credentials were removed from these places.
    Removed(Vec<Place>),
    /// There were none where login would have put them.
    NotLoggedIn {
        /// Credentials of another tool that still work for the registry.
        elsewhere: Option<Origin>,
    },
}

impl AuthStore {
    /// Keeps `credential` for `key`: in the first of registries.conf's helpers, else in the
    /// helper that the auth file names for the registry, else in that file.
    ///
    /// # Errors
    /// Usage: a path in a place that only knows whole registries; nothing to store; a user name
    /// that no file can hold. Busy: another program holds the file. Else what went wrong.
    pub fn login(&self, key: &AuthKey, credential: &Credential) -> Result<Place> {
        if let Some(helper) = self.sources.first().filter(|source| *source != FILES) {
            return self.give_to(helper, key, credential);
        }
        let file = self.target()?;
        let document = load(file)?.unwrap_or_default();
        if let Some(helper) = document.helper_for(key).or_else(|| document.store()) {
            return self.give_to(helper, key, credential);
        }
        let name = match file.format {
            AuthFormat::Docker => {
                whole_registry(key, "Docker's config.json")?;
                if key.registry() == DOCKER_HUB { DOCKER_HUB_KEY } else { key.registry() }
                    .to_owned()
            }
            _ => key.to_string(),
        };
        files::replace(&file.path, |old| edit(&file.path, old, &Change::Set(&name, credential)))?;
        Ok(Place::File(file.path.clone()))
    }

    /// Removes what login kept for `key`: the entry of exactly this name and, for a whole
    /// registry, everything that means the same registry. Entries for paths below stay.
    pub fn logout(&self, key: &AuthKey) -> Result<Logout> {
        let mut removed = Vec::new();
        let file = self.target()?;
        let document = load(file)?.unwrap_or_default();
        if key.path().is_empty() {
            for helper in self.own_helpers(&document, document.helper_for(key)) {
                if self.helpers.erase(helper, key.server())? {
                    removed.push(Place::Helper(helper.to_owned()));
                }
            }
        }
        let name = key.to_string();
        removed.extend(remove(file, &|entry| entry == name || key::host(entry) == name)?);
        if removed.is_empty() {
            let found = self.find_key(key)?;
            let elsewhere = (found.credential != Credential::Anonymous).then_some(found.origin);
            return Ok(Logout::NotLoggedIn { elsewhere });
        }
        Ok(Logout::Removed(removed))
    }

    /// Removes all that login may have kept: every entry of the auth file, and what the helpers
    /// named by it and by registries.conf hold. Returns the places where something was.
    pub fn logout_all(&self) -> Result<Vec<Place>> {
        let file = self.target()?;
        let document = load(file)?.unwrap_or_default();
        let mut removed = Vec::new();
        for (host, helper) in document.helpers() {
            let server = AuthKey::new(key::host(host), "");
            if self.helpers.erase(helper, server.server())? {
                removed.push(Place::Helper(helper.to_owned()));
            }
        }
        for helper in self.own_helpers(&document, None) {
            for server in self.helpers.list(helper)? {
                if self.helpers.erase(helper, &server)? {
                    removed.push(Place::Helper(helper.to_owned()));
                }
            }
        }
        removed.extend(remove(file, &|_| true)?);
        removed.dedup();
        Ok(removed)
    }

    /// The helpers that login may have given something to: those of registries.conf, and the
    /// one that the file names for the host, or else for all hosts.
    fn own_helpers<'a>(
        &'a self,
        document: &'a Document,
        for_host: Option<&'a str>,
    ) -> impl Iterator<Item = &'a str> {
        let configured = self.sources.iter().map(String::as_str).filter(|source| *source != FILES);
        configured.chain(for_host.or_else(|| document.store()))
    }

    fn give_to(&self, helper: &str, key: &AuthKey, credential: &Credential) -> Result<Place> {
        whole_registry(key, &format!("docker-credential-{helper}"))?;
        self.helpers.store(helper, key.server(), credential)?;
        Ok(Place::Helper(helper.to_owned()))
    }

    fn target(&self) -> Result<&AuthFile> {
        self.target.as_ref().ok_or_else(|| {
            Error::usage("there is no auth file to write to; name one or set XDG_RUNTIME_DIR")
        })
    }
}

fn whole_registry(key: &AuthKey, place: &str) -> Result<()> {
    if key.path().is_empty() {
        return Ok(());
    }
    let what = format!("{place} keeps credentials for whole registries only, not for {key}");
    Err(Error::usage(what))
}

fn remove(file: &AuthFile, which: &dyn Fn(&str) -> bool) -> Result<Option<Place>> {
    if files::is_absent(&file.path)? {
        return Ok(None);
    }
    let mut removed = false;
    files::replace(&file.path, |old| {
        let new = edit(&file.path, old, &Change::Remove(which))?;
        removed = new.is_some();
        Ok(new)
    })?;
    Ok(removed.then(|| Place::File(file.path.clone())))
}
