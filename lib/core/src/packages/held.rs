//! Content that can be read at any place, and what reading it may cost.

use std::cell::Cell;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Bytes at any place of a file.
pub(super) trait At {
    /// Exactly so many bytes; `None` where there are fewer.
    fn at(&self, offset: u64, length: u64) -> Option<Vec<u8>>;

    /// How many there are.
    fn size(&self) -> u64;
}

/// Content in memory, or in a file.
pub(super) enum Held {
    Memory(Vec<u8>),
    File(File, u64),
}

impl At for Held {
    fn at(&self, offset: u64, length: u64) -> Option<Vec<u8>> {
        // A length that lies must not cost memory.
        if offset.checked_add(length)? > self.size() {
            return None;
        }
        let length = usize::try_from(length).ok()?;
        match self {
            Held::Memory(bytes) => {
                let start = usize::try_from(offset).ok()?;
                bytes.get(start..start.checked_add(length)?).map(<[u8]>::to_vec)
            }
            Held::File(file, _) => {
                let mut bytes = vec![0; length];
                file.read_exact_at(&mut bytes, offset).ok()?;
                Some(bytes)
            }
        }
    }

    fn size(&self) -> u64 {
        match self {
            Held::Memory(bytes) => bytes.len() as u64,
            Held::File(_, size) => *size,
        }
    }
}

/// A file that hands out each of its bytes a few times at most.
///
/// An honest database stores every page and every value once. One whose pages all point to the same
/// place could make its reader work without end.
pub(super) struct Metered<'a> {
    file: &'a dyn At,
    left: Cell<u64>,
}

impl<'a> Metered<'a> {
    /// Four times the file, and a megabyte for small ones.
    pub(super) fn new(file: &'a dyn At) -> Metered<'a> {
        let left = file.size().saturating_mul(4).saturating_add(1 << 20);
        Metered { file, left: Cell::new(left) }
    }

    /// Counts bytes that were handed out without being read again; `None` when it is enough.
    pub(super) fn spend(&self, bytes: u64) -> Option<()> {
        self.left.set(self.left.get().checked_sub(bytes)?);
        Some(())
    }
}

impl At for Metered<'_> {
    fn at(&self, offset: u64, length: u64) -> Option<Vec<u8>> {
        // Each reading costs something, whatever it brings.
        self.spend(length.saturating_add(16))?;
        self.file.at(offset, length)
    }

    fn size(&self) -> u64 {
        self.file.size()
    }
}
