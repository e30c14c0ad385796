//! `creel-copy tags REPO`.

use std::path::Path;

use creel::cli;
use creel::copy::sync::Filter;
use creel::error::{Error, Result};
use creel::registry::{Access, Repository};
use creel::spec::{Descriptor, ImageConfig, MAX_CONFIG, Manifest, Platform, Reference};
use creel::transport::{
    Bare, Location, docker_archive_names, layout_archive_entries, layout_entries,
};
use futures_util::{StreamExt, stream};
use serde::Serialize;

use crate::args::{BothArgs, Side, TagsArgs};
use crate::context::Context;
use crate::render;

/// Tags looked up at a time.
const AT_A_TIME: usize = 8;

pub async fn run(context: &Context, args: TagsArgs) -> Result<u8> {
    let places = context.places(&args.work)?;
    let text = args.repository.strip_prefix("docker://").unwrap_or(&args.repository);
    let kind = text.split_once(':').map(|(kind, _)| kind);
    match kind {
        Some("oci" | "oci-archive" | "docker-archive") => {
            let place = places.locate(text, Bare::Registry)?;
            return names(context, &args, &place, &places.scratch());
        }
        Some("store" | "dir" | "docker-daemon" | "containers-storage") => {
            return Err(Error::usage(format!(
                "{text:?} is not a repository: tags are listed of registries (HOST/REPO), oci:, \
                 oci-archive: and docker-archive:"
            )));
        }
        _ => {}
    }
    let name = Reference::parse(text)?;
    if name.tag().is_some() || name.digest().is_some() {
        return Err(Error::usage(format!(
            "{text:?} names one image: tags are listed of a repository"
        )));
    }
    let filter = Filter::new(&args.include, &args.exclude)?;
    let side = context.side(args.side.side(), &BothArgs::default())?;
    let mut tags = places.tags(&name, &side).await?;
    tags.retain(|tag| filter.wants(tag));
    tags.sort();
    if args.long {
        let repository = places.repository(&name, &side, Access::Pull)?;
        return long(context, &name, &repository, tags).await;
    }
    if context.global.json {
        let document = serde_json::json!({"Repository": name.name(), "Tags": tags});
        render::print_json(&document)?;
    } else {
        render::print(&tags.iter().map(|tag| format!("{tag}\n")).collect::<String>())?;
    }
    Ok(0)
}

/// The names in a layout or an archive; what has none is listed as `@N`, by which it is read.
fn names(context: &Context, args: &TagsArgs, place: &Location, scratch: &Path) -> Result<u8> {
    let entries = entries(place, scratch)?;
    let filter = Filter::new(&args.include, &args.exclude)?;
    let named = entries.iter().filter(|(name, _)| filter.wants(name));
    if context.global.json {
        let tags: Vec<&str> = named.map(|(name, _)| name.as_str()).collect();
        let document = serde_json::json!({"Repository": args.repository, "Tags": tags});
        render::print_json(&document)?;
    } else if args.long {
        let row = |(name, entry): &(String, Option<Descriptor>)| match entry {
            Some(entry) => {
                vec![name.clone(), entry.digest.to_string(), entry.media_type.to_string()]
            }
            None => vec![name.clone(), String::new(), String::new()],
        };
        let rows: Vec<_> = named.map(row).collect();
        render::print(&cli::table(&["TAG", "DIGEST", "TYPE"], &rows))?;
    } else {
        render::print(&named.map(|(name, _)| format!("{name}\n")).collect::<String>())?;
    }
    Ok(0)
}

fn entries(place: &Location, scratch: &Path) -> Result<Vec<(String, Option<Descriptor>)>> {
    let in_layout = |entries: Vec<Descriptor>| {
        let named = entries.into_iter().filter_map(|entry| {
            let name = entry.ref_name()?.to_owned();
            Some((name, Some(entry)))
        });
        named.collect()
    };
    Ok(match place {
        Location::Layout(at) => in_layout(layout_entries(&at.path)?),
        Location::LayoutArchive(at) => in_layout(layout_archive_entries(&at.path, scratch)?),
        Location::DockerArchive(at) => {
            let images = docker_archive_names(&at.path, scratch)?;
            let names = images.into_iter().enumerate().flat_map(|(number, names)| {
                if names.is_empty() { vec![format!("@{number}")] } else { names }
            });
            names.map(|name| (name, None)).collect()
        }
        other => return Err(Error::usage(format!("{other} has no list of names"))),
    })
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
    /// Why nothing more is known of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

async fn long(
    context: &Context,
    name: &Reference,
    repository: &Repository,
    tags: Vec<String>,
) -> Result<u8> {
    let found: Vec<(Row, Option<Error>)> = stream::iter(tags)
        .map(|tag| row_or_reason(repository, tag))
        .buffered(AT_A_TIME)
        .collect()
        .await;
    let mut code = 0;
    for (row, error) in &found {
        if let Some(error) = error {
            context.warn(&format!("tag {}: {}", row.tag, error.chain()));
            code = cli::exit_code(error.kind());
        }
    }
    let rows: Vec<Row> = found.into_iter().map(|(row, _)| row).collect();
    if context.global.json {
        render::print_json(&serde_json::json!({"Repository": name.name(), "Tags": rows}))?;
        return Ok(code);
    }
    let cells: Vec<Vec<String>> = rows.into_iter().map(cells).collect();
    render::print(&cli::table(&["TAG", "DIGEST", "CREATED", "SIZE", "PLATFORMS"], &cells))?;
    Ok(code)
}

fn cells(row: Row) -> Vec<String> {
    match row.error {
        Some(_) => vec![row.tag, "(broken)".into(), String::new(), String::new(), String::new()],
        None => vec![
            row.tag,
            row.digest,
            row.created.unwrap_or_default(),
            cli::bytes(row.size),
            row.platforms.join(" "),
        ],
    }
}

/// One tag that cannot be described does not hide the others.
async fn row_or_reason(repository: &Repository, tag: String) -> (Row, Option<Error>) {
    match row(repository, tag.clone()).await {
        Ok(row) => (row, None),
        Err(error) => {
            let row = Row {
                tag,
                digest: String::new(),
                created: None,
                size: 0,
                platforms: Vec::new(),
                error: Some(error.chain()),
            };
            (row, Some(error))
        }
    }
}

async fn row(repository: &Repository, tag: String) -> Result<Row> {
    let root = repository.manifest(&tag).await?;
    let mut row = Row {
        digest: root.digest().to_string(),
        created: None,
        size: 0,
        platforms: Vec::new(),
        error: None,
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
