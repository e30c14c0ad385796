//! `creel-inspect`: parse, call one verb of the library, render, exit.

#![allow(unreachable_pub, reason = "a program has no outside")]

mod args;
mod explore;
mod place;
mod render;
mod verbs;

use std::process::ExitCode;

use clap::CommandFactory;
use creel::cli;
use creel::error::{Error, Result};

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
    match cli.verb {
        Verb::Docs(verb) => verb.run(&mut Cli::command()).map(|()| 0),
        Verb::Images(args) => verbs::images(&global, &args),
        Verb::Mount(args) => verbs::mount(&global, &args),
        Verb::Umount { directory } => verbs::umount(&global, &directory),
        Verb::Df => verbs::df(&global),
        Verb::Check(args) => verbs::check(&global, &args),
        Verb::Image(args) => waiting(verbs::image(&global, args)),
        Verb::Layers(args) => waiting(verbs::layers(&global, args)),
        Verb::History(args) => waiting(verbs::history(&global, args)),
        Verb::Files(args) => waiting(verbs::files(&global, args)),
        Verb::Cat(args) => waiting(verbs::cat(&global, args)),
        Verb::Extract(args) => waiting(verbs::extract(&global, args)),
        Verb::Grep(args) => waiting(verbs::grep(&global, args)),
        Verb::Waste(args) => waiting(verbs::waste(&global, args)),
        Verb::Diff(args) => waiting(verbs::diff(&global, args)),
        Verb::Packages(args) => waiting(verbs::packages(&global, args)),
        Verb::Sbom(args) => waiting(verbs::sbom(&global, args)),
        Verb::Validate(args) => waiting(verbs::validate(&global, args)),
        Verb::Base(args) => waiting(verbs::base(&global, args)),
        Verb::Explore(args) => waiting(explore::explore(&global, args)),
        Verb::Report(args) => waiting(verbs::report(&global, args)),
        Verb::Tree(args) => waiting(verbs::tree(&global, args)),
    }
}

/// Waits for what may need a network.
fn waiting<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Error::io("starting", error))?.block_on(work)
}
