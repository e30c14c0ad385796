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
mod builder;
mod fault;
mod lists;
mod manifests;
mod reply;
mod serve;
mod state;
mod uploads;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

pub use self::builder::Builder;
pub use self::fault::{Canned, Fault, Injected, Location, When, always, once};
pub use self::lists::percent_encode;
pub use self::state::{Manifest, manifest_digest};
pub use super::log::{Kind, Logged};

use self::auth::Issuer;
use self::builder::Options;
use self::fault::Faults;
use self::state::State;
use super::content::{Content, sha256};
use super::http::Server;
use super::log::Log;
use super::tls::ServerTls;

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

impl TestRegistry {
    /// A capable registry without authentication, over plain HTTP.
    pub fn start() -> TestRegistry {
        TestRegistry::builder().start()
    }

    /// Starts with what [`TestRegistry::start`] gives; see [`Builder`] for the switches.
    pub fn builder() -> Builder {
        Builder::new()
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
