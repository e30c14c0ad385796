//! The command line: how commands are run.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use creel::build::dockerfile::Network;
use creel::runtime::CdiName;
use creel::runtime::flags::{parse_device, parse_size};
use creel::runtime::options::DeviceRequest;

/// How commands are run.
#[derive(Args)]
pub(crate) struct RunArgs {
    /// The network of commands that do not say: default, none or host.
    #[arg(long, value_name = "MODE", value_parser = network, default_value = "default")]
    pub(crate) network: Network,
    /// What commands may ask for: network.host, security.insecure, device (repeatable).
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    pub(crate) allow: Vec<String>,
    #[command(flatten)]
    pub(crate) lent: LentArgs,
    #[command(flatten)]
    pub(crate) confined: ConfinedArgs,
    #[command(flatten)]
    pub(crate) inner: InnerArgs,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
    /// Give commands a device of this machine: PATH, PATH:TARGET:rwm, or its CDI name (repeatable).
    #[arg(long, value_name = "DEVICE", value_parser = device)]
    pub(crate) device: Vec<DevicePlace>,
    /// Where CDI specifications are [default: /etc/cdi and /var/run/cdi] (repeatable).
    #[arg(long, value_name = "DIR")]
    pub(crate) cdi_spec_dir: Vec<PathBuf>,
    /// How commands are confined: no-new-privileges, seccomp=FILE, apparmor=PROFILE, …
    /// (repeatable).
    #[arg(long, value_name = "OPTION")]
    pub(crate) security_opt: Vec<String>,
    /// Most memory of a command.
    #[arg(short, long, value_name = "BYTES", value_parser = parse_size)]
    pub(crate) memory: Option<u64>,
    /// The cgroup that those of commands are made in.
    #[arg(long, value_name = "CGROUP")]
    pub(crate) cgroup_parent: Option<String>,
    /// When a command fails: run a shell where it failed, or keep its files.
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(crate) on_failure: Option<OnFailureWhat>,
}

/// What commands see and may do of this machine.
#[derive(Args)]
pub(crate) struct ConfinedArgs {
    /// Mount a directory or a file for commands (repeatable).
    #[arg(short, long, value_name = "SOURCE:TARGET[:OPTIONS]")]
    pub(crate) volume: Vec<String>,
    /// Give commands a capability (repeatable).
    #[arg(long, value_name = "CAPABILITY", value_delimiter = ',')]
    pub(crate) cap_add: Vec<String>,
    /// Take a capability from commands (repeatable).
    #[arg(long, value_name = "CAPABILITY", value_delimiter = ',')]
    pub(crate) cap_drop: Vec<String>,
    /// How commands are kept apart from the machine: oci (runc).
    #[arg(long, value_name = "KIND", value_parser = isolation)]
    pub(crate) isolation: Option<()>,
}

/// What commands find inside.
#[derive(Args)]
pub(crate) struct InnerArgs {
    /// A further line of /etc/hosts (repeatable).
    #[arg(long, value_name = "NAME:ADDRESS")]
    pub(crate) add_host: Vec<String>,
    /// Size of /dev/shm.
    #[arg(long, value_name = "BYTES", value_parser = parse_size)]
    pub(crate) shm_size: Option<u64>,
    /// A limit for processes, as in nofile=1024:2048 (repeatable).
    #[arg(long, value_name = "TYPE=SOFT[:HARD]")]
    pub(crate) ulimit: Vec<String>,
}

/// What runs commands.
#[derive(Args)]
pub(crate) struct MachineArgs {
    /// The container runtime [default: runc, crun or youki].
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) runtime: Option<PathBuf>,
}

/// What of a person's commands may use, and what is fetched.
#[derive(Args)]
pub(crate) struct LentArgs {
    /// A secret for commands that mount it and servers that ask for it: id=ID,src=FILE or
    /// id=ID,env=NAME (repeatable).
    #[arg(long, value_name = "SPEC", value_parser = secret)]
    pub(crate) secret: Vec<(String, SecretPlace)>,
    /// An SSH agent for commands that mount it and, called default, for git: ID[=SOCKET]
    /// (repeatable).
    #[arg(long, value_name = "ID[=SOCKET]", num_args = 0..=1, default_missing_value = "default")]
    pub(crate) ssh: Vec<String>,
}

/// Where a secret is.
#[derive(Clone)]
pub(crate) enum SecretPlace {
    /// In a file.
    File(PathBuf),
    /// In a variable of the environment.
    Variable(String),
}

fn network(text: &str) -> Result<Network, String> {
    match text {
        "default" | "bridge" => Ok(Network::Default),
        "none" => Ok(Network::None),
        "host" => Ok(Network::Host),
        other => Err(format!("{other:?} is none of default, none and host")),
    }
}

/// A device.
#[derive(Clone)]
pub(crate) enum DevicePlace {
    /// By its path.
    Path(DeviceRequest),
    /// By its CDI name.
    Named(CdiName),
}

fn device(text: &str) -> Result<DevicePlace, String> {
    match CdiName::parse(text) {
        Some(name) => Ok(DevicePlace::Named(name)),
        None => parse_device(text).map(DevicePlace::Path).map_err(|error| error.chain()),
    }
}

/// What is done when a command fails.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnFailureWhat {
    /// A shell runs among its files.
    Shell,
    /// They are copied into a new directory.
    Keep,
}

/// Commands run in containers of the runtime; what others call that is accepted.
fn isolation(text: &str) -> Result<(), String> {
    match text {
        "oci" | "runc" | "default" => Ok(()),
        "chroot" | "rootless" => Err(format!(
            "{text} would leave the machine open to commands: they run in containers of an OCI \
             runtime, which needs root so far"
        )),
        other => Err(format!("{other:?} is not oci (or runc)")),
    }
}

fn secret(text: &str) -> Result<(String, SecretPlace), String> {
    let (mut id, mut place, mut kind) = (None, None, None);
    for part in text.split(',') {
        match part.split_once('=') {
            Some(("id", value)) => id = Some(value.to_owned()),
            Some(("src" | "source", value)) => place = Some(SecretPlace::File(value.into())),
            Some(("env", value)) => place = Some(SecretPlace::Variable(value.to_owned())),
            Some(("type", value @ ("file" | "env"))) => kind = Some(value),
            _ => return Err(format!("{part:?} is none of id=, src=, env= and type=")),
        }
    }
    let id = id.filter(|id| !id.is_empty()).ok_or("a secret needs an id=")?;
    let place = match (place, kind) {
        (Some(SecretPlace::File(path)), Some("env")) => {
            SecretPlace::Variable(path.to_string_lossy().into_owned())
        }
        (Some(place), _) => place,
        (None, Some("file")) => SecretPlace::File(id.clone().into()),
        (None, _) if std::env::var_os(&id).is_some() => SecretPlace::Variable(id.clone()),
        (None, _) => SecretPlace::File(id.clone().into()),
    };
    Ok((id, place))
}
