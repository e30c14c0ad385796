//! Decides what a copy has to do, reading only manifests and configs.
//!
//! The plan is complete before the first blob moves; `--dry-run` stops here.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::options::{CopyOptions, PlanReport, PlannedBlob, PlannedManifest, Selection, Shape};
use crate::error::{Error, ErrorKind, Result};
use crate::spec::{
    Body, Descriptor, Digest, Image, ImageConfig, ImageManifest, MAX_CONFIG, MAX_INDEX_DEPTH,
    MAX_MANIFEST, Manifest, MediaType, Platform, Schema1,
};
use crate::transport::{Abilities, ItemKind, Presence, Sink, Source, Usual};

/// Manifests read at a time.
const READERS: usize = 8;
/// Most manifests below one root.
const MAX_MANIFESTS: usize = 20_000;
/// Most memory that the manifests and configs of one plan may take, as [`cost`] counts it.
const MAX_MEMORY: u64 = 40 << 20;
/// Most bytes of manifests that are parsed at a time, in units of `UNIT`: parsing takes several
/// times the memory of the result.
const PARSED_AT_A_TIME: usize = 64;
const UNIT: u64 = MAX_MANIFEST / PARSED_AT_A_TIME as u64;

/// What is to be done.
pub(super) struct Plan {
    /// The root as the source has it.
    pub source_digest: Digest,
    /// What the destination's name points to now.
    pub current: Option<Descriptor>,
    /// Manifests, children before parents; the last one is the root.
    pub nodes: Vec<Node>,
    /// Blobs, each once, largest first.
    pub leaves: Vec<Leaf>,
    /// Manifests below the root that the destination has with all that they refer to.
    pub complete: Vec<Descriptor>,
    /// The destination has it all; nothing else is filled in.
    pub unchanged: Option<Descriptor>,
}

/// A manifest on its way.
pub(super) struct Node {
    /// As the source has it.
    pub manifest: Arc<Manifest>,
    /// For an index: the entries that come along, when not all do.
    pub wanted: Option<Vec<Digest>>,
    /// Whether the index is written anew with only those.
    pub strip: bool,
    /// It is BuildKit's attestation about another entry.
    pub attestation: bool,
    /// Where its image runs, if an index told it.
    pub platform: Option<Platform>,
    /// Its config, where it had to be read.
    pub config: Option<ImageConfig>,
}

/// A blob on its way.
#[derive(Clone)]
pub(super) struct Leaf {
    /// As the source names it.
    pub descriptor: Descriptor,
    /// Its role.
    pub kind: ItemKind,
    /// Its bytes, if they were read already.
    pub content: Option<Bytes>,
    /// The destination has it.
    pub present: bool,
    /// Its compression changes on the way.
    pub convert: bool,
}

impl Leaf {
    /// Its role in one word.
    pub(super) fn what(&self) -> &'static str {
        match self.kind {
            ItemKind::Config => "config",
            ItemKind::Layer(_) => "layer",
            ItemKind::Manifest => "manifest",
            ItemKind::Other => "blob",
        }
    }
}

/// Makes the plan.
pub(super) async fn plan<S: Source, D: Sink>(
    source: &S,
    sink: &D,
    options: &CopyOptions,
) -> Result<Plan> {
    let current = match options.no_clobber {
        true => match sink.occupant().await? {
            Some(there) => return Ok(Plan::unchanged(there.digest.clone(), there)),
            None => None,
        },
        false => sink.current().await?,
    };
    if let Some(there) = &current
        && let Some(root) = unchanged_root(source, sink, options, there).await?
    {
        return Ok(Plan::unchanged(root.digest.clone(), root));
    }
    let root = source.read_root().await?;
    if let Some(expected) = &options.expected
        && !root.has_digest(expected)
    {
        return Err(Error::corrupt(format!(
            "the source's manifest is {}, not {expected}",
            root.digest()
        )));
    }
    Planner::new(source, sink, options).plan(root, current).await
}

/// Plans the graph below one manifest, without a name at the destination.
pub(super) async fn graph<S: Source, D: Sink>(
    source: &S,
    sink: &D,
    options: &CopyOptions,
    root: &Descriptor,
) -> Result<Plan> {
    let planner = Planner::new(source, sink, options);
    let root = planner.load(root).await?;
    planner.plan(root, None).await
}

/// The root, if the destination's name already points to exactly that and all of it is there.
async fn unchanged_root<S: Source, D: Sink>(
    source: &S,
    sink: &D,
    options: &CopyOptions,
    there: &Descriptor,
) -> Result<Option<Descriptor>> {
    let whole = match options.selection {
        Selection::Usual => sink.abilities().usual == Usual::Whole,
        Selection::All => true,
        Selection::Platforms(..) => false,
    };
    if !whole || options.edits() || !options.additional_tags.is_empty() || options.with_referrers {
        return Ok(None);
    }
    let root = source.resolve().await?;
    let same =
        root.digest == there.digest && options.expected.as_ref().is_none_or(|e| *e == root.digest);
    Ok((same && sink.presence(&root).await? == Presence::Complete).then_some(root))
}

impl Plan {
    fn unchanged(source_digest: Digest, root: Descriptor) -> Plan {
        let current = Some(root.clone());
        Plan {
            source_digest,
            current,
            nodes: Vec::new(),
            leaves: Vec::new(),
            complete: Vec::new(),
            unchanged: Some(root),
        }
    }

    /// The root, if it is a schema 1 manifest, of which nothing can be planned before its layers
    /// were read.
    pub(super) fn schema1(&self) -> Option<&Schema1> {
        match self.nodes.last().map(|node| node.manifest.body()) {
            Some(Body::Schema1(schema1)) => Some(schema1),
            _ => None,
        }
    }

    /// The plan in words and numbers.
    pub(super) fn report(&self) -> PlanReport {
        let action = |leaf: &Leaf| match (leaf.present, leaf.convert) {
            (true, _) => "present",
            (false, true) => "convert",
            (false, false) => "move",
        };
        let root = self.nodes.last().map(|node| node.manifest.media_type().clone());
        PlanReport {
            digest: self.source_digest.clone(),
            media_type: root
                .or_else(|| self.unchanged.as_ref().map(|root| root.media_type.clone()))
                .unwrap_or(MediaType::Other(String::new())),
            unchanged: self.unchanged.is_some(),
            manifests: self
                .nodes
                .iter()
                .map(|node| PlannedManifest {
                    digest: node.manifest.digest().clone(),
                    media_type: node.manifest.media_type().clone(),
                    platform: node.platform.as_ref().map(Platform::to_string),
                })
                .collect(),
            bytes: self
                .leaves
                .iter()
                .filter(|leaf| !leaf.present)
                .map(|leaf| leaf.descriptor.size)
                .sum(),
            blobs: self
                .leaves
                .iter()
                .map(|leaf| PlannedBlob {
                    digest: leaf.descriptor.digest.clone(),
                    size: leaf.descriptor.size,
                    what: leaf.what(),
                    action: action(leaf),
                })
                .collect(),
        }
    }
}

struct Planner<'a, S, D> {
    source: &'a S,
    sink: &'a D,
    options: &'a CopyOptions,
    abilities: Abilities,
    /// What is kept so far, as [`cost`] counts it.
    memory: AtomicU64,
    /// The right to parse, by size.
    parsing: Semaphore,
}

/// What a document of `children` descriptors costs in memory, with its bytes: small values take
/// much more than their text, and each but the last of its list is followed by a comma.
fn cost(raw: &[u8], children: usize) -> u64 {
    let values = raw.iter().filter(|byte| **byte == b',').count();
    raw.len() as u64 * 2 + values as u64 * 128 + children as u64 * 1024
}

/// A manifest that an index refers to, not read yet.
struct Pending {
    descriptor: Descriptor,
    platform: Option<Platform>,
}

impl<'a, S: Source, D: Sink> Planner<'a, S, D> {
    fn new(source: &'a S, sink: &'a D, options: &'a CopyOptions) -> Planner<'a, S, D> {
        let (abilities, memory) = (sink.abilities(), AtomicU64::new(0));
        let parsing = Semaphore::new(PARSED_AT_A_TIME);
        Planner { source, sink, options, abilities, memory, parsing }
    }

    /// Counts what is kept; an index that no machine has room for is refused.
    fn keep(&self, raw: &[u8], children: usize) -> Result<()> {
        let cost = cost(raw, children);
        if self.memory.fetch_add(cost, Ordering::Relaxed) + cost > MAX_MEMORY {
            return Err(Error::invalid(format!(
                "the manifests and configs below the index take more than {} MiB of memory",
                MAX_MEMORY >> 20
            )));
        }
        Ok(())
    }

    /// Waits until `size` bytes more may be parsed.
    async fn turn(&self, size: u64) -> Option<SemaphorePermit<'_>> {
        let units = size.div_ceil(UNIT).clamp(1, PARSED_AT_A_TIME as u64);
        // Never closed, so there is always one to come.
        self.parsing.acquire_many(units as u32).await.ok()
    }

    async fn plan(&self, root: Manifest, current: Option<Descriptor>) -> Result<Plan> {
        let source_digest = root.digest().clone();
        let (mut nodes, complete) = self.walk(root).await?;
        let leaves = self.leaves(&mut nodes).await?;
        Ok(Plan { source_digest, current, nodes, leaves, complete, unchanged: None })
    }

    /// Reads the graph below `root` level by level; children end up before parents. Also names
    /// what need not be read because the destination has it whole.
    async fn walk(&self, root: Manifest) -> Result<(Vec<Node>, Vec<Descriptor>)> {
        let root = self.choose_root(root).await?;
        let mut seen: HashSet<Digest> = HashSet::from([root.manifest.digest().clone()]);
        let mut missing = Vec::new();
        let mut complete = Vec::new();
        let mut levels = vec![vec![root]];
        let mut count = 1;
        while let Some(level) = levels.last() {
            let pending = pending_below(level, &mut seen);
            if pending.is_empty() {
                break;
            }
            count += pending.len();
            if levels.len() > MAX_INDEX_DEPTH || count > MAX_MANIFESTS {
                return Err(Error::invalid(format!(
                    "the index is nested deeper than {MAX_INDEX_DEPTH} or holds more than {MAX_MANIFESTS} manifests"
                )));
            }
            let read: Vec<_> = stream::iter(pending)
                .map(|pending| self.read(pending))
                .buffered(READERS)
                .try_collect()
                .await?;
            let mut next = Vec::new();
            for outcome in read {
                match outcome {
                    Read::Node(node) => next.push(*node),
                    Read::Complete(descriptor) => complete.push(descriptor),
                    Read::Missing(pending) => missing.push(pending),
                }
            }
            levels.push(next);
        }
        self.check_missing(&missing)?;
        Ok((levels.into_iter().rev().flatten().collect(), complete))
    }

    /// Applies the selection to the root: perhaps another root, perhaps only some entries.
    async fn choose_root(&self, root: Manifest) -> Result<Node> {
        let Some(index) = root.as_index() else {
            if let Selection::Platforms(platforms, _) = &self.options.selection {
                self.check_single(&root, platforms).await?;
            }
            return self.node(root, None, None);
        };
        let host = [Platform::host()];
        let (platforms, shape): (&[Platform], Shape) = match (
            &self.options.selection,
            self.abilities.usual,
        ) {
            (Selection::All, Usual::HostAlone) => {
                return Err(Error::usage(
                    "this destination holds single images, not all platforms of an index: choose one with --platform",
                ));
            }
            (Selection::All, _) | (Selection::Usual, Usual::Whole) => {
                return self.node(root, None, None);
            }
            (Selection::Usual, Usual::HostInIndex) => (&host, Shape::Sparse),
            (Selection::Usual, Usual::HostAlone) => (&host, Shape::Single),
            (Selection::Platforms(platforms, _), Usual::HostAlone) => (platforms, Shape::Single),
            (Selection::Platforms(platforms, Shape::Stripped), Usual::HostInIndex) => {
                (platforms, Shape::Sparse)
            }
            (Selection::Platforms(platforms, shape), _) => (platforms, *shape),
        };
        let mut chosen = Vec::new();
        for platform in platforms {
            let entry = platform
                .choose(&index.manifests)
                .ok_or_else(|| no_platform(platform, &index.manifests))?;
            if !chosen.contains(&entry) {
                chosen.push(entry);
            }
        }
        match (shape, chosen.as_slice()) {
            (Shape::Single, [one]) => {
                let one = (*one).clone();
                let manifest = self.load(&one).await?;
                Box::pin(self.choose_root(manifest)).await
            }
            (Shape::Single, _) => {
                Err(Error::usage("only one platform can be copied without its index"))
            }
            (_, chosen) => {
                let mut keep: Vec<Digest> =
                    chosen.iter().map(|entry| entry.digest.clone()).collect();
                if self.abilities.usual == Usual::Whole {
                    let about = |entry: &&Descriptor| {
                        entry.attests().is_some_and(|digest| {
                            chosen.iter().any(|c| c.digest.to_string() == digest)
                        })
                    };
                    keep.extend(
                        index.manifests.iter().filter(about).map(|entry| entry.digest.clone()),
                    );
                }
                let strip = shape == Shape::Stripped;
                Ok(Node { strip, ..self.node(root, None, Some(keep))? })
            }
        }
    }

    /// A person who names a platform must not get another one, even if there is no index.
    async fn check_single(&self, root: &Manifest, platforms: &[Platform]) -> Result<()> {
        let Some(image) = root.as_image().filter(|image| image.is_image()) else { return Ok(()) };
        let config = self.config(image).await?;
        let offered = config.platform();
        match platforms.iter().find(|platform| platform.accepts(&offered).is_none()) {
            None => Ok(()),
            Some(platform) => {
                Err(Error::not_found(format!("the image is for {offered}, not for {platform}")))
            }
        }
    }

    /// Reads one manifest, unless the destination has it with all below it.
    async fn read(&self, pending: Pending) -> Result<Read> {
        // What is to be written anew must be read, even if its old form is there.
        let rewritten = self.options.format.is_some() || self.options.compression.is_some();
        if !rewritten && self.sink.presence(&pending.descriptor).await? == Presence::Complete {
            return Ok(Read::Complete(pending.descriptor));
        }
        match self.load(&pending.descriptor).await {
            Ok(manifest) => {
                let attestation = pending.descriptor.is_attestation();
                let node = self.node(manifest, pending.platform, None)?;
                Ok(Read::Node(Box::new(Node { attestation, ..node })))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Read::Missing(pending)),
            Err(error) => Err(error),
        }
    }

    async fn load(&self, descriptor: &Descriptor) -> Result<Manifest> {
        let _turn = self.turn(descriptor.size).await;
        let blob = self.source.open(descriptor).await?;
        let manifest = Manifest::verified(blob.into_bytes(MAX_MANIFEST).await?, descriptor)?;
        self.keep(manifest.raw(), manifest.children().len())?;
        Ok(manifest)
    }

    async fn config(&self, image: &ImageManifest) -> Result<ImageConfig> {
        let _turn = self.turn(image.config.size).await;
        let blob = self.source.open(&image.config).await?;
        let config = ImageConfig::verified(blob.into_bytes(MAX_CONFIG).await?, &image.config)?;
        self.keep(config.raw(), 0)?;
        Ok(config)
    }

    fn node(
        &self,
        manifest: Manifest,
        platform: Option<Platform>,
        wanted: Option<Vec<Digest>>,
    ) -> Result<Node> {
        let artifact = manifest.as_image().is_some_and(|image| !image.is_image());
        if artifact && !self.abilities.artifacts {
            return Err(Error::unsupported(format!(
                "{} is an artifact, which this destination cannot hold (registries, oci: and store: can)",
                manifest.digest()
            )));
        }
        Ok(Node {
            manifest: Arc::new(manifest),
            wanted,
            strip: false,
            attestation: false,
            platform,
            config: None,
        })
    }

    /// An index whose images are not all at the source must not be copied as if it were whole.
    fn check_missing(&self, missing: &[Pending]) -> Result<()> {
        let sparse = matches!(self.options.selection, Selection::Platforms(_, Shape::Sparse))
            || self.options.sparse_source;
        if sparse || missing.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = missing
            .iter()
            .take(12)
            .map(|pending| match &pending.platform {
                Some(platform) => format!("{platform} ({})", pending.descriptor.digest),
                None => pending.descriptor.digest.to_string(),
            })
            .collect();
        Err(Error::not_found(format!(
            "the source does not hold {} of the index's manifests: {}; choose others with --platform, \
             or copy the index as it is with --sparse",
            missing.len(),
            names.join(", ")
        )))
    }

    /// The blobs below all images, each once, largest first.
    async fn leaves(&self, nodes: &mut [Node]) -> Result<Vec<Leaf>> {
        let mut leaves: HashMap<Digest, Leaf> = HashMap::new();
        for node in nodes.iter_mut() {
            let manifest = node.manifest.clone();
            let Some(image) = manifest.as_image() else { continue };
            if image.is_image() && self.abilities.wants_diff_ids {
                node.config = Some(self.config(image).await?);
            }
            for leaf in image_leaves(&manifest, image, node.config.as_ref())? {
                // Foreign layers stay where they are, unless the destination holds unpacked ones.
                if is_elsewhere(&leaf.descriptor) && !self.abilities.wants_diff_ids {
                    continue;
                }
                leaves.entry(leaf.descriptor.digest.clone()).or_insert(leaf);
            }
        }
        let mut leaves: Vec<Leaf> = stream::iter(leaves.into_values())
            .map(|leaf| self.settle(leaf))
            .buffer_unordered(READERS)
            .try_collect()
            .await?;
        leaves.sort_by(|a, b| {
            let key = |leaf: &Leaf| {
                (leaf.kind != ItemKind::Config, std::cmp::Reverse(leaf.descriptor.size))
            };
            key(a).cmp(&key(b)).then_with(|| a.descriptor.digest.cmp(&b.descriptor.digest))
        });
        Ok(leaves)
    }

    /// Finds out what has to happen to a blob.
    async fn settle(&self, mut leaf: Leaf) -> Result<Leaf> {
        leaf.convert =
            self.options.compression.is_some_and(|wanted| wanted.applies_to(&leaf.descriptor));
        leaf.present =
            !leaf.convert && self.sink.presence(&leaf.descriptor).await? != Presence::Missing;
        Ok(leaf)
    }
}

/// What came of reading one manifest.
enum Read {
    Node(Box<Node>),
    Complete(Descriptor),
    Missing(Pending),
}

/// The manifests that the indexes of one level refer to and nobody has read yet.
fn pending_below(level: &[Node], seen: &mut HashSet<Digest>) -> Vec<Pending> {
    let mut pending = Vec::new();
    for node in level {
        let Some(index) = node.manifest.as_index() else { continue };
        for entry in &index.manifests {
            let wanted = node.wanted.as_ref().is_none_or(|wanted| wanted.contains(&entry.digest));
            if wanted && seen.insert(entry.digest.clone()) {
                pending
                    .push(Pending { descriptor: entry.clone(), platform: entry.platform.clone() });
            }
        }
    }
    pending
}

/// Whether a layer is fetched from its own addresses, not from the registry.
fn is_elsewhere(layer: &Descriptor) -> bool {
    layer.media_type.as_layer().is_some_and(|layer| layer.foreign) && !layer.urls.is_empty()
}

fn image_leaves(
    manifest: &Manifest,
    image: &ImageManifest,
    config: Option<&ImageConfig>,
) -> Result<Vec<Leaf>> {
    let diff_ids = match config {
        // Also checks that config and manifest speak of the same layers.
        Some(config) => {
            let image = Image::new(manifest.clone(), config.clone())?;
            Some(image.layers().iter().map(|layer| layer.diff_id.clone()).collect::<Vec<_>>())
        }
        None => None,
    };
    let leaf = |descriptor: &Descriptor, kind| Leaf {
        descriptor: descriptor.clone(),
        kind,
        content: None,
        present: false,
        convert: false,
    };
    let mut leaves = Vec::with_capacity(image.layers.len() + 1);
    let config_kind = if image.is_image() { ItemKind::Config } else { ItemKind::Other };
    leaves.push(Leaf {
        content: config.map(|config| config.raw().clone()),
        ..leaf(&image.config, config_kind)
    });
    for (position, layer) in image.layers.iter().enumerate() {
        let kind = match layer.media_type {
            MediaType::Layer(_) => {
                ItemKind::Layer(diff_ids.as_ref().and_then(|ids| ids.get(position)).cloned())
            }
            _ => ItemKind::Other,
        };
        leaves.push(leaf(layer, kind));
    }
    Ok(leaves)
}

fn no_platform(platform: &Platform, entries: &[Descriptor]) -> Error {
    let mut offered: Vec<String> = entries
        .iter()
        .filter_map(|entry| entry.platform.as_ref())
        .filter(|platform| platform.is_known())
        .map(Platform::to_string)
        .collect();
    offered.dedup();
    Error::not_found(format!("no image for {platform}; there are {}", offered.join(", ")))
}
