//! Images without a Dockerfile: `from`, `copy`, `add`, `config`, `commit`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use creel::build::context::{Context, ignore_file};
use creel::build::deliver::deliver;
use creel::build::dockerignore::Ignore;
use creel::build::working::Format;
use creel::build::working::{self, Changes, CommitOptions, CopyOptions, FromOptions, RunDefaults};
use creel::cli;
use creel::error::{Error, IoContext, Result};
use creel::runtime::flags;
use creel::spec::{Compression, Platform};
use creel::store::Store;
use creel::transport::{Bare, Location, StoreName};

use super::{remote, runs};
use crate::args::{Global, ImageFormat};
use crate::working_args::{CommitArgs, ConfigArgs, CopyArgs, DefaultArgs, FromArgs};
use crate::{front, render};

/// Says what a person should know.
pub(crate) fn warn(global: &Global) -> impl FnMut(&str) + Send + use<> {
    let quiet = global.quiet;
    move |text| {
        if !quiet {
            cli::say(format_args!("creel-build: warning: {text}"));
        }
    }
}

/// The registry of an image that the command line names.
fn named_registry(image: Option<&String>) -> Result<BTreeSet<String>> {
    let place = image.map(|image| Location::parse(image, Bare::Registry)).transpose()?;
    Ok(place.iter().filter_map(remote::registry_of).collect())
}

fn format(format: ImageFormat) -> Format {
    match format {
        ImageFormat::Oci => Format::Oci,
        ImageFormat::Docker => Format::Docker,
    }
}

/// `creel-build from IMAGE`.
pub(crate) fn from(global: &Global, args: &FromArgs) -> Result<u8> {
    let found = front::surroundings(global)?;
    let store = Store::open_with(&found.root, global.store.options())?;
    let platform = args.platform.clone().unwrap_or_else(Platform::host);
    let named = named_registry(Some(&args.image).filter(|image| *image != "scratch"))?;
    let remote = remote::remote(global, &args.bases.access, platform.clone(), found, named)?;
    let options = FromOptions {
        image: args.image.clone(),
        name: args.name.clone(),
        pull: args.bases.pull.policy(),
        platform,
        format: format(args.format),
        defaults: defaults(&args.defaults)?,
    };
    let record = working::from(&store, &remote, &options, &mut warn(global))?;
    write(args.cidfile.as_deref(), &record.id)?;
    match global.json {
        true => render::print_json(&serde_json::json!({"id": record.id, "name": record.name})),
        false => render::print(&format!("{}\n", record.name)),
    }
    .map(|()| 0)
}

/// What commands will be run with, looked at now so that a mistake is told when it is made.
fn defaults(args: &DefaultArgs) -> Result<RunDefaults> {
    let base = std::env::current_dir().doing(|| "finding out the current directory")?;
    let volume = |text: &String| {
        flags::parse_volume(text, &base)?;
        // The directory may be another one when commands run.
        match text.starts_with('.') {
            true => Ok(format!("{}/{text}", base.display())),
            false => Ok(text.clone()),
        }
    };
    let DefaultArgs { around, inner } = args;
    let confined = &around.confined;
    if let Some(mode) = &around.network {
        super::in_container::network(Some(mode))?;
    }
    for name in [&confined.cap_add, &confined.cap_drop] {
        flags::parse_capabilities(name)?;
    }
    runs::parsed(&inner.add_host, flags::parse_host_entry)?;
    runs::parsed(&inner.ulimit, flags::parse_ulimit)?;
    Ok(RunDefaults {
        volumes: confined.volume.iter().map(volume).collect::<Result<_>>()?,
        network: around.network.clone(),
        cap_add: confined.cap_add.clone(),
        cap_drop: confined.cap_drop.clone(),
        hosts: inner.add_host.clone(),
        shm_size: inner.shm_size,
        ulimits: inner.ulimit.clone(),
    })
}

/// `creel-build copy CONTAINER SRC... DST` and `creel-build add …`.
pub(crate) fn copy(global: &Global, args: &CopyArgs, add: bool) -> Result<u8> {
    let found = front::surroundings(global)?;
    let store = Store::open_with(&found.root, global.store.options())?;
    let named = named_registry(args.from.as_ref())?;
    let remote = remote::remote(global, &args.access, Platform::host(), found, named)?;
    let remote = remote::bounded(remote, &args.fetch);
    let (sources, destination) = match args.paths.split_last() {
        Some((last, sources)) if !sources.is_empty() => (sources, Some(last.clone())),
        _ => (args.paths.as_slice(), None),
    };
    let options = CopyOptions {
        sources: sources.to_vec(),
        destination,
        add,
        checksum: args.checksum.clone(),
        credentials: runs::credentials(&args.lent)?,
        chown: args.chown.clone(),
        chmod: args.chmod.clone(),
        from: args.from.clone(),
        context: args.contextdir.clone(),
        ignore: ignore(args)?,
        current: std::env::current_dir().doing(|| "finding out the current directory")?,
        add_history: args.add_history,
    };
    let digest = working::copy(&store, &remote, &args.container, &options, &mut warn(global))?;
    match global.quiet {
        true => Ok(0),
        false => render::print(&format!("{}\n", digest.hex())).map(|()| 0),
    }
}

fn ignore(args: &CopyArgs) -> Result<Ignore> {
    let file = match (&args.ignorefile, &args.contextdir) {
        (Some(path), _) => Some(ignore_file(path)?),
        (None, Some(dir)) => Context::open(dir)?.ignore()?,
        (None, None) => None,
    };
    Ok(file.unwrap_or_default().patterns)
}

/// `creel-build config CONTAINER`.
pub(crate) fn config(global: &Global, args: &ConfigArgs) -> Result<u8> {
    let changes = Changes {
        author: args.author.clone(),
        comment: args.comment.clone(),
        arch: args.arch.clone(),
        variant: args.variant.clone(),
        os: args.os.clone(),
        os_version: args.os_version.clone(),
        os_features: args.os_feature.clone(),
        cmd: args.cmd.clone(),
        entrypoint: args.entrypoint.clone(),
        env: args.env.clone(),
        labels: args.label.clone(),
        annotations: args.annotation.clone(),
        ports: args.port.clone(),
        volumes: args.volume.clone(),
        on_build: args.onbuild.clone(),
        user: args.user.clone(),
        workdir: args.workingdir.clone(),
        stop_signal: args.stop_signal.clone(),
        shell: args.shell.clone(),
        healthcheck: args.healthcheck.clone(),
        healthcheck_interval: args.healthcheck_interval.clone(),
        healthcheck_timeout: args.healthcheck_timeout.clone(),
        healthcheck_start_period: args.healthcheck_start_period.clone(),
        healthcheck_start_interval: args.healthcheck_start_interval.clone(),
        healthcheck_retries: args.healthcheck_retries,
        created_by: args.created_by.clone(),
        history_comment: args.history_comment.clone(),
        hostname: args.hostname.clone(),
        domainname: args.domainname.clone(),
        add_history: args.add_history,
    };
    working::config(&front::store(global)?, &args.container, &changes).map(|()| 0)
}

/// `creel-build commit CONTAINER [IMAGE]`.
pub(crate) fn commit(global: &Global, args: &CommitArgs) -> Result<u8> {
    let found = front::surroundings(global)?;
    let store = Store::open_with(&found.root, global.store.options())?;
    let (mut names, mut places) = (Vec::new(), Vec::new());
    for text in args.image.iter().chain(&args.tags) {
        match Location::parse(text, Bare::Store)? {
            Location::Store(name) => names.push(name),
            place => places.push(place),
        }
    }
    let named = places.iter().filter_map(remote::registry_of).collect();
    let remote = remote::remote(global, &args.access, Platform::host(), found, named)?;
    let options = CommitOptions {
        names,
        format: args.format.map(format),
        squash: args.squash,
        omit_history: args.omit_history,
        annotations: args.annotations.iter().cloned().collect(),
        unset_env: args.unsetenv.clone(),
        epoch: epoch(args.timestamp)?,
        remove: args.rm && places.is_empty(),
    };
    let made = working::commit(&store, &args.container, &options)?;
    let mut digest = made.digest.clone();
    let compression = match args.disable_compression {
        true => Some(Compression::None),
        false => args.compression.map(remote::compression),
    };
    for place in &places {
        let name = StoreName::Digest(made.digest.clone());
        digest = deliver(&store, &remote, &name, place, compression)?;
    }
    // What could not be brought elsewhere can be tried again.
    if args.rm && !places.is_empty() {
        working::remove(&store, &args.container)?;
    }
    write(args.iidfile.as_deref(), &made.config_digest.to_string())?;
    write(args.digestfile.as_deref(), &digest.to_string())?;
    match global.json {
        true => render::print_json(&working::Committed { digest, ..made }),
        false => render::print(&format!("{digest}\n")),
    }
    .map(|()| 0)
}

fn epoch(given: Option<i64>) -> Result<Option<i64>> {
    let text = std::env::var("SOURCE_DATE_EPOCH").ok().filter(|text| !text.is_empty());
    match (given, text) {
        (Some(epoch), _) => Ok(Some(epoch)),
        (None, Some(text)) => text.parse().map(Some).map_err(|_| {
            Error::usage(format!("SOURCE_DATE_EPOCH is {text:?}, which is no number of seconds"))
        }),
        (None, None) => Ok(None),
    }
}

fn write(path: Option<&Path>, text: &str) -> Result<()> {
    let Some(path) = path.map(PathBuf::from) else { return Ok(()) };
    std::fs::write(&path, text).doing(|| format!("writing {}", path.display()))
}
