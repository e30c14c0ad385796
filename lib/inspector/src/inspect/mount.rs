//! An image's files at a directory, read-only.

use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::layer::Rights;
use crate::snapshot::{Snapshot, SnapshotOptions};
use crate::spec::{Digest, Image};
use crate::store::{Store, UnpackSettings};
use crate::sys;

/// Mounts `image`, whose layers the store has, at the directory `target`. Its layers stay in the
/// store until [`unmount`], or until the machine is started anew. Only with [`Rights::Keep`] have
/// set-id bits, file capabilities and devices an effect.
///
/// # Errors
/// `AlreadyExists` if something of ours is mounted there, `NotFound` if there is no such directory
/// or a layer is missing.
pub fn mount(store: &Store, image: &Image, target: &Path, rights: Rights) -> Result<()> {
    let target = place(target)?;
    let mounting = || format!("mounting an image at {}", target.display());
    let needs: [Digest; 1] = [image.manifest().digest().clone()];
    let writer = store.begin()?;
    writer.lease(&needs[0])?;
    let trees = writer.unpack(image, &UnpackSettings::default())?;
    let directory = store.note_mount(&target, &needs)?;
    let options =
        SnapshotOptions { harmless: rights == Rights::Drop, ..SnapshotOptions::default() };
    let mounted = Snapshot::view(&trees, &directory.join("snapshot"), &options)
        .and_then(|view| view.mount(&target));
    if mounted.is_err() {
        store.forget_mount(&target)?;
    }
    mounted.doing(mounting)
}

/// Ends what [`mount`] began at `target`.
///
/// # Errors
/// `NotFound` if no image of this store is mounted there.
pub fn unmount(store: &Store, target: &Path) -> Result<()> {
    let target = place(target)?;
    let known = store.mounts()?.contains(&target);
    if !known {
        let what = format!("no image of this store is mounted at {}", target.display());
        return Err(Error::new(ErrorKind::NotFound, what));
    }
    if sys::is_mount(&target).doing(|| format!("looking at {}", target.display()))? {
        sys::detach(&target).doing(|| format!("unmounting {}", target.display()))?;
    }
    store.forget_mount(&target).map(drop)
}

fn place(target: &Path) -> Result<PathBuf> {
    let found = std::fs::canonicalize(target).doing(|| format!("finding {}", target.display()))?;
    match found.is_dir() {
        true => Ok(found),
        false => Err(Error::invalid(format!("{} is no directory", target.display()))),
    }
}
