//! A few fields in a row, each with its length in front; for keys and for files of the cache.

use crate::spec::{Algorithm, Digest, Hasher};

/// Hashes fields so that no two different rows of fields give the same digest.
pub(in crate::build) struct Key(Hasher);

/// Bumped whenever the same inputs may lead to another result than before.
const FORMAT: &str = "creel-build 1";

impl Key {
    /// A key of one kind.
    pub(in crate::build) fn new(kind: &str) -> Key {
        let mut key = Key(Hasher::new(Algorithm::Sha256));
        key.text(FORMAT).text(kind);
        key
    }

    /// Adds bytes.
    pub(in crate::build) fn bytes(&mut self, bytes: &[u8]) -> &mut Key {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// Adds a text.
    pub(in crate::build) fn text(&mut self, text: &str) -> &mut Key {
        self.bytes(text.as_bytes())
    }

    /// Adds a number.
    pub(in crate::build) fn number(&mut self, number: u64) -> &mut Key {
        self.bytes(&number.to_le_bytes())
    }

    /// Adds texts and how many they are.
    pub(in crate::build) fn texts<'t>(
        &mut self,
        texts: impl IntoIterator<Item = &'t str>,
    ) -> &mut Key {
        let texts: Vec<&str> = texts.into_iter().collect();
        self.number(texts.len() as u64);
        for text in texts {
            self.text(text);
        }
        self
    }

    /// Adds what may be missing.
    pub(in crate::build) fn maybe(&mut self, text: Option<&str>) -> &mut Key {
        self.texts(text)
    }

    /// The key.
    pub(in crate::build) fn finish(self) -> Digest {
        self.0.finish()
    }
}

/// Writes fields in a row.
#[derive(Default)]
pub(in crate::build) struct Writer(Vec<u8>);

impl Writer {
    /// A file that says what it is.
    pub(in crate::build) fn new(magic: &[u8; 8]) -> Writer {
        Writer(magic.to_vec())
    }

    pub(in crate::build) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        self.0.extend_from_slice(bytes);
    }

    pub(in crate::build) fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    /// The whole file, with a checksum at its end.
    pub(in crate::build) fn finish(mut self) -> Vec<u8> {
        let sum = Digest::sha256(&self.0);
        self.0.extend_from_slice(&sum.hex().as_bytes()[..32]);
        self.0
    }
}

/// Reads what a [`Writer`] wrote; `None` wherever it does not fit.
pub(in crate::build) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// A whole file, if its checksum is right.
    pub(in crate::build) fn new(file: &'a [u8], magic: &[u8; 8]) -> Option<Reader<'a>> {
        let (content, sum) = file.split_at_checked(file.len().checked_sub(32)?)?;
        let right = Digest::sha256(content).hex().as_bytes()[..32] == *sum;
        content.strip_prefix(magic.as_slice()).filter(|_| right).map(Reader)
    }

    pub(in crate::build) fn bytes(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let (bytes, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(in crate::build) fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*number))
    }

    pub(in crate::build) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_framed() {
        let key = |parts: &[&str]| {
            let mut key = Key::new("t");
            for part in parts {
                key.text(part);
            }
            key.finish()
        };
        assert_eq!(key(&["a", "b"]), key(&["a", "b"]));
        for other in [&["ab", ""][..], &["", "ab"], &["ab"], &["b", "a"], &["a", "b", ""]] {
            assert_ne!(key(&["a", "b"]), key(other));
        }
        assert_ne!(Key::new("x").finish(), Key::new("y").finish());
        let lists = |a: &[&str], b: &[&str]| {
            let mut key = Key::new("t");
            key.texts(a.iter().copied()).texts(b.iter().copied());
            key.finish()
        };
        assert_ne!(lists(&["a"], &[]), lists(&[], &["a"]));
    }

    #[test]
    fn files_come_back_or_do_not_count() {
        let mut writer = Writer::new(b"creeltst");
        writer.number(7);
        writer.bytes(b"xyz");
        let file = writer.finish();
        let mut reader = Reader::new(&file, b"creeltst").unwrap();
        assert_eq!((reader.number(), reader.bytes()), (Some(7), Some(&b"xyz"[..])));
        assert!(reader.is_empty() && reader.number().is_none());
        assert!(Reader::new(&file, b"creelxxx").is_none());
        for at in 0..file.len() {
            let mut torn = file.clone();
            torn[at] ^= 1;
            assert!(Reader::new(&torn, b"creeltst").is_none(), "{at}");
            assert!(Reader::new(&file[..at], b"creeltst").is_none(), "{at}");
        }
    }
}
