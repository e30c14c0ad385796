//! From one compression to another while the bytes pass.

use std::io::{Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use bytes::{Buf, Bytes};

use super::{Budget, CHUNK, Decoder, Encoder, Encoding, Format};
use crate::error::{Error, IoContext as _, Result};
use crate::spec::{Algorithm, DiffId, Hasher};

/// Encoded chunks that wait to be read.
const DEPTH: usize = 4;

/// What was learned of a layer while it was recompressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recompressed {
    /// Digest of the tar stream.
    pub diff_id: DiffId,
    /// Its length in bytes.
    pub size: u64,
    /// What it was wrapped in before.
    pub format: Format,
}

/// A reader of a layer's bytes in another compression.
///
/// A thread of its own decodes the source, hashes the content and hands it to the encoder's
/// threads; a few chunks wait between them and the reader, so memory is bounded and a slow reader
/// slows the source. Ends in an error if the source does, if the stream is damaged, or if the
/// content is not what was expected. When it is dropped early, the thread ends at its next chunk.
pub struct Recompressor {
    chunks: Receiver<Result<Bytes>>,
    current: Bytes,
    worker: Option<JoinHandle<()>>,
    outcome: Arc<OnceLock<Recompressed>>,
}

/// What the content must be, and how much of it there may be.
#[derive(Clone, Debug, Default)]
pub struct Expectation {
    /// Digest of the tar stream, where it is known.
    pub diff_id: Option<DiffId>,
    /// Limit of expansion.
    pub budget: Budget,
}

impl Recompressor {
    /// Starts to turn `source`, compressed or not, into `encoding` with up to `threads` threads.
    pub fn new(
        source: impl Read + Send + 'static,
        encoding: Encoding,
        threads: usize,
        expected: Expectation,
    ) -> Result<Recompressor> {
        encoding.checked_level()?;
        let (sender, chunks) = sync_channel(DEPTH);
        let outcome = Arc::new(OnceLock::new());
        let known = outcome.clone();
        let work = move || {
            let mut out = ChunkWriter { sender, chunk: Vec::with_capacity(CHUNK) };
            match recompress(source, &mut out, encoding, threads, &expected) {
                // Set before the channel closes: whoever saw the end finds it.
                Ok(result) => drop(known.set(result)),
                // Nobody listens any more if this fails.
                Err(error) => drop(out.sender.send(Err(error))),
            }
        };
        let worker = std::thread::Builder::new()
            .name("recompress".to_owned())
            .spawn(work)
            .doing(|| "starting a compression thread")?;
        Ok(Recompressor { chunks, current: Bytes::new(), worker: Some(worker), outcome })
    }

    /// Where the result is found once the reader has come to its end.
    pub fn outcome(&self) -> Arc<OnceLock<Recompressed>> {
        self.outcome.clone()
    }

    /// The next chunk; `None` at the end, when all went well.
    pub fn next_chunk(&mut self) -> Result<Option<Bytes>> {
        if !self.current.is_empty() {
            return Ok(Some(std::mem::take(&mut self.current)));
        }
        if let Ok(chunk) = self.chunks.recv() {
            return chunk.map(Some);
        }
        if let Some(worker) = self.worker.take() {
            // Whether it went well shows in the outcome.
            let _ = worker.join();
        }
        match self.outcome.get() {
            Some(_) => Ok(None),
            None => Err(Error::new(crate::ErrorKind::Failed, "recompression stopped early")),
        }
    }
}

impl Read for Recompressor {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if self.current.is_empty() {
            match self.next_chunk()? {
                Some(chunk) => self.current = chunk,
                None => return Ok(0),
            }
        }
        let count = out.len().min(self.current.len());
        out[..count].copy_from_slice(&self.current[..count]);
        self.current.advance(count);
        Ok(count)
    }
}

fn recompress(
    source: impl Read,
    out: &mut ChunkWriter,
    encoding: Encoding,
    threads: usize,
    expected: &Expectation,
) -> Result<Recompressed> {
    let reading = || "decoding a layer";
    let mut decoder = Decoder::new(source).doing(reading)?.with_budget(expected.budget);
    let algorithm = expected.diff_id.as_ref().map_or(Algorithm::Sha256, |id| id.0.algorithm());
    let mut hasher = Hasher::new(algorithm);
    let mut encoder = Encoder::new(&mut *out, encoding, threads)?;
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = decoder.read(&mut buffer).doing(reading)?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
        encoder.write_all(&buffer[..count]).doing(|| "encoding a layer")?;
    }
    encoder.finish().and_then(ChunkWriter::send).doing(|| "encoding a layer")?;
    let size = hasher.count();
    let diff_id = DiffId(hasher.finish());
    if let Some(expected) = &expected.diff_id
        && diff_id != *expected
    {
        return Err(Error::corrupt(format!(
            "the layer's content should have the digest {expected} but has {diff_id}"
        )));
    }
    Ok(Recompressed { diff_id, size, format: decoder.format() })
}

/// Sends what is written in chunks.
struct ChunkWriter {
    sender: SyncSender<Result<Bytes>>,
    chunk: Vec<u8>,
}

impl ChunkWriter {
    fn send(&mut self) -> std::io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK));
        self.sender
            .send(Ok(chunk.into()))
            .map_err(|_| std::io::Error::from(std::io::ErrorKind::BrokenPipe))
    }
}

impl Write for ChunkWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = bytes.len().min(CHUNK - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..count]);
        if self.chunk.len() == CHUNK {
            self.send()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
