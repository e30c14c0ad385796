//! A container's log: what it wrote on its standard streams, with the time of each line.
//!
//! Owns the files of a log: their two formats, their rotation, and reading them back. Promise: a
//! record is whole or absent whatever is killed; times never go backwards within a log, so that
//! a reader finds a moment in a file of any size by bisection and needs no index; what is not
//! rotated away can be read while it is written. Does not know containers: the paths are given.
//!
//! `PATH` is the file being written, `PATH.1` the one before it, and so on up to the number of
//! files that the limits allow.

mod follow;
mod lines;
mod read;
mod record;
mod write;

pub use follow::LogFollower;
pub use read::{LogReader, LogSelection, ReadRecord};
pub use record::{LogFormat, LogStream, Moment};
pub use write::{LogLimits, LogWriter};

use std::path::{Path, PathBuf};

/// The longest text that one record holds; a longer line is several records.
pub const MAX_RECORD_TEXT: usize = 16 << 10;

/// The file that was written `age` rotations ago.
fn rotated(path: &Path, age: u32) -> PathBuf {
    match age {
        0 => path.to_owned(),
        _ => {
            let mut name = path.as_os_str().to_owned();
            name.push(format!(".{age}"));
            name.into()
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
