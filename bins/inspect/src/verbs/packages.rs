//! `packages` and `sbom`: what is installed in an image.

use creel::cli;
use creel::error::Result;
use creel::inspect::files::{Merged, index_layers};
use creel::inspect::{self, SbomFormat};
use creel::packages::Findings;

use crate::args::{Global, OneArgs, SbomArgs};
use crate::place::{FoundImage, find_image, index_options, scratch};
use crate::render;

pub async fn packages(global: &Global, args: OneArgs) -> Result<u8> {
    let found = find_image(global, &args).await?;
    let options = index_options(global, false)?;
    let layers = index_layers(&found.found.source, &found.image, &options).await?;
    let findings = packages_of(global, &found, &Merged::new(&layers)).await?;
    match global.json {
        true => render::json(&findings)?,
        false => render::text(&render::packages(&findings))?,
    }
    tell_unread(&findings);
    Ok(super::faults(&layers))
}

pub async fn sbom(global: &Global, args: SbomArgs) -> Result<u8> {
    let found = find_image(global, &args.one).await?;
    let options = index_options(global, false)?;
    let layers = index_layers(&found.found.source, &found.image, &options).await?;
    let findings = packages_of(global, &found, &Merged::new(&layers)).await?;
    let name = found.found.at.to_string();
    let format = match args.format {
        crate::args::SbomForm::Spdx => SbomFormat::Spdx,
        crate::args::SbomForm::Cyclonedx => SbomFormat::CycloneDx,
    };
    render::json(&inspect::sbom(&name, &found.image, &findings, format))?;
    tell_unread(&findings);
    Ok(super::faults(&layers))
}

/// The packages of an image, found in what its merged tree shows.
pub async fn packages_of(
    global: &Global,
    found: &FoundImage,
    merged: &Merged<'_>,
) -> Result<Findings> {
    let scratch = scratch(global)?;
    inspect::packages(&found.found.source, &found.image, merged, scratch).await
}

fn tell_unread(findings: &Findings) {
    for unread in &findings.unread {
        cli::say(format_args!("not read: {}", render::printable(unread)));
    }
}
