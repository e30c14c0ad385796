//! Comparing: whether a tree is what its archive makes of it.
//!
//! One pass over the archive beside the tree, which is only read. Looked at is what the archive
//! adds: that it is there, its type, mode, link target and content. Owners, times and attributes
//! are left out, since not everybody can set them; so are deletions, which an archive may name
//! more often than a tree needs them; and names that somebody added to the tree.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead};
use std::os::unix::fs::FileExt;

use super::name::{EntryPath, Meaning, join};
use super::tar::{Entry, EntryKind, TarReader};
use super::unpack::Limits;
use crate::error::{IoContext, Result};
use crate::sys::{FileKind, Meta, Root};

/// Most differences that are remembered.
const MAX_DIFFERENCES: usize = 1000;
const BUFFER: usize = 64 * 1024;

/// Compares the tree below `root` with the archive that it was unpacked from. Each difference is a
/// path and what is wrong there.
///
/// # Errors
/// What reading the archive said, or that it cannot be one that was unpacked. What the tree's file
/// system says is a difference.
pub fn differences(
    root: &Root,
    archive: impl BufRead,
    limits: &Limits,
) -> Result<BTreeMap<Vec<u8>, String>> {
    let mut pass = Pass {
        root,
        reader: TarReader::new(archive),
        found: BTreeMap::new(),
        buffer: vec![0; BUFFER],
    };
    while let Some(entry) = pass.reader.next_entry()? {
        let path = EntryPath::parse(&entry.path, limits.path_bytes, limits.depth)?;
        if path.meaning()? == Meaning::Add {
            pass.entry(&path, &entry).doing(|| "comparing a layer's files")?;
        }
    }
    Ok(pass.found)
}

struct Pass<'a, R> {
    root: &'a Root,
    reader: TarReader<R>,
    found: BTreeMap<Vec<u8>, String>,
    buffer: Vec<u8>,
}

impl<R: BufRead> Pass<'_, R> {
    /// The last entry of a name counts: what an earlier one made is not there any more.
    fn entry(&mut self, path: &EntryPath, entry: &Entry) -> Result<()> {
        let bytes = path.as_bytes();
        self.found.remove(bytes);
        if entry.kind != EntryKind::Directory {
            let below = join(bytes, b"");
            self.found.retain(|path, _| !path.starts_with(&below));
        }
        let why = self.difference(path, entry)?;
        if let Some(why) = why
            && self.found.len() < MAX_DIFFERENCES
        {
            self.found.insert(bytes.to_vec(), why);
        }
        Ok(())
    }

    fn difference(&mut self, path: &EntryPath, entry: &Entry) -> Result<Option<String>> {
        let Some((_, name)) = path.split() else { return Ok(None) };
        let parent = self.root.open_parent(path.as_bytes()).map(|(dir, _)| dir);
        let looked = parent.and_then(|dir| Ok((dir.lookup(name)?, dir)));
        let (meta, dir) = match looked {
            Ok((Some(meta), dir)) => (meta, dir),
            // Devices need rights that not everybody has.
            Ok((None, _)) if is_device(entry) => return Ok(None),
            Ok((None, _)) => return Ok(Some("it is missing".to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Some("it is missing".to_owned()));
            }
            Err(error) => return Ok(Some(format!("looking for it: {error}"))),
        };
        if let Some(why) = other_kind(entry, &meta) {
            return Ok(Some(why.to_owned()));
        }
        match &entry.kind {
            EntryKind::File => match dir.open_known_file(name, &meta) {
                Ok(file) => self.content(&file, entry.size),
                Err(error) => Ok(Some(format!("opening it: {error}"))),
            },
            EntryKind::Symlink(target) => Ok(match dir.read_link(name) {
                Ok(now) if now == *target => None,
                Ok(now) => Some(format!("it is a link to \"{}\"", now.escape_ascii())),
                Err(error) => Some(format!("reading the link: {error}")),
            }),
            _ => Ok(None),
        }
    }

    /// Compares the content that comes next in the archive with a file of the same size.
    fn content(&mut self, file: &File, size: u64) -> Result<Option<String>> {
        let mut position = 0;
        while let Some(chunk) = self.reader.data()? {
            let same =
                holds_zeros(file, position, chunk.offset, &mut self.buffer).and_then(|same| {
                    Ok(same && holds(file, chunk.offset, chunk.bytes, &mut self.buffer)?)
                });
            position = chunk.offset + chunk.bytes.len() as u64;
            if let Some(why) = told(same) {
                return Ok(Some(why));
            }
        }
        Ok(told(holds_zeros(file, position, size, &mut self.buffer)))
    }
}

fn told(same: io::Result<bool>) -> Option<String> {
    match same {
        Ok(true) => None,
        Ok(false) => Some("its content is another".to_owned()),
        Err(error) => Some(format!("reading it: {error}")),
    }
}

fn is_device(entry: &Entry) -> bool {
    matches!(entry.kind, EntryKind::Char(_) | EntryKind::Block(_))
}

/// What `meta` tells already.
fn other_kind(entry: &Entry, meta: &Meta) -> Option<&'static str> {
    let kind = match entry.kind {
        EntryKind::File => FileKind::File,
        EntryKind::Directory => FileKind::Directory,
        EntryKind::Symlink(_) => FileKind::Symlink,
        EntryKind::Fifo => FileKind::Fifo,
        EntryKind::Char(_) => FileKind::Char,
        EntryKind::Block(_) => FileKind::Block,
        // The entry of its first name tells what it is.
        EntryKind::HardLink(_) => return None,
    };
    if meta.kind != kind {
        return Some("it is of another type");
    }
    if kind == FileKind::File && meta.size != entry.size {
        return Some("its size is another");
    }
    (kind != FileKind::Symlink && meta.mode != entry.mode).then_some("its mode is another")
}

/// Whether `file` holds `wanted` at `offset`.
fn holds(file: &File, mut offset: u64, wanted: &[u8], buffer: &mut [u8]) -> io::Result<bool> {
    for piece in wanted.chunks(buffer.len()) {
        let now = &mut buffer[..piece.len()];
        file.read_exact_at(now, offset)?;
        if now != piece {
            return Ok(false);
        }
        offset += piece.len() as u64;
    }
    Ok(true)
}

/// Whether `file` holds nothing but zeros from `offset` to `end`.
fn holds_zeros(file: &File, mut offset: u64, end: u64, buffer: &mut [u8]) -> io::Result<bool> {
    while offset < end {
        let length = usize::try_from(end - offset).unwrap_or(usize::MAX).min(buffer.len());
        let now = &mut buffer[..length];
        file.read_exact_at(now, offset)?;
        if !super::tar::is_zero(now) {
            return Ok(false);
        }
        offset += length as u64;
    }
    Ok(true)
}
