//! Content into a stretch of a file: verified, read on one thread and written on another.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, mpsc};

use bytes::Bytes;

use crate::blob::{Blob, BlobReader, CHUNK, FileBlob, blocking};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::spec::{Algorithm, Descriptor, Digest, Hasher};
use crate::sys;

/// Bytes after which the kernel is asked to begin writing them to disk.
const WRITE_BACK: u64 = 8 << 20;
/// Chunks between the reading and the writing thread.
const DEPTH: usize = 8;

/// Writes `content` to `file` from `at` on, where nothing else is, and tells what it was.
///
/// Fails, having written no more than announced, unless it is what `expected` says. Without
/// `expected`, content that has no name yet gets one by `algorithm`.
pub(crate) async fn fill(
    file: Arc<File>,
    at: u64,
    content: Blob,
    expected: Option<&Descriptor>,
    algorithm: Algorithm,
) -> Result<(Digest, u64)> {
    let named = match &content {
        Blob::File(blob) => Some((blob.digest.clone(), blob.size)),
        Blob::Remote(blob) => Some((blob.digest.clone(), blob.size)),
        Blob::Bytes(_) | Blob::Unnamed(_) => None,
    };
    let wanted = expected.map(|known| (known.digest.clone(), known.size));
    if let Some(named) = &named {
        compare(wanted.as_ref(), named)?;
    }
    let algorithm = expected.map_or(algorithm, |known| known.digest.algorithm());
    let out = Writer { file, at, behind: at, limit: wanted.as_ref().map(|(_, size)| at + size) };
    let found = match (content, named) {
        (Blob::File(blob), Some(named)) => {
            blocking(move || from_file(out, blob)).await?;
            named
        }
        (content @ Blob::Remote(_), Some(named)) => {
            content.consume(|reader| from_network(out, reader)).await?;
            named
        }
        (content, _) => content.consume(move |reader| hashed(out, reader, algorithm)).await?,
    };
    compare(wanted.as_ref(), &found)?;
    Ok(found)
}

fn compare(wanted: Option<&(Digest, u64)>, found: &(Digest, u64)) -> Result<()> {
    match wanted {
        Some(wanted) if wanted != found => Err(Error::corrupt(format!(
            "{} of {} bytes came as {} of {} bytes",
            wanted.0, wanted.1, found.0, found.1
        ))),
        _ => Ok(()),
    }
}

/// The other side of the channel hashes.
fn from_network(mut out: Writer, mut reader: BlobReader) -> Result<()> {
    while let Some(chunk) = reader.next_chunk()? {
        out.write(&chunk)?;
    }
    Ok(())
}

fn from_file(mut out: Writer, blob: FileBlob) -> Result<()> {
    let whole = blob.offset == 0 && blob.file.metadata().is_ok_and(|meta| meta.len() == blob.size);
    if whole && out.at == 0 && sys::share_blocks(&blob.file, &out.file).doing(|| "cloning")? {
        // The clone is ours alone: what is verified now stays so.
        let clone = FileBlob { file: out.file, ..blob };
        std::io::copy(&mut clone.reader(), &mut std::io::sink()).doing(|| "verifying")?;
        return Ok(());
    }
    pipe(blob.reader(), |chunk| out.write(chunk))
}

fn hashed(mut out: Writer, reader: BlobReader, algorithm: Algorithm) -> Result<(Digest, u64)> {
    let mut hasher = Hasher::new(algorithm);
    pipe(reader, |chunk| {
        hasher.update(chunk);
        out.write(chunk)
    })?;
    let size = hasher.count();
    Ok((hasher.finish(), size))
}

/// Reads on a thread of its own what `take` gets on this one.
fn pipe(reader: impl Read + Send, mut take: impl FnMut(&Bytes) -> Result<()>) -> Result<()> {
    let (sender, chunks) = mpsc::sync_channel(DEPTH);
    std::thread::scope(|scope| {
        let reading = scope.spawn(move || read_all(reader, &sender));
        // Dropped when `take` fails, so that the reading thread ends as well.
        let taken = chunks.into_iter().try_for_each(|chunk| take(&chunk));
        let read = reading
            .join()
            .unwrap_or_else(|_| Err(Error::new(ErrorKind::Failed, "the reading thread stopped")));
        taken.and(read)
    })
}

fn read_all(mut reader: impl Read, sender: &mpsc::SyncSender<Bytes>) -> Result<()> {
    loop {
        let mut buffer = Vec::with_capacity(CHUNK);
        let mut part = (&mut reader).take(CHUNK as u64);
        part.read_to_end(&mut buffer).doing(|| "reading")?;
        // Whoever takes no more has a reason of its own.
        if buffer.is_empty() || sender.send(buffer.into()).is_err() {
            return Ok(());
        }
    }
}

/// Writes on from a position and has the kernel follow close behind.
struct Writer {
    file: Arc<File>,
    at: u64,
    behind: u64,
    /// Where it has to end.
    limit: Option<u64>,
}

impl Writer {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let end = self.at + bytes.len() as u64;
        if self.limit.is_some_and(|limit| end > limit) {
            return Err(Error::corrupt("the content is longer than announced"));
        }
        self.file.write_all_at(bytes, self.at).doing(|| "writing")?;
        self.at = end;
        if self.at - self.behind >= WRITE_BACK {
            sys::start_write_back(&self.file, self.behind, self.at - self.behind);
            self.behind = self.at;
        }
        Ok(())
    }
}
