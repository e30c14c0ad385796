//! Downloads that were cut, kept so that the next run goes on where they stopped.
//!
//! Owns `<root>/partial/`: `<alg>-<hex>` holds the bytes, `….state` beside it the state of their
//! hash. Neither is flushed: a state counts only while the machine has not been started anew since,
//! else the bytes are hashed again. What lies beyond the noted state is cut. A file is locked while
//! somebody writes to it; whoever finds it locked waits while it grows, or downloads by itself.
//! Works for any place on the same file system, with or without a store around it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::mpsc;

use super::intake::Growth;
use crate::blob::{CHUNK, RemoteBlob, VerifiedStream, Verifier, blocking};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::spec::{Digest, Hasher};
use crate::sys;

/// Smaller blobs are not worth keeping a part of.
pub(crate) const WORTH_KEEPING: u64 = 1 << 20;
/// The directory in a place that keeps its own cut downloads.
const BESIDE: &str = ".partial";
/// Bytes between two notes of the hash's state.
const INTERVAL: u64 = 8 << 20;
/// Chunks between the network and the disk.
const DEPTH: usize = 8;
/// Bytes after which the kernel is asked to begin writing them to disk.
const WRITE_BACK: u64 = 8 << 20;
/// What nobody went on with for so long is dropped when a new download begins.
const FORGOTTEN: Duration = Duration::from_secs(14 * 24 * 3600);
/// So many bytes of cut downloads are kept; the oldest go first.
const MAX_KEPT: u64 = 20 << 30;

/// The place where cut downloads lie.
#[derive(Clone, Debug)]
pub struct Partials {
    directory: PathBuf,
}

/// One download, ours while this value lives.
pub struct Partial {
    file: File,
    path: PathBuf,
    hasher: Option<Box<Hasher>>,
}

/// What became of asking for a download.
pub enum Claim {
    /// It is ours.
    Ours(Partial),
    /// Somebody else is at it.
    Busy,
    /// It cannot be kept: nothing can be written, or the result could not be moved to where it
    /// belongs.
    Impossible,
}

/// A cut download, or its note, that nobody is at.
pub(super) struct Idle {
    pub(super) path: PathBuf,
    pub(super) size: u64,
    pub(super) changed: SystemTime,
}

enum Piece {
    Bytes(Bytes),
    State(Box<Hasher>),
}

impl Partials {
    /// Cut downloads of the store at `root`.
    pub fn new(root: &Path) -> Partials {
        Partials { directory: root.join("partial") }
    }

    /// Cut downloads beside the content of the place at `path`, where that lies on another file
    /// system than the store.
    pub(super) fn beside(path: &Path) -> Partials {
        Partials { directory: path.join(BESIDE) }
    }

    /// Removes the directory where nothing was cut.
    pub(super) fn tidy(path: &Path) {
        // Fails, as it should, while there is something in it.
        let _ = std::fs::remove_dir(path.join(BESIDE));
    }

    /// Takes up the download of `digest`, or begins it; `None` if that is not possible now. The
    /// result is to be moved into the directory `beside`.
    pub fn take(&self, digest: &Digest, size: u64, beside: &Path) -> Option<Partial> {
        match self.claim(digest, size, beside) {
            Claim::Ours(partial) => Some(partial),
            Claim::Busy | Claim::Impossible => None,
        }
    }

    /// [`Partials::take`], with the reason when it is not possible.
    pub fn claim(&self, digest: &Digest, size: u64, beside: &Path) -> Claim {
        self.try_claim(digest, size, beside).unwrap_or(Claim::Impossible)
    }

    /// Whether anything can be kept here at all.
    pub(super) fn is_kept(&self) -> bool {
        self.directory.is_dir()
    }

    /// Whether what is downloaded here can be moved into `directory`.
    pub fn same_filesystem(&self, directory: &Path) -> bool {
        let device = |path: &Path| std::fs::metadata(path).map(|meta| meta.dev()).ok();
        device(&self.directory).is_some_and(|here| device(directory) == Some(here))
    }

    fn try_claim(&self, digest: &Digest, size: u64, beside: &Path) -> io::Result<Claim> {
        let path = self.path(digest);
        if !path.exists() {
            std::fs::create_dir_all(&self.directory)?;
            self.forget_old();
        }
        if !self.same_filesystem(beside) {
            return Ok(Claim::Impossible);
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Claim::Busy),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Its owner may have moved or dropped it just before we got the lock.
        match std::fs::metadata(&path) {
            Ok(named) if named.ino() == file.metadata()?.ino() => {}
            _ => return Ok(Claim::Busy),
        }
        let hasher = known_state(&file, &path, digest, size);
        file.set_len(hasher.as_ref().map_or(0, Hasher::count))?;
        Ok(Claim::Ours(Partial { file, path, hasher: hasher.map(Box::new) }))
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.directory.join(format!("{}-{}", digest.algorithm().as_str(), digest.hex()))
    }

    /// How many bytes whoever is at it has received.
    pub(super) fn received(&self, digest: &Digest) -> u64 {
        std::fs::metadata(self.path(digest)).map_or(0, |meta| meta.len())
    }

    /// All files that nobody is at, the oldest first.
    pub(super) fn idle(&self) -> io::Result<Vec<Idle>> {
        let entries = match std::fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut idle = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let Ok(meta) = std::fs::symlink_metadata(&path) else { continue };
            if meta.is_file() && hold(&path).is_ok() {
                idle.push(Idle { path, size: meta.len(), changed: meta.modified()? });
            }
        }
        idle.sort_by_key(|file| file.changed);
        Ok(idle)
    }

    /// Keeps what lies here from growing for ever. Failing to do so is no reason not to download.
    fn forget_old(&self) {
        let Ok(idle) = self.idle() else { return };
        let mut kept: u64 = idle.iter().map(|file| file.size).sum();
        for file in idle {
            // A clock that went backwards makes nothing old.
            let age = SystemTime::now().duration_since(file.changed).unwrap_or_default();
            if age < FORGOTTEN && kept <= MAX_KEPT {
                break;
            }
            kept -= file.size;
            let _ = file.remove();
        }
    }
}

impl Idle {
    /// Removes it, unless somebody has taken it up; `false` then.
    pub(super) fn remove(&self) -> Result<bool> {
        let Ok(_held) = hold(&self.path) else { return Ok(false) };
        let removing = || format!("removing {}", self.path.display());
        std::fs::remove_file(&self.path).doing(removing)?;
        Ok(true)
    }
}

/// Keeps others from the download that `path` belongs to; fails if somebody is at it.
fn hold(path: &Path) -> io::Result<Option<File>> {
    match File::open(path.with_extension("")) {
        Ok(file) => {
            file.try_lock()?;
            Ok(Some(file))
        }
        // A note that was left alone.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn state_path(path: &Path) -> PathBuf {
    path.with_extension("state")
}

/// The hash of what is there: from its note, or by reading where there is none that fits.
fn known_state(file: &File, path: &Path, digest: &Digest, size: u64) -> Option<Hasher> {
    let length = file.metadata().ok()?.len().min(size);
    let noted = std::fs::read(state_path(path)).ok().and_then(|note| read_note(&note));
    if let Some(hasher) = noted
        && hasher.algorithm() == digest.algorithm()
        && hasher.count() <= length
    {
        return Some(hasher);
    }
    let mut hasher = Hasher::new(digest.algorithm());
    let mut buffer = vec![0; CHUNK];
    let mut reader = file.take(length);
    loop {
        match reader.read(&mut buffer).ok()? {
            0 => return Some(hasher),
            count => hasher.update(&buffer[..count]),
        }
    }
}

fn read_note(note: &[u8]) -> Option<Hasher> {
    Hasher::restore(note.strip_prefix(sys::boot_id()?.as_bytes())?)
}

/// A note that cannot be written only costs reading the file again later.
fn write_note(path: &Path, hasher: &Hasher) {
    let new = path.with_extension("new");
    let Some(mut note) = sys::boot_id().map(String::into_bytes) else { return };
    note.extend(hasher.save());
    if std::fs::write(&new, note).is_ok() {
        let _ = std::fs::rename(&new, path);
    }
}

impl Partial {
    /// How many bytes are there.
    pub fn position(&self) -> u64 {
        self.hasher.as_ref().map_or(0, |hasher| hasher.count())
    }

    /// Where they are.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Another handle of the file, for reading.
    pub(super) fn open(&self) -> Result<File> {
        self.file.try_clone().doing(|| format!("opening {}", self.path.display()))
    }

    /// Downloads the rest. What was received stays for the next run when this fails, unless the
    /// bytes are wrong or the disk is full. Wrong bytes from an earlier run are fetched again.
    pub async fn receive(self, blob: &RemoteBlob) -> Result<Partial> {
        self.receive_while(blob, None).await
    }

    /// [`Partial::receive`], telling `growth` how far it has come. If the download has to begin
    /// anew, `growth` is broken from then on.
    pub(super) async fn receive_while(
        mut self,
        blob: &RemoteBlob,
        growth: Option<Arc<Growth>>,
    ) -> Result<Partial> {
        let resumed = self.position() > 0;
        if let Some(growth) = growth.as_ref().filter(|_| resumed) {
            growth.reached(self.position());
        }
        let mut fetched = self.fetch(blob, growth.clone()).await;
        if resumed && matches!(&fetched, Err(error) if error.kind() == ErrorKind::Corrupt) {
            growth.iter().for_each(|growth| growth.broken());
            self.file.set_len(0).doing(|| format!("emptying {}", self.path.display()))?;
            fetched = self.fetch(blob, None).await;
        }
        match fetched {
            Ok(()) => Ok(self),
            Err(error) => Err(self.give_up(error)),
        }
    }

    async fn fetch(&mut self, blob: &RemoteBlob, growth: Option<Arc<Growth>>) -> Result<()> {
        let verifier = self.hasher.take();
        let verifier = verifier.and_then(|hash| Verifier::resume(&blob.digest, blob.size, *hash));
        let position = verifier.as_ref().map_or(0, Verifier::position);
        let stream = blob.stream(verifier).await?;
        let (sender, pieces) = mpsc::channel(DEPTH);
        let file = self.file.try_clone().doing(|| "receiving")?;
        let path = self.path.clone();
        let writer =
            blocking(move || write_pieces(&file, position, pieces, &path, growth.as_deref()));
        let (pumped, written) = tokio::join!(pump(stream, sender), writer);
        written.and(pumped)
    }

    /// Drops what is of no use to anybody.
    fn give_up(self, error: Error) -> Error {
        let full = std::error::Error::source(&error)
            .and_then(|source| source.downcast_ref::<io::Error>())
            .is_some_and(|e| {
                matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            });
        if full || error.kind() == ErrorKind::Corrupt {
            self.discard();
        }
        error
    }

    /// Forgets what was received.
    pub(super) fn discard(self) {
        let _ = std::fs::remove_file(&self.path);
        self.forget_note();
    }

    /// Moves the whole download to `to`, on the same file system.
    pub fn move_to(self, to: &Path) -> Result<()> {
        let moving = || format!("moving {} to {}", self.path.display(), to.display());
        std::fs::rename(&self.path, to).doing(moving)?;
        self.forget_note();
        Ok(())
    }

    /// The bytes have been moved: their note has no use any more.
    pub(super) fn forget_note(&self) {
        let _ = std::fs::remove_file(state_path(&self.path));
    }
}

/// Sends chunks until the stream or the writer ends; a state is sent after the bytes it covers.
async fn pump(mut stream: VerifiedStream, sender: mpsc::Sender<Piece>) -> Result<()> {
    let mut since = 0;
    while let Some(item) = stream.next().await {
        let (piece, failed) = match item {
            Ok(chunk) => {
                since += chunk.len() as u64;
                (Piece::Bytes(chunk), None)
            }
            Err(error) => (state(&stream), Some(error)),
        };
        if sender.send(piece).await.is_err() {
            return failed.map_or(Ok(()), Err);
        }
        if let Some(error) = failed {
            return Err(error);
        }
        if since >= INTERVAL {
            since = 0;
            let _ = sender.send(state(&stream)).await;
        }
    }
    let _ = sender.send(state(&stream)).await;
    Ok(())
}

fn state(stream: &VerifiedStream) -> Piece {
    Piece::State(Box::new(stream.verifier().hasher().clone()))
}

/// Writes what comes; a state is noted only after the bytes before it.
fn write_pieces(
    file: &File,
    mut position: u64,
    mut pieces: mpsc::Receiver<Piece>,
    path: &Path,
    growth: Option<&Growth>,
) -> Result<()> {
    let mut behind = position;
    while let Some(piece) = pieces.blocking_recv() {
        match piece {
            Piece::Bytes(bytes) => {
                let writing = || format!("writing {}", path.display());
                file.write_all_at(&bytes, position).doing(writing)?;
                position += bytes.len() as u64;
                growth.iter().for_each(|growth| growth.reached(position));
            }
            Piece::State(hasher) => write_note(&state_path(path), &hasher),
        }
        if position - behind >= WRITE_BACK {
            sys::start_write_back(file, behind, position - behind);
            behind = position;
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Mutex;

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
        fn open(&self, stretch: std::ops::Range<u64>) -> Opening {
            self.asked.lock().unwrap().push(stretch.start);
            let start = usize::try_from(stretch.start).unwrap();
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
    async fn without_a_note_the_bytes_are_hashed_again() {
        let root = tempfile::tempdir().unwrap();
        let partials = Partials::new(root.path());
        let blob = remote(&server(1_250_000));
        let partial = partials.take(&blob.digest, blob.size, root.path()).unwrap();
        assert!(partial.receive(&blob).await.is_err());
        for note in [&b"garbage"[..], b""] {
            let state =
                state_path(&root.path().join(format!("partial/sha256-{}", blob.digest.hex())));
            std::fs::write(&state, note).unwrap();
            let partial = partials.take(&blob.digest, blob.size, root.path()).unwrap();
            assert_eq!(partial.position(), 1_250_000);
        }
    }

    /// A store whose download of `blob` was cut, and where its bytes are.
    async fn cut(root: &Path) -> (Partials, RemoteBlob, PathBuf) {
        let partials = Partials::new(root);
        let blob = remote(&server(1_250_000));
        let partial = partials.take(&blob.digest, blob.size, root).unwrap();
        assert!(partial.receive(&blob).await.is_err());
        let path = partials.path(&blob.digest);
        (partials, blob, path)
    }

    #[tokio::test]
    async fn a_note_from_before_a_power_cut_is_not_believed() {
        let root = tempfile::tempdir().unwrap();
        let (partials, blob, path) = cut(root.path()).await;
        let note = std::fs::read(state_path(&path)).unwrap();
        assert!(read_note(&note).is_some());
        // The bytes it covers never came to the disk.
        std::fs::write(&path, vec![0; 1_250_000]).unwrap();
        let mut other = note.clone();
        other[0] ^= 1;
        std::fs::write(state_path(&path), other).unwrap();
        let partial = partials.take(&blob.digest, blob.size, root.path()).unwrap();
        let server = server(3_000_000);
        let whole = partial.receive(&remote(&server)).await.unwrap();
        // What was there turned out to be wrong, and all of it was fetched again.
        assert_eq!(*server.asked.lock().unwrap(), [1_250_000, 0]);
        assert_eq!(std::fs::read(whole.path()).unwrap(), server.content);
    }

    #[tokio::test]
    async fn what_lies_beyond_the_note_is_cut() {
        let root = tempfile::tempdir().unwrap();
        let (partials, blob, path) = cut(root.path()).await;
        let longer = OpenOptions::new().append(true).open(&path).unwrap();
        std::io::Write::write_all(&mut &longer, b"not hashed yet").unwrap();
        let partial = partials.take(&blob.digest, blob.size, root.path()).unwrap();
        assert_eq!((partial.position(), partials.received(&blob.digest)), (1_250_000, 1_250_000));
    }

    #[test]
    fn what_nobody_went_on_with_is_forgotten() {
        let root = tempfile::tempdir().unwrap();
        let partials = Partials::new(root.path());
        let take = |bytes: &[u8]| partials.take(&Digest::sha256(bytes), 100, root.path()).unwrap();
        let (old, young) = (take(b"old").path, take(b"young").path);
        let long_ago = SystemTime::now() - FORGOTTEN;
        File::open(&old).unwrap().set_modified(long_ago).unwrap();
        let busy = take(b"busy");
        File::open(&busy.path).unwrap().set_modified(long_ago).unwrap();
        take(b"next");
        assert!(!old.exists() && young.exists() && busy.path.exists());
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
