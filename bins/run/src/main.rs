//! `creel-run`: not there yet; says so.

use std::process::ExitCode;

use clap::Parser;

/// Runs containers from the local store (comes with a later release).
#[derive(Parser)]
#[command(name = "creel-run", version)]
struct Cli {
    /// The image and the command.
    #[arg(value_name = "IMAGE", trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let what = cli.words.first().map(|image| format!(" {image}")).unwrap_or_default();
    eprintln!("creel-run: cannot run{what}: running containers comes with a later release");
    // Docker's code for "the engine failed, not the container".
    ExitCode::from(125)
}
