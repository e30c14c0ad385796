//! Docker's image manifest version 2, schema 1: read, to be converted.
//!
//! The digest of a signed one is of the payload inside the JSON web signature, not of the file.
//! Signatures are not checked: they prove no more than the digest does. Conversion follows what
//! Docker and skopeo do, so that they and we make the same config of one image.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    Compression, Descriptor, Dialect, DiffId, Digest, ImageConfig, Manifest, MediaType, edit,
};
use crate::error::{Error, ErrorKind, Result};

/// A schema 1 manifest.
#[derive(Clone, Debug)]
pub struct Schema1 {
    digest: Digest,
    /// Processor architecture.
    pub architecture: String,
    /// One entry per history item, **newest first**.
    pub entries: Vec<Schema1Entry>,
}

/// One step of the image's history and the layer it made.
#[derive(Clone, Debug)]
pub struct Schema1Entry {
    /// The layer's blob: a gzipped tar whose size is not known.
    pub blob: Digest,
    /// The `v1Compatibility` document.
    pub v1: Value,
    /// Whether the step changed no file; its blob is then an empty tar.
    pub throwaway: bool,
}

/// What a schema 1 manifest does not tell of a layer: known once it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerFacts {
    /// Size of the blob in bytes.
    pub size: u64,
    /// How the blob is wrapped, by its bytes.
    pub compression: Compression,
    /// Digest of the tar stream inside.
    pub diff_id: DiffId,
}

/// The gzipped empty tar that old builders used for steps without files.
pub const EMPTY_LAYER: &str =
    "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4";

impl Schema1 {
    /// Reads a manifest whose JSON is already parsed.
    pub(super) fn parse(raw: &[u8], value: &Value) -> Result<Schema1> {
        let layers = list(value, "fsLayers")?;
        let history = list(value, "history")?;
        if layers.len() != history.len() || layers.is_empty() {
            return Err(Error::invalid(format!(
                "schema 1 manifest has {} layers and {} history entries",
                layers.len(),
                history.len()
            )));
        }
        let entries = layers
            .iter()
            .zip(history)
            .map(|(layer, step)| entry(layer, step))
            .collect::<Result<_>>()?;
        Ok(Schema1 {
            digest: Digest::sha256(&payload(raw, value)?),
            architecture: value
                .get("architecture")
                .and_then(Value::as_str)
                .unwrap_or("amd64")
                .to_owned(),
            entries,
        })
    }

    /// Digest of the payload.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The blobs to be read for a conversion, lowest layer first, without the throwaway ones.
    pub fn layers(&self) -> Vec<&Digest> {
        self.entries
            .iter()
            .rev()
            .filter(|entry| !entry.throwaway)
            .map(|entry| &entry.blob)
            .collect()
    }

    /// The same image as config and manifest; `facts` has one element for each of
    /// [`Schema1::layers`], in that order.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the numbers differ or the newest history entry is no config.
    pub fn convert(
        &self,
        dialect: Dialect,
        facts: &[LayerFacts],
    ) -> Result<(ImageConfig, Manifest)> {
        let blobs = self.layers();
        if blobs.len() != facts.len() {
            return Err(Error::invalid(format!(
                "schema 1 manifest {} has {} layers, {} were read",
                self.digest,
                blobs.len(),
                facts.len()
            )));
        }
        let config = ImageConfig::parse(super::json::to_go_bytes(&self.config(facts)?)?.into())?;
        let layers: Vec<Descriptor> = blobs
            .into_iter()
            .zip(facts)
            .map(|(blob, facts)| {
                let media_type = MediaType::layer(dialect, facts.compression);
                Descriptor::new(media_type, blob.clone(), facts.size)
            })
            .collect();
        let manifest =
            edit::new_image(dialect, &config.descriptor(dialect), &layers, &BTreeMap::new())?;
        Ok((config, manifest))
    }

    /// The newest entry's document with history and layers, its keys sorted as Docker sorts them.
    fn config(&self, facts: &[LayerFacts]) -> Result<Value> {
        const LEFT_OUT: &[&str] = &["id", "parent", "parent_id", "layer_id", "throwaway", "Size"];
        let newest = self.entries.first().and_then(|entry| entry.v1.as_object());
        let newest = newest.ok_or_else(|| {
            Error::invalid(format!("schema 1 manifest {} holds no config", self.digest))
        })?;
        let mut config: BTreeMap<String, Value> = newest
            .iter()
            .filter(|(key, _)| !LEFT_OUT.contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        // Both are required today; images of Docker's first years lack them.
        config.entry("architecture".into()).or_insert_with(|| self.architecture.clone().into());
        config.entry("os".into()).or_insert_with(|| "linux".into());
        let diff_ids: Vec<&DiffId> = facts.iter().map(|facts| &facts.diff_id).collect();
        config.insert("rootfs".into(), json!({"type": "layers", "diff_ids": diff_ids}));
        config.insert("history".into(), self.entries.iter().rev().map(history_line).collect());
        Ok(Value::Object(config.into_iter().collect()))
    }
}

/// What a history entry tells of its step, in today's form.
fn history_line(entry: &Schema1Entry) -> Value {
    let text = |key: &str| entry.v1.get(key).filter(|value| value.is_string());
    let command = entry.v1.pointer("/container_config/Cmd").and_then(|cmd| match cmd {
        Value::String(word) => Some(word.clone()),
        Value::Array(words) => {
            let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
            Some(words.join(" "))
        }
        _ => None,
    });
    let mut line = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value.filter(|value| value.as_str() != Some("")) {
            line.insert(key.to_owned(), value);
        }
    };
    put("created", text("created").cloned());
    put("author", text("author").cloned());
    put("created_by", command.map(Value::from));
    put("comment", text("comment").cloned());
    put("empty_layer", entry.throwaway.then_some(Value::Bool(true)));
    Value::Object(line)
}

fn list<'a>(value: &'a Value, key: &str) -> Result<&'a Vec<Value>> {
    value
        .get(key)
        .and_then(Value::as_array)
        .ok_or_else(|| Error::invalid(format!("schema 1 manifest has no list {key:?}")))
}

fn entry(layer: &Value, step: &Value) -> Result<Schema1Entry> {
    let blob = layer
        .get("blobSum")
        .and_then(Value::as_str)
        .ok_or_else(|| Error::invalid("schema 1 layer has no blobSum"))?
        .parse()
        .map_err(|error| Error::caused(ErrorKind::Invalid, "schema 1 layer", error))?;
    let text = step
        .get("v1Compatibility")
        .and_then(Value::as_str)
        .ok_or_else(|| Error::invalid("schema 1 history entry has no v1Compatibility"))?;
    let v1 = super::json::parse_strict(text.as_bytes(), "schema 1 history entry")?;
    let throwaway = v1.get("throwaway").and_then(Value::as_bool).unwrap_or(false);
    Ok(Schema1Entry { blob, v1, throwaway })
}

/// The bytes that the digest covers: the document without its signatures.
fn payload(raw: &[u8], value: &Value) -> Result<Vec<u8>> {
    use base64::Engine as _;
    let Some(signature) = value.get("signatures").and_then(|list| list.get(0)) else {
        return Ok(raw.to_vec());
    };
    let broken = || Error::invalid("schema 1 manifest has a broken signature block");
    let url_safe = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let decode = |text: &str| url_safe.decode(text.trim_end_matches('=')).map_err(|_| broken());
    let protected = signature.get("protected").and_then(Value::as_str).ok_or_else(broken)?;
    let protected: Value = serde_json::from_slice(&decode(protected)?).map_err(|_| broken())?;
    let length = protected.get("formatLength").and_then(Value::as_u64).ok_or_else(broken)?;
    let tail = decode(protected.get("formatTail").and_then(Value::as_str).ok_or_else(broken)?)?;
    let head =
        usize::try_from(length).ok().and_then(|length| raw.get(..length)).ok_or_else(broken)?;
    Ok([head, &tail].concat())
}
