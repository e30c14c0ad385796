//! Copying images: plan first, then move.
//!
//! [`copy`] folds over the graph of one image or index, children before parents, and publishes the
//! name last. Decisions are made in `plan` from manifests and configs alone; `run` carries them
//! out. Knows places only through the traits of `transport`, and prints nothing.

mod attached;
mod convert;
mod gate;
mod options;
mod plan;
mod remembered;
mod run;
mod schema1;
mod session;
pub mod sync;

use std::sync::Arc;

pub use options::{
    CopyOptions, CopyReport, LayerCompression, PlanReport, PlannedBlob, PlannedManifest, Selection,
    Shape, Tally,
};
pub use remembered::Remembered;
pub use session::Session;

use crate::error::{Error, Result};
use crate::spec::{Dialect, Digest};
use crate::transport::{Sink, Source};

/// Copies one image or index from `source` to `sink`.
///
/// `destination` names the sink among all those of the job, so that two copies of one job never
/// move the same blob to the same place. The sink is not finished: the caller may copy more into
/// it and calls [`Sink::finish`] itself.
///
/// # Errors
/// Of the places, and `Usage`/`Unsupported` when the options ask for what cannot be.
pub async fn copy<S: Source + 'static, D: Sink + 'static>(
    source: Arc<S>,
    sink: Arc<D>,
    destination: &str,
    options: Arc<CopyOptions>,
    session: &Session,
) -> Result<CopyReport> {
    let plan = plan::plan(source.as_ref(), sink.as_ref(), &options).await?;
    if let Some(schema1) = plan.schema1() {
        if options.preserve_digests {
            return Err(Error::unsupported(
                "schema 1 manifests are converted when they are copied, which --preserve-digests forbids",
            ));
        }
        let dialect = convert::dialect(&options).unwrap_or(Dialect::Docker);
        let converted =
            schema1::Converted::read(source.as_ref(), schema1, dialect, &session.scratch).await?;
        let copied = Box::pin(copy(Arc::new(converted), sink, destination, options, session));
        return Ok(CopyReport { source_digest: plan.source_digest, ..copied.await? });
    }
    let destination = destination.to_owned();
    let run = run::Run { source, sink, options, session: session.clone(), destination };
    run.carry_out(plan).await
}

/// Gives what `source` names a further name at the same place: `sink`'s. Reads and writes the one
/// manifest, as what it refers to is there already. Returns its digest.
///
/// # Errors
/// Of the place; `NotFound` when nothing has the source's name.
pub async fn tag<S: Source, D: Sink>(source: &S, sink: &D) -> Result<Digest> {
    let root = source.read_root().await?;
    sink.publish(None, &root).await?;
    sink.finish().await?;
    Ok(root.digest().clone())
}

/// Says what [`copy`] would do, without moving anything.
pub async fn dry_run<S: Source, D: Sink>(
    source: &S,
    sink: &D,
    options: &CopyOptions,
) -> Result<PlanReport> {
    Ok(plan::plan(source, sink, options).await?.report())
}
