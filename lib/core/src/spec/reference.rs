//! Names of images, read by Docker's rules.
//!
//! Follows the grammar of the distribution project's `reference` package: the first path component
//! is a host if it holds a dot or a colon, is `localhost`, or has an upper-case letter. Defaults
//! (`docker.io`, `library/`) are applied by [`Reference::parse`] and nowhere else; `latest` only
//! when asked for by [`Reference::tag_or_latest`].

use std::fmt;
use std::str::FromStr;

use super::Digest;
use crate::error::{Error, Result};

/// Docker Hub's canonical name.
pub const DOCKER_HUB: &str = "docker.io";
/// Longest repository name including the registry.
const MAX_NAME: usize = 255;

/// A fully qualified image name: registry, repository, and a tag, a digest, both or neither.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Reads a name as a person writes it and applies Docker's defaults.
    pub fn parse(text: &str) -> Result<Reference> {
        parse(text).map_err(|why| Error::usage(format!("{text:?} is not an image name: {why}")))
    }

    /// A reference from parts that are checked.
    pub fn from_parts(
        registry: &str,
        repository: &str,
        tag: Option<&str>,
        digest: Option<Digest>,
    ) -> Result<Reference> {
        let mut text = format!("{registry}/{repository}");
        if let Some(tag) = tag {
            text = format!("{text}:{tag}");
        }
        let parsed = Reference::parse(&text)?;
        if parsed.registry != canonical_registry(registry) {
            return Err(Error::usage(format!("{registry:?} is not a registry host")));
        }
        Ok(Reference { digest, ..parsed })
    }

    /// Whether `text` names a registry host itself, so that a push to it is deliberate.
    pub fn has_explicit_registry(text: &str) -> bool {
        split_registry(text).0.is_some()
    }

    /// Host and port: `docker.io`, `localhost:5000`, `[::1]:5000`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Path below the registry: `library/debian`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag as given.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest as given; it decides when there is a tag as well.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The tag to use when nothing else was said.
    pub fn tag_or_latest(&self) -> &str {
        self.tag.as_deref().unwrap_or("latest")
    }

    /// What a manifest is asked for by: the digest if there is one, else the tag or `latest`.
    pub fn manifest_name(&self) -> String {
        match &self.digest {
            Some(digest) => digest.to_string(),
            None => self.tag_or_latest().to_owned(),
        }
    }

    /// The same repository with another tag and no digest.
    pub fn with_tag(&self, tag: &str) -> Result<Reference> {
        if !is_tag(tag) {
            return Err(Error::usage(format!(
                "{tag:?} is not a tag (letters, digits, '_', '.', '-', at most 128)"
            )));
        }
        Ok(Reference { tag: Some(tag.to_owned()), digest: None, ..self.clone() })
    }

    /// The same repository with a digest and no tag.
    pub fn with_digest(&self, digest: Digest) -> Reference {
        Reference { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// With `latest` written out when neither tag nor digest was given.
    pub fn with_default_tag(&self) -> Reference {
        let mut out = self.clone();
        if out.tag.is_none() && out.digest.is_none() {
            out.tag = Some("latest".to_owned());
        }
        out
    }

    /// `registry/repository`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// As Docker shows it: without `docker.io/` and `library/`.
    pub fn familiar(&self) -> String {
        familiar(self.to_string())
    }

    /// [`Reference::name`] as Docker shows it.
    pub fn familiar_name(&self) -> String {
        familiar(self.name())
    }
}

fn familiar(full: String) -> String {
    let Some(short) = full.strip_prefix("docker.io/") else { return full };
    short.strip_prefix("library/").unwrap_or(short).to_owned()
}

/// Whether `text` is a tag by the distribution spec's grammar.
pub fn is_tag(text: &str) -> bool {
    let mut bytes = text.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    first && text.len() <= 128 && bytes.all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

fn parse(text: &str) -> std::result::Result<Reference, String> {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => {
            (rest, Some(digest.parse::<Digest>().map_err(|error| error.to_string())?))
        }
        None => (text, None),
    };
    let (registry, path) = split_registry(rest);
    if let Some(registry) = registry {
        check_host(registry)?;
    }
    let (path, tag) = match path.rsplit_once(':') {
        Some((path, tag)) if is_tag(tag) => (path, Some(tag.to_owned())),
        Some((_, tag)) => return Err(format!("{tag:?} is not a tag")),
        None => (path, None),
    };
    check_path(path)?;
    let registry = canonical_registry(registry.unwrap_or(DOCKER_HUB)).to_owned();
    let repository = match registry.as_str() {
        DOCKER_HUB if !path.contains('/') => format!("library/{path}"),
        _ => path.to_owned(),
    };
    if registry.len() + 1 + repository.len() > MAX_NAME {
        return Err(format!("it is longer than {MAX_NAME} characters"));
    }
    let looks_like_id = registry == DOCKER_HUB
        && text.len() == 64
        && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if looks_like_id {
        return Err("64 hexadecimal digits are an ID, not a name".to_owned());
    }
    Ok(Reference { registry, repository, tag, digest })
}

/// Separates a leading host from the path, if there is one.
fn split_registry(text: &str) -> (Option<&str>, &str) {
    let Some((first, rest)) = text.split_once('/') else { return (None, text) };
    let is_host = first.contains(['.', ':'])
        || first == "localhost"
        || first.bytes().any(|b| b.is_ascii_uppercase());
    if is_host { (Some(first), rest) } else { (None, text) }
}

/// Docker Hub's old name is its new one.
fn canonical_registry(registry: &str) -> &str {
    if registry == "index.docker.io" { DOCKER_HUB } else { registry }
}

fn check_host(host: &str) -> std::result::Result<(), String> {
    let bad = || format!("{host:?} is not a registry host");
    let (name, port) = if let Some(v6) = host.strip_prefix('[') {
        let (address, port) = v6.split_once(']').ok_or_else(bad)?;
        // No zones and no embedded IPv4, as in Docker's grammar.
        let plain = address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
        if !plain || address.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(bad());
        }
        (
            None,
            port.strip_prefix(':')
                .map_or(if port.is_empty() { Ok(None) } else { Err(bad()) }, |p| Ok(Some(p)))?,
        )
    } else {
        match host.split_once(':') {
            Some((name, port)) => (Some(name), Some(port)),
            None => (Some(host), None),
        }
    };
    if let Some(port) = port
        && !port
            .parse::<u16>()
            .is_ok_and(|number| number > 0 && port.len() <= 5 && !port.starts_with('+'))
    {
        return Err(format!("{port:?} is not a port"));
    }
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if name.is_some_and(|name| !name.split('.').all(label)) {
        return Err(bad());
    }
    Ok(())
}

/// `component(/component)*`; a component is alphanumeric runs joined by `.`, `_`, `__` or dashes.
fn check_path(path: &str) -> std::result::Result<(), String> {
    if path.is_empty() {
        return Err("the repository is missing".to_owned());
    }
    for component in path.split('/') {
        if !is_component(component) {
            let hint = if component.bytes().any(|b| b.is_ascii_uppercase()) {
                " (repository names are lower case)"
            } else {
                ""
            };
            return Err(format!("{component:?} is not allowed in a repository name{hint}"));
        }
    }
    Ok(())
}

fn is_component(component: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    if !alphanumeric(*first) || !alphanumeric(*last) {
        return false;
    }
    component
        .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        .filter(|separator| !separator.is_empty())
        .all(|separator| {
            matches!(separator, "." | "_" | "__") || separator.bytes().all(|b| b == b'-')
        })
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Reference> {
        Reference::parse(text)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn dockers_defaults() {
        for (given, full) in [
            ("debian", "docker.io/library/debian"),
            ("debian:12", "docker.io/library/debian:12"),
            ("user/app", "docker.io/user/app"),
            ("index.docker.io/debian", "docker.io/library/debian"),
            ("localhost/app", "localhost/app"),
            ("localhost:5000/app:1", "localhost:5000/app:1"),
            ("a.b/c", "a.b/c"),
            ("Foo/bar", "Foo/bar"),
            ("[::1]:5000/x", "[::1]:5000/x"),
            ("[2001:db8::1]/x:t", "[2001:db8::1]/x:t"),
            ("x/a--b__c.d_e/f", "docker.io/x/a--b__c.d_e/f"),
            ("127.0.0.1:5000/a/b/c:v_1.2-3", "127.0.0.1:5000/a/b/c:v_1.2-3"),
        ] {
            assert_eq!(Reference::parse(given).unwrap().to_string(), full, "{given}");
        }
        assert_eq!(
            Reference::parse("docker.io/library/debian:12").unwrap().familiar(),
            "debian:12"
        );
    }

    #[test]
    fn tag_and_digest_together() {
        let digest = Digest::sha256(b"x");
        let both = Reference::parse(&format!("h.io/r:t@{digest}")).unwrap();
        assert_eq!((both.tag(), both.manifest_name()), (Some("t"), digest.to_string()));
        assert_eq!(both.to_string(), format!("h.io/r:t@{digest}"));
        assert_eq!(Reference::parse("r").unwrap().manifest_name(), "latest");
    }

    #[test]
    fn what_is_no_name() {
        for bad in [
            "",
            ":",
            "a:",
            "a:b:c",
            "A",
            "a/B",
            "/a",
            "a/",
            "a//b",
            "a/../b",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a_.b",
            "h.io/",
            "h.io:x/a",
            "h.io:99999/a",
            "h.io:0/a",
            "[::1/a",
            "[zz]:1/a",
            "a@sha256:00",
            "a@",
            "-h.io/a",
            "a b",
            "a\u{e9}",
        ] {
            assert!(Reference::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Reference::parse(&"a".repeat(64)).is_err());
        assert!(Reference::parse(&format!("h.io/{}", "a".repeat(300))).is_err());
        assert!(Reference::parse(&format!("a:{}", "t".repeat(129))).is_err());
        let message = Reference::parse("Ab").unwrap_err().to_string();
        assert!(message.contains("lower case"), "{message}");
    }

    /// What the distribution project's own tests say of these names.
    #[test]
    fn dockers_grammar() {
        let sha256 = format!("sha256:{}", "f".repeat(64));
        let sha512 = format!("sha512:{}", "f".repeat(128));
        let hex = "1a3f5e7d9c1b3a5f7e9d1c3b5a7f9e1d3c5b7a9f1e3d5d7c9b1a3f5e7d9c1b3a";
        let parts = |text: &str| {
            let r = Reference::parse(text).unwrap();
            let digest = r.digest().map(|digest| format!("@{}", digest.algorithm().as_str()));
            format!(
                "{} {} {}{}",
                r.registry(),
                r.repository(),
                r.tag().unwrap_or("-"),
                digest.unwrap_or_default()
            )
        };
        for (text, expected) in [
            ("test_com", "docker.io library/test_com -"),
            ("test.com:tag", "docker.io library/test.com tag"),
            ("test.com:5000", "docker.io library/test.com 5000"),
            ("test.com/repo:tag", "test.com repo tag"),
            ("test:5000/repo", "test:5000 repo -"),
            ("test:5000/repo:tag", "test:5000 repo tag"),
            ("lowercase:Uppercase", "docker.io library/lowercase Uppercase"),
            (
                "sub-dom1.foo.com/bar/baz/quux:some-long-tag",
                "sub-dom1.foo.com bar/baz/quux some-long-tag",
            ),
            (
                "b.gcr.io/test.example.com/my-app:test.example.com",
                "b.gcr.io test.example.com/my-app test.example.com",
            ),
            ("xn--n3h.com/myimage:xn--n3h.com", "xn--n3h.com myimage xn--n3h.com"),
            ("foo_bar.com:8080", "docker.io library/foo_bar.com 8080"),
            ("foo/foo_bar.com:8080", "docker.io foo/foo_bar.com 8080"),
            ("192.168.1.1", "docker.io library/192.168.1.1 -"),
            ("192.168.1.1:5000", "docker.io library/192.168.1.1 5000"),
            ("192.168.1.1/repo", "192.168.1.1 repo -"),
            ("192.168.1.1:5000/repo:5050", "192.168.1.1:5000 repo 5050"),
            ("[2001:db8::1]/repo", "[2001:db8::1] repo -"),
            ("[2001:db8:1:2:3:4:5:6]/repo:tag", "[2001:db8:1:2:3:4:5:6] repo tag"),
            ("[2001:db8::]:5000/repo", "[2001:db8::]:5000 repo -"),
            ("[::1]:5000/repo:tag", "[::1]:5000 repo tag"),
            ("docker.io", "docker.io library/docker.io -"),
            ("docker.io/debian", "docker.io library/debian -"),
            ("index.docker.io/docker/docker", "docker.io docker/docker -"),
            ("localhost/library/debian", "localhost library/debian -"),
            ("localhosts/debian", "docker.io localhosts/debian -"),
            ("Docker/docker", "Docker docker -"),
            ("DOCKER.IO/docker/a", "DOCKER.IO docker/a -"),
            ("dock__er/a_b.c-d---e", "docker.io dock__er/a_b.c-d---e -"),
            ("a:_x", "docker.io library/a _x"),
        ] {
            assert_eq!(parts(text), expected, "{text}");
        }
        assert_eq!(parts(&format!("test:5000/repo@{sha256}")), "test:5000 repo -@sha256");
        assert_eq!(parts(&format!("test:5000/r:t@{sha256}")), "test:5000 r t@sha256");
        assert_eq!(parts(&format!("xn--7o8h.com/m:t@{sha512}")), "xn--7o8h.com m t@sha512");
        assert_eq!(parts(&format!("docker.io/{hex}")), format!("docker.io library/{hex} -"));
        let longest = format!("h.io/{}", "a/".repeat(124) + "a:tag-puts-this-over-the-limit");
        assert!(parts(&longest).starts_with("h.io a/a/"));
        for bad in [
            ":justtag",
            "repo@sha256:ffff34",
            &format!("@{sha256}"),
            &format!("a@{sha256}@{sha256}"),
            &format!("validname@invaliddigest:{}", "f".repeat(128)),
            &format!("a@{}", sha256.to_uppercase()),
            "Uppercase:tag",
            "test:5000/Uppercase/lowercase:tag",
            &format!("{}a:tag", "a/".repeat(128)),
            "aa/asdf$$^/aa",
            "foo_bar.com:8080/x",
            "[2001:db8::1]",
            "[2001:db8::1]:5000",
            "[fe80::1%eth0]:5000/repo",
            "[fe80::1%@invalidzone]:5000/repo",
            "[2001:db8:3:4::192.0.2.33]:5000/debian",
            "[]:5000/a",
            "[::1]5000/a",
            "fc00::1:5000/debian",
            "https://github.com/docker/docker",
            "docker/Docker",
            "-docker/docker",
            "-docker.io/docker/docker",
            "docker-.io/docker/docker",
            "docker///docker",
            "docker.io/docker///docker",
            "_docker/_docker",
            "docker/docker-",
            "a.io:/b",
            "a.io:+80/b",
            "a..io/b",
            "a\0b",
            "a\n",
            " a",
            hex,
        ] {
            assert!(Reference::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_host_is_recognised() {
        for (text, explicit) in [
            ("a/b", false),
            ("a", false),
            ("a:5000", false),
            ("h.io/a", true),
            ("localhost/a", true),
        ] {
            assert_eq!(Reference::has_explicit_registry(text), explicit, "{text}");
        }
    }
}
