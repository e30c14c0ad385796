//! The names under which a policy may speak of an image, most specific first.
//!
//! Pure: paths are taken as they are given, so whoever builds a scope resolves links first.

use std::path::Path;

use crate::error::{Error, Result};

/// The transports whose scopes are absolute paths.
const PATHS: [&str; 3] = ["dir", "oci", "oci-archive"];

/// What a policy looks an image up by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyScope {
    transport: String,
    image: String,
    names: Vec<String>,
}

impl PolicyScope {
    /// An image of a registry. With a digest the tag does not count: it does not decide which
    /// image is used.
    pub fn docker(
        registry: &str,
        repository: &str,
        tag: Option<&str>,
        digest: Option<&str>,
    ) -> PolicyScope {
        PolicyScope::named("docker", registry, repository, tag, digest)
    }

    /// An image of another transport whose images have such names, `docker-daemon` for one.
    pub fn named(
        transport: &str,
        registry: &str,
        repository: &str,
        tag: Option<&str>,
        digest: Option<&str>,
    ) -> PolicyScope {
        let name = format!("{registry}/{repository}");
        let full = match (digest, tag) {
            (Some(digest), _) => format!("{name}@{digest}"),
            (None, tag) => format!("{name}:{}", tag.unwrap_or("latest")),
        };
        let mut names = vec![full.clone()];
        names.extend(parents(&name));
        let host = registry.split(':').next().unwrap_or_default();
        let domains = host.match_indices('.').map(|(dot, _)| format!("*{}", &host[dot..]));
        names.extend(domains);
        let image = match transport {
            "docker" => format!("docker://{full}"),
            _ => format!("{transport}:{full}"),
        };
        PolicyScope { transport: transport.to_owned(), image, names }
    }

    /// An image of a transport whose images are paths: `dir`, `oci`, `oci-archive`. A name
    /// within the layout or archive does not count.
    ///
    /// # Errors
    /// Usage if `path` is not absolute, or not UTF-8.
    pub fn path(transport: &str, path: &Path) -> Result<PolicyScope> {
        let text = path.to_str().filter(|text| text.starts_with('/'));
        let text = text.map(|text| text.trim_end_matches('/'));
        let Some(text) = text else {
            let what = format!("{} cannot be looked up in a policy", path.display());
            return Err(Error::usage(what));
        };
        // The root is left out, as its scope is the empty one.
        let names = parents(text).filter(|name| !name.is_empty()).collect();
        let image = format!("{transport}:{text}");
        Ok(PolicyScope { transport: transport.to_owned(), image, names })
    }

    /// An image of a transport that policies know as a whole only, `docker-archive` for one.
    /// `image` is for messages.
    pub fn whole(transport: &str, image: &str) -> PolicyScope {
        let transport = transport.to_owned();
        PolicyScope { transport, image: image.to_owned(), names: Vec::new() }
    }

    pub(super) fn transport(&self) -> &str {
        &self.transport
    }

    pub(super) fn image(&self) -> &str {
        &self.image
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }
}

/// `a/b/c`, `a/b`, `a`.
fn parents(name: &str) -> impl Iterator<Item = String> {
    std::iter::successors(Some(name), |name| name.rsplit_once('/').map(|(parent, _)| parent))
        .map(str::to_owned)
}

/// Whether `scope` can match anything at all. What cannot would be a rule that silently never
/// holds.
pub(super) fn check(transport: &str, scope: &str) -> Result<(), &'static str> {
    if PATHS.contains(&transport) {
        let clean = |part: &str| !matches!(part, "" | "." | "..");
        return match scope.strip_prefix('/') {
            Some("") => Err("is the root; use the scope \"\" for everything"),
            Some(path) if path.split('/').all(clean) => Ok(()),
            Some(_) => Err("is not a plain path without \".\", \"..\" and empty parts"),
            None => Err("is not an absolute path"),
        };
    }
    if transport == "docker" {
        let rest = scope.strip_prefix("*.").unwrap_or(scope);
        if rest.contains("://") {
            return Err("is a URL; leave out the part up to \"://\"");
        }
        if rest.contains('*') || (rest.len() != scope.len() && rest.contains(['/', ':', '@'])) {
            return Err("has a wildcard that is not *.DOMAIN");
        }
        if rest.ends_with('/') || rest.is_empty() {
            return Err("ends in an empty part");
        }
    }
    Ok(())
}
