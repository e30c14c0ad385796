//! What a person asked for, as plain data.
//!
//! Owns the types that flags are parsed into and that a configuration is built from. Nothing here
//! touches the machine; [`crate::runtime::flags`] makes the values, `config` judges and uses them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use oci_spec::runtime::Capability;

use super::flags::merge_env;

/// Everything that `run` can be told about one container.
///
/// The default is Docker's: all that is not said follows the image and the host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunOptions {
    /// Arguments, or the program when there is no entrypoint. Empty: the image's.
    pub command: Vec<String>,
    /// Replaces the image's entrypoint and drops its command; empty text or no words reset it.
    pub entrypoint: Option<Vec<String>>,
    /// `NAME=value`, weakest first: environment files in their order, then `-e`.
    pub env: Vec<String>,
    /// Names that must not be set.
    pub unset_env: BTreeSet<String>,
    /// Nothing of the image and none of the defaults.
    pub unset_env_all: bool,
    /// `user[:group]`, names or numbers.
    pub user: Option<String>,
    /// Further groups, names or numbers.
    pub groups: Vec<String>,
    /// Absolute directory to start in.
    pub workdir: Option<String>,
    /// File mode creation mask.
    pub umask: Option<u32>,
    /// A terminal of this size; none: three streams.
    pub terminal: Option<TerminalSize>,
    /// A small program that becomes process 1 and reaps children: its path on the host.
    pub init: Option<PathBuf>,
    /// The container's host name; none: its short ID.
    pub hostname: Option<String>,
    /// The container's NIS domain name.
    pub domainname: Option<String>,
    /// File systems, in the order given.
    pub mounts: Vec<MountRequest>,
    /// Devices of the host.
    pub devices: Vec<DeviceRequest>,
    /// Further rules of the device cgroup.
    pub device_rules: Vec<DeviceRule>,
    /// Capabilities beyond the default.
    pub cap_add: CapabilityList,
    /// Capabilities of the default to go without.
    pub cap_drop: CapabilityList,
    /// All capabilities and devices, no seccomp, no masks.
    pub privileged: bool,
    /// `--security-opt`.
    pub security: SecurityOptions,
    /// The root file system cannot be written.
    pub read_only: bool,
    /// With `read_only`: writable memory at `/run`, `/tmp` and `/var/tmp`.
    pub read_only_tmpfs: bool,
    /// Cgroup limits.
    pub resources: Resources,
    /// Process limits.
    pub ulimits: Vec<Ulimit>,
    /// Kernel settings of the container's namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// Bytes of `/dev/shm`; none: 64 MiB.
    pub shm_size: Option<u64>,
    /// -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// What is shared with the host.
    pub namespaces: Namespaces,
    /// Notes for the runtime (never the image's).
    pub annotations: BTreeMap<String, String>,
    /// Notes for people.
    pub labels: BTreeMap<String, String>,
    /// What `stop` sends first.
    pub stop_signal: Option<Signal>,
    /// Seconds until `stop` kills; negative waits for ever.
    pub stop_timeout: Option<i64>,
    /// Cgroup (or, under systemd, slice) to be below.
    pub cgroup_parent: Option<String>,
}

/// What the image says about its containers. The caller copies it out of the image's config.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageDefaults {
    /// Program and leading arguments.
    pub entrypoint: Vec<String>,
    /// Program when there is no entrypoint, else its arguments.
    pub cmd: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// `user[:group]`; empty: root.
    pub user: String,
    /// Directory to start in; empty: `/`.
    pub workdir: String,
    /// Directories that hold data.
    pub volumes: BTreeSet<String>,
    /// Empty: `SIGTERM`.
    pub stop_signal: String,
    /// `80/tcp`.
    pub exposed_ports: BTreeSet<String>,
    /// Notes for people.
    pub labels: BTreeMap<String, String>,
}

impl ImageDefaults {
    /// The entrypoint under `options`.
    pub fn entrypoint(&self, options: &RunOptions) -> Vec<String> {
        match &options.entrypoint {
            Some(own) => own.iter().filter(|word| !word.is_empty()).cloned().collect(),
            None => self.entrypoint.clone(),
        }
    }

    /// The variables that image and person set, without those that every container has.
    pub fn known_environment(&self, options: &RunOptions) -> Vec<String> {
        let mut env = if options.unset_env_all { Vec::new() } else { self.env.clone() };
        merge_env(&mut env, options.env.iter().cloned());
        let name = |variable: &String| variable.split('=').next().unwrap_or_default().to_owned();
        env.retain(|variable| !options.unset_env.contains(&name(variable)));
        env
    }

    /// The program's arguments under `options`: entrypoint, then arguments or command.
    ///
    /// Empty when neither image nor person named a program.
    pub fn arguments(&self, options: &RunOptions) -> Vec<String> {
        let mut words = self.entrypoint(options);
        if !options.command.is_empty() {
            words.extend_from_slice(&options.command);
        } else if options.entrypoint.is_none() {
            words.extend_from_slice(&self.cmd);
        }
        words
    }
}

/// Size of a terminal in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TerminalSize {
    /// Rows.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
}

/// One file system that a person wants mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountRequest {
    /// Where: absolute, cleaned, not `/`.
    pub target: String,
    /// What.
    pub source: MountSource,
    /// Not writable.
    pub read_only: bool,
    /// With mounts below it (binds).
    pub recursive: bool,
    /// With `read_only`: mounts below it stay writable.
    pub writable_below: bool,
    /// How later mounts spread; none: `rprivate`.
    pub propagation: Option<Propagation>,
    /// `noexec`, `nodev`, … in the words of mount(8), and for tmpfs its own.
    pub options: Vec<String>,
    /// SELinux: give the source a label.
    pub relabel: Option<Relabel>,
    /// Give the source to the container's user.
    pub chown: bool,
    /// Shift owners by a mapping.
    pub idmap: Option<IdMap>,
    /// Of a volume or image: only this part.
    pub subpath: Option<String>,
}

impl MountRequest {
    /// A writable, recursive, private mount.
    pub fn new(target: impl Into<String>, source: MountSource) -> MountRequest {
        MountRequest {
            target: target.into(),
            source,
            read_only: false,
            recursive: true,
            writable_below: false,
            propagation: None,
            options: Vec::new(),
            relabel: None,
            chown: false,
            idmap: None,
            subpath: None,
        }
    }
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountSource {
    /// A file or directory of the host.
    Bind {
        /// Absolute.
        path: PathBuf,
        /// Make a directory when it is missing.
        create: bool,
    },
    /// A volume of the store.
    Volume {
        /// None: a new one without a name.
        name: Option<String>,
        /// Do not seed it with the image's content.
        no_copy: bool,
        /// Settings for its driver when it is made.
        options: BTreeMap<String, String>,
        /// Labels when it is made.
        labels: BTreeMap<String, String>,
    },
    /// Memory.
    Tmpfs {
        /// Bytes; none: half of the machine's memory.
        size: Option<u64>,
        /// Permission bits; none: 1777.
        mode: Option<u32>,
    },
    /// The content of an image.
    Image {
        /// Its name.
        name: String,
        /// Writable, changes are thrown away.
        writable: bool,
    },
}

/// Mount propagation, as in mount(8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// Both ways, this mount only.
    Shared,
    /// Both ways, with mounts below.
    RShared,
    /// From the host, this mount only.
    Slave,
    /// From the host, with mounts below.
    RSlave,
    /// None, this mount only.
    Private,
    /// None, with mounts below.
    RPrivate,
    /// None, and cannot be bound again.
    Unbindable,
    /// As before, with mounts below.
    RUnbindable,
}

impl Propagation {
    const WORDS: [(&'static str, Propagation); 8] = [
        ("shared", Propagation::Shared),
        ("rshared", Propagation::RShared),
        ("slave", Propagation::Slave),
        ("rslave", Propagation::RSlave),
        ("private", Propagation::Private),
        ("rprivate", Propagation::RPrivate),
        ("unbindable", Propagation::Unbindable),
        ("runbindable", Propagation::RUnbindable),
    ];

    /// The word of mount(8).
    pub fn word(self) -> &'static str {
        Propagation::WORDS.iter().find(|(_, value)| *value == self).map_or("rprivate", |(w, _)| w)
    }

    /// Reads the word of mount(8).
    pub fn from_word(word: &str) -> Option<Propagation> {
        Propagation::WORDS.iter().find(|(name, _)| *name == word).map(|(_, value)| *value)
    }
}

/// SELinux labels for a mount's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relabel {
    /// All containers may use it (`z`).
    Shared,
    /// Only this one (`Z`).
    Private,
}

/// A range of user or group IDs and what it becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// First ID inside.
    pub inside: u32,
    /// First ID outside.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// Mappings of users and groups; empty lists mean the container's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMap {
    /// Users.
    pub users: Vec<IdRange>,
    /// Groups.
    pub groups: Vec<IdRange>,
}

/// `--device`: a device node, or a directory of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRequest {
    /// On the host.
    pub host: PathBuf,
    /// In the container.
    pub target: String,
    /// Some of `r`, `w`, `m`.
    pub access: String,
}

/// `--device-cgroup-rule`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRule {
    /// `a` all, `b` block, `c` character.
    pub kind: char,
    /// None: all.
    pub major: Option<i64>,
    /// None: all.
    pub minor: Option<i64>,
    /// Some of `r`, `w`, `m`.
    pub access: String,
}

/// A list of capabilities, possibly all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CapabilityList {
    /// `ALL` was among them.
    pub all: bool,
    /// The others.
    pub named: Vec<Capability>,
}

/// `--security-opt` and its kin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecurityOptions {
    /// Programs gain nothing from set-id bits.
    pub no_new_privileges: bool,
    /// System calls.
    pub seccomp: SeccompChoice,
    /// Profile; `unconfined` for none.
    pub apparmor: Option<String>,
    /// SELinux: no label.
    pub label_disable: bool,
    /// SELinux: `user:…`, `type:…`, `level:…`.
    pub labels: Vec<String>,
    /// Paths to hide besides the default ones.
    pub mask: Vec<String>,
    /// Paths, or patterns of them, to show and to let be written; `ALL` for all.
    pub unmask: Vec<String>,
    /// Options of the `/proc` mount.
    pub proc_options: Vec<String>,
    /// `/sys/fs/cgroup` can be written.
    pub writable_cgroups: bool,
}

/// Which system calls a container may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SeccompChoice {
    /// Docker's default profile.
    #[default]
    Default,
    /// All.
    Unconfined,
    /// A profile in Docker's format.
    Profile {
        /// Where it was read, for messages.
        name: String,
        /// Its text.
        json: Vec<u8>,
    },
}

/// Cgroup limits; `None` is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Bytes.
    pub memory: Option<i64>,
    /// Bytes of memory and swap together; -1: no limit of swap.
    pub memory_swap: Option<i64>,
    /// Bytes kept under pressure.
    pub memory_reservation: Option<i64>,
    /// 0 to 100.
    pub memory_swappiness: Option<u64>,
    /// Wait instead of being killed (cgroup v1).
    pub oom_kill_disable: bool,
    /// Billionths of a processor.
    pub nano_cpus: Option<i64>,
    /// Microseconds per period.
    pub cpu_quota: Option<i64>,
    /// Microseconds.
    pub cpu_period: Option<u64>,
    /// 2 to 262144; 1024 is the normal weight.
    pub cpu_shares: Option<u64>,
    /// `0-3,5`.
    pub cpuset_cpus: Option<String>,
    /// `0,1`.
    pub cpuset_mems: Option<String>,
    /// Processes and threads; 0 and less: no limit.
    pub pids: Option<i64>,
    /// 10 to 1000.
    pub blkio_weight: Option<u16>,
    /// Read bytes per second.
    pub read_bps: Vec<DeviceRate>,
    /// Written bytes per second.
    pub write_bps: Vec<DeviceRate>,
    /// Reads per second.
    pub read_iops: Vec<DeviceRate>,
    /// Writes per second.
    pub write_iops: Vec<DeviceRate>,
}

/// A rate for one block device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRate {
    /// The device's path on the host.
    pub path: PathBuf,
    /// Per second.
    pub rate: u64,
}

/// `--ulimit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ulimit {
    /// Which.
    pub kind: LimitKind,
    /// In force.
    pub soft: u64,
    /// May be raised to. [`UNLIMITED`] for no limit.
    pub hard: u64,
}

/// No limit, to the kernel (`RLIM_INFINITY`).
pub const UNLIMITED: u64 = u64::MAX;

/// The process limits of setrlimit(2), by Docker's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum LimitKind {
    As,
    Core,
    Cpu,
    Data,
    Fsize,
    Locks,
    Memlock,
    Msgqueue,
    Nice,
    Nofile,
    Nproc,
    Rss,
    Rtprio,
    Rttime,
    Sigpending,
    Stack,
}

/// What a container shares. Docker's default is nothing but the user namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// Shared memory and queues.
    pub ipc: IpcMode,
    /// Processes.
    pub pid: NamespaceMode,
    /// Host name.
    pub uts: NamespaceMode,
    /// Cgroups; none: private under cgroup v2, the host's under v1.
    pub cgroup: Option<NamespaceMode>,
    /// Users.
    pub user: UserMode,
    /// Network. A network that somebody made is a path here.
    pub network: NamespaceMode,
}

/// How one namespace comes about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NamespaceMode {
    /// A new one.
    #[default]
    Private,
    /// The host's.
    Host,
    /// An existing one.
    Path(PathBuf),
    /// The one of another container, which the caller turns into a path.
    Container(String),
}

/// How the IPC namespace and `/dev/shm` come about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum IpcMode {
    /// New ones.
    #[default]
    Private,
    /// New ones that other containers may join.
    Shareable,
    /// A new one without `/dev/shm`.
    None,
    /// The host's.
    Host,
    /// An existing one.
    Path(PathBuf),
    /// The one of another container, which the caller turns into a path.
    Container(String),
}

/// How the user namespace comes about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum UserMode {
    /// The one we are in.
    #[default]
    Host,
    /// Some range of the host's subordinate IDs, which the caller chooses.
    Auto {
        /// How many IDs; none: as many as the image needs.
        size: Option<u32>,
    },
    /// The person's own ID is the same inside.
    KeepId {
        /// Another user ID inside.
        uid: Option<u32>,
        /// Another group ID inside.
        gid: Option<u32>,
    },
    /// The person's own ID is not mapped at all.
    NoMap,
    /// These ranges. The caller has turned the modes above into this one.
    Mapped(IdMap),
    /// An existing one.
    Path(PathBuf),
}

/// A signal's number, 1 to 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signal(pub i32);
