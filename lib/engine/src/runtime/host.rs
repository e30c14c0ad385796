//! What the machine is like, as far as containers care.
//!
//! Owns [`HostFacts`] and the one function that gathers them, from files below a directory that is
//! `/` but for tests. Promise: cheap enough for every start (a dozen small files; devices only when
//! asked for). Changes nothing.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Capability;

use super::capabilities;
use super::devices::{HostDevice, host_devices};
use super::options::{LimitKind, UNLIMITED};
use crate::error::{IoContext, Result};
use crate::spec::Platform;
use crate::sys;

/// Most bytes of a kernel file that are read.
const MAX_TEXT: u64 = 1 << 20;

/// The facts that a configuration depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFacts {
    /// The processor in Go's names.
    pub architecture: String,
    /// The kernel's first two numbers.
    pub kernel: (u32, u32),
    /// Whether the kernel of an amd64 runs programs of the 386.
    pub ia32: bool,
    /// Whether it runs x32 programs.
    pub x32: bool,
    /// Whether the kernel filters system calls.
    pub seccomp: bool,
    /// Its name.
    pub hostname: String,
    /// Whether AppArmor is on.
    pub apparmor: bool,
    /// The AppArmor profile for containers that is loaded.
    pub apparmor_profile: Option<String>,
    /// Whether SELinux is on.
    pub selinux: bool,
    /// Our own user ID.
    pub uid: u32,
    /// The user IDs of our namespace; the whole range on the host itself.
    pub mapped_ids: u64,
    /// The capabilities that we can pass on.
    pub capabilities: HashSet<Capability>,
    /// How far each process limit can be raised by us.
    pub hard_limits: BTreeMap<LimitKind, u64>,
    /// Processors.
    pub processors: u32,
    /// Those that containers can be given, as `0-3,5`; empty: not known.
    pub cpus: String,
    /// The nodes of memory that containers can be given, as `0,1`; empty: not known.
    pub memory_nodes: String,
    /// The cgroup file systems.
    pub cgroups: Cgroups,
    /// Whether the kernel has POSIX message queues.
    pub mqueue: bool,
    /// Files of processors' thermal counters, which tell neighbours' load.
    pub thermal_paths: Vec<String>,
    /// The devices of the host; only gathered for privileged containers.
    pub devices: Vec<HostDevice>,
}

/// How cgroups are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cgroups {
    /// Which kind of hierarchy.
    pub version: CgroupVersion,
    /// The controllers that can be used.
    pub controllers: BTreeSet<String>,
    /// Whether systemd should make the groups.
    pub systemd: bool,
    /// Whether we may make groups.
    pub writable: bool,
    /// Whether swap can be limited.
    pub swap: bool,
}

/// The arrangement of cgroup hierarchies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CgroupVersion {
    /// None is mounted.
    #[default]
    None,
    /// One hierarchy for each controller.
    V1,
    /// As V1, and an empty unified one.
    Hybrid,
    /// The unified one.
    V2,
}

impl HostFacts {
    /// Gathers the facts of this machine; `devices` costs a walk through `/dev`.
    pub fn gather(devices: bool) -> Result<HostFacts> {
        HostFacts::gather_below(Path::new("/"), devices)
    }

    fn gather_below(base: &Path, devices: bool) -> Result<HostFacts> {
        let text = |path: &str| read_text(&base.join(path));
        let status = text("proc/self/status")?;
        let field = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .map(str::trim)
        };
        let bounding = field("CapBnd").and_then(|hex| u64::from_str_radix(hex, 16).ok());
        let exists = |path: &str| base.join(path).exists();
        let apparmor =
            text("sys/module/apparmor/parameters/enabled").is_ok_and(|word| word.starts_with('Y'));
        Ok(HostFacts {
            architecture: Platform::host().architecture,
            kernel: parse_release(&text("proc/sys/kernel/osrelease")?),
            // There with the code that such programs need, whatever its value.
            ia32: exists("proc/sys/abi/vsyscall32"),
            // Under a filter of somebody else's the question alone could end us.
            x32: field("Seccomp") != Some("0") || sys::runs_x32(),
            seccomp: field("Seccomp").is_some(),
            hostname: text("proc/sys/kernel/hostname")?.trim_end().to_owned(),
            apparmor,
            apparmor_profile: apparmor
                .then(|| text("sys/kernel/security/apparmor/profiles").ok())
                .flatten()
                .and_then(|loaded| container_profile(&loaded)),
            selinux: exists("sys/fs/selinux/enforce"),
            uid: sys::effective_uid(),
            mapped_ids: text("proc/self/uid_map").map_or(0, |map| count_ids(&map)),
            capabilities: capabilities::from_mask(bounding.unwrap_or(0)),
            hard_limits: parse_limits(&text("proc/self/limits")?),
            processors: u32::try_from(sys::available_cores()).unwrap_or(u32::MAX),
            cpus: usable(base, "cpuset.cpus", "sys/devices/system/cpu/online"),
            memory_nodes: usable(base, "cpuset.mems", "sys/devices/system/node/online"),
            cgroups: Cgroups::gather(base),
            mqueue: exists("proc/sys/fs/mqueue"),
            thermal_paths: thermal_paths(base),
            devices: if devices {
                host_devices(&base.join("dev"), Path::new("/dev"))?
            } else {
                Vec::new()
            },
        })
    }

    /// Whether this process is in a user namespace of its own.
    pub fn in_user_namespace(&self) -> bool {
        self.mapped_ids < u64::from(u32::MAX)
    }
}

impl Cgroups {
    fn gather(base: &Path) -> Cgroups {
        let top = base.join("sys/fs/cgroup");
        let words = |path: &Path| {
            let text = read_text(path).ok()?;
            Some(text.split_ascii_whitespace().map(str::to_owned).collect::<BTreeSet<_>>())
        };
        let systemd = base.join("run/systemd/system").is_dir();
        if let Some(controllers) = words(&top.join("cgroup.controllers")) {
            let own = own_group(base, &top);
            let writable = sys::is_writable(&own);
            // The top group has no limits at all, so that it does not tell.
            let swap = own == top || own.join("memory.swap.max").exists();
            return Cgroups { version: CgroupVersion::V2, controllers, systemd, writable, swap };
        }
        let mut controllers: BTreeSet<String> = fs::read_dir(&top)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.path().join("cgroup.procs").exists())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        let hybrid = controllers.remove("unified");
        controllers.remove("systemd");
        let version = match (controllers.is_empty(), hybrid) {
            (true, _) => CgroupVersion::None,
            (false, true) => CgroupVersion::Hybrid,
            (false, false) => CgroupVersion::V1,
        };
        let writable = !controllers.is_empty()
            && controllers.iter().all(|name| sys::is_writable(&top.join(name)));
        // Under v1 systemd's own interface sets few of the limits.
        let swap = top.join("memory/memory.memsw.limit_in_bytes").exists();
        Cgroups { version, controllers, systemd: false, writable, swap }
    }
}

/// Processors or memory nodes that containers can be given, as a list such as `0-3,5`; empty if
/// that cannot be found out.
fn usable(base: &Path, setting: &str, of_machine: &str) -> String {
    let top = base.join("sys/fs/cgroup");
    let places = [
        top.join("cpuset").join(setting),
        top.join(format!("{setting}.effective")),
        base.join(of_machine),
    ];
    let found = places.iter().find_map(|path| read_text(path).ok());
    found.map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// The directory of our own group in the unified hierarchy, where we may be allowed more.
fn own_group(base: &Path, top: &Path) -> PathBuf {
    if sys::is_writable(top) {
        return top.to_owned();
    }
    let groups = read_text(&base.join("proc/self/cgroup")).unwrap_or_default();
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"));
    top.join(own.unwrap_or_default())
}

pub(super) fn read_text(path: &Path) -> Result<String> {
    let reading = || format!("reading {}", path.display());
    let mut text = String::new();
    fs::File::open(path).doing(reading)?.take(MAX_TEXT).read_to_string(&mut text).doing(reading)?;
    Ok(text)
}

/// The host's own files about names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostNames {
    /// `/etc/hosts`.
    pub hosts: String,
    /// `/etc/resolv.conf`; where a resolver on the host stands in it, the file behind that.
    pub resolv_conf: String,
}

impl HostNames {
    /// Reads them; a file that cannot be read is empty.
    pub fn read() -> HostNames {
        HostNames::read_below(Path::new("/"))
    }

    fn read_below(base: &Path) -> HostNames {
        let text = |path: &str| read_text(&base.join(path)).unwrap_or_default();
        let mut resolv_conf = text("etc/resolv.conf");
        // The address of systemd's resolver, which only the host itself can ask.
        if resolv_conf.lines().any(|line| line.trim() == "nameserver 127.0.0.53") {
            let behind = text("run/systemd/resolve/resolv.conf");
            if !behind.is_empty() {
                resolv_conf = behind;
            }
        }
        HostNames { hosts: text("etc/hosts"), resolv_conf }
    }
}

/// `6.18.44-generic`: 6 and 18.
fn parse_release(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().ok());
    let mut next = || numbers.next().flatten().unwrap_or(0);
    (next(), next())
}

/// The first of the profiles made for containers that the kernel has, one `name (mode)` a line.
fn container_profile(loaded: &str) -> Option<String> {
    let name = |line: &str| line.split_once(" (").map(|(name, _)| name.to_owned());
    loaded
        .lines()
        .filter_map(name)
        .find(|name| name == "docker-default" || name.starts_with("containers-default-"))
}

/// All IDs that `/proc/self/uid_map` names.
fn count_ids(map: &str) -> u64 {
    let count = |line: &str| line.split_ascii_whitespace().nth(2)?.parse::<u64>().ok();
    map.lines().filter_map(count).sum()
}

/// The hard limits of `/proc/self/limits`.
fn parse_limits(text: &str) -> BTreeMap<LimitKind, u64> {
    const TITLES: [(&str, LimitKind); 16] = [
        ("Max address space", LimitKind::As),
        ("Max core file size", LimitKind::Core),
        ("Max cpu time", LimitKind::Cpu),
        ("Max data size", LimitKind::Data),
        ("Max file size", LimitKind::Fsize),
        ("Max file locks", LimitKind::Locks),
        ("Max locked memory", LimitKind::Memlock),
        ("Max msgqueue size", LimitKind::Msgqueue),
        ("Max nice priority", LimitKind::Nice),
        ("Max open files", LimitKind::Nofile),
        ("Max processes", LimitKind::Nproc),
        ("Max resident set", LimitKind::Rss),
        ("Max realtime priority", LimitKind::Rtprio),
        ("Max realtime timeout", LimitKind::Rttime),
        ("Max pending signals", LimitKind::Sigpending),
        ("Max stack size", LimitKind::Stack),
    ];
    let hard = |line: &str, title: &str| match line
        .strip_prefix(title)?
        .split_ascii_whitespace()
        .nth(1)?
    {
        "unlimited" => Some(UNLIMITED),
        number => number.parse().ok(),
    };
    let of_line = |line| TITLES.iter().find_map(|(title, kind)| Some((*kind, hard(line, title)?)));
    text.lines().filter_map(of_line).collect()
}

fn thermal_paths(base: &Path) -> Vec<String> {
    let directory = "sys/devices/system/cpu";
    let mut numbers: Vec<u32> = fs::read_dir(base.join(directory))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_prefix("cpu")?.parse().ok())
        .filter(|number| base.join(format!("{directory}/cpu{number}/thermal_throttle")).exists())
        .collect();
    numbers.sort_unstable();
    numbers.into_iter().map(|n| format!("/{directory}/cpu{n}/thermal_throttle")).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, HostFacts) {
        let place = tempfile::tempdir().unwrap();
        let basic = [
            ("proc/self/status", "Name:\tx\nCapBnd:\t00000000a80425fb\nSeccomp:\t0\n"),
            ("proc/sys/kernel/osrelease", "6.18.44-generic\n"),
            ("proc/sys/kernel/hostname", "box\n"),
            (
                "proc/self/limits",
                "Limit  Soft  Hard  Units\nMax open files   10   20   files\nMax core file size 0 unlimited bytes\n",
            ),
            ("proc/self/uid_map", "         0          0 4294967295\n"),
        ];
        for (path, text) in basic.iter().chain(files) {
            let path = place.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let facts = HostFacts::gather_below(place.path(), false).unwrap();
        (place, facts)
    }

    #[test]
    fn plain_facts() {
        let (_place, facts) = machine(&[
            ("sys/module/apparmor/parameters/enabled", "Y\n"),
            ("sys/kernel/security/apparmor/profiles", "ping (enforce)\ndocker-default (enforce)\n"),
            ("sys/devices/system/cpu/cpu10/thermal_throttle/x", ""),
            ("sys/devices/system/cpu/cpu2/thermal_throttle/x", ""),
            ("sys/devices/system/cpu/cpu3/x", ""),
            ("sys/devices/system/cpu/cpufreq/thermal_throttle/x", ""),
        ]);
        assert_eq!((facts.kernel, facts.hostname.as_str()), ((6, 18), "box"));
        assert_eq!(facts.apparmor_profile.as_deref(), Some("docker-default"));
        assert_eq!(facts.capabilities.len(), 14);
        assert!(!facts.ia32);
        assert!(facts.seccomp && facts.apparmor && !facts.selinux && !facts.mqueue);
        assert!(!facts.in_user_namespace());
        assert_eq!(
            facts.hard_limits,
            BTreeMap::from([(LimitKind::Nofile, 20), (LimitKind::Core, UNLIMITED)])
        );
        assert_eq!(
            facts.thermal_paths,
            [2, 10].map(|n| format!("/sys/devices/system/cpu/cpu{n}/thermal_throttle"))
        );
        let (_place, inside) = machine(&[("proc/self/uid_map", "0 1000 1\n1 100000 65536\n")]);
        assert!(inside.in_user_namespace());
        assert_eq!(inside.mapped_ids, 65537);
    }

    #[test]
    fn the_resolver_behind_systemd() {
        let (place, _) = machine(&[
            ("etc/resolv.conf", "nameserver 127.0.0.53\n"),
            ("run/systemd/resolve/resolv.conf", "nameserver 10.0.0.1\n"),
        ]);
        let names = HostNames::read_below(place.path());
        assert_eq!(names.resolv_conf, "nameserver 10.0.0.1\n");
        assert_eq!(names.hosts, "");
        let (place, _) = machine(&[("etc/resolv.conf", "nameserver 127.0.0.53\n")]);
        let names = HostNames::read_below(place.path());
        assert_eq!(names.resolv_conf, "nameserver 127.0.0.53\n");
    }

    #[test]
    fn arrangements_of_cgroups() {
        let (_place, none) = machine(&[]);
        assert_eq!(none.cgroups, Cgroups::default());
        let (_place, v2) = machine(&[
            ("sys/fs/cgroup/cgroup.controllers", "cpu memory pids\n"),
            ("run/systemd/system/x", ""),
        ]);
        assert_eq!(v2.cgroups.version, CgroupVersion::V2);
        assert!(v2.cgroups.systemd && v2.cgroups.writable);
        assert_eq!(v2.cgroups.controllers.len(), 3);
        let v1 = [
            ("sys/fs/cgroup/memory/cgroup.procs", ""),
            ("sys/fs/cgroup/pids/cgroup.procs", ""),
            ("sys/fs/cgroup/systemd/cgroup.procs", ""),
            ("sys/fs/cgroup/unified/cgroup.procs", ""),
        ];
        let (_place, hybrid) = machine(&v1);
        assert_eq!(hybrid.cgroups.version, CgroupVersion::Hybrid);
        let both = BTreeSet::from(["memory".to_owned(), "pids".to_owned()]);
        assert_eq!(hybrid.cgroups.controllers, both);
        let (_place, plain) = machine(&v1[..3]);
        assert_eq!(plain.cgroups.version, CgroupVersion::V1);
        assert!(!plain.cgroups.systemd);
    }
}
