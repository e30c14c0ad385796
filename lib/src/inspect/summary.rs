//! One image on one screen.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{choose, image};
use crate::error::Result;
use crate::spec::{Descriptor, DiffId, Digest, Image, Manifest, MediaType, Platform};
use crate::transport::Source;

/// What a name stands for.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Digest of what the name stands for: of the index, if it is one.
    pub digest: Digest,
    /// What that is.
    pub media_type: MediaType,
    /// The entries of the index, if it is one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<Entry>,
    /// The image for the platform that was asked for; `None` for an artifact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageSummary>,
    /// What an artifact is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Annotations of the root.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// One entry of an index.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Digest of the manifest.
    pub digest: Digest,
    /// Its platform, if the index tells.
    pub platform: Option<String>,
    /// It is an attestation about another entry.
    pub attestation: bool,
}

/// One image.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageSummary {
    /// Digest of its manifest.
    pub digest: Digest,
    /// Digest of its config: the image ID.
    pub id: Digest,
    /// Where it runs.
    pub platform: Platform,
    /// When it was made.
    pub created: Option<String>,
    /// Compressed bytes of all layers.
    pub size: u64,
    /// The layers, lowest first.
    pub layers: Vec<LayerSummary>,
    /// The history, oldest first.
    pub history: Vec<StepSummary>,
    /// The `config` part of the config: environment, command and the like, as it is.
    pub config: serde_json::Value,
    /// Name of the image it was built on, if annotations tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_name: Option<String>,
    /// Digest of that image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_digest: Option<String>,
}

/// One layer.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerSummary {
    /// Digest of the blob.
    pub digest: Digest,
    /// Digest of the tar stream inside.
    pub diff_id: DiffId,
    /// What the blob is.
    pub media_type: MediaType,
    /// Compressed bytes.
    pub size: u64,
    /// The history line that made it.
    pub created_by: Option<String>,
}

/// One line of the history.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepSummary {
    /// When.
    pub created: Option<String>,
    /// By what.
    pub created_by: Option<String>,
    /// A remark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Digest of the layer that it made, if it made one.
    pub layer: Option<Digest>,
    /// Compressed bytes of that layer.
    pub size: u64,
}

/// Describes what the source's name stands for, and the image for `platform`.
pub async fn summary<S: Source>(source: &S, platform: &Platform) -> Result<Summary> {
    let root = source.read_root().await?;
    let entries = root.as_index().map(|index| index.manifests.iter().map(entry).collect());
    let chosen = choose(source, &root, platform).await?;
    let is_image = chosen.as_image().is_some_and(crate::spec::ImageManifest::is_image);
    let artifact_type = chosen.as_image().filter(|_| !is_image).map(|artifact| {
        artifact.artifact_type.clone().unwrap_or_else(|| artifact.config.media_type.to_string())
    });
    let described = match is_image {
        true => Some(image_summary(&image(source, chosen).await?)),
        false => None,
    };
    Ok(Summary {
        digest: root.digest().clone(),
        media_type: root.media_type().clone(),
        entries: entries.unwrap_or_default(),
        image: described,
        artifact_type,
        annotations: annotations(&root).clone(),
    })
}

fn entry(descriptor: &Descriptor) -> Entry {
    Entry {
        digest: descriptor.digest.clone(),
        platform: descriptor.platform.as_ref().map(Platform::to_string),
        attestation: descriptor.is_attestation(),
    }
}

fn annotations(manifest: &Manifest) -> &BTreeMap<String, String> {
    static NONE: BTreeMap<String, String> = BTreeMap::new();
    match (manifest.as_image(), manifest.as_index()) {
        (Some(image), _) => &image.annotations,
        (_, Some(index)) => &index.annotations,
        _ => &NONE,
    }
}

fn image_summary(image: &Image) -> ImageSummary {
    let created_by: BTreeMap<usize, Option<String>> = image
        .steps()
        .into_iter()
        .filter_map(|step| {
            Some((step.layer?, step.history.and_then(|line| line.created_by.clone())))
        })
        .collect();
    let layers: Vec<LayerSummary> = image
        .layers()
        .iter()
        .enumerate()
        .map(|(position, layer)| LayerSummary {
            digest: layer.descriptor.digest.clone(),
            diff_id: layer.diff_id.clone(),
            media_type: layer.descriptor.media_type.clone(),
            size: layer.descriptor.size,
            created_by: created_by.get(&position).cloned().flatten(),
        })
        .collect();
    let history = image.steps().into_iter().map(|step| step_summary(&step, &layers)).collect();
    let fields = image.config().fields();
    let notes = annotations(image.manifest());
    let note = |key: &str| notes.get(&format!("org.opencontainers.image.base.{key}")).cloned();
    ImageSummary {
        digest: image.manifest().digest().clone(),
        id: image.id().clone(),
        platform: image.platform(),
        created: fields.created.clone(),
        size: layers.iter().map(|layer| layer.size).sum(),
        history,
        config: image.config().document().get("config").cloned().unwrap_or_default(),
        base_name: note("name"),
        base_digest: note("digest"),
        layers,
    }
}

fn step_summary(step: &crate::spec::Step<'_>, layers: &[LayerSummary]) -> StepSummary {
    let layer = step.layer.and_then(|position| layers.get(position));
    StepSummary {
        created: step.history.and_then(|line| line.created.clone()),
        created_by: step.history.and_then(|line| line.created_by.clone()),
        comment: step.history.and_then(|line| line.comment.clone()),
        layer: layer.map(|layer| layer.digest.clone()),
        size: layer.map_or(0, |layer| layer.size),
    }
}
