//! Names of entries: checked paths, and what whiteout names mean. Also used by `inspect`, so that
//! what is listed is what would be unpacked.
//!
//! Follows "Whiteouts" of the OCI image spec (layer.md).

use crate::error::{Error, Result};

/// Before the name of what a layer deletes.
pub(super) const WHITEOUT: &[u8] = b".wh.";

/// The name that hides all that lower layers have in its directory.
pub const OPAQUE: &[u8] = b".wh..wh..opq";

/// Names that AUFS used for itself.
const AUFS: &[u8] = b".wh..wh.";

/// Longest name of an entry, unless the unpacker is told otherwise (bytes).
pub(super) const MAX_PATH: usize = 4096;

/// Most components of a name, unless the unpacker is told otherwise.
pub(super) const MAX_DEPTH: usize = 512;

/// Longest component that Linux file systems take.
const MAX_NAME: usize = 255;

/// A path below the root: components joined by single slashes, none of them `.` or `..`, none
/// longer than 255 bytes. Empty for the root itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryPath(Vec<u8>);

/// What an entry of some name does.
#[derive(Debug, PartialEq, Eq)]
pub enum Meaning<'a> {
    /// Puts something at the path.
    Add,
    /// Hides `name` of lower layers in directory `dir`.
    Whiteout {
        /// The directory, without a slash at its end.
        dir: &'a [u8],
        /// The name in it.
        name: &'a [u8],
    },
    /// Hides all of lower layers in directory `dir`.
    Opaque {
        /// The directory, without a slash at its end.
        dir: &'a [u8],
    },
    /// Bookkeeping of AUFS: nothing.
    Leftover,
}

impl EntryPath {
    /// Checks a name of an archive. A leading `/` means the root.
    pub fn parse(raw: &[u8], max_length: usize, max_depth: usize) -> Result<EntryPath> {
        if raw.is_empty() {
            return Err(Error::invalid("empty name"));
        }
        if raw.len() > max_length {
            let length = raw.len();
            return Err(Error::invalid(format!("name of {length} bytes (limit {max_length})")));
        }
        let mut path = Vec::with_capacity(raw.len());
        let mut depth = 0;
        for part in raw.split(|&b| b == b'/').filter(|part| !part.is_empty() && *part != b".") {
            if part == b".." {
                return Err(Error::invalid("name with a \"..\" in it"));
            }
            if part.contains(&0) || part.len() > MAX_NAME {
                return Err(Error::invalid("name with a NUL or a part of more than 255 bytes"));
            }
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(part);
            depth += 1;
        }
        if depth > max_depth {
            return Err(Error::invalid(format!("name {depth} levels deep (limit {max_depth})")));
        }
        Ok(EntryPath(path))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes themselves.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Directory and name; `None` for the root.
    pub(super) fn split(&self) -> Option<(&[u8], &[u8])> {
        split(&self.0)
    }

    /// What an entry of this name does.
    pub fn meaning(&self) -> Result<Meaning<'_>> {
        let top = self.0.split(|&b| b == b'/').next().unwrap_or_default();
        if top.starts_with(AUFS) && top != OPAQUE {
            return Ok(Meaning::Leftover);
        }
        let Some((dir, name)) = self.split() else { return Ok(Meaning::Add) };
        if dir.split(|&b| b == b'/').any(|part| part.starts_with(WHITEOUT)) {
            return Err(Error::invalid("name below a whiteout"));
        }
        if name == OPAQUE {
            return Ok(Meaning::Opaque { dir });
        }
        match name.strip_prefix(WHITEOUT) {
            None => Ok(Meaning::Add),
            Some(b"" | b"." | b"..") => Err(Error::invalid("whiteout of nothing")),
            Some(hidden) if hidden.starts_with(WHITEOUT) => {
                Err(Error::invalid("whiteout of a whiteout"))
            }
            Some(name) => Ok(Meaning::Whiteout { dir, name }),
        }
    }
}

/// Fails for a name that [`Unpacker`](super::Unpacker) refuses, so that no layer is written that
/// cannot be read again.
pub(super) fn check_entry_name(raw: &[u8]) -> Result<()> {
    EntryPath::parse(raw, MAX_PATH, MAX_DEPTH)?.meaning().map(drop)
}

/// The same for something that is added: a name that means a deletion fails too.
pub fn check_added_name(raw: &[u8]) -> Result<()> {
    match EntryPath::parse(raw, MAX_PATH, MAX_DEPTH)?.meaning()? {
        Meaning::Add => Ok(()),
        _ => Err(Error::invalid("a name with .wh. means a deletion in a layer")),
    }
}

/// Splits the last component off; `None` for the empty path.
pub fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.is_empty() {
        return None;
    }
    Some(match path.iter().rposition(|&b| b == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    })
}

/// Path of `name` in the directory `parent`, where the root is empty.
pub fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    if parent.is_empty() { name.to_vec() } else { [parent, b"/", name].concat() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(raw: &[u8]) -> Result<EntryPath> {
        EntryPath::parse(raw, 4096, 100)
    }

    #[test]
    fn forms_of_one_name() {
        for raw in ["a/b", "./a/b", "/a/b", "a//b/", "././a/./b/."] {
            assert_eq!(parse(raw.as_bytes()).unwrap().as_bytes(), b"a/b", "{raw}");
        }
        for raw in [".", "./", "/", "//."] {
            assert_eq!(parse(raw.as_bytes()).unwrap().split(), None, "{raw}");
        }
    }

    #[test]
    fn names_that_leave_or_burst_are_refused() {
        let long = [b'a'; 256];
        let deep = b"a/".repeat(101);
        let names =
            [&b""[..], b"..", b"../x", b"a/../b", b"a/..", b"/../etc", b"a\0b", &long, &deep];
        for raw in names {
            assert!(parse(raw).is_err(), "{}", raw.escape_ascii());
        }
        assert!(parse(&b"a/".repeat(100)).is_ok());
        assert!(parse(&[b'a'; 255]).is_ok());
        assert!(parse(b"..a/b..").is_ok());
    }

    #[test]
    fn whiteout_names() {
        let meaning = |raw: &str| format!("{:?}", parse(raw.as_bytes()).unwrap().meaning());
        assert!(meaning("etc/passwd").starts_with("Ok(Add"));
        assert!(meaning("etc/.wh.passwd").starts_with("Ok(Whiteout"));
        assert!(meaning(".wh..wh..opq").starts_with("Ok(Opaque"));
        assert!(meaning("a/.wh..wh..opq").starts_with("Ok(Opaque"));
        assert!(meaning(".wh..wh.plnk/1.2").starts_with("Ok(Leftover"));
        assert!(meaning(".wh....").starts_with("Ok(Whiteout"));
        for bad in
            [".wh.", ".wh..", ".wh...", "a/.wh...", ".wh.x/y", "a/.wh..wh.x", ".wh..wh..opq/x"]
        {
            assert!(meaning(bad).starts_with("Err("), "{bad}: {}", meaning(bad));
        }
    }
}
