//! Credentials: where people keep them, and which one belongs to a registry.
//!
//! Owns the look-up order (explicit file, else auth.json, Docker's config.json, ~/.dockercfg; in
//! each: helper of the host, entries from the most specific path on, helper for everything) and
//! what `login` and `logout` write. Uses `document` for the text of files, `helper` to ask other
//! programs. Promise: what is returned was stored for this very host and port.
//! Does not know what a registry does with a credential.

mod document;
mod helper;
mod key;
mod login;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

use self::document::Document;
use self::helper::Helpers;
pub use self::key::AuthKey;
pub use self::login::{Logout, Place};
use super::{AuthFile, AuthFormat, ConfigPaths, Credential, Secret, files};
use crate::error::Result;

/// The "helper" of registries.conf that stands for the files.
const FILES: &str = "containers-auth.json";

/// All places where credentials may be.
///
/// Files are read anew each time; what helpers answer is remembered for some minutes. Blocks
/// while a helper runs.
pub struct AuthStore {
    files: Vec<AuthFile>,
    /// Where login writes.
    target: Option<AuthFile>,
    /// `credential-helpers` of registries.conf.
    sources: Vec<String>,
    helpers: Helpers,
}

/// A credential and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// [`Credential::Anonymous`] if nothing was found.
    pub credential: Credential,
    /// For messages: it names places and never holds a secret.
    pub origin: Origin,
}

/// Where a credential came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An entry of a file.
    File {
        /// The file.
        path: PathBuf,
        /// The entry's name.
        key: String,
    },
    /// A credential helper.
    Helper {
        /// Its name, without `docker-credential-`.
        name: String,
        /// What it was asked for.
        server: String,
    },
    /// Nothing was found.
    Nowhere {
        /// The files that were looked in; some may not exist.
        searched: Vec<PathBuf>,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { path, key } => write!(f, "{key} in {}", path.display()),
            Origin::Helper { name, server } => {
                write!(f, "{server} from docker-credential-{name}")
            }
            Origin::Nowhere { searched } => {
                let paths: Vec<_> =
                    searched.iter().map(|path| path.display().to_string()).collect();
                write!(f, "nothing in {}", paths.join(", "))
            }
        }
    }
}

impl AuthStore {
    /// The credentials at `paths`.
    pub fn new(paths: &ConfigPaths) -> AuthStore {
        let files = match &paths.auth_file {
            Some(file) => vec![file.clone()],
            None => paths.auth_files.clone(),
        };
        AuthStore {
            target: files.iter().find(|file| file.format != AuthFormat::Dockercfg).cloned(),
            files,
            sources: vec![FILES.to_owned()],
            helpers: Helpers::new(paths.helper_environment.clone()),
        }
    }

    /// The same, with the `credential-helpers` of registries.conf in their order; the name
    /// `containers-auth.json` stands for the files. An empty list changes nothing.
    pub fn with_helpers(mut self, helpers: &[String]) -> AuthStore {
        if !helpers.is_empty() {
            self.sources = helpers.to_vec();
        }
        self
    }

    /// The credential for `repository` on `registry` (`host[:port]`; Docker Hub may be given by
    /// any of its names). With an empty repository: for the registry as a whole.
    ///
    /// # Errors
    /// A file that cannot be read or parsed, an entry that cannot be decoded, a helper that
    /// fails. Missing files and helpers without an answer are none.
    pub fn find(&self, registry: &str, repository: &str) -> Result<Found> {
        self.find_key(&AuthKey::new(registry, repository))
    }

    /// The credential for what [`AuthKey`] names.
    pub fn find_key(&self, key: &AuthKey) -> Result<Found> {
        for source in &self.sources {
            let found = match source.as_str() {
                FILES => self.find_in_files(key)?,
                helper => self.ask(helper, key)?,
            };
            if let Some(found) = found {
                return Ok(found);
            }
        }
        let searched = self.files.iter().map(|file| file.path.clone()).collect();
        let origin = Origin::Nowhere { searched };
        Ok(Found { credential: Credential::Anonymous, origin })
    }

    /// The extra headers that Docker's configuration asks to send to registries. They may hold
    /// secrets: they belong to requests to the registry that the person named, and to no other
    /// host.
    pub fn http_headers(&self) -> Result<Vec<(String, Secret)>> {
        for file in &self.files {
            if file.format != AuthFormat::Dockercfg
                && let Some(document) = load(file)?
            {
                let headers = document.headers(&file.path)?;
                if !headers.is_empty() {
                    return Ok(headers);
                }
            }
        }
        Ok(Vec::new())
    }

    fn find_in_files(&self, key: &AuthKey) -> Result<Option<Found>> {
        for file in &self.files {
            let Some(document) = load(file)? else { continue };
            if let Some(found) = self.find_in(&file.path, &document, key)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn find_in(&self, path: &Path, document: &Document, key: &AuthKey) -> Result<Option<Found>> {
        // A helper named for the host is all that this file has to say about the host.
        if let Some(helper) = document.helper_for(key) {
            return self.ask(helper, key);
        }
        if let Some((credential, key)) = document.find(path, key)? {
            let origin = Origin::File { path: path.to_path_buf(), key };
            return Ok(Some(Found { credential, origin }));
        }
        match document.store() {
            Some(helper) => self.ask(helper, key),
            None => Ok(None),
        }
    }

    fn ask(&self, helper: &str, key: &AuthKey) -> Result<Option<Found>> {
        let credential = self.helpers.find(helper, key.server())?;
        let origin = Origin::Helper { name: helper.to_owned(), server: key.server().to_owned() };
        Ok((credential != Credential::Anonymous).then_some(Found { credential, origin }))
    }
}

fn load(file: &AuthFile) -> Result<Option<Document>> {
    match files::read_optional(&file.path)? {
        Some(bytes) => Document::parse(file, &bytes).map(Some),
        None => Ok(None),
    }
}
