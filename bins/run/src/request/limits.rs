//! How much a container may use.

use creel::error::Result;
use creel::runtime::flags;
use creel::runtime::options::Resources;

use super::{list, value};
use crate::args::LimitArgs;

/// Reads the flags for limits.
pub fn resources(args: &LimitArgs, warn: &mut dyn FnMut(&str)) -> Result<Resources> {
    let size = |flag: &str, text: &Option<String>| {
        let bytes = text.as_deref().map(|text| value(flag, text, flags::parse_size));
        bytes.transpose().map(|bytes| bytes.map(u64::cast_signed))
    };
    let rates = |flag: &str, texts: &[String], in_bytes: bool| {
        list(flag, texts, |text| flags::parse_device_rate(text, in_bytes))
    };
    if size("--kernel-memory", &args.kernel_memory)?.is_some_and(|bytes| bytes != 0) {
        warn("--kernel-memory has no effect: kernels do not limit their memory any more");
    }
    let swap = args.memory_swap.as_deref();
    let cpus = args.cpus.as_deref();
    Ok(Resources {
        memory: size("--memory", &args.memory)?,
        memory_swap: swap
            .map(|text| value("--memory-swap", text, flags::parse_memory_swap))
            .transpose()?,
        memory_reservation: size("--memory-reservation", &args.memory_reservation)?,
        memory_swappiness: args.memory_swappiness,
        oom_kill_disable: args.oom_kill_disable,
        nano_cpus: cpus.map(|text| value("--cpus", text, flags::parse_cpus)).transpose()?,
        cpu_quota: args.cpu_quota,
        cpu_period: args.cpu_period,
        cpu_shares: args.cpu_shares,
        cpuset_cpus: args.cpuset_cpus.clone(),
        cpuset_mems: args.cpuset_mems.clone(),
        pids: args.pids_limit,
        blkio_weight: args.blkio_weight,
        weights: rates("--blkio-weight-device", &args.blkio_weight_device, false)?,
        read_bps: rates("--device-read-bps", &args.device_read_bps, true)?,
        write_bps: rates("--device-write-bps", &args.device_write_bps, true)?,
        read_iops: rates("--device-read-iops", &args.device_read_iops, false)?,
        write_iops: rates("--device-write-iops", &args.device_write_iops, false)?,
    })
}
