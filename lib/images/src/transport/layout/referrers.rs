//! What in a layout is about something else: signatures, SBOMs, attestations.
//!
//! Writers differ: some list such manifests in `index.json` without a name, some keep an index of
//! them under the tag that stands in for the registry's referrers API, and cosign connects by tags
//! alone. All are read.

use std::collections::HashMap;

use super::{Layout, is_absence};
use crate::error::Result;
use crate::spec::{Body, Descriptor, Digest, Manifest};
use crate::transport::Referrer;

/// By subject: all that is known to refer to it.
pub(super) type Referrers = HashMap<Digest, Vec<Referrer>>;

/// Reads every manifest that `index.json` lists. What is not there or no manifest is passed over;
/// what is damaged is an error, for it might have been the signature looked for.
pub(super) fn scan(layout: &Layout) -> Result<Referrers> {
    let mut found = Referrers::new();
    for entry in layout.index.entries() {
        let Some(manifest) = read(layout, entry)? else { continue };
        take(&mut found, &manifest);
        match entry.ref_name().and_then(subject_of_tag) {
            Some((subject, true)) => take_listed(&mut found, layout, &subject, &manifest)?,
            Some((subject, false)) => {
                let tag = entry.ref_name().map(str::to_owned);
                add(&mut found, subject, Referrer { descriptor: manifest.descriptor(), tag });
            }
            None => {}
        }
    }
    Ok(found)
}

/// The list under a fallback tag says less than the manifests themselves, and sometimes something
/// else.
fn take_listed(
    found: &mut Referrers,
    layout: &Layout,
    subject: &Digest,
    list: &Manifest,
) -> Result<()> {
    for listed in list.as_index().iter().flat_map(|index| &index.manifests) {
        if let Some(manifest) = read(layout, listed)?
            && manifest.subject().is_some_and(|found| found.digest == *subject)
        {
            take(found, &manifest);
        }
    }
    Ok(())
}

fn read(layout: &Layout, what: &Descriptor) -> Result<Option<Manifest>> {
    match layout.manifest(what) {
        Ok(manifest) => Ok(Some(manifest)),
        Err(error) if is_absence(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn take(found: &mut Referrers, manifest: &Manifest) {
    if let Some(subject) = manifest.subject() {
        let descriptor = referrer_descriptor(manifest);
        add(found, subject.digest.clone(), Referrer { descriptor, tag: None });
    }
}

fn add(found: &mut Referrers, subject: Digest, referrer: Referrer) {
    let list = found.entry(subject).or_default();
    if list.iter().all(|known| known.descriptor.digest != referrer.descriptor.digest) {
        list.push(referrer);
    }
}

/// How a manifest with a subject is listed: with its artifact type and its own annotations
/// (distribution spec, "Listing Referrers").
pub(super) fn referrer_descriptor(manifest: &Manifest) -> Descriptor {
    let mut descriptor = manifest.descriptor();
    match manifest.body() {
        Body::Image(image) => {
            let config = || image.config.media_type.to_string();
            descriptor.artifact_type = Some(image.artifact_type.clone().unwrap_or_else(config));
            descriptor.annotations = image.annotations.clone();
        }
        Body::Index(index) => {
            descriptor.artifact_type = index.artifact_type.clone();
            descriptor.annotations = index.annotations.clone();
        }
        Body::Schema1(_) => {}
    }
    descriptor
}

/// The digest that a tag such as `sha256-<64 digits>` or `sha256-<64 digits>.sig` is about, and
/// whether nothing follows the digits.
///
/// Tags cut longer digests off, so they name no subject.
pub(super) fn subject_of_tag(tag: &str) -> Option<(Digest, bool)> {
    let rest = tag.strip_prefix("sha256-")?;
    let (hex, suffix) = rest.split_at_checked(64)?;
    let digest = format!("sha256:{hex}").parse().ok()?;
    (suffix.is_empty() || suffix.starts_with('.')).then_some((digest, suffix.is_empty()))
}
