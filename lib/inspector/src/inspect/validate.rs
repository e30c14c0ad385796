//! Whether an image is what it claims to be: every digest, size, diff ID and count, the form of its
//! archives, and its platform. What is wrong is a finding; only what cannot be reached is an error.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use super::files::{Comparison, Step, is_tables_fault, table_index, walk_hashed};
use super::{choose, load};
use crate::blob::BlobReader;
use crate::error::{Error, ErrorKind, Result};
use crate::spec::{
    Algorithm, Body, Descriptor, DiffId, Digest, Hasher, Image, ImageConfig, ImageManifest,
    MAX_CONFIG, MAX_INDEX_DEPTH, Manifest, Platform, claimed_compression,
};
use crate::transport::{LayerContent, Source};

/// Most manifests of one root.
const MAX_MANIFESTS: u64 = 10_000;
/// Most oddities of one layer that are named.
const MAX_ODD: usize = 20;

/// What was looked at, and what is wrong.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Validation {
    /// Manifests and indexes read.
    pub manifests: u64,
    /// Configs read.
    pub configs: u64,
    /// Layers and other blobs read.
    pub blobs: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// Layers that the store keeps unpacked only: their files were read, their digests cannot be
    /// known.
    #[serde(skip_serializing_if = "is_none")]
    pub unpacked_only: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_none(count: &u64) -> bool {
    *count == 0
}

/// Something that is wrong.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// With what: a digest and what it is.
    pub at: String,
    /// What.
    pub what: String,
}

/// How thoroughly, and how fast.
#[derive(Clone, Debug, Default)]
pub struct ValidateOptions {
    /// Only the image for this platform; all of an index, if not said.
    pub platform: Option<Platform>,
    /// Manifests and configs only.
    pub skip_layers: bool,
    /// Layers read at the same time; 0 counts as 1.
    pub jobs: usize,
    /// Where tables of contents of layers are kept while they are compared with the layers; without,
    /// they are not looked at.
    pub keep_in: Option<PathBuf>,
}

/// Checks what the source's name stands for.
///
/// # Errors
/// What the place says when it cannot be reached, or has nothing of that name.
pub async fn validate<S: Source>(source: &S, options: &ValidateOptions) -> Result<Validation> {
    let mut pass = Pass {
        source,
        options,
        report: Validation::default(),
        seen: BTreeSet::new(),
        blobs: Vec::new(),
        known: BTreeSet::new(),
    };
    let root = match source.read_root().await {
        Ok(root) => root,
        Err(error) => {
            pass.fault("the manifest", error)?;
            return Ok(pass.report);
        }
    };
    let start = match &options.platform {
        Some(platform) => choose(source, &root, platform).await?,
        None => root,
    };
    pass.manifest(&start, None, 0).await?;
    pass.layers().await?;
    Ok(pass.report)
}

struct Pass<'a, S> {
    source: &'a S,
    options: &'a ValidateOptions,
    report: Validation,
    seen: BTreeSet<Digest>,
    /// What is left to read.
    blobs: Vec<Blob>,
    known: BTreeSet<(Digest, Option<DiffId>)>,
}

/// What a blob is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Layer,
    /// Content of an artifact.
    Other,
}

struct Blob {
    descriptor: Descriptor,
    role: Role,
    diff_id: Option<DiffId>,
}

impl Blob {
    fn at(&self) -> String {
        let role = if self.role == Role::Layer { "layer" } else { "blob" };
        format!("{role} {}", self.descriptor.digest)
    }
}

impl<S: Source> Pass<'_, S> {
    fn find(&mut self, at: impl Into<String>, what: impl Into<String>) {
        self.report.findings.push(Finding { at: at.into(), what: what.into() });
    }

    /// A fault of the content becomes a finding; anything else stays an error.
    fn fault(&mut self, at: &str, error: Error) -> Result<()> {
        use ErrorKind::{Corrupt, Invalid, NotFound, Unsupported};
        match error.kind() {
            Corrupt | Invalid | Unsupported => self.find(at, error.chain()),
            // A name without anything is the person's mistake, a piece that is missing is not.
            NotFound if self.report.manifests > 0 => self.find(at, error.chain()),
            _ => return Err(error.while_doing(format!("checking {at}"))),
        }
        Ok(())
    }

    async fn manifest(
        &mut self,
        manifest: &Manifest,
        entry: Option<&Descriptor>,
        depth: usize,
    ) -> Result<()> {
        self.report.manifests += 1;
        let at = format!("manifest {}", manifest.digest());
        if depth > MAX_INDEX_DEPTH || self.report.manifests > MAX_MANIFESTS {
            self.find(at, "indexes are nested too deeply or have too many entries");
            return Ok(());
        }
        match manifest.body() {
            Body::Index(index) => {
                for entry in &index.manifests {
                    if !self.seen.insert(entry.digest.clone()) {
                        continue;
                    }
                    match load(self.source, entry).await {
                        Ok(child) => {
                            Box::pin(self.manifest(&child, Some(entry), depth + 1)).await?;
                        }
                        Err(error) => self.fault(&format!("manifest {}", entry.digest), error)?,
                    }
                }
                Ok(())
            }
            Body::Image(image) if image.is_image() => self.image(manifest, image, entry, &at).await,
            Body::Image(artifact) => {
                self.blob(Role::Other, &artifact.config, None);
                for layer in &artifact.layers {
                    self.blob(Role::Other, layer, None);
                }
                Ok(())
            }
            Body::Schema1(_) => {
                self.find(at, "a manifest of schema 1, which names neither sizes nor diff IDs");
                Ok(())
            }
        }
    }

    async fn image(
        &mut self,
        manifest: &Manifest,
        body: &ImageManifest,
        entry: Option<&Descriptor>,
        at: &str,
    ) -> Result<()> {
        let read = async {
            let raw = self.source.open(&body.config).await?.into_bytes(MAX_CONFIG).await?;
            ImageConfig::verified(raw, &body.config)
        };
        let config = match read.await {
            Ok(config) => config,
            Err(error) => {
                self.fault(&format!("config {}", body.config.digest), error)?;
                return self.layers_without_config(body);
            }
        };
        self.report.configs += 1;
        let platform = config.platform();
        if let Some(told) = entry.and_then(|entry| entry.platform.as_ref())
            && told.is_known()
            && told.accepts(&platform).is_none()
        {
            self.find(at, format!("the index says {told}, the config {platform}"));
        }
        let lines = &config.fields().history;
        let made = lines.iter().filter(|line| !line.empty_layer).count();
        if !lines.is_empty() && made != body.layers.len() {
            let layers = body.layers.len();
            self.find(at, format!("the history tells of {made} layers, the manifest of {layers}"));
        }
        // Attestations of BuildKit and signatures of cosign have the form of an image, but their
        // layers are documents.
        let attests = entry.is_some_and(Descriptor::is_attestation)
            || !platform.is_known()
            || body.layers.iter().all(|layer| layer.media_type.as_layer().is_none());
        match Image::new(manifest.clone(), config) {
            Ok(image) => {
                for layer in image.layers() {
                    let descriptor = &layer.descriptor;
                    match attests && descriptor.media_type.as_layer().is_none() {
                        true => self.blob(Role::Other, descriptor, None),
                        false => self.blob(Role::Layer, descriptor, Some(layer.diff_id.clone())),
                    }
                }
                Ok(())
            }
            Err(error) => {
                self.fault(at, error)?;
                self.layers_without_config(body)
            }
        }
    }

    fn layers_without_config(&mut self, body: &ImageManifest) -> Result<()> {
        for layer in &body.layers {
            self.blob(Role::Layer, layer, None);
        }
        Ok(())
    }

    fn blob(&mut self, role: Role, descriptor: &Descriptor, diff_id: Option<DiffId>) {
        if self.known.insert((descriptor.digest.clone(), diff_id.clone())) {
            self.blobs.push(Blob { descriptor: descriptor.clone(), role, diff_id });
        }
    }

    async fn layers(&mut self) -> Result<()> {
        if self.options.skip_layers {
            return Ok(());
        }
        let (source, options) = (self.source, self.options);
        let blobs = std::mem::take(&mut self.blobs);
        let mut done = stream::iter(blobs)
            .map(|blob| async move {
                let found = check(source, &blob, options.keep_in.as_deref()).await;
                Ok::<_, Error>((blob, found))
            })
            .buffered(self.options.jobs.max(1));
        while let Some((blob, found)) = done.try_next().await? {
            match found {
                Ok(Checked::Unpacked) => self.report.unpacked_only += 1,
                Ok(Checked::Blob(wrong)) => {
                    self.report.blobs += 1;
                    self.report.bytes += blob.descriptor.size;
                    let findings = wrong.into_iter().map(|what| Finding { at: blob.at(), what });
                    self.report.findings.extend(findings);
                }
                Err(error) => self.fault(&blob.at(), error)?,
            }
        }
        Ok(())
    }
}

/// What was looked at.
enum Checked {
    /// The blob; what is wrong with it beside its digest.
    Blob(Vec<String>),
    /// Only the files that were in it.
    Unpacked,
}

/// Reads a blob to its verified end.
async fn check<S: Source>(source: &S, blob: &Blob, keep_in: Option<&Path>) -> Result<Checked> {
    let descriptor = blob.descriptor.clone();
    if blob.role == Role::Other {
        let read = |mut reader: BlobReader| {
            while reader.next_chunk()?.is_some() {}
            Ok(Checked::Blob(Vec::new()))
        };
        return source.open(&descriptor).await?.consume(read).await;
    }
    let content = match source.open_layer(&descriptor).await? {
        LayerContent::Blob(content) => content,
        LayerContent::Repacked { archive, .. } => {
            let read =
                |reader| walk_hashed(reader, &mut Hasher::new(Algorithm::Sha256), |_| Ok(()));
            archive.consume(read).await?;
            return Ok(Checked::Unpacked);
        }
    };
    let mut wrong = Vec::new();
    let table = match keep_in {
        Some(dir) => match table_index(source, &descriptor, dir).await {
            Err(error) if is_tables_fault(error.kind()) => {
                wrong.push(error.chain());
                None
            }
            other => other?,
        },
        None => None,
    };
    let diff_id = blob.diff_id.clone();
    let work = move |reader| {
        let more = layer(reader, &descriptor, diff_id.as_ref(), table.map(Comparison::new))?;
        wrong.extend(more);
        Ok(Checked::Blob(wrong))
    };
    content.consume(work).await
}

fn layer(
    reader: BlobReader,
    descriptor: &Descriptor,
    diff_id: Option<&DiffId>,
    mut table: Option<Comparison>,
) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    let algorithm = diff_id.map_or(Algorithm::Sha256, |id| id.0.algorithm());
    let mut hasher = Hasher::new(algorithm);
    let totals = walk_hashed(reader, &mut hasher, |step| {
        let found = match step {
            Step::Odd(name, error) => {
                let name = super::files::Name(name);
                Some(format!("entry {name}: {}", error.chain()))
            }
            Step::Member(mut member) => match &mut table {
                Some(told) => told.meet(&mut member)?,
                None => None,
            },
        };
        wrong.extend(found.filter(|_| wrong.len() < MAX_ODD));
        Ok(())
    })?;
    wrong.extend(table.and_then(|told| told.end()));
    let inside = hasher.finish();
    if let Some(diff_id) = diff_id
        && diff_id.0 != inside
    {
        wrong.push(format!("the config says that {} is inside, but it is {inside}", diff_id.0));
    }
    match (claimed_compression(descriptor), totals.format.compression()) {
        (Some(claimed), Some(found)) if claimed != found => {
            wrong.push(format!(
                "{} is the type, but it is {}",
                descriptor.media_type, totals.format
            ));
        }
        (_, None) => wrong.push(format!("{} is no compression of layers", totals.format)),
        (None, Some(_)) => {
            wrong.push(format!("{} is no type of layers", descriptor.media_type));
        }
        _ => {}
    }
    Ok(wrong)
}
