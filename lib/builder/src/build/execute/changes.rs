//! What a command has changed, without what only looks like it.

use super::super::transfer::is_for_images;
use crate::error::{Error, IoContext, Result};
use crate::layer::Stack;
use crate::sys::{Dir, FileKind, Meta, Root, read_xattrs, set_time};

/// Levels of directories; more are an error.
const MAX_DEPTH: usize = 512;

/// Takes directories away that overlayfs copied up and that are as they were: nothing in them,
/// and the metadata of the layers below.
pub(in crate::build) fn forget_unchanged(upper: &Root, lower: &Stack<'_>) -> Result<()> {
    visit(upper.dir(), b"", lower, 0).map(drop)
}

/// Whether nothing is left in a directory.
fn visit(dir: &Dir, path: &[u8], lower: &Stack<'_>, level: usize) -> Result<bool> {
    let comparing = || format!("comparing directory /{}", path.escape_ascii());
    if level > MAX_DEPTH {
        return Err(Error::unsupported(format!("more than {MAX_DEPTH} levels"))).doing(comparing);
    }
    let before = dir.meta().doing(comparing)?;
    let (mut left, mut removed) = (false, false);
    for entry in dir.entries().doing(comparing)? {
        let directory = match entry.kind {
            Some(FileKind::Directory) | None => dir.lookup(&entry.name).doing(comparing)?,
            Some(_) => None,
        };
        let Some(meta) = directory.filter(|meta| meta.kind == FileKind::Directory) else {
            left = true;
            continue;
        };
        let inner = super::super::view::join(path, &entry.name);
        let below = dir.open_dir(&entry.name).doing(comparing)?;
        let empty = visit(&below, &inner, lower, level + 1)?;
        if empty && is_unchanged(&below, &inner, &meta, lower).doing(comparing)? {
            dir.remove_dir(&entry.name).doing(comparing)?;
            removed = true;
        } else {
            left = true;
        }
    }
    if removed {
        // It is as old as before: this was no change of the command's.
        set_time(dir, before.mtime).doing(comparing)?;
    }
    Ok(!left)
}

fn is_unchanged(dir: &Dir, path: &[u8], now: &Meta, lower: &Stack<'_>) -> Result<bool> {
    let Some(before) = lower.lookup(path)? else { return Ok(false) };
    let described = |meta: &Meta| (meta.kind, meta.mode, meta.uid, meta.gid, meta.mtime);
    if described(&before) != described(now) {
        return Ok(false);
    }
    // Attributes of its own would be lost, and a mark that hides what is below.
    let xattrs = read_xattrs(dir).doing(|| "reading attributes")?;
    let counts = |name: &[u8], value: &[u8]| match name.strip_prefix(b"trusted.overlay.") {
        Some(mark) => mark == b"opaque" && value == b"y",
        None => is_for_images(name),
    };
    Ok(!xattrs.iter().any(|(name, value)| counts(name, value)))
}
