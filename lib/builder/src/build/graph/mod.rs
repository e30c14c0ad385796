//! Stages and their steps, everything expanded: what a build would do, as data.
//!
//! [`plan`] resolves `FROM`, `--target`, `COPY --from` and mounts to stages, images and contexts,
//! applies the scoping of `ARG` and `ENV`, runs `ONBUILD` triggers, and turns each instruction
//! into a [`Step`]. What base images contribute is asked of `bases`; where the
//! answer is not known, values that depend on it stay as they are written and nothing is said
//! about them. Executes nothing, reads nothing.

mod chmod;
mod evaluate;
mod fields;
mod globals;
mod json;
mod options;
pub(super) mod paths;
mod ports;
mod print;
mod remote;
mod resolve;
mod run;
mod signals;
mod stages;
mod transfer;

pub use chmod::Chmod;
pub(super) use json::compact;
pub use json::to_json;
pub use options::{BaseImage, Bases, CONTEXT_BASE, PlanOptions, context_base, context_key};
pub use ports::PortRange;
pub(super) use ports::ports_of;
pub use print::to_text;
pub use remote::Place;
pub(super) use remote::has_wildcards;
pub(super) use signals::is_signal;
pub use stages::plan;

use std::sync::Arc;

use super::dockerfile::{Device, MountKind, Network, Security, Sharing};
use super::expand::Scope;
use super::source::Span;
use crate::spec::{Healthcheck, Platform};

/// What a build would do.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// All stages in the order of the file.
    pub stages: Vec<Stage>,
    /// Which of them is wanted.
    pub target: usize,
    /// Global arguments (`ARG` before the first `FROM`).
    pub globals: Vec<Arc<Argument>>,
    /// Variables that reach every `RUN` but no history and no key: proxies from `--build-arg`.
    pub proxies: Vec<(String, String)>,
    /// `SOURCE_DATE_EPOCH`, as an argument gives it, not interpreted.
    pub source_date_epoch: Option<String>,
    /// Names of `--build-arg` that nothing declares.
    pub unused_arguments: Vec<String>,
}

/// A stage.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Its name in lower case.
    pub name: Option<String>,
    /// What its comment says about it.
    pub description: Option<String>,
    /// Where its `FROM` stands.
    pub span: Span,
    /// The base as written.
    pub base_text: String,
    /// What it starts from.
    pub base: Input,
    /// `FROM --platform`.
    pub platform: Option<Platform>,
    /// Whether the target needs it.
    pub reachable: bool,
    /// The stages it needs, its base included, in ascending order.
    pub needs: Vec<usize>,
    /// What is done, in order. Empty for a stage that was not looked at.
    pub steps: Vec<Step>,
    /// Arguments it declares or inherits by use.
    pub arguments: Vec<Arc<Argument>>,
    /// Whether all about its base is known.
    pub known: bool,
}

/// An argument, for listings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// Its value, if it has one.
    pub value: Option<String>,
    /// What its comment says about it.
    pub description: Option<String>,
    /// Where it is declared.
    pub span: Span,
    /// Other global arguments that its default uses.
    pub uses: Vec<String>,
}

/// Where files come from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Input {
    /// Nothing.
    Scratch,
    /// The build context.
    Context,
    /// A stage, by its index.
    Stage(usize),
    /// A context given by `--build-context`, by its name.
    Named(String),
    /// An image, by its full name.
    Image(String),
}

/// One instruction, expanded.
#[derive(Clone, Debug)]
pub struct Step {
    /// Where it stands; for a trigger the `FROM` that it belongs to.
    pub span: Span,
    /// The instruction as written, on one line.
    pub text: String,
    /// Whether it comes from an `ONBUILD` of the base.
    pub trigger: bool,
    /// Whether all values are known.
    pub certain: bool,
    /// What is done.
    pub operation: Operation,
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum Operation {
    /// `ADD` and `COPY`.
    Transfer(Box<Transfer>),
    /// `ARG`: names with values where they have one.
    Arg(Vec<(String, Option<String>)>),
    /// `CMD`: the whole argument vector.
    Cmd(Vec<String>),
    /// `ENTRYPOINT`: the whole argument vector.
    Entrypoint(Vec<String>),
    /// `ENV`.
    Env(Vec<(String, String)>),
    /// `EXPOSE`.
    Expose(Vec<PortRange>),
    /// `HEALTHCHECK`.
    Healthcheck(Healthcheck),
    /// `LABEL`.
    Label(Vec<(String, String)>),
    /// `MAINTAINER`.
    Maintainer(String),
    /// `ONBUILD`: the trigger as images keep it.
    Onbuild(String),
    /// `RUN`.
    Run(Box<Run>),
    /// `SHELL`.
    Shell(Vec<String>),
    /// `STOPSIGNAL`.
    StopSignal(String),
    /// `USER`.
    User(String),
    /// `VOLUME`.
    Volume(Vec<String>),
    /// `WORKDIR`: absolute, unless it hangs on an unknown base.
    Workdir(String),
}

/// `ADD` and `COPY`, expanded.
#[derive(Clone, Debug, Default)]
pub struct Transfer {
    /// `ADD` rather than `COPY`.
    pub add: bool,
    /// Where paths are looked up.
    pub from: Option<Input>,
    /// Sources, in the order written.
    pub sources: Vec<Place>,
    /// Files given by here-documents: name and content.
    pub documents: Vec<(String, String)>,
    /// Where to: absolute (unless it hangs on an unknown base), with the slash at its end kept.
    pub destination: String,
    /// The destination as written, expanded.
    pub destination_text: String,
    /// `--chown`.
    pub chown: Option<String>,
    /// `--chmod`.
    pub chmod: Option<Chmod>,
    /// `ADD --checksum`.
    pub checksum: Option<String>,
    /// `--link`.
    pub link: bool,
    /// `COPY --parents`.
    pub parents: bool,
    /// `ADD --keep-git-dir`.
    pub keep_git_dir: Option<bool>,
    /// `ADD --unpack`.
    pub unpack: Option<bool>,
    /// `--exclude`.
    pub exclude: Vec<String>,
}

/// `RUN`, expanded.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// The argument vector, the shell included.
    pub arguments: Vec<String>,
    /// Whether a shell reads the command.
    pub shell: bool,
    /// A script with an interpreter of its own (`#!`): name and content. It is put at
    /// `/dev/pipes/NAME`, which is then the whole argument vector behind the shell.
    pub script: Option<(String, String)>,
    /// Mounts in the order written.
    pub mounts: Vec<Mount>,
    /// `--network`.
    pub network: Network,
    /// `--security`.
    pub security: Security,
    /// `--device`.
    pub devices: Vec<Device>,
    /// The environment, proxies and secrets left out.
    pub environment: Scope,
    /// The arguments declared so far with their values, in the order of first declaration.
    pub build_arguments: Vec<(String, String)>,
    /// The working directory; nothing where it hangs on an unknown base.
    pub workdir: Option<String>,
    /// The user; empty for root.
    pub user: String,
}

/// `RUN --mount`, expanded, defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// What is mounted.
    pub kind: MountKind,
    /// Where it comes from (bind, and the seed of a cache).
    pub from: Option<Input>,
    /// The path in `from`.
    pub source: Option<String>,
    /// Where it appears; nothing for a secret that is only a variable.
    pub target: Option<String>,
    /// Whether writing is refused.
    pub read_only: bool,
    /// Size of a tmpfs (bytes).
    pub size: Option<u64>,
    /// Which cache, secret or agent.
    pub id: Option<String>,
    /// Who may use a cache at the same time.
    pub sharing: Sharing,
    /// Whether the step fails without it.
    pub required: bool,
    /// The variable that takes a secret.
    pub env: Option<String>,
    /// Mode, owner and group where they are given.
    pub mode: Option<u32>,
    /// The owner.
    pub uid: Option<u32>,
    /// The group.
    pub gid: Option<u32>,
}

impl Stage {
    /// The name that listings give it: its own or `stage-N`.
    pub fn title(&self, index: usize) -> String {
        self.name.clone().unwrap_or_else(|| format!("stage-{index}"))
    }
}

impl Plan {
    /// The images that a build needs, in the order of the file, each once.
    pub fn images(&self) -> Vec<&str> {
        let mut out: Vec<&str> = Vec::new();
        let reachable = self.stages.iter().filter(|stage| stage.reachable);
        for input in reachable.flat_map(Stage::inputs) {
            match input {
                Input::Image(name) if !out.contains(&name.as_str()) => out.push(name),
                _ => {}
            }
        }
        out
    }
}

impl Stage {
    /// Everything it takes files from.
    pub fn inputs(&self) -> Vec<&Input> {
        let mut out = vec![&self.base];
        for step in &self.steps {
            match &step.operation {
                Operation::Transfer(transfer) => out.extend(&transfer.from),
                Operation::Run(run) => {
                    out.extend(run.mounts.iter().filter_map(|m| m.from.as_ref()))
                }
                _ => {}
            }
        }
        out
    }
}

#[cfg(test)]
mod tests;
