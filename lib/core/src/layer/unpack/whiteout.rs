//! Whiteouts and opaque markers: written down for overlayfs, or carried out.
//!
//! They hide lower layers only, never what their own layer has, whatever the order of entries.

use super::super::name::join;
use super::tree::{Hidden, Origin, Purpose, Tree};
use crate::error::{IoContext, Result};
use crate::sys::{Device, Dir, FileKind, Meta, set_xattr};

impl Tree<'_> {
    /// Hides `name` of lower layers in `dir`.
    pub(super) fn whiteout(&mut self, dir: &[u8], name: &[u8]) -> Result<()> {
        let purpose = if self.applies() { Purpose::Find } else { Purpose::Mark };
        let Some(parent) = self.parent(dir, purpose)? else { return Ok(()) };
        if self.is_hidden(&parent.path) {
            return Ok(());
        }
        let path = join(&parent.path, name);
        if self.applies() {
            return self.remove_lower(&parent.dir, name, &path);
        }
        match parent.dir.lookup(name).doing(|| "looking for what is deleted")? {
            None => {}
            Some(Meta { kind: FileKind::Directory, .. }) if !self.is_hollow(&path) => {
                let dir = parent.dir.open_dir(name).doing(|| "opening the directory")?;
                return self.hide_lower(&dir, &path, Hidden::Whole);
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
            return self.hide_lower(&parent.dir, &parent.path, Hidden::Content);
        }
        self.note_added(&parent.path)?;
        self.remove_lower_contents(&parent.dir, &parent.path)
    }

    /// Marks a directory of this layer so that lower ones of that name do not show.
    pub(super) fn hide_lower(&mut self, dir: &Dir, path: &[u8], what: Hidden) -> Result<()> {
        let Some(xattr) = self.options.whiteouts.xattr("opaque") else { return Ok(()) };
        set_xattr(dir, &xattr, b"y")
            .doing(|| format!("setting {} on the directory", xattr.escape_ascii()))?;
        // Overlayfs does not look for whiteouts where it merges nothing, and would list them.
        if self.note_hidden(path, what)? { self.remove_whiteouts(dir, path) } else { Ok(()) }
    }

    /// As deep as this layer's own names go.
    fn remove_whiteouts(&mut self, dir: &Dir, path: &[u8]) -> Result<()> {
        for entry in dir.entries().doing(|| "reading the directory")? {
            match dir.lookup(&entry.name).doing(|| "looking for whiteouts")? {
                Some(meta) if self.is_whiteout(&meta) => {
                    dir.remove_file(&entry.name).doing(|| "removing a whiteout")?;
                }
                Some(Meta { kind: FileKind::Directory, .. }) => {
                    let path = join(path, &entry.name);
                    if self.is_hollow(&path) {
                        dir.remove_tree(&entry.name).doing(|| "removing whiteouts")?;
                        self.forget(&path);
                        continue;
                    }
                    let below = dir.open_dir(&entry.name).doing(|| "opening a directory")?;
                    self.remove_whiteouts(&below, &path)?;
                }
                _ => {}
            }
        }
        Ok(())
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
                self.remove_lower_contents(&dir, path)?;
                // The lower directory is gone, too; this layer needs one for what it has in it.
                match self.dirs.get(path).map(|plan| plan.origin) {
                    None | Some(Origin::Kept) => self.plan_implied(path, Origin::Implied),
                    Some(_) => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// As deep as this layer's own names go.
    fn remove_lower_contents(&mut self, dir: &Dir, path: &[u8]) -> Result<()> {
        if self.is_hidden(path) {
            return Ok(());
        }
        for entry in dir.entries().doing(|| "reading the directory")? {
            self.remove_lower(dir, &entry.name, &join(path, &entry.name))?;
        }
        self.note_hidden(path, Hidden::Content).map(drop)
    }
}
