//! What is not one image: indexes with their children, attestations, artifacts.

use serde_json::{Map, Value, json};

use super::super::content::{Content, Descriptor, encoded, sha256};
use super::{
    Built, DOCKER_LIST, Format, ImageBuilder, OCI_EMPTY, OCI_INDEX, OCI_MANIFEST, image, layer,
    pretty, small,
};

/// An index being put together; see [`index`].
#[derive(Clone, Default)]
pub struct IndexBuilder {
    format: Format,
    children: Vec<Built>,
    attestations: bool,
    annotations: Map<String, Value>,
    fields: Map<String, Value>,
}

/// An OCI index without children.
pub fn index() -> IndexBuilder {
    IndexBuilder::default()
}

/// An index of linux/amd64, linux/arm64 and linux/arm/v7, each with one small layer.
pub fn three_platforms() -> IndexBuilder {
    index().image(small("linux/amd64")).image(small("linux/arm64")).image(small("linux/arm/v7"))
}

impl IndexBuilder {
    /// A Docker manifest list. The children keep their own format.
    pub fn docker(mut self) -> IndexBuilder {
        self.format = Format::Docker;
        self
    }

    pub fn image(self, image: ImageBuilder) -> IndexBuilder {
        self.child(image.build())
    }

    /// Anything made before: an image, an artifact, another index.
    pub fn child(mut self, child: Built) -> IndexBuilder {
        self.children.push(child);
        self
    }

    /// For every image an attestation as BuildKit makes it: a manifest with platform
    /// unknown/unknown that names the image it is about.
    pub fn attestations(mut self) -> IndexBuilder {
        self.attestations = true;
        self
    }

    pub fn annotation(mut self, key: &str, value: &str) -> IndexBuilder {
        self.annotations.insert(key.into(), json!(value));
        self
    }

    /// A field of the index itself.
    pub fn field(mut self, name: &str, value: Value) -> IndexBuilder {
        self.fields.insert(name.into(), value);
        self
    }

    pub fn subject(self, subject: &Descriptor) -> IndexBuilder {
        let plain = Descriptor::new(&subject.media_type, &subject.digest, subject.size);
        self.field("subject", plain.json())
    }

    pub fn build(self) -> Built {
        let mut children = self.children;
        if self.attestations {
            let made: Vec<Built> =
                children.iter().filter(|c| !c.images.is_empty()).map(attestation).collect();
            children.extend(made);
        }
        let media_type = match self.format {
            Format::Oci => OCI_INDEX,
            Format::Docker => DOCKER_LIST,
        };
        let descriptors: Vec<Value> = children.iter().map(|child| child.root.json()).collect();
        let mut manifest =
            json!({"schemaVersion": 2, "mediaType": media_type, "manifests": descriptors});
        for (field, value) in self.fields {
            manifest[field] = value;
        }
        if !self.annotations.is_empty() {
            manifest["annotations"] = Value::Object(self.annotations);
        }
        let own = Built::of_manifest(media_type, pretty(&manifest));
        let mut all = Built { manifests: Vec::new(), ..own.clone() };
        for child in children {
            all.blobs.extend(child.blobs);
            all.manifests.extend(child.manifests);
            all.images.extend(child.images);
        }
        all.manifests.extend(own.manifests);
        all
    }
}

/// What BuildKit adds for provenance: an in-toto statement about one image.
fn attestation(about: &Built) -> Built {
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v0.1",
        "predicateType": "https://slsa.dev/provenance/v0.2",
        "subject": [{"name": "test", "digest": {"sha256": encoded(&about.root.digest)}}],
        "predicate": {},
    });
    let statement = statement.to_string();
    let diff_id = sha256(&statement);
    let statement = layer()
        .raw(statement.into_bytes(), &diff_id)
        .media_type("application/vnd.in-toto+json")
        .annotation("in-toto.io/predicate-type", "https://slsa.dev/provenance/v0.2");
    let mut built = image().platform("unknown/unknown").layer(statement).build();
    built.images.clear();
    built.root = built
        .root
        .annotated("vnd.docker.reference.type", "attestation-manifest")
        .annotated("vnd.docker.reference.digest", &about.root.digest);
    built
}

/// An artifact being put together; see [`artifact`].
#[derive(Clone)]
pub struct ArtifactBuilder {
    artifact_type: String,
    layers: Vec<(Descriptor, Content)>,
    config: Option<(Descriptor, Content)>,
    subject: Option<Descriptor>,
    annotations: Map<String, Value>,
}

/// An artifact of a type, without content: an OCI manifest with the empty config.
pub fn artifact(artifact_type: &str) -> ArtifactBuilder {
    ArtifactBuilder {
        artifact_type: artifact_type.into(),
        layers: Vec::new(),
        config: None,
        subject: None,
        annotations: Map::new(),
    }
}

impl ArtifactBuilder {
    pub fn layer(mut self, media_type: &str, content: impl AsRef<[u8]>) -> ArtifactBuilder {
        let content = content.as_ref();
        self.layers.push((Descriptor::of(media_type, content), content.into()));
        self
    }

    /// A config of its own: its media type is the artifact's type then.
    pub fn config(mut self, media_type: &str, content: impl AsRef<[u8]>) -> ArtifactBuilder {
        let content = content.as_ref();
        self.config = Some((Descriptor::of(media_type, content), content.into()));
        self
    }

    /// What it is about: makes it a referrer.
    pub fn subject(mut self, subject: &Descriptor) -> ArtifactBuilder {
        self.subject = Some(Descriptor::new(&subject.media_type, &subject.digest, subject.size));
        self
    }

    pub fn annotation(mut self, key: &str, value: &str) -> ArtifactBuilder {
        self.annotations.insert(key.into(), json!(value));
        self
    }

    pub fn build(mut self) -> Built {
        let empty = (Descriptor::of(OCI_EMPTY, b"{}"), Content::from("{}"));
        let mut manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST});
        if self.config.is_none() {
            manifest["artifactType"] = json!(self.artifact_type);
        }
        let config = self.config.take().unwrap_or_else(|| empty.clone());
        if self.layers.is_empty() {
            self.layers.push(empty);
        }
        manifest["config"] = config.0.json();
        manifest["layers"] = self.layers.iter().map(|(descriptor, _)| descriptor.json()).collect();
        if let Some(subject) = &self.subject {
            manifest["subject"] = subject.json();
        }
        if !self.annotations.is_empty() {
            manifest["annotations"] = Value::Object(self.annotations);
        }
        let mut built = Built::of_manifest(OCI_MANIFEST, pretty(&manifest));
        for (descriptor, content) in self.layers.into_iter().chain([config]) {
            built.blobs.insert(descriptor.digest, content);
        }
        built
    }
}
