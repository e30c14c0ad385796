//! The steps of a build as lines on stderr.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use creel::build::{BuildEvent, Reporter, StepName};
use creel::cli::{self, Style};
use creel::spec::shown::text_of_bytes;
use serde_json::json;

use crate::args::Global;

/// Longest line of output that is kept together.
const MAX_LINE: usize = 16 << 10;

/// How much is said.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Speech {
    Lines,
    Json,
    Warnings,
    Nothing,
}

/// Prints what happens.
pub(crate) struct Steps {
    speech: Speech,
    /// Beginnings of lines, by stage.
    unfinished: Mutex<HashMap<String, Vec<u8>>>,
}

impl Steps {
    pub(crate) fn new(global: &Global) -> Steps {
        let speech = match (global.quiet, global.progress) {
            (true, _) => Speech::Nothing,
            (_, Style::Json) => Speech::Json,
            (_, Style::None) => Speech::Warnings,
            _ => Speech::Lines,
        };
        Steps { speech, unfinished: Mutex::default() }
    }

    fn line(&self, step: StepName<'_>, text: &str) {
        cli::say(format_args!("{}{text}", prefix(step)));
    }

    /// Prints the whole lines of some output, with the stage in front.
    fn output(&self, step: StepName<'_>, bytes: &[u8]) {
        let mut unfinished = self.unfinished.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = unfinished.entry(step.stage.to_owned()).or_default();
        for part in bytes.split_inclusive(|&b| b == b'\n') {
            kept.extend_from_slice(part);
            if part.ends_with(b"\n") || kept.len() > MAX_LINE {
                cli::say_output(&prefix(step), kept);
                kept.clear();
            }
        }
    }

    /// Prints what a step left without an end of line.
    fn rest(&self, step: StepName<'_>) {
        let mut unfinished = self.unfinished.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = unfinished.remove(step.stage).filter(|kept| !kept.is_empty()) {
            cli::say_output(&prefix(step), &kept);
        }
    }
}

/// What stands before every line about a step.
fn prefix(step: StepName<'_>) -> String {
    format!("[{} {}/{}] ", step.stage, step.number, step.total)
}

impl Reporter for Steps {
    fn event(&self, event: BuildEvent<'_>) {
        match self.speech {
            Speech::Nothing => return,
            Speech::Json => return cli::say_json(&to_json(event)),
            Speech::Warnings if !matches!(event, BuildEvent::Warning(_)) => return,
            _ => {}
        }
        match event {
            BuildEvent::Begun(step) => self.line(step, step.text),
            BuildEvent::Cached(step) if step.number == 1 => self.line(step, step.text),
            BuildEvent::Cached(step) => self.line(step, &format!("{} (cached)", step.text)),
            BuildEvent::Done(step, seconds) => {
                self.rest(step);
                self.line(step, &format!("done in {seconds:.1}s"));
            }
            BuildEvent::Explained(step, why) => self.line(step, &format!("made because {why}")),
            BuildEvent::Output(step, bytes) => self.output(step, bytes),
            BuildEvent::Waiting(step) => {
                self.line(step, &format!("{} (waits for another build that makes it)", step.text));
            }
            BuildEvent::Warning(text) => cli::say(format_args!("warning: {text}")),
        }
    }
}

fn to_json(event: BuildEvent<'_>) -> serde_json::Value {
    let step = |what: &str, step: StepName<'_>| {
        json!({
            "event": what,
            "stage": step.stage,
            "step": step.number,
            "steps": step.total,
            "text": step.text,
        })
    };
    let with = |mut value: serde_json::Value, key: &str, more: serde_json::Value| {
        value[key] = more;
        value
    };
    match event {
        BuildEvent::Begun(name) => step("begun", name),
        BuildEvent::Cached(name) => step("cached", name),
        BuildEvent::Waiting(name) => step("waiting", name),
        BuildEvent::Done(name, seconds) => with(step("done", name), "seconds", seconds.into()),
        BuildEvent::Explained(name, why) => with(step("explained", name), "why", why.into()),
        BuildEvent::Output(name, bytes) => {
            with(step("output", name), "output", text_of_bytes(bytes).into())
        }
        BuildEvent::Warning(text) => json!({ "event": "warning", "text": text }),
    }
}
