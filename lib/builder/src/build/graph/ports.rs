//! `EXPOSE`: ports, ranges, protocols.

use std::fmt;
use std::net::IpAddr;

/// Ports of one protocol. Kept as a range: a line may name all of them many times.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortRange {
    /// The first.
    pub first: u16,
    /// The last.
    pub last: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
}

impl PortRange {
    /// Every port as configs write it.
    pub fn each(&self) -> impl Iterator<Item = String> + '_ {
        (self.first..=self.last).map(|port| format!("{port}/{}", self.protocol))
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first == self.last {
            true => write!(f, "{}/{}", self.first, self.protocol),
            false => write!(f, "{}-{}/{}", self.first, self.last, self.protocol),
        }
    }
}

/// What was said of a port, and what is odd about it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Port {
    pub range: PortRange,
    /// The protocol was not in lower case.
    pub cased: bool,
    /// An address or a port of the host was given, which means nothing here.
    pub mapped: bool,
}

/// The ports that a text means, as configs write them; the error is for people.
pub(in crate::build) fn ports_of(text: &str) -> Result<Vec<String>, String> {
    parse(text).map(|port| port.range.each().collect())
}

/// Reads `[[IP:]HOST:]PORT[-PORT][/PROTOCOL]`; the error is the text of a diagnostic.
pub(super) fn parse(text: &str) -> Result<Port, String> {
    let mut parts = text.rsplitn(3, ':');
    let container = parts.next().unwrap_or_default();
    let host = parts.next().unwrap_or_default();
    let address = parts.next().unwrap_or_default();
    let (port, protocol) = container.split_once('/').unwrap_or((container, ""));
    if port.is_empty() {
        return Err(format!("invalid port: {text:?}: no port specified"));
    }
    let lower = protocol.to_ascii_lowercase();
    if !matches!(lower.as_str(), "" | "tcp" | "udp" | "sctp") {
        return Err(format!("invalid port: {text:?}: invalid proto: {protocol}"));
    }
    let bare = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
    if !address.is_empty() && bare.parse::<IpAddr>().is_err() {
        return Err(format!("invalid IP address: {address}"));
    }
    let (first, last) = range(port).ok_or_else(|| format!("invalid containerPort: {port}"))?;
    if !host.is_empty() {
        let (low, high) = range(host).ok_or_else(|| format!("invalid hostPort: {host}"))?;
        if high - low != last - first && last != first {
            return Err(format!(
                "invalid ranges specified for container and host Ports: {port} and {host}"
            ));
        }
    }
    let cased = protocol != lower;
    let protocol = if lower.is_empty() { "tcp".to_owned() } else { lower };
    let mapped = !address.is_empty() || !host.is_empty();
    Ok(Port { range: PortRange { first, last, protocol }, cased, mapped })
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| {
        // No sign: parse would take one.
        text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u16>().ok()).flatten()
    };
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports() {
        for (text, expected) in [
            ("80", "80/tcp"),
            ("0080/udp", "80/udp"),
            ("8000-8010", "8000-8010/tcp"),
            ("7-7/sctp", "7/sctp"),
            ("80/TCP", "80/tcp cased"),
            ("80/", "80/tcp"),
            ("8080:80", "80/tcp mapped"),
            ("127.0.0.1:80:80", "80/tcp mapped"),
            ("127.0.0.1::80", "80/tcp mapped"),
            ("[::1]:8080:8080", "8080/tcp mapped"),
            ("::1:80:80", "80/tcp mapped"),
            ("1-5:80", "80/tcp mapped"),
            ("0-65535", "0-65535/tcp"),
            ("", "invalid port: \"\": no port specified"),
            ("/tcp", "invalid port: \"/tcp\": no port specified"),
            ("80:", "invalid port: \"80:\": no port specified"),
            ("80/ip", "invalid port: \"80/ip\": invalid proto: ip"),
            ("x", "invalid containerPort: x"),
            ("65536", "invalid containerPort: 65536"),
            ("+80", "invalid containerPort: +80"),
            ("9-8", "invalid containerPort: 9-8"),
            ("-8", "invalid containerPort: -8"),
            ("x:80", "invalid hostPort: x"),
            ("localhost:1:2", "invalid IP address: localhost"),
            ("1-5:80-81", "invalid ranges specified for container and host Ports: 80-81 and 1-5"),
        ] {
            let shown = match parse(text) {
                Ok(port) => {
                    let cased = if port.cased { " cased" } else { "" };
                    let mapped = if port.mapped { " mapped" } else { "" };
                    format!("{}{cased}{mapped}", port.range)
                }
                Err(error) => error,
            };
            assert_eq!(shown, expected, "{text}");
        }
    }
}
