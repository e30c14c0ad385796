//! Tar archives as a stream of entries, read strictly and written deterministically.
//!
//! Owns the format: ustar, PAX, GNU and old forms on the way in, ustar with PAX records on the way
//! out. Uses the `tar` crate for the layout of a header block. Promise of [`TarReader`]: what it
//! accepts means the same to Go's `archive/tar` (and so to other container engines); what readers
//! disagree about is refused. Does not know file systems or whiteouts.

mod header;
mod pax;
mod reader;
mod sparse;
mod writer;

pub(super) use reader::is_zero;
pub use reader::{Chunk, TarReader};
pub use writer::TarWriter;

use crate::sys::{Device, Time};

const BLOCK: usize = 512;

/// Largest body of an extension header (PAX records, a long name, a sparse map): 1 MiB.
pub const MAX_EXTENSION: u64 = 1024 * 1024;

/// What an entry describes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file; its content follows.
    File,
    /// A directory.
    Directory,
    /// A symbolic link that reads these bytes.
    Symlink(Vec<u8>),
    /// A further name of the object that an earlier entry put at this path.
    HardLink(Vec<u8>),
    /// A character device.
    Char(Device),
    /// A block device.
    Block(Device),
    /// A named pipe.
    Fifo,
}

/// One member of an archive, all its headers merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name as it stands in the archive: bytes, not yet checked as a path.
    pub path: Vec<u8>,
    /// The type and what belongs to it.
    pub kind: EntryKind,
    /// Permission, set-id and sticky bits: 0 to 0o7777.
    pub mode: u32,
    /// Owner, below 2^32-1.
    pub uid: u32,
    /// Group, below 2^32-1.
    pub gid: u32,
    /// Modification time.
    pub mtime: Time,
    /// Bytes of content, holes included; 0 for all but files.
    pub size: u64,
    /// Extended attributes, sorted by name.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Records that carry attributes in a form that no container engine reads (ACLs as text,
    /// SELinux labels of GNU tar, libarchive's attributes): their keys.
    pub unread: Vec<Vec<u8>>,
}
