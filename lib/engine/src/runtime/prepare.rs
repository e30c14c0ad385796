//! The places in a root that a runtime needs, made before it starts.
//!
//! Owns the making of mount points, the working directory and the marks of a container in a root
//! that is mounted and not yet in use. Promise: every step goes through a handle of the root, no
//! link leads out of it, and `/dev`, `/proc` and `/sys` are real directories afterwards, so that
//! the runtime never meets a link there (CVE-2019-19921 and later, CVE-2026-41579). What was made
//! is remembered, so that builds can take it away again. Does not mount anything.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci_spec::runtime::Spec;

use super::mounted::Mounted;
use super::options::{MountRequest, MountSource};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::sys::{Dir, FileKind, Gap, Meta, Pin, Root, UserNamespace, detach, set_mode, set_owner};

/// Where the kernel's file systems go; below them the runtime makes what it needs.
const KERNEL: [&[u8]; 3] = [b"dev", b"proc", b"sys"];

const DIR_MODE: u32 = 0o755;
const FILE_MODE: u32 = 0o644;

/// As many links as the kernel follows for one path.
const MAX_LINKS: usize = 40;

/// What was made in a root, oldest first.
#[derive(Debug, Default)]
pub struct Made {
    stubs: Vec<Stub>,
}

#[derive(Debug)]
struct Stub {
    parent: Dir,
    name: Vec<u8>,
    made: Meta,
}

impl Made {
    /// Takes away what is still as it was made: the same object, and empty.
    ///
    /// A build's layer shall not contain mount points. What a program changed stays.
    pub fn remove_unused(self) -> Result<()> {
        for stub in self.stubs.iter().rev() {
            let removing = || format!("removing mount point {}", stub.name.escape_ascii());
            let now = stub.parent.lookup(&stub.name).doing(removing)?;
            let Some(now) =
                now.filter(|now| (now.ino, now.kind) == (stub.made.ino, stub.made.kind))
            else {
                continue;
            };
            if now.kind == FileKind::Directory {
                match stub.parent.remove_dir(&stub.name) {
                    // Something is in it now.
                    Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => {}
                    other => other.doing(removing)?,
                }
            } else if now.size == 0 {
                stub.parent.remove_file(&stub.name).doing(removing)?;
            }
        }
        Ok(())
    }

    fn note(&mut self, parent: &Dir, name: &[u8]) -> Result<()> {
        let noting = || format!("looking at {}", name.escape_ascii());
        if let Some(made) = parent.lookup(name).doing(noting)? {
            let parent = parent.try_clone().doing(noting)?;
            self.stubs.push(Stub { parent, name: name.to_vec(), made });
        }
        Ok(())
    }
}

/// Makes everything that `spec` needs in the root: mount points, the working directory, and with
/// `marks` the files by which programs know that they are in a container. What is made belongs to
/// `owner`, as the host knows root of the container's user namespace; to us without it.
///
/// Fails when a directory would be mounted on a file or the other way round, and when the working
/// directory turns out to be in `/proc`.
pub fn prepare(root: &Root, spec: &Spec, marks: bool, owner: Option<(u32, u32)>) -> Result<Made> {
    let mut maker = Maker { root, owner, made: Made::default() };
    for name in KERNEL {
        maker.real_directory(name)?;
    }
    let mounts = Mounted::of(spec);
    for mount in mounts.outermost() {
        let place = mount.target.as_bytes();
        match mount.is_directory()? {
            true => maker.directory(place, mount.mode)?,
            // A link of the image's at our own files gives way; a person's mount follows it.
            false if mount.is_ours => maker.own_file(place)?,
            false => maker.file(place, MAX_LINKS)?,
        }
    }
    if marks {
        maker.own_file(b".dockerenv")?;
        maker.own_file(b"run/.containerenv")?;
        maker.mount_table()?;
    }
    if let Some(process) = spec.process() {
        let cwd = process.cwd().to_string_lossy();
        if mounts.at(&cwd).is_none() {
            maker.working_directory(&cwd)?;
        }
    }
    Ok(maker.made)
}

struct Maker<'a> {
    root: &'a Root,
    owner: Option<(u32, u32)>,
    made: Made,
}

impl Maker<'_> {
    /// A directory in the root itself, in the place of whatever else has its name.
    fn real_directory(&mut self, name: &[u8]) -> Result<()> {
        let making = || format!("making /{} in the root file system", name.escape_ascii());
        let dir = self.root.dir();
        match dir.lookup(name).doing(making)? {
            Some(Meta { kind: FileKind::Directory, .. }) => return Ok(()),
            Some(_) => dir.remove_file(name).doing(making)?,
            None => {}
        }
        make_directory(dir, name, self.owner).doing(making)?;
        self.made.note(dir, name)
    }

    /// A directory. One that is made gets `mode`, since runtimes give what they mount there the
    /// mode of what was there before.
    fn directory(&mut self, path: &[u8], mode: Option<u32>) -> Result<()> {
        let before = self.made.stubs.len();
        let (dir, _) = self.walk(path, mismatch)?;
        match mode {
            Some(mode) if self.made.stubs.len() > before => {
                set_mode(&dir, mode).doing(|| format!("setting the mode of {}", shown(path)))
            }
            _ => Ok(()),
        }
    }

    /// Goes to a directory and makes what is missing; returns it and its real path. `wrong` tells
    /// what it means when something else is in the way.
    fn walk(&mut self, path: &[u8], wrong: fn(&[u8]) -> Error) -> Result<(Dir, Vec<u8>)> {
        let (made, owner) = (&mut self.made, self.owner);
        let walked = self.root.walk(path, &mut |gap: Gap<'_>| {
            let making = || format!("making directory /{} in the root", gap.path.escape_ascii());
            if gap.found.is_some() {
                return Err(wrong(gap.path));
            }
            let dir = make_directory(gap.parent, gap.name, owner).doing(making)?;
            made.note(gap.parent, gap.name)?;
            Ok(dir)
        })?;
        Ok((walked.dir, walked.path))
    }

    /// A regular file, with links in the way replaced.
    fn own_file(&mut self, path: &[u8]) -> Result<()> {
        let (parent, name) = split(path)?;
        let making = || format!("making /{} in the root", path.escape_ascii());
        let (dir, _) = self.walk(parent, mismatch)?;
        match dir.lookup(name).doing(making)? {
            Some(Meta { kind: FileKind::File, .. }) => return Ok(()),
            Some(Meta { kind: FileKind::Directory, .. }) => return Err(mismatch(path)),
            Some(_) => dir.remove_file(name).doing(making)?,
            None => {}
        }
        make_file(&dir, name, self.owner).doing(making)?;
        self.made.note(&dir, name)
    }

    /// Anything that a file can be mounted on, links followed inside the root.
    fn file(&mut self, path: &[u8], links: usize) -> Result<()> {
        let (parent, name) = split(path)?;
        let making = || format!("making /{} in the root", path.escape_ascii());
        let (dir, real) = self.walk(parent, mismatch)?;
        match dir.lookup(name).doing(making)? {
            Some(Meta { kind: FileKind::Directory, .. }) => Err(mismatch(path)),
            Some(Meta { kind: FileKind::Symlink, .. }) => {
                let Some(links) = links.checked_sub(1) else {
                    return Err(Error::invalid("too many symbolic links").while_doing(making()));
                };
                let target = dir.read_link(name).doing(making)?;
                let next = match target.starts_with(b"/") {
                    true => target,
                    false => [&real[..], b"/", &target].concat(),
                };
                self.file(&next, links)
            }
            Some(_) => Ok(()),
            None => {
                make_file(&dir, name, self.owner).doing(making)?;
                self.made.note(&dir, name)
            }
        }
    }

    /// Programs read the mount table here.
    fn mount_table(&mut self) -> Result<()> {
        let making = || "making /etc/mtab in the root";
        let (dir, _) = self.walk(b"etc", mismatch)?;
        if dir.lookup(b"mtab").doing(making)?.is_none() {
            dir.make_symlink(b"/proc/mounts", b"mtab").doing(making)?;
            if let Some((uid, gid)) = self.owner {
                dir.set_owner_of(b"mtab", uid, gid).doing(making)?;
            }
            self.made.note(&dir, b"mtab")?;
        }
        Ok(())
    }

    fn working_directory(&mut self, path: &str) -> Result<()> {
        let wrong = |found: &[u8]| {
            Error::invalid(format!("the working directory {} is not a directory", shown(found)))
        };
        let (_, real) = self.walk(path.as_bytes(), wrong)?;
        // A link may have led where the runtime's own handles are (CVE-2024-21626).
        if real.split(|&b| b == b'/').next() == Some(b"proc") && real != b"proc" {
            return Err(Error::new(
                ErrorKind::Denied,
                format!(
                    "{path:?} cannot be the working directory: it leads to /{}",
                    real.escape_ascii()
                ),
            ));
        }
        Ok(())
    }
}

/// Docker's words for both cases are known to everybody.
fn mismatch(path: &[u8]) -> Error {
    Error::invalid(format!(
        "{} in the image: not a directory: are you trying to mount a directory onto a file (or \
         vice-versa)?",
        shown(path)
    ))
}

fn shown(path: &[u8]) -> String {
    format!("/{}", path.escape_ascii().to_string().trim_start_matches('/'))
}

fn split(path: &[u8]) -> Result<(&[u8], &[u8])> {
    let at = path.iter().rposition(|&b| b == b'/');
    let (parent, name) = match at {
        Some(at) => (path.get(..at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default()),
        None => (&b""[..], path),
    };
    if name.is_empty() || name == b".." || name == b"." {
        return Err(mismatch(path));
    }
    Ok((parent, name))
}

/// With the mode that it shall have, whatever our own mask is.
fn make_directory(parent: &Dir, name: &[u8], owner: Option<(u32, u32)>) -> std::io::Result<Dir> {
    parent.make_dir(name, DIR_MODE)?;
    let dir = parent.open_dir(name)?;
    if let Some((uid, gid)) = owner {
        set_owner(&dir, uid, gid)?;
    }
    set_mode(&dir, DIR_MODE)?;
    Ok(dir)
}

fn make_file(parent: &Dir, name: &[u8], owner: Option<(u32, u32)>) -> std::io::Result<()> {
    let file = parent.create_file(name, FILE_MODE)?;
    if let Some((uid, gid)) = owner {
        set_owner(&file, uid, gid)?;
    }
    set_mode(file, FILE_MODE)
}

/// The content of mounts, each held by a handle and mounted in a staging directory, from where the
/// runtime takes it: whatever happens to its name meanwhile.
///
/// Best used in a thread with [`own_mounts`](crate::sys::own_mounts). Dropping it takes the staged
/// mounts away.
#[derive(Debug)]
pub struct Sources {
    staging: PathBuf,
    staged: Vec<(String, PathBuf)>,
    owners: BTreeMap<String, Arc<UserNamespace>>,
}

impl Sources {
    /// Stages in an empty directory.
    pub fn in_directory(staging: &Path) -> Sources {
        Sources { staging: staging.to_owned(), staged: Vec::new(), owners: BTreeMap::new() }
    }

    /// Lets the container see the owners of what will be held for the mount at `target` as `users`
    /// maps them.
    pub fn map_owners(&mut self, target: &str, users: Arc<UserNamespace>) {
        self.owners.insert(target.to_owned(), users);
    }

    /// Whether that was asked for.
    pub fn maps_owners(&self, target: &str) -> bool {
        self.owners.contains_key(target)
    }

    /// Holds the sources of all binds, making directories that may be made.
    ///
    /// Fails when a source is missing, with Docker's words.
    pub fn hold_binds(&mut self, mounts: &[MountRequest]) -> Result<()> {
        for mount in mounts {
            if let MountSource::Bind { path, create } = &mount.source {
                let pin = pin_bind(path, *create)?;
                self.stage(&mount.target, &pin)?;
            }
        }
        Ok(())
    }

    /// Holds a part of a directory (a volume's, an image's) for the mount at `target`; links lead
    /// nowhere but inside the directory.
    pub fn hold_part(&mut self, target: &str, directory: &Path, part: &str) -> Result<()> {
        let opening = || format!("opening {part:?} in {}", directory.display());
        let root = Root::open(directory)?;
        let pin = Pin::inside(&root, part.as_bytes()).doing(opening)?;
        self.stage(target, &pin)
    }

    /// The paths for [`Container::sources`](super::config::Container), good while this lives.
    pub fn paths(&self) -> impl Iterator<Item = (String, PathBuf)> {
        self.staged.iter().cloned()
    }

    fn stage(&mut self, target: &str, pin: &Pin) -> Result<()> {
        let staging = || format!("holding the source of the mount at {target}");
        let place = self.staging.join(self.staged.len().to_string());
        match pin.meta().doing(staging)?.kind {
            FileKind::Directory => std::fs::create_dir(&place).doing(staging)?,
            _ => drop(std::fs::File::create_new(&place).doing(staging)?),
        }
        match self.owners.get(target) {
            None => pin.attach(&place, None).doing(staging)?,
            Some(users) => pin.attach(&place, Some(users.as_fd())).map_err(|error| {
                let what = format!(
                    "idmap at {target}: the kernel or the source's file system cannot map owners"
                );
                Error::caused(ErrorKind::Unsupported, what, Error::io(staging(), error))
            })?,
        }
        self.staged.push((target.to_owned(), place));
        Ok(())
    }
}

impl Drop for Sources {
    fn drop(&mut self) {
        for (_, place) in &self.staged {
            // What cannot be taken away is swept with the directory it is in.
            let _ = detach(place);
            let _ = std::fs::remove_file(place).or_else(|_| std::fs::remove_dir(place));
        }
    }
}

fn pin_bind(path: &Path, create: bool) -> Result<Pin> {
    let opening = || format!("opening bind source {}", path.display());
    match Pin::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && create => {
            std::fs::create_dir_all(path)
                .doing(|| format!("creating bind source {}", path.display()))?;
            Pin::open(path).doing(opening)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Error::not_found(format!("bind source path does not exist: {}", path.display())))
        }
        other => other.doing(opening),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
