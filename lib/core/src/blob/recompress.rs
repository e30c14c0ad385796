//! From one compression to another while the bytes pass.

use std::io::{Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use bytes::{Buf, Bytes};

use super::{Budget, CHUNK, Decoder, Encoder, Encoding, Format};
use crate::error::{Error, IoContext as _, Result};
use crate::spec::{Algorithm, Compression, DiffId, Digest, Hasher};

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
    /// Digest of the source, if its reader ends in an error unless it has it: what turns out not
    /// to be compressed is then not hashed a second time.
    pub verified: Option<Digest>,
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
    let is_plain = decoder.format().compression() == Some(Compression::None);
    let known = expected.verified.as_ref();
    let known = known.filter(|digest| is_plain && digest.algorithm() == algorithm);
    let mut hasher = Hasher::new(algorithm);
    let mut size = 0;
    let mut encoder = Encoder::new(&mut *out, encoding, threads)?;
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = decoder.read(&mut buffer).doing(reading)?;
        if count == 0 {
            break;
        }
        size += count as u64;
        if known.is_none() {
            hasher.update(&buffer[..count]);
        }
        encoder.write_all(&buffer[..count]).doing(|| "encoding a layer")?;
    }
    encoder.finish().and_then(ChunkWriter::send).doing(|| "encoding a layer")?;
    let diff_id = DiffId(known.cloned().unwrap_or_else(|| hasher.finish()));
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::spec::{Compression, Digest};

    fn content() -> Vec<u8> {
        (0..700_000_u32).flat_map(|n| (n / 7).wrapping_mul(n).to_le_bytes()).collect()
    }

    fn encode(content: &[u8], compression: Compression) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new(), Encoding::new(compression), 1).unwrap();
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn run(
        source: Vec<u8>,
        to: Compression,
        expected: Expectation,
    ) -> Result<(Vec<u8>, Recompressed)> {
        let source = std::io::Cursor::new(source);
        let mut reader = Recompressor::new(source, Encoding::new(to), 2, expected)?;
        let outcome = reader.outcome();
        let mut out = Vec::new();
        reader.read_to_end(&mut out).doing(|| "reading")?;
        Ok((out, outcome.get().unwrap().clone()))
    }

    #[test]
    fn any_compression_becomes_any_other() {
        let content = content();
        let kinds = [Compression::None, Compression::Gzip, Compression::Zstd];
        for from in kinds {
            for to in kinds {
                let (bytes, outcome) =
                    run(encode(&content, from), to, Expectation::default()).unwrap();
                assert_eq!(bytes, encode(&content, to), "{from:?} {to:?}");
                assert_eq!(outcome.diff_id, DiffId(Digest::sha256(&content)));
                assert_eq!(outcome.size, content.len() as u64);
                assert_eq!(outcome.format.compression(), Some(from));
            }
        }
    }

    #[test]
    fn the_content_must_be_what_was_expected() {
        let right = DiffId(Digest::compute(Algorithm::Sha512, b"layer"));
        let expect = |diff_id: &DiffId| Expectation {
            diff_id: Some(diff_id.clone()),
            ..Expectation::default()
        };
        let (_, outcome) = run(b"layer".to_vec(), Compression::Gzip, expect(&right)).unwrap();
        assert_eq!(outcome.diff_id, right);
        let wrong = DiffId(Digest::sha256(b"other"));
        let error = run(b"layer".to_vec(), Compression::Gzip, expect(&wrong)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        let found = Digest::sha256(b"layer");
        assert_eq!(
            error.chain(),
            format!("reading: the layer's content should have the digest {wrong} but has {found}")
        );
    }

    #[test]
    fn failures_of_the_source_come_through() {
        let whole = encode(&content(), Compression::Gzip);
        let half = whole[..whole.len() / 2].to_vec();
        let error = run(half, Compression::Zstd, Expectation::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
        assert!(
            error.chain().contains("decoding a layer: the gzip stream is damaged"),
            "{error:?}"
        );

        struct Lost;
        impl Read for Lost {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                Err(Error::new(ErrorKind::Unavailable, "connection lost").into())
            }
        }
        let encoding = Encoding::new(Compression::Gzip);
        let mut reader = Recompressor::new(Lost, encoding, 1, Expectation::default()).unwrap();
        let outcome = reader.outcome();
        assert_eq!(reader.next_chunk().unwrap_err().kind(), ErrorKind::Unavailable);
        assert!(reader.next_chunk().is_err(), "an error is no end");
        assert!(outcome.get().is_none());
    }

    /// Endless content that tells when it is given up.
    struct Endless(std::sync::mpsc::Sender<()>);

    impl Read for Endless {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            out.fill_with({
                let mut state = 1_u32;
                move || {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) as u8
                }
            });
            Ok(out.len())
        }
    }

    impl Drop for Endless {
        fn drop(&mut self) {
            self.0.send(()).unwrap();
        }
    }

    #[test]
    fn a_dropped_reader_stops_the_work() {
        let (given_up, ended) = std::sync::mpsc::channel();
        let encoding = Encoding::new(Compression::Gzip);
        let expected = Expectation { budget: Budget::UNLIMITED, ..Expectation::default() };
        let mut reader = Recompressor::new(Endless(given_up), encoding, 2, expected).unwrap();
        assert!(reader.next_chunk().unwrap().is_some());
        drop(reader);
        // Hangs if the worker goes on for ever.
        ended.recv().unwrap();
    }
}
