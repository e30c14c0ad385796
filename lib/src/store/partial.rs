//! Downloads that were cut, kept so that the next run goes on where they stopped.
//!
//! `<root>/partial/<alg>-<hex>` holds the bytes, written without a flush. They are read and hashed
//! anew by whoever goes on with them, for nothing else tells whether a power cut tore them or somebody
//! changed them: then the digest at the end is wrong, and the file is dropped. A file is locked while somebody writes to it; whoever finds it locked downloads
//! by itself.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::mpsc;

use crate::blob::{CHUNK, RemoteBlob, Verifier, blocking};
use crate::error::{ErrorKind, IoContext, Result};
use crate::spec::{Digest, Hasher};

/// Smaller blobs are not worth keeping a part of.
pub(crate) const WORTH_KEEPING: u64 = 1 << 20;
/// Chunks between the network and the disk.
const DEPTH: usize = 8;

/// The place where cut downloads lie.
#[derive(Clone, Debug)]
pub struct Partials {
    directory: PathBuf,
}

/// One download, ours while this value lives.
pub struct Partial {
    file: File,
    path: PathBuf,
    verifier: Option<Hasher>,
}

impl Partials {
    /// Cut downloads of the store at `root`.
    pub fn new(root: &Path) -> Partials {
        Partials { directory: root.join("partial") }
    }

    /// Takes up the download of `digest`, or begins it. Reads all that is there.
    ///
    /// `None` if somebody else is at it, if nothing can be written here, or if `beside` is a
    /// directory of another file system (the result could not be moved there).
    pub fn take(&self, digest: &Digest, size: u64, beside: &Path) -> Option<Partial> {
        std::fs::create_dir_all(&self.directory).ok()?;
        let here = std::fs::metadata(&self.directory).ok()?.dev();
        if std::fs::metadata(beside).ok()?.dev() != here {
            return None;
        }
        let name = format!("{}-{}", digest.algorithm().as_str(), digest.hex());
        let path = self.directory.join(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).ok()?;
        file.try_lock().ok()?;
        // Its owner may have moved or dropped it just before we got the lock.
        let same = std::fs::metadata(&path).ok()?.ino() == file.metadata().ok()?.ino();
        if !same {
            return None;
        }
        let verifier = hash_of(&file, digest, size);
        file.set_len(verifier.as_ref().map_or(0, Hasher::count)).ok()?;
        Some(Partial { file, path, verifier })
    }
}

/// The hash of what is there.
fn hash_of(file: &File, digest: &Digest, size: u64) -> Option<Hasher> {
    let mut hasher = Hasher::new(digest.algorithm());
    let mut buffer = vec![0; CHUNK];
    let mut reader = file.take(size);
    loop {
        match reader.read(&mut buffer).ok()? {
            0 => return Some(hasher),
            count => hasher.update(&buffer[..count]),
        }
    }
}

impl Partial {
    /// How many bytes are there.
    pub fn position(&self) -> u64 {
        self.verifier.as_ref().map_or(0, Hasher::count)
    }

    /// Downloads the rest. What was received stays for the next run when this fails, unless the
    /// bytes are wrong.
    pub async fn receive(mut self, blob: &RemoteBlob) -> Result<Partial> {
        let resumed = self.verifier.take();
        let verifier = resumed.and_then(|hasher| Verifier::resume(&blob.digest, blob.size, hasher));
        let position = verifier.as_ref().map_or(0, Verifier::position);
        let mut stream = blob.stream(verifier).await?;
        let (sender, chunks) = mpsc::channel(DEPTH);
        let file = self.file.try_clone().doing(|| "receiving")?;
        let writer = blocking(move || write_chunks(&file, position, chunks));
        let pump = async move {
            while let Some(chunk) = stream.next().await {
                if sender.send(chunk?).await.is_err() {
                    break;
                }
            }
            Ok(())
        };
        let (pumped, written) = tokio::join!(pump, writer);
        match written.and(pumped) {
            Ok(()) => Ok(self),
            Err(error) => {
                if error.kind() == ErrorKind::Corrupt {
                    self.discard();
                }
                Err(error)
            }
        }
    }

    /// Moves the whole download to `to`, on the same file system.
    pub fn move_to(self, to: &Path) -> Result<()> {
        let moving = || format!("moving {} to {}", self.path.display(), to.display());
        std::fs::rename(&self.path, to).doing(moving)
    }

    /// Forgets what was received.
    fn discard(self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Writes what comes.
fn write_chunks(file: &File, mut position: u64, mut chunks: mpsc::Receiver<Bytes>) -> Result<()> {
    while let Some(bytes) = chunks.blocking_recv() {
        file.write_all_at(&bytes, position).doing(|| "writing what was received")?;
        position += bytes.len() as u64;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::blob::{OpenRemote, Opening};
    use crate::error::Error;

    /// A server that breaks off after `until` bytes of the blob, and notes where it was asked from.
    struct Server {
        content: Bytes,
        until: usize,
        asked: Mutex<Vec<u64>>,
    }

    impl OpenRemote for Server {
        fn open(&self, offset: u64) -> Opening {
            self.asked.lock().unwrap().push(offset);
            let start = usize::try_from(offset).unwrap();
            let part = self.content.slice(start..self.until.max(start));
            let whole = self.until == self.content.len();
            Box::pin(async move {
                let mut items: Vec<Result<Bytes>> = Vec::new();
                items.extend(part.chunks(100_000).map(|chunk| Ok(Bytes::copy_from_slice(chunk))));
                if !whole {
                    items.push(Err(Error::new(ErrorKind::Unavailable, "cut")));
                }
                Ok(Box::pin(futures_util::stream::iter(items)) as crate::blob::ByteStream)
            })
        }
    }

    fn remote(server: &Arc<Server>) -> RemoteBlob {
        RemoteBlob {
            size: server.content.len() as u64,
            digest: Digest::sha256(&server.content),
            opener: server.clone(),
            meter: None,
        }
    }

    fn server(until: usize) -> Arc<Server> {
        let content: Vec<u8> = (0..3_000_000_u32).map(|n| (n * 7 % 251) as u8).collect();
        Arc::new(Server { content: content.into(), until, asked: Mutex::default() })
    }

    #[tokio::test]
    async fn a_cut_download_goes_on_where_it_stopped() {
        let root = tempfile::tempdir().unwrap();
        let partials = Partials::new(root.path());
        let first = server(1_250_000);
        let blob = remote(&first);
        let take = || partials.take(&blob.digest, blob.size, root.path());
        let partial = take().unwrap();
        assert!(take().is_none(), "a download in progress belongs to one process");
        assert!(partial.receive(&blob).await.is_err());
        let second = server(3_000_000);
        let partial = take().unwrap();
        assert_eq!(partial.position(), 1_250_000);
        let whole = partial.receive(&remote(&second)).await.unwrap();
        assert_eq!(*second.asked.lock().unwrap(), [1_250_000]);
        let to = root.path().join("whole");
        whole.move_to(&to).unwrap();
        assert_eq!(std::fs::read(&to).unwrap(), second.content);
        assert_eq!(std::fs::read_dir(root.path().join("partial")).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn bytes_that_changed_meanwhile_are_noticed() {
        let root = tempfile::tempdir().unwrap();
        let partials = Partials::new(root.path());
        let blob = remote(&server(1_250_000));
        let take = || partials.take(&blob.digest, blob.size, root.path()).unwrap();
        assert!(take().receive(&blob).await.is_err());
        let path = root.path().join(format!("partial/sha256-{}", blob.digest.hex()));
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[1000] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let error = take().receive(&remote(&server(3_000_000))).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert_eq!(take().position(), 0);
    }

    #[tokio::test]
    async fn wrong_bytes_are_not_kept() {
        let root = tempfile::tempdir().unwrap();
        let partials = Partials::new(root.path());
        let blob = RemoteBlob { digest: Digest::sha256(b"other"), ..remote(&server(3_000_000)) };
        let partial = partials.take(&blob.digest, blob.size, root.path()).unwrap();
        let error = partial.receive(&blob).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert_eq!(partials.take(&blob.digest, blob.size, root.path()).unwrap().position(), 0);
    }
}
