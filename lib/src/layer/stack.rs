//! Layers seen as one tree without mounting them.

use std::io;

use super::WhiteoutForm;
use crate::error::{IoContext, Result};
use crate::sys::{Dir, FileKind, Meta, Root, read_xattr};

/// Unpacked layers in an overlay form, the topmost first, read as overlayfs would merge them.
///
/// Links are not followed: a path names what stands at that very place.
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

    pub(super) fn find(&self, path: &[u8]) -> Result<Option<Found>> {
        let looking = || format!("looking for \"{}\" in lower layers", path.escape_ascii());
        let mut parts = path.split(|&b| b == b'/').filter(|part| !part.is_empty()).peekable();
        let mut merged = Vec::new();
        for layer in self.layers {
            merged.push(layer.dir().try_clone().doing(looking)?);
            if self.is_opaque(layer.dir()).doing(looking)? {
                break;
            }
        }
        while let Some(name) = parts.next() {
            let Some((found, below)) = self.step(merged, name).doing(looking)? else {
                return Ok(None);
            };
            if parts.peek().is_none() {
                return Ok(Some(found));
            }
            merged = below;
        }
        Ok(None)
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
