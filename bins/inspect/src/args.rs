//! The command line: what was said, in clap's types.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};
use creel::cli::Shell;
use creel::spec::Platform;

const EXAMPLES: &str = "\
Examples:
  creel-inspect docker.io/library/debian:12       one screen about an image, without a pull
  creel-inspect --raw oci:layout:1.0              the manifest, byte for byte
  creel-inspect --config --platform linux/arm64 host/app:1
  creel-inspect layers host/app:1                 layers and what made them
  creel-inspect tree --referrers host/app:1       index, images, layers, signatures
  creel-inspect images                            what is in the local store

A bare name is looked up in the local store first, then in the registry.";

/// Answers questions about container images, local or remote, without pulling them.
#[derive(Parser)]
#[command(name = "creel-inspect", version, after_help = EXAMPLES, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub verb: Verb,
}

/// Options that stand before or after any verb.
#[derive(Args)]
pub struct Global {
    /// Root of the local store [default: /var/lib/creel, or ~/.local/share/creel].
    #[arg(long, env = "CREEL_ROOT", global = true, value_name = "DIR", hide_env_values = true)]
    pub root: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long, global = true)]
    pub json: bool,
    /// Trust policy to obey instead of the usual files.
    #[arg(long, global = true, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Obey no trust policy.
    #[arg(long, global = true)]
    pub insecure_policy: bool,
    /// registries.conf to read instead of the usual files.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "CONTAINERS_REGISTRIES_CONF",
        hide_env = true
    )]
    pub registries_conf: Option<PathBuf>,
    /// Credentials file, instead of the usual ones.
    #[arg(
        long,
        global = true,
        env = "REGISTRY_AUTH_FILE",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub authfile: Option<PathBuf>,
    /// Credentials.
    #[arg(long, global = true, value_name = "USER[:PASSWORD]")]
    pub creds: Option<String>,
    /// Ask without credentials.
    #[arg(long, global = true)]
    pub no_creds: bool,
    /// Certificates: *.crt, *.cert with *.key.
    #[arg(long, global = true, value_name = "DIR")]
    pub cert_dir: Option<PathBuf>,
    /// Require HTTPS with valid certificates.
    #[arg(long, global = true, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set)]
    pub tls_verify: Option<bool>,
    /// How often a failed request is tried again.
    #[arg(long, global = true, default_value_t = 5, value_name = "N")]
    pub retry_times: u32,
}

#[derive(Subcommand)]
pub enum Verb {
    /// Describe an image (the default verb).
    Image(ImageArgs),
    /// List an image's layers and the history lines that made them.
    Layers(OneArgs),
    /// List an image's history.
    History(OneArgs),
    /// Show what hangs together: index, images, configs, layers, referrers.
    Tree(TreeArgs),
    /// List the images of the local store.
    Images,
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

/// One image.
#[derive(Args)]
pub struct OneArgs {
    /// The image, at any place.
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// The image for this platform [default: this machine's].
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub platform: Option<Platform>,
}

#[derive(Args)]
pub struct ImageArgs {
    #[command(flatten)]
    pub one: OneArgs,
    /// Print the manifest byte for byte; with --config, the config.
    #[arg(long)]
    pub raw: bool,
    /// Print the image's config.
    #[arg(long)]
    pub config: bool,
}

#[derive(Args)]
pub struct TreeArgs {
    /// The image, at any place.
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// Also what refers to it: signatures, SBOMs, attestations.
    #[arg(long)]
    pub referrers: bool,
}
