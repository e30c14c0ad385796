//! The bytes of a layer that is kept as a tree alone.
//!
//! Owns the way back from a tree to the blob that it came from: packed and compressed as this
//! library does it. Promise: exactly the bytes of the digest that was asked for, or an error; what
//! another program packed can rarely be made again. Who only wants to look at the files gets an
//! archive of them. Changes nothing in the store.

use std::io::{PipeReader, Read, Write};
use std::path::PathBuf;
use std::thread::JoinHandle;

use super::{LayerRecord, Store, layers::TREE};
use crate::blob::{DigestWriter, Encoder, Encoding, FileBlob};
use crate::error::{Error, IoContext, Result};
use crate::layer::{PackOptions, pack};
use crate::spec::{Compression, Descriptor};
use crate::sys::{self, Dir, Root};

impl Store {
    /// Makes the bytes of the layer `what` from its tree; `None` if there is no such tree.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unsupported`] if packing the tree gives other bytes.
    pub fn remake(&self, what: &Descriptor) -> Result<Option<FileBlob>> {
        let Some((record, tree)) = self.tree_of(what)? else { return Ok(None) };
        let made = self.pack_again(what, &record, &tree);
        made.doing(|| format!("packing layer {} again", what.digest)).map(Some)
    }

    /// The files of the layer `what` as an archive of their own, and the directories in it that the
    /// layer only implied; `None` if it is not unpacked here.
    ///
    /// Nothing is packed before the first byte is asked for.
    pub fn repacked(&self, what: &Descriptor) -> Result<Option<(Repacked, Vec<Vec<u8>>)>> {
        let Some((record, tree)) = self.tree_of(what)? else { return Ok(None) };
        let root = Root::open(&tree).doing(|| format!("opening the tree of {}", what.digest))?;
        let (form, root_entry) = (record.form.into(), record.has_root());
        let options = PackOptions { form, root_entry, subseconds: true, ..PackOptions::default() };
        let implied = record.implied_dirs()?.into_iter().map(|dir| dir.path).collect();
        Ok(Some((Repacked(State::Waiting(root, options)), implied)))
    }

    /// The tree of the layer `what`, if it is unpacked here, and what is known of it.
    fn tree_of(&self, what: &Descriptor) -> Result<Option<(LayerRecord, PathBuf)>> {
        for layer in self.unpacked_layers()?.into_iter().filter(|layer| layer.whole) {
            let Some(record) = LayerRecord::read(&layer.path)? else { continue };
            let is_source = record.source.as_ref().is_some_and(|from| from.digest == what.digest);
            if is_source || record.diff_id.0 == what.digest {
                return Ok(Some((record, layer.path.join(TREE))));
            }
        }
        Ok(None)
    }

    fn pack_again(
        &self,
        what: &Descriptor,
        record: &LayerRecord,
        tree: &std::path::Path,
    ) -> Result<FileBlob> {
        let tree = Root::open(tree).doing(|| "opening its tree")?;
        let place = Dir::open(&self.tmp()).doing(|| "opening the store's tmp")?;
        let file = sys::scratch_file(&place).doing(|| "making a temporary file")?;
        let compression = crate::spec::claimed_compression(what).unwrap_or(Compression::None);
        let counted = DigestWriter::with_algorithm(&file, what.digest.algorithm());
        let mut encoder =
            Encoder::new(counted, Encoding::new(compression), sys::available_cores())?;
        let options = PackOptions { form: record.form.into(), ..PackOptions::default() };
        pack(&tree, &options, &mut encoder)?;
        let mut counted = encoder.finish().doing(|| "compressing")?;
        counted.flush().doing(|| "compressing")?;
        let (digest, size) = counted.finish();
        if digest != what.digest || size != what.size {
            return Err(Error::unsupported(format!(
                "it is kept unpacked only, and packing it gives {digest}: pull it again without \
                 --no-keep-blobs"
            )));
        }
        Ok(FileBlob::whole(file, what))
    }
}

/// The files of a layer as an uncompressed archive, packed on a thread of its own while it is read.
pub struct Repacked(State);

enum State {
    Waiting(Root, PackOptions<'static>),
    Packing(PipeReader, JoinHandle<Result<()>>),
    Ended,
}

impl Read for Repacked {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if let State::Waiting(..) = self.0
            && let State::Waiting(root, options) = std::mem::replace(&mut self.0, State::Ended)
        {
            let (reading, mut writing) = std::io::pipe()?;
            let work = move || pack(&root, &options, &mut writing).map(drop);
            self.0 = State::Packing(reading, std::thread::spawn(work));
        }
        let State::Packing(pipe, _) = &mut self.0 else { return Ok(0) };
        let count = pipe.read(buffer)?;
        if count == 0
            && !buffer.is_empty()
            && let State::Packing(_, worker) = std::mem::replace(&mut self.0, State::Ended)
        {
            // The end of the pipe is the end of the archive only if the packing went well.
            let packed = worker.join().map_err(|_| std::io::Error::other("packing stopped"))?;
            packed.doing(|| "packing the tree of a layer")?;
        }
        Ok(count)
    }
}
