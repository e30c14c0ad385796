//! One 512-byte header block.

use tar::Header;

use super::BLOCK;
use crate::error::{Error, Result};
use crate::sys::{Device, Time};

/// The fields of a header block, each within its type but not yet merged with extensions.
#[derive(Debug)]
pub(super) struct Fields {
    pub(super) typeflag: u8,
    pub(super) name: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) mode: u32,
    pub(super) uid: i64,
    pub(super) gid: i64,
    pub(super) size: u64,
    pub(super) mtime: Time,
    pub(super) is_gnu: bool,
}

/// Reads a block that is not all zeros.
pub(super) fn parse(block: &[u8; BLOCK]) -> Result<Fields> {
    let header = Header::from_byte_slice(block);
    let old = header.as_old();
    check_sum(block, number(&old.cksum, "checksum")?)?;
    let size = number(&old.size, "size")?;
    let mode = number(&old.mode, "mode")?;
    let fields = Fields {
        typeflag: old.linkflag[0],
        name: name(block)?,
        link: text(&old.linkname).to_vec(),
        mode: u32::try_from(mode).map_err(|_| out_of_range("mode", mode))? & 0o7777,
        uid: number(&old.uid, "uid")?,
        gid: number(&old.gid, "gid")?,
        size: u64::try_from(size).map_err(|_| out_of_range("size", size))?,
        mtime: Time { secs: number(&old.mtime, "mtime")?, nanos: 0 },
        is_gnu: header.as_gnu().is_some(),
    };
    Ok(fields)
}

/// The device number of a block that describes a device.
pub(super) fn device(block: &[u8; BLOCK]) -> Result<Device> {
    // Both dialects keep the numbers at the same place; the oldest has none.
    const MAJOR: std::ops::Range<usize> = 329..337;
    const MINOR: std::ops::Range<usize> = 337..345;
    if &block[257..262] != b"ustar" {
        return Err(Error::invalid("device without a device number"));
    }
    let part = |field: &[u8], what, end| {
        let value = number(field, what)?;
        u32::try_from(value).ok().filter(|n| *n < end).ok_or_else(|| out_of_range(what, value))
    };
    Ok(Device {
        major: part(&block[MAJOR], "device major", 1 << 12)?,
        minor: part(&block[MINOR], "device minor", 1 << 20)?,
    })
}

/// The name with the prefix that POSIX (155 bytes) and star (131 bytes) put before it.
fn name(block: &[u8; BLOCK]) -> Result<Vec<u8>> {
    let header = Header::from_byte_slice(block);
    let short = text(&header.as_old().name);
    let prefix = match (&block[257..263], &block[508..512]) {
        (b"ustar\0", b"tar\0") => text(&block[345..476]),
        (b"ustar\0", _) => text(&block[345..500]),
        _ => {
            check_gnu_times(header)?;
            b""
        }
    };
    if prefix.is_empty() {
        return Ok(short.to_vec());
    }
    Ok([prefix, b"/", short].concat())
}

/// Some writers kept a name prefix where GNU keeps times; readers disagree about those.
fn check_gnu_times(header: &Header) -> Result<()> {
    if let Some(gnu) = header.as_gnu() {
        number(&gnu.atime, "atime")?;
        number(&gnu.ctime, "ctime")?;
    }
    Ok(())
}

/// The sum is that of the block with spaces for the sum itself; old writers added signed bytes.
fn check_sum(block: &[u8; BLOCK], stored: i64) -> Result<()> {
    let (mut unsigned, mut signed) = (0_i64, 0_i64);
    for (at, &byte) in block.iter().enumerate() {
        let byte = if (148..156).contains(&at) { b' ' } else { byte };
        unsigned += i64::from(byte);
        signed += i64::from(byte.cast_signed());
    }
    if stored == unsigned || stored == signed {
        return Ok(());
    }
    Err(Error::invalid(format!("header checksum is {stored}, computed {unsigned}")))
}

/// Bytes before the first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|&b| b == 0).next().unwrap_or_default()
}

/// A number: octal digits padded with spaces and NULs, or big-endian two's complement with the
/// highest bit set (GNU's base-256).
pub(super) fn number(field: &[u8], what: &'static str) -> Result<i64> {
    if field.first().is_some_and(|first| first & 0x80 != 0) {
        return binary(field).ok_or_else(|| Error::invalid(format!("{what} is too large")));
    }
    let is_pad = |b: &u8| *b == b' ' || *b == 0;
    let start = field.iter().position(|b| !is_pad(b)).unwrap_or(field.len());
    let digits = &field[start..];
    let end = digits.iter().position(is_pad).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    let mut value = 0_i64;
    for &digit in digits {
        if !(b'0'..=b'7').contains(&digit) {
            return Err(not_a_number(field, what));
        }
        // Twelve octal digits are 36 bits.
        value = value << 3 | i64::from(digit - b'0');
    }
    if rest.iter().all(is_pad) { Ok(value) } else { Err(not_a_number(field, what)) }
}

fn binary(field: &[u8]) -> Option<i64> {
    let (first, rest) = field.split_first()?;
    // Sign-extend from bit 6 of the first byte.
    let mut value = i128::from(first & 0x3f) - i128::from(first & 0x40);
    for &byte in rest {
        value = value.checked_mul(256)? + i128::from(byte);
    }
    i64::try_from(value).ok()
}

fn not_a_number(field: &[u8], what: &str) -> Error {
    Error::invalid(format!("{what} {:?} is not a number", field.escape_ascii().to_string()))
}

pub(super) fn out_of_range(what: &str, value: i64) -> Error {
    Error::invalid(format!("{what} {value} is out of range"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_all_their_forms() {
        for (field, expected) in [
            (&b"0000644\0"[..], 0o644),
            (b"    644 ", 0o644),
            (b"\0\0\0\0\0\0\0\0", 0),
            (b"00000001750 ", 0o1750),
            (b"\x80\0\0\0\0\0\0\x2a", 42),
            (b"\xff\xff\xff\xff\xff\xff\xff\xfb", -5),
            (b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", i64::MAX),
        ] {
            assert_eq!(number(field, "size").unwrap(), expected, "{field:?}");
        }
        for bad in [
            &b"0000648\0"[..],
            b"-000644\0",
            b"+0644\0\0\0",
            b"12\x0034\0\0\0",
            b"0x10\0\0\0\0",
            b"\x80\0\0\0\x80\0\0\0\0\0\0\0",
            b"\xbf\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert!(number(bad, "size").is_err(), "{bad:?}");
        }
    }
}
