//! What is asked of a build, what it tells meanwhile, and what comes out.

use std::collections::BTreeMap;
use std::io::{PipeReader, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Serialize;

use super::super::bases::Pull;
use super::super::check::Checked;
use super::super::diagnostic::Diagnostic;
use super::super::dockerfile::Network;
use super::super::dockerignore::Ignore;
use super::super::source::Source;
use super::export::TreeExport;
use super::squash::Squash;
use super::state::Machine;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::runtime::flags::HostEntry;
use crate::runtime::{CdiName, RunOptions};
use crate::spec::{Dialect, Digest, Platform};
use crate::store::StoreName;

/// Largest secret (bytes), as with BuildKit.
const MAX_SECRET: u64 = 500 << 10;

/// A directory to take files from.
#[derive(Clone, Debug, Default)]
pub struct ContextDir {
    /// Where it is.
    pub path: PathBuf,
    /// What is left out of it.
    pub ignore: Ignore,
    /// What messages call the file that says so.
    pub ignore_name: String,
    /// Made for this build alone: nothing of its place is worth remembering.
    pub passing: bool,
}

/// What `--build-context` gives.
#[derive(Clone, Debug)]
pub enum NamedContext {
    /// A directory.
    Directory(ContextDir),
    /// An image, by its full name, or by [`LAYOUT`](NamedContext::LAYOUT) and its place.
    Image(String),
}

impl NamedContext {
    /// What stands before the place of an image in an OCI layout: `DIR[:TAG][@DIGEST]`.
    pub const LAYOUT: &str = "oci-layout://";
}

/// What is asked of a build.
#[derive(Clone, Debug)]
pub struct BuildOptions {
    /// The build context; `None` where there is none.
    pub context: Option<ContextDir>,
    /// Further contexts by their keys ([`context_key`](crate::build::graph::context_key)).
    pub contexts: BTreeMap<String, NamedContext>,
    /// Names of the result in the store; without any, its digest names it.
    pub names: Vec<StoreName>,
    /// Vocabulary of manifest and config.
    pub dialect: Dialect,
    /// What is built for.
    pub platform: Platform,
    /// When bases are fetched.
    pub pull: Pull,
    /// Make every step anew.
    pub no_cache: bool,
    /// Most stages that are made at the same time; `None` for one a processor, but two.
    pub jobs: Option<usize>,
    /// Make the steps of these stages anew.
    pub no_cache_filter: Vec<String>,
    /// Which layers become one.
    pub squash: Option<Squash>,
    /// Say of every step that is made why it was not found.
    pub explain: bool,
    /// Whether labels of bases, stages among them, stay.
    pub inherit_labels: bool,
    /// Leave history out.
    pub omit_history: bool,
    /// Labels that win over those of the file.
    pub labels: Vec<(String, String)>,
    /// Annotations of the manifest.
    pub annotations: BTreeMap<String, String>,
    /// Where the files of the result go besides.
    pub exports: Vec<TreeExport>,
    /// How commands are run; `None` where they cannot be.
    pub run: Option<RunSettings>,
    /// Times that are later become this one, as do all times of the image (seconds since 1970).
    pub epoch: Option<i64>,
}

/// How commands are run.
#[derive(Clone, Debug)]
pub struct RunSettings {
    /// What runs them.
    pub machine: Machine,
    /// The network where a step does not say.
    pub network: Network,
    /// What steps may ask for beyond the usual: `network.host`, `security.insecure`, `device`.
    pub allow: Vec<String>,
    /// Further lines of `/etc/hosts`.
    pub hosts: Vec<HostEntry>,
    /// What steps may use of a person's.
    pub credentials: Credentials,
    /// What every command is run with besides.
    pub options: RunOptions,
    /// Devices of all commands by their CDI names.
    pub devices: Vec<CdiName>,
    /// Where CDI specifications are; later ones count more.
    pub cdi_directories: Vec<PathBuf>,
    /// What may stop commands.
    pub cancel: Option<Arc<Cancel>>,
    /// What becomes of the files of a command that fails.
    pub on_failure: OnFailure,
}

/// What lets commands, and what is fetched, in elsewhere. Nothing of it stays.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// Secrets by their ID.
    pub secrets: BTreeMap<String, SecretSource>,
    /// Sockets of SSH agents by their ID.
    pub agents: BTreeMap<String, PathBuf>,
}

/// What becomes of the files of a command that fails.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// They go.
    #[default]
    Remove,
    /// A shell runs among them, on this process's standard streams, before they go.
    Shell,
    /// They are copied into a new directory in this one.
    Keep(PathBuf),
}

/// Stops the commands of a build from another thread.
#[derive(Debug)]
pub struct Cancel {
    stop: PipeReader,
    running: AtomicUsize,
}

impl Cancel {
    /// Stops when the other end of `stop` is closed.
    pub fn new(stop: PipeReader) -> Cancel {
        Cancel { stop, running: AtomicUsize::new(0) }
    }

    /// Whether a command runs that would go on without us.
    pub fn is_needed(&self) -> bool {
        self.running.load(Ordering::SeqCst) > 0
    }

    /// What can be read from when everything shall stop.
    pub(super) fn file(&self) -> BorrowedFd<'_> {
        self.stop.as_fd()
    }

    /// Counts a command for as long as the result lives.
    pub(super) fn command(&self) -> impl Drop + '_ {
        self.running.fetch_add(1, Ordering::SeqCst);
        Counted(&self.running)
    }
}

struct Counted<'a>(&'a AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Where a secret is.
#[derive(Clone)]
pub enum SecretSource {
    /// In a file.
    File(PathBuf),
    /// Here.
    Value(Vec<u8>),
}

impl std::fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SecretSource::File(path) => write!(f, "File({})", path.display()),
            SecretSource::Value(_) => f.write_str("Value(…)"),
        }
    }
}

impl SecretSource {
    /// The secret itself; `id` is for messages.
    pub(super) fn read(&self, id: &str) -> Result<Vec<u8>> {
        let path = match self {
            SecretSource::Value(value) => return Ok(value.clone()),
            SecretSource::File(path) => path,
        };
        let reading = || format!("reading secret {id} from {}", path.display());
        let mut value = Vec::new();
        let file = std::fs::File::open(path).doing(reading)?;
        file.take(MAX_SECRET + 1).read_to_end(&mut value).doing(reading)?;
        match value.len() as u64 > MAX_SECRET {
            true => Err(Error::invalid("more than 500 KiB").while_doing(reading())),
            false => Ok(value),
        }
    }

    /// A secret that is a line of text; `id` is for messages.
    pub fn line(&self, id: &str) -> Result<String> {
        let value = self.read(id)?;
        match std::str::from_utf8(&value).map(str::trim) {
            Ok(text) if !text.contains(char::is_control) => Ok(text.to_owned()),
            _ => Err(Error::invalid(format!("secret {id} is no line of text"))),
        }
    }
}

impl Default for BuildOptions {
    fn default() -> BuildOptions {
        BuildOptions {
            context: None,
            contexts: BTreeMap::new(),
            names: Vec::new(),
            dialect: Dialect::Oci,
            platform: Platform::host(),
            pull: Pull::Missing,
            no_cache: false,
            jobs: None,
            no_cache_filter: Vec::new(),
            squash: None,
            explain: false,
            inherit_labels: true,
            omit_history: false,
            labels: Vec::new(),
            annotations: BTreeMap::new(),
            exports: Vec::new(),
            run: None,
            epoch: None,
        }
    }
}

/// What happens in a build.
#[derive(Clone, Copy, Debug)]
pub enum BuildEvent<'a> {
    /// A step begins.
    Begun(StepName<'a>),
    /// A step was made before.
    Cached(StepName<'a>),
    /// A step is made.
    Done(StepName<'a>, f64),
    /// Why a step is made: what differs from the last time.
    Explained(StepName<'a>, &'a str),
    /// Output of a step.
    Output(StepName<'a>, &'a [u8]),
    /// Something worth knowing.
    Warning(&'a str),
    /// A step waits for another build that makes the same.
    Waiting(StepName<'a>),
}

/// Which step.
#[derive(Clone, Copy, Debug)]
pub struct StepName<'a> {
    /// The stage's title.
    pub stage: &'a str,
    /// Counted from 1; the `FROM` is the first.
    pub number: usize,
    /// How many steps the stage has.
    pub total: usize,
    /// The instruction, on one line.
    pub text: &'a str,
}

/// Is told what happens, from any thread.
pub trait Reporter: Sync {
    /// Called for every event.
    fn event(&self, event: BuildEvent<'_>);
}

/// What came out of a build.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Built {
    /// Digest of the manifest.
    pub digest: Digest,
    /// Digest of the config: Docker's image ID.
    pub config_digest: Digest,
    /// Its names in the store.
    pub names: Vec<String>,
    /// Steps that were made.
    pub made: usize,
    /// Steps that were found.
    pub cached: usize,
    /// How long it took.
    pub seconds: f64,
}

/// Why a build failed.
#[derive(Debug)]
pub struct Failure {
    /// What went wrong.
    pub error: Error,
    /// The same with its place in a Dockerfile.
    pub shown: Option<Box<(Diagnostic, Source)>>,
    /// The exit code of the command that failed.
    pub code: Option<u8>,
    /// The last lines that it wrote.
    pub tail: Vec<u8>,
    /// Where its files are kept.
    pub kept: Option<PathBuf>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure { error, shown: None, code: None, tail: Vec::new(), kept: None }
    }
}

impl Failure {
    /// A failure at a place in the Dockerfile.
    pub(super) fn at(checked: &Checked, problem: Diagnostic, error: Error) -> Failure {
        let shown = Some(Box::new((problem, checked.file.source.clone())));
        Failure { shown, ..Failure::from(error) }
    }

    /// What sort of failure it was.
    pub fn kind(&self) -> ErrorKind {
        self.error.kind()
    }
}
