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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::ErrorKind;
    use crate::spec::{Compression, ConfigFields, Dialect, MediaType, edit};

    fn line(text: &str, empty_layer: bool) -> History {
        History { created_by: Some(text.into()), empty_layer, ..History::default() }
    }

    fn config(diff_ids: usize, history: Vec<History>) -> ImageConfig {
        let mut fields = ConfigFields { history, ..ConfigFields::default() };
        fields.rootfs.diff_ids =
            (0..diff_ids).map(|n| DiffId(Digest::sha256(&n.to_le_bytes()))).collect();
        ImageConfig::new(fields).unwrap()
    }

    fn manifest(config: &ImageConfig, layers: usize) -> Manifest {
        let layers: Vec<Descriptor> = (0..layers)
            .map(|n| {
                let media_type = MediaType::layer(Dialect::Oci, Compression::Gzip);
                Descriptor::of(media_type, format!("layer {n}").as_bytes())
            })
            .collect();
        let config = config.descriptor(Dialect::Oci);
        edit::new_image(Dialect::Oci, &config, &layers, &BTreeMap::new()).unwrap()
    }

    #[test]
    fn layers_and_diff_ids_go_together() {
        let config = config(2, Vec::new());
        let image = Image::new(manifest(&config, 2), config.clone()).unwrap();
        let layer = &image.layers()[1];
        assert_eq!(layer.descriptor.digest, Digest::sha256(b"layer 1"));
        assert_eq!(layer.diff_id, config.fields().rootfs.diff_ids[1]);
        assert_eq!(image.chain_ids()[1], image.chain_ids()[0].push(&layer.diff_id));
        assert_eq!(image.id(), config.digest());
        for layers in [1, 3] {
            let error = Image::new(manifest(&config, layers), config.clone()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            let message = format!("has {layers} layers but its config has 2 diff IDs");
            assert!(error.to_string().ends_with(&message), "{error}");
        }
    }

    #[test]
    fn another_image_s_config_is_refused() {
        let (ours, theirs) = (config(1, Vec::new()), config(2, Vec::new()));
        let error = Image::new(manifest(&ours, 1), theirs).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn artifacts_and_indexes_are_no_images() {
        let blob = Descriptor::of(MediaType::Empty, b"{}");
        let artifact = edit::new_image(Dialect::Oci, &blob, &[], &BTreeMap::new()).unwrap();
        let index = edit::new_index(Dialect::Oci, &[], &BTreeMap::new()).unwrap();
        for manifest in [artifact, index] {
            let error = Image::new(manifest, config(0, Vec::new())).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        }
    }

    #[test]
    fn history_lines_find_their_layers() {
        let show = |layers: usize, lines: &[(&str, bool)]| {
            let history = lines.iter().map(|(text, empty)| line(text, *empty)).collect();
            let config = config(layers, history);
            let image = Image::new(manifest(&config, layers), config).unwrap();
            let steps = image.steps().into_iter().map(|step| {
                let text = step.history.and_then(|line| line.created_by.clone());
                format!(
                    "{}{}",
                    text.unwrap_or("?".into()),
                    step.layer.map_or("-".into(), |n| n.to_string())
                )
            });
            steps.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(show(2, &[("a", false), ("b", true), ("c", false), ("d", true)]), "a0 b- c1 d-");
        assert_eq!(show(3, &[("a", false)]), "a0 ?1 ?2");
        assert_eq!(show(1, &[("a", false), ("b", false)]), "a0 b-");
    }
}
