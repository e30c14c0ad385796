//! One package.

use std::fmt;

use serde::Serialize;

use super::Release;

/// Whose package it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ecosystem {
    /// dpkg.
    Deb,
    /// Alpine.
    Apk,
    /// rpm.
    Rpm,
    /// Python.
    Pypi,
    /// Node.js.
    Npm,
    /// Rust.
    Cargo,
    /// Go modules.
    Golang,
}

impl fmt::Display for Ecosystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Ecosystem::Deb => "deb",
            Ecosystem::Apk => "apk",
            Ecosystem::Rpm => "rpm",
            Ecosystem::Pypi => "pypi",
            Ecosystem::Npm => "npm",
            Ecosystem::Cargo => "cargo",
            Ecosystem::Golang => "golang",
        })
    }
}

/// A package, as its database has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Package {
    /// Whose package it is.
    #[serde(rename = "type")]
    pub ecosystem: Ecosystem,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What machine it is for, where the database tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// The source package that it was built from, where that has another name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Its licence, in the database's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// The file that tells of it, with a leading slash.
    pub found_in: String,
}

impl Package {
    pub(super) fn new(ecosystem: Ecosystem, name: &str, version: &str, found_in: &str) -> Package {
        Package {
            ecosystem,
            name: name.to_owned(),
            version: version.to_owned(),
            architecture: None,
            source: None,
            license: None,
            found_in: found_in.to_owned(),
        }
    }

    /// The package URL: `pkg:deb/debian/bash@5.2.15-2%2Bb2?arch=amd64&distro=debian-12`.
    pub fn purl(&self, release: Option<&Release>) -> String {
        let version = match self.version.as_str() {
            "" => String::new(),
            version => format!("@{}", encoded(version)),
        };
        let system = matches!(self.ecosystem, Ecosystem::Deb | Ecosystem::Apk | Ecosystem::Rpm);
        if !system {
            let name = match self.ecosystem {
                // PEP 503: one spelling of each name.
                Ecosystem::Pypi => encoded(&self.name.to_lowercase().replace('_', "-")),
                _ => self.name.split('/').map(encoded).collect::<Vec<_>>().join("/"),
            };
            return format!("pkg:{}/{name}{version}", self.ecosystem);
        }
        let fallback = match self.ecosystem {
            Ecosystem::Deb => "debian",
            Ecosystem::Apk => "alpine",
            _ => "rpm",
        };
        let id = release.map(|release| release.id.as_str()).filter(|id| !id.is_empty());
        let id = id.unwrap_or(fallback);
        let name = encoded(&self.name);
        let mut purl = format!("pkg:{}/{}/{name}{version}", self.ecosystem, encoded(id));
        let mut qualifiers = Vec::new();
        if let Some(architecture) = &self.architecture {
            qualifiers.push(format!("arch={}", encoded(architecture)));
        }
        if let Some(version) = release.map(|release| &release.version).filter(|v| !v.is_empty()) {
            qualifiers.push(format!("distro={}-{}", encoded(id), encoded(version)));
        }
        if !qualifiers.is_empty() {
            purl.push('?');
            purl.push_str(&qualifiers.join("&"));
        }
        purl
    }
}

/// Percent-encoded as package URLs want it.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' | b':' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_urls() {
        let mut package = Package::new(Ecosystem::Deb, "libstdc++6", "1:12.2+b1", "/x");
        package.architecture = Some("amd64".to_owned());
        let release =
            Release { id: "debian".to_owned(), version: "12".to_owned(), name: String::new() };
        let full = "pkg:deb/debian/libstdc%2B%2B6@1:12.2%2Bb1?arch=amd64&distro=debian-12";
        assert_eq!(package.purl(Some(&release)), full);
        let scoped = Package::new(Ecosystem::Npm, "@types/node", "20.1.0", "/x");
        assert_eq!(scoped.purl(None), "pkg:npm/%40types/node@20.1.0");
        let module = Package::new(Ecosystem::Golang, "golang.org/x/net", "v0.1.0", "/x");
        assert_eq!(module.purl(None), "pkg:golang/golang.org/x/net@v0.1.0");
        let python = Package::new(Ecosystem::Pypi, "Typing_Extensions", "4", "/x");
        assert_eq!(python.purl(None), "pkg:pypi/typing-extensions@4");
    }
}
