//! `store:`: the local store as a place.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

use super::{Abilities, Item, ItemKind, Origin, Presence, Referrer, Sink, Source, Usual};
use crate::blob::{Blob, blocking};
use crate::error::{Error, Result};
use crate::spec::{Descriptor, Digest, MAX_MANIFEST, Manifest, MediaType, Reference};
use crate::store::{Holding, Role, Store, StoreName, Writer};

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

    /// What of `what` and all below it the store does not hold.
    pub async fn missing(&self, what: &Descriptor) -> Result<Vec<Descriptor>> {
        let (store, what) = (self.store.clone(), what.clone());
        blocking(move || store.missing(&what)).await
    }
}

impl Source for StoreSource {
    async fn resolve(&self) -> Result<Descriptor> {
        let (store, name) = (self.store.clone(), self.name.clone());
        blocking(move || {
            let found = store.resolve(&name)?;
            found.ok_or_else(|| Error::not_found(format!("the store has no image {name}")))
        })
        .await
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

/// What the names of the store tell about `subject`: manifests with that subject, and tags like
/// `sha256-<hex>.sig` in the repository of `name`.
fn referrers(store: &Store, name: &StoreName, subject: &Digest) -> Result<Vec<Referrer>> {
    let prefix = format!("{}-{}", subject.algorithm().as_str(), subject.hex());
    let tagged = match name {
        StoreName::Named(name) => Some(format!("{}:{prefix}", name.name())),
        StoreName::Digest(_) => None,
    };
    let mut found = Vec::new();
    for image in store.images()? {
        let tag = tagged.as_ref().and_then(|tagged| image.name.strip_prefix(tagged.as_str()));
        let tag = tag.filter(|rest| rest.is_empty() || rest.starts_with('.'));
        let tag = tag.map(|rest| format!("{prefix}{rest}"));
        if tag.is_some() || image.subject.as_ref() == Some(subject) {
            found.push(Referrer { descriptor: image.descriptor, tag });
        }
    }
    Ok(found)
}

/// The store, for writing one image under one or several names.
pub struct StoreSink {
    store: Store,
    name: StoreName,
    /// Made when something arrives, or is found that must stay.
    writer: OnceCell<Arc<Writer>>,
    names: Mutex<Vec<(StoreName, Descriptor)>>,
}

impl StoreSink {
    /// A sink that publishes under `name`.
    pub fn new(store: Store, name: &StoreName) -> StoreSink {
        StoreSink { store, name: name.clone(), writer: OnceCell::new(), names: Mutex::default() }
    }

    async fn writer(&self) -> Result<Arc<Writer>> {
        let store = self.store.clone();
        let begin = || blocking(move || store.begin().map(Arc::new));
        self.writer.get_or_try_init(begin).await.cloned()
    }

    fn names(&self) -> MutexGuard<'_, Vec<(StoreName, Descriptor)>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another name: a tag of the same repository, or a name of its own.
    fn other_name(&self, name: &str) -> Result<StoreName> {
        match &self.name {
            StoreName::Named(own) if crate::spec::is_tag(name) => {
                own.with_tag(name).map(StoreName::Named)
            }
            _ => StoreName::parse(name),
        }
    }

    async fn put_manifest(
        &self,
        known: Option<&Descriptor>,
        raw: bytes::Bytes,
    ) -> Result<Descriptor> {
        let manifest = match known {
            Some(known) => Manifest::verified(raw.clone(), known)?,
            None => Manifest::parse(raw.clone(), None)?,
        };
        let descriptor = known.cloned().unwrap_or_else(|| manifest.descriptor());
        self.writer().await?.put(Role::Manifest, Blob::Bytes(raw), Some(&descriptor)).await?;
        if manifest.subject().is_some() {
            // A referrer has no name: its digest keeps it from being pruned.
            let name = StoreName::Digest(descriptor.digest.clone());
            self.names().push((name, manifest.descriptor()));
        }
        Ok(descriptor)
    }
}

impl Sink for StoreSink {
    async fn current(&self) -> Result<Option<Descriptor>> {
        let (store, name) = (self.store.clone(), self.name.clone());
        blocking(move || store.resolve(&name)).await
    }

    async fn presence(&self, what: &Descriptor) -> Result<Presence> {
        // Nothing is made just because somebody asked.
        if self.writer.get().is_none() && self.store.size_of(&what.digest)? != Some(what.size) {
            return Ok(Presence::Missing);
        }
        let (writer, what) = (self.writer().await?, what.clone());
        blocking(move || {
            let leaf = !what.media_type.is_manifest();
            Ok(match writer.need(&what)? {
                Holding::Nothing => Presence::Missing,
                Holding::Whole if !leaf => Presence::Complete,
                _ => Presence::Present,
            })
        })
        .await
    }

    async fn put(&self, item: Item, content: Blob) -> Result<Descriptor> {
        let known = item.descriptor;
        if item.kind == ItemKind::Manifest {
            let raw = content.into_bytes(MAX_MANIFEST).await?;
            return self.put_manifest(known.as_ref(), raw).await;
        }
        let writer = self.writer().await?;
        let (digest, size) = writer.put(Role::Leaf, content, known.as_ref()).await?;
        // Whoever made the bytes knows better what they are.
        let other = MediaType::Other("application/octet-stream".to_owned());
        Ok(known.unwrap_or_else(|| Descriptor::new(other, digest, size)))
    }

    async fn link(&self, _: &Descriptor, _: &Origin) -> Result<bool> {
        Ok(false)
    }

    async fn publish(&self, name: Option<&str>, root: &Manifest) -> Result<()> {
        let name = match name {
            Some(name) => self.other_name(name)?,
            None => self.name.clone(),
        };
        let wanted = match &name {
            StoreName::Digest(digest) => Some(digest),
            StoreName::Named(name) => Reference::digest(name),
        };
        if let Some(wanted) = wanted.filter(|wanted| *wanted != root.digest()) {
            return Err(Error::corrupt(format!("the image is {}, not {wanted}", root.digest())));
        }
        let descriptor = root.descriptor();
        let raw = Blob::Bytes(root.raw().clone());
        self.writer().await?.put(Role::Manifest, raw, Some(&descriptor)).await?;
        self.names().push((name, descriptor));
        Ok(())
    }

    async fn finish(&self) -> Result<()> {
        let Some(writer) = self.writer.get().cloned() else { return Ok(()) };
        let names = self.names().clone();
        let count = names.len();
        blocking(move || writer.publish(&names)).await?;
        self.names().drain(..count);
        Ok(())
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
