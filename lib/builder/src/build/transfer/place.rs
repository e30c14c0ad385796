//! Placing what was found: files, directories, here-documents.

use std::collections::HashSet;

use super::super::view::join;
use super::layout::{Content, Layout, Owner, Placed, parent_of, shown};
use super::modes;
use super::select::{Chosen, Inside};
use crate::error::{Error, Result};
use crate::sys::{FileKind, Meta, Time};

impl Layout<'_> {
    /// Places a file, a link or a device.
    pub(in crate::build) fn place_file(
        &mut self,
        origin: usize,
        chosen: &Chosen,
        path: Vec<u8>,
    ) -> Result<()> {
        self.ensure(parent_of(&path).unwrap_or_default())?;
        let placed = self.described(origin, &chosen.path, &chosen.meta);
        self.put(path, placed, true)
    }

    /// Places what was chosen in a directory in another.
    pub(in crate::build) fn place_content(
        &mut self,
        origin: usize,
        chosen: &Chosen,
        target: &[u8],
    ) -> Result<()> {
        let known = self.below(target)?;
        if known.as_ref().is_some_and(|node| !node.is_directory()) {
            return Err(Error::invalid(format!("cannot copy to non-directory: {}", shown(target))));
        }
        self.ensure(target)?;
        // Only in directories of lower layers need anything be looked for.
        let mut lower: HashSet<&[u8]> = known.iter().map(|_| &b""[..]).collect();
        for Inside { path, meta, passed } in &chosen.inside {
            let at = join(target, path);
            let look = lower.contains(parent_of(path).unwrap_or_default());
            let is_directory = look
                && meta.kind == FileKind::Directory
                && self.below(&at)?.is_some_and(|node| node.is_directory());
            if is_directory {
                lower.insert(path);
            }
            if is_directory && *passed {
                // It is only on the way, and stays as it is.
                self.ensure(&at)?;
            } else {
                self.put(at, self.described(origin, &join(&chosen.path, path), meta), look)?;
            }
        }
        Ok(())
    }

    /// Places a file of given content.
    pub(in crate::build) fn place_bytes(
        &mut self,
        path: Vec<u8>,
        content: &[u8],
        mode: u32,
        mtime: Time,
    ) -> Result<()> {
        self.ensure(parent_of(&path).unwrap_or_default())?;
        let placed = Placed {
            kind: FileKind::File,
            mode: self.placement.chmod.map_or(mode, |chmod| modes::changed(chmod, mode, false)),
            owner: self.placement.owner.unwrap_or_default(),
            mtime,
            content: Content::Bytes(content.into()),
        };
        self.put(path, placed, true)
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
