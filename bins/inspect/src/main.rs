//! `creel-inspect`: parse, call one verb of the library, render, exit.

#![allow(unreachable_pub, reason = "a program has no outside")]

mod args;
mod explore;
mod place;
mod render;
mod skopeo;
mod verbs;

use std::process::ExitCode;
use std::time::Duration;

use clap::CommandFactory;
use creel::cli;
use creel::error::{Error, ErrorKind, Result};

use args::{Cli, Verb};

fn main() -> ExitCode {
    let ended = match cli::arguments("image") {
        Ok(cli) => run(cli),
        Err(code) => Ok(code),
    };
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(error) => ExitCode::from(cli::report_failure("creel-inspect", &error)),
    }
}

/// Runs one verb; the code says how it went where that is no failure.
fn run(cli: Cli) -> Result<u8> {
    let global = cli.global;
    global.skopeo.check()?;
    let limit = global.skopeo.command_timeout;
    match cli.verb {
        Verb::Docs(verb) => verb.run(&mut Cli::command()).map(|()| 0),
        Verb::Images(args) => verbs::images(&global, &args),
        Verb::Mount(args) => verbs::mount(&global, &args),
        Verb::Umount { directory } => verbs::umount(&global, &directory),
        Verb::Df => verbs::df(&global),
        Verb::Check(args) => verbs::check(&global, &args),
        Verb::Image(args) => waiting(limit, verbs::image(&global, args)),
        Verb::Inspect(args) => waiting(limit, verbs::inspect(&global, args)),
        Verb::Layers(args) => waiting(limit, verbs::layers(&global, args)),
        Verb::History(args) => waiting(limit, verbs::history(&global, args)),
        Verb::Files(args) => waiting(limit, verbs::files(&global, args)),
        Verb::Cat(args) => waiting(limit, verbs::cat(&global, args)),
        Verb::Extract(args) => waiting(limit, verbs::extract(&global, args)),
        Verb::Grep(args) => waiting(limit, verbs::grep(&global, args)),
        Verb::Waste(args) => waiting(limit, verbs::waste(&global, args)),
        Verb::Diff(args) => waiting(limit, verbs::diff(&global, args)),
        Verb::Packages(args) => waiting(limit, verbs::packages(&global, args)),
        Verb::Sbom(args) => waiting(limit, verbs::sbom(&global, args)),
        Verb::Validate(args) => waiting(limit, verbs::validate(&global, args)),
        Verb::Base(args) => waiting(limit, verbs::base(&global, args)),
        Verb::Explore(args) => waiting(limit, explore::explore(&global, args)),
        Verb::Report(args) => waiting(limit, verbs::report(&global, args)),
        Verb::Tree(args) => waiting(limit, verbs::tree(&global, args)),
    }
}

/// Waits for what may need a network, no longer than the limit.
fn waiting<T>(limit: Option<Duration>, work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Error::io("starting", error))?;
    let Some(limit) = limit else { return runtime.block_on(work) };
    let late = |_| Error::new(ErrorKind::Unavailable, "stopped: --command-timeout is over");
    runtime.block_on(async { tokio::time::timeout(limit, work).await.map_err(late)? })
}
