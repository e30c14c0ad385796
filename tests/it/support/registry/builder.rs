//! What a `TestRegistry` shall be like: the switches, and starting it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::super::http::Server;
use super::super::log::Log;
use super::super::tls::{ServerTls, TlsOptions};
use super::auth::{Issuer, TokenOptions};
use super::fault::{Faults, Location};
use super::{Inner, TestRegistry};

/// Switches; the defaults are a capable registry without authentication.
#[derive(Clone)]
pub(super) struct Options {
    pub(super) basic: Option<(String, String)>,
    pub(super) open_ping: bool,
    pub(super) delete: bool,
    pub(super) tag_delete_refused: Option<u16>,
    pub(super) referrers: bool,
    pub(super) referrers_filter: bool,
    pub(super) referrers_page: Option<usize>,
    pub(super) tag_page: Option<usize>,
    pub(super) ranges: bool,
    pub(super) mounts: bool,
    pub(super) anonymous_mounts: bool,
    pub(super) single_post: bool,
    pub(super) chunked_bodies: bool,
    pub(super) chunk_min: Option<u64>,
    pub(super) one_use_locations: bool,
    pub(super) sparse_indexes: bool,
    pub(super) location: Location,
}

/// What a [`TestRegistry`] shall be like; see [`TestRegistry::builder`].
pub struct Builder {
    options: Options,
    tokens: Option<TokenOptions>,
    issuer: Option<Arc<Issuer>>,
    realm: Option<String>,
    tls: Option<ServerTls>,
}

impl Builder {
    /// A capable registry without authentication, over plain HTTP.
    pub(super) fn new() -> Builder {
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
    pub fn tls_with(self, options: TlsOptions) -> Builder {
        self.tls_like(ServerTls::new(options))
    }

    /// TLS with certificates that other servers have too.
    pub fn tls_like(mut self, tls: ServerTls) -> Builder {
        self.tls = Some(tls);
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
