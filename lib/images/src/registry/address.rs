//! Who may be asked and who may be told: origins, private addresses, domains.
//!
//! Owns the decisions about a peer's addresses as pure functions over URLs and IP addresses; the
//! rules themselves are applied in `exchange`, `resolve` and `auth`. Promise: an address that a
//! server chose and that only the caller's network can reach is recognised whatever its spelling
//! (`Url` has already turned decimal and octal forms into addresses). Sends nothing.

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

/// Whether anyone on the internet means the same machine by `address`.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => embedded_v4(v6).map_or_else(|| is_public_v6(v6), is_public_v4),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(a == 0
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || (a == 100 && (64..128).contains(&b)) // shared by carriers, RFC 6598
        || (a == 192 && b == 0 && c == 0) // protocol assignments, RFC 6890
        || (a == 198 && (b == 18 || b == 19)) // benchmarks, RFC 2544
        || a >= 224) // multicast, reserved, broadcast
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let first = address.segments()[0];
    !(address.is_unspecified()
        || address.is_loopback()
        || (first & 0xfe00) == 0xfc00 // unique local
        || (first & 0xffc0) == 0xfe80 // link local
        || (first & 0xffc0) == 0xfec0 // site local, obsolete
        || (first & 0xff00) == 0xff00) // multicast
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
    fn addresses_that_only_the_caller_can_reach() {
        for private in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.0.8",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1", "::ffff:8.8.8.8"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
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
