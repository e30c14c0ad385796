//! The two streams: results on stdout, everything else on stderr.
//!
//! Owns everything the programs print. Promise: whatever the text comes from, nothing in it acts on
//! a terminal ([`crate::spec::shown`]), and a stream that takes nothing right now is waited for.
//! What a container itself writes in the foreground does not pass here.

use std::fmt::Display;
use std::io::{IsTerminal, Write};

use serde::Serialize;

use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::spec::shown;
use crate::sys::{Output, Patient};

/// Writes text to stdout: line feeds and tabs stay, whatever else acts on a terminal is escaped.
///
/// # Errors
/// A failure to write; where nobody reads any more, [`super::report_failure`] ends the program
/// quietly.
pub fn print(text: &str) -> Result<()> {
    write_out(shown::escape_text(text).as_bytes())
}

/// Writes a value to stdout as indented JSON.
///
/// # Errors
/// As [`print()`].
pub fn print_json(value: &impl Serialize) -> Result<()> {
    let written = serde_json::to_string_pretty(value).map_err(not_written)?;
    write_out(format!("{}\n", shown::escape_json(&written)).as_bytes())
}

/// Writes a value to stdout as JSON on one line.
///
/// # Errors
/// As [`print()`].
pub fn print_json_line(value: &impl Serialize) -> Result<()> {
    let written = serde_json::to_string(value).map_err(not_written)?;
    write_out(format!("{}\n", shown::escape_json(&written)).as_bytes())
}

/// Writes the content of a blob or a file to stdout, byte for byte; see [`Content`].
///
/// # Errors
/// As [`print()`].
pub fn print_content(bytes: &[u8]) -> Result<()> {
    Content::new().write_all(bytes).doing(writing)
}

/// A line on stderr; that nobody may be reading there stops no work.
pub fn say(line: impl Display) {
    complain(&shown::escape_line(&line.to_string()));
}

/// JSON on a line of stderr.
pub fn say_json(value: &impl Serialize) {
    if let Ok(line) = serde_json::to_string(value) {
        complain(&shown::escape_json(&line));
    }
}

/// A line that a program wrote, on stderr behind `prefix`; its colours stay. Of what the program
/// overwrote by returning to the begin of the line, the last is shown, as terminals do.
pub fn say_output(prefix: &str, line: &[u8]) {
    let mut line = line;
    while let Some((b'\n' | b'\r', before)) = line.split_last() {
        line = before;
    }
    let last = line.rsplit(|&byte| byte == b'\r').next().unwrap_or(line);
    complain(&format!("{}{}", shown::escape_line(prefix), shown::escape_output(last)));
}

/// Lines with colours of our own, on stderr. What is foreign in them was escaped before.
pub fn say_drawing(lines: &str) {
    complain(&drawing(lines));
}

/// Lines with colours of our own, on stdout. What is foreign in them was escaped before.
///
/// # Errors
/// As [`print()`].
pub fn print_drawing(lines: &str) -> Result<()> {
    write_out(format!("{}\n", drawing(lines)).as_bytes())
}

fn drawing(lines: &str) -> String {
    let shown = lines.lines().map(|line| shown::escape_output(line.as_bytes()));
    shown.collect::<Vec<_>>().join("\n")
}

/// Text for one line of something that is put together from several.
pub fn one_line(text: &str) -> String {
    shown::escape_line(text).into_owned()
}

/// Whether a stream takes colours: a terminal, and nobody said no.
pub fn takes_color(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The content of something on stdout: the same bytes into a file or a pipe; on a terminal as
/// [`print()`] shows text.
pub struct Content {
    out: Output,
    terminal: bool,
    /// The begin of a character whose other bytes have not come yet.
    begun: Vec<u8>,
}

impl Content {
    /// Looks at what stdout is.
    #[allow(clippy::new_without_default, reason = "asks the system")]
    pub fn new() -> Content {
        Content {
            out: Output::default(),
            terminal: std::io::stdout().is_terminal(),
            begun: Vec::new(),
        }
    }
}

/// Writes what was kept back.
impl Drop for Content {
    fn drop(&mut self) {
        // Less than a character: no file is incomplete without it, since only terminals get here.
        let _ = self.out.write_all(shown::escape_bytes(&self.begun).as_bytes());
    }
}

impl Write for Content {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if !self.terminal {
            return self.out.write(bytes);
        }
        self.begun.extend_from_slice(bytes);
        let whole = self.begun.len() - unfinished(&self.begun);
        let rest = self.begun.split_off(whole);
        let text = shown::escape_text_bytes(&std::mem::replace(&mut self.begun, rest));
        self.out.write_all(text.as_bytes()).map(|()| bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// How many bytes at the end may be the begin of a character.
fn unfinished(bytes: &[u8]) -> usize {
    match bytes.utf8_chunks().last() {
        Some(chunk) => match std::str::from_utf8(chunk.invalid()) {
            Err(error) if error.error_len().is_none() => chunk.invalid().len(),
            _ => 0,
        },
        None => 0,
    }
}

fn writing() -> &'static str {
    "writing the result"
}

fn not_written(error: serde_json::Error) -> Error {
    Error::caused(ErrorKind::Failed, "writing JSON", error)
}

fn write_out(bytes: &[u8]) -> Result<()> {
    Output::default().write_all(bytes).doing(writing)
}

/// One write for the whole line, so that lines of several programs do not mix.
fn complain(line: &str) {
    let _ = Patient(std::io::stderr().lock()).write_all(format!("{line}\n").as_bytes());
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_character_in_two_pieces_is_one() {
        for (bytes, kept) in [
            (&b"abc"[..], 0),
            (b"", 0),
            (b"a\xc3", 1),
            (b"a\xc3\xa4", 0),
            (b"\xe6\x97", 2),
            (b"\xf0\x9f\x91", 3),
            (b"a\xff", 0),
            (b"\xc3x", 0),
        ] {
            assert_eq!(unfinished(bytes), kept, "{bytes:?}");
        }
    }
}
