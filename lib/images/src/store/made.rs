//! Content that is made here, so that its digest is known only when it ends.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use super::layers::TREE;
use super::writer::create;
use super::{Role, UnpackSettings, Writer, intake};
use crate::blob::{CHUNK, HashBeside};
use crate::error::{IoContext, Result};
use crate::spec::{Algorithm, Digest, Layer};
use crate::sys;

/// Bytes after which the kernel is asked to begin writing them to disk.
const WRITE_BACK: u64 = 8 << 20;

/// A blob in the making. What is written is hashed beside. Dropped unfinished, it leaves nothing.
pub struct NewBlob<'a> {
    writer: &'a Writer,
    path: PathBuf,
    file: File,
    buffer: Vec<u8>,
    hash: HashBeside,
    written: u64,
    /// So much is on its way to disk.
    behind: u64,
    kept: bool,
}

impl Writer {
    /// Begins a blob whose digest is not known yet.
    pub fn new_blob(&self) -> Result<NewBlob<'_>> {
        let path = self.fresh();
        let file = create(&path).doing(|| format!("writing {}", path.display()))?;
        Ok(NewBlob {
            writer: self,
            path,
            file,
            buffer: Vec::new(),
            hash: HashBeside::new(Algorithm::Sha256),
            written: 0,
            behind: 0,
            kept: false,
        })
    }

    /// Unpacks one layer that implies nothing of those below, and tells where its tree is until the
    /// next [`Writer::commit`]; from then on [`Store::layer_tree`](super::Store::layer_tree) does.
    pub fn unpack_one(&self, layer: &Layer, settings: &UnpackSettings) -> Result<PathBuf> {
        let reader = self.open(&layer.descriptor)?.reader();
        let place = self.fresh();
        let (what, diff_id) = (&layer.descriptor, &layer.diff_id);
        let tree = intake::unpack(reader, what, diff_id, &place, settings, self.flushes())?;
        self.lease(&layer.diff_id.0)?;
        self.collect_tree(&layer.diff_id, tree);
        Ok(place.join(TREE))
    }

    /// An empty directory on the store's file system, which goes with this writer.
    pub fn scratch(&self) -> Result<PathBuf> {
        use std::os::unix::fs::DirBuilderExt;
        let path = self.fresh();
        let making = || format!("making directory {}", path.display());
        std::fs::DirBuilder::new().mode(0o700).create(&path).doing(making)?;
        Ok(path)
    }
}

impl NewBlob<'_> {
    /// Takes what was written in as content of the store, visible after the next
    /// [`Writer::commit`]; its digest and size.
    pub fn finish(mut self, role: Role) -> Result<(Digest, u64)> {
        self.send().doing(|| format!("writing {}", self.path.display()))?;
        let done = HashBeside::new(Algorithm::Sha256);
        let digest = std::mem::replace(&mut self.hash, done).finish()?.finish();
        self.writer.lease(&digest)?;
        self.kept = true;
        self.writer.collect(role, (digest.clone(), self.written), self.path.clone(), None);
        Ok((digest, self.written))
    }

    /// Brings what is collected to the file and to the hash.
    fn send(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.file.write_all(&self.buffer)?;
        self.written += self.buffer.len() as u64;
        if self.written - self.behind >= WRITE_BACK {
            sys::start_write_back(&self.file, self.behind, self.written - self.behind);
            self.behind = self.written;
        }
        let chunk = std::mem::take(&mut self.buffer);
        self.buffer = self.hash.take(chunk).map_err(io::Error::other)?;
        Ok(())
    }
}

impl Write for NewBlob<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = CHUNK.saturating_sub(self.buffer.len()).max(1);
        let taken = bytes.len().min(room);
        self.buffer.extend_from_slice(&bytes[..taken]);
        if self.buffer.len() >= CHUNK {
            self.send()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for NewBlob<'_> {
    fn drop(&mut self) {
        if !self.kept {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::Store;
    use super::*;
    use crate::spec::{Descriptor, MediaType};

    #[test]
    fn what_was_made_has_its_digest() {
        let place = tempfile::tempdir().unwrap();
        let writer = Store::open(place.path()).unwrap().begin().unwrap();
        for size in [0, 1, CHUNK, 40 * CHUNK + 17] {
            let content: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
            let mut blob = writer.new_blob().unwrap();
            content.chunks(10_000).for_each(|part| blob.write_all(part).unwrap());
            let made = blob.finish(Role::Leaf).unwrap();
            assert_eq!(made, (Digest::sha256(&content), size as u64));
            let what = Descriptor::new(MediaType::parse("x/y"), made.0, made.1);
            let mut back = Vec::new();
            io::Read::read_to_end(&mut writer.open(&what).unwrap().reader(), &mut back).unwrap();
            assert!(back == content);
        }
        let dropped = writer.new_blob().unwrap();
        let path = dropped.path.clone();
        drop(dropped);
        assert!(!path.exists());
    }
}
