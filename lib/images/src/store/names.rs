//! Names of images, one small file each.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::graph::{self, Look};
use super::{Holding, Store};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::spec::{Body, Descriptor, Digest, MAX_INDEX_DEPTH, Platform, Reference};

/// Longest file name before it is shortened to a hash.
const MAX_FILE_NAME: usize = 200;
/// Largest record.
const MAX_RECORD: u64 = 4 << 20;
/// Most images of one index that its record lists.
const MAX_LISTED: usize = 1000;

/// A name in the local store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StoreName {
    /// Fully qualified.
    Named(Reference),
    /// An untagged result, by the manifest's digest.
    Digest(Digest),
}

impl StoreName {
    /// Reads a name as a person writes it; Docker's defaults apply. A digest, with or without
    /// `@`, is the name of an untagged result.
    pub fn parse(text: &str) -> Result<StoreName> {
        match text.strip_prefix('@').unwrap_or(text).parse() {
            Ok(digest) => Ok(StoreName::Digest(digest)),
            Err(_) => Ok(StoreName::Named(Reference::parse(text)?.with_default_tag())),
        }
    }

    /// The name of its file: everything but letters, digits, `.`, `_`, `-` and `@` is escaped, and
    /// a name that is too long becomes a hash (the name stands inside the file).
    fn file_name(&self) -> String {
        let text = self.to_string();
        let mut out = String::with_capacity(text.len() + 16);
        for byte in text.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'@' => {
                    out.push(char::from(byte));
                }
                other => out.push_str(&format!("%{other:02X}")),
            }
        }
        if out.len() > MAX_FILE_NAME {
            return format!("%{}", Digest::sha256(text.as_bytes()).hex());
        }
        out
    }
}

impl fmt::Display for StoreName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreName::Named(name) => name.fmt(f),
            StoreName::Digest(digest) => write!(f, "@{digest}"),
        }
    }
}

/// A name and what it stands for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Image {
    /// The name as [`StoreName`] prints it.
    pub name: String,
    /// The root manifest.
    pub descriptor: Descriptor,
    /// When the name was given, RFC 3339.
    pub updated: String,
    /// The images below the root that were there then, so that listing them reads nothing else.
    #[serde(default)]
    pub images: Vec<HeldImage>,
    /// What the root is about, if it is a signature or the like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Digest>,
}

/// One image for one platform, whole in the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldImage {
    /// Its manifest.
    pub manifest: Digest,
    /// Its config: Docker's image ID.
    pub config: Digest,
    /// What it runs on, by its config.
    pub platform: Platform,
    /// Bytes of config and layers as distributed.
    pub size: u64,
    /// When it was made, RFC 3339, as its config tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
}

impl Image {
    /// What `name` will say of `root`, all of which must be there.
    ///
    /// # Errors
    /// `NotFound`, naming what is missing; of an index at least one image must be whole.
    pub(super) fn describe(look: &dyn Look, name: &StoreName, root: &Descriptor) -> Result<Image> {
        let Some(manifest) = look.manifest(root)? else { return Err(incomplete(name, root)) };
        if matches!(manifest.body(), Body::Schema1(_)) {
            return Err(Error::unsupported(
                "the store cannot hold schema 1 manifests; convert the image",
            ));
        }
        let mut images = Vec::new();
        match manifest.as_index() {
            Some(index) => {
                let mut whole = index.manifests.is_empty();
                for child in &index.manifests {
                    if graph::holding(look, child)? == Holding::Whole {
                        whole = true;
                        list(look, child, MAX_INDEX_DEPTH, &mut images)?;
                    }
                }
                if !whole {
                    return Err(incomplete(name, &index.manifests[0]));
                }
            }
            None => match graph::missing(look, root)?.first() {
                Some(missing) => return Err(incomplete(name, missing)),
                None => list(look, root, 1, &mut images)?,
            },
        }
        Ok(Image {
            name: name.to_string(),
            descriptor: root.clone(),
            updated: jiff::Timestamp::now().to_string(),
            images,
            subject: manifest.subject().map(|subject| subject.digest.clone()),
        })
    }

    /// What must be there for the name to hold its promise.
    pub(super) fn roots(&self) -> impl Iterator<Item = &Digest> {
        let images = self.images.iter().map(|image| &image.manifest);
        std::iter::once(&self.descriptor.digest).chain(images)
    }

    /// When the name was given; the beginning of time if its record does not tell.
    pub(super) fn time(&self) -> SystemTime {
        let time = self.updated.parse::<jiff::Timestamp>();
        let nanoseconds = time.map_or(0, jiff::Timestamp::as_nanosecond);
        // Enough until the year 2554.
        SystemTime::UNIX_EPOCH + Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0))
    }
}

fn incomplete(name: &StoreName, missing: &Descriptor) -> Error {
    Error::not_found(format!(
        "{name} would not be whole: the store does not hold {} ({})",
        missing.digest, missing.media_type
    ))
}

/// The images at and below `what`, which is whole.
fn list(look: &dyn Look, what: &Descriptor, depth: usize, to: &mut Vec<HeldImage>) -> Result<()> {
    let Some(manifest) = look.manifest(what)?.filter(|_| depth > 0 && to.len() < MAX_LISTED) else {
        return Ok(());
    };
    if let Some(index) = manifest.as_index() {
        return index.manifests.iter().try_for_each(|child| list(look, child, depth - 1, to));
    }
    let Some(image) = manifest.as_image().filter(|image| image.is_image()) else { return Ok(()) };
    if let Some(config) = look.config(&image.config)? {
        to.push(HeldImage {
            manifest: what.digest.clone(),
            config: image.config.digest.clone(),
            platform: config.platform(),
            size: manifest.children().iter().map(|child| child.size).sum(),
            created: config.fields().created.clone(),
        });
    }
    Ok(())
}

impl Store {
    /// Where the record of a name is or would be.
    pub(super) fn image_path(&self, name: &StoreName) -> PathBuf {
        self.images_dir().join(name.file_name())
    }

    /// The record of a name; `None` when nothing has that name.
    pub fn image(&self, name: &StoreName) -> Result<Option<Image>> {
        read_record(&self.image_path(name))
    }

    /// What `name` stands for; `None` when nothing has that name.
    ///
    /// A digest, alone or in a name, is also found when it is what some other name (of the same
    /// repository) stands for.
    pub fn resolve(&self, name: &StoreName) -> Result<Option<Descriptor>> {
        if let Some(image) = self.image(name)? {
            return Ok(Some(image.descriptor));
        }
        let (digest, repository) = match name {
            StoreName::Digest(digest) => (digest, None),
            StoreName::Named(name) => match name.digest() {
                Some(digest) => (digest, Some(name.name())),
                None => return Ok(None),
            },
        };
        let fits = |image: &Image| {
            let same = repository.as_ref().is_none_or(|repository| {
                Reference::parse(&image.name).is_ok_and(|other| other.name() == *repository)
            });
            image.descriptor.digest == *digest && same
        };
        Ok(self.images()?.into_iter().find(fits).map(|image| image.descriptor))
    }

    /// All names, sorted.
    pub fn images(&self) -> Result<Vec<Image>> {
        // One damaged record must not hide the others; `check` names it.
        let records = self.records()?.into_iter();
        Ok(records.filter_map(|(_, record)| record.ok()).collect())
    }

    /// All records, damaged ones too, sorted by name.
    pub(super) fn records(&self) -> Result<Vec<(PathBuf, Result<Image>)>> {
        let directory = self.images_dir();
        let listing = || format!("listing {}", directory.display());
        let entries = match std::fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io(listing(), error)),
        };
        let mut records = Vec::new();
        for entry in entries {
            let path = entry.doing(listing)?.path();
            if let Some(record) = read_record(&path).transpose() {
                records.push((path, record));
            }
        }
        records.sort_by(|(_, a), (_, b)| {
            let name = |record: &Result<Image>| record.as_ref().ok().map(|i| i.name.clone());
            name(a).cmp(&name(b))
        });
        Ok(records)
    }

    /// Lets `name` stand for `what` as well, all of which must be there.
    pub fn tag(&self, name: &StoreName, what: &Descriptor) -> Result<()> {
        let writer = self.begin()?;
        writer.need(what)?;
        writer.publish(&[(name.clone(), what.clone())])
    }

    /// Takes a name away. What it stood for stays until [`Store::prune`].
    ///
    /// # Errors
    /// `NotFound` when nothing has that name.
    pub fn untag(&self, name: &StoreName) -> Result<()> {
        self.writable()?;
        if !self.steps.remove(&self.image_path(name))? {
            return Err(Error::not_found(format!("the store has no image {name}")));
        }
        self.steps.flush_dir(&self.images_dir())
    }
}

/// The record in a file; `None` when there is none.
pub(super) fn read_record(path: &Path) -> Result<Option<Image>> {
    let image: Option<Image> = super::record::read(path, MAX_RECORD, ErrorKind::Corrupt)?;
    let Some(image) = image else { return Ok(None) };
    // A record under another name than its own would stand for two.
    let own = StoreName::parse(&image.name).is_ok_and(|name| {
        path.file_name().is_some_and(|file| file.as_encoded_bytes() == name.file_name().as_bytes())
    });
    match own {
        true => Ok(Some(image)),
        false => Err(Error::corrupt(format!(
            "reading {}: it is the record of {}",
            path.display(),
            image.name
        ))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_safe_and_distinct() {
        let name = |text: &str| StoreName::parse(text).unwrap().file_name();
        assert_eq!(name("app"), "docker.io%2Flibrary%2Fapp%3Alatest");
        assert_eq!(name("[::1]:5000/a:1"), "%5B%3A%3A1%5D%3A5000%2Fa%3A1");
        let digest = Digest::sha256(b"x");
        assert_eq!(name(&digest.to_string()), format!("@sha256%3A{}", digest.hex()));
        let long = format!("h.io/{}:{}", "a/".repeat(100).trim_end_matches('/'), "t".repeat(120));
        assert_eq!(name(&long).len(), 65);
        assert_ne!(name(&long), name(&format!("{long}x")));
    }
}
