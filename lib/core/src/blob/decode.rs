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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;

    use flate2::write::GzEncoder;

    use super::*;

    fn decode(bytes: &[u8]) -> crate::Result<(Format, Vec<u8>)> {
        let mut out = Vec::new();
        let wrap = |error| Error::io("decoding", error);
        let mut decoder = Decoder::new(bytes).map_err(wrap)?;
        decoder.read_to_end(&mut out).map_err(wrap)?;
        assert_eq!(decoder.count(), out.len() as u64);
        Ok((decoder.format(), out))
    }

    fn refused(bytes: &[u8]) -> String {
        let error = decode(bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
        error.chain()
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(content: &[u8]) -> Vec<u8> {
        zstd::stream::encode_all(content, 1).unwrap()
    }

    fn bzip2(content: &[u8]) -> Vec<u8> {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    /// `printf hello | xz --check=crc32`
    const XZ: &[u8] = &[
        0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 0x00, 0x01, 0x69, 0x22, 0xde, 0x36, 0x02, 0x00, 0x21,
        0x01, 0x16, 0x00, 0x00, 0x00, 0x74, 0x2f, 0xe5, 0xa3, 0x01, 0x00, 0x04, 0x68, 0x65, 0x6c,
        0x6c, 0x6f, 0x00, 0x00, 0x00, 0x00, 0x86, 0xa6, 0x10, 0x36, 0x00, 0x01, 0x19, 0x05, 0xbc,
        0xe8, 0xec, 0xcb, 0x90, 0x42, 0x99, 0x0d, 0x01, 0x00, 0x00, 0x00, 0x00, 0x01, 0x59, 0x5a,
    ];

    #[test]
    fn the_bytes_tell_the_format() {
        let content = b"hello".as_slice();
        for (bytes, format) in [
            (content.to_vec(), Format::Plain),
            (gzip(content), Format::Gzip),
            (zstd(content), Format::Zstd),
            (bzip2(content), Format::Bzip2),
            (XZ.to_vec(), Format::Xz),
        ] {
            assert_eq!(decode(&bytes).unwrap(), (format, content.to_vec()));
        }
        assert_eq!(decode(b"").unwrap(), (Format::Plain, Vec::new()));
        assert_eq!(decode(b"BZh").unwrap(), (Format::Plain, b"BZh".to_vec()));
    }

    #[test]
    fn pieces_in_sequence_are_one_stream() {
        assert_eq!(
            decode(&[gzip(b"a"), gzip(b""), gzip(b"bc")].concat()).unwrap().1,
            b"abc".to_vec()
        );
        let skippable = |content: &[u8]| {
            let length = u32::try_from(content.len()).unwrap().to_le_bytes();
            [&[0x5a, 0x2a, 0x4d, 0x18][..], &length, content].concat()
        };
        let frames = [skippable(b"toc"), zstd(b"a"), skippable(b""), zstd(b"bc"), skippable(b"x")];
        assert_eq!(decode(&frames.concat()).unwrap(), (Format::Zstd, b"abc".to_vec()));
        assert_eq!(decode(&[bzip2(b"a"), bzip2(b"b")].concat()).unwrap().1, b"ab".to_vec());
    }

    #[test]
    fn many_empty_members_need_no_stack() {
        let bytes = [gzip(b"").repeat(50_000), gzip(b"end")].concat();
        assert_eq!(decode(&bytes).unwrap().1, b"end".to_vec());
    }

    #[test]
    fn only_zeros_may_follow_gzip() {
        let one = gzip(b"content");
        let padded = [one.as_slice(), &vec![0; 700_000]].concat();
        assert_eq!(decode(&padded).unwrap().1, b"content".to_vec());
        for tail in [&b"x"[..], &[0, 0, 1], &[0x1f], &[0, 0x1f, 0x8b], &[0x1f, 0x8b, 8]] {
            refused(&[one.as_slice(), tail].concat());
        }
        let message = refused(&[one.as_slice(), b"garbage"].concat());
        assert_eq!(
            message,
            "decoding: the gzip stream is damaged: there is something else behind its end"
        );
    }

    #[test]
    fn a_stream_that_stops_early_is_damaged() {
        let content: Vec<u8> = (0..9000_u32).flat_map(|n| (n * n).to_le_bytes()).collect();
        for whole in [gzip(&content), zstd(&content), bzip2(&content), XZ.to_vec()] {
            let cuts = [6, 9, 11, whole.len() / 2, whole.len() - 9, whole.len() - 4];
            for cut in cuts.into_iter().chain([whole.len() - 1]) {
                refused(&whole[..cut]);
            }
        }
    }

    #[test]
    fn damage_is_noticed() {
        let whole = gzip(b"some content that is long enough");
        let end = whole.len();
        for (place, what) in [(end - 1, "length"), (end - 5, "checksum"), (2, "header")] {
            let mut bytes = whole.clone();
            bytes[place] ^= 0x40;
            assert!(refused(&bytes).contains(what), "{place}");
        }
        let mut bytes = zstd(&[7; 5000]);
        bytes[5] ^= 0xff;
        assert!(refused(&bytes).starts_with("decoding: the zstd stream is damaged"));
    }

    #[test]
    fn headers_with_all_fields_are_read() {
        let plain = gzip(b"content");
        let fields = [&b"\x04\x00abcd"[..], b"name\0", b"comment\0"].concat();
        let mut header = plain[..10].to_vec();
        header[3] = 2 | 4 | 8 | 16;
        header.extend_from_slice(&fields);
        let mut crc = flate2::Crc::new();
        crc.update(&header);
        let sum = u16::try_from(crc.sum() & 0xffff).unwrap();
        let with = |sum: u16| [header.as_slice(), &sum.to_le_bytes(), &plain[10..]].concat();
        assert_eq!(decode(&with(sum)).unwrap().1, b"content".to_vec());
        assert!(refused(&with(sum ^ 1)).contains("header"));
        let mut endless = plain[..10].to_vec();
        endless[3] = 8;
        endless.extend_from_slice(&[b'n'; 100_000]);
        assert!(refused(&endless).contains("without end"));
    }

    #[test]
    fn bombs_are_stopped_at_the_limit() {
        let zeros = vec![0; 4 << 20];
        for bytes in [gzip(&zeros), zstd(&zeros), bzip2(&zeros)] {
            let budget = Budget { floor: 1 << 20, ratio: 2 };
            let mut decoder = Decoder::new(bytes.as_slice()).unwrap().with_budget(budget);
            let mut out = Vec::new();
            let error = Error::io("decoding", decoder.read_to_end(&mut out).unwrap_err());
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.chain().contains("expands to more than 1048576 bytes"), "{error:?}");
            assert!(out.len() <= 1 << 20);
            // What is within the ratio passes, however large.
            let budget = Budget { floor: 0, ratio: 1 << 20 };
            let mut decoder = Decoder::new(bytes.as_slice()).unwrap().with_budget(budget);
            decoder.drain().unwrap();
            assert_eq!(decoder.count(), zeros.len() as u64);
        }
    }

    #[test]
    fn huge_windows_are_refused() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(28).unwrap();
        encoder.write_all(b"x").unwrap();
        let error = decode(&encoder.finish().unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
    }

    /// Hands out its bytes one by one and then fails.
    struct Failing(Vec<u8>);

    impl Read for Failing {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            if self.0.is_empty() {
                return Err(Error::new(ErrorKind::Unavailable, "connection lost").into());
            }
            out[0] = self.0.remove(0);
            Ok(1)
        }
    }

    #[test]
    fn a_failing_source_is_not_called_damage() {
        for whole in [gzip(b"content"), zstd(b"content"), bzip2(b"content"), XZ.to_vec()] {
            for length in [3, whole.len() - 2, whole.len()] {
                let source = Failing(whole[..length].to_vec());
                let result = Decoder::new(source).and_then(|mut decoder| decoder.drain());
                let error = Error::io("decoding", result.unwrap_err());
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
            }
        }
    }

    #[test]
    fn decoders_may_change_threads() {
        fn sends<T: Send>() {}
        sends::<Decoder<std::fs::File>>();
    }
}
