//! The layers as one plain tree, where overlays are impossible.
//!
//! Blocks are shared with the layers where the file system can do that, else copied.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use super::open_all;
use crate::error::{Error, IoContext, Result};
use crate::layer::{Change, ChangeKind, Stack, WhiteoutForm, is_private_xattr};
use crate::sys::{
    self, Dir, FileKind, Meta, Root, read_xattrs, set_mode, set_owner, set_time, set_xattr,
};

/// Levels of directories; more are an error.
const MAX_DEPTH: usize = 512;

/// Makes the copy unless it is there. It has its name only when it is complete.
pub(super) fn ensure(
    lowers: &[PathBuf],
    dir: &Path,
    copied: &Path,
    form: WhiteoutForm,
) -> Result<PathBuf> {
    if copied.exists() {
        return Ok(copied.to_owned());
    }
    let making = || format!("copying layers to {}", copied.display());
    let place = Dir::open(dir).doing(making)?;
    place.remove_tree(b"new").or_else(if_missing).doing(making)?;
    place.make_dir(b"new", 0o755).doing(making)?;
    let target = place.open_dir(b"new").doing(making)?;
    let roots = open_all(lowers)?;
    let stack = Stack::new(&roots, form);
    let mut pass = Pass { stack: &stack, links: HashMap::new() };
    pass.directory(&target, b"", 0).doing(making)?;
    match roots.first() {
        Some(highest) => {
            let meta = highest.dir().meta().doing(making)?;
            copy_metadata(highest.dir(), &target, &meta).doing(making)?;
        }
        None => set_mode(&target, 0o755).doing(making)?,
    }
    std::fs::rename(dir.join("new"), copied).doing(making)?;
    Ok(copied.to_owned())
}

fn if_missing(error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    }
}

/// Gives `to` the owner, attributes, mode and time of `from`.
pub(super) fn copy_metadata(from: &Dir, to: &Dir, like: &Meta) -> io::Result<()> {
    copy_xattrs(&read_xattrs(from)?, to)?;
    finish(to, like)
}

fn copy_xattrs(xattrs: &[(Vec<u8>, Vec<u8>)], to: impl std::os::fd::AsFd) -> io::Result<()> {
    let mut of_image = xattrs.iter().filter(|(name, _)| !is_private_xattr(name));
    of_image.try_for_each(|(name, value)| set_xattr(&to, name, value))
}

/// The order matters: another owner takes set-id bits away.
fn finish(to: impl std::os::fd::AsFd, like: &Meta) -> io::Result<()> {
    set_owner(&to, like.uid, like.gid)?;
    set_mode(&to, like.mode)?;
    set_time(&to, like.mtime)
}

struct Pass<'a> {
    stack: &'a Stack<'a>,
    /// Where files of several names were copied to: device and number.
    links: HashMap<(u64, u64), (Dir, Vec<u8>)>,
}

impl Pass<'_> {
    fn directory(&mut self, to: &Dir, path: &[u8], level: usize) -> Result<()> {
        if level > MAX_DEPTH {
            return Err(Error::unsupported(format!("more than {MAX_DEPTH} levels of directories")));
        }
        for name in self.stack.names(path)? {
            let path = match path {
                b"" => name.clone(),
                above => [above, &name].join(&b'/'),
            };
            self.object(to, &path, &name, level)
                .doing(|| format!("copying \"{}\"", path.escape_ascii()))?;
        }
        Ok(())
    }

    fn object(&mut self, to: &Dir, path: &[u8], name: &[u8], level: usize) -> Result<()> {
        let Some((from, meta)) = self.stack.locate(path)? else { return Ok(()) };
        let copying = || "copying it".to_owned();
        match meta.kind {
            FileKind::Directory => {
                to.make_dir(name, 0o700).doing(copying)?;
                let made = to.open_dir(name).doing(copying)?;
                self.directory(&made, path, level + 1)?;
                let source = from.open_dir(name).doing(copying)?;
                copy_metadata(&source, &made, &meta).doing(copying)
            }
            FileKind::File => self.file(&from, to, name, &meta).doing(copying),
            FileKind::Symlink => {
                let target = from.read_link(name).doing(copying)?;
                to.make_symlink(&target, name).doing(copying)?;
                to.set_owner_of(name, meta.uid, meta.gid).doing(copying)?;
                to.set_time_of(name, meta.mtime).doing(copying)
            }
            FileKind::Socket => Ok(()),
            FileKind::Char | FileKind::Block | FileKind::Fifo => {
                to.make_node(name, meta.kind, 0, meta.device).doing(copying)?;
                to.set_owner_of(name, meta.uid, meta.gid).doing(copying)?;
                to.set_mode_of(name, meta.mode).doing(copying)?;
                to.set_time_of(name, meta.mtime).doing(copying)
            }
        }
    }

    fn file(&mut self, from: &Dir, to: &Dir, name: &[u8], meta: &Meta) -> io::Result<()> {
        let key = (meta.dev, meta.ino);
        if let Some((dir, first)) = self.links.get(&key).filter(|_| meta.links > 1) {
            return to.make_link(dir, first, name);
        }
        let source = from.open_known_file(name, meta)?;
        let file = to.create_file_rw(name, 0o600)?;
        sys::copy_contents(&source, &file)?;
        copy_xattrs(&read_xattrs(&source)?, &file)?;
        finish(&file, meta)?;
        if meta.links > 1 {
            self.links.insert(key, (to.try_clone()?, name.to_vec()));
        }
        Ok(())
    }
}

/// What is different in the copy from the layers.
pub(super) fn changes(copy: &Root, stack: &Stack<'_>) -> Result<Vec<Change>> {
    let mut found = Vec::new();
    compare(copy.dir(), b"", stack, true, 0, &mut found)?;
    Ok(found)
}

fn compare(
    dir: &Dir,
    path: &[u8],
    stack: &Stack<'_>,
    below: bool,
    level: usize,
    found: &mut Vec<Change>,
) -> Result<()> {
    let comparing = || format!("comparing directory \"{}\"", path.escape_ascii());
    if level > MAX_DEPTH {
        return Err(Error::unsupported(format!("more than {MAX_DEPTH} levels"))).doing(comparing);
    }
    let mut names: Vec<Vec<u8>> =
        dir.entries().doing(comparing)?.into_iter().map(|entry| entry.name).collect();
    if below {
        names.extend(stack.names(path)?);
    }
    names.sort();
    names.dedup();
    for name in names {
        let path = match path {
            b"" => name.clone(),
            above => [above, &name].join(&b'/'),
        };
        let before = if below { stack.locate(&path)? } else { None };
        let now = dir.lookup(&name).doing(comparing)?;
        let kind = match (&before, &now) {
            (None, None) => continue,
            (Some((_, old)), None) if old.kind == FileKind::Socket => continue,
            (Some(_), None) => Some(ChangeKind::Deleted),
            (None, Some(_)) => Some(ChangeKind::Added),
            (Some((from, old)), Some(new)) => {
                difference(from, old, dir, new, &name).doing(comparing)?
            }
        };
        if let Some(kind) = kind {
            found.push(Change { path: path.clone(), kind });
        }
        if now.is_some_and(|now| now.kind == FileKind::Directory) {
            let inner = dir.open_dir(&name).doing(comparing)?;
            let below = before.is_some_and(|(_, meta)| meta.kind == FileKind::Directory);
            compare(&inner, &path, stack, below, level + 1, found)?;
        }
    }
    Ok(())
}

fn difference(
    from: &Dir,
    old: &Meta,
    dir: &Dir,
    new: &Meta,
    name: &[u8],
) -> io::Result<Option<ChangeKind>> {
    let same_content = old.kind == new.kind
        && match new.kind {
            FileKind::File => (old.size, old.mtime) == (new.size, new.mtime),
            FileKind::Symlink => from.read_link(name)? == dir.read_link(name)?,
            FileKind::Char | FileKind::Block => old.device == new.device,
            FileKind::Directory | FileKind::Fifo | FileKind::Socket => true,
        };
    if !same_content {
        return Ok(Some(ChangeKind::Modified));
    }
    let described = |meta: &Meta| (meta.mode, meta.uid, meta.gid, meta.mtime);
    if described(old) != described(new) || xattrs(from, name)? != xattrs(dir, name)? {
        return Ok(Some(ChangeKind::Metadata));
    }
    Ok(None)
}

/// The image's attributes.
fn xattrs(dir: &Dir, name: &[u8]) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut found = dir.read_xattrs_of(name)?;
    found.retain(|(name, _)| !is_private_xattr(name));
    Ok(found)
}
