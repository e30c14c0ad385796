//! `creel-copy tags REPO`.

use std::path::Path;

use creel::cli;
use creel::copy::sync::Filter;
use creel::error::{Error, IoContext, Result};
use creel::registry::{Access, Repository};
use creel::spec::{Descriptor, ImageConfig, MAX_CONFIG, Manifest, Platform, Reference};
use creel::transport::layout_entries;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use crate::args::{BothArgs, Side, TagsArgs};
use crate::context::Context;
use crate::render;

/// Tags looked up at a time.
const AT_A_TIME: usize = 8;

pub async fn run(context: &Context, args: TagsArgs) -> Result<u8> {
    if let Some(layout) = args.repository.strip_prefix("oci:") {
        return names(context, &args, Path::new(layout));
    }
    let text = args.repository.strip_prefix("docker://").unwrap_or(&args.repository);
    if text.contains("://") || ["docker-archive:", "store:"].iter().any(|p| text.starts_with(p)) {
        return Err(Error::usage(format!(
            "{text:?} is no repository: tags are listed of registries (host/app) and layouts (oci:DIR)"
        )));
    }
    let name = Reference::parse(text)?;
    if name.tag().is_some() || name.digest().is_some() {
        return Err(Error::usage(format!(
            "{text:?} names one image: tags are listed of a repository"
        )));
    }
    let filter = Filter::new(&args.include, &args.exclude)?;
    let places = context.places(&args.work)?;
    let side = context.side(args.side.side(), &BothArgs::default())?;
    let doing = || format!("listing the tags of {}", name.name());
    let mut tags = places.tags(&name, &side).await?;
    tags.retain(|tag| filter.wants(tag));
    tags.sort();
    if args.long {
        let repository = places.repository(&name, &side, Access::Pull)?;
        return long(context, &name, &repository, tags).await.doing(doing);
    }
    if context.global.json {
        let document = serde_json::json!({"Repository": name.name(), "Tags": tags});
        render::print_json(&document)?;
    } else {
        render::print(&tags.iter().map(|tag| format!("{tag}\n")).collect::<String>())?;
    }
    Ok(0)
}

/// The names in an OCI layout.
fn names(context: &Context, args: &TagsArgs, layout: &Path) -> Result<u8> {
    let filter = Filter::new(&args.include, &args.exclude)?;
    let entries = layout_entries(layout)?;
    let names = entries.iter().filter_map(|entry| Some((entry.ref_name()?, entry)));
    let names: Vec<_> = names.filter(|(name, _)| filter.wants(name)).collect();
    if context.global.json {
        let tags: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
        let document = serde_json::json!({"Repository": args.repository, "Tags": tags});
        render::print_json(&document)?;
    } else if args.long {
        let row = |(name, entry): &(&str, &Descriptor)| {
            vec![(*name).to_owned(), entry.digest.to_string(), entry.media_type.to_string()]
        };
        let rows: Vec<_> = names.iter().map(row).collect();
        render::print(&cli::table(&["TAG", "DIGEST", "TYPE"], &rows))?;
    } else {
        render::print(&names.iter().map(|(name, _)| format!("{name}\n")).collect::<String>())?;
    }
    Ok(0)
}

/// A tag and what it names.
#[derive(Serialize)]
struct Row {
    tag: String,
    digest: String,
    created: Option<String>,
    /// Compressed bytes of all images.
    size: u64,
    platforms: Vec<String>,
}

async fn long(
    context: &Context,
    name: &Reference,
    repository: &Repository,
    tags: Vec<String>,
) -> Result<u8> {
    let rows: Vec<Row> = stream::iter(tags)
        .map(|tag| row(repository, tag))
        .buffered(AT_A_TIME)
        .try_collect()
        .await?;
    if context.global.json {
        render::print_json(&serde_json::json!({"Repository": name.name(), "Tags": rows}))?;
        return Ok(0);
    }
    let cells: Vec<Vec<String>> = rows
        .into_iter()
        .map(|row| {
            vec![
                row.tag,
                row.digest,
                row.created.unwrap_or_default(),
                cli::bytes(row.size),
                row.platforms.join(" "),
            ]
        })
        .collect();
    render::print(&cli::table(&["TAG", "DIGEST", "CREATED", "SIZE", "PLATFORMS"], &cells))?;
    Ok(0)
}

async fn row(repository: &Repository, tag: String) -> Result<Row> {
    let root = repository.manifest(&tag).await?;
    let mut row = Row {
        digest: root.digest().to_string(),
        created: None,
        size: 0,
        platforms: Vec::new(),
        tag,
    };
    match root.as_index() {
        None => add(repository, &root, &mut row).await?,
        Some(index) => {
            for entry in index.manifests.iter().filter(|entry| !entry.is_attestation()) {
                let image = repository.manifest(&entry.digest.to_string()).await?;
                match &entry.platform {
                    // The platform is known: only one config is needed, for the date.
                    Some(platform) if row.created.is_some() => {
                        row.platforms.push(platform.to_string());
                        row.size += size(&image);
                    }
                    _ => add(repository, &image, &mut row).await?,
                }
            }
        }
    }
    Ok(row)
}

/// Adds one image with what only its config tells.
async fn add(repository: &Repository, manifest: &Manifest, row: &mut Row) -> Result<()> {
    row.size += size(manifest);
    let Some(image) = manifest.as_image().filter(|image| image.is_image()) else { return Ok(()) };
    let raw = repository.blob(&image.config).into_bytes(MAX_CONFIG).await?;
    let config = ImageConfig::verified(raw, &image.config)?;
    let platform: Platform = config.platform();
    row.platforms.push(platform.to_string());
    row.created = row.created.take().or_else(|| config.fields().created.clone());
    Ok(())
}

fn size(manifest: &Manifest) -> u64 {
    manifest.as_image().map_or(0, |image| {
        image.config.size + image.layers.iter().map(|layer| layer.size).sum::<u64>()
    })
}
