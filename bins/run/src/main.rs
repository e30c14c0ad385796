//! `creel-run`: parse, call one verb of the library, render, exit.

#![allow(unreachable_pub, reason = "a program has no outside")]

mod args;
mod context;
mod elsewhere;
mod render;
mod request;
mod verbs;

use std::process::ExitCode;

use clap::CommandFactory;
use creel::cli;
use creel::error::Result;

use args::{Cli, Verb};
use context::Context;

/// Docker's code for "the engine failed, not the container".
const OURS: u8 = 125;

fn main() -> ExitCode {
    let mut command = cli::command::<Cli>();
    let given = elsewhere::without_group(std::env::args_os().collect(), &command);
    let words = cli::with_default_verb(&command, given.clone(), "run");
    // Where the verb was put in there is an image, or a verb that we do not have.
    let first = words.iter().zip(&given).find(|(word, given)| word != given);
    if let Some(error) = first.and_then(|(_, word)| elsewhere::explain(word)) {
        cli::report_failure("creel-run", &error);
        return ExitCode::from(1);
    }
    let cli = match cli::read::<Cli>(&mut command, words) {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { OURS } else { 0 };
            // Nobody is left to hear that this failed.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    // Those that give the container's own code have one for themselves.
    let gives_code = match &cli.verb {
        Verb::Run(_) | Verb::Exec(_) | Verb::Attach(_) => true,
        Verb::Start(args) => args.attach,
        _ => false,
    };
    let on_failure = if gives_code { OURS } else { 1 };
    match run(cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            cli::report_failure("creel-run", &error);
            ExitCode::from(on_failure)
        }
    }
}

/// Runs one verb; the code says how it went where that is no failure.
fn run(cli: Cli) -> Result<u8> {
    match cli.verb {
        Verb::Run(args) if args.background.detach => {
            verbs::life::run_detached(&Context::new(&cli.global)?, &args)
        }
        Verb::Run(args) => verbs::run::run(&Context::new(&cli.global)?, &args),
        Verb::Create(args) => verbs::life::create(&Context::new(&cli.global)?, &args),
        Verb::Start(args) => verbs::life::start(&Context::new(&cli.global)?, &args),
        Verb::Stop(args) => verbs::life::stop(&Context::new(&cli.global)?, &args),
        Verb::Restart(args) => verbs::life::restart(&Context::new(&cli.global)?, &args),
        Verb::Kill(args) => verbs::life::kill(&Context::new(&cli.global)?, &args),
        Verb::Pause(args) => verbs::life::pause(&Context::new(&cli.global)?, &args),
        Verb::Unpause(args) => verbs::life::unpause(&Context::new(&cli.global)?, &args),
        Verb::Wait(args) => verbs::life::wait(&Context::new(&cli.global)?, &args),
        Verb::Exec(args) => verbs::exec::run(&Context::new(&cli.global)?, &args),
        Verb::Logs(args) => verbs::logs::run(&Context::new(&cli.global)?, &args),
        Verb::Attach(args) => verbs::life::attach(&Context::new(&cli.global)?, &args),
        Verb::Ps(args) => verbs::ps::run(&Context::new(&cli.global)?, &args),
        Verb::Rm(args) => verbs::rm::run(&Context::new(&cli.global)?, &args),
        Verb::Inspect(args) => verbs::inspect::run(&Context::new(&cli.global)?, &args),
        Verb::Volume { verb } => verbs::volume::run(&Context::new(&cli.global)?, &verb),
        Verb::Docs(verb) => verb.run(&mut Cli::command()).map(|()| 0),
    }
}
