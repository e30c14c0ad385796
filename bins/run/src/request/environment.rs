//! The variables of a container: whose count more, and which are not set.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;

use creel::config::ContainerProxies;
use creel::error::{Error, Result};
use creel::runtime::flags::{self, merge_env, variable_name};

use super::{read_file, value};
use crate::args::ProcessArgs;
use crate::context::Context;

/// The variables that programs read proxies from, as podman passes them on.
const PROXIES: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "NO_PROXY",
    "no_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// What a person says of a container's variables.
#[derive(Debug, Default)]
pub struct Environment {
    /// `NAME=value`.
    pub set: Vec<String>,
    /// Names that are not set, whatever the image says.
    pub unset: BTreeSet<String>,
}

/// Weakest first: the person's own, files in their order, the proxies of Docker's configuration,
/// single variables.
pub fn environment(
    args: &ProcessArgs,
    context: &Context,
    warn: &mut dyn FnMut(&str),
) -> Result<Environment> {
    let mut set = Vec::new();
    if args.env_host {
        merge_env(&mut set, std::env::vars_os().filter_map(whole));
    } else if args.http_proxy == Some(true) {
        let proxies =
            PROXIES.iter().filter_map(|name| Some((name.into(), std::env::var_os(name)?)));
        merge_env(&mut set, proxies.filter_map(whole));
    }
    for path in &args.env_file {
        let content = read_file(path)?;
        merge_env(&mut set, flags::parse_env_file(&content, &path.display().to_string(), own)?);
    }
    merge_env(&mut set, configured_proxies(args, context, warn));
    let mut environment = Environment { set, unset: args.unsetenv.iter().cloned().collect() };
    single(&args.env, &mut environment)?;
    Ok(environment)
}

/// Those of files in their order, then single ones, for a container that has its own already.
pub fn listed(files: &[PathBuf], texts: &[String]) -> Result<Vec<String>> {
    let mut set = Vec::new();
    for path in files {
        let content = read_file(path)?;
        merge_env(&mut set, flags::parse_env_file(&content, &path.display().to_string(), own)?);
    }
    let mut environment = Environment { set, unset: BTreeSet::new() };
    single(texts, &mut environment)?;
    Ok(environment.set)
}

/// `-e`: the last word on each name. One without a value that is not set here is not set in the
/// container either, not even by its image.
fn single(texts: &[String], environment: &mut Environment) -> Result<()> {
    let asked = environment.unset.clone();
    for text in texts {
        match value("--env", text, |text| flags::parse_env(text, own))? {
            Some(variable) => {
                let name = variable_name(&variable);
                if !asked.contains(name) {
                    environment.unset.remove(name);
                }
                merge_env(&mut environment.set, [variable]);
            }
            None => {
                environment.set.retain(|variable| variable_name(variable) != text);
                environment.unset.insert(text.clone());
            }
        }
    }
    Ok(())
}

/// Docker's client gives them to every container, over what files of variables say.
fn configured_proxies(
    args: &ProcessArgs,
    context: &Context,
    warn: &mut dyn FnMut(&str),
) -> Vec<String> {
    if args.http_proxy == Some(false) {
        return Vec::new();
    }
    let daemon = std::env::var("DOCKER_HOST").ok();
    let proxies = ContainerProxies::load(&context.paths, daemon.as_deref());
    let proxies = proxies.unwrap_or_else(|error: Error| {
        // No container needs them to be there.
        warn(&error.chain());
        ContainerProxies::default()
    });
    proxies.unless(|name| args.env.iter().any(|text| variable_name(text) == name))
}

fn own(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// `NAME=value`, where both are text.
fn whole((name, value): (OsString, OsString)) -> Option<String> {
    Some(format!("{}={}", name.to_str()?, value.to_str()?))
}
