//! The records of a store and the names that people use for what is in it.

use std::collections::HashMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};
use crate::spec::json::null_is_default;
use crate::spec::{Digest, Reference};
use crate::sys::Dir;
use crate::transport::layout::read_file;

/// Largest list of records: stores of ten thousand images have some 10 MiB.
const MAX_RECORDS: u64 = 64 << 20;

/// How a store keeps its layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Driver {
    /// Each layer's own files.
    Overlay,
    /// Each layer together with all below it.
    Vfs,
}

impl Driver {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Driver::Overlay => "overlay",
            Driver::Vfs => "vfs",
        }
    }

    fn parse(name: &str) -> Result<Driver> {
        match name {
            "overlay" | "overlay2" => Ok(Driver::Overlay),
            "vfs" => Ok(Driver::Vfs),
            other => Err(Error::unsupported(format!(
                "stores with the driver {other:?} cannot be read (overlay and vfs can)"
            ))),
        }
    }
}

/// An image as `images.json` has it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct ImageRecord {
    pub(super) id: String,
    #[serde(default)]
    digest: Option<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    names: Vec<String>,
    /// The topmost layer; empty for a list of images.
    #[serde(default)]
    pub(super) layer: String,
    #[serde(default, rename = "big-data-names", deserialize_with = "null_is_default")]
    big_data_names: Vec<String>,
}

/// A layer as `layers.json` has it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct LayerRecord {
    pub(super) id: String,
    #[serde(default)]
    pub(super) parent: String,
    #[serde(default, rename = "diff-size", deserialize_with = "size")]
    pub(super) diff_size: Option<u64>,
    #[serde(default, deserialize_with = "null_is_default")]
    flags: HashMap<String, Value>,
}

impl LayerRecord {
    /// Whether its writer was interrupted.
    pub(super) fn is_incomplete(&self) -> bool {
        self.flags.get("incomplete") == Some(&Value::Bool(true))
    }
}

/// A size that may be absent, or -1 for unknown.
fn size<'de, D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Option<u64>, D::Error> {
    Ok(Option::<i64>::deserialize(from)?.and_then(|size| u64::try_from(size).ok()))
}

/// All records of the given files of a directory, those that exist.
pub(super) fn load<T: DeserializeOwned>(dir: &Dir, files: &[&str]) -> Result<Vec<T>> {
    let mut all = Vec::new();
    for name in files {
        let Some(bytes) = read_file(dir, name, MAX_RECORDS)? else { continue };
        let records: Option<Vec<T>> = serde_json::from_slice(&bytes).map_err(|error| {
            Error::caused(ErrorKind::Invalid, format!("{name} of the store is damaged"), error)
        })?;
        all.extend(records.unwrap_or_default());
    }
    Ok(all)
}

/// The file name for a key: simple ones as they are, others in base64 behind an `=`.
pub(super) fn big_data_name(key: &str) -> String {
    use base64::Engine as _;
    let simple = |b: u8| b == b'.' || b.is_ascii_digit() || b.is_ascii_lowercase();
    match key.bytes().all(simple) {
        true => key.to_owned(),
        false => format!("={}", base64::engine::general_purpose::STANDARD.encode(key)),
    }
}

/// What is named in `containers-storage:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StorageName {
    pub(super) driver: Option<Driver>,
    pub(super) root: Option<PathBuf>,
    name: Option<String>,
    id: Option<String>,
}

impl StorageName {
    /// Reads `[driver@graphroot+runroot:options]name@id`, all of whose parts but one of the last
    /// two may be missing.
    pub(super) fn parse(text: &str) -> Result<StorageName> {
        let malformed = || {
            Error::usage(format!(
                "containers-storage:{text} is not [driver@graphroot+runroot]name or …@id"
            ))
        };
        let (store, rest) = match text.strip_prefix('[') {
            Some(inside) => {
                let (store, rest) = inside.split_once(']').ok_or_else(malformed)?;
                (Some(store), rest)
            }
            None => (None, text),
        };
        let (mut driver, mut root) = (None, None);
        if let Some(store) = store {
            let (name, path) = match store.split_once('@') {
                Some((name, path)) => (Some(name), path),
                None => (None, store),
            };
            // What follows is about mounting, which nothing here does.
            let path = path.split(['+', ':']).next().unwrap_or_default();
            if !path.starts_with('/') {
                return Err(malformed());
            }
            driver = name.filter(|name| !name.is_empty()).map(Driver::parse).transpose()?;
            root = Some(PathBuf::from(path));
        }
        let (name, id) = match rest.rsplit_once('@') {
            Some((name, id)) if is_hex(id) => (Some(name), Some(id.to_owned())),
            _ => (Some(rest), None),
        };
        let name = name.filter(|name| !name.is_empty()).map(str::to_owned);
        if name.is_none() && id.is_none() {
            return Err(malformed());
        }
        Ok(StorageName { driver, root, name, id })
    }

    /// The image that is meant. Names are tried as they stand, as podman's own (`localhost/…`), with
    /// Docker's defaults, and at last as the start of an id.
    pub(super) fn choose<'a>(&self, images: &'a [ImageRecord]) -> Result<Option<&'a ImageRecord>> {
        if let Some(id) = &self.id {
            return by_id(images, id);
        }
        let Some(name) = &self.name else { return Ok(None) };
        let reference = Reference::parse(name).ok();
        if let Some(digest) = reference.as_ref().and_then(Reference::digest) {
            return Ok(images.iter().find(|image| image.has_manifest(digest)));
        }
        let mut spellings = vec![name.clone()];
        if !Reference::has_explicit_registry(name)
            && let Ok(local) = Reference::parse(&format!("localhost/{name}"))
        {
            spellings.push(local.with_default_tag().to_string());
        }
        spellings.extend(reference.map(|full| full.with_default_tag().to_string()));
        for spelling in &spellings {
            let mut named = images.iter().filter(|image| image.names.contains(spelling));
            if let Some(image) = named.next() {
                return Ok(Some(image));
            }
        }
        match is_hex(name) {
            true => by_id(images, name),
            false => Ok(None),
        }
    }
}

impl ImageRecord {
    fn has_manifest(&self, digest: &Digest) -> bool {
        let text = digest.to_string();
        let key = format!("manifest-{text}");
        self.digest.as_ref() == Some(&text) || self.big_data_names.contains(&key)
    }
}

/// Whether it may be an id or the start of one.
fn is_hex(text: &str) -> bool {
    (4..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn by_id<'a>(images: &'a [ImageRecord], start: &str) -> Result<Option<&'a ImageRecord>> {
    let mut found = images.iter().filter(|image| image.id.starts_with(start));
    let first = found.next();
    match found.next() {
        None => Ok(first),
        Some(_) => Err(Error::usage(format!("several images have an id that begins with {start}"))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn image(id: &str, names: &[&str]) -> ImageRecord {
        ImageRecord {
            id: id.repeat(64 / id.len()),
            digest: Some(Digest::sha256(id.as_bytes()).to_string()),
            names: names.iter().map(ToString::to_string).collect(),
            layer: String::new(),
            big_data_names: vec![format!("manifest-{}", Digest::sha256(b"list"))],
        }
    }

    #[test]
    fn names_are_taken_apart() {
        let full = StorageName::parse("[overlay@/a/b+/run/x:opt=1,y]h.io/c:1@abcdef").unwrap();
        assert_eq!(full.driver, Some(Driver::Overlay));
        assert_eq!(full.root, Some("/a/b".into()));
        assert_eq!((full.name.as_deref(), full.id.as_deref()), (Some("h.io/c:1"), Some("abcdef")));
        let plain = StorageName::parse("app").unwrap();
        assert_eq!((plain.root, plain.name.as_deref()), (None, Some("app")));
        assert_eq!(StorageName::parse("[/a]@abcd").unwrap().root, Some("/a".into()));
        for bad in ["", "[", "[overlay@/a]", "[relative]x", "[overlay@]x"] {
            assert_eq!(StorageName::parse(bad).unwrap_err().kind(), ErrorKind::Usage, "{bad}");
        }
        let error = StorageName::parse("[btrfs@/a]x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn images_are_found_by_names_digests_and_ids() {
        let images = [
            image("aa01", &["docker.io/library/app:latest"]),
            image("aa02", &["localhost/app:latest", "h.io/x/app:1"]),
            image("bb03", &[]),
        ];
        let find = |name: &str| {
            let found = StorageName::parse(name).unwrap().choose(&images);
            found.map(|image| image.map(|image| image.id[..4].to_owned()))
        };
        for (name, id) in [
            ("docker.io/library/app", "aa01"),
            ("docker.io/library/app:latest", "aa01"),
            ("library/app", "aa01"),
            ("app", "aa02"),
            ("h.io/x/app:1", "aa02"),
            ("bb03", "bb03"),
            ("@bb03bb", "bb03"),
            ("whatever@bb03bb", "bb03"),
        ] {
            assert_eq!(find(name).unwrap().as_deref(), Some(id), "{name}");
        }
        let digest = Digest::sha256(b"bb03");
        assert_eq!(find(&format!("h.io/x@{digest}")).unwrap().as_deref(), Some("bb03"));
        let list = Digest::sha256(b"list");
        assert_eq!(find(&format!("h.io/x@{list}")).unwrap().as_deref(), Some("aa01"));
        for missing in ["h.io/x/app", "cccc", "nope:1"] {
            assert_eq!(find(missing).unwrap(), None, "{missing}");
        }
        assert_eq!(find("aa0").unwrap(), None);
        let two = [image("aaaa01", &[]), image("aaaa02", &[])];
        let error = StorageName::parse("aaaa").unwrap().choose(&two).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
    }

    #[test]
    fn file_names_of_keys() {
        assert_eq!(big_data_name("manifest"), "manifest");
        assert_eq!(big_data_name("a-b"), "=YS1i");
    }
}
