//! Unwraps what is compressed, whatever it is compressed with.
//!
//! The bytes decide which format it is, not a media type. Promise: reading a [`Decoder`] to its end
//! reads its source to the end (so that a verifying source has given its verdict), a stream that
//! stops early or is followed by something else is an error, and output never exceeds the budget.

use std::io::Read;

use super::gunzip::Gunzip;
use super::input::Input;
use crate::error::{Error, ErrorKind};
use crate::spec::Compression;

/// Largest zstd window: 128 MiB, as `zstd -d` allows.
const ZSTD_WINDOW_LOG: u32 = 27;
/// Most memory that an xz stream may ask for, in KiB: `xz -9` needs 65 MiB.
const XZ_MEMORY: u32 = 128 << 10;

/// What a stream is wrapped in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Nothing that is known here.
    Plain,
    /// RFC 1952, in one or more members.
    Gzip,
    /// RFC 8878, in one or more frames.
    Zstd,
    /// bzip2 (only in build contexts and old archives).
    Bzip2,
    /// xz (only in build contexts and old archives).
    Xz,
}

impl Format {
    /// Tells the format by the first bytes; six are enough.
    pub fn of(start: &[u8]) -> Format {
        match start {
            [0x1f, 0x8b, ..] => Format::Gzip,
            // A frame, or a skippable frame before it.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Format::Zstd,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Format::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Format::Xz,
            _ => Format::Plain,
        }
    }

    /// The compression of a layer, if layers may have it.
    pub fn compression(self) -> Option<Compression> {
        match self {
            Format::Plain => Some(Compression::None),
            Format::Gzip => Some(Compression::Gzip),
            Format::Zstd => Some(Compression::Zstd),
            Format::Bzip2 | Format::Xz => None,
        }
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Format::Plain => "plain",
            Format::Gzip => "gzip",
            Format::Zstd => "zstd",
            Format::Bzip2 => "bzip2",
            Format::Xz => "xz",
        })
    }
}

/// How much may come out: `floor` bytes in any case, beyond that `ratio` times what went in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Bytes that are always allowed.
    pub floor: u64,
    /// Bytes allowed for every byte read.
    pub ratio: u64,
}

impl Budget {
    /// No limit.
    pub const UNLIMITED: Budget = Budget { floor: u64::MAX, ratio: u64::MAX };

    fn limit(self, input: u64) -> u64 {
        self.floor.max(self.ratio.saturating_mul(input))
    }
}

impl Default for Budget {
    /// 4 GiB, or a hundred times what was read: file systems shrink to a half or a tenth.
    fn default() -> Budget {
        Budget { floor: 4 << 30, ratio: 100 }
    }
}

/// A reader of the content of a stream that may be compressed.
pub struct Decoder<R: Read> {
    kind: Kind<R>,
    budget: Budget,
    count: u64,
}

enum Kind<R: Read> {
    Plain(Input<R>),
    Gzip(Box<Gunzip<R>>),
    Zstd(zstd::stream::read::Decoder<'static, Input<R>>),
    Bzip2(Box<bzip2::bufread::MultiBzDecoder<Input<R>>>),
    Xz(Box<lzma_rust2::XzReader<Input<R>>>),
}

impl<R: Read> Decoder<R> {
    /// Looks at the first bytes of `source` and prepares to unwrap it.
    pub fn new(source: R) -> std::io::Result<Decoder<R>> {
        let mut input = Input::new(source);
        let kind = match Format::of(input.peek(6)?) {
            Format::Plain => Kind::Plain(input),
            Format::Gzip => Kind::Gzip(Box::new(Gunzip::new(input))),
            Format::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Kind::Zstd(decoder)
            }
            Format::Bzip2 => Kind::Bzip2(Box::new(bzip2::bufread::MultiBzDecoder::new(input))),
            Format::Xz => {
                let decoder = lzma_rust2::XzReader::new_mem_limit(input, true, XZ_MEMORY);
                Kind::Xz(Box::new(decoder))
            }
        };
        Ok(Decoder { kind, budget: Budget::default(), count: 0 })
    }

    /// With another limit of expansion.
    pub fn with_budget(self, budget: Budget) -> Decoder<R> {
        Decoder { budget, ..self }
    }

    /// What the source is wrapped in.
    pub fn format(&self) -> Format {
        match &self.kind {
            Kind::Plain(_) => Format::Plain,
            Kind::Gzip(_) => Format::Gzip,
            Kind::Zstd(_) => Format::Zstd,
            Kind::Bzip2(_) => Format::Bzip2,
            Kind::Xz(_) => Format::Xz,
        }
    }

    /// Bytes that came out so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Reads what is left, so that the source is read to its end too.
    pub fn drain(&mut self) -> std::io::Result<()> {
        std::io::copy(self, &mut std::io::sink()).map(|_| ())
    }

    fn input(&self) -> &Input<R> {
        match &self.kind {
            Kind::Plain(input) => input,
            Kind::Gzip(decoder) => decoder.input(),
            Kind::Zstd(decoder) => decoder.get_ref(),
            Kind::Bzip2(decoder) => decoder.get_ref(),
            Kind::Xz(decoder) => decoder.inner(),
        }
    }

    /// Leaves failures of the source as they are and says of the others that the stream is at fault.
    fn blame(&self, error: std::io::Error) -> std::io::Error {
        let ours = error.get_ref().is_some_and(|inner| inner.is::<Error>());
        if ours || self.input().failed() || error.kind() == std::io::ErrorKind::Interrupted {
            return error;
        }
        let greedy = error.kind() == std::io::ErrorKind::OutOfMemory
            || error.to_string().contains("too much memory");
        if greedy {
            let what = format!("the {} stream needs more memory than is allowed", self.format());
            return Error::caused(ErrorKind::Unsupported, what, error).into();
        }
        let what = format!("the {} stream is damaged", self.format());
        Error::caused(ErrorKind::Corrupt, what, error).into()
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let result = match &mut self.kind {
            Kind::Plain(input) => return input.read(out).inspect(|n| self.count += *n as u64),
            Kind::Gzip(decoder) => decoder.read(out),
            Kind::Zstd(decoder) => decoder.read(out),
            Kind::Bzip2(decoder) => decoder.read(out),
            Kind::Xz(decoder) => decoder.read(out),
        };
        let count = result.map_err(|error| self.blame(error))?;
        self.count += count as u64;
        let limit = self.budget.limit(self.input().count());
        if self.count > limit {
            let message = format!(
                "the {} stream expands to more than {limit} bytes, the limit for the {} bytes \
                 read so far",
                self.format(),
                self.input().count()
            );
            return Err(Error::invalid(message).into());
        }
        Ok(count)
    }
}
