//! Working containers that are there: found, listed, removed.

use super::{Working, WorkingRecord, tree};
use crate::error::{Error, Result};
use crate::spec::Digest;
use crate::store::Store;

/// Fewer digits of an ID than this name no container: a name that is gone shall not mean another.
const LEAST_DIGITS: usize = 8;

/// Longest name of a container.
const MAX_NAME: usize = 200;

/// Which containers are listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Those whose ID begins so.
    Id(String),
    /// Those whose name holds this.
    Name(String),
    /// Those that began with an image: its ID or the beginning of that, or its name, also without
    /// what stands before the last parts of it or without its tag.
    Ancestor(String),
}

impl Filter {
    /// Reads `id=…`, `name=…` or `ancestor=…`.
    ///
    /// # Errors
    /// `Usage` for anything else.
    pub fn parse(text: &str) -> Result<Filter> {
        match text.split_once('=') {
            Some(("id", id)) => Ok(Filter::Id(id.to_owned())),
            Some(("name", name)) => Ok(Filter::Name(name.to_owned())),
            Some(("ancestor", image)) => Ok(Filter::Ancestor(image.to_owned())),
            _ => Err(Error::usage(format!("{text:?} is none of id=, name= and ancestor="))),
        }
    }

    /// Whether a container is one of those.
    pub fn matches(&self, record: &WorkingRecord) -> bool {
        match self {
            Filter::Id(start) => record.id.starts_with(start.as_str()),
            Filter::Name(part) => record.name.contains(part.as_str()),
            Filter::Ancestor(image) => {
                let id = image.strip_prefix("sha256:").unwrap_or(image);
                let by_id = |known: &Digest| !id.is_empty() && known.hex().starts_with(id);
                record.image_id.as_ref().is_some_and(by_id) || is_named(&record.image, image)
            }
        }
    }
}

/// Whether an image's full name is what a person calls `text`.
fn is_named(full: &str, text: &str) -> bool {
    let ends = |name: &str| {
        name.strip_suffix(text).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
    };
    let name = full.split('@').next().unwrap_or(full);
    let colon = name.rfind(':').filter(|at| !name[*at..].contains('/'));
    let repository = colon.map_or(name, |at| &name[..at]);
    !text.is_empty() && (ends(full) || ends(name) || ends(repository))
}

/// All working containers, the oldest first.
pub fn list(store: &Store) -> Result<Vec<WorkingRecord>> {
    let mut found = Vec::new();
    for id in store.container_ids()? {
        found.extend(WorkingRecord::read(&store.container_path(&id))?);
    }
    found.sort_by(|a, b| (&a.created, &a.name).cmp(&(&b.created, &b.name)));
    Ok(found)
}

/// The working container that a person means: by name, by ID, or by an ID's first eight
/// digits or more.
///
/// # Errors
/// `NotFound`; `Usage` when several may be meant.
pub fn find(store: &Store, text: &str) -> Result<WorkingRecord> {
    let named = match check_name(text) {
        Ok(name) => store.container_named(name)?,
        Err(_) => None,
    };
    let id = match named {
        Some(id) => id,
        None => {
            let mut ids = store.container_ids()?;
            ids.retain(|id| text.len() >= LEAST_DIGITS && id.starts_with(text));
            match ids.as_slice() {
                [] => return Err(no_such(text)),
                [one] => one.clone(),
                several => {
                    return Err(Error::usage(format!(
                        "{text} may be any of {} containers: write more of the ID",
                        several.len()
                    )));
                }
            }
        }
    };
    WorkingRecord::read(&store.container_path(&id))?.ok_or_else(|| no_such(text))
}

/// The name that a person gives a container.
pub(super) fn check_name(name: &str) -> Result<&str> {
    let first = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    let rest = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    match first && rest && name.len() <= MAX_NAME {
        true => Ok(name),
        false => Err(Error::usage(format!(
            "invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-]* is allowed"
        ))),
    }
}

/// Removes a working container and its changes, mounted or not.
///
/// # Errors
/// `NotFound`; `Busy` while another command works on it.
pub fn remove(store: &Store, text: &str) -> Result<WorkingRecord> {
    let working = Working::open_as_it_is(store, text)?;
    take_away(working)
}

/// Removes a container that this process holds.
pub(super) fn take_away(working: Working) -> Result<WorkingRecord> {
    tree::detach_mount(&working)?;
    let Working { dir, record, .. } = working;
    dir.remove()?;
    Ok(record)
}

pub(super) fn no_such(text: &str) -> Error {
    Error::not_found(format!(
        "no such working container: {text} (`creel-build containers` lists them)"
    ))
}

#[cfg(test)]
mod tests {
    use super::is_named;

    #[test]
    fn names_of_images() {
        let full = "docker.io/library/base:1";
        for text in ["base", "base:1", "library/base", "docker.io/library/base:1"] {
            assert!(is_named(full, text), "{text}");
        }
        for text in ["", "ase", "base:2", "1", "other/base", "docker.io"] {
            assert!(!is_named(full, text), "{text}");
        }
        assert!(is_named("localhost:5000/a@sha256:00", "a") && !is_named("", "a"));
    }
}
