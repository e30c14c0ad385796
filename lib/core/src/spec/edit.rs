//! Edits of manifests: functions from value to value.
//!
//! Each works on the JSON as it came, so that unknown fields and the order of all fields survive,
//! and returns the very same bytes when there is nothing to change. The digest of a result is
//! computed with the algorithm of what it was made from. What the image runs is edited by
//! [`ImageConfig::with`](super::ImageConfig::with).

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Map, Value, json};

use super::json::{parse_strict, rewrite, to_go_bytes};
use super::{
    Body, Compression, Descriptor, Dialect, Digest, ImageManifest, LayerType, Manifest, MediaType,
};
use crate::error::{Error, Result};

/// Marks entries of an index whose layers are zstd, so that clients that can choose take them.
pub const ZSTD_ENTRY: &str = "io.github.containers.compression.zstd";

/// Annotations that describe the compressed bytes of a layer: tables of contents of eStargz,
/// nydus, overlaybd and zstd:chunked.
const TIED_TO_BYTES: &[&str] =
    &["containerd.io/snapshot/", "io.containers.estargz.", "io.github.containers.zstd-chunked."];

/// Writes the manifest of one image.
pub fn new_image(
    dialect: Dialect,
    config: &Descriptor,
    layers: &[Descriptor],
    annotations: &BTreeMap<String, String>,
) -> Result<Manifest> {
    let media_type = MediaType::Manifest(dialect);
    let mut value = json!({
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": config,
        "layers": layers,
    });
    if !annotations.is_empty() {
        value["annotations"] = json!(annotations);
    }
    Manifest::parse(to_go_bytes(&value)?.into(), Some(&media_type))
}

/// Writes an index (Docker: a manifest list).
pub fn new_index(
    dialect: Dialect,
    entries: &[Descriptor],
    annotations: &BTreeMap<String, String>,
) -> Result<Manifest> {
    let media_type = MediaType::Index(dialect);
    let mut value = json!({
        "schemaVersion": 2,
        "mediaType": media_type,
        "manifests": entries,
    });
    if !annotations.is_empty() {
        value["annotations"] = json!(annotations);
    }
    Manifest::parse(to_go_bytes(&value)?.into(), Some(&media_type))
}

/// An index with only those entries that `keep` wants.
///
/// BuildKit's attestations are not asked for: each stays with the entry that it is about and goes
/// with it.
///
/// # Errors
/// [`NotFound`](crate::ErrorKind::NotFound) if no entry is left.
pub fn keep_entries(
    index: &Manifest,
    mut keep: impl FnMut(&Descriptor) -> bool,
) -> Result<Manifest> {
    let entries = &index.as_index().ok_or_else(|| not_editable(index))?.manifests;
    let images: Vec<bool> =
        entries.iter().map(|entry| !entry.is_attestation() && keep(entry)).collect();
    let kept: HashSet<String> = entries
        .iter()
        .zip(&images)
        .filter(|(_, kept)| **kept)
        .map(|(entry, _)| entry.digest.to_string())
        .collect();
    if kept.is_empty() {
        return Err(Error::not_found(format!(
            "none of the {} entries of index {} is wanted",
            entries.len(),
            index.digest()
        )));
    }
    let mut stays = entries.iter().zip(images).map(|(entry, image)| {
        image
            || (entry.is_attestation() && entry.attests().is_some_and(|about| kept.contains(about)))
    });
    let mut document = Document::of(index)?;
    document.list("manifests")?.retain(|_| stays.next().unwrap_or(false));
    document.write()
}

/// The manifest with other children: entries of an index; config, then layers of an image.
///
/// `children` has one descriptor for each of [`Manifest::children`], in that order. Where the
/// digest differs, inline data and URLs that were merely carried over are dropped, and attestations
/// of a replaced entry point to the new one. (The statement inside an attestation goes on naming
/// the old digest.)
pub fn replace_children(manifest: &Manifest, children: &[Descriptor]) -> Result<Manifest> {
    let old = manifest.children();
    if old.len() != children.len() {
        return Err(Error::invalid(format!(
            "manifest {} has {} children, {} were given to replace them",
            manifest.digest(),
            old.len(),
            children.len()
        )));
    }
    let moved: HashMap<String, &Digest> = old
        .iter()
        .zip(children)
        .filter(|(old, new)| old.digest != new.digest)
        .map(|(old, new)| (old.digest.to_string(), &new.digest))
        .collect();
    let mut document = Document::of(manifest)?;
    let places = document.children()?;
    for (place, (old, new)) in places.into_iter().zip(old.into_iter().zip(children)) {
        rewrite(place, Some(old), &settled(old, new, &moved))?;
    }
    document.write()
}

/// `new` without what held only for the bytes of `old`.
fn settled(old: &Descriptor, new: &Descriptor, moved: &HashMap<String, &Digest>) -> Descriptor {
    let mut new = new.clone();
    if new.digest != old.digest {
        if new.data == old.data {
            new.data = None;
        }
        if new.urls == old.urls {
            new.urls.clear();
        }
    }
    if let Some(about) = new.annotations.get_mut(super::descriptor::ATTESTS)
        && let Some(digest) = moved.get(about)
    {
        *about = digest.to_string();
    }
    new
}

/// The entry of an index for `manifest`, which takes the place of what `old` pointed to.
///
/// Keeps platform and annotations; the mark of zstd images goes when no layer is zstd any more.
pub fn replaced_entry(old: &Descriptor, manifest: &Manifest) -> Descriptor {
    let mut entry = Descriptor {
        annotations: old.annotations.clone(),
        artifact_type: old.artifact_type.clone(),
        platform: old.platform.clone(),
        ..manifest.descriptor()
    };
    let zstd = |layer: &Descriptor| {
        layer.media_type.as_layer().is_some_and(|layer| layer.compression == Compression::Zstd)
    };
    if let Some(image) = manifest.as_image()
        && !image.layers.iter().any(zstd)
    {
        entry.annotations.remove(ZSTD_ENTRY);
    }
    entry
}

/// The descriptor of `layer` after its tar stream was wrapped anew.
///
/// Annotations that describe the old bytes are dropped, as are URLs and inline data.
///
/// # Errors
/// [`Unsupported`](crate::ErrorKind::Unsupported) for an encrypted layer, for what is no layer, and for zstd in
/// Docker's vocabulary.
pub fn recompressed(
    layer: &Descriptor,
    compression: Compression,
    digest: Digest,
    size: u64,
) -> Result<Descriptor> {
    let kind = layer.media_type.as_layer().filter(|kind| !kind.encrypted).ok_or_else(|| {
        Error::unsupported(format!(
            "{} ({}) cannot be recompressed",
            layer.digest, layer.media_type
        ))
    })?;
    if kind.dialect == Dialect::Docker && compression == Compression::Zstd {
        return Err(no_docker_word(layer));
    }
    let media_type = MediaType::Layer(LayerType { compression, ..kind });
    let annotations = layer
        .annotations
        .iter()
        .filter(|(key, _)| !TIED_TO_BYTES.iter().any(|prefix| key.starts_with(prefix)))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    Ok(Descriptor { annotations, ..Descriptor::new(media_type, digest, size) })
}

/// The manifest in the other vocabulary.
///
/// Of an image, the types of config and layers change with it; their bytes, and so their digests,
/// stay: each vocabulary's config is legal in the other. Of an index only its own type changes: its
/// entries follow through [`replace_children`] once they are converted. Attestations have OCI's form
/// only and may stay as they are.
///
/// Annotations stay in a Docker manifest. The format does not know them, but skopeo 1.9, buildah
/// 1.28 and distribution 2.8 read, store and return such a manifest or list unchanged, also a list
/// with an OCI attestation in it.
///
/// # Errors
/// [`Unsupported`](crate::ErrorKind::Unsupported) for what Docker has no word for: zstd and encrypted layers, artifacts,
/// subjects; and for schema 1.
pub fn convert(manifest: &Manifest, dialect: Dialect) -> Result<Manifest> {
    let (media_type, children) = match manifest.body() {
        Body::Image(image) => (MediaType::Manifest(dialect), translated(image, dialect)?),
        Body::Index(index) => {
            if dialect == Dialect::Docker
                && (index.subject.is_some() || index.artifact_type.is_some())
            {
                return Err(no_docker_artifacts());
            }
            (MediaType::Index(dialect), index.manifests.clone())
        }
        Body::Schema1(_) => return Err(not_editable(manifest)),
    };
    let mut document = Document::of(manifest)?;
    document.media_type(media_type);
    let places = document.children()?;
    for (place, (old, new)) in places.into_iter().zip(manifest.children().into_iter().zip(children))
    {
        rewrite(place, Some(old), &new)?;
    }
    document.write()
}

/// Config and layers with their types in `dialect`.
fn translated(image: &ImageManifest, dialect: Dialect) -> Result<Vec<Descriptor>> {
    let to_docker = dialect == Dialect::Docker;
    let artifact = !image.is_image() || image.artifact_type.is_some() || image.subject.is_some();
    if to_docker && artifact {
        return Err(no_docker_artifacts());
    }
    let mut config = image.config.clone();
    if image.is_image() {
        config.media_type = MediaType::Config(dialect);
    }
    let layers = image.layers.iter().map(|layer| {
        let known = !to_docker || layer.media_type.as_layer().is_some();
        match layer.media_type.in_dialect(dialect).filter(|_| known) {
            Some(media_type) => Ok(Descriptor { media_type, ..layer.clone() }),
            None => Err(no_docker_word(layer)),
        }
    });
    std::iter::once(Ok(config)).chain(layers).collect()
}

fn no_docker_word(layer: &Descriptor) -> Error {
    let cure = match layer.media_type.as_layer() {
        Some(kind) if kind.encrypted => "keep the OCI format, or decrypt it first",
        Some(_) => "keep the OCI format, or compress it with gzip",
        None => "keep the OCI format",
    };
    Error::unsupported(format!(
        "layer {} ({}) cannot be expressed in Docker's format; {cure}",
        layer.digest, layer.media_type
    ))
}

fn no_docker_artifacts() -> Error {
    Error::unsupported("Docker's format has no artifacts and no subjects; keep the OCI format")
}

fn not_editable(manifest: &Manifest) -> Error {
    Error::unsupported(format!(
        "{} is a {}, which cannot be edited this way",
        manifest.digest(),
        manifest.media_type()
    ))
}

/// A manifest's JSON on its way from one value to the next.
struct Document<'a> {
    origin: &'a Manifest,
    media_type: MediaType,
    before: Value,
    after: Value,
}

impl<'a> Document<'a> {
    fn of(origin: &'a Manifest) -> Result<Document<'a>> {
        if matches!(origin.body(), Body::Schema1(_)) {
            return Err(not_editable(origin));
        }
        let before = parse_strict(origin.raw(), "manifest")?;
        let media_type = origin.media_type().clone();
        Ok(Document { origin, media_type, after: before.clone(), before })
    }

    fn object(&mut self) -> Result<&mut Map<String, Value>> {
        self.after.as_object_mut().ok_or_else(|| Error::invalid("manifest is no JSON object"))
    }

    fn list(&mut self, key: &str) -> Result<&mut Vec<Value>> {
        self.object()?
            .get_mut(key)
            .and_then(Value::as_array_mut)
            .ok_or_else(|| Error::invalid(format!("manifest has no list {key:?}")))
    }

    /// The descriptors in the order of [`Manifest::children`].
    fn children(&mut self) -> Result<Vec<&mut Value>> {
        let is_index = self.origin.as_index().is_some();
        let mut config = None;
        let mut list = None;
        for (key, value) in self.object()? {
            match key.as_str() {
                "config" if !is_index => config = Some(value),
                "layers" if !is_index => list = value.as_array_mut(),
                "manifests" if is_index => list = value.as_array_mut(),
                _ => {}
            }
        }
        Ok(config.into_iter().chain(list.into_iter().flatten()).collect())
    }

    /// Sets the type, also inside where the format wants it there.
    fn media_type(&mut self, media_type: MediaType) {
        let inside = self.after.get("mediaType").is_some_and(Value::is_string);
        let text = Value::from(media_type.to_string());
        if inside {
            self.after["mediaType"] = text;
        } else if media_type.dialect() == Some(Dialect::Docker)
            && let Some(object) = self.after.as_object_mut()
        {
            object.shift_remove("mediaType");
            object.shift_insert(object.len().min(1), "mediaType".to_owned(), text);
        }
        self.media_type = media_type;
    }

    fn write(self) -> Result<Manifest> {
        let unchanged = self.after == self.before && self.media_type == *self.origin.media_type();
        if unchanged {
            return Ok(self.origin.clone());
        }
        let algorithm = self.origin.digest().algorithm();
        Manifest::parse_with(to_go_bytes(&self.after)?.into(), Some(&self.media_type), algorithm)
            .map_err(|error| {
                error.while_doing(format!("editing manifest {}", self.origin.digest()))
            })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
