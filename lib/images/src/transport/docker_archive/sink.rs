//! Writing a docker archive.
//!
//! The form is Docker's own since version 25: an OCI layout that also has a `manifest.json`. Docker
//! 20.10, podman 4.3 and skopeo 1.9 read it, layers may stay compressed, and the manifest is kept.

use std::path::{Path, PathBuf};

use tokio::sync::{Mutex, OnceCell};

use super::LIST;
use super::index::Listed;
use crate::blob::Blob;
use crate::error::{Error, ErrorKind, Result};
use crate::spec::json::to_go_bytes;
use crate::spec::{Descriptor, Manifest, MediaType, REF_NAME, Reference, is_tag};
use crate::transport::archive::Output;
use crate::transport::layout::{FULL_NAME, INDEX, LayoutIndex, blob_path};
use crate::transport::layout_archive;
use crate::transport::{Abilities, Entry, InPath, Item, ItemKind, Origin, Presence, Sink, Usual};

/// A docker archive, for writing one image or several.
pub struct DockerArchiveSink {
    path: PathBuf,
    scratch: PathBuf,
    name: Option<Reference>,
    /// Made when there is something to write.
    writer: OnceCell<ImageWriter>,
}

/// Writes images in `docker save`'s form to wherever they go.
pub(in crate::transport) struct ImageWriter {
    output: Output,
    name: Option<Reference>,
    scratch: PathBuf,
    images: Mutex<Vec<(Manifest, Vec<Reference>)>>,
}

impl DockerArchiveSink {
    /// A sink for the archive at `place`, which is begun when the first content arrives. What has
    /// no size before it is read passes through a nameless file in the directory `scratch`.
    ///
    /// # Errors
    /// `AlreadyExists` when the file is there and not empty: images cannot be added to an archive.
    /// `Usage` for `@N` and for names that are no image names with a tag.
    pub fn new(place: &InPath, scratch: &Path) -> Result<DockerArchiveSink> {
        let name = match &place.entry {
            Entry::Only => None,
            Entry::Named(name) => Some(checked_reference(name)?),
            Entry::Nth(_) => {
                let what = format!("docker-archive:{place} can be read but not written to");
                return Err(Error::usage(what));
            }
        };
        refuse_existing(&place.path)?;
        Ok(DockerArchiveSink {
            path: place.path.clone(),
            scratch: scratch.to_owned(),
            name,
            writer: OnceCell::new(),
        })
    }

    async fn writer(&self) -> Result<&ImageWriter> {
        let begin = || async {
            let output = layout_archive::begin(self.path.clone(), self.scratch.clone()).await?;
            Ok(ImageWriter::new(output, self.name.clone(), &self.scratch))
        };
        self.writer.get_or_try_init(begin).await
    }
}

fn refuse_existing(path: &Path) -> Result<()> {
    if path.metadata().is_ok_and(|meta| meta.is_file() && meta.len() > 0) {
        return Err(Error::new(
            ErrorKind::AlreadyExists,
            format!(
                "{} already exists, and images cannot be added to a docker archive; remove it first",
                path.display()
            ),
        ));
    }
    Ok(())
}

/// A name for an image that is loaded: it needs a tag and has no digest.
pub(in crate::transport) fn checked_reference(name: &str) -> Result<Reference> {
    let reference = Reference::parse(name)?.with_default_tag();
    match reference.digest() {
        None => Ok(reference),
        Some(_) => Err(Error::usage(format!(
            "{name} has a digest; an image in a docker archive is named by a tag"
        ))),
    }
}

impl ImageWriter {
    /// Writes to `output`, which already has what every layout begins with.
    pub(in crate::transport) fn new(
        output: Output,
        name: Option<Reference>,
        scratch: &Path,
    ) -> ImageWriter {
        ImageWriter { output, name, scratch: scratch.to_owned(), images: Mutex::default() }
    }

    pub(in crate::transport) async fn presence(&self, what: &Descriptor) -> Presence {
        match self.output.size_of(&what.digest).await {
            Some(size) if size == what.size => Presence::Present,
            _ => Presence::Missing,
        }
    }

    pub(in crate::transport) async fn put(&self, item: Item, content: Blob) -> Result<Descriptor> {
        if item.kind == ItemKind::Manifest {
            return Err(Error::unsupported(
                "a docker archive holds single images, not lists of them; choose a platform",
            ));
        }
        let known = item.descriptor;
        let (digest, size) = self.output.put(known.as_ref(), content, &self.scratch).await?;
        Ok(known.unwrap_or_else(|| {
            // Whoever made the bytes knows better what they are.
            Descriptor::new(MediaType::Other("application/octet-stream".into()), digest, size)
        }))
    }

    pub(in crate::transport) async fn publish(
        &self,
        name: Option<&str>,
        root: &Manifest,
    ) -> Result<()> {
        let name = match name {
            // A tag alone belongs to the image's own repository.
            Some(tag) if is_tag(tag) && self.name.is_some() => {
                self.name.as_ref().map(|own| own.with_tag(tag)).transpose()?
            }
            Some(name) => Some(checked_reference(name)?),
            None => self.name.clone(),
        };
        let Some(image) = root.as_image().filter(|image| image.is_image()) else {
            return Err(Error::unsupported(format!(
                "a docker archive holds images, and this is {}",
                root.media_type()
            )));
        };
        for part in std::iter::once(&image.config).chain(&image.layers) {
            if self.output.size_of(&part.digest).await.is_none() {
                let what = format!("the image's {} was not put into the archive", part.digest);
                return Err(Error::new(ErrorKind::Failed, what));
            }
        }
        let raw = Blob::Bytes(root.raw().clone());
        self.output.put(Some(&root.descriptor()), raw, &self.scratch).await?;
        let mut images = self.images.lock().await;
        if let Some(name) = &name {
            images.iter_mut().for_each(|(_, names)| names.retain(|known| known != name));
        }
        match images.iter_mut().find(|(known, _)| known.digest() == root.digest()) {
            Some((_, names)) => names.extend(name),
            None => images.push((root.clone(), name.into_iter().collect())),
        }
        Ok(())
    }

    /// Writes the lists of images and completes the archive.
    pub(in crate::transport) async fn finish(&self) -> Result<()> {
        let images = self.images.lock().await;
        let mut index = LayoutIndex::empty();
        let mut list = Vec::new();
        for (manifest, names) in images.iter() {
            for entry in entries(manifest, names) {
                index.push(entry)?;
            }
            let Some(image) = manifest.as_image() else { continue };
            list.push(Listed {
                config: blob_path(&image.config.digest),
                repo_tags: names.iter().map(Reference::to_string).collect(),
                layers: image.layers.iter().map(|layer| blob_path(&layer.digest)).collect(),
            });
        }
        self.output.append(INDEX, index.to_bytes()?).await?;
        self.output.append(LIST, to_go_bytes(&list)?).await?;
        self.output.finish().await
    }
}

/// The image in `index.json`: once for every name, as Docker writes it.
fn entries(manifest: &Manifest, names: &[Reference]) -> Vec<Descriptor> {
    let plain = manifest.descriptor();
    let named = |name: &Reference| {
        let annotations = [
            (FULL_NAME.to_owned(), name.to_string()),
            (REF_NAME.to_owned(), name.tag_or_latest().to_owned()),
        ];
        Descriptor { annotations: annotations.into(), ..plain.clone() }
    };
    match names {
        [] => vec![plain.clone()],
        names => names.iter().map(named).collect(),
    }
}

/// What `docker save`'s form can hold.
pub(in crate::transport) const ABILITIES: Abilities = Abilities {
    usual: Usual::HostAlone,
    artifacts: false,
    keeps_manifests: true,
    wants_diff_ids: false,
};

impl Sink for DockerArchiveSink {
    /// An archive that has something in it is never written to.
    async fn current(&self) -> Result<Option<Descriptor>> {
        Ok(None)
    }

    async fn presence(&self, what: &Descriptor) -> Result<Presence> {
        match self.writer.get() {
            Some(writer) => Ok(writer.presence(what).await),
            None => Ok(Presence::Missing),
        }
    }

    async fn put(&self, item: Item, content: Blob) -> Result<Descriptor> {
        self.writer().await?.put(item, content).await
    }

    async fn link(&self, _: &Descriptor, _: &Origin) -> Result<bool> {
        Ok(false)
    }

    async fn publish(&self, name: Option<&str>, root: &Manifest) -> Result<()> {
        self.writer().await?.publish(name, root).await
    }

    async fn finish(&self) -> Result<()> {
        let Some(writer) = self.writer.get() else { return Ok(()) };
        refuse_existing(&self.path)?;
        writer.finish().await
    }

    fn abilities(&self) -> Abilities {
        ABILITIES
    }
}
