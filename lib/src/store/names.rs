//! Names of images, one small file each.

use std::fmt;
use std::io::Read;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Store;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::spec::{Descriptor, Digest, Reference};
use crate::sys::{self, Dir};

/// Longest file name before it is shortened to a hash.
const MAX_FILE_NAME: usize = 200;
/// Largest record.
const MAX_RECORD: u64 = 64 << 10;

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
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Image {
    /// The name as [`StoreName`] prints it.
    pub name: String,
    /// The root manifest.
    pub descriptor: Descriptor,
    /// When the name was given, RFC 3339.
    pub updated: String,
}

impl Store {
    fn image_path(&self, name: &StoreName) -> PathBuf {
        self.root.join("images").join(name.file_name())
    }

    /// What `name` stands for; `None` when nothing has that name.
    ///
    /// A digest is also found when it is what some other name stands for.
    pub fn resolve(&self, name: &StoreName) -> Result<Option<Descriptor>> {
        let path = self.image_path(name);
        if let Some(image) = read_record(&path)? {
            return Ok(Some(image.descriptor));
        }
        match name {
            StoreName::Named(_) => Ok(None),
            StoreName::Digest(digest) => {
                let mut images = self.images()?.into_iter();
                Ok(images.find(|image| image.descriptor.digest == *digest).map(|i| i.descriptor))
            }
        }
    }

    /// All names, sorted.
    pub fn images(&self) -> Result<Vec<Image>> {
        let directory = self.root.join("images");
        let listing = || format!("listing {}", directory.display());
        let entries = match std::fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io(listing(), error)),
        };
        let mut images = Vec::new();
        for entry in entries {
            let path = entry.doing(listing)?.path();
            // One damaged record must not hide the others; `check` names it.
            if let Ok(Some(image)) = read_record(&path) {
                images.push(image);
            }
        }
        images.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(images)
    }

    /// Lets `name` stand for `root`. The caller holds the lock and has made sure that what `root`
    /// refers to is there and on disk.
    pub(crate) fn write_name(&self, name: &StoreName, root: &Descriptor) -> Result<()> {
        let directory = self.root.join("images");
        let writing = || format!("writing the name {name} into the store");
        std::fs::create_dir_all(&directory).doing(writing)?;
        let image = Image {
            name: name.to_string(),
            descriptor: root.clone(),
            updated: jiff::Timestamp::now().to_string(),
        };
        let text = serde_json::to_vec(&image)
            .map_err(|error| Error::caused(ErrorKind::Failed, writing(), error))?;
        let directory = Dir::open(&directory).doing(writing)?;
        sys::write_file(&directory, name.file_name().as_bytes(), &text, 0o600).doing(writing)
    }

    /// Takes a name away. What it stood for stays until [`Store::prune`].
    ///
    /// # Errors
    /// `NotFound` when nothing has that name.
    pub fn untag(&self, name: &StoreName) -> Result<()> {
        if read_record(&self.image_path(name))?.is_none() {
            return Err(Error::not_found(format!("the store has no image {name}")));
        }
        let _lock = self.lock()?;
        self.remove_name(name)
    }

    /// Removes a name's file; the caller holds the lock.
    pub(super) fn remove_name(&self, name: &StoreName) -> Result<()> {
        let removing = || format!("removing {name} from the store");
        let images = Dir::open(&self.root.join("images")).doing(removing)?;
        match images.remove_file(name.file_name().as_bytes()) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            other => other.doing(removing)?,
        }
        images.sync().doing(removing)
    }
}

fn read_record(path: &std::path::Path) -> Result<Option<Image>> {
    let reading = || format!("reading {}", path.display());
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io(reading(), error)),
    };
    let mut text = Vec::new();
    file.take(MAX_RECORD).read_to_end(&mut text).doing(reading)?;
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|error| Error::caused(ErrorKind::Corrupt, reading(), error))
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

    #[test]
    fn names_come_and_go() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let name = StoreName::parse("app:1").unwrap();
        assert!(store.resolve(&name).unwrap().is_none());
        assert_eq!(store.untag(&name).unwrap_err().kind(), ErrorKind::NotFound);
        let what = Descriptor::of(crate::spec::MediaType::Other("x".into()), b"x");
        let _staging = store.begin().unwrap();
        store.write_name(&name, &what).unwrap();
        store.write_name(&StoreName::parse("b").unwrap(), &what).unwrap();
        assert_eq!(store.resolve(&name).unwrap(), Some(what.clone()));
        assert_eq!(store.resolve(&StoreName::Digest(what.digest.clone())).unwrap(), Some(what));
        std::fs::write(root.path().join("images/damaged"), "{").unwrap();
        let names: Vec<_> = store.images().unwrap().into_iter().map(|image| image.name).collect();
        assert_eq!(names, ["docker.io/library/app:1", "docker.io/library/b:latest"]);
        store.untag(&name).unwrap();
        assert!(store.resolve(&name).unwrap().is_none());
    }
}
