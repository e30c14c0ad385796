//! What a manifest becomes at the destination.

use std::collections::HashMap;

use super::options::CopyOptions;
use super::plan::Node;
use crate::error::Result;
use crate::spec::{Compression, Descriptor, Dialect, Digest, Manifest, edit};

/// What has changed below the manifests that are still to be written.
#[derive(Clone, Default)]
pub(super) struct Changes {
    /// Layers that were compressed anew: their new digest and size.
    pub layers: HashMap<Digest, (Digest, u64)>,
    /// Manifests as they were written.
    pub manifests: HashMap<Digest, Manifest>,
}

/// The vocabulary that manifests are converted to, if any: the one asked for, or OCI's where
/// Docker has no word for the compression asked for.
pub(super) fn dialect(options: &CopyOptions) -> Option<Dialect> {
    let zstd = options.compression.is_some_and(|wanted| wanted.compression == Compression::Zstd);
    options.format.or(zstd.then_some(Dialect::Oci))
}

/// The node's manifest with everything changed that the options and its children demand; the same
/// bytes if that is nothing.
pub(super) fn manifest(node: &Node, changes: &Changes, options: &CopyOptions) -> Result<Manifest> {
    let mut manifest = node.manifest.as_ref().clone();
    if let (true, Some(wanted)) = (node.strip, &node.wanted) {
        manifest = edit::keep_entries(&manifest, |entry| wanted.contains(&entry.digest))?;
    }
    // Attestations have one form only.
    let dialect = dialect(options)
        .filter(|_| !node.attestation)
        .filter(|dialect| manifest.media_type().dialect() != Some(*dialect));
    // Each step is done in the vocabulary that has words for both of its ends: zstd is OCI's.
    Ok(match dialect {
        None => with_children(manifest, changes, options)?,
        Some(Dialect::Oci) => {
            with_children(edit::convert(&manifest, Dialect::Oci)?, changes, options)?
        }
        Some(Dialect::Docker) => {
            edit::convert(&with_children(manifest, changes, options)?, Dialect::Docker)?
        }
    })
}

/// The manifest with what its children became.
fn with_children(manifest: Manifest, changes: &Changes, options: &CopyOptions) -> Result<Manifest> {
    let old = manifest.children();
    let new =
        old.iter().map(|child| changed(child, changes, options)).collect::<Result<Vec<_>>>()?;
    if old.iter().zip(&new).all(|(old, new)| old.digest == new.digest) {
        return Ok(manifest);
    }
    edit::replace_children(&manifest, &new)
}

fn changed(child: &Descriptor, changes: &Changes, options: &CopyOptions) -> Result<Descriptor> {
    if let Some(written) = changes.manifests.get(&child.digest) {
        return Ok(match written.digest() == &child.digest {
            true => child.clone(),
            false => edit::replaced_entry(child, written),
        });
    }
    match (changes.layers.get(&child.digest), options.compression) {
        (Some((digest, size)), Some(wanted)) => {
            edit::recompressed(child, wanted.compression, digest.clone(), *size)
        }
        _ => Ok(child.clone()),
    }
}
