//! What can only be known about a layer when the layers below it are.

use super::form::is_private;
use super::stack::{Found, Stack};
use super::unpack::ImpliedDir;
use crate::error::{IoContext, Result};
use crate::sys::{
    FileKind, Root, read_xattrs, remove_xattr, set_mode, set_owner, set_time, set_xattr,
};

/// Gives directories that an archive only implied the metadata that the layers below have for
/// them, and removes those that only hold whiteouts for nothing.
///
/// `implied` is the list of the [`UnpackReport`](super::UnpackReport) of `layer`. Returns whether
/// the layer is different now: then it belongs to this stack and to no other.
pub fn complete_implied(layer: &Root, implied: &[ImpliedDir], below: &Stack<'_>) -> Result<bool> {
    let mut changed = false;
    // Sorted, a directory comes before what is in it; times settle from the inside.
    for dir in implied.iter().rev().filter(|dir| !dir.path.is_empty()) {
        let completing = || format!("completing directory \"{}\"", dir.path.escape_ascii());
        match below.find(&dir.path)? {
            Some(found) if found.meta.kind == FileKind::Directory => {
                copy_metadata(layer, &dir.path, &found).doing(completing)?;
                changed = true;
            }
            _ if dir.only_whiteouts => {
                remove(layer, &dir.path).doing(completing)?;
                changed = true;
            }
            _ => {}
        }
    }
    Ok(changed)
}

fn remove(layer: &Root, path: &[u8]) -> std::io::Result<()> {
    let (parent, name) = super::name::split(path).unwrap_or_default();
    let parent = layer.open_dir_plain(parent)?;
    let time = parent.meta()?.mtime;
    parent.remove_tree(name)?;
    set_time(&parent, time)
}

fn copy_metadata(layer: &Root, path: &[u8], from: &Found) -> std::io::Result<()> {
    let dir = layer.open_dir_plain(path)?;
    let source = from.parent.open_dir(&from.name)?;
    set_owner(&dir, from.meta.uid, from.meta.gid)?;
    let wanted: Vec<_> =
        read_xattrs(&source)?.into_iter().filter(|(name, _)| !is_private(name)).collect();
    for (name, _) in read_xattrs(&dir)?.iter().filter(|(name, _)| !is_private(name)) {
        remove_xattr(&dir, name)?;
    }
    for (name, value) in &wanted {
        set_xattr(&dir, name, value)?;
    }
    set_mode(&dir, from.meta.mode)?;
    set_time(&dir, from.meta.mtime)
}
