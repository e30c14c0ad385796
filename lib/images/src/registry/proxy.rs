//! Which requests go through a proxy, as Go programs decide it (`golang.org/x/net/http/httpproxy`).
//!
//! Scripts and CI runners set these variables for Go programs, so the same values must mean the
//! same here. Pure: the values come from [`ProxyVariables`].

use std::net::IpAddr;

use reqwest::Url;

use super::address::is_loopback_host;
use super::failure::place;
use crate::config::ProxyVariables;
use crate::error::{Error, Result};

/// The proxies and the hosts that are reached without them.
#[derive(Clone, Debug, Default)]
pub(super) struct Proxies {
    http: Option<Url>,
    https: Option<Url>,
    direct: Vec<Exception>,
    /// `HTTP_PROXY` may be a header `Proxy` that a stranger sent to a CGI program.
    is_cgi: bool,
}

/// One entry of `NO_PROXY`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Exception {
    /// `*`
    All,
    /// `10.0.0.0/8`
    Network { base: IpAddr, bits: u8 },
    /// `10.0.0.1`, `10.0.0.1:80`, `[fd00::1]:80`
    Address { address: IpAddr, port: Option<u16> },
    /// `example.com`, which names its subdomains too; `.example.com` and `*.example.com`, which
    /// name these alone; each also with a port.
    Domain { suffix: String, itself: bool, port: Option<u16> },
}

impl Proxies {
    pub(super) fn new(variables: &ProxyVariables) -> Proxies {
        Proxies {
            http: parse_proxy(&variables.http),
            https: parse_proxy(&variables.https),
            direct: parse_exceptions(&variables.no_proxy),
            is_cgi: variables.is_cgi,
        }
    }

    /// The proxy for `url`, if it has one.
    ///
    /// # Errors
    /// Denied where the proxy may have been chosen by the client of a CGI program.
    pub(super) fn find(&self, url: &Url) -> Result<Option<&Url>> {
        let proxy = match url.scheme() {
            "https" => &self.https,
            _ => &self.http,
        };
        let Some(proxy) = proxy.as_ref().filter(|_| !self.is_direct(url)) else { return Ok(None) };
        if self.is_cgi && url.scheme() == "http" {
            return Err(Error::new(
                crate::ErrorKind::Denied,
                format!(
                    "{}: HTTP_PROXY is not used in a CGI program (REQUEST_METHOD is set), where \
                     clients can choose its value",
                    place(&http::Method::GET, url)
                ),
            ));
        }
        Ok(Some(proxy))
    }

    /// All proxies.
    pub(super) fn all(&self) -> impl Iterator<Item = &Url> {
        self.http.iter().chain(&self.https)
    }

    fn is_direct(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if is_loopback_host(host) {
            return true;
        }
        let port = url.port_or_known_default();
        let address = host.parse().ok();
        self.direct.iter().any(|exception| exception.matches(host, address, port))
    }
}

impl Exception {
    fn matches(&self, host: &str, address: Option<IpAddr>, of_host: Option<u16>) -> bool {
        let same_port = |port: &Option<u16>| port.is_none() || *port == of_host;
        match self {
            Exception::All => true,
            Exception::Network { base, bits } => {
                address.is_some_and(|address| in_network(address, *base, *bits))
            }
            Exception::Address { address: excepted, port } => {
                let plain = |address: IpAddr| address.to_canonical();
                address.is_some_and(|own| plain(own) == plain(*excepted)) && same_port(port)
            }
            Exception::Domain { suffix, itself, port } => {
                let below = host.ends_with(suffix.as_str());
                (below || (*itself && host == &suffix[1..])) && same_port(port)
            }
        }
    }
}

fn in_network(address: IpAddr, base: IpAddr, bits: u8) -> bool {
    let high = |value: u128, width: u32| {
        value.checked_shr(width.saturating_sub(u32::from(bits))).unwrap_or(0)
    };
    match (address.to_canonical(), base) {
        (IpAddr::V4(address), IpAddr::V4(base)) => {
            high(u32::from(address).into(), 32) == high(u32::from(base).into(), 32)
        }
        (IpAddr::V6(address), IpAddr::V6(base)) => {
            high(address.into(), 128) == high(base.into(), 128)
        }
        _ => false,
    }
}

/// A proxy as Go takes it: without a scheme it is an `http` one; what is no URL is none.
fn parse_proxy(text: &str) -> Option<Url> {
    let usable = |url: &Url| matches!(url.scheme(), "http" | "https" | "socks5" | "socks5h");
    if text.is_empty() {
        return None;
    }
    let full = match text.contains("://") {
        true => text.to_owned(),
        false => format!("http://{text}"),
    };
    let mut url = Url::parse(&full).ok().filter(usable)?;
    // Go leaves names to a SOCKS proxy in either spelling.
    if url.scheme() == "socks5" {
        url = Url::parse(&url.as_str().replacen("socks5:", "socks5h:", 1)).ok()?;
    }
    url.has_host().then_some(url)
}

fn parse_exceptions(text: &str) -> Vec<Exception> {
    let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    let mut direct = Vec::new();
    for entry in entries {
        if entry == "*" {
            return vec![Exception::All];
        }
        direct.extend(parse_exception(&entry.to_ascii_lowercase()));
    }
    direct
}

fn parse_exception(entry: &str) -> Option<Exception> {
    if let Some((base, bits)) = entry.split_once('/') {
        let base: IpAddr = base.parse().ok()?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        let bits = bits.parse().ok().filter(|bits| *bits <= most)?;
        return Some(Exception::Network { base, bits });
    }
    let (host, port) = split_port(entry);
    if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse() {
        return Some(Exception::Address { address, port });
    }
    let host = host.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(host);
    let (itself, name) = match host.strip_prefix('.') {
        Some(name) => (false, name),
        None => (true, host),
    };
    if name.is_empty() {
        return None;
    }
    // In the spelling that URLs have: letters of other alphabets encoded.
    let url = Url::parse(&format!("http://{name}/")).ok();
    let name = url.as_ref().and_then(Url::host_str).unwrap_or(name);
    Some(Exception::Domain { suffix: format!(".{name}"), itself, port })
}

/// `host:port` in its parts; all of it is the host where there is no port.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    match entry.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            port.parse().map_or((entry, None), |port| (host, Some(port)))
        }
        _ => (entry, None),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const PROXY: &str = "http://proxy.corp:3128/";

    fn proxies(no_proxy: &str) -> Proxies {
        Proxies::new(&ProxyVariables {
            http: PROXY.into(),
            https: PROXY.into(),
            no_proxy: no_proxy.into(),
            is_cgi: false,
        })
    }

    fn goes_through(proxies: &Proxies, url: &str) -> Option<String> {
        proxies.find(&Url::parse(url).unwrap()).unwrap().map(Url::to_string)
    }

    #[test]
    fn this_machine_is_never_asked_through_a_proxy() {
        for host in [
            "localhost",
            "LOCALHOST",
            "localhost:5000",
            "a.localhost",
            "127.0.0.1",
            "127.1.2.3:1",
            "[::1]:5000",
            "2130706433",
        ] {
            assert_eq!(goes_through(&proxies(""), &format!("http://{host}/")), None, "{host}");
        }
        for host in ["10.0.0.1", "128.0.0.1", "localhost.corp", "[::2]"] {
            assert!(goes_through(&proxies(""), &format!("https://{host}/")).is_some(), "{host}");
        }
    }

    #[test]
    fn exceptions_are_read_as_go_reads_them() {
        for (no_proxy, url, is_direct) in [
            ("", "https://r.example/", false),
            ("*", "https://r.example/", true),
            ("a, *", "https://r.example/", true),
            ("*,a", "http://10.0.0.1/", true),
            ("r.example", "https://r.example/", true),
            ("R.Example", "https://r.EXAMPLE/", true),
            ("r.example", "https://sub.r.example/", true),
            ("r.example", "https://other.example/", false),
            ("r.example", "https://xr.example/", false),
            (".r.example", "https://r.example/", false),
            (".r.example", "https://a.b.r.example/", true),
            ("*.r.example", "https://r.example/", false),
            ("*.r.example", "https://a.r.example/", true),
            ("*r.example", "https://xr.example/", false),
            (" r.example ,, b ", "https://r.example/", true),
            ("r.example b", "https://r.example/", false),
            ("r.example:443", "https://r.example/", true),
            ("r.example:443", "https://r.example:5000/", false),
            ("r.example:5000", "https://sub.r.example:5000/", true),
            (".r.example:80", "http://a.r.example/", true),
            ("r.example:80", "https://r.example/", false),
            ("10.0.0.1", "http://10.0.0.1/", true),
            ("10.0.0.1", "http://10.0.0.1:5000/", true),
            ("10.0.0.1:5000", "http://10.0.0.1:5000/", true),
            ("10.0.0.1:5000", "http://10.0.0.1/", false),
            ("10.0.0.0/8", "http://10.200.3.4:5000/", true),
            ("10.0.0.0/8", "http://11.0.0.1/", false),
            ("10.0.0.0/31", "http://10.0.0.1/", true),
            ("10.0.0.0/31", "http://10.0.0.2/", false),
            ("0.0.0.0/0", "http://93.1.2.3/", true),
            ("10.0.0.0/8", "http://r.example/", false),
            ("10.0.0.0/33", "http://10.0.0.1/", false),
            ("10.", "http://10.0.0.1/", false),
            ("fd00::/8", "http://[fd12::1]/", true),
            ("fd00::/8", "http://[fe80::1]/", false),
            ("::/0", "http://[2001:db8::1]/", true),
            ("fd00::1", "http://[fd00::1]:5000/", true),
            ("[fd00::1]:5000", "http://[fd00::1]:5000/", true),
            ("[fd00::1]:5000", "http://[fd00::1]/", false),
            (":5000", "http://r.example:5000/", false),
            ("bücher.example", "http://xn--bcher-kva.example/", true),
            (".", "http://r.example/", false),
        ] {
            let through = goes_through(&proxies(no_proxy), url);
            assert_eq!(through.is_none(), is_direct, "{no_proxy:?} {url}");
        }
    }

    #[test]
    fn each_protocol_has_its_own_proxy() {
        let both = Proxies::new(&ProxyVariables {
            http: "plain.corp:3128".into(),
            https: "socks5://user:pass@socks.corp".into(),
            ..ProxyVariables::default()
        });
        let find = |url| goes_through(&both, url);
        assert_eq!(find("http://r.example/").unwrap(), "http://plain.corp:3128/");
        assert_eq!(find("https://r.example/").unwrap(), "socks5h://user:pass@socks.corp");
        for none in ["", " ", "http://", "http://a b/"] {
            let variables = ProxyVariables { http: none.into(), ..ProxyVariables::default() };
            assert_eq!(goes_through(&Proxies::new(&variables), "http://r.example/"), None);
        }
    }

    #[test]
    fn a_cgi_program_does_not_obey_its_clients() {
        let cgi = Proxies { is_cgi: true, ..proxies("direct.example") };
        let error = cgi.find(&Url::parse("http://r.example/").unwrap()).unwrap_err();
        assert!(error.chain().contains("CGI"), "{}", error.chain());
        assert!(goes_through(&cgi, "https://r.example/").is_some());
        assert!(goes_through(&cgi, "http://direct.example/").is_none());
    }
}
