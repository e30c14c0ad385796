//! Volumes as people see them.

use super::record::{ContainerRecord, now};
use super::{Engine, ident, leftover};
use crate::error::{ErrorKind, Result};
use crate::store::Volume;

/// Makes a volume, with a name that is made up if none is given; returns its name. One of that
/// name that is there already will do.
pub fn create_volume(
    engine: &Engine,
    name: Option<&str>,
    labels: Vec<(String, String)>,
) -> Result<String> {
    let volume = Volume {
        name: name.map_or_else(ident::new_id, |name| Ok(name.to_owned()))?,
        created: now(),
        anonymous: name.is_none(),
        labels: labels.into_iter().collect(),
    };
    engine.store.ensure_volume(&volume)?;
    Ok(volume.name)
}

/// Removes a volume.
///
/// # Errors
/// `NotFound`; `Busy` when a container has it.
pub fn remove_volume(engine: &Engine, name: &str) -> Result<()> {
    engine.store.remove_volume(name, &mut || user_of(engine, name))
}

/// Removes the volumes that no container has: those without a name, with `all` the others too.
/// Returns the names of what was removed.
pub fn prune_volumes(engine: &Engine, all: bool) -> Result<Vec<String>> {
    leftover::sweep(engine);
    let mut removed = Vec::new();
    for volume in engine.store.volumes()? {
        if !volume.anonymous && !all {
            continue;
        }
        match remove_volume(engine, &volume.name) {
            Ok(()) => removed.push(volume.name),
            Err(error) if matches!(error.kind(), ErrorKind::Busy | ErrorKind::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(removed)
}

/// The name of a container that has a volume.
fn user_of(engine: &Engine, name: &str) -> Result<Option<String>> {
    for id in engine.store.container_ids()? {
        let record = ContainerRecord::read(&engine.store.container_path(&id))?;
        let has = |record: &ContainerRecord| {
            record.mounts.iter().any(|mount| mount.kind == "volume" && mount.name == name)
        };
        if let Some(record) = record.filter(has) {
            return Ok(Some(record.name));
        }
    }
    Ok(None)
}
