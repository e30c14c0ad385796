//! The files of a working container.
//!
//! Its changes lie in `tree/upper`, in overlayfs' form. Mounted for other programs, the whole is
//! at `merged/` in the container's directory; one step alone mounts it for itself, where nobody
//! else sees it.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::{Working, find, with};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::snapshot::{Snapshot, SnapshotOptions};
use crate::spec::Image;
use crate::store::{Store, UnpackSettings};
use crate::sys;

const TREE: &str = "tree";
const UPPER: &str = "upper";
const MERGED: &str = "merged";
/// Where one step has it.
const ROOT: &str = "root";

/// Mounts a container for other programs, until [`unmount`] or the end of the machine's run;
/// where, also if it was mounted before.
///
/// # Errors
/// `Unsupported` without the right to mount or without overlayfs.
pub fn mount(store: &Store, text: &str) -> Result<PathBuf> {
    with(store, text, |working| {
        let place = working.dir.path().join(MERGED);
        if is_mounted(&place)? {
            return Ok(place);
        }
        let snapshot = working.snapshot()?;
        make_dir(&place)?;
        snapshot.mount(&place)?;
        Ok(place)
    })
}

/// Ends what [`mount`] began; `false` when it was not mounted.
///
/// # Errors
/// `Busy` while a program uses files there.
pub fn unmount(store: &Store, text: &str) -> Result<bool> {
    with(store, text, |working| {
        let place = working.dir.path().join(MERGED);
        if !is_mounted(&place)? {
            return Ok(false);
        }
        let unmounting = || format!("unmounting {}", place.display());
        sys::unmount_idle(&place).doing(unmounting)?;
        Ok(true)
    })
}

/// Where a container is mounted, if it is.
pub fn mount_point(store: &Store, text: &str) -> Result<Option<PathBuf>> {
    let place = store.container_path(&find(store, text)?.id).join(MERGED);
    Ok(is_mounted(&place)?.then_some(place))
}

/// Takes the mount of a container away, whoever uses it.
pub(super) fn detach_mount(working: &Working) -> Result<()> {
    let place = working.dir.path().join(MERGED);
    match is_mounted(&place)? {
        true => sys::detach(&place).doing(|| format!("unmounting {}", place.display())),
        false => Ok(()),
    }
}

fn is_mounted(place: &Path) -> Result<bool> {
    match sys::is_mount(place) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        found => found.doing(|| format!("looking at {}", place.display())),
    }
}

impl Working {
    /// The image that it began with.
    pub(super) fn base(&self) -> Result<Option<Image>> {
        let Some(base) = &self.record.base else { return Ok(None) };
        let reading = || format!("reading the image of container {}", self.record.name);
        let manifest = self.store.manifest(base).doing(reading)?;
        let body = manifest.as_image().ok_or_else(|| Error::corrupt(reading()))?;
        let config = self.store.config(&body.config).doing(reading)?;
        Image::new(manifest, config).map(Some)
    }

    /// The unpacked layers of its image, lowest first.
    pub(super) fn lowers(&self) -> Result<Vec<PathBuf>> {
        let Some(image) = self.base()? else { return Ok(Vec::new()) };
        match self.store.ready(&image)? {
            Some(trees) => Ok(trees),
            // They stay: this container needs the image.
            None => self.store.begin()?.unpack(&image, &UnpackSettings::default()),
        }
    }

    /// Where changes are.
    pub(super) fn upper(&self) -> PathBuf {
        self.dir.path().join(TREE).join(UPPER)
    }

    /// Whether it is mounted for other programs.
    pub(super) fn is_mounted(&self) -> Result<bool> {
        is_mounted(&self.dir.path().join(MERGED))
    }

    fn snapshot(&self) -> Result<Snapshot> {
        let place = self.dir.path().join(TREE);
        let snapshot = Snapshot::prepare(&self.lowers()?, &place, &SnapshotOptions::default())?;
        match snapshot.upper() {
            Some(_) => Ok(snapshot),
            None => Err(Error::unsupported(
                "working containers need overlayfs and root, unless they begin with scratch and \
                 nothing is run in them",
            )),
        }
    }

    /// Does something with the files. Of a container without an image they are the changes, so
    /// that nothing has to be mounted.
    pub(super) fn with_files<T: Send>(
        &self,
        work: impl FnOnce(&Path) -> Result<T> + Send,
    ) -> Result<T> {
        if self.record.base.is_some() || self.is_mounted()? {
            return self.with_mount(work);
        }
        let upper = self.upper();
        make_dir(&self.dir.path().join(TREE))?;
        if !upper.exists() {
            make_dir(&upper)?;
            let dir = sys::Dir::open(&upper);
            dir.and_then(|dir| sys::set_mode(&dir, 0o755))
                .doing(|| format!("making directory {}", upper.display()))?;
        }
        work(&upper)
    }

    /// Does something with the files mounted, in a thread whose mounts nobody else sees.
    pub(super) fn with_mount<T: Send>(
        &self,
        work: impl FnOnce(&Path) -> Result<T> + Send,
    ) -> Result<T> {
        let merged = self.dir.path().join(MERGED);
        let mounted = is_mounted(&merged)?;
        in_own_mounts(|| {
            if mounted {
                // The kernel does not allow two mounts of the same changes.
                return work(&merged);
            }
            let root = self.dir.path().join(ROOT);
            make_dir(&root)?;
            let snapshot = self.snapshot()?;
            snapshot.mount(&root)?;
            let done = work(&root);
            let detached = sys::detach(&root).doing(|| "taking a container's files away");
            let done = done?;
            detached.map(|()| done)
        })
    }
}

/// Does something in a thread whose mounts nobody else sees.
fn in_own_mounts<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let lost = || Error::new(ErrorKind::Failed, "a thread ended unexpectedly");
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let own = sys::own_mounts();
            own.doing(|| "making a mount namespace (working containers need root for this)")?;
            work()
        });
        thread.join().unwrap_or_else(|_| Err(lost()))
    })
}

/// Makes a directory for its owner alone, unless it is there.
fn make_dir(path: &Path) -> Result<()> {
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        made => made.doing(|| format!("making directory {}", path.display())),
    }
}
