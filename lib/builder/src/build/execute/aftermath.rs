//! What can be done with the files of a command that failed.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::super::graph::Run;
use super::Builder;
use super::options::{BuildEvent, Cancel, Failure, OnFailure};
use super::sandbox::Command;
use crate::error::{IoContext, Result};
use crate::layer::Rights;
use crate::runtime::options::TerminalSize;
use crate::runtime::{
    Bundle, Control, Outcome, Person, RunOptions, Runtime, Sources, Stream, Streams,
};
use crate::sys::{self, Root};

/// What reads commands.
const SHELL: &str = "/bin/sh";

impl Builder<'_> {
    /// Does what was asked for in case of a failure; it stays one.
    pub(super) fn after_failure(
        &self,
        mut failure: Failure,
        command: Command<'_>,
        sources: &Sources,
    ) -> Failure {
        let done = match &command.settings.on_failure {
            OnFailure::Remove => Ok(()),
            OnFailure::Keep(place) => self.keep_files(command.root, place).map(|kept| {
                failure.kept = Some(kept);
            }),
            OnFailure::Shell => self.shell(command, sources),
        };
        if let Err(error) = done {
            let text = format!("the files of the command that failed: {}", error.chain());
            self.reporter.event(BuildEvent::Warning(&text));
        }
        failure
    }

    /// Copies all files of a mounted root into a new directory.
    fn keep_files(&self, root: &Path, place: &Path) -> Result<PathBuf> {
        use std::hash::{BuildHasher, RandomState};
        let number = RandomState::new().hash_one(std::process::id());
        let kept = place.join(format!("creel-failed-{number:016x}"));
        let making = || format!("making directory {}", kept.display());
        // What is in it may be nobody else's business.
        std::fs::DirBuilder::new().mode(0o700).create(&kept).doing(making)?;
        let copied = self.copy_tree(&Root::open(root)?, &kept, Rights::Keep);
        if copied.is_err() {
            let _ = std::fs::remove_dir_all(&kept);
        }
        copied.map(|_| kept)
    }

    /// Runs a shell where the command ran, with all that it had.
    fn shell(&self, command: Command<'_>, sources: &Sources) -> Result<()> {
        let run = Run { arguments: vec![SHELL.to_owned()], script: None, ..command.run.clone() };
        let size = sys::terminal_size(std::io::stdin());
        let terminal = size.map(|(rows, columns)| TerminalSize { rows, columns });
        let options = RunOptions { terminal, ..command.options.clone() };
        let command = Command { run: &run, options, interactive: true, ..command };
        let text = format!("{SHELL} runs where the command failed; the build ends with it");
        self.reporter.event(BuildEvent::Warning(&text));
        match self.in_sandbox(&command, sources) {
            // One that cannot be started is worth telling.
            Err(failure) => Err(failure.error),
            Ok(()) => Ok(()),
        }
    }

    /// Runs a command on this process's own streams.
    pub(super) fn converse(
        &self,
        command: &Command<'_>,
        runtime: &Runtime,
        bundle: &Bundle,
    ) -> Result<Outcome> {
        use std::os::fd::AsFd;
        let own = || "opening the standard streams";
        // Standard output is for the result.
        let stderr = || std::io::stderr().as_fd().try_clone_to_owned().doing(own);
        let stdin = std::io::stdin().as_fd().try_clone_to_owned().doing(own)?;
        let cancel = command.settings.cancel.as_deref();
        let counted = cancel.map(Cancel::command);
        let control = Control { cancel: cancel.map(Cancel::file), ..Control::default() };
        let outcome = match command.options.terminal {
            Some(_) => {
                let (input, output) = (Some(stdin), stderr()?);
                let person = Person { input, output, detach_keys: Vec::new() };
                runtime.run_on_terminal(bundle, person, control)
            }
            None => {
                let streams = Streams {
                    stdin: Stream::Relay(stdin),
                    stdout: Stream::Relay(stderr()?),
                    stderr: Stream::Relay(stderr()?),
                };
                runtime.run(bundle, streams, control)
            }
        };
        drop(counted);
        outcome
    }
}
