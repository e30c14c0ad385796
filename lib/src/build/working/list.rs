//! Working containers that are there: found, listed, removed.

use super::{Working, WorkingRecord, tree};
use crate::error::{Error, Result};
use crate::store::Store;

/// Fewer digits of an ID than this name no container: a name that is gone shall not mean another.
const LEAST_DIGITS: usize = 8;

/// Longest name of a container.
const MAX_NAME: usize = 200;

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
