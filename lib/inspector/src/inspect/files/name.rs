//! Names in an image: bytes, checked as paths where they are paths.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::Result;
use crate::layer::{EntryPath, Limits};

/// Bytes from an image that are mostly, but not always, text.
///
/// Displayed, control characters and bytes that are no UTF-8 are escaped, so that it can go to a
/// terminal. In JSON it is a string, or `{"hex": "…"}` where it is not UTF-8.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(pub Vec<u8>);

impl Name {
    /// The name of an archive's entry as a path below the root: components joined by single
    /// slashes, none of them `.` or `..`; empty for the root itself.
    ///
    /// # Errors
    /// `Invalid` for names that leave the root or that no file system takes.
    pub(super) fn path(raw: &[u8]) -> Result<Name> {
        entry_path(raw).map(|path| Name(path.into_bytes()))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The path that an archive's name stands for, within the limits of unpacking.
pub(super) fn entry_path(raw: &[u8]) -> Result<EntryPath> {
    let limits = Limits::default();
    EntryPath::parse(raw, limits.path_bytes, limits.depth)
}

/// The order of a tree: what is in a directory follows it at once, before anything beside it.
pub fn tree_order(a: &[u8], b: &[u8]) -> Ordering {
    let differs = a.iter().zip(b).find(|(a, b)| a != b);
    match differs {
        None => a.len().cmp(&b.len()),
        Some((b'/', _)) => Ordering::Less,
        Some((_, b'/')) => Ordering::Greater,
        Some((a, b)) => a.cmp(b),
    }
}

/// Whether `path` is `dir` or below it.
pub(in crate::inspect) fn is_within(path: &[u8], dir: &[u8]) -> bool {
    dir.is_empty() || path.strip_prefix(dir).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

impl Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl From<&[u8]> for Name {
    fn from(bytes: &[u8]) -> Name {
        Name(bytes.to_vec())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                match is_unsafe(character) {
                    true => write!(f, "{}", character.escape_default())?,
                    false => write!(f, "{character}")?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Whether a character acts on a terminal or on the order in which text is shown.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[derive(Serialize, Deserialize)]
struct Hex {
    hex: String,
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => {
                let hex = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
                Hex { hex }.serialize(serializer)
            }
        }
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Name, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Text(String),
            Bytes(Hex),
        }
        Ok(Name(match Form::deserialize(deserializer)? {
            Form::Text(text) => text.into_bytes(),
            Form::Bytes(Hex { hex }) => {
                let digits: Option<Vec<u8>> = hex
                    .as_bytes()
                    .chunks(2)
                    .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
                    .collect();
                digits.ok_or_else(|| serde::de::Error::custom("not hexadecimal"))?
            }
        }))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_survive_json_and_none_act_on_a_terminal() {
        for raw in [&b"plain"[..], b"a\xffb", "\u{1b}[31m\u{202e}".as_bytes(), b""] {
            let name = Name::from(raw);
            let json = serde_json::to_string(&name).unwrap();
            assert_eq!(serde_json::from_str::<Name>(&json).unwrap(), name);
            assert!(!name.to_string().chars().any(is_unsafe));
        }
        assert_eq!(Name::from(&b"a\xff\x1b"[..]).to_string(), "a\\xff\\u{1b}");
    }

    #[test]
    fn names_that_leave_the_root_are_refused() {
        for raw in [&b""[..], b"../x", b"a/..", b"a\0", &[b'a'; 256]] {
            assert!(Name::path(raw).is_err(), "{raw:?}");
        }
        assert_eq!(Name::path(b"./a//b/").unwrap().as_bytes(), b"a/b");
        assert_eq!(Name::path(b"/").unwrap().as_bytes(), b"");
        assert!(is_within(b"a/b", b"a") && is_within(b"a", b"a") && !is_within(b"ab", b"a"));
    }

    #[test]
    fn a_directory_is_followed_by_what_is_in_it() {
        let mut paths = ["a-b", "a/b", "b", "a", "a/b/c", "", "a/b-c", "a.b"];
        paths.sort_by(|a, b| tree_order(a.as_bytes(), b.as_bytes()));
        assert_eq!(paths, ["", "a", "a/b", "a/b/c", "a/b-c", "a-b", "a.b", "b"]);
    }
}
