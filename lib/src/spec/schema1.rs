//! Docker's image manifest version 2, schema 1: read, to be converted.
//!
//! The digest of a signed one is of the payload inside the JSON web signature, not of the file.

use serde_json::Value;

use super::Digest;
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
