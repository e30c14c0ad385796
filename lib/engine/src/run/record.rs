//! What is written down about a container.
//!
//! Owns `container.json`, what the container is (written again when its address is known), and
//! `state.json`, how it is, in the container's directory. Promise: a container without a state that
//! says more has been created; the state of one that lost its owner is told as such. Does not know
//! how they come about.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::container::log::{LogFormat, LogLimits};
use crate::container::restart::RestartPolicy;
use crate::error::{Error, ErrorKind, Result};
use crate::spec::Digest;
use crate::store::ContainerDir;

const RECORD: &str = "container.json";
const STATE: &str = "state.json";
/// Largest record that is read.
const MAX_RECORD: u64 = 16 << 20;

/// What is known of a container from its beginning.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerRecord {
    /// Its ID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// When it was made, RFC 3339.
    pub created: String,
    /// The image as the person named it; a directory's path for one without an image.
    pub image: String,
    /// The config's digest.
    pub image_id: Option<Digest>,
    /// Program and arguments.
    pub command: Vec<String>,
    /// As many words of them as are the entrypoint.
    pub entrypoint: usize,
    /// `NAME=value`, the image's and the person's.
    pub env: Vec<String>,
    /// `user[:group]`.
    pub user: String,
    /// Where it starts.
    pub workdir: String,
    /// Its host name.
    pub hostname: String,
    /// Notes for people.
    pub labels: BTreeMap<String, String>,
    /// The ports that it serves, as `80/tcp`.
    pub exposed: Vec<String>,
    /// How its network was asked for.
    pub network: String,
    /// Its address on the bridge.
    pub address: Option<std::net::IpAddr>,
    /// The IDs on the host that were chosen for it alone.
    pub id_span: Option<IdSpan>,
    /// Its mounts.
    pub mounts: Vec<MountRecord>,
    /// The volumes without a name that go with it.
    pub anonymous_volumes: Vec<String>,
    /// Whether it goes when it has ended.
    pub remove: bool,
    /// Whether it has a terminal.
    pub terminal: bool,
    /// Whether it reads standard input.
    pub interactive: bool,
    /// Whether it has all rights.
    pub privileged: bool,
    /// Its state on memory.
    pub state_dir: PathBuf,
    /// Whether it starts again.
    pub restart: RestartPolicy,
    /// What becomes of its output.
    pub log: LogSettings,
    /// The number of the signal that stops it; none: `SIGTERM`.
    pub stop_signal: Option<i32>,
    /// Seconds until it is killed then; none: 10.
    pub stop_timeout: Option<i64>,
}

/// What becomes of a container's output.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LogSettings {
    /// Where it goes.
    pub driver: LogDriver,
    /// Bytes after which a new file begins; none: the driver's own.
    pub max_size: Option<u64>,
    /// Files that are kept; none: the driver's own.
    pub max_files: Option<u32>,
}

/// `--log-driver`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogDriver {
    /// Files in the form that kubelet reads.
    #[default]
    Local,
    /// Files in the form of Docker's driver of this name.
    JsonFile,
    /// Nowhere.
    None,
}

impl LogDriver {
    /// All, by name.
    pub const ALL: [(&'static str, LogDriver); 3] = [
        ("local", LogDriver::Local),
        ("json-file", LogDriver::JsonFile),
        ("none", LogDriver::None),
    ];

    /// The name.
    pub fn name(self) -> &'static str {
        LogDriver::ALL.iter().find(|(_, driver)| *driver == self).map_or("", |(name, _)| name)
    }

    /// How its files are written; `None` without files.
    pub fn format(self) -> Option<LogFormat> {
        match self {
            LogDriver::Local => Some(LogFormat::Cri),
            LogDriver::JsonFile => Some(LogFormat::Json),
            LogDriver::None => None,
        }
    }
}

impl LogSettings {
    /// How much is kept. Docker keeps everything of `json-file` unless told otherwise; that fills
    /// disks, so both drivers are limited here.
    pub fn limits(&self) -> LogLimits {
        let usual = LogLimits::default();
        LogLimits {
            max_size: self.max_size.or(usual.max_size),
            max_files: self.max_files.unwrap_or(usual.max_files),
        }
    }
}

/// A run of IDs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdSpan {
    /// The first.
    pub first: u32,
    /// How many.
    pub count: u32,
}

/// One mount of a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MountRecord {
    /// `bind`, `volume`, `tmpfs`, `image`.
    pub kind: String,
    /// The name of a volume or image.
    pub name: String,
    /// On the host.
    pub source: String,
    /// In the container.
    pub target: String,
    /// Whether it cannot be written.
    pub read_only: bool,
}

/// How far a container has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It has not run.
    #[default]
    Created,
    /// It runs.
    Running,
    /// All of its processes are stopped.
    Paused,
    /// It has ended and is about to start again.
    Restarting,
    /// It has ended.
    Exited,
}

impl Status {
    /// Docker's word.
    pub fn word(self) -> &'static str {
        match self {
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Restarting => "restarting",
            Status::Exited => "exited",
        }
    }

    /// Whether it has processes, or will have them again without being started.
    pub fn is_up(self) -> bool {
        matches!(self, Status::Running | Status::Paused | Status::Restarting)
    }
}

/// What changes in a container's life.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct State {
    /// How far it has come.
    pub status: Status,
    /// Its first process.
    pub pid: Option<u32>,
    /// Its exit code; none while it runs, and when nobody was there to learn it.
    pub exit_code: Option<i32>,
    /// Why it could not start.
    pub error: String,
    /// RFC 3339.
    pub started: Option<String>,
    /// RFC 3339.
    pub finished: Option<String>,
    /// How often it was started again since it was started by hand.
    pub restarts: u32,
    /// Whether it was stopped on purpose.
    pub stopped: bool,
}

impl ContainerRecord {
    /// Writes it into the container's directory.
    pub(super) fn write(&self, dir: &ContainerDir) -> Result<()> {
        dir.write(RECORD, &to_json(self)?)
    }

    /// Reads it; `None` when there is none, as for what `build` keeps.
    pub(super) fn read(container: &Path) -> Result<Option<ContainerRecord>> {
        read_record(&container.join(RECORD))
    }
}

impl State {
    /// Writes it into the container's directory.
    pub(super) fn write(&self, dir: &ContainerDir) -> Result<()> {
        dir.write(STATE, &to_json(self)?)
    }

    /// Reads it.
    pub(super) fn read(container: &Path) -> Result<State> {
        Ok(read_record(&container.join(STATE))?.unwrap_or_default())
    }
}

/// This moment, RFC 3339.
pub(super) fn now() -> String {
    jiff::Timestamp::now().to_string()
}

/// Seconds since a moment that a record names; none if it is no moment.
pub fn seconds_since(moment: &str) -> i64 {
    let then = moment.parse::<jiff::Timestamp>();
    then.map_or(0, |then| (jiff::Timestamp::now().as_second() - then.as_second()).max(0))
}

pub(super) fn to_json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value)
        .map_err(|error| Error::caused(ErrorKind::Failed, "writing a container's record", error))
}

/// Reads a small JSON file; `None` when there is none.
pub(super) fn read_record<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Option<T>> {
    use std::io::Read;
    let reading = || format!("reading {}", path.display());
    let mut text = Vec::new();
    match std::fs::File::open(path).and_then(|file| file.take(MAX_RECORD).read_to_end(&mut text)) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io(reading(), error)),
    }
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|error| Error::caused(ErrorKind::Corrupt, reading(), error))
}
