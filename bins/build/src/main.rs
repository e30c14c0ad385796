//! `creel-build`: parse, call one verb of the library, render, exit.

mod args;
mod contexts;
mod front;
mod interrupt;
mod render;
mod run_args;
mod steps;
mod verbs;
mod working_args;

use std::process::ExitCode;

use clap::CommandFactory;
use creel::cli;
use creel::error::Result;

use args::{Cli, Verb};

fn main() -> ExitCode {
    let ended = match cli::arguments("build") {
        Ok(cli) => run(cli),
        Err(code) => Ok(code),
    };
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(error) => ExitCode::from(cli::report_failure("creel-build", &error)),
    }
}

/// Runs one verb; the code says how it went where that is no failure.
fn run(cli: Cli) -> Result<u8> {
    match cli.verb {
        Verb::Build(args) => verbs::build::run(&cli.global, &args),
        Verb::Push(args) => verbs::remote::push(&cli.global, &args),
        Verb::Check(args) => verbs::check::run(&cli.global, &args),
        Verb::Du => verbs::cache::du(&cli.global),
        Verb::Prune { max_size } => verbs::cache::prune(&cli.global, max_size),
        Verb::From(args) => verbs::working::from(&cli.global, &args),
        Verb::Run(args) => verbs::in_container::run(&cli.global, &args),
        Verb::Copy(args) => verbs::working::copy(&cli.global, &args, false),
        Verb::Add(args) => verbs::working::copy(&cli.global, &args, true),
        Verb::Config(args) => verbs::working::config(&cli.global, &args),
        Verb::Commit(args) => verbs::working::commit(&cli.global, &args),
        Verb::Mount(args) => verbs::containers::mount(&cli.global, &args),
        Verb::Umount(args) => verbs::containers::unmount(&cli.global, &args),
        Verb::Rm(args) => verbs::containers::remove(&cli.global, &args),
        Verb::Containers(args) => verbs::containers::list(&cli.global, &args),
        Verb::Inspect(args) => verbs::containers::show(&cli.global, &args),
        Verb::Docs(verb) => verb.run(&mut Cli::command()).map(|()| 0),
    }
}
