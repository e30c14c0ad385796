//! `creel-run`: not there yet; says so.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use creel::cli;
use creel::error::{Error, Result};

/// Runs containers from the local store (comes with a later release).
#[derive(Parser)]
#[command(name = "creel-run", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run a command in a new container (the default verb).
    Run {
        /// The image and the command.
        #[arg(value_name = "IMAGE", trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Print a completion script.
    Completion {
        /// The shell.
        shell: cli::Shell,
    },
    /// Write the manual pages into a directory.
    #[command(hide = true)]
    Man {
        /// The directory.
        directory: PathBuf,
    },
}

fn main() -> ExitCode {
    let words = cli::with_default_verb(&Cli::command(), std::env::args_os().collect(), "run");
    match run(Cli::parse_from(words)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            cli::report_failure("creel-run", &error);
            // Docker's code for "the engine failed, not the container".
            ExitCode::from(125)
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    match cli.verb {
        Verb::Completion { shell } => {
            cli::completion(&mut Cli::command(), shell, &mut std::io::stdout());
            Ok(())
        }
        Verb::Man { directory } => cli::man_pages(&Cli::command(), &directory),
        Verb::Run { words } => {
            let what = words.first().map(|image| format!(" {image}")).unwrap_or_default();
            Err(Error::unsupported(format!(
                "cannot run{what}: running containers comes with a later release"
            )))
        }
    }
}
