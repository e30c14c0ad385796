//! The command line of the verbs that work without a Dockerfile, in buildah's spelling.

use std::path::PathBuf;

use clap::Args;
use creel::build::graph::Chmod;
use creel::build::working::Filter;
use creel::spec::Platform;

use crate::args::{AccessArgs, BaseArgs, FetchArgs, ImageFormat, Packing, RefusedArgs};
use crate::run_args::{ConfinedArgs, InnerArgs, LentArgs, MachineArgs};

/// What a working container begins with.
#[derive(Args)]
pub(crate) struct FromArgs {
    /// The image, or scratch for none.
    #[arg(value_name = "IMAGE")]
    pub(crate) image: String,
    /// Name of the container [default: IMAGE-working-container].
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// What the container is for [default: this machine].
    #[arg(long, value_name = "OS/ARCH")]
    pub(crate) platform: Option<Platform>,
    /// Vocabulary of the image that it will become.
    #[arg(short, long, value_enum, default_value = "oci", value_name = "FORMAT")]
    pub(crate) format: ImageFormat,
    /// Write the container's ID into a file.
    #[arg(long, value_name = "FILE")]
    pub(crate) cidfile: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) bases: BaseArgs,
    #[command(flatten)]
    pub(crate) defaults: DefaultArgs,
}

/// What all commands of a container are run with.
#[derive(Args)]
pub(crate) struct DefaultArgs {
    #[command(flatten)]
    pub(crate) around: AroundArgs,
    #[command(flatten)]
    pub(crate) inner: InnerArgs,
}

/// The container that commands run in.
#[derive(Args)]
pub(crate) struct AroundArgs {
    #[command(flatten)]
    pub(crate) confined: ConfinedArgs,
    /// Network of commands: bridge, none, host or ns:PATH.
    #[arg(long, value_name = "MODE")]
    pub(crate) network: Option<String>,
}

/// A command in a container.
#[derive(Args)]
pub(crate) struct CommandArgs {
    /// The container, then the command and its arguments.
    #[arg(
        value_name = "CONTAINER COMMAND",
        trailing_var_arg = true,
        allow_hyphen_values = true,
        required = true
    )]
    pub(crate) words: Vec<String>,
    #[command(flatten)]
    pub(crate) around: AroundArgs,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
    /// Mount for the command: type=bind|tmpfs|cache|secret|ssh,… (repeatable).
    #[arg(long, value_name = "SPEC")]
    pub(crate) mount: Vec<String>,
    #[command(flatten)]
    pub(crate) lent: LentArgs,
    /// Who runs it [default: the user of the config].
    #[arg(long, value_name = "USER[:GROUP]")]
    pub(crate) user: Option<String>,
    /// Where it starts [default: the working directory of the config].
    #[arg(long, alias = "cwd", value_name = "DIR")]
    pub(crate) workingdir: Option<String>,
    /// Set a variable for the command (repeatable).
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// Its host name.
    #[arg(long, value_name = "NAME")]
    pub(crate) hostname: Option<String>,
    /// Give it a terminal.
    #[arg(short, long, visible_alias = "tty")]
    pub(crate) terminal: bool,
    /// Leave the container's own /etc/hosts.
    #[arg(long)]
    pub(crate) no_hosts: bool,
    /// IPC namespace: private, host or ns:PATH.
    #[arg(long, value_name = "MODE")]
    pub(crate) ipc: Option<String>,
    /// Process namespace: private, host or ns:PATH.
    #[arg(long, value_name = "MODE")]
    pub(crate) pid: Option<String>,
    /// Host name's namespace: private, host or ns:PATH.
    #[arg(long, value_name = "MODE")]
    pub(crate) uts: Option<String>,
    /// Give history a line about it.
    #[arg(long)]
    pub(crate) add_history: bool,
}

/// Files for a container.
#[derive(Args)]
pub(crate) struct CopyArgs {
    /// The container.
    #[arg(value_name = "CONTAINER")]
    pub(crate) container: String,
    /// What is copied (files, directories, URLs, git repositories) and, last, where to
    /// [default: the container's working directory].
    #[arg(value_name = "SRC [SRC...] [DST]", required = true)]
    pub(crate) paths: Vec<String>,
    /// Whom it belongs to [default: root].
    #[arg(long, value_name = "USER[:GROUP]")]
    pub(crate) chown: Option<String>,
    /// Its permissions, in octal or as u=rwX,go=rX.
    #[arg(long, value_name = "MODE", value_parser = Chmod::parse)]
    pub(crate) chmod: Option<Chmod>,
    /// What the one URL must hold (sha256:…), or the commit of the one git repository.
    #[arg(long, value_name = "DIGEST|COMMIT")]
    pub(crate) checksum: Option<String>,
    #[command(flatten)]
    pub(crate) fetch: FetchArgs,
    #[command(flatten)]
    pub(crate) lent: LentArgs,
    /// Copy from another container or an image.
    #[arg(long, value_name = "CONTAINER|IMAGE")]
    pub(crate) from: Option<String>,
    /// A directory that sources are below of.
    #[arg(long, value_name = "DIR")]
    pub(crate) contextdir: Option<PathBuf>,
    /// What is left out of that directory [default: its .containerignore or .dockerignore].
    #[arg(long, value_name = "FILE", requires = "contextdir")]
    pub(crate) ignorefile: Option<PathBuf>,
    /// Give history a line about it.
    #[arg(long)]
    pub(crate) add_history: bool,
    #[command(flatten)]
    pub(crate) access: AccessArgs,
}

/// What an image shall say.
#[derive(Args)]
pub(crate) struct ConfigArgs {
    /// The container.
    #[arg(value_name = "CONTAINER")]
    pub(crate) container: String,
    /// Who made the image.
    #[arg(long, value_name = "TEXT")]
    pub(crate) author: Option<String>,
    /// A note in the image (Docker's format alone).
    #[arg(long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
    /// Processor architecture.
    #[arg(long, value_name = "ARCH")]
    pub(crate) arch: Option<String>,
    /// Variant of the processor.
    #[arg(long, value_name = "VARIANT")]
    pub(crate) variant: Option<String>,
    /// Operating system.
    #[arg(long, value_name = "OS")]
    pub(crate) os: Option<String>,
    /// Needed version of the operating system.
    #[arg(long, value_name = "VERSION")]
    pub(crate) os_version: Option<String>,
    /// Needed feature of the operating system (repeatable; NAME- takes one away).
    #[arg(long, value_name = "NAME")]
    pub(crate) os_feature: Vec<String>,
    /// Default command: words, or a list in JSON.
    #[arg(long, value_name = "COMMAND", allow_hyphen_values = true)]
    pub(crate) cmd: Option<String>,
    /// Entrypoint: a list in JSON, or a command for /bin/sh -c.
    #[arg(long, value_name = "COMMAND", allow_hyphen_values = true)]
    pub(crate) entrypoint: Option<String>,
    /// Set a variable (repeatable; NAME- takes one away, - all).
    #[arg(short, long, value_name = "NAME=VALUE", allow_hyphen_values = true)]
    pub(crate) env: Vec<String>,
    /// Set a label (repeatable; NAME- takes one away, - all).
    #[arg(short, long, value_name = "NAME=VALUE", allow_hyphen_values = true)]
    pub(crate) label: Vec<String>,
    /// Annotate the manifest (repeatable; NAME- takes one away, - all).
    #[arg(short, long, value_name = "NAME=VALUE", allow_hyphen_values = true)]
    pub(crate) annotation: Vec<String>,
    /// Expose a port (repeatable; PORT- takes one away, - all).
    #[arg(short, long, value_name = "PORT[/PROTOCOL]", allow_hyphen_values = true)]
    pub(crate) port: Vec<String>,
    /// A directory that holds data (repeatable; DIR- takes one away, - all).
    #[arg(short, long, value_name = "DIR", allow_hyphen_values = true)]
    pub(crate) volume: Vec<String>,
    /// An instruction for images built on this one (repeatable; - takes all away).
    #[arg(long, value_name = "INSTRUCTION", allow_hyphen_values = true)]
    pub(crate) onbuild: Vec<String>,
    /// Who runs containers.
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub(crate) user: Option<String>,
    /// Where containers start.
    #[arg(long, value_name = "DIR")]
    pub(crate) workingdir: Option<String>,
    /// What stops containers.
    #[arg(long, value_name = "SIGNAL")]
    pub(crate) stop_signal: Option<String>,
    /// What shell forms run in: words, or a list in JSON.
    #[arg(long, value_name = "COMMAND")]
    pub(crate) shell: Option<String>,
    /// How to see that a container is well: NONE, CMD … or CMD-SHELL ….
    #[arg(long, value_name = "CHECK")]
    pub(crate) healthcheck: Option<String>,
    /// Between two checks.
    #[arg(long, value_name = "TIME")]
    pub(crate) healthcheck_interval: Option<String>,
    /// Until one check counts as failed.
    #[arg(long, value_name = "TIME")]
    pub(crate) healthcheck_timeout: Option<String>,
    /// After the start, in which failures do not count.
    #[arg(long, value_name = "TIME")]
    pub(crate) healthcheck_start_period: Option<String>,
    /// Between two checks during that period.
    #[arg(long, value_name = "TIME")]
    pub(crate) healthcheck_start_interval: Option<String>,
    /// Failures in a row that make a container unhealthy.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) healthcheck_retries: Option<i64>,
    /// What history says of the layer.
    #[arg(long, value_name = "TEXT")]
    pub(crate) created_by: Option<String>,
    /// The comment in the layer's line of history.
    #[arg(long, value_name = "TEXT")]
    pub(crate) history_comment: Option<String>,
    /// Host name of containers (Docker's format alone).
    #[arg(long, value_name = "NAME")]
    pub(crate) hostname: Option<String>,
    /// Domain name of containers (Docker's format alone).
    #[arg(long, value_name = "NAME")]
    pub(crate) domainname: Option<String>,
    /// Give history a line about each change.
    #[arg(long)]
    pub(crate) add_history: bool,
}

/// How a container becomes an image.
#[derive(Args)]
pub(crate) struct CommitArgs {
    /// The container.
    #[arg(value_name = "CONTAINER")]
    pub(crate) container: String,
    /// Name of the image in the local store, or another place (docker://NAME, oci:DIR, …).
    #[arg(value_name = "IMAGE")]
    pub(crate) image: Option<String>,
    /// Another name or place (repeatable).
    #[arg(short, long = "tag", value_name = "IMAGE")]
    pub(crate) tags: Vec<String>,
    /// Vocabulary of manifest and config [default: that of `from`].
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    pub(crate) format: Option<ImageFormat>,
    /// Remove the container afterwards.
    #[arg(long)]
    pub(crate) rm: bool,
    /// One layer with everything, the base's files too.
    #[arg(long)]
    pub(crate) squash: bool,
    /// Leave history out.
    #[arg(long)]
    pub(crate) omit_history: bool,
    /// Write the config's digest (Docker's image ID) into a file.
    #[arg(long, value_name = "FILE")]
    pub(crate) iidfile: Option<PathBuf>,
    /// Write the manifest's digest into a file.
    #[arg(long, value_name = "FILE")]
    pub(crate) digestfile: Option<PathBuf>,
    /// Annotate the manifest (repeatable).
    #[arg(long = "annotation", value_name = "NAME=VALUE", value_parser = crate::args::pair)]
    pub(crate) annotations: Vec<(String, String)>,
    #[command(flatten)]
    refused: RefusedArgs,
    /// A variable that the image does not get (repeatable).
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) unsetenv: Vec<String>,
    /// Give the image this time, and what is later in the new layer too (seconds since 1970)
    /// [default: SOURCE_DATE_EPOCH].
    #[arg(
        long,
        alias = "source-date-epoch",
        value_name = "SECONDS",
        allow_negative_numbers = true
    )]
    pub(crate) timestamp: Option<i64>,
    /// How layers are compressed on their way elsewhere [default: gzip].
    #[arg(long, alias = "compression-format", value_enum, value_name = "ALGORITHM")]
    pub(crate) compression: Option<Packing>,
    /// The same as --compression none.
    #[arg(short = 'D', long, conflicts_with = "compression")]
    pub(crate) disable_compression: bool,
    #[command(flatten)]
    pub(crate) access: AccessArgs,
}

/// Containers that are mounted.
#[derive(Args)]
pub(crate) struct MountArgs {
    /// The containers [default: list those that are mounted].
    #[arg(value_name = "CONTAINER")]
    pub(crate) containers: Vec<String>,
}

/// Containers that are to be unmounted or removed.
#[derive(Args)]
pub(crate) struct SeveralArgs {
    /// The containers.
    #[arg(value_name = "CONTAINER", required_unless_present = "all")]
    pub(crate) containers: Vec<String>,
    /// All of them.
    #[arg(short, long, conflicts_with = "containers")]
    pub(crate) all: bool,
}

/// How containers are listed.
#[derive(Args)]
pub(crate) struct ContainersArgs {
    /// Fill a template for each: ContainerID, ContainerName, ImageID, ImageName, Builder.
    #[arg(long, value_name = "TEMPLATE", conflicts_with = "json")]
    pub(crate) format: Option<String>,
    /// Leave the headings out.
    #[arg(short, long)]
    pub(crate) noheading: bool,
    /// Show IDs in full.
    #[arg(long, alias = "no-trunc")]
    pub(crate) notruncate: bool,
    /// List those alone that match: id=START, name=PART, ancestor=IMAGE (repeatable).
    #[arg(short, long, value_name = "KEY=VALUE", value_delimiter = ',', value_parser = filter)]
    pub(crate) filter: Vec<Filter>,
    /// For scripts of buildah: there is nothing else to list.
    #[arg(short, long, hide = true)]
    pub(crate) all: bool,
}

/// What is looked at.
#[derive(Args)]
pub(crate) struct InspectArgs {
    /// The container.
    #[arg(value_name = "CONTAINER")]
    pub(crate) container: String,
    /// Fill a template instead of printing JSON.
    #[arg(short, long, value_name = "TEMPLATE")]
    pub(crate) format: Option<String>,
    /// What CONTAINER names.
    #[arg(short = 't', long = "type", value_name = "TYPE", default_value = "container")]
    pub(crate) kind: String,
}

fn filter(text: &str) -> Result<Filter, String> {
    Filter::parse(text).map_err(|error| error.chain())
}
