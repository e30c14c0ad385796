//! What a manifest leads to, and how much of it is there.
//!
//! Owns the walk from a root down to configs and layers. Every manifest is read once per walk,
//! whatever a hostile index repeats. Does not know where content lies: that is what [`Look`] tells.

use std::collections::HashSet;

use crate::error::Result;
use crate::spec::{Descriptor, DiffId, ImageConfig, ImageManifest, MAX_INDEX_DEPTH, Manifest};

/// How much of something is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holding {
    /// Not even the bytes themselves.
    Nothing,
    /// The bytes themselves, but something they refer to is missing.
    Part,
    /// The bytes and all that they refer to.
    Whole,
}

/// Looks for content.
pub(super) trait Look {
    /// Whether the bytes are there, by their size.
    fn has(&self, what: &Descriptor) -> Result<bool>;
    /// A manifest, or `None` if it is missing or damaged: then putting it again mends it.
    fn manifest(&self, what: &Descriptor) -> Result<Option<Manifest>>;
    /// A config, likewise.
    fn config(&self, what: &Descriptor) -> Result<Option<ImageConfig>>;
    /// Whether a layer is there unpacked.
    fn unpacked(&self, layer: &DiffId) -> Result<bool>;
}

/// How much of `root` is there.
pub(super) fn holding(look: &dyn Look, root: &Descriptor) -> Result<Holding> {
    let missing = missing(look, root)?;
    Ok(match missing.first() {
        None => Holding::Whole,
        Some(first) if first.digest == root.digest => Holding::Nothing,
        Some(_) => Holding::Part,
    })
}

/// What of `root` and all below it is not there, parents before children.
pub(super) fn missing(look: &dyn Look, root: &Descriptor) -> Result<Vec<Descriptor>> {
    let mut walk = Walk { look, seen: HashSet::new(), missing: Vec::new() };
    walk.visit(root, MAX_INDEX_DEPTH + 1)?;
    Ok(walk.missing)
}

struct Walk<'a> {
    look: &'a dyn Look,
    seen: HashSet<crate::spec::Digest>,
    missing: Vec<Descriptor>,
}

impl Walk<'_> {
    fn visit(&mut self, what: &Descriptor, depth: usize) -> Result<()> {
        if !self.seen.insert(what.digest.clone()) {
            return Ok(());
        }
        if !what.media_type.is_manifest() {
            if !self.look.has(what)? {
                self.missing.push(what.clone());
            }
            return Ok(());
        }
        let manifest = match depth {
            0 => None,
            _ => self.look.manifest(what)?,
        };
        let Some(manifest) = manifest else {
            self.missing.push(what.clone());
            return Ok(());
        };
        if let Some(image) = manifest.as_image().filter(|image| image.is_image()) {
            return self.visit_image(image);
        }
        manifest.children().into_iter().try_for_each(|child| self.visit(child, depth - 1))
    }

    /// A layer may be there as an unpacked tree instead.
    fn visit_image(&mut self, image: &ImageManifest) -> Result<()> {
        self.visit(&image.config, 0)?;
        let mut config = None;
        for (at, layer) in image.layers.iter().enumerate() {
            if !self.seen.insert(layer.digest.clone()) || self.look.has(layer)? {
                continue;
            }
            if config.is_none() {
                config = Some(self.look.config(&image.config)?);
            }
            let mut diff_ids = config.iter().flatten().flat_map(|c| &c.fields().rootfs.diff_ids);
            let unpacked = match diff_ids.nth(at) {
                Some(diff_id) => self.look.unpacked(diff_id)?,
                None => false,
            };
            if !unpacked {
                self.missing.push(layer.clone());
            }
        }
        Ok(())
    }
}
