//! `creel-build`: parse, call one verb of the library, render, exit.

mod args;
mod front;
mod render;
mod verbs;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use creel::cli;
use creel::error::Result;

use args::{Cli, Verb};

fn main() -> ExitCode {
    cli::quiet_pipes();
    let words = cli::with_default_verb(&Cli::command(), std::env::args_os().collect(), "build");
    match run(Cli::parse_from(words)) {
        Ok(code) => ExitCode::from(code),
        Err(error) => ExitCode::from(cli::report_failure("creel-build", &error)),
    }
}

/// Runs one verb; the code says how it went where that is no failure.
fn run(cli: Cli) -> Result<u8> {
    match cli.verb {
        Verb::Build(args) => verbs::build::run(&cli.global, &args),
        Verb::Check(args) => verbs::check::run(&cli.global, &args),
        Verb::Completion { shell } => {
            cli::completion(&mut Cli::command(), shell, &mut std::io::stdout());
            Ok(0)
        }
        Verb::Man { directory } => cli::man_pages(&Cli::command(), &directory).map(|()| 0),
    }
}
