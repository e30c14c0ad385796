//! The end of unpacking: directories get the metadata that work inside them would have changed.

use super::super::form::is_private;
use super::report::{Dropped, ImpliedDir, UnpackReport};
use super::tree::{DirPlan, Origin, Tree};
use crate::error::{IoContext, Result};
use crate::sys::{Dir, read_xattrs, remove_xattr, set_mode, set_owner, set_time, set_xattr};

impl Tree<'_> {
    /// Carries out the plans of all directories, the deepest first, and reports implied ones.
    pub(super) fn settle(self, dropped: &Dropped, report: &mut UnpackReport) -> Result<()> {
        // In byte order, everything below a directory comes after it.
        for (path, plan) in self.dirs.iter().rev() {
            self.root
                .open_dir_plain(path)
                .doing(|| "opening the directory")
                .and_then(|dir| self.carry_out(&dir, path, plan, dropped))
                .doing(|| format!("finishing directory \"{}\"", path.escape_ascii()))?;
        }
        report.hides_lower_layers = self.hides_lower_layers;
        report.implied_dirs = self
            .dirs
            .iter()
            .filter(|(_, plan)| matches!(plan.origin, Origin::Implied | Origin::Hollow))
            .filter(|(path, _)| self.shows_lower(path))
            .map(|(path, plan)| ImpliedDir {
                path: path.clone(),
                only_whiteouts: plan.origin == Origin::Hollow,
            })
            .collect();
        self.skipped_devices.report(report);
        Ok(())
    }

    fn carry_out(&self, dir: &Dir, path: &[u8], plan: &DirPlan, dropped: &Dropped) -> Result<()> {
        if plan.origin != Origin::Kept {
            let meta = dir.meta().doing(|| "examining it")?;
            let owner = plan.owner.filter(|owner| *owner != (meta.uid, meta.gid));
            if let Some((uid, gid)) = owner {
                set_owner(dir, uid, gid).doing(|| "setting the owner")?;
            }
            if owner.is_some() || meta.mode != plan.mode {
                set_mode(dir, plan.mode).doing(|| "setting the mode")?;
            }
            replace_xattrs(dir, path, plan, dropped)?;
        }
        set_time(dir, plan.time).doing(|| "setting the time")
    }
}

/// Sets the planned attributes and removes others but the host's own.
fn replace_xattrs(dir: &Dir, path: &[u8], plan: &DirPlan, dropped: &Dropped) -> Result<()> {
    let present = read_xattrs(dir).doing(|| "reading its attributes")?;
    for (name, _) in &present {
        let planned = plan.xattrs.iter().any(|(wanted, _)| wanted == name);
        if !planned && !is_private(name) {
            remove_xattr(dir, name).doing(|| "removing an attribute")?;
        }
    }
    for wanted in plan.xattrs.iter().filter(|wanted| !present.contains(wanted)) {
        if let Err(error) = set_xattr(dir, &wanted.0, &wanted.1) {
            dropped.refused(path, &wanted.0, error)?;
        }
    }
    Ok(())
}
