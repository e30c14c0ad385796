//! What a new manifest changes in `index.json`.

use super::LayoutIndex;
use super::referrers::referrer_descriptor;
use crate::error::{Error, Result};
use crate::spec::{Body, Descriptor, Manifest};

/// A change that waits until all it needs is on disk.
#[derive(Clone, Debug)]
pub(in crate::transport) enum Edit {
    /// This is what the name, or the place without a name, stands for.
    Set(Option<String>, Descriptor),
    /// This is there as well.
    Add(Descriptor),
}

impl Edit {
    /// What follows from a manifest that is put, but not under a name.
    pub(in crate::transport) fn for_manifest(manifest: &Manifest) -> Result<Option<Edit>> {
        if matches!(manifest.body(), Body::Schema1(_)) {
            return Err(Error::unsupported(
                "an OCI layout cannot hold schema 1 manifests; convert the image",
            ));
        }
        // Nothing else would lead to what is about something else.
        Ok(manifest.subject().map(|_| Edit::Add(referrer_descriptor(manifest))))
    }

    /// What follows from a manifest that is published.
    pub(in crate::transport) fn for_root(
        name: Option<String>,
        root: &Manifest,
    ) -> Result<Option<Edit>> {
        let edit = Edit::for_manifest(root)?;
        Ok(match (name, edit) {
            (name, None) => Some(Edit::Set(name, root.descriptor())),
            (name @ Some(_), Some(Edit::Add(what) | Edit::Set(_, what))) => {
                Some(Edit::Set(name, what))
            }
            // No image that could stand for the whole place.
            (None, add) => add,
        })
    }

    pub(in crate::transport) fn apply(self, index: &mut LayoutIndex) -> Result<()> {
        match self {
            Edit::Set(name, root) => index.set(name.as_deref(), root),
            Edit::Add(what) => index.add(what),
        }
    }
}
