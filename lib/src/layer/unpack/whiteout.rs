//! Whiteouts and opaque markers: written down for overlayfs, or carried out.
//!
//! They hide lower layers only, never what their own layer has, whatever the order of entries.

use super::super::name::join;
use super::tree::{Origin, Purpose, Tree};
use crate::error::{IoContext, Result};
use crate::sys::{Device, Dir, FileKind, Meta};

impl Tree<'_> {
    /// Hides `name` of lower layers in `dir`.
    pub(super) fn whiteout(&mut self, dir: &[u8], name: &[u8]) -> Result<()> {
        let purpose = if self.applies() { Purpose::Find } else { Purpose::Mark };
        let Some(parent) = self.parent(dir, purpose)? else { return Ok(()) };
        let path = join(&parent.path, name);
        if self.applies() {
            return self.remove_lower(&parent.dir, name, &path);
        }
        match parent.dir.lookup(name).doing(|| "looking for what is deleted")? {
            None => {}
            Some(Meta { kind: FileKind::Directory, .. }) if !self.is_hollow(&path) => {
                let dir = parent.dir.open_dir(name).doing(|| "opening the directory")?;
                return self.set_opaque(&dir);
            }
            Some(Meta { kind: FileKind::Directory, .. }) => self.make_room(&parent, name)?,
            // A file hides lower ones by being there.
            Some(_) => return Ok(()),
        }
        let written = parent.dir.make_node(name, FileKind::Char, 0o600, Device::default());
        written.doing(|| "making a whiteout")
    }

    /// Hides all that lower layers have in `dir`.
    pub(super) fn make_opaque(&mut self, dir: &[u8]) -> Result<()> {
        self.hides_lower_layers |= dir.is_empty();
        let parent = self.add_parent(dir)?;
        if !self.applies() {
            return self.set_opaque(&parent.dir);
        }
        self.note_added(&parent.path)?;
        self.remove_lower_contents(&parent.dir, &parent.path)
    }

    fn is_hollow(&self, path: &[u8]) -> bool {
        self.dirs.get(path).is_some_and(|plan| plan.origin == Origin::Hollow)
    }

    /// Removes what a lower layer has at `path`; of directories that this layer has, too, only what
    /// it did not add.
    fn remove_lower(&mut self, parent: &Dir, name: &[u8], path: &[u8]) -> Result<()> {
        if !self.has_added(path) {
            parent.remove_tree(name).doing(|| "deleting what lower layers have")?;
            self.forget(path);
            return Ok(());
        }
        match parent.lookup(name).doing(|| "looking for what is deleted")? {
            Some(Meta { kind: FileKind::Directory, .. }) => {
                let dir = parent.open_dir(name).doing(|| "opening the directory")?;
                self.remove_lower_contents(&dir, path)
            }
            _ => Ok(()),
        }
    }

    /// As deep as this layer's own names go.
    fn remove_lower_contents(&mut self, dir: &Dir, path: &[u8]) -> Result<()> {
        for entry in dir.entries().doing(|| "reading the directory")? {
            self.remove_lower(dir, &entry.name, &join(path, &entry.name))?;
        }
        Ok(())
    }
}
