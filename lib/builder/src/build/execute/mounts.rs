//! Trees of images, mounted where nobody else sees them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::thread;

use super::super::image::{Draft, Layer};
use super::{Builder, locked};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::snapshot::{Snapshot, SnapshotOptions};
use crate::spec::{Dialect, DiffId, Image};
use crate::store::UnpackSettings;
use crate::sys;

/// A tree that can be looked at; gone when dropped.
pub(super) struct Mounted {
    place: PathBuf,
    snapshot: Option<Snapshot>,
}

impl Mounted {
    pub(super) fn path(&self) -> &Path {
        &self.place
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // What stays goes with the thread's mounts and the writer's workplace.
        let _ = sys::detach(&self.place);
        if let Some(snapshot) = self.snapshot.take() {
            let _ = snapshot.remove();
        }
    }
}

impl Builder<'_> {
    /// Does something in a thread whose mounts nobody else sees.
    pub(super) fn in_own_mounts<T: Send, E: From<Error> + Send>(
        &self,
        work: impl FnOnce() -> std::result::Result<T, E> + Send,
    ) -> std::result::Result<T, E> {
        let lost = || Error::new(ErrorKind::Failed, "a thread ended unexpectedly");
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let own = sys::own_mounts();
                own.doing(|| "making a mount namespace (building needs root for this)")?;
                work()
            });
            thread.join().unwrap_or_else(|_| Err(lost().into()))
        })
    }

    /// Stacks the unpacked layers of an image in the making. Layers that were made in this build
    /// are not brought to disk for that: nobody else needs them yet.
    pub(super) fn stacked(
        &self,
        draft: &Draft,
        stack: impl FnOnce(&[PathBuf]) -> Result<Snapshot>,
    ) -> Result<Snapshot> {
        // While paths are in use, nothing gets another name.
        let mut trees = locked(&self.trees);
        let (base, own) = draft.layers.split_at(draft.base_layers);
        let mut paths = match base.is_empty() {
            true => Vec::new(),
            false => self.base_trees(draft)?,
        };
        for layer in own {
            paths.push(self.own_tree(&mut trees, layer)?);
        }
        stack(&paths)
    }

    fn base_trees(&self, draft: &Draft) -> Result<Vec<PathBuf>> {
        let mut base = draft.clone();
        base.layers.truncate(draft.base_layers);
        let config = base.finish(None)?;
        let manifest = base.manifest(&config, Dialect::Oci, &Default::default())?;
        let image = Image::new(manifest, config)?;
        match self.store.ready(&image)? {
            Some(ready) => Ok(ready),
            None => self.writer.unpack(&image, &UnpackSettings::default()),
        }
    }

    /// The tree of a layer that a build has made.
    fn own_tree(&self, trees: &mut HashMap<DiffId, PathBuf>, layer: &Layer) -> Result<PathBuf> {
        self.writer.lease(&layer.diff_id.0)?;
        if self.store.layer(&layer.diff_id)?.is_some() {
            return Ok(self.store.layer_tree(&layer.diff_id));
        }
        if let Some(path) = trees.get(&layer.diff_id).filter(|path| path.exists()) {
            return Ok(path.clone());
        }
        let layer = crate::spec::Layer {
            descriptor: layer.descriptor.clone(),
            diff_id: layer.diff_id.clone(),
        };
        let path = self.writer.unpack_one(&layer, &UnpackSettings::default())?;
        trees.insert(layer.diff_id, path.clone());
        Ok(path)
    }

    /// An image's files, read-only.
    pub(super) fn mounted(&self, draft: &Draft) -> Result<Mounted> {
        let place = self.writer.scratch()?;
        let options = SnapshotOptions::default();
        let scratch = self.writer.scratch()?;
        let snapshot = self.stacked(draft, |trees| Snapshot::view(trees, &scratch, &options))?;
        snapshot.mount(&place)?;
        Ok(Mounted { place, snapshot: Some(snapshot) })
    }

    /// A directory whose changes are thrown away.
    pub(super) fn disposable(&self, directory: &Path) -> Result<Mounted> {
        let place = self.writer.scratch()?;
        let options = SnapshotOptions { volatile: true, ..SnapshotOptions::default() };
        let lowers = [directory.to_owned()];
        let snapshot = Snapshot::prepare(&lowers, &self.writer.scratch()?, &options)?;
        snapshot.mount(&place)?;
        Ok(Mounted { place, snapshot: Some(snapshot) })
    }
}
