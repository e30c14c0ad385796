//! Paths inside an image: always with `/`, never above the root.

/// An absolute path made of `path` as seen from `base`, without `.`, `..` and doubled slashes.
pub(in crate::build) fn join(base: &str, path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let base = if path.starts_with('/') { "" } else { base };
    for part in base.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// A destination as seen from `base`: absolute, and ending in a slash where it names a directory
/// (`dir/`, `dir/.`, `.`, `..` or nothing at all). Without a known base a relative one stays so.
pub(in crate::build) fn destination(base: Option<&str>, path: &str) -> String {
    let directory = matches!(path, "" | "." | "..")
        || path.ends_with('/')
        || path.ends_with("/.")
        || path.ends_with("/..");
    let Some(base) = base.or_else(|| path.starts_with('/').then_some("/")) else {
        return if path.is_empty() { "./".to_owned() } else { path.to_owned() };
    };
    let mut out = join(base, path);
    if directory && out != "/" {
        out.push('/');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_the_root() {
        for (base, path, expected) in [
            ("/a", "b", "/a/b"),
            ("/a", "/b", "/b"),
            ("/a", "../../b", "/b"),
            ("/a/", ".", "/a"),
            ("/", "", "/"),
            ("/a", "b//./c/", "/a/b/c"),
        ] {
            assert_eq!(join(base, path), expected);
        }
        for (base, path, expected) in [
            (Some("/a"), "b", "/a/b"),
            (Some("/a"), "b/", "/a/b/"),
            (Some("/a"), "b/.", "/a/b/"),
            (Some("/a"), ".", "/a/"),
            (Some("/"), ".", "/"),
            (Some("/a"), "", "/a/"),
            (Some("/a"), "..", "/"),
            (None, "b", "b"),
            (None, "/b/../c/", "/c/"),
            (None, "", "./"),
        ] {
            assert_eq!(destination(base, path), expected, "{path}");
        }
    }
}
