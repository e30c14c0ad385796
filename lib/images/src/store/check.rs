//! Proves that what the store holds is what it says.
//!
//! Owns the reading of every byte: blobs against their digests, trees against their archives,
//! records against their names, names against what they need. Promise: changes nothing. Findings are data; content that others remove
//! or bring in meanwhile is no finding.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use super::marks::{Marks, Reached};
use super::prune::{Stored, list};
use super::{Image, Store, StoreName, graph};
use crate::error::{ErrorKind, IoContext, Result};
use crate::progress::{Listener, Task};
use crate::spec::{Algorithm, Descriptor, Digest, MediaType};
use crate::sys;

/// What a store may have at its root.
const KNOWN: &[&str] = &[
    "format",
    "lock",
    "tmp",
    "partial",
    "uploads",
    "blobs",
    "layers",
    "images",
    "containers",
    "mounts",
    "cache",
    "volumes",
    "networks",
    "lost+found",
];

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Finding {
    /// Bytes that do not match their digest, or cannot be read.
    DamagedBlob {
        /// What they should be.
        digest: Digest,
        /// What is wrong.
        why: String,
        /// The names that need them.
        needed_by: Vec<String>,
    },
    /// A name stands for something that is not all there.
    Missing {
        /// The name.
        name: String,
        /// What is not there, or damaged beyond use.
        what: Box<Descriptor>,
    },
    /// A name's record cannot be read.
    DamagedName {
        /// Its file.
        file: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// An unpacked layer that is not as it was unpacked.
    DamagedLayer {
        /// The layer.
        diff_id: Digest,
        /// What is wrong.
        why: String,
    },
    /// Nothing of ours. Left alone by everything here.
    Foreign {
        /// Where.
        path: PathBuf,
    },
}

impl Finding {
    /// Whether something is lost, and not just in the way.
    pub fn is_damage(&self) -> bool {
        !matches!(self, Finding::Foreign { .. })
    }
}

/// What was looked at and found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Checked {
    /// Number of names.
    pub names: u64,
    /// Number of blobs.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Number of unpacked layers.
    pub layers: u64,
    /// How many of them could be compared, file by file, with what they came from.
    pub compared: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

impl Store {
    /// Reads everything and tells what is wrong. `listener` hears of each blob.
    pub fn check(&self, listener: &Listener) -> Result<Checked> {
        let mut findings = Vec::new();
        let images = self.check_names(&mut findings)?;
        let blobs = self.blobs()?;
        let damaged = self.check_blobs(&blobs, listener);
        let needed_by = self.needed_by(&images, &damaged)?;
        for (digest, why) in &damaged {
            let needed_by = needed_by.get(digest).cloned().unwrap_or_default();
            let (digest, why) = (digest.clone(), why.clone());
            findings.push(Finding::DamagedBlob { digest, why, needed_by });
        }
        for image in &images {
            let mut missing = self.missing_of(image)?;
            if !missing.is_empty() {
                missing = self.still_missing(image)?;
            }
            let missing = missing.into_iter();
            let missing = missing.filter(|what| !damaged.contains_key(&what.digest));
            findings.extend(
                missing.map(|what| Finding::Missing {
                    name: image.name.clone(),
                    what: Box::new(what),
                }),
            );
        }
        let (layers, compared) = self.check_layers(&damaged, listener, &mut findings)?;
        self.check_foreign(&mut findings)?;
        Ok(Checked {
            layers,
            compared,
            names: images.len() as u64,
            blobs: blobs.len() as u64,
            bytes: blobs.iter().map(|blob| blob.size).sum(),
            findings,
        })
    }

    fn check_names(&self, findings: &mut Vec<Finding>) -> Result<Vec<Image>> {
        let mut images = Vec::new();
        for (file, record) in self.records()? {
            match record {
                Ok(image) => images.push(image),
                Err(error) => {
                    findings.push(Finding::DamagedName { file, why: error.chain() });
                }
            }
        }
        Ok(images)
    }

    /// What a name that was seen lacks now; nothing if it stands for something else by now.
    fn still_missing(&self, image: &Image) -> Result<Vec<Descriptor>> {
        loop {
            let before = self.image(&StoreName::parse(&image.name)?)?;
            let Some(now) = before.filter(|now| now.descriptor == image.descriptor) else {
                return Ok(Vec::new());
            };
            let missing = self.missing_of(&now)?;
            // Whoever takes content away takes the names away first.
            if self.image(&StoreName::parse(&image.name)?)?.is_some_and(|after| after == now) {
                return Ok(missing);
            }
        }
    }

    /// Compares every unpacked layer with what it came from. How many there are, and how many of
    /// them could be compared.
    fn check_layers(
        &self,
        damaged: &BTreeMap<Digest, String>,
        listener: &Listener,
        findings: &mut Vec<Finding>,
    ) -> Result<(u64, u64)> {
        let layers = self.unpacked_layers()?;
        let found = several_at_a_time(&layers, |layer| {
            let task = Task::start(listener, "layer", Some(&layer.digest), None);
            let proof = self.prove_layer(layer, damaged);
            task.done();
            // Unless it is gone since it was listed.
            Some((layer, proof)).filter(|(layer, proof)| proof.is_ok() || layer.path.exists())
        });
        let mut compared = 0;
        for (layer, proof) in found {
            match proof {
                Ok(proven) => compared += u64::from(layer.whole && proven),
                Err(error) => {
                    let (diff_id, why) = (layer.digest.clone(), error.chain());
                    findings.push(Finding::DamagedLayer { diff_id, why });
                }
            }
        }
        Ok((layers.iter().filter(|layer| layer.whole).count() as u64, compared))
    }

    /// Hashes every blob.
    fn check_blobs(&self, blobs: &[Stored], listener: &Listener) -> BTreeMap<Digest, String> {
        let damaged = several_at_a_time(blobs, |blob| {
            let task = Task::start(listener, "blob", Some(&blob.digest), Some(blob.size));
            let found = self.damage_of(&blob.digest, blob.size);
            task.advance(blob.size);
            task.done();
            found.map(|why| (blob.digest.clone(), why))
        });
        damaged.into_iter().collect()
    }

    /// What is wrong with a blob; nothing if it is not there.
    pub(super) fn damage_of(&self, digest: &Digest, size: u64) -> Option<String> {
        let what = Descriptor::new(MediaType::Other(String::new()), digest.clone(), size);
        let read = self.blob(&what).and_then(|file| {
            let copied = std::io::copy(&mut file.reader(), &mut std::io::sink());
            copied.doing(|| format!("reading {digest}"))
        });
        match read {
            Err(error) if error.kind() != ErrorKind::NotFound => Some(error.chain()),
            _ => None,
        }
    }

    /// Which names need each of `damaged`, as far as manifests can be read.
    fn needed_by(
        &self,
        images: &[Image],
        damaged: &BTreeMap<Digest, String>,
    ) -> Result<BTreeMap<Digest, Vec<String>>> {
        let mut found: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
        if damaged.is_empty() {
            return Ok(found);
        }
        let mut marks = Marks::new(self);
        for image in images {
            let mut below: BTreeSet<Digest> = image.roots().cloned().collect();
            for root in image.roots() {
                // A damaged manifest ends the walk; it is a finding of its own.
                if let Ok(more) = marks.below([Reached::root(root)]) {
                    below.extend(more);
                }
            }
            for digest in below.into_iter().filter(|digest| damaged.contains_key(digest)) {
                found.entry(digest).or_default().push(image.name.clone());
            }
        }
        Ok(found)
    }

    /// What a name needs and the store does not hold.
    pub(super) fn missing_of(&self, image: &Image) -> Result<Vec<Descriptor>> {
        let root = &image.descriptor;
        if !root.media_type.is_index() {
            return graph::missing(self, root);
        }
        let Some(manifest) = graph::Look::manifest(self, root)? else {
            return Ok(vec![root.clone()]);
        };
        // Of an index, what was there when the name was given.
        let mut missing = Vec::new();
        for child in manifest.children() {
            let listed = image.images.iter().any(|held| held.manifest == child.digest);
            if listed || child.media_type.is_index() && self.size_of(&child.digest)?.is_some() {
                missing.extend(graph::missing(self, child)?);
            }
        }
        Ok(missing)
    }

    fn check_foreign(&self, findings: &mut Vec<Finding>) -> Result<()> {
        let mut foreign = |path| findings.push(Finding::Foreign { path });
        for (path, _) in list(&self.root)? {
            let known = path.file_name().is_some_and(|name| KNOWN.iter().any(|k| name == *k));
            if !known {
                foreign(path);
            }
        }
        for (path, meta) in list(&self.root.join("blobs"))? {
            let name = path.file_name().unwrap_or_default();
            let algorithm = [Algorithm::Sha256, Algorithm::Sha512]
                .into_iter()
                .find(|algorithm| name == algorithm.as_str() && meta.is_dir());
            let Some(algorithm) = algorithm else {
                foreign(path);
                continue;
            };
            for (path, meta) in list(&path)? {
                let hex = path.file_name().unwrap_or_default().to_string_lossy();
                let digest = format!("{}:{hex}", algorithm.as_str()).parse::<Digest>();
                if digest.is_err() || !meta.is_file() {
                    foreign(path);
                }
            }
        }
        Ok(())
    }
}

/// What `work` makes of the items, as many at the same time as there are cores; in their order.
fn several_at_a_time<'i, T: Sync, R: Send>(
    items: &'i [T],
    work: impl Fn(&'i T) -> Option<R> + Sync,
) -> Vec<R> {
    let (next, made) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..sys::available_cores().min(items.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { return };
                    if let Some(result) = work(item) {
                        let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
                        made.insert(index, result);
                    }
                }
            });
        }
    });
    made.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
}
