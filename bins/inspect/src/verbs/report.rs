//! `report`: one page about an image.

use creel::cli;
use creel::error::{IoContext, Result};
use creel::inspect::files::{Merged, index_layers};
use creel::inspect::{self, ReportInput};

use super::packages::packages_of;
use crate::args::{Global, ReportArgs};
use crate::place::{find_image, index_options};

pub async fn report(global: &Global, args: ReportArgs) -> Result<u8> {
    let found = find_image(global, &args.one).await?;
    let options = index_options(global, false)?;
    let layers = index_layers(&found.found.source, &found.image, &options).await?;
    let merged = Merged::new(&layers);
    let findings = packages_of(global, &found, &merged).await?;
    let waste = inspect::waste(&found.image, &layers).ok();
    let page = inspect::report(&ReportInput {
        name: &found.found.at.to_string(),
        root: found.root.digest(),
        image: &found.image,
        merged: &merged,
        waste: waste.as_ref(),
        findings: &findings,
    });
    match args.output.as_os_str() == "-" {
        true => cli::print(&page)?,
        false => std::fs::write(&args.output, page)
            .doing(|| format!("writing {}", args.output.display()))?,
    }
    Ok(super::faults(&layers))
}
