//! How the commands of a build are run: flags and the environment.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use creel::build::{Cancel, Credentials, Machine, OnFailure, RunSettings, SecretSource};
use creel::cli;
use creel::error::{Error, IoContext, Result};
use creel::runtime::files::Dns;
use creel::runtime::flags::{
    apply_security_opt, parse_capabilities, parse_host_entry, parse_ulimit, parse_volume,
};
use creel::runtime::options::{
    DeviceRequest, MountRequest, MountSource, Resources, SecurityOptions,
};
use creel::runtime::{CDI_DIRECTORIES, CdiName, RunOptions};
use creel::sys;

use crate::run_args::{DevicePlace, LentArgs, OnFailureWhat, RunArgs, SecretPlace};

/// What commands are run by; `runtime` names the program.
pub(crate) fn machine(runtime: Option<&Path>) -> Machine {
    let own = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let state = match (sys::effective_uid(), &own) {
        (0, _) => PathBuf::from("/run/creel"),
        (_, Some(own)) if own.is_absolute() => own.join("creel"),
        _ => std::env::temp_dir().join(format!("creel-{}", sys::effective_uid())),
    };
    let runtime = cli::runtime_program(runtime);
    Machine { runtime, env: cli::runtime_environment(), state }
}

/// What was said, with what is found around.
pub(crate) fn settings(args: &RunArgs, cancel: Arc<Cancel>) -> Result<RunSettings> {
    let here = std::env::current_dir().doing(|| "finding out the current directory")?;
    let volume = |text: &String| volume(text, &here);
    let (confined, inner) = (&args.confined, &args.inner);
    Ok(RunSettings {
        machine: machine(args.machine.runtime.as_deref()),
        network: args.network,
        allow: args.allow.clone(),
        hosts: parsed(&inner.add_host, parse_host_entry)?,
        no_hosts: false,
        dns: Dns::default(),
        credentials: credentials(&args.lent)?,
        options: RunOptions {
            shm_size: inner.shm_size,
            ulimits: parsed(&inner.ulimit, parse_ulimit)?,
            mounts: confined.volume.iter().map(volume).collect::<Result<_>>()?,
            devices: args.device.iter().filter_map(by_path).collect(),
            cap_add: parse_capabilities(&confined.cap_add)?,
            cap_drop: parse_capabilities(&confined.cap_drop)?,
            security: security(args)?,
            cgroup_parent: args.cgroup_parent.clone(),
            resources: Resources {
                memory: args.memory.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
                ..Resources::default()
            },
            ..RunOptions::default()
        },
        devices: args.device.iter().filter_map(by_name).collect(),
        cdi_directories: match args.cdi_spec_dir.as_slice() {
            [] => CDI_DIRECTORIES.map(PathBuf::from).to_vec(),
            some => some.to_vec(),
        },
        cancel: Some(cancel),
        on_failure: match args.on_failure {
            None => OnFailure::Remove,
            Some(OnFailureWhat::Shell) => OnFailure::Shell,
            Some(OnFailureWhat::Keep) => OnFailure::Keep(std::env::temp_dir()),
        },
    })
}

/// Each text read.
pub(crate) fn parsed<T>(texts: &[String], read: impl Fn(&str) -> Result<T>) -> Result<Vec<T>> {
    texts.iter().map(|text| read(text)).collect()
}

/// A directory or a file of this machine, which is there.
fn volume(text: &str, here: &Path) -> Result<MountRequest> {
    let mut request = parse_volume(text, here)?;
    match &mut request.source {
        MountSource::Bind { create, path } => {
            std::fs::metadata(&*path).doing(|| format!("looking for volume {}", path.display()))?;
            *create = false;
            Ok(request)
        }
        _ => Err(Error::usage(format!(
            "-v {text}: names no directory or file (a path begins with / or .)"
        ))),
    }
}

fn by_path(place: &DevicePlace) -> Option<DeviceRequest> {
    match place {
        DevicePlace::Path(device) => Some(device.clone()),
        DevicePlace::Named(_) => None,
    }
}

fn by_name(place: &DevicePlace) -> Option<CdiName> {
    match place {
        DevicePlace::Path(_) => None,
        DevicePlace::Named(name) => Some(name.clone()),
    }
}

fn security(args: &RunArgs) -> Result<SecurityOptions> {
    let mut options = SecurityOptions::default();
    for text in &args.security_opt {
        apply_security_opt(&mut options, text, |path| {
            std::fs::read(path).doing(|| format!("reading seccomp profile {path}"))
        })?;
    }
    Ok(options)
}

/// The secrets and agents that were given.
pub(crate) fn credentials(args: &LentArgs) -> Result<Credentials> {
    let secrets = args.secret.iter().map(|(id, place)| Ok((id.clone(), source(place)?)));
    let agents = args.ssh.iter().map(|text| match text.split_once('=') {
        Some((id, socket)) => Ok((id.to_owned(), PathBuf::from(socket))),
        None => Ok((text.clone(), PathBuf::from(variable("SSH_AUTH_SOCK")?))),
    });
    Ok(Credentials {
        secrets: secrets.collect::<Result<_>>()?,
        agents: agents.collect::<Result<_>>()?,
    })
}

/// Where a secret is that was given under this ID.
pub(crate) fn secret(args: &LentArgs, id: &str) -> Result<Option<SecretSource>> {
    let given = args.secret.iter().rev().find(|(known, _)| known == id);
    given.map(|(_, place)| source(place)).transpose()
}

fn source(place: &SecretPlace) -> Result<SecretSource> {
    Ok(match place {
        SecretPlace::File(path) => SecretSource::File(path.clone()),
        SecretPlace::Variable(name) => SecretSource::Value(variable(name)?.into_encoded_bytes()),
    })
}

fn variable(name: &str) -> Result<OsString> {
    std::env::var_os(name).ok_or_else(|| Error::usage(format!("{name} is not set")))
}
