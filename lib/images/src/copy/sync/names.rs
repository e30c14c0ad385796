//! What a synced image is called at the destination, and which tags are wanted.

use std::path::PathBuf;

use regex_lite::Regex;

use crate::error::{Error, Result};
use crate::spec::Reference;
use crate::transport::{Entry, InPath, Location};

/// Which tags of a repository are copied.
#[derive(Default)]
pub struct Filter {
    include: Vec<Regex>,
    exclude: Vec<Regex>,
}

impl Filter {
    /// Tags that match any of `include` (all, if it is empty) and none of `exclude`.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Filter> {
        let compile =
            |texts: &[String]| texts.iter().map(|text| regex(text)).collect::<Result<Vec<_>>>();
        Ok(Filter { include: compile(include)?, exclude: compile(exclude)? })
    }

    /// Whether `tag` is wanted.
    pub fn wants(&self, tag: &str) -> bool {
        (self.include.is_empty() || self.include.iter().any(|regex| regex.is_match(tag)))
            && !self.exclude.iter().any(|regex| regex.is_match(tag))
    }
}

fn regex(text: &str) -> Result<Regex> {
    Regex::new(text)
        .map_err(|error| Error::usage(format!("{text:?} is not a regular expression: {error}")))
}

/// What all images of a sync are put below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Below {
    /// A path in a registry: `host/prefix`.
    Registry(String),
    /// A directory of `dir:` images.
    Directory(PathBuf),
    /// One OCI layout.
    Layout(PathBuf),
}

/// How names are made.
#[derive(Clone, Debug)]
pub struct Naming {
    /// Where everything goes.
    pub below: Below,
    /// Keep the source's whole name, host included; otherwise its last component.
    pub scoped: bool,
    /// `below` is the repository itself: nothing of the source's name is appended.
    pub exact: bool,
    /// Appended to every tag.
    pub suffix: String,
}

impl Naming {
    /// The destination of one image.
    pub fn destination(&self, source: &Reference) -> Result<Location> {
        let last = source.repository().rsplit('/').next().unwrap_or_default();
        let name = match (self.exact, self.scoped) {
            (true, _) => String::new(),
            (false, true) => source.name(),
            (false, false) => last.to_owned(),
        };
        let version = match (source.digest(), source.tag()) {
            // A digest cannot take a suffix: it would name nothing.
            (Some(digest), None) => format!("@{digest}"),
            _ => format!(":{}{}", source.tag_or_latest(), self.suffix),
        };
        match &self.below {
            Below::Registry(prefix) => {
                let prefix = prefix.trim_end_matches('/');
                let path =
                    if name.is_empty() { prefix.to_owned() } else { format!("{prefix}/{name}") };
                // A port would otherwise stand inside the path.
                let (host, rest) = path.split_once('/').unwrap_or((&path, ""));
                let path = format!("{host}/{}", rest.replace(':', "-"));
                Ok(Location::Registry(Reference::parse(&format!(
                    "{}{version}",
                    path.trim_end_matches('/')
                ))?))
            }
            Below::Directory(root) => {
                let leaf = if name.is_empty() { last.to_owned() } else { name };
                Ok(Location::Directory(root.join(format!("{leaf}{version}"))))
            }
            Below::Layout(path) => {
                let entry = if name.is_empty() {
                    version[1..].to_owned()
                } else {
                    format!("{name}{version}")
                };
                Ok(Location::Layout(InPath { path: path.clone(), entry: Entry::Named(entry) }))
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_skopeo() {
        let source = Reference::parse("h:5000/a/b:1").unwrap();
        let naming =
            |below: Below, scoped, exact| Naming { below, scoped, exact, suffix: "-x".into() };
        let registry = || Below::Registry("d.io/p".into());
        for (naming, expected) in [
            (naming(registry(), false, false), "docker://d.io/p/b:1-x"),
            (naming(registry(), true, false), "docker://d.io/p/h-5000/a/b:1-x"),
            (naming(registry(), false, true), "docker://d.io/p:1-x"),
            (naming(Below::Directory("/t".into()), false, false), "dir:/t/b:1-x"),
            (naming(Below::Directory("/t".into()), true, false), "dir:/t/h:5000/a/b:1-x"),
            (naming(Below::Layout("/l".into()), false, false), "oci:/l:b:1-x"),
            (naming(Below::Layout("/l".into()), false, true), "oci:/l:1-x"),
        ] {
            assert_eq!(naming.destination(&source).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn tags_are_filtered() {
        let filter = Filter::new(&["^1\\.".into(), "^lat".into()], &["rc".into()]).unwrap();
        let wanted: Vec<_> =
            ["1.0", "1.0-rc1", "2.0", "latest"].into_iter().filter(|t| filter.wants(t)).collect();
        assert_eq!(wanted, ["1.0", "latest"]);
        assert!(Filter::default().wants("x"));
        assert!(Filter::new(&["(".into()], &[]).is_err());
    }
}
