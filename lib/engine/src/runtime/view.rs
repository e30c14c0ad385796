//! A container's files as a program in it would see them: the root, with what is bound over it.
//!
//! Links are followed by the container's idea of `/`, from one mount into another. Opens nothing
//! but regular files, each through a handle of the root or of a mount's source.

use std::collections::VecDeque;
use std::fs::File;
use std::io;

use super::mounted::Mounted;
use crate::sys::{FileKind, Root};

/// As many links as the kernel follows for one path.
const MAX_LINKS: usize = 40;

/// Opens the file at an absolute path.
///
/// # Errors
/// Those of the kernel; [`io::ErrorKind::Unsupported`] for what is in a mount that has no source
/// on the host (memory, the kernel's own file systems).
pub(super) fn open(root: &Root, mounts: &Mounted, path: &str) -> io::Result<File> {
    let mut seen: Vec<Vec<u8>> = Vec::new();
    let mut ahead: VecDeque<Vec<u8>> = parts(path.as_bytes()).collect();
    let mut links = 0;
    while let Some(part) = ahead.pop_front() {
        if part == b".." {
            seen.pop();
            continue;
        }
        seen.push(part);
        let Some(target) = link_at(root, mounts, &seen)? else { continue };
        links += 1;
        if links > MAX_LINKS {
            return Err(io::Error::from_raw_os_error(libc::ELOOP));
        }
        seen.pop();
        if target.starts_with(b"/") {
            seen.clear();
        }
        parts(&target).rev().for_each(|part| ahead.push_front(part));
    }
    let joined = join(&seen);
    in_mount(
        root,
        mounts,
        &joined,
        |root, path| root.open_file(path),
        |source| match std::fs::metadata(source)?.is_file() {
            true => File::open(source),
            false => Err(io::ErrorKind::Unsupported.into()),
        },
    )
}

fn parts(path: &[u8]) -> impl DoubleEndedIterator<Item = Vec<u8>> {
    path.split(|&b| b == b'/').filter(|part| !part.is_empty() && *part != b".").map(<[u8]>::to_vec)
}

fn join(parts: &[Vec<u8>]) -> Vec<u8> {
    parts.iter().fold(Vec::new(), |path, part| [&path[..], b"/", part].concat())
}

/// Where a link leads; `None` for anything else that is there.
fn link_at(root: &Root, mounts: &Mounted, parts: &[Vec<u8>]) -> io::Result<Option<Vec<u8>>> {
    let look = |root: &Root, path: &[u8]| {
        let (dir, name) = match root.open_parent(path) {
            // The mount itself.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Ok(None),
            opened => opened?,
        };
        match dir.lookup(name)?.ok_or(io::ErrorKind::NotFound)?.kind {
            FileKind::Symlink => dir.read_link(name).map(Some),
            _ => Ok(None),
        }
    };
    in_mount(root, mounts, &join(parts), look, |_| Ok(None))
}

/// Does something with a path in the file system that it is in: `inside` gets that one's root and
/// the path there, `whole` the source of a mount that is a file.
fn in_mount<T>(
    root: &Root,
    mounts: &Mounted,
    path: &[u8],
    inside: impl Fn(&Root, &[u8]) -> io::Result<T>,
    whole: impl Fn(&std::path::Path) -> io::Result<T>,
) -> io::Result<T> {
    let text = std::str::from_utf8(path).map_err(|_| io::ErrorKind::Unsupported)?;
    let Some(mount) = mounts.at(text) else { return inside(root, path) };
    let source = mount.bound.as_deref().ok_or(io::ErrorKind::Unsupported)?;
    if !std::fs::metadata(source)?.is_dir() {
        return whole(source);
    }
    let below = path.get(mount.target.len()..).unwrap_or_default();
    inside(&Root::open(source).map_err(io::Error::other)?, below)
}
