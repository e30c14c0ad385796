//! Layers on their way into the store as trees.
//!
//! Owns the decision what is still to be done for a layer: fetch it, unpack it, both in one pass,
//! or nothing; and the directories that only exist for one stack of layers. Uses the writer that
//! publishes. Promise: a path that was handed out is a whole tree, and stays while the writer
//! lives. Does not know how layers are mounted.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::intake::{self, Follow, Growth, Tree};
use super::layers::{Form, LayerRecord, TREE, UnpackSettings};
use super::partial::Partial;
use super::writer::{Role, Turn, Writer, worth_keeping};
use super::{Store, graph::Look};
use crate::blob::{Blob, BlobReader, RemoteBlob, blocking};
use crate::error::{Error, IoContext, Result};
use crate::layer::{Stack, patch_implied};
use crate::spec::{ChainId, Descriptor, DiffId, Image, Layer};
use crate::sys::{self, Root};

impl Writer {
    /// Takes a layer in, unless it is there already: its tree, and its bytes if `settings` say so.
    /// A layer that comes over a network is unpacked while it arrives.
    pub async fn put_layer(
        self: &Arc<Self>,
        content: Blob,
        known: &Descriptor,
        diff_id: &DiffId,
        settings: &UnpackSettings,
    ) -> Result<()> {
        let (writer, layer) = (self.clone(), diff_id.clone());
        let unpacked = blocking(move || writer.unpacked(&layer)).await?;
        let (writer, what) = (self.clone(), known.clone());
        let there = blocking(move || writer.has(&what)).await?;
        match (unpacked, there) {
            (true, true) => Ok(()),
            (true, false) if !settings.keep_blobs => Ok(()),
            (true, false) => self.put(Role::Leaf, content, Some(known)).await.map(drop),
            (false, true) => self.unpack_held(known, diff_id, settings).await,
            (false, false) => self.fetch(content, known, diff_id, settings).await,
        }
    }

    /// Unpacks a layer whose bytes this writer can open.
    async fn unpack_held(
        self: &Arc<Self>,
        known: &Descriptor,
        diff_id: &DiffId,
        settings: &UnpackSettings,
    ) -> Result<()> {
        let layer = Layer { descriptor: known.clone(), diff_id: diff_id.clone() };
        let (writer, settings) = (self.clone(), settings.clone());
        blocking(move || writer.unpack_layer(&layer, &settings)).await
    }

    async fn fetch(
        self: &Arc<Self>,
        content: Blob,
        known: &Descriptor,
        diff_id: &DiffId,
        settings: &UnpackSettings,
    ) -> Result<()> {
        if let Blob::Remote(remote) = &content
            && worth_keeping(remote, Some(known))
        {
            match self.turn(remote).await? {
                Turn::There => return self.unpack_held(known, diff_id, settings).await,
                Turn::Ours(partial) => {
                    self.receive(partial, remote, known, diff_id, settings).await?;
                    return self.commit_if_due().await;
                }
                Turn::Aside => {}
            }
        }
        if settings.keep_blobs {
            self.put(Role::Leaf, content, Some(known)).await?;
            return self.unpack_held(known, diff_id, settings).await;
        }
        let (what, layer, place) = (known.clone(), diff_id.clone(), self.fresh());
        let (settings, ahead) = (settings.clone(), self.flushes());
        let unpack = move |reader: BlobReader| {
            intake::unpack(reader, &what, &layer, &place, &settings, ahead)
        };
        let tree = content.consume(unpack).await?;
        self.collect_tree(diff_id, tree);
        Ok(())
    }

    /// Downloads and unpacks at the same time.
    async fn receive(
        self: &Arc<Self>,
        partial: Partial,
        remote: &RemoteBlob,
        known: &Descriptor,
        diff_id: &DiffId,
        settings: &UnpackSettings,
    ) -> Result<()> {
        let growth = Ending(Arc::new(Growth::default()));
        let follow = Follow::new(partial.open()?, growth.0.clone());
        let mut unpacking = Box::pin(self.unpack_stream(follow, known, diff_id, settings));
        let mut receiving = Box::pin(partial.receive_while(remote, Some(growth.0.clone())));
        let mut tree = None;
        let received = loop {
            tokio::select! {
                received = &mut receiving => break received,
                unpacked = &mut unpacking, if tree.is_none() => match unpacked {
                    Err(error) if !growth.0.is_broken() => return Err(error),
                    unpacked => tree = Some(unpacked),
                },
            }
        };
        let begun_anew = growth.0.is_broken();
        match &received {
            Ok(_) if !begun_anew => growth.0.whole(known.size),
            _ => growth.0.broken(),
        }
        let tree = match tree {
            Some(tree) => tree,
            None => unpacking.await,
        };
        let partial = received?;
        let tree = match tree {
            // What an earlier run had received was wrong, and was unpacked so far.
            Err(_) if begun_anew => {
                growth.0.whole(known.size);
                let again = Follow::new(partial.open()?, growth.0.clone());
                self.unpack_stream(again, known, diff_id, settings).await?
            }
            tree => tree?,
        };
        if settings.keep_blobs {
            let path = partial.path().to_owned();
            let what = (known.digest.clone(), known.size);
            self.collect(Role::Leaf, what, path, Some(partial));
        } else {
            partial.discard();
        }
        self.collect_tree(diff_id, tree);
        Ok(())
    }

    async fn unpack_stream(
        self: &Arc<Self>,
        reader: Follow,
        known: &Descriptor,
        diff_id: &DiffId,
        settings: &UnpackSettings,
    ) -> Result<Tree> {
        let (place, settings) = (self.fresh(), settings.clone());
        let (known, diff_id, ahead) = (known.clone(), diff_id.clone(), self.flushes());
        blocking(move || intake::unpack(reader, &known, &diff_id, &place, &settings, ahead)).await
    }

    /// Unpacks a layer from its bytes, unless it is unpacked already.
    fn unpack_layer(&self, layer: &Layer, settings: &UnpackSettings) -> Result<()> {
        if self.unpacked(&layer.diff_id)? {
            return Ok(());
        }
        let reader = self.open(&layer.descriptor)?.reader();
        let place = self.fresh();
        let (what, diff_id) = (&layer.descriptor, &layer.diff_id);
        let tree = intake::unpack(reader, what, diff_id, &place, settings, self.flushes())?;
        self.collect_tree(&layer.diff_id, tree);
        Ok(())
    }

    /// Sees to it that every layer of `image` is unpacked, several at a time, and tells which trees
    /// to stack, lowest first. They stay while this writer lives, or a container that needs the
    /// image.
    ///
    /// # Errors
    /// `NotFound` if a layer is neither here nor unpacked.
    pub fn unpack(&self, image: &Image, settings: &UnpackSettings) -> Result<Vec<PathBuf>> {
        let mut todo = Vec::new();
        for layer in image.layers() {
            let twice = todo.iter().any(|other: &&Layer| other.diff_id == layer.diff_id);
            if !self.unpacked(&layer.diff_id)? && !twice {
                todo.push(layer);
            }
        }
        let next = std::sync::atomic::AtomicUsize::new(0);
        let work = || -> Result<()> {
            while let Some(layer) =
                todo.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
            {
                self.unpack_layer(layer, settings)?;
            }
            Ok(())
        };
        if todo.len() <= 1 {
            work()?;
        } else {
            std::thread::scope(|scope| {
                let lanes = sys::available_cores().min(todo.len()).min(4);
                let lanes: Vec<_> = (0..lanes).map(|_| scope.spawn(work)).collect();
                lanes.into_iter().try_for_each(|lane| {
                    lane.join().unwrap_or_else(|_| {
                        Err(Error::new(crate::ErrorKind::Failed, "a thread ended unexpectedly"))
                    })
                })
            })?;
        }
        self.commit()?;
        self.stack(image)
    }

    /// The trees of an image whose layers are all unpacked.
    fn stack(&self, image: &Image) -> Result<Vec<PathBuf>> {
        let store = self.store();
        let mut trees: Vec<PathBuf> = Vec::with_capacity(image.layers().len());
        for (layer, chain) in image.layers().iter().zip(image.chain_ids()) {
            let record = store.layer(&layer.diff_id)?.ok_or_else(|| {
                Error::not_found(format!("layer {} is not unpacked", layer.diff_id.0))
            })?;
            let tree = store.layer_tree(&layer.diff_id);
            let patch = match record.implied_dirs()? {
                implied if implied.is_empty() || trees.is_empty() => None,
                implied => self.patch(&chain, &tree, &record, &implied, &trees)?,
            };
            trees.push(tree);
            trees.extend(patch);
        }
        Ok(trees)
    }

    /// Directories that the layer in `tree` only implies, as they are in the layers below it.
    fn patch(
        &self,
        chain: &ChainId,
        tree: &Path,
        record: &LayerRecord,
        implied: &[crate::layer::ImpliedDir],
        below: &[PathBuf],
    ) -> Result<Option<PathBuf>> {
        let path = self.store().dirs_path(chain);
        self.lease(&chain.0)?;
        if LayerRecord::read(&path)?.is_some() {
            return Ok(Some(path.join(TREE)));
        }
        let open = |path: &Path| Root::open(path).doing(|| format!("opening {}", path.display()));
        let lower: Vec<Root> = below.iter().rev().map(|path| open(path)).collect::<Result<_>>()?;
        let place = self.fresh();
        let made = intake::make_place(&place)?;
        let form = record.form.into();
        let stack = Stack::new(&lower, form);
        let needed = patch_implied(&open(&made)?, &open(tree)?, implied, &stack, form);
        if !needed.inspect_err(|_| intake::remove(&place))? {
            intake::remove(&place);
            return Ok(None);
        }
        LayerRecord::made(&DiffId(chain.0.clone()), record.form, 0, implied.len() as u64)
            .write(&place)?;
        self.publish_tree(&place, &path)?;
        Ok(Some(path.join(TREE)))
    }

    /// A new directory for a tree in the making: it becomes a layer by [`Writer::put_tree`], or
    /// goes with this writer. The tree belongs into [`Draft::tree`].
    pub fn draft(&self) -> Result<Draft> {
        let place = self.fresh();
        let tree = intake::make_place(&place)?;
        Ok(Draft { place, tree })
    }

    /// Takes a finished tree in as the unpacked layer `diff_id`, of which the archive has so many
    /// bytes and entries. Visible after the next [`Writer::commit`].
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] for a form that does not stand alone.
    pub fn put_tree(
        &self,
        draft: Draft,
        diff_id: &DiffId,
        form: crate::layer::WhiteoutForm,
        (archive_bytes, entries): (u64, u64),
    ) -> Result<()> {
        self.lease(&diff_id.0)?;
        let record = LayerRecord::made(diff_id, Form::try_from(form)?, archive_bytes, entries);
        record.write(&draft.place)?;
        self.collect_path(diff_id, draft.place);
        Ok(())
    }
}

/// A tree in the making.
#[derive(Debug)]
pub struct Draft {
    place: PathBuf,
    tree: PathBuf,
}

impl Draft {
    /// The directory of the draft, for what must lie beside the tree while it is made (overlayfs
    /// wants its work directory there); must hold nothing but the tree in the end.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Where the tree belongs: an empty directory.
    pub fn tree(&self) -> &Path {
        &self.tree
    }
}

/// Whoever follows a download does not wait for one that was given up.
struct Ending(Arc<Growth>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.broken();
    }
}

impl Store {
    /// The trees of an image to stack, lowest first, if everything is there without any work.
    ///
    /// Nothing keeps them but a container or a lease that needs the image.
    pub fn ready(&self, image: &Image) -> Result<Option<Vec<PathBuf>>> {
        let mut trees = Vec::with_capacity(image.layers().len());
        for (layer, chain) in image.layers().iter().zip(image.chain_ids()) {
            let Some(record) = self.layer(&layer.diff_id)? else { return Ok(None) };
            let depends = !trees.is_empty() && !record.implied_dirs()?.is_empty();
            trees.push(self.layer_tree(&layer.diff_id));
            if depends {
                let dirs = self.dirs_path(&chain);
                // Without them it is not known here whether any are needed.
                match LayerRecord::read(&dirs)? {
                    Some(_) => trees.push(dirs.join(TREE)),
                    None => return Ok(None),
                }
            }
        }
        Ok(Some(trees))
    }
}
