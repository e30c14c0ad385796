//! Reports as text or JSON.

use std::io::{IsTerminal, Write};

use creel::error::{Error, ErrorKind, IoContext, Result};
use serde::Serialize;

/// Writes to stdout; a failure to do so is a failure of the program.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).doing(|| "writing the result")
}

/// Writes a value as indented JSON.
pub(crate) fn print_json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Error::caused(ErrorKind::Failed, "writing JSON", error))?;
    print(&format!("{text}\n"))
}

/// Whether a stream takes colours: a terminal, and nobody said no.
pub(crate) fn takes_color(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Without what could move the cursor of a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}
