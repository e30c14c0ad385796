//! The command line: what was said, in clap's types.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use creel::build::{Pull, TreeExport};
use creel::cli::{DocsVerb, StoreArgs, Style};
use creel::layer::Rights;
use creel::spec::Platform;
use creel::transport::{Bare, Location, StoreName};

use crate::run_args::RunArgs;
use crate::working_args::{
    CommandArgs, CommitArgs, ConfigArgs, ContainersArgs, CopyArgs, FromArgs, InspectArgs,
    MountArgs, SeveralArgs,
};

const EXAMPLES: &str = "\
Examples:
  creel-build -t app .                       the Dockerfile here, into the local store
  creel-build -f app/Dockerfile -t app:1 .   another one
  creel-build check                          the Dockerfile here
  creel-build check -f app/Dockerfile app    another one
  creel-build check --format sarif > out     for code hosts
  creel-build --print-plan --target test .   what a build would do
  creel-build --call outline .               what a build can be told
  creel-build --call targets .               what can be built
  c=$(creel-build from debian:12)            without a Dockerfile, one step after another
  creel-build run $c -- apt-get update
  creel-build copy $c app /app
  creel-build config --cmd /app $c
  creel-build commit --rm $c app

Exit codes: 0 done (warnings included), 1 failed (also when the file says check=error=true and
            breaks a rule), 2 wrong usage, 3 not found, 4 denied, 5 unavailable after retries,
            6 verification failed; of a RUN that fails, its own";

/// Builds container images from Dockerfiles.
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
#[command(next_help_heading = "Options of all verbs")]
pub(crate) struct Global {
    /// Root of the local store [default: /var/lib/creel, or ~/.local/share/creel].
    #[arg(long, env = "CREEL_ROOT", global = true, value_name = "DIR", hide_env_values = true)]
    pub(crate) root: Option<PathBuf>,
    /// How to show progress.
    #[arg(long, global = true, value_enum, default_value = "auto", value_name = "STYLE")]
    pub(crate) progress: Style,
    /// Trust policy to obey instead of the usual files.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// registries.conf to read instead of the usual files.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "CONTAINERS_REGISTRIES_CONF",
        hide_env = true
    )]
    pub(crate) registries_conf: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
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
    Build(Box<BuildArgs>),
    /// Copy an image of the local store to a registry or another place.
    Push(Box<PushArgs>),
    /// Look for mistakes and bad style in a Dockerfile, without building.
    Check(Box<CheckArgs>),
    /// Show what the build cache keeps, the oldest first.
    Du,
    /// Remove what the build cache keeps: all of it, or the oldest down to a size.
    Prune {
        /// What may stay, as in 20g.
        #[arg(long, visible_alias = "keep-storage", value_name = "BYTES", value_parser = creel::runtime::flags::parse_size)]
        max_size: Option<u64>,
    },
    /// Begin a working container, to make an image without a Dockerfile.
    From(Box<FromArgs>),
    /// Run a command in a working container.
    Run(Box<CommandArgs>),
    /// Copy files into a working container.
    Copy(Box<CopyArgs>),
    /// Copy files into a working container and unpack archives.
    Add(Box<CopyArgs>),
    /// Change what the image of a working container shall say.
    Config(Box<ConfigArgs>),
    /// Make an image of a working container.
    Commit(Box<CommitArgs>),
    /// Mount working containers for other programs; without any, list those that are.
    Mount(MountArgs),
    /// Unmount working containers.
    #[command(visible_alias = "unmount")]
    Umount(SeveralArgs),
    /// Remove working containers.
    #[command(alias = "delete")]
    Rm(SeveralArgs),
    /// List working containers.
    #[command(aliases = ["list", "ls", "ps"])]
    Containers(ContainersArgs),
    /// Show what is known of a working container, as JSON.
    Inspect(InspectArgs),
    #[command(flatten)]
    Docs(DocsVerb),
}

/// What every verb that reads a Dockerfile is told.
#[derive(Args)]
pub(crate) struct FrontArgs {
    /// What to build from: a directory, a tar file, the address of a tar file or of a git
    /// repository (URL#REFERENCE:DIRECTORY), or - for a tar or a Dockerfile on standard input.
    #[arg(value_name = "CONTEXT", default_value = ".")]
    pub(crate) context: PathBuf,
    /// The Dockerfile, or its URL [default: CONTEXT/Dockerfile]; - reads standard input.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// What is left out of the context, instead of what its .dockerignore says.
    #[arg(long, value_name = "FILE")]
    pub(crate) ignorefile: Option<PathBuf>,
    /// Set an argument; without a value, take the one of the environment (repeatable).
    #[arg(long = "build-arg", value_name = "NAME[=VALUE]")]
    pub(crate) build_args: Vec<String>,
    /// Read arguments from a file, a NAME=VALUE on each line (repeatable).
    #[arg(long = "build-arg-file", value_name = "FILE")]
    pub(crate) build_arg_files: Vec<PathBuf>,
    /// Another context that the file may name: whatever can be built from, docker-image://NAME or
    /// oci-layout://DIR:NAME (repeatable).
    #[arg(long = "build-context", value_name = "NAME=PLACE", value_parser = named_context)]
    pub(crate) build_contexts: Vec<(String, String)>,
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
    #[command(flatten)]
    pub(crate) result: ResultArgs,
    #[command(flatten)]
    pub(crate) bases: BaseArgs,
    #[command(flatten)]
    pub(crate) fetch: FetchArgs,
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// Make every step anew.
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Make the steps of a stage anew (repeatable).
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    pub(crate) no_cache_filter: Vec<String>,
    /// Stages that are made at the same time [default: one for each processor, at least 2].
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: Option<u16>,
    #[command(flatten)]
    pub(crate) others: OtherArgs,
    /// Say of every step that is made what differs from the last time.
    #[arg(long)]
    pub(crate) explain: bool,
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

/// Flags of others, so that their scripts run as they are: they ask for what is done anyway, or for
/// what there is not.
#[derive(Args)]
pub(crate) struct OtherArgs {
    /// Where caches of other machines are: not looked for, which is said.
    #[arg(long, hide = true, value_name = "PLACE")]
    pub(crate) cache_from: Vec<String>,
    /// Where the cache goes: nowhere, which is said.
    #[arg(long, hide = true, value_name = "PLACE")]
    pub(crate) cache_to: Vec<String>,
    /// Steps are always kept.
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    layers: Option<bool>,
    /// Nothing is left over.
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    rm: Option<bool>,
    /// Nothing is left over.
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    force_rm: Option<bool>,
    /// Only what the target needs is made.
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    skip_unused_stages: Option<bool>,
    /// No attestation is made.
    #[arg(long, hide = true, value_parser = none)]
    provenance: Option<()>,
    /// No attestation is made.
    #[arg(long, hide = true, value_parser = none)]
    sbom: Option<()>,
}

fn none(text: &str) -> Result<(), String> {
    match text {
        "false" | "none" => Ok(()),
        _ => Err("attestations are not made: creel-inspect sbom tells what is in an image".into()),
    }
}

/// Flags of buildah that ask for what there is not: refused, with what there is instead.
#[derive(Args)]
pub(crate) struct RefusedArgs {
    /// A list of images.
    #[arg(long, hide = true, value_name = "LIST", value_parser = no_list)]
    manifest: Option<()>,
    /// A signature by GnuPG.
    #[arg(long, hide = true, value_name = "KEY", value_parser = no_signature)]
    sign_by: Option<()>,
}

fn no_list(_: &str) -> Result<(), String> {
    Err("lists of images are not made: push each platform's image under a name of its own".into())
}

fn no_signature(_: &str) -> Result<(), String> {
    Err("images are not signed here: sign what was pushed, by its digest (--digestfile)".into())
}

/// What comes out of a build.
#[derive(Args)]
pub(crate) struct ResultArgs {
    /// Name of the result in the local store (repeatable).
    #[arg(short, long = "tag", value_name = "NAME[:TAG]", value_parser = StoreName::parse)]
    pub(crate) tags: Vec<StoreName>,
    /// Copy the result to the registries that its names say.
    #[arg(long)]
    pub(crate) push: bool,
    /// Load the result into the Docker engine.
    #[arg(long)]
    pub(crate) load: bool,
    /// Where the result goes besides: type=oci|docker|tar|local|registry|store with dest=PATH, a
    /// place (oci:DIR, docker-archive:FILE, docker://NAME), a directory for its files, or - for
    /// them as tar (repeatable).
    #[arg(short, long = "output", value_name = "OUTPUT", value_parser = output)]
    pub(crate) outputs: Vec<Output>,
    /// How layers are compressed on their way elsewhere [default: gzip].
    #[arg(long, value_enum, value_name = "ALGORITHM")]
    pub(crate) compression: Option<Packing>,
    /// Vocabulary of manifest and config.
    #[arg(long, value_enum, default_value = "oci", value_name = "FORMAT")]
    pub(crate) format: ImageFormat,
    /// Put layers together: those above the base (new), or all [default without a value: all].
    #[arg(
        long,
        value_enum,
        value_name = "WHICH",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "all"
    )]
    pub(crate) squash: Option<SquashWhich>,
    /// Set a label; wins over the file's (repeatable).
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) labels: Vec<(String, String)>,
    /// Whether labels of the base stay.
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value = "true",
        default_missing_value = "true",
        action = clap::ArgAction::Set
    )]
    pub(crate) inherit_labels: bool,
    /// Leave history out.
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        hide_default_value = true,
        action = clap::ArgAction::Set
    )]
    pub(crate) omit_history: bool,
    /// Annotate the manifest (repeatable).
    #[arg(long = "annotation", value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) annotations: Vec<(String, String)>,
    #[command(flatten)]
    refused: RefusedArgs,
    /// Write the config's digest (Docker's image ID) into a file.
    #[arg(long, value_name = "FILE")]
    pub(crate) iidfile: Option<PathBuf>,
    /// Write what came out into a file, as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) metadata_file: Option<PathBuf>,
    /// Write the manifest's digest into a file.
    #[arg(long, value_name = "FILE")]
    pub(crate) digestfile: Option<PathBuf>,
    /// Give the image this time, and what is later in its new layers too (seconds since 1970)
    /// [default: SOURCE_DATE_EPOCH].
    #[arg(
        long,
        visible_alias = "timestamp",
        value_name = "SECONDS",
        allow_negative_numbers = true
    )]
    pub(crate) source_date_epoch: Option<i64>,
    /// The same files give the same digests, whenever and wherever: --source-date-epoch of the
    /// context's commit, or 0, unless there is another.
    #[arg(long)]
    pub(crate) reproducible: bool,
    /// Accepted, without effect: with a time for all, files have it too.
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "true")]
    pub(crate) rewrite_timestamp: Option<bool>,
}

/// Which layers become one.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SquashWhich {
    /// Those above the base.
    New,
    /// All of them.
    #[value(alias = "true")]
    All,
    /// None.
    #[value(hide = true)]
    False,
}

/// Where a result goes.
#[derive(Clone)]
pub(crate) enum Output {
    /// Nowhere but into the store.
    Store,
    /// To the registries that its names say, or to this one.
    Registry(Option<String>),
    /// To a place.
    Place(Location),
    /// To the Docker engine.
    Engine,
    /// Its files.
    Files(TreeExport),
}

/// A compression.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Packing {
    /// As tar.
    #[value(alias = "uncompressed")]
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

fn output(text: &str) -> Result<Output, String> {
    if text == "-" {
        return Ok(Output::Files(TreeExport::Stdout));
    }
    if !text.contains('=') {
        let place = text.contains(':').then(|| Location::parse(text, Bare::RegistryIfNamed));
        return match place {
            Some(Ok(place)) => Ok(Output::Place(place)),
            Some(Err(error)) => Err(error.chain()),
            None => Ok(Output::Files(TreeExport::Directory(text.into(), Rights::Drop))),
        };
    }
    let (mut kind, mut dest, mut name, mut tar, mut push) = ("", None, None, true, false);
    let mut rights = Rights::Drop;
    for part in text.split(',') {
        let (key, value) = part.split_once('=').unwrap_or((part, "true"));
        match key {
            "type" => kind = value,
            "dest" => dest = Some(value),
            "name" | "ref" => name = Some(value.to_owned()),
            "tar" => tar = value != "false",
            "push" => push = value != "false",
            "keep-special" if value != "false" => rights = Rights::Keep,
            "keep-special" => {}
            _ => {
                let known = "type, dest, name, tar, push, keep-special";
                return Err(format!("unknown attribute {key:?} (expected one of {known})"));
            }
        }
    }
    let place = |kind: &str, dest: Option<&str>| {
        let dest = dest.ok_or_else(|| format!("type={kind} needs a dest="))?;
        let text = match &name {
            Some(name) => format!("{kind}:{dest}:{name}"),
            None => format!("{kind}:{dest}"),
        };
        Location::parse(&text, Bare::Store).map(Output::Place).map_err(|error| error.chain())
    };
    match (kind, dest) {
        ("image" | "registry", _) if push || kind == "registry" => Ok(Output::Registry(name)),
        ("store" | "image", _) => Ok(Output::Store),
        ("oci", dest) if tar => place("oci-archive", dest),
        ("oci", dest) => place("oci", dest),
        ("docker", None) => Ok(Output::Engine),
        ("docker", dest) => place("docker-archive", dest),
        ("tar", None | Some("-")) => Ok(Output::Files(TreeExport::Stdout)),
        ("tar", Some(dest)) => Ok(Output::Files(TreeExport::Tar(dest.into()))),
        ("local", Some(dest)) => Ok(Output::Files(TreeExport::Directory(dest.into(), rights))),
        ("local", None) => Err("type=local needs a dest=".to_owned()),
        (other, _) => {
            Err(format!("type={other} is none of store, oci, docker, tar, local and registry"))
        }
    }
}

/// Where base images come from.
#[derive(Args)]
pub(crate) struct BaseArgs {
    /// When to fetch base images: missing, always, newer (as always, but the store's image is
    /// enough if the registry cannot be reached) or never.
    #[arg(
        long,
        value_enum,
        value_name = "WHEN",
        num_args = 0..=1,
        require_equals = true,
        default_value = "missing",
        default_missing_value = "always"
    )]
    pub(crate) pull: PullWhen,
    #[command(flatten)]
    pub(crate) access: AccessArgs,
}

/// How what is elsewhere is bounded.
#[derive(Args)]
pub(crate) struct FetchArgs {
    /// Most bytes of one file that is fetched, or of one git repository on disk [default: 32g].
    #[arg(long, value_name = "BYTES", value_parser = creel::runtime::flags::parse_size)]
    pub(crate) max_fetch: Option<u64>,
}

/// How registries are reached.
#[derive(Args, Default)]
pub(crate) struct AccessArgs {
    /// Whether certificates of registries must be valid.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(crate) tls_verify: Option<bool>,
    /// File with credentials.
    #[arg(long, value_name = "FILE", env = "REGISTRY_AUTH_FILE", hide_env = true)]
    pub(crate) authfile: Option<PathBuf>,
    /// Credentials for registries.
    #[arg(long, value_name = "USER[:PASSWORD]")]
    pub(crate) creds: Option<String>,
    /// Directory with certificates for registries, instead of the usual ones.
    #[arg(long, value_name = "DIR")]
    pub(crate) cert_dir: Option<PathBuf>,
    /// How often what failed for a passing reason is tried again [default: 3].
    #[arg(long, value_name = "TIMES")]
    pub(crate) retry: Option<u32>,
}

/// What is pushed, and where to.
#[derive(Args)]
pub(crate) struct PushArgs {
    /// Name in the local store.
    #[arg(value_name = "NAME", value_parser = StoreName::parse)]
    pub(crate) name: StoreName,
    /// Where to [default: the registry that the name says].
    #[arg(value_name = "DST")]
    pub(crate) destination: Option<String>,
    /// How layers are compressed [default: gzip].
    #[arg(long, value_enum, value_name = "ALGORITHM")]
    pub(crate) compression: Option<Packing>,
    /// Write the manifest's digest into a file.
    #[arg(long, value_name = "FILE")]
    pub(crate) digestfile: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) access: AccessArgs,
}

/// A vocabulary.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImageFormat {
    /// OCI.
    Oci,
    /// Docker, schema 2.
    Docker,
}

impl PullWhen {
    /// In the library's words.
    pub(crate) fn policy(self) -> Pull {
        match self {
            PullWhen::Missing => Pull::Missing,
            PullWhen::Always => Pull::Always,
            PullWhen::Newer => Pull::Newer,
            PullWhen::Never => Pull::Never,
        }
    }
}

/// When bases are fetched.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PullWhen {
    /// If the store does not have them.
    #[value(aliases = ["false", "ifmissing"])]
    Missing,
    /// In any case.
    #[value(alias = "true")]
    Always,
    /// In any case, unless the registry cannot be reached.
    #[value(alias = "ifnewer")]
    Newer,
    /// In no case.
    Never,
}

pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        None if !text.is_empty() => Ok((text.to_owned(), String::new())),
        _ => Err(format!("{text:?} is not NAME=VALUE")),
    }
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

fn named_context(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, place)) if !name.is_empty() && !place.is_empty() => {
            Ok((name.to_owned(), place.to_owned()))
        }
        _ => Err(format!("{text:?} is not NAME=PLACE")),
    }
}
