//! Starting a container that goes on without the runtime's process.

use std::process::Stdio;

use super::foreground::KILL;
use super::runc::{Bundle, Runtime};
use super::terminal::Subject;
use crate::error::{IoContext, Result};
use crate::sys::{Watched, adopt_orphans};

/// A container that was just started: a child of this process.
#[derive(Debug)]
pub struct StartedContainer {
    /// Its first process.
    pub process: Watched,
    /// The other ends of its standard streams, where they are pipes.
    pub pipes: [Option<std::os::fd::OwnedFd>; 3],
    /// The controlling side of its terminal, if it has one.
    pub terminal: Option<std::os::fd::OwnedFd>,
}

impl Runtime {
    /// Starts the bundle's container on three pipes (standard input is empty unless `input`), or on
    /// a terminal if the configuration asks for one (`terminal`).
    ///
    /// This process becomes the parent of its descendants' orphans. Fails when the container could
    /// not be started; nothing of it is left then.
    pub fn start_detached(
        &self,
        bundle: &Bundle,
        terminal: bool,
        input: bool,
    ) -> Result<StartedContainer> {
        bundle.sweep()?;
        let started = match terminal {
            true => {
                self.start_on_terminal(bundle, Subject::Container).map(|(process, terminal)| {
                    StartedContainer {
                        process,
                        pipes: [None, None, None],
                        terminal: Some(terminal),
                    }
                })
            }
            false => self.start_on_pipes(bundle, input),
        };
        if started.is_err() {
            let _ = self.delete(bundle);
        }
        started
    }

    fn start_on_pipes(&self, bundle: &Bundle, input: bool) -> Result<StartedContainer> {
        let starting = || "starting the container";
        adopt_orphans().doing(starting)?;
        let pipe = || std::io::pipe().doing(|| "making a pipe");
        let (stdin, to_stdin) = match input {
            true => {
                let (theirs, ours) = pipe()?;
                (Stdio::from(theirs), Some(ours.into()))
            }
            false => (Stdio::null(), None),
        };
        let (from_stdout, stdout) = pipe()?;
        let (from_stderr, stderr) = pipe()?;
        let mut command = self.run_command(bundle);
        command.arg("--detach").arg(&bundle.id).stdin(stdin).stdout(stdout).stderr(stderr);
        let ended = self.spawn(command)?.wait().doing(starting)?;
        match (ended.code(), bundle.pid()) {
            (0, Some(pid)) => Ok(StartedContainer {
                process: Watched::new(pid).doing(|| "watching the container")?,
                pipes: [to_stdin, Some(from_stdout.into()), Some(from_stderr.into())],
                terminal: None,
            }),
            _ => Err(self.failure(bundle, "starting the container")),
        }
    }

    /// Ends the container by force.
    pub fn kill_now(&self, bundle: &Bundle) -> Result<()> {
        self.kill(bundle, KILL)
    }

    /// Stops all of its processes, or lets them go on.
    pub fn freeze(&self, bundle: &Bundle, frozen: bool) -> Result<()> {
        let verb = if frozen { "pause" } else { "resume" };
        let mut command = self.command(bundle, verb);
        command.arg(&bundle.id);
        self.call(
            bundle,
            command,
            if frozen { "pausing the container" } else { "resuming the container" },
        )
    }
}
