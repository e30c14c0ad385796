//! `validate` and `base`: whether an image is whole, and whether it is current.

use creel::Error;
use creel::cli;
use creel::error::{IoContext, Result};
use creel::inspect::{self, Base, Freshness, ValidateOptions};
use creel::spec::Platform;
use serde::Serialize;

use crate::args::{BaseArgs, Global, ValidateArgs};
use crate::place::{find, find_image, index_options};
use crate::render;

/// Layers read at the same time.
const JOBS: usize = 2;
/// The exit code for what is not what it claims to be.
const WRONG: u8 = 6;

pub async fn validate(global: &Global, args: ValidateArgs) -> Result<u8> {
    let asked = global.skopeo.asked_platform(args.platform.as_ref());
    let platform = asked.clone().unwrap_or_else(Platform::host);
    let found = find(global, &args.image, &platform).await?;
    let keep_in = index_options(global, false)?.keep_in;
    let (platform, skip_layers) = (asked, args.fast);
    let options = ValidateOptions { platform, skip_layers, jobs: JOBS, keep_in };
    let report = inspect::validate(&found.source, &options).await;
    let report = report.doing(|| format!("checking {}", found.at))?;
    let code = if report.findings.is_empty() { 0 } else { WRONG };
    if global.json {
        render::json(&report)?;
        return Ok(code);
    }
    let mut out = String::new();
    for finding in &report.findings {
        let line = format!("{}: {}", finding.at, finding.what);
        out.push_str(&format!("{}\n", render::printable(&line)));
    }
    let verdict = if code == 0 { "whole" } else { "wrong" };
    out.push_str(&format!(
        "{verdict}: {} manifests, {} configs, {} layers and other blobs, {}\n",
        report.manifests,
        report.configs,
        report.blobs,
        cli::bytes(report.bytes)
    ));
    if report.unpacked_only > 0 {
        let count = report.unpacked_only;
        out.push_str(&format!("{count} layers are kept unpacked only: no digest to compare\n"));
    }
    render::text(&out)?;
    Ok(code)
}

/// The JSON form.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    base: &'a Base,
    #[serde(flatten)]
    freshness: Option<&'a Freshness>,
}

pub async fn base(global: &Global, args: BaseArgs) -> Result<u8> {
    let top = find_image(global, &args.one).await?;
    let mut base = inspect::base(&top.image);
    if let Some(name) = args.base {
        base = Base { name: Some(name), digest: None };
    }
    let Some(name) = base.name.clone() else {
        return Err(Error::not_found(format!(
            "{} does not tell what it was built on: say it with --base",
            top.found.at
        )));
    };
    let freshness = match args.check {
        true => {
            let below = find(global, &name, &top.image.platform()).await?;
            let compared = inspect::freshness(&top.image, &below.source).await;
            Some(compared.doing(|| format!("looking at {}", below.at))?)
        }
        false => None,
    };
    if global.json {
        render::json(&Report { base: &base, freshness: freshness.as_ref() })?;
    } else {
        let digest = base.digest.clone().unwrap_or_default();
        let mut out = format!("{} {}", render::printable(&name), render::printable(&digest));
        out.truncate(out.trim_end().len());
        if let Some(freshness) = &freshness {
            let verdict = if freshness.up_to_date { "up to date" } else { "out of date" };
            out.push_str(&format!("\n{verdict}: it is {} now", freshness.current));
        }
        render::text(&format!("{out}\n"))?;
    }
    Ok(u8::from(freshness.is_some_and(|freshness| !freshness.up_to_date)))
}
