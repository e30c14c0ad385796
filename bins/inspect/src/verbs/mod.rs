//! One function per verb: options in, one call of the library, a report out.

mod diff;
mod files;
mod image;
mod packages;
mod report;
mod store;
mod validate;
mod waste;

use creel::error::{Error, ErrorKind, IoContext, Result};
use creel::inspect::files::IndexOptions;
use creel::inspect::{self, SummaryOptions};
use creel::spec::Platform;

pub use diff::diff;
use files::faults;
pub use files::{cat, extract, files, grep};
pub use image::{image, inspect};
pub use packages::{packages, sbom};
pub use report::report;
pub use store::{check, df, images, mount, umount};
pub use validate::{base, validate};
pub use waste::waste;

use crate::args::{Global, OneArgs, TreeArgs};
use crate::place::{find, index_options};
use crate::render;

fn summary_options(
    global: &Global,
    platform: Option<Platform>,
    full: bool,
) -> Result<SummaryOptions> {
    let IndexOptions { keep_in, jobs, .. } = index_options(global, false)?;
    Ok(SummaryOptions { platform, full, keep_in, jobs })
}

pub async fn layers(global: &Global, args: OneArgs) -> Result<u8> {
    let image = one(global, &args).await?;
    match global.json {
        true => render::json(&image.layers)?,
        false => render::text(&render::layers(&image))?,
    }
    Ok(0)
}

pub async fn history(global: &Global, args: OneArgs) -> Result<u8> {
    let image = one(global, &args).await?;
    match global.json {
        true => render::json(&image.history)?,
        false => render::text(&render::history(&image))?,
    }
    Ok(0)
}

pub async fn tree(global: &Global, args: TreeArgs) -> Result<u8> {
    let found = find(global, &args.image, &Platform::host()).await?;
    let tree = inspect::tree(&found.source, args.referrers).await;
    let tree = tree.doing(|| format!("inspecting {}", found.at))?;
    match global.json {
        true => render::json(&tree)?,
        false => render::text(&render::tree(&tree))?,
    }
    Ok(0)
}

async fn one(global: &Global, args: &OneArgs) -> Result<inspect::ImageSummary> {
    let platform = global.skopeo.platform(args.platform.as_ref());
    let found = find(global, &args.image, &platform).await?;
    let options = summary_options(global, Some(platform), false)?;
    let summary = inspect::summary(&found.source, &options).await;
    let summary = summary.doing(|| format!("inspecting {}", found.at))?;
    summary.image.ok_or_else(|| {
        let why = summary.problems.first().cloned();
        let why = why.unwrap_or_else(|| "it is an artifact and has no layers of files".to_owned());
        let kind = if summary.damaged { ErrorKind::Corrupt } else { ErrorKind::Unsupported };
        Error::new(kind, format!("inspecting {}: {why}", found.at))
    })
}
