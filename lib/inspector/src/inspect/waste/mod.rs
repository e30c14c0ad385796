//! What an image carries without showing it: dive's efficiency score, counted as dive counts.
//!
//! The rules are those of dive's `filetree.Efficiency`, oddities included, because people compare
//! the numbers: every path that ends a branch of a layer's tree counts with its size, a whiteout of
//! a file with 0 and of a directory with all that was below it, opaque marks not at all. A path that
//! is met twice is wasted with all its sizes. The score is what the smallest occurrence of each path
//! takes, divided by what all take.

mod tree;

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use serde::Serialize;

use self::tree::{LayerTree, Leaf, Stacked};
use super::files::{LayerIndex, Name};
use crate::error::{Error, Result};
use crate::spec::{Digest, Image};

/// What an image wastes.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Waste {
    /// From 0 to 1; 1 is an image without waste.
    pub efficiency: f64,
    /// Bytes of everything that is there more than once.
    pub wasted_bytes: u64,
    /// Bytes of all files of all layers.
    pub image_bytes: u64,
    /// The same without the lowest layer.
    pub user_bytes: u64,
    /// Wasted bytes per user byte; `None` where there are no user bytes.
    pub user_wasted_ratio: Option<f64>,
    /// What is there more than once, the largest first.
    pub files: Vec<WastedFile>,
    /// The layers, lowest first.
    pub layers: Vec<LayerWaste>,
}

/// A path that more than one layer has something to say about.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WastedFile {
    /// Path with a leading slash.
    pub path: Name,
    /// How often.
    pub count: usize,
    /// Bytes of all occurrences.
    pub bytes: u64,
    /// In which layers, counted from 1.
    pub layers: Vec<usize>,
}

/// A layer's part in it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerWaste {
    /// Number of the layer, from 1.
    pub layer: usize,
    /// Digest of its blob.
    pub digest: Digest,
    /// The history line that made it.
    pub created_by: Option<String>,
    /// Bytes of its files.
    pub bytes: u64,
    /// Bytes of those that are there more than once, and of what it deletes.
    pub wasted_bytes: u64,
}

/// Counts what an image wastes.
///
/// # Errors
/// `Corrupt` if a layer could not be read to its end: half a layer gives no number.
pub fn waste(image: &Image, layers: &[LayerIndex]) -> Result<Waste> {
    if let Some((number, broken)) =
        layers.iter().enumerate().find_map(|(number, layer)| Some((number, layer.broken.as_ref()?)))
    {
        let what = format!("layer {} is broken: {}", number + 1, broken.why);
        return Err(Error::new(broken.kind, what));
    }
    let Seen { mut least, mut total, more } = count(layers);
    let mut files = Vec::new();
    let mut by_layer = vec![0_u64; layers.len()];
    for (path, uses) in more {
        let bytes: u64 = uses.iter().map(|one| one.bytes).sum();
        least += uses.iter().map(|one| one.bytes).min().unwrap_or(0);
        total += bytes;
        if uses.len() < 2 {
            continue;
        }
        for one in &uses {
            by_layer[one.layer] += one.bytes;
        }
        let path = Name([b"/", &path[..]].concat());
        let layers = uses.iter().map(|one| one.layer + 1).collect();
        files.push(WastedFile { path, count: uses.len(), bytes, layers });
    }
    files.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.path.cmp(&b.path)));
    let sizes: Vec<u64> = layers.iter().map(LayerIndex::file_bytes).collect();
    let (image_bytes, user_bytes) = (sizes.iter().sum(), sizes.iter().skip(1).sum::<u64>());
    let wasted_bytes = files.iter().map(|file| file.bytes).sum();
    Ok(Waste {
        efficiency: if total == 0 { 1.0 } else { least as f64 / total as f64 },
        wasted_bytes,
        image_bytes,
        user_bytes,
        user_wasted_ratio: (user_bytes > 0).then(|| wasted_bytes as f64 / user_bytes as f64),
        files,
        layers: layer_rows(image, layers, &sizes, &by_layer),
    })
}

fn layer_rows(
    image: &Image,
    layers: &[LayerIndex],
    sizes: &[u64],
    wasted: &[u64],
) -> Vec<LayerWaste> {
    let made_by = super::made_by(image);
    let rows = layers.iter().zip(sizes).zip(wasted).enumerate();
    rows.map(|(number, ((layer, bytes), wasted))| LayerWaste {
        layer: number + 1,
        digest: layer.digest.clone(),
        created_by: made_by.get(&number).cloned(),
        bytes: *bytes,
        wasted_bytes: *wasted,
    })
    .collect()
}

/// One occurrence of a path.
struct Use {
    layer: usize,
    bytes: u64,
}

/// What was counted of all paths.
#[derive(Default)]
struct Seen {
    /// Bytes of the paths that are met once: what they take at least, and altogether.
    least: u64,
    total: u64,
    /// All occurrences of the others (and of a few that are not).
    more: HashMap<Vec<u8>, Vec<Use>>,
}

/// All occurrences of every path. Twice through all layers: paths that are met once need not be
/// remembered.
fn count(layers: &[LayerIndex]) -> Seen {
    let hashing = RandomState::new();
    let mut hashes = Vec::new();
    each_leaf(layers, |path, _| hashes.push(hashing.hash_one(path)));
    hashes.sort_unstable();
    let twice: HashSet<u64> =
        hashes.windows(2).filter(|two| two[0] == two[1]).map(|two| two[0]).collect();
    drop(hashes);
    let mut seen = Seen::default();
    each_leaf(layers, |path, one| {
        if twice.contains(&hashing.hash_one(path)) {
            seen.more.entry(path.to_vec()).or_default().push(one);
        } else {
            seen.least += one.bytes;
            seen.total += one.bytes;
        }
    });
    seen
}

fn each_leaf(layers: &[LayerIndex], mut take: impl FnMut(&[u8], Use)) {
    let mut stacked = Stacked::default();
    for layer in 0..layers.len() {
        let tree = LayerTree::new(layers, layer);
        if layer == 0 {
            stacked = Stacked::of(&tree);
        }
        tree.leaves(layers, |leaf| {
            match leaf {
                Leaf::Path(path, bytes) => take(path, Use { layer, bytes }),
                Leaf::Hidden(path) => match stacked.deleted(layers, path) {
                    Some(bytes) => take(path, Use { layer, bytes }),
                    // dive gives up on the rest of a layer that deletes what is not there.
                    None => return false,
                },
            }
            true
        });
        stacked.stack(layers, &tree);
    }
}
