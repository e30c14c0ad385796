//! Connections: which pool serves a URL, built when it is first needed.
//!
//! Owns the HTTP clients. The registry's own host is met with its certificates on a wire of its
//! own; every host that a server sends us to is met on one shared wire that presents nothing and
//! refuses private addresses. Over TLS there are two pools: HTTP/2 for small requests, and HTTP/1.1
//! for bulk, because parallel layers over one HTTP/2 connection share one flow-control window.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::{Client, Url};

use super::address;
use super::options::ClientOptions;
use super::resolve::{Resolver, refused};
use super::tls::{Tls, Trust};
use crate::error::{Error, ErrorKind, Result};

/// Longest header section that is taken.
pub(super) const MAX_HEADERS: u32 = 64 << 10;
/// Idle connections that are kept for the next request.
const IDLE: Duration = Duration::from_secs(60);

/// What all connections of a client have in common.
#[derive(Debug)]
pub(super) struct Net {
    tls: Tls,
    user_agent: String,
    connect: Duration,
    /// Names that may lie in a private network although a server named them: the proxies and
    /// token servers that the person configured.
    exempt: Arc<[String]>,
    proxy_needs_tls: bool,
    strangers: Wire,
}

/// The pools for one kind of host.
#[derive(Debug, Default)]
pub(super) struct Wire {
    trust: Trust,
    /// A person named the host, so its address may be any.
    named: bool,
    plain: OnceLock<Client>,
    small: OnceLock<Client>,
    bulk: OnceLock<Client>,
}

impl Wire {
    /// The pools for a host that a person has named.
    pub(super) fn named(trust: Trust) -> Wire {
        Wire { trust, named: true, ..Wire::default() }
    }
}

impl Net {
    pub(super) fn new(options: &ClientOptions) -> Net {
        let proxies = proxies();
        let exempt = proxies.iter().filter_map(|url| Some(url.host_str()?.to_owned()));
        let exempt = exempt.chain(options.token_servers.iter().map(|host| host_name(host)));
        Net {
            tls: Tls::new(),
            user_agent: options.user_agent.clone(),
            connect: options.timeouts.connect,
            exempt: exempt.collect(),
            proxy_needs_tls: proxies.iter().any(|url| url.scheme() == "https"),
            strangers: Wire::default(),
        }
    }

    /// The pool for `url`, on `home` if that wire belongs to its host.
    ///
    /// # Errors
    /// Denied when a server chose a private address.
    pub(super) fn client(&self, home: Option<&Wire>, url: &Url, bulk: bool) -> Result<Client> {
        if home.is_none() {
            self.check_literal(url)?;
        }
        let wire = home.unwrap_or(&self.strangers);
        let (cell, protocols): (_, &[&[u8]]) = match (url.scheme(), bulk || home.is_none()) {
            ("http", _) => (&wire.plain, &[]),
            (_, true) => (&wire.bulk, &[b"http/1.1"]),
            (_, false) => (&wire.small, &[b"h2", b"http/1.1"]),
        };
        if let Some(client) = cell.get() {
            return Ok(client.clone());
        }
        let client = self.build(wire, protocols)?;
        Ok(cell.get_or_init(|| client).clone())
    }

    fn check_literal(&self, url: &Url) -> Result<()> {
        let host = url.host_str().unwrap_or_default();
        match address::literal(url) {
            Some(address) if !address::is_public(address) => {
                match self.exempt.iter().any(|exempt| exempt == host) {
                    true => Ok(()),
                    false => Err(refused(host, address)),
                }
            }
            _ => Ok(()),
        }
    }

    fn build(&self, wire: &Wire, protocols: &[&[u8]]) -> Result<Client> {
        // Without protocols it is for plain HTTP, which must not cost the reading of authorities.
        let tls = match protocols.is_empty() && !self.proxy_needs_tls {
            true => self.tls.none()?,
            false => self.tls.config(&wire.trust, protocols)?,
        };
        let exempt = (!wire.named).then(|| self.exempt.clone());
        Client::builder()
            .tls_backend_preconfigured(tls)
            .dns_resolver(Resolver { exempt })
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .user_agent(&self.user_agent)
            .connect_timeout(self.connect)
            .pool_idle_timeout(IDLE)
            .http2_max_header_list_size(MAX_HEADERS)
            .build()
            .map_err(|error| Error::caused(ErrorKind::Failed, "preparing an HTTP client", error))
    }
}

/// The host of a configured `host[:port]`.
fn host_name(host: &str) -> String {
    let url = Url::parse(&format!("https://{host}"));
    url.ok().and_then(|url| Some(url.host_str()?.to_owned())).unwrap_or_default()
}

/// The proxies that the HTTP library will take from the environment.
fn proxies() -> Vec<Url> {
    let names = ["ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY"];
    let names = names.into_iter().flat_map(|name| [name.to_owned(), name.to_ascii_lowercase()]);
    let parse = |value: String| {
        let full = if value.contains("://") { value } else { format!("http://{value}") };
        Url::parse(&full).ok()
    };
    names.filter_map(|name| std::env::var(name).ok()).filter_map(parse).collect()
}
