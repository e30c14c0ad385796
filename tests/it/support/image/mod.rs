//! Images made in code: the same calls give the same bytes, and nothing is downloaded.
//!
//! ```ignore
//! let app = image()
//!     .layer(layer().file("etc/motd", "hello\n").dir("srv").owner(1000, 1000))
//!     .layer(layer().whiteout("etc/motd").random(10 << 20, 7).zstd())
//!     .env("PATH", "/bin")
//!     .cmd(["/bin/app"])
//!     .build();
//! app.push(&registry, "app", "1");
//! app.write_layout(&sandbox.work("layout"), Some("1"));
//!
//! let both = index().image(image().platform("linux/amd64").…).image(image().platform("linux/arm64").…).build();
//! let sbom = artifact("application/spdx+json").layer("application/spdx+json", "{}").subject(&app.root).build();
//! ```
//!
//! The result is a [`Built`]: the root descriptor, all blobs and all manifests, children first.

mod index;
mod layer;
mod schema1;
mod table;
mod write;

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value, json};

pub use self::index::{ArtifactBuilder, IndexBuilder, artifact, index, three_platforms};
pub use self::layer::{BuiltLayer, Compression, Layer, MTIME, layer};
pub use self::schema1::schema1;
pub use self::table::{Lie, TableForm};
pub use self::write::DockerSave;

use super::content::{Content, Descriptor};

pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
pub const SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1+json";
pub const SCHEMA1_SIGNED: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";

/// Whose media types.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Format {
    #[default]
    Oci,
    Docker,
}

/// Something made: an image, an index with all its children, an artifact.
#[derive(Clone)]
pub struct Built {
    /// The manifest or index that stands for the whole.
    pub root: Descriptor,
    /// Layers and configs by digest.
    pub blobs: BTreeMap<String, Content>,
    /// Manifests and indexes, children before what refers to them; the root is the last.
    pub manifests: Vec<(Descriptor, Bytes)>,
    /// The images among them, in the order of the index.
    pub images: Vec<BuiltImage>,
}

/// One image of a [`Built`].
#[derive(Clone)]
pub struct BuiltImage {
    pub manifest: Descriptor,
    pub config: Descriptor,
    pub config_bytes: Bytes,
    pub layers: Vec<BuiltLayer>,
}

impl Built {
    /// The bytes of the root manifest.
    pub fn root_bytes(&self) -> &Bytes {
        &self.manifests.last().expect("a root").1
    }

    /// The root manifest as JSON.
    pub fn root_json(&self) -> Value {
        serde_json::from_slice(self.root_bytes()).expect("JSON of our own")
    }

    /// The only image, or the first of the index.
    pub fn image(&self) -> &BuiltImage {
        self.images.first().expect("at least one image")
    }

    /// Bytes of a manifest by digest.
    pub fn manifest(&self, digest: &str) -> Option<&Bytes> {
        let found = self.manifests.iter().find(|(descriptor, _)| descriptor.digest == digest);
        found.map(|(_, bytes)| bytes)
    }

    fn of_manifest(media_type: &str, bytes: Vec<u8>) -> Built {
        let digest = super::registry::manifest_digest(media_type, &bytes);
        let root = Descriptor::new(media_type, &digest, bytes.len() as u64);
        Built {
            root: root.clone(),
            blobs: BTreeMap::new(),
            manifests: vec![(root, bytes.into())],
            images: Vec::new(),
        }
    }
}

impl BuiltImage {
    pub fn config_json(&self) -> Value {
        serde_json::from_slice(&self.config_bytes).expect("JSON of our own")
    }
}

/// An image being put together; see [`image`].
#[derive(Clone)]
pub struct ImageBuilder {
    format: Format,
    layers: Vec<Layer>,
    platform: Map<String, Value>,
    /// Fields of the config beside `config`, `rootfs`, `history`.
    top: Map<String, Value>,
    /// Fields of the config's `config`.
    config: Map<String, Value>,
    manifest: Map<String, Value>,
    annotations: Map<String, Value>,
    empty_history: bool,
    media_type_field: bool,
    config_media_type: Option<String>,
}

/// An OCI image for linux/amd64 without layers.
pub fn image() -> ImageBuilder {
    ImageBuilder {
        format: Format::Oci,
        layers: Vec::new(),
        platform: parse_platform("linux/amd64"),
        top: Map::new(),
        config: Map::new(),
        manifest: Map::new(),
        annotations: Map::new(),
        empty_history: false,
        media_type_field: true,
        config_media_type: None,
    }
}

/// An image for a platform with one tiny layer that tells it: enough for many tests.
pub fn small(platform: &str) -> ImageBuilder {
    image().platform(platform).layer(layer().file("platform", format!("{platform}\n")))
}

fn parse_platform(text: &str) -> Map<String, Value> {
    let mut parts = text.split('/');
    let mut platform = Map::new();
    for field in ["os", "architecture", "variant"] {
        if let Some(part) = parts.next() {
            platform.insert(field.into(), json!(part));
        }
    }
    platform
}

impl ImageBuilder {
    pub fn format(mut self, format: Format) -> ImageBuilder {
        self.format = format;
        self
    }

    /// Docker schema2 instead of OCI.
    pub fn docker(self) -> ImageBuilder {
        self.format(Format::Docker)
    }

    pub fn layer(mut self, layer: Layer) -> ImageBuilder {
        self.layers.push(layer);
        self
    }

    /// `os/architecture[/variant]`
    pub fn platform(mut self, platform: &str) -> ImageBuilder {
        self.platform = parse_platform(platform);
        self
    }

    /// A further field of the platform, such as `os.version`; it is in the config as well.
    pub fn platform_field(mut self, field: &str, value: Value) -> ImageBuilder {
        self.platform.insert(field.into(), value);
        self
    }

    /// A field of the config's `config`, such as `Healthcheck` or one that nobody knows.
    pub fn config(mut self, field: &str, value: Value) -> ImageBuilder {
        self.config.insert(field.into(), value);
        self
    }

    /// A field of the config itself, such as `author` or one that nobody knows.
    pub fn config_top(mut self, field: &str, value: Value) -> ImageBuilder {
        self.top.insert(field.into(), value);
        self
    }

    /// A field of the manifest itself.
    pub fn manifest_field(mut self, field: &str, value: Value) -> ImageBuilder {
        self.manifest.insert(field.into(), value);
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> ImageBuilder {
        let all = self.config.entry("Env").or_insert_with(|| json!([]));
        all.as_array_mut().expect("a list").push(json!(format!("{name}={value}")));
        self
    }

    pub fn cmd<S: AsRef<str>>(self, words: impl IntoIterator<Item = S>) -> ImageBuilder {
        let words: Vec<Value> = words.into_iter().map(|word| json!(word.as_ref())).collect();
        self.config("Cmd", Value::Array(words))
    }

    pub fn entrypoint<S: AsRef<str>>(self, words: impl IntoIterator<Item = S>) -> ImageBuilder {
        let words: Vec<Value> = words.into_iter().map(|word| json!(word.as_ref())).collect();
        self.config("Entrypoint", Value::Array(words))
    }

    pub fn label(mut self, key: &str, value: &str) -> ImageBuilder {
        let all = self.config.entry("Labels").or_insert_with(|| json!({}));
        all[key] = json!(value);
        self
    }

    /// Every field that a conversion could lose: health check, shell, on-build triggers, stop
    /// signal, volumes, ports, user, labels, and fields nobody knows at both levels.
    pub fn rich(self) -> ImageBuilder {
        self.env("PATH", "/usr/bin:/bin")
            .cmd(["-v"])
            .entrypoint(["/bin/app"])
            .label("org.example.purpose", "test")
            .config("User", json!("1000:1000"))
            .config("WorkingDir", json!("/srv"))
            .config("ExposedPorts", json!({"80/tcp": {}, "53/udp": {}}))
            .config("Volumes", json!({"/data": {}}))
            .config("StopSignal", json!("SIGQUIT"))
            .config("StopTimeout", json!(7))
            .config("Shell", json!(["/bin/ash", "-c"]))
            .config("OnBuild", json!(["RUN make", "COPY . /src"]))
            .config("ArgsEscaped", json!(true))
            .config(
                "Healthcheck",
                json!({
                    "Test": ["CMD", "/bin/check"], "Interval": 30_000_000_000_u64,
                    "Timeout": 5_000_000_000_u64, "StartPeriod": 1_000_000_000, "Retries": 3,
                }),
            )
            .config("x-unknown", json!({"kept": [1, 2.5, null]}))
            .config_top("author", json!("somebody"))
            .config_top("x-unknown-top", json!("kept"))
    }

    /// An annotation of the manifest.
    pub fn annotation(mut self, key: &str, value: &str) -> ImageBuilder {
        self.annotations.insert(key.into(), json!(value));
        self
    }

    /// A history entry without a layer after each one with a layer.
    pub fn empty_history(mut self) -> ImageBuilder {
        self.empty_history = true;
        self
    }

    /// No `mediaType` in the manifest, as some OCI builders write it.
    pub fn without_media_type(mut self) -> ImageBuilder {
        self.media_type_field = false;
        self
    }

    pub fn config_media_type(mut self, media_type: &str) -> ImageBuilder {
        self.config_media_type = Some(media_type.into());
        self
    }

    /// The image is about another manifest.
    pub fn subject(self, subject: &Descriptor) -> ImageBuilder {
        let plain = Descriptor::new(&subject.media_type, &subject.digest, subject.size);
        self.manifest_field("subject", plain.json())
    }

    pub fn build(self) -> Built {
        let layers: Vec<BuiltLayer> =
            self.layers.iter().map(|layer| layer.build(self.format)).collect();
        let config_bytes = self.config_json(&layers).to_string().into_bytes();
        let (manifest_type, config_type) = match self.format {
            Format::Oci => (OCI_MANIFEST, OCI_CONFIG),
            Format::Docker => (DOCKER_MANIFEST, DOCKER_CONFIG),
        };
        let config_type = self.config_media_type.as_deref().unwrap_or(config_type);
        let config = Descriptor::of(config_type, &config_bytes);
        let mut manifest = json!({"schemaVersion": 2});
        if self.media_type_field {
            manifest["mediaType"] = json!(manifest_type);
        }
        manifest["config"] = config.json();
        manifest["layers"] = layers.iter().map(|layer| layer.descriptor.json()).collect();
        for (field, value) in &self.manifest {
            manifest[field] = value.clone();
        }
        if !self.annotations.is_empty() {
            manifest["annotations"] = Value::Object(self.annotations.clone());
        }
        let mut built = Built::of_manifest(manifest_type, pretty(&manifest));
        for layer in layers.iter().filter(|layer| !layer.descriptor.more.contains_key("urls")) {
            built.blobs.insert(layer.descriptor.digest.clone(), layer.content.clone());
        }
        let config_bytes = Bytes::from(config_bytes);
        built.blobs.insert(config.digest.clone(), config_bytes.clone().into());
        let manifest = built.root.clone();
        built.images.push(BuiltImage { manifest, config, config_bytes, layers });
        built.root = built.root.with("platform", self.platform_json());
        built
    }

    fn platform_json(&self) -> Value {
        let mut platform = self.platform.clone();
        // The order in which everybody writes it.
        let architecture = platform.shift_remove("architecture").unwrap_or(Value::Null);
        let mut ordered = Map::from_iter([("architecture".to_string(), architecture)]);
        ordered.extend(platform);
        Value::Object(ordered)
    }

    fn config_json(&self, layers: &[BuiltLayer]) -> Value {
        let mut config = self.platform_json();
        let created = "2001-09-09T01:46:40Z";
        config["created"] = json!(created);
        config["config"] = Value::Object(self.config.clone());
        let diff_ids: Vec<&String> = layers.iter().map(|layer| &layer.diff_id).collect();
        config["rootfs"] = json!({"type": "layers", "diff_ids": diff_ids});
        let mut history = Vec::new();
        for layer in &self.layers {
            history.push(json!({"created": created, "created_by": layer.history()}));
            if self.empty_history {
                let entry = json!({
                    "created": created, "created_by": "ENV nothing", "empty_layer": true,
                });
                history.push(entry);
            }
        }
        config["history"] = Value::Array(history);
        for (field, value) in &self.top {
            config[field] = value.clone();
        }
        config
    }
}

/// Indented, so that a program that re-serializes a manifest is found out by its digest.
fn pretty(value: &Value) -> Vec<u8> {
    serde_json::to_vec_pretty(value).expect("JSON of our own")
}
