//! `store:`: the local store as a place.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use super::{Abilities, Item, ItemKind, Origin, Presence, Referrer, Sink, Source, Usual};
use crate::blob::{Blob, blocking};
use crate::error::{Error, IoContext, Result};
use crate::spec::{Algorithm, Descriptor, Digest, MAX_MANIFEST, Manifest, Reference};
use crate::store::{Holding, Staging, Store, StoreName};

/// An image in the store, for reading.
pub struct StoreSource {
    store: Store,
    name: StoreName,
}

impl StoreSource {
    /// The image of this name.
    pub fn new(store: Store, name: &StoreName) -> StoreSource {
        StoreSource { store, name: name.clone() }
    }
}

impl Source for StoreSource {
    async fn resolve(&self) -> Result<Descriptor> {
        let found = self.store.resolve(&self.name)?;
        found.ok_or_else(|| Error::not_found(format!("the store has no image {}", self.name)))
    }

    async fn read_root(&self) -> Result<Manifest> {
        let root = self.resolve().await?;
        let store = self.store.clone();
        blocking(move || store.manifest(&root)).await
    }

    async fn open(&self, what: &Descriptor) -> Result<Blob> {
        self.store.blob(what).map(Blob::File)
    }

    async fn measure(&self, blob: &Digest) -> Result<u64> {
        let size = self.store.size_of(blob)?;
        size.ok_or_else(|| Error::not_found(format!("the store does not hold {blob}")))
    }

    async fn referrers(&self, subject: &Descriptor) -> Result<Vec<Referrer>> {
        let (store, name, subject) =
            (self.store.clone(), self.name.clone(), subject.digest.clone());
        blocking(move || referrers(&store, &name, &subject)).await
    }

    fn origin(&self) -> Origin {
        Origin::Elsewhere
    }
}

/// What the store has about `subject`: untagged manifests, and those that a tag of the image's
/// repository connects with it (`sha256-<hex>.sig`).
fn referrers(store: &Store, name: &StoreName, subject: &Digest) -> Result<Vec<Referrer>> {
    let prefix = format!("{}.", subject.to_string().replace(':', "-"));
    let mut found = Vec::new();
    for image in store.images()? {
        match (StoreName::parse(&image.name)?, name) {
            (StoreName::Digest(_), _) => {
                let manifest = store.manifest(&image.descriptor)?;
                if manifest.subject().is_some_and(|about| about.digest == *subject) {
                    found.push(Referrer { descriptor: image.descriptor, tag: None });
                }
            }
            (StoreName::Named(other), StoreName::Named(own)) if other.name() == own.name() => {
                if let Some(tag) = other.tag().filter(|tag| tag.starts_with(&prefix)) {
                    let tag = Some(tag.to_owned());
                    found.push(Referrer { descriptor: image.descriptor, tag });
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

/// The store, for writing one image under one or several names.
pub struct StoreSink {
    store: Store,
    name: StoreName,
    staging: OnceCell<Arc<Staging>>,
    names: Mutex<Vec<(StoreName, Descriptor)>>,
}

impl StoreSink {
    /// A sink that publishes under `name`.
    pub fn new(store: Store, name: &StoreName) -> StoreSink {
        StoreSink { store, name: name.clone(), staging: OnceCell::new(), names: Mutex::default() }
    }

    async fn staging(&self) -> Result<Arc<Staging>> {
        let store = self.store.clone();
        let begin = || blocking(move || store.begin().map(Arc::new));
        self.staging.get_or_try_init(begin).await.cloned()
    }

    fn keep_name(&self, name: StoreName, root: Descriptor) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).push((name, root));
    }

    /// Another name in the same repository.
    fn tagged(&self, tag: &str) -> Result<StoreName> {
        match &self.name {
            StoreName::Named(name) => name.with_tag(tag).map(StoreName::Named),
            StoreName::Digest(_) => {
                Reference::parse(tag).map(|name| StoreName::Named(name.with_default_tag()))
            }
        }
    }
}

impl Sink for StoreSink {
    async fn current(&self) -> Result<Option<Descriptor>> {
        self.store.resolve(&self.name)
    }

    async fn presence(&self, what: &Descriptor) -> Result<Presence> {
        if self.staging.get().is_some_and(|s| s.size_of(&what.digest) == Some(what.size)) {
            return Ok(Presence::Present);
        }
        if self.store.size_of(&what.digest)? != Some(what.size) {
            return Ok(Presence::Missing);
        }
        // What is there must not vanish before this copy is published.
        let (staging, store, what) = (self.staging().await?, self.store.clone(), what.clone());
        blocking(move || hold(&staging, &store, &what)).await
    }

    async fn put(&self, item: Item, content: Blob) -> Result<Descriptor> {
        let known = item.descriptor;
        let staging = self.staging().await?;
        if let (ItemKind::Manifest, Some(known)) = (&item.kind, &known) {
            let raw = content.into_bytes(MAX_MANIFEST).await?;
            let manifest = Manifest::verified(raw.clone(), known)?;
            if manifest.subject().is_some() {
                // A referrer has no name: its digest keeps it from being pruned.
                self.keep_name(StoreName::Digest(known.digest.clone()), known.clone());
            }
            staging.write(Blob::Bytes(raw), Some(known), known.digest.algorithm()).await?;
            return Ok(known.clone());
        }
        let (digest, size) = staging.write(content, known.as_ref(), Algorithm::Sha256).await?;
        let other = crate::spec::MediaType::Other("application/octet-stream".to_owned());
        Ok(known.unwrap_or_else(|| Descriptor::new(other, digest, size)))
    }

    async fn link(&self, _: &Descriptor, _: &Origin) -> Result<bool> {
        Ok(false)
    }

    async fn publish(&self, name: Option<&str>, root: &Manifest) -> Result<()> {
        let name = match name {
            Some(tag) => self.tagged(tag)?,
            None => self.name.clone(),
        };
        if let StoreName::Digest(wanted) = &name
            && wanted != root.digest()
        {
            return Err(Error::corrupt(format!("the image is {}, not {wanted}", root.digest())));
        }
        let root_descriptor = root.descriptor();
        let raw = Blob::Bytes(root.raw().clone());
        let staging = self.staging().await?;
        staging.write(raw, Some(&root_descriptor), root.digest().algorithm()).await?;
        self.keep_name(name, root_descriptor);
        Ok(())
    }

    async fn finish(&self) -> Result<()> {
        let Some(staging) = self.staging.get().cloned() else { return Ok(()) };
        let names = std::mem::take(&mut *self.names.lock().unwrap_or_else(PoisonError::into_inner));
        let store = self.store.clone();
        blocking(move || publish(&staging, &store, &names)).await
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            usual: Usual::HostInIndex,
            artifacts: true,
            keeps_manifests: true,
            wants_diff_ids: false,
        }
    }
}

/// Gives all that was collected its final name and then the images theirs.
fn publish(staging: &Staging, store: &Store, names: &[(StoreName, Descriptor)]) -> Result<()> {
    let digests = staging.digests();
    staging.flush(&digests)?;
    let _lock = store.lock()?;
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let mut here = digests.iter().filter(|digest| digest.algorithm() == algorithm).peekable();
        let Some(first) = here.peek() else { continue };
        let blobs = store.blob_directory(first)?;
        for digest in here {
            staging.promote(digest, &blobs, digest.hex())?;
        }
        blobs.sync().doing(|| "flushing the store")?;
    }
    for (name, root) in names {
        store.write_name(name, root)?;
    }
    Ok(())
}

/// Keeps `what` and what it refers to from being pruned; tells how much of it is there.
fn hold(staging: &Staging, store: &Store, what: &Descriptor) -> Result<Presence> {
    let blobs = store.blob_directory(&what.digest)?;
    if !staging.hold(what, &blobs, what.digest.hex())? {
        return Ok(Presence::Missing);
    }
    if !what.media_type.is_manifest() {
        return Ok(Presence::Present);
    }
    match store.holding(what)? {
        Holding::Nothing => Ok(Presence::Missing),
        Holding::Part => Ok(Presence::Present),
        Holding::Whole => {
            for child in store.manifest(what)?.children() {
                hold(staging, store, child)?;
            }
            Ok(Presence::Complete)
        }
    }
}
