//! Manifests: negotiation when reading, reference checks when writing, deleting.

use serde_json::Value;

use super::super::content::is_digest;
use super::super::http::{Answer, Call, Reply};
use super::fault::Fault;
use super::state::{Manifest, State};
use super::{Inner, reply};

/// Manifests above this are refused with 413.
const LIMIT: usize = 4 << 20;

/// Media types that may be pushed.
const KNOWN: [&str; 7] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.artifact.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
];

impl Inner {
    pub(super) async fn manifest(
        &self,
        call: &mut Call,
        name: &str,
        reference: &str,
        faults: &[Fault],
    ) -> Answer {
        if !is_digest(reference) && !reply::is_tag(reference) {
            return Answer::Reply(reply::error(400, "TAG_INVALID", "neither a tag nor a digest"));
        }
        Answer::Reply(match call.method.as_str() {
            "GET" | "HEAD" => self.read_manifest(call, name, reference),
            "PUT" => {
                let Ok(body) = call.whole(LIMIT).await else { return Answer::Drop };
                self.put_manifest(call, name, reference, body, faults)
            }
            "DELETE" => self.delete_manifest(name, reference),
            _ => reply::unsupported(405),
        })
    }

    fn read_manifest(&self, call: &Call, name: &str, reference: &str) -> Reply {
        let state = self.state.lock().expect("state");
        if !state.repositories.contains_key(name) {
            return reply::name_unknown();
        }
        let Some(manifest) = state.manifest(name, reference).cloned() else {
            return reply::manifest_unknown(reference);
        };
        drop(state);
        if !accepts(call, &manifest.media_type) {
            let why = format!("{} found, but not in the Accept header", manifest.media_type);
            return reply::manifest_unknown(&why);
        }
        let tag = format!("\"{}\"", manifest.digest);
        if call.header("if-none-match").is_some_and(|wanted| wanted == tag) {
            // Without any header, as distribution 2.8: whoever relies on one is found out.
            return Reply::new(304);
        }
        Reply::new(200)
            .header("Docker-Content-Digest", &manifest.digest)
            .header("ETag", tag)
            .header("Content-Type", &manifest.media_type)
            .content(manifest.bytes)
    }

    fn put_manifest(
        &self,
        call: &Call,
        name: &str,
        reference: &str,
        body: Option<Vec<u8>>,
        faults: &[Fault],
    ) -> Reply {
        let Some(body) = body else {
            return reply::error(413, "SIZE_INVALID", "manifest larger than 4 MiB");
        };
        let media_type = call.header("content-type").unwrap_or_default().to_string();
        let manifest = Manifest::new(&media_type, body.into());
        let mut state = self.state.lock().expect("state");
        if let Err(reply) = self.judge(&state, name, &manifest) {
            return reply;
        }
        if is_digest(reference) {
            let content = super::super::content::Content::from(manifest.bytes.clone());
            let matches =
                reference == manifest.digest || content.digest_like(reference) == reference;
            if !matches {
                return reply::error(400, "DIGEST_INVALID", "the body has another digest");
            }
        }
        let subject = manifest.json()["subject"]["digest"].as_str().map(String::from);
        let digest = match is_digest(reference) {
            true => reference.to_string(),
            false => manifest.digest.clone(),
        };
        let mut tags = call.query_all("tag");
        tags.retain(|tag| reply::is_tag(tag));
        let mut reply = self.created(&format!("/v2/{name}/manifests/{digest}"), &digest);
        for tag in &tags {
            reply = reply.header("OCI-Tag", tag);
        }
        if let Some(subject) = subject.filter(|_| self.options.referrers) {
            reply = reply.header("OCI-Subject", subject);
        }
        if !faults.iter().any(|fault| matches!(fault, Fault::Forget)) {
            let repository = state.repository(name);
            repository.manifests.insert(digest.clone(), manifest);
            tags.extend((!is_digest(reference)).then(|| reference.to_string()));
            repository.tags.extend(tags.into_iter().map(|tag| (tag, digest.clone())));
        }
        reply
    }

    /// Is it a manifest, and is everything here that it refers to?
    fn judge(&self, state: &State, name: &str, manifest: &Manifest) -> Result<(), Reply> {
        let invalid = |why: &str| Err(reply::error(400, "MANIFEST_INVALID", why));
        if !KNOWN.contains(&manifest.media_type.as_str()) {
            return invalid(&format!("unknown media type {:?}", manifest.media_type));
        }
        let json = manifest.json();
        if !json.is_object() {
            return invalid("not a JSON object");
        }
        if json["mediaType"].as_str().is_some_and(|inside| inside != manifest.media_type) {
            return invalid("mediaType differs from Content-Type");
        }
        let empty = Vec::new();
        let list = |field: &str| json[field].as_array().unwrap_or(&empty).iter();
        let blobs = json.get("config").into_iter().chain(list("layers")).chain(list("blobs"));
        for descriptor in blobs {
            let foreign = descriptor["urls"].as_array().is_some_and(|urls| !urls.is_empty());
            let digest = descriptor["digest"].as_str().unwrap_or_default();
            match state.blob(name, digest) {
                Some(content) if Some(content.size()) != descriptor["size"].as_u64() => {
                    return Err(reply::error(400, "SIZE_INVALID", &format!("size of {digest}")));
                }
                None if !foreign => return Err(unknown_reference(digest)),
                _ => {}
            }
        }
        for descriptor in list("fsLayers") {
            let digest = descriptor["blobSum"].as_str().unwrap_or_default();
            if state.blob(name, digest).is_none() {
                return Err(unknown_reference(digest));
            }
        }
        for descriptor in list("manifests").filter(|_| !self.options.sparse_indexes) {
            self.judge_child(state, name, descriptor)?;
        }
        Ok(())
    }

    fn judge_child(&self, state: &State, name: &str, descriptor: &Value) -> Result<(), Reply> {
        let digest = descriptor["digest"].as_str().unwrap_or_default();
        match state.manifest(name, digest) {
            None => Err(unknown_reference(digest)),
            Some(child) if Some(child.bytes.len() as u64) != descriptor["size"].as_u64() => {
                Err(reply::error(400, "SIZE_INVALID", &format!("size of {digest}")))
            }
            Some(_) => Ok(()),
        }
    }

    fn delete_manifest(&self, name: &str, reference: &str) -> Reply {
        if !self.options.delete {
            return reply::unsupported(405);
        }
        let mut state = self.state.lock().expect("state");
        let Some(repository) = state.repositories.get_mut(name) else {
            return reply::name_unknown();
        };
        if is_digest(reference) {
            if repository.manifests.remove(reference).is_none() {
                return reply::manifest_unknown(reference);
            }
            repository.tags.retain(|_, digest| digest != reference);
            return Reply::new(202);
        }
        if let Some(status) = self.options.tag_delete_refused {
            return reply::unsupported(status);
        }
        match repository.tags.remove(reference) {
            Some(_) => Reply::new(202),
            None => reply::manifest_unknown(reference),
        }
    }
}

fn unknown_reference(digest: &str) -> Reply {
    let mut body = reply::error_body("MANIFEST_BLOB_UNKNOWN", "blob unknown to registry");
    body["errors"][0]["detail"] = serde_json::json!({"digest": digest});
    Reply::new(404).json(&body)
}

/// Does an Accept header (if there is one) allow this media type?
fn accepts(call: &Call, media_type: &str) -> bool {
    let headers: Vec<&str> =
        call.headers.get_all("accept").iter().filter_map(|value| value.to_str().ok()).collect();
    if headers.is_empty() {
        return true;
    }
    headers.iter().flat_map(|value| value.split(',')).any(|range| {
        let range = range.split(';').next().unwrap_or_default().trim();
        matches!(range, "*/*" | "application/*") || range == media_type
    })
}
