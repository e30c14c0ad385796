//! Paths that cannot leave a directory.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::ResolveFlags;

use super::dir::{Dir, open_regular};
use super::meta::{FileKind, Meta};
use crate::error::{Error, IoContext, Result};

/// A directory that is `/` for every path given to it.
///
/// Paths are bytes; a leading `/` means the root itself. Links are followed as a process would see
/// them after a `chroot`: absolute ones start at the root again, and `..` ends there.
#[derive(Debug)]
pub struct Root {
    dir: Dir,
}

/// Inside the root, on its mount, never through `/proc`'s magic.
const INSIDE: ResolveFlags =
    ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS).union(ResolveFlags::NO_XDEV);

/// As many links as the kernel follows for one path.
const MAX_LINKS: usize = 40;

/// A place where a walked path has no directory.
#[derive(Debug)]
pub struct Gap<'a> {
    /// The directory that should have it.
    pub parent: &'a Dir,
    /// The last component.
    pub name: &'a [u8],
    /// The whole path from the root, all links resolved, without a leading `/`.
    pub path: &'a [u8],
    /// What stands there: `None` for nothing; never a directory or a link.
    pub found: Option<Meta>,
}

/// The end of a walk.
#[derive(Debug)]
pub struct Walked {
    /// The directory reached.
    pub dir: Dir,
    /// Its path from the root, all links resolved, without a leading `/`.
    pub path: Vec<u8>,
}

impl Root {
    /// Opens the directory at a path that the caller trusts.
    pub fn open(path: &Path) -> Result<Root> {
        let dir = Dir::open(path).doing(|| format!("opening directory {}", path.display()))?;
        Ok(Root { dir })
    }

    /// Makes an open directory the root.
    pub fn new(dir: Dir) -> Root {
        Root { dir }
    }

    /// The root directory itself.
    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Opens a directory, following links inside the root.
    pub fn open_dir(&self, path: &[u8]) -> io::Result<Dir> {
        self.dir.open_resolved(or_dot(path), INSIDE)
    }

    /// Opens a directory at a relative path of which no part is a link.
    pub fn open_dir_plain(&self, path: &[u8]) -> io::Result<Dir> {
        self.dir.open_plain(or_dot(path))
    }

    /// Opens a regular file for reading, following links inside the root.
    ///
    /// Pipes, devices and sockets are refused without being opened.
    pub fn open_file(&self, path: &[u8]) -> io::Result<File> {
        open_regular(&self.dir, or_dot(path), INSIDE)
    }

    /// Opens the directory that holds the last component of `path`, following links inside the
    /// root on the way there, and returns that component.
    ///
    /// Fails with [`io::ErrorKind::InvalidInput`] for the root itself and for a path that ends in
    /// `.` or `..`.
    pub fn open_parent<'p>(&self, path: &'p [u8]) -> io::Result<(Dir, &'p [u8])> {
        let end = path.iter().rposition(|&b| b != b'/').map_or(0, |last| last + 1);
        let path = &path[..end];
        let start = path.iter().rposition(|&b| b == b'/').map_or(0, |slash| slash + 1);
        let (parent, name) = path.split_at(start);
        if matches!(name, b"" | b"." | b"..") {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not the path of a name"));
        }
        Ok((self.open_dir(parent)?, name))
    }

    /// Metadata of what `path` names, links followed on the way but not at the end; `None` when
    /// there is no such thing.
    pub fn lookup(&self, path: &[u8]) -> io::Result<Option<Meta>> {
        if components(path).next().is_none() {
            return self.dir.meta().map(Some);
        }
        match self.open_parent(path) {
            Ok((dir, name)) => dir.lookup(name),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes all missing directories of `path`, following links inside the root, and opens the
    /// last one. A link to nowhere gets its target made.
    pub fn make_dirs(&self, path: &[u8], mode: u32) -> Result<Dir> {
        let walked = self.walk(path, &mut |gap| {
            if gap.found.is_some() {
                let source = io::Error::from(io::ErrorKind::NotADirectory);
                return Err(Error::io(format!("making /{}", gap.path.escape_ascii()), source));
            }
            let made = match gap.parent.make_dir(gap.name, mode) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                other => other,
            };
            made.and_then(|()| gap.parent.open_dir(gap.name))
                .doing(|| format!("making directory /{}", gap.path.escape_ascii()))
        })?;
        Ok(walked.dir)
    }

    /// Goes along `path` one component at a time, following links inside the root; where there is
    /// no directory, `fill` provides one or ends the walk with its error.
    ///
    /// Fails after forty links and when a component is a mount point.
    pub fn walk(
        &self,
        path: &[u8],
        fill: &mut dyn FnMut(Gap<'_>) -> Result<Dir>,
    ) -> Result<Walked> {
        let walking = || {
            let shown = path.escape_ascii().to_string();
            format!("resolving /{}", shown.trim_start_matches('/'))
        };
        let mut here = Walked { dir: self.dir.try_clone().doing(walking)?, path: Vec::new() };
        let mut ahead: VecDeque<Vec<u8>> = components(path).map(<[u8]>::to_vec).collect();
        let mut links = 0;
        while let Some(name) = ahead.pop_front() {
            if name == b".." {
                let end = here.path.iter().rposition(|&b| b == b'/').unwrap_or(0);
                here.path.truncate(end);
                here.dir = self.open_dir_plain(&here.path).doing(walking)?;
                continue;
            }
            match here.step(&name, fill).doing(walking)? {
                Step::Entered => {}
                Step::Link(target) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(
                            Error::invalid("too many symbolic links").while_doing(walking())
                        );
                    }
                    if target.starts_with(b"/") {
                        here.path.clear();
                        here.dir = self.dir.try_clone().doing(walking)?;
                    }
                    for part in components(&target).rev() {
                        ahead.push_front(part.to_vec());
                    }
                }
            }
        }
        Ok(here)
    }
}

enum Step {
    Entered,
    Link(Vec<u8>),
}

impl Walked {
    fn step(&mut self, name: &[u8], fill: &mut dyn FnMut(Gap<'_>) -> Result<Dir>) -> Result<Step> {
        let opening = || format!("opening directory {:?}", name.escape_ascii().to_string());
        let opened = self.dir.open_dir(name);
        let found = match opened {
            Ok(dir) => {
                self.enter(name, dir);
                return Ok(Step::Entered);
            }
            // Nothing, a link, or no directory: a look tells which.
            Err(error) if is_gap(&error) => self.dir.lookup(name).doing(opening)?,
            Err(error) => return Err(Error::io(opening(), error)),
        };
        if let Some(Meta { kind: FileKind::Symlink, .. }) = found {
            return Ok(Step::Link(self.dir.read_link(name).doing(opening)?));
        }
        let path = joined(&self.path, name);
        let dir = fill(Gap { parent: &self.dir, name, path: &path, found })?;
        self.dir = dir;
        self.path = path;
        Ok(Step::Entered)
    }

    fn enter(&mut self, name: &[u8], dir: Dir) {
        self.path = joined(&self.path, name);
        self.dir = dir;
    }
}

fn is_gap(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let number = Errno::from_io_error(error);
    matches!(number, Some(Errno::NOENT | Errno::LOOP | Errno::NOTDIR))
}

fn joined(parent: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(parent.len() + 1 + name.len());
    path.extend_from_slice(parent);
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|&b| b == b'/').filter(|part| !part.is_empty() && *part != b".")
}

fn or_dot(path: &[u8]) -> &[u8] {
    if path.is_empty() { b"." } else { path }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// `outside/file` beside `root`, and links that lead there for everybody else.
    fn place() -> (tempfile::TempDir, Root) {
        let place = tempfile::tempdir().unwrap();
        let path = place.path();
        fs::create_dir_all(path.join("root/dir/sub")).unwrap();
        fs::create_dir(path.join("outside")).unwrap();
        fs::write(path.join("outside/file"), "outside").unwrap();
        fs::write(path.join("root/dir/file"), "inside").unwrap();
        symlink("../outside", path.join("root/relative")).unwrap();
        symlink(path.join("outside"), path.join("root/absolute")).unwrap();
        symlink("/dir", path.join("root/to-dir")).unwrap();
        symlink("loop", path.join("root/loop")).unwrap();
        symlink("/proc/self/cwd", path.join("root/magic")).unwrap();
        let root = Root::open(&path.join("root")).unwrap();
        (place, root)
    }

    #[test]
    fn links_end_inside() {
        let (_place, root) = place();
        let mut content = String::new();
        let mut file = root.open_file(b"/to-dir/../../../to-dir/sub/../file").unwrap();
        io::Read::read_to_string(&mut file, &mut content).unwrap();
        assert_eq!(content, "inside");
        for path in
            [&b"relative/file"[..], b"absolute/file", b"magic/Cargo.toml", b"../outside/file"]
        {
            let error = root.open_file(path).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound, "{}", path.escape_ascii());
            assert!(root.lookup(path).unwrap().is_none());
        }
        assert!(root.open_dir(b"loop/x").is_err());
        assert_eq!(root.lookup(b"to-dir").unwrap().unwrap().kind, FileKind::Symlink);
        assert_eq!(root.lookup(b"to-dir/sub/").unwrap().unwrap().kind, FileKind::Directory);
        assert_eq!(root.lookup(b"/").unwrap(), Some(root.dir().meta().unwrap()));
    }

    #[test]
    fn only_regular_files_are_opened() {
        let (_place, root) = place();
        let dir = root.dir();
        dir.make_node(b"pipe", FileKind::Fifo, 0o600, Default::default()).unwrap();
        // Would wait for a writer for ever.
        assert_eq!(root.open_file(b"pipe").unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(root.open_file(b"dir").unwrap_err().kind(), io::ErrorKind::IsADirectory);
        assert!(dir.open_file(b"pipe").is_err());
        assert!(dir.open_file(b"relative").is_err());
    }

    #[test]
    fn directories_are_made_where_links_say() {
        let (place, root) = place();
        root.make_dirs(b"to-dir/new/deep", 0o755).unwrap();
        assert!(place.path().join("root/dir/new/deep").is_dir());
        root.make_dirs(b"relative/new", 0o755).unwrap();
        assert!(place.path().join("root/outside/new").is_dir());
        assert_eq!(fs::read_dir(place.path().join("outside")).unwrap().count(), 1);
        let error = root.make_dirs(b"dir/file/x", 0o755).unwrap_err();
        assert!(error.chain().contains("making /dir/file: "), "{}", error.chain());
        let error = root.make_dirs(b"loop/x", 0o755).unwrap_err();
        assert_eq!(error.chain(), "resolving /loop/x: too many symbolic links");
    }

    #[test]
    fn parents_and_names() {
        let (_place, root) = place();
        let (dir, name) = root.open_parent(b"/to-dir/file").unwrap();
        assert_eq!((name, dir.lookup(b"sub").unwrap().is_some()), (&b"file"[..], true));
        assert_eq!(root.open_parent(b"dir//").unwrap().1, b"dir");
        for path in [&b""[..], b"/", b".", b"dir/..", b"dir/./"] {
            assert!(root.open_parent(path).is_err(), "{}", path.escape_ascii());
        }
    }
}
