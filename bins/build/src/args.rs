//! The command line: what was said, in clap's types.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use creel::cli::Shell;
use creel::spec::Platform;

const EXAMPLES: &str = "\
Examples:
  creel-build check                          the Dockerfile here
  creel-build check -f app/Dockerfile app    another one
  creel-build check --format sarif > out     for code hosts
  creel-build --print-plan --target test .   what a build would do
  creel-build --call outline .               what a build can be told
  creel-build --call targets .               what can be built

Exit codes: 0 done (warnings included), 1 failed (also when the file says check=error=true and
            breaks a rule), 2 wrong usage, 3 not found, 4 denied";

/// Builds container images from Dockerfiles.
///
/// This release reads, checks and plans; building comes with a later one.
#[derive(Parser)]
#[command(name = "creel-build", version, after_help = EXAMPLES, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Options that stand before or after any verb.
#[derive(Args)]
pub(crate) struct Global {
    /// Print nothing but the result and errors.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Print the result as JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Build an image (the default verb).
    #[command(alias = "bud")]
    Build(BuildArgs),
    /// Look for mistakes and bad style in a Dockerfile, without building.
    Check(CheckArgs),
    /// Print a completion script.
    Completion {
        /// The shell.
        shell: Shell,
    },
    /// Write the manual pages into a directory.
    #[command(hide = true)]
    Man {
        /// The directory.
        directory: PathBuf,
    },
}

/// What every verb that reads a Dockerfile is told.
#[derive(Args)]
pub(crate) struct FrontArgs {
    /// Directory to build from; - reads a Dockerfile from standard input.
    #[arg(value_name = "CONTEXT", default_value = ".")]
    pub(crate) context: PathBuf,
    /// The Dockerfile [default: CONTEXT/Dockerfile]; - reads standard input.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Set an argument; without a value, take the one of the environment (repeatable).
    #[arg(long = "build-arg", value_name = "NAME[=VALUE]")]
    pub(crate) build_args: Vec<String>,
    /// Read arguments from a file, a NAME=VALUE on each line (repeatable).
    #[arg(long = "build-arg-file", value_name = "FILE")]
    pub(crate) build_arg_files: Vec<PathBuf>,
    /// Another context that the file may name (repeatable).
    #[arg(long = "build-context", value_name = "NAME=PLACE", value_parser = named_context)]
    pub(crate) build_contexts: Vec<String>,
    /// The stage that is wanted [default: the last one].
    #[arg(long, value_name = "STAGE")]
    pub(crate) target: Option<String>,
    /// What to build for [default: this machine].
    #[arg(long, value_name = "OS/ARCH")]
    pub(crate) platform: Option<Platform>,
}

#[derive(Args)]
pub(crate) struct BuildArgs {
    #[command(flatten)]
    pub(crate) front: FrontArgs,
    /// Print what a build would do, and do nothing.
    #[arg(long, conflicts_with = "call")]
    pub(crate) print_plan: bool,
    /// Instead of building: check, or list what can be built or told (check, outline, targets;
    /// with ,format=json for programs).
    #[arg(long, value_name = "METHOD", value_parser = call)]
    pub(crate) call: Option<Call>,
    /// The same as --call check.
    #[arg(long, conflicts_with_all = ["call", "print_plan"])]
    pub(crate) check: bool,
}

#[derive(Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) front: FrontArgs,
    /// How to report.
    #[arg(long, value_enum, value_name = "FORMAT", conflicts_with = "json")]
    pub(crate) format: Option<Format>,
}

/// How findings are reported.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// With excerpts, for people.
    Text,
    /// One line each.
    Lines,
    /// One JSON document.
    Json,
    /// SARIF 2.1.0.
    Sarif,
}

/// A request that is no build.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Call {
    /// What is asked.
    pub(crate) method: Method,
    /// Whether a program asks.
    pub(crate) json: bool,
}

/// What is asked instead of a build.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// A build after all.
    Build,
    /// Mistakes and style.
    Check,
    /// What a target can be told.
    Outline,
    /// What can be built.
    Targets,
}

fn call(text: &str) -> Result<Call, String> {
    let (method, options) = text.split_once(',').unwrap_or((text, ""));
    let method = match method.strip_prefix("subrequests.").unwrap_or(method) {
        "build" => Method::Build,
        "check" | "lint" => Method::Check,
        "outline" => Method::Outline,
        "targets" => Method::Targets,
        other => {
            return Err(format!("{other:?} is none of build, check, outline and targets"));
        }
    };
    let json = match options {
        "" | "format=text" => false,
        "format=json" => true,
        other => return Err(format!("{other:?} is not format=text or format=json")),
    };
    Ok(Call { method, json })
}

/// The name in `NAME=PLACE`; places are opened by builds only.
fn named_context(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((name, place)) if !name.is_empty() && !place.is_empty() => Ok(name.to_owned()),
        _ => Err(format!("{text:?} is not NAME=PLACE")),
    }
}
