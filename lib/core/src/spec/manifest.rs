//! Manifests and indexes: raw bytes beside their reading.
//!
//! The digest is of the raw bytes; nothing here writes a manifest anew except the edits in
//! `edit.rs`. A document that could be read in two ways (CVE-2021-41190) is refused.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::json::{null_is_default, nulls_in_map, parse_strict, refuse_case_variants};
use super::{Algorithm, Compression, Descriptor, Dialect, Digest, MediaType, Schema1};
use crate::error::{Error, ErrorKind, Result};

/// Largest manifest or index that is read (registries' common limit).
pub const MAX_MANIFEST: u64 = 4 << 20;
/// Most layers of one image: what overlayfs can stack.
pub const MAX_LAYERS: usize = 500;
/// Deepest nesting of indexes.
pub const MAX_INDEX_DEPTH: usize = 4;

/// A manifest of any kind: its bytes, their digest, and what they say.
#[derive(Clone, Debug)]
pub struct Manifest {
    raw: Bytes,
    media_type: MediaType,
    digest: Digest,
    body: Body,
}

/// What a manifest says.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // Few exist at a time, and most are images.
pub enum Body {
    /// One image or artifact.
    Image(ImageManifest),
    /// A list of manifests.
    Index(Index),
    /// Docker's old form, to be converted.
    Schema1(Schema1),
}

/// One image or artifact (image spec manifest.md; Docker schema 2).
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageManifest {
    /// The configuration.
    pub config: Descriptor,
    /// The layers, lowest first.
    #[serde(default, deserialize_with = "null_is_default")]
    pub layers: Vec<Descriptor>,
    /// The manifest that this one is about.
    #[serde(default)]
    pub subject: Option<Descriptor>,
    /// What an artifact is, when it is no image.
    #[serde(default)]
    pub artifact_type: Option<String>,
    /// Free-form notes.
    #[serde(default, deserialize_with = "nulls_in_map")]
    pub annotations: BTreeMap<String, String>,
}

impl ImageManifest {
    /// Whether it holds a file system to run, and not some artifact.
    ///
    /// Old registries gave configs a wrong type (distribution issue 1621); with nothing but layers
    /// beside them they are configs all the same.
    pub fn is_image(&self) -> bool {
        match &self.config.media_type {
            MediaType::Config(_) => true,
            MediaType::Other(text) => {
                MISTAKEN_CONFIGS.contains(&text.as_str())
                    && self.artifact_type.is_none()
                    && !self.layers.is_empty()
                    && self.layers.iter().all(|layer| layer.media_type.as_layer().is_some())
            }
            _ => false,
        }
    }
}

/// Types that images' configs were stored with by mistake.
const MISTAKEN_CONFIGS: &[&str] =
    &["", "application/octet-stream", "application/json", "text/html"];

/// A list of manifests (image spec image-index.md; Docker manifest list).
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// The entries in order.
    #[serde(default, deserialize_with = "null_is_default")]
    pub manifests: Vec<Descriptor>,
    /// The manifest that this index is about.
    #[serde(default)]
    pub subject: Option<Descriptor>,
    /// What an artifact is.
    #[serde(default)]
    pub artifact_type: Option<String>,
    /// Free-form notes.
    #[serde(default, deserialize_with = "nulls_in_map")]
    pub annotations: BTreeMap<String, String>,
}

const KNOWN_KEYS: &[&str] = &[
    "schemaVersion",
    "mediaType",
    "config",
    "layers",
    "manifests",
    "subject",
    "artifactType",
    "annotations",
    "fsLayers",
    "history",
    "signatures",
    "architecture",
];
const DESCRIPTOR_KEYS: &[&str] =
    &["mediaType", "digest", "size", "urls", "annotations", "data", "platform", "artifactType"];
const PLATFORM_KEYS: &[&str] =
    &["architecture", "os", "os.version", "os.features", "variant", "features"];

impl Manifest {
    /// Reads `raw`. `declared` is what its descriptor or `Content-Type` called it; where it names a
    /// manifest type it must agree with the document.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for what breaks the format or can be read in two ways,
    /// [`ErrorKind::Unsupported`] for documents that are no manifest known here.
    pub fn parse(raw: Bytes, declared: Option<&MediaType>) -> Result<Manifest> {
        Manifest::parse_with(raw, declared, Algorithm::Sha256)
    }

    /// [`Manifest::parse`] with the digest computed by `algorithm`.
    pub fn parse_with(
        raw: Bytes,
        declared: Option<&MediaType>,
        algorithm: Algorithm,
    ) -> Result<Manifest> {
        if raw.len() as u64 > MAX_MANIFEST {
            return Err(Error::invalid(format!(
                "manifest of {} bytes is larger than the limit of {MAX_MANIFEST}",
                raw.len()
            )));
        }
        let value = parse_strict(&raw, "manifest")?;
        refuse_ambiguous_keys(&value)?;
        let media_type = agree(&value, declared)?;
        let (digest, body) = match &media_type {
            MediaType::Schema1(_) => {
                let schema1 = Schema1::parse(&raw, &value)?;
                (schema1.digest().clone(), Body::Schema1(schema1))
            }
            MediaType::Index(_) => {
                (Digest::compute(algorithm, &raw), Body::Index(read_index(value)?))
            }
            _ => (Digest::compute(algorithm, &raw), Body::Image(read_image(value)?)),
        };
        Ok(Manifest { raw, media_type, digest, body })
    }

    /// Reads bytes that `descriptor` points to, after checking size and digest.
    pub fn verified(raw: Bytes, descriptor: &Descriptor) -> Result<Manifest> {
        if raw.len() as u64 != descriptor.size {
            return Err(Error::corrupt(format!(
                "manifest {}: expected {} bytes, found {}",
                descriptor.digest,
                descriptor.size,
                raw.len()
            )));
        }
        let manifest =
            Manifest::parse_with(raw, Some(&descriptor.media_type), descriptor.digest.algorithm())
                .map_err(|error| {
                    error.while_doing(format!("reading manifest {}", descriptor.digest))
                });
        // Bytes that do not match are damaged, whatever they look like.
        match manifest {
            Ok(manifest) if manifest.digest == descriptor.digest => Ok(manifest),
            Ok(manifest) => Err(mismatch(&descriptor.digest, &manifest.digest)),
            Err(error) => Err(error),
        }
    }

    /// The bytes as they were received.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// What it is.
    pub fn media_type(&self) -> &MediaType {
        &self.media_type
    }

    /// Digest of the raw bytes (schema 1: of the signed payload).
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Whether `digest`, of whatever algorithm, is that of these bytes.
    pub fn has_digest(&self, digest: &Digest) -> bool {
        self.digest == *digest
            || (self.digest.algorithm() != digest.algorithm() && digest.matches(&self.raw))
    }

    /// The same, named by another algorithm.
    pub fn named_by(&self, algorithm: Algorithm) -> Manifest {
        match self.digest.algorithm() == algorithm {
            true => self.clone(),
            false => Manifest { digest: Digest::compute(algorithm, &self.raw), ..self.clone() },
        }
    }

    /// What it says.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// The image, if it is one.
    pub fn as_image(&self) -> Option<&ImageManifest> {
        match &self.body {
            Body::Image(image) => Some(image),
            _ => None,
        }
    }

    /// The index, if it is one.
    pub fn as_index(&self) -> Option<&Index> {
        match &self.body {
            Body::Index(index) => Some(index),
            _ => None,
        }
    }

    /// The manifest that this one is about, if any.
    pub fn subject(&self) -> Option<&Descriptor> {
        match &self.body {
            Body::Image(image) => image.subject.as_ref(),
            Body::Index(index) => index.subject.as_ref(),
            Body::Schema1(_) => None,
        }
    }

    /// A descriptor of these bytes.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(self.media_type.clone(), self.digest.clone(), self.raw.len() as u64)
    }

    /// Everything it refers to: manifests of an index; config, then layers of an image.
    pub fn children(&self) -> Vec<&Descriptor> {
        match &self.body {
            Body::Image(image) => std::iter::once(&image.config).chain(&image.layers).collect(),
            Body::Index(index) => index.manifests.iter().collect(),
            Body::Schema1(_) => Vec::new(),
        }
    }
}

/// Go matches keys without regard to case, here and in every descriptor.
fn refuse_ambiguous_keys(manifest: &Value) -> Result<()> {
    const WHAT: &str = "manifest";
    refuse_case_variants(manifest, KNOWN_KEYS, WHAT)?;
    let single = ["config", "subject"].into_iter().filter_map(|key| manifest.get(key));
    let lists = ["layers", "manifests"].into_iter().filter_map(|key| manifest.get(key)?.as_array());
    for descriptor in single.chain(lists.flatten()) {
        refuse_case_variants(descriptor, DESCRIPTOR_KEYS, WHAT)?;
        if let Some(platform) = descriptor.get("platform") {
            refuse_case_variants(platform, PLATFORM_KEYS, WHAT)?;
        }
    }
    Ok(())
}

fn mismatch(expected: &Digest, found: &Digest) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!("manifest {expected} has other bytes: their digest is {found}"),
    )
}

/// Brings together what the document and its surroundings call it.
fn agree(value: &Value, declared: Option<&MediaType>) -> Result<MediaType> {
    let inside = match value.get("mediaType") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) if text.is_empty() => None,
        Some(Value::String(text)) => Some(MediaType::parse(text)),
        Some(_) => return Err(Error::invalid("manifest has a mediaType that is no text")),
    };
    let shape = shape(value)?;
    let declared = declared.filter(|media_type| media_type.is_manifest());
    let media_type = match (&inside, declared) {
        (Some(inside), Some(declared)) if inside != declared => {
            return Err(Error::invalid(format!(
                "manifest calls itself {inside} but was announced as {declared}"
            )));
        }
        (Some(inside), _) => inside.clone(),
        (None, Some(declared)) => declared.clone(),
        (None, None) => guess(value, shape),
    };
    let fits = match shape {
        Shape::Index => media_type.is_index(),
        Shape::Image => matches!(media_type, MediaType::Manifest(_)),
        Shape::Schema1 => matches!(media_type, MediaType::Schema1(_)),
    };
    if fits {
        Ok(media_type)
    } else if media_type.is_manifest() {
        Err(Error::invalid(format!(
            "manifest is called {media_type} but has the fields of another kind"
        )))
    } else {
        Err(Error::unsupported(format!("manifests of type {media_type} are not supported")))
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Shape {
    Image,
    Index,
    Schema1,
}

/// Which kind of document the fields make, if they make exactly one.
fn shape(value: &Value) -> Result<Shape> {
    if !value.is_object() {
        return Err(Error::invalid("manifest is no JSON object"));
    }
    let has = |key: &str| value.get(key).is_some();
    let version = value.get("schemaVersion").and_then(Value::as_u64);
    let kinds = [
        (Shape::Image, has("config") || has("layers")),
        (Shape::Index, has("manifests")),
        (Shape::Schema1, has("fsLayers") || has("history") || has("signatures")),
    ];
    let mut found = kinds.iter().filter(|(_, present)| *present).map(|(shape, _)| *shape);
    match (found.next(), found.next(), version) {
        (Some(Shape::Schema1), None, Some(1)) => Ok(Shape::Schema1),
        (Some(shape @ (Shape::Image | Shape::Index)), None, Some(2)) => Ok(shape),
        (Some(_), Some(_), _) => Err(Error::invalid(
            "manifest has fields of two kinds at once, so programs could read it differently",
        )),
        (Some(_), None, _) => {
            Err(Error::invalid("manifest has the wrong schemaVersion for its fields"))
        }
        (None, ..) => Err(Error::unsupported("this is neither an image manifest nor an index")),
    }
}

/// The type of a document that nobody named.
fn guess(value: &Value, shape: Shape) -> MediaType {
    let type_at = |value: Option<&Value>| {
        value.and_then(|v| v.get("mediaType")).and_then(Value::as_str).map(MediaType::parse)
    };
    match shape {
        Shape::Schema1 => MediaType::Schema1(value.get("signatures").is_some()),
        Shape::Image => match type_at(value.get("config")) {
            Some(MediaType::Config(dialect)) => MediaType::Manifest(dialect),
            _ => MediaType::Manifest(Dialect::Oci),
        },
        Shape::Index => {
            let first = value.get("manifests").and_then(|list| list.get(0));
            match type_at(first) {
                Some(MediaType::Manifest(dialect)) => MediaType::Index(dialect),
                _ => MediaType::Index(Dialect::Oci),
            }
        }
    }
}

fn read_image(value: Value) -> Result<ImageManifest> {
    let image: ImageManifest = serde_json::from_value(value)
        .map_err(|error| Error::caused(ErrorKind::Invalid, "manifest breaks its format", error))?;
    if image.layers.len() > MAX_LAYERS {
        return Err(Error::invalid(format!(
            "manifest has {} layers, more than the limit of {MAX_LAYERS}",
            image.layers.len()
        )));
    }
    for child in std::iter::once(&image.config).chain(&image.layers) {
        check_data(child)?;
    }
    Ok(image)
}

fn read_index(value: Value) -> Result<Index> {
    let index: Index = serde_json::from_value(value)
        .map_err(|error| Error::caused(ErrorKind::Invalid, "index breaks its format", error))?;
    index.manifests.iter().try_for_each(check_data)?;
    Ok(index)
}

/// Inline bytes must be what the descriptor says: somebody else may use them instead of fetching.
fn check_data(descriptor: &Descriptor) -> Result<()> {
    use base64::Engine as _;
    let Some(text) = &descriptor.data else { return Ok(()) };
    let right = base64::engine::general_purpose::STANDARD.decode(text).is_ok_and(|bytes| {
        bytes.len() as u64 == descriptor.size && descriptor.digest.matches(&bytes)
    });
    if right {
        Ok(())
    } else {
        Err(Error::corrupt(format!(
            "the data held inline for {} does not match it",
            descriptor.digest
        )))
    }
}

/// The compression that a layer's type claims; bytes decide when they disagree.
pub fn claimed_compression(descriptor: &Descriptor) -> Option<Compression> {
    descriptor.media_type.as_layer().map(|layer| layer.compression)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
