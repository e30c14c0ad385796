//! `store:`: the local store as a place.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

use super::{
    Abilities, Item, ItemKind, LayerContent, Origin, Presence, Referrer, Sink, Source, Usual,
};
use crate::blob::{Blob, blocking};
use crate::error::{Error, ErrorKind, Result};
use crate::spec::{Descriptor, Digest, MAX_MANIFEST, Manifest, MediaType, Reference};
use crate::store::{Holding, Role, Store, StoreName, UnpackSettings, Writer};

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
        match self.store.blob(what) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let (store, what) = (self.store.clone(), what.clone());
                let made = blocking(move || store.remake(&what)).await?;
                made.map(Blob::File).ok_or(error)
            }
            opened => opened.map(Blob::File),
        }
    }

    async fn open_layer(&self, layer: &Descriptor) -> Result<LayerContent> {
        match self.store.blob(layer) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let (store, layer) = (self.store.clone(), layer.clone());
                let made = blocking(move || store.repacked(&layer)).await?;
                let made = made.map(|(archive, implied)| {
                    let archive = Blob::Unnamed(Box::new(archive));
                    LayerContent::Repacked { archive, implied }
                });
                made.ok_or(error)
            }
            opened => opened.map(|blob| LayerContent::Blob(Blob::File(blob))),
        }
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
    unpack: Option<UnpackSettings>,
    /// Made when something arrives, or is found that must stay.
    writer: OnceCell<Arc<Writer>>,
    names: Mutex<Vec<(StoreName, Descriptor)>>,
}

impl StoreSink {
    /// A sink that publishes under `name`.
    pub fn new(store: Store, name: &StoreName) -> StoreSink {
        let (writer, names) = (OnceCell::new(), Mutex::default());
        StoreSink { store, name: name.clone(), unpack: None, writer, names }
    }

    /// Layers are unpacked, while they arrive where that is possible.
    pub fn unpacking(self, settings: Option<UnpackSettings>) -> StoreSink {
        StoreSink { unpack: settings, ..self }
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
        if let (Some(settings), ItemKind::Layer(Some(diff_id)), Some(known)) =
            (&self.unpack, &item.kind, &known)
        {
            writer.put_layer(content, known, diff_id, settings).await?;
            return Ok(known.clone());
        }
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
            wants_diff_ids: self.unpack.is_some(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::spec::Dialect;
    use crate::transport::cases;

    struct Place {
        root: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Place {
            Place { root: tempfile::tempdir().unwrap() }
        }

        fn store(&self) -> Store {
            Store::open(&self.root.path().join("store")).unwrap()
        }

        fn sink(&self, name: &str) -> StoreSink {
            StoreSink::new(self.store(), &StoreName::parse(name).unwrap())
        }

        fn source(&self, name: &str) -> StoreSource {
            StoreSource::new(self.store(), &StoreName::parse(name).unwrap())
        }

        fn names(&self) -> Vec<String> {
            self.store().images().unwrap().into_iter().map(|image| image.name).collect()
        }
    }

    #[tokio::test]
    async fn what_was_put_comes_back_byte_for_byte() {
        for dialect in [Dialect::Oci, Dialect::Docker] {
            let place = Place::new();
            let made = cases::image(dialect, "text");
            let sink = place.sink("app");
            assert_eq!(sink.current().await.unwrap(), None);
            cases::check_sink(&sink, &made).await;
            cases::store(&sink, &made, None).await.unwrap();
            cases::check(&place.source("app"), &made).await;
            cases::check(&place.source(&format!("@{}", made.manifest.digest())), &made).await;
            let root = made.manifest.descriptor();
            assert_eq!(place.sink("app").current().await.unwrap(), Some(root.clone()));
            assert_eq!(place.sink("b").presence(&root).await.unwrap(), Presence::Complete);
            let error = place.source("other").resolve().await.unwrap_err();
            assert_eq!(error.to_string(), "the store has no image docker.io/library/other:latest");
        }
    }

    #[tokio::test]
    async fn asking_makes_nothing() {
        let place = Place::new();
        let made = cases::image(Dialect::Oci, "text");
        let sink = place.sink("app");
        let root = made.manifest.descriptor();
        assert_eq!(sink.presence(&root).await.unwrap(), Presence::Missing);
        sink.finish().await.unwrap();
        assert!(!place.root.path().join("store").exists());
    }

    #[tokio::test]
    async fn an_index_is_kept_as_it_is_with_one_of_its_images() {
        let place = Place::new();
        let (here, elsewhere) =
            (cases::image(Dialect::Oci, "here"), cases::image(Dialect::Oci, "elsewhere"));
        let root = cases::index(&[&here, &elsewhere]);
        let sink = place.sink("app");
        cases::put_as_child(&sink, &here).await.unwrap();
        sink.publish(None, &root).await.unwrap();
        assert!(place.names().is_empty(), "names come with the end");
        sink.finish().await.unwrap();
        let source = place.source("app");
        assert_eq!(source.read_root().await.unwrap().raw(), root.raw());
        cases::check_children(&source, &here).await;
        let sink = place.sink("app");
        let presence = async |what| sink.presence(&what).await.unwrap();
        assert_eq!(presence(root.descriptor()).await, Presence::Present);
        assert_eq!(presence(here.manifest.descriptor()).await, Presence::Complete);
        assert_eq!(presence(elsewhere.manifest.descriptor()).await, Presence::Missing);
        let missing = source.missing(&root.descriptor()).await.unwrap();
        assert_eq!(missing, [elsewhere.manifest.descriptor()]);
        let error = source.open(&missing[0]).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains(&missing[0].digest.to_string()), "{error}");
        cases::put_as_child(&sink, &elsewhere).await.unwrap();
        sink.publish(None, &root).await.unwrap();
        sink.finish().await.unwrap();
        assert_eq!(presence(root.descriptor()).await, Presence::Complete);
    }

    #[tokio::test]
    async fn a_name_for_half_an_image_is_refused_and_can_be_completed() {
        let place = Place::new();
        let made = cases::image(Dialect::Oci, "text");
        let sink = place.sink("app");
        sink.publish(None, &made.manifest).await.unwrap();
        assert_eq!(sink.finish().await.unwrap_err().kind(), ErrorKind::NotFound);
        assert!(place.names().is_empty());
        cases::put_children(&sink, &made).await.unwrap();
        sink.finish().await.unwrap();
        cases::check(&place.source("app"), &made).await;
    }

    #[tokio::test]
    async fn further_names_are_tags_or_whole_names() {
        let place = Place::new();
        let made = cases::image(Dialect::Oci, "text");
        let sink = place.sink("h.io/app:1");
        cases::put_children(&sink, &made).await.unwrap();
        for name in [None, Some("2"), Some("h.io/other:3"), Some("docker.io/library/x:latest")] {
            sink.publish(name, &made.manifest).await.unwrap();
        }
        sink.finish().await.unwrap();
        let expected = ["docker.io/library/x:latest", "h.io/app:1", "h.io/app:2", "h.io/other:3"];
        assert_eq!(place.names(), expected);
        let digest = made.manifest.digest();
        let untagged = place.sink(&format!("@{digest}"));
        cases::store(&untagged, &made, None).await.unwrap();
        assert!(place.names().contains(&format!("@{digest}")));
        let other = cases::image(Dialect::Oci, "other");
        let error = untagged.publish(None, &other.manifest).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }

    #[tokio::test]
    async fn referrers_are_found_by_subject_and_by_tag() {
        let place = Place::new();
        let made = cases::image(Dialect::Oci, "text");
        let signature = cases::signature(&made);
        let sink = place.sink("h.io/app:1");
        cases::store(&sink, &made, None).await.unwrap();
        cases::put_as_child(&sink, &signature).await.unwrap();
        let cosign = cases::image(Dialect::Oci, "cosign");
        let tag = format!("sha256-{}.sig", made.manifest.digest().hex());
        cases::store(&sink, &cosign, Some(&tag)).await.unwrap();
        let source = place.source("h.io/app:1");
        let found = source.referrers(&made.manifest.descriptor()).await.unwrap();
        let found: Vec<_> =
            found.iter().map(|found| (&found.descriptor.digest, found.tag.as_deref())).collect();
        let expected =
            [(signature.manifest.digest(), None), (cosign.manifest.digest(), Some(tag.as_str()))];
        assert_eq!(found, expected);
        assert!(source.referrers(&cosign.manifest.descriptor()).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_has_no_name_yet_gets_one() {
        let place = Place::new();
        let sink = place.sink("app");
        let bytes = json!({"x": 1}).to_string();
        let content = Blob::Unnamed(Box::new(std::io::Cursor::new(bytes.clone())));
        let item = Item { kind: ItemKind::Other, descriptor: None };
        let got = sink.put(item, content).await.unwrap();
        assert_eq!(got.digest, Digest::sha256(bytes.as_bytes()));
        assert_eq!(sink.presence(&got).await.unwrap(), Presence::Present);
    }
}
