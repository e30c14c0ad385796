//! `creel-copy gc`, `rm` and `prune`: care of layouts and the local store.

use std::path::Path;

use creel::cli;
use creel::error::{Error, Result};
use creel::store::PruneOptions;
use creel::transport::{Bare, Location, collect_layout_garbage};

use crate::args::{GcArgs, PruneArgs, RmArgs};
use crate::context::Context;
use crate::render;

pub fn gc(context: &Context, args: &GcArgs) -> Result<u8> {
    let path = args.layout.strip_prefix("oci:").unwrap_or(&args.layout);
    let collected = collect_layout_garbage(Path::new(path))?;
    context.say(&format!("removed {} blobs, {}", collected.blobs, cli::bytes(collected.bytes)));
    Ok(0)
}

pub fn rm(context: &Context, args: &RmArgs) -> Result<u8> {
    let store = context.store()?;
    let mut names = Vec::new();
    for name in &args.names {
        let Location::Store(name) = Location::parse(name, Bare::Store)? else {
            return Err(Error::usage(format!(
                "{name} is not in the store: use `creel-copy delete`"
            )));
        };
        names.push(name);
    }
    // A name that is not there keeps none of the others.
    let mut failed = None;
    for name in &names {
        let removed = match args.no_prune {
            true => store.untag(name).map(drop),
            false => store.remove(name).map(drop),
        };
        match removed {
            Ok(()) => render::print(&format!("{name}\n"))?,
            Err(error) => {
                if let Some(earlier) = failed.replace(error) {
                    cli::report_failure("creel-copy", &earlier);
                }
            }
        }
    }
    failed.map_or(Ok(0), Err)
}

pub fn prune(context: &Context, args: &PruneArgs) -> Result<u8> {
    let options = PruneOptions {
        older_than: args.older_than,
        max_size: args.max_size,
        dry_run: args.dry_run,
    };
    let report = context.store()?.prune(&options)?;
    if context.global.json {
        render::print_json(&report)?;
        return Ok(0);
    }
    let (removed, freed) = match args.dry_run {
        true => ("would remove", "would free"),
        false => ("removed", "freed"),
    };
    let names: String = report.names.iter().map(|name| format!("{removed} {name}\n")).collect();
    render::print(&format!("{names}{freed} {}\n", cli::bytes(report.bytes)))?;
    Ok(0)
}
