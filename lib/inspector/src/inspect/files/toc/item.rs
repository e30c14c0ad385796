//! One item of a table of contents: a file or a piece of one, as JSON.

use std::collections::BTreeMap;
use std::io::Read;

use base64::Engine as _;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::error::{Error, ErrorKind, Result};
use crate::layer::tar;
use crate::spec::Digest;
use crate::sys::{Device, Time};

/// Longest text of one item.
const MAX_ITEM: u64 = 4 << 20;

/// An item as both forms have it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Item {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) name: String,
    link_name: String,
    mode: i64,
    pub(super) size: u64,
    uid: i64,
    gid: i64,
    modtime: Option<String>,
    dev_major: i64,
    dev_minor: i64,
    xattrs: Option<BTreeMap<String, String>>,
    digest: String,
    /// Where in the blob the compressed content begins, and ends where that is told.
    pub(super) offset: u64,
    pub(super) end_offset: u64,
    /// Bytes to leave out of what is decompressed there.
    pub(super) inner_offset: u64,
    pub(super) chunk_offset: u64,
    pub(super) chunk_size: u64,
    chunk_digest: String,
    chunk_type: String,
}

impl Item {
    /// Whether it is a further piece of the file before it.
    pub(super) fn is_piece(&self) -> bool {
        self.kind == "chunk"
    }

    pub(super) fn is_file(&self) -> bool {
        self.kind == "reg"
    }

    /// Whether the piece is nothing but zeros, which the blob does not hold.
    pub(super) fn is_zeros(&self) -> bool {
        self.chunk_type == "zeros"
    }

    /// The digest of the whole file.
    pub(super) fn file_digest(&self) -> Result<Option<Digest>> {
        digest(&self.digest)
    }

    /// The digest of the piece.
    pub(super) fn piece_digest(&self) -> Result<Option<Digest>> {
        digest(&self.chunk_digest)
    }

    /// The item as an archive would have it.
    pub(super) fn entry(&self) -> Result<tar::Entry> {
        let wrong = |what: &str| Error::invalid(format!("{:?} has a wrong {what}", self.name));
        let number = |number: i64, what: &str| u32::try_from(number).map_err(|_| wrong(what));
        let target = || self.link_name.clone().into_bytes();
        let device = || {
            let (major, minor) =
                (number(self.dev_major, "device")?, number(self.dev_minor, "device")?);
            Ok::<_, Error>(Device { major, minor })
        };
        let kind = match self.kind.as_str() {
            "reg" => tar::EntryKind::File,
            "dir" => tar::EntryKind::Directory,
            "symlink" => tar::EntryKind::Symlink(target()),
            "hardlink" => tar::EntryKind::HardLink(target()),
            "char" => tar::EntryKind::Char(device()?),
            "block" => tar::EntryKind::Block(device()?),
            "fifo" => tar::EntryKind::Fifo,
            other => return Err(Error::unsupported(format!("an item of type {other:?}"))),
        };
        // Names that are no UTF-8 are lost in JSON: the archive knows them.
        if [&self.name, &self.link_name].iter().any(|name| name.contains('\u{fffd}')) {
            return Err(Error::unsupported("a name that is not UTF-8"));
        }
        let mut xattrs = Vec::new();
        for (key, value) in self.xattrs.iter().flatten() {
            let value = base64::engine::general_purpose::STANDARD.decode(value);
            xattrs.push((key.clone().into_bytes(), value.map_err(|_| wrong("attribute"))?));
        }
        Ok(tar::Entry {
            path: self.name.clone().into_bytes(),
            size: if kind == tar::EntryKind::File { self.size } else { 0 },
            kind,
            mode: number(self.mode & 0o7777, "mode")?,
            uid: number(self.uid, "owner")?,
            gid: number(self.gid, "group")?,
            mtime: self.time().ok_or_else(|| wrong("time"))?,
            xattrs,
            unread: Vec::new(),
        })
    }

    fn time(&self) -> Option<Time> {
        let Some(text) = self.modtime.as_ref().filter(|text| !text.is_empty()) else {
            return Some(Time::default());
        };
        let time: jiff::Timestamp = text.parse().ok()?;
        let nanos = time.as_nanosecond();
        let secs = i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?;
        Some(Time { secs, nanos: u32::try_from(nanos.rem_euclid(1_000_000_000)).ok()? })
    }
}

fn digest(text: &str) -> Result<Option<Digest>> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|error| {
        Error::caused(ErrorKind::Unsupported, "a digest that cannot be verified", error)
    })
}

/// Hands out the items of a table one by one, in their order.
///
/// # Errors
/// `Invalid` for what is no table; `Unsupported` for one of another version; what `take` says.
pub(super) fn items(json: impl Read, take: &mut dyn FnMut(Item) -> Result<()>) -> Result<()> {
    let count = std::cell::Cell::new(0);
    let counted = Counted { inner: json, count: &count };
    let mut walk = Walk { take, count: &count, failed: None, version: None };
    let mut parser = serde_json::Deserializer::from_reader(counted);
    let parsed = parser.deserialize_map(&mut walk).and_then(|()| parser.end());
    if let Some(error) = walk.failed {
        return Err(error);
    }
    if let Err(error) = parsed {
        if error.is_io() {
            return Err(Error::io("reading JSON", error.into()));
        }
        return Err(Error::caused(ErrorKind::Invalid, "reading JSON", error));
    }
    match walk.version {
        Some(1) => Ok(()),
        _ => Err(Error::unsupported("a table of an unknown version")),
    }
}

/// Ends an item that is too long before it takes memory.
struct Counted<'c, R> {
    inner: R,
    count: &'c std::cell::Cell<u64>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.count.set(self.count.get() + count as u64);
        if self.count.get() > MAX_ITEM {
            return Err(Error::invalid(format!("an item of more than {MAX_ITEM} bytes")).into());
        }
        Ok(count)
    }
}

struct Walk<'w> {
    take: &'w mut dyn FnMut(Item) -> Result<()>,
    count: &'w std::cell::Cell<u64>,
    failed: Option<Error>,
    version: Option<u64>,
}

impl<'de> Visitor<'de> for &mut Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a table of contents")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            self.count.set(0);
            match key.as_str() {
                "version" => self.version = Some(map.next_value()?),
                "entries" => map.next_value_seed(List(&mut *self))?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

struct List<'l, 'w>(&'l mut Walk<'w>);

impl<'de> DeserializeSeed<'de> for List<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for List<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(item) = list.next_element()? {
            self.0.count.set(0);
            if let Err(error) = (self.0.take)(item) {
                self.0.failed = Some(error);
                return Err(serde::de::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn names(json: &str) -> Result<Vec<String>> {
        let mut names = Vec::new();
        items(json.as_bytes(), &mut |item| {
            names.push(item.name);
            Ok(())
        })?;
        Ok(names)
    }

    #[test]
    fn items_come_in_their_order() {
        let json = r#"{"tarSplitDigest": {"x": [1]}, "entries": [{"name": "a", "type": "dir"},
            {"name": "b", "xattrs": null, "later": 1}], "version": 1}"#;
        assert_eq!(names(json).unwrap(), ["a", "b"]);
        assert_eq!(names(r#"{"version": 1}"#).unwrap(), [""; 0]);
    }

    #[test]
    fn what_is_no_table_is_told() {
        for (json, kind) in [
            ("", ErrorKind::Invalid),
            ("[]", ErrorKind::Invalid),
            (r#"{"version": 1, "entries": [{"name": "a"}"#, ErrorKind::Invalid),
            (r#"{"version": 1, "entries": [7]}"#, ErrorKind::Invalid),
            (r#"{"version": 1} x"#, ErrorKind::Invalid),
            (r#"{"version": 2}"#, ErrorKind::Unsupported),
            (r#"{"entries": []}"#, ErrorKind::Unsupported),
        ] {
            assert_eq!(names(json).unwrap_err().kind(), kind, "{json}");
        }
        let long = format!(r#"{{"version":1,"entries":[{{"name":"{}"}}]}}"#, "x".repeat(5 << 20));
        assert!(names(&long).unwrap_err().chain().contains("more than 4194304 bytes"));
    }

    #[test]
    fn an_item_is_what_an_archive_would_have() {
        let item: Item = serde_json::from_str(
            r#"{"type": "reg", "name": "etc/x", "mode": 33261, "size": 5, "uid": 7, "gid": 8,
                "modtime": "2001-09-09T03:46:40.5+02:00", "xattrs": {"user.a": "AAE="}}"#,
        )
        .unwrap();
        let entry = item.entry().unwrap();
        assert_eq!((entry.mode, entry.uid, entry.gid, entry.size), (0o755, 7, 8, 5));
        assert_eq!((entry.mtime.secs, entry.mtime.nanos), (1_000_000_000, 500_000_000));
        assert_eq!(entry.xattrs, [(b"user.a".to_vec(), vec![0, 1])]);
        for wrong in [
            r#"{"type": "reg", "name": "x", "uid": -1}"#,
            r#"{"type": "reg", "name": "x", "modtime": "yesterday"}"#,
            r#"{"type": "reg", "name": "x", "xattrs": {"a": "!"}}"#,
            r#"{"type": "socket", "name": "x"}"#,
            "{\"type\": \"dir\", \"name\": \"\u{fffd}\"}",
        ] {
            assert!(serde_json::from_str::<Item>(wrong).unwrap().entry().is_err(), "{wrong}");
        }
    }
}
