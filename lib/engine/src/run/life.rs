//! Containers in the background: made, started, stopped, looked at.
//!
//! Owns the verbs; each finds its container by name or ID, asks its monitor, and does what is left
//! to do where there is none any more.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::container::{Attendance, Run};
use super::record::{LogSettings, State, Status};
use super::stay::{StayOrder, StayReport, log_path, socket_path};
use super::supply::Supply;
use super::{Engine, Listed, RunRequest, find, spaces, users};
use crate::container::log::LogFormat;
use crate::container::monitor::{Answer, MonitorClient, Request, WaitCondition};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::runtime::options::Signal;
use crate::runtime::{Bundle, HostFacts};
use crate::sys::{SignalQueue, spawn_clean};

/// Between two looks at a container that no monitor looks after.
const LOOK: Duration = Duration::from_millis(10);

/// Makes a container that is not started yet; returns its ID.
///
/// # Errors
/// Whatever keeps it from being made; nothing of it is left then.
pub fn create(
    engine: &Engine,
    request: &RunRequest,
    supply: &mut dyn FnMut() -> Result<Supply>,
    signals: &SignalQueue,
    warn: &mut dyn FnMut(&str),
) -> Result<String> {
    let request = &users::settled(request)?;
    spaces::check(&request.options.namespaces)?;
    let mut began = |_: &str| {};
    Run { engine, request, attendance: Attendance::Absent, warn, began: &mut began }
        .create(supply, signals)
}

/// How starting went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Started {
    /// It runs.
    Now,
    /// It ran before.
    Already,
    /// Its program is missing or cannot be run.
    CannotStart {
        /// The exit code for that.
        code: u8,
        /// In words.
        reason: String,
    },
}

/// Starts a container that was made before, or has ended.
///
/// # Errors
/// `NotFound`; whatever keeps it from being started.
pub fn start(engine: &Engine, text: &str, warn: &mut dyn FnMut(&str)) -> Result<Started> {
    let listed = find(engine, text)?;
    if listed.state.status.is_up() {
        return Ok(Started::Already);
    }
    let Listed { record, .. } = &listed;
    settle(engine, &listed)?;
    let starting = || format!("starting the monitor {}", engine.monitor.display());
    let mut command = Command::new(&engine.monitor);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).env_clear();
    command.current_dir("/");
    let mut child = spawn_clean(&mut command).doing(starting)?;
    let order = serde_json::to_vec(&StayOrder::new(engine, &record.id))
        .map_err(|error| Error::caused(ErrorKind::Failed, starting(), error))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(&order).doing(starting)?;
    }
    let reports = child.stdout.take().map(BufReader::new);
    // It leaves a process of its own behind and ends at once.
    child.wait().doing(starting)?;
    for line in reports.into_iter().flat_map(BufRead::lines) {
        let line = line.doing(|| "listening to the container's monitor")?;
        match serde_json::from_str(&line) {
            Ok(StayReport::Warning(text)) => warn(&text),
            Ok(StayReport::Started) => return Ok(Started::Now),
            Ok(StayReport::CannotStart { code, reason }) => {
                return Ok(Started::CannotStart { code, reason });
            }
            Ok(StayReport::Failed { kind, text }) => return Err(Error::new(kind, text)),
            Err(error) => {
                let what = "listening to the container's monitor";
                return Err(Error::caused(ErrorKind::Failed, what, error));
            }
        }
    }
    Err(Error::new(ErrorKind::Failed, "the container's monitor ended before the container started"))
}

/// Ends a container: asks it with `signal` (its own if absent), and kills it after `timeout`
/// seconds (its own if absent; negative: never). One that does not run is left as it is.
pub fn stop(
    engine: &Engine,
    text: &str,
    signal: Option<Signal>,
    timeout: Option<i64>,
) -> Result<()> {
    let listed = find(engine, text)?;
    if !listed.state.status.is_up() {
        return Ok(());
    }
    if listed.state.status == Status::Paused {
        freeze(engine, &listed, false)?;
    }
    let signal = signal.map(|signal| signal.0);
    match ask(engine, &listed, &Request::Stop { signal, timeout })? {
        Some(Answer::Exited(_)) | Some(Answer::Done) => settle(engine, &listed),
        Some(Answer::Refused(refusal)) if refusal.not_running => settle(engine, &listed),
        Some(Answer::Refused(refusal)) => Err(Error::new(ErrorKind::Failed, refusal.text)),
        None => stop_directly(engine, &listed, signal, timeout),
    }
}

/// Waits until the monitor has put everything away, so that the container can be started again or
/// removed at once.
fn settle(engine: &Engine, listed: &Listed) -> Result<()> {
    while engine.store.is_container_held(&listed.record.id)? {
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// Without a monitor.
fn stop_directly(
    engine: &Engine,
    listed: &Listed,
    signal: Option<i32>,
    timeout: Option<i64>,
) -> Result<()> {
    let record = &listed.record;
    let timeout = timeout.or(record.stop_timeout).unwrap_or(10);
    let kill_at = u64::try_from(timeout).ok().map(|seconds| {
        Instant::now().checked_add(Duration::from_secs(seconds)).unwrap_or_else(Instant::now)
    });
    let first = signal.or(record.stop_signal).unwrap_or(libc::SIGTERM);
    send(engine, &record.id, first)?;
    let mut killed = false;
    while engine.store.is_container_held(&record.id)? {
        if !killed && kill_at.is_some_and(|at| at <= Instant::now()) {
            send(engine, &record.id, libc::SIGKILL)?;
            killed = true;
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// Sends a signal to a container. One that kills, or that it is stopped with, also ends its
/// restarts.
///
/// # Errors
/// `NotFound`; `Busy` when it does not run.
pub fn kill(engine: &Engine, text: &str, signal: Signal) -> Result<()> {
    let listed = find(engine, text)?;
    let own = listed.record.stop_signal.unwrap_or(libc::SIGTERM);
    let stays_ended = signal.0 == libc::SIGKILL || signal.0 == own;
    let not_running =
        || Error::new(ErrorKind::Busy, format!("container {} is not running", listed.record.id));
    if !listed.state.status.is_up() {
        return Err(not_running());
    }
    match ask(engine, &listed, &Request::Signal { number: signal.0, stays_ended })? {
        Some(Answer::Refused(refusal)) if refusal.not_running => Err(not_running()),
        Some(Answer::Refused(refusal)) => Err(Error::new(ErrorKind::Failed, refusal.text)),
        Some(_) => Ok(()),
        None => send(engine, &listed.record.id, signal.0),
    }
}

/// Stops and starts a container; one that does not run is started.
pub fn restart(
    engine: &Engine,
    text: &str,
    signal: Option<Signal>,
    timeout: Option<i64>,
    warn: &mut dyn FnMut(&str),
) -> Result<Started> {
    stop(engine, text, signal, timeout)?;
    start(engine, text, warn)
}

/// Stops all processes of a container until [`unpause`].
pub fn pause(engine: &Engine, text: &str) -> Result<()> {
    let listed = find(engine, text)?;
    match listed.state.status {
        Status::Running => freeze(engine, &listed, true),
        Status::Paused => Err(busy(&listed, "is already paused")),
        _ => Err(busy(&listed, "is not running")),
    }
}

/// Lets the processes of a container go on.
pub fn unpause(engine: &Engine, text: &str) -> Result<()> {
    let listed = find(engine, text)?;
    match listed.state.status {
        Status::Paused => freeze(engine, &listed, false),
        _ => Err(busy(&listed, "is not paused")),
    }
}

fn busy(listed: &Listed, what: &str) -> Error {
    Error::new(ErrorKind::Busy, format!("container {} {what}", listed.record.id))
}

/// A file in a container's state while it is paused.
const PAUSED: &str = "paused";

/// Whether [`pause`] has stopped a container.
pub(super) fn is_paused(engine: &Engine, id: &str) -> bool {
    engine.state_of(id).join(PAUSED).exists()
}

fn freeze(engine: &Engine, listed: &Listed, frozen: bool) -> Result<()> {
    let bundle = engine.bundle(&listed.record.id);
    let mark = bundle.dir.join(PAUSED);
    let marking = || format!("writing {}", mark.display());
    let runtime = engine.runtime(&HostFacts::gather(false)?);
    if frozen {
        std::fs::write(&mark, b"").doing(marking)?;
        return runtime.freeze(&bundle, true).inspect_err(|_| drop(std::fs::remove_file(&mark)));
    }
    // Where we were killed between mark and freezer, it was never stopped.
    let thawed = runtime.freeze(&bundle, false);
    std::fs::remove_file(&mark).doing(marking)?;
    thawed
}

/// Kills a container that is to be removed.
pub(super) fn kill_to_remove(engine: &Engine, listed: &Listed) -> Result<()> {
    let request = Request::Signal { number: libc::SIGKILL, stays_ended: true };
    match ask(engine, listed, &request)? {
        Some(_) => Ok(()),
        None if engine.bundle(&listed.record.id).pid().is_none() => Ok(()),
        None => send(engine, &listed.record.id, libc::SIGKILL)
            .doing(|| format!("killing container {}", listed.record.name)),
    }
}

/// Waits until a container does not run any more; returns its exit code, none if nobody was there
/// to learn it. One that never ran has ended with 0.
pub fn wait(engine: &Engine, text: &str) -> Result<Option<i32>> {
    let listed = find(engine, text)?;
    let id = &listed.record.id;
    let condition = WaitCondition::NotRunning;
    let answer = ask(engine, &listed, &Request::Wait { condition })?;
    settle(engine, &listed)?;
    if let Some(Answer::Exited(code)) = answer {
        return Ok(Some(code));
    }
    let state = State::read(&engine.store.container_path(id))?;
    Ok(match state.status {
        Status::Created => Some(0),
        _ => state.exit_code,
    })
}

/// Connects to the streams of a container that runs in the background.
///
/// # Errors
/// `NotFound`; `Busy` when it does not run, or runs in the foreground of another process.
pub fn attach(engine: &Engine, text: &str) -> Result<(MonitorClient, Listed)> {
    let listed = find(engine, text)?;
    match listed.state.status {
        Status::Running => {}
        Status::Paused => return Err(busy(&listed, "is paused: unpause it before attaching")),
        _ => return Err(busy(&listed, "is not running: start it before attaching")),
    }
    let client = MonitorClient::connect(&socket_path(engine, &listed.record.id))?;
    let client =
        client.ok_or_else(|| busy(&listed, "runs in the foreground of another process"))?;
    Ok((client, listed))
}

/// Where the log of a container is.
#[derive(Clone, Debug)]
pub struct Logs {
    /// The file being written.
    pub path: PathBuf,
    /// How.
    pub format: LogFormat,
    /// Where the container's monitor listens while it runs.
    pub monitor: PathBuf,
}

/// Finds the log of a container.
///
/// # Errors
/// `NotFound`; `Unsupported` when it has none.
pub fn logs(engine: &Engine, text: &str) -> Result<Logs> {
    let Listed { record, .. } = find(engine, text)?;
    let LogSettings { driver, .. } = record.log;
    let format = driver.format().ok_or_else(|| {
        Error::unsupported(format!("the log driver {:?} does not support reading", driver.name()))
    })?;
    let path = log_path(&engine.store.container_path(&record.id));
    Ok(Logs { path, format, monitor: socket_path(engine, &record.id) })
}

/// Asks the monitor of a container; `None` when it has none.
fn ask(engine: &Engine, listed: &Listed, request: &Request) -> Result<Option<Answer>> {
    let Some(mut client) = MonitorClient::connect(&socket_path(engine, &listed.record.id))? else {
        return Ok(None);
    };
    match client.ask(request) {
        // It ended while we asked.
        Err(error) if error.kind() == ErrorKind::Unavailable => Ok(None),
        answer => answer.map(Some),
    }
}

fn send(engine: &Engine, id: &str, number: i32) -> Result<()> {
    engine.runtime(&HostFacts::gather(false)?).kill(&engine.bundle(id), Signal(number))
}

impl Engine {
    fn bundle(&self, id: &str) -> Bundle {
        Bundle { dir: self.state_of(id), id: id.to_owned() }
    }
}
