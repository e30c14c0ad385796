//! A table of contents as the index of its layer, and against the archive beside it.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

use super::super::entries::{At, Room};
use super::super::entry::{EntryKind, FileEntry};
use super::super::layer::{LayerIndex, Origin};
use super::super::walk::{MAX_ENTRIES, Member, meaning};
use super::item::{Item, items};
use super::{Form, MAX_PLAIN, STARGZ_NAME, Table};
use crate::blob::Decoder;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::layer::tar::TarReader;
use crate::spec::{Algorithm, Digest, Hasher};

/// Largest window of a table's zstd stream: 16 MiB.
const WINDOW_LOG: u32 = 24;

/// Hands out the items of a table with the ordinal of the entry that each belongs to. They are to
/// be believed when this returns: then the digest was right.
pub(super) fn scan(
    table: &Table,
    mut file: &File,
    take: &mut dyn FnMut(u64, Item) -> Result<()>,
) -> Result<Scanned> {
    file.seek(SeekFrom::Start(0)).doing(|| "reading it back")?;
    let mut count = 0_u64;
    let mut counted = |item: Item| {
        if !item.is_piece() {
            count += 1;
        }
        if count > MAX_ENTRIES {
            return Err(Error::invalid(format!("more than {MAX_ENTRIES} entries")));
        }
        let ordinal = count.checked_sub(1);
        take(ordinal.ok_or_else(|| Error::invalid("it begins with a piece of a file"))?, item)
    };
    let (listed, digest, own) = match table.form {
        Form::Chunked(_) => {
            let mut raw = Hashing::new(BufReader::new(file), table.digest.algorithm());
            let listed = zstd_items(&mut raw, &mut counted);
            (listed, raw.finish()?, None)
        }
        Form::Stargz => {
            let mut archive = TarReader::new(BufReader::new(
                Decoder::new(BufReader::new(file)).doing(|| "unpacking it")?,
            ));
            let raw = archive.next_entry()?.filter(|entry| entry.path == STARGZ_NAME);
            let raw = raw.filter(|entry| entry.size <= MAX_PLAIN);
            let entry = raw.map(|raw| meaning(raw, 0)).transpose()?.flatten();
            let entry =
                entry.ok_or_else(|| Error::invalid("there is no stargz.index.json in it"))?;
            let start = archive.position();
            let content = Member { entry: &entry, reader: &mut archive }.into_reader();
            let mut raw = Hashing::new(content, table.digest.algorithm());
            let listed = items(BufReader::with_capacity(64 << 10, &mut raw), &mut counted);
            let digest = raw.finish()?;
            (listed, digest, Some((entry, start)))
        }
    };
    if digest != table.digest {
        let what = format!("its digest is {digest}, the manifest says {}", table.digest);
        return Err(Error::corrupt(what));
    }
    listed?;
    Ok(Scanned { count, own })
}

/// What a whole table comes to.
pub(super) struct Scanned {
    /// Entries that it lists.
    pub(super) count: u64,
    /// Its own entry in the archive, which it does not list, and where its content begins in what
    /// is decompressed at its place.
    pub(super) own: Option<(FileEntry, u64)>,
}

fn zstd_items(raw: impl Read, take: &mut dyn FnMut(Item) -> Result<()>) -> Result<()> {
    let doing = || "unpacking it";
    let mut decoder = zstd::stream::read::Decoder::new(raw).doing(doing)?;
    decoder.window_log_max(WINDOW_LOG).doing(doing)?;
    items(BufReader::with_capacity(64 << 10, decoder.take(MAX_PLAIN)), take)
}

/// Hashes what is read.
struct Hashing<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> Hashing<R> {
    fn new(inner: R, algorithm: Algorithm) -> Hashing<R> {
        Hashing { inner, hasher: Hasher::new(algorithm) }
    }

    /// The digest of all there is.
    fn finish(mut self) -> Result<Digest> {
        std::io::copy(&mut self, &mut std::io::sink()).doing(|| "reading it to its end")?;
        Ok(self.hasher.finish())
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

/// Fills an index with what the table lists.
///
/// # Errors
/// `Corrupt` for another digest than the manifest names, `Invalid` for what is no table,
/// `Unsupported` for one that tells too little.
pub(in crate::inspect::files) fn index(
    table: &Table,
    file: &File,
    index: &mut LayerIndex,
    room: &Room,
) -> Result<()> {
    index.compression = table.compression().to_owned();
    index.origin = Origin::Table(table.digest.clone());
    let scanned = scan(table, file, &mut |ordinal, item| {
        if item.is_piece() {
            return Ok(());
        }
        let digest = item.file_digest()?;
        if item.is_file() && item.size > 0 && digest.is_none() {
            return Err(Error::unsupported("a file without a digest"));
        }
        let mut entry = match meaning(item.entry()?, ordinal) {
            Ok(Some(entry)) => entry,
            Ok(None) => return Ok(()),
            Err(error) => {
                index.note(item.name.into_bytes(), &error);
                return Ok(());
            }
        };
        if index.digests && entry.kind == EntryKind::File {
            entry.digest = if entry.size == 0 { Some(Digest::sha256(b"")) } else { digest };
        }
        index.entries.push(&entry, room)
    })?;
    if let Some((own, _)) = scanned.own {
        let digest = index.digests.then(|| table.digest.clone());
        index.entries.push(&FileEntry { ordinal: scanned.count, digest, ..own }, room)?;
    }
    Ok(())
}

/// Compares a table with the archive, entry by entry.
pub(in crate::inspect) struct Comparison {
    told: LayerIndex,
    order: Vec<At>,
    met: usize,
}

impl Comparison {
    /// With what a table told, digests included.
    pub(in crate::inspect) fn new(told: LayerIndex) -> Comparison {
        let order = told.entries.heads().map(|head| head.at).collect();
        Comparison { told, order, met: 0 }
    }

    /// The next entry of the archive; how the table differs.
    pub(in crate::inspect) fn meet(&mut self, member: &mut Member<'_>) -> Result<Option<String>> {
        let found = member.entry;
        let Some(at) = self.order.get(self.met) else {
            return Ok(Some(format!("the table of contents has no /{}", found.path)));
        };
        self.met += 1;
        let told = self.told.entries.entry(*at);
        let what = if told.path != found.path {
            Some("another entry")
        } else if (told.kind, &told.link, told.device) != (found.kind, &found.link, found.device) {
            Some("another type or target")
        } else if (told.mode, told.uid, told.gid) != (found.mode, found.uid, found.gid) {
            Some("other permissions or owners")
        // Some writers round.
        } else if told.mtime.abs_diff(found.mtime) > 1 {
            Some("another time")
        } else if sorted(&told) != sorted(found) {
            Some("other attributes")
        } else if told.size != found.size || self.content_differs(&told, member)? {
            Some("other content")
        } else {
            None
        };
        Ok(what.map(|what| format!("the table of contents has {what} for /{}", member.entry.path)))
    }

    fn content_differs(&self, told: &FileEntry, member: &mut Member<'_>) -> Result<bool> {
        let Some(digest) = &told.digest else { return Ok(false) };
        let mut hasher = Hasher::new(digest.algorithm());
        member.each_chunk(|bytes| {
            hasher.update(bytes);
            Ok(())
        })?;
        Ok(hasher.finish() != *digest)
    }

    /// What the table lists and the archive does not have.
    pub(in crate::inspect) fn end(&self) -> Option<String> {
        let more = self.order.get(self.met)?;
        let entry = self.told.entries.entry(*more);
        Some(format!("the table of contents lists /{}, which is not there", entry.path))
    }
}

fn sorted(entry: &FileEntry) -> Vec<(&[u8], &[u8])> {
    let pairs = entry.xattrs.iter().map(|(key, value)| (key.as_bytes(), value.as_bytes()));
    let mut pairs: Vec<_> = pairs.collect();
    pairs.sort_unstable();
    pairs
}

/// What a kind of failure says about a table: its own fault, or the way's.
pub(in crate::inspect) fn is_tables_fault(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Corrupt | ErrorKind::Invalid | ErrorKind::Unsupported)
}
