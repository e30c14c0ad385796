//! What the unpacker tells afterwards.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Attributes and devices that are listed by name; more are only counted.
const MAX_LISTED: usize = 10_000;

/// What was unpacked, and what the archive had that the tree has not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnpackReport {
    /// Entries of the archive, whiteouts among them.
    pub entries: u64,
    /// Whiteouts and opaque markers.
    pub whiteouts: u64,
    /// Bytes of content of all files, holes included.
    pub bytes: u64,
    /// Length of the archive.
    pub archive_bytes: u64,
    /// Directories that the archive only implies, sorted: made with mode 0755, owner 0:0, time 0.
    /// If a lower layer has such a directory, its metadata is the right one; those that the
    /// archive hides from lower layers are not listed.
    pub implied_dirs: Vec<ImpliedDir>,
    /// Whether the archive hides all lower layers.
    pub hides_lower_layers: bool,
    /// Extended attributes that were not set, sorted by path; the first ten thousand.
    pub dropped_xattrs: Vec<DroppedXattr>,
    /// How many extended attributes were not set.
    pub dropped_xattr_count: u64,
    /// Devices that this process may not make, or that were not wanted, sorted; the first ten
    /// thousand.
    pub skipped_devices: Vec<Vec<u8>>,
    /// How many devices were left out.
    pub skipped_device_count: u64,
    /// Files that lost set-id bits or capabilities because of [`Rights::Drop`](super::Rights).
    pub stripped_files: u64,
}

/// A directory without an entry of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImpliedDir {
    /// Path from the root; empty for the root itself.
    pub path: Vec<u8>,
    /// Whether it exists only to hold whiteouts: without a lower directory of that name it should
    /// not be there.
    pub only_whiteouts: bool,
}

/// An extended attribute that the archive has and the tree has not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DroppedXattr {
    /// Path of the file.
    pub path: Vec<u8>,
    /// Name of the attribute.
    pub name: Vec<u8>,
    /// Why.
    pub reason: DropReason,
}

/// Why an extended attribute was not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DropReason {
    /// The file system or the kernel refused, with this error number.
    Refused(i32),
    /// It belongs to the host (overlayfs, SELinux); layers may not set it.
    Private,
    /// It stands in a record that no container engine reads.
    Unread,
}

/// Collects devices that are left out.
#[derive(Debug, Default)]
pub(super) struct Skipped {
    paths: BTreeSet<Vec<u8>>,
    count: u64,
}

impl Skipped {
    pub(super) fn add(&mut self, path: Vec<u8>) {
        self.count += 1;
        self.paths.insert(path);
        if self.paths.len() > MAX_LISTED {
            self.paths.pop_last();
        }
    }

    pub(super) fn contains(&self, path: &[u8]) -> bool {
        self.paths.contains(path)
    }

    pub(super) fn report(self, report: &mut UnpackReport) {
        report.skipped_devices = self.paths.into_iter().collect();
        report.skipped_device_count = self.count;
    }
}

/// Collects dropped attributes from several threads; the result does not depend on their order.
#[derive(Debug, Default)]
pub(super) struct Dropped(Mutex<(BTreeSet<DroppedXattr>, u64)>);

impl Dropped {
    pub(super) fn add(&self, path: &[u8], name: &[u8], reason: DropReason) {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        list.1 += 1;
        list.0.insert(DroppedXattr { path: path.to_vec(), name: name.to_vec(), reason });
        if list.0.len() > MAX_LISTED {
            list.0.pop_last();
        }
    }

    pub(super) fn report(self, report: &mut UnpackReport) {
        let (set, count) = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        report.dropped_xattrs = set.into_iter().collect();
        report.dropped_xattr_count = count;
    }
}
