//! Containers that are there: found, listed, removed.

use std::fs;
use std::time::{Duration, Instant, SystemTime};

use super::record::{ContainerRecord, State, Status};
use super::{Engine, leftover};
use crate::error::{Error, ErrorKind, Result};
use crate::runtime::Bundle;

/// How long a container that was killed may take to go.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// A container and its state now.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// What is known of it from its beginning.
    pub record: ContainerRecord,
    /// Its state.
    pub state: State,
}

/// All containers, the newest first.
pub fn list(engine: &Engine) -> Result<Vec<Listed>> {
    leftover::sweep(engine);
    let mut found = Vec::new();
    for id in engine.store.container_ids()? {
        found.extend(look(engine, &id)?);
    }
    found.sort_by(|a, b| b.record.created.cmp(&a.record.created));
    Ok(found)
}

/// One container; `None` when it is gone, or none of ours.
fn look(engine: &Engine, id: &str) -> Result<Option<Listed>> {
    let path = engine.store.container_path(id);
    let Some(record) = ContainerRecord::read(&path)? else { return Ok(None) };
    let held = engine.store.is_container_held(id)?;
    let mut state = State::read(&path)?;
    if held {
        let bundle = Bundle { dir: engine.state_of(id), id: id.to_owned() };
        // A monitor writes down what it knows; others leave the runtime's word.
        if state.status == Status::Created {
            state.pid = bundle.pid();
            state.started = started(engine, id);
            state.status = if state.pid.is_some() { Status::Running } else { Status::Created };
        }
        if state.status == Status::Running && super::life::is_paused(engine, id) {
            state.status = Status::Paused;
        }
    }
    Ok(Some(Listed { record, state }))
}

/// When a container's process was started.
pub(super) fn started(engine: &Engine, id: &str) -> Option<String> {
    let time: SystemTime = fs::metadata(engine.state_of(id).join("pid")).ok()?.modified().ok()?;
    jiff::Timestamp::try_from(time).ok().map(|time| time.to_string())
}

/// The container that a person means: by name, by ID, or by an ID's first digits.
///
/// # Errors
/// `NotFound`; `Usage` when several may be meant.
pub fn find(engine: &Engine, text: &str) -> Result<Listed> {
    leftover::sweep(engine);
    let name = text.strip_prefix('/').unwrap_or(text);
    let no_such = || Error::not_found(format!("no such container: {text}"));
    let id = match named(engine, name)? {
        Some(id) => id,
        None => {
            let mut ids = engine.store.container_ids()?;
            ids.retain(|id| !text.is_empty() && id.starts_with(text));
            match ids.as_slice() {
                [] => return Err(no_such()),
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
    look(engine, &id)?.ok_or_else(no_such)
}

fn named(engine: &Engine, name: &str) -> Result<Option<String>> {
    match super::check_name(name) {
        Ok(name) => engine.store.container_named(name),
        Err(_) => Ok(None),
    }
}

/// Removes a container; with `force` one that runs is killed first, with `volumes` its volumes
/// without a name go too.
///
/// # Errors
/// `NotFound`; `Busy` when it runs.
pub fn remove(engine: &Engine, text: &str, force: bool, volumes: bool) -> Result<()> {
    let listed = find(engine, text)?;
    let record = &listed.record;
    let deadline = Instant::now() + PATIENCE;
    let mut failed = None;
    loop {
        match engine.store.adopt_container(&record.id, Some(&record.name)) {
            // It was to go when it ended, and has.
            Err(error) if error.kind() == ErrorKind::NotFound && force => return Ok(()),
            Ok(None) if !force => {
                return Err(Error::new(
                    ErrorKind::Busy,
                    format!(
                        "container {text} is running: stop it before removing it, or remove it \
                         with --force"
                    ),
                ));
            }
            Ok(None) if Instant::now() > deadline => {
                let what = format!("container {text} does not end although it was killed");
                return Err(failed.unwrap_or_else(|| Error::new(ErrorKind::Busy, what)));
            }
            Ok(None) => {
                failed = match super::life::kill_to_remove(engine, &listed) {
                    // It may have ended meanwhile, or another may have killed it.
                    Err(error) if error.kind() == ErrorKind::Failed => Some(error),
                    killed => killed.map(|()| None)?,
                };
                std::thread::sleep(LOOK);
            }
            Ok(Some(held)) => {
                leftover::remove_state(&engine.state_of(&record.id))?;
                return match volumes {
                    true => leftover::remove_with_volumes(engine, held, record),
                    false => held.remove(),
                };
            }
            Err(error) => return Err(error),
        }
    }
}
