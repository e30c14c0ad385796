//! Images without a Dockerfile: working containers, changed by one small step after another.
//!
//! Owns `working.json` and `tree/` in a container's directory of the store: what the image shall
//! say, and the changes to its files. A container is begun from an image or from nothing
//! ([`from`](fn@from)), files are copied in ([`copy`](fn@copy)), commands run in it ([`run`](fn@run)), its config is
//! changed ([`config`](fn@config)), and all changes become one layer of an image
//! ([`commit`](fn@commit)). Uses the parts that carry out Dockerfiles: `transfer` for files, `image`
//! for configs. Promise: what a container needs stays in the store while it is there; nothing has
//! to be mounted or running for it to last; whatever stops a step leaves a container that can be
//! used, or none. Prints nothing.

mod commit;
mod config;
mod copy;
mod from;
mod list;
mod record;
mod run;
mod tidy;
mod tree;
mod words;

use std::time::{Duration, Instant};

pub use commit::{CommitOptions, Committed, commit};
pub use config::{Changes, config};
pub use copy::{CopyOptions, copy};
pub use from::{FromOptions, from};
pub use list::{Filter, find, list, remove};
pub use record::{Format, RunDefaults, WorkingRecord};
pub use run::{Ran, RunRequest, run};
pub use tree::{mount, mount_point, unmount};

use crate::error::{Error, ErrorKind, Result};
use crate::spec::History;
use crate::store::{ContainerDir, Store};

/// How long somebody else's step is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// A working container that this process works on: nobody else does.
struct Working {
    store: Store,
    dir: ContainerDir,
    record: WorkingRecord,
}

/// Opens the container that `text` names, does some work, and leaves it at rest whatever came of
/// that.
fn with<T>(store: &Store, text: &str, work: impl FnOnce(&mut Working) -> Result<T>) -> Result<T> {
    let mut working = Working::open(store, text)?;
    let done = work(&mut working);
    let rested = working.dir.rest();
    let done = done?;
    rested.map(|()| done)
}

impl Working {
    /// Waits until nobody else works on a container.
    fn open(store: &Store, text: &str) -> Result<Working> {
        let working = Working::open_as_it_is(store, text)?;
        working.tidy()?;
        Ok(working)
    }

    /// The same, with what a step may have left that was killed.
    fn open_as_it_is(store: &Store, text: &str) -> Result<Working> {
        let found = find(store, text)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(dir) = store.adopt_container(&found.id, Some(&found.name))? {
                // It may have changed while it was waited for.
                let record = WorkingRecord::read(dir.path())?;
                let record = record.ok_or_else(|| list::no_such(text))?;
                return Ok(Working { store: store.clone(), dir, record });
            }
            if Instant::now() > deadline {
                let what = format!("another command works on container {text}");
                return Err(Error::new(ErrorKind::Busy, what));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Writes the record down.
    fn save(&self) -> Result<()> {
        self.record.write(&self.dir)
    }

    /// Notes a line of history that makes no layer.
    fn add_history(&mut self, created_by: String) {
        self.record.history.push(History {
            created: Some(now()),
            created_by: Some(created_by),
            author: None,
            comment: None,
            empty_layer: true,
        });
    }
}

/// This second, RFC 3339.
fn now() -> String {
    let now = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second());
    now.map(|now| now.to_string()).unwrap_or_default()
}
