//! The command line: what was said, in clap's types.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use creel::cli::{DocsVerb, StoreArgs, Style};
use creel::copy::{CopyOptions, LayerCompression, Selection, Shape};
use creel::spec::{Compression, Dialect, Platform};

use crate::peer_args::{GlobalPeerArgs, PeerArgs};

const EXAMPLES: &str = "\
Examples:
  creel-copy docker.io/library/debian:12 registry.example.com/debian:12
  creel-copy debian:12                                  into the local store
  creel-copy docker://debian:12 oci:layout:12           into an OCI layout
  creel-copy --platform linux/arm64 debian docker-archive:debian.tar
  creel-copy oci-archive:app.tar:1.0 docker://host/app:1.0 --additional-tag latest
  creel-copy sync --include '^1\\.' host/app mirror.example.com/app
  creel-copy tags --long host/app

Places: docker://HOST/REPO[:TAG][@DIGEST]  oci:DIR[:NAME]  oci-archive:FILE[:NAME]
        docker-archive:FILE[:NAME]  dir:DIR  docker-daemon:NAME
        containers-storage:NAME  store:NAME

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 unauthorized or denied,
            5 unavailable after retries, 6 verification failed";

/// Copies container images between registries, layouts, archives and the local store.
#[derive(Parser)]
#[command(name = "creel-copy", version, after_help = EXAMPLES, disable_help_subcommand = true)]
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
    /// How to show progress.
    #[arg(long, global = true, value_enum, default_value = "auto", value_name = "STYLE")]
    pub progress: Style,
    /// Print nothing but the result and errors.
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Print the result as JSON.
    #[arg(long, global = true)]
    pub json: bool,
    /// Tell where the time of a copy went.
    #[arg(long, global = true)]
    pub timings: bool,
    /// Tell of every request to a registry, and how it was answered.
    #[arg(long, global = true)]
    pub debug: bool,
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
    /// Directory for large temporary files [default: below the store].
    #[arg(long, global = true, value_name = "DIR")]
    pub tmpdir: Option<PathBuf>,
    #[command(flatten)]
    pub store: StoreArgs,
    /// Give up after this time (30s, 10m, 2h).
    #[arg(long, global = true, value_name = "TIME", value_parser = duration)]
    pub command_timeout: Option<std::time::Duration>,
    /// Choose images for this operating system.
    #[arg(long, global = true, value_name = "OS")]
    pub override_os: Option<String>,
    /// Choose images for this processor.
    #[arg(long, global = true, value_name = "ARCH")]
    pub override_arch: Option<String>,
    /// Choose images for this variant of the processor.
    #[arg(long, global = true, value_name = "VARIANT")]
    pub override_variant: Option<String>,
    #[command(flatten)]
    pub peer: GlobalPeerArgs,
}

#[derive(Subcommand)]
pub enum Verb {
    /// Copy one image or index (the default verb).
    #[command(alias = "cp")]
    Copy(CopyArgs),
    /// Copy many images: whole repositories, a YAML file, or a list.
    Sync(SyncArgs),
    /// List a repository's tags.
    #[command(visible_alias = "list-tags", alias = "ls")]
    Tags(TagsArgs),
    /// Delete an image or a tag at the place named.
    Delete(DeleteArgs),
    /// Give an image another tag in its repository, layout or the store.
    Tag(TagArgs),
    /// Print the digest of a manifest file, or of an image.
    #[command(visible_alias = "manifest-digest")]
    Digest(DigestArgs),
    /// Log in to a registry.
    Login(LoginArgs),
    /// Forget the credentials of a registry.
    Logout(LogoutArgs),
    /// Remove unreferenced content of an OCI layout.
    Gc(GcArgs),
    /// Remove names from the local store, and what nothing else needs of their images.
    Rm(RmArgs),
    /// Free space in the local store.
    Prune(PruneArgs),
    #[command(flatten)]
    Docs(DocsVerb),
}

#[derive(Args)]
pub struct CopyArgs {
    /// Where from (a bare name is in a registry).
    #[arg(value_name = "SRC")]
    pub source: String,
    /// Where to [default: the local store, under the source's name].
    #[arg(value_name = "DST")]
    pub destination: Option<String>,
    #[command(flatten)]
    pub select: SelectArgs,
    #[command(flatten)]
    pub change: ChangeArgs,
    #[command(flatten)]
    pub peer: PeerArgs,
    /// Further tags for the result (repeatable).
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    pub additional_tag: Vec<String>,
    /// Write the digest of the result into this file.
    #[arg(long, value_name = "FILE")]
    pub digestfile: Option<PathBuf>,
    /// Say what would be done and do nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Leave a destination that exists alone.
    #[arg(short = 'n', long)]
    pub no_clobber: bool,
    #[command(flatten)]
    pub keep: KeepArgs,
    #[command(flatten)]
    pub work: WorkArgs,
    #[command(flatten)]
    pub source_side: SourceArgs,
    #[command(flatten)]
    pub destination_side: DestinationArgs,
    #[command(flatten)]
    pub both: BothArgs,
}

/// Which images of an index.
#[derive(Args)]
pub struct SelectArgs {
    /// All platforms, everywhere.
    #[arg(short, long, conflicts_with = "platform")]
    pub all: bool,
    /// Only these platforms, under a new index that lists no others (repeatable).
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_delimiter = ',')]
    pub platform: Vec<Platform>,
    /// With --platform: keep the index's bytes although images are left out. Alone: copy an index
    /// whose images are not all there. Some registries refuse that.
    #[arg(long)]
    pub sparse: bool,
    /// With one --platform: that image alone, without an index.
    #[arg(long, requires = "platform", conflicts_with = "sparse")]
    pub platform_manifest: bool,
    /// In skopeo's words: system, all, or index-only.
    #[arg(long, value_name = "WHICH", conflicts_with_all = ["all", "platform"])]
    pub multi_arch: Option<MultiArch>,
    /// Signatures, SBOMs and attestations that refer to the image come along.
    #[arg(long)]
    pub with_referrers: bool,
}

impl SelectArgs {
    /// Whether images of other machines may be among those that are asked for.
    pub fn is_for_others(&self) -> bool {
        let others = self.platform.iter().any(|platform| *platform != Platform::host());
        self.all || others || matches!(self.multi_arch, Some(MultiArch::All))
    }
}

/// skopeo's names for what to take of an index.
#[derive(Clone, Copy, ValueEnum)]
pub enum MultiArch {
    /// The image of this machine's platform.
    System,
    /// All images.
    All,
    /// The index alone.
    IndexOnly,
}

/// What may change on the way.
#[derive(Args)]
pub struct ChangeArgs {
    /// Convert manifests to this format.
    #[arg(short, long, value_name = "FORMAT")]
    pub format: Option<Format>,
    /// Compress layers at the destination: gzip, zstd or none, with a level as in zstd:19.
    #[arg(long, alias = "dest-compress-format", value_name = "ALGORITHM[:LEVEL]", value_parser = compression)]
    pub compression: Option<(Compression, Option<i32>)>,
    /// With --compression: also layers that are compressed in another way already.
    #[arg(long, alias = "dest-force-compress-format")]
    pub recompress: bool,
    /// The compression's level, in skopeo's spelling.
    #[arg(long, hide = true)]
    pub dest_compress_level: Option<i32>,
    /// Fail rather than change a manifest.
    #[arg(long)]
    pub preserve_digests: bool,
    /// Leave signatures behind (they are, unless --with-referrers asks for them).
    #[arg(long, hide = true)]
    pub remove_signatures: bool,
}

/// A manifest format.
#[derive(Clone, Copy, ValueEnum)]
pub enum Format {
    /// OCI image manifests and indexes.
    Oci,
    /// Docker's schema 2 and manifest lists.
    #[value(alias = "v2s2")]
    Docker,
    /// Docker's schema 1, which is read but not written.
    #[value(hide = true)]
    V2s1,
}

/// How the work is done.
#[derive(Args, Default)]
pub struct WorkArgs {
    /// Blobs on their way at the same time.
    #[arg(short, long, alias = "image-parallel-copies", default_value_t = 6, value_name = "N")]
    pub jobs: usize,
    /// How often a failed request is tried again.
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub retry_times: u32,
    /// Time between tries [default: grows, and obeys Retry-After].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub retry_delay: Option<std::time::Duration>,
    /// How long a registry may say nothing.
    #[arg(long, hide = true, value_name = "TIME", value_parser = duration)]
    pub stall_timeout: Option<std::time::Duration>,
    /// Blobs larger than this are uploaded in pieces of this size.
    #[arg(long, hide = true, value_name = "SIZE", value_parser = size)]
    pub upload_piece: Option<u64>,
}

/// What is kept of layers that go into the local store.
#[derive(Args, Default)]
pub struct KeepArgs {
    /// Keep layers that go into the local store packed until they are needed.
    #[arg(long)]
    pub no_unpack: bool,
    /// Keep layers that go into the local store as trees alone, without the bytes that came.
    #[arg(long, conflicts_with = "no_unpack")]
    pub no_keep_blobs: bool,
}

/// Options of both sides.
#[derive(Args, Default)]
pub struct BothArgs {
    /// Credentials file, instead of the usual ones.
    #[arg(long, env = "REGISTRY_AUTH_FILE", hide_env_values = true, value_name = "FILE")]
    pub authfile: Option<PathBuf>,
    /// Require HTTPS with valid certificates on both sides.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set)]
    pub tls_verify: Option<bool>,
    /// Host outside a registry's domain that may receive its credentials as its token server
    /// (repeatable).
    #[arg(long, value_name = "HOST[:PORT]")]
    pub token_server: Vec<String>,
}

/// What one side of a copy may be told; see [`SourceArgs`] and [`DestinationArgs`].
pub trait Side {
    fn side(&self) -> SideArgs;
}

/// One side's options under neutral names.
#[derive(Clone, Default)]
pub struct SideArgs {
    pub authfile: Option<PathBuf>,
    pub creds: Option<String>,
    pub username: Option<String>,
    pub password: Option<String>,
    pub registry_token: Option<String>,
    pub no_creds: bool,
    pub cert_dir: Option<PathBuf>,
    pub tls_verify: Option<bool>,
    pub token_server: Vec<String>,
    pub daemon_host: Option<String>,
    pub shared_blob_dir: Option<PathBuf>,
}

/// Declares the same options with a prefix, as skopeo spells them.
macro_rules! side_args {
    ($name:ident, $prefix:literal, $whose:literal, $alias:literal) => {
        #[doc = concat!("Options of the ", $whose, ".")]
        #[derive(Args)]
        #[command(next_help_heading = concat!("Options of the ", $whose))]
        pub struct $name {
            #[arg(id = concat!($prefix, "authfile"), long = concat!($prefix, "authfile"), value_name = "FILE", help = "Credentials file")]
            authfile: Option<PathBuf>,
            #[arg(id = concat!($prefix, "creds"), long = concat!($prefix, "creds"), alias = $alias, value_name = "USER[:PASSWORD]", help = "Credentials")]
            creds: Option<String>,
            #[arg(id = concat!($prefix, "username"), long = concat!($prefix, "username"), value_name = "USER", help = "User name", requires = concat!($prefix, "password"))]
            username: Option<String>,
            #[arg(id = concat!($prefix, "password"), long = concat!($prefix, "password"), value_name = "PASSWORD", help = "Password", requires = concat!($prefix, "username"))]
            password: Option<String>,
            #[arg(id = concat!($prefix, "registry-token"), long = concat!($prefix, "registry-token"), value_name = "TOKEN", help = "Bearer token to send as it is")]
            registry_token: Option<String>,
            #[arg(id = concat!($prefix, "no-creds"), long = concat!($prefix, "no-creds"), help = "Ask without credentials")]
            no_creds: bool,
            #[arg(id = concat!($prefix, "cert-dir"), long = concat!($prefix, "cert-dir"), value_name = "DIR", help = "Certificates: *.crt, *.cert with *.key")]
            cert_dir: Option<PathBuf>,
            #[arg(id = concat!($prefix, "tls-verify"), long = concat!($prefix, "tls-verify"), value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set, help = "Require HTTPS with valid certificates")]
            tls_verify: Option<bool>,
            #[arg(id = concat!($prefix, "token-server-host"), long = concat!($prefix, "token-server"), value_name = "HOST[:PORT]", help = "Host outside the registry's domain that may receive its credentials")]
            token_server: Vec<String>,
            #[arg(id = concat!($prefix, "daemon-host"), long = concat!($prefix, "daemon-host"), value_name = "URL", help = "Docker engine for docker-daemon:")]
            daemon_host: Option<String>,
            #[arg(id = concat!($prefix, "shared-blob-dir"), long = concat!($prefix, "shared-blob-dir"), value_name = "DIR", help = "Directory of blobs that oci: layouts share")]
            shared_blob_dir: Option<PathBuf>,
        }

        impl Side for $name {
            fn side(&self) -> SideArgs {
                SideArgs {
                    authfile: self.authfile.clone(),
                    creds: self.creds.clone(),
                    username: self.username.clone(),
                    password: self.password.clone(),
                    registry_token: self.registry_token.clone(),
                    no_creds: self.no_creds,
                    cert_dir: self.cert_dir.clone(),
                    tls_verify: self.tls_verify,
                    token_server: self.token_server.clone(),
                    daemon_host: self.daemon_host.clone(),
                    shared_blob_dir: self.shared_blob_dir.clone(),
                }
            }
        }
    };
}

side_args!(SourceArgs, "src-", "source", "screds");
side_args!(DestinationArgs, "dest-", "destination", "dcreds");
side_args!(OnlyArgs, "", "registry", "credentials");

#[derive(Args)]
pub struct SyncArgs {
    /// A repository (all its tags), a YAML file (--src yaml), a list of images (--src list), or
    /// a dir: tree (--src dir).
    #[arg(value_name = "SRC")]
    pub source: String,
    /// Registry path, oci:DIR or dir:DIR (as --dest says, or by its prefix).
    #[arg(value_name = "DST")]
    pub destination: String,
    /// What SRC is.
    #[arg(short, long, value_enum, value_name = "KIND")]
    pub src: Option<SyncSource>,
    /// What DST is.
    #[arg(short, long, value_enum, value_name = "KIND")]
    pub dest: Option<SyncDestination>,
    /// Only tags that match this regular expression (repeatable).
    #[arg(long, value_name = "REGEX", allow_hyphen_values = true)]
    pub include: Vec<String>,
    /// No tags that match this regular expression (repeatable).
    #[arg(long, value_name = "REGEX", allow_hyphen_values = true)]
    pub exclude: Vec<String>,
    /// Put the whole source name, host included, below the destination.
    #[arg(long)]
    pub scoped: bool,
    /// Append this to every destination tag.
    #[arg(long, value_name = "SUFFIX", allow_hyphen_values = true)]
    pub append_suffix: Option<String>,
    /// Write "digest destination" lines into this file.
    #[arg(long, value_name = "FILE")]
    pub digestfile: Option<PathBuf>,
    /// List what would be copied and do nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Leave destination names alone that exist.
    #[arg(short = 'n', long)]
    pub no_clobber: bool,
    /// Accepted for skopeo's scripts: going on after errors is what sync does anyway.
    #[arg(long, hide = true)]
    pub keep_going: bool,
    #[command(flatten)]
    pub select: SelectArgs,
    #[command(flatten)]
    pub change: ChangeArgs,
    #[command(flatten)]
    pub peer: PeerArgs,
    #[command(flatten)]
    pub keep: KeepArgs,
    #[command(flatten)]
    pub work: WorkArgs,
    #[command(flatten)]
    pub source_side: SourceArgs,
    #[command(flatten)]
    pub destination_side: DestinationArgs,
    #[command(flatten)]
    pub both: BothArgs,
}

/// What a sync reads.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SyncSource {
    /// A repository or image in a registry.
    Docker,
    /// A directory of `dir:` images.
    Dir,
    /// A file in skopeo's YAML format.
    Yaml,
    /// A file with an image name per line, or "SRC DST".
    List,
}

/// What a sync writes.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SyncDestination {
    /// A registry.
    Docker,
    /// A directory of `dir:` images.
    Dir,
    /// One OCI layout.
    Oci,
}

#[derive(Args)]
pub struct TagsArgs {
    /// The repository.
    #[arg(value_name = "REPO")]
    pub repository: String,
    /// Also digest, date, size and platforms.
    #[arg(short, long)]
    pub long: bool,
    /// Only tags that match this regular expression (repeatable).
    #[arg(long, value_name = "REGEX", allow_hyphen_values = true)]
    pub include: Vec<String>,
    /// No tags that match this regular expression (repeatable).
    #[arg(long, value_name = "REGEX", allow_hyphen_values = true)]
    pub exclude: Vec<String>,
    #[command(flatten)]
    pub work: WorkArgs,
    #[command(flatten)]
    pub side: OnlyArgs,
}

#[derive(Args)]
pub struct DeleteArgs {
    /// The image.
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// Where a registry cannot delete one tag: delete the image with all its tags.
    #[arg(long)]
    pub all_tags: bool,
    #[command(flatten)]
    pub work: WorkArgs,
    #[command(flatten)]
    pub side: OnlyArgs,
}

#[derive(Args)]
pub struct TagArgs {
    /// The image.
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// The new tags (in the store: whole names are possible).
    #[arg(value_name = "TAG", required = true)]
    pub tags: Vec<String>,
    #[command(flatten)]
    pub work: WorkArgs,
    #[command(flatten)]
    pub side: OnlyArgs,
}

#[derive(Args)]
pub struct DigestArgs {
    /// A manifest file (- for standard input), or an image as PLACE:NAME.
    #[arg(value_name = "FILE|IMAGE")]
    pub what: String,
    #[command(flatten)]
    pub work: WorkArgs,
    #[command(flatten)]
    pub side: OnlyArgs,
}

#[derive(Args)]
pub struct LoginArgs {
    /// Host, or host/namespace.
    #[arg(value_name = "REGISTRY")]
    pub registry: String,
    /// User name.
    #[arg(short, long)]
    pub username: Option<String>,
    /// Password (visible to other users of this machine; prefer --password-stdin).
    #[arg(short, long)]
    pub password: Option<String>,
    /// Read the password from standard input.
    #[arg(long, conflicts_with = "password", requires = "username")]
    pub password_stdin: bool,
    /// Print the user that is logged in.
    #[arg(long)]
    pub get_login: bool,
    /// Credentials file to write instead of the usual one.
    #[arg(long, env = "REGISTRY_AUTH_FILE", hide_env_values = true, value_name = "FILE")]
    pub authfile: Option<PathBuf>,
    /// Write Docker's config.json at this path instead.
    #[arg(long, value_name = "FILE", conflicts_with = "authfile")]
    pub compat_auth_file: Option<PathBuf>,
    /// Certificates: *.crt, *.cert with *.key.
    #[arg(long, value_name = "DIR")]
    pub cert_dir: Option<PathBuf>,
    /// Require HTTPS with valid certificates.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set)]
    pub tls_verify: Option<bool>,
    /// Host outside the registry's domain that may receive its credentials as its token server
    /// (repeatable).
    #[arg(long, value_name = "HOST[:PORT]")]
    pub token_server: Vec<String>,
    /// Accepted for skopeo's scripts.
    #[arg(short, long, hide = true)]
    pub verbose: bool,
}

#[derive(Args)]
pub struct LogoutArgs {
    /// Host, or host/namespace.
    #[arg(value_name = "REGISTRY", required_unless_present = "all")]
    pub registry: Option<String>,
    /// Forget all credentials of the file.
    #[arg(short, long, conflicts_with = "registry")]
    pub all: bool,
    /// Credentials file.
    #[arg(long, env = "REGISTRY_AUTH_FILE", hide_env_values = true, value_name = "FILE")]
    pub authfile: Option<PathBuf>,
    /// Docker's config.json at this path instead.
    #[arg(long, value_name = "FILE", conflicts_with = "authfile")]
    pub compat_auth_file: Option<PathBuf>,
    /// Accepted for skopeo's scripts: no registry is asked.
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set)]
    pub tls_verify: Option<bool>,
}

#[derive(Args)]
pub struct GcArgs {
    /// The layout (oci:DIR or DIR).
    #[arg(value_name = "LAYOUT")]
    pub layout: String,
}

#[derive(Args)]
pub struct RmArgs {
    /// Names in the store.
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,
    /// Take the names alone; what they stood for stays until the next prune.
    #[arg(long)]
    pub no_prune: bool,
}

#[derive(Args)]
pub struct PruneArgs {
    /// Only what nobody used for this time (7d, 12h); of --max-size, too.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub older_than: Option<std::time::Duration>,
    /// Remove the oldest images too, until the others fit into this (20GB).
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub max_size: Option<u64>,
    /// Say what would be removed and do nothing.
    #[arg(long)]
    pub dry_run: bool,
}

impl SelectArgs {
    /// The selection, and whether a sparse source is accepted.
    fn selection(&self, global: &Global) -> (Selection, bool) {
        let host = global.platform();
        match self.multi_arch {
            Some(MultiArch::All) => return (Selection::All, false),
            Some(MultiArch::IndexOnly) => {
                return (Selection::Platforms(Vec::new(), Shape::Sparse), true);
            }
            Some(MultiArch::System) => {
                let platform = host.unwrap_or_else(Platform::host);
                return (Selection::Platforms(vec![platform], Shape::Single), false);
            }
            None => {}
        }
        if self.all {
            return (Selection::All, self.sparse);
        }
        let platforms = match (self.platform.as_slice(), host) {
            ([], None) => return (Selection::Usual, self.sparse),
            // --override-* without --platform is skopeo's way of asking for that one image.
            ([], Some(host)) => return (Selection::Platforms(vec![host], Shape::Single), false),
            (platforms, _) => platforms.to_vec(),
        };
        let shape = match (self.platform_manifest, self.sparse) {
            (true, _) => Shape::Single,
            (false, true) => Shape::Sparse,
            (false, false) => Shape::Stripped,
        };
        (Selection::Platforms(platforms, shape), self.sparse)
    }
}

impl Global {
    /// The platform that the `--override-…` options make, if any was given.
    pub fn platform(&self) -> Option<Platform> {
        if self.override_os.is_none()
            && self.override_arch.is_none()
            && self.override_variant.is_none()
        {
            return None;
        }
        let host = Platform::host();
        let platform = Platform {
            os: self.override_os.clone().unwrap_or(host.os),
            architecture: self.override_arch.clone().unwrap_or(host.architecture),
            variant: self.override_variant.clone(),
            ..Platform::default()
        };
        Some(platform.normalized())
    }
}

/// The library's options from what was said.
pub fn copy_options(global: &Global, select: &SelectArgs, change: &ChangeArgs) -> CopyOptions {
    let (selection, sparse_source) = select.selection(global);
    CopyOptions {
        selection,
        sparse_source,
        format: change.format.map(|format| match format {
            Format::Oci => Dialect::Oci,
            // Schema 1 was refused before.
            Format::Docker | Format::V2s1 => Dialect::Docker,
        }),
        compression: change.compression.map(|(compression, level)| LayerCompression {
            compression,
            level: level.or(change.dest_compress_level),
            recompress: change.recompress,
        }),
        preserve_digests: change.preserve_digests,
        with_referrers: select.with_referrers,
        ..CopyOptions::default()
    }
}

fn compression(text: &str) -> Result<(Compression, Option<i32>), String> {
    // Chunks that can be fetched one by one are not made, but this is what they are made of.
    if text == "zstd:chunked" {
        return Ok((Compression::Zstd, None));
    }
    let (name, level) = match text.rsplit_once(':') {
        Some((name, level)) => {
            (name, Some(level.parse::<i32>().map_err(|_| format!("{level:?} is not a level"))?))
        }
        None => (text, None),
    };
    let (compression, levels) = match name {
        "gzip" => (Compression::Gzip, 1..=9),
        "zstd" => (Compression::Zstd, 1..=22),
        "none" => (Compression::None, 0..=0),
        other => {
            return Err(format!("{other:?} is no compression (there are gzip, zstd and none)"));
        }
    };
    match level {
        Some(level) if !levels.contains(&level) => {
            Err(format!("level {level} is outside {}..{} of {name}", levels.start(), levels.end()))
        }
        level => Ok((compression, level)),
    }
}

/// `30s`, `10m`, `7d`, and Go's `1h30m` and `1.5h`.
fn duration(text: &str) -> Result<std::time::Duration, String> {
    let wrong = || format!("{text:?} is not a time (as 30s, 10m, 1h30m or 7d)");
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let split = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(split);
        let split = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(split);
        let factor = match unit {
            "ms" => 0.001,
            "" | "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return Err(wrong()),
        };
        seconds += number.parse::<f64>().map_err(|_| wrong())? * factor;
        rest = tail;
    }
    match text.is_empty() {
        true => Err(wrong()),
        false => std::time::Duration::try_from_secs_f64(seconds).map_err(|_| wrong()),
    }
}

fn size(text: &str) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "t" | "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return Err(format!("{text:?} is not a size (as 500MB or 20GB)")),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .ok_or_else(|| format!("{text:?} is not a size"))
}
