//! Lines for logs: what finished, and a summary every few seconds while bytes move.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::cli::say;
use crate::cli::size::bytes;
use crate::progress::{Event, Progress};

/// Time between summaries.
const PERIOD: Duration = Duration::from_secs(5);

/// Prints lines to stderr.
pub(super) struct Plain(Mutex<State>);

struct State {
    tasks: HashMap<u64, Moving>,
    finished: u64,
    expected: u64,
    moved: u64,
    moved_before: u64,
    printed: Instant,
}

struct Moving {
    name: String,
    total: Option<u64>,
    moved: u64,
}

impl Plain {
    pub(super) fn new() -> Plain {
        Plain(Mutex::new(State {
            tasks: HashMap::new(),
            finished: 0,
            expected: 0,
            moved: 0,
            moved_before: 0,
            printed: Instant::now(),
        }))
    }
}

impl State {
    /// The line that tells how far everything is, at most once per period.
    fn summary(&mut self) -> Option<String> {
        let passed = self.printed.elapsed();
        if passed < PERIOD {
            return None;
        }
        let speed = (self.moved - self.moved_before) as f64 / passed.as_secs_f64();
        self.moved_before = self.moved;
        self.printed = Instant::now();
        let left = self.expected.saturating_sub(self.moved);
        let eta =
            if speed > 1.0 { format!(", {:.0}s left", left as f64 / speed) } else { String::new() };
        Some(format!(
            "{} of {} at {}/s{eta} ({} done, {} moving)",
            bytes(self.moved),
            bytes(self.expected),
            bytes(speed as u64),
            self.finished,
            self.tasks.len(),
        ))
    }
}

impl Progress for Plain {
    fn event(&self, event: Event) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Started { task, what, digest, total } => {
                let name = match &digest {
                    Some(digest) => format!("{what} {}", digest.short()),
                    None => what.to_owned(),
                };
                state.expected += total.unwrap_or(0);
                state.tasks.insert(task, Moving { name, total, moved: 0 });
            }
            Event::Advanced { task, bytes } => {
                state.moved += bytes;
                if let Some(moving) = state.tasks.get_mut(&task) {
                    moving.moved += bytes;
                }
                if let Some(line) = state.summary() {
                    say(line);
                }
            }
            Event::Done { task } => {
                state.finished += 1;
                if let Some(moving) = state.tasks.remove(&task) {
                    say(format_args!(
                        "{}: {}",
                        moving.name,
                        bytes(moving.total.unwrap_or(moving.moved))
                    ));
                }
            }
            Event::Skipped { what, digest, bytes: size, why } => {
                say(format_args!("{what} {}: {} ({why})", digest.short(), bytes(size)));
            }
            Event::Retrying { why, .. } => say(format_args!("retrying: {why}")),
            Event::Warning(text) => say(format_args!("warning: {text}")),
            Event::Stage(text) => say(text),
            Event::Request(_) => {}
        }
    }
}

/// Prints warnings and nothing else.
pub(super) struct WarningsOnly;

impl Progress for WarningsOnly {
    fn event(&self, event: Event) {
        if let Event::Warning(text) = event {
            say(format_args!("warning: {text}"));
        }
    }
}
