//! Properties of all parsers: arbitrary bytes never panic, and what is read is written again.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Map, Value, json};

use super::*;

/// Documents with every construct that a parser looks at.
fn seeds() -> Vec<Vec<u8>> {
    let digest = Digest::sha256(b"x");
    let descriptor = json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
        "digest": digest, "size": 1, "data": "eA==", "urls": ["a"], "annotations": {"a": "b"},
        "platform": {"os": "linux", "architecture": "arm", "variant": "v7", "os.features": []}});
    let documents = [
        json!({"schemaVersion": 2, "config": descriptor, "layers": [descriptor, descriptor],
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "subject": descriptor}),
        json!({"schemaVersion": 2, "manifests": [descriptor], "annotations": {}}),
        json!({"schemaVersion": 1, "fsLayers": [{"blobSum": digest}], "architecture": "amd64",
            "history": [{"v1Compatibility": "{\"throwaway\":true,\"config\":{}}"}],
            "signatures": [{"protected": "eyJmb3JtYXRMZW5ndGgiOjQsImZvcm1hdFRhaWwiOiJDbjAifQ"}]}),
        json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers",
            "diff_ids": [digest]}, "history": [{"created_by": "a", "empty_layer": false}],
            "config": {"Env": ["A=1"], "Cmd": "x", "ExposedPorts": {"1/tcp": {}},
                "Healthcheck": {"Test": ["NONE"], "Interval": 1}, "StopTimeout": 1}}),
    ];
    let texts = [digest.to_string(), "registry.io:5000/a/b:tag@".to_owned() + &digest.to_string()];
    let texts = texts.into_iter().chain(["linux/arm/v7:1.2".to_owned(), "[::1]:5/a".to_owned()]);
    documents.iter().map(Value::to_string).chain(texts).map(String::into_bytes).collect()
}

/// Feeds `bytes` to every parser and uses what comes out.
fn parse_all(bytes: &[u8]) {
    let raw = Bytes::copy_from_slice(bytes);
    if let Ok(manifest) = Manifest::parse(raw.clone(), None) {
        assert_eq!(manifest.raw(), bytes);
        let _ = edit::convert(&manifest, Dialect::Docker);
        let _ = edit::convert(&manifest, Dialect::Oci);
        let _ = edit::keep_entries(&manifest, |_| true);
        let children: Vec<Descriptor> = manifest.children().into_iter().cloned().collect();
        if let Ok(same) = edit::replace_children(&manifest, &children) {
            assert_eq!(same.raw(), bytes);
        }
        if let Body::Schema1(old) = manifest.body() {
            let facts = LayerFacts {
                size: 1,
                compression: Compression::Gzip,
                diff_id: DiffId(Digest::sha256(b"")),
            };
            let _ = old.convert(Dialect::Oci, &vec![facts; old.layers().len()]);
        }
    }
    if let Ok(config) = ImageConfig::parse(raw) {
        assert_eq!(config.raw(), bytes);
        let mut fields = config.fields().clone();
        fields.config.env.push("NEW=1".into());
        let changed = config.with(fields.clone()).unwrap();
        if fields.rootfs.kind.is_empty() {
            fields.rootfs.kind = "layers".into();
        }
        assert_eq!(*changed.fields(), fields);
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(reference) = Reference::parse(text) {
        assert_eq!(Reference::parse(&reference.to_string()).unwrap(), reference);
        assert_eq!(Reference::parse(&reference.familiar()).unwrap(), reference);
    }
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string(), text);
    }
    if let Ok(platform) = text.parse::<Platform>() {
        assert_eq!(platform.to_string().parse::<Platform>().unwrap(), platform);
        assert_eq!(platform.accepts(&platform), Some(0));
    }
    let media_type = MediaType::parse(text);
    assert_eq!(MediaType::parse(&media_type.to_string()), media_type);
}

/// A valid document with pieces cut, doubled and overwritten.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<Index>(), any::<Index>(), any::<u8>(), 0..4_u8);
    let chars = prop_oneof![any::<u8>(), prop::sample::select(&b"\"{}[],:0-9.@/\\AZaz"[..])];
    (prop::sample::select(seeds()), prop::collection::vec((change, chars), 1..6)).prop_map(
        |(mut bytes, changes)| {
            for ((at, to, length, kind), value) in changes {
                if bytes.is_empty() {
                    break;
                }
                let at = at.index(bytes.len());
                let end = (at + usize::from(length)).min(bytes.len());
                match kind {
                    0 => bytes[at] = value,
                    1 => bytes.insert(at, value),
                    2 => drop(bytes.drain(at..end.min(at + 8))),
                    _ => {
                        let piece = bytes[at..end].to_vec();
                        let to = to.index(bytes.len() + 1);
                        bytes.splice(to..to, piece);
                    }
                }
            }
            bytes
        },
    )
}

/// JSON as other programs might put it beside what we know.
fn extra() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-zA-Z.]{0,8}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().rev().collect())),
        ]
    })
}

/// `members` with others in between whose names we do not know.
fn surrounded(members: Value, extras: BTreeMap<String, Value>, seed: usize) -> Value {
    let mut all: Vec<(String, Value)> = members.as_object().cloned().unwrap().into_iter().collect();
    for (n, (key, value)) in extras.into_iter().enumerate() {
        all.insert((seed + n * 7) % (all.len() + 1), (format!("x-{key}"), value));
    }
    Value::Object(all.into_iter().collect::<Map<_, _>>())
}

fn extras() -> impl Strategy<Value = BTreeMap<String, Value>> {
    prop::collection::btree_map("[a-zA-Z<>&.é]{0,8}", extra(), 0..5)
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        parse_all(&bytes);
    }

    #[test]
    fn arbitrary_text_never_panics(text in r"[a-z0-9A-Z:/@.\[\]_-]{0,60}") {
        parse_all(text.as_bytes());
    }

    #[test]
    fn mutated_documents_never_panic(bytes in mutated()) {
        parse_all(&bytes);
    }

    /// Whatever stands beside what we know comes out of an edit as it went in.
    #[test]
    fn unknown_fields_survive_an_edit(top in extras(), inner in extras(), seed in 0..50_usize) {
        let layer = surrounded(
            json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "size": 1,
                "digest": Digest::sha256(b"old")}),
            inner.clone(),
            seed,
        );
        let config = json!({"mediaType": "application/vnd.oci.image.config.v1+json", "size": 1,
            "digest": Digest::sha256(b"config")});
        let document = surrounded(
            json!({"schemaVersion": 2, "config": config, "layers": [layer]}),
            top.clone(),
            seed,
        );
        let raw: Bytes = json::to_go_bytes(&document).unwrap().into();
        let manifest = Manifest::parse(raw.clone(), None).unwrap();
        let mut children: Vec<Descriptor> = manifest.children().into_iter().cloned().collect();
        children[1].digest = Digest::sha256(b"new");
        let changed = edit::replace_children(&manifest, &children).unwrap();
        let back: Vec<Descriptor> = manifest.children().into_iter().cloned().collect();
        let restored = edit::replace_children(&changed, &back).unwrap();
        prop_assert_eq!(restored.raw(), &raw);

        let container = surrounded(json!({"User": "a", "Env": ["A=1"]}), inner, seed);
        let document = surrounded(
            json!({"os": "linux", "config": container,
                "rootfs": {"type": "layers", "diff_ids": []}}),
            top,
            seed,
        );
        let raw: Bytes = json::to_go_bytes(&document).unwrap().into();
        let config = ImageConfig::parse(raw.clone()).unwrap();
        let mut fields = config.fields().clone();
        fields.os = "windows".into();
        fields.config.user = "b".into();
        let changed = config.with(fields).unwrap();
        prop_assert_ne!(changed.raw(), &raw);
        let restored = changed.with(config.fields().clone()).unwrap();
        prop_assert_eq!(restored.raw(), &raw);
    }
}
