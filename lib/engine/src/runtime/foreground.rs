//! A container in the foreground, with three streams.
//!
//! Owns the one runtime process of such a run, the passing on of signals, and the end. Promise: the
//! container's own exit code; its output complete; a signal that comes before the program runs
//! reaches it once it does; nothing left of the container whatever happened to it. Does not remove
//! the bundle.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use super::options::Signal;
use super::runc::{Bundle, Runtime};
use super::streams::{Relays, Streams};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::sys::{Ended, SignalQueue, Wait, Watched, wait_any};

/// How soon a signal that came too early is tried again.
const RETRY: Duration = Duration::from_millis(5);

/// How long a container that shall be killed may take to come up. A runtime that is killed before
/// that leaves cgroups and mounts.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) const KILL: Signal = Signal(libc::SIGKILL);

/// What may end a container from outside.
#[derive(Clone, Copy, Debug, Default)]
pub struct Control<'a> {
    /// Signals that are passed on to the container.
    pub signals: Option<&'a SignalQueue>,
    /// Whether they are taken and dropped instead.
    pub drop_signals: bool,
    /// The longest time it may run.
    pub timeout: Option<Duration>,
    /// When this can be read from (or its other end is closed), the container is killed.
    pub cancel: Option<BorrowedFd<'a>>,
}

/// How a run ended.
#[derive(Debug)]
pub enum Outcome {
    /// With this code: the program's own, or 128 and the number of the signal that killed it.
    Exited(i32),
    /// It was killed because its time was over.
    TimedOut,
    /// It was killed because the caller wanted so.
    Cancelled,
    /// It goes on without us.
    Detached(super::terminal::Detached),
}

/// Why we killed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Timeout,
    Cancel,
}

impl Stop {
    pub(super) fn outcome(self) -> Outcome {
        match self {
            Stop::Timeout => Outcome::TimedOut,
            Stop::Cancel => Outcome::Cancelled,
        }
    }
}

impl Runtime {
    /// Runs the bundle's container until its end.
    ///
    /// Fails when it could not be started; then nothing of it is left.
    pub fn run(&self, bundle: &Bundle, streams: Streams, control: Control<'_>) -> Result<Outcome> {
        bundle.sweep()?;
        let mut relays = Relays::new()?;
        let runtime = self.start(bundle, streams, &mut relays)?;
        let attended = self.attend(bundle, &runtime, control);
        if attended.is_err() {
            // Whatever went wrong with us, the container must not stay.
            let _ = self.kill(bundle, KILL).or_else(|_| runtime.signal(KILL.0).doing(|| "killing"));
        }
        let ended = runtime.wait().doing(|| "waiting for the container runtime");
        let copied = relays.finish();
        let (stop, ended) = (attended?, ended?);
        let started = bundle.pid().is_some();
        if let (Ended::Killed(_), _) | (_, false) = (ended, started) {
            // It may have left a half-made container.
            let failure = self.failure(bundle, "starting the container");
            let _ = self.delete(bundle);
            match (stop, ended) {
                (Some(stop), _) => return Ok(stop.outcome()),
                (None, Ended::Killed(signal)) => {
                    let what = format!("the container runtime was killed by signal {signal}");
                    return Err(Error::new(ErrorKind::Failed, what));
                }
                (None, Ended::Exited(_)) => return Err(failure),
            }
        }
        copied?;
        Ok(stop.map_or(Outcome::Exited(ended.code()), Stop::outcome))
    }

    fn start(&self, bundle: &Bundle, streams: Streams, relays: &mut Relays) -> Result<Watched> {
        let mut command = self.run_command(bundle);
        command.arg(&bundle.id);
        let seen = bundle.clone();
        relays.connect(&mut command, streams, Box::new(move || seen.pid().is_some()))?;
        self.spawn(command)
    }

    /// Passes signals on until the runtime has ended.
    fn attend(
        &self,
        bundle: &Bundle,
        runtime: &Watched,
        control: Control<'_>,
    ) -> Result<Option<Stop>> {
        let attending = || "attending to the container";
        let mut early = Vec::new();
        let mut clock = Clock::new(control);
        let mut to_kill: Option<Instant> = None;
        loop {
            let waits = [Wait::Read(runtime.as_fd()), clock.signals(), clock.cancel()];
            let waiting = !early.is_empty() || to_kill.is_some();
            let patience = if waiting { Some(RETRY) } else { clock.left() };
            let [ended, signalled, cancelled] = wait_any(waits, patience).doing(attending)?;
            if ended {
                return Ok(clock.stop);
            }
            if signalled {
                let taken = clock.take_signals().doing(attending)?;
                early.extend(taken.into_iter().filter(|_| !control.drop_signals));
            }
            if clock.must_stop(cancelled) {
                to_kill = Some(Instant::now());
            }
            // Before this the runtime would take a signal for itself.
            if bundle.pid().is_some() {
                for signal in early.drain(..) {
                    runtime.signal(signal).doing(attending)?;
                }
                if to_kill.is_some() && self.kill(bundle, KILL).is_ok() {
                    to_kill = None;
                }
            }
            if to_kill.is_some_and(|since| since.elapsed() > PATIENCE) {
                runtime.signal(KILL.0).doing(attending)?;
            }
        }
    }
}

/// What a run waits for besides its end.
pub(super) struct Clock<'a> {
    control: Control<'a>,
    deadline: Option<Instant>,
    pub(super) stop: Option<Stop>,
}

impl<'a> Clock<'a> {
    pub(super) fn new(control: Control<'a>) -> Clock<'a> {
        let deadline = control.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        Clock { control, deadline, stop: None }
    }

    pub(super) fn signals(&self) -> Wait<'a> {
        self.control.signals.map_or(Wait::Never, |queue| Wait::Read(queue.as_fd()))
    }

    pub(super) fn cancel(&self) -> Wait<'a> {
        let cancel = self.control.cancel.filter(|_| self.stop.is_none());
        cancel.map_or(Wait::Never, Wait::Read)
    }

    pub(super) fn left(&self) -> Option<Duration> {
        let deadline = self.deadline.filter(|_| self.stop.is_none())?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    /// The signals that have come and are meant for the container.
    pub(super) fn take_signals(&self) -> std::io::Result<Vec<i32>> {
        let mut taken = Vec::new();
        if let Some(queue) = self.control.signals {
            while let Some(signal) = queue.next()? {
                // These tell us about our own children and files.
                if ![libc::SIGCHLD, libc::SIGPIPE, libc::SIGURG].contains(&signal) {
                    taken.push(signal);
                }
            }
        }
        Ok(taken)
    }

    /// Whether the container must be killed now; true once.
    pub(super) fn must_stop(&mut self, cancelled: bool) -> bool {
        if self.stop.is_some() {
            return false;
        }
        self.stop = if cancelled {
            Some(Stop::Cancel)
        } else if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            Some(Stop::Timeout)
        } else {
            None
        };
        self.stop.is_some()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
