//! What runs leave that were stopped by force.
//!
//! Promise: only what has lost its owner is touched, by handle and below our own directories.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use super::Engine;
use super::record::{ContainerRecord, State, Status};
use crate::error::{ErrorKind, IoContext, Result};
use crate::network;
use crate::runtime::{Bundle, HostFacts};
use crate::store::{ContainerDir, WORKING};
use crate::sys::Dir;

/// Ends what has lost its owner, and removes what nobody wanted to keep.
pub(super) fn sweep(engine: &Engine) {
    // Whoever cannot write here has left nothing, and a run must not fail for others' dirt.
    for held in engine.store.abandoned_containers().unwrap_or_default() {
        let _ = put_away(engine, held);
    }
}

fn put_away(engine: &Engine, held: ContainerDir) -> Result<()> {
    let Some(record) = ContainerRecord::read(held.path())? else {
        return match held.path().join(WORKING).exists() {
            true => held.rest(),
            false => held.remove(),
        };
    };
    let state = engine.state_of(held.id());
    end(engine, &state, held.id())?;
    remove_state(&state)?;
    if let Some(IpAddr::V4(address)) = record.address {
        network::release(&engine.state, held.id(), address)?;
    }
    let held = held.named(Some(record.name.clone()));
    if record.remove {
        return remove_with_volumes(engine, held, &record);
    }
    let mut last = State::read(held.path())?;
    if last.status != Status::Exited {
        last.status = Status::Exited;
        last.error = "the process that looked after it was killed".to_owned();
        last.write(&held)?;
    }
    held.rest()
}

/// Removes a container and the volumes that go with it.
pub(super) fn remove_with_volumes(
    engine: &Engine,
    held: ContainerDir,
    record: &ContainerRecord,
) -> Result<()> {
    held.remove()?;
    for name in &record.anonymous_volumes {
        match engine.store.remove_volume(name, &mut || Ok(None)) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            other => other?,
        }
    }
    Ok(())
}

/// Kills what the runtime knows of a container.
fn end(engine: &Engine, state: &Path, id: &str) -> Result<()> {
    if !engine.runs(id) {
        return Ok(());
    }
    let runtime = engine.runtime(&HostFacts::gather(false)?);
    let bundle = Bundle { dir: state.to_owned(), id: id.to_owned() };
    fs::create_dir_all(state).doing(|| format!("making directory {}", state.display()))?;
    runtime.delete(&bundle)
}

/// Removes the state of a container that has ended.
pub(super) fn remove_state(state: &Path) -> Result<()> {
    let removing = || format!("removing {}", state.display());
    let (Some(parent), Some(name)) = (state.parent(), state.file_name()) else { return Ok(()) };
    match Dir::open(parent) {
        Ok(parent) => parent.remove_tree(name.as_encoded_bytes()).doing(removing),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).doing(removing),
    }
}
