//! Draws events: bars on a terminal, a line every few seconds in CI, JSON lines for programs.

mod bars;
mod json;
mod plain;

use std::io::IsTerminal;
use std::sync::Arc;

use crate::progress::{Event, Listener, Progress, Silent};

/// How progress is shown (`--progress`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Style {
    /// Bars on a terminal, plain lines elsewhere.
    #[default]
    Auto,
    /// Bars.
    Tty,
    /// A line every few seconds.
    Plain,
    /// One JSON object per event and line.
    Json,
    /// Warnings only.
    None,
}

/// The listener for a style; everything goes to stderr.
pub fn listener(style: Style, quiet: bool) -> Listener {
    if quiet {
        return Arc::new(Silent);
    }
    match style {
        Style::Auto if std::io::stderr().is_terminal() => Arc::new(bars::Bars::new()),
        Style::Tty => Arc::new(bars::Bars::new()),
        Style::Auto | Style::Plain => Arc::new(plain::Plain::new()),
        Style::Json => Arc::new(json::JsonLines),
        Style::None => Arc::new(plain::WarningsOnly),
    }
}

/// The same listener, told of requests as well (`--debug`).
pub fn with_requests(inner: Listener) -> Listener {
    Arc::new(WithRequests(inner))
}

struct WithRequests(Listener);

impl Progress for WithRequests {
    fn event(&self, event: Event) {
        self.0.event(match event {
            Event::Request(text) => Event::Stage(format!("debug: {text}")),
            other => other,
        });
    }
}
