//! The command line: what was said, in clap's types.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use creel::cli::DocsVerb;
use creel::spec::{Algorithm, Platform};

use crate::skopeo::SkopeoArgs;

const EXAMPLES: &str = "\
Examples:
  creel-inspect docker.io/library/debian:12       one screen about an image, without a pull
  creel-inspect --raw oci:layout:1.0              the manifest, byte for byte
  creel-inspect --config --platform linux/arm64 host/app:1
  creel-inspect layers host/app:1                 layers and what made them
  creel-inspect files -R host/app:1 /etc          files, and the layer that each comes from
  creel-inspect cat host/app:1 /etc/os-release    one file
  creel-inspect waste host/app:1                  what makes it big without need
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
#[command(next_help_heading = "Options of all verbs")]
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
    /// Most memory that lists of files may take.
    #[arg(long, global = true, default_value_t = 64, value_name = "MIB")]
    pub list_memory: usize,
    #[command(flatten)]
    pub skopeo: SkopeoArgs,
}

#[derive(Subcommand)]
pub enum Verb {
    /// Describe an image (the default verb).
    Image(ImageArgs),
    /// Describe an image as `skopeo inspect` does: JSON with its fields.
    Inspect(ImageArgs),
    /// List an image's layers and the history lines that made them.
    Layers(OneArgs),
    /// List an image's history.
    History(OneArgs),
    /// List an image's files: merged as a container sees them, or of one layer.
    #[command(visible_alias = "ls")]
    Files(FilesArgs),
    /// Print a file of an image.
    Cat(CatArgs),
    /// Put a file or a directory of an image into a directory.
    Extract(ExtractArgs),
    /// Find lines in the files of an image.
    Grep(GrepArgs),
    /// Tell what an image carries without showing it, by layer and by file.
    Waste(WasteArgs),
    /// Compare two images: config, history, layers, packages, files.
    Diff(DiffArgs),
    /// List the packages that are installed in an image.
    Packages(OneArgs),
    /// Write a bill of materials: SPDX 2.3 or CycloneDX 1.6.
    Sbom(SbomArgs),
    /// Check every digest, size, diff ID and archive of an image.
    Validate(ValidateArgs),
    /// Tell what an image was built on, and whether that is still current.
    Base(BaseArgs),
    /// Look around in an image: layers, files and waste in the terminal.
    Explore(OneArgs),
    /// Write one HTML page about an image: layers, files, waste, packages, history.
    Report(ReportArgs),
    /// Show what hangs together: index, images, configs, layers, referrers.
    Tree(TreeArgs),
    /// List the images of the local store.
    Images(ImagesArgs),
    /// Show the files of an image of the local store at a directory, read-only.
    Mount(MountArgs),
    /// End what `mount` began.
    #[command(visible_alias = "unmount")]
    Umount {
        /// The directory.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Tell what the local store takes up.
    Df,
    /// Read everything in the local store and tell what is damaged (exit 6).
    Check(CheckArgs),
    #[command(flatten)]
    Docs(DocsVerb),
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
    /// Also the sizes of other platforms' images, what refers to the image, and whether its base is
    /// current.
    #[arg(long, visible_alias = "all", conflicts_with_all = ["raw", "config", "format"])]
    pub full: bool,
    /// Fill in a template: fields of `skopeo inspect` and `docker image inspect`, such as
    /// {{.Digest}} or {{join .Config.Env ","}}.
    #[arg(short, long, value_name = "TEMPLATE", conflicts_with = "raw")]
    pub format: Option<String>,
    /// Do not list the repository's tags, which only `inspect` does.
    #[arg(short, long)]
    pub no_tags: bool,
    /// Algorithm of the digest that templates and `inspect` print.
    #[arg(long, value_name = "sha256|sha512", value_parser = algorithm)]
    pub manifest_digest: Option<Algorithm>,
}

fn algorithm(text: &str) -> Result<Algorithm, String> {
    [Algorithm::Sha256, Algorithm::Sha512]
        .into_iter()
        .find(|algorithm| algorithm.as_str() == text)
        .ok_or_else(|| "expected sha256 or sha512".to_owned())
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

#[derive(Args)]
pub struct FilesArgs {
    #[command(flatten)]
    pub one: OneArgs,
    /// Where in the image.
    #[arg(value_name = "PATH", default_value = "/")]
    pub path: OsString,
    /// Also what is in directories, at any depth.
    #[arg(short = 'R', long)]
    pub recursive: bool,
    /// All entries of one layer, deletions included: its number (1 is the lowest) or the begin of
    /// its digest.
    #[arg(long, value_name = "LAYER")]
    pub layer: Option<String>,
    /// Also digests of contents in --json, and extended attributes in the list.
    #[arg(long)]
    pub full: bool,
}

#[derive(Args)]
pub struct CatArgs {
    #[command(flatten)]
    pub one: OneArgs,
    /// The files.
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<OsString>,
}

#[derive(Args)]
pub struct ExtractArgs {
    #[command(flatten)]
    pub one: OneArgs,
    /// What to extract; of / the content.
    #[arg(value_name = "PATH")]
    pub path: OsString,
    /// The directory to put it into; nothing outside of it is touched.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// Keep set-user-ID and set-group-ID bits and file capabilities, and make device nodes.
    #[arg(long)]
    pub keep_special: bool,
}

#[derive(Args)]
pub struct GrepArgs {
    /// A regular expression.
    #[arg(value_name = "PATTERN")]
    pub pattern: String,
    #[command(flatten)]
    pub one: OneArgs,
    /// Where in the image; everywhere, if not said.
    #[arg(value_name = "PATH")]
    pub paths: Vec<OsString>,
    /// Upper and lower case are the same.
    #[arg(short, long)]
    pub ignore_case: bool,
    /// The pattern is plain text.
    #[arg(short = 'F', long)]
    pub fixed_strings: bool,
    /// Only the names of files with a match.
    #[arg(short = 'l', long)]
    pub files_with_matches: bool,
}

#[derive(Args)]
pub struct ImagesArgs {
    /// Only names with this text in them.
    #[arg(value_name = "TEXT")]
    pub filter: Option<String>,
    /// Only image IDs.
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Args)]
pub struct MountArgs {
    #[command(flatten)]
    pub one: OneArgs,
    /// The directory.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// Let set-user-ID programs, file capabilities and device nodes of the image take effect.
    #[arg(long)]
    pub keep_special: bool,
}

#[derive(Args)]
pub struct CheckArgs {
    /// Remove what is damaged and fetch it again from where its name points to.
    #[arg(long)]
    pub repair: bool,
    /// Fetch from this place instead.
    #[arg(long, value_name = "PLACE", requires = "repair")]
    pub from: Option<String>,
}

#[derive(Args)]
pub struct WasteArgs {
    #[command(flatten)]
    pub one: OneArgs,
    /// All files, not only the largest.
    #[arg(short, long)]
    pub all: bool,
    /// Judge by dive's rules, from .dive-ci if it is here; exit with 1 if one is broken.
    #[arg(long)]
    pub ci: bool,
    /// Read the rules from this file.
    #[arg(long, value_name = "FILE", requires = "ci")]
    pub ci_config: Option<PathBuf>,
    /// Rule: the efficiency may not be lower than this, from 0 to 1, or `disabled`.
    #[arg(long, alias = "lowestEfficiency", value_name = "RATIO", requires = "ci")]
    pub lowest_efficiency: Option<String>,
    /// Rule: no more bytes may be wasted than this, such as 20MB, or `disabled`.
    #[arg(long, alias = "highestWastedBytes", value_name = "SIZE", requires = "ci")]
    pub highest_wasted_bytes: Option<String>,
    /// Rule: no more may be wasted for each byte above the lowest layer, from 0 to 1, or
    /// `disabled`.
    #[arg(long, alias = "highestUserWastedPercent", value_name = "RATIO", requires = "ci")]
    pub highest_user_wasted_percent: Option<String>,
}

#[derive(Args)]
pub struct DiffArgs {
    /// The older image.
    #[arg(value_name = "OLD")]
    pub old: String,
    /// The newer image.
    #[arg(value_name = "NEW")]
    pub new: String,
    /// The images for this platform [default: this machine's].
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub platform: Option<Platform>,
    /// Times, the history and how files are spread over layers make no difference.
    #[arg(long)]
    pub semantic: bool,
    /// The difference of the content of this text file, as `diff -u` shows it.
    #[arg(long, value_name = "PATH")]
    pub content: Option<OsString>,
    /// All files and packages, not only the first hundred.
    #[arg(short, long)]
    pub all: bool,
}

#[derive(Args)]
pub struct SbomArgs {
    #[command(flatten)]
    pub one: OneArgs,
    /// Which document.
    #[arg(long, value_enum, default_value_t = SbomForm::Spdx)]
    pub format: SbomForm,
}

/// A form of bills of materials.
#[derive(Clone, Copy, ValueEnum)]
pub enum SbomForm {
    /// SPDX 2.3 as JSON.
    #[value(alias = "spdx-json")]
    Spdx,
    /// CycloneDX 1.6 as JSON.
    #[value(alias = "cyclonedx-json")]
    Cyclonedx,
}

#[derive(Args)]
pub struct ValidateArgs {
    /// The image, at any place.
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// Only the image for this platform, not all of an index.
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub platform: Option<Platform>,
    /// Manifests and configs only, no layers.
    #[arg(long)]
    pub fast: bool,
}

#[derive(Args)]
pub struct BaseArgs {
    #[command(flatten)]
    pub one: OneArgs,
    /// Look whether the base is still what its name stands for; exit with 1 if not.
    #[arg(long)]
    pub check: bool,
    /// The base, where the image does not tell.
    #[arg(long, value_name = "IMAGE")]
    pub base: Option<String>,
}

#[derive(Args)]
pub struct ReportArgs {
    #[command(flatten)]
    pub one: OneArgs,
    /// Where to write the page; - is the standard output.
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
}
