//! Wraps a stream, always into the same bytes.
//!
//! Promise: the output depends on the content, the compression and the level (and on the pinned
//! versions of zlib-rs and libzstd); not on the number of threads, the machine, the clock or the
//! sizes of the writes. Layer digests rest on it.

use std::io::Write;

use super::gzip::GzipWriter;
use crate::error::{Error, IoContext as _, Result};
use crate::spec::Compression;

/// Highest zstd level whose window is no larger than the pieces of work that we ask for.
const SMALL_JOBS: i32 = 6;

/// How to wrap a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Encoding {
    /// The format.
    pub compression: Compression,
    /// How hard to try: gzip 1 to 9, by default 2; zstd 1 to 22, by default 1. Both give about the
    /// size that gzip of Go's programs has at their default (within a twentieth), and are the
    /// quickest levels that do.
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
            Compression::Gzip => ("gzip", 2, 1..=9),
            Compression::Zstd => ("zstd", 1, 1..=22),
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
    /// Memory: about 4 MiB for each thread with gzip, 6 MiB with zstd (much more above level 6).
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
    if level <= SMALL_JOBS {
        // The library's own choice, 8 MiB, costs four times the memory and saves 0.3 % of the size.
        encoder.set_parameter(zstd::zstd_safe::CParameter::JobSize(2 << 20))?;
    }
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Read;
    use std::process::{Command, Stdio};

    use super::super::Decoder;
    use super::*;
    use crate::spec::Digest;

    /// Text that shrinks to about a third, the same on every machine.
    fn sample(length: usize) -> Vec<u8> {
        let words =
            [b"usr/lib/".as_slice(), b"x86_64", b"-linux-gnu", b"\0\0\0\0", b".so.6", b"etc"];
        let mut out = Vec::with_capacity(length + 16);
        let mut state = 1_u64;
        while out.len() < length {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let pick = (state >> 40) as usize;
            out.extend_from_slice(words[pick % words.len()]);
            out.extend_from_slice(&state.to_le_bytes()[5..7]);
        }
        out.truncate(length);
        out
    }

    fn encode(content: &[u8], encoding: Encoding, threads: usize, step: usize) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new(), encoding, threads).unwrap();
        for piece in content.chunks(step) {
            encoder.write_all(piece).unwrap();
            encoder.flush().unwrap();
        }
        encoder.finish().unwrap()
    }

    fn decode(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Decoder::new(bytes).unwrap().read_to_end(&mut out).unwrap();
        out
    }

    /// Noise with repeats near the edges of blocks that a deflate state finds or not depending on
    /// one byte behind the dictionary: 0 in a new one, left over in one that was used before.
    fn edges(length: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let mut out: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(length)
        .collect();
        for edge in (1 << 20..length - 200).step_by(1 << 20) {
            out.copy_within(edge - 3..edge, edge - 1000);
            out[edge] = 1;
            out[edge - 997] = 0;
            out.copy_within(edge - 1000..edge - 960, edge + 100);
        }
        out
    }

    #[test]
    fn bytes_depend_on_content_and_level_alone() {
        let length = 5 * (1 << 20) + 12_345;
        let gzip = |level| Encoding { compression: Compression::Gzip, level };
        let zstd = Encoding::new(Compression::Zstd);
        for content in [sample(length), edges(length)] {
            for encoding in [gzip(None), gzip(Some(3)), gzip(Some(6)), zstd] {
                let first = encode(&content, encoding, 1, content.len());
                assert!(decode(&first) == content, "{encoding:?}");
                for (threads, step) in [(1, 1000), (2, 1 << 20), (3, 65_537), (4, content.len())] {
                    let other = encode(&content, encoding, threads, step);
                    assert!(other == first, "{encoding:?} {threads} {step}");
                }
            }
        }
    }

    #[test]
    fn every_length_around_a_block_survives() {
        let block = 1 << 20;
        let content = sample(2 * block + 1);
        for length in [0, 1, block - 1, block, block + 1, 2 * block, 2 * block + 1] {
            for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
                let bytes = encode(&content[..length], Encoding::new(compression), 2, 300_000);
                assert_eq!(decode(&bytes), &content[..length], "{compression:?} {length}");
            }
        }
    }

    /// A change of these digests changes every layer that is compressed from now on: it must be
    /// wanted, and told to those who compare images between versions.
    #[test]
    fn output_is_pinned() {
        let content = sample(3_000_000);
        for (compression, digest) in [
            (
                Compression::Gzip,
                "sha256:decb01a4c43ba4db9f80675de4ad1a2029158d8058dd175171a23dce0addd923",
            ),
            (
                Compression::Zstd,
                "sha256:ccd34768b8f7bf608850afcf00bc49fd45acf82829ef32a93e8ec3482f46aff8",
            ),
        ] {
            let bytes = encode(&content, Encoding::new(compression), 2, 100_000);
            assert_eq!(Digest::sha256(&bytes).to_string(), digest, "{compression:?}");
        }
    }

    #[test]
    fn gzip_is_one_member_with_go_s_header() {
        let bytes = encode(b"hello", Encoding::new(Compression::Gzip), 1, 5);
        assert_eq!(&bytes[..10], &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
        assert_eq!(&bytes[bytes.len() - 4..], &5_u32.to_le_bytes());
        // flate2's single-member reader finds nothing left over.
        let content = sample(3 << 20);
        let bytes = encode(&content, Encoding::new(Compression::Gzip), 2, 1 << 20);
        let mut one = flate2::bufread::GzDecoder::new(bytes.as_slice());
        let mut out = Vec::new();
        one.read_to_end(&mut out).unwrap();
        assert_eq!(out, content);
        assert_eq!(one.into_inner(), b"");
    }

    #[test]
    fn other_programs_read_it() {
        let content = sample(3 << 20);
        for (compression, program) in [(Compression::Gzip, "gzip"), (Compression::Zstd, "zstd")] {
            let mut child = match Command::new(program)
                .arg("-dc")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
            {
                Ok(child) => child,
                Err(error) => {
                    eprintln!("skipped: {program}: {error}");
                    continue;
                }
            };
            let mut input = child.stdin.take().unwrap();
            let bytes = encode(&content, Encoding::new(compression), 2, 1 << 20);
            let feeder = std::thread::spawn(move || input.write_all(&bytes));
            let output = child.wait_with_output().unwrap();
            feeder.join().unwrap().unwrap();
            assert!(output.status.success() && output.stdout == content, "{program}");
        }
    }

    #[test]
    fn levels_that_do_not_exist_are_refused() {
        for (compression, level) in [
            (Compression::Gzip, 0),
            (Compression::Gzip, 10),
            (Compression::Zstd, 23),
            (Compression::None, 1),
        ] {
            let encoding = Encoding { compression, level: Some(level) };
            let error = Encoder::new(Vec::new(), encoding, 1).err().unwrap();
            assert_eq!(error.kind(), crate::ErrorKind::Usage, "{error}");
        }
        let error = Encoding { compression: Compression::Gzip, level: Some(10) };
        assert_eq!(
            error.checked_level().unwrap_err().to_string(),
            "compression level 10 is not one of gzip (1 to 9)"
        );
    }

    /// Takes a few bytes and then no more.
    struct Full(usize);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if self.0 == 0 {
                return Err(std::io::ErrorKind::StorageFull.into());
            }
            let count = bytes.len().min(self.0);
            self.0 -= count;
            Ok(count)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_stops_the_work() {
        let content = sample(8 << 20);
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let mut encoder = Encoder::new(Full(100), Encoding::new(compression), 2).unwrap();
            let result = encoder.write_all(&content).and_then(|()| encoder.finish().map(|_| ()));
            assert_eq!(result.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
        }
    }

    #[test]
    fn a_digest_writer_names_what_passed() {
        let mut out = Vec::new();
        let mut writer = super::super::DigestWriter::new(&mut out);
        writer.write_all(b"ab").unwrap();
        writer.write_all(b"c").unwrap();
        assert_eq!(writer.finish(), (Digest::sha256(b"abc"), 3));
        assert_eq!(out, b"abc");
    }
}
