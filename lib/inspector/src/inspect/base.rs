//! The image that an image was built on.

use serde::Serialize;

use super::{choose, image};
use crate::error::Result;
use crate::spec::{Digest, Image};
use crate::transport::Source;

/// What an image tells of its base.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Base {
    /// `org.opencontainers.image.base.name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `org.opencontainers.image.base.digest`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// How an image stands to what its base is now.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Freshness {
    /// Digest of what the base's name stands for now.
    pub current: Digest,
    /// Digest of the image for the platform there.
    pub current_image: Digest,
    /// Whether the image's lowest layers are those of that image.
    pub up_to_date: bool,
}

/// What annotations, or else labels, tell of the base.
pub fn base(image: &Image) -> Base {
    let notes = super::summary::annotations(image.manifest());
    let labels = image.config().document().pointer("/config/Labels");
    let find = |key: &str| {
        let key = format!("org.opencontainers.image.base.{key}");
        let label = || labels?.get(&key)?.as_str().map(str::to_owned);
        notes.get(&key).cloned().or_else(label).filter(|text| !text.is_empty())
    };
    Base { name: find("name"), digest: find("digest") }
}

/// Compares an image with what its base is now, at `source`: layer by layer, so that a base that was
/// tagged anew without a change counts as the same.
pub async fn freshness<S: Source>(top: &Image, source: &S) -> Result<Freshness> {
    let root = source.read_root().await?;
    let chosen = choose(source, &root, &top.platform()).await?;
    let current_image = chosen.digest().clone();
    let below = image(source, chosen).await?;
    let lower = below.layers().iter().map(|layer| &layer.diff_id);
    let begins = top.layers().iter().map(|layer| &layer.diff_id).take(below.layers().len());
    Ok(Freshness { current: root.digest().clone(), current_image, up_to_date: lower.eq(begins) })
}
