//! Where files go, and what becomes of their metadata.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::graph::Chmod;
use super::super::view::{Node, NodeKind, View, join};
use super::modes;
use super::select::Chosen;
use crate::error::{Error, Result};
use crate::sys::{FileKind, Meta, Time};

/// An owner and a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::build) struct Owner {
    pub(in crate::build) uid: u32,
    pub(in crate::build) gid: u32,
}

/// How files are placed.
pub(in crate::build) struct Placement<'a> {
    /// What is below; `None` for a layer of its own (`--link`).
    pub(in crate::build) view: Option<&'a View>,
    /// Whom everything belongs to; `None` leaves files their owners.
    pub(in crate::build) owner: Option<Owner>,
    /// `--chmod`.
    pub(in crate::build) chmod: Option<&'a Chmod>,
    /// The time of directories that nobody has described.
    pub(in crate::build) made_at: Time,
}

/// Where an entry of the layer comes from.
#[derive(Clone, Debug)]
pub(in crate::build) enum Content {
    /// From an origin: its number, the path in it, and what was there.
    Origin(usize, Vec<u8>, Meta),
    /// From memory.
    Bytes(Arc<[u8]>),
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
    placement: Placement<'a>,
    pub(in crate::build) entries: BTreeMap<Vec<u8>, Placed>,
    /// Names that no layer can have and were left out.
    pub(in crate::build) dropped: Vec<Vec<u8>>,
}

impl<'a> Layout<'a> {
    pub(in crate::build) fn new(placement: Placement<'a>) -> Layout<'a> {
        Layout { placement, entries: BTreeMap::new(), dropped: Vec::new() }
    }

    /// Where a destination leads (links followed), and whether a directory is there.
    pub(in crate::build) fn destination(&self, path: &str) -> Result<(Vec<u8>, bool)> {
        match self.placement.view {
            Some(view) => {
                let (path, node) = view.resolve(path.as_bytes())?;
                let placed = self.entries.get(&path).map(|placed| placed.kind);
                let is_directory = match placed {
                    Some(kind) => kind == FileKind::Directory,
                    None => node.is_some_and(|node| node.is_directory()),
                };
                Ok((path, is_directory))
            }
            None => {
                let path = path.trim_matches('/').as_bytes().to_vec();
                let known = self.entries.get(&path);
                let is_directory = known.is_some_and(|known| known.kind == FileKind::Directory);
                Ok((path.clone(), is_directory || path.is_empty()))
            }
        }
    }

    /// Makes a directory and those above it, where they are missing.
    pub(in crate::build) fn ensure(&mut self, path: &[u8]) -> Result<()> {
        if path.is_empty() {
            return Ok(());
        }
        match self.entries.get(path).map(|placed| placed.kind) {
            Some(FileKind::Directory) => return Ok(()),
            Some(_) => return Err(not_a_directory(path)),
            None => {}
        }
        let parent = path.iter().rposition(|&b| b == b'/').map_or(&b""[..], |at| &path[..at]);
        self.ensure(parent)?;
        let placed = match self.below(path)? {
            Some(node) if node.is_directory() => described(node),
            Some(_) => return Err(not_a_directory(path)),
            None => {
                let mode = match self.placement.chmod {
                    Some(Chmod::Octal(mode)) => *mode,
                    Some(symbolic) => modes::changed(symbolic, 0o755, true),
                    None => 0o755,
                };
                Placed {
                    kind: FileKind::Directory,
                    mode,
                    owner: self.placement.owner.unwrap_or_default(),
                    mtime: self.placement.made_at,
                    content: Content::Described(Vec::new()),
                }
            }
        };
        self.entries.insert(path.to_vec(), placed);
        Ok(())
    }

    /// What lower layers have at a path.
    fn below(&self, path: &[u8]) -> Result<Option<Node>> {
        self.placement.view.map_or(Ok(None), |view| view.lookup(path))
    }

    /// Places what was found: the content of a directory in `path`, a file at `path` or, if that
    /// is a directory, in it.
    pub(in crate::build) fn place(
        &mut self,
        origin: usize,
        chosen: &Chosen,
        path: &[u8],
        into: bool,
        keep_path: bool,
    ) -> Result<()> {
        let target = match keep_path || into && chosen.meta.kind != FileKind::Directory {
            true => join(path, &chosen.name),
            false => path.to_vec(),
        };
        if keep_path {
            self.ensure(path)?;
            for (name, real, meta) in &chosen.above {
                self.put(join(path, name), self.described(origin, real, meta), true)?;
            }
        }
        if chosen.meta.kind != FileKind::Directory {
            let parent = target.iter().rposition(|&b| b == b'/').unwrap_or(0);
            self.ensure(&target[..parent])?;
            let placed = self.described(origin, &chosen.path, &chosen.meta);
            return self.put(target, placed, true);
        }
        let known = self.below(&target)?;
        if keep_path && !target.is_empty() {
            let placed = self.described(origin, &chosen.path, &chosen.meta);
            self.put(target.clone(), placed, known.is_some())?;
        } else if known.as_ref().is_some_and(|node| !node.is_directory()) {
            return Err(Error::invalid(format!(
                "cannot copy to non-directory: {}",
                shown(&target)
            )));
        } else {
            self.ensure(&target)?;
        }
        // What is below a directory that does not exist yet need not be looked for.
        let mut looks = known.is_some().then(|| vec![Vec::new()]);
        for (name, meta) in &chosen.inside {
            let at = join(&target, name);
            let parent = name.iter().rposition(|&b| b == b'/').map_or(&b""[..], |at| &name[..at]);
            let look = match &mut looks {
                Some(stack) => {
                    while stack.last().is_some_and(|top: &Vec<u8>| !is_in(top, parent)) {
                        stack.pop();
                    }
                    stack.last().is_some_and(|top| top.as_slice() == parent)
                }
                None => false,
            };
            if let Some(stack) = looks.as_mut().filter(|_| look)
                && meta.kind == FileKind::Directory
                && self.below(&at)?.is_some()
            {
                stack.push(name.clone());
            }
            let placed = self.described(origin, &join(&chosen.path, name), meta);
            self.put(at, placed, look)?;
        }
        Ok(())
    }

    /// Places the tree of an archive below `path`. Whom its files belong to is written in it, unless
    /// another owner was asked for.
    pub(in crate::build) fn place_archive(
        &mut self,
        origin: usize,
        whole: &Chosen,
        path: &[u8],
        owned: bool,
    ) -> Result<()> {
        let owner = self.placement.owner;
        self.placement.owner = owner.filter(|_| owned);
        let placed = self.place(origin, whole, path, true, false);
        self.placement.owner = owner;
        placed
    }

    /// Places a file of given content.
    pub(in crate::build) fn place_bytes(
        &mut self,
        path: Vec<u8>,
        content: &[u8],
        mode: u32,
        mtime: Time,
    ) -> Result<()> {
        let parent = path.iter().rposition(|&b| b == b'/').unwrap_or(0);
        self.ensure(&path[..parent])?;
        let placed = Placed {
            kind: FileKind::File,
            mode: self.placement.chmod.map_or(mode, |chmod| modes::changed(chmod, mode, false)),
            owner: self.placement.owner.unwrap_or_default(),
            mtime,
            content: Content::Bytes(content.into()),
        };
        self.put(path, placed, true)
    }

    /// Puts an entry in its place unless a directory and something else would meet there.
    fn put(&mut self, path: Vec<u8>, placed: Placed, look: bool) -> Result<()> {
        let name = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
        if path.is_empty() {
            return Ok(());
        }
        if name.starts_with(b".wh.") {
            self.dropped.push(path);
            return Ok(());
        }
        let here = self.entries.get(&path).map(|known| known.kind == FileKind::Directory);
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

    fn described(&self, origin: usize, path: &[u8], meta: &Meta) -> Placed {
        let is_directory = meta.kind == FileKind::Directory;
        let mode = match self.placement.chmod.filter(|_| meta.kind != FileKind::Symlink) {
            Some(chmod) => modes::changed(chmod, meta.mode, is_directory),
            None => meta.mode,
        };
        Placed {
            kind: meta.kind,
            mode,
            owner: self.placement.owner.unwrap_or(Owner { uid: meta.uid, gid: meta.gid }),
            mtime: meta.mtime,
            content: Content::Origin(origin, path.to_vec(), *meta),
        }
    }
}

/// Whether `path` is `dir` or below it.
fn is_in(dir: &[u8], path: &[u8]) -> bool {
    dir.is_empty() || path.strip_prefix(dir).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
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

fn not_a_directory(path: &[u8]) -> Error {
    Error::invalid(format!("{} is not a directory", shown(path)))
}

fn shown(path: &[u8]) -> String {
    format!("/{}", String::from_utf8_lossy(path))
}
