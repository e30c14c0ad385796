//! PAX extended header records.

use std::collections::BTreeMap;

use super::header::out_of_range;
use super::sparse::SparseRecords;
use crate::error::{Error, Result};
use crate::sys::{MAX_XATTR_NAME, Time};

const XATTR: &[u8] = b"SCHILY.xattr.";
/// Most records of one header: no file has so many attributes or holes.
const MAX_RECORDS: usize = 65_536;
/// Bytes of all attribute names of one file, each with a NUL: what Linux can list (XATTR_LIST_MAX).
const MAX_XATTR_NAMES: usize = 64 << 10;

/// What the records of one extended header say. `None` leaves the field of the plain header.
#[derive(Debug, Default)]
pub(super) struct Extension {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<i64>,
    pub(super) gid: Option<i64>,
    pub(super) mtime: Option<Time>,
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) sparse: SparseRecords,
    pub(super) unread: Vec<Vec<u8>>,
    /// How many records there were.
    pub(super) records: usize,
}

impl Extension {
    /// Reads the body of an `x` header. Later records override earlier ones of the same key; an
    /// empty value takes the earlier one back.
    pub(super) fn parse(body: &[u8]) -> Result<Extension> {
        let mut extension = Extension::default();
        extension.records = each_record(body, |key, value| {
            extension.take(key, value).map_err(|error| {
                error.while_doing(format!("PAX record {:?}", key.escape_ascii().to_string()))
            })
        })?;
        let names = extension.xattrs.keys().map(|name| name.len() + 1);
        if names.sum::<usize>() > MAX_XATTR_NAMES {
            return Err(Error::invalid(format!(
                "the names of the extended attributes have more than {MAX_XATTR_NAMES} bytes"
            )));
        }
        Ok(extension)
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        match key {
            b"path" => self.path = name(value)?,
            b"linkpath" => self.link = name(value)?,
            b"uname" | b"gname" => drop(name(value)?),
            b"size" => self.size = optional(value, decimal)?,
            b"uid" => self.uid = optional(value, decimal)?.map(signed).transpose()?,
            b"gid" => self.gid = optional(value, decimal)?.map(signed).transpose()?,
            b"mtime" => self.mtime = optional(value, time)?,
            b"RHT.security.selinux" | b"SCHILY.acl.access" | b"SCHILY.acl.default" => {
                self.unread.push(key.to_vec());
            }
            _ if key.starts_with(b"LIBARCHIVE.xattr.") => self.unread.push(key.to_vec()),
            _ if key.starts_with(XATTR) => self.take_xattr(&key[XATTR.len()..], value)?,
            _ if key.starts_with(b"GNU.sparse.") => self.sparse.take(key, value)?,
            // Comments, access times, character sets, vendors' own: nothing that changes a file.
            _ => {}
        }
        Ok(())
    }

    fn take_xattr(&mut self, name: &[u8], value: &[u8]) -> Result<()> {
        if name.is_empty() || name.len() > MAX_XATTR_NAME {
            return Err(Error::invalid(format!("attribute name of {} bytes", name.len())));
        }
        self.xattrs.insert(name.to_vec(), value.to_vec());
        Ok(())
    }
}

/// Checks the form of a `g` header's records and returns how many there are. What they say is
/// ignored, as Docker and podman ignore it.
pub(super) fn check_global(body: &[u8]) -> Result<usize> {
    each_record(body, |_, _| Ok(()))
}

/// Hands out the records of an extended header in order and returns how many there are.
fn each_record(body: &[u8], mut take: impl FnMut(&[u8], &[u8]) -> Result<()>) -> Result<usize> {
    let (mut rest, mut count) = (body, 0);
    while !rest.is_empty() {
        count += 1;
        if count > MAX_RECORDS {
            return Err(Error::invalid(format!("PAX header with more than {MAX_RECORDS} records")));
        }
        let (key, value, after) = split_record(rest)?;
        take(key, value)?;
        rest = after;
    }
    Ok(count)
}

/// Splits `LENGTH KEY=VALUE\n` off; the length counts itself and the line feed.
fn split_record(bytes: &[u8]) -> Result<(&[u8], &[u8], &[u8])> {
    let malformed = || {
        let start = &bytes[..bytes.len().min(40)];
        Error::invalid(format!("malformed PAX record {:?}", start.escape_ascii().to_string()))
    };
    let space = bytes.iter().take(20).position(|&b| b == b' ').ok_or_else(malformed)?;
    let length = decimal(&bytes[..space]).map_err(|_| malformed())?;
    let length = usize::try_from(length).map_err(|_| malformed())?;
    let record = bytes.get(space + 1..length).ok_or_else(malformed)?;
    let record = record.strip_suffix(b"\n").ok_or_else(malformed)?;
    let equals = record.iter().position(|&b| b == b'=').ok_or_else(malformed)?;
    let (key, value) = (&record[..equals], &record[equals + 1..]);
    if key.is_empty() || key.contains(&0) {
        return Err(malformed());
    }
    Ok((key, value, &bytes[length..]))
}

fn name(value: &[u8]) -> Result<Option<Vec<u8>>> {
    if value.contains(&0) {
        return Err(Error::invalid("the value contains NUL"));
    }
    Ok(Some(value.to_vec()).filter(|value| !value.is_empty()))
}

fn optional<T>(value: &[u8], parse: fn(&[u8]) -> Result<T>) -> Result<Option<T>> {
    if value.is_empty() { Ok(None) } else { parse(value).map(Some) }
}

/// Digits alone: no sign, no space.
pub(super) fn decimal(text: &[u8]) -> Result<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let value = std::str::from_utf8(text).ok().filter(|_| digits).and_then(|s| s.parse().ok());
    // Past i64 other readers fail, too.
    value.filter(|&value: &u64| i64::try_from(value).is_ok()).ok_or_else(|| {
        let shown = &text[..text.len().min(40)];
        Error::invalid(format!("{:?} is not a number", shown.escape_ascii().to_string()))
    })
}

fn signed(value: u64) -> Result<i64> {
    i64::try_from(value).map_err(|_| out_of_range("id", i64::MAX))
}

/// Seconds with an optional sign and fraction; digits past nanoseconds are cut off.
fn time(text: &[u8]) -> Result<Time> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let mut parts = digits.splitn(2, |&b| b == b'.');
    let secs = signed(decimal(parts.next().unwrap_or_default())?)?;
    let mut nanos = 0;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err(Error::invalid("the fraction of a time is not a number"));
    }
    for place in 0..9 {
        nanos = nanos * 10 + u32::from(fraction.get(place).map_or(0, |digit| digit - b'0'));
    }
    Ok(match (negative, nanos) {
        (false, _) => Time { secs, nanos },
        (true, 0) => Time { secs: -secs, nanos: 0 },
        (true, _) => Time { secs: -secs - 1, nanos: 1_000_000_000 - nanos },
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn records_are_taken_apart() {
        let body =
            b"18 path=some/name\n30 mtime=1700000000.123456789\n27 SCHILY.xattr.user.a=\n\0x\n";
        let extension = Extension::parse(body).unwrap();
        assert_eq!(extension.path.as_deref(), Some(&b"some/name"[..]));
        assert_eq!(extension.mtime, Some(Time { secs: 1_700_000_000, nanos: 123_456_789 }));
        assert_eq!(extension.xattrs, BTreeMap::from([(b"user.a".to_vec(), b"\n\0x".to_vec())]));
        assert_eq!(extension.records, 3);
    }

    fn record(key: &str, value: &str) -> String {
        let rest = key.len() + value.len() + 3;
        let length = (rest..).find(|length| rest + length.to_string().len() == *length).unwrap();
        format!("{length} {key}={value}\n")
    }

    /// The same attributes over and over, and more than any file has.
    #[test]
    fn many_records_cost_no_more_than_few() {
        let same = record("SCHILY.xattr.user.a", "x").repeat(MAX_RECORDS);
        let extension = Extension::parse(same.as_bytes()).unwrap();
        assert_eq!((extension.xattrs.len(), extension.records), (1, MAX_RECORDS));
        let one_more = same + &record("SCHILY.xattr.user.a", "x");
        let error = Extension::parse(one_more.as_bytes()).unwrap_err().to_string();
        assert_eq!(error, "PAX header with more than 65536 records");
        assert!(check_global(one_more.as_bytes()).is_err());
        let named = |count: usize| -> String {
            (0..count).map(|n| record(&format!("SCHILY.xattr.user.{n:026}"), "")).collect()
        };
        assert_eq!(Extension::parse(named(2048).as_bytes()).unwrap().xattrs.len(), 2048);
        let error = Extension::parse(named(2049).as_bytes()).unwrap_err().to_string();
        assert_eq!(error, "the names of the extended attributes have more than 65536 bytes");
    }

    #[test]
    fn the_last_record_of_a_key_counts() {
        let extension = Extension::parse(b"8 uid=1\n8 uid=2\n9 path=a\n8 path=\n").unwrap();
        assert_eq!(extension.uid, Some(2));
        assert_eq!(extension.path, None);
    }

    #[test]
    fn anything_odd_is_refused() {
        for bad in [
            &b"11 path=a\n"[..],
            b"8 path=a\n",
            b"9 path=a ",
            b"+9 path=a\n",
            b"9path=a\n",
            b" 9 path=a\n",
            b"5 =a\n",
            b"8 pathx\n",
            b"99999999999999999999 path=a\n",
            b"9 path=a\n\0\0",
            b"11 path=a\0\n",
            b"9 size=-\n",
            b"11 size=+1\n",
            b"11 uid= 10\n",
            b"12 mtime=1x\n",
            b"14 mtime=1.x2\n",
            b"28 size=9223372036854775808\n",
            b"18 SCHILY.xattr.=\n",
        ] {
            assert!(Extension::parse(bad).is_err(), "{}", bad.escape_ascii());
        }
        assert!(Extension::parse(b"9 path=a\n9 size=1\n12 mtime=10\n").is_ok());
    }

    #[test]
    fn times_round_down() {
        assert_eq!(time(b"-0.5").unwrap(), Time { secs: -1, nanos: 500_000_000 });
        assert_eq!(time(b"-5").unwrap(), Time { secs: -5, nanos: 0 });
        assert_eq!(time(b"3.0000000019").unwrap(), Time { secs: 3, nanos: 1 });
    }
}
