//! Wraps a stream, always into the same bytes.
//!
//! Promise: the output depends on the content, the compression and the level (and on the pinned
//! versions of zlib-rs and libzstd); not on the number of threads, the machine, the clock or the
//! sizes of the writes. Layer digests rest on it.

use std::io::Write;

use super::gzip::GzipWriter;
use crate::error::{Error, IoContext as _, Result};
use crate::spec::Compression;

/// How to wrap a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Encoding {
    /// The format.
    pub compression: Compression,
    /// How hard to try: gzip 1 to 9 (default 6), zstd 1 to 22 (default 3).
    pub level: Option<i32>,
}

impl Encoding {
    /// The format at its default level.
    pub fn new(compression: Compression) -> Encoding {
        Encoding { compression, level: None }
    }

    /// The level in numbers.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) if the format does not have it.
    pub fn checked_level(self) -> Result<i32> {
        let (name, default, levels) = match self.compression {
            Compression::None => ("uncompressed", 0, 0..=0),
            Compression::Gzip => ("gzip", 6, 1..=9),
            Compression::Zstd => ("zstd", 3, 1..=22),
        };
        let level = self.level.unwrap_or(default);
        if levels.contains(&level) {
            return Ok(level);
        }
        Err(Error::usage(format!(
            "compression level {level} is not one of {name} ({} to {})",
            levels.start(),
            levels.end()
        )))
    }
}

/// A writer that wraps what is written to it.
///
/// Flushing it does nothing, because a flush would show in the bytes: call
/// [`Encoder::finish`]. Without that the stream has no end, and a decoder refuses it.
pub struct Encoder<W: Write> {
    kind: Kind<W>,
}

enum Kind<W: Write> {
    None(W),
    Gzip(GzipWriter<W>),
    Zstd(zstd::stream::write::Encoder<'static, W>),
}

impl<W: Write> Encoder<W> {
    /// Wraps into `writer` with up to `threads` threads, at least one.
    ///
    /// Memory: about 4 MiB for each thread with gzip, and 30 MiB with zstd at its default level
    /// (more above).
    pub fn new(writer: W, encoding: Encoding, threads: usize) -> Result<Encoder<W>> {
        let level = encoding.checked_level()?;
        let threads = threads.clamp(1, 64);
        let kind = match encoding.compression {
            Compression::None => Kind::None(writer),
            Compression::Gzip => Kind::Gzip(GzipWriter::new(writer, level, threads)?),
            Compression::Zstd => {
                let encoder = zstd_encoder(writer, level, threads);
                Kind::Zstd(encoder.doing(|| "starting zstd compression")?)
            }
        };
        Ok(Encoder { kind })
    }

    /// Ends the stream and gives the writer back.
    pub fn finish(self) -> std::io::Result<W> {
        match self.kind {
            Kind::None(writer) => Ok(writer),
            Kind::Gzip(writer) => writer.finish(),
            Kind::Zstd(encoder) => encoder.finish(),
        }
    }
}

fn zstd_encoder<W: Write>(
    writer: W,
    level: i32,
    threads: usize,
) -> std::io::Result<zstd::stream::write::Encoder<'static, W>> {
    let mut encoder = zstd::stream::write::Encoder::new(writer, level)?;
    // Without a worker the library cuts the input differently than with one or more.
    encoder.multithread(u32::try_from(threads).unwrap_or(1))?;
    encoder.include_checksum(true)?;
    Ok(encoder)
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match &mut self.kind {
            Kind::None(writer) => writer.write(bytes),
            Kind::Gzip(writer) => writer.write(bytes),
            Kind::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
