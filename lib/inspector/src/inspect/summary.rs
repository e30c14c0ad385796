//! One image on one screen.

use std::collections::BTreeMap;
use std::path::PathBuf;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use super::{files, find, image, load, none_for};
use crate::error::{Error, ErrorKind, Result};
use crate::spec::{
    Compression, Descriptor, DiffId, Digest, Image, Manifest, MediaType, Platform,
    claimed_compression,
};
use crate::transport::Source;

/// Most problems that are named.
const MAX_PROBLEMS: usize = 100;

/// What is told.
#[derive(Clone, Debug, Default)]
pub struct SummaryOptions {
    /// The image for this platform.
    pub platform: Option<Platform>,
    /// Also the sizes of the other platforms' images, and what refers to the root and the image.
    pub full: bool,
    /// Directory with kept indexes of layers, which know unpacked sizes.
    pub keep_in: Option<PathBuf>,
    /// Manifests asked for at the same time; 0 counts as 1.
    pub jobs: usize,
}

/// What a name stands for.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Digest of what the name stands for: of the index, if it is one.
    pub digest: Digest,
    /// What that is.
    pub media_type: MediaType,
    /// The entries of the index, if it is one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<Entry>,
    /// The image for the platform; `None` for an artifact, and where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageSummary>,
    /// What an artifact is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The blobs of an artifact, or of an image whose config cannot be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blobs: Vec<Blob>,
    /// Annotations of the root.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What refers to the root or the image, where that was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub referrers: Vec<ReferrerSummary>,
    /// What could not be told, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// Whether something is missing or is not what it claims to be.
    pub damaged: bool,
}

impl Summary {
    fn of(digest: Digest, media_type: MediaType) -> Summary {
        Summary {
            digest,
            media_type,
            entries: Vec::new(),
            image: None,
            artifact_type: None,
            blobs: Vec::new(),
            annotations: BTreeMap::new(),
            referrers: Vec::new(),
            problems: Vec::new(),
            damaged: false,
        }
    }

    /// A fault of the content is noted, so that the rest can be told.
    ///
    /// # Errors
    /// Any other failure.
    fn note(&mut self, error: Error) -> Result<()> {
        use ErrorKind::{Corrupt, Invalid, NotFound, Unsupported};
        match error.kind() {
            Corrupt | Invalid | NotFound => self.damaged = true,
            Unsupported => {}
            _ => return Err(error),
        }
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(error.chain());
        }
        Ok(())
    }
}

/// One entry of an index.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Digest of the manifest.
    pub digest: Digest,
    /// Its platform, if the index tells.
    pub platform: Option<String>,
    /// It is an attestation about another entry.
    pub attestation: bool,
    /// Compressed bytes of all its layers, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// A blob that is no layer of a readable image.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Blob {
    /// Its digest.
    pub digest: Digest,
    /// What it is.
    pub media_type: MediaType,
    /// Its bytes.
    pub size: u64,
    /// Its file name, where artifacts tell one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

/// Something that refers to the image.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReferrerSummary {
    /// Digest of its manifest.
    pub digest: Digest,
    /// What it refers to.
    pub subject: Digest,
    /// What it is.
    pub artifact_type: String,
    /// The tag that makes the connection where the manifest does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

/// One image.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageSummary {
    /// Digest of its manifest.
    pub digest: Digest,
    /// Digest of its config: the image ID.
    pub id: Digest,
    /// Where it runs.
    pub platform: Platform,
    /// When it was made.
    pub created: Option<String>,
    /// Compressed bytes of all layers.
    pub size: u64,
    /// Bytes of the tar streams inside, where all are known without reading them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unpacked: Option<u64>,
    /// The layers, lowest first.
    pub layers: Vec<LayerSummary>,
    /// The history, oldest first.
    pub history: Vec<StepSummary>,
    /// The `config` part of the config: environment, command and the like, as it is.
    pub config: serde_json::Value,
    /// Name of the image it was built on, if annotations tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_name: Option<String>,
    /// Digest of that image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_digest: Option<String>,
}

/// One layer.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerSummary {
    /// Digest of the blob.
    pub digest: Digest,
    /// Digest of the tar stream inside.
    pub diff_id: DiffId,
    /// What the blob is.
    pub media_type: MediaType,
    /// Compressed bytes.
    pub size: u64,
    /// Bytes of the tar stream inside, where they are known without reading it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unpacked: Option<u64>,
    /// The history line that made it.
    pub created_by: Option<String>,
}

/// One line of the history.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepSummary {
    /// When.
    pub created: Option<String>,
    /// By what.
    pub created_by: Option<String>,
    /// A remark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Digest of the layer that it made, if it made one.
    pub layer: Option<Digest>,
    /// Compressed bytes of that layer.
    pub size: u64,
}

/// Describes what the source's name stands for, and the image for the platform.
///
/// Without a platform of the person's own choice, an index that has no image for this machine is
/// described all the same. What is damaged is named in `problems`.
///
/// # Errors
/// `NotFound` for a platform that was asked for and is not there; what the place says.
pub async fn summary<S: Source>(source: &S, options: &SummaryOptions) -> Result<Summary> {
    let root = match source.read_root().await {
        Ok(root) => root,
        Err(error) => return unreadable(source, error).await,
    };
    let mut told = Summary::of(root.digest().clone(), root.media_type().clone());
    let entries = root.as_index().into_iter().flat_map(|index| &index.manifests);
    told.entries = entries.map(entry).collect();
    told.annotations = annotations(&root).clone();
    let platform = options.platform.clone().unwrap_or_else(Platform::host);
    let chosen = match find(source, &root, &platform).await {
        Ok(Some(chosen)) => Some(chosen),
        Ok(None) if options.platform.is_some() => return Err(none_for(&root, &platform)),
        Ok(None) => {
            told.problems.push(none_for(&root, &platform).chain());
            None
        }
        Err(error) if error.kind() == ErrorKind::NotFound && options.platform.is_some() => {
            return Err(error);
        }
        Err(error) => {
            told.note(error)?;
            None
        }
    };
    let mut subjects = vec![root.descriptor()];
    if let Some(chosen) = chosen {
        subjects.push(chosen.descriptor());
        describe(source, chosen, options, &mut told).await?;
    }
    if options.full {
        sizes(source, &root, options, &mut told).await?;
        subjects.dedup_by(|a, b| a.digest == b.digest);
        referrers(source, &subjects, &mut told).await?;
    }
    Ok(told)
}

/// What is known of a root manifest that is damaged: what the name stands for.
async fn unreadable<S: Source>(source: &S, error: Error) -> Result<Summary> {
    if !matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Invalid) {
        return Err(error);
    }
    let Ok(root) = source.resolve().await else { return Err(error) };
    let mut told = Summary::of(root.digest, root.media_type);
    told.note(error)?;
    Ok(told)
}

async fn describe<S: Source>(
    source: &S,
    chosen: Manifest,
    options: &SummaryOptions,
    told: &mut Summary,
) -> Result<()> {
    let Some(body) = chosen.as_image().cloned() else {
        told.problems.push(format!("{} is a {}", chosen.digest(), chosen.media_type()));
        return Ok(());
    };
    if body.is_image() {
        match image(source, chosen).await {
            Ok(image) => {
                told.image = Some(image_summary(&image, options));
                return glance(source, &body.layers, told).await;
            }
            Err(error) => told.note(error)?,
        }
        glance(source, &body.layers, told).await?;
    } else {
        let kind = body.artifact_type.clone();
        told.artifact_type = Some(kind.unwrap_or_else(|| body.config.media_type.to_string()));
    }
    told.blobs = body.layers.iter().map(blob).collect();
    Ok(())
}

/// Notes layers that are missing or of another size, where that is seen without asking a registry.
async fn glance<S: Source>(source: &S, layers: &[Descriptor], told: &mut Summary) -> Result<()> {
    for layer in layers {
        let elsewhere = layer.media_type.as_layer().is_some_and(|layer| layer.foreign);
        if elsewhere || !layer.urls.is_empty() {
            continue;
        }
        if let Err(error) = source.glance(layer).await {
            told.note(error.while_doing(format!("layer {}", layer.digest)))?;
        }
    }
    Ok(())
}

fn blob(descriptor: &Descriptor) -> Blob {
    Blob {
        digest: descriptor.digest.clone(),
        media_type: descriptor.media_type.clone(),
        size: descriptor.size,
        title: descriptor.annotations.get("org.opencontainers.image.title").cloned(),
    }
}

/// The sizes of the images of an index; of those that are there.
async fn sizes<S: Source>(
    source: &S,
    root: &Manifest,
    options: &SummaryOptions,
    told: &mut Summary,
) -> Result<()> {
    let Some(index) = root.as_index() else { return Ok(()) };
    let sizes: Vec<Result<Option<u64>>> = stream::iter(&index.manifests)
        .map(|entry| async move {
            if entry.is_attestation() {
                return Ok(None);
            }
            let manifest = load(source, entry).await?;
            let layers = manifest.as_image().map(|image| image.layers.iter());
            Ok(layers.map(|layers| layers.fold(0, |sum: u64, l| sum.saturating_add(l.size))))
        })
        .buffered(options.jobs.max(1))
        .map(Ok::<_, Error>)
        .try_collect()
        .await?;
    let mut unread = Vec::new();
    for (entry, size) in told.entries.iter_mut().zip(sizes) {
        match size {
            Ok(size) => entry.size = size,
            Err(error) => unread.push(error),
        }
    }
    // An index may be kept without some of its images.
    for error in unread {
        let damaged = told.damaged || error.kind() != ErrorKind::NotFound;
        told.note(error)?;
        told.damaged = damaged;
    }
    Ok(())
}

async fn referrers<S: Source>(
    source: &S,
    subjects: &[Descriptor],
    told: &mut Summary,
) -> Result<()> {
    for subject in subjects {
        for referrer in source.referrers(subject).await? {
            let descriptor = referrer.descriptor;
            let kind = descriptor.artifact_type.clone();
            told.referrers.push(ReferrerSummary {
                digest: descriptor.digest,
                subject: subject.digest.clone(),
                artifact_type: kind.unwrap_or_else(|| descriptor.media_type.to_string()),
                tag: referrer.tag,
            });
        }
    }
    Ok(())
}

/// How long ago something was made: `3 weeks ago`. `None` for what is no time, or not yet.
pub fn age(created: &str) -> Option<String> {
    let created = created.parse::<jiff::Timestamp>().ok()?.as_second();
    let seconds = jiff::Timestamp::now().as_second().checked_sub(created).filter(|s| *s >= 0)?;
    const UNITS: [(i64, &str); 6] = [
        (365 * 86_400, "years"),
        (30 * 86_400, "months"),
        (7 * 86_400, "weeks"),
        (86_400, "days"),
        (3600, "hours"),
        (60, "minutes"),
    ];
    let unit = UNITS.iter().find(|(length, _)| seconds >= 2 * length);
    Some(match unit {
        Some((length, unit)) => format!("{} {unit} ago", seconds / length),
        None if seconds == 1 => "1 second ago".to_owned(),
        None => format!("{seconds} seconds ago"),
    })
}

fn entry(descriptor: &Descriptor) -> Entry {
    Entry {
        digest: descriptor.digest.clone(),
        platform: descriptor.platform.as_ref().map(Platform::to_string),
        attestation: descriptor.is_attestation(),
        size: None,
    }
}

pub(super) fn annotations(manifest: &Manifest) -> &BTreeMap<String, String> {
    static NONE: BTreeMap<String, String> = BTreeMap::new();
    match (manifest.as_image(), manifest.as_index()) {
        (Some(image), _) => &image.annotations,
        (_, Some(index)) => &index.annotations,
        _ => &NONE,
    }
}

fn image_summary(image: &Image, options: &SummaryOptions) -> ImageSummary {
    let made_by = super::made_by(image);
    let layers: Vec<LayerSummary> = image
        .layers()
        .iter()
        .enumerate()
        .map(|(position, layer)| LayerSummary {
            digest: layer.descriptor.digest.clone(),
            diff_id: layer.diff_id.clone(),
            media_type: layer.descriptor.media_type.clone(),
            size: layer.descriptor.size,
            unpacked: unpacked(&layer.descriptor, options),
            created_by: made_by.get(&position).cloned(),
        })
        .collect();
    let history = image.steps().into_iter().map(|step| step_summary(&step, &layers)).collect();
    let fields = image.config().fields();
    let base = super::base(image);
    ImageSummary {
        digest: image.manifest().digest().clone(),
        id: image.id().clone(),
        platform: image.platform(),
        created: fields.created.clone(),
        size: layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.size)),
        unpacked: layers.iter().try_fold(0_u64, |sum, layer| sum.checked_add(layer.unpacked?)),
        history,
        config: image.config().document().get("config").cloned().unwrap_or_default(),
        base_name: base.name,
        base_digest: base.digest,
        layers,
    }
}

/// Bytes of the archive in a layer, as far as that is known.
fn unpacked(layer: &Descriptor, options: &SummaryOptions) -> Option<u64> {
    if claimed_compression(layer) == Some(Compression::None) {
        return Some(layer.size);
    }
    files::kept_size(options.keep_in.as_ref()?, layer)
}

fn step_summary(step: &crate::spec::Step<'_>, layers: &[LayerSummary]) -> StepSummary {
    let layer = step.layer.and_then(|position| layers.get(position));
    StepSummary {
        created: step.history.and_then(|line| line.created.clone()),
        created_by: step.history.and_then(|line| line.created_by.clone()),
        comment: step.history.and_then(|line| line.comment.clone()),
        layer: layer.map(|layer| layer.digest.clone()),
        size: layer.map_or(0, |layer| layer.size),
    }
}
