//! Which files an instruction means.

use std::io;

use super::super::dockerignore::{self, Above, Ignore};
use super::super::graph::has_wildcards;
use super::super::suggest;
use super::super::view::join;
use super::Origin;
use super::glob;
use crate::error::{Error, IoContext, Result};
use crate::sys::{Dir, FileKind, Meta};

/// Links that one path may lead through.
const MAX_LINKS: usize = 40;
/// Levels of directories; more are an error.
const MAX_DEPTH: usize = 512;
/// Most files of one instruction.
const MAX_FILES: usize = 4_000_000;

/// What is wanted.
pub(in crate::build) struct Pattern<'a> {
    /// The source as written, expanded.
    pub(in crate::build) text: &'a str,
    /// `--exclude`.
    pub(in crate::build) exclude: &'a Ignore,
    /// `--parents`.
    pub(in crate::build) parents: bool,
}

/// A directory that is kept of a path: its name at the destination, where it is, its metadata.
pub(in crate::build) type Kept = (Vec<u8>, Vec<u8>, Meta);

/// Something that was found.
#[derive(Clone, Debug)]
pub(in crate::build) struct Chosen {
    /// Where it really is, below the root, no part of it a link.
    pub(in crate::build) path: Vec<u8>,
    /// What it is called at the destination; below it, with `--parents`, all that is kept of its
    /// path.
    pub(in crate::build) name: Vec<u8>,
    pub(in crate::build) meta: Meta,
    /// What is in it, parents first, if it is a directory: the path below it and the metadata.
    pub(in crate::build) inside: Vec<(Vec<u8>, Meta)>,
    /// Directories above it that are kept, the highest first (`--parents`): name at the
    /// destination, path and metadata.
    pub(in crate::build) above: Vec<Kept>,
}

/// Why a source without wildcards was not found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::build) struct Missing {
    /// The path that was looked for.
    pub(in crate::build) path: String,
    /// The pattern that leaves it out and its line in the ignore file.
    pub(in crate::build) ignored_by: Option<(String, usize)>,
    /// Something there that is called almost the same.
    pub(in crate::build) nearest: Option<String>,
}

/// Finds what a source means: in byte order where it has wildcards, which may match nothing.
pub(in crate::build) fn select(
    origin: &Origin,
    wanted: &Pattern<'_>,
) -> Result<std::result::Result<Vec<Chosen>, Missing>> {
    let (pivot, text) = match wanted.text.split_once("/./").filter(|_| wanted.parents) {
        Some((pivot, rest)) => (within(pivot), rest),
        None => (String::new(), wanted.text),
    };
    let pattern = match (pivot.is_empty(), within(text)) {
        (true, text) => text,
        (false, text) if text.is_empty() => pivot.clone(),
        (false, text) => format!("{pivot}/{text}"),
    };
    let finder = Finder { origin, wanted, pivot: pivot.as_bytes() };
    if !has_wildcards(&pattern) {
        let path = unescaped(&pattern);
        return match finder.found(&path)? {
            Some(chosen) => Ok(Ok(vec![chosen])),
            None => Ok(Err(finder.missing(&path)?)),
        };
    }
    let mut paths = Vec::new();
    finder.matching(&pattern, &mut paths)?;
    let mut out = Vec::new();
    for path in paths {
        out.extend(finder.found(&path)?);
    }
    Ok(Ok(out))
}

/// A path below a root: cleaned, and `..` never leads above.
fn within(path: &str) -> String {
    dockerignore::clean(&format!("/{path}"))[1..].to_owned()
}

fn unescaped(pattern: &str) -> Vec<u8> {
    let parts = pattern.split('/');
    let plain = |part: &str| glob::plain(part).unwrap_or_else(|| part.as_bytes().to_vec());
    parts.map(plain).collect::<Vec<_>>().join(&b'/')
}

struct Finder<'a> {
    origin: &'a Origin,
    wanted: &'a Pattern<'a>,
    pivot: &'a [u8],
}

impl Finder<'_> {
    /// What stands at a path, links followed; `None` for nothing and for what is left out.
    fn found(&self, path: &[u8]) -> Result<Option<Chosen>> {
        let looking = || format!("looking for {} in {}", shown(path), self.origin.title);
        let Some((real, meta)) = self.resolve(path).doing(looking)? else { return Ok(None) };
        let left_out = self.origin.ignore.excluded_by(&real).is_some() && !real.is_empty();
        let name = match self.wanted.parents {
            true => below(self.pivot, path).to_vec(),
            false => path.rsplit(|&b| b == b'/').next().unwrap_or_default().to_vec(),
        };
        let mut inside = Vec::new();
        if meta.kind == FileKind::Directory {
            if left_out && !self.origin.ignore.may_take_back_below(&real) {
                return Ok(None);
            }
            let mut walk = Walk {
                origin: self.origin,
                exclude: self.wanted.exclude,
                base: &real,
                // With `--parents`, patterns are about the path that is kept.
                prefix: if self.wanted.parents { name.as_slice() } else { b"" },
                out: &mut inside,
            };
            let dir = self.origin.root.open_dir_plain(&real).doing(looking)?;
            let above =
                (above(&self.origin.ignore, &real), above(self.wanted.exclude, walk.prefix));
            walk.directory(&dir, b"", above, 0).doing(looking)?;
            if left_out && inside.is_empty() {
                return Ok(None);
            }
        } else if left_out || self.wanted.exclude.excluded_by(&name).is_some() {
            return Ok(None);
        }
        let above = match self.wanted.parents {
            true => self.kept_parents(path, &name).doing(looking)?,
            false => Vec::new(),
        };
        Ok(Some(Chosen { path: real, name, meta, inside, above }))
    }

    fn kept_parents(&self, path: &[u8], name: &[u8]) -> io::Result<Vec<Kept>> {
        let mut out = Vec::new();
        let cut = path.len() - name.len();
        for end in (0..name.len()).filter(|&end| name[end] == b'/') {
            if let Some((real, meta)) = self.resolve(&path[..cut + end])? {
                out.push((name[..end].to_vec(), real, meta));
            }
        }
        Ok(out)
    }

    /// Where a path leads inside the root, and what is there.
    fn resolve(&self, path: &[u8]) -> io::Result<Option<(Vec<u8>, Meta)>> {
        let root = &self.origin.root;
        let mut ahead: Vec<Vec<u8>> = parts(path).rev().map(<[u8]>::to_vec).collect();
        let mut here: Vec<u8> = Vec::new();
        let mut meta = root.dir().meta()?;
        let mut links = 0;
        while let Some(name) = ahead.pop() {
            if name == b".." {
                here.truncate(here.iter().rposition(|&b| b == b'/').unwrap_or(0));
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
    fn matching(&self, pattern: &str, out: &mut Vec<Vec<u8>>) -> Result<()> {
        let components: Vec<&str> = pattern.split('/').collect();
        let fixed = components.iter().take_while(|part| !has_wildcards(part)).count();
        let base = unescaped(&components[..fixed].join("/"));
        let looking = || format!("looking for {pattern} in {}", self.origin.title);
        let Some((real, meta)) = self.resolve(&base).doing(looking)? else { return Ok(()) };
        if meta.kind != FileKind::Directory {
            return Ok(());
        }
        let dir = self.origin.root.open_dir_plain(&real).doing(looking)?;
        self.descend(&dir, &base, &components[fixed..], 0, out).doing(looking)?;
        out.sort();
        out.dedup();
        Ok(())
    }

    fn descend(
        &self,
        dir: &Dir,
        path: &[u8],
        pattern: &[&str],
        depth: usize,
        out: &mut Vec<Vec<u8>>,
    ) -> io::Result<()> {
        let Some((first, rest)) = pattern.split_first() else { return Ok(()) };
        let any_depth = *first == "**" && self.wanted.parents;
        if depth > MAX_DEPTH || out.len() > MAX_FILES {
            return Err(io::Error::other("too many files or levels"));
        }
        if any_depth && !rest.is_empty() {
            self.descend(dir, path, rest, depth + 1, out)?;
        }
        for entry in dir.entries()? {
            let next = join(path, &entry.name);
            if any_depth {
                if rest.is_empty() {
                    out.push(next.clone());
                }
            } else if !glob::fits(first, &entry.name) {
                continue;
            } else if rest.is_empty() {
                out.push(next);
                continue;
            }
            let deeper = if any_depth { pattern } else { rest };
            if dir.lookup(&entry.name)?.is_some_and(|meta| meta.kind == FileKind::Directory) {
                self.descend(&dir.open_dir(&entry.name)?, &next, deeper, depth + 1, out)?;
            }
        }
        Ok(())
    }

    fn missing(&self, path: &[u8]) -> Result<Missing> {
        let real = self.resolve(path).ok().flatten();
        let about = real.as_ref().map_or(path, |(real, _)| real);
        let by = self.origin.ignore.excluded_by(about).or(self.wanted.exclude.excluded_by(path));
        let (parent, name) = match path.iter().rposition(|&b| b == b'/') {
            Some(slash) => (&path[..slash], &path[slash + 1..]),
            None => (&b""[..], path),
        };
        let mut names: Vec<String> = Vec::new();
        if let Ok(entries) = self.origin.root.open_dir(parent).and_then(|dir| dir.entries()) {
            names = entries.into_iter().filter_map(|e| String::from_utf8(e.name).ok()).collect();
            names.sort();
        }
        let nearest = suggest::nearest(
            &String::from_utf8_lossy(name),
            names.iter().map(String::as_str),
            true,
        );
        let parent = String::from_utf8_lossy(parent);
        Ok(Missing {
            path: shown(path),
            ignored_by: by.filter(|_| real.is_some()).map(|by| (by.text.clone(), by.line)),
            nearest: nearest.filter(|_| real.is_none()).map(|name| match parent.is_empty() {
                true => name,
                false => format!("{parent}/{name}"),
            }),
        })
    }
}

fn above(ignore: &Ignore, path: &[u8]) -> Above {
    let mut above = Above::default();
    for end in (1..=path.len()).filter(|&end| end == path.len() || path[end] == b'/') {
        ignore.step(&path[..end], &mut above);
    }
    above
}

/// What is left of a path below another.
fn below<'p>(pivot: &[u8], path: &'p [u8]) -> &'p [u8] {
    let rest = path.strip_prefix(pivot).unwrap_or(path);
    rest.strip_prefix(b"/").unwrap_or(rest)
}

fn parts(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|&b| b == b'/').filter(|part| !part.is_empty() && *part != b".")
}

fn shown(path: &[u8]) -> String {
    format!("/{}", String::from_utf8_lossy(path))
}

/// Collects what is in a directory.
struct Walk<'a> {
    origin: &'a Origin,
    exclude: &'a Ignore,
    base: &'a [u8],
    prefix: &'a [u8],
    out: &'a mut Vec<(Vec<u8>, Meta)>,
}

impl Walk<'_> {
    fn directory(
        &mut self,
        dir: &Dir,
        path: &[u8],
        above: (Above, Above),
        depth: usize,
    ) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(Error::unsupported(format!("more than {MAX_DEPTH} levels")));
        }
        let reading = || format!("reading {}", shown(&join(self.base, path)));
        let mut entries = dir.entries().doing(reading)?;
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        for entry in entries {
            let inner = join(path, &entry.name);
            let mut above = above.clone();
            let (whole, kept) = (join(self.base, &inner), join(self.prefix, &inner));
            let ignore = &self.origin.ignore;
            let left_out = ignore.step(&whole, &mut above.0).is_some();
            let excluded = self.exclude.step(&kept, &mut above.1).is_some();
            let examining = || format!("examining {}", shown(&whole));
            if left_out || excluded {
                let is_directory = match entry.kind {
                    Some(kind) => kind == FileKind::Directory,
                    None => dir
                        .lookup(&entry.name)
                        .doing(examining)?
                        .is_some_and(|meta| meta.kind == FileKind::Directory),
                };
                let back = (!left_out || ignore.may_take_back_below(&whole))
                    && (!excluded || self.exclude.may_take_back_below(&kept));
                if !is_directory || !back {
                    continue;
                }
            }
            let Some(meta) = dir.lookup(&entry.name).doing(examining)? else { continue };
            let at = self.out.len();
            if at > MAX_FILES {
                return Err(Error::unsupported("more than 4000000 files"));
            }
            self.out.push((inner.clone(), meta));
            if meta.kind == FileKind::Directory {
                let below = dir.open_dir(&entry.name).doing(examining)?;
                self.directory(&below, &inner, above, depth + 1)?;
                // A directory that is left out is there for what comes back below it only.
                if (left_out || excluded) && self.out.len() == at + 1 {
                    self.out.truncate(at);
                }
            }
        }
        Ok(())
    }
}
