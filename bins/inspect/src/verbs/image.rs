//! `image` and `inspect`: one image, described for people, for programs and for templates.

use creel::cli;
use creel::error::{ErrorKind, IoContext, Result};
use creel::inspect::{self, CONFIG_SCHEMA, SCHEMA, Summary};
use creel::spec::{Digest, Platform};
use creel::template::Template;
use creel::transport::{Location, Source};
use serde::Serialize;

use super::summary_options;
use crate::args::{Global, ImageArgs};
use crate::place::{Found, FoundImage, find, find_image, places, side};
use crate::render;

/// The exit code for what is not what it claims to be.
const DAMAGED: u8 = 6;

/// The screen, or what flags ask for instead of it.
pub async fn image(global: &Global, args: ImageArgs) -> Result<u8> {
    if args.config || args.format.is_some() {
        return of_config(global, args).await;
    }
    let asked = global.skopeo.asked_platform(args.one.platform.as_ref());
    let platform = asked.clone().unwrap_or_else(Platform::host);
    let found = find(global, &args.one.image, &platform).await?;
    let doing = || format!("inspecting {}", found.at);
    if args.raw {
        let root = found.source.read_root().await.doing(doing)?;
        // Without a platform, what the name stands for; with one, that image.
        let manifest = match asked {
            Some(_) => inspect::choose(&found.source, &root, &platform).await.doing(doing)?,
            None => root,
        };
        return cli::print_content(manifest.raw()).map(|()| 0);
    }
    let options = summary_options(global, asked, args.full)?;
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
    Ok(if summary.damaged { DAMAGED } else { 0 })
}

/// The JSON that `skopeo inspect` prints.
pub async fn inspect(global: &Global, args: ImageArgs) -> Result<u8> {
    if args.raw || args.config || args.full || args.format.is_some() {
        return image(global, args).await;
    }
    let platform = global.skopeo.platform(args.one.platform.as_ref());
    let found = find(global, &args.one.image, &platform).await?;
    let doing = || format!("inspecting {}", found.at);
    let root = found.source.read_root().await.doing(doing)?;
    let chosen = inspect::choose(&found.source, &root, &platform).await.doing(doing)?;
    let is_artifact = chosen.as_image().is_some_and(|image| !image.is_image());
    let image = match is_artifact {
        true => None,
        false => Some(inspect::image(&found.source, chosen.clone()).await.doing(doing)?),
    };
    let tags = if args.no_tags { Vec::new() } else { tags(global, &found).await? };
    let name = match &found.at {
        Location::Registry(reference) => reference.name(),
        _ => String::new(),
    };
    let digest = match args.manifest_digest {
        Some(algorithm) => Digest::compute(algorithm, root.raw()),
        None => root.digest().clone(),
    };
    let config = image.as_ref().map(|image| image.config().document());
    let fields = inspect::skopeo_fields(&name, &digest, &chosen, config, &tags);
    render::text(&indented(&fields)?).map(|()| 0)
}

/// JSON with four spaces for each level, as skopeo writes it.
fn indented(value: &serde_json::Value) -> Result<String> {
    let mut out = Vec::new();
    let form = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut writer = serde_json::Serializer::with_formatter(&mut out, form);
    value.serialize(&mut writer).map_err(std::io::Error::from).doing(|| "writing JSON")?;
    Ok(String::from_utf8_lossy(&out).into_owned() + "\n")
}

/// The tags of a registry's repository. That they may not be listed is no failure.
async fn tags(global: &Global, found: &Found) -> Result<Vec<String>> {
    let Location::Registry(reference) = &found.at else { return Ok(Vec::new()) };
    match places(global, &Platform::host())?.tags(reference, &side(global)?).await {
        Err(error) if is_refusal(error.kind()) => {
            let why = render::printable(&error.chain());
            cli::say(format_args!("warning: {why} (--no-tags does not ask for them)"));
            Ok(Vec::new())
        }
        other => other,
    }
}

fn is_refusal(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Denied | ErrorKind::Unauthorized | ErrorKind::NotFound)
}

/// What needs the config alone: `--config`, and templates.
async fn of_config(global: &Global, args: ImageArgs) -> Result<u8> {
    // A mistake in the template is found before anything is asked for.
    let template = match args.format.as_deref() {
        Some("json") => Some(Template::parse("{{json .}}")?),
        Some(text) => Some(Template::parse_row(text)?),
        None => None,
    };
    let FoundImage { found, root, image } = find_image(global, &args.one).await?;
    let Some(template) = template else {
        match args.raw {
            true => cli::print_content(image.config().raw())?,
            false => render::json(image.config().document())?,
        }
        return Ok(0);
    };
    let filled = if args.config {
        template.fill(image.config().document(), &CONFIG_SCHEMA)?
    } else {
        let name = match &found.at {
            Location::Registry(reference) => reference.name(),
            other => other.to_string(),
        };
        let digest = match args.manifest_digest {
            Some(algorithm) => Digest::compute(algorithm, root.raw()),
            None => root.digest().clone(),
        };
        template.fill(&inspect::fields(&name, &digest, &root, &image), &SCHEMA)?
    };
    // As with the peers, one line feed follows.
    render::text(&format!("{filled}\n")).map(|()| 0)
}

/// How the image stands to its base; a base that cannot be reached is told as such.
async fn freshness(
    global: &Global,
    found: &Found,
    platform: &Platform,
    summary: &Summary,
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
