//! Where a path or a pattern leads inside an origin, and why it leads nowhere.

use std::io;

use super::super::dockerignore::Ignore;
use super::super::graph::has_wildcards;
use super::super::suggest;
use super::super::view::join;
use super::layout::{parent_of, shown};
use super::select::Missing;
use super::{MAX_DEPTH, MAX_FILES, MAX_LINKS, Origin, glob};
use crate::error::{Error, IoContext, Result};
use crate::sys::{Dir, FileKind, Meta};

/// Looks for sources in an origin.
pub(super) struct Finder<'a> {
    pub(super) origin: &'a Origin,
    /// `--exclude`.
    pub(super) exclude: &'a Ignore,
}

impl Finder<'_> {
    /// Where a path leads inside the root, links followed, and what is there.
    pub(super) fn resolve(&self, path: &[u8]) -> io::Result<Option<(Vec<u8>, Meta)>> {
        let root = &self.origin.root;
        let mut ahead: Vec<Vec<u8>> = parts(path).rev().map(<[u8]>::to_vec).collect();
        let mut here: Vec<u8> = Vec::new();
        let mut meta = root.dir().meta()?;
        let mut links = 0;
        while let Some(name) = ahead.pop() {
            if name == b".." {
                here.truncate(parent_of(&here).unwrap_or_default().len());
                meta = root.open_dir_plain(&here)?.meta()?;
                continue;
            }
            if meta.kind != FileKind::Directory {
                return Ok(None);
            }
            let dir = root.open_dir_plain(&here)?;
            let Some(found) = dir.lookup(&name)? else { return Ok(None) };
            if found.kind != FileKind::Symlink {
                here = join(&here, &name);
                meta = found;
                continue;
            }
            links += 1;
            if links > MAX_LINKS {
                return Err(io::Error::other("too many symbolic links"));
            }
            let target = dir.read_link(&name)?;
            if target.starts_with(b"/") {
                here.clear();
            }
            meta = root.open_dir_plain(&here)?.meta()?;
            ahead.extend(parts(&target).rev().map(<[u8]>::to_vec));
        }
        Ok(Some((here, meta)))
    }

    /// The paths that a pattern fits, in byte order.
    pub(super) fn matching(&self, pattern: &str) -> Result<Vec<Vec<u8>>> {
        let components: Vec<&str> = pattern.split('/').collect();
        if let Some(wrong) = components.iter().find(|part| !glob::is_well_formed(part)) {
            return Err(malformed(pattern, &format!("syntax error in pattern {wrong:?}")));
        }
        let fixed = components.iter().take_while(|part| !has_wildcards(part)).count();
        let base = unescaped(&components[..fixed].join("/"));
        let looking = || format!("looking for {pattern} in {}", self.origin.title);
        let mut out = Vec::new();
        if let Some((real, Meta { kind: FileKind::Directory, .. })) =
            self.resolve(&base).doing(looking)?
        {
            let dir = self.origin.root.open_dir_plain(&real).doing(looking)?;
            descend(&dir, &base, &components[fixed..], &mut out).doing(looking)?;
        }
        out.sort();
        Ok(out)
    }

    /// Whether a path itself is a symbolic link.
    pub(super) fn is_link(&self, path: &[u8]) -> bool {
        let found = self.origin.root.lookup(path);
        matches!(found, Ok(Some(Meta { kind: FileKind::Symlink, .. })))
    }

    /// The symbolic link at a path, and what it says.
    fn link_at(&self, path: &[u8]) -> Option<(String, String)> {
        let (dir, name) = self.origin.root.open_parent(path).ok()?;
        let target = dir.read_link(name).ok()?;
        Some((shown(path), String::from_utf8_lossy(&target).into_owned()))
    }

    /// Why nothing was found at a path.
    pub(super) fn missing(&self, path: &[u8]) -> Result<Missing> {
        let real = self.resolve(path).ok().flatten().map(|(real, _)| real);
        let by = |about: &[u8]| self.origin.ignore.excluded_by(about);
        let ignored = real.as_deref().and_then(|real| by(real).or_else(|| by(path)));
        let link = self.link_at(path).filter(|_| real.as_deref() != Some(path));
        let nearest = match real.is_none() && link.is_none() {
            true => self.nearest(path),
            false => None,
        };
        let ignored_by = ignored.map(|by| (by.text.clone(), by.line));
        Ok(Missing { path: shown(path), ignored_by, nearest, link })
    }

    /// Why nothing was found at a path of which no part below `base` may be a link; `None` if
    /// something is there, so that `--exclude` has left it out.
    pub(super) fn missing_below(&self, base: &[u8], path: &[u8]) -> Result<Option<Missing>> {
        let ends = (base.len() + 1..path.len()).filter(|&end| path[end] == b'/');
        for end in ends {
            if self.is_link(&path[..end]) {
                let link = self.link_at(&path[..end]);
                return Ok(Some(Missing { path: shown(path), link, ..Missing::default() }));
            }
        }
        let there = self.origin.root.lookup(path).ok().flatten().is_some();
        match there && self.origin.ignore.excluded_by(path).is_none() {
            true => Ok(None),
            false => self.missing(path).map(Some),
        }
    }

    /// Something in the same directory that is called almost the same.
    fn nearest(&self, path: &[u8]) -> Option<String> {
        let parent = parent_of(path)?;
        let name = path.get(parent.len()..)?;
        let name = String::from_utf8_lossy(name.strip_prefix(b"/").unwrap_or(name));
        let entries = self.origin.root.open_dir(parent).and_then(|dir| dir.entries()).ok()?;
        let names = entries.into_iter().filter_map(|entry| String::from_utf8(entry.name).ok());
        let mut names: Vec<String> = names.collect();
        names.sort();
        let nearest = suggest::nearest(&name, names.iter().map(String::as_str), true)?;
        let parent = String::from_utf8_lossy(parent);
        Some(if parent.is_empty() { nearest } else { format!("{parent}/{nearest}") })
    }
}

/// Adds the paths below a directory that a pattern fits. Links are not followed on the way.
fn descend(dir: &Dir, path: &[u8], pattern: &[&str], out: &mut Vec<Vec<u8>>) -> io::Result<()> {
    let Some((first, rest)) = pattern.split_first() else { return Ok(()) };
    if pattern.len() > MAX_DEPTH || out.len() > MAX_FILES {
        return Err(io::Error::other("too many files or levels"));
    }
    for entry in dir.entries()? {
        if !glob::fits(first, &entry.name) {
            continue;
        }
        let next = join(path, &entry.name);
        if rest.is_empty() {
            out.push(next);
        } else if dir.lookup(&entry.name)?.is_some_and(|meta| meta.kind == FileKind::Directory) {
            descend(&dir.open_dir(&entry.name)?, &next, rest, out)?;
        }
    }
    Ok(())
}

/// A pattern without wildcards as the path that it means.
pub(super) fn unescaped(pattern: &str) -> Vec<u8> {
    let parts = pattern.split('/');
    let plain = |part: &str| glob::plain(part).unwrap_or_else(|| part.as_bytes().to_vec());
    parts.map(plain).collect::<Vec<_>>().join(&b'/')
}

pub(super) fn malformed(text: &str, problem: &str) -> Error {
    Error::invalid(format!("invalid source {text:?}: {problem}"))
}

fn parts(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|&b| b == b'/').filter(|part| !part.is_empty() && *part != b".")
}
