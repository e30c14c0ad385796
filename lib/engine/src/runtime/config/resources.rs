//! Cgroup limits and device rules.

use std::path::PathBuf;

use oci_spec::OciSpecError;
use oci_spec::runtime::{
    LinuxBlockIo, LinuxBlockIoBuilder, LinuxCpu, LinuxCpuBuilder, LinuxDevice, LinuxDeviceBuilder,
    LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType, LinuxMemory, LinuxMemoryBuilder,
    LinuxPids, LinuxPidsBuilder, LinuxResources, LinuxThrottleDevice, LinuxThrottleDeviceBuilder,
};

use super::Inputs;
use crate::error::{Error, ErrorKind, Result};
use crate::runtime::devices::HostDevice;
use crate::runtime::host::{CgroupVersion, Cgroups};
use crate::runtime::options::{DeviceRate, Resources};

/// Microseconds of the scheduler's period that `--cpus` is counted in.
const PERIOD: u64 = 100_000;

fn built<T>(value: std::result::Result<T, OciSpecError>) -> Result<T> {
    value.map_err(|error| Error::caused(ErrorKind::Failed, "limits of the container", error))
}

/// Everything for the cgroup; `None` where we may not make any.
pub(super) fn resources(inputs: &Inputs<'_>) -> Result<Option<LinuxResources>> {
    if !inputs.host.cgroups.writable {
        return Ok(None);
    }
    let asked = &inputs.options.resources;
    let mut resources = LinuxResources::default();
    // In a user namespace the rules cannot be set, and devices cannot be made either.
    if !inputs.host.in_user_namespace() {
        resources.set_devices(Some(device_rules(inputs)?));
    }
    resources.set_memory(memory(asked, &inputs.host.cgroups)?);
    resources.set_cpu(processors(asked)?);
    let pids = asked.pids.filter(|limit| *limit > 0);
    resources.set_pids(pids.map(limit_pids).transpose()?);
    resources.set_block_io(block_io(inputs)?);
    Ok(Some(resources))
}

fn limit_pids(limit: i64) -> Result<LinuxPids> {
    built(LinuxPidsBuilder::default().limit(limit).build())
}

/// Nothing but what was asked for: runtimes add what every container needs (null, zero, tty, …).
fn device_rules(inputs: &Inputs<'_>) -> Result<Vec<LinuxDeviceCgroup>> {
    let all = |allow| built(LinuxDeviceCgroupBuilder::default().allow(allow).access("rwm").build());
    if inputs.options.privileged {
        return Ok(vec![all(true)?]);
    }
    let mut rules = vec![all(false)?];
    for found in &inputs.container.devices {
        let device = &found.device;
        let rule = LinuxDeviceCgroupBuilder::default()
            .allow(true)
            .typ(device_type(device.kind))
            .major(device.major)
            .minor(device.minor)
            .access(found.access.clone());
        rules.push(built(rule.build())?);
    }
    for asked in &inputs.options.device_rules {
        let mut rule = LinuxDeviceCgroupBuilder::default()
            .allow(true)
            .typ(device_type(asked.kind))
            .access(asked.access.clone());
        if let Some(major) = asked.major {
            rule = rule.major(major);
        }
        if let Some(minor) = asked.minor {
            rule = rule.minor(minor);
        }
        rules.push(built(rule.build())?);
    }
    Ok(rules)
}

fn device_type(kind: char) -> LinuxDeviceType {
    match kind {
        'b' => LinuxDeviceType::B,
        'c' => LinuxDeviceType::C,
        _ => LinuxDeviceType::A,
    }
}

/// The nodes to make besides those that every container has.
pub(super) fn devices(inputs: &Inputs<'_>) -> Result<Option<Vec<LinuxDevice>>> {
    let mut devices = Vec::new();
    if inputs.options.privileged {
        for device in &inputs.host.devices {
            devices.push(node(device.path.clone(), device)?);
        }
    }
    for found in &inputs.container.devices {
        let path = PathBuf::from(&found.target);
        devices.retain(|device: &LinuxDevice| *device.path() != path);
        devices.push(node(path, &found.device)?);
    }
    Ok((!devices.is_empty()).then_some(devices))
}

fn node(path: PathBuf, device: &HostDevice) -> Result<LinuxDevice> {
    let node = LinuxDeviceBuilder::default()
        .path(path)
        .typ(device_type(device.kind))
        .major(device.major)
        .minor(device.minor)
        .file_mode(device.mode)
        .uid(device.uid)
        .gid(device.gid);
    built(node.build())
}

fn memory(asked: &Resources, cgroups: &Cgroups) -> Result<Option<LinuxMemory>> {
    let unified = cgroups.version == CgroupVersion::V2;
    let mut memory = LinuxMemoryBuilder::default();
    let swap = asked.memory_swap.filter(|swap| *swap != 0 && cgroups.swap);
    if let Some(limit) = asked.memory.filter(|limit| *limit != 0) {
        memory = memory.limit(limit);
        // When nothing is said: as much swap again as memory.
        if cgroups.swap {
            memory = memory.swap(swap.unwrap_or_else(|| limit.saturating_mul(2)));
        }
    } else if let Some(swap) = swap {
        memory = memory.swap(swap);
    }
    if let Some(reservation) = asked.memory_reservation.filter(|bytes| *bytes != 0) {
        memory = memory.reservation(reservation);
    }
    if let Some(swappiness) = asked.memory_swappiness.filter(|_| !unified) {
        memory = memory.swappiness(swappiness);
    }
    if asked.oom_kill_disable && !unified {
        memory = memory.disable_oom_killer(true);
    }
    let memory = built(memory.build())?;
    Ok((memory != LinuxMemory::default()).then_some(memory))
}

fn processors(asked: &Resources) -> Result<Option<LinuxCpu>> {
    let mut cpu = LinuxCpuBuilder::default();
    if let Some(nano) = asked.nano_cpus.filter(|nano| *nano != 0) {
        let quota = nano / (1_000_000_000 / PERIOD.cast_signed());
        cpu = cpu.period(PERIOD).quota(quota);
    }
    if let Some(period) = asked.cpu_period.filter(|period| *period != 0) {
        cpu = cpu.period(period);
    }
    if let Some(quota) = asked.cpu_quota.filter(|quota| *quota != 0) {
        cpu = cpu.quota(quota);
    }
    if let Some(shares) = asked.cpu_shares.filter(|shares| *shares != 0) {
        cpu = cpu.shares(shares);
    }
    if let Some(cpus) = &asked.cpuset_cpus {
        cpu = cpu.cpus(cpus.clone());
    }
    if let Some(mems) = &asked.cpuset_mems {
        cpu = cpu.mems(mems.clone());
    }
    let cpu = built(cpu.build())?;
    Ok((cpu != LinuxCpu::default()).then_some(cpu))
}

fn block_io(inputs: &Inputs<'_>) -> Result<Option<LinuxBlockIo>> {
    let asked = &inputs.options.resources;
    let mut io = LinuxBlockIoBuilder::default();
    if let Some(weight) = asked.blkio_weight.filter(|weight| *weight != 0) {
        io = io.weight(weight);
    }
    let rates = |list: &[DeviceRate]| {
        list.iter().map(|rate| throttle(inputs, rate)).collect::<Result<Vec<_>>>()
    };
    if !asked.read_bps.is_empty() {
        io = io.throttle_read_bps_device(rates(&asked.read_bps)?);
    }
    if !asked.write_bps.is_empty() {
        io = io.throttle_write_bps_device(rates(&asked.write_bps)?);
    }
    if !asked.read_iops.is_empty() {
        io = io.throttle_read_iops_device(rates(&asked.read_iops)?);
    }
    if !asked.write_iops.is_empty() {
        io = io.throttle_write_iops_device(rates(&asked.write_iops)?);
    }
    let io = built(io.build())?;
    Ok((io != LinuxBlockIo::default()).then_some(io))
}

fn throttle(inputs: &Inputs<'_>, rate: &DeviceRate) -> Result<LinuxThrottleDevice> {
    let (major, minor) = inputs.container.rated.get(&rate.path).ok_or_else(|| {
        Error::not_found(format!("rate limit for {}: no such block device", rate.path.display()))
    })?;
    let throttle =
        LinuxThrottleDeviceBuilder::default().major(*major).minor(*minor).rate(rate.rate);
    built(throttle.build())
}
