//! The OCI runtime configuration of one container.
//!
//! Owns Docker's defaults and the judgement of combinations. Pure: options, image, host and what
//! the caller made ready go in, a [`Spec`] comes out; the same input gives the same bytes
//! ([`to_json`]). Promise: nothing in an image sets more than entrypoint, command, environment,
//! user, directory and volumes; contradictions and limits that the host cannot hold are errors
//! before anything is made. Does not know how root, volumes and networks came about.

mod check;
mod hooks;
mod linux;
mod mounts;
mod process;
mod resources;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Root, Spec};
use serde_json::Value;

use super::cdi::CdiEdits;
use super::devices::FoundDevice;
use super::host::HostFacts;
use super::options::{IdRange, ImageDefaults, NamespaceMode, RunOptions, UserMode};
use super::user::ResolvedUser;
use crate::error::{Error, ErrorKind, Result};
use crate::spec::json::to_go_bytes;

/// What all runtimes in use understand; nothing newer is asked for.
const OCI_VERSION: &str = "1.0.2";

/// Where the small init program is seen inside.
pub const INIT_TARGET: &str = "/sbin/docker-init";

/// What the caller made ready for a container.
#[derive(Clone, Debug, Default)]
pub struct Container {
    /// Its ID: 64 hexadecimal digits.
    pub id: String,
    /// The mounted root file system.
    pub root: PathBuf,
    /// Who runs.
    pub user: ResolvedUser,
    /// Where the content of mounts is on the host, by target: volumes (the image's too), images,
    /// and sources that are pinned by a handle. A bind without an entry is taken by its own path.
    pub sources: BTreeMap<String, PathBuf>,
    /// The files that are put over those in `/etc`, by target; see [`crate::runtime::files`].
    pub files: BTreeMap<String, PathBuf>,
    /// The devices asked for, as found on the host.
    pub devices: Vec<FoundDevice>,
    /// What devices asked for by name need.
    pub named: CdiEdits,
    /// Device numbers of the paths in rate limits.
    pub rated: BTreeMap<PathBuf, (u32, u32)>,
    /// A network namespace that was made for this container alone; it belongs to
    /// `user_namespace` if there is one.
    pub network: Option<PathBuf>,
    /// A user namespace that was made for this container, with the IDs of its options.
    pub user_namespace: Option<PathBuf>,
}

/// A configuration, and what a person should hear about it.
#[derive(Clone, Debug)]
pub struct Built {
    /// The configuration.
    pub spec: Spec,
    /// Wishes that could not be met and are not needed.
    pub warnings: Vec<String>,
}

/// Everything that the parts look at.
struct Inputs<'a> {
    options: &'a RunOptions,
    image: &'a ImageDefaults,
    host: &'a HostFacts,
    container: &'a Container,
}

/// Builds the configuration.
///
/// Fails with [`ErrorKind::Usage`] for contradictions, with [`ErrorKind::Denied`] or
/// [`ErrorKind::Unsupported`] for what was asked for and this host cannot do.
pub fn build(
    options: &RunOptions,
    image: &ImageDefaults,
    host: &HostFacts,
    container: &Container,
) -> Result<Built> {
    let inputs = Inputs { options, image, host, container };
    let mut warnings = Vec::new();
    check::check(&inputs, &mut warnings)?;
    check::check_users(&inputs)?;
    let capabilities = super::capabilities::choose(options, &host.capabilities)?;
    let process = process::process(&inputs, &capabilities, &mut warnings)?;
    let linux = linux::linux(&inputs, &capabilities)?;

    let mut root = Root::default();
    root.set_path(container.root.clone());
    root.set_readonly(Some(options.read_only));
    let mut spec = Spec::default();
    spec.set_version(OCI_VERSION.to_owned());
    spec.set_root(Some(root));
    spec.set_process(Some(process));
    spec.set_hostname(inputs.own_hostname());
    spec.set_domainname(options.domainname.clone());
    spec.set_mounts(Some(mounts::mounts(&inputs)?));
    spec.set_hooks(hooks::hooks(&container.named)?);
    let annotations: HashMap<_, _> = options.annotations.clone().into_iter().collect();
    spec.set_annotations((!annotations.is_empty()).then_some(annotations));
    spec.set_linux(Some(linux));
    Ok(Built { spec, warnings })
}

/// Whether the host can take a container with these options, before anything is made: the checks
/// of [`build`] that need nothing of the container. Returns warnings.
pub fn check_options(options: &RunOptions, host: &HostFacts) -> Result<Vec<String>> {
    let inputs = Inputs {
        options,
        image: &ImageDefaults::default(),
        host,
        container: &Container::default(),
    };
    let mut warnings = Vec::new();
    check::check(&inputs, &mut warnings)?;
    super::capabilities::choose(options, &host.capabilities)?;
    Ok(warnings)
}

/// The bytes of `config.json`: always the same for the same configuration.
pub fn to_json(spec: &Spec) -> Result<Vec<u8>> {
    let mut value = serde_json::to_value(spec).map_err(|error| {
        Error::caused(ErrorKind::Failed, "writing the runtime configuration", error)
    })?;
    for path in ["/annotations", "/linux/sysctl", "/linux/resources/unified"] {
        if let Some(Value::Object(map)) = value.pointer_mut(path) {
            map.sort_keys();
        }
    }
    for set in ["bounding", "effective", "inheritable", "permitted", "ambient"] {
        if let Some(Value::Array(names)) =
            value.pointer_mut(&format!("/process/capabilities/{set}"))
        {
            names.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
        }
    }
    to_go_bytes(&value)
}

/// Whether a mapping has an ID.
fn has(ranges: &[IdRange], id: u32) -> bool {
    ranges.iter().any(|range| id.checked_sub(range.inside).is_some_and(|at| at < range.count))
}

impl Inputs<'_> {
    /// The name in a namespace of the container's own.
    fn own_hostname(&self) -> Option<String> {
        if self.options.namespaces.uts != NamespaceMode::Private {
            return None;
        }
        let short = || self.container.id.chars().take(12).collect();
        Some(self.options.hostname.clone().unwrap_or_else(short))
    }

    /// Whether the process will be in a user namespace, a new one or the one we are in.
    fn is_mapped(&self) -> bool {
        self.options.namespaces.user != UserMode::Host || self.host.in_user_namespace()
    }

    /// Whether the container has a network of its own.
    fn has_own_network(&self) -> bool {
        self.options.namespaces.network == NamespaceMode::Private
    }

    /// Whether a group ID of the container is one that the kernel knows there.
    fn is_group_mapped(&self, gid: u32) -> bool {
        match &self.options.namespaces.user {
            UserMode::Mapped(map) if map.groups.is_empty() => has(&map.users, gid),
            UserMode::Mapped(map) => has(&map.groups, gid),
            _ => u64::from(gid) < self.host.mapped_ids,
        }
    }

    /// The image's volumes that no mount covers and that the caller has made.
    fn image_volumes(&self) -> impl Iterator<Item = (String, &Path)> {
        self.image.volumes.iter().filter_map(|volume| {
            let target = super::flags::clean(volume);
            let covered = self.options.mounts.iter().any(|mount| mount.target == target);
            let source = self.container.sources.get(&target)?;
            (!covered && target != "/").then_some((target, source.as_path()))
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
