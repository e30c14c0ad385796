//! What `--format` can name: the fields of `skopeo inspect`, and those of `docker image inspect` that
//! do not depend on where an image is stored.

use serde_json::{Map, Value, json};

use crate::spec::{Image, Manifest};

/// Fields of Docker's `Config` that are there even when the image says nothing of them.
const CONFIG: &[&str] = &[
    "User",
    "ExposedPorts",
    "Env",
    "Cmd",
    "Healthcheck",
    "Volumes",
    "WorkingDir",
    "Entrypoint",
    "OnBuild",
    "Labels",
    "StopSignal",
    "Shell",
];

/// The fields of an image that is called `name` and has `root` as its root manifest.
///
/// `RepoTags` is empty: listing a repository's tags is another question. `Size` counts compressed
/// bytes.
pub fn fields(name: &str, root: &Manifest, image: &Image) -> Value {
    let document = image.config().document();
    let config = document.get("config").filter(|config| config.is_object());
    let part = |key: &str| config.and_then(|config| config.get(key)).cloned().unwrap_or_default();
    let top = |key: &str| document.get(key).cloned().unwrap_or_else(|| Value::from(""));
    let layers = image.layers();
    let mut docker: Map<String, Value> =
        CONFIG.iter().map(|key| ((*key).into(), part(key))).collect();
    docker.extend(config.and_then(Value::as_object).cloned().unwrap_or_default());
    let raw = |manifest: &Manifest| serde_json::from_slice(manifest.raw()).unwrap_or(Value::Null);
    json!({
        "Name": name,
        "Tag": "",
        "Digest": root.digest().to_string(),
        "RepoTags": [],
        "RepoDigests": [format!("{name}@{}", root.digest())],
        "Id": image.id().to_string(),
        "Created": top("created"),
        "DockerVersion": top("docker_version"),
        "Author": top("author"),
        "Comment": top("comment"),
        "Labels": part("Labels"),
        "Architecture": top("architecture"),
        "Variant": top("variant"),
        "Os": top("os"),
        "OsVersion": top("os.version"),
        "Layers": layers.iter().map(|l| l.descriptor.digest.to_string()).collect::<Vec<_>>(),
        "LayersData": layers.iter().map(|layer| json!({
            "MIMEType": layer.descriptor.media_type.to_string(),
            "Digest": layer.descriptor.digest.to_string(),
            "Size": layer.descriptor.size,
            "Annotations": layer.descriptor.annotations,
        })).collect::<Vec<_>>(),
        "Env": part("Env"),
        "Config": docker,
        "RootFS": {
            "Type": "layers",
            "Layers": layers.iter().map(|l| l.diff_id.to_string()).collect::<Vec<_>>(),
        },
        "Size": layers.iter().fold(0_u64, |sum, l| sum.saturating_add(l.descriptor.size)),
        "History": document.get("history").cloned().unwrap_or_default(),
        "Manifest": raw(image.manifest()),
        "Index": if root.as_index().is_some() { raw(root) } else { Value::Null },
        "Image": document.clone(),
    })
}
