//! Reading a log while it is written.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use super::read::{LogReader, LogSelection, ReadRecord};
use super::record::LogFormat;
use crate::error::{IoContext, Result};
use crate::sys::DirWatch;

/// A reader that goes on with what is written after it has read everything, across rotations.
///
/// As a file descriptor it is readable when there may be more.
#[derive(Debug)]
pub struct LogFollower {
    reader: LogReader,
    watch: DirWatch,
    path: PathBuf,
}

impl LogFollower {
    /// Opens the log at `path`, whose directory exists.
    pub fn open(path: &Path, format: LogFormat, selection: LogSelection) -> Result<LogFollower> {
        let watching = || format!("watching the log {}", path.display());
        // Before the files are opened, so that nothing that comes after is missed.
        let watch = DirWatch::new(path.parent().unwrap_or(Path::new("."))).doing(watching)?;
        let reader = LogReader::open(path, format, selection)?;
        Ok(LogFollower { reader, watch, path: path.to_owned() })
    }

    /// The next record; `None` when there is none yet: wait until this is readable, unless
    /// [`has_ended`](Self::has_ended).
    pub fn next_record(&mut self) -> Result<Option<ReadRecord>> {
        let following = || format!("reading the log {}", self.path.display());
        if let Some(record) = self.reader.next_record()? {
            return Ok(Some(record));
        }
        // What is written from here on makes this readable again.
        self.watch.clear().doing(following)?;
        loop {
            if let Some(record) = self.reader.next_record()? {
                return Ok(Some(record));
            }
            if !self.reader.follow(&self.path).doing(following)? {
                return Ok(None);
            }
        }
    }

    /// Whether nothing that may still be written is wanted.
    pub fn has_ended(&self) -> bool {
        self.reader.has_ended()
    }
}

impl AsFd for LogFollower {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watch.as_fd()
    }
}
