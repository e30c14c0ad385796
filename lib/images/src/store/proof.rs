//! Proves unpacked layers against the bytes that they came from.
//!
//! Owns the reading of every file of a tree: beside its archive where the store has that, else by
//! packing it again. Promise: changes nothing, and tells a tree that is wrong from one that nothing
//! can be compared with: the archive of another program can rarely be made again.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read};

use super::layers::{StoredLayer, TREE};
use super::{LayerRecord, Store};
use crate::blob::{Decoder, DigestWriter};
use crate::error::{Error, IoContext, Result};
use crate::layer::{Limits, PackOptions, differences, pack};
use crate::spec::{Descriptor, Digest, MediaType};
use crate::sys::Root;

const BUFFER: usize = 256 * 1024;

impl Store {
    /// Compares an unpacked layer with its record and its bytes, those in `damaged` left aside.
    /// `false` if only the record could be looked at.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corrupt`], naming a file, if the tree is not what was unpacked.
    pub(super) fn prove_layer(
        &self,
        layer: &StoredLayer,
        damaged: &BTreeMap<Digest, String>,
    ) -> Result<bool> {
        let record = LayerRecord::read(&layer.path)?;
        let record = record.ok_or_else(|| Error::corrupt("its record is missing"))?;
        if record.diff_id.0 != layer.digest {
            return Err(Error::corrupt(format!("its record is that of {}", record.diff_id.0)));
        }
        let tree = layer.path.join(TREE);
        if !tree.is_dir() {
            return Err(Error::corrupt("its tree is missing"));
        }
        if !layer.whole {
            return Ok(true);
        }
        let tree = Root::open(&tree).doing(|| "opening its tree")?;
        let Some(archive) = self.archive_of(&record, damaged)? else {
            return Ok(packs_again(&record, &tree));
        };
        let archive = BufReader::with_capacity(BUFFER, archive);
        // What is wrong with the archive is no fault of the tree.
        let Ok(found) = differences(&tree, archive, &Limits::default()) else { return Ok(false) };
        let Some((path, why)) = found.first_key_value() else { return Ok(true) };
        let others = match found.len() {
            1 => String::new(),
            count => format!(" (and {} more files)", count - 1),
        };
        Err(Error::corrupt(format!("{}: {why}{others}", path.escape_ascii())))
    }

    /// The archive of a layer, if the store has its bytes.
    fn archive_of(
        &self,
        record: &LayerRecord,
        damaged: &BTreeMap<Digest, String>,
    ) -> Result<Option<impl Read + use<>>> {
        let source = record.source.as_ref().map(|source| &source.digest);
        for digest in source.into_iter().chain([&record.diff_id.0]) {
            if damaged.contains_key(digest) {
                continue;
            }
            let Some(size) = self.size_of(digest)? else { continue };
            let what = Descriptor::new(MediaType::Other(String::new()), digest.clone(), size);
            let opened = self
                .blob(&what)
                .and_then(|blob| Decoder::new(blob.reader()).doing(|| format!("reading {digest}")));
            if let Ok(archive) = opened {
                return Ok(Some(archive));
            }
        }
        Ok(None)
    }
}

/// Whether packing a tree gives its archive.
fn packs_again(record: &LayerRecord, tree: &Root) -> bool {
    let mut packed = DigestWriter::with_algorithm(io::sink(), record.diff_id.0.algorithm());
    let options = PackOptions { form: record.form.into(), ..PackOptions::default() };
    pack(tree, &options, &mut packed).is_ok() && packed.finish().0 == record.diff_id.0
}
