//! What a stack of layers shows, looked up by name without mounting it.
//!
//! Owns the reading of single layers: an unpacked tree where there is one, else the table of
//! contents of the layer's archive. `COPY` asks here what stands at its destination, so that a
//! layer can be made without the ones below being unpacked. Promise: links are followed inside the
//! image only. Does not read files, but for the two that name accounts.

mod toc;
mod tree;

use std::collections::VecDeque;
use std::sync::Arc;

pub(super) use toc::{ACCOUNT_FILES, Toc};
pub(super) use tree::TreeLayer;

use crate::error::{Error, Result};
use crate::sys::Time;

/// Links that one path may lead through.
const MAX_LINKS: usize = 40;

/// Something in an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) kind: NodeKind,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: Time,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What sort of thing it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NodeKind {
    Directory,
    File,
    Symlink(Vec<u8>),
    /// A device or a pipe.
    Other,
}

impl Node {
    /// A directory that nobody has described.
    pub(super) fn implied() -> Node {
        Node {
            kind: NodeKind::Directory,
            mode: 0o755,
            uid: 0,
            gid: 0,
            mtime: Time::default(),
            xattrs: Vec::new(),
        }
    }

    pub(super) fn is_directory(&self) -> bool {
        self.kind == NodeKind::Directory
    }
}

/// What one layer says about a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Saying {
    Nothing,
    /// It is gone.
    Deleted,
    /// This is there; of an implied directory lower layers may know more.
    Node {
        node: Node,
        implied: bool,
        opaque: bool,
    },
}

/// One layer.
pub(super) enum LayerView {
    Toc(Toc),
    Tree(TreeLayer),
}

impl LayerView {
    fn at(&self, path: &[u8]) -> Result<Saying> {
        match self {
            LayerView::Toc(toc) => Ok(toc.at(path)),
            LayerView::Tree(tree) => tree.at(path),
        }
    }

    fn account_file(&self, path: &[u8]) -> Result<Vec<u8>> {
        match self {
            LayerView::Toc(toc) => Ok(toc.account_file(path)),
            LayerView::Tree(tree) => tree.account_file(path),
        }
    }
}

/// Layers, the lowest first.
#[derive(Clone, Default)]
pub(super) struct View {
    layers: Vec<Arc<LayerView>>,
}

impl View {
    pub(super) fn push(&mut self, layer: Arc<LayerView>) {
        self.layers.push(layer);
    }

    /// What stands at a path of which no part is followed as a link; paths have no `/` in front
    /// and no `.` or `..`. The root is always a directory.
    pub(super) fn lookup(&self, path: &[u8]) -> Result<Option<Node>> {
        Ok(self.find(path)?.map(|(node, _)| node))
    }

    /// The same, with the layer that has it.
    fn find(&self, path: &[u8]) -> Result<Option<(Node, usize)>> {
        let mut implied = path.is_empty().then(|| (Node::implied(), 0));
        for (index, layer) in self.layers.iter().enumerate().rev() {
            let ends: Vec<usize> = (0..=path.len())
                .filter(|&end| end > 0 && (end == path.len() || path[end] == b'/'))
                .collect();
            let mut hides = false;
            for end in ends {
                match layer.at(&path[..end])? {
                    Saying::Nothing => break,
                    Saying::Deleted => return Ok(implied),
                    Saying::Node { node, implied: unsure, opaque } => {
                        hides |= opaque;
                        if end == path.len() {
                            if !unsure {
                                return Ok(Some((node, index)));
                            }
                            implied.get_or_insert((node, index));
                        } else if !node.is_directory() {
                            return Ok(implied);
                        }
                    }
                }
            }
            if path.is_empty()
                && let Saying::Node { node, implied: false, .. } = layer.at(path)?
            {
                return Ok(Some((node, index)));
            }
            if hides {
                break;
            }
        }
        Ok(implied)
    }

    /// Follows links inside the image: where a path leads, and what is there. Parts that do not
    /// exist stay as they are written.
    pub(super) fn resolve(&self, path: &[u8]) -> Result<(Vec<u8>, Option<Node>)> {
        let mut ahead: VecDeque<Vec<u8>> = parts(path).map(<[u8]>::to_vec).collect();
        let mut here: Vec<u8> = Vec::new();
        let mut node = self.lookup(b"")?;
        let mut links = 0;
        while let Some(name) = ahead.pop_front() {
            if name == b".." {
                here.truncate(here.iter().rposition(|&b| b == b'/').unwrap_or(0));
                node = self.lookup(&here)?;
                continue;
            }
            let next = join(&here, &name);
            // Below what does not exist there is nothing to find.
            let found = match node {
                Some(_) => self.lookup(&next)?,
                None => None,
            };
            let Some(Node { kind: NodeKind::Symlink(target), .. }) = &found else {
                (here, node) = (next, found);
                continue;
            };
            links += 1;
            if links > MAX_LINKS {
                let shown = path.escape_ascii();
                return Err(Error::invalid(format!("too many symbolic links in /{shown}")));
            }
            if target.starts_with(b"/") {
                here.clear();
            }
            parts(target).rev().for_each(|part| ahead.push_front(part.to_vec()));
            node = self.lookup(&here)?;
        }
        Ok((here, node))
    }

    /// The content of `/etc/passwd` or `/etc/group`; empty where it is missing.
    pub(super) fn account_file(&self, path: &[u8]) -> Result<Vec<u8>> {
        let (path, node) = self.resolve(path)?;
        if !node.is_some_and(|node| node.kind == NodeKind::File) {
            return Ok(Vec::new());
        }
        match self.find(&path)? {
            Some((_, index)) => self.layers[index].account_file(&path),
            None => Ok(Vec::new()),
        }
    }
}

/// The parts of a path that mean something.
fn parts(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|&b| b == b'/').filter(|part| !part.is_empty() && *part != b".")
}

/// Path of `name` in the directory `parent`, where the root is empty.
pub(super) fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    match (parent.is_empty(), name.is_empty()) {
        (true, _) => name.to_vec(),
        (_, true) => parent.to_vec(),
        _ => [parent, b"/", name].concat(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
