//! What can only be known about a layer when the layers below it are.

use std::collections::BTreeMap;

use super::form::{WhiteoutForm, is_private};
use super::name::split;
use super::stack::{Found, Stack};
use super::unpack::ImpliedDir;
use crate::error::{Error, IoContext, Result};
use crate::sys::{
    Device, Dir, FileKind, Meta, Root, copy_contents, read_xattrs, remove_xattr, set_mode,
    set_owner, set_time, set_xattr,
};

/// Puts into the empty directory `patch` what has to be stacked on top of `layer` so that the
/// directories that its archive only implies are as in the layers `below` it: these directories
/// with their metadata; and for each that exists only to hold whiteouts, what is below in its
/// place, or a whiteout. The layer itself stays right for every stack. `false` if nothing is needed.
///
/// # Errors
/// [`Unsupported`](crate::ErrorKind::Unsupported) in the form [`WhiteoutForm::Apply`], which needs
/// no such thing; otherwise what the file system said.
pub fn patch_implied(
    patch: &Root,
    layer: &Root,
    implied: &[ImpliedDir],
    below: &Stack<'_>,
    form: WhiteoutForm,
) -> Result<bool> {
    if form == WhiteoutForm::Apply {
        return Err(Error::unsupported("layers that are applied to one tree need no patch"));
    }
    let mut dirs: BTreeMap<Vec<u8>, (Dir, Meta)> = BTreeMap::new();
    let mut replaced: Vec<(&[u8], Option<Found>)> = Vec::new();
    for dir in implied.iter().filter(|dir| !dir.path.is_empty()) {
        let completing = || format!("completing directory \"{}\"", dir.path.escape_ascii());
        match below.find(&dir.path)? {
            Some(found) if found.meta.kind == FileKind::Directory => {
                let source = found.parent.open_dir(&found.name).doing(completing)?;
                own_parents(layer, &dir.path, &mut dirs).doing(completing)?;
                dirs.insert(dir.path.clone(), (source, found.meta));
            }
            found if dir.only_whiteouts && !is_below_any(&dir.path, &replaced) => {
                own_parents(layer, &dir.path, &mut dirs).doing(completing)?;
                replaced.push((&dir.path, found));
            }
            _ => {}
        }
    }
    for path in dirs.keys() {
        make(patch, path).doing(|| format!("making directory \"{}\"", path.escape_ascii()))?;
    }
    for (path, by) in &replaced {
        replace(patch, path, by.as_ref())
            .doing(|| format!("replacing directory \"{}\"", path.escape_ascii()))?;
    }
    // Times settle from the inside.
    for (path, (source, meta)) in dirs.iter().rev() {
        copy_metadata(patch, path, source, meta)
            .doing(|| format!("completing directory \"{}\"", path.escape_ascii()))?;
    }
    Ok(!dirs.is_empty() || !replaced.is_empty())
}

fn is_below_any(path: &[u8], dirs: &[(&[u8], Option<Found>)]) -> bool {
    dirs.iter().any(|(dir, _)| path.strip_prefix(*dir).is_some_and(|rest| rest.starts_with(b"/")))
}

/// Notes the directories that `path` lies in as the layer itself has them, unless they are noted.
fn own_parents(
    layer: &Root,
    path: &[u8],
    dirs: &mut BTreeMap<Vec<u8>, (Dir, Meta)>,
) -> std::io::Result<()> {
    let mut rest = path;
    while let Some((parent, _)) = split(rest).filter(|(parent, _)| !parent.is_empty()) {
        if !dirs.contains_key(parent) {
            let dir = layer.open_dir_plain(parent)?;
            let meta = dir.meta()?;
            dirs.insert(parent.to_vec(), (dir, meta));
        }
        rest = parent;
    }
    Ok(())
}

fn make(patch: &Root, path: &[u8]) -> std::io::Result<()> {
    let (parent, name) = split(path).unwrap_or_default();
    patch.open_dir_plain(parent)?.make_dir(name, 0o700)
}

fn replace(patch: &Root, path: &[u8], by: Option<&Found>) -> std::io::Result<()> {
    let (parent, name) = split(path).unwrap_or_default();
    let parent = patch.open_dir_plain(parent)?;
    match by {
        Some(found) => copy_object(&parent, name, found),
        None => parent.make_node(name, FileKind::Char, 0, Device::default()),
    }
}

fn copy_object(parent: &Dir, name: &[u8], from: &Found) -> std::io::Result<()> {
    let meta = &from.meta;
    match meta.kind {
        FileKind::File if meta.links == 1 => {
            let source = from.parent.open_known_file(&from.name, meta)?;
            let file = parent.create_file_rw(name, 0o600)?;
            copy_contents(&source, &file)?;
            for (name, value) in read_xattrs(&source)?.iter().filter(|(name, _)| !is_private(name))
            {
                set_xattr(&file, name, value)?;
            }
            set_owner(&file, meta.uid, meta.gid)?;
            set_mode(&file, meta.mode)?;
            set_time(&file, meta.mtime)
        }
        FileKind::Symlink if meta.links == 1 => {
            parent.make_symlink(&from.parent.read_link(&from.name)?, name)?;
            parent.set_owner_of(name, meta.uid, meta.gid)?;
            parent.set_time_of(name, meta.mtime)
        }
        // One file under several names stays one.
        _ => parent.make_link(&from.parent, &from.name, name),
    }
}

fn copy_metadata(patch: &Root, path: &[u8], source: &Dir, meta: &Meta) -> std::io::Result<()> {
    let dir = patch.open_dir_plain(path)?;
    set_owner(&dir, meta.uid, meta.gid)?;
    for (name, _) in read_xattrs(&dir)?.iter().filter(|(name, _)| !is_private(name)) {
        remove_xattr(&dir, name)?;
    }
    for (name, value) in read_xattrs(source)?.iter().filter(|(name, _)| !is_private(name)) {
        set_xattr(&dir, name, value)?;
    }
    set_mode(&dir, meta.mode)?;
    set_time(&dir, meta.mtime)
}
