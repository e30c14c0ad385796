//! What refers to a manifest: signatures, SBOMs, attestations (distribution spec, "Listing
//! Referrers" and "Referrers Tag Schema").
//!
//! Where a registry has no such list, a tag named after the subject holds an index of them, which
//! clients maintain. Registries have no transactions: the tag is read again after it was written,
//! and written again when another client's write took our entry away.

use bytes::Bytes;
use http::Method;
use http::header::{ACCEPT, CONTENT_TYPE};
use serde_json::{Value, json};

use super::body::Body;
use super::pages::Pages;
use super::repository::{Place, Repository};
use super::server::Call;
use crate::error::{Error, ErrorKind, Result};
use crate::spec::json::{parse_strict, to_go_bytes};
use crate::spec::{
    Body as Content, Descriptor, Dialect, Digest, MAX_MANIFEST, Manifest, MediaType,
};

/// Most referrers of one manifest.
const MAX_REFERRERS: usize = 10_000;
/// How often the fallback tag is written when other clients write it too.
const MAX_REWRITES: usize = 5;
const INDEX: MediaType = MediaType::Index(Dialect::Oci);
const ACCEPT_INDEX: &str = "application/vnd.oci.image.index.v1+json";

impl Repository {
    /// The manifests whose subject is `subject`; of one artifact type, if `artifact_type` is given.
    /// What the entries say has not been verified: that is for whoever opens them.
    pub async fn referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>> {
        // A mirror that knows of none may just not mirror them, so absence travels as an error.
        let found = self.read(0, |place| async move {
            let found = place.referrers(subject, artifact_type).await?;
            match found.is_empty() {
                true => Err(Error::not_found(format!("nothing refers to {subject}"))),
                false => Ok(found),
            }
        });
        match found.await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            other => other,
        }
    }

    /// Takes a deleted manifest off the list of its subject's referrers, where the registry does
    /// not do that by itself.
    pub async fn forget_referrer(&self, subject: &Digest, referrer: &Digest) -> Result<()> {
        let place = self.primary();
        if place.can_list_referrers(subject).await? {
            return Ok(());
        }
        place.rewrite_fallback(subject, &Change::Remove(referrer.clone())).await
    }
}

/// What is to become of a fallback tag.
enum Change {
    Add(Value),
    Remove(Digest),
}

impl Place {
    async fn referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>> {
        let listed = match self.lists_referrers.get() {
            Some(false) => None,
            _ => self.listed_referrers(subject, artifact_type).await?,
        };
        let all = match listed {
            Some(listed) => listed,
            None => self.fallback_referrers(subject).await?,
        };
        // Whether a server that was asked to filter has done so makes no difference then.
        let is_wanted = |referrer: &Descriptor| {
            artifact_type.is_none() || referrer.artifact_type.as_deref() == artifact_type
        };
        Ok(all.into_iter().filter(is_wanted).collect())
    }

    /// What the registry itself lists; `None` when it has no such list.
    async fn listed_referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Option<Vec<Descriptor>>> {
        let mut path = format!("/v2/{}/referrers/{subject}", self.name);
        if let Some(wanted) = artifact_type {
            let mut query = reqwest::Url::parse("http://x/")
                .map_err(|error| Error::caused(ErrorKind::Failed, "making a query", error))?;
            query.query_pairs_mut().append_pair("artifactType", wanted);
            path = format!("{path}?{}", query.query().unwrap_or_default());
        }
        let mut pages = Pages::new(&self.server, self.errand.clone(), path, ACCEPT_INDEX);
        let mut found = Vec::new();
        loop {
            let page = match pages.next().await {
                Ok(Some(page)) => page,
                Ok(None) => break,
                Err(error) if found.is_empty() && is_unknown(&error) => {
                    self.lists_referrers.get_or_init(|| false);
                    return Ok(None);
                }
                Err(error) => return Err(error),
            };
            self.lists_referrers.get_or_init(|| true);
            found.extend(read_index(page.body).map_err(|error| error.while_doing(page.place))?);
            if found.len() > MAX_REFERRERS {
                return Err(too_many(subject));
            }
        }
        Ok(Some(found))
    }

    async fn fallback_referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>> {
        let found = match self.manifest(&fallback_tag(subject)).await {
            Ok(manifest) => read_index(manifest.raw().clone())?,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        match found.len() {
            0..=MAX_REFERRERS => Ok(found),
            _ => Err(too_many(subject)),
        }
    }

    async fn can_list_referrers(&self, subject: &Digest) -> Result<bool> {
        if let Some(known) = self.lists_referrers.get() {
            return Ok(*known);
        }
        let listed = self.listed_referrers(subject, Some("application/none")).await?;
        Ok(listed.is_some())
    }

    /// Enters `manifest` into the list of `subject`'s referrers unless the registry does so.
    pub(super) async fn list_referrer(&self, subject: &Digest, manifest: &Manifest) -> Result<()> {
        if self.can_list_referrers(subject).await? {
            return Ok(());
        }
        let entry = serde_json::to_value(entry(manifest))
            .map_err(|error| Error::caused(ErrorKind::Failed, "writing JSON", error))?;
        self.rewrite_fallback(subject, &Change::Add(entry)).await
    }

    async fn rewrite_fallback(&self, subject: &Digest, change: &Change) -> Result<()> {
        let _alone = self.server.rewriting.lock().await;
        let tag = fallback_tag(subject);
        let doing = || format!("listing what refers to {subject} in the tag {tag}");
        for _ in 0..MAX_REWRITES {
            let index = self.fallback_index(&tag).await?;
            let Some(changed) = change.apply(index).map_err(|error| error.while_doing(doing()))?
            else {
                return Ok(());
            };
            let raw = Bytes::from(to_go_bytes(&changed)?);
            if raw.len() as u64 > MAX_MANIFEST {
                return Err(too_many(subject));
            }
            let call = self
                .call(Method::PUT, &format!("manifests/{tag}"), &[200, 201, 202])
                .header(CONTENT_TYPE, &INDEX.to_string());
            let call = Call { body: Body::Bytes(raw), ..call };
            self.server.send(&call).await?.drain().await;
            // Once more around: nothing to change means that our write has lasted.
        }
        let text = format!("other clients rewrote it {MAX_REWRITES} times meanwhile");
        Err(Error::caused(ErrorKind::Busy, doing(), text))
    }

    /// The index under a fallback tag, with fields that are unknown here.
    async fn fallback_index(&self, tag: &str) -> Result<Value> {
        let call = self
            .call(Method::GET, &format!("manifests/{tag}"), &[200])
            .header(ACCEPT, ACCEPT_INDEX);
        let answer = match self.server.send(&call).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(json!({
                    "schemaVersion": 2,
                    "mediaType": INDEX.to_string(),
                    "manifests": []
                }));
            }
            other => other?,
        };
        let raw = answer.bytes(MAX_MANIFEST).await.map_err(|failure| failure.error)?;
        parse_strict(&raw, "index of referrers")
    }
}

impl Change {
    /// The index after the change; `None` when it is as it should be.
    fn apply(&self, mut index: Value) -> Result<Option<Value>> {
        let no_index = || Error::invalid("the tag is taken by something that is no index");
        let object = index.as_object_mut().ok_or_else(no_index)?;
        let entries = object.entry("manifests").or_insert_with(|| json!([]));
        if entries.is_null() {
            *entries = json!([]);
        }
        let entries = entries.as_array_mut().ok_or_else(no_index)?;
        let before = entries.len();
        match self {
            Change::Add(entry) => {
                if entries.iter().all(|there| there.get("digest") != entry.get("digest")) {
                    entries.push(entry.clone());
                }
            }
            Change::Remove(digest) => {
                let digest = Value::from(digest.to_string());
                entries.retain(|there| there.get("digest") != Some(&digest));
            }
        }
        let is_changed = entries.len() != before;
        Ok(is_changed.then_some(index))
    }
}

/// How a manifest stands in the list of its subject's referrers.
fn entry(manifest: &Manifest) -> Descriptor {
    let mut entry = manifest.descriptor();
    match manifest.body() {
        Content::Image(image) => {
            let config = || image.config.media_type.to_string();
            entry.artifact_type = Some(image.artifact_type.clone().unwrap_or_else(config));
            entry.annotations = image.annotations.clone();
        }
        Content::Index(index) => {
            entry.artifact_type = index.artifact_type.clone();
            entry.annotations = index.annotations.clone();
        }
        Content::Schema1(_) => {}
    }
    entry
}

/// The tag that stands for the list: the digest with its parts cut to the length of a tag.
fn fallback_tag(subject: &Digest) -> String {
    let hex = subject.hex();
    format!("{}-{}", subject.algorithm().as_str(), &hex[..hex.len().min(64)])
}

fn read_index(raw: Bytes) -> Result<Vec<Descriptor>> {
    let manifest = Manifest::parse(raw, Some(&INDEX))?;
    Ok(manifest.as_index().map(|index| index.manifests.clone()).unwrap_or_default())
}

fn is_unknown(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Unsupported)
}

fn too_many(subject: &Digest) -> Error {
    Error::invalid(format!("{subject} has more than {MAX_REFERRERS} referrers"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_of_a_subject() {
        let short = Digest::sha256(b"x");
        assert_eq!(fallback_tag(&short), format!("sha256-{}", short.hex()));
        let long = Digest::compute(crate::spec::Algorithm::Sha512, b"x");
        assert_eq!(fallback_tag(&long), format!("sha512-{}", &long.hex()[..64]));
    }

    #[test]
    fn entries_come_and_go_once_and_the_rest_stays() {
        let digest = Digest::sha256(b"new");
        let entry = json!({"digest": digest.to_string(), "size": 3});
        let index = json!({"schemaVersion": 2, "x": 1, "manifests": [{"digest": "other"}]});
        let add = Change::Add(entry.clone());
        let added = add.apply(index.clone()).unwrap().unwrap();
        assert_eq!(
            added,
            json!({"schemaVersion": 2, "x": 1, "manifests": [{"digest": "other"}, entry]})
        );
        assert_eq!(add.apply(added.clone()).unwrap(), None);
        let remove = Change::Remove(digest);
        assert_eq!(remove.apply(added).unwrap().unwrap(), index);
        assert_eq!(remove.apply(index).unwrap(), None);
        assert!(add.apply(json!({"manifests": null})).unwrap().is_some());
        assert!(add.apply(json!([])).is_err() && add.apply(json!({"manifests": 1})).is_err());
    }

    #[test]
    fn an_entry_tells_what_the_artifact_is() {
        let config = Descriptor::of(MediaType::Empty, b"{}");
        let describe = |more: Value| {
            let mut manifest = json!({
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": config,
                "layers": [],
                "annotations": {"a": "b"}
            });
            manifest.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            entry(&Manifest::parse(manifest.to_string().into(), None).unwrap())
        };
        let typed = describe(json!({"artifactType": "application/x"}));
        assert_eq!(typed.artifact_type.as_deref(), Some("application/x"));
        assert_eq!(typed.annotations["a"], "b");
        let untyped = describe(json!({}));
        assert_eq!(untyped.artifact_type.as_deref(), Some("application/vnd.oci.empty.v1+json"));
    }
}
