//! Connections: which pool serves a URL, built when it is first needed.
//!
//! Owns the HTTP clients. A host that a person named is met with its certificates on a wire of its
//! own. The hosts that it sends us to inherit its trust (its authorities, and whether certificates
//! count at all), never its client certificates; their addresses must be of a class that it may
//! send to. Over TLS there are two pools: HTTP/2 for small requests, and HTTP/1.1 for bulk, because
//! parallel layers over one HTTP/2 connection share one flow-control window.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::{Client, Proxy, Url};

use super::address::{self, AddressClass};
use super::options::ClientOptions;
use super::proxy::Proxies;
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
    proxies: Arc<Proxies>,
}

/// The ways to a host that a person named, and to those that it sends us to.
#[derive(Debug)]
pub(super) struct Wires {
    home: Wire,
    /// For a sender of each class of address.
    peers: [Wire; AddressClass::ALL.len()],
    /// The class of the addresses that have answered for the named host.
    class: SeenClass,
    /// Hosts that may have any address although a server named them, because a person did too.
    token_servers: Vec<String>,
    /// Certificates need not be valid.
    pub(super) is_insecure: bool,
}

/// The pools for one kind of host.
#[derive(Debug)]
struct Wire {
    trust: Trust,
    /// Who named the host: `None` for a person, so its address may be any.
    sender: Option<AddressClass>,
    plain: OnceLock<Client>,
    small: OnceLock<Client>,
    bulk: OnceLock<Client>,
}

/// The least of the classes seen so far: a name that once had a public address stays public, so
/// that changing its meaning gains nothing.
#[derive(Debug)]
struct SeenClass(AtomicU8);

const NOTHING_SEEN: u8 = u8::MAX;

impl SeenClass {
    fn note(&self, class: AddressClass) {
        self.0.fetch_min(class as u8, Ordering::Relaxed);
    }

    fn least(&self) -> AddressClass {
        let seen = self.0.load(Ordering::Relaxed);
        let known = AddressClass::ALL.into_iter().find(|class| *class as u8 == seen);
        known.unwrap_or(AddressClass::Public)
    }
}

impl Wires {
    /// The ways to a host that a person has named, met with `trust`, and to its configured
    /// `token_servers` (`host[:port]`).
    pub(super) fn new(trust: Trust, token_servers: &[String]) -> Wires {
        let wire = |trust, sender| Wire {
            trust,
            sender,
            plain: OnceLock::new(),
            small: OnceLock::new(),
            bulk: OnceLock::new(),
        };
        Wires {
            peers: AddressClass::ALL.map(|sender| wire(trust.of_peers(), Some(sender))),
            class: SeenClass(AtomicU8::new(NOTHING_SEEN)),
            token_servers: token_servers.iter().map(|host| host_name(host)).collect(),
            is_insecure: trust.anyone,
            home: wire(trust, None),
        }
    }

    /// The class of the named host; public until it has answered, and when a proxy stands between.
    pub(super) fn class(&self) -> AddressClass {
        self.class.least()
    }

    /// The named host has answered from an address of this class.
    pub(super) fn note_class(&self, class: AddressClass) {
        self.class.note(class);
    }

    fn peer(&self, sender: AddressClass) -> &Wire {
        &self.peers[sender as usize]
    }
}

/// A pool, and whether its connection leads to a proxy.
pub(super) struct Way {
    pub(super) client: Client,
    pub(super) is_proxied: bool,
}

impl Net {
    pub(super) fn new(options: &ClientOptions) -> Net {
        Net {
            tls: Tls::new(),
            user_agent: options.user_agent.clone(),
            connect: options.timeouts.connect,
            proxies: Arc::new(Proxies::new(&options.proxies)),
        }
    }

    /// The pool for `url`, named by a host of class `sender`, or by a person (`None`).
    ///
    /// # Errors
    /// Denied for an address that the sender may not choose.
    pub(super) fn way(
        &self,
        wires: &Wires,
        sender: Option<AddressClass>,
        url: &Url,
        bulk: bool,
    ) -> Result<Way> {
        let is_proxied = self.proxies.find(url)?.is_some();
        let wire = match sender {
            None => &wires.home,
            Some(sender) => {
                check_literal(url, sender, &wires.token_servers)?;
                wires.peer(sender)
            }
        };
        let (cell, protocols): (_, &[&[u8]]) = match (url.scheme(), bulk || sender.is_some()) {
            ("http", _) => (&wire.plain, &[]),
            (_, true) => (&wire.bulk, &[b"http/1.1"]),
            (_, false) => (&wire.small, &[b"h2", b"http/1.1"]),
        };
        if let Some(client) = cell.get() {
            return Ok(Way { client: client.clone(), is_proxied });
        }
        let client = self.build(wire, &wires.token_servers, protocols)?;
        Ok(Way { client: cell.get_or_init(|| client).clone(), is_proxied })
    }

    fn build(&self, wire: &Wire, exempt: &[String], protocols: &[&[u8]]) -> Result<Client> {
        // Without protocols it is for plain HTTP, which must not cost the reading of authorities.
        let proxy_needs_tls = self.proxies.all().any(|url| url.scheme() == "https");
        let tls = match protocols.is_empty() && !proxy_needs_tls {
            true => self.tls.none()?,
            false => self.tls.config(&wire.trust, protocols)?,
        };
        let of_proxies = self.proxies.all().filter_map(|url| Some(url.host_str()?.to_owned()));
        let exempt = of_proxies.chain(exempt.iter().cloned()).collect();
        let proxies = self.proxies.clone();
        let through = Proxy::custom(move |url| proxies.find(url).ok().flatten().cloned());
        Client::builder()
            .tls_backend_preconfigured(tls)
            .dns_resolver(Resolver { sender: wire.sender, exempt })
            .redirect(reqwest::redirect::Policy::none())
            .proxy(through)
            .referer(false)
            .user_agent(&self.user_agent)
            .connect_timeout(self.connect)
            .pool_idle_timeout(IDLE)
            .http2_max_header_list_size(MAX_HEADERS)
            .build()
            .map_err(|error| Error::caused(ErrorKind::Failed, "preparing an HTTP client", error))
    }
}

/// Refuses a URL with an address that its sender may not choose, unless that is `exempt`.
fn check_literal(url: &Url, sender: AddressClass, exempt: &[String]) -> Result<()> {
    let host = url.host_str().unwrap_or_default();
    match address::literal(url) {
        Some(address)
            if !sender.may_send_to(AddressClass::of(address))
                && !exempt.iter().any(|exempt| exempt == host) =>
        {
            Err(refused(host, address, sender))
        }
        _ => Ok(()),
    }
}

/// The host of a configured `host[:port]`.
fn host_name(host: &str) -> String {
    let url = Url::parse(&format!("https://{host}"));
    url.ok().and_then(|url| Some(url.host_str()?.to_owned())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_a_host_only_becomes_less() {
        let wires = Wires::new(Trust::default(), &[]);
        assert_eq!(wires.class(), AddressClass::Public);
        for (seen, known) in [
            (AddressClass::Loopback, AddressClass::Loopback),
            (AddressClass::Private, AddressClass::Private),
            (AddressClass::Loopback, AddressClass::Private),
            (AddressClass::Public, AddressClass::Public),
            (AddressClass::Private, AddressClass::Public),
        ] {
            wires.note_class(seen);
            assert_eq!(wires.class(), known);
        }
    }
}
