//! A stack of unpacked layers becomes one tree.
//!
//! Owns what lies in a snapshot's directory: `upper/` and `work/` of an overlay, or `root/`, a
//! plain copy, where the kernel or the file system does not allow overlays. Uses `layer` to compare
//! and `sys` to mount. Promise: the trees of layers never change; what a snapshot takes up is gone
//! after [`Snapshot::remove`]. Does not know images or containers; who keeps the layers from being
//! pruned is the caller's business.

mod copy;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;

use std::collections::HashSet;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::layer::{Change, Stack, WhiteoutForm, changes};
use crate::sys::{self, DetachedMount, Dir, Meta, Overlay, Root, UserNamespace};

/// Layers that overlayfs takes, as the kernel has it.
const MAX_LOWERS: usize = 500;
const UPPER: &str = "upper";
const WORK: &str = "work";
const COPY: &str = "root";
/// Stands in for missing layers, and is mounted upon for a moment on old kernels.
const EMPTY: &str = "empty";

/// How a tree is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Overlayfs: nothing is copied until it is changed.
    Overlay,
    /// Everything is copied.
    Copy,
}

/// What the caller of a snapshot decides.
#[derive(Clone, Debug)]
pub struct SnapshotOptions {
    /// How the layers write down deletions.
    pub form: WhiteoutForm,
    /// Whether changes are thrown away anyway, so that nothing needs to be flushed.
    pub volatile: bool,
    /// The way to go; without it, overlay where that is possible.
    pub method: Option<Method>,
    /// The user namespace that the tree is for: who owns a file in the layers owns it there.
    /// Possible with overlays alone.
    pub owners: Option<Arc<UserNamespace>>,
    /// Of a view: set-id bits, file capabilities and devices have no effect, because users of this
    /// machine reach it.
    pub harmless: bool,
}

impl Default for SnapshotOptions {
    fn default() -> SnapshotOptions {
        SnapshotOptions {
            form: WhiteoutForm::OverlayTrusted,
            volatile: false,
            method: None,
            owners: None,
            harmless: false,
        }
    }
}

/// A tree that can be mounted.
#[derive(Debug)]
pub struct Snapshot {
    lowers: Vec<PathBuf>,
    dir: PathBuf,
    form: WhiteoutForm,
    writable: bool,
    harmless: bool,
    tree: Tree,
}

#[derive(Debug)]
enum Tree {
    Overlay(DetachedMount),
    Copy(PathBuf),
}

impl Snapshot {
    /// A tree that can be changed: the layers `lowers`, lowest first, under what `dir` holds. `dir`
    /// is made if it is missing; else what was changed there before is seen again.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] when the method that was asked for is not possible here.
    pub fn prepare(lowers: &[PathBuf], dir: &Path, options: &SnapshotOptions) -> Result<Snapshot> {
        Snapshot::make(lowers, dir, options, true)
    }

    /// The layers `lowers`, lowest first, as a tree that cannot be changed. `dir` holds what that
    /// takes: nothing but an empty directory, for overlays.
    pub fn view(lowers: &[PathBuf], dir: &Path, options: &SnapshotOptions) -> Result<Snapshot> {
        Snapshot::make(lowers, dir, options, false)
    }

    fn make(
        lowers: &[PathBuf],
        dir: &Path,
        options: &SnapshotOptions,
        writable: bool,
    ) -> Result<Snapshot> {
        Snapshot::stack(lowers, dir, options, writable).map_err(|error| {
            let gone = lowers.iter().find(|lower| !lower.is_dir());
            gone.map_or(error, |lower| missing(lower))
        })
    }

    fn stack(
        lowers: &[PathBuf],
        dir: &Path,
        options: &SnapshotOptions,
        writable: bool,
    ) -> Result<Snapshot> {
        let (dir, form) = (dir.to_owned(), options.form);
        make_dir(&dir)?;
        let lowers = distinct(lowers);
        let copied = dir.join(COPY);
        let overlay = match options.method {
            _ if options.owners.is_some() => Some(overlay(&lowers, &dir, options, writable)?),
            Some(Method::Copy) => None,
            None if copied.exists() => None,
            Some(Method::Overlay) => Some(overlay(&lowers, &dir, options, writable)?),
            None => match overlay(&lowers, &dir, options, writable) {
                Err(error) if error.kind() == ErrorKind::Unsupported => None,
                made => Some(made?),
            },
        };
        let tree = match overlay {
            Some(mount) => Tree::Overlay(mount),
            None => Tree::Copy(copy::ensure(&lowers, &dir, &copied, form)?),
        };
        let harmless = options.harmless && !writable;
        let tree = match tree {
            Tree::Overlay(mount) if harmless => {
                Tree::Overlay(mount.into_harmless_view().doing(|| "protecting the mount")?)
            }
            other => other,
        };
        Ok(Snapshot { lowers, dir, form, writable, harmless, tree })
    }

    /// Which way was gone.
    pub fn method(&self) -> Method {
        match self.tree {
            Tree::Overlay(_) => Method::Overlay,
            Tree::Copy(_) => Method::Copy,
        }
    }

    /// Shows the tree at the directory `target`, in the calling thread's mounts
    /// ([`sys::own_mounts`]). Once only.
    pub fn mount(&self, target: &Path) -> Result<()> {
        let mounting = || format!("mounting a snapshot on {}", target.display());
        match &self.tree {
            Tree::Overlay(mount) => mount.attach(target).doing(mounting),
            Tree::Copy(path) => {
                let again = sys::mount_again(path, !self.writable).doing(mounting)?;
                let again = match self.harmless {
                    true => again.into_harmless_view().doing(mounting)?,
                    false => again,
                };
                again.attach(target).doing(mounting)
            }
        }
    }

    /// The directory with all changes in an overlay form; `None` of a copy.
    pub fn upper(&self) -> Option<PathBuf> {
        (self.method() == Method::Overlay && self.writable).then(|| self.dir.join(UPPER))
    }

    /// The tree itself, if it is a copy that can be used without mounting it.
    pub fn copy(&self) -> Option<&Path> {
        match &self.tree {
            Tree::Overlay(_) => None,
            Tree::Copy(path) => Some(path),
        }
    }

    /// The layers below, uppermost first, as [`Stack`] and the packer want them.
    pub fn lowers(&self) -> Result<Vec<Root>> {
        open_all(&self.lowers)
    }

    /// What is different from the layers: parents before what is in them, names in byte order.
    pub fn changes(&self) -> Result<Vec<Change>> {
        let lowers = self.lowers()?;
        let stack = Stack::new(&lowers, self.form);
        match (&self.tree, self.upper()) {
            (Tree::Copy(path), _) => copy::changes(&open(path)?, &stack),
            (Tree::Overlay(_), Some(upper)) => changes(&open(&upper)?, self.form, &stack),
            (Tree::Overlay(_), None) => Ok(Vec::new()),
        }
    }

    /// Removes everything in the snapshot's directory, and the directory. Whoever still has it
    /// mounted sees it vanish.
    pub fn remove(self) -> Result<()> {
        let Snapshot { dir, tree, .. } = self;
        drop(tree);
        remove(&dir)
    }
}

/// Removes a snapshot that is not open.
pub fn remove(dir: &Path) -> Result<()> {
    let removing = || format!("removing {}", dir.display());
    let (Some(parent), Some(name)) = (dir.parent(), dir.file_name()) else { return Ok(()) };
    match Dir::open(parent).and_then(|parent| parent.remove_tree(name.as_encoded_bytes())) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.doing(removing),
    }
}

fn missing(layer: &Path) -> Error {
    Error::corrupt(format!(
        "the files of the layer {} are missing (hint: `creel-inspect check --repair` restores them)",
        layer.display()
    ))
}

/// Of equal layers only the uppermost can be seen; the kernel refuses the others.
fn distinct(lowers: &[PathBuf]) -> Vec<PathBuf> {
    let mut seen = HashSet::new();
    let mut kept: Vec<PathBuf> =
        lowers.iter().rev().filter(|path| seen.insert(path.as_path())).cloned().collect();
    kept.reverse();
    kept
}

fn open(path: &Path) -> Result<Root> {
    Root::open(path).doing(|| format!("opening {}", path.display()))
}

/// Uppermost first.
fn open_all(lowers: &[PathBuf]) -> Result<Vec<Root>> {
    lowers.iter().rev().map(|path| open(path)).collect()
}

fn overlay(
    lowers: &[PathBuf],
    dir: &Path,
    options: &SnapshotOptions,
    writable: bool,
) -> Result<DetachedMount> {
    if lowers.len() > MAX_LOWERS {
        return Err(Error::unsupported(format!(
            "{} layers are more than overlayfs can stack",
            lowers.len()
        )));
    }
    let (upper, work, empty) = (dir.join(UPPER), dir.join(WORK), dir.join(EMPTY));
    make_dir(&empty)?;
    if writable {
        make_upper(&upper, lowers.last(), options.owners.as_deref())?;
        make_dir(&work)?;
        forget_volatile(&work)?;
    }
    let mut stack: Vec<&Path> = lowers.iter().rev().map(PathBuf::as_path).collect();
    if stack.is_empty() || (!writable && stack.len() == 1) {
        stack.push(&empty);
    }
    let mounting = || "stacking layers with overlayfs".to_owned();
    if !writable && stack.len() == 1 {
        return sys::mount_again(&empty, true).doing(mounting);
    }
    let owners = options.owners.as_deref().filter(|owners| !owners.is_identity());
    let overlay = Overlay {
        lowers: &stack,
        upper: writable.then_some((upper.as_path(), work.as_path())),
        volatile: options.volatile,
        user_xattrs: options.form == WhiteoutForm::OverlayUser,
        owners: owners.map(AsFd::as_fd),
    };
    let mounting = || match owners {
        Some(_) => "stacking layers with the owners of a user namespace, which takes Linux 5.19 \
                    and a file system that can map owners (ext4, xfs, btrfs; not an overlay)"
            .to_owned(),
        None => mounting(),
    };
    sys::mount_overlay(&overlay, &empty).map_err(|error| {
        let kind = match error.raw_os_error() {
            // No right to mount, no overlayfs, or a file system that it cannot write to.
            Some(libc::EPERM | libc::ENODEV | libc::EINVAL | libc::EOPNOTSUPP | libc::ENOSYS) => {
                ErrorKind::Unsupported
            }
            _ => return Error::io(mounting(), error),
        };
        Error::caused(kind, mounting(), error)
    })
}

/// The root directory of the tree is the upper one: it begins as that of the highest layer.
fn make_upper(
    upper: &Path,
    highest: Option<&PathBuf>,
    owners: Option<&UserNamespace>,
) -> Result<()> {
    let making = || format!("making directory {}", upper.display());
    match std::fs::DirBuilder::new().mode(0o755).create(upper) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        made => made.doing(making)?,
    }
    let upper = Dir::open(upper).doing(making)?;
    let Some(highest) = highest else {
        if let Some((uid, gid)) = owners.and_then(|owners| owners.outside(0, 0)) {
            sys::set_owner(&upper, uid, gid).doing(making)?;
        }
        return sys::set_mode(&upper, 0o755).doing(making);
    };
    let highest = Dir::open(highest).doing(making)?;
    let mut like: Meta = highest.meta().doing(making)?;
    // Whoever has no counterpart inside is nobody there, as below.
    if let Some((uid, gid)) = owners.and_then(|owners| owners.outside(like.uid, like.gid)) {
        (like.uid, like.gid) = (uid, gid);
    }
    copy::copy_metadata(&highest, &upper, &like).doing(making)
}

/// A volatile mount that was not ended properly leaves a mark that keeps the kernel from mounting
/// it again; that its content may be damaged is known.
fn forget_volatile(work: &Path) -> Result<()> {
    let mark = work.join("work/incompat");
    if !mark.exists() {
        return Ok(());
    }
    let removing = || format!("removing {}", mark.display());
    Dir::open(&work.join("work")).and_then(|dir| dir.remove_tree(b"incompat")).doing(removing)
}

/// Makes a directory, readable by its owner alone.
fn make_dir(path: &Path) -> Result<()> {
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.doing(|| format!("making directory {}", path.display())),
    }
}
