//! What hangs together: index, images, configs, layers, and what refers to them.

use std::collections::HashSet;

use serde::Serialize;

use super::load;
use crate::error::{Error, Result};
use crate::spec::{Descriptor, Digest, MediaType, Platform};
use crate::transport::Source;

/// Most nodes of one tree.
const MAX_NODES: usize = 20_000;
/// Deepest nesting: indexes, and referrers of referrers.
const MAX_DEPTH: usize = 16;

/// One piece of content and what is below it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tree {
    /// Its digest.
    pub digest: Digest,
    /// What it is.
    pub media_type: MediaType,
    /// Its size in bytes.
    pub size: u64,
    /// Its platform, where the index tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// What kind of artifact it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// What it is made of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Tree>,
    /// What refers to it: signatures, SBOMs, attestations.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub referrers: Vec<Tree>,
    /// It is named but not there.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub missing: bool,
}

/// The tree below what the source's name stands for, with referrers if wanted.
pub async fn tree<S: Source>(source: &S, referrers: bool) -> Result<Tree> {
    let root = source.read_root().await?.descriptor();
    let mut walk = Walk { source, referrers, seen: HashSet::new(), nodes: 0 };
    walk.node(&root, 0).await
}

struct Walk<'a, S> {
    source: &'a S,
    referrers: bool,
    /// Subjects whose referrers were listed: a second time could go in circles.
    seen: HashSet<Digest>,
    nodes: usize,
}

impl<S: Source> Walk<'_, S> {
    async fn node(&mut self, what: &Descriptor, depth: usize) -> Result<Tree> {
        self.nodes += 1;
        if self.nodes > MAX_NODES || depth > MAX_DEPTH {
            return Err(Error::invalid(format!(
                "the tree has more than {MAX_NODES} nodes or is deeper than {MAX_DEPTH}"
            )));
        }
        let mut node = Tree {
            digest: what.digest.clone(),
            media_type: what.media_type.clone(),
            size: what.size,
            platform: what.platform.as_ref().map(Platform::to_string),
            artifact_type: what.artifact_type.clone(),
            children: Vec::new(),
            referrers: Vec::new(),
            missing: false,
        };
        if !what.media_type.is_manifest() {
            return Ok(node);
        }
        let manifest = match load(self.source, what).await {
            Ok(manifest) => manifest,
            Err(error) if error.kind() == crate::ErrorKind::NotFound => {
                node.missing = true;
                return Ok(node);
            }
            Err(error) => return Err(error),
        };
        for child in manifest.children() {
            node.children.push(Box::pin(self.node(child, depth + 1)).await?);
        }
        if self.referrers && self.seen.insert(what.digest.clone()) {
            for referrer in self.source.referrers(what).await? {
                node.referrers.push(Box::pin(self.node(&referrer.descriptor, depth + 1)).await?);
            }
        }
        Ok(node)
    }
}
