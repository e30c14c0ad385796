//! The program that makes containers: runc, crun, youki, or whatever has runc's command line.
//!
//! Owns its command lines, the bundle that it reads, and what it says when it fails. Promise: it
//! gets the three standard streams and no other open file; what it prints is never interpreted,
//! only passed on. The way a container runs is in `foreground` and `terminal`.

use std::ffi::OsString;
use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use oci_spec::runtime::Spec;
use serde_json::Value;

use super::config::to_json;
use super::options::Signal;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::sys::{Watched, spawn_clean};

const CONFIG: &str = "config.json";
const LOG: &str = "runtime.log";
const PID: &str = "pid";

/// Most bytes of a log's end that are looked at.
const MAX_LOG: u64 = 64 << 10;

/// How the runtime is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runtime {
    /// Its program.
    pub program: PathBuf,
    /// Where it keeps its state; a directory of our own, so that nobody else's tools see it.
    pub state: PathBuf,
    /// Whether systemd makes the cgroups.
    pub systemd_cgroup: bool,
    /// Whether cgroups may be missing.
    pub without_cgroups: bool,
    /// Its whole environment; `PATH` and, without root, what leads to systemd.
    pub env: Vec<(OsString, OsString)>,
}

/// The directory with one container's `config.json`, in which logs and sockets go too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// The directory.
    pub dir: PathBuf,
    /// The container's ID.
    pub id: String,
}

impl Bundle {
    /// Writes the configuration, which may hold secrets, into `dir`, which exists.
    pub fn write(dir: &Path, id: &str, spec: &Spec) -> Result<Bundle> {
        let path = dir.join(CONFIG);
        let writing = || format!("writing {}", path.display());
        let text = to_json(spec)?;
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(&path).and_then(|mut file| file.write_all(&text)).doing(writing)?;
        Ok(Bundle { dir: dir.to_owned(), id: id.to_owned() })
    }

    /// The ID of the container's first process, once it runs.
    pub fn pid(&self) -> Option<u32> {
        let text = fs::read_to_string(self.dir.join(PID)).ok()?;
        text.trim().parse().ok()
    }

    /// Where that ID will stand.
    pub fn pid_file(&self) -> PathBuf {
        self.dir.join(PID)
    }

    /// Takes away what an earlier run left, which would be taken for this one's.
    pub(super) fn sweep(&self) -> Result<()> {
        for name in [PID, LOG] {
            let path = self.dir.join(name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                other => other.doing(|| format!("removing {}", path.display()))?,
            }
        }
        Ok(())
    }

    /// The last error in the runtime's log.
    fn last_error(&self) -> Option<String> {
        let mut file = fs::File::open(self.dir.join(LOG)).ok()?;
        let size = file.metadata().ok()?.len();
        file.seek(SeekFrom::Start(size.saturating_sub(MAX_LOG))).ok()?;
        let mut text = Vec::new();
        file.take(MAX_LOG).read_to_end(&mut text).ok()?;
        let message = |line: &[u8]| {
            let value: Value = serde_json::from_slice(line).ok()?;
            let level = value.get("level")?.as_str()?;
            let said = value.get("msg")?.as_str()?.to_owned();
            matches!(level, "error" | "fatal").then_some(said)
        };
        text.split(|&b| b == b'\n').rev().find_map(message)
    }
}

impl Runtime {
    /// The command `verb` with the options that all commands share.
    pub(super) fn command(&self, bundle: &Bundle, verb: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(&self.state);
        command.arg("--log").arg(bundle.dir.join(LOG)).args(["--log-format", "json"]);
        if self.systemd_cgroup {
            command.arg("--systemd-cgroup");
        }
        if self.without_cgroups {
            command.args(["--rootless", "true"]);
        }
        command.arg(verb).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // Nothing of a person's environment, which may hold secrets.
        command.env_clear().envs(self.env.iter().cloned()).current_dir(&bundle.dir);
        command
    }

    /// The command that runs the bundle's container.
    pub(super) fn run_command(&self, bundle: &Bundle) -> Command {
        let mut command = self.command(bundle, "run");
        command.arg("--bundle").arg(&bundle.dir).arg("--pid-file").arg(bundle.dir.join(PID));
        command
    }

    /// Starts the runtime. With the command go our ends of the pipes that the container uses: only
    /// then they can end.
    pub(super) fn spawn(&self, mut command: Command) -> Result<Watched> {
        let mut child = spawn_clean(&mut command).map_err(|error| self.cannot_start(error))?;
        Watched::new(child.id()).map_err(|error| {
            // Nobody would see it end.
            let _ = child.kill().and_then(|()| child.wait().map(drop));
            Error::io("watching the container runtime", error)
        })
    }

    /// Sends a signal to the container's first process.
    pub fn kill(&self, bundle: &Bundle, signal: Signal) -> Result<()> {
        let mut command = self.command(bundle, "kill");
        command.arg(&bundle.id).arg(signal.0.to_string());
        self.call(bundle, command, "sending a signal to the container")
    }

    /// Ends the container, if it is there, and removes everything the runtime knows about it.
    pub fn delete(&self, bundle: &Bundle) -> Result<()> {
        let mut command = self.command(bundle, "delete");
        command.arg("--force").arg(&bundle.id);
        self.call(bundle, command, "removing the container")
    }

    fn call(&self, bundle: &Bundle, command: Command, doing: &'static str) -> Result<()> {
        let ended = self.spawn(command)?.wait().doing(|| doing)?;
        if ended.code() == 0 { Ok(()) } else { Err(self.failure(bundle, doing)) }
    }

    /// The runtime itself could not be started.
    pub(super) fn cannot_start(&self, error: std::io::Error) -> Error {
        let program = self.program.display();
        match error.kind() {
            std::io::ErrorKind::NotFound => Error::not_found(format!(
                "the container runtime {program} is not installed: install runc, or name another with --runtime"
            )),
            _ => Error::io(format!("starting the container runtime {program}"), error),
        }
    }

    /// The runtime failed; its log says why.
    pub(super) fn failure(&self, bundle: &Bundle, doing: &'static str) -> Error {
        let name = self.program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let said = bundle.last_error().unwrap_or_else(|| "it gave no reason".to_owned());
        // What it says may hold text of the image.
        let plain = said.replace(|c: char| c.is_control(), " ");
        Error::caused(ErrorKind::Failed, doing, format!("{name}: {}", plain.trim()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_last_error_counts() {
        let dir = tempfile::tempdir().unwrap();
        let bundle = Bundle { dir: dir.path().to_owned(), id: "x".into() };
        let runtime = Runtime {
            program: "/usr/bin/runc".into(),
            state: dir.path().join("state"),
            systemd_cgroup: false,
            without_cgroups: false,
            env: Vec::new(),
        };
        let failure = || runtime.failure(&bundle, "running").chain();
        assert_eq!(failure(), "running: runc: it gave no reason");
        let log = "{\"level\":\"error\",\"msg\":\"first\"}\n{\"level\":\"error\",\"msg\":\"second\\u001b[1m\\n\"}\n\
                   {\"level\":\"warning\",\"msg\":\"third\"}\nnot json\n";
        fs::write(dir.path().join(LOG), log).unwrap();
        assert_eq!(failure(), "running: runc: second [1m");
        let long = format!("{}{log}", "x".repeat(1 << 20));
        fs::write(dir.path().join(LOG), long).unwrap();
        assert_eq!(failure(), "running: runc: second [1m");
        bundle.sweep().unwrap();
        assert_eq!(failure(), "running: runc: it gave no reason");
    }

    #[test]
    fn a_missing_runtime_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let bundle = Bundle { dir: dir.path().to_owned(), id: "x".into() };
        let runtime = Runtime {
            program: "/none/runc".into(),
            state: dir.path().join("state"),
            systemd_cgroup: false,
            without_cgroups: false,
            env: Vec::new(),
        };
        assert_eq!(
            runtime.delete(&bundle).unwrap_err().chain(),
            "the container runtime /none/runc is not installed: install runc, or name another with --runtime"
        );
    }
}
