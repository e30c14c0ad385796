//! Layers seen as one tree without mounting them.

use std::collections::BTreeSet;
use std::io;

use super::WhiteoutForm;
use super::name::split;
use crate::error::{IoContext, Result};
use crate::sys::{Dir, FileKind, Meta, Root, read_xattr};

/// Unpacked layers in an overlay form, the topmost first, read as overlayfs would merge them.
///
/// Links are not followed: a path names what stands at that very place. Paths are relative and have
/// no `.` or `..`.
#[derive(Debug)]
pub struct Stack<'a> {
    layers: &'a [Root],
    form: WhiteoutForm,
}

/// Something that a stack shows.
#[derive(Debug)]
pub(super) struct Found {
    /// The directory of the layer that has it.
    pub(super) parent: Dir,
    pub(super) name: Vec<u8>,
    pub(super) meta: Meta,
}

impl<'a> Stack<'a> {
    /// A stack of `layers`, the topmost first, all unpacked in `form`.
    pub fn new(layers: &'a [Root], form: WhiteoutForm) -> Stack<'a> {
        Stack { layers, form }
    }

    /// Metadata of what the stack shows at `path`; `None` for nothing.
    pub fn lookup(&self, path: &[u8]) -> Result<Option<Meta>> {
        Ok(self.find(path)?.map(|found| found.meta))
    }

    /// The object at `path` that shows, and the directory of the layer that it lies in.
    pub fn locate(&self, path: &[u8]) -> Result<Option<(Dir, Meta)>> {
        Ok(self.find(path)?.map(|found| (found.parent, found.meta)))
    }

    pub(super) fn find(&self, path: &[u8]) -> Result<Option<Found>> {
        let Some((parent, name)) = split(path) else { return Ok(None) };
        let Some(merged) = self.merged(parent)? else { return Ok(None) };
        let found = self.step(merged, name).doing(|| looking(path))?;
        Ok(found.map(|(found, _)| found))
    }

    /// The directories that are merged at `path`, the topmost first; `None` when it is no directory.
    fn merged(&self, path: &[u8]) -> Result<Option<Vec<Dir>>> {
        let mut merged = Vec::new();
        for layer in self.layers {
            merged.push(layer.dir().try_clone().doing(|| looking(path))?);
            if self.is_opaque(layer.dir()).doing(|| looking(path))? {
                break;
            }
        }
        for name in path.split(|&b| b == b'/').filter(|part| !part.is_empty()) {
            match self.step(merged, name).doing(|| looking(path))? {
                Some((found, below)) if found.meta.kind == FileKind::Directory => merged = below,
                _ => return Ok(None),
            }
        }
        Ok(Some(merged))
    }

    /// The names that the stack shows in the directory at `path`; none if there is no directory.
    pub fn names(&self, path: &[u8]) -> Result<BTreeSet<Vec<u8>>> {
        let reading = || format!("reading \"{}\" in lower layers", path.escape_ascii());
        let merged = match self.merged(path)? {
            Some(merged) => merged,
            None => return Ok(BTreeSet::new()),
        };
        let (mut shown, mut hidden) = (BTreeSet::new(), BTreeSet::new());
        for dir in &merged {
            for entry in dir.entries().doing(reading)? {
                let meta = dir.lookup(&entry.name).doing(reading)?;
                if meta.is_some_and(|meta| self.form.is_whiteout(&meta)) {
                    hidden.insert(entry.name);
                } else if !hidden.contains(&entry.name) {
                    shown.insert(entry.name);
                }
            }
        }
        Ok(shown)
    }

    /// What merged directories, the topmost first, have under a name, and what is merged there.
    fn step(&self, merged: Vec<Dir>, name: &[u8]) -> io::Result<Option<(Found, Vec<Dir>)>> {
        let mut first = None;
        let mut below = Vec::new();
        for dir in merged {
            let Some(meta) = dir.lookup(name)? else { continue };
            if meta.kind != FileKind::Directory {
                if first.is_none() && !self.form.is_whiteout(&meta) {
                    first = Some(Found { parent: dir, name: name.to_vec(), meta });
                }
                break;
            }
            let inner = dir.open_dir(name)?;
            let opaque = self.is_opaque(&inner)?;
            below.push(inner);
            first.get_or_insert(Found { parent: dir, name: name.to_vec(), meta });
            if opaque {
                break;
            }
        }
        Ok(first.map(|found| (found, below)))
    }

    fn is_opaque(&self, dir: &Dir) -> io::Result<bool> {
        match self.form.xattr("opaque") {
            Some(name) => Ok(read_xattr(dir, &name)?.is_some_and(|value| value == b"y")),
            None => Ok(false),
        }
    }
}

fn looking(path: &[u8]) -> String {
    format!("looking for \"{}\" in lower layers", path.escape_ascii())
}
