//! The terminal on standard error, as bars need it.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::TermLike;

use crate::sys::{Patient, terminal_size};

/// Where a terminal does not tell its size.
const USUAL: (u16, u16) = (24, 80);

/// Draws on standard error, a whole picture at a time, and waits where that takes nothing right now.
#[derive(Debug, Default)]
pub(super) struct Terminal {
    picture: Mutex<String>,
}

impl Terminal {
    fn picture(&self) -> MutexGuard<'_, String> {
        self.picture.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves the cursor by `count` places, or does nothing if that is 0.
    fn travel(&self, count: usize, direction: char) -> io::Result<()> {
        match count {
            0 => Ok(()),
            _ => self.write_str(&format!("\u{1b}[{count}{direction}")),
        }
    }
}

/// Rows and columns.
fn size() -> (u16, u16) {
    let told = terminal_size(io::stderr()).filter(|(rows, columns)| *rows > 0 && *columns > 0);
    told.unwrap_or(USUAL)
}

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        size().1
    }

    fn height(&self) -> u16 {
        size().0
    }

    fn move_cursor_up(&self, count: usize) -> io::Result<()> {
        self.travel(count, 'A')
    }

    fn move_cursor_down(&self, count: usize) -> io::Result<()> {
        self.travel(count, 'B')
    }

    fn move_cursor_right(&self, count: usize) -> io::Result<()> {
        self.travel(count, 'C')
    }

    fn move_cursor_left(&self, count: usize) -> io::Result<()> {
        self.travel(count, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(&format!("{text}\n"))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.picture().push_str(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.write_str("\r\u{1b}[2K")
    }

    fn flush(&self) -> io::Result<()> {
        let picture = std::mem::take(&mut *self.picture());
        Patient(io::stderr().lock()).write_all(picture.as_bytes())
    }
}
