//! One pass over a layer: decompressed, hashed and unpacked while it arrives.
//!
//! Owns the pipeline between a reader of compressed bytes and a tree: one thread decompresses, one
//! hashes, the calling one unpacks; bounded channels of reused buffers lie between, so memory is
//! flat and nothing is decompressed twice. [`Growth`] lets it read a file that a download still
//! writes, so a slow disk does not hold a connection open. Promise: a tree is handed out only if
//! the archive was read to its end and has the expected DiffId. Publishes nothing.

use std::fs::File;
use std::io::{self, BufRead, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use super::layers::{Form, LayerRecord, TREE, UnpackSettings};
use crate::blob::{CHUNK, Decoder, Format};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::layer::{Rights, UnpackOptions, UnpackReport, Unpacker};
use crate::spec::{Descriptor, DiffId, Digest, Hasher};
use crate::sys::{self, Root};

/// Bytes after which the disk gets something to do.
const FLUSH_AHEAD: usize = 64 << 20;
/// Buffers between two stages.
const DEPTH: usize = 8;

/// How far a file that others write has come.
#[derive(Default)]
pub(super) struct Growth {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy)]
enum State {
    /// So many bytes are there, and more will come.
    Growing(u64),
    /// All is there.
    Whole(u64),
    /// No more will come.
    Broken,
}

impl Default for State {
    fn default() -> State {
        State::Growing(0)
    }
}

impl Growth {
    fn set(&self, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
        self.changed.notify_all();
    }

    /// The first `bytes` of the file are there. Whoever gave the download up has the last word: what
    /// was still on its way to the file then changes nothing.
    pub(super) fn reached(&self, bytes: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Growing(there) = &mut *state {
            *there = bytes;
            self.changed.notify_all();
        }
    }

    /// All `bytes` of the file are there, and verified.
    pub(super) fn whole(&self, bytes: u64) {
        self.set(State::Whole(bytes));
    }

    /// The file will not become whole, or was begun anew.
    pub(super) fn broken(&self) {
        self.set(State::Broken);
    }

    /// Whether no more will come, or what came was wrong.
    pub(super) fn is_broken(&self) -> bool {
        matches!(*self.state.lock().unwrap_or_else(PoisonError::into_inner), State::Broken)
    }

    /// Waits until bytes after `position` are there; how many, 0 at the end.
    fn after(&self, position: u64) -> io::Result<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match *state {
                State::Growing(bytes) | State::Whole(bytes) if bytes > position => {
                    return Ok(bytes - position);
                }
                State::Whole(_) => return Ok(0),
                State::Broken => {
                    return Err(Error::new(ErrorKind::Cancelled, "the download ended").into());
                }
                State::Growing(_) => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

/// Reads a file while it grows.
pub(super) struct Follow {
    file: File,
    growth: Arc<Growth>,
    position: u64,
}

impl Follow {
    pub(super) fn new(file: File, growth: Arc<Growth>) -> Follow {
        Follow { file, growth, position: 0 }
    }
}

impl Read for Follow {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let there = usize::try_from(self.growth.after(self.position)?).unwrap_or(usize::MAX);
        let wanted = there.min(buffer.len());
        let count = self.file.read_at(&mut buffer[..wanted], self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

/// A layer's tree without a final name; dropped, it is removed.
pub(super) struct Tree {
    path: PathBuf,
    kept: bool,
}

impl Tree {
    /// Where it is, for whoever moves or removes it from now on.
    pub(super) fn keep(mut self) -> PathBuf {
        self.kept = true;
        self.path.clone()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        if !self.kept {
            remove(&self.path);
        }
    }
}

/// Makes the room of a half tree free at once: on a full disk every block counts.
pub(super) fn remove(path: &Path) {
    let _ = sys::remove_tree(path);
}

/// Unpacks what `reader` yields, the bytes of `source`, into a new directory at `place`. With
/// `flush_ahead`, what is written begins to go to disk before all is there: whoever flushes it
/// afterwards waits less.
///
/// # Errors
/// [`ErrorKind::Corrupt`] unless the archive inside is `diff_id`.
pub(super) fn unpack(
    reader: impl Read + Send,
    source: &Descriptor,
    diff_id: &DiffId,
    place: &Path,
    settings: &UnpackSettings,
    flush_ahead: bool,
) -> Result<Tree> {
    let form = Form::try_from(settings.form)?;
    let work = (place, flush_ahead);
    let made = unpack_into(reader, &source.digest, diff_id, work, settings).and_then(|report| {
        let record = LayerRecord::new(diff_id, form, Some(source.clone()), &report);
        record.write(place)?;
        Ok(Tree { path: place.to_owned(), kept: false })
    });
    if made.is_err() {
        remove(place);
    }
    made.map_err(|error| error.while_doing(format!("unpacking layer {}", source.digest)))
}

fn unpack_into(
    reader: impl Read + Send,
    source: &Digest,
    diff_id: &DiffId,
    (place, flush_ahead): (&Path, bool),
    settings: &UnpackSettings,
) -> Result<UnpackReport> {
    let tree = make_place(place)?;
    let options = UnpackOptions {
        whiteouts: settings.form,
        ownership: settings.ownership.clone(),
        rights: Rights::Keep,
        limits: settings.limits.clone(),
        writers: settings.writers,
    };
    let unpacker = Unpacker::new(Root::open(&tree).doing(|| "opening the new tree")?, options)?;
    let (to_unpack, chunks) = sync_channel(DEPTH);
    let (to_hash, copies) = sync_channel(DEPTH);
    let (due, flushes) = sync_channel(1);
    let beside = File::open(place).doing(|| format!("opening {}", place.display()))?;
    let pool = Pool::default();
    thread::scope(|scope| {
        let pool = &pool;
        scope.spawn(move || {
            // What cannot be flushed now is told when it has to be.
            flushes.iter().for_each(|()| drop(sys::sync_filesystem(&beside)));
        });
        let due = Due { sender: flush_ahead.then_some(due), since: 0 };
        let decoding =
            scope.spawn(move || decode(reader, (source, diff_id), pool, due, &to_unpack, &to_hash));
        let hasher = Hasher::new(diff_id.0.algorithm());
        let hashing = scope.spawn(move || hash(&copies, hasher, pool));
        let unpacked = unpacker.unpack(Chunks::new(chunks, pool));
        let decoded = decoding.join().unwrap_or_else(|_| Err(panicked()));
        let digest = hashing.join().map_err(|_| panicked())?;
        // A stream that fails makes the archive end early.
        let plain = match (decoded, &unpacked) {
            (Err(error), Ok(_)) => return Err(error),
            (Err(error), Err(_)) if error.kind() != ErrorKind::Cancelled => return Err(error),
            (decoded, _) => decoded.unwrap_or(false),
        };
        let report = unpacked?;
        if !plain && digest != diff_id.0 {
            return Err(Error::corrupt(format!(
                "the archive inside is {digest}, but the config says {}",
                diff_id.0
            )));
        }
        Ok(report)
    })
}

fn panicked() -> Error {
    Error::new(ErrorKind::Failed, "a thread that unpacks ended unexpectedly")
}

/// The new directory of a layer, and in it that of its tree.
pub(super) fn make_place(place: &Path) -> Result<PathBuf> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    let tree = place.join(TREE);
    let making = || format!("making directory {}", tree.display());
    std::fs::DirBuilder::new().mode(0o700).create(place).doing(making)?;
    std::fs::DirBuilder::new().mode(0o755).create(&tree).doing(making)?;
    // Whatever the mask of this process takes away.
    std::fs::set_permissions(&tree, std::fs::Permissions::from_mode(0o755)).doing(making)?;
    Ok(tree)
}

/// Buffers that come back from those who are done with them.
#[derive(Default)]
struct Pool(Mutex<Vec<Vec<u8>>>);

type Buffer = Arc<Vec<u8>>;

impl Pool {
    fn take(&self) -> Vec<u8> {
        let free = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        free.unwrap_or_else(|| vec![0; CHUNK])
    }

    /// The last holder gives a buffer back.
    fn give(&self, buffer: Buffer) {
        if let Ok(buffer) = Arc::try_unwrap(buffer) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
        }
    }
}

/// Tells when enough was written for a flush to be worth while.
struct Due {
    sender: Option<SyncSender<()>>,
    since: usize,
}

impl Due {
    fn add(&mut self, count: usize) {
        self.since += count;
        if self.since >= FLUSH_AHEAD
            && let Some(sender) = &self.sender
        {
            self.since = 0;
            // One that is under way has not ended: the next one will do.
            let _ = sender.try_send(());
        }
    }
}

/// A buffer and how much of it is used.
type Chunk = io::Result<(Buffer, usize)>;

/// Decompresses until the source ends; whether it was not compressed and is the layer itself, so
/// that its reader has verified it already.
fn decode(
    reader: impl Read,
    (source, diff_id): (&Digest, &DiffId),
    pool: &Pool,
    mut due: Due,
    to_unpack: &SyncSender<Chunk>,
    to_hash: &SyncSender<(Buffer, usize)>,
) -> Result<bool> {
    let failed = |error: io::Error| {
        let error = Error::io("reading the layer", error);
        let told = Error::new(ErrorKind::Cancelled, "the layer cannot be read");
        let _ = to_unpack.send(Err(told.into()));
        error
    };
    let mut decoder = Decoder::new(reader).map_err(failed)?;
    let plain = decoder.format() == Format::Plain && *source == diff_id.0;
    loop {
        let mut buffer = pool.take();
        let count = fill(&mut decoder, &mut buffer).map_err(failed)?;
        if count == 0 {
            return Ok(plain);
        }
        let buffer = Arc::new(buffer);
        due.add(count);
        // Whoever hangs up tells why.
        if !plain && to_hash.send((buffer.clone(), count)).is_err() {
            return Ok(plain);
        }
        if to_unpack.send(Ok((buffer, count))).is_err() {
            return Ok(plain);
        }
    }
}

fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while count < buffer.len() {
        match reader.read(&mut buffer[count..])? {
            0 => break,
            more => count += more,
        }
    }
    Ok(count)
}

fn hash(chunks: &Receiver<(Buffer, usize)>, mut hasher: Hasher, pool: &Pool) -> Digest {
    for (buffer, count) in chunks {
        hasher.update(&buffer[..count]);
        pool.give(buffer);
    }
    hasher.finish()
}

/// The decompressed bytes as the unpacker reads them.
struct Chunks<'a> {
    chunks: Receiver<Chunk>,
    pool: &'a Pool,
    current: Option<(Buffer, usize)>,
    position: usize,
}

impl Chunks<'_> {
    fn new(chunks: Receiver<Chunk>, pool: &Pool) -> Chunks<'_> {
        Chunks { chunks, pool, current: None, position: 0 }
    }
}

impl BufRead for Chunks<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.current.as_ref().is_none_or(|(_, count)| self.position == *count) {
            if let Some((buffer, _)) = self.current.take() {
                self.pool.give(buffer);
            }
            self.position = 0;
            self.current = self.chunks.recv().ok().transpose()?;
        }
        Ok(self.current.as_ref().map_or(&[], |(buffer, count)| &buffer[self.position..*count]))
    }

    fn consume(&mut self, count: usize) {
        self.position += count;
    }
}

impl Read for Chunks<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(into.len());
        into[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_download_that_was_given_up_stays_so() {
        let file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut &file, b"abcdef").unwrap();
        let growth = Arc::new(Growth::default());
        let mut follow = Follow::new(file, growth.clone());
        let mut buffer = [0; 10];
        growth.reached(3);
        assert_eq!(follow.read(&mut buffer).unwrap(), 3);
        growth.broken();
        // The thread that writes had not heard of it yet.
        growth.reached(6);
        let error = follow.read(&mut buffer).unwrap_err();
        assert!(error.to_string().contains("the download ended"), "{error}");
    }
}
