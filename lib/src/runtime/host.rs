//! What the machine is like, as far as containers care.
//!
//! Owns [`HostFacts`] and the one function that gathers them, from files below a directory that is
//! `/` but for tests. Promise: cheap enough for every start (a dozen small files; devices only when
//! asked for). Changes nothing.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use oci_spec::runtime::Capability;

use super::capabilities;
use super::options::{LimitKind, UNLIMITED};
use crate::error::{IoContext, Result};
use crate::spec::Platform;
use crate::sys;

/// Most bytes of a kernel file that are read.
const MAX_TEXT: u64 = 1 << 20;

/// Most devices that a privileged container gets.
const MAX_DEVICES: usize = 16 << 10;

/// The facts that a configuration depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFacts {
    /// The processor in Go's names.
    pub architecture: String,
    /// The kernel's first two numbers.
    pub kernel: (u32, u32),
    /// Whether the kernel runs x32 programs.
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

/// A device node of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostDevice {
    /// Its path.
    pub path: PathBuf,
    /// `c` or `b`.
    pub kind: char,
    /// Driver.
    pub major: u32,
    /// Unit.
    pub minor: u32,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
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

/// The directory of our own group in the unified hierarchy, where we may be allowed more.
fn own_group(base: &Path, top: &Path) -> PathBuf {
    if sys::is_writable(top) {
        return top.to_owned();
    }
    let groups = read_text(&base.join("proc/self/cgroup")).unwrap_or_default();
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"));
    top.join(own.unwrap_or_default())
}

fn read_text(path: &Path) -> Result<String> {
    let reading = || format!("reading {}", path.display());
    let mut text = String::new();
    fs::File::open(path).doing(reading)?.take(MAX_TEXT).read_to_string(&mut text).doing(reading)?;
    Ok(text)
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

/// The nodes below a directory, under the name `shown`, without what every container's `/dev` has
/// of its own.
fn host_devices(directory: &Path, shown: &Path) -> Result<Vec<HostDevice>> {
    const OWN: [&str; 8] =
        ["pts", "shm", "fd", "mqueue", "console", ".lxc", ".lxd-mounts", ".udev"];
    let mut devices = Vec::new();
    let mut ahead = vec![(directory.to_owned(), shown.to_owned())];
    while let Some((directory, shown)) = ahead.pop() {
        let listing = || format!("listing {}", directory.display());
        for entry in fs::read_dir(&directory).doing(listing)? {
            let entry = entry.doing(listing)?;
            if OWN.iter().any(|name| entry.file_name() == *name) || devices.len() == MAX_DEVICES {
                continue;
            }
            let path = shown.join(entry.file_name());
            // A device may be pulled out while we look.
            let Ok(meta) = fs::symlink_metadata(entry.path()) else { continue };
            if meta.is_dir() {
                ahead.push((entry.path(), path));
            } else if let Some(device) = HostDevice::of(&meta, path) {
                devices.push(device);
            }
        }
    }
    devices.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(devices)
}

impl HostDevice {
    /// The device that a path stands for; `None` when it is none.
    pub(super) fn of(meta: &fs::Metadata, path: PathBuf) -> Option<HostDevice> {
        let kind = match meta.file_type() {
            kind if kind.is_char_device() => 'c',
            kind if kind.is_block_device() => 'b',
            _ => return None,
        };
        Some(HostDevice {
            path,
            kind,
            major: rustix::fs::major(meta.rdev()),
            minor: rustix::fs::minor(meta.rdev()),
            mode: meta.mode() & 0o7777,
            uid: meta.uid(),
            gid: meta.gid(),
        })
    }
}

/// Whether the host has an emulator or interpreter registered (binfmt_misc) for programs that
/// begin with `header`.
pub fn runs_foreign(header: &[u8]) -> bool {
    runs_foreign_at(Path::new("/proc/sys/fs/binfmt_misc"), header)
}

fn runs_foreign_at(directory: &Path, header: &[u8]) -> bool {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| read_text(&entry.path()).ok()).any(|text| takes(&text, header))
}

/// Whether one registration, as the kernel shows it, is on and fits.
fn takes(text: &str, header: &[u8]) -> bool {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let bytes = |name: &str| {
        let digits = field(name)?;
        let pair = |at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
        (0..digits.len()).step_by(2).map(pair).collect::<Option<Vec<u8>>>()
    };
    let Some(magic) = bytes("magic ") else { return false };
    let mask = bytes("mask ").unwrap_or_else(|| vec![0xff; magic.len()]);
    let offset = field("offset ").and_then(|digits| digits.parse().ok()).unwrap_or(0);
    let fits = |part: &[u8]| {
        part.iter().zip(&mask).zip(&magic).all(|((byte, mask), magic)| byte & mask == magic & mask)
    };
    text.starts_with("enabled")
        && magic.len() == mask.len()
        && header.get(offset..offset + magic.len()).is_some_and(fits)
}

/// Resolves a `--device`: the node that it names, or all nodes below a directory, each with its
/// path in the container.
pub fn find_devices(host: &Path, target: &str) -> Result<Vec<(String, HostDevice)>> {
    let looking =
        || format!("error gathering device information while adding device {}", host.display());
    let real = fs::canonicalize(host).doing(looking)?;
    let meta = fs::metadata(&real).doing(looking)?;
    if !meta.is_dir() {
        return match HostDevice::of(&meta, real) {
            Some(device) => Ok(vec![(target.to_owned(), device)]),
            None => Err(crate::Error::invalid("not a device node").while_doing(looking())),
        };
    }
    let inside = |device: HostDevice| {
        let below = device.path.strip_prefix(&real).ok()?.to_str()?;
        Some((format!("{target}/{below}"), device))
    };
    Ok(host_devices(&real, &real)?.into_iter().filter_map(inside).collect())
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

    #[test]
    fn registered_emulators() {
        let place = tempfile::tempdir().unwrap();
        let register = |text: &str| fs::write(place.path().join("x"), text).unwrap();
        let fits = |header: &[u8]| runs_foreign_at(place.path(), header);
        register("enabled\ninterpreter /q\nflags: F\noffset 1\nmagic 454c\nmask fff0\n");
        assert!(fits(b"\x7fEL") && fits(b"\x7fEA") && !fits(b"\x7fEX") && !fits(b"\x7fE"));
        register("disabled\noffset 0\nmagic 7f\n");
        assert!(!fits(b"\x7fELF"));
        register("enabled\nextension .exe\n");
        assert!(!fits(b"\x7fELF"));
    }

    #[test]
    fn devices_of_this_host() {
        let devices = host_devices(Path::new("/dev"), Path::new("/dev")).unwrap();
        let null = devices.iter().find(|d| d.path == Path::new("/dev/null")).unwrap();
        assert_eq!((null.kind, null.major, null.minor), ('c', 1, 3));
        assert!(devices.iter().all(|d| !d.path.starts_with("/dev/pts")));
        let one = find_devices(Path::new("/dev/zero"), "/dev/nothing").unwrap();
        assert_eq!((one[0].0.as_str(), one[0].1.minor), ("/dev/nothing", 5));
        let error = find_devices(Path::new("/etc"), "/x").map(|found| found.len());
        assert_eq!(error.unwrap(), 0);
        let file = find_devices(Path::new("/proc/self/status"), "/x").unwrap_err().chain();
        assert!(file.ends_with("not a device node"), "{file}");
    }
}
