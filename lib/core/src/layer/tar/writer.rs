//! The deterministic writer.

use std::io::{Read, Write};

use tar::Header;

use super::{BLOCK, Entry, EntryKind};
use crate::error::{Error, IoContext, Result};
use crate::sys::{Device, Time};

/// Writes entries so that equal entries give equal bytes: ustar headers, PAX records only for what
/// does not fit there, no names of owners.
#[derive(Debug)]
pub struct TarWriter<W> {
    out: W,
    /// Content of the current entry that is still owed.
    owed: u64,
    padding: usize,
    written: u64,
}

impl<W: Write> TarWriter<W> {
    /// Writes to `out`, which should be buffered.
    pub fn new(out: W) -> TarWriter<W> {
        TarWriter { out, owed: 0, padding: 0, written: 0 }
    }

    /// Writes the headers of `entry`; `entry.size` bytes of content must follow.
    pub fn begin(&mut self, entry: &Entry) -> Result<()> {
        self.end_entry()?;
        let mut records = Records::default();
        let header = plain_header(entry, &mut records)?;
        if !records.0.is_empty() {
            let mut body = Vec::new();
            records.0.sort();
            for (key, value) in &records.0 {
                push_record(&mut body, key, value);
            }
            let length = body.len();
            self.put(extension_header(length as u64)?.as_bytes())?;
            self.put(&body)?;
            self.put(&[0; BLOCK][..length.wrapping_neg() % BLOCK])?;
        }
        self.put(header.as_bytes())?;
        self.owed = entry.size;
        self.padding = (entry.size.wrapping_neg() % BLOCK as u64) as usize;
        Ok(())
    }

    /// Writes the next part of the content.
    pub fn content(&mut self, bytes: &[u8]) -> Result<()> {
        let left = self.owed.checked_sub(bytes.len() as u64);
        self.owed = left.ok_or_else(|| Error::invalid("the content is longer than announced"))?;
        self.put(bytes)
    }

    /// Writes all content still owed from `from`, which may hold more.
    pub fn content_from(&mut self, from: &mut dyn Read, buffer: &mut [u8]) -> Result<()> {
        while self.owed > 0 {
            let most = usize::try_from(self.owed).unwrap_or(usize::MAX).min(buffer.len());
            match from.read(&mut buffer[..most]) {
                Ok(0) => {
                    return Err(Error::new(
                        crate::error::ErrorKind::Failed,
                        "the file became shorter",
                    ));
                }
                Ok(count) => self.content(&buffer[..count])?,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("reading content", error)),
            }
        }
        Ok(())
    }

    /// Writes the end mark and gives back the output, not flushed, and the length of the archive.
    pub fn finish(mut self) -> Result<(W, u64)> {
        self.end_entry()?;
        self.put(&[0; 2 * BLOCK])?;
        Ok((self.out, self.written))
    }

    fn end_entry(&mut self) -> Result<()> {
        if self.owed > 0 {
            return Err(Error::invalid(format!("{} bytes of content are missing", self.owed)));
        }
        let padding = std::mem::take(&mut self.padding);
        self.put(&[0; BLOCK][..padding])
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.written += bytes.len() as u64;
        self.out.write_all(bytes).doing(|| "writing the archive")
    }
}

/// PAX records of one entry.
#[derive(Default)]
struct Records(Vec<(Vec<u8>, Vec<u8>)>);

impl Records {
    fn add(&mut self, key: &str, value: impl Into<Vec<u8>>) {
        self.0.push((key.as_bytes().to_vec(), value.into()));
    }
}

/// Fills a ustar header; what does not fit becomes a record.
fn plain_header(entry: &Entry, records: &mut Records) -> Result<Header> {
    let mut header = Header::new_ustar();
    let (typeflag, link, device) = match &entry.kind {
        EntryKind::File => (b'0', &b""[..], None),
        EntryKind::HardLink(target) => (b'1', &target[..], None),
        EntryKind::Symlink(target) => (b'2', &target[..], None),
        EntryKind::Char(device) => (b'3', &b""[..], Some(*device)),
        EntryKind::Block(device) => (b'4', &b""[..], Some(*device)),
        EntryKind::Directory => (b'5', &b""[..], None),
        EntryKind::Fifo => (b'6', &b""[..], None),
    };
    if typeflag != b'0' && entry.size != 0 {
        return Err(Error::invalid("only files have content"));
    }
    if entry.path.is_empty() || entry.path.contains(&0) || link.contains(&0) {
        return Err(Error::invalid("empty name or NUL in a name"));
    }
    for (key, value) in &entry.xattrs {
        records.0.push(([b"SCHILY.xattr.", &key[..]].concat(), value.clone()));
    }
    let ustar = header.as_ustar_mut().ok_or_else(|| Error::invalid("not a ustar header"))?;
    ustar.typeflag = [typeflag];
    match split(&entry.path) {
        Some((prefix, name)) => {
            ustar.prefix[..prefix.len()].copy_from_slice(prefix);
            ustar.name[..name.len()].copy_from_slice(name);
        }
        None => {
            ustar.name.copy_from_slice(&entry.path[..100]);
            records.add("path", entry.path.clone());
        }
    }
    let fits = link.len().min(ustar.linkname.len());
    ustar.linkname[..fits].copy_from_slice(&link[..fits]);
    if fits < link.len() {
        records.add("linkpath", link);
    }
    octal(&mut ustar.mode, u64::from(entry.mode & 0o7777));
    for (field, key, id) in [(&mut ustar.uid, "uid", entry.uid), (&mut ustar.gid, "gid", entry.gid)]
    {
        if !octal(field, u64::from(id)) {
            records.add(key, id.to_string());
        }
    }
    if !octal(&mut ustar.size, entry.size) {
        records.add("size", entry.size.to_string());
    }
    let whole = u64::try_from(entry.mtime.secs).is_ok_and(|secs| octal(&mut ustar.mtime, secs));
    if !whole || entry.mtime.nanos != 0 {
        records.add("mtime", time_text(entry.mtime));
    }
    let Device { major, minor } = device.unwrap_or_default();
    octal(&mut ustar.dev_major, u64::from(major));
    octal(&mut ustar.dev_minor, u64::from(minor));
    header.set_cksum();
    Ok(header)
}

/// Splits a name into what fits prefix and name of a ustar header.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.len() <= 100 {
        return Some((b"", path));
    }
    // The first slash that leaves a short enough name; a directory's last slash splits nothing.
    let first = path.len().checked_sub(101)?;
    let slash = path[first..path.len() - 1].iter().position(|&b| b == b'/')? + first;
    let fits = (1..=155).contains(&slash);
    fits.then(|| (&path[..slash], &path[slash + 1..]))
}

/// Writes digits and a NUL; zero instead of a number that does not fit, which is then `false`.
fn octal(field: &mut [u8], value: u64) -> bool {
    let digits = field.len() - 1;
    let fits = value >> (3 * digits) == 0;
    let text = format!("{:0digits$o}\0", if fits { value } else { 0 });
    field.copy_from_slice(text.as_bytes());
    fits
}

fn time_text(time: Time) -> String {
    let (sign, secs, nanos) = match time {
        Time { secs, nanos } if secs < 0 && nanos > 0 => {
            ("-", (secs + 1).unsigned_abs(), 1_000_000_000 - nanos)
        }
        Time { secs, nanos } => (if secs < 0 { "-" } else { "" }, secs.unsigned_abs(), nanos),
    };
    if nanos == 0 {
        return format!("{sign}{secs}");
    }
    let fraction = format!("{nanos:09}");
    format!("{sign}{secs}.{}", fraction.trim_end_matches('0'))
}

fn extension_header(size: u64) -> Result<Header> {
    let entry = Entry {
        path: b"././@PaxHeader".to_vec(),
        kind: EntryKind::File,
        mode: 0o644,
        uid: 0,
        gid: 0,
        mtime: Time::default(),
        size,
        xattrs: Vec::new(),
        unread: Vec::new(),
    };
    let mut header = plain_header(&entry, &mut Records::default())?;
    header.set_entry_type(tar::EntryType::XHeader);
    header.set_cksum();
    Ok(header)
}

/// Appends `LENGTH KEY=VALUE\n`, whose length counts its own digits.
fn push_record(body: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    body.extend_from_slice(length.to_string().as_bytes());
    body.push(b' ');
    body.extend_from_slice(key);
    body.push(b'=');
    body.extend_from_slice(value);
    body.push(b'\n');
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::TarReader;
    use super::*;
    use proptest::prelude::*;

    fn file(path: &[u8]) -> Entry {
        Entry {
            path: path.to_vec(),
            kind: EntryKind::File,
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: Time::default(),
            size: 0,
            xattrs: Vec::new(),
            unread: Vec::new(),
        }
    }

    fn written(entry: &Entry) -> Vec<u8> {
        let mut writer = TarWriter::new(Vec::new());
        writer.begin(entry).unwrap();
        writer.content(&vec![7; entry.size as usize]).unwrap();
        writer.finish().unwrap().0
    }

    #[test]
    fn small_entries_need_no_records() {
        let bytes = written(&Entry { size: 5, ..file(b"etc/passwd") });
        assert_eq!(bytes.len(), 4 * BLOCK);
        assert_eq!(&bytes[..10], b"etc/passwd");
        assert_eq!(&bytes[257..265], b"ustar\x0000");
    }

    #[test]
    fn long_names_are_split_before_they_become_records() {
        let name = [vec![b'p'; 150], b"/".to_vec(), vec![b'n'; 99], b"/".to_vec()].concat();
        let bytes = written(&Entry { kind: EntryKind::Directory, ..file(&name) });
        assert_eq!(bytes[156], b'5');
        let no_slash = vec![b'n'; 101];
        assert_eq!(written(&file(&no_slash))[156], b'x');
    }

    #[test]
    fn owed_content_is_not_forgotten() {
        let mut writer = TarWriter::new(Vec::new());
        writer.begin(&Entry { size: 2, ..file(b"a") }).unwrap();
        assert!(writer.content(b"abc").is_err());
        writer.content(b"a").unwrap();
        assert!(writer.begin(&file(b"b")).is_err());
    }

    fn any_entry() -> impl Strategy<Value = Entry> {
        let name = proptest::collection::vec(1_u8..=255, 1..300);
        let kind = prop_oneof![
            Just(EntryKind::File),
            Just(EntryKind::Fifo),
            name.clone().prop_map(EntryKind::Symlink),
            name.clone().prop_map(EntryKind::HardLink),
            (0_u32..4096, 0_u32..1 << 20)
                .prop_map(|(major, minor)| EntryKind::Char(Device { major, minor })),
        ];
        let xattr = (
            proptest::collection::vec((1_u8..=255).prop_filter("=", |b| *b != b'='), 1..40),
            proptest::collection::vec(any::<u8>(), 0..200),
        );
        let xattrs = proptest::collection::btree_map(xattr.0, xattr.1, 0..3);
        let time = (any::<i64>(), 0_u32..1_000_000_000)
            .prop_map(|(secs, nanos)| Time { secs: secs.max(i64::MIN + 1), nanos });
        (name, kind, 0_u32..0o10000, 0..u32::MAX, 0..u32::MAX, time, 0_u64..3000, xattrs).prop_map(
            |(path, kind, mode, uid, gid, mtime, size, xattrs)| {
                let size = if kind == EntryKind::File { size } else { 0 };
                let xattrs = xattrs.into_iter().collect();
                Entry { path, kind, mode, uid, gid, mtime, size, xattrs, unread: Vec::new() }
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_is_read_back(entries in proptest::collection::vec(any_entry(), 0..5)) {
            let mut writer = TarWriter::new(Vec::new());
            for entry in &entries {
                writer.begin(entry).unwrap();
                writer.content(&vec![7; entry.size as usize]).unwrap();
            }
            let bytes = writer.finish().unwrap().0;
            let mut reader = TarReader::new(&bytes[..]);
            for entry in &entries {
                let read = reader.next_entry().unwrap().unwrap();
                prop_assert_eq!(&read, entry);
                let mut content = 0;
                while let Some(chunk) = reader.data().unwrap() {
                    prop_assert!(chunk.bytes.iter().all(|b| *b == 7));
                    content += chunk.bytes.len() as u64;
                }
                prop_assert_eq!(content, entry.size);
            }
            prop_assert_eq!(reader.next_entry().unwrap(), None);
            prop_assert_eq!(reader.position(), bytes.len() as u64);
        }
    }
}
