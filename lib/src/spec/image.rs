//! An image: its manifest and its config, checked against each other.
//!
//! Promise: an [`Image`] has as many diff IDs as layers, and its config is the one that its manifest
//! names. Artifacts stop at [`Manifest`]. Does not know where either came from.

use super::{
    ChainId, Descriptor, DiffId, Digest, History, ImageConfig, ImageManifest, Manifest, Platform,
};
use crate::error::{Error, Result};

/// One image for one platform.
#[derive(Clone, Debug)]
pub struct Image {
    manifest: Manifest,
    config: ImageConfig,
    layers: Vec<Layer>,
}

/// One layer: its bytes as distributed, and their meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The blob.
    pub descriptor: Descriptor,
    /// The digest of the tar stream inside.
    pub diff_id: DiffId,
}

/// One line of an image's past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step<'a> {
    /// What the config tells of it; some builders leave lines out.
    pub history: Option<&'a History>,
    /// The layer that it made, counted from the lowest.
    pub layer: Option<usize>,
}

impl Image {
    /// Brings a manifest and its config together.
    ///
    /// # Errors
    /// [`Corrupt`](crate::ErrorKind::Corrupt) if it is another image's config,
    /// [`Invalid`](crate::ErrorKind::Invalid) if the numbers of layers and diff IDs differ,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for an index, schema 1 or an artifact.
    pub fn new(manifest: Manifest, config: ImageConfig) -> Result<Image> {
        let body = image_of(&manifest)?;
        if body.config.digest != *config.digest() {
            return Err(Error::corrupt(format!(
                "manifest {} names the config {}, not {}",
                manifest.digest(),
                body.config.digest,
                config.digest()
            )));
        }
        let diff_ids = &config.fields().rootfs.diff_ids;
        if body.layers.len() != diff_ids.len() {
            return Err(Error::invalid(format!(
                "image {} has {} layers but its config has {} diff IDs",
                manifest.digest(),
                body.layers.len(),
                diff_ids.len()
            )));
        }
        let layers = body
            .layers
            .iter()
            .zip(diff_ids)
            .map(|(descriptor, diff_id)| Layer {
                descriptor: descriptor.clone(),
                diff_id: diff_id.clone(),
            })
            .collect();
        Ok(Image { manifest, config, layers })
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The config.
    pub fn config(&self) -> &ImageConfig {
        &self.config
    }

    /// The layers, lowest first.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Docker's image ID: the digest of the config.
    pub fn id(&self) -> &Digest {
        self.config.digest()
    }

    /// The machine that it is for.
    pub fn platform(&self) -> Platform {
        self.config.platform()
    }

    /// The chain ID after each layer, lowest first.
    pub fn chain_ids(&self) -> Vec<ChainId> {
        ChainId::of_stack(&self.config.fields().rootfs.diff_ids)
    }

    /// The history, oldest first, with the layer of each line.
    ///
    /// Lines and layers are matched from the lowest. A layer without a line comes last, a line
    /// without a layer has none; both happen.
    pub fn steps(&self) -> Vec<Step<'_>> {
        let mut layers = 0..self.layers.len();
        let mut steps: Vec<Step<'_>> = self
            .config
            .fields()
            .history
            .iter()
            .map(|history| Step {
                history: Some(history),
                layer: if history.empty_layer { None } else { layers.next() },
            })
            .collect();
        steps.extend(layers.map(|layer| Step { history: None, layer: Some(layer) }));
        steps
    }
}

fn image_of(manifest: &Manifest) -> Result<&ImageManifest> {
    let body = manifest.as_image().ok_or_else(|| {
        Error::unsupported(format!(
            "{} is a {}, not the manifest of one image",
            manifest.digest(),
            manifest.media_type()
        ))
    })?;
    if body.is_image() {
        return Ok(body);
    }
    let kind = body.artifact_type.clone().unwrap_or_else(|| body.config.media_type.to_string());
    Err(Error::unsupported(format!("{} is an artifact ({kind}), not an image", manifest.digest())))
}
