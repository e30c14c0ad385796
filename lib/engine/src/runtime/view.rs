//! A container's files as a program in it would see them: the root, with what is bound over it.
//!
//! Links are followed by the container's idea of `/`, from one mount into another, each through a
//! handle of the root or of a mount's source. Opens nothing but regular files.

use std::collections::VecDeque;
use std::fs::File;
use std::io;

use super::mounted::{MountedAt, at};
use crate::sys::Root;

/// As many links as the kernel follows for one path.
const MAX_LINKS: usize = 40;

/// The links that runtimes make in a `/dev` of the container's own.
const DEVICE_LINKS: [(&[u8], &[u8]); 5] = [
    (b"/dev/fd", b"/proc/self/fd"),
    (b"/dev/stdin", b"/proc/self/fd/0"),
    (b"/dev/stdout", b"/proc/self/fd/1"),
    (b"/dev/stderr", b"/proc/self/fd/2"),
    (b"/dev/core", b"/proc/kcore"),
];

/// Opens the file at an absolute path.
///
/// # Errors
/// Those of the kernel; [`io::ErrorKind::Unsupported`] for what is in a mount that has no source
/// on the host (the kernel's own file systems), `NotFound` for what is in memory that begins empty.
pub(super) fn open(root: &Root, mounts: &[MountedAt], path: &str) -> io::Result<File> {
    let real = follow(path, |path| link_at(root, mounts, path))?;
    in_mount(
        root,
        mounts,
        &real,
        |root, path| root.open_file(path),
        |source| match std::fs::metadata(source)?.is_file() {
            true => File::open(source),
            false => Err(io::ErrorKind::Unsupported.into()),
        },
    )
}

/// Where an absolute path leads, all links followed as far as there is something.
pub(super) fn resolve(root: &Root, mounts: &[MountedAt], path: &str) -> io::Result<Vec<u8>> {
    follow(path, |path| match link_at(root, mounts, path) {
        // The kernel's links lead where no path does.
        _ if path.starts_with(b"/proc/") => Ok(None),
        Err(error) if is_literal(&error) => {
            let made = DEVICE_LINKS.iter().find(|(link, _)| *link == path);
            Ok(made.map(|(_, target)| target.to_vec()))
        }
        found => found,
    })
}

/// Nothing is there yet, or the kernel's own: no link of somebody's.
fn is_literal(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound, Unsupported};
    matches!(error.kind(), NotFound | NotADirectory | Unsupported)
}

fn follow(
    path: &str,
    link_at: impl Fn(&[u8]) -> io::Result<Option<Vec<u8>>>,
) -> io::Result<Vec<u8>> {
    let mut seen: Vec<Vec<u8>> = Vec::new();
    let mut ahead: VecDeque<Vec<u8>> = parts(path.as_bytes()).collect();
    let mut links = 0;
    while let Some(part) = ahead.pop_front() {
        if part == b".." {
            seen.pop();
            continue;
        }
        seen.push(part);
        let Some(target) = link_at(&join(&seen))? else { continue };
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
    Ok(join(&seen))
}

fn parts(path: &[u8]) -> impl DoubleEndedIterator<Item = Vec<u8>> {
    path.split(|&b| b == b'/').filter(|part| !part.is_empty() && *part != b".").map(<[u8]>::to_vec)
}

fn join(parts: &[Vec<u8>]) -> Vec<u8> {
    parts.iter().fold(Vec::new(), |path, part| [&path[..], b"/", part].concat())
}

/// Where a link leads; `None` for anything else that is there.
fn link_at(root: &Root, mounts: &[MountedAt], path: &[u8]) -> io::Result<Option<Vec<u8>>> {
    in_mount(root, mounts, path, |root, path| root.link_target(path), |_| Ok(None))
}

/// Does something with a path in the file system that it is in: `inside` gets that one's root and
/// the path there, `whole` the source of a mount that is a file.
fn in_mount<T>(
    root: &Root,
    mounts: &[MountedAt],
    path: &[u8],
    inside: impl Fn(&Root, &[u8]) -> io::Result<T>,
    whole: impl Fn(&std::path::Path) -> io::Result<T>,
) -> io::Result<T> {
    let text = std::str::from_utf8(path).map_err(|_| io::ErrorKind::Unsupported)?;
    let Some(mount) = at(mounts, text) else { return inside(root, path) };
    if mount.is_empty {
        return match text.len() == mount.target.len() {
            true => whole(std::path::Path::new("/")),
            false => Err(io::ErrorKind::NotFound.into()),
        };
    }
    let source = mount.bound.as_deref().ok_or(io::ErrorKind::Unsupported)?;
    if !std::fs::metadata(source)?.is_dir() {
        return whole(source);
    }
    let below = path.get(mount.target.len()..).unwrap_or_default();
    inside(&Root::open(source).map_err(io::Error::other)?, below)
}
