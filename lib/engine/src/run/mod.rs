//! Running containers from the local store.
//!
//! Owns the order of a run: the image found (or pulled), the container's directory, its tree, its
//! files, its configuration, the runtime, and the end of all of them; and what `ps`, `rm`,
//! `inspect` and the volume verbs do. Uses `store` for what stays, `snapshot` for trees, `runtime`
//! for the process, `network` for its connection. Promise: whatever stops a run, the next one
//! finds and removes what it left; a container that is there and complete starts without a
//! network, without an async runtime and without reading more than a few small files. Prints
//! nothing.

mod container;
mod etc;
mod ident;
mod image;
mod leftover;
mod listing;
mod mounts;
mod pidfile;
mod record;
mod spaces;
mod supply;
mod users;
mod volumes;

use std::ffi::OsString;

use std::path::PathBuf;
use std::time::Duration;

pub use ident::{check_name, new_id, new_name};
pub use listing::{Listed, find, list, remove};
pub use record::{ContainerRecord, IdSpan, MountRecord, State, Status, seconds_since};
pub use supply::Supply;
pub use volumes::{create_volume, prune_volumes, remove_volume};

use crate::error::Result;
use crate::runtime::files::Dns;
use crate::runtime::flags::HostEntry;
use crate::runtime::options::NamespaceMode;
use crate::runtime::{Attached, CannotStart, CdiName, RunOptions};
use crate::spec::Platform;
use crate::store::Store;
use crate::sys::SignalQueue;

/// What runs are made with.
#[derive(Clone, Debug)]
pub struct Engine {
    /// Where images and containers are.
    pub store: Store,
    /// Where the state of running containers is: on memory, gone with the machine.
    pub state: PathBuf,
    /// The container runtime's program.
    pub runtime: PathBuf,
    /// The runtime's whole environment.
    pub runtime_env: Vec<(OsString, OsString)>,
}

/// What a container's tree is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An image, as the person named it.
    Image(String),
    /// A directory, used as it is.
    Directory(PathBuf),
}

/// When an image is fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pull {
    /// Before every run.
    Always,
    /// If it is not in the store.
    #[default]
    Missing,
    /// Not at all.
    Never,
    /// Before every run, but what the store has will do.
    Newer,
}

/// One run, as a person asked for it.
#[derive(Clone, Debug)]
pub struct RunRequest {
    /// What its tree is made of.
    pub origin: Origin,
    /// The platform of the image; none: the host's.
    pub platform: Option<Platform>,
    /// When the image is fetched.
    pub pull: Pull,
    /// What its process is told.
    pub options: RunOptions,
    /// Devices by the names that specification files give them.
    pub named_devices: Vec<CdiName>,
    /// Where these files are; those of a later directory count more.
    pub cdi_directories: Vec<PathBuf>,
    /// Its name; none: one is made up.
    pub name: Option<String>,
    /// Whether it goes when it has ended.
    pub remove: bool,
    /// Its connection.
    pub network: Network,
    /// Further lines of `/etc/hosts`.
    pub hosts: Vec<HostEntry>,
    /// What `/etc/resolv.conf` says.
    pub dns: Dns,
    /// Leave the image's `/etc/hosts` alone.
    pub no_hosts: bool,
    /// The ports that it serves, as `80/tcp`: a note besides the image's.
    pub exposed: std::collections::BTreeSet<String>,
    /// Which of our standard streams it is connected to.
    pub attached: Attached,
    /// Whether signals are passed on; else they are taken and have no effect.
    pub proxy_signals: bool,
    /// The longest time it may run.
    pub timeout: Option<Duration>,
    /// Where to write its ID.
    pub cidfile: Option<PathBuf>,
    /// Where to write the ID of its first process.
    pub pidfile: Option<PathBuf>,
}

/// How a container is connected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// To the default bridge.
    #[default]
    Bridge,
    /// As [`RunOptions`]'s namespaces say: not at all, as the host, or as another namespace.
    AsOptionsSay,
}

impl RunRequest {
    /// The network in a person's words.
    fn network_name(&self) -> String {
        match (&self.network, &self.options.namespaces.network) {
            (Network::Bridge, _) => "bridge".to_owned(),
            (_, NamespaceMode::Host) => "host".to_owned(),
            (_, NamespaceMode::Private) => "none".to_owned(),
            (_, NamespaceMode::Path(path)) => format!("ns:{}", path.display()),
            (_, NamespaceMode::Container(name)) => format!("container:{name}"),
        }
    }
}

/// How a run ended.
#[derive(Debug)]
pub enum Finished {
    /// With this code.
    Exited(i32),
    /// Killed, because its time was over.
    TimedOut,
    /// Its program is missing or cannot be run.
    CannotStart(CannotStart),
}

/// Runs a container to its end.
///
/// Must be called before other threads are started: they would not be in the mount namespace that
/// this process gets. `supply` is asked when an image has to be fetched; `signals` holds back what is
/// sent to this process; `warn` hears what a person should know, `began` the container's ID once it
/// is made.
///
/// # Errors
/// Whatever keeps the container from being started; nothing of it is left then.
pub fn run(
    engine: &Engine,
    request: &RunRequest,
    supply: &mut dyn FnMut() -> Result<Supply>,
    signals: &SignalQueue,
    warn: &mut dyn FnMut(&str),
    began: &mut dyn FnMut(&str),
) -> Result<Finished> {
    let request = &users::settled(request)?;
    spaces::check(&request.options.namespaces)?;
    container::Run { engine, request, signals, warn, began }.carry_out(supply)
}
