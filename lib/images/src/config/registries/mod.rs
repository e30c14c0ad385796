//! registries.conf: where images named for one registry really come from.
//!
//! Owns the choice and merging of the files, and the answers to three questions: which places
//! serve an image, what a short name means, which credential helpers to ask. Uses `document` for
//! the text of one file. Promise: a blocked registry has no place.
//! Does not know the network, and gives no name a tag.

mod document;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use self::document::ShortNameMode;
use self::document::{Document, Serves, Table};
use super::{ConfigPaths, files};
use crate::error::{Error, ErrorKind, Result};

/// The most drop-ins in one folder.
const MAX_DROP_INS: usize = 1000;

/// An image's name, in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageName<'a> {
    /// `host[:port]`; Docker Hub is `docker.io`.
    pub registry: &'a str,
    /// The path below it, for Docker Hub with its `library/`.
    pub repository: &'a str,
    /// The tag, without its colon.
    pub tag: Option<&'a str>,
    /// The digest, with its algorithm.
    pub digest: Option<&'a str>,
}

/// What a place is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Reading an image: its manifests and blobs. Mirrors and locations count.
    Read,
    /// Listing tags. Asks the registry that was named.
    List,
    /// Pushing and deleting. Goes to the registry that was named.
    Write,
}

/// A place that may have the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `host[:port]`.
    pub registry: String,
    /// The path below it.
    pub repository: String,
    /// Whether certificates need not be valid and plain HTTP will do.
    pub insecure: bool,
    /// Whether it is a mirror: the next one is asked when it fails.
    pub is_mirror: bool,
}

/// What a short name may stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShortName {
    /// Nothing in the configuration says; Docker's default applies.
    Unknown,
    /// An alias: `registry/repository`.
    Alias(String),
    /// The registries to search: `registry/repository` of each, in order.
    Search {
        /// At least one.
        candidates: Vec<String>,
        /// What to do with several of them.
        mode: ShortNameMode,
        /// The file that lists the registries.
        file: PathBuf,
    },
}

/// What all files together say. The default says nothing.
#[derive(Debug, Default)]
pub struct Registries {
    tables: Vec<Table>,
    search: Vec<String>,
    search_file: PathBuf,
    credential_helpers: Vec<String>,
    short_name_mode: Option<ShortNameMode>,
    aliases: BTreeMap<String, String>,
}

impl Registries {
    /// Reads `registries.conf` (the user's instead of the system's) and then all drop-ins, each
    /// folder's `*.conf` in the order of their names. No file at all is no error.
    ///
    /// # Errors
    /// A file cannot be read, is not TOML, or breaks a rule of containers-registries.conf(5).
    pub fn load(paths: &ConfigPaths) -> Result<Registries> {
        let mut all = Registries::default();
        if let Some((path, bytes)) = files::read_choice(&paths.registries_conf)? {
            all.merge(Document::parse(&path, &bytes, false)?, path);
        }
        for dir in &paths.registries_conf_dirs {
            for path in files::list(dir, &["conf"], MAX_DROP_INS)? {
                all.merge(Document::parse(&path, &files::read(&path)?, true)?, path);
            }
        }
        Ok(all)
    }

    /// What a later file says replaces what was there: tables wholly, by prefix; lists as lists.
    fn merge(&mut self, later: Document, file: PathBuf) {
        let replaced = |old: &Table| later.tables.iter().any(|new| new.prefix == old.prefix);
        self.tables.retain(|old| !replaced(old));
        self.tables.extend(later.tables);
        if let Some(search) = later.search {
            (self.search, self.search_file) = (search, file);
        }
        if let Some(helpers) = later.credential_helpers {
            self.credential_helpers = helpers;
        }
        self.short_name_mode = later.short_name_mode.or(self.short_name_mode);
        self.aliases.extend(later.aliases);
    }

    /// The places for `name`, in the order to try them; at least one, and the last is no mirror.
    ///
    /// # Errors
    /// Denied if the configuration blocks it; Invalid if a table's location cannot be put in
    /// place of its prefix.
    pub fn endpoints(&self, name: &ImageName, purpose: Use) -> Result<Vec<Endpoint>> {
        let itself = |insecure| Endpoint {
            registry: name.registry.to_owned(),
            repository: name.repository.to_owned(),
            insecure,
            is_mirror: false,
        };
        let text = name.text();
        let Some((table, matched)) = self.table_for(&text) else { return Ok(vec![itself(false)]) };
        if table.blocked {
            let what = format!("registry {} is blocked in {}", table.prefix, table.file.display());
            return Err(Error::new(ErrorKind::Denied, what));
        }
        if purpose != Use::Read {
            return Ok(vec![itself(table.insecure)]);
        }
        let wanted = if name.digest.is_some() { Serves::DigestOnly } else { Serves::TagOnly };
        let rewritten = |location: &str| rewrite(name, table, location, &text[matched..]);
        let mut endpoints = Vec::new();
        for mirror in &table.mirrors {
            if mirror.serves == Serves::All || mirror.serves == wanted {
                let (registry, repository) = rewritten(&mirror.location)?;
                let insecure = mirror.insecure;
                endpoints.push(Endpoint { registry, repository, insecure, is_mirror: true });
            }
        }
        endpoints.push(match table.location.as_str() {
            "" => itself(table.insecure),
            location => {
                let (registry, repository) = rewritten(location)?;
                Endpoint { registry, repository, ..itself(table.insecure) }
            }
        });
        Ok(endpoints)
    }

    /// The table with the longest prefix of `text`, and how much of `text` it stands for.
    fn table_for(&self, text: &str) -> Option<(&Table, usize)> {
        let matching = self
            .tables
            .iter()
            .filter_map(|table| prefix_length(text, &table.prefix).map(|length| (table, length)));
        // `max_by_key` takes the last of equals, and the first is meant.
        matching.rev().max_by_key(|(table, _)| table.prefix.len())
    }

    /// What `name` may stand for. `name` is a repository without a registry (see [`is_short`]),
    /// tag and digest.
    ///
    /// # Errors
    /// Usage if several registries are to be searched, a person has to choose, and `terminal`
    /// says that nobody is there to ask.
    pub fn short_name(&self, name: &str, terminal: bool) -> Result<ShortName> {
        if let Some(full) = self.aliases.get(name).filter(|full| !full.is_empty()) {
            return Ok(ShortName::Alias(full.clone()));
        }
        if self.search.is_empty() {
            return Ok(ShortName::Unknown);
        }
        let on = |registry: &String| match registry.as_str() {
            "docker.io" if !name.contains('/') => format!("docker.io/library/{name}"),
            registry => format!("{registry}/{name}"),
        };
        let candidates: Vec<String> = self.search.iter().map(on).collect();
        let mode = self.short_name_mode.unwrap_or(ShortNameMode::Permissive);
        let file = self.search_file.clone();
        if mode == ShortNameMode::Enforcing && candidates.len() > 1 && !terminal {
            return Err(Error::usage(format!(
                "{name} could be {}; name one of them in full ({} lists the registries, and \
                 short-name-mode is enforcing)",
                candidates.join(", "),
                file.display()
            )));
        }
        Ok(ShortName::Search { candidates, mode, file })
    }

    /// `credential-helpers`, for [`AuthStore::with_helpers`](super::AuthStore::with_helpers).
    pub fn credential_helpers(&self) -> &[String] {
        &self.credential_helpers
    }
}

/// Whether `name` has no registry: its first part is no host name.
pub fn is_short(name: &str) -> bool {
    match name.split_once('/') {
        Some((first, _)) => !first.contains(['.', ':']) && first != "localhost",
        None => true,
    }
}

impl ImageName<'_> {
    /// Tag and digest as they are written behind the repository.
    fn suffix(&self) -> String {
        let tag = self.tag.map(|tag| format!(":{tag}")).unwrap_or_default();
        let digest = self.digest.map(|digest| format!("@{digest}")).unwrap_or_default();
        tag + &digest
    }

    fn text(&self) -> String {
        format!("{}/{}{}", self.registry, self.repository, self.suffix())
    }
}

/// How much of `text` the prefix stands for, if it matches: it ends where a part of the name
/// ends. `*.domain` stands for the whole host, and needs at least one label before the domain.
fn prefix_length(text: &str, prefix: &str) -> Option<usize> {
    let ends_part =
        |end: &usize| matches!(text.as_bytes().get(*end), None | Some(b'/' | b':' | b'@'));
    match prefix.strip_prefix('*') {
        None => text.starts_with(prefix).then_some(prefix.len()).filter(ends_part),
        Some(domain) => {
            let host = text.find('/').unwrap_or(text.len());
            let starts = text.match_indices(domain).map(|(start, _)| start);
            let in_host = starts.filter(|start| *start > 0 && *start < host);
            in_host.map(|start| start + domain.len()).find(ends_part)
        }
    }
}

/// The registry and repository when `location` takes the place of the prefix, and `rest` (with
/// the tag and digest) follows it.
fn rewrite(
    name: &ImageName,
    table: &Table,
    location: &str,
    rest: &str,
) -> Result<(String, String)> {
    let text = format!("{location}{rest}");
    // A prefix may reach into the tag; then the location has to end in the same tag.
    let parts = text.strip_suffix(&name.suffix()).and_then(|bare| bare.split_once('/'));
    let (Some((registry, repository)), true) = (parts, parts.is_some_and(is_plain)) else {
        return Err(Error::invalid(format!(
            "{}: location {location} cannot take the place of {} in {}: {text} names no image",
            table.file.display(),
            table.prefix,
            name.text()
        )));
    };
    Ok((registry.to_owned(), repository.to_owned()))
}

fn is_plain((registry, repository): (&str, &str)) -> bool {
    let port = match registry.rsplit_once(']') {
        Some((_, after)) => after.strip_prefix(':').or(after.is_empty().then_some("0")),
        None => Some(registry.split_once(':').map_or("0", |(_, port)| port)),
    };
    let number = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let parts = repository.split('/').all(|part| !matches!(part, "" | "." | ".."));
    !registry.is_empty() && port.is_some_and(number) && parts && !repository.contains([':', '@'])
}
