//! The table of contents of a layer's archive.

use std::collections::BTreeMap;
use std::io::BufRead;

use super::{Node, NodeKind, Saying};
use crate::build::cache::{Reader, Writer};
use crate::error::{Error, Result};
use crate::layer::tar::{Entry, EntryKind, TarReader};
use crate::sys::Time;

const MAGIC: &[u8; 8] = b"creeltc1";
/// Most entries of a layer.
const MAX_ENTRIES: usize = 4_000_000;
/// Most bytes of an account file that are kept.
const MAX_ACCOUNTS: usize = 4 << 20;

/// What an archive contains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::build) struct Toc {
    entries: BTreeMap<Vec<u8>, Saying>,
    /// The files that name accounts, whole.
    accounts: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Where accounts are named.
pub(in crate::build) const ACCOUNT_FILES: [&[u8]; 4] =
    [b"etc/passwd", b"etc/group", b"usr/etc/passwd", b"usr/etc/group"];

impl Toc {
    /// Reads an archive to its very end.
    pub(in crate::build) fn read(archive: impl BufRead) -> Result<Toc> {
        let mut reader = TarReader::new(archive);
        let mut toc = Toc::default();
        while let Some(entry) = reader.next_entry()? {
            if toc.entries.len() > MAX_ENTRIES {
                return Err(Error::unsupported("a layer of more than 4000000 entries"));
            }
            let Some(path) = clean(&entry.path) else { continue };
            if ACCOUNT_FILES.contains(&path.as_slice()) && entry.kind == EntryKind::File {
                let mut content = Vec::new();
                while let Some(chunk) = reader.data()? {
                    if content.len() + chunk.bytes.len() > MAX_ACCOUNTS {
                        return Err(Error::unsupported("an account file of more than 4 MiB"));
                    }
                    content.extend_from_slice(chunk.bytes);
                }
                toc.accounts.insert(path.clone(), content);
            }
            toc.add(path, entry);
        }
        Ok(toc)
    }

    /// Adds an entry of an archive that is being written; its path is clean.
    pub(in crate::build) fn add(&mut self, path: Vec<u8>, entry: Entry) {
        let (parent, name) = match path.iter().rposition(|&b| b == b'/') {
            Some(slash) => (path[..slash].to_vec(), &path[slash + 1..]),
            None => (Vec::new(), &path[..]),
        };
        if name == b".wh..wh..opq" {
            self.imply(&parent);
            if let Some(Saying::Node { opaque, .. }) = self.entries.get_mut(&parent) {
                *opaque = true;
            }
            return;
        }
        self.imply(&parent);
        if let Some(hidden) = name.strip_prefix(b".wh.") {
            // What a layer adds itself is not hidden by its own deletion.
            self.entries.entry(super::join(&parent, hidden)).or_insert(Saying::Deleted);
            return;
        }
        let kind = match entry.kind {
            EntryKind::Directory => NodeKind::Directory,
            EntryKind::File => NodeKind::File,
            EntryKind::Symlink(target) => NodeKind::Symlink(target),
            EntryKind::HardLink(target) => self.kind_of(&target),
            EntryKind::Char(_) | EntryKind::Block(_) | EntryKind::Fifo => NodeKind::Other,
        };
        let node = Node {
            kind,
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            mtime: entry.mtime,
            xattrs: entry.xattrs,
        };
        let was = self.entries.get(&path);
        let opaque = node.is_directory()
            && matches!(was, Some(Saying::Node { opaque: true, .. } | Saying::Deleted));
        self.entries.insert(path, Saying::Node { node, implied: false, opaque });
    }

    /// Keeps the content of an account file that is being written.
    pub(in crate::build) fn add_accounts(&mut self, path: &[u8], content: Vec<u8>) {
        self.accounts.insert(path.to_vec(), content);
    }

    fn kind_of(&self, target: &[u8]) -> NodeKind {
        match clean(target).and_then(|target| self.entries.get(&target)) {
            Some(Saying::Node { node, .. }) => node.kind.clone(),
            _ => NodeKind::File,
        }
    }

    /// Makes the directories that a path needs.
    fn imply(&mut self, path: &[u8]) {
        if self.entries.contains_key(path) && !path.is_empty() {
            return;
        }
        let node = || Saying::Node { node: Node::implied(), implied: true, opaque: false };
        self.entries.entry(path.to_vec()).or_insert_with(node);
        if let Some(slash) = path.iter().rposition(|&b| b == b'/') {
            self.imply(&path[..slash]);
        }
    }

    pub(super) fn at(&self, path: &[u8]) -> Saying {
        self.entries.get(path).cloned().unwrap_or(Saying::Nothing)
    }

    pub(super) fn account_file(&self, path: &[u8]) -> Vec<u8> {
        self.accounts.get(path).cloned().unwrap_or_default()
    }

    /// As a file of the cache.
    pub(in crate::build) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::new(MAGIC);
        out.number(self.accounts.len() as u64);
        for (path, content) in &self.accounts {
            out.bytes(path);
            out.bytes(content);
        }
        for (path, saying) in &self.entries {
            out.bytes(path);
            write_saying(&mut out, saying);
        }
        out.finish()
    }

    /// From a file of the cache; `None` where it is damaged.
    pub(in crate::build) fn from_bytes(bytes: &[u8]) -> Option<Toc> {
        let mut reader = Reader::new(bytes, MAGIC)?;
        let mut toc = Toc::default();
        for _ in 0..reader.number()? {
            let path = reader.bytes()?.to_vec();
            toc.accounts.insert(path, reader.bytes()?.to_vec());
        }
        while !reader.is_empty() {
            let path = reader.bytes()?.to_vec();
            toc.entries.insert(path, read_saying(&mut reader)?);
        }
        Some(toc)
    }
}

fn write_saying(out: &mut Writer, saying: &Saying) {
    let Saying::Node { node, implied, opaque } = saying else {
        return out.number(0);
    };
    let (kind, target) = match &node.kind {
        NodeKind::Directory => (1, &[][..]),
        NodeKind::File => (2, &[][..]),
        NodeKind::Symlink(target) => (3, &target[..]),
        NodeKind::Other => (4, &[][..]),
    };
    out.number(kind | u64::from(*implied) << 8 | u64::from(*opaque) << 9);
    out.bytes(target);
    out.number(u64::from(node.mode));
    out.number(u64::from(node.uid) << 32 | u64::from(node.gid));
    out.number(node.mtime.secs as u64);
    out.number(u64::from(node.mtime.nanos));
    out.number(node.xattrs.len() as u64);
    for (name, value) in &node.xattrs {
        out.bytes(name);
        out.bytes(value);
    }
}

fn read_saying(reader: &mut Reader<'_>) -> Option<Saying> {
    let word = reader.number()?;
    if word == 0 {
        return Some(Saying::Deleted);
    }
    let target = reader.bytes()?.to_vec();
    let kind = match word & 0xff {
        1 => NodeKind::Directory,
        2 => NodeKind::File,
        3 => NodeKind::Symlink(target),
        _ => NodeKind::Other,
    };
    let mode = u32::try_from(reader.number()?).ok()?;
    let ids = reader.number()?;
    let mtime =
        Time { secs: reader.number()? as i64, nanos: u32::try_from(reader.number()?).ok()? };
    let mut xattrs = Vec::new();
    for _ in 0..reader.number()? {
        xattrs.push((reader.bytes()?.to_vec(), reader.bytes()?.to_vec()));
    }
    let node = Node { kind, mode, uid: (ids >> 32) as u32, gid: ids as u32, mtime, xattrs };
    Some(Saying::Node { node, implied: word & 0x100 != 0, opaque: word & 0x200 != 0 })
}

/// A name of an archive as a path; `None` for what leaves the root, which no unpacker takes.
fn clean(raw: &[u8]) -> Option<Vec<u8>> {
    let mut path = Vec::new();
    for part in super::parts(raw) {
        if part == b".." {
            return None;
        }
        path = super::join(&path, part);
    }
    Some(path)
}
