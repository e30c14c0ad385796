//! A layer in the making: its entries, and what they replace below.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::graph::Chmod;
use super::super::view::{Node, NodeKind, View};
use super::archive::Member;
use crate::error::{Error, Result};
use crate::sys::{FileKind, Meta, Time};

/// An owner and a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::build) struct Owner {
    pub(in crate::build) uid: u32,
    pub(in crate::build) gid: u32,
}

/// How files are placed.
#[derive(Clone)]
pub(in crate::build) struct Placement<'a> {
    /// What is below; `None` for a layer of its own (`--link`).
    pub(in crate::build) view: Option<&'a View>,
    /// Whom everything belongs to; `None` leaves files their owners.
    pub(in crate::build) owner: Option<Owner>,
    /// `--chmod`.
    pub(in crate::build) chmod: Option<&'a Chmod>,
    /// The time of directories that no source describes.
    pub(in crate::build) made_at: Time,
}

/// Where an entry of the layer comes from.
#[derive(Clone, Debug)]
pub(in crate::build) enum Content {
    /// From an origin: its number, the path in it, and what was there.
    Origin(usize, Vec<u8>, Meta),
    /// From memory.
    Bytes(Arc<[u8]>),
    /// From an archive. Members that share one are names of the same file.
    Member(Arc<Member>),
    /// Nowhere: a directory that is only described.
    Described(Vec<(Vec<u8>, Vec<u8>)>),
}

/// An entry of the layer.
#[derive(Clone, Debug)]
pub(in crate::build) struct Placed {
    pub(in crate::build) kind: FileKind,
    pub(in crate::build) mode: u32,
    pub(in crate::build) owner: Owner,
    pub(in crate::build) mtime: Time,
    pub(in crate::build) content: Content,
}

/// A layer in the making: its entries by their path.
pub(in crate::build) struct Layout<'a> {
    pub(super) placement: Placement<'a>,
    pub(in crate::build) entries: BTreeMap<Vec<u8>, Placed>,
    /// Directories that replace one of a lower layer, whose content must not show.
    pub(super) opaque: BTreeSet<Vec<u8>>,
    /// Names that no layer can have and were left out.
    pub(in crate::build) dropped: Vec<Vec<u8>>,
}

impl<'a> Layout<'a> {
    pub(in crate::build) fn new(placement: Placement<'a>) -> Layout<'a> {
        Layout { placement, entries: BTreeMap::new(), opaque: BTreeSet::new(), dropped: Vec::new() }
    }

    /// Where a destination leads (links followed), and whether a directory is there.
    pub(in crate::build) fn destination(&self, path: &str) -> Result<(Vec<u8>, bool)> {
        match self.placement.view {
            Some(view) => {
                let (path, node) = view.resolve(path.as_bytes())?;
                let is_directory = node.is_some_and(|node| node.is_directory());
                Ok((path, is_directory))
            }
            None => {
                let path = path.trim_matches('/').as_bytes().to_vec();
                let is_root = path.is_empty();
                Ok((path, is_root))
            }
        }
    }

    /// What this layer has at a path.
    pub(in crate::build) fn own_kind(&self, path: &[u8]) -> Option<FileKind> {
        self.entries.get(path).map(|placed| placed.kind)
    }

    /// What lower layers show at a path, as far as this layer does not hide it.
    pub(super) fn below(&self, path: &[u8]) -> Result<Option<Node>> {
        let Some(view) = self.placement.view else { return Ok(None) };
        match self.hides(path) {
            true => Ok(None),
            false => view.lookup(path),
        }
    }

    /// Whether an entry above `path` hides what lower layers have there.
    fn hides(&self, path: &[u8]) -> bool {
        // Entries have their directories as entries: only archives put others in their place.
        !self.opaque.is_empty()
            && std::iter::successors(parent_of(path), |above| parent_of(above))
                .any(|above| self.opaque.contains(above))
    }

    /// Makes a directory and those above it, where they are missing, as `--chown` and `--chmod`
    /// say. Only numbers count for what no source describes: a symbolic mode changes one that is
    /// there.
    pub(in crate::build) fn ensure(&mut self, path: &[u8]) -> Result<()> {
        let mode = match self.placement.chmod {
            Some(Chmod::Octal(mode)) => *mode,
            Some(Chmod::Symbolic(_)) | None => 0o755,
        };
        self.ensure_as(path, mode, self.placement.owner.unwrap_or_default())
    }

    /// The same with a given mode and owner.
    pub(super) fn ensure_as(&mut self, path: &[u8], mode: u32, owner: Owner) -> Result<()> {
        match self.own_kind(path) {
            _ if path.is_empty() => return Ok(()),
            Some(FileKind::Directory) => return Ok(()),
            Some(_) => return Err(not_a_directory(path)),
            None => {}
        }
        self.ensure_as(parent_of(path).unwrap_or_default(), mode, owner)?;
        let placed = match self.below(path)? {
            Some(node) if node.is_directory() => described(node),
            Some(_) => return Err(not_a_directory(path)),
            None => Placed {
                kind: FileKind::Directory,
                mode,
                owner,
                mtime: self.placement.made_at,
                content: Content::Described(Vec::new()),
            },
        };
        self.entries.insert(path.to_vec(), placed);
        Ok(())
    }

    /// Puts an entry in its place unless a directory and something else would meet there. Lower
    /// layers are only asked if `look` says so.
    pub(super) fn put(&mut self, path: Vec<u8>, placed: Placed, look: bool) -> Result<()> {
        if path.is_empty() || self.drops(&path) {
            return Ok(());
        }
        let here = self.own_kind(&path).map(|kind| kind == FileKind::Directory);
        let there = match here {
            Some(is_directory) => Some(is_directory),
            None if look => self.below(&path)?.map(|node| node.is_directory()),
            None => None,
        };
        match (there, placed.kind == FileKind::Directory) {
            (Some(true), false) => {
                let path = shown(&path);
                return Err(Error::invalid(format!(
                    "cannot replace to directory {path} with file"
                )));
            }
            (Some(false), true) => {
                let path = shown(&path);
                return Err(Error::invalid(format!("cannot copy to non-directory: {path}")));
            }
            _ => {}
        }
        self.entries.insert(path, placed);
        Ok(())
    }

    /// Puts an entry in the place of whatever is there, but for a directory that meets another.
    pub(super) fn replace(&mut self, path: Vec<u8>, placed: Placed) -> Result<()> {
        if path.is_empty() || self.drops(&path) {
            return Ok(());
        }
        let is_directory = placed.kind == FileKind::Directory;
        match self.own_kind(&path) {
            Some(FileKind::Directory) if is_directory => {}
            Some(FileKind::Directory) => self.forget_inside(&path),
            // A file of this layer stood there, over what lower layers have.
            Some(_) if is_directory => {
                if self.below(&path)?.is_some_and(|node| node.is_directory()) {
                    self.opaque.insert(path.clone());
                }
            }
            Some(_) | None => {}
        }
        self.entries.insert(path, placed);
        Ok(())
    }

    /// Forgets what this layer has below a directory.
    fn forget_inside(&mut self, path: &[u8]) {
        let (begin, end) = ([path, b"/"].concat(), [path, b"0"].concat());
        let inside = self.entries.range(begin..end).map(|(path, _)| path.clone());
        for path in inside.collect::<Vec<_>>() {
            self.entries.remove(&path);
            self.opaque.remove(&path);
        }
        self.opaque.remove(path);
    }

    /// Whether a path has a name in it that would mean a deletion in a layer; notes the path.
    pub(super) fn drops(&mut self, path: &[u8]) -> bool {
        let drops = path.split(|&b| b == b'/').any(|part| part.starts_with(b".wh."));
        if drops {
            self.dropped.push(path.to_vec());
        }
        drops
    }
}

/// The directory that a path is in; `None` for the root.
pub(super) fn parent_of(path: &[u8]) -> Option<&[u8]> {
    let slash = path.iter().rposition(|&b| b == b'/');
    (!path.is_empty()).then(|| &path[..slash.unwrap_or(0)])
}

fn described(node: Node) -> Placed {
    debug_assert!(node.kind == NodeKind::Directory);
    Placed {
        kind: FileKind::Directory,
        mode: node.mode,
        owner: Owner { uid: node.uid, gid: node.gid },
        mtime: node.mtime,
        content: Content::Described(node.xattrs),
    }
}

pub(super) fn not_a_directory(path: &[u8]) -> Error {
    Error::invalid(format!("{} is not a directory", shown(path)))
}

pub(super) fn shown(path: &[u8]) -> String {
    format!("/{}", String::from_utf8_lossy(path))
}
