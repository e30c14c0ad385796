//! One pass over a layer's archive: entries with their meaning, and their content for who wants it.

use std::io::{BufRead, BufReader, Read, Write};

use super::entry::{EntryKind, FileEntry};
use super::name::{Name, entry_path};
use crate::blob::{BlobReader, CHUNK, Decoder, Format};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::layer::tar::{self, Chunk, TarReader};
use crate::layer::{Meaning, join_path};
use crate::spec::Hasher;

/// Most entries of one layer.
pub(super) const MAX_ENTRIES: u64 = 4_000_000;

/// The content of the entry that a walk has come to.
pub(super) trait Content {
    /// The next piece; what lies between pieces is a hole.
    fn next_chunk(&mut self) -> Result<Option<Chunk<'_>>>;
}

impl<R: BufRead> Content for TarReader<R> {
    fn next_chunk(&mut self) -> Result<Option<Chunk<'_>>> {
        self.data()
    }
}

/// An entry that the walk has come to.
pub(in crate::inspect) struct Member<'a> {
    /// What it is.
    pub(in crate::inspect) entry: &'a FileEntry,
    pub(super) reader: &'a mut dyn Content,
}

impl Member<'_> {
    /// Hands the content out in order; holes come as zeros.
    pub(in crate::inspect) fn each_chunk(
        &mut self,
        mut take: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        const ZEROS: [u8; 4096] = [0; 4096];
        let fill = |from: u64, to: u64, take: &mut dyn FnMut(&[u8]) -> Result<()>| {
            let mut left = to.saturating_sub(from);
            while left > 0 {
                let step = left.min(ZEROS.len() as u64) as usize;
                take(&ZEROS[..step])?;
                left -= step as u64;
            }
            Ok::<(), Error>(())
        };
        let mut position = 0;
        while let Some(chunk) = self.reader.next_chunk()? {
            fill(position, chunk.offset, &mut take)?;
            take(chunk.bytes)?;
            position = chunk.offset + chunk.bytes.len() as u64;
        }
        fill(position, self.entry.size, &mut take)
    }

    /// Writes the content.
    pub(in crate::inspect) fn write_to(&mut self, out: &mut dyn Write) -> Result<()> {
        let name = self.entry.path.clone();
        self.each_chunk(|bytes| out.write_all(bytes).doing(|| format!("writing {name}")))
    }
}

impl<'a> Member<'a> {
    /// The content as a reader; holes come as zeros.
    pub(in crate::inspect) fn into_reader(self) -> MemberReader<'a> {
        MemberReader { member: self, buffer: Vec::new(), start: 0, position: 0, hole: 0 }
    }
}

/// Reads the content of an entry.
pub(in crate::inspect) struct MemberReader<'a> {
    member: Member<'a>,
    buffer: Vec<u8>,
    /// What of the buffer was handed out.
    start: usize,
    /// Bytes of the file up to the end of the buffer.
    position: u64,
    /// Zeros that come before the buffer.
    hole: u64,
}

impl Read for MemberReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if self.hole == 0 && self.start == self.buffer.len() {
            let end = match self.member.reader.next_chunk()? {
                Some(chunk) => {
                    self.buffer.clear();
                    self.buffer.extend_from_slice(chunk.bytes);
                    self.start = 0;
                    self.hole = chunk.offset.saturating_sub(self.position);
                    chunk.offset + chunk.bytes.len() as u64
                }
                None => {
                    self.hole = self.member.entry.size.saturating_sub(self.position);
                    self.member.entry.size
                }
            };
            self.position = end;
        }
        if self.hole > 0 {
            let count = usize::try_from(self.hole).unwrap_or(usize::MAX).min(out.len());
            out[..count].fill(0);
            self.hole -= count as u64;
            return Ok(count);
        }
        let count = (self.buffer.len() - self.start).min(out.len());
        out[..count].copy_from_slice(&self.buffer[self.start..self.start + count]);
        self.start += count;
        Ok(count)
    }
}

/// What a whole pass found out.
#[derive(Clone, Copy, Debug)]
pub(in crate::inspect) struct Totals {
    /// How the blob is compressed.
    pub(in crate::inspect) format: Format,
    /// Bytes of the archive.
    pub(in crate::inspect) tar_bytes: u64,
}

/// What the walk meets.
pub(in crate::inspect) enum Step<'a> {
    /// An entry with its meaning.
    Member(Member<'a>),
    /// An entry that cannot be part of an image: its name as it stands, and why.
    Odd(Vec<u8>, Error),
}

/// Goes once over the whole layer; `visit` sees every entry. The blob is read to its verified end.
///
/// # Errors
/// `Corrupt` and `Invalid` for a layer that is damaged or no archive; what `visit` says.
pub(in crate::inspect) fn walk(
    mut blob: BlobReader,
    visit: impl FnMut(Step<'_>) -> Result<()>,
) -> Result<Totals> {
    let result = archive(&mut blob, None, visit);
    settle(&mut blob, result)
}

/// The same, hashing the archive on the way.
pub(in crate::inspect) fn walk_hashed(
    mut blob: BlobReader,
    hasher: &mut Hasher,
    visit: impl FnMut(Step<'_>) -> Result<()>,
) -> Result<Totals> {
    let result = archive(&mut blob, Some(hasher), visit);
    settle(&mut blob, result)
}

fn settle(blob: &mut BlobReader, result: Result<Totals>) -> Result<Totals> {
    // What is no archive may not even be the blob that it should be: that is the better answer.
    if result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Invalid) {
        std::io::copy(blob, &mut std::io::sink()).doing(|| "reading the layer to its end")?;
    }
    result
}

fn archive(
    blob: &mut BlobReader,
    hasher: Option<&mut Hasher>,
    mut visit: impl FnMut(Step<'_>) -> Result<()>,
) -> Result<Totals> {
    let decoder = Decoder::new(blob).doing(|| "opening the layer")?;
    let format = decoder.format();
    let tap = Tap { input: decoder, hasher };
    let mut reader = TarReader::new(BufReader::with_capacity(CHUNK, tap));
    let mut ordinal = 0;
    while let Some(raw) = reader.next_entry()? {
        if ordinal >= MAX_ENTRIES {
            return Err(Error::invalid(format!(
                "the layer has more than {MAX_ENTRIES} entries, which is the limit"
            )));
        }
        let name = raw.path.clone();
        match meaning(raw, ordinal) {
            Ok(Some(entry)) => {
                visit(Step::Member(Member { entry: &entry, reader: &mut reader }))?;
            }
            Ok(None) => {}
            Err(error) => visit(Step::Odd(name, error))?,
        }
        ordinal += 1;
    }
    Ok(Totals { format, tar_bytes: reader.position() })
}

/// Hashes what is read.
struct Tap<'h, R> {
    input: R,
    hasher: Option<&'h mut Hasher>,
}

impl<R: Read> Read for Tap<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let count = self.input.read(out)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&out[..count]);
        }
        Ok(count)
    }
}

/// What an entry is; `None` for bookkeeping of AUFS.
pub(super) fn meaning(raw: tar::Entry, ordinal: u64) -> Result<Option<FileEntry>> {
    let path = entry_path(&raw.path)?;
    let deletes = match path.meaning()? {
        Meaning::Leftover => return Ok(None),
        Meaning::Add => None,
        Meaning::Opaque { dir } => Some((EntryKind::Opaque, dir.to_vec())),
        Meaning::Whiteout { dir, name } => Some((EntryKind::Whiteout, join_path(dir, name))),
    };
    let mut path = Name(path.into_bytes());
    let (mut kind, mut link, mut device) = (EntryKind::File, None, None);
    match raw.kind {
        tar::EntryKind::File => {}
        tar::EntryKind::Directory => kind = EntryKind::Directory,
        tar::EntryKind::Symlink(target) => (kind, link) = (EntryKind::Symlink, Some(Name(target))),
        tar::EntryKind::HardLink(target) => {
            (kind, link) = (EntryKind::Hardlink, Some(Name::path(&target)?));
        }
        tar::EntryKind::Char(d) => (kind, device) = (EntryKind::Char, Some((d.major, d.minor))),
        tar::EntryKind::Block(d) => (kind, device) = (EntryKind::Block, Some((d.major, d.minor))),
        tar::EntryKind::Fifo => kind = EntryKind::Fifo,
    }
    if let Some((deletion, hidden)) = deletes {
        (kind, path) = (deletion, Name(hidden));
    } else if path.0.is_empty() && kind != EntryKind::Directory {
        return Err(Error::invalid("the root of a layer can only be a directory"));
    }
    let xattrs = raw.xattrs.into_iter().map(|(key, value)| (Name(key), Name(value))).collect();
    Ok(Some(FileEntry {
        path,
        kind,
        mode: raw.mode,
        uid: raw.uid,
        gid: raw.gid,
        size: raw.size,
        mtime: raw.mtime.secs,
        mtime_nanos: raw.mtime.nanos,
        link,
        device,
        xattrs,
        digest: None,
        ordinal,
    }))
}
