//! The archive of a layer, written while its files are read.

use std::collections::HashMap;
use std::io::{BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::super::view::Toc;
use super::archive::Member;
use super::layout::{Content, Layout, Placed};
use super::{Origin, is_for_images};
use crate::blob::{CHUNK, HashBeside};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::layer::tar::{Entry, EntryKind, TarWriter};
use crate::layer::{OPAQUE, check_added_name};
use crate::spec::{Algorithm, Digest};
use crate::sys::{Dir, FileKind, Meta, Time, read_xattrs};

/// Of a file that names accounts, no more than this is kept (bytes).
const MAX_ACCOUNTS: usize = 4 << 20;

/// Told of every file's content: the origin's number, its path, what it was when it was opened,
/// and its digest.
pub(in crate::build) type Seen<'a> = &'a mut dyn FnMut(usize, &[u8], &Meta, Digest);

/// What was written.
#[derive(Default)]
pub(in crate::build) struct Written {
    /// The layer's table of contents.
    pub(in crate::build) toc: Toc,
    /// What was left out: [`Layout::dropped`].
    pub(in crate::build) dropped: Vec<Vec<u8>>,
}

/// Writes the archive. Times later than `latest` become it. The layout goes as its entries are
/// written, so that what is known of many files is not there twice.
pub(in crate::build) fn write<'a>(
    layout: Layout<'_>,
    origins: &'a [&'a Origin],
    latest: Option<Time>,
    out: impl Write,
    seen: Option<Seen<'a>>,
) -> Result<Written> {
    let mut pass = Pass {
        tar: TarWriter::new(BufWriter::with_capacity(CHUNK, out)),
        origins,
        latest,
        seen,
        links: HashMap::new(),
        members: HashMap::new(),
        parent: None,
        written: Written::default(),
        buffer: Vec::with_capacity(CHUNK),
    };
    for (path, placed) in layout.entries {
        let adding = || format!("adding /{}", String::from_utf8_lossy(&path));
        pass.entry(&path, &placed).doing(adding)?;
        if layout.opaque.contains(&path) {
            pass.hide_lower(&path).doing(adding)?;
        }
    }
    pass.written.dropped = layout.dropped;
    let (mut out, _) = pass.tar.finish()?;
    out.flush().doing(|| "writing the layer")?;
    Ok(pass.written)
}

struct Pass<'a, W: Write> {
    tar: TarWriter<BufWriter<W>>,
    origins: &'a [&'a Origin],
    latest: Option<Time>,
    seen: Option<Seen<'a>>,
    /// Where the content of files with several names is.
    links: HashMap<(usize, u64, u64), Vec<u8>>,
    /// The same for members of archives.
    members: HashMap<*const Member, Vec<u8>>,
    /// The directory that was read last: origin and path.
    parent: Option<(usize, Vec<u8>, Dir)>,
    written: Written,
    buffer: Vec<u8>,
}

impl<W: Write> Pass<'_, W> {
    fn entry(&mut self, path: &[u8], placed: &Placed) -> Result<()> {
        let mut mtime = Time { nanos: 0, ..placed.mtime };
        mtime = self.latest.map_or(mtime, |latest| mtime.min(latest));
        let slash: &[u8] = if placed.kind == FileKind::Directory { b"/" } else { b"" };
        let mut entry = Entry {
            path: [path, slash].concat(),
            kind: EntryKind::File,
            mode: placed.mode,
            uid: placed.owner.uid,
            gid: placed.owner.gid,
            mtime,
            size: 0,
            xattrs: Vec::new(),
            unread: Vec::new(),
        };
        match &placed.content {
            Content::Described(xattrs) => {
                entry.kind = EntryKind::Directory;
                entry.xattrs.clone_from(xattrs);
                self.put(path, entry)
            }
            Content::Bytes(bytes) => {
                entry.size = bytes.len() as u64;
                self.put(path, entry)?;
                self.tar.content(bytes)?;
                self.keep_accounts(path, bytes);
                Ok(())
            }
            Content::Member(member) => self.member(path, entry, member),
            Content::Origin(origin, from, meta) => self.original(path, entry, *origin, from, meta),
        }
    }

    fn member(&mut self, path: &[u8], mut entry: Entry, member: &Arc<Member>) -> Result<()> {
        if let Some(first) = self.members.get(&Arc::as_ptr(member)) {
            entry.kind = EntryKind::HardLink(first.clone());
            return self.put(path, entry);
        }
        if Arc::strong_count(member) > 1 {
            self.members.insert(Arc::as_ptr(member), path.to_vec());
        }
        entry.kind = member.kind.clone();
        entry.xattrs.clone_from(&member.xattrs);
        entry.size = member.size;
        self.put(path, entry)?;
        let accounts = super::super::view::ACCOUNT_FILES.contains(&path);
        let mut kept = Vec::new();
        let end = member.at + member.size;
        let mut at = member.at;
        while at < end {
            let most = usize::try_from(end - at).unwrap_or(CHUNK).min(CHUNK);
            self.buffer.resize(most, 0);
            member.store.read_exact_at(&mut self.buffer, at).doing(|| "reading its content")?;
            self.tar.content(&self.buffer)?;
            at += most as u64;
            if accounts && kept.len() < MAX_ACCOUNTS {
                kept.extend_from_slice(&self.buffer);
            }
        }
        if accounts {
            self.written.toc.add_accounts(path, kept);
        }
        Ok(())
    }

    /// Marks a directory so that nothing that lower layers have in it shows.
    fn hide_lower(&mut self, path: &[u8]) -> Result<()> {
        let path = [path, b"/", OPAQUE].concat();
        let entry = Entry {
            path: path.clone(),
            kind: EntryKind::File,
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: Time::default(),
            size: 0,
            xattrs: Vec::new(),
            unread: Vec::new(),
        };
        self.tar.begin(&entry)?;
        self.written.toc.add(path, entry);
        Ok(())
    }

    fn original(
        &mut self,
        path: &[u8],
        mut entry: Entry,
        origin: usize,
        from: &[u8],
        meta: &Meta,
    ) -> Result<()> {
        if meta.links > 1 && meta.kind != FileKind::Directory {
            let id = (origin, meta.dev, meta.ino);
            if let Some(first) = self.links.get(&id) {
                entry.kind = EntryKind::HardLink(first.clone());
                return self.put(path, entry);
            }
            self.links.insert(id, path.to_vec());
        }
        let (parent, name) = match from.iter().rposition(|&b| b == b'/') {
            Some(slash) => (&from[..slash], &from[slash + 1..]),
            None => (&b""[..], from),
        };
        if meta.kind == FileKind::Directory {
            let dir = self.origins[origin].root.open_dir_plain(from).doing(|| "opening it")?;
            entry.kind = EntryKind::Directory;
            entry.xattrs = for_images(read_xattrs(&dir).doing(|| "reading attributes")?);
            return self.put(path, entry);
        }
        let dir = self.directory(origin, parent)?;
        entry.kind = match meta.kind {
            FileKind::Symlink => {
                EntryKind::Symlink(dir.read_link(name).doing(|| "reading the link")?)
            }
            FileKind::Char => EntryKind::Char(meta.device),
            FileKind::Block => EntryKind::Block(meta.device),
            FileKind::Fifo => EntryKind::Fifo,
            // A layer cannot hold a socket; an empty file marks its place.
            FileKind::File | FileKind::Socket | FileKind::Directory => EntryKind::File,
        };
        if meta.kind != FileKind::File {
            return self.put(path, entry);
        }
        let file = dir.open_known_file(name, meta).doing(|| "opening it")?;
        let now = Meta::of(&file).doing(|| "examining it")?;
        entry.xattrs = for_images(read_xattrs(&file).doing(|| "reading attributes")?);
        entry.size = now.size;
        let xattrs = entry.xattrs.clone();
        self.put(path, entry)?;
        self.content(path, file, now.size, &xattrs, (origin, from, &now))
    }

    fn content(
        &mut self,
        path: &[u8],
        mut file: std::fs::File,
        size: u64,
        xattrs: &[(Vec<u8>, Vec<u8>)],
        (origin, from, meta): (usize, &[u8], &Meta),
    ) -> Result<()> {
        let accounts = super::super::view::ACCOUNT_FILES.contains(&path);
        let mut kept = Vec::new();
        let mut hash = self.seen.is_some().then(|| HashBeside::new(Algorithm::Sha256));
        let mut left = size;
        while left > 0 {
            self.buffer.clear();
            let mut part = (&mut file).take(left.min(CHUNK as u64));
            let count = part.read_to_end(&mut self.buffer).doing(|| "reading it")?;
            if count == 0 {
                return Err(Error::new(ErrorKind::Failed, "the file became shorter"));
            }
            if accounts && kept.len() < MAX_ACCOUNTS {
                kept.extend_from_slice(&self.buffer);
            }
            self.tar.content(&self.buffer)?;
            left -= count as u64;
            if let Some(hash) = &mut hash {
                self.buffer = hash.take(std::mem::take(&mut self.buffer))?;
            }
        }
        if accounts {
            self.written.toc.add_accounts(path, kept);
        }
        if let (Some(seen), Some(hash)) = (&mut self.seen, hash) {
            let digest = hash.finish()?.finish();
            let still = Meta::of(&file).doing(|| "examining it")?;
            if still == *meta {
                seen(origin, from, meta, super::super::cache::with_xattrs(digest, xattrs));
            }
        }
        Ok(())
    }

    fn keep_accounts(&mut self, path: &[u8], bytes: &[u8]) {
        if super::super::view::ACCOUNT_FILES.contains(&path) {
            self.written.toc.add_accounts(path, bytes.to_vec());
        }
    }

    /// The directory at a path of an origin.
    fn directory(&mut self, origin: usize, path: &[u8]) -> Result<&Dir> {
        let known = matches!(&self.parent, Some((o, p, _)) if *o == origin && p == path);
        if !known {
            let dir = self.origins[origin].root.open_dir_plain(path);
            self.parent = Some((origin, path.to_vec(), dir.doing(|| "opening its directory")?));
        }
        match &self.parent {
            Some((_, _, dir)) => Ok(dir),
            None => Err(Error::new(ErrorKind::Failed, "its directory is gone")),
        }
    }

    fn put(&mut self, path: &[u8], entry: Entry) -> Result<()> {
        check_added_name(path)?;
        self.tar.begin(&entry)?;
        self.written.toc.add(path.to_vec(), entry);
        Ok(())
    }
}

fn for_images(mut xattrs: Vec<(Vec<u8>, Vec<u8>)>) -> Vec<(Vec<u8>, Vec<u8>)> {
    xattrs.retain(|(name, _)| is_for_images(name));
    xattrs
}
