//! What the process does that stays with a container in the background.
//!
//! Owns the order that such a process is given, what it reports to the one who gave it, and
//! `request.json`, from which a container is started again. Promise: the report comes after the
//! container has been started or has failed to; by then its state is on disk.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::container::{Attendance, Run};
use super::record::{ContainerRecord, State, Status, now, read_record, to_json};
use super::{Engine, Finished, RunRequest};
use crate::container::log::LogWriter;
use crate::container::monitor::{ContainerIo, Exit, Launcher, MonitorSettings, Started, monitor};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::runtime::options::Signal;
use crate::runtime::{Bundle, CannotStart, Runtime};
use crate::spec::Descriptor;
use crate::store::{ContainerDir, Durability, OpenOptions, Store};
use crate::sys::{Dir, Watched};

const REQUEST: &str = "request.json";
const SOCKET: &str = "monitor.sock";
const LOG_DIRECTORY: &str = "log";
const LOG: &str = "container.log";
/// What a process is stopped with, and after how many seconds it is killed.
const USUAL_STOP: (i32, i64) = (libc::SIGTERM, 10);

/// The request that a container was made with, all names settled.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeptRequest {
    pub(super) request: RunRequest,
    /// Of its image.
    pub(super) manifest: Option<Descriptor>,
}

impl KeptRequest {
    pub(super) fn write(&self, held: &ContainerDir) -> Result<()> {
        held.write(REQUEST, &to_json(self)?)
    }

    fn read(held: &ContainerDir) -> Result<KeptRequest> {
        read_record(&held.path().join(REQUEST))?.ok_or_else(|| {
            Error::unsupported(format!(
                "container {} was not made to be started again: it ran in the foreground",
                held.id()
            ))
        })
    }
}

/// Which container to stay with, and where everything is: what a monitor reads when it starts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StayOrder {
    /// The container's ID.
    pub id: String,
    /// The store's root.
    pub root: PathBuf,
    /// Whether flushes to disk are left out.
    pub relaxed: bool,
    /// Where the state of running containers is.
    pub state: PathBuf,
    /// The container runtime's program.
    pub runtime: PathBuf,
    /// The runtime's environment; bytes, since variables need not be text.
    pub runtime_env: Vec<(Vec<u8>, Vec<u8>)>,
}

impl StayOrder {
    /// The order for a container of an engine.
    pub(super) fn new(engine: &Engine, id: &str) -> StayOrder {
        let bytes = |text: &OsString| text.as_bytes().to_vec();
        StayOrder {
            id: id.to_owned(),
            root: engine.store.root().to_owned(),
            relaxed: engine.store.durability() == Durability::Relaxed,
            state: engine.state.clone(),
            runtime: engine.runtime.clone(),
            runtime_env: engine.runtime_env.iter().map(|(k, v)| (bytes(k), bytes(v))).collect(),
        }
    }

    fn engine(&self) -> Result<Engine> {
        let durability = if self.relaxed { Durability::Relaxed } else { Durability::Full };
        let options = OpenOptions { durability, ..OpenOptions::default() };
        let text = |bytes: &Vec<u8>| OsString::from_vec(bytes.clone());
        Ok(Engine {
            store: Store::open_with(&self.root, options)?,
            state: self.state.clone(),
            runtime: self.runtime.clone(),
            runtime_env: self.runtime_env.iter().map(|(k, v)| (text(k), text(v))).collect(),
            monitor: PathBuf::new(),
        })
    }
}

/// What a monitor tells the one who started it: warnings, and then one of the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StayReport {
    /// Something that a person should know.
    Warning(String),
    /// The container runs.
    Started,
    /// Its program is missing or cannot be run.
    CannotStart {
        /// The exit code for that.
        code: u8,
        /// In words.
        reason: String,
    },
    /// It could not be started for another reason.
    Failed {
        /// What sort of failure it was.
        kind: ErrorKind,
        /// In words.
        text: String,
    },
}

/// Starts a container that was made before and stays with it until it has ended for good.
///
/// To be called by a process that has nothing else to do, and before it has threads: its mounts
/// and orphans become those of the container. `report` is called as [`StayReport`] says.
pub fn stay(order: &StayOrder, report: &dyn Fn(&StayReport)) {
    let begun = || report(&StayReport::Started);
    let mut warn = |text: &str| report(&StayReport::Warning(text.to_owned()));
    match order.engine().and_then(|engine| stay_in(&engine, &order.id, &begun, &mut warn)) {
        // Told already, or of no interest any more.
        Ok(Finished::Exited(_) | Finished::TimedOut) => {}
        Ok(Finished::CannotStart(CannotStart { code, reason })) => {
            report(&StayReport::CannotStart { code, reason });
        }
        Err(error) => {
            report(&StayReport::Failed { kind: error.kind(), text: error.chain() });
        }
    }
}

fn stay_in(
    engine: &Engine,
    id: &str,
    begun: &dyn Fn(),
    warn: &mut dyn FnMut(&str),
) -> Result<Finished> {
    let held = engine.store.adopt_container(id, None)?.ok_or_else(|| {
        Error::new(ErrorKind::Busy, format!("container {id} is being used by another process"))
    })?;
    let record = ContainerRecord::read(held.path())?
        .ok_or_else(|| Error::not_found(format!("no such container: {id}")))?;
    let held = held.named(Some(record.name.clone()));
    let KeptRequest { request, manifest } = KeptRequest::read(&held)?;
    let mut began = |_: &str| {};
    Run { engine, request: &request, attendance: Attendance::Stays(begun), warn, began: &mut began }
        .stay(held, record, manifest.as_ref())
}

/// Starts the bundle and stays until it has ended for good.
pub(super) fn stay_with(
    held: &ContainerDir,
    record: &ContainerRecord,
    bundle: &Bundle,
    runtime: Runtime,
    started: &dyn Fn(),
) -> Result<Finished> {
    let listener = listen(bundle)?;
    let log = open_log(held, record)?;
    let mut bundles = Bundles { held, record, bundle, runtime, state: State::default() };
    let first = bundles.start()?;
    started();
    let (signal, timeout) = USUAL_STOP;
    let settings = MonitorSettings {
        restart: record.restart,
        stop_signal: record.stop_signal.unwrap_or(signal),
        stop_timeout: record.stop_timeout.unwrap_or(timeout),
        stdin_once: record.interactive && !record.terminal,
    };
    let exit = monitor(&mut bundles, &listener, log, first, settings)?;
    Ok(Finished::Exited(exit.code))
}

fn listen(bundle: &Bundle) -> Result<UnixListener> {
    let listening = || "making the socket of the container's monitor";
    match std::fs::remove_file(bundle.dir.join(SOCKET)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        removed => removed.doing(listening)?,
    }
    // The name of a socket is short, those of directories are not.
    let dir = Dir::open(&bundle.dir).doing(listening)?;
    let short = format!("/proc/self/fd/{}/{SOCKET}", dir.as_fd().as_raw_fd());
    UnixListener::bind(short).doing(listening)
}

fn open_log(held: &ContainerDir, record: &ContainerRecord) -> Result<Option<LogWriter>> {
    let Some(format) = record.log.driver.format() else { return Ok(None) };
    let path = log_path(held.path());
    let directory = path.parent().unwrap_or(held.path());
    let making = || format!("making directory {}", directory.display());
    std::fs::create_dir_all(directory).doing(making)?;
    LogWriter::open(&path, format, record.log.limits()).map(Some)
}

/// Where the log of a container is.
pub(super) fn log_path(container: &Path) -> PathBuf {
    container.join(LOG_DIRECTORY).join(LOG)
}

/// Where a container's monitor listens.
pub(super) fn socket_path(engine: &Engine, id: &str) -> PathBuf {
    engine.state_of(id).join(SOCKET)
}

/// Starts a bundle, as often as it takes, and writes down what becomes of it.
struct Bundles<'a> {
    held: &'a ContainerDir,
    record: &'a ContainerRecord,
    bundle: &'a Bundle,
    runtime: Runtime,
    state: State,
}

impl Launcher for Bundles<'_> {
    fn start(&mut self) -> Result<Started> {
        let (terminal, input) = (self.record.terminal, self.record.interactive);
        let started = self.runtime.start_detached(self.bundle, terminal, input)?;
        self.state = State {
            status: Status::Running,
            pid: u32::try_from(started.process.pid()).ok(),
            started: Some(now()),
            restarts: self.state.restarts,
            finished: self.state.finished.take(),
            ..State::default()
        };
        if let Err(error) = self.state.write(self.held) {
            // What nobody knows to be running must not run.
            let _ = self.runtime.kill_now(self.bundle);
            let _ = started.process.wait();
            let _ = self.runtime.delete(self.bundle);
            return Err(error);
        }
        let [stdin, stdout, stderr] = started.pipes;
        let io = ContainerIo { stdin, stdout, stderr, terminal: started.terminal };
        Ok(Started { process: started.process, io })
    }

    fn ended(&mut self, exit: &Exit) -> Result<()> {
        let again = exit.restarts_in.is_some();
        self.state = State {
            status: if again { Status::Restarting } else { Status::Exited },
            exit_code: Some(exit.code),
            started: self.state.started.take(),
            finished: Some(exit.finished.to_string()),
            restarts: if again { exit.restarts + 1 } else { exit.restarts },
            stopped: exit.stopped,
            ..State::default()
        };
        let written = self.state.write(self.held);
        self.runtime.delete(self.bundle).and(written)
    }

    fn signal(&mut self, _: &Watched, number: i32) -> Result<()> {
        self.runtime.kill(self.bundle, Signal(number))
    }
}
