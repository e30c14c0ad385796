//! `exec`: another process in a container that runs.
//!
//! Owns what such a process inherits from the container and what it is given of its own. Promise:
//! names of users and programs are looked up in the container, through its own mounts; nothing
//! stays behind when the process has ended.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Process, Spec};

use super::container::own_terminal;
use super::leftover::remove_state;
use super::record::Status;
use super::{Engine, Finished, Listed, find, ident};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::runtime::binfmt::runs_foreign;
use crate::runtime::capabilities::process_sets;
use crate::runtime::config::{check_directory, console_size};
use crate::runtime::flags::merge_env;
use crate::runtime::options::TerminalSize;
use crate::runtime::{
    Accounts, Attached, Bundle, Control, HostFacts, Look, Outcome, ResolvedUser, Streams,
    find_program,
};
use crate::sys::{Root, SignalQueue};

/// Most bytes of a container's configuration that are read.
const MAX_CONFIG: u64 = 16 << 20;

/// One further process, as a person asked for it.
#[derive(Clone, Debug)]
pub struct ExecRequest {
    /// Program and arguments.
    pub command: Vec<String>,
    /// `NAME=value`, over the container's.
    pub env: Vec<String>,
    /// `user[:group]`; none: the container's.
    pub user: Option<String>,
    /// Absolute directory to start in; none: the container's.
    pub workdir: Option<String>,
    /// A terminal of this size; none: three streams.
    pub terminal: Option<TerminalSize>,
    /// All capabilities.
    pub privileged: bool,
    /// Which of our standard streams it is connected to.
    pub attached: Attached,
    /// What leaves the process running, with a terminal; empty: nothing does.
    pub detach_keys: Vec<u8>,
}

/// Runs a process in a container to its end.
///
/// # Errors
/// `NotFound`; `Busy` when the container does not run; whatever keeps the process from starting.
pub fn exec(
    engine: &Engine,
    text: &str,
    request: &ExecRequest,
    signals: &SignalQueue,
) -> Result<Finished> {
    let session = match Session::begin(engine, text, request)? {
        Ok(session) => session,
        Err(reason) => return Ok(Finished::CannotStart(reason)),
    };
    let runtime = engine.runtime(&HostFacts::gather(false)?);
    let control = Control { signals: Some(signals), ..Control::default() };
    let outcome = match request.terminal {
        Some(_) => runtime.exec_on_terminal(
            &session.bundle,
            own_terminal(request.attached, request.detach_keys.clone())?,
            control,
        ),
        None => runtime.exec(&session.bundle, Streams::own(request.attached)?, control),
    };
    match outcome? {
        Outcome::Exited(code) => Ok(Finished::Exited(code)),
        // It goes on, as with Docker, without anyone who learns its code.
        Outcome::Detached(_) => Ok(Finished::Exited(0)),
        Outcome::TimedOut | Outcome::Cancelled => {
            Err(Error::new(ErrorKind::Cancelled, "the command was stopped"))
        }
    }
}

/// Starts a process in a container and leaves it.
///
/// # Errors
/// As [`exec`].
pub fn exec_detached(engine: &Engine, text: &str, request: &ExecRequest) -> Result<Finished> {
    let session = match Session::begin(engine, text, request)? {
        Ok(session) => session,
        Err(reason) => return Ok(Finished::CannotStart(reason)),
    };
    engine.runtime(&HostFacts::gather(false)?).exec_detached(&session.bundle)?;
    Ok(Finished::Exited(0))
}

/// The files of one further process; removed when it has ended.
struct Session {
    bundle: Bundle,
}

impl Drop for Session {
    fn drop(&mut self) {
        // What stays goes with the container's state.
        let _ = remove_state(&self.bundle.dir);
    }
}

impl Session {
    /// Writes down what is to be run, unless it cannot be.
    fn begin(
        engine: &Engine,
        text: &str,
        request: &ExecRequest,
    ) -> Result<Result<Session, crate::runtime::CannotStart>> {
        let listed = find(engine, text)?;
        let pid = running(&listed)?;
        let state = engine.state_of(&listed.record.id);
        let spec = read_spec(&state.join("config.json"))?;
        // The kernel shows the container's root with all that is mounted there.
        let root = Root::open(&PathBuf::from(format!("/proc/{pid}/root")))?;
        let host = HostFacts::gather(request.privileged)?;
        let mut own = spec.clone();
        own.set_process(Some(process(&spec, &listed, request, &root, &host)?));
        if let Err(reason) = find_program(&root, &own, &host, Look::InRoot, &runs_foreign) {
            return Ok(Err(reason));
        }
        let id = ident::new_id()?;
        let dir = state.join(format!("exec-{}", id.get(..16).unwrap_or(&id)));
        let making = || format!("making directory {}", dir.display());
        DirBuilder::new().mode(0o700).create(&dir).doing(making)?;
        let session = Session { bundle: Bundle { dir, id: listed.record.id } };
        session.bundle.write_process(own.process().as_ref())?;
        Ok(Ok(session))
    }
}

/// The first process of a container that can take another one.
fn running(listed: &Listed) -> Result<u32> {
    let id = &listed.record.id;
    let busy = |what: &str| Error::new(ErrorKind::Busy, format!("container {id} {what}"));
    match (listed.state.status, listed.state.pid) {
        (Status::Running, Some(pid)) => Ok(pid),
        (Status::Paused, _) => Err(busy("is paused, unpause the container before exec")),
        (Status::Restarting, _) => Err(busy("is restarting, wait until the container is running")),
        _ => Err(busy("is not running")),
    }
}

fn read_spec(path: &Path) -> Result<Spec> {
    use std::io::Read;
    let reading = || format!("reading {}", path.display());
    let mut text = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(MAX_CONFIG).read_to_end(&mut text))
        .doing(reading)?;
    serde_json::from_slice(&text)
        .map_err(|error| Error::caused(ErrorKind::Corrupt, reading(), error))
}

/// The container's own process, changed as was asked.
fn process(
    spec: &Spec,
    listed: &Listed,
    request: &ExecRequest,
    root: &Root,
    host: &HostFacts,
) -> Result<Process> {
    let mut process = spec.process().clone().unwrap_or_default();
    let who = match &request.user {
        Some(user) => Some(Accounts::read(root)?.resolve(user, &[])?),
        None => None,
    };
    if let Some(who) = &who {
        let mut user = process.user().clone();
        user.set_uid(who.uid);
        user.set_gid(who.gid);
        user.set_additional_gids(Some(who.groups.clone()));
        process.set_user(user);
    }
    process.set_env(Some(environment(&process, listed, request, who.as_ref())));
    process.set_args(Some(request.command.clone()));
    process.set_terminal(Some(request.terminal.is_some()));
    process.set_console_size(request.terminal.map(console_size).transpose()?);
    if let Some(directory) = &request.workdir {
        check_directory(directory)?;
        process.set_cwd(directory.into());
    }
    if request.privileged {
        process.set_capabilities(Some(process_sets(&host.capabilities)));
        process.set_apparmor_profile(None);
    }
    Ok(process)
}

fn environment(
    process: &Process,
    listed: &Listed,
    request: &ExecRequest,
    who: Option<&ResolvedUser>,
) -> Vec<String> {
    let mut env = process.env().clone().unwrap_or_default();
    if let Some(who) = who
        && !listed.record.env.iter().any(|variable| variable.starts_with("HOME="))
    {
        merge_env(&mut env, [format!("HOME={}", who.home)]);
    }
    if request.terminal.is_some() && !env.iter().any(|variable| variable.starts_with("TERM=")) {
        env.push("TERM=xterm".to_owned());
    }
    merge_env(&mut env, request.env.iter().cloned());
    env
}
