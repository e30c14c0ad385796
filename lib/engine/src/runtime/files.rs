//! The text of `/etc/hosts`, `/etc/resolv.conf` and `/etc/hostname`.
//!
//! Owns their contents, which are pure functions, and their place inside. The caller has them
//! written beside the bundle and names them in [`Container::files`](super::config::Container): they are
//! bound over the image's. Does not ask anybody for names.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use super::flags::{HostAddress, HostEntry};
use super::host::HostNames;
use crate::error::{Error, IoContext, Result};
use crate::sys;
use serde::{Deserialize, Serialize};

/// Where [`hosts`] goes.
pub const HOSTS: &str = "/etc/hosts";
/// Where [`resolv_conf`] goes.
pub const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Where [`hostname`] goes.
pub const HOSTNAME: &str = "/etc/hostname";

/// Permission bits of all three, whoever the container's user is.
const MODE: u32 = 0o644;

/// What every machine knows about itself.
const LOCAL: [(&str, &str); 6] = [
    ("127.0.0.1", "localhost"),
    ("::1", "localhost ip6-localhost ip6-loopback"),
    ("fe00::", "ip6-localnet"),
    ("ff00::", "ip6-mcastprefix"),
    ("ff02::1", "ip6-allnodes"),
    ("ff02::2", "ip6-allrouters"),
];

/// Asked when the host's own servers cannot be reached from inside.
const FALLBACK: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8)), IpAddr::V4(Ipv4Addr::new(8, 8, 4, 4))];

/// What `/etc/hosts` should say.
#[derive(Clone, Debug, Default)]
pub struct Hosts<'a> {
    /// The host's own file, for containers in its network.
    pub of_host: Option<&'a [u8]>,
    /// The container's name.
    pub hostname: &'a str,
    /// Its domain.
    pub domainname: Option<&'a str>,
    /// Its addresses.
    pub addresses: &'a [IpAddr],
    /// `--add-host`.
    pub entries: &'a [HostEntry],
    /// The host's address as the container sees it.
    pub gateway: Option<IpAddr>,
}

/// The text of `/etc/hosts`. Fails when an entry wants the host's address and there is none.
pub fn hosts(wanted: &Hosts<'_>) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    match wanted.of_host {
        Some(own) => {
            text.extend_from_slice(own);
            if !own.is_empty() && !own.ends_with(b"\n") {
                text.push(b'\n');
            }
        }
        None => LOCAL.iter().for_each(|(address, names)| line(&mut text, address, names)),
    }
    let mut full = wanted.hostname.to_owned();
    if let Some(domain) = wanted.domainname {
        full = format!("{full}.{domain}");
    }
    // The whole name first, then its first part.
    let names = match full.split_once('.') {
        Some((first, _)) => format!("{full} {first}"),
        None => full,
    };
    wanted.addresses.iter().for_each(|address| line(&mut text, address, &names));
    entries(&mut text, wanted.entries, wanted.gateway)?;
    Ok(text)
}

/// Adds what `--add-host` says to the text of `/etc/hosts`. Fails when an entry wants the host's
/// address and there is none.
pub fn entries(text: &mut Vec<u8>, entries: &[HostEntry], gateway: Option<IpAddr>) -> Result<()> {
    for entry in entries {
        let address = match (entry.address, gateway) {
            (HostAddress::Ip(address), _) | (HostAddress::Gateway, Some(address)) => address,
            (HostAddress::Gateway, None) => {
                return Err(Error::usage(
                    "unable to derive the IP value for host-gateway: the container has no network \
                     of its own",
                ));
            }
        };
        line(text, address, &entry.names.join(" "));
    }
    Ok(())
}

fn line(text: &mut Vec<u8>, address: impl std::fmt::Display, names: &str) {
    text.extend_from_slice(format!("{address}\t{names}\n").as_bytes());
}

/// Writes files for `/etc` into a directory, for `owner` if that is not us; returns them by their
/// place inside.
pub fn write(
    dir: &Path,
    texts: &[(&str, Vec<u8>)],
    owner: Option<(u32, u32)>,
) -> Result<BTreeMap<String, PathBuf>> {
    let mut written = BTreeMap::new();
    for (target, text) in texts {
        let path = dir.join(target.trim_start_matches("/etc/"));
        let writing = || format!("writing {}", path.display());
        std::fs::write(&path, text).doing(writing)?;
        let file = std::fs::File::open(&path).doing(writing)?;
        sys::set_mode(&file, MODE).doing(writing)?;
        if let Some((uid, gid)) = owner {
            sys::set_owner(&file, uid, gid).doing(writing)?;
        }
        written.insert((*target).to_owned(), path);
    }
    Ok(written)
}

/// What a person wants of name servers; empty lists follow the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dns {
    /// `--dns`.
    pub servers: Vec<IpAddr>,
    /// `--dns-search`; a single `.` means none.
    pub search: Vec<String>,
    /// `--dns-option`.
    pub options: Vec<String>,
}

impl Dns {
    /// Refuses what would add a line of its own to the file.
    pub fn check(&self) -> Result<()> {
        for word in self.search.iter().chain(&self.options) {
            if word.is_empty() || word.contains(|c: char| c.is_whitespace() || c.is_control()) {
                return Err(Error::usage(format!("{word:?} is not a DNS search domain or option")));
            }
        }
        Ok(())
    }
}

/// The text of `/etc/resolv.conf` out of the host's.
///
/// In the host's network it is the host's, unless a person wants something else. With
/// `own_network`, servers on the host's loopback are left out; when none is left, public ones are
/// asked.
pub fn resolv_conf(host: &HostNames, dns: &Dns, own_network: bool) -> Vec<u8> {
    if !own_network && *dns == Dns::default() {
        return host.resolv_conf.clone();
    }
    let behind = host.resolv_conf_behind.as_ref().filter(|_| own_network);
    let mut found = Resolver::parse(behind.unwrap_or(&host.resolv_conf));
    if !dns.servers.is_empty() {
        found.servers = dns.servers.iter().map(|server| server.to_string().into()).collect();
    } else if own_network {
        found.servers.retain(|server| !is_local(server));
        if found.servers.is_empty() {
            found.servers = FALLBACK.iter().map(|server| server.to_string().into()).collect();
        }
    }
    if !dns.search.is_empty() {
        let domains = dns.search.iter().filter(|domain| *domain != ".");
        found.search = domains.map(|domain| domain.clone().into()).collect();
    }
    if !dns.options.is_empty() {
        found.options = dns.options.iter().map(|option| option.clone().into()).collect();
    }
    found.text()
}

/// What a `resolv.conf` says, word for word.
#[derive(Default)]
struct Resolver {
    servers: Vec<Vec<u8>>,
    search: Vec<Vec<u8>>,
    options: Vec<Vec<u8>>,
    /// Lines that are kept as they are.
    other: Vec<Vec<u8>>,
}

impl Resolver {
    fn parse(text: &[u8]) -> Resolver {
        let mut found = Resolver::default();
        for line in text.split(|&byte| byte == b'\n') {
            let mut words = words(line);
            match words.next() {
                Some(b"nameserver") => found.servers.extend(words.next().map(<[u8]>::to_vec)),
                // The last of them counts.
                Some(b"search" | b"domain") => {
                    found.search = words.map(<[u8]>::to_vec).collect();
                }
                Some(b"options") => found.options.extend(words.map(<[u8]>::to_vec)),
                Some(b"sortlist") => found.other.push(line.trim_ascii().to_vec()),
                _ => {}
            }
        }
        found
    }

    fn text(&self) -> Vec<u8> {
        let line = |key: &str, words: &[Vec<u8>]| {
            let words = words.join(&b' ');
            [key.as_bytes(), b" ", &words, b"\n"].concat()
        };
        let one = |server: &Vec<u8>| line("nameserver", std::slice::from_ref(server));
        let mut text: Vec<u8> = self.servers.iter().flat_map(one).collect();
        for (key, words) in [("search", &self.search), ("options", &self.options)] {
            if !words.is_empty() {
                text.extend(line(key, words));
            }
        }
        text.extend(self.other.iter().flat_map(|line| [line, &b"\n"[..]].concat()));
        text
    }
}

/// The words of a line of a `resolv.conf`, up to a comment.
pub(super) fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
        .take_while(|word| !word.starts_with(b"#") && !word.starts_with(b";"))
}

/// Whether a server answers only on the host itself. A zone (`fe80::1%eth0`) names one of the
/// host's links, which the container does not have.
fn is_local(server: &[u8]) -> bool {
    match std::str::from_utf8(server).map(str::parse::<IpAddr>) {
        Ok(Ok(IpAddr::V4(address))) => address.is_loopback() || address.is_unspecified(),
        Ok(Ok(IpAddr::V6(address))) => {
            address == Ipv6Addr::LOCALHOST
                || address.is_unspecified()
                || address.is_unicast_link_local()
        }
        _ => true,
    }
}

/// The text of `/etc/hostname`.
pub fn hostname(name: &str) -> Vec<u8> {
    format!("{name}\n").into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::runtime::flags::parse_host_entry;

    #[test]
    fn a_container_in_its_own_network() {
        let entries =
            ["db;cache:10.0.0.5", "up:host-gateway"].map(|t| parse_host_entry(t).unwrap());
        let wanted = Hosts {
            hostname: "web",
            domainname: Some("example.com"),
            addresses: &["172.17.0.2".parse().unwrap(), "fd00::2".parse().unwrap()],
            entries: &entries,
            gateway: Some("172.17.0.1".parse().unwrap()),
            ..Hosts::default()
        };
        let expected = "127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
172.17.0.2\tweb.example.com web
fd00::2\tweb.example.com web
10.0.0.5\tdb cache
172.17.0.1\tup
";
        assert_eq!(hosts(&wanted).unwrap(), expected.as_bytes());
        assert!(hosts(&Hosts { gateway: None, ..wanted }).is_err());
    }

    #[test]
    fn a_container_in_the_host_s_network() {
        let entries = [parse_host_entry("db:10.0.0.5").unwrap()];
        let wanted = Hosts {
            of_host: Some(b"127.0.0.1 localhost caf\xe9"),
            hostname: "box",
            entries: &entries,
            ..Hosts::default()
        };
        assert_eq!(hosts(&wanted).unwrap(), b"127.0.0.1 localhost caf\xe9\n10.0.0.5\tdb\n");
    }

    #[test]
    fn name_servers() {
        let host = "# made by x\ndomain a.b\nsearch c.d  e.f\nnameserver 127.0.0.53\n\
                    nameserver 10.1.1.1 # ours\nnameserver fe80::1%eth0\noptions edns0 trust-ad\n";
        let text = |host: &[u8], dns: &Dns, own_network| {
            let names = HostNames { resolv_conf: host.to_vec(), ..HostNames::default() };
            String::from_utf8_lossy(&resolv_conf(&names, dns, own_network)).into_owned()
        };
        let none = Dns::default();
        for (host, dns, own_network, expected) in [
            (
                host.as_bytes(),
                none.clone(),
                true,
                "nameserver 10.1.1.1\nsearch c.d e.f\noptions edns0 trust-ad\n",
            ),
            // In the host's network it is the host's own file.
            (host.as_bytes(), none.clone(), false, host),
            (b"", none.clone(), false, ""),
            (b"nameserver ::1\n", none.clone(), true, "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"),
            // A line that is no text spoils no other.
            (
                b"nameserver 192.0.2.9\n# caf\xe9\nsearch a.example\r\n",
                none.clone(),
                true,
                "nameserver 192.0.2.9\nsearch a.example\n",
            ),
            (b"nameserver 10.0.0.1\xff\nnameserver 10.0.0.2", none, true, "nameserver 10.0.0.2\n"),
            (
                host.as_bytes(),
                Dns {
                    servers: vec!["127.0.0.1".parse().unwrap()],
                    search: vec![".".into()],
                    options: vec!["ndots:2".into()],
                },
                true,
                "nameserver 127.0.0.1\noptions ndots:2\n",
            ),
            (
                host.as_bytes(),
                Dns { options: vec!["ndots:2".into()], ..Dns::default() },
                false,
                "nameserver 127.0.0.53\nnameserver 10.1.1.1\nnameserver fe80::1%eth0\n\
                 search c.d e.f\noptions ndots:2\n",
            ),
        ] {
            assert_eq!(text(host, &dns, own_network), expected);
        }
    }

    #[test]
    fn the_servers_behind_a_resolver_are_for_own_networks() {
        let names = HostNames {
            resolv_conf: b"nameserver 127.0.0.53\n".to_vec(),
            resolv_conf_behind: Some(b"nameserver 10.0.0.1\n".to_vec()),
            ..HostNames::default()
        };
        let none = Dns::default();
        assert_eq!(resolv_conf(&names, &none, true), b"nameserver 10.0.0.1\n");
        assert_eq!(resolv_conf(&names, &none, false), b"nameserver 127.0.0.53\n");
    }

    #[test]
    fn no_word_becomes_a_line() {
        for bad in ["", "a b", "a\nnameserver 1.2.3.4"] {
            assert!(Dns { search: vec![bad.into()], ..Dns::default() }.check().is_err(), "{bad}");
            assert!(Dns { options: vec![bad.into()], ..Dns::default() }.check().is_err(), "{bad}");
        }
        assert_eq!(hostname("web"), b"web\n");
    }
}
