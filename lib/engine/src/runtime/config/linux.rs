//! Namespaces, masks, kernel settings, cgroup.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{
    Capability, Linux, LinuxIdMapping, LinuxIdMappingBuilder, LinuxNamespace, LinuxNamespaceType,
};

use super::{Inputs, mounts, resources};
use crate::error::{Error, ErrorKind, Result};
use crate::runtime::flags::clean;
use crate::runtime::host::CgroupVersion;
use crate::runtime::options::{IdRange, IpcMode, NamespaceMode, SeccompChoice, UserMode};
use crate::runtime::seccomp::{self, SeccompHost};

/// What tells about the host and is not covered by a namespace.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// What would change the host.
const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The cgroup and slice that ours are below.
const PARENT: &str = "creel";

pub(super) fn linux(inputs: &Inputs<'_>, capabilities: &HashSet<Capability>) -> Result<Linux> {
    let options = inputs.options;
    let mut linux = Linux::default();
    let (users, groups) = id_mappings(&options.namespaces.user)?;
    linux.set_uid_mappings(users);
    linux.set_gid_mappings(groups);
    linux.set_sysctl(sysctls(inputs));
    linux.set_resources(resources::resources(inputs)?);
    linux.set_cgroups_path(cgroups_path(inputs));
    linux.set_namespaces(Some(namespaces(inputs)));
    linux.set_devices(resources::devices(inputs)?);
    linux.set_seccomp(filter(inputs, capabilities)?);
    linux.set_rootfs_propagation(mounts::root_propagation(&options.mounts));
    linux.set_masked_paths(masked_paths(inputs));
    linux.set_readonly_paths(read_only_paths(inputs));
    Ok(linux)
}

fn filter(
    inputs: &Inputs<'_>,
    capabilities: &HashSet<Capability>,
) -> Result<Option<oci_spec::runtime::LinuxSeccomp>> {
    let choice = &inputs.options.security.seccomp;
    let unfiltered =
        !inputs.host.seccomp || (inputs.options.privileged && *choice == SeccompChoice::Default);
    if unfiltered {
        return Ok(None);
    }
    let host = SeccompHost {
        architecture: inputs.host.architecture.clone(),
        kernel: inputs.host.kernel,
        ia32: inputs.host.ia32,
        x32: inputs.host.x32,
    };
    seccomp::resolve(choice, &host, capabilities)
}

fn namespaces(inputs: &Inputs<'_>) -> Vec<LinuxNamespace> {
    let asked = &inputs.options.namespaces;
    let ipc = match &asked.ipc {
        IpcMode::Host => NamespaceMode::Host,
        IpcMode::Path(path) => NamespaceMode::Path(path.clone()),
        _ => NamespaceMode::Private,
    };
    let network = match (&asked.network, &inputs.container.network) {
        (NamespaceMode::Private, Some(path)) => NamespaceMode::Path(path.clone()),
        (mode, _) => mode.clone(),
    };
    let cgroup = asked.cgroup.clone().unwrap_or(match inputs.host.cgroups.version {
        CgroupVersion::V2 => NamespaceMode::Private,
        _ => NamespaceMode::Host,
    });
    let user = match &asked.user {
        UserMode::Path(path) => NamespaceMode::Path(path.clone()),
        UserMode::Mapped(_) => match &inputs.container.user_namespace {
            Some(path) => NamespaceMode::Path(path.clone()),
            None => NamespaceMode::Private,
        },
        _ => NamespaceMode::Host,
    };
    let all = [
        (LinuxNamespaceType::Mount, NamespaceMode::Private),
        (LinuxNamespaceType::Network, network),
        (LinuxNamespaceType::Uts, asked.uts.clone()),
        (LinuxNamespaceType::Pid, asked.pid.clone()),
        (LinuxNamespaceType::Ipc, ipc),
        (LinuxNamespaceType::Cgroup, cgroup),
        (LinuxNamespaceType::User, user),
    ];
    all.into_iter().filter_map(|(kind, mode)| namespace(kind, mode)).collect()
}

fn namespace(kind: LinuxNamespaceType, mode: NamespaceMode) -> Option<LinuxNamespace> {
    let path = match mode {
        NamespaceMode::Host => return None,
        NamespaceMode::Path(path) => Some(path),
        NamespaceMode::Private | NamespaceMode::Container(_) => None,
    };
    let mut namespace = LinuxNamespace::default();
    namespace.set_typ(kind);
    namespace.set_path(path);
    Some(namespace)
}

type Mappings = Option<Vec<LinuxIdMapping>>;

fn id_mappings(mode: &UserMode) -> Result<(Mappings, Mappings)> {
    let UserMode::Mapped(map) = mode else { return Ok((None, None)) };
    let groups = if map.groups.is_empty() { &map.users } else { &map.groups };
    Ok((Some(to_oci_ranges(&map.users)?), Some(to_oci_ranges(groups)?)))
}

fn to_oci_ranges(ranges: &[IdRange]) -> Result<Vec<LinuxIdMapping>> {
    let to_oci = |range: &IdRange| {
        LinuxIdMappingBuilder::default()
            .container_id(range.inside)
            .host_id(range.outside)
            .size(range.count)
            .build()
            .map_err(|error| Error::caused(ErrorKind::Failed, "mapping of IDs", error))
    };
    ranges.iter().map(to_oci).collect()
}

/// What was asked for, and what lets programs ping and open low ports without capabilities.
fn sysctls(inputs: &Inputs<'_>) -> Option<HashMap<String, String>> {
    let mut settings: HashMap<String, String> = HashMap::new();
    if inputs.has_own_network() {
        if inputs.host.kernel >= (4, 11) {
            settings.insert("net.ipv4.ip_unprivileged_port_start".into(), "0".into());
        }
        if !inputs.is_mapped() {
            settings.insert("net.ipv4.ping_group_range".into(), "0 2147483647".into());
        }
    }
    settings.extend(inputs.options.sysctls.clone());
    (!settings.is_empty()).then_some(settings)
}

fn masked_paths(inputs: &Inputs<'_>) -> Option<Vec<String>> {
    let fixed = MASKED.iter().map(|path| (*path).to_owned());
    let mut paths = covered(inputs, fixed.chain(inputs.host.thermal_paths.iter().cloned()));
    paths.extend(inputs.options.security.mask.iter().map(|path| clean(path)));
    (!paths.is_empty()).then_some(paths)
}

fn read_only_paths(inputs: &Inputs<'_>) -> Option<Vec<String>> {
    let paths = covered(inputs, READ_ONLY.map(str::to_owned));
    (!paths.is_empty()).then_some(paths)
}

/// The paths that stay covered: none in a privileged container, none that was asked to be shown.
fn covered(inputs: &Inputs<'_>, paths: impl IntoIterator<Item = String>) -> Vec<String> {
    let shown = &inputs.options.security.unmask;
    let is_shown =
        |path: &String| shown.iter().any(|pattern| pattern == "ALL" || matches(pattern, path));
    let privileged = inputs.options.privileged;
    paths.into_iter().filter(|path| !privileged && !is_shown(path)).collect()
}

/// Whether a shell pattern without classes (`*` and `?` within one part) fits a whole path, or a
/// directory above it.
fn matches(pattern: &str, path: &str) -> bool {
    let mut parts = path.trim_end_matches('/').split('/');
    pattern
        .trim_end_matches('/')
        .split('/')
        .all(|part| parts.next().is_some_and(|name| part_matches(part.as_bytes(), name.as_bytes())))
}

fn part_matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            (0..=name.len()).any(|skip| name.get(skip..).is_some_and(|n| part_matches(rest, n)))
        }
        (Some((b'?', rest)), Some((_, name))) => part_matches(rest, name),
        (Some((letter, rest)), Some((first, name))) => letter == first && part_matches(rest, name),
        _ => false,
    }
}

/// `/creel/ID`, or for systemd `slice:creel:ID`.
fn cgroups_path(inputs: &Inputs<'_>) -> Option<PathBuf> {
    let (cgroups, id) = (&inputs.host.cgroups, &inputs.container.id);
    if !cgroups.writable {
        return None;
    }
    let parent = inputs.options.cgroup_parent.as_deref();
    if cgroups.systemd {
        let rootless = inputs.host.uid != 0 || inputs.host.in_user_namespace();
        let default = if rootless { "user.slice" } else { "system.slice" };
        return Some(PathBuf::from(format!("{}:{PARENT}:{id}", parent.unwrap_or(default))));
    }
    Some(Path::new("/").join(parent.unwrap_or(PARENT).trim_start_matches('/')).join(id))
}
