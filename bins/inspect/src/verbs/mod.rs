//! One function per verb: options in, one call of the library, a report out.

mod diff;
mod files;
mod packages;
mod report;
mod store;
mod validate;
mod waste;

use creel::cli;
use creel::error::{IoContext, Result};
use creel::inspect::files::IndexOptions;
use creel::inspect::{self, SummaryOptions};
use creel::spec::Platform;
use creel::transport::{Location, Source};

pub use diff::diff;
use files::faults;
pub use files::{cat, extract, files, grep};
pub use packages::{packages, sbom};
pub use report::report;
pub use store::{check, df, images, mount, umount};
pub use validate::{base, validate};
pub use waste::waste;

use crate::args::{Global, ImageArgs, OneArgs, TreeArgs};
use crate::place::{Found, FoundImage, find, find_image, index_options};
use crate::render;

pub async fn image(global: &Global, args: ImageArgs) -> Result<u8> {
    if args.config || args.format.is_some() {
        return of_config(global, args).await;
    }
    let platform = args.one.platform.clone().unwrap_or_else(Platform::host);
    let found = find(global, &args.one.image, &platform).await?;
    let doing = || format!("inspecting {}", found.at);
    if args.raw {
        let root = found.source.read_root().await.doing(doing)?;
        // Without a platform, what the name stands for; with one, that image.
        let manifest = match args.one.platform {
            Some(_) => inspect::choose(&found.source, &root, &platform).await.doing(doing)?,
            None => root,
        };
        return cli::print_content(manifest.raw()).map(|()| 0);
    }
    let options = summary_options(global, args.one.platform, args.full)?;
    let summary = inspect::summary(&found.source, &options).await.doing(doing)?;
    let base = match args.full {
        true => freshness(global, &found, &platform, &summary).await?,
        false => None,
    };
    let name = found.at.to_string();
    match global.json {
        true => render::json(&render::Named { name, report: &summary, base: base.as_ref() })?,
        false => render::text(&render::summary(&name, &summary, base.as_ref()))?,
    }
    Ok(0)
}

/// What needs the config alone: `--config`, and templates.
async fn of_config(global: &Global, args: ImageArgs) -> Result<u8> {
    let FoundImage { found, root, image } = find_image(global, &args.one).await?;
    let Some(template) = args.format else {
        match args.raw {
            true => cli::print_content(image.config().raw())?,
            false => render::json(image.config().document())?,
        }
        return Ok(0);
    };
    let filled = if args.config {
        inspect::fill(&template, image.config().document())
    } else {
        let name = match &found.at {
            Location::Registry(reference) => reference.name(),
            other => other.to_string(),
        };
        inspect::fill(&template, &inspect::fields(&name, &root, &image))
    };
    // As with the peers, one line feed follows.
    render::text(&format!("{}\n", filled?)).map(|()| 0)
}

fn summary_options(
    global: &Global,
    platform: Option<Platform>,
    full: bool,
) -> Result<SummaryOptions> {
    let IndexOptions { keep_in, jobs, .. } = index_options(global, false)?;
    Ok(SummaryOptions { platform, full, keep_in, jobs })
}

/// How the image stands to its base; a base that cannot be reached is told as such.
async fn freshness(
    global: &Global,
    found: &Found,
    platform: &Platform,
    summary: &inspect::Summary,
) -> Result<Option<render::BaseState>> {
    let Some(name) = summary.image.as_ref().and_then(|image| image.base_name.clone()) else {
        return Ok(None);
    };
    let compare = async {
        let root = found.source.read_root().await?;
        let chosen = inspect::choose(&found.source, &root, platform).await?;
        let top = inspect::image(&found.source, chosen).await?;
        let below = find(global, &name, &top.platform()).await?;
        inspect::freshness(&top, &below.source).await
    };
    Ok(Some(match compare.await {
        Ok(freshness) => render::BaseState { freshness: Some(freshness), problem: None },
        Err(error) => render::BaseState { freshness: None, problem: Some(error.chain()) },
    }))
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
    let platform = args.platform.clone().unwrap_or_else(Platform::host);
    let found = find(global, &args.image, &platform).await?;
    let options = summary_options(global, Some(platform), false)?;
    let summary = inspect::summary(&found.source, &options).await;
    let summary = summary.doing(|| format!("inspecting {}", found.at))?;
    summary.image.ok_or_else(|| {
        let why = summary.problems.first().cloned();
        let why = why.unwrap_or_else(|| "it is an artifact and has no layers of files".to_owned());
        creel::Error::unsupported(format!("inspecting {}: {why}", found.at))
    })
}
