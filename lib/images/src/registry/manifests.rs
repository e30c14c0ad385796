//! Manifests: asked for, verified, put and deleted (distribution spec, "Pulling manifests",
//! "Pushing Manifests", "Deleting").

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Method, StatusCode};

use super::failure::{WEB_PAGE, is_page};
use super::repository::{Place, Repository};
use super::server::{Call, LOOK};
use crate::error::{Error, ErrorKind, Result};
use crate::spec::{Algorithm, Descriptor, Digest, MAX_MANIFEST, Manifest, MediaType, is_tag};

const ACCEPTED: &[u16] = &[200, 201, 202];

/// What a look at a manifest tells.
#[allow(clippy::large_enum_variant, reason = "one at a time")]
enum Look {
    /// All of its descriptor.
    Told(Descriptor),
    /// That something is there.
    There,
    /// Nothing.
    Silent,
}

/// What became of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// It is gone.
    Done,
    /// The registry deletes no tags, only manifests (with all their tags).
    TagsUnsupported,
}

impl Repository {
    /// What a tag or digest names, by one small request where that tells; `None` when there is
    /// nothing.
    pub async fn find_manifest(&self, name: &str) -> Result<Option<Descriptor>> {
        let found = self.read(0, |place| async move { place.find_manifest(name).await }).await;
        // A mirror that lacks it says nothing about the primary, so absence travels as an error.
        match found {
            Ok(descriptor) => Ok(Some(descriptor)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What a tag or digest names, as far as one small request to the primary tells: `None` is no
    /// promise that there is nothing. For decisions that only save work.
    ///
    /// # Errors
    /// Of the network, and of token servers and passwords.
    pub async fn look_up_manifest(&self, name: &str) -> Result<Option<Descriptor>> {
        match self.primary().look_up_manifest(name).await? {
            Look::Told(descriptor) => Ok(Some(descriptor)),
            Look::Silent => Ok(None),
            // Worth the second request: it may spare the whole copy.
            Look::There => Ok(self.primary().manifest(name).await.ok().map(|it| it.descriptor())),
        }
    }

    /// The manifest that a tag or digest names. A digest is verified.
    ///
    /// # Errors
    /// NotFound; Corrupt when the bytes are not what their digest says; Invalid for what is no
    /// manifest or larger than [`MAX_MANIFEST`].
    pub async fn manifest(&self, name: &str) -> Result<Manifest> {
        self.read(0, |place| async move { place.manifest(name).await }).await
    }

    /// Puts a manifest under a tag or, with `None`, under its digest, and enters it into the list
    /// of its subject's referrers where the registry does not do that by itself.
    pub async fn put_manifest(&self, tag: Option<&str>, manifest: &Manifest) -> Result<()> {
        self.primary().put_manifest(tag, manifest).await
    }

    /// Deletes a tag, or a manifest with all its tags.
    ///
    /// # Errors
    /// NotFound; Unsupported where the registry deletes nothing.
    pub async fn delete_manifest(&self, name: &str) -> Result<Deletion> {
        self.primary().delete_manifest(name).await
    }
}

impl Place {
    fn manifest_call(&self, method: Method, name: &str, expected: &'static [u16]) -> Call {
        self.call(method, &format!("manifests/{name}"), expected)
            .header(ACCEPT, MediaType::ACCEPT_MANIFESTS)
    }

    async fn find_manifest(&self, name: &str) -> Result<Descriptor> {
        match self.look_up_manifest(name).await? {
            Look::Told(descriptor) => Ok(descriptor),
            Look::Silent | Look::There => Ok(self.manifest(name).await?.descriptor()),
        }
    }

    async fn look_up_manifest(&self, name: &str) -> Result<Look> {
        let call = self.manifest_call(Method::HEAD, name, LOOK);
        let answer = self.server.send(&call).await?;
        if answer.status() != StatusCode::OK {
            return Ok(Look::Silent);
        }
        let told = (
            answer.header("docker-content-digest").and_then(|text| text.parse::<Digest>().ok()),
            answer.header("content-type").map(MediaType::parse),
            answer.length(),
        );
        Ok(match told {
            (Some(digest), Some(media_type), Some(size))
                if media_type.is_manifest() && (is_tag(name) || digest.to_string() == name) =>
            {
                Look::Told(Descriptor::new(media_type, digest, size))
            }
            _ => Look::There,
        })
    }

    pub(super) async fn manifest(&self, name: &str) -> Result<Manifest> {
        let wanted = name.parse::<Digest>().ok();
        let call = self.manifest_call(Method::GET, name, &[200]);
        let answer = self.server.send(&call).await?.data()?;
        let place = answer.place.clone();
        let declared = answer.header("content-type").map(MediaType::parse);
        let told = answer.header("docker-content-digest").and_then(|text| text.parse().ok());
        let raw = answer.bytes(MAX_MANIFEST).await.map_err(|failure| failure.error)?;
        let expected: Option<&Digest> = wanted.as_ref().or(told.as_ref());
        let algorithm = expected.map_or(Algorithm::Sha256, Digest::algorithm);
        let parsed = Manifest::parse_with(raw.clone(), declared.as_ref(), algorithm);
        match (parsed, expected) {
            (Ok(manifest), Some(expected)) if manifest.digest() != expected => {
                Err(mismatch(place, expected, manifest.digest()))
            }
            (Ok(manifest), _) => Ok(manifest),
            // Damaged bytes are damaged, whatever they look like.
            (Err(_), Some(expected)) if !expected.matches(&raw) => {
                Err(mismatch(place, expected, &Digest::compute(algorithm, &raw)))
            }
            (Err(_), _) if is_page(&raw) => {
                Err(Error::caused(ErrorKind::Unsupported, place, WEB_PAGE))
            }
            (Err(error), _) => Err(error.while_doing(place)),
        }
    }

    async fn put_manifest(&self, tag: Option<&str>, manifest: &Manifest) -> Result<()> {
        let name = tag.map_or_else(|| manifest.digest().to_string(), str::to_owned);
        let call = self
            .call(Method::PUT, &format!("manifests/{name}"), ACCEPTED)
            .header(CONTENT_TYPE, &manifest.media_type().to_string());
        let call = Call { body: super::body::Body::Bytes(manifest.raw().clone()), ..call };
        let answer = self.server.send(&call).await?;
        let stored = answer.header("docker-content-digest").and_then(|text| text.parse().ok());
        // Registries name what has a tag by an algorithm of their choice.
        if let Some(stored) = stored
            && !manifest.has_digest(&stored)
        {
            return Err(mismatch(answer.place, manifest.digest(), &stored));
        }
        let is_listed = answer.header("oci-subject").is_some();
        answer.drain().await;
        match manifest.subject() {
            Some(subject) if !is_listed => self.list_referrer(&subject.digest, manifest).await,
            _ => Ok(()),
        }
    }

    pub(super) async fn delete_manifest(&self, name: &str) -> Result<Deletion> {
        let is_tag = !name.contains(':');
        let expected: &[u16] = if is_tag { &[200, 202, 204, 400, 405] } else { &[200, 202, 204] };
        let call = self.call(Method::DELETE, &format!("manifests/{name}"), expected);
        let answer = self.server.send(&call).await?;
        let refused = matches!(answer.status().as_u16(), 400 | 405);
        answer.drain().await;
        Ok(if refused { Deletion::TagsUnsupported } else { Deletion::Done })
    }
}

fn mismatch(place: String, expected: &Digest, found: &Digest) -> Error {
    let text = format!("expected manifest {expected}, found {found}");
    Error::caused(ErrorKind::Corrupt, place, text)
}
