//! `creel-copy copy SRC [DST]`.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use creel::cli;
use creel::copy::{self, CopyOptions};
use creel::error::{Error, Result};
use creel::spec::Reference;
use creel::transport::{Bare, Entry, Location, Sink, StoreName};

use crate::args::{CopyArgs, Side, copy_options};
use crate::context::Context;
use crate::render;

pub async fn run(context: &Context, args: CopyArgs) -> Result<u8> {
    let mut args = args;
    // Trees of other machines are of no use here.
    args.keep.no_unpack |= args.select.is_for_others();
    let places = context.places_that_keep(&args.work, &args.keep)?;
    let from = places.locate(&args.source, Bare::Registry)?;
    let to = match &args.destination {
        Some(text) => places.locate(text, Bare::RegistryIfNamed)?,
        None => in_store(&from)?,
    };
    args.peer.apply(context, &to, &mut args.change)?;
    check_tags(&to, &args.additional_tag)?;
    if let Some(path) = &args.digestfile {
        check_directory(path)?;
    }
    let source_side = context.side(args.source_side.side(), &args.both)?;
    let doing = |error: Error| error.while_doing(format!("copying {from} to {to}"));
    let source = places.source(&from, &source_side).await.map_err(doing)?;
    let destination_side = context.side(args.destination_side.side(), &args.both)?;
    let sink = Arc::new(places.sink(&to, &destination_side).map_err(doing)?);
    let options = Arc::new(CopyOptions {
        additional_tags: args.additional_tag,
        no_clobber: args.no_clobber,
        ..copy_options(&context.global, &args.select, &args.change)
    });
    if args.dry_run {
        let plan = copy::dry_run(&source, sink.as_ref(), &options).await.map_err(doing)?;
        match context.global.json {
            true => render::print_json(&plan)?,
            false => render::print(&render::plan(&plan))?,
        }
        return Ok(0);
    }
    let session = context.session(&args.work);
    let begun = Instant::now();
    let report = async {
        let report =
            copy::copy(Arc::new(source), sink.clone(), &to.to_string(), options, &session).await?;
        let copied = begun.elapsed().as_secs_f64();
        sink.finish().await?;
        if context.global.timings {
            cli::say(format_args!(
                "timings: planning {:.3}s, moving {:.3}s, bringing to disk and naming {:.3}s",
                copied - report.seconds,
                report.seconds,
                begun.elapsed().as_secs_f64() - copied,
            ));
        }
        Ok::<_, Error>(report)
    };
    let report = report.await.map_err(doing)?;
    if let Some(path) = &args.digestfile {
        render::write_file(path, &report.digest.to_string())?;
    }
    if context.global.json {
        render::print_json(&report)?;
    } else {
        render::print(&format!("{}\n", report.digest))?;
        context.say(&render::summary(&report));
    }
    Ok(0)
}

/// Refuses before anything is moved what would be refused at the end.
fn check_tags(to: &Location, tags: &[String]) -> Result<()> {
    match (to, tags) {
        (Location::Registry(name), tags) => {
            tags.iter().try_for_each(|tag| name.with_tag(tag).map(drop))
        }
        (Location::Directory(_), [tag, ..]) => {
            Err(Error::usage(format!("{to} holds an image without a name: leave out {tag:?}")))
        }
        _ => Ok(()),
    }
}

/// Looks whether a file can be made where it shall be.
fn check_directory(file: &Path) -> Result<()> {
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    match directory {
        Some(directory) if !directory.is_dir() => Err(Error::usage(format!(
            "--digestfile {}: there is no directory {}",
            file.display(),
            directory.display()
        ))),
        _ => Ok(()),
    }
}

/// The name under which something is kept in the store when none was given.
fn in_store(from: &Location) -> Result<Location> {
    let named =
        |text: &str| Reference::parse(text).map(|name| StoreName::Named(name.with_default_tag()));
    let name = match from {
        Location::Registry(name) => match (name.tag(), name.digest()) {
            (None, Some(digest)) => StoreName::Digest(digest.clone()),
            _ => StoreName::Named(name.with_tag(name.tag_or_latest())?),
        },
        Location::DockerDaemon(name) => StoreName::Named(name.clone()),
        Location::ContainersStorage(name) => named(name)?,
        Location::Store(_) => {
            return Err(Error::usage("say where to: the source is the store itself"));
        }
        Location::Layout(place)
        | Location::LayoutArchive(place)
        | Location::DockerArchive(place) => match &place.entry {
            Entry::Named(name) => named(name)?,
            Entry::Digest(digest) => StoreName::Digest(digest.clone()),
            _ => return Err(unnamed(from)),
        },
        Location::Directory(_) => return Err(unnamed(from)),
    };
    Ok(Location::Store(name))
}

fn unnamed(from: &Location) -> Error {
    Error::usage(format!(
        "{from} gives the image no name: say which one it gets, as in store:app:1.0"
    ))
}
