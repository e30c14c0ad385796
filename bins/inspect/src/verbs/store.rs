//! Verbs about the local store: what is in it, what it takes up, whether it is whole.

use std::path::Path;

use creel::cli;
use creel::error::{Error, ErrorKind, IoContext, Result};
use creel::inspect;
use creel::spec::{Descriptor, Platform, Reference};
use creel::store::{
    Checked, Finding, Image, PruneOptions, Pruned, Repaired, Store, StoreName, Usage,
};
use creel::transport::{Bare, Location, Source, StoreSource};
use serde::Serialize;

use super::files::rights;
use crate::args::{CheckArgs, Global, ImagesArgs, MountArgs};
use crate::place::{places, side, surroundings};
use crate::render;

/// The exit code when something is damaged and was not mended.
const DAMAGED: u8 = 6;

fn open(global: &Global) -> Result<Store> {
    Store::open(&surroundings(global)?.root)
}

pub fn images(global: &Global, args: &ImagesArgs) -> Result<u8> {
    let mut images = open(global)?.images()?;
    if let Some(filter) = &args.filter {
        images.retain(|image| image.name.contains(filter.as_str()));
    }
    match (global.json, args.quiet) {
        (true, _) => render::json(&images)?,
        (false, true) => {
            let ids = images.iter().flat_map(|image| &image.images);
            let lines: String = ids.map(|held| format!("{}\n", held.config.short())).collect();
            render::text(&lines)?;
        }
        (false, false) => render::text(&image_table(&images))?,
    }
    Ok(0)
}

/// One line for each image, as `docker images` has them; an index has a line for each platform
/// that is here.
fn image_table(images: &[Image]) -> String {
    let mut rows = Vec::new();
    for image in images {
        let (repository, tag) = match Reference::parse(&image.name) {
            Ok(name) if !image.name.starts_with('@') => {
                (name.familiar_name(), name.tag().unwrap_or("<none>").to_owned())
            }
            _ => ("<none>".to_owned(), "<none>".to_owned()),
        };
        for held in &image.images {
            rows.push(vec![
                repository.clone(),
                tag.clone(),
                held.config.short().to_owned(),
                held.platform.to_string(),
                held.created.clone().unwrap_or_else(|| "unknown".to_owned()),
                cli::bytes(held.size),
            ]);
        }
        if image.images.is_empty() {
            let id = image.descriptor.digest.short().to_owned();
            let size = cli::bytes(image.descriptor.size);
            rows.push(vec![repository, tag, id, "-".to_owned(), image.updated.clone(), size]);
        }
    }
    cli::table(&["REPOSITORY", "TAG", "IMAGE ID", "PLATFORM", "CREATED", "SIZE"], &rows)
}

pub fn mount(global: &Global, args: &MountArgs) -> Result<u8> {
    let store = open(global)?;
    let name = StoreName::parse(&args.one.image)?;
    let platform = global.skopeo.platform(args.one.platform.as_ref());
    let source = StoreSource::new(store.clone(), &name);
    let image = crate::waiting(global.skopeo.command_timeout, async {
        let root = source.read_root().await.map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                error.while_doing(format!("pull it first: `creel-copy {}`", args.one.image))
            }
            _ => error,
        })?;
        let chosen = inspect::choose(&source, &root, &platform).await?;
        inspect::image(&source, chosen).await
    })?;
    inspect::mount(&store, &image, &args.directory, rights(args.keep_special))?;
    Ok(0)
}

pub fn umount(global: &Global, directory: &Path) -> Result<u8> {
    inspect::unmount(&open(global)?, directory).map(|()| 0)
}

/// [`Usage`] with what `creel-copy prune` would free of it.
#[derive(Serialize)]
struct Taken {
    #[serde(flatten)]
    usage: Usage,
    reclaimable: Pruned,
}

pub fn df(global: &Global) -> Result<u8> {
    let store = open(global)?;
    let dry_run = PruneOptions { dry_run: true, ..PruneOptions::default() };
    let taken = Taken { usage: store.usage()?, reclaimable: store.prune(&dry_run)? };
    if global.json {
        render::json(&taken)?;
        return Ok(0);
    }
    let mut rows: Vec<Vec<String>> = Vec::new();
    for part in taken.usage.parts.iter().filter(|part| part.bytes > 0) {
        let (disk, content) = (cli::bytes(part.bytes), cli::bytes(part.content));
        rows.push(vec![part.name.to_owned(), part.files.to_string(), disk, content]);
    }
    rows.push(vec!["all".to_owned(), String::new(), cli::bytes(taken.usage.bytes), String::new()]);
    render::text(&cli::table(&["PART", "FILES", "ON DISK", "CONTENT"], &rows))?;
    let free = &taken.reclaimable;
    render::text(&format!(
        "creel-copy prune would free {} ({} blobs, {} layers, {} cut downloads)\n",
        cli::bytes(free.bytes),
        free.blobs,
        free.layers,
        free.partials
    ))?;
    Ok(0)
}

/// [`Checked`], and what became of it.
#[derive(Serialize)]
struct CheckReport<'a> {
    #[serde(flatten)]
    checked: &'a Checked,
    #[serde(skip_serializing_if = "Option::is_none")]
    repaired: Option<&'a Repaired>,
}

pub fn check(global: &Global, args: &CheckArgs) -> Result<u8> {
    let store = open(global)?;
    let listener = cli::listener(cli::Style::None, true);
    let checked = store.check(&listener)?;
    let damaged = checked.findings.iter().any(Finding::is_damage);
    let repaired = match args.repair && damaged {
        true => Some(repair(global, &store, &checked, args)?),
        false => None,
    };
    if global.json {
        render::json(&CheckReport { checked: &checked, repaired: repaired.as_ref() })?;
    } else {
        render::text(&check_text(&checked, repaired.as_ref()))?;
    }
    let whole = match &repaired {
        Some(repaired) => repaired.left.is_empty() && repaired.in_use.is_empty(),
        None => !damaged,
    };
    Ok(if whole { 0 } else { DAMAGED })
}

/// Fetches what is missing from where each name points to, or from the place that was named.
fn repair(global: &Global, store: &Store, checked: &Checked, args: &CheckArgs) -> Result<Repaired> {
    let (places, side) = (places(global, &Platform::host())?, side(global)?);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.doing(|| "starting")?;
    let mut fetch = |name: &str, what: &Descriptor| {
        let place = match &args.from {
            Some(place) => places.locate(place, Bare::Registry)?,
            None if name.starts_with('@') => {
                let why = "it has no name in a registry: say --from PLACE";
                return Err(Error::new(ErrorKind::NotFound, why));
            }
            None => Location::Registry(Reference::parse(name)?),
        };
        runtime.block_on(async {
            let source = places.source(&place, &side).await?;
            source.open(what).await?.into_reader().await
        })
    };
    store.repair(checked, &mut fetch)
}

fn check_text(checked: &Checked, repaired: Option<&Repaired>) -> String {
    let mut out = String::new();
    for finding in &checked.findings {
        out.push_str(&format!("{}\n", finding_text(finding)));
    }
    if let Some(repaired) = repaired {
        let fetched = repaired.fetched.len();
        let dropped = repaired.dropped.len() + repaired.layers.len() + repaired.names.len();
        out.push_str(&format!("removed {dropped} damaged, fetched {fetched} again\n"));
        for (name, what, why) in &repaired.left {
            out.push_str(&format!("not mended: {name}: {}: {why}\n", what.digest));
        }
    }
    for layer in repaired.iter().flat_map(|repaired| &repaired.in_use) {
        out.push_str(&format!(
            "not mended: layer {layer}: a container or a mount uses it: remove that, then say \
             --repair again\n"
        ));
    }
    let (names, blobs, layers) = (checked.names, checked.blobs, checked.layers);
    let bytes = cli::bytes(checked.bytes);
    let damaged = checked.findings.iter().filter(|finding| finding.is_damage()).count();
    let alone = layers - checked.compared.min(layers);
    if alone > 0 && damaged == 0 {
        out.push_str(&format!(
            "{alone} unpacked layers could not be compared with their bytes, which are not kept\n"
        ));
    }
    out.push_str(&format!(
        "checked {names} names, {blobs} blobs ({bytes}), {layers} unpacked layers: {}\n",
        match damaged {
            0 => "all whole".to_owned(),
            count => format!("{count} damaged"),
        }
    ));
    out
}

fn finding_text(finding: &Finding) -> String {
    match finding {
        Finding::DamagedBlob { digest, why, needed_by } => match needed_by.is_empty() {
            true => format!("damaged: {digest}: {why}"),
            false => format!("damaged: {digest} (needed by {}): {why}", needed_by.join(", ")),
        },
        Finding::Missing { name, what } => format!("missing: {} of {name}", what.digest),
        Finding::DamagedName { file, why } => format!("damaged name: {}: {why}", file.display()),
        Finding::DamagedLayer { diff_id, why } => format!("damaged layer: {diff_id}: {why}"),
        Finding::Foreign { path } => format!("not ours: {}", path.display()),
    }
}
