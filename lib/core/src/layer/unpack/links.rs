//! Entries that are no plain files: links, devices and pipes.

use std::io::{self, BufRead};

use super::super::name::{EntryPath, Meaning, join};
use super::super::tar::Entry;
use super::Pass;
use super::options::Rights;
use super::tree::{Parent, Purpose};
use crate::error::{Error, IoContext, Result};
use crate::sys::{Device, FileKind, Meta};

impl<R: BufRead> Pass<'_, '_, '_, R> {
    pub(super) fn symlink(
        &mut self,
        parent: &Parent,
        name: &[u8],
        target: &[u8],
        entry: &Entry,
    ) -> Result<()> {
        if target.is_empty() || target.contains(&0) {
            return Err(Error::invalid("symbolic link to an empty name"));
        }
        self.in_free_place(parent, name, &mut || parent.dir.make_symlink(target, name))
            .doing(|| "making the link")?;
        if let Some((uid, gid)) = self.tree.owner_to_set(parent, entry)? {
            parent.dir.set_owner_of(name, uid, gid).doing(|| "setting the owner")?;
        }
        self.set_xattrs_and_time(parent, name, entry)
    }

    /// Makes a device or pipe. Devices that this process may not make are left out and reported.
    pub(super) fn node(
        &mut self,
        parent: &Parent,
        name: &[u8],
        kind: FileKind,
        device: Device,
        entry: &Entry,
    ) -> Result<()> {
        if kind == FileKind::Char && device == Device::default() {
            return Err(Error::invalid("device 0:0, which is a deletion to overlayfs"));
        }
        if kind != FileKind::Fifo && self.options.rights == Rights::Drop {
            self.tree.skipped_devices.add(join(&parent.path, name));
            return Ok(());
        }
        let made = self.in_free_place(parent, name, &mut || {
            parent.dir.make_node(name, kind, entry.mode & 0o777, device)
        });
        if let Err(error) = &made
            && error.kind() == io::ErrorKind::PermissionDenied
            && kind != FileKind::Fifo
        {
            self.tree.skipped_devices.add(join(&parent.path, name));
            return Ok(());
        }
        made.doing(|| "making the device")?;
        if let Some((uid, gid)) = self.tree.owner_to_set(parent, entry)? {
            parent.dir.set_owner_of(name, uid, gid).doing(|| "setting the owner")?;
        }
        if parent.inherits {
            let clearing = || "clearing the access list";
            parent.dir.remove_xattr_of(name, b"system.posix_acl_access").doing(clearing)?;
        }
        if let Some(mode) = self.tree.mode_to_set(parent, entry) {
            parent.dir.set_mode_of(name, mode).doing(|| "setting the mode")?;
        }
        self.set_xattrs_and_time(parent, name, entry)
    }

    /// Gives something that this layer already has a further name.
    pub(super) fn hard_link(
        &mut self,
        parent: &Parent,
        name: &[u8],
        target: &[u8],
        entry: &Entry,
    ) -> Result<()> {
        // What the header says is compared with what the file has.
        self.writers.wait()?;
        let shown = || format!("hard link to \"{}\"", target.escape_ascii());
        let limits = &self.options.limits;
        let path = EntryPath::parse(target, limits.path_bytes, limits.depth).doing(shown)?;
        let (Some((dir, existing)), Meaning::Add) = (path.split(), path.meaning().doing(shown)?)
        else {
            return Err(Error::invalid(format!("{}, which is no file", shown())));
        };
        let missing =
            || Error::not_found("there is no such file in this layer").while_doing(shown());
        let from = self.tree.parent(dir, Purpose::Find)?.ok_or_else(missing)?;
        let found = from.dir.lookup(existing).doing(shown)?;
        if found.is_none() && self.tree.skipped_devices.contains(&join(&from.path, existing)) {
            self.tree.skipped_devices.add(join(&parent.path, name));
            return Ok(());
        }
        let found = found.ok_or_else(missing)?;
        if found.kind == FileKind::Directory {
            return Err(Error::invalid(format!("{}, a directory", shown())));
        }
        if self.tree.is_whiteout(&found) {
            return Err(missing());
        }
        if from.path == parent.path && existing == name {
            return Err(Error::invalid("hard link to itself"));
        }
        self.in_free_place(parent, name, &mut || parent.dir.make_link(&from.dir, existing, name))
            .doing(shown)?;
        self.update_linked(parent, name, &found, entry)
    }

    /// The header of a link describes the file once more; where it differs, the last one counts.
    fn update_linked(
        &mut self,
        parent: &Parent,
        name: &[u8],
        found: &Meta,
        entry: &Entry,
    ) -> Result<()> {
        let owner = self.options.ownership.on_disk(entry.uid, entry.gid)?;
        let owner = owner.filter(|owner| *owner != (found.uid, found.gid));
        if let Some((uid, gid)) = owner {
            parent.dir.set_owner_of(name, uid, gid).doing(|| "setting the owner")?;
        }
        let mode_differs = entry.mode != found.mode || owner.is_some();
        if mode_differs && found.kind != FileKind::Symlink {
            parent.dir.set_mode_of(name, entry.mode).doing(|| "setting the mode")?;
        }
        if found.mtime != entry.mtime || !entry.xattrs.is_empty() {
            self.set_xattrs_and_time(parent, name, entry)?;
        }
        Ok(())
    }

    fn set_xattrs_and_time(&mut self, parent: &Parent, name: &[u8], entry: &Entry) -> Result<()> {
        for (key, value) in &entry.xattrs {
            if let Err(error) = parent.dir.set_xattr_of(name, key, value) {
                self.dropped.refused(&join(&parent.path, name), key, error)?;
            }
        }
        parent.dir.set_time_of(name, entry.mtime).doing(|| "setting the time")
    }

    /// Runs `make`; if the name is taken, once more after removing what has it.
    fn in_free_place(
        &mut self,
        parent: &Parent,
        name: &[u8],
        make: &mut dyn FnMut() -> io::Result<()>,
    ) -> io::Result<()> {
        match make() {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.tree.make_room(parent, name).map_err(io::Error::from)?;
                make()
            }
            other => other,
        }
    }
}
