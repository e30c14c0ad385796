//! Sources of `ADD` and `COPY`: a path, a URL or a git repository.

/// What a source is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A path, perhaps with wildcards, below the root that it is looked up in.
    Path(String),
    /// An `http` or `https` URL.
    Url(String),
    /// A git repository with its fragment or query, as written.
    Git(String),
}

impl Place {
    /// Tells what a source is by its looks.
    pub fn parse(text: &str) -> Place {
        if text.starts_with("git://") || text.starts_with("ssh://") || is_scp(text) {
            return Place::Git(text.to_owned());
        }
        let web = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let Some(rest) = web else { return Place::Path(text.to_owned()) };
        let path = rest.split(['?', '#']).next().unwrap_or(rest);
        match path.contains('/') && path.ends_with(".git") {
            true => Place::Git(text.to_owned()),
            false => Place::Url(text.to_owned()),
        }
    }

    /// The source as written.
    pub fn text(&self) -> &str {
        match self {
            Place::Path(text) | Place::Url(text) | Place::Git(text) => text,
        }
    }
}

/// `user@host:path`.
fn is_scp(text: &str) -> bool {
    let Some((user, rest)) = text.split_once('@') else { return false };
    let word = |text: &str, more: &[u8]| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || more.contains(&b))
    };
    if !word(user, b"-_") {
        return false;
    }
    match rest.strip_prefix('[').and_then(|rest| rest.split_once("]:")) {
        Some((address, _)) => word(address, b":."),
        None => rest.split_once(':').is_some_and(|(host, _)| word(host, b"-_.")),
    }
}

/// Whether a path has wildcards that are not escaped.
pub(in crate::build) fn has_wildcards(path: &str) -> bool {
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' | '?' | '[' => return true,
            '\\' => {
                chars.next();
            }
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        for (text, expected) in [
            ("a/b", "path"),
            ("./git@x:y", "path"),
            ("github.com/a/b", "path"),
            ("https://x/a.tar", "url"),
            ("http://x", "url"),
            ("https://x.git", "url"),
            ("https://x/a.git", "git"),
            ("https://x/a.git#v1:sub", "git"),
            ("https://x/a.git?ref=v1", "git"),
            ("git://x/a", "git"),
            ("ssh://git@x/a", "git"),
            ("git@x.com:a/b.git", "git"),
            ("git@[::1]:a", "git"),
            ("a b@c:d", "path"),
            ("user@host", "path"),
        ] {
            let shown = match Place::parse(text) {
                Place::Path(_) => "path",
                Place::Url(_) => "url",
                Place::Git(_) => "git",
            };
            assert_eq!(shown, expected, "{text}");
        }
        assert!(has_wildcards("a*") && has_wildcards("[[]a") && !has_wildcards(r"a\*"));
    }
}
