//! One JSON object per line, for programs.

use serde_json::json;

use crate::cli::say;
use crate::progress::{Event, Progress};

/// Writes every event as `{"event":…}`.
pub(super) struct JsonLines;

impl Progress for JsonLines {
    fn event(&self, event: Event) {
        let line = match event {
            Event::Started { task, what, digest, total } => {
                json!({"event": "started", "task": task, "what": what, "digest": digest, "total": total})
            }
            Event::Advanced { task, bytes } => {
                json!({"event": "advanced", "task": task, "bytes": bytes})
            }
            Event::Skipped { what, digest, bytes, why } => {
                json!({"event": "skipped", "what": what, "digest": digest, "bytes": bytes, "why": why})
            }
            Event::Done { task } => json!({"event": "done", "task": task}),
            Event::Retrying { task, why } => json!({"event": "retrying", "task": task, "why": why}),
            Event::Warning(text) => json!({"event": "warning", "text": text}),
            Event::Stage(text) => json!({"event": "stage", "text": text}),
            Event::Request(_) => return,
        };
        say(line);
    }
}
