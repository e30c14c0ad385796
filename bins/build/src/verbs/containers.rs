//! Working containers: `containers`, `inspect`, `mount`, `umount`, `rm`.

use creel::build::working::{self, WorkingRecord};
use creel::cli;
use creel::error::{Error, Result};
use creel::inspect::CONFIG_SCHEMA;
use creel::store::Store;
use creel::template::{self, Schema};
use serde_json::{Value, json};

use crate::args::Global;
use crate::front::store;
use crate::render;
use crate::working_args::{ContainersArgs, InspectArgs, MountArgs, SeveralArgs};

/// What templates know of the types of what is shown here.
const SCHEMA: Schema = Schema { fields: &[], ..CONFIG_SCHEMA };

/// Digits of an ID that people see.
const SHORT: usize = 12;
/// What stands for the image of a container without one.
const SCRATCH: &str = "scratch";

/// `creel-build containers`.
pub(crate) fn list(global: &Global, args: &ContainersArgs) -> Result<u8> {
    let mut found = working::list(&store(global)?)?;
    found.retain(|record| args.filter.iter().all(|filter| filter.matches(record)));
    let short = |id: &str| match args.notruncate {
        true => id.to_owned(),
        false => id.get(..SHORT).unwrap_or(id).to_owned(),
    };
    let image = |record: &WorkingRecord| match record.image.as_str() {
        "" => SCRATCH.to_owned(),
        name => name.to_owned(),
    };
    let image_id =
        |record: &WorkingRecord| record.image_id.as_ref().map_or("", |id| id.hex()).to_owned();
    if global.json {
        let value = |record: &WorkingRecord| {
            json!({
                "id": record.id,
                "builder": true,
                "imageid": image_id(record),
                "imagename": image(record),
                "containername": record.name,
                "created": record.created,
            })
        };
        return render::print_json(&found.iter().map(value).collect::<Vec<_>>()).map(|()| 0);
    }
    if let Some(format) = &args.format {
        for record in &found {
            let value = json!({
                "ContainerID": record.id,
                "Builder": "   *",
                "ImageID": image_id(record),
                "ImageName": image(record),
                "ContainerName": record.name,
            });
            render::print(&format!("{}\n", template::fill(format, &value, &SCHEMA)?))?;
        }
        return Ok(0);
    }
    if global.quiet {
        // Whole, as scripts want them.
        return found.iter().try_for_each(|r| render::print(&format!("{}\n", r.id))).map(|()| 0);
    }
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|record| {
            vec![short(&record.id), short(&image_id(record)), image(record), record.name.clone()]
        })
        .collect();
    let table = cli::table(&["CONTAINER ID", "IMAGE ID", "IMAGE NAME", "CONTAINER NAME"], &rows);
    let text = match args.noheading {
        true => table.split_once('\n').map_or("", |(_, rows)| rows),
        false => &table,
    };
    render::print(text).map(|()| 0)
}

/// `creel-build inspect CONTAINER`.
pub(crate) fn show(global: &Global, args: &InspectArgs) -> Result<u8> {
    match args.kind.as_str() {
        "container" => {}
        "image" => {
            let name = &args.container;
            return Err(Error::unsupported(format!("`creel-inspect {name}` tells about images")));
        }
        other => return Err(Error::usage(format!("--type {other}: there is container"))),
    }
    let store = store(global)?;
    let record = working::find(&store, &args.container)?;
    let mounted = working::mount_point(&store, &record.id)?;
    let place = mounted.map(|path| path.display().to_string()).unwrap_or_default();
    match &args.format {
        Some(format) => {
            let mut data = described(&record, &place);
            // Templates are written with the names of Go's fields.
            for name in ["OCIv1", "Docker"] {
                data[name] = with_go_names(&record)?;
            }
            render::print(&format!("{}\n", template::fill(format, &data, &SCHEMA)?))
        }
        None => render::print_json(&described(&record, &place)),
    }
    .map(|()| 0)
}

/// Under buildah's names.
fn described(record: &WorkingRecord, mounted: &str) -> Value {
    json!({
        "Type": "creel-build",
        "FromImage": record.image,
        "FromImageID": record.image_id.as_ref().map_or("", |id| id.hex()),
        "FromImageDigest": record.base.as_ref().map(|base| base.digest.to_string()).unwrap_or_default(),
        "Container": record.name,
        "ContainerID": record.id,
        "Created": record.created,
        "MountPoint": mounted,
        "Format": record.format,
        "ImageAnnotations": record.annotations,
        "ImageCreatedBy": record.created_by,
        "ImageHistoryComment": record.history_comment,
        "OCIv1": record.config,
        "History": record.history,
        "Defaults": record.defaults,
    })
}

/// A config under both kinds of names.
fn with_go_names(record: &WorkingRecord) -> Result<Value> {
    let failed =
        |error| Error::caused(creel::error::ErrorKind::Failed, "describing a container", error);
    let mut config = serde_json::to_value(&record.config).map_err(failed)?;
    // In templates a field that is empty is there all the same.
    config["config"] = serde_json::to_value(&record.config.config).map_err(failed)?;
    for (go, json) in [
        ("Author", "author"),
        ("Architecture", "architecture"),
        ("Variant", "variant"),
        ("OS", "os"),
        ("Config", "config"),
        ("RootFS", "rootfs"),
        ("History", "history"),
    ] {
        config[go] = config.get(json).cloned().unwrap_or_default();
    }
    let inner = &mut config["Config"];
    for (field, empty) in [
        ("Env", json!([])),
        ("Cmd", json!([])),
        ("Entrypoint", json!([])),
        ("Labels", json!({})),
        ("Volumes", json!({})),
        ("ExposedPorts", json!({})),
        ("User", json!("")),
        ("WorkingDir", json!("")),
        ("StopSignal", json!("")),
    ] {
        if inner.get(field).is_none() {
            inner[field] = empty;
        }
    }
    Ok(config)
}

/// `creel-build mount [CONTAINER...]`.
pub(crate) fn mount(global: &Global, args: &MountArgs) -> Result<u8> {
    let store = store(global)?;
    let mut mounted = Vec::new();
    if args.containers.is_empty() {
        for record in working::list(&store)? {
            if let Some(place) = working::mount_point(&store, &record.id)? {
                mounted.push((record.name, place));
            }
        }
    }
    for name in &args.containers {
        let record = working::find(&store, name)?;
        mounted.push((record.name, working::mount(&store, &record.id)?));
    }
    if global.json {
        let value = |(name, place): &(String, std::path::PathBuf)| json!({"container": name, "mountPoint": place.display().to_string()});
        return render::print_json(&mounted.iter().map(value).collect::<Vec<_>>()).map(|()| 0);
    }
    let one = args.containers.len() == 1;
    for (name, place) in mounted {
        match one {
            true => render::print(&format!("{}\n", place.display()))?,
            false => render::print(&format!("{name} {}\n", place.display()))?,
        }
    }
    Ok(0)
}

/// `creel-build umount CONTAINER...`.
pub(crate) fn unmount(global: &Global, args: &SeveralArgs) -> Result<u8> {
    each(global, args, |store, name| {
        let record = working::find(store, name)?;
        Ok(working::unmount(store, &record.id)?.then_some(record.name))
    })
}

/// `creel-build rm CONTAINER...`.
pub(crate) fn remove(global: &Global, args: &SeveralArgs) -> Result<u8> {
    each(global, args, |store, name| working::remove(store, name).map(|record| Some(record.id)))
}

/// Does something with each container; a failure with one keeps nobody from the others.
fn each(
    global: &Global,
    args: &SeveralArgs,
    work: impl Fn(&Store, &str) -> Result<Option<String>>,
) -> Result<u8> {
    let store = store(global)?;
    let names = match args.all {
        true => working::list(&store)?.into_iter().map(|record| record.id).collect(),
        false => args.containers.clone(),
    };
    let mut code = 0;
    for name in names {
        match work(&store, &name) {
            Ok(Some(text)) if !global.quiet => render::print(&format!("{text}\n"))?,
            Ok(_) => {}
            Err(error) => code = cli::report_failure("creel-build", &error),
        }
    }
    Ok(code)
}
