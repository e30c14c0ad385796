//! One entry of a layer, without its content.

use serde::{Deserialize, Serialize};

use super::name::Name;
use crate::spec::Digest;

/// What an entry is, or does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A further name of a file of the same layer.
    Hardlink,
    /// A character device.
    Char,
    /// A block device.
    Block,
    /// A named pipe.
    Fifo,
    /// Deletes the path from the layers below.
    Whiteout,
    /// Deletes all that the layers below have in the directory.
    Opaque,
}

/// One entry of a layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileEntry {
    /// Path below the root, without a leading slash; empty for the root. Of a whiteout, what it
    /// hides; of an opaque mark, the directory.
    pub path: Name,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: EntryKind,
    /// Permission, set-id and sticky bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes of content.
    pub size: u64,
    /// Seconds since 1970.
    pub mtime: i64,
    /// Nanoseconds after that.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub mtime_nanos: u32,
    /// Where a link leads, as it stands in the archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<Name>,
    /// Major and minor number of a device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<(u32, u32)>,
    /// Extended attributes: names and values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub xattrs: Vec<(Name, Name)>,
    /// Digest of a file's content, in an index made with digests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Which entry of the archive this is, counted from 0.
    pub ordinal: u64,
}

impl FileEntry {
    /// Whether it deletes instead of adding.
    pub fn is_deletion(&self) -> bool {
        matches!(self.kind, EntryKind::Whiteout | EntryKind::Opaque)
    }

    /// Type and permissions as `ls -l` writes them: `-rw-r--r--`.
    pub fn mode_text(&self) -> String {
        let kind = match self.kind {
            EntryKind::File | EntryKind::Hardlink => '-',
            EntryKind::Directory => 'd',
            EntryKind::Symlink => 'l',
            EntryKind::Char => 'c',
            EntryKind::Block => 'b',
            EntryKind::Fifo => 'p',
            EntryKind::Whiteout | EntryKind::Opaque => return "(deleted) ".to_owned(),
        };
        let mut text = String::from(kind);
        for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
            let bits = self.mode >> shift;
            text.push(if bits & 4 != 0 { 'r' } else { '-' });
            text.push(if bits & 2 != 0 { 'w' } else { '-' });
            text.push(match (self.mode & special != 0, bits & 1 != 0) {
                (true, true) => letter,
                (true, false) => letter.to_ascii_uppercase(),
                (false, true) => 'x',
                (false, false) => '-',
            });
        }
        text
    }

    /// The modification time in UTC, to the minute: `2001-09-09 01:46`.
    pub fn modified(&self) -> String {
        match jiff::Timestamp::from_second(self.mtime) {
            Ok(time) => time.strftime("%Y-%m-%d %H:%M").to_string(),
            Err(_) => format!("@{}", self.mtime),
        }
    }

    /// A directory about which no layer says anything.
    pub(in crate::inspect) fn implied() -> FileEntry {
        FileEntry {
            path: Name::default(),
            kind: EntryKind::Directory,
            mode: 0o755,
            uid: 0,
            gid: 0,
            size: 0,
            mtime: 0,
            mtime_nanos: 0,
            link: None,
            device: None,
            xattrs: Vec::new(),
            digest: None,
            ordinal: 0,
        }
    }
}

fn is_zero(nanos: &u32) -> bool {
    *nanos == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_read_as_in_ls() {
        let mut entry = FileEntry { kind: EntryKind::File, mode: 0o644, ..FileEntry::implied() };
        assert_eq!(entry.mode_text(), "-rw-r--r--");
        (entry.kind, entry.mode) = (EntryKind::Directory, 0o1777);
        assert_eq!(entry.mode_text(), "drwxrwxrwt");
        (entry.kind, entry.mode) = (EntryKind::File, 0o6754);
        assert_eq!(entry.mode_text(), "-rwsr-sr--");
        entry.mode = 0o4644;
        assert_eq!(entry.mode_text(), "-rwSr--r--");
    }
}
