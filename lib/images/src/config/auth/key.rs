//! Whom a credential is for.

use std::fmt;

use crate::error::{Error, Result};

/// Docker Hub, whose key in old files and in helpers is not its name.
pub(super) const DOCKER_HUB: &str = "docker.io";
pub(super) const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// A registry, or a path below it, that a credential is for: `host[:port][/path…]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthKey {
    registry: String,
    path: String,
}

impl AuthKey {
    /// The key for a repository (or, with an empty one, for the registry as a whole).
    pub fn new(registry: &str, repository: &str) -> AuthKey {
        AuthKey { registry: hub(registry).to_owned(), path: repository.to_owned() }
    }

    /// Parses what a person gives to `login` and `logout`: a registry or `host/namespace…`.
    /// A URL stands for its host. A tag or digest is a mistake.
    pub fn parse(text: &str) -> Result<AuthKey> {
        let bad = |why: &str| Err(Error::usage(format!("{text:?} is not a registry: {why}")));
        let bare = without_scheme(text);
        let bare = match bare {
            Some(url) => url.split('/').next().unwrap_or_default(),
            None => text.strip_suffix('/').unwrap_or(text),
        };
        let (registry, path) = bare.split_once('/').unwrap_or((bare, ""));
        if registry.is_empty() {
            return bad("it names no host");
        }
        if bare.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return bad("it has blanks or control characters");
        }
        if bare.contains('@') || path.contains(':') {
            return bad("leave out the tag or digest");
        }
        if bare != registry && path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return bad("a part of its path is empty");
        }
        Ok(AuthKey::new(registry, path))
    }

    /// The host, with a port if there is one. Docker Hub is `docker.io`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The path below it; empty for the registry as a whole.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The names to look under, most specific first, down to the registry.
    pub(super) fn scopes(&self) -> impl Iterator<Item = String> {
        let full = self.to_string();
        std::iter::successors(Some(full), |scope| {
            scope.rsplit_once('/').map(|(parent, _)| parent.to_owned())
        })
    }

    /// What a credential helper knows this registry by.
    pub(super) fn server(&self) -> &str {
        if self.registry == DOCKER_HUB { DOCKER_HUB_KEY } else { &self.registry }
    }
}

impl fmt::Display for AuthKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.registry)?;
        if !self.path.is_empty() {
            write!(f, "/{}", self.path)?;
        }
        Ok(())
    }
}

/// The registry that a key of a file or a helper is for. Older tools wrote the URL of the API:
/// whatever has a scheme or ends in `/` is cut down to its host. A key with a path of the newer
/// kind is returned with its path, so it equals no registry.
pub(super) fn host(key: &str) -> &str {
    let bare = without_scheme(key);
    let url = bare.or_else(|| key.ends_with('/').then_some(key));
    hub(url.map_or(key, |url| url.split('/').next().unwrap_or_default()))
}

fn without_scheme(text: &str) -> Option<&str> {
    text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))
}

fn hub(registry: &str) -> &str {
    match registry {
        "index.docker.io" | "registry-1.docker.io" => DOCKER_HUB,
        other => other,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_people_give_to_login() {
        for (text, registry, path) in [
            ("quay.io", "quay.io", ""),
            ("quay.io/", "quay.io", ""),
            ("localhost:5000", "localhost:5000", ""),
            ("quay.io/org/repo", "quay.io", "org/repo"),
            ("https://quay.io/v2/", "quay.io", ""),
            ("https://index.docker.io/v1/", "docker.io", ""),
            ("registry-1.docker.io/me", "docker.io", "me"),
            ("[::1]:5000/a", "[::1]:5000", "a"),
        ] {
            let key = AuthKey::parse(text).unwrap();
            assert_eq!((key.registry(), key.path()), (registry, path), "{text}");
        }
        for (text, why) in [
            ("", "it names no host"),
            ("/a", "it names no host"),
            ("https://", "it names no host"),
            ("a b", "it has blanks or control characters"),
            ("a\n", "it has blanks or control characters"),
            ("quay.io/a:1", "leave out the tag or digest"),
            ("quay.io/a@sha256:00", "leave out the tag or digest"),
            ("quay.io//a", "a part of its path is empty"),
            ("quay.io/../a", "a part of its path is empty"),
        ] {
            let error = AuthKey::parse(text).unwrap_err().chain();
            assert_eq!(error, format!("{text:?} is not a registry: {why}"));
        }
    }

    #[test]
    fn scopes_get_wider() {
        let scopes: Vec<String> = AuthKey::new("h:1", "a/b/c").scopes().collect();
        assert_eq!(scopes, ["h:1/a/b/c", "h:1/a/b", "h:1/a", "h:1"]);
        assert_eq!(AuthKey::new("h", "").scopes().collect::<Vec<_>>(), ["h"]);
    }

    #[test]
    fn hosts_of_old_keys() {
        for (key, expected) in [
            ("https://index.docker.io/v1/", "docker.io"),
            ("registry-1.docker.io", "docker.io"),
            ("http://h:5000/v2/", "h:5000"),
            ("https://h", "h"),
            ("h/v1/", "h"),
            ("h/a", "h/a"),
        ] {
            assert_eq!(host(key), expected, "{key}");
        }
    }
}
