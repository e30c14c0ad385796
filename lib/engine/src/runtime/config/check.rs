//! Combinations that make no sense, and limits that the host cannot hold.

use std::collections::BTreeSet;

use super::Inputs;
use crate::error::{Error, ErrorKind, Result};
use crate::runtime::flags::parse_ranges;
use crate::runtime::host::CgroupVersion;
use crate::runtime::options::{IpcMode, NamespaceMode, Resources, UserMode};

/// Less memory than this starts no container.
const LEAST_MEMORY: i64 = 6 << 20;

/// Refuses what cannot be; `warnings` get what does not matter.
pub(super) fn check(inputs: &Inputs<'_>, warnings: &mut Vec<String>) -> Result<()> {
    check_names(inputs)?;
    check_mounts(inputs)?;
    check_memory(&inputs.options.resources)?;
    check_processors(inputs)?;
    check_cgroups(inputs, warnings)?;
    check_security(inputs)?;
    inputs.options.sysctls.keys().try_for_each(|name| check_sysctl(inputs, name))
}

fn refuse<T>(what: impl Into<String>) -> Result<T> {
    Err(Error::usage(what.into()))
}

fn check_names(inputs: &Inputs<'_>) -> Result<()> {
    let options = inputs.options;
    let namespaces = &options.namespaces;
    if let Some(hostname) = &options.hostname {
        crate::runtime::flags::check_hostname(hostname)?;
        if namespaces.uts != NamespaceMode::Private {
            return refuse("conflicting options: hostname and the UTS mode");
        }
    }
    if options.init.is_some() && namespaces.pid != NamespaceMode::Private {
        return refuse("conflicting options: init and the PID mode (init must be process 1)");
    }
    let unresolved = [
        (&namespaces.pid, "--pid"),
        (&namespaces.uts, "--uts"),
        (&namespaces.network, "--network"),
    ];
    for (mode, flag) in unresolved {
        if let NamespaceMode::Container(name) = mode {
            return Err(not_ready(flag, &format!("container:{name}")));
        }
    }
    if let IpcMode::Container(name) = &namespaces.ipc {
        return Err(not_ready("--ipc", &format!("container:{name}")));
    }
    match options.oom_score_adj {
        Some(value) if !(-1000..=1000).contains(&value) => {
            refuse(format!("invalid value {value}, range for oom score adj is [-1000, 1000]"))
        }
        _ => Ok(()),
    }
}

/// Whoever runs must be somebody in the container's user namespace.
pub(super) fn check_users(inputs: &Inputs<'_>) -> Result<()> {
    let (mode, who) = (&inputs.options.namespaces.user, &inputs.container.user);
    match mode {
        UserMode::Auto { .. } | UserMode::KeepId { .. } | UserMode::NoMap => {
            Err(Error::unsupported("--userns auto, keep-id or nomap was not turned into a mapping"))
        }
        UserMode::Mapped(map) if !super::has(&map.users, who.uid) => {
            refuse(format!("user ID {} is not mapped in the container's user namespace", who.uid))
        }
        UserMode::Mapped(_) => {
            let groups = std::iter::once(&who.gid).chain(&who.groups);
            match groups.into_iter().find(|gid| !inputs.is_group_mapped(**gid)) {
                Some(gid) => refuse(format!(
                    "group ID {gid} is not mapped in the container's user namespace"
                )),
                None => Ok(()),
            }
        }
        UserMode::Host | UserMode::Path(_) => Ok(()),
    }
}

fn not_ready(flag: &str, mode: &str) -> Error {
    Error::unsupported(format!(
        "{flag} {mode}: sharing another container's namespaces is not supported yet; ns:PATH joins \
         one by its path"
    ))
}

fn check_mounts(inputs: &Inputs<'_>) -> Result<()> {
    let mut seen = BTreeSet::new();
    match inputs.options.mounts.iter().find(|mount| !seen.insert(&mount.target)) {
        Some(mount) => refuse(format!("duplicate mount point: {}", mount.target)),
        None => Ok(()),
    }
}

fn check_memory(resources: &Resources) -> Result<()> {
    let limit = resources.memory.unwrap_or(0);
    let reservation = resources.memory_reservation.unwrap_or(0);
    if limit != 0 && limit < LEAST_MEMORY {
        return refuse("minimum memory limit allowed is 6MB");
    }
    match resources.memory_swap {
        Some(swap) if swap > 0 && limit == 0 => {
            return refuse(
                "you should always set the memory limit when using the memory-swap limit",
            );
        }
        Some(swap) if swap > 0 && swap < limit => {
            return refuse("minimum memory-swap limit should be larger than the memory limit");
        }
        _ => {}
    }
    if reservation != 0 && reservation < LEAST_MEMORY {
        return refuse("minimum memory reservation allowed is 6MB");
    }
    if limit != 0 && reservation > limit {
        return refuse("minimum memory limit can not be less than memory reservation limit");
    }
    match resources.memory_swappiness {
        Some(value) if value > 100 => {
            refuse(format!("invalid value: {value}, valid memory swappiness range is 0-100"))
        }
        _ => Ok(()),
    }
}

fn check_processors(inputs: &Inputs<'_>) -> Result<()> {
    let resources = &inputs.options.resources;
    let there = inputs.host.processors;
    if let Some(nano) = resources.nano_cpus.filter(|nano| *nano != 0) {
        if resources.cpu_period.is_some() || resources.cpu_quota.is_some() {
            return refuse("conflicting options: cpus and cpu-period or cpu-quota");
        }
        if nano < 10_000_000 || nano > i64::from(there) * 1_000_000_000 {
            return refuse(format!(
                "range of CPUs is from 0.01 to {there}.00, as there are only {there} CPUs available"
            ));
        }
    }
    match resources.cpu_period {
        Some(period) if period != 0 && !(1000..=1_000_000).contains(&period) => {
            return refuse(
                "CPU cfs period can not be less than 1ms or larger than 1s (1000 to 1000000)",
            );
        }
        _ => {}
    }
    match resources.cpu_quota {
        Some(quota) if quota > 0 && quota < 1000 => {
            return refuse("CPU cfs quota can not be less than 1ms (1000)");
        }
        _ => {}
    }
    match resources.cpu_shares {
        Some(shares) if shares != 0 && !(2..=262_144).contains(&shares) => {
            return refuse(format!("invalid CPU shares ({shares}): they are from 2 to 262144"));
        }
        _ => {}
    }
    check_list("cpuset-cpus", resources.cpuset_cpus.as_deref(), &inputs.host.cpus)?;
    check_list("cpuset-mems", resources.cpuset_mems.as_deref(), &inputs.host.memory_nodes)?;
    match resources.blkio_weight {
        Some(weight) if weight != 0 && !(10..=1000).contains(&weight) => {
            refuse("range of blkio weight is from 10 to 1000")
        }
        _ => Ok(()),
    }
}

/// Refuses processors or memory nodes that are not there; an empty `there` is not known.
fn check_list(flag: &str, asked: Option<&str>, there: &str) -> Result<()> {
    let Some(text) = asked.filter(|text| !text.is_empty()) else { return Ok(()) };
    let Some(ranges) = parse_ranges(text) else {
        return refuse(format!("invalid --{flag} {text:?}: it is a list such as 0-2,4"));
    };
    let Some(known) = parse_ranges(there).filter(|known| !known.is_empty()) else { return Ok(()) };
    let is_there = |n: u32| known.iter().any(|range| range.contains(&n));
    match ranges.into_iter().flatten().find(|n| !is_there(*n)) {
        Some(_) => refuse(format!("--{flag} {text} is not available here: there is {there}")),
        None => Ok(()),
    }
}

/// What was asked for needs its controller, and the right to use it.
fn check_cgroups(inputs: &Inputs<'_>, warnings: &mut Vec<String>) -> Result<()> {
    let (resources, cgroups) = (&inputs.options.resources, &inputs.host.cgroups);
    let unified = cgroups.version == CgroupVersion::V2;
    for (flag, controller) in resources.asked_for(unified) {
        let missing = if cgroups.version == CgroupVersion::None {
            "no cgroup file system is mounted".to_owned()
        } else if !cgroups.writable {
            "this process may not make cgroups".to_owned()
        } else if !cgroups.controllers.contains(controller) {
            format!("the cgroup controller {controller:?} is not available")
        } else {
            continue;
        };
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("{flag} cannot be enforced: {missing}"),
        ));
    }
    if resources.memory_swap.is_some_and(|swap| swap > 0) && !cgroups.swap {
        warnings.push("this kernel does not limit swap: memory is limited without it".to_owned());
    }
    if unified && resources.memory_swappiness.is_some() {
        warnings.push("--memory-swappiness does nothing under cgroup v2".to_owned());
    }
    if resources.oom_kill_disable {
        if unified {
            warnings.push("--oom-kill-disable does nothing under cgroup v2".to_owned());
        } else if resources.memory.is_none() {
            warnings.push(
                "the OOM killer is disabled, but no memory limit is set: the system may run out of memory"
                    .to_owned(),
            );
        }
    }
    let parent = inputs.options.cgroup_parent.as_deref();
    match parent {
        Some(parent) if cgroups.systemd && !parent.ends_with(".slice") => refuse(format!(
            "cgroup-parent for systemd cgroup should be a valid slice named as \"xxx.slice\", not {parent:?}"
        )),
        Some(parent) if parent.split('/').any(|part| part == "..") || parent.contains(':') => {
            refuse(format!("invalid cgroup-parent {parent:?}"))
        }
        _ => Ok(()),
    }
}

impl Resources {
    /// The limits in force, by flag, with the controller that holds each.
    fn asked_for(&self, unified: bool) -> Vec<(&'static str, &'static str)> {
        let io = if unified { "io" } else { "blkio" };
        let rates = [&self.read_bps, &self.write_bps, &self.read_iops, &self.write_iops];
        [
            (self.memory.is_some(), "--memory", "memory"),
            (self.memory_swap.is_some(), "--memory-swap", "memory"),
            (self.memory_reservation.is_some(), "--memory-reservation", "memory"),
            (self.nano_cpus.is_some(), "--cpus", "cpu"),
            (self.cpu_quota.is_some(), "--cpu-quota", "cpu"),
            (self.cpu_period.is_some(), "--cpu-period", "cpu"),
            (self.cpu_shares.is_some(), "--cpu-shares", "cpu"),
            (self.cpuset_cpus.is_some(), "--cpuset-cpus", "cpuset"),
            (self.cpuset_mems.is_some(), "--cpuset-mems", "cpuset"),
            (self.pids.is_some_and(|limit| limit > 0), "--pids-limit", "pids"),
            (self.blkio_weight.is_some(), "--blkio-weight", io),
            (rates.iter().any(|list| !list.is_empty()), "a device rate", io),
        ]
        .into_iter()
        .filter_map(|(set, flag, controller)| set.then_some((flag, controller)))
        .collect()
    }
}

fn check_security(inputs: &Inputs<'_>) -> Result<()> {
    let security = &inputs.options.security;
    match security.apparmor.as_deref() {
        Some(profile) if profile != "unconfined" && !inputs.host.apparmor => {
            return Err(Error::unsupported(format!(
                "AppArmor profile {profile:?}: AppArmor is not enabled on this host"
            )));
        }
        _ => {}
    }
    let own = matches!(security.seccomp, crate::runtime::options::SeccompChoice::Profile { .. });
    if own && !inputs.host.seccomp {
        return Err(Error::unsupported(
            "a seccomp profile was given, but this kernel has no seccomp",
        ));
    }
    Ok(())
}

/// Only settings that belong to one of the container's own namespaces.
fn check_sysctl(inputs: &Inputs<'_>, name: &str) -> Result<()> {
    const OF_IPC: [&str; 8] =
        ["msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced"];
    let namespaces = &inputs.options.namespaces;
    let own_ipc = matches!(namespaces.ipc, IpcMode::Private | IpcMode::Shareable | IpcMode::None);
    let kernel = name.strip_prefix("kernel.");
    let (allowed, mode) = if name.starts_with("net.") {
        (namespaces.network != NamespaceMode::Host, "network")
    } else if name.starts_with("fs.mqueue.") || kernel.is_some_and(|k| OF_IPC.contains(&k)) {
        (own_ipc, "IPC")
    } else if kernel == Some("hostname") {
        return refuse("sysctl \"kernel.hostname\" is not allowed: --hostname sets it");
    } else if kernel == Some("domainname") {
        (namespaces.uts == NamespaceMode::Private, "UTS")
    } else {
        return refuse(format!("sysctl {name:?} is not allowed: it would change the whole host"));
    };
    if !allowed {
        return refuse(format!("sysctl {name:?} is not allowed with the host's {mode} namespace"));
    }
    Ok(())
}
