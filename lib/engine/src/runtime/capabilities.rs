//! Which capabilities a container has.
//!
//! Owns Docker's default set and the arithmetic of adding and dropping. Pure: what the host can
//! give is an argument.

use std::collections::HashSet;

use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilities};

use super::options::{CapabilityList, RunOptions};
use crate::error::{Error, ErrorKind, Result};

/// What Docker gives to every container.
pub const DEFAULT: [Capability; 14] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fsetid,
    Capability::Fowner,
    Capability::Mknod,
    Capability::NetRaw,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setfcap,
    Capability::Setpcap,
    Capability::NetBindService,
    Capability::SysChroot,
    Capability::Kill,
    Capability::AuditWrite,
];

/// By the kernel's numbers (linux/capability.h).
const NUMBERED: [Capability; 41] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::DacReadSearch,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::LinuxImmutable,
    Capability::NetBindService,
    Capability::NetBroadcast,
    Capability::NetAdmin,
    Capability::NetRaw,
    Capability::IpcLock,
    Capability::IpcOwner,
    Capability::SysModule,
    Capability::SysRawio,
    Capability::SysChroot,
    Capability::SysPtrace,
    Capability::SysPacct,
    Capability::SysAdmin,
    Capability::SysBoot,
    Capability::SysNice,
    Capability::SysResource,
    Capability::SysTime,
    Capability::SysTtyConfig,
    Capability::Mknod,
    Capability::Lease,
    Capability::AuditWrite,
    Capability::AuditControl,
    Capability::Setfcap,
    Capability::MacOverride,
    Capability::MacAdmin,
    Capability::Syslog,
    Capability::WakeAlarm,
    Capability::BlockSuspend,
    Capability::AuditRead,
    Capability::Perfmon,
    Capability::Bpf,
    Capability::CheckpointRestore,
];

/// The capabilities in a mask as `/proc/self/status` shows it; unknown bits are left out.
pub fn from_mask(mask: u64) -> HashSet<Capability> {
    let set = |at: &usize| mask >> at & 1 == 1;
    (0..NUMBERED.len()).filter(set).filter_map(|at| NUMBERED.get(at).copied()).collect()
}

/// The container's set under `options` on a host that has `available` (its bounding set).
///
/// Defaults that the host lacks are left out; asking for one that it lacks is an error.
pub(super) fn choose(
    options: &RunOptions,
    available: &HashSet<Capability>,
) -> Result<HashSet<Capability>> {
    if options.privileged {
        return Ok(available.clone());
    }
    let (add, drop) = (&options.cap_add, &options.cap_drop);
    refuse_both(add, drop)?;
    let mut set: HashSet<Capability> = if add.all {
        available.clone()
    } else if drop.all {
        HashSet::new()
    } else {
        DEFAULT.into_iter().filter(|capability| available.contains(capability)).collect()
    };
    for capability in &add.named {
        if !available.contains(capability) {
            return Err(Error::new(
                ErrorKind::Denied,
                format!(
                    "capability CAP_{capability} cannot be added: this process lacks it itself"
                ),
            ));
        }
        set.insert(*capability);
    }
    for capability in &drop.named {
        set.remove(capability);
    }
    Ok(set)
}

fn refuse_both(add: &CapabilityList, drop: &CapabilityList) -> Result<()> {
    if add.all && drop.all {
        return Err(Error::usage("all capabilities are both added and dropped"));
    }
    match add.named.iter().find(|capability| drop.named.contains(capability)) {
        Some(both) => Err(Error::usage(format!("capability CAP_{both} is both added and dropped"))),
        None => Ok(()),
    }
}

/// The sets of a process: nothing is inheritable or ambient, ever (CVE-2022-24769 and its kin).
pub(super) fn process_sets(set: &HashSet<Capability>) -> LinuxCapabilities {
    let mut sets = LinuxCapabilities::default();
    sets.set_bounding(Some(set.clone()));
    sets.set_effective(Some(set.clone()));
    sets.set_permitted(Some(set.clone()));
    sets.set_inheritable(Some(Capabilities::new()));
    sets.set_ambient(Some(Capabilities::new()));
    sets
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::runtime::flags::parse_capabilities;

    const HOST: u64 = 0x1ff_feff_ffff; // no CAP_SYS_RESOURCE

    fn chosen(add: &[&str], drop: &[&str], privileged: bool) -> Result<u64> {
        let options = RunOptions {
            cap_add: parse_capabilities(add).unwrap(),
            cap_drop: parse_capabilities(drop).unwrap(),
            privileged,
            ..RunOptions::default()
        };
        let set = choose(&options, &from_mask(HOST))?;
        Ok(NUMBERED.iter().enumerate().filter(|(_, c)| set.contains(c)).map(|(n, _)| 1 << n).sum())
    }

    #[test]
    fn arithmetic() {
        for (add, drop, privileged, mask) in [
            (&[][..], &[][..], false, 0xa804_25fb_u64),
            (&["net_admin"], &[], false, 0xa804_35fb),
            (&[], &["chown", "MKNOD"], false, 0xa004_25fa),
            (&[], &["all"], false, 0),
            (&["mknod"], &["all"], false, 1 << 27),
            (&["all"], &["net_admin"], false, HOST & !(1 << 12)),
            (&[], &["all"], true, HOST),
        ] {
            assert_eq!(chosen(add, drop, privileged).unwrap(), mask, "{add:?} {drop:?}");
        }
    }

    #[test]
    fn contradictions_and_wishes_beyond_the_host() {
        for (add, drop, message) in [
            (&["all"][..], &["all"][..], "all capabilities are both added and dropped"),
            (&["chown"], &["chown"], "capability CAP_CHOWN is both added and dropped"),
            (
                &["sys_resource"],
                &[],
                "capability CAP_SYS_RESOURCE cannot be added: this process lacks it itself",
            ),
        ] {
            assert_eq!(chosen(add, drop, false).unwrap_err().chain(), message);
        }
    }

    #[test]
    fn unknown_bits_are_ignored() {
        assert_eq!(from_mask(1 << 63), HashSet::new());
        assert_eq!(from_mask(u64::MAX).len(), 41);
    }
}
