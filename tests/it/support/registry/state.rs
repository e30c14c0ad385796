//! What a registry holds: blobs once, and per repository which of them, manifests, tags, uploads.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use serde_json::Value;

use super::super::content::{Content, Descriptor, Spool, sha256};

#[derive(Default)]
pub(super) struct State {
    pub(super) blobs: HashMap<String, Content>,
    pub(super) repositories: BTreeMap<String, Repository>,
    pub(super) next_upload: u64,
}

#[derive(Default)]
pub(super) struct Repository {
    pub(super) blobs: BTreeSet<String>,
    pub(super) manifests: BTreeMap<String, Manifest>,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) uploads: HashMap<String, Upload>,
}

/// A manifest as it was pushed.
#[derive(Clone)]
pub struct Manifest {
    pub media_type: String,
    pub bytes: Bytes,
    pub digest: String,
}

/// An upload session. While a request writes to it, its spool is taken out.
pub(super) struct Upload {
    pub(super) spool: Option<Spool>,
    pub(super) offset: u64,
    /// Secret part of the Location.
    pub(super) state: String,
    /// A chunk under the minimum came: only the end may follow.
    pub(super) short_chunk: bool,
}

impl State {
    pub(super) fn blob(&self, repository: &str, digest: &str) -> Option<Content> {
        let known = self.repositories.get(repository)?.blobs.contains(digest);
        known.then(|| self.blobs.get(digest).cloned()).flatten()
    }

    pub(super) fn add_blob(&mut self, repository: &str, digest: &str, content: Content) {
        self.blobs.entry(digest.into()).or_insert(content);
        self.repository(repository).blobs.insert(digest.into());
    }

    pub(super) fn repository(&mut self, name: &str) -> &mut Repository {
        self.repositories.entry(name.into()).or_default()
    }

    pub(super) fn manifest(&self, repository: &str, reference: &str) -> Option<&Manifest> {
        let repository = self.repositories.get(repository)?;
        let digest = repository.tags.get(reference).map_or(reference, String::as_str);
        repository.manifests.get(digest)
    }

    /// Descriptors of the manifests with this subject, in the order of their digests.
    pub(super) fn referrers(&self, repository: &str, subject: &str) -> Vec<Descriptor> {
        let Some(repository) = self.repositories.get(repository) else { return Vec::new() };
        let all = repository.manifests.values();
        all.filter_map(|manifest| manifest.as_referrer_of(subject)).collect()
    }
}

impl Manifest {
    pub(super) fn new(media_type: &str, bytes: Bytes) -> Manifest {
        let digest = manifest_digest(media_type, &bytes);
        Manifest { media_type: media_type.into(), bytes, digest }
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or(Value::Null)
    }

    fn as_referrer_of(&self, subject: &str) -> Option<Descriptor> {
        let json = self.json();
        (json["subject"]["digest"].as_str()? == subject).then(|| {
            let size = self.bytes.len() as u64;
            let mut found = Descriptor::new(&self.media_type, &self.digest, size);
            let of_config = &json["config"]["mediaType"];
            let artifact_type = json["artifactType"].as_str().or(of_config.as_str());
            if let Some(artifact_type) = artifact_type {
                found = found.with("artifactType", artifact_type.into());
            }
            if let Some(annotations) = json.get("annotations") {
                found = found.with("annotations", annotations.clone());
            }
            found
        })
    }
}

/// The digest a manifest is known under: for signed schema 1 that of the signed payload.
pub fn manifest_digest(media_type: &str, bytes: &[u8]) -> String {
    let payload = (media_type == "application/vnd.docker.distribution.manifest.v1+prettyjws")
        .then(|| signed_payload(bytes))
        .flatten();
    sha256(payload.as_deref().unwrap_or(bytes))
}

/// What the signatures of a schema 1 manifest cover: its first `formatLength` bytes and
/// `formatTail`, both told in the protected header.
fn signed_payload(bytes: &[u8]) -> Option<Vec<u8>> {
    use base64::Engine as _;
    let base64 = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let json: Value = serde_json::from_slice(bytes).ok()?;
    let protected = base64.decode(json["signatures"][0]["protected"].as_str()?).ok()?;
    let protected: Value = serde_json::from_slice(&protected).ok()?;
    let length = usize::try_from(protected["formatLength"].as_u64()?).ok()?;
    let mut payload = bytes.get(..length)?.to_vec();
    payload.extend(base64.decode(protected["formatTail"].as_str()?).ok()?);
    Some(payload)
}
