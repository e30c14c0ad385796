//! The text of one registries.conf or drop-in (containers-registries.conf(5)), version 2, and
//! of version 1 what can still be said in version 2.
//!
//! Checks all rules that concern one file. Keys that it does not know are passed over, so that
//! a file for a newer reader still works. Does no I/O.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::{Error, Result};

/// Which reads a mirror serves (`pull-from-mirror`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Serves {
    All,
    DigestOnly,
    TagOnly,
}

/// What to do with a short name that several registries could mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShortNameMode {
    /// Somebody has to choose; without a terminal it is an error.
    Enforcing,
    /// Somebody may choose; without a terminal all are tried in order.
    Permissive,
    /// All are tried in order.
    Disabled,
}

/// One `[[registry]]` table, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) prefix: String,
    /// Empty: names are left as they are. Only where the prefix has a wildcard.
    pub(super) location: String,
    pub(super) insecure: bool,
    pub(super) blocked: bool,
    pub(super) mirrors: Vec<Mirror>,
    /// Where it was read.
    pub(super) file: PathBuf,
}

/// One `[[registry.mirror]]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mirror {
    pub(super) location: String,
    pub(super) insecure: bool,
    pub(super) serves: Serves,
}

/// What one file says. `None`: it does not say.
#[derive(Debug, Default)]
pub(super) struct Document {
    pub(super) tables: Vec<Table>,
    pub(super) search: Option<Vec<String>>,
    pub(super) credential_helpers: Option<Vec<String>>,
    pub(super) short_name_mode: Option<ShortNameMode>,
    /// A short name and what it stands for; empty: for nothing any more.
    pub(super) aliases: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Text {
    #[serde(default)]
    registry: Vec<TableText>,
    unqualified_search_registries: Option<Vec<String>>,
    credential_helpers: Option<Vec<String>>,
    short_name_mode: Option<ShortNameMode>,
    #[serde(default)]
    aliases: BTreeMap<String, String>,
    #[serde(default)]
    registries: Version1,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct TableText {
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    blocked: bool,
    #[serde(default)]
    mirror_by_digest_only: bool,
    pull_from_mirror: Option<String>,
    #[serde(default)]
    mirror: Vec<MirrorText>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct MirrorText {
    location: String,
    #[serde(default)]
    insecure: bool,
    pull_from_mirror: Option<Serves>,
}

/// `[registries.search]`, `[registries.insecure]`, `[registries.block]`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Version1 {
    search: Version1List,
    insecure: Version1List,
    block: Version1List,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Version1List {
    registries: Vec<String>,
}

impl Document {
    /// Parses and checks what `path` holds. Version 1 is accepted in the main file only.
    pub(super) fn parse(path: &Path, bytes: &[u8], is_drop_in: bool) -> Result<Document> {
        let at = |why: String| Error::invalid(format!("{}: {why}", path.display()));
        let text = std::str::from_utf8(bytes).map_err(|error| at(error.to_string()))?;
        let text: Text = toml::from_str(text).map_err(|error| at(located(text, &error)))?;
        let document = text.checked(path, is_drop_in).map_err(at)?;
        document.check_conflicts().map_err(at)?;
        Ok(document)
    }

    /// Tables for one location must agree on what is said about the location itself.
    fn check_conflicts(&self) -> Result<(), String> {
        let place = |table: &Table| match table.location.as_str() {
            "" => table.prefix.clone(),
            location => location.to_owned(),
        };
        let mut seen: BTreeMap<String, &Table> = BTreeMap::new();
        for table in &self.tables {
            let first = seen.entry(place(table)).or_insert(table);
            let differs = [
                ("insecure", first.insecure != table.insecure),
                ("blocked", first.blocked != table.blocked),
            ];
            if let Some((key, _)) = differs.iter().find(|(_, differs)| *differs) {
                return Err(format!(
                    "registry {} is there twice and {key:?} differs",
                    place(table)
                ));
            }
        }
        Ok(())
    }
}

impl Text {
    fn checked(self, path: &Path, is_drop_in: bool) -> Result<Document, String> {
        let v1 = !self.registries.is_empty();
        let v2 = !self.registry.is_empty()
            || self.unqualified_search_registries.as_ref().is_some_and(|list| !list.is_empty())
            || self.credential_helpers.as_ref().is_some_and(|list| !list.is_empty())
            || self.short_name_mode.is_some()
            || !self.aliases.is_empty();
        if v1 && v2 {
            return Err("[registries.…] tables of version 1 are mixed with version 2".to_owned());
        }
        if v1 && is_drop_in {
            return Err("a drop-in cannot use the [registries.…] tables of version 1".to_owned());
        }
        if v1 {
            return self.registries.document(path);
        }
        let table = |text: TableText| text.checked(path);
        Ok(Document {
            tables: self.registry.into_iter().map(table).collect::<Result<_, _>>()?,
            search: self.unqualified_search_registries.map(hosts).transpose()?,
            credential_helpers: self.credential_helpers,
            short_name_mode: self.short_name_mode,
            aliases: self.aliases.into_iter().map(alias).collect::<Result<_, _>>()?,
        })
    }
}

impl TableText {
    fn checked(self, path: &Path) -> Result<Table, String> {
        let location = location(&self.location)?;
        let prefix = match self.prefix.as_str() {
            "" => location.clone(),
            prefix => self::prefix(prefix)?,
        };
        if prefix.is_empty() {
            return Err("a [[registry]] has neither prefix nor location".to_owned());
        }
        if location.is_empty() && !prefix.starts_with("*.") {
            return Err(format!("registry {prefix} has no location; only *.DOMAIN may have none"));
        }
        if self.pull_from_mirror.is_some() {
            return Err(format!(
                "registry {prefix} has \"pull-from-mirror\", which belongs to its mirrors"
            ));
        }
        let all = if self.mirror_by_digest_only { Serves::DigestOnly } else { Serves::All };
        let mut mirrors = Vec::new();
        for mirror in self.mirror {
            let place = self::location(&mirror.location)?;
            if place.is_empty() {
                return Err(format!("a mirror of registry {prefix} has no location"));
            }
            if self.mirror_by_digest_only && mirror.pull_from_mirror.is_some() {
                return Err(format!(
                    "registry {prefix} has \"mirror-by-digest-only\" and its mirror {place} \
                     \"pull-from-mirror\"; only one of them may be there"
                ));
            }
            mirrors.push(Mirror {
                location: place,
                insecure: mirror.insecure,
                serves: mirror.pull_from_mirror.unwrap_or(all),
            });
        }
        let (insecure, blocked) = (self.insecure, self.blocked);
        Ok(Table { prefix, location, insecure, blocked, mirrors, file: path.to_path_buf() })
    }
}

impl Version1 {
    fn is_empty(&self) -> bool {
        [&self.search, &self.insecure, &self.block].iter().all(|list| list.registries.is_empty())
    }

    fn document(self, path: &Path) -> Result<Document, String> {
        let mut tables: BTreeMap<String, Table> = BTreeMap::new();
        let mut table = |name: &str, set: &dyn Fn(&mut Table)| -> Result<(), String> {
            let place = location(name)?;
            let new = || Table {
                prefix: place.clone(),
                location: place.clone(),
                insecure: false,
                blocked: false,
                mirrors: Vec::new(),
                file: path.to_path_buf(),
            };
            set(tables.entry(place.clone()).or_insert_with(new));
            Ok(())
        };
        for name in &self.insecure.registries {
            table(name, &|table| table.insecure = true)?;
        }
        for name in &self.block.registries {
            table(name, &|table| table.blocked = true)?;
        }
        let search = Some(hosts(self.search.registries)?);
        Ok(Document { tables: tables.into_values().collect(), search, ..Document::default() })
    }
}

/// Where the parser stopped, and why, on one line.
fn located(text: &str, error: &toml::de::Error) -> String {
    let start = error.span().map_or(0, |span| span.start);
    let before = text.as_bytes().get(..start).unwrap_or_default();
    let line = before.iter().filter(|&&b| b == b'\n').count() + 1;
    format!("line {line}: {}", error.message().replace('\n', ", "))
}

/// A location as it is used: `host[:port][/path…]` without a slash at its end.
fn location(text: &str) -> Result<String, String> {
    let place = text.trim_end_matches('/');
    if place.contains("://") {
        return Err(format!("location {text:?} is a URL; leave out the part up to \"://\""));
    }
    let known = |b: u8| b.is_ascii_alphanumeric() || b".-_:/@[]".contains(&b);
    if place.bytes().all(known) && !place.starts_with('/') {
        return Ok(place.to_owned());
    }
    Err(format!("location {text:?} is not HOST[:PORT][/PATH]"))
}

fn prefix(text: &str) -> Result<String, String> {
    let checked = match text.strip_prefix("*.") {
        Some("") => Err(String::new()),
        Some(domain) => location(domain).map(|domain| format!("*.{domain}")),
        None => location(text),
    };
    checked.map_err(|_| format!("prefix {text:?} is not HOST[:PORT][/PATH] or *.DOMAIN"))
}

fn hosts(list: Vec<String>) -> Result<Vec<String>, String> {
    let host = |text: String| match location(&text) {
        Ok(place) if !place.is_empty() && !place.contains('@') => Ok(place),
        _ => Err(format!("{text:?} is not a registry to search")),
    };
    list.into_iter().map(host).collect()
}

/// An alias: a name without a registry, and the same with one; neither has a tag or digest.
fn alias((name, value): (String, String)) -> Result<(String, String), String> {
    let repository = |text: &str| {
        let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
        text.split('/').all(|part| !part.is_empty() && part.bytes().all(known))
    };
    if !super::is_short(&name) || !repository(&name) {
        return Err(format!("alias {name:?} is not a name without registry, tag and digest"));
    }
    let full = value.split_once('/').filter(|_| !super::is_short(&value));
    let plain_host = |host: &str| location(host).is_ok_and(|host| !host.contains('@'));
    match full {
        Some((host, path)) if plain_host(host) && repository(path) => Ok((name, value)),
        None if value.is_empty() => Ok((name, value)),
        _ => Err(format!(
            "alias {name:?} stands for {value:?}, which is not HOST/REPOSITORY without tag and digest"
        )),
    }
}
