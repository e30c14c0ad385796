//! Going through a directory of an origin: what is in it, but for what is left out.

use super::super::dockerignore::{Above, Glob, Ignore};
use super::super::view::join;
use super::layout::shown;
use super::select::Inside;
use super::{MAX_DEPTH, MAX_FILES, Origin};
use crate::error::{Error, IoContext, Result};
use crate::sys::{Dir, FileKind};

/// A walk below one directory. Paths of what it finds begin there.
pub(super) struct Walk<'a> {
    origin: &'a Origin,
    /// `--exclude`.
    exclude: &'a Ignore,
    /// Where it begins, below the origin's root.
    base: &'a [u8],
    /// What is taken, with all that is in it; all if there is none.
    include: Option<&'a Glob>,
    /// What was found, parents first.
    pub(super) inside: Vec<Inside>,
    /// The directories on the way to where the walk is, as far as nothing was taken below them yet.
    way: Vec<Inside>,
}

/// How a directory of the walk stands.
#[derive(Clone, Default)]
struct Standing {
    /// What the patterns match at or above it.
    ignored: Above,
    excluded: Above,
    /// Whether it is taken as a whole.
    taken: bool,
    depth: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        origin: &'a Origin,
        exclude: &'a Ignore,
        base: &'a [u8],
        include: Option<&'a Glob>,
    ) -> Walk<'a> {
        Walk { origin, exclude, base, include, inside: Vec::new(), way: Vec::new() }
    }

    /// Goes through everything.
    pub(super) fn run(&mut self) -> Result<()> {
        let opening = || format!("opening {}", shown(self.base));
        let dir = self.origin.root.open_dir_plain(self.base).doing(opening)?;
        let mut ignored = Above::default();
        for end in
            (1..=self.base.len()).filter(|&end| self.base.get(end).is_none_or(|&b| b == b'/'))
        {
            self.origin.ignore.step(&self.base[..end], &mut ignored);
        }
        let taken = self.include.is_none();
        self.directory(&dir, b"", &Standing { ignored, taken, ..Standing::default() })
    }

    fn directory(&mut self, dir: &Dir, path: &[u8], standing: &Standing) -> Result<()> {
        if standing.depth > MAX_DEPTH {
            return Err(Error::unsupported(format!("more than {MAX_DEPTH} levels")));
        }
        let reading = || format!("reading {}", shown(&join(self.base, path)));
        let mut entries = dir.entries().doing(reading)?;
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        for entry in entries {
            let inner = join(path, &entry.name);
            if let Some((next, taken)) = self.wanted(&inner, standing) {
                self.entry(dir, &entry.name, entry.kind, inner, (&next, taken))?;
            }
        }
        Ok(())
    }

    /// How something stands, and whether it is taken itself; `None` where nothing at or below it
    /// can be taken.
    fn wanted(&self, path: &[u8], above: &Standing) -> Option<(Standing, bool)> {
        let mut next = above.clone();
        next.depth += 1;
        next.taken |= self.include.is_some_and(|include| include.matches(path));
        if !next.taken && !self.include.is_some_and(|include| include.may_match_below(path)) {
            return None;
        }
        let whole = join(self.base, path);
        let ignore = &self.origin.ignore;
        let ignored = ignore.step(&whole, &mut next.ignored).is_some();
        let excluded = self.exclude.step(path, &mut next.excluded).is_some();
        let back = (!ignored || ignore.may_take_back_below(&whole))
            && (!excluded || self.exclude.may_take_back_below(path));
        let taken = next.taken && !ignored && !excluded;
        back.then_some((next, taken))
    }

    fn entry(
        &mut self,
        dir: &Dir,
        name: &[u8],
        kind: Option<FileKind>,
        path: Vec<u8>,
        (standing, taken): (&Standing, bool),
    ) -> Result<()> {
        let matters = |kind| taken || kind == FileKind::Directory;
        if kind.is_some_and(|kind| !matters(kind)) {
            return Ok(());
        }
        let examining = || format!("examining {}", shown(&join(self.base, &path)));
        let found = dir.lookup(name).doing(examining)?;
        let Some(meta) = found.filter(|meta| matters(meta.kind)) else { return Ok(()) };
        if self.inside.len() > MAX_FILES {
            return Err(Error::unsupported(format!("more than {MAX_FILES} files")));
        }
        let inner = match meta.kind {
            FileKind::Directory => Some(dir.open_dir(name).doing(examining)?),
            _ => None,
        };
        self.way.push(Inside { path: path.clone(), meta, passed: !taken });
        if taken {
            self.inside.append(&mut self.way);
        }
        if let Some(inner) = inner {
            self.directory(&inner, &path, standing)?;
        }
        if !taken {
            // It is gone from there if something was taken below it.
            self.way.pop();
        }
        Ok(())
    }
}
