//! Host names, labels, kernel settings, ports, detach keys.

use std::net::IpAddr;

use super::invalid;
use crate::error::{Error, Result};

/// One more line of `/etc/hosts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostEntry {
    /// The names that have the address.
    pub names: Vec<String>,
    /// The address.
    pub address: HostAddress,
}

/// An address that may not be known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostAddress {
    /// This one.
    Ip(IpAddr),
    /// The host's, as the container sees it.
    Gateway,
}

/// `--add-host`: `name:address`, `name=address`, `a;b:address`, `name:host-gateway`.
pub fn parse_host_entry(text: &str) -> Result<HostEntry> {
    let bad = || Error::usage(format!("bad format for add-host: {text:?}"));
    let (names, address) = text.split_once('=').or_else(|| text.split_once(':')).ok_or_else(bad)?;
    let names: Vec<String> = names.split(';').map(str::to_owned).collect();
    // A blank in a name would start another name, a line break another line.
    let plain = |name: &String| {
        !name.is_empty()
            && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '#')
    };
    if !names.iter().all(plain) {
        return Err(bad());
    }
    let inner = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = match inner.unwrap_or(address) {
        "host-gateway" => HostAddress::Gateway,
        ip => HostAddress::Ip(
            ip.parse()
                .map_err(|_| Error::usage(format!("invalid IP address in add-host: {text:?}")))?,
        ),
    };
    Ok(HostEntry { names, address })
}

/// Refuses what the kernel or a resolver would not take as a host name (RFC 1123).
pub fn check_hostname(name: &str) -> Result<()> {
    let label = |part: &str| {
        (1..=63).contains(&part.len())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    if name.len() > 64 || !name.split('.').all(label) {
        return Err(Error::usage(format!("invalid hostname format: {name:?}")));
    }
    Ok(())
}

/// `name=value`; a name alone has the empty value.
pub fn parse_label(text: &str) -> Result<(String, String)> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    if name.is_empty() {
        return Err(invalid("label", text));
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// `name=value`, where slashes in the name may stand for dots.
pub fn parse_sysctl(text: &str) -> Result<(String, String)> {
    let bad = || invalid("sysctl", text);
    let (name, value) = text.split_once('=').ok_or_else(bad)?;
    let odd = |c: char| !(c.is_ascii_alphanumeric() || "._-/".contains(c));
    if name.is_empty() || name.contains(odd) || name.contains("..") || value.contains(['\0', '\n'])
    {
        return Err(bad());
    }
    Ok((name.replace('/', "."), value.to_owned()))
}

/// `80`, `80/udp`, `7000-7010/tcp`: each as `port/protocol`.
pub fn parse_expose(text: &str) -> Result<Vec<String>> {
    let bad = || invalid("port", text);
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let port = |text: &str| text.parse::<u16>().ok().filter(|n| *n > 0).ok_or_else(bad);
    let (first, last) = (port(first)?, port(last)?);
    if first > last || !["tcp", "udp", "sctp"].contains(&protocol.as_str()) {
        return Err(bad());
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

/// `ctrl-p,ctrl-q`, `a,ctrl-@`, `DEL`: the bytes that leave a container. Empty text: none.
pub fn parse_detach_keys(text: &str) -> Result<Vec<u8>> {
    let bad = |key: &str| Error::usage(format!("unknown detach key {key:?} in {text:?}"));
    if text.is_empty() {
        return Ok(Vec::new());
    }
    text.split(',')
        .map(|key| match key.as_bytes() {
            [byte] if byte.is_ascii() => Ok(*byte),
            [b'c', b't', b'r', b'l', b'-', byte] => match byte {
                b'a'..=b'z' => Ok(byte - b'a' + 1),
                b'@' | b'['..=b'_' => Ok(byte - b'@'),
                _ => Err(bad(key)),
            },
            _ if key.eq_ignore_ascii_case("del") => Ok(0x7f),
            _ => Err(bad(key)),
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn host_entries() {
        let entry = parse_host_entry("db;cache:10.0.0.5").unwrap();
        assert_eq!(entry.names, ["db", "cache"]);
        assert_eq!(entry.address, HostAddress::Ip("10.0.0.5".parse().unwrap()));
        let six = HostAddress::Ip("::1".parse().unwrap());
        assert_eq!(parse_host_entry("six:::1").unwrap().address, six);
        assert_eq!(parse_host_entry("six=[::1]").unwrap().address, six);
        assert_eq!(parse_host_entry("h:host-gateway").unwrap().address, HostAddress::Gateway);
        for bad in
            ["", "a", ":1.2.3.4", "a b:1.2.3.4", "a\nb:1.2.3.4", "a:1.2.3", "a:", "a#:1.2.3.4"]
        {
            assert!(parse_host_entry(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn host_names() {
        for good in ["a", "web-1", "db.example.com", "0123456789ab", "a_b"] {
            check_hostname(good).unwrap();
        }
        for bad in ["", "-a", "a-", "a..b", "a b", "a\n", ".", &"a".repeat(65), &"a".repeat(64)] {
            assert!(check_hostname(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn settings_labels_and_ports() {
        assert_eq!(parse_sysctl("net/ipv4/ip_forward=1").unwrap().0, "net.ipv4.ip_forward");
        for bad in ["a", "=1", "a+b=1", "a=1\n", "net../x=1"] {
            assert!(parse_sysctl(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_label("a=b=c").unwrap(), ("a".into(), "b=c".into()));
        assert_eq!(parse_label("a").unwrap(), ("a".into(), String::new()));
        assert!(parse_label("=b").is_err());
        assert_eq!(parse_expose("80").unwrap(), ["80/tcp"]);
        assert_eq!(parse_expose("1-3/UDP").unwrap(), ["1/udp", "2/udp", "3/udp"]);
        for bad in ["", "0", "65536", "2-1", "80/foo", "a"] {
            assert!(parse_expose(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn detach_keys() {
        assert_eq!(parse_detach_keys("ctrl-p,ctrl-q").unwrap(), [16, 17]);
        assert_eq!(parse_detach_keys("a,ctrl-@,ctrl-_,ctrl-\\,DEL").unwrap(), [97, 0, 31, 28, 127]);
        assert!(parse_detach_keys("").unwrap().is_empty());
        for bad in ["ctrl-", "ctrl-A", "ab", "a,", "ctrl-1"] {
            assert!(parse_detach_keys(bad).is_err(), "{bad}");
        }
    }
}
