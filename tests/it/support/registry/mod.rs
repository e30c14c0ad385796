//! `TestRegistry`: an OCI distribution registry in the test process, honest unless told otherwise.
//!
//! It follows distribution-spec 1.1 and is strict where registries in the field are: names, tags
//! and digests are checked against their grammar, `Accept` decides what may be answered, a
//! manifest is taken only when all it refers to is there with the right size, chunks must come in
//! order, an upload's `Location` must be used as it was given. What registries do differently is a
//! switch of [`Builder`]; what they do wrong is a [`Fault`].
//!
//! ```ignore
//! let reg = TestRegistry::start();
//! let cut = reg.inject(once("GET", Kind::Blob), Fault::DropAfter(1000));
//! … run a program against reg.image("repo:tag") …
//! assert_eq!(cut.fired(), 1);
//! assert_eq!(reg.count("GET", Kind::Blob), 3);
//! ```

mod auth;
mod blobs;
mod fault;
mod lists;
mod manifests;
mod reply;
mod state;
mod uploads;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;

pub use self::fault::{Canned, Fault, Injected, Location, When, always, once};
pub use self::lists::percent_encode;
pub use self::state::{Manifest, manifest_digest};
pub use super::log::{Kind, Logged};

use self::auth::{Issuer, Scope, TokenOptions};
use self::fault::Faults;
use self::state::State;
use super::content::{Content, sha256};
use super::http::{Answer, Call, Reply, Server};
use super::log::Log;
use super::tls::{ServerTls, TlsOptions};

/// Switches; the defaults are a capable registry without authentication.
#[derive(Clone)]
struct Options {
    basic: Option<(String, String)>,
    open_ping: bool,
    delete: bool,
    tag_delete_refused: Option<u16>,
    referrers: bool,
    referrers_filter: bool,
    referrers_page: Option<usize>,
    tag_page: Option<usize>,
    ranges: bool,
    mounts: bool,
    anonymous_mounts: bool,
    single_post: bool,
    chunked_bodies: bool,
    chunk_min: Option<u64>,
    one_use_locations: bool,
    sparse_indexes: bool,
    location: Location,
}

/// What a [`TestRegistry`] shall be like; see [`TestRegistry::builder`].
pub struct Builder {
    options: Options,
    tokens: Option<TokenOptions>,
    issuer: Option<Arc<Issuer>>,
    realm: Option<String>,
    tls: Option<TlsOptions>,
}

/// Shared by the server thread and the test.
struct Inner {
    options: Options,
    url: String,
    state: Mutex<State>,
    faults: Faults,
    log: Arc<Log>,
    issuer: Option<Arc<Issuer>>,
}

/// A running registry; stops when dropped. See the module's documentation.
pub struct TestRegistry {
    inner: Arc<Inner>,
    server: Server,
    tls: Option<ServerTls>,
}

impl Builder {
    /// Bearer tokens from this server's own `/token`, for this user.
    pub fn token_auth(mut self, user: &str, password: &str) -> Builder {
        self.tokens = Some(TokenOptions {
            user: user.into(),
            password: password.into(),
            refresh_token: None,
            anonymous_pull: false,
            lifetime: Duration::from_secs(3600),
            claimed_lifetime: None,
            denied: Vec::new(),
            post: true,
        });
        self
    }

    fn change_tokens(mut self, change: impl FnOnce(&mut TokenOptions)) -> Builder {
        change(self.tokens.as_mut().expect("call token_auth first"));
        self
    }

    /// Without credentials there are tokens too, for pulling.
    pub fn anonymous_pull(self) -> Builder {
        self.change_tokens(|tokens| tokens.anonymous_pull = true)
    }

    /// The refresh (identity) token that POST accepts.
    pub fn refresh_token(self, token: &str) -> Builder {
        self.change_tokens(|tokens| tokens.refresh_token = Some(token.into()))
    }

    /// How long a token is good.
    pub fn token_lifetime(self, lifetime: Duration) -> Builder {
        self.change_tokens(|tokens| tokens.lifetime = lifetime)
    }

    /// What to say in `expires_in`, whatever is true; null leaves it out.
    pub fn claimed_token_lifetime(self, value: serde_json::Value) -> Builder {
        self.change_tokens(|tokens| tokens.claimed_lifetime = Some(value))
    }

    /// Leaves this action (`repository:NAME:push`) silently out of every token.
    pub fn deny(self, scope: &str) -> Builder {
        self.change_tokens(|tokens| tokens.denied.push(scope.into()))
    }

    /// POST to the token endpoint is 404, as with services that know only GET.
    pub fn no_token_post(self) -> Builder {
        self.change_tokens(|tokens| tokens.post = false)
    }

    /// Trusts the tokens of another registry and names its `/token` as realm.
    pub fn tokens_from(mut self, other: &TestRegistry) -> Builder {
        self.issuer = Some(other.inner.issuer.clone().expect("the other one gives tokens"));
        self
    }

    /// Names this as realm instead of its own `/token`: another host, or nonsense.
    pub fn realm(mut self, realm: &str) -> Builder {
        self.realm = Some(realm.into());
        self
    }

    /// Basic authentication on every request.
    pub fn basic_auth(mut self, user: &str, password: &str) -> Builder {
        self.options.basic = Some((user.into(), password.into()));
        self
    }

    /// `GET /v2/` is 200 without authentication, everything else is not.
    pub fn open_ping(mut self) -> Builder {
        self.options.open_ping = true;
        self
    }

    /// TLS with a CA of its own: [`TestRegistry::ca_path`].
    pub fn tls(self) -> Builder {
        self.tls_with(TlsOptions::default())
    }

    /// TLS with something special: expired, wrong host, client certificate, HTTP/2.
    pub fn tls_with(mut self, options: TlsOptions) -> Builder {
        self.tls = Some(options);
        self
    }

    /// Nothing can be deleted: 405.
    pub fn no_delete(mut self) -> Builder {
        self.options.delete = false;
        self
    }

    /// Deleting by tag is refused with this status (400 and 405 are seen).
    pub fn no_tag_delete(mut self, status: u16) -> Builder {
        self.options.tag_delete_refused = Some(status);
        self
    }

    /// No referrers API: 404, and no `OCI-Subject`.
    pub fn no_referrers(mut self) -> Builder {
        self.options.referrers = false;
        self
    }

    /// The referrers API leaves filtering by `artifactType` to the client.
    pub fn no_referrers_filter(mut self) -> Builder {
        self.options.referrers_filter = false;
        self
    }

    /// So many referrers a page.
    pub fn referrers_page(mut self, size: usize) -> Builder {
        self.options.referrers_page = Some(size);
        self
    }

    /// At most so many tags (and repositories) a page, whatever `n` says.
    pub fn tag_page(mut self, size: usize) -> Builder {
        self.options.tag_page = Some(size);
        self
    }

    /// Range headers are ignored.
    pub fn no_ranges(mut self) -> Builder {
        self.options.ranges = false;
        self
    }

    /// Mounts are always answered with 202.
    pub fn no_mounts(mut self) -> Builder {
        self.options.mounts = false;
        self
    }

    /// A mount without `from` finds the blob in any repository.
    pub fn anonymous_mounts(mut self) -> Builder {
        self.options.anonymous_mounts = true;
        self
    }

    /// `POST ?digest=` with a body only starts a session, as distribution 2.8 does.
    pub fn no_single_post(mut self) -> Builder {
        self.options.single_post = false;
        self
    }

    /// Upload bodies without Content-Length are refused with 411.
    pub fn no_chunked_bodies(mut self) -> Builder {
        self.options.chunked_bodies = false;
        self
    }

    /// Sends `OCI-Chunk-Min-Length` and refuses to go on after a smaller chunk.
    pub fn chunk_min(mut self, bytes: u64) -> Builder {
        self.options.chunk_min = Some(bytes);
        self
    }

    /// Every Location is good for one request: an old one is 404, as with distribution 2.8.
    pub fn one_use_locations(mut self) -> Builder {
        self.options.one_use_locations = true;
        self
    }

    /// Takes an index whose children are missing.
    pub fn sparse_indexes(mut self) -> Builder {
        self.options.sparse_indexes = true;
        self
    }

    /// The form of upload Locations.
    pub fn location(mut self, form: Location) -> Builder {
        self.options.location = form;
        self
    }

    pub fn start(self) -> TestRegistry {
        let Builder { options, tokens, issuer, realm, tls } = self;
        let tls = tls.map(ServerTls::new);
        let own = tokens.map(|tokens| Arc::new(Issuer::new(tokens)));
        let issuer = own.clone().or(issuer);
        let log = Arc::new(Log::default());
        let mut shared = None;
        let server = Server::start(log.clone(), tls.as_ref(), |url| {
            if let Some(own) = own {
                let realm = realm.unwrap_or_else(|| format!("{url}/token"));
                own.realm.set(realm).expect("set once");
            }
            let inner = Arc::new(Inner {
                options,
                url: url.into(),
                state: Mutex::default(),
                faults: Faults::default(),
                log,
                issuer,
            });
            shared = Some(inner.clone());
            move |call| inner.clone().answer(call)
        });
        TestRegistry { inner: shared.expect("made above"), server, tls }
    }
}

/// Where a request goes.
enum Route {
    Ping,
    Token,
    Catalog,
    Tags(String),
    Manifest(String, String),
    Blob(String, String),
    Upload(String, String),
    Referrers(String, String),
}

impl Route {
    fn parse(path: &str) -> Option<Route> {
        let rest = match path {
            "/v2" | "/v2/" => return Some(Route::Ping),
            "/token" => return Some(Route::Token),
            "/v2/_catalog" => return Some(Route::Catalog),
            _ => path.strip_prefix("/v2/")?,
        };
        if let Some(name) = rest.strip_suffix("/tags/list") {
            return Some(Route::Tags(name.into()));
        }
        type Make = fn(String, String) -> Route;
        let kinds: [(&str, Make); 4] = [
            ("/blobs/uploads/", Route::Upload),
            ("/manifests/", Route::Manifest),
            ("/blobs/", Route::Blob),
            ("/referrers/", Route::Referrers),
        ];
        kinds.iter().find_map(|(middle, make)| {
            let (name, last) = rest.rsplit_once(middle)?;
            (!last.contains('/')).then(|| make(name.into(), super::http::percent_decode(last)))
        })
    }

    fn repository(&self) -> Option<&str> {
        match self {
            Route::Ping | Route::Token | Route::Catalog => None,
            Route::Tags(name)
            | Route::Manifest(name, _)
            | Route::Blob(name, _)
            | Route::Upload(name, _)
            | Route::Referrers(name, _) => Some(name),
        }
    }

    /// What a token must allow for this request.
    fn scopes(&self, call: &Call) -> Vec<Scope> {
        let Some(name) = self.repository() else {
            let catalog = matches!(self, Route::Catalog);
            return catalog.then(Scope::catalog).into_iter().collect();
        };
        let actions: &[&str] = match call.method.as_str() {
            "GET" if matches!(self, Route::Upload(..)) => &["pull", "push"],
            "DELETE" if matches!(self, Route::Upload(..)) => &["pull", "push"],
            "GET" | "HEAD" => &["pull"],
            "DELETE" => &["delete"],
            _ => &["pull", "push"],
        };
        let mut scopes = vec![Scope::repository(name, actions)];
        if matches!(self, Route::Upload(..)) && call.method == "POST" {
            let from = call.query_one("from");
            scopes.extend(from.map(|from| Scope::repository(&from, &["pull"])));
        }
        scopes
    }
}

impl Inner {
    async fn answer(self: Arc<Self>, mut call: Call) -> Answer {
        let path_and_query = match call.query.as_str() {
            "" => call.path.clone(),
            query => format!("{}?{query}", call.path),
        };
        let faults = self.faults.take(&call.method, Kind::of(&call.path), &path_and_query);
        let answer = match self.fail_first(&mut call, &path_and_query, &faults).await {
            Some(answer) => answer,
            None => self.handle(&mut call, &faults).await,
        };
        if faults.iter().any(|fault| matches!(fault, Fault::LoseReply)) {
            return Answer::Drop;
        }
        match answer {
            Answer::Drop => Answer::Drop,
            Answer::Reply(mut reply) => {
                if !faults.iter().any(|fault| matches!(fault, Fault::AnswerEarly(_))) {
                    // An answer on a body that was not read to its end may never reach the client.
                    call.drain().await;
                }
                faults.iter().for_each(|fault| fault.spoil(&mut reply));
                reply
                    .headers
                    .push(("Docker-Distribution-API-Version".into(), "registry/2.0".into()));
                Answer::Reply(reply)
            }
        }
    }

    /// The faults that come before any handling.
    async fn fail_first(
        &self,
        call: &mut Call,
        path_and_query: &str,
        faults: &[Fault],
    ) -> Option<Answer> {
        for fault in faults {
            match fault {
                Fault::Delay(time) => tokio::time::sleep(*time).await,
                Fault::Hang => {
                    call.drain().await;
                    std::future::pending::<()>().await;
                }
                Fault::ExpireTokens => {
                    if let Some(issuer) = &self.issuer {
                        issuer.expire_all();
                    }
                }
                Fault::Answer(canned) | Fault::AnswerEarly(canned) => {
                    return Some(Answer::Reply(canned.reply()));
                }
                Fault::Redirect { code, to } => {
                    let location = format!("{to}{path_and_query}");
                    return Some(Answer::Reply(Reply::new(*code).header("Location", location)));
                }
                Fault::DropRequestAfter(n) if Kind::of(&call.path) != Kind::Upload => {
                    let mut got = 0;
                    while got < *n {
                        let Some(Ok(part)) = call.part().await else { break };
                        got += part.len() as u64;
                    }
                    return Some(Answer::Drop);
                }
                _ => {}
            }
        }
        None
    }

    async fn handle(&self, call: &mut Call, faults: &[Fault]) -> Answer {
        let Some(route) = Route::parse(&call.path) else {
            return Answer::Reply(Reply::new(404).content("404 page not found\n"));
        };
        if let Route::Token = route {
            return Answer::Reply(match &self.issuer {
                Some(issuer) => issuer.give_token(call).await,
                None => Reply::new(404),
            });
        }
        if let Err(reply) = self.authorize(call, &route) {
            return Answer::Reply(reply);
        }
        if route.repository().is_some_and(|name| !reply::is_repository(name)) {
            return Answer::Reply(reply::error(400, "NAME_INVALID", "invalid repository name"));
        }
        match route {
            Route::Ping | Route::Token => {
                Answer::Reply(Reply::new(200).json(&serde_json::json!({})))
            }
            Route::Catalog => Answer::Reply(self.catalog(call)),
            Route::Tags(name) => Answer::Reply(self.tags(call, &name)),
            Route::Manifest(name, what) => self.manifest(call, &name, &what, faults).await,
            Route::Blob(name, digest) => Answer::Reply(self.blob(call, &name, &digest, faults)),
            Route::Upload(name, id) => self.upload(call, &name, &id, faults).await,
            Route::Referrers(name, what) => Answer::Reply(self.referrers(call, &name, &what)),
        }
    }

    fn authorize(&self, call: &Call, route: &Route) -> Result<(), Reply> {
        if matches!(route, Route::Ping) && self.options.open_ping {
            return Ok(());
        }
        let authorization = call.header("authorization");
        if let Some((user, password)) = &self.options.basic {
            auth::check_basic(authorization, user, password)?;
        }
        match &self.issuer {
            Some(issuer) => issuer.check(authorization, &route.scopes(call)),
            None => Ok(()),
        }
    }
}

impl Canned {
    fn reply(&self) -> Reply {
        let mut reply = Reply::new(self.status).content(self.body.clone());
        reply.headers = self.headers.clone();
        reply
    }
}

impl TestRegistry {
    /// A capable registry without authentication, over plain HTTP.
    pub fn start() -> TestRegistry {
        TestRegistry::builder().start()
    }

    pub fn builder() -> Builder {
        let options = Options {
            basic: None,
            open_ping: false,
            delete: true,
            tag_delete_refused: None,
            referrers: true,
            referrers_filter: true,
            referrers_page: None,
            tag_page: None,
            ranges: true,
            mounts: true,
            anonymous_mounts: false,
            single_post: true,
            chunked_bodies: true,
            chunk_min: None,
            one_use_locations: false,
            sparse_indexes: false,
            location: Location::default(),
        };
        Builder { options, tokens: None, issuer: None, realm: None, tls: None }
    }

    /// `127.0.0.1:PORT`
    pub fn host(&self) -> String {
        self.server.host()
    }

    /// `http://127.0.0.1:PORT` or `https://…`
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// `docker://127.0.0.1:PORT/` and this name (`repo:tag`, `repo@sha256:…`).
    pub fn image(&self, name: &str) -> String {
        format!("docker://{}/{name}", self.host())
    }

    /// The CA certificate (PEM) that signed this server's.
    pub fn ca_path(&self) -> PathBuf {
        self.tls.as_ref().expect("a registry with TLS").path("ca.crt")
    }

    /// The TLS files of this server, among them a client certificate.
    pub fn tls(&self) -> &ServerTls {
        self.tls.as_ref().expect("a registry with TLS")
    }

    /// From now on, what happens to matching requests.
    pub fn inject(&self, when: When, fault: Fault) -> Injected {
        self.inner.faults.inject(when, fault)
    }

    /// Honest again.
    pub fn clear_faults(&self) {
        self.inner.faults.clear();
    }

    /// All tokens given so far end now.
    pub fn expire_tokens(&self) {
        self.inner.issuer.as_ref().expect("a registry with tokens").expire_all();
    }

    /// Requests since the start or [`TestRegistry::clear_log`], in the order of arrival.
    pub fn requests(&self) -> Vec<Logged> {
        self.inner.log.requests()
    }

    pub fn clear_log(&self) {
        self.inner.log.clear();
    }

    /// Logged requests with this method (`"*"` for any) and kind.
    pub fn count(&self, method: &str, kind: Kind) -> usize {
        let all = self.requests();
        all.iter().filter(|r| r.kind == kind && (method == "*" || r.method == method)).count()
    }

    /// The log as lines `METHOD path status`, with `repositories` and digests as they are: good
    /// to print when an assertion fails.
    pub fn log_text(&self) -> String {
        let line = |r: &Logged| format!("{} {} {}\n", r.method, r.path_and_query, r.status);
        self.requests().iter().map(line).collect()
    }

    /// The most requests of a kind that were under way at once (blob GETs until their last byte).
    pub fn most_in_flight(&self, kind: Kind) -> usize {
        self.inner.log.most_in_flight(kind)
    }

    /// TCP connections accepted so far.
    pub fn connections(&self) -> u64 {
        self.server.connections()
    }

    /// Puts a blob into a repository, as if pushed; returns its digest.
    pub fn put_blob(&self, repository: &str, content: impl Into<Content>) -> String {
        let content = content.into();
        let digest = content.digest_like("sha256:");
        self.put_blob_as(repository, &digest, content);
        digest
    }

    /// Puts content under a digest without checking that it is its own.
    pub fn put_blob_as(&self, repository: &str, digest: &str, content: impl Into<Content>) {
        let mut state = self.inner.state.lock().expect("state");
        state.blobs.insert(digest.into(), content.into());
        state.repository(repository).blobs.insert(digest.into());
    }

    /// Puts a manifest into a repository, unchecked, with a tag if one is given; returns its digest.
    pub fn put_manifest(
        &self,
        repository: &str,
        tag: Option<&str>,
        media_type: &str,
        bytes: impl Into<Bytes>,
    ) -> String {
        let manifest = Manifest::new(media_type, bytes.into());
        let digest = manifest.digest.clone();
        let mut state = self.inner.state.lock().expect("state");
        let repository = state.repository(repository);
        repository.manifests.insert(digest.clone(), manifest);
        if let Some(tag) = tag {
            repository.tags.insert(tag.into(), digest.clone());
        }
        digest
    }

    /// Puts manifest bytes under a digest without checking that it is their own.
    pub fn put_manifest_as(
        &self,
        repository: &str,
        digest: &str,
        media_type: &str,
        bytes: impl Into<Bytes>,
    ) {
        let mut manifest = Manifest::new(media_type, bytes.into());
        manifest.digest = digest.into();
        let mut state = self.inner.state.lock().expect("state");
        state.repository(repository).manifests.insert(digest.into(), manifest);
    }

    /// Points a tag to a digest.
    pub fn tag(&self, repository: &str, tag: &str, digest: &str) {
        let mut state = self.inner.state.lock().expect("state");
        state.repository(repository).tags.insert(tag.into(), digest.into());
    }

    pub fn has_blob(&self, repository: &str, digest: &str) -> bool {
        self.blob(repository, digest).is_some()
    }

    /// A blob that the repository has.
    pub fn blob(&self, repository: &str, digest: &str) -> Option<Content> {
        self.inner.state.lock().expect("state").blob(repository, digest)
    }

    /// Digests of the blobs that a repository has, sorted.
    pub fn blobs(&self, repository: &str) -> Vec<String> {
        let state = self.inner.state.lock().expect("state");
        let found = state.repositories.get(repository);
        found.map_or(Vec::new(), |repository| repository.blobs.iter().cloned().collect())
    }

    /// The manifest under a tag or digest.
    pub fn manifest(&self, repository: &str, reference: &str) -> Option<Manifest> {
        self.inner.state.lock().expect("state").manifest(repository, reference).cloned()
    }

    /// Digests of the manifests that a repository has, sorted.
    pub fn manifests(&self, repository: &str) -> Vec<String> {
        let state = self.inner.state.lock().expect("state");
        let found = state.repositories.get(repository);
        found.map_or(Vec::new(), |repository| repository.manifests.keys().cloned().collect())
    }

    /// Tags of a repository, sorted.
    pub fn tags(&self, repository: &str) -> Vec<String> {
        let state = self.inner.state.lock().expect("state");
        let found = state.repositories.get(repository);
        found.map_or(Vec::new(), |repository| repository.tags.keys().cloned().collect())
    }

    /// Names of the repositories, sorted.
    pub fn repositories(&self) -> Vec<String> {
        self.inner.state.lock().expect("state").repositories.keys().cloned().collect()
    }

    /// Upload sessions that were neither finished nor cancelled.
    pub fn open_uploads(&self, repository: &str) -> usize {
        let state = self.inner.state.lock().expect("state");
        state.repositories.get(repository).map_or(0, |repository| repository.uploads.len())
    }

    /// Removes a blob, a manifest (with its tags) or a tag.
    pub fn delete(&self, repository: &str, what: &str) {
        let mut state = self.inner.state.lock().expect("state");
        let repository = state.repository(repository);
        repository.blobs.remove(what);
        repository.manifests.remove(what);
        repository.tags.retain(|tag, digest| tag != what && digest != what);
    }

    /// Panics unless every tag of the repository leads to a whole image: all manifests, configs
    /// and layers (foreign ones excepted) are there and are what their digests say.
    pub fn assert_whole(&self, repository: &str) {
        for tag in self.tags(repository) {
            let root = self.manifest(repository, &tag);
            let root = root.unwrap_or_else(|| panic!("{repository}:{tag} points to nothing"));
            self.assert_manifest_whole(repository, &root);
        }
    }

    fn assert_manifest_whole(&self, repository: &str, manifest: &Manifest) {
        if !manifest.media_type.ends_with("prettyjws") {
            assert_eq!(sha256(&manifest.bytes), manifest.digest, "digest of a manifest");
        }
        let json = manifest.json();
        let list = |field: &str| json[field].as_array().cloned().unwrap_or_default();
        for child in list("manifests") {
            let digest = child["digest"].as_str().expect("digest of a child");
            let found = self.manifest(repository, digest);
            let found = found.unwrap_or_else(|| panic!("{repository}@{digest} is missing"));
            self.assert_manifest_whole(repository, &found);
        }
        for blob in json.get("config").cloned().into_iter().chain(list("layers")) {
            if blob.get("urls").is_some() {
                continue;
            }
            let digest = blob["digest"].as_str().expect("digest of a blob");
            let found = self.blob(repository, digest);
            let found = found.unwrap_or_else(|| panic!("{repository}: blob {digest} is missing"));
            assert_eq!(Some(found.size()), blob["size"].as_u64(), "size of {digest}");
            assert_eq!(found.digest_like(digest), digest, "content of a blob");
        }
    }
}
