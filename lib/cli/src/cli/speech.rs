//! The two streams: results on stdout, everything else on stderr.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

use crate::error::{IoContext, Result};

/// Writes to stdout. Ends the program where nobody reads any more, as in `program | head`.
///
/// # Errors
/// Any other failure to write.
pub fn print(text: &[u8]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text).and_then(|()| out.flush());
    if written.as_ref().is_err_and(|error| error.kind() == ErrorKind::BrokenPipe) {
        crate::sys::die_of_closed_pipe();
    }
    written.doing(|| "writing the result")
}

/// A line on stderr; that nobody may be reading there stops no work.
pub fn say(line: impl Display) {
    let _ = std::io::stderr().lock().write_all(format!("{line}\n").as_bytes());
}
