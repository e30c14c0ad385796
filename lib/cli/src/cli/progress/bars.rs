//! Bars on a terminal: one per piece on its way, and lines above them for what stays.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::cli::size::bytes;
use crate::progress::{Event, Progress};

/// Bars on stderr.
pub(super) struct Bars {
    all: MultiProgress,
    tasks: Mutex<HashMap<u64, ProgressBar>>,
}

impl Bars {
    pub(super) fn new() -> Bars {
        Bars { all: MultiProgress::new(), tasks: Mutex::default() }
    }

    fn line(&self, text: String) {
        // A terminal that went away is no reason to stop the work.
        let _ = self.all.println(text);
    }
}

fn style(total: Option<u64>) -> ProgressStyle {
    let template = match total {
        Some(_) => {
            "{msg:24} {bar:30} {decimal_bytes:>10} / {decimal_total_bytes:<10} {decimal_bytes_per_sec:>12} {eta:>4}"
        }
        None => "{msg:24} {spinner} {decimal_bytes:>10} {decimal_bytes_per_sec:>12}",
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Progress for Bars {
    fn event(&self, event: Event) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Started { task, what, digest, total } => {
                let bar = match total {
                    Some(total) => ProgressBar::new(total),
                    None => ProgressBar::new_spinner(),
                };
                let bar = self.all.add(bar.with_style(style(total)));
                bar.set_message(match &digest {
                    Some(digest) => format!("{what} {}", digest.short()),
                    None => what.to_owned(),
                });
                tasks.insert(task, bar);
            }
            Event::Advanced { task, bytes } => {
                if let Some(bar) = tasks.get(&task) {
                    bar.inc(bytes);
                }
            }
            Event::Done { task } => {
                if let Some(bar) = tasks.remove(&task) {
                    let text = format!("{:24} {}", bar.message(), bytes(bar.position()));
                    bar.finish_and_clear();
                    self.line(text);
                }
            }
            Event::Skipped { what, digest, bytes: size, why } => {
                self.line(format!(
                    "{:24} {} ({why})",
                    format!("{what} {}", digest.short()),
                    bytes(size)
                ));
            }
            Event::Retrying { why, .. } => self.line(format!("retrying: {why}")),
            Event::Warning(text) => self.line(format!("warning: {text}")),
            Event::Stage(text) => self.line(text),
            Event::Request(_) => {}
        }
    }
}
