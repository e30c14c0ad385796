//! The flags of the verbs that start, stop and watch containers.

use std::path::PathBuf;

use clap::Args;

/// Containers, by name or by the first digits of the ID.
#[derive(Args)]
pub struct NamesArgs {
    /// Names, or the first digits of IDs.
    #[arg(value_name = "CONTAINER", required = true)]
    pub containers: Vec<String>,
    #[command(flatten)]
    pub runtime: RuntimeArgs,
}

/// The container runtime.
#[derive(Args)]
pub struct RuntimeArgs {
    /// Container runtime [default: runc, crun or youki].
    #[arg(long, env = "CREEL_RUNTIME", value_name = "PROGRAM", hide_env_values = true)]
    pub runtime: Option<PathBuf>,
}

#[derive(Args)]
pub struct StartArgs {
    /// Attach standard output and error, pass signals on, and exit with the container's code.
    #[arg(short, long)]
    pub attach: bool,
    /// Pass standard input to the container.
    #[arg(short, long)]
    pub interactive: bool,
    #[command(flatten)]
    pub keys: KeysArgs,
    #[command(flatten)]
    pub names: NamesArgs,
}

/// Leaving a container that goes on.
#[derive(Args)]
pub struct KeysArgs {
    /// Keys that leave the container running, "" for none [default: ctrl-p,ctrl-q].
    #[arg(long, value_name = "KEYS")]
    pub detach_keys: Option<String>,
}

#[derive(Args)]
pub struct StopArgs {
    /// Seconds before the container is killed, -1 to wait forever [default: the container's, or 10].
    #[arg(
        short = 't',
        long = "timeout",
        alias = "time",
        value_name = "SECONDS",
        allow_hyphen_values = true
    )]
    pub timeout: Option<i64>,
    /// Signal to send first [default: the container's, or TERM].
    #[arg(short, long, value_name = "SIGNAL")]
    pub signal: Option<String>,
    #[command(flatten)]
    pub names: NamesArgs,
}

#[derive(Args)]
pub struct KillArgs {
    /// Signal to send.
    #[arg(short, long, value_name = "SIGNAL", default_value = "KILL")]
    pub signal: String,
    #[command(flatten)]
    pub names: NamesArgs,
}

#[derive(Args)]
pub struct LogsArgs {
    /// Continue with new output until the container ends.
    #[arg(short, long)]
    pub follow: bool,
    /// Print N lines from the end, or all.
    #[arg(short = 'n', long, value_name = "N", default_value = "all", allow_hyphen_values = true)]
    pub tail: String,
    /// Print nothing before a time: RFC 3339, Unix seconds, or a duration such as 10m.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Print nothing after a time: RFC 3339, Unix seconds, or a duration such as 10m.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Print the time before each line.
    #[arg(short, long)]
    pub timestamps: bool,
    /// Name, or the first digits of the ID.
    #[arg(value_name = "CONTAINER")]
    pub container: String,
}

#[derive(Args)]
pub struct AttachArgs {
    /// Do not pass standard input to the container.
    #[arg(long)]
    pub no_stdin: bool,
    /// Pass signals to the container.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true", hide_default_value = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub sig_proxy: bool,
    #[command(flatten)]
    pub keys: KeysArgs,
    /// Name, or the first digits of the ID.
    #[arg(value_name = "CONTAINER")]
    pub container: String,
    #[command(flatten)]
    pub runtime: RuntimeArgs,
}

/// What belongs to containers in the background.
#[derive(Args)]
#[command(next_help_heading = "Background")]
pub struct BackgroundArgs {
    /// Run in the background and print the container's ID.
    #[arg(short, long)]
    pub detach: bool,
    /// When to start again: no, always, unless-stopped, on-failure, on-failure:N [default: no].
    #[arg(long, value_name = "POLICY")]
    pub restart: Option<String>,
    /// Where output is kept: local, json-file, none [default: local].
    #[arg(long, value_name = "DRIVER")]
    pub log_driver: Option<String>,
    /// Option of the log driver: max-size=SIZE, max-file=N (repeatable).
    #[arg(long, value_name = "NAME=VALUE")]
    pub log_opt: Vec<String>,
    #[command(flatten)]
    pub keys: KeysArgs,
}

#[derive(Args)]
pub struct ExecArgs {
    /// Run in the background.
    #[arg(short, long)]
    pub detach: bool,
    /// Pass standard input to the command.
    #[arg(short, long)]
    pub interactive: bool,
    /// Allocate a terminal.
    #[arg(short, long)]
    pub tty: bool,
    /// Set a variable; a name alone takes its value from here (repeatable).
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,
    /// Set variables from a file of NAME=VALUE lines (repeatable).
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
    /// User and group, by name or number [default: the container's].
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub user: Option<String>,
    /// Directory to start in [default: the container's].
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
    /// Give the command all capabilities.
    #[arg(long)]
    pub privileged: bool,
    #[command(flatten)]
    pub keys: KeysArgs,
    #[command(flatten)]
    pub runtime: RuntimeArgs,
    /// Name, or the first digits of the ID.
    #[arg(value_name = "CONTAINER", required = true)]
    pub container: String,
    /// Command and its arguments.
    #[arg(
        value_name = "COMMAND",
        trailing_var_arg = true,
        allow_hyphen_values = true,
        required = true
    )]
    pub command: Vec<String>,
}
