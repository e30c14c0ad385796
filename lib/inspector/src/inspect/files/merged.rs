//! A stack of layers as the one tree that a container sees.

use std::collections::{HashMap, HashSet};

use super::entries::At;
use super::entry::{EntryKind, FileEntry};
use super::layer::LayerIndex;
use super::name::{Name, is_within, tree_order};
use super::stack::{Slot, stack};
use crate::error::{Error, Result};
use crate::layer::{join_path as join, split_path as split};

/// Most symbolic links that are followed for one path, as in Linux.
const MAX_LINKS: usize = 40;

/// The merged tree. Paths are as in [`FileEntry`]; the root is always there.
#[derive(Debug)]
pub struct Merged<'a> {
    layers: &'a [LayerIndex],
    slots: Vec<Slot>,
    /// By layer: what hard links are other names of.
    links: Vec<HashMap<u64, At>>,
}

/// Something that the merged tree shows.
#[derive(Clone, Debug)]
pub struct Node {
    /// The entry; `None` for a directory that layers only imply.
    pub entry: Option<FileEntry>,
    /// The layer that it comes from, counted from 0, the lowest.
    pub layer: usize,
}

impl Node {
    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.entry.as_ref().is_none_or(|entry| entry.kind == EntryKind::Directory)
    }
}

impl<'a> Merged<'a> {
    /// Stacks `layers`, lowest first.
    pub fn new(layers: &'a [LayerIndex]) -> Merged<'a> {
        let mut slots = vec![Slot::ROOT];
        for number in 0..layers.len() {
            slots = stack(layers, slots, number);
        }
        slots.shrink_to_fit();
        Merged { layers, slots, links: layers.iter().map(links).collect() }
    }

    /// The layers that were stacked.
    pub fn layers(&self) -> &'a [LayerIndex] {
        self.layers
    }

    fn node(&self, slot: Slot) -> Node {
        let layer = self.layers.get(slot.layer());
        let entry = slot.entry().zip(layer).map(|(at, layer)| layer.entries.entry(at));
        Node { entry, layer: slot.layer() }
    }

    /// How many paths come before this one, and whether it is there itself.
    fn place(&self, path: &[u8]) -> Result<usize, usize> {
        self.slots.binary_search_by(|slot| tree_order(slot.path(self.layers), path))
    }

    /// The path as the tree holds it; `None` if it is not there.
    pub(super) fn path(&self, path: &[u8]) -> Option<&'a [u8]> {
        self.place(path).ok().map(|at| self.slots[at].path(self.layers))
    }

    /// What is at `path` itself; links are not followed.
    pub fn at(&self, path: &[u8]) -> Option<Node> {
        self.place(path).ok().map(|at| self.node(self.slots[at]))
    }

    /// All that is below `path`, at any depth, in the order of the tree.
    pub fn below<'s>(
        &'s self,
        path: &[u8],
    ) -> impl Iterator<Item = (&'a [u8], Node)> + use<'s, 'a> {
        let start = self.place(path).map_or_else(|at| at, |at| at + 1);
        let layers = self.layers;
        let rest = self.slots[start..].iter().map(move |slot| (slot.path(layers), *slot));
        let dir = path.to_vec();
        let within = rest.take_while(move |(path, _)| is_within(path, &dir));
        within.map(|(path, slot)| (path, self.node(slot)))
    }

    /// What is in the directory `path`.
    pub fn children(&self, path: &[u8]) -> impl Iterator<Item = (&'a [u8], Node)> {
        let skip = if path.is_empty() { 0 } else { path.len() + 1 };
        self.below(path).filter(move |(path, _)| !path[skip..].contains(&b'/'))
    }

    /// All paths and what is there, the root first, in the order of the tree: what is in a
    /// directory follows it at once.
    pub fn all(&self) -> impl Iterator<Item = (&'a [u8], Node)> {
        self.slots.iter().map(|slot| (slot.path(self.layers), self.node(*slot)))
    }

    /// Where a path leads, with symbolic links followed inside the image; the last one only if
    /// `follow_last`.
    ///
    /// # Errors
    /// `NotFound` if nothing is there, `Invalid` for links in circles.
    pub fn resolve(&self, path: &[u8], follow_last: bool) -> Result<Vec<u8>> {
        let shown = Name::from(path);
        let mut links = 0;
        let mut done: Vec<u8> = Vec::new();
        let mut todo: Vec<Vec<u8>> = parts(path);
        while let Some(part) = todo.pop() {
            if part == b".." {
                done = split(&done).map(|(dir, _)| dir.to_vec()).unwrap_or_default();
                continue;
            }
            let here = join(&done, &part);
            let Some(node) = self.at(&here) else {
                return Err(Error::not_found(format!("the image has no /{}", strip(&shown))));
            };
            let target = node.entry.filter(|entry| entry.kind == EntryKind::Symlink);
            match target.and_then(|entry| entry.link) {
                Some(target) if follow_last || !todo.is_empty() => {
                    links += 1;
                    if links > MAX_LINKS {
                        let what = format!("/{} leads through too many links", strip(&shown));
                        return Err(Error::invalid(what));
                    }
                    if target.as_bytes().starts_with(b"/") {
                        done.clear();
                    }
                    todo.extend(parts(target.as_bytes()));
                }
                _ => done = here,
            }
        }
        Ok(done)
    }

    /// The regular file that a path stands for, links of both kinds followed: its layer, and its
    /// entry in that layer.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` where it is no file, or a hard link whose other end is not in its
    /// layer.
    pub fn file(&self, path: &[u8]) -> Result<(usize, FileEntry)> {
        let path = self.resolve(path, true)?;
        let what = |problem: &str| Error::invalid(format!("/{} {problem}", Name::from(&path[..])));
        let node = self.at(&path).ok_or_else(|| what("is not there"))?;
        let entry = node.entry.ok_or_else(|| what("is a directory"))?;
        match entry.kind {
            EntryKind::File => Ok((node.layer, entry)),
            EntryKind::Hardlink => {
                let found = self.content(node.layer, &entry);
                found
                    .map(|target| (node.layer, target))
                    .ok_or_else(|| what("is a hard link to something that its layer does not hold"))
            }
            EntryKind::Directory => Err(what("is a directory")),
            _ => Err(what("is no regular file")),
        }
    }

    /// The entry with the content of a hard link of the layer.
    pub fn content(&self, layer: usize, link: &FileEntry) -> Option<FileEntry> {
        let at = *self.links.get(layer)?.get(&link.ordinal)?;
        Some(self.layers.get(layer)?.entries.entry(at))
    }
}

/// For each hard link of a layer the file of that layer that it is another name of, as the archive
/// had it when the link came.
fn links(layer: &LayerIndex) -> HashMap<u64, At> {
    let entries = &layer.entries;
    let targets = entries.heads().filter(|head| head.kind == EntryKind::Hardlink);
    let targets: HashSet<Name> = targets.filter_map(|head| entries.entry(head.at).link).collect();
    let (mut links, mut files) = (HashMap::new(), HashMap::new());
    if targets.is_empty() {
        return links;
    }
    for head in entries.heads() {
        let content = match head.kind {
            EntryKind::Whiteout | EntryKind::Opaque => continue,
            EntryKind::File => Some(head.at),
            EntryKind::Hardlink => {
                let entry = entries.entry(head.at);
                let found = entry.link.and_then(|target| files.get(target.as_bytes()).copied());
                if let Some(content) = found {
                    links.insert(entry.ordinal, content);
                }
                found
            }
            _ => None,
        };
        match content {
            Some(content) if targets.contains(head.path) => {
                files.insert(head.path, content);
            }
            Some(_) => {}
            None => drop(files.remove(head.path)),
        }
    }
    links
}

/// The components of a path, the first one last.
fn parts(path: &[u8]) -> Vec<Vec<u8>> {
    let parts = path.split(|&b| b == b'/').filter(|part| !part.is_empty() && *part != b".");
    parts.rev().map(<[u8]>::to_vec).collect()
}

fn strip(name: &Name) -> String {
    name.to_string().trim_start_matches('/').to_owned()
}
