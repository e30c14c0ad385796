//! Where async code ends: network streams become readers, local readers become streams.
//!
//! Bounded channels in both directions, so that a slow side slows the other one down. Dropping
//! either end stops the other; no thread outlives the future that waits for it by more than one
//! chunk. Promise: only what was sent to its end looks like an end; a side that was dropped is an
//! error to the other.

use std::fs::File;
use std::io::{Cursor, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use futures_util::{Stream, StreamExt, stream};
use tokio::sync::mpsc;

use super::{Blob, ByteStream, CHUNK};
use crate::error::{Error, ErrorKind, Result};

/// Chunks in flight across the border.
const DEPTH: usize = 8;

/// Reads a stretch of a shared file without moving its position.
pub(super) struct Stretch {
    file: Arc<File>,
    position: u64,
    left: u64,
}

impl Stretch {
    pub(super) fn new(file: Arc<File>, offset: u64, size: u64) -> Stretch {
        Stretch { file, position: offset, left: size }
    }
}

impl Read for Stretch {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.file.read_at(&mut buffer[..wanted], self.position)?;
        self.position += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

/// The blocking side's view of any blob: a `Read` of verified bytes that can also hand out whole
/// chunks without copying.
pub struct BlobReader {
    inner: ReaderKind,
}

enum ReaderKind {
    Local(Box<dyn Read + Send>),
    Channel { chunks: Chunks, current: Bytes },
}

/// What crosses the border: chunks, then a failure, or `None` when all have come.
type Crossing = Option<Result<Bytes>>;

/// The far end of the channel.
struct Chunks {
    receiver: mpsc::Receiver<Crossing>,
    ended: bool,
}

impl Chunks {
    fn channel() -> (mpsc::Sender<Crossing>, Chunks) {
        let (sender, receiver) = mpsc::channel(DEPTH);
        (sender, Chunks { receiver, ended: false })
    }

    fn blocking_next(&mut self) -> Result<Option<Bytes>> {
        let crossing = if self.ended { Some(None) } else { self.receiver.blocking_recv() };
        self.take(crossing)
    }

    async fn next(&mut self) -> Result<Option<Bytes>> {
        let crossing = if self.ended { Some(None) } else { self.receiver.recv().await };
        self.take(crossing)
    }

    fn take(&mut self, crossing: Option<Crossing>) -> Result<Option<Bytes>> {
        match crossing {
            Some(Some(chunk)) => chunk.map(Some),
            Some(None) => {
                self.ended = true;
                Ok(None)
            }
            None => Err(Error::new(ErrorKind::Cancelled, "the transfer was stopped")),
        }
    }
}

impl BlobReader {
    /// The next chunk; `None` after the (verified) end.
    pub fn next_chunk(&mut self) -> Result<Option<Bytes>> {
        match &mut self.inner {
            ReaderKind::Channel { chunks, current } => {
                if !current.is_empty() {
                    return Ok(Some(std::mem::take(current)));
                }
                chunks.blocking_next()
            }
            ReaderKind::Local(reader) => read_chunk(reader.as_mut()),
        }
    }
}

/// Fills one chunk as far as the reader goes.
fn read_chunk(reader: &mut dyn Read) -> Result<Option<Bytes>> {
    let mut buffer = Vec::with_capacity(CHUNK);
    reader
        .take(CHUNK as u64)
        .read_to_end(&mut buffer)
        .map_err(|error| Error::io("reading", error))?;
    Ok((!buffer.is_empty()).then(|| Bytes::from(buffer)))
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match &mut self.inner {
            ReaderKind::Local(reader) => reader.read(buffer),
            ReaderKind::Channel { chunks, current } => {
                while current.is_empty() {
                    match chunks.blocking_next()? {
                        Some(chunk) => *current = chunk,
                        None => return Ok(0),
                    }
                }
                let count = buffer.len().min(current.len());
                buffer[..count].copy_from_slice(&current[..count]);
                current.advance(count);
                Ok(count)
            }
        }
    }
}

impl Blob {
    /// Runs `work` on a thread of its own with a blocking reader of the (verified) bytes.
    ///
    /// Whichever side fails first decides: the other is stopped, and its failure dropped.
    pub async fn consume<T, F>(self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(BlobReader) -> Result<T> + Send + 'static,
    {
        let local = |reader: Box<dyn Read + Send>| BlobReader { inner: ReaderKind::Local(reader) };
        match self {
            Blob::Bytes(bytes) => blocking(move || work(local(Box::new(Cursor::new(bytes))))).await,
            Blob::File(file) => blocking(move || work(local(Box::new(file.reader())))).await,
            Blob::Unnamed(reader) => blocking(move || work(local(reader))).await,
            Blob::Remote(remote) => {
                let stream = remote.stream(None).await?;
                consume_stream(stream, work).await
            }
        }
    }

    /// Runs `work` on a thread of its own with a blocking reader of a stretch of the bytes. What
    /// comes is as long as the stretch, and not verified: whoever asks knows how to.
    ///
    /// # Errors
    /// `Unsupported` for what can only be read from its start.
    pub async fn consume_stretch<T, F>(self, stretch: Range<u64>, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(BlobReader) -> Result<T> + Send + 'static,
    {
        let length = stretch.end.saturating_sub(stretch.start);
        let local = |reader: Box<dyn Read + Send>| BlobReader { inner: ReaderKind::Local(reader) };
        match self {
            Blob::Bytes(bytes) => {
                let place = |at| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
                let part = bytes.slice(place(stretch.start)..place(stretch.end));
                let reader = Whole { inner: Cursor::new(part), left: length };
                blocking(move || work(local(Box::new(reader)))).await
            }
            Blob::File(file) => {
                let part = Stretch::new(file.file, file.offset + stretch.start, length);
                let reader = Whole { inner: part, left: length };
                blocking(move || work(local(Box::new(reader)))).await
            }
            Blob::Remote(remote) if length > 0 => {
                let stream = remote.opener.open(stretch).await?;
                consume_stream(stream, work).await
            }
            Blob::Remote(_) => blocking(move || work(local(Box::new(std::io::empty())))).await,
            Blob::Unnamed(_) => Err(Error::unsupported("it can only be read from its start")),
        }
    }

    /// A blocking reader of the (verified) bytes, for work that lives on a thread of its own.
    ///
    /// Must be called inside the runtime; a network stream is pumped by a task that ends with the
    /// reader.
    pub async fn into_reader(self) -> Result<BlobReader> {
        let local = |reader: Box<dyn Read + Send>| BlobReader { inner: ReaderKind::Local(reader) };
        Ok(match self {
            Blob::Bytes(bytes) => local(Box::new(Cursor::new(bytes))),
            Blob::File(file) => local(Box::new(file.reader())),
            Blob::Unnamed(reader) => local(reader),
            Blob::Remote(remote) => {
                let stream = remote.stream(None).await?;
                let (sender, chunks) = Chunks::channel();
                tokio::spawn(pump(stream, sender));
                BlobReader { inner: ReaderKind::Channel { chunks, current: Bytes::new() } }
            }
        })
    }

    /// The (verified) bytes as a stream, for whoever sends them over a network.
    pub async fn into_stream(self) -> Result<ByteStream> {
        Ok(match self {
            Blob::Bytes(bytes) => Box::pin(stream::once(async move { Ok(bytes) })),
            Blob::File(file) => read_ahead(Box::new(file.reader())),
            Blob::Unnamed(reader) => read_ahead(reader),
            Blob::Remote(remote) => Box::pin(remote.stream(None).await?),
        })
    }

    /// The whole content, which must not exceed `limit` bytes.
    pub async fn into_bytes(self, limit: u64) -> Result<Bytes> {
        if let Blob::Bytes(bytes) = self {
            return Ok(bytes);
        }
        let mut stream = self.into_stream().await?;
        let mut out = Vec::new();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk?;
            if (out.len() + chunk.len()) as u64 > limit {
                return Err(Error::invalid(format!(
                    "content is larger than the limit of {limit} bytes"
                )));
            }
            out.extend_from_slice(&chunk);
        }
        Ok(out.into())
    }
}

/// A reader that fails if it ends early.
struct Whole<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self.left.saturating_sub(count as u64);
        if count == 0 && !buffer.is_empty() && self.left > 0 {
            return Err(Error::corrupt("the blob is shorter than its descriptor says").into());
        }
        Ok(count)
    }
}

/// Pumps a network stream to `work` on its thread; returns when both have ended.
pub async fn consume_stream<T, F>(
    stream: impl Stream<Item = Result<Bytes>> + Unpin + Send,
    work: F,
) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce(BlobReader) -> Result<T> + Send + 'static,
{
    let (sender, chunks) = Chunks::channel();
    let reader = BlobReader { inner: ReaderKind::Channel { chunks, current: Bytes::new() } };
    let worker = blocking(move || work(reader));
    let ((), result) = tokio::join!(pump(stream, sender), worker);
    result
}

/// Sends chunks until the stream or the reader ends.
async fn pump(
    mut stream: impl Stream<Item = Result<Bytes>> + Unpin,
    sender: mpsc::Sender<Crossing>,
) {
    loop {
        let crossing = stream.next().await;
        let is_last = !matches!(crossing, Some(Ok(_)));
        if sender.send(crossing).await.is_err() || is_last {
            break;
        }
    }
}

/// Runs blocking work on a thread of its own and waits for it.
pub async fn blocking<T, F>(work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Error::caused(ErrorKind::Failed, "a worker thread stopped", error)),
    }
}

/// Reads ahead on a thread of its own.
fn read_ahead(mut reader: Box<dyn Read + Send>) -> ByteStream {
    let (sender, chunks) = Chunks::channel();
    tokio::task::spawn_blocking(move || {
        loop {
            let crossing = read_chunk(reader.as_mut()).transpose();
            let is_last = !matches!(crossing, Some(Ok(_)));
            if sender.blocking_send(crossing).is_err() || is_last {
                break;
            }
        }
    });
    Box::pin(stream::try_unfold(chunks, |mut chunks| async move {
        Ok(chunks.next().await?.map(|chunk| (chunk, chunks)))
    }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{OpenRemote, Opening, RemoteBlob, VerifiedStream};
    use super::*;
    use crate::spec::Digest;

    /// Gives one chunk and then nothing any more, if it `hangs`.
    struct Halves {
        hangs: bool,
    }

    impl OpenRemote for Halves {
        fn open(&self, _: Range<u64>) -> Opening {
            let first = stream::once(async { Ok(Bytes::from_static(b"first ")) });
            let hangs = self.hangs;
            let second = stream::once(async move {
                if hangs {
                    std::future::pending::<()>().await;
                }
                Ok(Bytes::from_static(b"second"))
            });
            Box::pin(async { Ok(Box::pin(first.chain(second)) as ByteStream) })
        }
    }

    async fn halves(hangs: bool) -> VerifiedStream {
        let digest = Digest::sha256(b"first second");
        let opener = Arc::new(Halves { hangs });
        RemoteBlob { size: 12, digest, opener, meter: None }.stream(None).await.unwrap()
    }

    #[tokio::test]
    async fn a_stream_is_read_to_its_end() {
        let read = consume_stream(halves(false).await, |mut reader| {
            let mut text = String::new();
            reader.read_to_string(&mut text).map_err(|error| Error::io("reading", error))?;
            // The end stays the end.
            assert!(reader.next_chunk()?.is_none());
            Ok(text)
        });
        assert_eq!(read.await.unwrap(), "first second");
    }

    #[tokio::test]
    async fn a_dropped_future_is_no_end() {
        let (told, outcome) = std::sync::mpsc::channel();
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let work = consume_stream(halves(true).await, move |mut reader| {
            assert_eq!(reader.next_chunk()?.unwrap(), "first ");
            begun.send(()).unwrap();
            let end = reader.next_chunk();
            told.send(end.map_err(|error| error.kind())).unwrap();
            Ok(())
        });
        tokio::select! {
            _ = work => panic!("nothing ends it"),
            _ = has_begun => {}
        }
        let outcome = tokio::task::spawn_blocking(move || outcome.recv()).await.unwrap();
        assert_eq!(outcome.unwrap(), Err(ErrorKind::Cancelled));
    }
}
