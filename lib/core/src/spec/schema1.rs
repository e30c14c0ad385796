//! Docker's image manifest version 2, schema 1: read, to be converted.
//!
//! The digest of a signed one is of the payload inside the JSON web signature, not of the file.
//! Signatures are not checked: they prove no more than the digest does. Conversion follows what
//! Docker and skopeo do, so that they and we make the same config of one image.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::json::{parse_strict, refuse_case_variants, to_go_bytes};
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
        let config = ImageConfig::parse(to_go_bytes(&self.config(facts)?)?.into())?;
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

/// What of a `v1Compatibility` document is acted upon here; the newest one is read as a config too.
const V1_KEYS: &[&str] = &["throwaway", "created", "author", "comment", "container_config"];

fn list<'a>(value: &'a Value, key: &str) -> Result<&'a Vec<Value>> {
    value
        .get(key)
        .and_then(Value::as_array)
        .ok_or_else(|| Error::invalid(format!("schema 1 manifest has no list {key:?}")))
}

fn entry(layer: &Value, step: &Value) -> Result<Schema1Entry> {
    refuse_case_variants(layer, &["blobSum"], "schema 1 layer")?;
    refuse_case_variants(step, &["v1Compatibility"], "schema 1 history entry")?;
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
    let v1 = parse_strict(text.as_bytes(), "schema 1 history entry")?;
    refuse_case_variants(&v1, V1_KEYS, "schema 1 history entry")?;
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::spec::{Body, Image};

    /// As the Debian 12 registry (distribution 2.8.2) made and signed it from a schema 2 image.
    const SIGNED: &str = include_str!("schema1/signed.json");
    /// Three steps, one of them without a layer.
    const THREE: &str = include_str!("schema1/three.json");
    /// What `skopeo copy --format v2s2` (1.9.3) makes of it.
    const THREE_CONFIG: &str = include_str!("schema1/three-config.json");

    fn parse(text: &str) -> Result<Manifest> {
        Manifest::parse(Bytes::copy_from_slice(text.as_bytes()), None)
    }

    fn schema1(text: &str) -> Schema1 {
        match parse(text).unwrap().body() {
            Body::Schema1(schema1) => schema1.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn facts() -> Vec<LayerFacts> {
        [
            (91, "8aef0d97841855805fa1c9cc4a7e964cc51b08a3248a5dfdb4e7be0b8fa12adc"),
            (92, "ac6c0829140379ff14718a95f371d523e9994ebebaadc4943682e421a8b7344c"),
        ]
        .map(|(size, hex)| LayerFacts {
            size,
            compression: Compression::Gzip,
            diff_id: DiffId(format!("sha256:{hex}").parse().unwrap()),
        })
        .to_vec()
    }

    #[test]
    fn the_digest_is_of_the_payload() {
        let manifest = parse(SIGNED).unwrap();
        assert_eq!(*manifest.media_type(), MediaType::Schema1(true));
        assert_eq!(
            manifest.digest().to_string(),
            "sha256:6b415629c8eb4ac57e8e69a0787e4c3c1c51a497ebff6c3dc685132f9c1d1be2"
        );
        let manifest = parse(THREE).unwrap();
        assert_eq!(*manifest.media_type(), MediaType::Schema1(false));
        assert_eq!(*manifest.digest(), Digest::sha256(THREE.as_bytes()));
    }

    #[test]
    fn broken_signatures_are_refused() {
        let protected = "eyJmb3JtYXRMZW5ndGgiOjQ2MywiZm9ybWF0VGFpbCI6IkNuMCIsInRpbWUiOiIyMDI2LTExLTI0VDE1OjE0OjMwWiJ9";
        assert!(SIGNED.contains(protected));
        use base64::Engine as _;
        let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
        for bad in [
            "!".to_owned(),
            encode("{}"),
            encode(r#"{"formatLength":99999999,"formatTail":"Cn0"}"#),
            encode(r#"{"formatLength":-1,"formatTail":"Cn0"}"#),
            encode(r#"{"formatLength":463,"formatTail":"*"}"#),
        ] {
            let error = parse(&SIGNED.replace(protected, &bad)).unwrap_err();
            assert_eq!(error.to_string(), "schema 1 manifest has a broken signature block");
        }
    }

    #[test]
    fn conversion_makes_what_skopeo_makes() {
        let old = schema1(THREE);
        let blobs = old.layers();
        assert_eq!(blobs.len(), 2, "the throwaway step has no layer");
        assert!(blobs[0].hex().starts_with("c0f82748"), "lowest first");
        for dialect in [Dialect::Docker, Dialect::Oci] {
            let (config, manifest) = old.convert(dialect, &facts()).unwrap();
            assert_eq!(std::str::from_utf8(config.raw()).unwrap(), THREE_CONFIG);
            assert_eq!(*manifest.media_type(), MediaType::Manifest(dialect));
            let image = Image::new(manifest, config).unwrap();
            let layers: Vec<_> = image.layers().iter().map(|layer| &layer.descriptor).collect();
            assert_eq!((&layers[0].digest, layers[0].size), (blobs[0], 91));
            assert_eq!((&layers[1].digest, layers[1].size), (blobs[1], 92));
            assert_eq!(layers[0].media_type, MediaType::layer(dialect, Compression::Gzip));
            let steps: Vec<_> = image.steps().iter().map(|step| step.layer).collect();
            assert_eq!(steps, [Some(0), Some(1), None]);
        }
    }

    #[test]
    fn a_config_gets_what_it_lacks() {
        let text =
            THREE.replace(r#"\"os\":\"linux\","#, "").replace(r#"\"architecture\":\"amd64\","#, "");
        let text = text.replace(r#""architecture": "amd64""#, r#""architecture": "arm""#);
        let (config, _) = schema1(&text).convert(Dialect::Oci, &facts()).unwrap();
        assert_eq!(config.platform().to_string(), "linux/arm");
    }

    #[test]
    fn every_layer_must_be_known() {
        let error = schema1(THREE).convert(Dialect::Oci, &facts()[..1]).unwrap_err();
        assert!(error.to_string().ends_with("has 2 layers, 1 were read"), "{error}");
    }

    #[test]
    fn documents_that_break_the_format_are_refused() {
        for (from, to) in [
            (r#""blobSum": "sha256:deb2"#, r#""blobSum": "sha256:../"#),
            (r#""blobSum""#, r#""blob""#),
            (r#""v1Compatibility""#, r#""v1""#),
            (r#"\"throwaway\":true"#, r#"\"throwaway\":true,\"throwaway\":false"#),
            (
                r#""fsLayers": ["#,
                r#""fsLayers": [ {"blobSum": "sha256:deb230b21e0d7ef6a0a2d65a19599d4251b5f08888a5155882fbef2ef71e1e11"},"#,
            ),
            (r#""schemaVersion": 1"#, r#""schemaVersion": 2"#),
            (r#""schemaVersion": 1"#, r#""manifests":[], "schemaVersion": 1"#),
        ] {
            assert!(THREE.contains(from), "{from}");
            let error = parse(&THREE.replacen(from, to, 1)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{to}: {error:?}");
        }
        assert!(parse(r#"{"schemaVersion":1,"fsLayers":[],"history":[]}"#).is_err());
    }
}
