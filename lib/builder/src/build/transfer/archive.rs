//! Archives that `ADD` unpacks: their members become entries of the layer.
//!
//! Members are taken in their order, as `tar -x` in the target directory would take them: each
//! replaces what has its name, but for a directory that meets a directory; directories that only
//! names imply are made, and links on the way are followed below the target. Modes, times and
//! owners are the archive's; `--chmod` does not apply. The content of all files goes into one file
//! until the layer is written.

use std::fs::File;
use std::io::{BufRead, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use super::super::view::{NodeKind, join};
use super::layout::{Content, Layout, Owner, Placed, not_a_directory, parent_of, shown};
use super::{MAX_DEPTH, MAX_FILES, MAX_LINKS, is_for_images};
use crate::error::{Error, IoContext, Result};
use crate::layer::Limits;
use crate::layer::tar::{Entry, EntryKind, TarReader};
use crate::sys::FileKind;

/// The mode of directories that an archive does not describe.
const IMPLIED_MODE: u32 = 0o755;
const BUFFER: usize = 256 << 10;

/// What an archive says about one of its members.
#[derive(Debug)]
pub(in crate::build) struct Member {
    /// What it is; never another name of something else.
    pub(super) kind: EntryKind,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where its content begins, and how much there is.
    pub(super) at: u64,
    pub(super) size: u64,
    pub(super) store: Arc<File>,
}

/// Where the members of an archive go.
pub(in crate::build) struct ArchivePlace<'p> {
    /// The directory, no part of it a link.
    pub(in crate::build) target: &'p [u8],
    /// Whom everything belongs to, if not to those that the archive names.
    pub(in crate::build) owner: Option<Owner>,
    /// A file to be made, for the content.
    pub(in crate::build) content: &'p Path,
}

/// Lays the members of an archive out.
///
/// # Errors
/// Invalid for a malformed archive, for a name or a link that leaves the target, and for a hard
/// link to what is not in the archive.
pub(in crate::build) fn lay_out(
    layout: &mut Layout<'_>,
    place: &ArchivePlace<'_>,
    archive: impl BufRead,
) -> Result<()> {
    layout.ensure_as(place.target, IMPLIED_MODE, place.owner.unwrap_or_default())?;
    let mut options = File::options();
    let opened = options.read(true).write(true).create_new(true).open(place.content);
    let store = Arc::new(opened.doing(|| format!("making {}", place.content.display()))?);
    let mut pass = Pass {
        layout,
        place,
        spool: BufWriter::with_capacity(BUFFER, Arc::clone(&store)),
        store,
        end: 0,
        parent: None,
    };
    let mut reader = TarReader::new(archive);
    let (mut count, limits) = (0, Limits::default());
    while let Some(entry) = reader.next_entry()? {
        count += 1;
        if count > MAX_FILES {
            return Err(Error::unsupported(format!("an archive of more than {MAX_FILES} files")));
        }
        if pass.end.saturating_add(entry.size) > limits.bytes {
            return Err(Error::unsupported(format!("more than {} bytes of files", limits.bytes)));
        }
        let name = entry.path.escape_ascii().to_string();
        pass.member(entry, &mut reader).doing(|| format!("unpacking {name:?}"))?;
    }
    pass.spool.flush().doing(|| "writing the content of an archive")
}

struct Pass<'p, 'l, 'a> {
    layout: &'p mut Layout<'l>,
    place: &'a ArchivePlace<'a>,
    spool: BufWriter<Arc<File>>,
    store: Arc<File>,
    /// Bytes of content so far.
    end: u64,
    /// The directory of the last member.
    parent: Option<Parent>,
}

/// A directory of the archive.
struct Parent {
    /// As the archive names it.
    name: Vec<u8>,
    /// Where it is in the layer.
    path: Vec<u8>,
    /// The symbolic links on the way there.
    links: Vec<Vec<u8>>,
}

impl Parent {
    /// Whether it may be elsewhere once something is put at `path`.
    fn hangs_on(&self, path: &[u8]) -> bool {
        let at_or_below = |other: &[u8]| {
            other.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
        };
        at_or_below(&self.path) || self.links.iter().any(|link| at_or_below(link))
    }
}

impl Pass<'_, '_, '_> {
    fn member(&mut self, entry: Entry, reader: &mut TarReader<impl BufRead>) -> Result<()> {
        let Some(name) = inside(&entry.path)? else { return Ok(()) };
        if self.layout.drops(&join(self.place.target, &name)) {
            return Ok(());
        }
        let parent = parent_of(&name).unwrap_or_default();
        let base = &name[parent.len() + usize::from(!parent.is_empty())..];
        let path = join(&self.directory(parent)?, base);
        let placed = match &entry.kind {
            EntryKind::HardLink(target) => self.linked(target)?,
            _ => self.described(entry, reader)?,
        };
        self.parent = self.parent.take().filter(|parent| !parent.hangs_on(&path));
        self.layout.replace(path, placed)
    }

    fn described(&mut self, entry: Entry, reader: &mut TarReader<impl BufRead>) -> Result<Placed> {
        let kind = match &entry.kind {
            EntryKind::Directory => FileKind::Directory,
            EntryKind::File | EntryKind::HardLink(_) => FileKind::File,
            EntryKind::Symlink(_) => FileKind::Symlink,
            EntryKind::Char(_) => FileKind::Char,
            EntryKind::Block(_) => FileKind::Block,
            EntryKind::Fifo => FileKind::Fifo,
        };
        let mut xattrs = entry.xattrs;
        xattrs.retain(|(name, _)| is_for_images(name));
        let member = Member {
            at: self.end,
            size: entry.size,
            kind: entry.kind,
            xattrs,
            store: Arc::clone(&self.store),
        };
        self.keep_content(&member, reader)?;
        Ok(Placed {
            kind,
            mode: entry.mode,
            owner: self.place.owner.unwrap_or(Owner { uid: entry.uid, gid: entry.gid }),
            mtime: entry.mtime,
            content: Content::Member(Arc::new(member)),
        })
    }

    fn keep_content(
        &mut self,
        member: &Member,
        reader: &mut TarReader<impl BufRead>,
    ) -> Result<()> {
        let keeping = || "keeping its content";
        let mut written = 0;
        while let Some(chunk) = reader.data()? {
            if chunk.offset != written {
                self.spool.seek(SeekFrom::Start(member.at + chunk.offset)).doing(keeping)?;
            }
            self.spool.write_all(chunk.bytes).doing(keeping)?;
            written = chunk.offset + chunk.bytes.len() as u64;
        }
        self.end += member.size;
        if written != member.size {
            // It ends in a hole.
            self.spool.seek(SeekFrom::Start(self.end)).doing(keeping)?;
            self.store.set_len(self.end).doing(keeping)?;
        }
        Ok(())
    }

    /// Another name of what an earlier member put somewhere.
    fn linked(&mut self, target: &[u8]) -> Result<Placed> {
        let shown = target.escape_ascii();
        let missing =
            || Error::invalid(format!("hard link to {shown}, which is not in the archive"));
        let name = inside(target)?.ok_or_else(missing)?;
        let parent = parent_of(&name).unwrap_or_default();
        let base = &name[parent.len() + usize::from(!parent.is_empty())..];
        let path = join(&self.directory(parent)?, base);
        match self.layout.entries.get(&path) {
            Some(placed @ Placed { content: Content::Member(_), kind, .. })
                if *kind != FileKind::Directory =>
            {
                Ok(placed.clone())
            }
            _ => Err(missing()),
        }
    }

    /// The directory that the archive calls `name`, made where it is missing.
    fn directory(&mut self, name: &[u8]) -> Result<Vec<u8>> {
        if let Some(parent) = self.parent.as_ref().filter(|parent| parent.name == name) {
            return Ok(parent.path.clone());
        }
        let parent = self.walk(name)?;
        let path = parent.path.clone();
        self.parent = Some(parent);
        Ok(path)
    }

    fn walk(&mut self, name: &[u8]) -> Result<Parent> {
        let mut ahead: Vec<Vec<u8>> = parts(name).rev().map(<[u8]>::to_vec).collect();
        let mut here: Vec<u8> = Vec::new();
        let mut links = Vec::new();
        while let Some(part) = ahead.pop() {
            if part == b".." {
                here.truncate(parent_of(&here).unwrap_or_default().len());
                continue;
            }
            let next = join(&here, &part);
            let at = join(self.place.target, &next);
            let Some(target) = self.link_at(&at)? else {
                self.layout.ensure_as(&at, IMPLIED_MODE, Owner::default())?;
                here = next;
                continue;
            };
            if links.len() >= MAX_LINKS {
                return Err(Error::invalid(format!("too many symbolic links in {}", shown(&at))));
            }
            links.push(at);
            if target.starts_with(b"/") {
                here.clear();
            }
            ahead.extend(parts(&target).rev().map(<[u8]>::to_vec));
        }
        Ok(Parent { name: name.to_vec(), path: join(self.place.target, &here), links })
    }

    /// What the symbolic link at a path says, if one is there.
    fn link_at(&self, path: &[u8]) -> Result<Option<Vec<u8>>> {
        match self.layout.entries.get(path) {
            Some(Placed { content: Content::Member(member), .. }) => Ok(match &member.kind {
                EntryKind::Symlink(target) => Some(target.clone()),
                _ => None,
            }),
            Some(Placed { kind: FileKind::Symlink, .. }) => Err(not_a_directory(path)),
            Some(_) => Ok(None),
            None => Ok(self.layout.below(path)?.and_then(|node| match node.kind {
                NodeKind::Symlink(target) => Some(target),
                _ => None,
            })),
        }
    }
}

/// A member's name as a path below the target; `None` for the target itself.
fn inside(name: &[u8]) -> Result<Option<Vec<u8>>> {
    let mut path: Vec<&[u8]> = Vec::new();
    for part in parts(name) {
        let is_up = part == b"..";
        if is_up && path.pop().is_none() {
            return Err(Error::invalid("the name leaves the directory that it is unpacked into"));
        }
        if !is_up {
            path.push(part);
        }
    }
    if path.len() > MAX_DEPTH {
        return Err(Error::unsupported(format!("more than {MAX_DEPTH} levels")));
    }
    Ok((!path.is_empty()).then(|| path.join(&b'/')))
}

fn parts(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|&b| b == b'/').filter(|part| !part.is_empty() && *part != b".")
}
