//! Tables of contents that some layers carry: zstd:chunked and eStargz.
//!
//! With one, a list of files costs the table instead of the layer, and a file's content its own
//! stretch of the blob. The manifest names the digest of the table; nothing vouches for the table
//! being true to the archive beside it. So the digest of the table and those of the pieces of files
//! are verified here, and `validate` compares the table with the archive.
//!
//! Follows "zstd:chunked" of containers/storage and "eStargz" of stargz-snapshotter.

mod fetch;
mod item;
mod pieces;
mod read;

pub(super) use fetch::{fetch, forget};
pub(super) use pieces::visit;
pub(super) use read::index;
pub(in crate::inspect) use read::{Comparison, is_tables_fault};

use std::ops::Range;

use crate::spec::{Descriptor, Digest};

/// Largest table as it stands in the blob.
const MAX_PACKED: u64 = 256 << 20;
/// Largest table when it is unpacked.
const MAX_PLAIN: u64 = 2 << 30;
/// The name of eStargz's table in the archive.
const STARGZ_NAME: &[u8] = b"stargz.index.json";

/// The same annotations under an older name, and a newer.
const CHUNKED: [&str; 2] =
    ["io.github.containers.zstd-chunked.manifest", "io.containers.zstd-chunked.manifest"];
const STARGZ: &str = "containerd.io/snapshot/stargz/toc.digest";

/// What a manifest says about the table of contents of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::inspect) struct Table {
    digest: Digest,
    form: Form,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// zstd:chunked: a zstd stream at this place, inside a frame that decoders skip. The digest is
    /// that of the stream.
    Chunked(Range<u64>),
    /// eStargz: the last file of the archive, at a place that the end of the blob tells. The digest
    /// is that of the file.
    Stargz,
}

impl Table {
    /// The table that a layer's annotations name, if they name a possible one.
    pub(in crate::inspect) fn of(layer: &Descriptor) -> Option<Table> {
        let told = |key: &str| layer.annotations.get(key).map(String::as_str);
        for key in CHUNKED {
            let digest = told(&format!("{key}-checksum")).and_then(|text| text.parse().ok());
            let place = told(&format!("{key}-position")).and_then(|text| place(text, layer.size));
            if let (Some(digest), Some(place)) = (digest, place) {
                return Some(Table { digest, form: Form::Chunked(place) });
            }
        }
        let digest = told(STARGZ)?.parse().ok()?;
        Some(Table { digest, form: Form::Stargz })
    }

    /// The digest that the manifest names.
    pub(super) fn digest(&self) -> &Digest {
        &self.digest
    }

    fn compression(&self) -> &'static str {
        match self.form {
            Form::Chunked(_) => "zstd",
            Form::Stargz => "gzip",
        }
    }
}

/// `offset:length:unpacked:kind`; the kind of table that is known is 1.
fn place(text: &str, size: u64) -> Option<Range<u64>> {
    let numbers: Result<Vec<u64>, _> = text.split(':').map(str::parse).collect();
    let [offset, length, unpacked, 1] = numbers.ok()?[..] else { return None };
    let end = offset.checked_add(length).filter(|end| *end <= size)?;
    (length > 0 && length <= MAX_PACKED && unpacked <= MAX_PLAIN).then_some(offset..end)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::spec::MediaType;

    #[test]
    fn places_are_checked() {
        assert_eq!(place("100:20:90:1", 120), Some(100..120));
        for wrong in
            ["100:20:90:1:5", "100:20:90:2", "100:21:90:1", "100:0:90:1", "-1:20:90:1", "", "a"]
        {
            assert_eq!(place(wrong, 120), None, "{wrong}");
        }
        assert_eq!(place(&format!("{}:2:3:1", u64::MAX), u64::MAX), None);
    }

    #[test]
    fn annotations_under_both_names_are_read() {
        let digest = Digest::sha256(b"table");
        for key in CHUNKED {
            let mut layer = Descriptor::of(MediaType::parse("x"), &[0; 50]);
            layer.annotations.insert(format!("{key}-checksum"), digest.to_string());
            assert_eq!(Table::of(&layer), None);
            layer.annotations.insert(format!("{key}-position"), "10:20:90:1".to_owned());
            assert_eq!(Table::of(&layer).unwrap().form, Form::Chunked(10..30));
        }
        let mut layer = Descriptor::of(MediaType::parse("x"), &[0; 50]);
        layer.annotations.insert(STARGZ.to_owned(), digest.to_string());
        assert_eq!(Table::of(&layer).unwrap().form, Form::Stargz);
        layer.annotations.insert(STARGZ.to_owned(), "md5:x".to_owned());
        assert_eq!(Table::of(&layer), None);
    }
}
