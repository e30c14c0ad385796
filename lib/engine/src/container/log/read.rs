//! Reading a log back.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use super::record::{LogFormat, LogStream, Moment, Parsed};
use super::rotated;
use crate::error::{IoContext, Result};

/// Bytes that are read at once.
const BLOCK: usize = 64 << 10;
/// A line of a file that is longer than this is not a record of ours.
const MAX_LINE: usize = 256 << 10;
/// Most rotated files that are looked for.
const MAX_FILES: u32 = 1000;

/// What of a log is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSelection {
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
    /// Nothing before this.
    pub since: Option<Moment>,
    /// Nothing after this.
    pub until: Option<Moment>,
    /// Only so many lines from the end; a line of several records counts once.
    pub tail: Option<u64>,
}

impl Default for LogSelection {
    /// Everything.
    fn default() -> LogSelection {
        LogSelection { stdout: true, stderr: true, since: None, until: None, tail: None }
    }
}

impl LogSelection {
    fn accepts(&self, record: &Parsed) -> bool {
        let wanted = match record.stream {
            LogStream::Stdout => self.stdout,
            LogStream::Stderr => self.stderr,
        };
        let late = self.until.is_some_and(|until| record.time > until);
        wanted && !late && self.since.is_none_or(|since| record.time >= since)
    }
}

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRecord {
    /// When the container wrote it.
    pub time: Moment,
    /// Where.
    pub stream: LogStream,
    /// What, with the line feed where the line ends.
    pub text: Vec<u8>,
    /// Whether it begins a line, and so gets what is printed before lines.
    pub begins: bool,
}

/// A position in one file of a log.
#[derive(Debug)]
struct Part {
    file: File,
    at: u64,
}

/// Reads a log from a position on; what is written meanwhile is found by reading on.
#[derive(Debug)]
pub struct LogReader {
    format: LogFormat,
    selection: LogSelection,
    /// The oldest first.
    parts: VecDeque<Part>,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that were handed out.
    used: usize,
    /// By stream: whether the next record goes on with a line.
    within: [bool; 2],
    /// Records before this one of the first part are passed over, for `tail`.
    ended: bool,
}

impl LogReader {
    /// Opens the log at `path`; one that is missing is empty.
    pub fn open(path: &Path, format: LogFormat, selection: LogSelection) -> Result<LogReader> {
        let reading = || format!("reading the log {}", path.display());
        let mut parts = open_parts(path).doing(reading)?;
        if let Some(since) = selection.since {
            skip_before(&mut parts, format, since).doing(reading)?;
        }
        if let Some(tail) = selection.tail {
            skip_to_tail(&mut parts, format, &selection, tail).doing(reading)?;
        }
        Ok(LogReader {
            format,
            selection,
            parts,
            buffer: Vec::new(),
            used: 0,
            within: [false; 2],
            ended: false,
        })
    }

    /// The next record; `None` when there is none yet.
    pub fn next_record(&mut self) -> Result<Option<ReadRecord>> {
        loop {
            let Some(line) = self.next_line().doing(|| "reading a log")? else { return Ok(None) };
            // Something else than a record, as after a power cut, is passed over.
            let Some(record) = self.format.parse(&line) else { continue };
            if self.selection.until.is_some_and(|until| record.time > until) {
                self.ended = true;
                return Ok(None);
            }
            if self.selection.accepts(&record) {
                return Ok(Some(self.handed_out(record)));
            }
        }
    }

    /// Whether nothing that may still be written is wanted.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Goes on with the file that replaced the one being read, if there is one. To be called once
    /// [`next_record`](Self::next_record) has nothing more.
    pub(super) fn follow(&mut self, path: &Path) -> io::Result<bool> {
        let Some(last) = self.parts.back() else {
            self.parts = open_parts(path)?;
            return Ok(!self.parts.is_empty());
        };
        let own = identity(&last.file)?;
        let newer: Vec<Part> = {
            let all = open_parts(path)?;
            let place =
                all.iter().map(|part| identity(&part.file)).collect::<io::Result<Vec<_>>>()?;
            match place.iter().position(|other| *other == own) {
                Some(at) => all.into_iter().skip(at + 1).collect(),
                // Rotated away altogether while nobody read.
                None => all.into(),
            }
        };
        let found = !newer.is_empty();
        self.parts.extend(newer);
        Ok(found)
    }

    fn handed_out(&mut self, record: Parsed) -> ReadRecord {
        let [stdout, stderr] = &mut self.within;
        let within = match record.stream {
            LogStream::Stdout => stdout,
            LogStream::Stderr => stderr,
        };
        let begins = !std::mem::replace(within, !record.ends);
        let mut text = record.text;
        if record.ends {
            text.push(b'\n');
        }
        ReadRecord { time: record.time, stream: record.stream, text, begins }
    }

    /// The next whole line of the files, without its line feed.
    fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut searched = self.used;
        loop {
            let fresh = self.buffer.get(searched..).unwrap_or_default();
            if let Some(at) = fresh.iter().position(|&byte| byte == b'\n') {
                let end = searched + at;
                let line = self.buffer.get(self.used..end).unwrap_or_default().to_vec();
                self.used = end + 1;
                return Ok(Some(line));
            }
            self.buffer.drain(..self.used);
            self.used = 0;
            if self.buffer.len() > MAX_LINE {
                self.buffer.clear();
            }
            searched = self.buffer.len();
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// Reads further bytes; false at the end of the last file.
    fn fill(&mut self) -> io::Result<bool> {
        loop {
            let is_last = self.parts.len() <= 1;
            let Some(part) = self.parts.front_mut() else { return Ok(false) };
            let kept = self.buffer.len();
            self.buffer.resize(kept + BLOCK, 0);
            let room = self.buffer.get_mut(kept..).unwrap_or_default();
            let count = part.file.read_at(room, part.at)?;
            self.buffer.truncate(kept + count);
            part.at += count as u64;
            if count > 0 {
                return Ok(true);
            }
            if is_last {
                return Ok(false);
            }
            // A record that is cut at the end of a file does not go on in the next one.
            self.buffer.clear();
            self.parts.pop_front();
        }
    }
}

fn identity(file: &File) -> io::Result<(u64, u64)> {
    let meta = file.metadata()?;
    Ok((meta.dev(), meta.ino()))
}

/// All files of a log, the oldest first. Files that are rotated meanwhile are found once.
fn open_parts(path: &Path) -> io::Result<VecDeque<Part>> {
    let mut parts: VecDeque<Part> = VecDeque::new();
    let mut seen = Vec::new();
    for age in 0..MAX_FILES {
        match File::open(rotated(path, age)) {
            Ok(file) => {
                let own = identity(&file)?;
                if !seen.contains(&own) {
                    seen.push(own);
                    parts.push_front(Part { file, at: 0 });
                }
            }
            // The one being written is missing for a moment during rotation.
            Err(error) if error.kind() == io::ErrorKind::NotFound && age == 0 => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(error),
        }
    }
    Ok(parts)
}

/// Moves to the first record that is not older than `since`.
fn skip_before(parts: &mut VecDeque<Part>, format: LogFormat, since: Moment) -> io::Result<()> {
    while parts.len() > 1 {
        let Some(next) = parts.get(1) else { break };
        match first_record(&next.file, 0, format)? {
            Some((_, time)) if time < since => drop(parts.pop_front()),
            _ => break,
        }
    }
    if let Some(part) = parts.front_mut() {
        part.at = bisect(&part.file, format, since)?;
    }
    Ok(())
}

/// The position of the first record of a file that is not older than `since`.
fn bisect(file: &File, format: LogFormat, since: Moment) -> io::Result<u64> {
    // All records that begin before `low` are older, none that begins at `high` or later is.
    let (mut low, mut high) = (0, file.metadata()?.len());
    while high - low > BLOCK as u64 {
        let middle = low + (high - low) / 2;
        match first_record(file, middle, format)? {
            Some((at, time)) if time < since => low = at.max(low + 1),
            _ => high = middle,
        }
    }
    // Within the last block line by line: the reader passes over what is older.
    line_start(file, low)
}

/// The first line that begins at or after a position.
fn line_start(file: &File, at: u64) -> io::Result<u64> {
    if at == 0 {
        return Ok(0);
    }
    let mut position = at - 1;
    let mut block = vec![0; BLOCK];
    loop {
        let count = file.read_at(&mut block, position)?;
        let read = block.get(..count).unwrap_or_default();
        match read.iter().position(|&byte| byte == b'\n') {
            Some(found) => return Ok(position + found as u64 + 1),
            None if count == 0 => return Ok(position),
            None => position += count as u64,
        }
    }
}

/// The first record that begins at or after a position: where, and its time.
fn first_record(file: &File, at: u64, format: LogFormat) -> io::Result<Option<(u64, Moment)>> {
    let mut begin = line_start(file, at)?;
    let mut block = vec![0; MAX_LINE];
    loop {
        let count = file.read_at(&mut block, begin)?;
        let read = block.get(..count).unwrap_or_default();
        let Some(end) = read.iter().position(|&byte| byte == b'\n') else { return Ok(None) };
        if let Some(record) = format.parse(read.get(..end).unwrap_or_default()) {
            return Ok(Some((begin, record.time)));
        }
        begin += end as u64 + 1;
    }
}

/// Moves to where the last `wanted` lines begin.
fn skip_to_tail(
    parts: &mut VecDeque<Part>,
    format: LogFormat,
    selection: &LogSelection,
    wanted: u64,
) -> io::Result<()> {
    let mut count = TailCount { wanted, lines: 0, open: [false; 2] };
    for index in (0..parts.len()).rev() {
        let Some(part) = parts.get_mut(index) else { break };
        let lowest = part.at;
        let mut lines = BackwardLines::new(&part.file, lowest)?;
        while let Some((at, line)) = lines.next()? {
            let Some(record) = format.parse(&line).filter(|record| selection.accepts(record))
            else {
                continue;
            };
            if count.is_complete_before(&record) {
                part.at = at + line.len() as u64 + 1;
                parts.drain(..index);
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Counts lines from the end of a log, where a line's parts come before its end.
struct TailCount {
    wanted: u64,
    lines: u64,
    /// By stream: whether a line of it was counted whose beginning may still come.
    open: [bool; 2],
}

impl TailCount {
    /// Whether all wanted lines were seen before this record, coming from the end.
    fn is_complete_before(&mut self, record: &Parsed) -> bool {
        let [stdout, stderr] = &mut self.open;
        let open = match record.stream {
            LogStream::Stdout => stdout,
            LogStream::Stderr => stderr,
        };
        // A part that is followed by the end of its line belongs to that line.
        if record.ends || !*open {
            if self.lines == self.wanted {
                return true;
            }
            self.lines += 1;
        }
        *open = true;
        false
    }
}

/// The lines of a file from its last whole one back to a position.
struct BackwardLines<'a> {
    file: &'a File,
    lowest: u64,
    /// What `buffer` begins with.
    from: u64,
    buffer: Vec<u8>,
}

impl<'a> BackwardLines<'a> {
    fn new(file: &'a File, lowest: u64) -> io::Result<BackwardLines<'a>> {
        let from = file.metadata()?.len().max(lowest);
        let mut lines = BackwardLines { file, lowest, from, buffer: Vec::new() };
        // What comes after the last line feed is not a record yet.
        loop {
            if let Some(at) = lines.buffer.iter().rposition(|&byte| byte == b'\n') {
                lines.buffer.truncate(at + 1);
                return Ok(lines);
            }
            if !lines.grow()? {
                lines.buffer.clear();
                return Ok(lines);
            }
        }
    }

    /// The line before those that were handed out, with its position.
    fn next(&mut self) -> io::Result<Option<(u64, Vec<u8>)>> {
        loop {
            let Some(body) = self.buffer.len().checked_sub(1) else {
                if !self.grow()? {
                    return Ok(None);
                }
                continue;
            };
            let text = self.buffer.get(..body).unwrap_or_default();
            let begin = match text.iter().rposition(|&byte| byte == b'\n') {
                Some(at) => at + 1,
                None if self.from > self.lowest && text.len() < MAX_LINE => {
                    self.grow()?;
                    continue;
                }
                None => 0,
            };
            let line = text.get(begin..).unwrap_or_default().to_vec();
            self.buffer.truncate(begin);
            return Ok(Some((self.from + begin as u64, line)));
        }
    }

    /// Puts the block before what is in the buffer in front of it; false at the lowest position.
    fn grow(&mut self) -> io::Result<bool> {
        let count = (BLOCK as u64).min(self.from - self.lowest);
        if count == 0 {
            return Ok(false);
        }
        self.from -= count;
        let mut block = vec![0; usize::try_from(count).unwrap_or(BLOCK)];
        self.file.read_exact_at(&mut block, self.from)?;
        block.append(&mut self.buffer);
        self.buffer = block;
        Ok(true)
    }
}
