//! Signatures, SBOMs and attestations that refer to what was copied.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use super::options::{CopyOptions, CopyReport, Selection};
use super::plan;
use super::run::Run;
use crate::blob::Blob;
use crate::error::{Error, Result};
use crate::spec::{Descriptor, MAX_MANIFEST, Manifest};
use crate::transport::{Item, ItemKind, Presence, Referrer, Sink, Source};

/// Most referrers that come along with one image, theirs included.
const MAX_REFERRERS: usize = 10_000;

/// Brings everything that refers to `subjects`, and what refers to that, and so on.
pub(super) async fn bring<S: Source + 'static, D: Sink + 'static>(
    run: &Run<S, D>,
    subjects: Vec<Descriptor>,
    report: &mut CopyReport,
) -> Result<()> {
    if !run.sink.abilities().artifacts {
        return Err(Error::unsupported(
            "this destination cannot hold what refers to an image (registries, oci: and store: can)",
        ));
    }
    // Referrers are copied as they are, whatever was asked for the image itself.
    let options = CopyOptions { selection: Selection::All, ..CopyOptions::default() };
    let plain = Run { options: Arc::new(options), ..run.clone() };
    let mut seen = HashSet::new();
    let mut queue: VecDeque<Descriptor> = subjects.into();
    while let Some(subject) = queue.pop_front() {
        for referrer in run.source.referrers(&subject).await? {
            if !seen.insert((referrer.descriptor.digest.clone(), referrer.tag.clone())) {
                continue;
            }
            if seen.len() > MAX_REFERRERS {
                return Err(Error::invalid(format!(
                    "more than {MAX_REFERRERS} manifests refer to the image"
                )));
            }
            let doing = format!("{} that refers to {}", referrer.descriptor.digest, subject.digest);
            one(&plain, &referrer, report).await.map_err(|error| error.while_doing(doing))?;
            queue.push_back(referrer.descriptor);
        }
    }
    Ok(())
}

/// Copies one referrer with everything below it.
async fn one<S: Source + 'static, D: Sink + 'static>(
    run: &Run<S, D>,
    referrer: &Referrer,
    report: &mut CopyReport,
) -> Result<()> {
    if run.sink.presence(&referrer.descriptor).await? == Presence::Complete {
        let Some(tag) = &referrer.tag else { return Ok(()) };
        let raw = run.source.open(&referrer.descriptor).await?.into_bytes(MAX_MANIFEST).await?;
        let root = Manifest::verified(raw, &referrer.descriptor)?;
        return run.sink.publish(Some(tag), &root).await;
    }
    let plan =
        plan::graph(run.source.as_ref(), run.sink.as_ref(), &run.options, &referrer.descriptor)
            .await?;
    let changes = run.move_leaves(plan.leaves, report).await?;
    let root = run.write_manifests(&plan.nodes, changes, report).await?;
    match &referrer.tag {
        Some(tag) => run.sink.publish(Some(tag), &root).await?,
        None => {
            let item = Item { kind: ItemKind::Manifest, descriptor: Some(root.descriptor()) };
            run.sink.put(item, Blob::Bytes(root.raw().clone())).await?;
        }
    }
    report.manifests += 1;
    report.referrers += 1;
    Ok(())
}
