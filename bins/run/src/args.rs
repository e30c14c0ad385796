//! The command line: what was said, in clap's types.

mod life;
mod others;
mod run;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use creel::cli::{DocsVerb, StoreArgs};

pub use life::{
    AttachArgs, BackgroundArgs, ExecArgs, KillArgs, LogsArgs, NamesArgs, StartArgs, StopArgs,
};
pub use others::OtherArgs;
pub use run::{FileArgs, ImageArgs, LifeArgs, LimitArgs, ProcessArgs, Pull, RunArgs, SpaceArgs};

const EXAMPLES: &str = "\
Examples:
  creel-run debian:12 cat /etc/os-release
  creel-run --rm -it -v \"$PWD:/work\" -w /work rust:1 cargo test
  creel-run --network none --memory 512m --cpus 1 app
  creel-run --rootfs ./tree /bin/sh -c 'echo hello'
  creel-run ps -a
  creel-run rm web

Exit codes of run: the program's own; 125 creel-run failed, 126 the program cannot be run,
                   127 there is no such program, 128+N it was killed by signal N";

/// Runs containers from the local store.
#[derive(Parser)]
#[command(name = "creel-run", version, after_help = EXAMPLES, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub verb: Verb,
}

/// Options that stand before or after any verb.
#[derive(Args)]
#[command(next_help_heading = "Options of all verbs")]
pub struct Global {
    /// Root of the local store [default: /var/lib/creel, or ~/.local/share/creel].
    #[arg(long, global = true, env = "CREEL_ROOT", value_name = "DIR", hide_env_values = true)]
    pub root: Option<PathBuf>,
    /// State of running containers [default: /run/creel, or $XDG_RUNTIME_DIR/creel].
    #[arg(long, global = true, env = "CREEL_STATE", value_name = "DIR", hide_env_values = true)]
    pub state: Option<PathBuf>,
    #[command(flatten)]
    pub store: StoreArgs,
}

#[derive(Subcommand)]
pub enum Verb {
    /// Run a command in a new container (the default verb).
    // As with Docker, -h is the host name here.
    #[command(disable_help_flag = true)]
    Run(Box<RunArgs>),
    /// Create a container without starting it and print its ID.
    #[command(disable_help_flag = true)]
    Create(Box<RunArgs>),
    /// Start containers that were created or have ended.
    Start(StartArgs),
    /// Stop running containers: ask first, kill after a while.
    Stop(StopArgs),
    /// Stop and start containers.
    Restart(StopArgs),
    /// Send a signal to running containers.
    Kill(KillArgs),
    /// Pause all processes of containers.
    Pause(NamesArgs),
    /// Let the processes of paused containers continue.
    Unpause(NamesArgs),
    /// Wait until containers have ended and print their exit codes.
    Wait(NamesArgs),
    /// Run a command in a running container.
    Exec(ExecArgs),
    /// Print the output of a container that runs or ran in the background.
    Logs(LogsArgs),
    /// Connect to the standard streams of a container that runs in the background.
    Attach(AttachArgs),
    /// List containers.
    #[command(visible_alias = "ls", alias = "list")]
    Ps(PsArgs),
    /// Remove containers.
    Rm(RmArgs),
    /// Print everything about containers as JSON.
    Inspect(InspectArgs),
    /// Data that outlives containers.
    Volume {
        #[command(subcommand)]
        verb: VolumeVerb,
    },
    #[command(flatten)]
    Docs(DocsVerb),
}

#[derive(Args)]
pub struct PsArgs {
    /// Also those that do not run.
    #[arg(short, long)]
    pub all: bool,
    /// Print IDs alone.
    #[arg(short, long)]
    pub quiet: bool,
    /// The newest N, whatever they do.
    #[arg(short = 'n', long, value_name = "N")]
    pub last: Option<usize>,
    /// The newest one, whatever it does.
    #[arg(short, long)]
    pub latest: bool,
    /// Do not shorten.
    #[arg(long)]
    pub no_trunc: bool,
    /// Only those with id=, name=, label=, status=, exited=, ancestor= (repeatable).
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub filter: Vec<String>,
    /// table, json, or a template of {{.Field}}s; with titles after "table ".
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
}

#[derive(Args)]
pub struct RmArgs {
    /// By name, or by the first digits of the ID.
    #[arg(value_name = "CONTAINER", required = true)]
    pub containers: Vec<String>,
    /// Kill those that run.
    #[arg(short, long)]
    pub force: bool,
    /// Also their volumes without a name.
    #[arg(short, long)]
    pub volumes: bool,
    /// The container runtime [default: runc, crun or youki].
    #[arg(long, env = "CREEL_RUNTIME", value_name = "PROGRAM", hide_env_values = true)]
    pub runtime: Option<PathBuf>,
}

#[derive(Args)]
pub struct InspectArgs {
    /// By name, or by the first digits of the ID.
    #[arg(value_name = "CONTAINER", required = true)]
    pub containers: Vec<String>,
    /// A template: {{.State.ExitCode}}, {{json .Mounts}}.
    #[arg(short, long, value_name = "FORMAT")]
    pub format: Option<String>,
}

#[derive(Subcommand)]
pub enum VolumeVerb {
    /// List volumes.
    #[command(alias = "list")]
    Ls {
        /// Print names alone.
        #[arg(short, long)]
        quiet: bool,
        /// Only those with name=, label= (repeatable).
        #[arg(short, long, value_name = "KEY=VALUE")]
        filter: Vec<String>,
        /// json, or a template of {{.Field}}s.
        #[arg(long, value_name = "FORMAT")]
        format: Option<String>,
    },
    /// Make a volume and print its name.
    Create {
        /// Its name [default: one is made up].
        name: Option<String>,
        /// A note for people (repeatable).
        #[arg(long, value_name = "NAME=VALUE")]
        label: Vec<String>,
    },
    /// Print everything about volumes as JSON.
    Inspect {
        /// Their names.
        #[arg(required = true)]
        names: Vec<String>,
        /// A template: {{.Mountpoint}}, {{json .Labels}}.
        #[arg(short, long, value_name = "FORMAT")]
        format: Option<String>,
    },
    /// Remove volumes.
    #[command(alias = "remove")]
    Rm {
        /// Their names.
        #[arg(required = true)]
        names: Vec<String>,
        /// Do not complain about those that are not there.
        #[arg(short, long)]
        force: bool,
    },
    /// Remove the volumes without a name that no container has.
    Prune {
        /// Also those with a name.
        #[arg(short, long)]
        all: bool,
        /// Accepted for scripts: nothing is asked anyway.
        #[arg(short, long, hide = true)]
        force: bool,
    },
}
