//! Reports as text or JSON.

use std::path::Path;

use creel::cli;
use creel::copy::{CopyReport, PlanReport};
use creel::error::{IoContext, Result};

pub use creel::cli::{print, print_json};

/// Writes a small file that a person asked for.
pub fn write_file(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).doing(|| format!("writing {}", path.display()))
}

/// One line on what a copy did, for stderr.
pub fn summary(report: &CopyReport) -> String {
    if report.unchanged {
        return format!("{} is there already", report.digest);
    }
    let mut parts = vec![format!("{} moved", cli::bytes(report.moved.bytes))];
    if report.mounted.blobs > 0 {
        parts.push(format!("{} mounted", cli::bytes(report.mounted.bytes)));
    }
    if report.skipped.blobs > 0 {
        parts.push(format!("{} there already", cli::bytes(report.skipped.bytes)));
    }
    if report.referrers > 0 {
        parts.push(format!("{} referrers", report.referrers));
    }
    format!("copied {} in {:.1}s: {}", report.digest, report.seconds, parts.join(", "))
}

/// A plan for people.
pub fn plan(plan: &PlanReport) -> String {
    if plan.unchanged {
        return format!("{}: nothing to do, the destination has it\n", plan.digest);
    }
    let mut rows = Vec::new();
    for blob in &plan.blobs {
        rows.push(vec![
            blob.what.to_owned(),
            blob.digest.to_string(),
            cli::bytes(blob.size),
            blob.action.to_owned(),
        ]);
    }
    for manifest in &plan.manifests {
        rows.push(vec![
            "manifest".to_owned(),
            manifest.digest.to_string(),
            manifest.platform.clone().unwrap_or_default(),
            "write".to_owned(),
        ]);
    }
    let table = cli::table(&["WHAT", "DIGEST", "SIZE/PLATFORM", "ACTION"], &rows);
    format!("{table}{} to move at most\n", cli::bytes(plan.bytes))
}
