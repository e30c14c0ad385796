//! Indexes of layers on disk, named by the digest of the blob, in a directory that may be deleted
//! at any time. What is found there and does not fit is made again.
//!
//! An index that comes from a table of contents is named by the digest of the table too: another
//! manifest may say of the same blob that its table is another one.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::entries::{Entries, Room};
use super::layer::{LayerIndex, Origin, Problem};
use crate::error::{IoContext, Result};
use crate::spec::{Descriptor, Digest};
use crate::sys::{AtomicFile, Dir};

/// Changed with the form of the files.
const FORM: u32 = 2;
/// Longest first line.
const MAX_HEAD: u64 = 1 << 20;

/// The first line of a file; the packed entries follow.
#[derive(Serialize, Deserialize)]
struct Head {
    digest: Digest,
    size: u64,
    compression: String,
    tar_bytes: Option<u64>,
    digests: bool,
    problems: Vec<Problem>,
    packed: usize,
}

/// The kept index of a layer; `None` if there is none, or none with the digests that are wanted.
///
/// # Errors
/// `Failed` if there is no room for it.
pub(super) fn find(
    dir: &Path,
    layer: &Descriptor,
    origin: &Origin,
    digests: bool,
    room: &Room,
) -> Result<Option<LayerIndex>> {
    // One with digests takes more memory.
    let usual = if digests { None } else { open(dir, layer, origin, false) };
    let Some((head, mut rest)) = usual.or_else(|| open(dir, layer, origin, true)) else {
        return Ok(None);
    };
    room.take(head.packed)?;
    let mut packed = Vec::with_capacity(head.packed);
    let read = Read::take(&mut rest, head.packed as u64).read_to_end(&mut packed);
    let whole = read.is_ok() && packed.len() == head.packed;
    let entries = if whole { Entries::unpack(packed) } else { None };
    let Some(entries) = entries else {
        room.give_back(head.packed);
        return Ok(None);
    };
    Ok(Some(LayerIndex {
        compression: head.compression,
        tar_bytes: head.tar_bytes,
        problems: head.problems,
        entries,
        origin: origin.clone(),
        ..LayerIndex::new(layer, head.digests)
    }))
}

fn open(
    dir: &Path,
    layer: &Descriptor,
    origin: &Origin,
    digests: bool,
) -> Option<(Head, impl Read + use<>)> {
    let file = File::open(dir.join(name(&layer.digest, origin, digests)?)).ok()?;
    let decoder = zstd::stream::read::Decoder::new(file).ok()?;
    let mut reader = BufReader::with_capacity(64 << 10, decoder);
    let mut line = Vec::new();
    Read::take(&mut reader, MAX_HEAD).read_until(b'\n', &mut line).ok()?;
    let head: Head = serde_json::from_slice(&line).ok()?;
    let fits = head.digest == layer.digest && head.size == layer.size && head.digests == digests;
    fits.then_some((head, reader))
}

/// Bytes of the archive of a layer whose index is kept.
pub(in crate::inspect) fn kept_size(dir: &Path, layer: &Descriptor) -> Option<u64> {
    let kept = |digests| open(dir, layer, &Origin::Archive, digests);
    kept(false).or_else(|| kept(true))?.0.tar_bytes
}

/// Keeps an index. Failing to do so costs only time later.
pub(super) fn record(dir: &Path, index: &LayerIndex) {
    let Some(name) = name(&index.digest, &index.origin, index.digests) else { return };
    let _ = write(dir, &name, index);
}

fn write(dir: &Path, name: &str, index: &LayerIndex) -> Result<()> {
    let doing = || "keeping the index of a layer";
    let head = Head {
        digest: index.digest.clone(),
        size: index.size,
        compression: index.compression.clone(),
        tar_bytes: index.tar_bytes,
        digests: index.digests,
        problems: index.problems.clone(),
        packed: index.entries.packed().len(),
    };
    std::fs::create_dir_all(dir).doing(doing)?;
    let dir = Dir::open(dir).doing(doing)?;
    let mut file = AtomicFile::create(&dir, 0o644)?;
    let mut encoder = zstd::stream::write::Encoder::new(&mut file, 1).doing(doing)?;
    // What is damaged on the disk is found out.
    encoder.include_checksum(true).doing(doing)?;
    let mut out = BufWriter::with_capacity(64 << 10, encoder);
    serde_json::to_writer(&mut out, &head).map_err(std::io::Error::from).doing(doing)?;
    out.write_all(b"\n").doing(doing)?;
    out.write_all(index.entries.packed()).doing(doing)?;
    let encoder = out.into_inner().map_err(std::io::IntoInnerError::into_error).doing(doing)?;
    encoder.finish().doing(doing)?;
    file.commit(name.as_bytes())
}

/// `None` for what is not kept.
fn name(layer: &Digest, origin: &Origin, digests: bool) -> Option<String> {
    let stem = format!("{}-{}", layer.algorithm().as_str(), layer.hex());
    let digests = if digests { "-digests" } else { "" };
    match origin {
        Origin::Archive => Some(format!("{stem}-v{FORM}{digests}.index.zst")),
        Origin::Table(table) => Some(format!("{stem}-{}-v{FORM}{digests}.index.zst", table.hex())),
        Origin::Tree => None,
    }
}

/// What the table of contents of a layer is called, as it stands in the blob.
pub(super) fn table_name(layer: &Digest, table: &Digest) -> String {
    format!("{}-{}-{}.toc", layer.algorithm().as_str(), layer.hex(), table.hex())
}
