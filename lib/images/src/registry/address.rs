//! Who may be asked and who may be told: origins, classes of addresses, domains.
//!
//! Owns the decisions about a peer's addresses as pure functions over URLs and IP addresses; the
//! rules themselves are applied in `exchange`, `resolve` and `auth`. Promise: an address that a
//! server chose and that only the caller's network can reach is recognised whatever its spelling
//! (`Url` has already turned decimal and octal forms into addresses). Sends nothing.
//!
//! One rule for all fetches ([`AddressClass::may_send_to`]): a host that a person named may have
//! any address; a host that a server names (redirect, token server, upload location, next page,
//! submodule) must have an address of a class that the naming server may send to. A registry's
//! class is that of the address which answered, see `wire`; behind a proxy it counts as public. A
//! fetch that does not go through this client (git) resolves both hosts and asks the same function.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::Url;

/// Whether both have scheme, host and port in common: the reach of a credential.
pub(super) fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme()
        && same_host(a, b)
        && a.port_or_known_default() == b.port_or_known_default()
}

/// Whether both name the same host, on whatever port.
pub(super) fn same_host(a: &Url, b: &Url) -> bool {
    a.host_str().is_some() && a.host_str() == b.host_str()
}

/// The IP address that a URL spells out, if it names no host.
pub(super) fn literal(url: &Url) -> Option<IpAddr> {
    let host = url.host_str()?;
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Whether `host` (without port) is this machine by name or number: plain HTTP is the custom there.
pub(super) fn is_loopback_host(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    name == "localhost"
        || name.ends_with(".localhost")
        || address.is_ok_and(|address| address.is_loopback())
}

/// Who can reach an address.
///
/// The order is that of trust: what is known of a server may only become less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressClass {
    /// Anyone: all of the internet means the same machine by it.
    Public,
    /// The machines of one site: RFC 1918, unique local, shared by a carrier or an overlay network.
    Private,
    /// The machines on one cable, and what is no machine's address. Clouds serve secrets there.
    LinkLocal,
    /// This machine alone.
    Loopback,
}

impl AddressClass {
    /// All classes, in their order.
    pub(super) const ALL: [AddressClass; 4] = [
        AddressClass::Public,
        AddressClass::Private,
        AddressClass::LinkLocal,
        AddressClass::Loopback,
    ];

    /// The class of an address.
    pub fn of(address: IpAddr) -> AddressClass {
        match address {
            IpAddr::V4(v4) => class_of_v4(v4),
            IpAddr::V6(v6) => embedded_v4(v6).map_or_else(|| class_of_v6(v6), class_of_v4),
        }
    }

    /// Whether a server at an address of this class may name a host at one of class `to` for us
    /// to connect to. Nobody sends from outside into a network that only we can reach; this
    /// machine is for itself alone, and so is every link.
    pub fn may_send_to(self, to: AddressClass) -> bool {
        match (self, to) {
            (_, AddressClass::Public) => true,
            (AddressClass::Public, _) => false,
            (from, AddressClass::LinkLocal) => from == AddressClass::LinkLocal,
            (from, AddressClass::Loopback) => from == AddressClass::Loopback,
            (_, AddressClass::Private) => true,
        }
    }

    /// What an address of this class is called in messages.
    pub(super) fn adjective(self) -> &'static str {
        match self {
            AddressClass::Public => "public",
            AddressClass::Private => "private",
            AddressClass::LinkLocal => "link-local",
            AddressClass::Loopback => "loopback",
        }
    }
}

fn class_of_v4(address: Ipv4Addr) -> AddressClass {
    let [a, b, c, _] = address.octets();
    match () {
        // Connecting to 0.0.0.0 reaches this machine.
        () if a == 0 || address.is_loopback() => AddressClass::Loopback,
        () if address.is_link_local() => AddressClass::LinkLocal,
        () if address.is_private()
            || (a == 100 && (64..128).contains(&b)) // shared by carriers, RFC 6598
            || (a == 192 && b == 0 && c == 0) // protocol assignments, RFC 6890
            || (a == 198 && (b == 18 || b == 19)) =>
        // benchmarks, RFC 2544
        {
            AddressClass::Private
        }
        // Multicast, reserved, broadcast.
        () if a >= 224 => AddressClass::LinkLocal,
        () => AddressClass::Public,
    }
}

fn class_of_v6(address: Ipv6Addr) -> AddressClass {
    let first = address.segments()[0];
    match () {
        () if address.is_unspecified() || address.is_loopback() => AddressClass::Loopback,
        // Link local; multicast.
        () if (first & 0xffc0) == 0xfe80 || (first & 0xff00) == 0xff00 => AddressClass::LinkLocal,
        // Unique local; site local, obsolete.
        () if (first & 0xfe00) == 0xfc00 || (first & 0xffc0) == 0xfec0 => AddressClass::Private,
        () => AddressClass::Public,
    }
}

/// The IPv4 address that an IPv6 one stands for: mapped, compatible, NAT64, 6to4.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = address.segments();
    let from = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match s {
        [0, 0, 0, 0, 0, 0xffff, high, low] => Some(from(high, low)),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => Some(from(high, low)),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(from(high, low)),
        [0x2002, high, low, ..] => Some(from(high, low)),
        _ => None,
    }
}

/// Domains below which every name has an owner of its own, beside the country-code ones that
/// [`registrable`] recognises by their form.
const SHARED_DOMAINS: &[&str] = &[
    "amazonaws.com",
    "appspot.com",
    "azurecr.io",
    "azurefd.net",
    "azurewebsites.net",
    "blogspot.com",
    "cloudapp.azure.com",
    "cloudfront.net",
    "core.windows.net",
    "deno.dev",
    "digitaloceanspaces.com",
    "firebaseapp.com",
    "fly.dev",
    "github.io",
    "githubpreview.dev",
    "gitlab.io",
    "googleapis.com",
    "herokuapp.com",
    "jfrog.io",
    "netlify.app",
    "ngrok.app",
    "ngrok.io",
    "ngrok-free.app",
    "on.aws",
    "ondigitalocean.app",
    "onrender.com",
    "pages.dev",
    "r2.dev",
    "run.app",
    "trafficmanager.net",
    "trycloudflare.com",
    "up.railway.app",
    "vercel.app",
    "web.app",
    "workers.dev",
];

/// Second-level labels that are registries' own under two-letter top-level domains (`co.uk`).
const SECOND_LEVEL: &[&str] =
    &["ac", "co", "com", "edu", "go", "gob", "gov", "gub", "mil", "ne", "net", "or", "org"];

/// The part of a host name that one party has registered; `None` for addresses and bare names.
fn registrable(host: &str) -> Option<&str> {
    if host.parse::<IpAddr>().is_ok() || host.starts_with('[') || !host.contains('.') {
        return None;
    }
    let tail = |labels: usize| match host.rmatch_indices('.').nth(labels - 1) {
        Some((at, _)) => &host[at + 1..],
        None => host,
    };
    let below = |domain: &&&str| {
        host.strip_suffix(**domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    if let Some(domain) = SHARED_DOMAINS.iter().find(below) {
        let labels = domain.matches('.').count() + 1;
        return (host.len() > domain.len()).then(|| tail(labels + 1));
    }
    let (second, top) = tail(2).split_once('.')?;
    let is_shared = top.len() == 2 && SECOND_LEVEL.contains(&second);
    Some(tail(if is_shared { 3 } else { 2 }))
}

/// Whether one party has registered both hosts.
pub(super) fn same_domain(a: &str, b: &str) -> bool {
    registrable(a).is_some_and(|domain| registrable(b) == Some(domain))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_addresses() {
        use AddressClass::{LinkLocal, Loopback, Private, Public};
        for (address, class) in [
            ("127.0.0.1", Loopback),
            ("127.9.9.9", Loopback),
            ("0.0.0.0", Loopback),
            ("0.1.2.3", Loopback),
            ("10.0.0.1", Private),
            ("172.16.0.1", Private),
            ("192.168.1.1", Private),
            ("169.254.169.254", LinkLocal),
            ("100.64.0.1", Private),
            ("192.0.0.8", Private),
            ("198.18.0.1", Private),
            ("224.0.0.1", LinkLocal),
            ("255.255.255.255", LinkLocal),
            ("::1", Loopback),
            ("::", Loopback),
            ("fd00:ec2::254", Private),
            ("fe80::1", LinkLocal),
            ("fec0::1", Private),
            ("ff02::1", LinkLocal),
            ("::ffff:127.0.0.1", Loopback),
            ("::127.0.0.1", Loopback),
            ("64:ff9b::a00:1", Private),
            ("2002:7f00:1::", Loopback),
            ("8.8.8.8", Public),
            ("172.32.0.1", Public),
            ("100.128.0.1", Public),
            ("2606:4700::1", Public),
            ("::ffff:8.8.8.8", Public),
        ] {
            assert_eq!(AddressClass::of(address.parse().unwrap()), class, "{address}");
        }
    }

    #[test]
    fn where_a_server_may_send() {
        use AddressClass::{LinkLocal, Loopback, Private, Public};
        for (from, allowed) in [
            (Public, &[Public][..]),
            (Private, &[Public, Private]),
            (LinkLocal, &[Public, Private, LinkLocal]),
            (Loopback, &[Public, Private, Loopback]),
        ] {
            let may: Vec<_> =
                AddressClass::ALL.into_iter().filter(|to| from.may_send_to(*to)).collect();
            assert_eq!(may, allowed, "{from:?}");
        }
    }

    #[test]
    fn urls_spell_addresses_in_many_ways() {
        for spelling in
            ["http://2130706433/", "http://0177.0.0.1/", "http://0x7f.1/", "http://127.1/"]
        {
            let url = Url::parse(spelling).unwrap();
            assert_eq!(literal(&url), Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), "{spelling}");
        }
        assert_eq!(literal(&Url::parse("http://[::1]:80/").unwrap()), "::1".parse().ok());
        assert_eq!(literal(&Url::parse("http://a.b/").unwrap()), None);
    }

    #[test]
    fn this_machine() {
        for host in [
            "localhost",
            "LOCALHOST",
            "a.localhost",
            "localhost.",
            "127.0.0.1",
            "127.1.2.3",
            "[::1]",
        ] {
            assert!(is_loopback_host(host), "{host}");
        }
        for host in ["localhost.com", "notlocalhost", "10.0.0.1", "128.0.0.1", "[::2]"] {
            assert!(!is_loopback_host(host), "{host}");
        }
    }

    #[test]
    fn one_owner() {
        for (a, b) in [
            ("registry-1.docker.io", "auth.docker.io"),
            ("registry.gitlab.com", "gitlab.com"),
            ("registry.corp.co.uk", "login.corp.co.uk"),
            ("a.eu.acct.jfrog.io", "b.acct.jfrog.io"),
        ] {
            assert!(same_domain(a, b), "{a} {b}");
        }
        for (a, b) in [
            ("ghrc.io", "ghcr.io"),
            ("a.co.uk", "b.co.uk"),
            ("a.azurecr.io", "b.azurecr.io"),
            ("azurecr.io", "b.azurecr.io"),
            ("a.s3.amazonaws.com", "b.amazonaws.com"),
            ("127.0.0.1", "127.0.0.1"),
            ("localhost", "localhost"),
            ("notdocker.io", "docker.io"),
            ("xjfrog.io", "a.xjfrog.io.evil.com"),
        ] {
            assert!(!same_domain(a, b), "{a} {b}");
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let url = |text| Url::parse(text).unwrap();
        assert!(same_origin(&url("https://A.b/x"), &url("https://a.b:443/y?z")));
        for other in ["http://a.b/", "https://a.b:444/", "https://b.a.b/"] {
            assert!(!same_origin(&url("https://a.b/"), &url(other)), "{other}");
        }
    }
}
