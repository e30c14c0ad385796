//! Which files an instruction means.
//!
//! A source that is a symbolic link is followed, below the origin's root, whether it is named or
//! found by a wildcard; links that are found inside a directory stay links. With `--parents` the
//! source is the directory before `/./` (the root without one), and the rest of it a pattern that
//! chooses what of that directory is copied, so that links stay links there too.

use super::super::dockerignore::{self, Glob, Ignore};
use super::super::graph::has_wildcards;
use super::super::view::join;
use super::Origin;
use super::layout::shown;
use super::locate::{Finder, malformed, unescaped};
use super::walk::Walk;
use crate::error::{Error, IoContext, Result};
use crate::sys::{FileKind, Meta};

/// What is wanted.
#[derive(Clone, Copy)]
pub(in crate::build) struct Pattern<'a> {
    /// The source as written, expanded.
    pub(in crate::build) text: &'a str,
    /// `--exclude`.
    pub(in crate::build) exclude: &'a Ignore,
    /// `--parents`.
    pub(in crate::build) parents: bool,
    /// Whether the text is a path that has no wildcards whatever is in it.
    pub(in crate::build) plain: bool,
}

impl<'a> Pattern<'a> {
    /// What stands at a path.
    pub(in crate::build) fn path(text: &'a str, exclude: &'a Ignore) -> Pattern<'a> {
        Pattern { text, exclude, parents: false, plain: true }
    }
}

/// Something in a directory that was found.
#[derive(Clone, Debug)]
pub(in crate::build) struct Inside {
    /// Below the directory.
    pub(in crate::build) path: Vec<u8>,
    pub(in crate::build) meta: Meta,
    /// A directory that is only on the way to what was chosen.
    pub(in crate::build) passed: bool,
}

/// Something that was found.
#[derive(Clone, Debug)]
pub(in crate::build) struct Chosen {
    /// Where it really is, below the root, no part of it a link.
    pub(in crate::build) path: Vec<u8>,
    /// What it is called at the destination.
    pub(in crate::build) name: Vec<u8>,
    pub(in crate::build) meta: Meta,
    /// What is chosen in it, parents first, if it is a directory.
    pub(in crate::build) inside: Vec<Inside>,
}

/// Why a source was not found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::build) struct Missing {
    /// The path that was looked for.
    pub(in crate::build) path: String,
    /// The pattern that leaves it out and its line in the ignore file.
    pub(in crate::build) ignored_by: Option<(String, usize)>,
    /// Something there that is called almost the same.
    pub(in crate::build) nearest: Option<String>,
    /// The symbolic link that is the reason: its path and what it says.
    pub(in crate::build) link: Option<(String, String)>,
}

/// What came of looking for a source.
pub(in crate::build) type Found = std::result::Result<Vec<Chosen>, Missing>;

/// Finds what a source means: in byte order where it has wildcards, which may match nothing. What
/// `--exclude` leaves out is not found, but not missing either.
pub(in crate::build) fn select(origin: &Origin, wanted: &Pattern<'_>) -> Result<Found> {
    let finder = Finder { origin, exclude: wanted.exclude };
    if wanted.parents {
        return finder.parents(wanted.text);
    }
    let pattern = within(wanted.text);
    if wanted.plain {
        return finder.named(pattern.as_bytes());
    }
    if !has_wildcards(&pattern) {
        return finder.named(&unescaped(&pattern));
    }
    let mut out = Vec::new();
    for path in finder.matching(&pattern)? {
        match finder.matched(&path)? {
            Ok(found) => out.extend(found),
            Err(missing) => return Ok(Err(missing)),
        }
    }
    Ok(Ok(out))
}

/// A path below a root: cleaned, and `..` never leads above.
fn within(path: &str) -> String {
    dockerignore::clean(&format!("/{path}"))[1..].to_owned()
}

impl Finder<'_> {
    /// What stands at a path.
    fn named(&self, path: &[u8]) -> Result<Found> {
        Ok(self.found(path)?.map(|chosen| chosen.into_iter().collect()))
    }

    /// What stands at a path that a wildcard found. What an ignore file leaves out was not there
    /// to be found, but a link that leads nowhere was.
    fn matched(&self, path: &[u8]) -> Result<Found> {
        if self.origin.ignore.excluded_by(path).is_some() && self.is_link(path) {
            return Ok(Ok(Vec::new()));
        }
        match self.named(path)? {
            Err(missing) if missing.link.is_none() => Ok(Ok(Vec::new())),
            found => Ok(found),
        }
    }

    /// What stands at a path, links followed; nothing for what `--exclude` leaves out.
    fn found(&self, path: &[u8]) -> Result<std::result::Result<Option<Chosen>, Missing>> {
        let looking = || format!("looking for {} in {}", shown(path), self.origin.title);
        let Some((real, meta)) = self.resolve(path).doing(looking)? else {
            return self.missing(path).map(Err);
        };
        let ignore = &self.origin.ignore;
        let left_out = !real.is_empty() && ignore.excluded_by(&real).is_some();
        let may_have_more = meta.kind == FileKind::Directory && ignore.may_take_back_below(&real);
        // A link that is left out is not there to be followed.
        let link_left_out =
            real != path && ignore.excluded_by(path).is_some() && self.is_link(path);
        if left_out && !may_have_more || link_left_out {
            return self.missing(path).map(Err);
        }
        let name = path.rsplit(|&b| b == b'/').next().unwrap_or_default().to_vec();
        let mut chosen = Chosen { path: real, name, meta, inside: Vec::new() };
        if meta.kind != FileKind::Directory {
            let excluded = self.exclude.excluded_by(&chosen.name).is_some();
            return Ok(Ok(Some(chosen).filter(|_| !excluded)));
        }
        chosen.inside = self.content(&chosen.path, None).doing(looking)?;
        match left_out && chosen.inside.is_empty() {
            true => self.missing(path).map(Err),
            false => Ok(Ok(Some(chosen))),
        }
    }

    /// What of a directory is wanted.
    fn content(&self, directory: &[u8], include: Option<&Glob>) -> Result<Vec<Inside>> {
        let mut walk = Walk::new(self.origin, self.exclude, directory, include);
        walk.run()?;
        Ok(walk.inside)
    }

    /// What `--parents` keeps the paths of.
    fn parents(&self, text: &str) -> Result<Found> {
        let (pivot, pattern) = match text.split_once("/./") {
            Some((pivot, pattern)) => (within(pivot), within(pattern)),
            None => (String::new(), within(text)),
        };
        let glob = Glob::parse(&pattern).map_err(|problem| malformed(text, &problem))?;
        let include = (!pattern.is_empty()).then_some(&glob);
        let mut out = Vec::new();
        if has_wildcards(&pivot) {
            for base in self.matching(&pivot)? {
                if let Ok(Some(chosen)) = self.below_pivot(&base, include)? {
                    out.push(chosen);
                }
            }
            return Ok(Ok(out));
        }
        let base = unescaped(&pivot);
        match self.below_pivot(&base, include)? {
            Ok(Some(chosen)) => out.push(chosen),
            Ok(None) => return Err(Error::invalid(format!("{} is not a directory", shown(&base)))),
            Err(missing) => return Ok(Err(missing)),
        }
        let plain = !has_wildcards(&pattern) && out.iter().all(|chosen| chosen.inside.is_empty());
        if let Some(chosen) = out.first().filter(|_| plain) {
            let path = join(&chosen.path, &unescaped(&pattern));
            if let Some(missing) = self.missing_below(&chosen.path, &path)? {
                return Ok(Err(missing));
            }
        }
        Ok(Ok(out))
    }

    /// What is wanted of the directory at a path, links in the path followed; nothing if it is
    /// none.
    fn below_pivot(
        &self,
        path: &[u8],
        include: Option<&Glob>,
    ) -> Result<std::result::Result<Option<Chosen>, Missing>> {
        let looking = || format!("looking for {} in {}", shown(path), self.origin.title);
        let Some((real, meta)) = self.resolve(path).doing(looking)? else {
            return self.missing(path).map(Err);
        };
        if meta.kind != FileKind::Directory {
            return Ok(Ok(None));
        }
        let inside = self.content(&real, include).doing(looking)?;
        Ok(Ok(Some(Chosen { path: real, name: Vec::new(), meta, inside })))
    }
}
