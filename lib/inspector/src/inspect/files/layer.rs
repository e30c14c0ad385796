//! What a layer holds, found in one pass and kept for the next question.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use super::entries::{Entries, Room};
use super::entry::EntryKind;
use super::keep;
use super::name::Name;
use super::toc::{self, Table};
use super::walk::{Step, walk};
use crate::blob::{Blob, BlobReader, Format, blocking};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::spec::{Algorithm, Descriptor, Digest, Hasher, Image};
use crate::transport::{LayerContent, Source};

/// Most oddities that are noted of one layer.
const MAX_PROBLEMS: usize = 100;

/// How layers are looked at.
#[derive(Clone, Debug, Default)]
pub struct IndexOptions {
    /// Directory in which indexes are kept; none keeps none, and reads no table of contents.
    pub keep_in: Option<PathBuf>,
    /// Layers read at the same time; 0 counts as 1.
    pub jobs: usize,
    /// Also digests of the content of files.
    pub digests: bool,
    /// What the lists may take.
    pub room: Room,
}

/// What a layer holds.
#[derive(Clone, Debug)]
pub struct LayerIndex {
    /// Digest of the blob.
    pub digest: Digest,
    /// Bytes of the blob.
    pub size: u64,
    /// How the blob is compressed: `plain`, `gzip`, `zstd`.
    pub compression: String,
    /// Bytes of the archive inside, where the whole of it was read.
    pub tar_bytes: Option<u64>,
    /// Whether files have digests.
    pub digests: bool,
    /// The entries in the archive's order.
    pub entries: Entries,
    /// Entries that cannot be part of an image.
    pub problems: Vec<Problem>,
    /// What the entries were read from.
    pub origin: Origin,
    /// Why the layer could not be read to its end: the entries are what was found until then.
    pub broken: Option<Broken>,
    /// Where its table of contents is kept.
    pub(super) dir: Option<PathBuf>,
}

/// What the entries of a layer were read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The archive, whose digest was verified.
    Archive,
    /// The layer's own table of contents, whose digest (this one) was verified and nothing else.
    Table(Digest),
    /// The tree that the layer was unpacked to.
    Tree,
}

/// An entry that cannot be part of an image.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Problem {
    /// The name as it stands in the archive.
    pub name: Name,
    /// What is wrong with it.
    pub what: String,
}

/// Why a layer could not be read.
#[derive(Clone, Debug)]
pub struct Broken {
    /// What sort of failure.
    pub kind: ErrorKind,
    /// The whole chain.
    pub why: String,
}

impl LayerIndex {
    pub(super) fn new(layer: &Descriptor, digests: bool) -> LayerIndex {
        LayerIndex {
            digest: layer.digest.clone(),
            size: layer.size,
            compression: Format::Plain.to_string(),
            tar_bytes: None,
            digests,
            entries: Entries::default(),
            problems: Vec::new(),
            origin: Origin::Archive,
            broken: None,
            dir: None,
        }
    }

    /// Bytes of all files together.
    pub fn file_bytes(&self) -> u64 {
        self.entries.file_bytes()
    }

    pub(super) fn note(&mut self, name: Vec<u8>, error: &Error) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem { name: Name(name), what: error.chain() });
        }
    }
}

/// The indexes of an image's layers, lowest first: kept ones, or made from their tables of contents,
/// or in one pass over each layer.
///
/// A layer that cannot be read for its own fault has `broken` set.
///
/// # Errors
/// What the place says when it cannot be reached; `Failed` if there is no room for the lists.
pub async fn index_layers<S: Source>(
    source: &S,
    image: &Image,
    options: &IndexOptions,
) -> Result<Vec<LayerIndex>> {
    stream::iter(image.layers())
        .map(|layer| index_layer(source, &layer.descriptor, options))
        .buffered(options.jobs.max(1))
        .try_collect()
        .await
}

async fn index_layer<S: Source>(
    source: &S,
    layer: &Descriptor,
    options: &IndexOptions,
) -> Result<LayerIndex> {
    let content = source.open_layer(layer).await;
    if let Ok(LayerContent::Repacked { archive, implied }) = content {
        let empty = LayerIndex { origin: Origin::Tree, ..LayerIndex::new(layer, options.digests) };
        return read_whole(archive, layer, empty, implied, options).await;
    }
    let find = |dir: &Path, origin: &Origin| {
        keep::find(dir, layer, origin, options.digests, &options.room)
    };
    let mut empty = LayerIndex::new(layer, options.digests);
    if let Some(dir) = &options.keep_in {
        if let Some(known) = find(dir, &Origin::Archive)? {
            return Ok(known);
        }
        if let Some(table) = Table::of(layer) {
            if let Some(known) = find(dir, &Origin::Table(table.digest().clone()))? {
                return Ok(LayerIndex { dir: Some(dir.clone()), ..known });
            }
            match read_table(source, layer, table, dir, options).await {
                Ok(index) => return Ok(index),
                // The layer itself is the better answer.
                Err(error) if is_layers_fault(error.kind()) => {
                    if error.kind() != ErrorKind::Unsupported {
                        empty.note(b"table of contents".to_vec(), &error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
    match content {
        Ok(LayerContent::Blob(blob) | LayerContent::Repacked { archive: blob, .. }) => {
            read_whole(blob, layer, empty, Vec::new(), options).await
        }
        Err(error) => Ok(LayerIndex { broken: Some(broken(layer, error)?), ..empty }),
    }
}

/// What the table of contents of a layer lists, with digests; `None` for a layer without one.
///
/// # Errors
/// As [`toc::index`] says, and what the place says.
pub(in crate::inspect) async fn table_index<S: Source>(
    source: &S,
    layer: &Descriptor,
    dir: &Path,
) -> Result<Option<LayerIndex>> {
    let Some(table) = Table::of(layer) else { return Ok(None) };
    let options = IndexOptions { digests: true, ..IndexOptions::default() };
    read_table(source, layer, table, dir, &options).await.map(Some)
}

async fn read_table<S: Source>(
    source: &S,
    layer: &Descriptor,
    table: Table,
    dir: &Path,
    options: &IndexOptions,
) -> Result<LayerIndex> {
    let doing = || format!("reading the table of contents of layer {}", layer.digest);
    let file = toc::fetch(source, layer, &table, dir).await.doing(doing)?;
    let (mut index, room) = (LayerIndex::new(layer, options.digests), options.room.clone());
    let (dir, described) = (dir.to_owned(), layer.clone());
    let work = move || {
        if let Err(error) = toc::index(&table, &file, &mut index, &room) {
            room.give_back(index.entries.packed().len());
            toc::forget(&dir, &described, &table);
            return Err(error);
        }
        index.entries.shrink();
        keep::record(&dir, &index);
        index.dir = Some(dir);
        Ok(index)
    };
    blocking(work).await.doing(doing)
}

/// One pass over a layer's archive. Directories that the layer only implies are left out.
async fn read_whole(
    archive: Blob,
    layer: &Descriptor,
    empty: LayerIndex,
    implied: Vec<Vec<u8>>,
    options: &IndexOptions,
) -> Result<LayerIndex> {
    let (room, problems) = (options.room.clone(), empty.problems.clone());
    let origin = empty.origin.clone();
    let work = move |blob| Ok(make_index(empty, blob, &implied.into_iter().collect(), &room));
    match archive.consume(work).await {
        Ok((index, None)) => {
            if let Some(dir) = &options.keep_in {
                keep::record(dir, &index);
            }
            Ok(index)
        }
        Ok((index, Some(error))) => Ok(LayerIndex { broken: Some(broken(layer, error)?), ..index }),
        Err(error) => Ok(LayerIndex {
            broken: Some(broken(layer, error)?),
            problems,
            origin,
            ..LayerIndex::new(layer, options.digests)
        }),
    }
}

/// Tells a fault of the layer from one of the way to it.
fn broken(layer: &Descriptor, error: Error) -> Result<Broken> {
    match is_layers_fault(error.kind()) {
        true => Ok(Broken { kind: error.kind(), why: error.chain() }),
        false => Err(error.while_doing(format!("reading layer {}", layer.digest))),
    }
}

fn is_layers_fault(kind: ErrorKind) -> bool {
    use ErrorKind::{Corrupt, Invalid, NotFound, Unsupported};
    matches!(kind, Corrupt | Invalid | NotFound | Unsupported)
}

/// The index as far as the archive goes, and what ended it early.
fn make_index(
    mut index: LayerIndex,
    blob: BlobReader,
    implied: &HashSet<Vec<u8>>,
    room: &Room,
) -> (LayerIndex, Option<Error>) {
    let result = walk(blob, |step| {
        let mut member = match step {
            Step::Member(member) => member,
            Step::Odd(name, error) => {
                index.note(name, &error);
                return Ok(());
            }
        };
        let mut entry = member.entry.clone();
        if entry.kind == EntryKind::Directory && implied.contains(entry.path.as_bytes()) {
            return Ok(());
        }
        if index.digests && entry.kind == EntryKind::File {
            let mut hasher = Hasher::new(Algorithm::Sha256);
            member.each_chunk(|bytes| {
                hasher.update(bytes);
                Ok(())
            })?;
            entry.digest = Some(hasher.finish());
        }
        index.entries.push(&entry, room)
    });
    index.entries.shrink();
    match result.doing(|| format!("reading layer {}", index.digest)) {
        Ok(totals) => {
            index.compression = totals.format.to_string();
            index.tar_bytes = Some(totals.tar_bytes);
            (index, None)
        }
        Err(error) => (index, Some(error)),
    }
}
