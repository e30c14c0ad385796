//! The text of `/etc/hosts`, `/etc/resolv.conf` and `/etc/hostname`.
//!
//! Owns their contents, which are pure functions, and their place inside. The caller has them
//! written beside the bundle and names them in [`Container::files`](super::config::Container): they are
//! bound over the image's. Does not ask anybody for names.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use super::flags::{HostAddress, HostEntry};
use crate::error::{Error, IoContext, Result};
use crate::sys;

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
    pub of_host: Option<&'a str>,
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
pub fn hosts(wanted: &Hosts<'_>) -> Result<String> {
    let mut text = String::new();
    match wanted.of_host {
        Some(own) => {
            text.push_str(own);
            if !own.is_empty() && !own.ends_with('\n') {
                text.push('\n');
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
pub fn entries(text: &mut String, entries: &[HostEntry], gateway: Option<IpAddr>) -> Result<()> {
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

fn line(text: &mut String, address: impl std::fmt::Display, names: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{address}\t{names}");
}

/// Writes files for `/etc` into a directory, for `owner` if that is not us; returns them by their
/// place inside.
pub fn write(
    dir: &Path,
    texts: &[(&str, String)],
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
/// With `own_network`, servers on the host's loopback are left out; when none is left, public ones
/// are asked.
pub fn resolv_conf(of_host: &str, dns: &Dns, own_network: bool) -> String {
    let (mut servers, mut search, mut options) = (Vec::new(), Vec::new(), Vec::new());
    let mut other = Vec::new();
    for line in of_host.lines() {
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("nameserver") => servers.extend(words.next().map(str::to_owned)),
            // The last of them counts.
            Some("search" | "domain") => search = words.map(str::to_owned).collect(),
            Some("options") => options.extend(words.map(str::to_owned)),
            Some("sortlist") => other.push(line.trim().to_owned()),
            _ => {}
        }
    }
    if !dns.servers.is_empty() {
        servers = dns.servers.iter().map(IpAddr::to_string).collect();
    } else if own_network {
        servers.retain(|server| !is_local(server));
        if servers.is_empty() {
            servers = FALLBACK.iter().map(IpAddr::to_string).collect();
        }
    }
    if !dns.search.is_empty() {
        search = dns.search.iter().filter(|domain| *domain != ".").cloned().collect();
    }
    if !dns.options.is_empty() {
        options.clone_from(&dns.options);
    }
    let mut text = String::new();
    let mut add = |key: &str, words: &[String]| {
        if !words.is_empty() {
            let _ = writeln!(text, "{key} {}", words.join(" "));
        }
    };
    servers.iter().for_each(|server| add("nameserver", std::slice::from_ref(server)));
    add("search", &search);
    add("options", &options);
    other.iter().for_each(|line| {
        let _ = writeln!(text, "{line}");
    });
    text
}

/// Whether a server answers only on the host itself. A zone (`fe80::1%eth0`) names one of the
/// host's links, which the container does not have.
fn is_local(server: &str) -> bool {
    match server.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => address.is_loopback() || address.is_unspecified(),
        Ok(IpAddr::V6(address)) => {
            address == Ipv6Addr::LOCALHOST
                || address.is_unspecified()
                || address.is_unicast_link_local()
        }
        Err(_) => true,
    }
}

/// The text of `/etc/hostname`.
pub fn hostname(name: &str) -> String {
    format!("{name}\n")
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
        assert_eq!(hosts(&wanted).unwrap(), expected);
        assert!(hosts(&Hosts { gateway: None, ..wanted }).is_err());
    }

    #[test]
    fn a_container_in_the_host_s_network() {
        let entries = [parse_host_entry("db:10.0.0.5").unwrap()];
        let wanted = Hosts {
            of_host: Some("127.0.0.1 localhost box"),
            hostname: "box",
            entries: &entries,
            ..Hosts::default()
        };
        assert_eq!(hosts(&wanted).unwrap(), "127.0.0.1 localhost box\n10.0.0.5\tdb\n");
    }

    #[test]
    fn name_servers() {
        let host = "# made by x\ndomain a.b\nsearch c.d  e.f\nnameserver 127.0.0.53\n\
                    nameserver 10.1.1.1\nnameserver fe80::1%eth0\noptions edns0 trust-ad\n";
        let none = Dns::default();
        assert_eq!(
            resolv_conf(host, &none, true),
            "nameserver 10.1.1.1\nsearch c.d e.f\noptions edns0 trust-ad\n"
        );
        assert_eq!(
            resolv_conf(host, &none, false),
            "nameserver 127.0.0.53\nnameserver 10.1.1.1\nnameserver fe80::1%eth0\n\
             search c.d e.f\noptions edns0 trust-ad\n"
        );
        assert_eq!(
            resolv_conf("nameserver ::1\n", &none, true),
            "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"
        );
        assert_eq!(resolv_conf("", &none, false), "");
        let own = Dns {
            servers: vec!["127.0.0.1".parse().unwrap()],
            search: vec![".".into()],
            options: vec!["ndots:2".into()],
        };
        assert_eq!(resolv_conf(host, &own, true), "nameserver 127.0.0.1\noptions ndots:2\n");
    }

    #[test]
    fn no_word_becomes_a_line() {
        for bad in ["", "a b", "a\nnameserver 1.2.3.4"] {
            assert!(Dns { search: vec![bad.into()], ..Dns::default() }.check().is_err(), "{bad}");
            assert!(Dns { options: vec![bad.into()], ..Dns::default() }.check().is_err(), "{bad}");
        }
        assert_eq!(hostname("web"), "web\n");
    }
}
