//! What a client is told once: whom to ask, how patiently, and what is allowed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Certificates, Credential, Endpoint, Secret, Use};
use crate::error::Result;
use crate::progress::{Listener, Silent};
use crate::spec::Reference;

/// Finds the credential for a registry (`host[:port]`, Docker Hub as `docker.io`) and a repository.
pub type FindCredential = Arc<dyn Fn(&str, &str) -> Result<Credential> + Send + Sync>;
/// Finds the places that stand for a repository, in the order to try them, the primary last.
pub type FindEndpoints = Arc<dyn Fn(&Reference, Use) -> Result<Vec<Endpoint>> + Send + Sync>;
/// Finds the certificates for a registry (`host[:port]`).
pub type FindCertificates = Arc<dyn Fn(&str) -> Result<Certificates> + Send + Sync>;

/// How a [`Client`](super::Client) behaves. The default asks everybody anonymously.
#[derive(Clone)]
pub struct ClientOptions {
    /// Who we are; asked once per repository, and only when a registry wants to know.
    pub credentials: FindCredential,
    /// Mirrors, rewritten locations and registries that need not prove who they are.
    pub endpoints: FindEndpoints,
    /// Authorities to trust and certificates to show.
    pub certificates: FindCertificates,
    /// More headers for the registries themselves (and no other host).
    pub headers: Vec<(String, Secret)>,
    /// Hosts besides a registry's own domain that may be its token server and so be told its
    /// credentials; they may lie in a private network.
    pub token_servers: Vec<String>,
    /// Speak plain HTTP with registries on this machine, as everybody's custom is.
    pub plain_loopback: bool,
    /// Fetch layers that the registry lacks from the `urls` of their descriptors.
    pub foreign_layers: bool,
    /// How often a request that failed for a passing reason is made again.
    pub retry_times: u32,
    /// The pause before the first repetition; doubled each time.
    pub retry_pause: Duration,
    /// The longest pause, whatever a server asks for.
    pub retry_pause_max: Duration,
    /// When to stop waiting.
    pub timeouts: Timeouts,
    /// Most requests under way to one registry.
    pub connections: usize,
    /// Size of acknowledged pieces where a blob is uploaded in pieces.
    pub chunk: usize,
    /// Blobs larger than this are uploaded in pieces, so that a cut costs one piece.
    pub chunk_above: u64,
    /// Where unfinished uploads are noted, so that another process can go on with them.
    pub journal: Option<PathBuf>,
    /// How we introduce ourselves.
    pub user_agent: String,
    /// Told of retries and of servers' warnings.
    pub progress: Listener,
}

/// When to stop waiting.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// For the head of an answer.
    pub answer: Duration,
    /// For the answer to a whole uploaded blob, which some registries move about first.
    pub commit: Duration,
    /// For the next bytes of a body, in either direction.
    pub stall: Duration,
}

impl Timeouts {
    /// The same patience with everything.
    pub fn all(time: Duration) -> Timeouts {
        Timeouts { connect: time, answer: time, commit: time, stall: time }
    }
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(60),
            commit: Duration::from_secs(600),
            stall: Duration::from_secs(30),
        }
    }
}

impl Default for ClientOptions {
    fn default() -> ClientOptions {
        ClientOptions {
            credentials: Arc::new(|_, _| Ok(Credential::Anonymous)),
            endpoints: Arc::new(|name, _| Ok(vec![itself(name)])),
            certificates: Arc::new(|_| Ok(Certificates::default())),
            headers: Vec::new(),
            token_servers: Vec::new(),
            plain_loopback: true,
            foreign_layers: false,
            retry_times: 4,
            retry_pause: Duration::from_millis(250),
            retry_pause_max: Duration::from_secs(60),
            timeouts: Timeouts::default(),
            connections: 8,
            chunk: 16 << 20,
            chunk_above: 1 << 30,
            journal: None,
            user_agent: concat!("creel/", env!("CARGO_PKG_VERSION")).to_owned(),
            progress: Arc::new(Silent),
        }
    }
}

/// The registry that the name itself names.
fn itself(name: &Reference) -> Endpoint {
    Endpoint {
        registry: name.registry().to_owned(),
        repository: name.repository().to_owned(),
        insecure: false,
        is_mirror: false,
    }
}

/// What a repository is opened for: decides the token that is asked for, and whether mirrors count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Reading images, from mirrors too.
    Pull,
    /// Reading lists, from the registry that was named.
    List,
    /// Reading and writing.
    Push,
    /// Reading and deleting.
    Delete,
}

impl Access {
    pub(super) fn purpose(self) -> Use {
        match self {
            Access::Pull => Use::Read,
            Access::List => Use::List,
            Access::Push | Access::Delete => Use::Write,
        }
    }

    /// The actions of a token's scope, sorted.
    pub(super) fn actions(self) -> &'static [&'static str] {
        match self {
            Access::Pull | Access::List => &["pull"],
            Access::Push => &["pull", "push"],
            Access::Delete => &["delete", "pull"],
        }
    }
}
