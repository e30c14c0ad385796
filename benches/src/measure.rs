//! Runs one command and tells how long it took and how much memory it needed.
//!
//! The command is started by a second, fresh process of this program, because the kernel counts
//! the peak of the starting process as the started one's own: this one has grown by then.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use serde_json::{Value, json};

use crate::Result;

/// The first argument of the process that starts the command.
pub(crate) const ARGUMENT: &str = "--measure";

/// What a command cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// From the start of the process to its end.
    pub(crate) seconds: f64,
    /// Its largest resident set, in KiB.
    pub(crate) peak: u64,
}

/// A command line: a program and its arguments.
pub(crate) type CommandLine = Vec<OsString>;

/// Runs a command in a home of its own below `work`; returns its cost and its standard output.
///
/// # Errors
/// When it cannot be started or fails; says what it said.
pub(crate) fn run(command: &CommandLine, work: &Path) -> Result<(Sample, String)> {
    let report = work.join("sample.json");
    let output = Command::new(std::env::current_exe()?)
        .arg(ARGUMENT)
        .arg(&report)
        .args(command)
        .env("HOME", work.join("home"))
        .env("CREEL_ROOT", work.join("store"))
        .stdin(Stdio::null())
        .output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{}: {}\n{said}", shown(command), output.status).into());
    }
    let report: Value = serde_json::from_slice(&std::fs::read(&report)?)?;
    let (Some(seconds), Some(peak)) = (report["seconds"].as_f64(), report["peak"].as_u64()) else {
        return Err(format!("no measurement in {report}").into());
    };
    Ok((Sample { seconds, peak }, String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// The command as one would type it.
pub(crate) fn shown(command: &CommandLine) -> String {
    let words: Vec<_> = command.iter().map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

/// The measuring process: `REPORT PROGRAM ARGUMENT...`. Ends as the program ended.
pub(crate) fn main(arguments: &[OsString]) -> Result<ExitCode> {
    let [report, program, arguments @ ..] = arguments else {
        return Err("nothing to measure".into());
    };
    let mut command = Command::new(program);
    command.args(arguments);
    let start = Instant::now();
    let mut child = command
        .spawn()
        .map_err(|error| format!("starting {}: {error}", program.to_string_lossy()))?;
    let status = child.wait()?;
    let seconds = start.elapsed().as_secs_f64();
    let peak = getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss();
    std::fs::write(report, json!({ "seconds": seconds, "peak": peak }).to_string())?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
