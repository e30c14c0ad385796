//! Copies from and to registries that misbehave: what can be mended is, all else ends soon, with
//! the right code, and leaves nothing wrong behind.

mod answers;
mod downloads;
mod patience;
mod redirects;
mod uploads;

use crate::support::image::{Built, image, layer};
use crate::support::log::{Kind, Logged};
use crate::support::program::{Invocation, Sandbox};
use crate::support::registry::TestRegistry;

/// An image of one layer of about `size` bytes in a registry, as `app:1`.
pub(super) struct Fixture {
    pub(super) registry: TestRegistry,
    pub(super) built: Built,
    pub(super) sandbox: Sandbox,
}

impl Fixture {
    pub(super) fn new(size: u64) -> Fixture {
        Fixture::on(TestRegistry::start(), size)
    }

    pub(super) fn on(registry: TestRegistry, size: u64) -> Fixture {
        let built = image().layer(layer().noise("data", size, 5)).build();
        built.push(&registry, "app", "1");
        Fixture { registry, built, sandbox: Sandbox::new() }
    }

    /// Size of the layer's blob.
    pub(super) fn size(&self) -> u64 {
        self.built.image().layers[0].descriptor.size
    }

    /// Digest of the layer's blob.
    pub(super) fn layer(&self) -> &str {
        &self.built.image().layers[0].descriptor.digest
    }

    /// `app:1` into the layout `out`, with short pauses between tries.
    pub(super) fn pull(&self) -> Invocation {
        self.to(&format!("oci:{}:x", self.sandbox.path("out").display()))
    }

    /// `app:1` to another place, with short pauses between tries.
    pub(super) fn to(&self, target: &str) -> Invocation {
        self.sandbox.copy(["--retry-delay", "5ms", &self.registry.image("app:1"), target])
    }

    /// Requires that the layout `out` holds the image, every byte of it.
    #[track_caller]
    pub(super) fn assert_pulled(&self) {
        assert_layout_whole(&self.sandbox.path("out"), &self.built);
    }

    /// Requires that the layout `out` does not name the image.
    #[track_caller]
    pub(super) fn assert_nothing_named(&self) {
        let index = std::fs::read_to_string(self.sandbox.path("out/index.json"));
        assert!(!index.unwrap_or_default().contains(&self.built.root.digest), "it has a name");
        assert_blobs_whole(&self.sandbox.path("out"));
    }

    /// Requests for the layer's bytes.
    pub(super) fn layer_requests(&self) -> Vec<Logged> {
        let all = self.registry.requests().into_iter();
        all.filter(|r| r.method == "GET" && r.kind == Kind::Blob)
            .filter(|r| r.path_and_query.contains(self.layer()))
            .collect()
    }
}

/// Requires that a layout holds an image, every byte of it.
#[track_caller]
pub(super) fn assert_layout_whole(layout: &std::path::Path, built: &Built) {
    let index = std::fs::read_to_string(layout.join("index.json")).expect("an index");
    assert!(index.contains(&built.root.digest), "{index}");
    let content = |digest: &str| {
        let path = layout.join("blobs/sha256").join(digest.trim_start_matches("sha256:"));
        std::fs::read(path).unwrap_or_else(|error| panic!("{digest}: {error}"))
    };
    for (digest, blob) in &built.blobs {
        assert!(content(digest) == blob.bytes(), "{digest} differs");
    }
    for (descriptor, bytes) in &built.manifests {
        assert!(content(&descriptor.digest) == *bytes, "{} differs", descriptor.digest);
    }
}

/// Requires that whatever has a digest for its name is what that says.
#[track_caller]
pub(super) fn assert_blobs_whole(root: &std::path::Path) {
    let Ok(entries) = std::fs::read_dir(root.join("blobs/sha256")) else { return };
    for entry in entries {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("a name");
        let bytes = std::fs::read(entry.path()).expect("a blob");
        assert_eq!(crate::support::content::sha256(bytes), format!("sha256:{name}"));
    }
}
