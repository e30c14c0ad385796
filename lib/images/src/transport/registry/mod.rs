//! Registries as places (`docker://`).
//!
//! Turns the wishes of a copy into as few requests as the protocol allows: one for the state of a
//! name, one for a manifest, two for a new blob, one for a blob that the registry can mount.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::OnceCell;

use super::{Abilities, Item, ItemKind, Origin, Presence, Referrer, Sink, Source, Usual};
use crate::blob::Blob;
use crate::error::{Error, ErrorKind, Result};
use crate::registry::{Access, Client, Mount, Repository, UploadSession};
use crate::spec::{Descriptor, Digest, MAX_MANIFEST, Manifest, MediaType, Reference};

/// Smaller blobs are sent as quickly as they are asked about.
const WORTH_ASKING: u64 = 64 << 10;

/// An image in a registry, to be read.
pub struct RegistrySource {
    name: Reference,
    repository: Repository,
    /// Tags that connect something to an image by their name; listed at most once.
    digest_tags: OnceCell<Vec<String>>,
}

impl RegistrySource {
    /// The image `name`. Asks nobody yet.
    pub fn new(client: &Client, name: &Reference) -> Result<RegistrySource> {
        let repository = client.repository(name, Access::Pull)?;
        Ok(RegistrySource { name: name.clone(), repository, digest_tags: OnceCell::new() })
    }

    /// That nothing has the name, and how to find one that something has.
    fn absent(&self) -> String {
        let name = &self.name;
        format!(
            "there is no image {name} (`creel-copy tags {}` lists those there are)",
            name.name()
        )
    }

    /// The tags `sha256-<hex>.<what>` of the repository, by which cosign and its like attach
    /// things.
    async fn digest_tags(&self) -> Result<&[String]> {
        let tags = self.digest_tags.get_or_try_init(|| async {
            let tags = match self.repository.tags().await {
                // Whoever may pull may not always list; then nothing is known to be there.
                Err(error) if error.kind() != ErrorKind::Unavailable => Vec::new(),
                other => other?,
            };
            Ok::<_, Error>(tags.into_iter().filter(|tag| is_digest_tag(tag)).collect())
        });
        Ok(tags.await?)
    }
}

fn is_digest_tag(tag: &str) -> bool {
    let Some((digest, what)) = tag.split_once('.') else { return false };
    !what.is_empty() && digest.replacen('-', ":", 1).parse::<Digest>().is_ok()
}

impl Source for RegistrySource {
    async fn resolve(&self) -> Result<Descriptor> {
        let found = self.repository.head_manifest(&self.name.manifest_name()).await?;
        found.ok_or_else(|| Error::not_found(self.absent()))
    }

    async fn read_root(&self) -> Result<Manifest> {
        let found = self.repository.manifest(&self.name.manifest_name()).await;
        found.map_err(|error| match error.kind() {
            ErrorKind::NotFound => error.while_doing(self.absent()),
            _ => error,
        })
    }

    async fn open(&self, what: &Descriptor) -> Result<Blob> {
        if !what.media_type.is_manifest() {
            return Ok(self.repository.blob(what));
        }
        let manifest = self.repository.manifest(&what.digest.to_string()).await?;
        if manifest.raw().len() as u64 != what.size {
            return Err(Error::corrupt(format!(
                "manifest {}: expected {} bytes, found {}",
                what.digest,
                what.size,
                manifest.raw().len()
            )));
        }
        Ok(Blob::Bytes(manifest.raw().clone()))
    }

    async fn measure(&self, blob: &Digest) -> Result<u64> {
        let size = self.repository.blob_size(blob).await?;
        size.ok_or_else(|| Error::not_found(format!("there is no blob {blob} in {}", self.name)))
    }

    async fn referrers(&self, subject: &Descriptor) -> Result<Vec<Referrer>> {
        let listed = self.repository.referrers(&subject.digest, None).await?;
        let mut all: Vec<_> =
            listed.into_iter().map(|descriptor| Referrer { descriptor, tag: None }).collect();
        let prefix = format!("{}.", subject.digest.to_string().replace(':', "-"));
        for tag in self.digest_tags().await?.iter().filter(|tag| tag.starts_with(&prefix)) {
            if let Some(descriptor) = self.repository.head_manifest(tag).await? {
                all.push(Referrer { descriptor, tag: Some(tag.clone()) });
            }
        }
        Ok(all)
    }

    fn origin(&self) -> Origin {
        Origin::Repository(self.name.clone())
    }
}

/// A name in a registry, to be written.
pub struct RegistrySink {
    name: Reference,
    repository: Repository,
    current: Mutex<Option<Digest>>,
    probe: AtomicBool,
    /// Uploads that the registry has begun instead of mounting.
    begun: Mutex<HashMap<Digest, UploadSession>>,
}

impl RegistrySink {
    /// The place `name`. Asks nobody yet.
    pub fn new(client: &Client, name: &Reference) -> Result<RegistrySink> {
        let repository = client.repository(name, Access::Push)?;
        Ok(RegistrySink {
            name: name.clone(),
            repository,
            current: Mutex::default(),
            probe: AtomicBool::new(false),
            begun: Mutex::default(),
        })
    }

    /// Whether to ask for what may be there before it is sent. Worth it when an image replaces an
    /// older one, with which it often shares content: [`Sink::current`] finds that out and sets
    /// this.
    pub fn probe_blobs(&self, yes: bool) {
        self.probe.store(yes, Ordering::Relaxed);
    }

    /// Puts a manifest under its digest.
    async fn put_manifest(&self, item: Item, content: Blob) -> Result<Descriptor> {
        let raw = content.into_bytes(MAX_MANIFEST).await?;
        let manifest = match &item.descriptor {
            Some(descriptor) => Manifest::verified(raw, descriptor)?,
            None => Manifest::parse(raw, None)?,
        };
        self.repository.put_manifest(None, &manifest).await?;
        Ok(manifest.descriptor())
    }

    /// Whether a blob is there, as far as the registry lets itself be asked.
    async fn is_there(&self, digest: &Digest) -> Result<bool> {
        match self.repository.has_blob(digest).await {
            Err(error) if error.kind() != ErrorKind::Unavailable => Ok(false),
            other => other,
        }
    }

    /// Whether the registry has a manifest that it was not told of in this job.
    async fn manifest_presence(&self, what: &Descriptor) -> Result<Presence> {
        Ok(match self.repository.head_manifest(&what.digest.to_string()).await? {
            None => Presence::Missing,
            // Registries take a manifest only with all that it refers to; of indexes some also
            // take sparse ones.
            Some(_) if what.media_type.is_index() => Presence::Present,
            Some(_) => Presence::Complete,
        })
    }
}

impl Sink for RegistrySink {
    async fn current(&self) -> Result<Option<Descriptor>> {
        let found = self.repository.head_manifest(&self.name.manifest_name()).await?;
        self.probe_blobs(found.is_some());
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) =
            found.as_ref().map(|found| found.digest.clone());
        Ok(found)
    }

    async fn presence(&self, what: &Descriptor) -> Result<Presence> {
        let is_current = {
            let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
            current.as_ref() == Some(&what.digest)
        };
        if is_current {
            return Ok(Presence::Complete);
        }
        if self.repository.knows_blob(&what.digest) {
            return Ok(Presence::Present);
        }
        let probe = self.probe.load(Ordering::Relaxed);
        if probe && what.media_type.is_manifest() {
            return self.manifest_presence(what).await;
        }
        let there = probe
            && what.size >= WORTH_ASKING
            && !matches!(what.media_type, MediaType::Config(_))
            && self.is_there(&what.digest).await?;
        Ok(if there { Presence::Present } else { Presence::Missing })
    }

    async fn put(&self, item: Item, content: Blob) -> Result<Descriptor> {
        if item.kind == ItemKind::Manifest {
            return self.put_manifest(item, content).await;
        }
        let known = item.descriptor.as_ref().map(|descriptor| &descriptor.digest);
        if let Some(descriptor) = &item.descriptor
            && self.repository.knows_blob(&descriptor.digest)
        {
            return Ok(descriptor.clone());
        }
        if let (Blob::Bytes(bytes), Some(descriptor)) = (&content, &item.descriptor) {
            check(descriptor, bytes)?;
        }
        let begun = known.and_then(|digest| {
            self.begun.lock().unwrap_or_else(PoisonError::into_inner).remove(digest)
        });
        let (digest, size) = self.repository.put_blob(content, known, begun).await?;
        match item.descriptor {
            Some(descriptor) if descriptor.digest == digest && descriptor.size == size => {
                Ok(descriptor)
            }
            Some(descriptor) => Err(mismatch(&descriptor, &digest, size)),
            None => Ok(Descriptor::new(unnamed_type(), digest, size)),
        }
    }

    async fn link(&self, what: &Descriptor, origin: &Origin) -> Result<bool> {
        if self.repository.knows_blob(&what.digest) {
            return Ok(true);
        }
        let here = self.name.registry();
        let from = match origin {
            Origin::Repository(from) if from.registry() == here => {
                Some(from.repository().to_owned())
            }
            _ => self.repository.known_holder(&what.digest),
        };
        let Some(from) = from.filter(|from| from != self.name.repository()) else {
            return Ok(false);
        };
        match self.repository.mount_blob(&what.digest, &from).await? {
            Mount::Done => Ok(true),
            Mount::Refused(None) => Ok(false),
            Mount::Refused(Some(session)) => {
                let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
                begun.insert(what.digest.clone(), session);
                Ok(false)
            }
        }
    }

    async fn publish(&self, name: Option<&str>, root: &Manifest) -> Result<()> {
        // A digest in the destination's name says what is expected there, and nothing is named.
        let own = match self.name.digest() {
            Some(digest) if digest != root.digest() => {
                return Err(Error::usage(format!(
                    "the destination {} is not what is being put there: {}",
                    self.name,
                    root.digest()
                )));
            }
            Some(_) => self.name.tag(),
            None => Some(self.name.tag_or_latest()),
        };
        self.repository.put_manifest(name.or(own), root).await
    }

    async fn holds(&self, blob: &Descriptor) -> Result<bool> {
        self.repository.forget_blob(&blob.digest);
        self.repository.has_blob(&blob.digest).await
    }

    async fn finish(&self) -> Result<()> {
        let unused =
            std::mem::take(&mut *self.begun.lock().unwrap_or_else(PoisonError::into_inner));
        for session in unused.into_values() {
            self.repository.cancel_upload(session).await;
        }
        Ok(())
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            usual: Usual::Whole,
            artifacts: true,
            keeps_manifests: true,
            wants_diff_ids: false,
        }
    }
}

/// Whether a few bytes are what they should be.
fn check(what: &Descriptor, bytes: &[u8]) -> Result<()> {
    match bytes.len() as u64 == what.size && what.digest.matches(bytes) {
        true => Ok(()),
        false => Err(mismatch(what, &Digest::sha256(bytes), bytes.len() as u64)),
    }
}

fn mismatch(what: &Descriptor, digest: &Digest, size: u64) -> Error {
    Error::corrupt(format!(
        "expected {} of {} bytes, got {digest} of {size}",
        what.digest, what.size
    ))
}

/// The type of content of which nobody said what it is.
fn unnamed_type() -> MediaType {
    MediaType::parse("application/octet-stream")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
