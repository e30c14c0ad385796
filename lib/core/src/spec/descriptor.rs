//! Descriptors: a typed, sized, verifiable pointer to bytes (image spec, descriptor.md).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Digest, MediaType, Platform};

/// Pointer to some bytes: what they are, how many, and their digest. Written in Go's order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the bytes are.
    pub media_type: MediaType,
    /// The digest of the bytes as stored or sent.
    pub digest: Digest,
    /// Their number.
    pub size: u64,
    /// Other places they may be had from (foreign layers).
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "super::json::nulls_in_list"
    )]
    pub urls: Vec<String>,
    /// Free-form notes.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "super::json::nulls_in_map"
    )]
    pub annotations: BTreeMap<String, String>,
    /// The bytes themselves in base64, when they are small.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// Where the image runs (only in an index).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// What kind of artifact the manifest holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

impl Descriptor {
    /// A descriptor with nothing but the three required fields.
    pub fn new(media_type: MediaType, digest: Digest, size: u64) -> Descriptor {
        Descriptor {
            media_type,
            digest,
            size,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            data: None,
            platform: None,
            artifact_type: None,
        }
    }

    /// Describes `bytes` with SHA-256.
    pub fn of(media_type: MediaType, bytes: &[u8]) -> Descriptor {
        Descriptor::new(media_type, Digest::sha256(bytes), bytes.len() as u64)
    }

    /// The name that an OCI layout knows it by (`org.opencontainers.image.ref.name`).
    pub fn ref_name(&self) -> Option<&str> {
        self.annotations.get(REF_NAME).map(String::as_str)
    }

    /// Whether it is BuildKit's attestation beside an image: no image to run, but to be kept with it.
    pub fn is_attestation(&self) -> bool {
        self.annotations
            .get("vnd.docker.reference.type")
            .is_some_and(|kind| kind == "attestation-manifest")
    }

    /// The digest of the image that an attestation is about.
    pub fn attests(&self) -> Option<&str> {
        self.annotations.get(ATTESTS).map(String::as_str)
    }
}

/// The annotation that says what an attestation is about.
pub(super) const ATTESTS: &str = "vnd.docker.reference.digest";

/// The annotation that names an entry of an OCI layout's index.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
