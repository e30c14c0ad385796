//! Running a further process in a container.
//!
//! The bundle of such a process is a directory of its own with `process.json`; its ID is the
//! container's.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;

use oci_spec::runtime::Process;

use super::foreground::{Control, KILL, Outcome};
use super::runc::{Bundle, Runtime};
use super::streams::{Relays, Streams};
use crate::error::{Error, ErrorKind, IoContext, Result};

const PROCESS: &str = "process.json";

impl Bundle {
    /// Writes down a further process, which may hold secrets.
    pub fn write_process(&self, process: Option<&Process>) -> Result<()> {
        let path = self.dir.join(PROCESS);
        let writing = || format!("writing {}", path.display());
        let text = serde_json::to_vec(&process)
            .map_err(|error| Error::caused(ErrorKind::Failed, writing(), error))?;
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        options.open(&path).and_then(|mut file| file.write_all(&text)).doing(writing)
    }
}

impl Runtime {
    /// Runs the bundle's process until its end.
    pub fn exec(&self, bundle: &Bundle, streams: Streams, control: Control<'_>) -> Result<Outcome> {
        let mut relays = Relays::new()?;
        let mut command = self.exec_command(bundle);
        command.arg(&bundle.id);
        let seen = bundle.clone();
        relays.connect(&mut command, streams, Box::new(move || seen.pid().is_some()))?;
        let runtime = self.spawn(command)?;
        let attended = self.attend(bundle, &runtime, control);
        if attended.is_err() {
            // Whatever went wrong with us, the process must not stay.
            let _ = runtime.signal(KILL.0);
        }
        let ended = runtime.wait().doing(|| "waiting for the container runtime");
        let copied = relays.finish();
        attended?;
        let ended = ended?;
        if bundle.pid().is_none() {
            return Err(self.failure(bundle, "starting the command"));
        }
        copied?;
        Ok(Outcome::Exited(ended.code()))
    }

    /// Starts the bundle's process without anything to read from or write to, and leaves it.
    pub fn exec_detached(&self, bundle: &Bundle) -> Result<()> {
        let mut command = self.exec_command(bundle);
        command.arg("--detach").arg(&bundle.id);
        self.call(bundle, command, "starting the command")
    }

    /// The command that runs the bundle's process, but for the container's ID.
    pub(super) fn exec_command(&self, bundle: &Bundle) -> Command {
        let mut command = self.command(bundle, "exec");
        command.arg("--process").arg(bundle.dir.join(PROCESS));
        command.arg("--pid-file").arg(bundle.pid_file());
        command
    }
}
