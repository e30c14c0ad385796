//! The store as a whole: what is published in which order, what survives, what goes.

mod checks;
mod crashes;
mod many;
mod mounting;
mod pruning;
mod trees;
mod writing;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::blob::{Blob, ByteStream, OpenRemote, Opening, RemoteBlob};
use crate::spec::{Dialect, MediaType};

/// An image with all its bytes.
#[derive(Clone)]
pub(super) struct Made {
    pub(super) manifest: Manifest,
    /// Config and layers.
    pub(super) leaves: Vec<(Descriptor, Bytes)>,
}

/// An image of a config and of layers with these contents.
pub(super) fn image(layers: &[&[u8]]) -> Made {
    let diff_ids: Vec<_> = layers.iter().map(|layer| Digest::sha256(layer)).collect();
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "created": "2026-01-02T03:04:05Z",
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let config = Bytes::from(config.to_string());
    let mut leaves = vec![(Descriptor::of(MediaType::Config(Dialect::Oci), &config), config)];
    let layer_type = MediaType::layer(Dialect::Oci, crate::spec::Compression::None);
    for layer in layers {
        let bytes = Bytes::copy_from_slice(layer);
        leaves.push((Descriptor::of(layer_type.clone(), &bytes), bytes));
    }
    let described: Vec<_> = leaves.iter().map(|(what, _)| what.clone()).collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::Manifest(Dialect::Oci),
        "config": described[0],
        "layers": described[1..],
    });
    Made { manifest: parsed(&manifest), leaves }
}

pub(super) fn parsed(document: &serde_json::Value) -> Manifest {
    Manifest::parse(Bytes::from(document.to_string()), None).unwrap()
}

/// Something about `subject`.
pub(super) fn signature(subject: &Manifest) -> Made {
    let config = (Descriptor::of(MediaType::Empty, b"{}"), Bytes::from_static(b"{}"));
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::Manifest(Dialect::Oci),
        "artifactType": "application/x.signature",
        "config": config.0,
        "layers": [],
        "subject": subject.descriptor(),
    });
    Made { manifest: parsed(&manifest), leaves: vec![config] }
}

pub(super) fn index(images: &[&Made]) -> Manifest {
    let list: Vec<_> = images.iter().map(|image| image.manifest.descriptor()).collect();
    parsed(&json!({
        "schemaVersion": 2,
        "mediaType": MediaType::Index(Dialect::Oci),
        "manifests": list,
    }))
}

pub(super) fn name(text: &str) -> StoreName {
    StoreName::parse(text).unwrap()
}

/// The name of an untagged result.
pub(super) fn untagged(manifest: &Manifest) -> StoreName {
    StoreName::Digest(manifest.digest().clone())
}

/// Takes in what `made` refers to, and its manifest.
pub(super) fn put(writer: &Writer, made: &Made) -> Result<()> {
    for (what, bytes) in &made.leaves {
        writer.put_reader(Role::Leaf, what, &bytes[..])?;
    }
    put_manifest(writer, &made.manifest)
}

pub(super) fn put_manifest(writer: &Writer, manifest: &Manifest) -> Result<()> {
    writer.put_reader(Role::Manifest, &manifest.descriptor(), &manifest.raw()[..])
}

/// All of `made` under a name.
pub(super) fn publish(store: &Store, made: &Made, name: &StoreName) -> Result<()> {
    let writer = store.begin()?;
    put(&writer, made)?;
    writer.publish(&[(name.clone(), made.manifest.descriptor())])
}

/// A store in a directory of its own.
pub(super) struct Place {
    _directory: tempfile::TempDir,
    pub(super) root: PathBuf,
    pub(super) store: Store,
}

pub(super) fn place() -> Place {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("store");
    let store = Store::open(&root).unwrap();
    Place { _directory: directory, root, store }
}

impl Place {
    pub(super) fn hooked(&self, hook: StepHook) -> Store {
        let options = OpenOptions { hook: Some(hook), ..OpenOptions::default() };
        Store::open_with(&self.root, options).unwrap()
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        self.store.check(&silent()).unwrap().findings
    }

    pub(super) fn blob_count(&self) -> usize {
        self.store.blobs().unwrap().len()
    }

    pub(super) fn path_of(&self, digest: &Digest) -> PathBuf {
        self.store.blob_path(digest)
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.store.images().unwrap().into_iter().map(|image| image.name).collect()
    }
}

pub(super) fn silent() -> crate::progress::Listener {
    Arc::new(crate::progress::Silent)
}

pub(super) fn count(directory: &Path) -> usize {
    std::fs::read_dir(directory).map_or(0, Iterator::count)
}

/// Replaces a published file's bytes.
pub(super) fn damage(path: &Path, bytes: &[u8]) {
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// A server of one blob that counts requests and may be slow.
pub(super) struct Server {
    content: Bytes,
    pub(super) asked: AtomicUsize,
    pause: std::time::Duration,
}

impl Server {
    pub(super) fn new(content: Bytes, pause: std::time::Duration) -> Arc<Server> {
        Arc::new(Server { content, asked: AtomicUsize::new(0), pause })
    }

    pub(super) fn blob(self: &Arc<Self>) -> Blob {
        Blob::Remote(RemoteBlob {
            size: self.content.len() as u64,
            digest: Digest::sha256(&self.content),
            opener: self.clone(),
            meter: None,
        })
    }
}

impl OpenRemote for Server {
    fn open(&self, stretch: std::ops::Range<u64>) -> Opening {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let rest = self.content.slice(usize::try_from(stretch.start).unwrap()..);
        let pause = self.pause;
        Box::pin(async move {
            let state = (rest, pause);
            let stream = futures_util::stream::unfold(state, |(mut rest, pause)| async move {
                if rest.is_empty() {
                    return None;
                }
                tokio::time::sleep(pause).await;
                let chunk = rest.split_to(rest.len().min(100_000));
                Some((Ok(chunk), (rest, pause)))
            });
            Ok(Box::pin(stream) as ByteStream)
        })
    }
}

/// Steps as text, with paths below the root.
pub(super) fn recorder(root: &Path) -> (StepHook, Arc<Mutex<Vec<String>>>) {
    let (root, log) = (root.to_owned(), Arc::new(Mutex::new(Vec::new())));
    let to = log.clone();
    let hook: StepHook = Arc::new(move |step| {
        let short = |path: &Path| path.strip_prefix(&root).unwrap_or(path).display().to_string();
        to.lock().unwrap().push(match step {
            Step::FlushFile(path) => format!("flush {}", short(path)),
            Step::FlushAll(path) => format!("flush-all {}", short(path)),
            Step::FlushDir(path) => format!("flush-dir {}", short(path)),
            Step::Rename(from, to) => format!("rename {} {}", short(from), short(to)),
            Step::Remove(path) => format!("remove {}", short(path)),
        });
        Ok(())
    });
    (hook, log)
}
