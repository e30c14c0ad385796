//! Gzip as layers have it: members in sequence, zero padding at the end, nothing else.
//!
//! Stricter than most readers: every member's checksum and length must be there and right, and
//! what follows the last one is zeros or an error. Members are read in a loop, however many.

use std::io::{BufRead, Read, Result};

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::input::Input;
use crate::error::{Error, ErrorKind};

const MAGIC: [u8; 2] = [0x1f, 0x8b];
const DEFLATE: u8 = 8;
const HEADER_CRC: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0xe0;
/// Longest name or comment of a member.
const MAX_TEXT: usize = 64 << 10;

/// The uncompressed bytes of all members (RFC 1952).
pub(super) struct Gunzip<R> {
    input: Input<R>,
    inflate: Decompress,
    crc: Crc,
    place: Place,
}

/// Where in the stream the reader is.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Start,
    Body,
    Between,
    End,
}

impl<R: Read> Gunzip<R> {
    pub(super) fn new(input: Input<R>) -> Gunzip<R> {
        Gunzip { input, inflate: Decompress::new(false), crc: Crc::new(), place: Place::Start }
    }

    pub(super) fn input(&self) -> &Input<R> {
        &self.input
    }

    /// Goes on to the next member or to the end.
    fn next_member(&mut self) -> Result<()> {
        let again = self.place == Place::Between;
        match self.input.peek(MAGIC.len())? {
            [] if again => self.place = Place::End,
            next if next == MAGIC => {
                self.header()?;
                self.inflate.reset(false);
                self.crc.reset();
                self.place = Place::Body;
            }
            [0, ..] if again => {
                self.padding()?;
                self.place = Place::End;
            }
            _ => return Err(corrupt("there is something else behind its end")),
        }
        Ok(())
    }

    fn header(&mut self) -> Result<()> {
        let mut crc = Crc::new();
        let fixed: [u8; 10] = self.take(&mut crc)?;
        let flags = fixed[3];
        if fixed[2] != DEFLATE || flags & RESERVED != 0 {
            return Err(corrupt("a header asks for what the format does not have"));
        }
        if flags & EXTRA != 0 {
            let length = u16::from_le_bytes(self.take(&mut crc)?);
            for _ in 0..length {
                self.take::<1>(&mut crc)?;
            }
        }
        for text in [NAME, COMMENT] {
            if flags & text != 0 {
                self.skip_text(&mut crc)?;
            }
        }
        if flags & HEADER_CRC != 0 {
            let right = crc.sum() & 0xffff;
            if u32::from(u16::from_le_bytes(self.take(&mut crc)?)) != right {
                return Err(corrupt("a header does not match its checksum"));
            }
        }
        Ok(())
    }

    fn skip_text(&mut self, crc: &mut Crc) -> Result<()> {
        for _ in 0..MAX_TEXT {
            if self.take::<1>(crc)? == [0] {
                return Ok(());
            }
        }
        Err(corrupt("a header holds a name without end"))
    }

    fn trailer(&mut self) -> Result<()> {
        let mut unused = Crc::new();
        let sum = u32::from_le_bytes(self.take(&mut unused)?);
        let length = u32::from_le_bytes(self.take(&mut unused)?);
        if sum != self.crc.sum() {
            return Err(corrupt("the content does not match its checksum"));
        }
        if length != self.crc.amount() {
            return Err(corrupt("the content does not have the length that is noted"));
        }
        Ok(())
    }

    /// The next bytes, which must be there.
    fn take<const N: usize>(&mut self, crc: &mut Crc) -> Result<[u8; N]> {
        let next = self.input.peek(N)?;
        let bytes: [u8; N] = next.try_into().map_err(|_| truncated())?;
        self.input.consume(N);
        crc.update(&bytes);
        Ok(bytes)
    }

    fn padding(&mut self) -> Result<()> {
        loop {
            let rest = self.input.fill_buf()?;
            if rest.is_empty() {
                return Ok(());
            }
            if rest.iter().any(|byte| *byte != 0) {
                return Err(corrupt("there is something else behind its end"));
            }
            let count = rest.len();
            self.input.consume(count);
        }
    }

    /// Inflates some of the body; 0 bytes only while there is more to come.
    fn body(&mut self, out: &mut [u8]) -> Result<usize> {
        let available = self.input.fill_buf()?;
        let (total_in, total_out) = (self.inflate.total_in(), self.inflate.total_out());
        let status =
            self.inflate.decompress(available, out, FlushDecompress::None).map_err(|error| {
                Error::caused(ErrorKind::Corrupt, "the gzip stream is damaged", error)
            })?;
        // Both differences are at most the length of a buffer.
        let taken = (self.inflate.total_in() - total_in) as usize;
        let made = (self.inflate.total_out() - total_out) as usize;
        if status != Status::StreamEnd && taken == 0 && made == 0 {
            return Err(truncated());
        }
        self.input.consume(taken);
        self.crc.update(&out[..made]);
        if status == Status::StreamEnd {
            self.trailer()?;
            self.place = Place::Between;
        }
        Ok(made)
    }
}

impl<R: Read> Read for Gunzip<R> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            match self.place {
                Place::Start | Place::Between => self.next_member()?,
                Place::End => return Ok(0),
                Place::Body => match self.body(out)? {
                    0 => {}
                    count => return Ok(count),
                },
            }
        }
    }
}

fn corrupt(what: &str) -> std::io::Error {
    Error::corrupt(format!("the gzip stream is damaged: {what}")).into()
}

fn truncated() -> std::io::Error {
    corrupt("it ends too early")
}
