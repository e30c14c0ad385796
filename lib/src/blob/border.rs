//! Where async code ends: network streams become readers, local readers become streams.
//!
//! Bounded channels in both directions, so that a slow side slows the other one down. Dropping
//! either end stops the other; no thread outlives the future that waits for it by more than one
//! chunk.

use std::fs::File;
use std::io::{Cursor, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;

use super::{Blob, ByteStream, CHUNK, VerifiedStream};
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
    Channel { chunks: mpsc::Receiver<Result<Bytes>>, current: Bytes },
}

impl BlobReader {
    /// The next chunk; `None` after the (verified) end.
    pub fn next_chunk(&mut self) -> Result<Option<Bytes>> {
        match &mut self.inner {
            ReaderKind::Channel { chunks, current } => {
                if !current.is_empty() {
                    return Ok(Some(std::mem::take(current)));
                }
                chunks.blocking_recv().transpose()
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
                    match chunks.blocking_recv() {
                        Some(chunk) => *current = chunk?,
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
                let (sender, chunks) = mpsc::channel(DEPTH);
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

/// Pumps a network stream to `work` on its thread; returns when both have ended.
pub async fn consume_stream<T, F>(stream: VerifiedStream, work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce(BlobReader) -> Result<T> + Send + 'static,
{
    let (sender, chunks) = mpsc::channel(DEPTH);
    let reader = BlobReader { inner: ReaderKind::Channel { chunks, current: Bytes::new() } };
    let worker = blocking(move || work(reader));
    let ((), result) = tokio::join!(pump(stream, sender), worker);
    result
}

/// Sends chunks until the stream or the reader ends.
async fn pump(mut stream: VerifiedStream, sender: mpsc::Sender<Result<Bytes>>) {
    while let Some(item) = stream.next().await {
        let failed = item.is_err();
        if sender.send(item).await.is_err() || failed {
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
    let (sender, receiver) = mpsc::channel(DEPTH);
    tokio::task::spawn_blocking(move || {
        loop {
            let item = read_chunk(reader.as_mut()).transpose();
            let Some(item) = item else { break };
            let failed = item.is_err();
            if sender.blocking_send(item).is_err() || failed {
                break;
            }
        }
    });
    Box::pin(stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|item| (item, receiver))
    }))
}
