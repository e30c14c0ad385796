//! Buffered input that decoders share: it can be looked into, and it counts what came in.

use std::io::{BufRead, Read, Result};

/// Large, because inflating from small pieces costs a tenth of the speed.
const BUFFER: usize = 256 << 10;

/// A source behind a buffer.
pub(super) struct Input<R> {
    inner: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    count: u64,
    failed: bool,
}

impl<R: Read> Input<R> {
    pub(super) fn new(inner: R) -> Input<R> {
        let buffer = vec![0; BUFFER].into_boxed_slice();
        Input { inner, buffer, start: 0, end: 0, count: 0, failed: false }
    }

    /// Bytes that came from the source so far.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Whether the source itself failed, and not whoever made sense of its bytes.
    pub(super) fn failed(&self) -> bool {
        self.failed
    }

    /// The next `count` bytes (fewer at the end), without taking them.
    pub(super) fn peek(&mut self, count: usize) -> Result<&[u8]> {
        debug_assert!(count <= BUFFER);
        if self.end - self.start < count {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            while self.end < count && self.refill()? {}
        }
        Ok(&self.buffer[self.start..self.end.min(self.start + count)])
    }

    /// Takes more behind what is there; `false` at the end.
    fn refill(&mut self) -> Result<bool> {
        loop {
            match self.inner.read(&mut self.buffer[self.end..]) {
                Ok(count) => {
                    self.end += count;
                    self.count += count as u64;
                    return Ok(count > 0);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.failed = true;
                    return Err(error);
                }
            }
        }
    }
}

impl<R: Read> BufRead for Input<R> {
    fn fill_buf(&mut self) -> Result<&[u8]> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            self.refill()?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, count: usize) {
        self.start = self.end.min(self.start + count);
    }
}

impl<R: Read> Read for Input<R> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(out.len());
        out[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}
