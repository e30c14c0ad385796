//! Equal steps of builds at the same time: one makes them, the others wait.
//!
//! A step that is made is locked by its key, in files below the cache; the kernel drops a lock with
//! its owner, however that ends. Who waits looks again afterwards and makes the step if it is still
//! not there. Promise: nobody waits for a lock while holding another, so none waits for ever; what
//! somebody waits for, or what took long, is recorded before its lock is given back. A short step
//! that nobody waits for is recorded with the others at the end, so that another build may make it
//! meanwhile: that costs less than a flush of the disk for each.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::super::cache::StepKey;
use super::options::{BuildEvent, StepName};
use super::{Builder, Made, locked};
use crate::error::{IoContext, Result};
use crate::sys::{Lock, LockMode};

/// What took so long is recorded at once.
const LONG: Duration = Duration::from_secs(2);

/// The right to make a step.
pub(super) struct Flight {
    path: PathBuf,
    begun: Instant,
    /// Gone together with the right.
    _lock: Lock,
}

impl Drop for Flight {
    fn drop(&mut self) {
        // Who waits on a file that is gone notices, and makes another.
        let _ = std::fs::remove_file(&self.path);
        let _ = std::fs::remove_file(waiting(&self.path));
    }
}

/// The file that is locked together by all who wait for another.
fn waiting(path: &std::path::Path) -> PathBuf {
    path.with_extension("waiting")
}

impl Builder<'_> {
    /// What a step has made before, if the cache knows that (`Err`); else waits until nobody else
    /// makes it, and looks again: it may have been made meanwhile.
    pub(super) fn take_off(
        &self,
        key: &StepKey,
        name: StepName<'_>,
    ) -> Result<std::result::Result<Option<Flight>, Made>> {
        // Who makes everything anew waits for nobody.
        if !self.may_find(name.stage) {
            return Ok(Ok(None));
        }
        if let Some(made) = self.find(key, name.stage)? {
            return Ok(Err(made));
        }
        let path = self.cache.flight(key);
        let making = || format!("making {}", path.display());
        std::fs::create_dir_all(path.parent().unwrap_or(&path)).doing(making)?;
        let lock = match Lock::try_acquire(&path, LockMode::Exclusive)? {
            Some(lock) => lock,
            None => {
                self.reporter.event(BuildEvent::Waiting(name));
                let _waiting = Lock::acquire(&waiting(&path), LockMode::Shared)?;
                Lock::acquire(&path, LockMode::Exclusive)?
            }
        };
        let flight = Flight { path, begun: Instant::now(), _lock: lock };
        Ok(match self.find(key, name.stage)? {
            Some(made) => Err(made),
            None => Ok(Some(flight)),
        })
    }

    /// Notes what a step made, at once if somebody waits for it or if it took long.
    pub(super) fn land(&self, flight: Option<Flight>, key: StepKey, made: Made) -> Result<()> {
        locked(&self.pending).push((key, made));
        let Some(flight) = flight else { return Ok(()) };
        let alone = Lock::try_acquire(&waiting(&flight.path), LockMode::Exclusive)?;
        match alone.is_none() || flight.begun.elapsed() >= LONG {
            true => self.flush_steps(),
            false => Ok(()),
        }
    }
}
