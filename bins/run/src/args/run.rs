//! The flags of `run`, by what they are about.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};
use creel::cli::Style;
use creel::spec::{Platform, parse_duration};

use super::{BackgroundArgs, OtherArgs};

/// When an image is fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Pull {
    /// Before every run.
    Always,
    /// If it is not in the store.
    #[default]
    Missing,
    /// Not at all.
    Never,
    /// If the registry has another one than the store.
    Newer,
}

/// Everything that `run` takes.
#[derive(Args)]
#[command(next_line_help = false)]
pub struct RunArgs {
    /// The image (with --rootfs: a directory), then the command and its arguments.
    #[arg(
        value_name = "IMAGE [COMMAND]",
        trailing_var_arg = true,
        allow_hyphen_values = true,
        required = true
    )]
    pub words: Vec<String>,
    /// IMAGE is a directory with a root file system.
    #[arg(long)]
    pub rootfs: bool,
    /// Print help.
    #[arg(long, action = ArgAction::Help)]
    pub help: Option<bool>,
    #[command(flatten)]
    pub life: LifeArgs,
    #[command(flatten)]
    pub process: ProcessArgs,
    #[command(flatten)]
    pub image: ImageArgs,
    #[command(flatten)]
    pub files: FileArgs,
    #[command(flatten)]
    pub network: NetworkArgs,
    #[command(flatten)]
    pub rights: RightArgs,
    #[command(flatten)]
    pub spaces: SpaceArgs,
    #[command(flatten)]
    pub limits: LimitArgs,
    #[command(flatten)]
    pub background: BackgroundArgs,
    #[command(flatten)]
    pub others: OtherArgs,
}

/// The container and its end.
#[derive(Args)]
#[command(next_help_heading = "Container")]
pub struct LifeArgs {
    /// Remove the container, and its volumes without a name, when it has ended.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", hide_default_value = true, action = ArgAction::Set, value_name = "BOOL")]
    pub rm: bool,
    /// Its name.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Remove a container that has this name.
    #[arg(long)]
    pub replace: bool,
    /// Write the container's ID into this file.
    #[arg(long, value_name = "FILE")]
    pub cidfile: Option<PathBuf>,
    /// Write the ID of its first process into this file while it runs.
    #[arg(long, value_name = "FILE")]
    pub pidfile: Option<PathBuf>,
    /// A note for people (repeatable).
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub label: Vec<String>,
    /// Notes for people, one a line.
    #[arg(long, value_name = "FILE")]
    pub label_file: Vec<PathBuf>,
    /// A note for the runtime (repeatable).
    #[arg(long, value_name = "NAME=VALUE")]
    pub annotation: Vec<String>,
    /// Kill it after so many seconds; the exit code is 255 then.
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
    /// The signal that stops it [default: the image's, or TERM].
    #[arg(long, value_name = "SIGNAL")]
    pub stop_signal: Option<String>,
    /// Seconds between that signal and KILL [default: 10].
    #[arg(long, value_name = "SECONDS", allow_hyphen_values = true)]
    pub stop_timeout: Option<i64>,
    /// The container runtime [default: runc, crun or youki].
    #[arg(long, env = "CREEL_RUNTIME", value_name = "PROGRAM", hide_env_values = true)]
    pub runtime: Option<PathBuf>,
}

/// What runs, and how people talk to it.
#[derive(Args)]
#[command(next_help_heading = "Process")]
pub struct ProcessArgs {
    /// Pass standard input on.
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", hide_default_value = true, action = ArgAction::Set, value_name = "BOOL")]
    pub interactive: bool,
    /// Give it a terminal.
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", hide_default_value = true, action = ArgAction::Set, value_name = "BOOL")]
    pub tty: bool,
    /// Set a variable; a name alone takes the value from here (repeatable).
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,
    /// Set variables from a file of NAME=VALUE lines (repeatable).
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
    /// Set all variables that are set here.
    #[arg(long)]
    pub env_host: bool,
    /// Set the proxy variables that are set here; =false: nor those of Docker's configuration.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set, value_name = "BOOL")]
    pub http_proxy: Option<bool>,
    /// Do not set this variable of the image or the defaults (repeatable).
    #[arg(long, value_name = "NAME")]
    pub unsetenv: Vec<String>,
    /// Set none of the image's and default variables.
    #[arg(long)]
    pub unsetenv_all: bool,
    /// Directory to start in.
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
    /// User and group, by name or number.
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub user: Option<String>,
    /// A further group (repeatable).
    #[arg(long, value_name = "GROUP")]
    pub group_add: Vec<String>,
    /// Program in place of the image's entrypoint: one word, or a JSON array.
    #[arg(long, value_name = "PROGRAM")]
    pub entrypoint: Option<String>,
    /// File mode creation mask.
    #[arg(long, value_name = "MASK")]
    pub umask: Option<String>,
    /// A small init as process 1, which reaps orphans.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", hide_default_value = true, action = ArgAction::Set, value_name = "BOOL")]
    pub init: bool,
    /// The init program on the host.
    #[arg(long, value_name = "FILE")]
    pub init_path: Option<PathBuf>,
    /// Pass signals on to the process; =false drops them.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true", hide_default_value = true, action = ArgAction::Set, value_name = "BOOL")]
    pub sig_proxy: bool,
    /// Streams to attach: stdin, stdout, stderr (repeatable) [default: stdout and stderr].
    #[arg(short, long, value_name = "STREAM")]
    pub attach: Vec<String>,
}

/// Which image, and how it gets here.
#[derive(Args)]
#[command(next_help_heading = "Image")]
pub struct ImageArgs {
    /// When to fetch it.
    #[arg(long, value_enum, default_value = "missing", value_name = "WHEN")]
    pub pull: Pull,
    /// The platform.
    #[arg(
        long,
        value_name = "OS/ARCH[/VARIANT]",
        env = "DOCKER_DEFAULT_PLATFORM",
        hide_env = true
    )]
    pub platform: Option<Platform>,
    /// Processor architecture of the image, such as arm64.
    #[arg(long, value_name = "ARCH")]
    pub arch: Option<String>,
    /// Operating system of the image.
    #[arg(long, value_name = "OS")]
    pub os: Option<String>,
    /// Variant of the image's architecture, such as v7.
    #[arg(long, value_name = "VARIANT")]
    pub variant: Option<String>,
    /// Times to repeat a failed request [default: 5].
    #[arg(long, value_name = "TIMES")]
    pub retry: Option<u32>,
    /// Time between two tries, such as 5s [default: grows].
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub retry_delay: Option<std::time::Duration>,
    /// Print nothing about fetching.
    #[arg(short, long)]
    pub quiet: bool,
    /// How to show the progress of fetching.
    #[arg(long, value_enum, default_value = "auto", value_name = "STYLE")]
    pub progress: Style,
    /// Credentials file.
    #[arg(long, env = "REGISTRY_AUTH_FILE", hide_env_values = true, value_name = "FILE")]
    pub authfile: Option<PathBuf>,
    /// Credentials.
    #[arg(long, value_name = "USER[:PASSWORD]")]
    pub creds: Option<String>,
    /// Certificates: *.crt, *.cert with *.key.
    #[arg(long, value_name = "DIR")]
    pub cert_dir: Option<PathBuf>,
    /// Require HTTPS with valid certificates.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set)]
    pub tls_verify: Option<bool>,
    /// Trust policy to obey instead of the usual files.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// registries.conf to read instead of the usual files.
    #[arg(long, value_name = "FILE", env = "CONTAINERS_REGISTRIES_CONF", hide_env = true)]
    pub registries_conf: Option<PathBuf>,
}

/// File systems and devices.
#[derive(Args)]
#[command(next_help_heading = "Files and devices")]
pub struct FileArgs {
    /// Mount a directory or volume (repeatable).
    #[arg(short, long, value_name = "[SOURCE:]TARGET[:OPTIONS]")]
    pub volume: Vec<String>,
    /// Mount by type=bind|volume|tmpfs|image,… (repeatable).
    #[arg(long, value_name = "KEY=VALUE,…")]
    pub mount: Vec<String>,
    /// Mount memory (repeatable).
    #[arg(long, value_name = "TARGET[:OPTIONS]")]
    pub tmpfs: Vec<String>,
    /// The root file system cannot be written.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", hide_default_value = true, action = ArgAction::Set, value_name = "BOOL")]
    pub read_only: bool,
    /// With --read-only: mount writable memory at /run, /tmp and /var/tmp.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", hide_default_value = true, action = ArgAction::Set, value_name = "BOOL")]
    pub read_only_tmpfs: bool,
    /// A device of the host, or by its CDI name VENDOR/CLASS=NAME (repeatable).
    #[arg(long, value_name = "HOST[:TARGET][:rwm]")]
    pub device: Vec<String>,
    /// A rule for the device cgroup (repeatable).
    #[arg(long, value_name = "RULE")]
    pub device_cgroup_rule: Vec<String>,
    /// Graphics processors by CDI: all, a number, or device=ID,ID.
    #[arg(long, value_name = "GPUS")]
    pub gpus: Option<String>,
    /// Where CDI specifications are [default: /etc/cdi and /var/run/cdi] (repeatable).
    #[arg(long, value_name = "DIR")]
    pub cdi_spec_dir: Vec<PathBuf>,
    /// Size of /dev/shm [default: 64m].
    #[arg(long, value_name = "SIZE")]
    pub shm_size: Option<String>,
}

/// Network and names.
#[derive(Args)]
#[command(next_help_heading = "Network")]
pub struct NetworkArgs {
    /// bridge, none, host, or ns:PATH [default: bridge].
    #[arg(long, alias = "net", value_name = "MODE")]
    pub network: Option<String>,
    /// Its host name.
    #[arg(short = 'h', long, value_name = "NAME")]
    pub hostname: Option<String>,
    /// Its NIS domain name.
    #[arg(long, value_name = "NAME")]
    pub domainname: Option<String>,
    /// A line of /etc/hosts (repeatable).
    #[arg(long, value_name = "NAME:ADDRESS")]
    pub add_host: Vec<String>,
    /// Leave the image's /etc/hosts alone.
    #[arg(long)]
    pub no_hosts: bool,
    /// A name server (repeatable).
    #[arg(long, value_name = "ADDRESS")]
    pub dns: Vec<String>,
    /// A domain to search in (repeatable).
    #[arg(long, value_name = "DOMAIN")]
    pub dns_search: Vec<String>,
    /// An option of the resolver (repeatable).
    #[arg(long, alias = "dns-opt", value_name = "OPTION")]
    pub dns_option: Vec<String>,
    /// A port that it serves, as a note (repeatable).
    #[arg(long, value_name = "PORT[/PROTOCOL]")]
    pub expose: Vec<String>,
}

/// What it may do.
#[derive(Args)]
#[command(next_help_heading = "Rights")]
pub struct RightArgs {
    /// A further capability, or ALL (repeatable).
    #[arg(long, value_name = "CAPABILITY")]
    pub cap_add: Vec<String>,
    /// A capability to go without, or ALL (repeatable).
    #[arg(long, value_name = "CAPABILITY")]
    pub cap_drop: Vec<String>,
    /// All rights: capabilities, devices, system calls.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", hide_default_value = true, action = ArgAction::Set, value_name = "BOOL")]
    pub privileged: bool,
    /// no-new-privileges, seccomp=FILE|unconfined, apparmor=…, label=…, mask=…, unmask=…,
    /// systempaths=unconfined (repeatable).
    #[arg(long, value_name = "OPTION")]
    pub security_opt: Vec<String>,
    /// A kernel setting of its namespaces (repeatable).
    #[arg(long, value_name = "NAME=VALUE")]
    pub sysctl: Vec<String>,
}

/// What it shares with the host.
#[derive(Args)]
#[command(next_help_heading = "Namespaces")]
pub struct SpaceArgs {
    /// Shared memory: private, shareable, none, host, ns:PATH.
    #[arg(long, value_name = "MODE")]
    pub ipc: Option<String>,
    /// Processes: private, host, ns:PATH.
    #[arg(long, value_name = "MODE")]
    pub pid: Option<String>,
    /// Host name: private, host, ns:PATH.
    #[arg(long, value_name = "MODE")]
    pub uts: Option<String>,
    /// Cgroups: private, host, ns:PATH.
    #[arg(long, value_name = "MODE")]
    pub cgroupns: Option<String>,
    /// Users: host, auto, keep-id.
    #[arg(long, value_name = "MODE")]
    pub userns: Option<String>,
    /// Map user IDs (repeatable).
    #[arg(long, value_name = "INSIDE:OUTSIDE[:COUNT]")]
    pub uidmap: Vec<String>,
    /// Map group IDs (repeatable).
    #[arg(long, value_name = "INSIDE:OUTSIDE[:COUNT]")]
    pub gidmap: Vec<String>,
    /// The cgroup to be below.
    #[arg(long, value_name = "CGROUP")]
    pub cgroup_parent: Option<String>,
}

/// How much it may use.
#[derive(Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Memory.
    #[arg(short, long, value_name = "SIZE")]
    pub memory: Option<String>,
    /// Memory and swap together; -1 for no limit of swap.
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    pub memory_swap: Option<String>,
    /// Memory that is kept under pressure.
    #[arg(long, value_name = "SIZE")]
    pub memory_reservation: Option<String>,
    /// 0 to 100.
    #[arg(long, value_name = "NUMBER")]
    pub memory_swappiness: Option<u64>,
    /// Wait for memory instead of being killed (cgroup v1).
    #[arg(long)]
    pub oom_kill_disable: bool,
    /// -1000 (kill last) to 1000 (kill first).
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub oom_score_adj: Option<i32>,
    /// Processors.
    #[arg(long, value_name = "NUMBER")]
    pub cpus: Option<String>,
    /// Weight against others; 1024 is normal.
    #[arg(short = 'c', long, value_name = "NUMBER")]
    pub cpu_shares: Option<u64>,
    /// Microseconds of a period.
    #[arg(long, value_name = "NUMBER")]
    pub cpu_period: Option<u64>,
    /// Microseconds of processor time in a period.
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub cpu_quota: Option<i64>,
    /// Processors to run on: 0-3,5.
    #[arg(long, value_name = "LIST")]
    pub cpuset_cpus: Option<String>,
    /// Memory nodes to use: 0,1.
    #[arg(long, value_name = "LIST")]
    pub cpuset_mems: Option<String>,
    /// Processes and threads; -1 for no limit.
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub pids_limit: Option<i64>,
    /// Weight of disk access, 10 to 1000.
    #[arg(long, value_name = "NUMBER")]
    pub blkio_weight: Option<u16>,
    /// Weight of access to one device, 10 to 1000 (repeatable).
    #[arg(long, value_name = "DEVICE:WEIGHT")]
    pub blkio_weight_device: Vec<String>,
    /// Kernel memory, which kernels do not limit any more.
    #[arg(long, value_name = "SIZE", hide = true)]
    pub kernel_memory: Option<String>,
    /// Bytes read from a device per second (repeatable).
    #[arg(long, value_name = "DEVICE:RATE")]
    pub device_read_bps: Vec<String>,
    /// Bytes written to a device per second (repeatable).
    #[arg(long, value_name = "DEVICE:RATE")]
    pub device_write_bps: Vec<String>,
    /// Reads from a device per second (repeatable).
    #[arg(long, value_name = "DEVICE:RATE")]
    pub device_read_iops: Vec<String>,
    /// Writes to a device per second (repeatable).
    #[arg(long, value_name = "DEVICE:RATE")]
    pub device_write_iops: Vec<String>,
    /// A process limit (repeatable).
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    pub ulimit: Vec<String>,
}

impl ImageArgs {
    /// The platform that was asked for, in one flag or in podman's three; none: the host's.
    pub fn platform(&self) -> Option<Platform> {
        let parts = [&self.os, &self.arch, &self.variant];
        if self.platform.is_some() || parts.iter().all(|part| part.is_none()) {
            return self.platform.clone();
        }
        let host = Platform::host();
        let os = self.os.as_deref().unwrap_or(&host.os);
        let arch = self.arch.as_deref().unwrap_or(&host.architecture);
        Some(Platform::new(os, arch, self.variant.as_deref()).normalized())
    }
}

/// A length of time as Go writes it, or a number of seconds.
fn duration(text: &str) -> Result<std::time::Duration, String> {
    let seconds = text.parse::<u32>().ok().map(|seconds| u64::from(seconds) * 1_000_000_000);
    let length = seconds.or_else(|| u64::try_from(parse_duration(text)?).ok());
    let length = length.map(std::time::Duration::from_nanos);
    length.ok_or_else(|| "expected a length of time, such as 5s or 1m30s".to_owned())
}
