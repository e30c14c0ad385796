//! Copying many images as one job.
//!
//! All images share one [`Session`]: one gate that lets the largest blobs through first, and one
//! table of who moves what, so that a blob that ten images share moves once. An image that fails
//! does not stop the others.

mod list;
mod names;
mod versions;

use std::sync::Arc;

use futures_util::{StreamExt, stream};

pub use list::{Access, Line, MAX_LIST, Pick, TagChoice, Wanted, parse_lines, parse_yaml};
pub use names::{Below, Filter, Naming};
pub use versions::Range;

use super::{CopyOptions, CopyReport, PlanReport, Session};
use crate::error::Result;
use crate::transport::{AnySink, AnySource, Sink};

/// Images planned at the same time; their blobs pass the session's gate.
const IMAGES: usize = 8;

/// One image to copy.
pub struct Job {
    /// What to call it in reports: the source as a person would write it.
    pub source_name: String,
    /// Likewise the destination.
    pub destination_name: String,
    /// Where from.
    pub source: Arc<AnySource>,
    /// Where to.
    pub sink: Arc<AnySink>,
    /// Equal for sinks that share their blobs (one repository, one layout).
    pub blobs_at: String,
    /// Behaviour.
    pub options: Arc<CopyOptions>,
}

/// What became of one job.
pub struct Outcome {
    /// The source's name.
    pub source: String,
    /// The destination's name.
    pub destination: String,
    /// The report, or why there is none.
    pub result: Result<CopyReport>,
}

/// Copies all jobs and finishes their sinks; `done` hears of each as it ends. Never fails as a
/// whole: every outcome tells its own failure.
pub async fn sync(
    jobs: Vec<Job>,
    session: &Session,
    done: &(dyn Fn(&Outcome) + Send + Sync),
) -> Vec<Outcome> {
    stream::iter(jobs)
        .map(|job| async move {
            let outcome = run(job, session).await;
            done(&outcome);
            outcome
        })
        .buffered(IMAGES)
        .collect()
        .await
}

async fn run(job: Job, session: &Session) -> Outcome {
    let copied = async {
        let report =
            super::copy(job.source, job.sink.clone(), &job.blobs_at, job.options, session).await?;
        job.sink.finish().await?;
        Ok(report)
    };
    Outcome { source: job.source_name, destination: job.destination_name, result: copied.await }
}

/// What [`sync`] would do.
pub async fn dry_run(jobs: &[Job]) -> Vec<(String, String, Result<PlanReport>)> {
    stream::iter(jobs)
        .map(|job| async move {
            let plan = super::dry_run(job.source.as_ref(), job.sink.as_ref(), &job.options).await;
            (job.source_name.clone(), job.destination_name.clone(), plan)
        })
        .buffered(IMAGES)
        .collect()
        .await
}
