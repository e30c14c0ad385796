//! The entries of a layer, packed: about 25 bytes and the path for each, in one stretch of memory.
//!
//! An image may have a million files. As [`FileEntry`] values they would take hundreds of megabytes;
//! here they are looked at in place and unpacked one at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::entry::{EntryKind, FileEntry};
use super::name::Name;
use crate::error::{Error, ErrorKind, Result};
use crate::spec::{Algorithm, Digest};

/// What all lists together may take, if nobody says: 64 MiB, some 900,000 entries.
const USUAL_ROOM: usize = 64 << 20;

/// How much memory lists of entries may still take, all that share this together.
#[derive(Clone, Debug)]
pub struct Room {
    left: Arc<AtomicUsize>,
    all: usize,
}

impl Room {
    /// So many bytes.
    pub fn new(bytes: usize) -> Room {
        Room { left: Arc::new(AtomicUsize::new(bytes)), all: bytes }
    }

    /// Takes some of it.
    ///
    /// # Errors
    /// `Failed` if there is not so much left.
    pub(super) fn take(&self, bytes: usize) -> Result<()> {
        let left = |left: usize| left.checked_sub(bytes);
        let taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left);
        taken.map(drop).map_err(|_| {
            let limit = self.all >> 20;
            let what = format!(
                "the list of files takes more than {limit} MiB: allow more with --list-memory"
            );
            Error::new(ErrorKind::Failed, what)
        })
    }

    /// Gives back what a list took that is not kept.
    pub(super) fn give_back(&self, bytes: usize) {
        self.left.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Default for Room {
    fn default() -> Room {
        Room::new(USUAL_ROOM)
    }
}

/// The entries of a layer in the order of its archive.
#[derive(Clone, Default)]
pub struct Entries {
    bytes: Vec<u8>,
    count: usize,
    /// Bytes of content of all files.
    file_bytes: u64,
}

/// Where the record of an entry begins.
pub(in crate::inspect) type At = u32;

/// An entry as far as stacking needs it.
#[derive(Clone, Copy, Debug)]
pub(in crate::inspect) struct Head<'a> {
    pub(in crate::inspect) at: At,
    pub(in crate::inspect) path: &'a [u8],
    pub(in crate::inspect) kind: EntryKind,
}

const KINDS: [EntryKind; 9] = [
    EntryKind::File,
    EntryKind::Directory,
    EntryKind::Symlink,
    EntryKind::Hardlink,
    EntryKind::Char,
    EntryKind::Block,
    EntryKind::Fifo,
    EntryKind::Whiteout,
    EntryKind::Opaque,
];

// What a record has beside what all have.
const NANOS: u8 = 1;
const LINK: u8 = 2;
const DEVICE: u8 = 4;
const XATTRS: u8 = 8;
const DIGEST: u8 = 16;

impl Entries {
    /// Adds an entry at the end.
    ///
    /// # Errors
    /// `Failed` if there is no room for it.
    pub(super) fn push(&mut self, entry: &FileEntry, room: &Room) -> Result<()> {
        let before = self.bytes.len();
        self.write(entry);
        let grown = self.bytes.len() - before;
        if u32::try_from(self.bytes.len()).is_err() {
            self.bytes.truncate(before);
            return Err(Error::new(ErrorKind::Failed, "the list of one layer takes 4 GiB"));
        }
        room.take(grown).inspect_err(|_| self.bytes.truncate(before))?;
        self.count += 1;
        if entry.kind == EntryKind::File {
            self.file_bytes = self.file_bytes.saturating_add(entry.size);
        }
        Ok(())
    }

    fn write(&mut self, entry: &FileEntry) {
        let out = &mut self.bytes;
        put_bytes(out, entry.path.as_bytes());
        out.push(KINDS.iter().position(|kind| *kind == entry.kind).unwrap_or_default() as u8);
        let flag = |is: bool, flag: u8| if is { flag } else { 0 };
        out.push(
            flag(entry.mtime_nanos != 0, NANOS)
                | flag(entry.link.is_some(), LINK)
                | flag(entry.device.is_some(), DEVICE)
                | flag(!entry.xattrs.is_empty(), XATTRS)
                | flag(entry.digest.as_ref().is_some_and(is_packable), DIGEST),
        );
        for number in [entry.mode, entry.uid, entry.gid] {
            put(out, u64::from(number));
        }
        put(out, entry.size);
        put(out, (entry.mtime << 1 ^ entry.mtime >> 63) as u64);
        put(out, entry.ordinal);
        if entry.mtime_nanos != 0 {
            put(out, u64::from(entry.mtime_nanos));
        }
        if let Some(link) = &entry.link {
            put_bytes(out, link.as_bytes());
        }
        if let Some((major, minor)) = entry.device {
            put(out, u64::from(major));
            put(out, u64::from(minor));
        }
        if !entry.xattrs.is_empty() {
            put(out, entry.xattrs.len() as u64);
            for (key, value) in &entry.xattrs {
                put_bytes(out, key.as_bytes());
                put_bytes(out, value.as_bytes());
            }
        }
        if let Some(digest) = entry.digest.as_ref().filter(|digest| is_packable(digest)) {
            out.extend(
                (0..64)
                    .step_by(2)
                    .filter_map(|at| u8::from_str_radix(digest.hex().get(at..at + 2)?, 16).ok()),
            );
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of content of all files together.
    pub(super) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// All of them, one at a time.
    pub fn iter(&self) -> impl Iterator<Item = FileEntry> + '_ {
        self.heads().map(|head| self.entry(head.at))
    }

    /// The same without what stacking does not need.
    pub(in crate::inspect) fn heads(&self) -> impl Iterator<Item = Head<'_>> {
        let mut reader = Record { bytes: &self.bytes, at: 0 };
        std::iter::from_fn(move || {
            let at = reader.at as At;
            let (path, kind) = reader.head()?;
            reader.skip_rest()?;
            Some(Head { at, path, kind })
        })
    }

    /// The path of the entry whose record is at `at`.
    pub(in crate::inspect) fn path(&self, at: At) -> &[u8] {
        self.record(at).head().map(|(path, _)| path).unwrap_or_default()
    }

    /// What kind of entry it is.
    pub(in crate::inspect) fn kind(&self, at: At) -> EntryKind {
        self.record(at).head().map_or(EntryKind::Directory, |(_, kind)| kind)
    }

    /// Its bytes of content.
    pub(in crate::inspect) fn size(&self, at: At) -> u64 {
        self.record(at).size().unwrap_or(0)
    }

    /// The whole entry.
    pub(super) fn entry(&self, at: At) -> FileEntry {
        self.record(at).entry().unwrap_or_else(FileEntry::implied)
    }

    fn record(&self, at: At) -> Record<'_> {
        Record { bytes: &self.bytes, at: at as usize }
    }

    /// The packed form.
    pub(super) fn packed(&self) -> &[u8] {
        &self.bytes
    }

    /// Takes a packed form in; `None` for what is none.
    pub(super) fn unpack(bytes: Vec<u8>) -> Option<Entries> {
        let mut all = Entries { bytes, count: 0, file_bytes: 0 };
        let mut reader = Record { bytes: &all.bytes, at: 0 };
        u32::try_from(all.bytes.len()).ok()?;
        let (mut count, mut file_bytes) = (0, 0_u64);
        while reader.at < all.bytes.len() {
            let entry = reader.entry()?;
            count += 1;
            if entry.kind == EntryKind::File {
                file_bytes = file_bytes.saturating_add(entry.size);
            }
        }
        (all.count, all.file_bytes) = (count, file_bytes);
        Some(all)
    }

    /// Memory that is not used is given back.
    pub(super) fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
    }
}

impl std::fmt::Debug for Entries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Contents are known by SHA-256, whatever layers are known by.
fn is_packable(digest: &Digest) -> bool {
    digest.algorithm() == Algorithm::Sha256
}

/// Numbers of seven bits a byte, the lowest first; the last byte has no high bit.
fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads records; `None` where there is none.
struct Record<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Record<'a> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn small(&mut self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }

    fn slice(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let slice = self.bytes.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(slice)
    }

    fn hash(&mut self) -> Option<&'a [u8]> {
        let hash = self.bytes.get(self.at..self.at.checked_add(32)?)?;
        self.at += 32;
        Some(hash)
    }

    fn name(&mut self) -> Option<Name> {
        self.slice().map(Name::from)
    }

    fn head(&mut self) -> Option<(&'a [u8], EntryKind)> {
        Some((self.slice()?, *KINDS.get(usize::from(self.byte()?))?))
    }

    fn size(&mut self) -> Option<u64> {
        self.head()?;
        self.byte()?;
        (0..3).try_for_each(|_| self.number().map(drop))?;
        self.number()
    }

    /// Past what follows the head.
    fn skip_rest(&mut self) -> Option<()> {
        let flags = self.byte()?;
        let numbers = 6 + usize::from(flags & NANOS != 0);
        (0..numbers).try_for_each(|_| self.number().map(drop))?;
        if flags & LINK != 0 {
            self.slice()?;
        }
        if flags & DEVICE != 0 {
            self.number()?;
            self.number()?;
        }
        if flags & XATTRS != 0 {
            let count = self.number()?.checked_mul(2)?;
            (0..count).try_for_each(|_| self.slice().map(drop))?;
        }
        if flags & DIGEST != 0 {
            self.hash()?;
        }
        Some(())
    }

    fn entry(&mut self) -> Option<FileEntry> {
        let (path, kind) = self.head()?;
        let flags = self.byte()?;
        let mut entry = FileEntry { path: Name::from(path), kind, ..FileEntry::implied() };
        (entry.mode, entry.uid, entry.gid) = (self.small()?, self.small()?, self.small()?);
        entry.size = self.number()?;
        let time = self.number()?;
        entry.mtime = (time >> 1) as i64 ^ -((time & 1) as i64);
        entry.ordinal = self.number()?;
        if flags & NANOS != 0 {
            entry.mtime_nanos = self.small()?;
        }
        if flags & LINK != 0 {
            entry.link = Some(self.name()?);
        }
        if flags & DEVICE != 0 {
            entry.device = Some((self.small()?, self.small()?));
        }
        if flags & XATTRS != 0 {
            for _ in 0..self.number()? {
                entry.xattrs.push((self.name()?, self.name()?));
            }
        }
        if flags & DIGEST != 0 {
            entry.digest = Some(Digest::from_hash(Algorithm::Sha256, self.hash()?));
        }
        Some(entry)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn rich() -> Vec<FileEntry> {
        let plain = FileEntry { path: Name::from(&b"a"[..]), ..FileEntry::implied() };
        vec![
            FileEntry { path: Name::default(), ..FileEntry::implied() },
            FileEntry {
                path: Name::from(&b"etc/\xff"[..]),
                kind: EntryKind::File,
                mode: 0o6755,
                uid: u32::MAX - 1,
                gid: 7,
                size: u64::MAX,
                mtime: i64::MIN,
                mtime_nanos: 999_999_999,
                digest: Some(Digest::sha256(b"x")),
                xattrs: vec![(Name::from(&b"user.a"[..]), Name::from(&b"\0"[..]))],
                ordinal: 3_999_999,
                ..plain.clone()
            },
            FileEntry {
                kind: EntryKind::Hardlink,
                link: Some(Name::from(&b"etc/x"[..])),
                mtime: -1,
                ..plain.clone()
            },
            FileEntry { kind: EntryKind::Char, device: Some((1, u32::MAX)), ..plain.clone() },
            FileEntry { kind: EntryKind::Whiteout, ..plain },
        ]
    }

    #[test]
    fn what_is_packed_comes_out_again() {
        let (room, mut entries) = (Room::default(), Entries::default());
        let all = rich();
        all.iter().for_each(|entry| entries.push(entry, &room).unwrap());
        assert_eq!(entries.iter().collect::<Vec<_>>(), all);
        assert_eq!((entries.len(), entries.file_bytes()), (5, u64::MAX));
        let heads: Vec<_> = entries.heads().map(|head| (head.path.to_vec(), head.kind)).collect();
        let expected: Vec<_> = all.iter().map(|entry| (entry.path.0.clone(), entry.kind)).collect();
        assert_eq!(heads, expected);
        let again = Entries::unpack(entries.packed().to_vec()).unwrap();
        assert_eq!(again.iter().collect::<Vec<_>>(), all);
        assert_eq!(again.file_bytes(), u64::MAX);
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        let (room, mut entries) = (Room::default(), Entries::default());
        rich().iter().for_each(|entry| entries.push(entry, &room).unwrap());
        let ends: Vec<usize> = entries.heads().map(|head| head.at as usize).collect();
        let packed = entries.packed();
        for cut in 1..packed.len() {
            let taken = Entries::unpack(packed[..cut].to_vec());
            assert_eq!(taken.is_some(), ends.contains(&cut), "{cut}");
        }
    }

    #[test]
    fn the_room_is_shared_and_ends() {
        let (room, mut entries) = (Room::new(100), Entries::default());
        let entry = FileEntry { path: Name(vec![b'x'; 60]), ..FileEntry::implied() };
        entries.push(&entry, &room).unwrap();
        let error = Entries::default().push(&entry, &room.clone()).unwrap_err();
        assert!(error.chain().contains("more than 0 MiB"), "{error:?}");
        assert_eq!(entries.len(), 1);
        room.give_back(100);
        entries.push(&entry, &room).unwrap();
    }
}
