//! `creel-run volume ls|create|inspect|rm|prune`.

use creel::cli;
use creel::error::{Error, Result};
use creel::run;
use creel::runtime::flags::parse_label;
use creel::store::Volume;

use super::{each, line};
use crate::args::VolumeVerb;
use crate::context::Context;
use crate::render;

pub fn run(context: &Context, verb: &VolumeVerb) -> Result<u8> {
    let engine = context.engine(None)?;
    match verb {
        VolumeVerb::Ls { quiet, filter, format } => {
            let mut volumes = engine.store.volumes()?;
            let filters =
                filter.iter().map(|text| parse_filter(text)).collect::<Result<Vec<_>>>()?;
            volumes.retain(|volume| accepted(&filters, volume));
            if *quiet {
                volumes.iter().try_for_each(|volume| line(&volume.name))?;
                return Ok(0);
            }
            if let Some(format) = format {
                let row = |volume| render::volume(volume, &engine.store.volume_data(&volume.name));
                let rows: Vec<_> = volumes.iter().map(row).collect();
                let titles = render::volume_titles();
                let text = cli::formatted_rows(format, &rows, &titles, &render::SCHEMA)?;
                return cli::print(&text).map(|()| 0);
            }
            let rows: Vec<Vec<String>> =
                volumes.iter().map(|v| vec!["local".to_owned(), v.name.clone()]).collect();
            cli::print(&cli::table(&["DRIVER", "VOLUME NAME"], &rows)).map(|()| 0)
        }
        VolumeVerb::Create { name, label } => {
            let labels = label.iter().map(|text| parse_label(text)).collect::<Result<_>>()?;
            line(&run::create_volume(&engine, name.as_deref(), labels)?).map(|()| 0)
        }
        VolumeVerb::Inspect { names, format } => {
            let mut found = Vec::new();
            let code = each(names, |name| {
                let volume = engine.store.volume(name)?;
                let volume =
                    volume.ok_or_else(|| Error::not_found(format!("no such volume: {name}")))?;
                found.push(render::volume(&volume, &engine.store.volume_data(name)));
                Ok(())
            })?;
            match format {
                Some(format) => {
                    found.iter().try_for_each(|value| line(&render::filled(format, value)?))?;
                }
                None => cli::print_json(&found)?,
            }
            Ok(code)
        }
        VolumeVerb::Rm { names, force } => {
            each(names, |name| match run::remove_volume(&engine, name) {
                Err(error) if *force && error.kind() == creel::ErrorKind::NotFound => Ok(()),
                other => other.and_then(|()| line(name)),
            })
        }
        VolumeVerb::Prune { all, .. } => {
            let removed = run::prune_volumes(&engine, *all)?;
            removed.iter().try_for_each(|name| line(name)).map(|()| 0)
        }
    }
}

fn parse_filter(text: &str) -> Result<(&str, &str)> {
    match text.split_once('=') {
        Some((key @ ("name" | "label"), value)) => Ok((key, value)),
        _ => Err(Error::usage(format!("invalid filter {text:?} (there are name=, label=)"))),
    }
}

/// Names are alternatives, labels must all be there.
fn accepted(filters: &[(&str, &str)], volume: &Volume) -> bool {
    let mut names = filters.iter().filter(|(key, _)| *key == "name").peekable();
    let named = names.peek().is_none() || names.any(|(_, value)| volume.name.contains(value));
    let mut labels = filters.iter().filter(|(key, _)| *key == "label");
    named
        && labels.all(|(_, wanted)| match wanted.split_once('=') {
            Some((name, value)) => volume.labels.get(name).is_some_and(|own| own == value),
            None => volume.labels.contains_key(*wanted),
        })
}
