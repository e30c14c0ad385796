//! Layers that carry a table of contents: zstd:chunked and eStargz.

use std::io::{Read, Write};

use base64::Engine as _;
use serde_json::{Map, Value, json};
use tar::{Builder, EntryType, Header};

use super::super::content::sha256;
use super::layer::{Compression, MTIME};

/// A form of tables.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TableForm {
    ZstdChunked,
    Stargz,
}

impl TableForm {
    pub(super) fn compression(self) -> Compression {
        match self {
            TableForm::ZstdChunked => Compression::Zstd,
            TableForm::Stargz => Compression::Gzip,
        }
    }
}

/// What makes a table a lie.
pub type Lie = fn(&mut Value);

/// Bytes of a piece of a file.
const PIECE: usize = 64 << 10;

/// One member of the archive: its header blocks, its content, and what the table says of it.
pub(super) struct Member {
    pub(super) head: Vec<u8>,
    pub(super) content: Vec<u8>,
    pub(super) item: Value,
}

/// A member's fields as the table has them; `MTIME` is the only time that is known here.
pub(super) fn item(
    header: &Header,
    name: &[u8],
    link: Option<&[u8]>,
    pax: &[(String, Vec<u8>)],
) -> Value {
    assert_eq!(header.mtime().expect("a time"), MTIME, "tables have but one time here");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    let kind = match header.entry_type() {
        EntryType::Directory => "dir",
        EntryType::Symlink => "symlink",
        EntryType::Link => "hardlink",
        EntryType::Char => "char",
        EntryType::Block => "block",
        EntryType::Fifo => "fifo",
        _ => "reg",
    };
    let mut item = json!({
        "type": kind, "name": text(name), "mode": header.mode().expect("a mode"),
        "uid": header.uid().expect("a number"), "gid": header.gid().expect("a number"),
        "modtime": "2001-09-09T01:46:40Z",
    });
    if let Some(link) = link {
        item["linkName"] = json!(text(link));
    }
    let base64 = base64::engine::general_purpose::STANDARD;
    let xattrs = pax.iter().filter_map(|(key, value)| {
        Some((key.strip_prefix("SCHILY.xattr.")?.to_owned(), json!(base64.encode(value))))
    });
    let xattrs: Map<String, Value> = xattrs.collect();
    if !xattrs.is_empty() {
        item["xattrs"] = Value::Object(xattrs);
    }
    item
}

/// A packed layer with its table.
pub(super) struct Packed {
    pub(super) blob: Vec<u8>,
    pub(super) tar: Vec<u8>,
    pub(super) annotations: Vec<(String, String)>,
}

/// Streams one after the other, and what they hold together.
struct Streams {
    form: TableForm,
    blob: Vec<u8>,
    tar: Vec<u8>,
    waiting: Vec<u8>,
}

impl Streams {
    /// Bytes that nobody looks for by themselves.
    fn plain(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
    }

    fn flush(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        if !waiting.is_empty() {
            self.stream(&waiting);
        }
    }

    /// A stream of its own; returns where it begins.
    fn stream(&mut self, bytes: &[u8]) -> u64 {
        let start = self.blob.len() as u64;
        self.tar.extend_from_slice(bytes);
        match self.form {
            TableForm::ZstdChunked => {
                self.blob.extend(zstd::encode_all(bytes, 3).expect("zstd"));
            }
            TableForm::Stargz => self.blob.extend(gzip(bytes)),
        }
        start
    }

    fn content(&mut self, content: &[u8], item: &Value) -> Vec<Value> {
        let mut items = Vec::new();
        for (number, piece) in content.chunks(PIECE).enumerate() {
            let mut part = json!({"type": "chunk", "name": item["name"]});
            part["offset"] = json!(self.stream(piece));
            part["chunkOffset"] = json!(number * PIECE);
            part["chunkSize"] = json!(piece.len());
            part["chunkDigest"] = json!(sha256(piece));
            if self.form == TableForm::ZstdChunked && piece.iter().all(|byte| *byte == 0) {
                part["chunkType"] = json!("zeros");
            }
            items.push(part);
        }
        if let Some(first) = items.first_mut() {
            let mut whole = item.clone();
            for (key, value) in first.as_object().expect("an object") {
                if key != "type" {
                    whole[key] = value.clone();
                }
            }
            whole["size"] = json!(content.len());
            whole["digest"] = json!(sha256(content));
            if self.form == TableForm::ZstdChunked {
                whole["endOffset"] = json!(self.blob.len());
            }
            *first = whole;
        }
        if items.is_empty() { vec![item.clone()] } else { items }
    }
}

/// Packs members with a table; `change` makes it a lie, under a digest that is right.
pub(super) fn pack(form: TableForm, members: &[Member], change: Option<Lie>) -> Packed {
    let (blob, tar, waiting) = (Vec::new(), Vec::new(), Vec::new());
    let mut streams = Streams { form, blob, tar, waiting };
    let mut items = Vec::new();
    for member in members {
        streams.plain(&member.head);
        streams.flush();
        items.extend(streams.content(&member.content, &member.item));
        streams.plain(&vec![0; member.content.len().next_multiple_of(512) - member.content.len()]);
    }
    let mut table = json!({"version": 1, "entries": items});
    if let Some(change) = change {
        change(&mut table);
    }
    let table = table.to_string().into_bytes();
    match form {
        TableForm::ZstdChunked => zstd_chunked(streams, &table),
        TableForm::Stargz => stargz(streams, &table),
    }
}

fn zstd_chunked(mut streams: Streams, table: &[u8]) -> Packed {
    streams.plain(&[0; 1024]);
    streams.flush();
    let packed = zstd::encode_all(table, 3).expect("zstd");
    let start = streams.blob.len() + 8;
    let position = format!("{start}:{}:{}:1", packed.len(), table.len());
    let mut footer = Vec::new();
    for number in [start, packed.len(), table.len(), 1] {
        footer.extend((number as u64).to_le_bytes());
    }
    footer.extend(b"GNUlInUx");
    for skipped in [&packed, &footer] {
        streams.blob.extend([0x50, 0x2a, 0x4d, 0x18]);
        streams.blob.extend((skipped.len() as u32).to_le_bytes());
        streams.blob.extend(skipped);
    }
    let key = "io.github.containers.zstd-chunked.manifest";
    let annotations =
        vec![(format!("{key}-checksum"), sha256(&packed)), (format!("{key}-position"), position)];
    Packed { blob: streams.blob, tar: streams.tar, annotations }
}

fn stargz(mut streams: Streams, table: &[u8]) -> Packed {
    streams.flush();
    let mut own = Builder::new(Vec::new());
    let mut header = Header::new_ustar();
    header.set_size(table.len() as u64);
    header.set_mode(0o444);
    header.set_mtime(MTIME);
    own.append_data(&mut header, "stargz.index.json", table).expect("writing a tar entry");
    let own = own.into_inner().expect("writing a tar");
    let start = streams.stream(&own);
    let extra = format!("SG\u{16}\0{start:016x}STARGZ").into_bytes();
    streams.blob.extend([0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, extra.len() as u8, 0]);
    streams.blob.extend(extra);
    streams.blob.extend([1, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]);
    let key = "containerd.io/snapshot/stargz/toc.digest".to_owned();
    Packed { blob: streams.blob, tar: streams.tar, annotations: vec![(key, sha256(table))] }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(bytes).expect("gzip");
    encoder.finish().expect("gzip")
}

/// All of a reader.
pub(super) fn all(mut reader: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).expect("reading from memory");
    bytes
}
