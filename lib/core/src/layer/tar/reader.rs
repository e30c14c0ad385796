//! The strict reader.

use std::io::BufRead;
use std::mem;

use tar::{GnuExtSparseHeader, GnuHeader, Header};

use super::header::{self, Fields, number, out_of_range};
use super::pax::{self, Extension, decimal};
use super::sparse::{self, Segment, SparseMap};
use super::{BLOCK, Entry, EntryKind, MAX_EXTENSION};
use crate::error::{Error, IoContext, Result};

/// PAX records that an archive may have in any case, and for each of its entries. A layer of a
/// hundred kilobytes can hold billions of them.
const RECORDS: (u64, u64) = (1 << 20, 16);

/// Reads the entries of an archive in order, from a stream that is never sought.
///
/// [`next_entry`](TarReader::next_entry) after the last entry reads the stream to its very end, so
/// that a hash or a checksum below sees every byte. What follows the end mark is no part of the
/// archive, as for Go's reader.
#[derive(Debug)]
pub struct TarReader<R> {
    input: R,
    position: u64,
    /// Bytes handed out by `data` that are still in the input's buffer.
    lent: usize,
    /// Content of the current entry that was not read yet.
    segments: std::vec::IntoIter<Segment>,
    current: Segment,
    /// Stored bytes of the current body and its padding that were not read yet.
    body: u64,
    padding: u64,
    ended: bool,
    entries: u64,
    /// PAX records so far.
    records: u64,
}

/// Some content of a file. What lies between chunks, or after the last, is a hole.
#[derive(Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Where in the file it begins.
    pub offset: u64,
    /// The bytes, never empty.
    pub bytes: &'a [u8],
}

/// Extension headers that wait for their entry.
#[derive(Default)]
struct Pending {
    pax: Option<Extension>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl<R: BufRead> TarReader<R> {
    /// Reads from the start of an archive.
    pub fn new(input: R) -> TarReader<R> {
        TarReader {
            input,
            position: 0,
            lent: 0,
            segments: Vec::new().into_iter(),
            current: Segment { offset: 0, length: 0 },
            body: 0,
            padding: 0,
            ended: false,
            entries: 0,
            records: 0,
        }
    }

    /// Bytes of the archive read so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Stored bytes of the current entry's content that were not read yet: less than its size when
    /// it has holes.
    pub fn stored(&self) -> u64 {
        self.body
    }

    /// The next entry; skips what is left of the one before. `None` at the end of the stream.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) for what breaks the format or is read differently by
    /// different programs, [`Corrupt`](crate::ErrorKind::Corrupt) for an archive that ends early.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        let mut pending = Pending::default();
        while !self.ended {
            self.skip_body()?;
            let start = self.position;
            let reading = || format!("reading tar header at byte {start}");
            let Some(block) = self.header_block().doing(reading)? else {
                if !pending.is_empty() {
                    return Err(Error::invalid("extension header without an entry")).doing(reading);
                }
                self.drain()?;
                break;
            };
            let fields = header::parse(&block).doing(reading)?;
            let entry = self.take_header(fields, &block, &mut pending).doing(reading)?;
            if entry.is_some() {
                return Ok(entry);
            }
        }
        Ok(None)
    }

    /// More content of the current entry; `None` when there is no more.
    pub fn data(&mut self) -> Result<Option<Chunk<'_>>> {
        self.settle_loan();
        while self.current.length == 0 {
            match self.segments.next() {
                Some(segment) => self.current = segment,
                None => return Ok(None),
            }
        }
        let position = self.position;
        let bytes = filled(&mut self.input, position)?;
        let most = usize::try_from(self.current.length).unwrap_or(usize::MAX);
        let bytes = &bytes[..bytes.len().min(most)];
        let offset = self.current.offset;
        self.lent = bytes.len();
        self.current.offset += bytes.len() as u64;
        self.current.length -= bytes.len() as u64;
        self.body -= bytes.len() as u64;
        Ok(Some(Chunk { offset, bytes }))
    }

    /// Gives the input back, all of what was handed out taken from it.
    pub fn into_inner(mut self) -> R {
        self.settle_loan();
        self.input
    }

    fn take_header(
        &mut self,
        fields: Fields,
        block: &[u8; BLOCK],
        pending: &mut Pending,
    ) -> Result<Option<Entry>> {
        match fields.typeflag {
            b'x' => {
                let extension = Extension::parse(&self.extension_body(fields.size)?)?;
                self.count_records(extension.records)?;
                put_once(&mut pending.pax, extension)?;
            }
            b'g' => {
                let records = pax::check_global(&self.extension_body(fields.size)?)?;
                self.count_records(records)?;
                // Go's reader would forget the headers before it.
                if !pending.is_empty() {
                    return Err(Error::invalid("global PAX header between an entry's headers"));
                }
            }
            b'L' => {
                let body = self.extension_body(fields.size)?;
                put_once(&mut pending.long_name, gnu_name(body)?)?;
            }
            b'K' => {
                let body = self.extension_body(fields.size)?;
                put_once(&mut pending.long_link, gnu_name(body)?)?;
            }
            _ => return self.entry(fields, block, mem::take(pending)).map(Some),
        }
        Ok(None)
    }

    fn count_records(&mut self, count: usize) -> Result<()> {
        self.records += count as u64;
        let (always, each) = RECORDS;
        if self.records > always + each * self.entries {
            let what = "more PAX records than a million and sixteen for each entry";
            return Err(Error::invalid(what));
        }
        Ok(())
    }

    fn entry(&mut self, fields: Fields, block: &[u8; BLOCK], pending: Pending) -> Result<Entry> {
        self.entries += 1;
        let had_pax = pending.pax.is_some();
        let pax = pending.pax.unwrap_or_default();
        let mut path = merged(fields.name, pax.path, pending.long_name, "name")?;
        let link = merged(fields.link, pax.link, pending.long_link, "link target")?;
        let stored = pax.size.unwrap_or(fields.size);
        let kind = kind(fields.typeflag, &path, link, block)?;
        if kind != EntryKind::File && stored != 0 {
            return Err(Error::invalid(format!("entry without content has a size of {stored}")));
        }
        self.begin_body(stored)?;
        let sparse = match (&pax.sparse, fields.typeflag) {
            (records, b'S') if records.is_empty() && fields.is_gnu => {
                Some(self.old_sparse_map(block, had_pax && pax.size.is_some())?)
            }
            (_, b'S') => return Err(Error::invalid("sparse file described twice")),
            (records, _) if records.is_empty() => None,
            (records, _) if kind == EntryKind::File => {
                path = records.name.clone().unwrap_or(path);
                Some(self.pax_sparse_map(records.judge()?)?)
            }
            _ => return Err(Error::invalid("sparse map for an entry without content")),
        };
        let (size, map) = match sparse {
            Some(known) => known,
            None => (stored, vec![Segment { offset: 0, length: stored }]),
        };
        sparse::check(&map, size, self.body)?;
        self.segments = map.into_iter();
        Ok(Entry {
            path,
            kind,
            mode: fields.mode,
            uid: id(pax.uid.unwrap_or(fields.uid), "uid")?,
            gid: id(pax.gid.unwrap_or(fields.gid), "gid")?,
            mtime: pax.mtime.unwrap_or(fields.mtime),
            size,
            xattrs: pax.xattrs.into_iter().collect(),
            unread: pax.unread,
        })
    }

    /// The map of an old GNU sparse entry: four segments in the header, more in blocks after it.
    fn old_sparse_map(
        &mut self,
        block: &[u8; BLOCK],
        resized: bool,
    ) -> Result<(u64, Vec<Segment>)> {
        let gnu: &GnuHeader = Header::from_byte_slice(block)
            .as_gnu()
            .filter(|_| !resized)
            .ok_or_else(|| Error::invalid("sparse file outside the GNU format"))?;
        let size = number(&gnu.realsize, "real size")?;
        let size = u64::try_from(size).map_err(|_| out_of_range("real size", size))?;
        let mut map = Vec::new();
        let mut more = gnu.isextended[0] != 0;
        let mut full = push_segments(&mut map, &gnu.sparse)?;
        let mut blocks = 0;
        while more {
            blocks += 1;
            if !full || blocks * BLOCK as u64 > MAX_EXTENSION {
                return Err(Error::invalid("sparse map with a gap or of more than 1 MiB"));
            }
            let mut extended = GnuExtSparseHeader::new();
            self.read_exact(extended.as_mut_bytes())?;
            more = extended.isextended[0] != 0;
            full = push_segments(&mut map, extended.sparse())?;
        }
        Ok((size, map))
    }

    fn pax_sparse_map(&mut self, (size, map): (u64, SparseMap)) -> Result<(u64, Vec<Segment>)> {
        match map {
            SparseMap::Known(map) => Ok((size, map)),
            SparseMap::InBody => Ok((size, self.body_sparse_map()?)),
        }
    }

    /// Version 1.0: decimal numbers, one a line, in whole blocks at the start of the body.
    fn body_sparse_map(&mut self) -> Result<Vec<Segment>> {
        let mut numbers = Vec::new();
        let mut line: Vec<u8> = Vec::new();
        let mut expected = None;
        let mut read = 0;
        while expected.is_none_or(|count| (numbers.len() as u64) < count) {
            read += BLOCK as u64;
            if self.body < BLOCK as u64 || read > MAX_EXTENSION {
                return Err(Error::invalid("sparse map is cut off or larger than 1 MiB"));
            }
            let mut block = [0; BLOCK];
            self.read_exact(&mut block)?;
            self.body -= BLOCK as u64;
            for &byte in &block {
                if expected == Some(numbers.len() as u64) {
                    break;
                }
                if byte != b'\n' {
                    line.push(byte);
                    continue;
                }
                let value = decimal(&mem::take(&mut line))?;
                match expected {
                    None => expected = Some(value.saturating_mul(2)),
                    Some(_) => numbers.push(value),
                }
            }
        }
        sparse::segments(&numbers)
    }

    fn begin_body(&mut self, stored: u64) -> Result<()> {
        self.body = stored;
        self.padding = padding(stored);
        self.current = Segment { offset: 0, length: 0 };
        self.segments = Vec::new().into_iter();
        // No archive is that long, and other readers count in signed numbers.
        let end = self.position.checked_add(stored).and_then(|end| end.checked_add(self.padding));
        match end.map(i64::try_from) {
            Some(Ok(_)) => Ok(()),
            _ => Err(Error::invalid(format!("size {stored} is out of range"))),
        }
    }

    fn skip_body(&mut self) -> Result<()> {
        self.settle_loan();
        let mut left = mem::take(&mut self.body);
        while left > 0 {
            let position = self.position;
            let length = filled(&mut self.input, position)?.len();
            let step = usize::try_from(left).unwrap_or(usize::MAX).min(length);
            self.consume(step);
            left -= step as u64;
        }
        self.skip_padding()
    }

    /// Goes on to the next block. Some writers leave the padding of the last member out.
    fn skip_padding(&mut self) -> Result<()> {
        let mut left = usize::try_from(mem::take(&mut self.padding)).unwrap_or_default();
        while left > 0 {
            let step = self.peek()?.len().min(left);
            if step == 0 {
                break;
            }
            self.consume(step);
            left -= step;
        }
        Ok(())
    }

    fn extension_body(&mut self, size: u64) -> Result<Vec<u8>> {
        if size > MAX_EXTENSION {
            return Err(Error::invalid(format!("extension header of {size} bytes (limit 1 MiB)")));
        }
        let mut body = vec![0; usize::try_from(size).unwrap_or_default()];
        self.read_exact(&mut body)?;
        self.body = 0;
        self.padding = padding(size);
        Ok(body)
    }

    /// The next header; `None` at the end mark or where the stream ends between entries.
    fn header_block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        if self.peek()?.is_empty() {
            return Ok(None);
        }
        self.read_exact(&mut block)?;
        if block.iter().any(|&b| b != 0) {
            return Ok(Some(block));
        }
        // One zero block is no end mark unless a second or the end of the stream follows.
        if !self.peek()?.is_empty() {
            self.read_exact(&mut block)?;
            if block.iter().any(|&b| b != 0) {
                return Err(Error::invalid("a single block of zeros between entries"));
            }
        }
        Ok(None)
    }

    /// Reads to the end of the stream.
    fn drain(&mut self) -> Result<()> {
        self.ended = true;
        loop {
            let bytes = self.peek()?;
            if bytes.is_empty() {
                return Ok(());
            }
            let length = bytes.len();
            self.consume(length);
        }
    }

    fn read_exact(&mut self, into: &mut [u8]) -> Result<()> {
        let mut done = 0;
        while done < into.len() {
            let position = self.position;
            let bytes = filled(&mut self.input, position)?;
            let step = bytes.len().min(into.len() - done);
            into[done..done + step].copy_from_slice(&bytes[..step]);
            self.consume(step);
            done += step;
        }
        Ok(())
    }

    fn peek(&mut self) -> Result<&[u8]> {
        peek(&mut self.input, self.position)
    }

    fn settle_loan(&mut self) {
        let lent = mem::take(&mut self.lent);
        self.consume(lent);
    }

    fn consume(&mut self, count: usize) {
        self.input.consume(count);
        self.position += count as u64;
    }
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.pax.is_none() && self.long_name.is_none() && self.long_link.is_none()
    }
}

/// What the input has ready; empty at its end.
fn peek<R: BufRead>(input: &mut R, position: u64) -> Result<&[u8]> {
    while let Err(error) = input.fill_buf() {
        if error.kind() != std::io::ErrorKind::Interrupted {
            return Err(Error::io(format!("reading the archive at byte {position}"), error));
        }
    }
    input.fill_buf().doing(|| "reading the archive")
}

fn filled<R: BufRead>(input: &mut R, position: u64) -> Result<&[u8]> {
    let bytes = peek(input, position)?;
    if bytes.is_empty() {
        return Err(Error::corrupt(format!("the archive ends early, at byte {position}")));
    }
    Ok(bytes)
}

/// Whether all bytes are zero.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<16>();
    words.iter().all(|word| u128::from_ne_bytes(*word) == 0) && rest.iter().all(|&b| b == 0)
}

fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

fn put_once<T>(place: &mut Option<T>, value: T) -> Result<()> {
    if place.is_some() {
        return Err(Error::invalid("two extension headers of one type for one entry"));
    }
    *place = Some(value);
    Ok(())
}

fn merged(
    plain: Vec<u8>,
    pax: Option<Vec<u8>>,
    gnu: Option<Vec<u8>>,
    what: &str,
) -> Result<Vec<u8>> {
    match (pax, gnu) {
        (Some(_), Some(_)) => Err(Error::invalid(format!("both a PAX and a GNU {what}"))),
        (Some(long), None) | (None, Some(long)) => Ok(long),
        (None, None) => Ok(plain),
    }
}

/// The body of a GNU long name: text, then nothing but NULs.
fn gnu_name(mut body: Vec<u8>) -> Result<Vec<u8>> {
    let end = body.iter().position(|&b| b == 0).unwrap_or(body.len());
    if !is_zero(&body[end..]) {
        return Err(Error::invalid("bytes after the end of a GNU long name"));
    }
    if end == 0 {
        return Err(Error::invalid("empty GNU long name"));
    }
    body.truncate(end);
    Ok(body)
}

fn kind(typeflag: u8, path: &[u8], link: Vec<u8>, block: &[u8; BLOCK]) -> Result<EntryKind> {
    Ok(match typeflag {
        // The oldest archives have no type for directories.
        0 if path.ends_with(b"/") => EntryKind::Directory,
        0 | b'0' | b'S' => EntryKind::File,
        b'1' => EntryKind::HardLink(link),
        b'2' => EntryKind::Symlink(link),
        b'3' => EntryKind::Char(header::device(block)?),
        b'4' => EntryKind::Block(header::device(block)?),
        b'5' => EntryKind::Directory,
        b'6' => EntryKind::Fifo,
        other => {
            let shown = [other].escape_ascii().to_string();
            return Err(Error::unsupported(format!("unknown entry type {shown:?}")));
        }
    })
}

fn id(value: i64, what: &str) -> Result<u32> {
    u32::try_from(value).ok().filter(|id| *id != u32::MAX).ok_or_else(|| out_of_range(what, value))
}

/// Appends segments up to the first empty slot; tells whether there was none.
fn push_segments(map: &mut Vec<Segment>, slots: &[tar::GnuSparseHeader]) -> Result<bool> {
    for slot in slots {
        if slot.offset[0] == 0 {
            return Ok(false);
        }
        let (offset, length) = (number(&slot.offset, "offset")?, number(&slot.numbytes, "length")?);
        map.push(Segment {
            offset: u64::try_from(offset).map_err(|_| out_of_range("offset", offset))?,
            length: u64::try_from(length).map_err(|_| out_of_range("length", length))?,
        });
    }
    Ok(true)
}
