//! What comes out: config, manifest and names.

use std::io::Cursor;

use super::super::image::{Draft, Layer, without_history};
use super::Builder;
use crate::blob::Decoder;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::spec::{Descriptor, Digest};
use crate::store::{Holding, Role, StoreName};

impl Builder<'_> {
    /// Writes config and manifest, and names the image.
    pub(super) fn publish(&self, mut draft: Draft) -> Result<(Digest, Digest, Vec<String>)> {
        draft.config.config.labels.extend(self.options.labels.iter().cloned());
        let epoch = self.epoch_text()?;
        let mut config = draft.finish(epoch.as_deref())?;
        if self.options.omit_history {
            config = without_history(&config)?;
        }
        let dialect = self.options.dialect;
        for layer in &mut draft.layers {
            if layer.descriptor.media_type.in_dialect(dialect).is_none() {
                *layer = self.uncompressed(layer)?;
            }
        }
        let manifest = draft.manifest(&config, dialect, &self.options.annotations)?;
        self.put(Role::Leaf, &config.descriptor(dialect), config.raw())?;
        self.put(Role::Manifest, &manifest.descriptor(), manifest.raw())?;
        let mut names = self.options.names.clone();
        // Who takes the files out needs no image.
        if names.is_empty() && self.options.exports.is_empty() {
            names.push(StoreName::Digest(manifest.digest().clone()));
        }
        let root = manifest.descriptor();
        let mut new = Vec::new();
        for name in &names {
            let known = self.store.image(name)?.map(|image| image.descriptor.digest);
            if known.as_ref() != Some(&root.digest) {
                new.push((name.clone(), root.clone()));
            }
        }
        if !new.is_empty() {
            self.writer.publish(&new)?;
        }
        let names = names.iter().map(ToString::to_string).collect();
        Ok((root.digest, config.digest().clone(), names))
    }

    fn put(&self, role: Role, what: &Descriptor, bytes: &[u8]) -> Result<()> {
        let known = match role {
            Role::Leaf => self.writer.need(what)? == Holding::Whole,
            Role::Manifest => self.writer.need(what)? != Holding::Nothing,
        };
        if known {
            return Ok(());
        }
        self.writer.put_reader(role, what, Cursor::new(bytes))
    }

    /// The one time of everything, RFC 3339, if there is one.
    fn epoch_text(&self) -> Result<Option<String>> {
        let Some(epoch) = self.options.epoch else { return Ok(None) };
        let time = jiff::Timestamp::from_second(epoch).map_err(|error| {
            Error::caused(ErrorKind::Invalid, format!("SOURCE_DATE_EPOCH {epoch}"), error)
        })?;
        Ok(Some(time.to_string()))
    }

    /// The time of what is made now, RFC 3339.
    pub(super) fn now(&self) -> Result<String> {
        match self.epoch_text()? {
            Some(epoch) => Ok(epoch),
            None => {
                let now = jiff::Timestamp::now().as_second();
                let now = jiff::Timestamp::from_second(now);
                Ok(now.map(|now| now.to_string()).unwrap_or_default())
            }
        }
    }

    /// A layer as plain tar, for a vocabulary that has no word for its compression.
    fn uncompressed(&self, layer: &Layer) -> Result<Layer> {
        let digest = &layer.descriptor.digest;
        let doing = || format!("decompressing layer {digest}, for which Docker has no media type");
        let reader = self.writer.open(&layer.descriptor)?.reader();
        let mut decoder = Decoder::new(reader).doing(doing)?;
        let mut blob = self.writer.new_blob()?;
        std::io::copy(&mut decoder, &mut blob).doing(doing)?;
        let (found, size) = blob.finish(Role::Leaf)?;
        match found == layer.diff_id.0 {
            true => Ok(Layer::plain(layer.diff_id.clone(), size)),
            false => Err(Error::corrupt(format!(
                "layer {digest} unpacks to {found} instead of {}",
                layer.diff_id.0
            ))),
        }
    }
}
