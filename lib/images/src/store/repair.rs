//! Mends what a check has found, as far as content can be had again.
//!
//! Owns the order: damaged bytes go first, then whatever names need and lack is fetched, roots
//! before what they turn out to need. Promise: nothing that is whole is touched, and nothing that
//! was fetched is believed before it is verified. Does not know where content can be had.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use super::marks::Marks;
use super::{Checked, Finding, Image, Role, Store, Writer, names};
use crate::blob::BlobReader;
use crate::error::Result;
use crate::spec::{Descriptor, Digest};

/// Gets content again: the name that needs it, and what it is.
pub type Fetch<'a> = &'a mut dyn FnMut(&str, &Descriptor) -> Result<BlobReader>;

/// What was mended, and what was not.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Repaired {
    /// Damaged blobs that were removed; those in use were to be fetched again.
    pub dropped: Vec<Digest>,
    /// Damaged trees that were removed.
    pub layers: Vec<Digest>,
    /// Damaged trees that containers or mounts use, and that stayed.
    pub in_use: Vec<Digest>,
    /// Files of names that could not be read and were removed.
    pub names: Vec<std::path::PathBuf>,
    /// What was fetched.
    pub fetched: Vec<Digest>,
    /// What could not be had again: name, content and reason.
    pub left: Vec<(String, Descriptor, String)>,
}

impl Store {
    /// Removes what `checked` found damaged and fetches what names lack.
    ///
    /// A name whose content cannot be had again stays, so that a later pull mends it.
    pub fn repair(&self, checked: &Checked, fetch: Fetch<'_>) -> Result<Repaired> {
        let writer = self.begin()?;
        let mut repaired = Repaired::default();
        for finding in &checked.findings {
            match finding {
                // Somebody may have mended either meanwhile.
                Finding::DamagedBlob { digest, .. } => {
                    let size = self.size_of(digest)?.unwrap_or(0);
                    if self.damage_of(digest, size).is_some() {
                        self.steps.remove(&self.blob_path(digest))?;
                        repaired.dropped.push(digest.clone());
                    }
                }
                Finding::DamagedName { file, .. } => {
                    if names::read_record(file).is_err() {
                        self.steps.remove(file)?;
                        repaired.names.push(file.clone());
                    }
                }
                Finding::DamagedLayer { diff_id, .. } => self.drop_layer(diff_id, &mut repaired)?,
                Finding::Missing { .. } | Finding::Foreign { .. } => {}
            }
        }
        self.steps.flush_dir(&self.images_dir())?;
        for image in self.images()? {
            self.refill(&writer, &image, &mut *fetch, &mut repaired)?;
        }
        Ok(repaired)
    }

    /// Removes a damaged tree; it is unpacked again when it is needed. Whoever has it mounted
    /// would lose it under their feet.
    fn drop_layer(&self, diff_id: &Digest, repaired: &mut Repaired) -> Result<()> {
        for layer in self.unpacked_layers()? {
            // Damaged blobs are gone by now.
            if layer.digest != *diff_id || self.prove_layer(&layer, &BTreeMap::new()).is_ok() {
                continue;
            }
            if self.is_pinned(diff_id)? {
                repaired.in_use.push(diff_id.clone());
                continue;
            }
            self.remove_tree(&layer.path)?;
            repaired.layers.push(diff_id.clone());
        }
        Ok(())
    }

    /// Whether containers, mounts or living writers lead to `digest`.
    fn is_pinned(&self, digest: &Digest) -> Result<bool> {
        let mut marks = Marks::new(self);
        let roots = marks.roots(|_| false)?;
        Ok(marks.below(roots)?.contains(digest))
    }

    /// Fetches what a name lacks until nothing more is missing, or to be had.
    fn refill(
        &self,
        writer: &Writer,
        image: &Image,
        fetch: Fetch<'_>,
        repaired: &mut Repaired,
    ) -> Result<()> {
        let mut tried = HashSet::new();
        loop {
            let mut missing = self.missing_of(image)?;
            missing.retain(|what| tried.insert(what.digest.clone()));
            if missing.is_empty() {
                return Ok(());
            }
            for what in missing {
                let role = match what.media_type.is_manifest() {
                    true => Role::Manifest,
                    false => Role::Leaf,
                };
                let got = fetch(&image.name, &what)
                    .and_then(|reader| writer.put_reader(role, &what, reader));
                match got {
                    Ok(()) => repaired.fetched.push(what.digest),
                    Err(error) => repaired.left.push((image.name.clone(), what, error.chain())),
                }
            }
            writer.commit()?;
        }
    }
}
