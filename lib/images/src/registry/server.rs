//! One registry: every request to it goes through here.
//!
//! Puts the parts together: the door (`gate`), who we are (`auth`), the exchange itself, and
//! patience (`retry`). Also keeps what has been learned of the registry in this process. Promise:
//! whatever is returned has one of the statuses that the caller expected.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use reqwest::Url;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::address::{is_loopback_host, same_origin};
use super::auth::{Authorizer, Errand};
use super::body::Body;
use super::challenge;
use super::exchange::{Answer, Line, Request, Secrets};
use super::failure::{Failure, Retry, clean};
use super::gate::Gate;
use super::options::{ClientOptions, Timeouts};
use super::retry::{Patience, persist};
use super::tls::Trust;
use super::wire::{Net, Wires};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::{Event, Listener};
use crate::spec::{DOCKER_HUB, Digest};

/// Where Docker Hub's registry really is.
const DOCKER_HUB_HOST: &str = "registry-1.docker.io";
/// Most different warnings that are passed on.
const MAX_WARNINGS: usize = 20;
/// Most blobs whose place is remembered.
const MAX_HOLDERS: usize = 100_000;
/// Uploads in pieces at a time: each holds one piece in memory.
const UPLOADS_IN_PIECES: usize = 2;
/// How long a busy server is left alone when it does not say.
const BREATHER: Duration = Duration::from_secs(1);

/// Where a call goes.
#[derive(Clone)]
pub(super) enum Target {
    /// A path (and query) of the registry.
    Path(String),
    /// An address that the registry gave.
    Url(Url),
}

/// The expectation of a request that only looks ahead: whatever the answer is, it decides
/// nothing. Many registries refuse HEAD to those whom they serve GET, or answer it wrongly. Wrong
/// passwords and "too many requests" still are failures: both count the attempts.
pub(super) const LOOK: &[u16] = &[];

/// A request to a registry and what to make of its answer.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) target: Target,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
    /// Much is to be moved.
    pub(super) bulk: bool,
    /// The target stands in an image: it learns nothing of who we are, and must be public unless
    /// it is the registry itself.
    pub(super) from_content: bool,
    /// The statuses that are answers; every other is a failure. See [`LOOK`] for none.
    pub(super) expected: &'static [u16],
    pub(super) errand: Errand,
}

impl Call {
    pub(super) fn new(
        method: Method,
        target: Target,
        errand: Errand,
        expected: &'static [u16],
    ) -> Call {
        Call {
            method,
            target,
            headers: HeaderMap::new(),
            body: Body::Empty,
            bulk: false,
            from_content: false,
            expected,
            errand,
        }
    }

    /// The request to a registry that is at `base`.
    fn request(&self, base: &Url) -> Result<Request, Failure> {
        let url = match &self.target {
            Target::Url(url) => url.clone(),
            Target::Path(path) => base.join(path).map_err(|error| {
                let doing = format!("making a URL of {base} and {path}");
                Failure::lasting(Error::caused(ErrorKind::Invalid, doing, error))
            })?,
        };
        Ok(Request {
            method: self.method.clone(),
            url,
            headers: self.headers.clone(),
            body: self.body.clone(),
            bulk: self.bulk,
            follow: true,
            from_content: self.from_content,
        })
    }

    fn is_look(&self) -> bool {
        self.expected.is_empty()
    }

    /// Whether an answer is one that the caller can use.
    fn accepts(&self, status: StatusCode, shown: Option<&HeaderValue>) -> bool {
        if !self.is_look() {
            return self.expected.contains(&status.as_u16());
        }
        let password = shown.is_some_and(|shown| shown.as_bytes().starts_with(b"Basic "));
        let wrong_password = status == StatusCode::UNAUTHORIZED && password;
        status != StatusCode::TOO_MANY_REQUESTS && !wrong_password
    }

    /// The same with one more header. `value` must be made of ASCII that we chose ourselves.
    pub(super) fn header(mut self, name: HeaderName, value: &str) -> Call {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }
}

/// One registry and what is known of it.
pub(super) struct Server {
    net: Arc<Net>,
    wires: Wires,
    /// The addresses that it may have, in the order to try them.
    candidates: Vec<Url>,
    settled: OnceLock<Url>,
    settling: tokio::sync::Mutex<()>,
    authorizer: Authorizer,
    /// Writes wait at a door of their own: the body of a write may itself wait for a read.
    reads: Gate,
    writes: Gate,
    patience: Patience,
    timeouts: Timeouts,
    headers: HeaderMap,
    progress: Listener,
    warnings: Mutex<HashSet<String>>,
    holders: Mutex<HashMap<Digest, String>>,
    /// Pairs of repositories between which nothing can be mounted.
    refused_mounts: Mutex<HashSet<(String, String)>>,
    pieces: Semaphore,
    /// Whether it takes a blob in one request, once that is known.
    pub(super) whole_uploads: OnceLock<bool>,
    /// Size of a piece where a blob is uploaded in pieces.
    pub(super) piece: usize,
    /// Held while a fallback tag of referrers is rewritten.
    pub(super) rewriting: tokio::sync::Mutex<()>,
}

impl Server {
    pub(super) fn new(
        registry: &str,
        insecure: bool,
        net: Arc<Net>,
        options: &ClientOptions,
    ) -> Result<Server> {
        let certificates = (options.certificates)(registry)?;
        let token_servers = (options.token_servers)(registry);
        let is_bare = certificates.authorities.is_empty() && certificates.identities.is_empty();
        let candidates = candidates(registry, insecure, options.plain_loopback && is_bare)?;
        let settled = OnceLock::new();
        if let [only] = candidates.as_slice() {
            settled.get_or_init(|| only.clone());
        }
        Ok(Server {
            net,
            wires: Wires::new(
                Trust { anyone: insecure, certificates: Arc::new(certificates), is_peer: false },
                &token_servers,
            ),
            candidates,
            settled,
            settling: tokio::sync::Mutex::default(),
            authorizer: Authorizer::new(registry, token_servers, options),
            reads: Gate::new(options.connections),
            writes: Gate::new(options.connections),
            patience: Patience::new(options),
            timeouts: options.timeouts,
            headers: own_headers(options)?,
            progress: options.progress.clone(),
            warnings: Mutex::default(),
            holders: Mutex::default(),
            refused_mounts: Mutex::default(),
            pieces: Semaphore::new(UPLOADS_IN_PIECES),
            whole_uploads: OnceLock::new(),
            piece: options.chunk,
            rewriting: tokio::sync::Mutex::default(),
        })
    }

    /// Sends `call`, again where that may help.
    pub(super) async fn send(&self, call: &Call) -> Result<Answer> {
        persist(&self.patience, &self.progress, || self.attempt(call)).await
    }

    /// Sends `call` once; for callers that must do more than send again.
    pub(super) async fn attempt(&self, call: &Call) -> Result<Answer, Failure> {
        let is_read = matches!(call.method, Method::GET | Method::HEAD);
        let gate = if is_read { &self.reads } else { &self.writes };
        let _permit = gate.enter().await;
        let outcome = self.settle_and_ask(call).await;
        match &outcome {
            Ok(_) => gate.answered(),
            Err(Failure { retry: Retry::Throttled { after }, .. }) => {
                gate.complained(self.patience.capped(after.unwrap_or(BREATHER)));
            }
            Err(_) => {}
        }
        outcome
    }

    pub(super) fn patience(&self) -> &Patience {
        &self.patience
    }

    pub(super) fn progress(&self) -> &Listener {
        &self.progress
    }

    /// Asks at the registry's address; the first call finds out which of the possible ones it is.
    async fn settle_and_ask(&self, call: &Call) -> Result<Answer, Failure> {
        if let Some(base) = self.settled.get() {
            return self.ask(base, call).await;
        }
        let alone = self.settling.lock().await;
        if let Some(base) = self.settled.get() {
            drop(alone);
            return self.ask(base, call).await;
        }
        let mut outcome = None;
        for base in &self.candidates {
            let answer = self.ask(base, call).await;
            if !is_other_protocol(&answer) {
                self.settled.get_or_init(|| base.clone());
                return answer;
            }
            // The first failure is the one about the better protocol.
            outcome.get_or_insert(answer);
        }
        outcome.unwrap_or_else(|| {
            Err(Failure::lasting(Error::new(ErrorKind::Failed, "the registry has no address")))
        })
    }

    async fn ask(&self, base: &Url, call: &Call) -> Result<Answer, Failure> {
        let request = call.request(base)?;
        let (net, wires, timeouts) = (&*self.net, &self.wires, &self.timeouts);
        let line = Line { net, wires, host: base, timeouts, progress: &self.progress };
        if call.from_content {
            let nothing = Secrets { origin: base, headers: HeaderMap::new() };
            return expected(line.exchange(&request, &nothing).await?, call, None).await;
        }
        let (authorizer, patience) = (&self.authorizer, &self.patience);
        let known = authorizer.header(&line, patience, &call.errand).await;
        let mut shown = known.map_err(Failure::lasting)?;
        let mut answer = self.exchange(&line, &request, shown.as_ref()).await?;
        if is_challenge(&answer, base) {
            let challenges = challenge::parse(answer.headers("www-authenticate"));
            let renewed =
                authorizer.renew(&line, patience, &call.errand, &challenges, shown.as_ref()).await;
            answer = match renewed.map_err(Failure::lasting)? {
                Some(renewed) => {
                    answer.drain().await;
                    shown = Some(renewed);
                    self.exchange(&line, &request, shown.as_ref()).await?
                }
                None if call.accepts(answer.status(), shown.as_ref()) => return Ok(answer),
                None => {
                    let refusal = answer.refusal(&secrets(shown.as_ref())).await;
                    return Err(authorizer.refused(refusal, &call.errand));
                }
            };
        }
        self.pass_on_warnings(&answer);
        let is_refused = is_challenge(&answer, base);
        match expected(answer, call, shown.as_ref()).await {
            Err(failure) if is_refused => Err(authorizer.refused(failure, &call.errand)),
            other => other,
        }
    }

    async fn exchange(
        &self,
        line: &Line<'_>,
        request: &Request,
        authorization: Option<&HeaderValue>,
    ) -> Result<Answer, Failure> {
        let mut headers = self.headers.clone();
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, value.clone());
        }
        line.exchange(request, &Secrets { origin: line.host, headers }).await
    }

    /// `Warning: 299 - "text"` is meant for people (distribution spec, "Warnings").
    fn pass_on_warnings(&self, answer: &Answer) {
        for value in answer.headers("warning") {
            let text = value.strip_prefix("299 - ").unwrap_or_default();
            let text = clean(text.trim_matches('"'), 500);
            let mut seen = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
            if !text.is_empty() && seen.len() < MAX_WARNINGS && seen.insert(text.clone()) {
                let host = answer.url.host_str().unwrap_or_default();
                self.progress.event(Event::Warning(format!("{host} says: {text}")));
            }
        }
    }

    /// Remembers that `repository` holds a blob.
    pub(super) fn remember(&self, digest: &Digest, repository: &str) {
        let mut holders = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        // The latest place is as good as any, except that one's own repository is the best.
        if holders.len() < MAX_HOLDERS || holders.contains_key(digest) {
            holders.insert(digest.clone(), repository.to_owned());
        }
    }

    /// Takes back that `repository` holds a blob.
    pub(super) fn forget(&self, digest: &Digest, repository: &str) {
        let mut holders = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        if holders.get(digest).is_some_and(|holder| holder == repository) {
            holders.remove(digest);
        }
    }

    /// The right to hold a piece of an upload in memory.
    pub(super) async fn piece_slot(&self) -> Option<SemaphorePermit<'_>> {
        // Never closed, so there is always one to come.
        self.pieces.acquire().await.ok()
    }

    /// Remembers that nothing can be mounted from one repository into another.
    pub(super) fn note_refused_mount(&self, from: &str, to: &str) {
        let mut refused = self.refused_mounts.lock().unwrap_or_else(PoisonError::into_inner);
        refused.insert((from.to_owned(), to.to_owned()));
    }

    /// Whether it is of no use to try.
    pub(super) fn refuses_mounts(&self, from: &str, to: &str) -> bool {
        let refused = self.refused_mounts.lock().unwrap_or_else(PoisonError::into_inner);
        refused.contains(&(from.to_owned(), to.to_owned()))
    }

    /// A repository that has been seen to hold a blob.
    pub(super) fn holder(&self, digest: &Digest) -> Option<String> {
        self.holders.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned()
    }
}

/// Whether the registry itself, and nobody that it sent us to, wants to know who asks.
fn is_challenge(answer: &Answer, base: &Url) -> bool {
    answer.status() == StatusCode::UNAUTHORIZED && same_origin(&answer.url, base)
}

/// The answer, if the caller expected one of its status.
async fn expected(
    answer: Answer,
    call: &Call,
    shown: Option<&HeaderValue>,
) -> Result<Answer, Failure> {
    match call.accepts(answer.status(), shown) {
        true => Ok(answer),
        false => Err(answer.refusal(&secrets(shown)).await),
    }
}

/// Whether the failure may mean that the other protocol, http or https, is spoken here.
fn is_other_protocol(outcome: &Result<Answer, Failure>) -> bool {
    match outcome {
        // What Go's server says to whoever speaks plain HTTP to it; to HEAD, without the text.
        Ok(answer) => answer.status() == StatusCode::BAD_REQUEST && answer.url.scheme() == "http",
        Err(failure) => {
            let text = failure.error.chain();
            !failure.heard || text.contains("HTTP request to an HTTPS server")
        }
    }
}

/// The addresses that `registry` may have.
fn candidates(registry: &str, insecure: bool, plain_loopback: bool) -> Result<Vec<Url>> {
    let host = if registry == DOCKER_HUB { DOCKER_HUB_HOST } else { registry };
    // What would make more of the name than a host and a port.
    let is_plain =
        !host.contains(['/', '\\', '?', '#', '@']) && !host.contains(char::is_whitespace);
    let url = |scheme: &str| {
        Url::parse(&format!("{scheme}://{host}/"))
            .ok()
            .filter(|url| is_plain && url.has_host())
            .ok_or_else(|| Error::invalid(format!("{registry:?} is no registry's HOST[:PORT]")))
    };
    let (https, http) = (url("https")?, url("http")?);
    let is_loopback = plain_loopback && https.host_str().is_some_and(is_loopback_host);
    Ok(match (is_loopback, insecure) {
        (true, false) => vec![http],
        (true, true) => vec![http, https],
        (false, true) => vec![https, http],
        (false, false) => vec![https],
    })
}

fn own_headers(options: &ClientOptions) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in &options.headers {
        let bad = || Error::invalid(format!("{name:?} with its value is no HTTP header"));
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        let mut value = HeaderValue::from_str(value.expose()).map_err(|_| bad())?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

/// What must not be shown of a request.
fn secrets(authorization: Option<&HeaderValue>) -> Vec<String> {
    let text = authorization.and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split_once(' ').map(|(_, secret)| secret.to_owned()).into_iter().collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_a_registry() {
        for (registry, insecure, expected) in [
            ("docker.io", false, "https://registry-1.docker.io/"),
            ("ghcr.io", false, "https://ghcr.io/"),
            ("ghcr.io", true, "https://ghcr.io/ http://ghcr.io/"),
            ("localhost:5000", false, "http://localhost:5000/"),
            ("127.0.0.1:5000", true, "http://127.0.0.1:5000/ https://127.0.0.1:5000/"),
            ("[::1]:5000", false, "http://[::1]:5000/"),
            ("10.0.0.1:80", false, "https://10.0.0.1:80/"),
        ] {
            let found = candidates(registry, insecure, true).unwrap();
            let found: Vec<_> = found.iter().map(Url::as_str).collect();
            assert_eq!(found.join(" "), expected, "{registry} {insecure}");
        }
        let strict = candidates("localhost:5000", false, false).unwrap();
        assert_eq!(strict[0].as_str(), "https://localhost:5000/");
        for bad in ["", "a/b", "user@host", "a b", "host:99999", "a?b"] {
            assert!(candidates(bad, false, true).is_err(), "{bad}");
        }
    }
}
