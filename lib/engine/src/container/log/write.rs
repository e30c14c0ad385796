//! Writing a log.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::lines::LineCutter;
use super::record::{LogFormat, LogStream, Moment};
use super::rotated;
use crate::error::{IoContext, Result};

/// How much of a log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLimits {
    /// Bytes after which a new file begins; `None`: never.
    pub max_size: Option<u64>,
    /// Files that are kept, at least one.
    pub max_files: u32,
}

impl Default for LogLimits {
    /// 10 MiB in each of three files.
    fn default() -> LogLimits {
        LogLimits { max_size: Some(10 << 20), max_files: 3 }
    }
}

/// A log being written. One process at a time has it.
#[derive(Debug)]
pub struct LogWriter {
    path: PathBuf,
    format: LogFormat,
    limits: LogLimits,
    file: File,
    size: u64,
    /// No record is older than the one before it, whatever the clock does.
    last: Moment,
    cutters: [LineCutter; 2],
    /// Records on their way to the file, reused.
    pending: Vec<u8>,
}

impl LogWriter {
    /// Opens the log at `path`, made if missing, and goes on after its last whole record.
    pub fn open(path: &Path, format: LogFormat, limits: LogLimits) -> Result<LogWriter> {
        let file = open(path)?;
        let (size, last) =
            whole_records(&file, format).doing(|| format!("reading the log {}", path.display()))?;
        // A record that a kill or a full disk cut short would spoil the one after it.
        file.set_len(size).doing(|| format!("repairing the log {}", path.display()))?;
        Ok(LogWriter {
            path: path.to_owned(),
            format,
            limits,
            file,
            size,
            last,
            cutters: Default::default(),
            pending: Vec::new(),
        })
    }

    /// Takes what a stream wrote. Lines that have ended are in the file when this returns.
    pub fn write(&mut self, stream: LogStream, bytes: &[u8]) -> Result<()> {
        self.add(stream, |cutter, out| cutter.take(bytes, out))
    }

    /// Writes down the lines that have begun, as parts: after a pause, and at the end.
    pub fn flush(&mut self) -> Result<()> {
        LogStream::ALL
            .into_iter()
            .try_for_each(|stream| self.add(stream, |cutter, out| cutter.flush(out)))
    }

    /// Whether a line has begun that is not in the file.
    pub fn has_begun_line(&self) -> bool {
        self.cutters.iter().any(LineCutter::has_begun)
    }

    /// Opens the file at the same path anew, for who has moved the old one away.
    pub fn reopen(&mut self) -> Result<()> {
        self.file = open(&self.path)?;
        self.size = self.file.metadata().map_or(0, |meta| meta.len());
        Ok(())
    }

    fn add(
        &mut self,
        stream: LogStream,
        cut: impl FnOnce(&mut LineCutter, &mut dyn FnMut(&[u8], bool)),
    ) -> Result<()> {
        self.last = self.last.max(Moment::now());
        let time = self.last.to_string();
        let (format, pending) = (self.format, &mut self.pending);
        let [stdout, stderr] = &mut self.cutters;
        let cutter = match stream {
            LogStream::Stdout => stdout,
            LogStream::Stderr => stderr,
        };
        cut(cutter, &mut |text, ends| format.write(pending, &time, stream, text, ends));
        self.store()
    }

    /// Moves what is pending into the file, which is rotated where it is full.
    fn store(&mut self) -> Result<()> {
        let pending = std::mem::take(&mut self.pending);
        let mut left = pending.as_slice();
        let mut stored = Ok(());
        while !left.is_empty() && stored.is_ok() {
            let count = self.records_that_fit(left);
            if count == 0 {
                stored = self.rotate();
                continue;
            }
            let (now, later) = left.split_at_checked(count).unwrap_or((left, &[]));
            stored = self.append(now);
            left = later;
        }
        // Its memory is used again; what could not be written is lost.
        self.pending = pending;
        self.pending.clear();
        stored
    }

    /// How many bytes of whole records the file still takes. An empty file takes one of any size.
    fn records_that_fit(&self, records: &[u8]) -> usize {
        let Some(max) = self.limits.max_size else { return records.len() };
        let room = usize::try_from(max.saturating_sub(self.size)).unwrap_or(usize::MAX);
        if records.len() <= room {
            return records.len();
        }
        let end_of = |part: &[u8]| part.iter().rposition(|&byte| byte == b'\n').map(|at| at + 1);
        match records.get(..room).and_then(end_of) {
            Some(count) => count,
            None if self.size > 0 => 0,
            None => {
                let first = records.iter().position(|&byte| byte == b'\n');
                first.map_or(records.len(), |at| at + 1)
            }
        }
    }

    fn append(&mut self, records: &[u8]) -> Result<()> {
        let written = self.file.write_all(records);
        match written.is_ok() {
            true => self.size += records.len() as u64,
            // Half a record must not stay.
            false => drop(self.file.set_len(self.size)),
        }
        written.doing(|| format!("writing the log {}", self.path.display()))
    }

    fn rotate(&mut self) -> Result<()> {
        let rotating = || format!("rotating the log {}", self.path.display());
        let oldest = self.limits.max_files.max(1) - 1;
        for age in (0..oldest).rev() {
            match fs::rename(rotated(&self.path, age), rotated(&self.path, age + 1)) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                renamed => renamed.doing(rotating)?,
            }
        }
        if oldest == 0 {
            match fs::remove_file(&self.path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                removed => removed.doing(rotating)?,
            }
        }
        self.file = open(&self.path)?;
        self.size = 0;
        Ok(())
    }
}

fn open(path: &Path) -> Result<File> {
    let opening = || format!("opening the log {}", path.display());
    let mut options = OpenOptions::new();
    // Appending: whoever reads may hold the file meanwhile.
    options.read(true).append(true).create(true).mode(0o640);
    options.open(path).doing(opening)
}

/// The length of a file up to its last line feed, and the time of the record before it.
fn whole_records(file: &File, format: LogFormat) -> std::io::Result<(u64, Moment)> {
    /// More than the longest record needs in either format.
    const TAIL: u64 = 128 << 10;
    let size = file.metadata()?.len();
    let from = size.saturating_sub(TAIL);
    let mut tail = vec![0; usize::try_from(size - from).unwrap_or(0)];
    file.read_exact_at(&mut tail, from)?;
    let Some(end) = tail.iter().rposition(|&byte| byte == b'\n') else {
        // Either nothing but a cut record, or not a log of ours: nothing of it is taken away then.
        return Ok((if from == 0 { 0 } else { size }, Moment::default()));
    };
    let whole = tail.get(..end).unwrap_or_default();
    let last = whole.rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
    let time = format.parse(last).map_or(Moment::default(), |record| record.time);
    Ok((from + end as u64 + 1, time))
}
