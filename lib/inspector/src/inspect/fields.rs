//! What `--format` can name: the fields of `skopeo inspect`, and those of `docker image inspect` that
//! do not depend on where an image is stored.

use serde_json::{Map, Value, json};

use crate::spec::{Digest, Image, Manifest};
use crate::template::{Field, Schema, Zero};

/// What templates over [`fields`] know of types.
pub const SCHEMA: Schema = Schema {
    maps: &["Labels", "ExposedPorts", "Volumes", "Annotations", "annotations"],
    lists: &[
        "RepoTags",
        "RepoDigests",
        "Layers",
        "LayersData",
        "Env",
        "Cmd",
        "Entrypoint",
        "OnBuild",
        "Shell",
        "History",
        "Test",
    ],
    fields: &[],
};

/// What templates over a config know of types: Go's names of the image specification's fields.
/// Those of the JSON itself serve as well.
pub const CONFIG_SCHEMA: Schema = Schema {
    maps: &["Labels", "ExposedPorts", "Volumes"],
    lists: SCHEMA.lists,
    fields: &[
        field("", "Created", "created", Zero::Pointer),
        field("", "Author", "author", Zero::Text),
        field("", "Architecture", "architecture", Zero::Text),
        field("", "Variant", "variant", Zero::Text),
        field("", "OS", "os", Zero::Text),
        field("", "OSVersion", "os.version", Zero::Text),
        field("", "OSFeatures", "os.features", Zero::List),
        field("", "Config", "config", Zero::Struct),
        field("", "RootFS", "rootfs", Zero::Struct),
        field("", "History", "history", Zero::List),
        field("Config", "User", "User", Zero::Text),
        field("Config", "ExposedPorts", "ExposedPorts", Zero::Map),
        field("Config", "Env", "Env", Zero::List),
        field("Config", "Entrypoint", "Entrypoint", Zero::List),
        field("Config", "Cmd", "Cmd", Zero::List),
        field("Config", "Volumes", "Volumes", Zero::Map),
        field("Config", "WorkingDir", "WorkingDir", Zero::Text),
        field("Config", "Labels", "Labels", Zero::Map),
        field("Config", "StopSignal", "StopSignal", Zero::Text),
        field("Config", "ArgsEscaped", "ArgsEscaped", Zero::False),
        field("RootFS", "Type", "type", Zero::Text),
        field("RootFS", "DiffIDs", "diff_ids", Zero::List),
        field("History", "Created", "created", Zero::Pointer),
        field("History", "CreatedBy", "created_by", Zero::Text),
        field("History", "Author", "author", Zero::Text),
        field("History", "Comment", "comment", Zero::Text),
        field("History", "EmptyLayer", "empty_layer", Zero::False),
    ],
};

const fn field(within: &'static str, name: &'static str, key: &'static str, zero: Zero) -> Field {
    Field { within, name, key, zero }
}

/// Texts of Docker's `Config`, there even when the image says nothing of them.
const TEXTS: [&str; 3] = ["User", "WorkingDir", "StopSignal"];
/// Its lists, maps and pointers.
const OTHERS: [&str; 9] = [
    "ExposedPorts",
    "Env",
    "Cmd",
    "Healthcheck",
    "Volumes",
    "Entrypoint",
    "OnBuild",
    "Labels",
    "Shell",
];

/// The fields of an image that is called `name` and has `root` as its root manifest, whose digest
/// is `digest`.
///
/// `RepoTags` is empty: listing a repository's tags is another question. `Size` counts compressed
/// bytes.
pub fn fields(name: &str, digest: &Digest, root: &Manifest, image: &Image) -> Value {
    let document = image.config().document();
    let top = |key: &str| document.get(key).cloned().unwrap_or_else(|| Value::from(""));
    let layers = image.layers();
    let raw = |manifest: &Manifest| serde_json::from_slice(manifest.raw()).unwrap_or(Value::Null);
    let mut all = skopeo_fields(name, digest, image.manifest(), Some(document), &[]);
    let docker = json!({
        "Tag": "",
        "RepoDigests": [format!("{name}@{digest}")],
        "Id": image.id().to_string(),
        "Author": top("author"),
        "Comment": top("comment"),
        "Variant": top("variant"),
        "OsVersion": top("os.version"),
        "Config": docker_config(document),
        "RootFS": {
            "Type": "layers",
            "Layers": layers.iter().map(|l| l.diff_id.to_string()).collect::<Vec<_>>(),
        },
        "Size": layers.iter().fold(0_u64, |sum, l| sum.saturating_add(l.descriptor.size)),
        "History": document.get("history").cloned().unwrap_or_default(),
        "Manifest": raw(image.manifest()),
        "Index": if root.as_index().is_some() { raw(root) } else { Value::Null },
        "Image": document.clone(),
    });
    if let (Some(all), Value::Object(docker)) = (all.as_object_mut(), docker) {
        all.extend(docker);
    }
    all
}

/// What `skopeo inspect` prints of an image, in its order; of an artifact, which has no `config` of
/// that kind, its blobs.
pub fn skopeo_fields(
    name: &str,
    digest: &Digest,
    manifest: &Manifest,
    config: Option<&Value>,
    tags: &[String],
) -> Value {
    let part = |key: &str| config?.get("config")?.get(key).cloned();
    let top = |key: &str| config.and_then(|c| c.get(key)).cloned().unwrap_or_else(|| "".into());
    let layers = manifest.as_image().map_or(&[][..], |image| &image.layers);
    json!({
        "Name": name,
        "Digest": digest.to_string(),
        "RepoTags": tags,
        "Created": top("created"),
        "DockerVersion": top("docker_version"),
        "Labels": part("Labels"),
        "Architecture": top("architecture"),
        "Os": top("os"),
        "Layers": layers.iter().map(|layer| layer.digest.to_string()).collect::<Vec<_>>(),
        "LayersData": layers.iter().map(|layer| {
            let annotations = &layer.annotations;
            json!({
                "MIMEType": layer.media_type.to_string(),
                "Digest": layer.digest.to_string(),
                "Size": layer.size,
                "Annotations": Some(annotations).filter(|all| !all.is_empty()),
            })
        }).collect::<Vec<_>>(),
        "Env": part("Env"),
    })
}

fn docker_config(document: &Value) -> Map<String, Value> {
    let config = document.get("config").and_then(Value::as_object);
    let part = |key: &str| config.and_then(|config| config.get(key)).filter(|v| !v.is_null());
    let texts = TEXTS
        .iter()
        .map(|key| (key.to_string(), part(key).cloned().unwrap_or_else(|| Value::from(""))));
    let others = OTHERS.iter().map(|key| (key.to_string(), part(key).cloned().unwrap_or_default()));
    let mut all: Map<String, Value> = texts.chain(others).collect();
    let rest = config.into_iter().flatten().filter(|(key, _)| !all.contains_key(*key));
    let rest: Vec<_> = rest.map(|(key, value)| (key.clone(), value.clone())).collect();
    all.extend(rest);
    all
}
