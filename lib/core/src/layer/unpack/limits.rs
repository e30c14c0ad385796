//! What an archive may cost.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::name::{MAX_DEPTH, MAX_PATH};
use crate::error::{Error, Result};

/// Bounds for one archive. Exceeding one is [`Invalid`](crate::ErrorKind::Invalid) and names it.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Entries, whiteouts among them.
    pub entries: u64,
    /// Bytes of content of all files together, holes included.
    pub bytes: u64,
    /// Bytes of one name.
    pub path_bytes: usize,
    /// Components of one name.
    pub depth: usize,
    /// Bytes of memory for what must be remembered to the end (mostly names of directories).
    pub memory: u64,
    /// Bounds the archive by what it was decompressed from.
    pub ratio: Option<Ratio>,
}

/// How much larger than its compressed form an archive may be.
#[derive(Clone, Debug)]
pub struct Ratio {
    /// Compressed bytes so far; whoever reads those counts them here.
    pub compressed: Arc<AtomicU64>,
    /// Archive bytes allowed for each of them.
    pub times: u64,
    /// Archive bytes that are always allowed.
    pub floor: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            entries: 4_000_000,
            bytes: 1 << 40,
            path_bytes: MAX_PATH,
            depth: MAX_DEPTH,
            memory: 64 << 20,
            ratio: None,
        }
    }
}

impl Limits {
    pub(super) fn check_entries(&self, entries: u64) -> Result<()> {
        exceeded(entries > self.entries, || format!("more than {} entries", self.entries))
    }

    pub(super) fn check_bytes(&self, bytes: u64) -> Result<()> {
        exceeded(bytes > self.bytes, || format!("more than {} bytes of files", self.bytes))
    }
}

fn exceeded(is: bool, what: impl FnOnce() -> String) -> Result<()> {
    if is {
        Err(Error::invalid(format!("the layer has {}, which is the limit", what())))
    } else {
        Ok(())
    }
}

/// A reader that fails when its bytes exceed what the ratio allows, or no archive within the other
/// limits could be that long.
#[derive(Debug)]
pub(super) struct Metered<R> {
    input: R,
    read: u64,
    most: u64,
    ratio: Option<Ratio>,
}

impl<R> Metered<R> {
    pub(super) fn new(input: R, limits: &Limits) -> Metered<R> {
        // Headers and padding of the most entries, then an end mark of usual length.
        let headers = limits.entries.saturating_mul(8 * 1024).saturating_add(1 << 20);
        let most = limits.bytes.saturating_add(headers);
        Metered { input, read: 0, most, ratio: limits.ratio.clone() }
    }

    fn check(&self) -> Result<()> {
        exceeded(self.read > self.most, || format!("more than {} bytes", self.most))?;
        let Some(ratio) = &self.ratio else { return Ok(()) };
        let compressed = ratio.compressed.load(Ordering::Relaxed);
        let allowed = compressed.saturating_mul(ratio.times).max(ratio.floor);
        exceeded(self.read > allowed, || {
            format!(
                "{} bytes from {compressed} compressed, more than {} times",
                self.read, ratio.times
            )
        })
    }
}

impl<R: BufRead> BufRead for Metered<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.check()?;
        self.input.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.read += count as u64;
        self.input.consume(count);
    }
}

impl<R: BufRead> Read for Metered<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(into.len());
        into[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}
