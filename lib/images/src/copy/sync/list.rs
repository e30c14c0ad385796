//! Lists of what to copy: skopeo's YAML format, and plain lines.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::config::Secret;
use crate::error::{Error, ErrorKind, Result};
use crate::spec::{Digest, Reference, is_tag};

/// Largest list that is read.
pub const MAX_LIST: u64 = 8 << 20;

/// What to copy from one registry.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// The repository.
    pub repository: Reference,
    /// Which images of it.
    pub tags: TagChoice,
    /// How to reach the registry, where the list says so.
    pub access: Access,
}

/// Which images of a repository.
#[derive(Clone, Debug, PartialEq)]
pub enum TagChoice {
    /// Every tag.
    All,
    /// These tags and digests.
    These(Vec<Pick>),
    /// Tags that match a regular expression.
    Matching(String),
    /// Tags that are versions in a range (`>= 1.2, < 2`).
    Versions(String),
}

/// One image of a repository.
#[derive(Clone, Debug, PartialEq)]
pub enum Pick {
    /// By tag.
    Tag(String),
    /// By digest.
    Digest(Digest),
}

/// How to reach a registry.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Access {
    /// User and password.
    pub credentials: Option<(String, Secret)>,
    /// Whether certificates must be valid.
    pub tls_verify: Option<bool>,
    /// Where certificates are.
    pub cert_dir: Option<std::path::PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Registry {
    #[serde(default)]
    images: BTreeMap<String, Option<Vec<String>>>,
    #[serde(default, rename = "images-by-tag-regex")]
    by_regex: BTreeMap<String, String>,
    #[serde(default, rename = "images-by-semver")]
    by_version: BTreeMap<String, String>,
    #[serde(default)]
    credentials: Option<Credentials>,
    #[serde(default, rename = "tls-verify")]
    tls_verify: Option<bool>,
    #[serde(default, rename = "cert-dir")]
    cert_dir: Option<std::path::PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    username: String,
    password: Secret,
}

/// Reads skopeo's format: a map of registries, each with images and how to choose their tags.
pub fn parse_yaml(text: &str) -> Result<Vec<Wanted>> {
    let registries: BTreeMap<String, Registry> = serde_saphyr::from_str(text).map_err(|error| {
        // Behind the first line comes an excerpt of the file, which may hold a password.
        let text = error.to_string();
        let line = text.lines().next().unwrap_or_default();
        let why = line.strip_prefix("error: ").unwrap_or(line).to_owned();
        let doing = "the list is not YAML in the form of skopeo's sync files";
        Error::caused(ErrorKind::Usage, doing, why)
    })?;
    let mut wanted = Vec::new();
    for (host, registry) in registries {
        let access = Access {
            credentials: registry.credentials.map(|given| (given.username, given.password)),
            tls_verify: registry.tls_verify,
            cert_dir: registry.cert_dir,
        };
        let mut add = |repository: &str, tags: TagChoice| -> Result<()> {
            let repository = Reference::from_parts(&host, repository, None, None)?;
            wanted.push(Wanted { repository, tags, access: access.clone() });
            Ok(())
        };
        for (repository, picks) in registry.images {
            let picks = picks.unwrap_or_default();
            let tags = match picks.as_slice() {
                [] => TagChoice::All,
                picks => {
                    TagChoice::These(picks.iter().map(|text| pick(text)).collect::<Result<_>>()?)
                }
            };
            add(&repository, tags)?;
        }
        for (repository, regex) in registry.by_regex {
            add(&repository, TagChoice::Matching(regex))?;
        }
        for (repository, range) in registry.by_version {
            add(&repository, TagChoice::Versions(range))?;
        }
    }
    Ok(wanted)
}

fn pick(text: &str) -> Result<Pick> {
    if text.contains(':') {
        let digest =
            text.parse().map_err(|error| Error::caused(ErrorKind::Usage, "the list", error))?;
        return Ok(Pick::Digest(digest));
    }
    if is_tag(text) {
        return Ok(Pick::Tag(text.to_owned()));
    }
    Err(Error::usage(format!("the list: {text:?} is neither a tag nor a digest")))
}

/// One line of a plain list: a source, and a destination if the line names one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Where from.
    pub source: String,
    /// Where to, if not below the common destination.
    pub destination: Option<String>,
}

/// Reads a plain list: `SRC` or `SRC DST` per line, `#` begins a comment.
pub fn parse_lines(text: &str) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split(" #").next().unwrap_or_default().trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut words = line.split_whitespace();
        let (Some(source), destination, None) = (words.next(), words.next(), words.next()) else {
            return Err(Error::usage(format!(
                "line {} of the list: expected SRC or SRC DST",
                number + 1
            )));
        };
        lines.push(Line { source: source.to_owned(), destination: destination.map(str::to_owned) });
    }
    Ok(lines)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn skopeos_format() {
        let digest = Digest::sha256(b"x");
        let text = format!(
            "registry.example.com:\n  images:\n    busybox: []\n    redis:\n      - \"1.0\"\n      - {digest}\n  \
             images-by-tag-regex:\n    nginx: ^1\\.13\n  images-by-semver:\n    alpine: \">= 3.12\"\n  \
             credentials:\n    username: john\n    password: secret\n  tls-verify: false\n  cert-dir: /certs\n\
             quay.io:\n  tls-verify: true\n  images:\n    a/b:\n"
        );
        let wanted = parse_yaml(&text).unwrap();
        let shown: Vec<_> = wanted.iter().map(|w| (w.repository.name(), w.tags.clone())).collect();
        assert_eq!(
            shown,
            [
                ("quay.io/a/b".to_owned(), TagChoice::All),
                ("registry.example.com/busybox".to_owned(), TagChoice::All),
                (
                    "registry.example.com/redis".to_owned(),
                    TagChoice::These(vec![Pick::Tag("1.0".into()), Pick::Digest(digest)])
                ),
                ("registry.example.com/nginx".to_owned(), TagChoice::Matching("^1\\.13".into())),
                ("registry.example.com/alpine".to_owned(), TagChoice::Versions(">= 3.12".into())),
            ]
        );
        let access = &wanted[1].access;
        assert_eq!(access.credentials, Some(("john".into(), Secret::new("secret"))));
        assert_eq!(
            (access.tls_verify, access.cert_dir.as_deref()),
            (Some(false), Some("/certs".as_ref()))
        );
        for bad in [
            "- a",
            "h.io: {image: {}}",
            "h.io: {images: {a: ['b c']}}",
            "h.io: {images: {'A': []}}",
            "[",
        ] {
            assert_eq!(parse_yaml(bad).unwrap_err().kind(), ErrorKind::Usage, "{bad}");
        }
    }

    #[test]
    fn plain_lines() {
        let lines = parse_lines("# head\n\na/b:1\n  c:2   oci:x:2 # why\n").unwrap();
        assert_eq!(lines[0], Line { source: "a/b:1".into(), destination: None });
        assert_eq!(lines[1], Line { source: "c:2".into(), destination: Some("oci:x:2".into()) });
        assert!(parse_lines("a b c").unwrap_err().to_string().contains("line 1"));
    }
}
