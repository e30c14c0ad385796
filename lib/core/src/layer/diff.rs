//! What an overlay layer changes in the layers below it, as data.

use super::form::{WhiteoutForm, is_private};
use super::name::join;
use super::stack::{Found, Stack};
use crate::error::{Error, IoContext, Result};
use crate::sys::{Dir, FileKind, Meta, Root, read_xattr};

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Path from the root.
    pub path: Vec<u8>,
    /// What happened there.
    pub kind: ChangeKind,
}

/// What happened to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// Lower layers have nothing there.
    Added,
    /// Another type, other content, or another target of a link. Content counts as other when size
    /// or time differ.
    Modified,
    /// The same content with another owner, mode, attribute, or (for directories) time.
    Metadata,
    /// Nothing is there any more. What was below it is not listed.
    Deleted,
}

/// Levels of directories; more are an error.
const MAX_DEPTH: usize = 512;

/// The changes that `upper`, in an overlay form, makes to `lower`: parents before what is in them,
/// names in byte order.
pub fn changes(upper: &Root, form: WhiteoutForm, lower: &Stack<'_>) -> Result<Vec<Change>> {
    let mut pass = Pass { form, lower, changes: Vec::new() };
    pass.directory(upper.dir(), b"", Below { exists: true, shows: true }, 0)?;
    Ok(pass.changes)
}

struct Pass<'a> {
    form: WhiteoutForm,
    lower: &'a Stack<'a>,
    changes: Vec<Change>,
}

/// What lower layers have of a directory.
#[derive(Clone, Copy)]
struct Below {
    /// They have it.
    exists: bool,
    /// What they have in it shows unless it is deleted by name.
    shows: bool,
}

impl Pass<'_> {
    /// Compares what is in a directory.
    fn directory(&mut self, dir: &Dir, path: &[u8], below: Below, level: usize) -> Result<()> {
        let comparing = || format!("comparing directory \"{}\"", path.escape_ascii());
        if level > MAX_DEPTH {
            return Err(Error::unsupported(format!("more than {MAX_DEPTH} levels")))
                .doing(comparing);
        }
        let opaque = match self.form.xattr("opaque") {
            Some(name) => {
                read_xattr(dir, &name).doing(comparing)?.is_some_and(|value| value == b"y")
            }
            None => false,
        };
        let mut names: Vec<_> =
            dir.entries().doing(comparing)?.into_iter().map(|entry| entry.name).collect();
        let below = Below { shows: below.shows && !opaque, ..below };
        if below.exists && !below.shows {
            names.extend(self.lower.names(path)?);
        }
        names.sort();
        names.dedup();
        for name in names {
            let path = join(path, &name);
            self.object(dir, &name, &path, below, level)
                .doing(|| format!("comparing \"{}\"", path.escape_ascii()))?;
        }
        Ok(())
    }

    fn object(
        &mut self,
        dir: &Dir,
        name: &[u8],
        path: &[u8],
        below: Below,
        level: usize,
    ) -> Result<()> {
        let before = if below.exists { self.lower.find(path)? } else { None };
        let now = dir.lookup(name).doing(|| "examining it")?;
        let now = now.filter(|meta| !self.form.is_whiteout(meta));
        let kind = match (&before, &now) {
            (None, None) => return Ok(()),
            (Some(_), None) => Some(ChangeKind::Deleted),
            (None, Some(_)) => Some(ChangeKind::Added),
            (Some(before), Some(now)) => self.compared(dir, name, before, now)?,
        };
        if let Some(kind) = kind {
            self.changes.push(Change { path: path.to_vec(), kind });
        }
        if now.is_none_or(|now| now.kind != FileKind::Directory) {
            return Ok(());
        }
        let inner = dir.open_dir(name).doing(|| "opening it")?;
        let exists = before.is_some_and(|found| found.meta.kind == FileKind::Directory);
        self.directory(&inner, path, Below { exists, ..below }, level + 1)
    }

    fn compared(
        &self,
        dir: &Dir,
        name: &[u8],
        before: &Found,
        now: &Meta,
    ) -> Result<Option<ChangeKind>> {
        let old = &before.meta;
        let same_content = old.kind == now.kind
            && match now.kind {
                FileKind::File => (old.size, old.mtime) == (now.size, now.mtime),
                FileKind::Symlink => {
                    let link = dir.read_link(name).doing(|| "reading the link")?;
                    link == before.parent.read_link(&before.name).doing(|| "reading the link")?
                }
                FileKind::Char | FileKind::Block => old.device == now.device,
                FileKind::Directory | FileKind::Fifo | FileKind::Socket => true,
            };
        if !same_content {
            return Ok(Some(ChangeKind::Modified));
        }
        let described = |meta: &Meta| (meta.mode, meta.uid, meta.gid, meta.mtime);
        let same = described(old) == described(now)
            && image_xattrs(dir, name)? == image_xattrs(&before.parent, &before.name)?;
        Ok(if same { None } else { Some(ChangeKind::Metadata) })
    }
}

fn image_xattrs(dir: &Dir, name: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut all = dir.read_xattrs_of(name).doing(|| "reading attributes")?;
    all.retain(|(name, _)| !is_private(name));
    Ok(all)
}
