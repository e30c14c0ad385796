//! Docker schema 1 manifests, plain and signed with a key of their own (JWS as libtrust has it).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Built, BuiltLayer, Format, Layer, SCHEMA1, SCHEMA1_SIGNED, pretty};

/// A schema 1 image `name:tag` of these layers (base first), signed if wished.
///
/// The digest covers the payload without the signatures, so it is the same for both forms.
pub fn schema1(name: &str, tag: &str, layers: &[Layer], signed: bool) -> Built {
    let layers: Vec<BuiltLayer> = layers.iter().map(|layer| layer.build(Format::Docker)).collect();
    let payload = pretty(&manifest(name, tag, &layers));
    let mut built = match signed {
        true => Built::of_manifest(SCHEMA1_SIGNED, sign(&payload)),
        false => Built::of_manifest(SCHEMA1, payload),
    };
    for layer in layers {
        built.blobs.insert(layer.descriptor.digest.clone(), layer.content);
    }
    built
}

/// Layers and histories come top first; each history is the text of a JSON document.
fn manifest(name: &str, tag: &str, layers: &[BuiltLayer]) -> Value {
    let mut fs_layers = Vec::new();
    let mut history = Vec::new();
    let mut parent: Option<String> = None;
    for (number, layer) in layers.iter().enumerate() {
        let id = super::super::content::sha256(format!("{name}{number}{}", layer.diff_id));
        let id = super::super::content::encoded(&id).to_string();
        let mut v1 = json!({
            "id": id, "created": "2001-09-09T01:46:40Z", "os": "linux", "architecture": "amd64",
            "container_config": {"Cmd": [format!("/bin/sh -c #(nop) layer {number}")]},
            "config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/app"]},
        });
        if let Some(parent) = parent.replace(id) {
            v1["parent"] = json!(parent);
        }
        fs_layers.insert(0, json!({"blobSum": layer.descriptor.digest}));
        history.insert(0, json!({"v1Compatibility": v1.to_string()}));
    }
    json!({
        "schemaVersion": 1, "name": name, "tag": tag, "architecture": "amd64",
        "fsLayers": fs_layers, "history": history,
    })
}

/// Puts `signatures` before the payload's last brace; the protected header tells how to get the
/// payload back.
fn sign(payload: &[u8]) -> Vec<u8> {
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key");
    let key = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).expect("a key");
    let cut = payload.len() - 2;
    assert_eq!(&payload[cut..], b"\n}", "the payload is indented JSON");
    let protected = json!({
        "formatLength": cut, "formatTail": URL_SAFE_NO_PAD.encode(&payload[cut..]),
        "time": "2001-09-09T01:46:40Z",
    });
    let protected = URL_SAFE_NO_PAD.encode(protected.to_string());
    let signed = format!("{protected}.{}", URL_SAFE_NO_PAD.encode(payload));
    let signature = key.sign(&random, signed.as_bytes()).expect("a signature");
    let point = key.public_key().as_ref();
    let signatures = json!([{
        "header": {
            "jwk": {
                "crv": "P-256", "kid": key_id(point), "kty": "EC",
                "x": URL_SAFE_NO_PAD.encode(&point[1..33]),
                "y": URL_SAFE_NO_PAD.encode(&point[33..65]),
            },
            "alg": "ES256",
        },
        "signature": URL_SAFE_NO_PAD.encode(signature.as_ref()),
        "protected": protected,
    }]);
    let mut out = payload[..cut].to_vec();
    out.extend_from_slice(format!(",\n   \"signatures\": {signatures}\n}}").as_bytes());
    out
}

/// libtrust's name of a key: 30 bytes of the SHA-256 of its DER form, base32, in groups of four.
fn key_id(point: &[u8]) -> String {
    // SubjectPublicKeyInfo of an uncompressed P-256 point.
    let mut der = vec![
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08,
        0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    ];
    der.extend_from_slice(point);
    let hash = Sha256::digest(&der);
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut text = String::new();
    for group in hash[..30].chunks(5) {
        let bits = group.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        for shift in (0..40).step_by(5).rev() {
            text.push(char::from(letters[(bits >> shift & 31) as usize]));
        }
    }
    let groups: Vec<&str> = (0..12).map(|i| &text[i * 4..i * 4 + 4]).collect();
    groups.join(":")
}
