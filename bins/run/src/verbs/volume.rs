//! `creel-run volume ls|create|inspect|rm|prune`.

use creel::cli;
use creel::error::{Error, Result};
use creel::run;
use creel::runtime::flags::parse_label;

use super::{each, line, pretty};
use crate::args::VolumeVerb;
use crate::context::Context;
use crate::render;

pub fn run(context: &Context, verb: &VolumeVerb) -> Result<u8> {
    let engine = context.engine(None)?;
    match verb {
        VolumeVerb::Ls { quiet } => {
            let volumes = engine.store.volumes()?;
            if *quiet {
                volumes.iter().try_for_each(|volume| line(&volume.name))?;
                return Ok(0);
            }
            let rows: Vec<Vec<String>> =
                volumes.iter().map(|v| vec!["local".to_owned(), v.name.clone()]).collect();
            cli::print(cli::table(&["DRIVER", "VOLUME NAME"], &rows).as_bytes()).map(|()| 0)
        }
        VolumeVerb::Create { name, label } => {
            let labels = label.iter().map(|text| parse_label(text)).collect::<Result<_>>()?;
            line(&run::create_volume(&engine, name.as_deref(), labels)?).map(|()| 0)
        }
        VolumeVerb::Inspect { names } => {
            let mut found = Vec::new();
            let code = each(names, |name| {
                let volume = engine.store.volume(name)?;
                let volume =
                    volume.ok_or_else(|| Error::not_found(format!("no such volume: {name}")))?;
                found.push(render::volume(&volume, &engine.store.volume_data(name)));
                Ok(())
            })?;
            line(&pretty(&found)?).map(|()| code)
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
