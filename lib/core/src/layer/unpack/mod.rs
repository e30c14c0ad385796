//! Unpacking: a layer archive becomes a directory tree.
//!
//! One pass over the stream in constant memory, but for what must be known until the end: the
//! directories, whose times settle last. All names are taken by handle from the root downwards, so
//! that neither the archive nor another process can lead a write elsewhere. Nothing is flushed;
//! who publishes the tree does that once.

mod content;
mod limits;
mod links;
mod options;
mod report;
mod settle;
mod tree;
mod whiteout;

pub use limits::{Limits, Ratio};
pub use options::{Rights, UnpackOptions};
pub use report::{DropReason, DroppedXattr, ImpliedDir, UnpackReport};

use std::io::BufRead;
use std::thread;

use self::content::{FileFinish, Writers};
use self::limits::Metered;
use self::report::Dropped;
use self::tree::{Parent, Tree};
use super::form::{WhiteoutForm, is_private};
use super::name::{EntryPath, Meaning, join};
use super::tar::{Entry, EntryKind, TarReader};
use crate::error::{Error, IoContext, Result};
use crate::sys::{Device, FileKind, Root};

/// Unpacks one layer into one directory.
///
/// In an overlay form the directory must be empty: it becomes one layer of an overlay mount and
/// depends on no other. In the form [`Apply`](WhiteoutForm::Apply) it holds the layers below.
#[derive(Debug)]
pub struct Unpacker {
    root: Root,
    options: UnpackOptions,
}

impl Unpacker {
    /// An unpacker into `root`.
    ///
    /// # Errors
    /// [`AlreadyExists`](crate::ErrorKind::AlreadyExists) when an overlay form finds the directory
    /// not empty.
    pub fn new(root: Root, options: UnpackOptions) -> Result<Unpacker> {
        if options.whiteouts != WhiteoutForm::Apply {
            let entries = root.dir().entries().doing(|| "reading the directory to unpack into")?;
            if !entries.is_empty() {
                let kind = crate::error::ErrorKind::AlreadyExists;
                return Err(Error::new(kind, "the directory to unpack a layer into is not empty"));
            }
        }
        Ok(Unpacker { root, options })
    }

    /// Unpacks the archive that `input` yields, and reads `input` to its very end.
    ///
    /// After an error the directory holds an unusable part of the layer.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) for a malformed or ambiguous archive, one that wants
    /// to leave the root, or one that exceeds a limit; [`Corrupt`](crate::ErrorKind::Corrupt) for
    /// one that ends early; otherwise what the file system or `input` said.
    pub fn unpack(self, input: impl BufRead) -> Result<UnpackReport> {
        let dropped = Dropped::default();
        let mut tree = Tree::new(&self.root, &self.options)?;
        let mut counts = UnpackReport::default();
        thread::scope(|scope| {
            let writers = Writers::start(scope, self.options.writers, &dropped);
            let mut pass = Pass {
                reader: TarReader::new(Metered::new(input, &self.options.limits)),
                tree: &mut tree,
                counts: &mut counts,
                writers,
                dropped: &dropped,
                options: &self.options,
            };
            let result = pass.run();
            // A failure of a writer came earlier in the archive than one of this thread.
            pass.writers.join().and(result)
        })?;
        tree.settle(&dropped, &mut counts)?;
        dropped.report(&mut counts);
        Ok(counts)
    }
}

/// One run over an archive.
struct Pass<'t, 'a, 's, R> {
    reader: TarReader<Metered<R>>,
    tree: &'t mut Tree<'a>,
    counts: &'t mut UnpackReport,
    writers: Writers<'s>,
    dropped: &'s Dropped,
    options: &'s UnpackOptions,
}

impl<R: BufRead> Pass<'_, '_, '_, R> {
    fn run(&mut self) -> Result<()> {
        while let Some(entry) = self.reader.next_entry()? {
            let name = entry.path.clone();
            self.entry(entry).map_err(|error| {
                error.while_doing(format!("unpacking {:?}", name.escape_ascii().to_string()))
            })?;
        }
        self.counts.archive_bytes = self.reader.position();
        Ok(())
    }

    fn entry(&mut self, entry: Entry) -> Result<()> {
        let limits = &self.options.limits;
        self.counts.entries += 1;
        limits.check_entries(self.counts.entries)?;
        let path = EntryPath::parse(&entry.path, limits.path_bytes, limits.depth)?;
        match path.meaning()? {
            Meaning::Leftover => Ok(()),
            Meaning::Opaque { dir } => {
                self.counts.whiteouts += 1;
                self.tree.make_opaque(dir)
            }
            Meaning::Whiteout { dir, name } => {
                self.counts.whiteouts += 1;
                self.tree.whiteout(dir, name)
            }
            Meaning::Add => self.add(&path, entry),
        }
    }

    fn add(&mut self, path: &EntryPath, entry: Entry) -> Result<()> {
        self.counts.bytes = self.counts.bytes.saturating_add(entry.size);
        self.options.limits.check_bytes(self.counts.bytes)?;
        let mut entry = self.without_private_xattrs(path, entry);
        if self.options.rights == Rights::Drop && strip(&mut entry) {
            self.counts.stripped_files += 1;
        }
        let Some((dir, name)) = path.split() else {
            if entry.kind != EntryKind::Directory {
                return Err(Error::invalid("the root of a layer can only be a directory"));
            }
            return self.tree.plan_root(entry);
        };
        let parent = self.tree.add_parent(dir)?;
        if self.tree.applies() {
            self.tree.note_added(&join(&parent.path, name))?;
        }
        match &entry.kind {
            EntryKind::Directory => self.tree.directory(&parent, name, entry),
            EntryKind::File => self.file(&parent, name, entry),
            EntryKind::Symlink(target) => {
                let target = target.clone();
                self.symlink(&parent, name, &target, &entry)
            }
            EntryKind::HardLink(target) => {
                let target = target.clone();
                self.hard_link(&parent, name, &target, &entry)
            }
            EntryKind::Fifo => self.node(&parent, name, FileKind::Fifo, Device::default(), &entry),
            EntryKind::Char(device) => self.node(&parent, name, FileKind::Char, *device, &entry),
            EntryKind::Block(device) => self.node(&parent, name, FileKind::Block, *device, &entry),
        }
    }

    fn file(&mut self, parent: &Parent, name: &[u8], entry: Entry) -> Result<()> {
        // Attributes can only be set while the owner may write.
        let mode = if entry.xattrs.is_empty() { entry.mode & 0o777 } else { 0o600 };
        let file = match parent.dir.create_file(name, mode) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                self.tree.make_room(parent, name)?;
                parent.dir.create_file(name, mode)
            }
            other => other,
        };
        let file = file.doing(|| "creating the file")?;
        let finish = FileFinish {
            owner: self.tree.owner_to_set(parent, &entry)?,
            mode: self.tree.mode_to_set(parent, &entry),
            clear_acl: parent.inherits,
            time: entry.mtime,
            path: if entry.xattrs.is_empty() { Vec::new() } else { join(&parent.path, name) },
            xattrs: entry.xattrs,
        };
        self.writers.write(&mut self.reader, file, entry.size, finish)
    }

    /// Takes away attributes that would change how the tree is used here instead of what it is.
    fn without_private_xattrs(&self, path: &EntryPath, mut entry: Entry) -> Entry {
        entry.xattrs.retain(|(name, _)| {
            let private = is_private(name);
            if private {
                self.dropped.add(path.as_bytes(), name, DropReason::Private);
            }
            !private
        });
        for key in entry.unread.drain(..) {
            self.dropped.add(path.as_bytes(), &key, DropReason::Unread);
        }
        entry
    }
}

/// Takes away what gives rights to whoever runs the file; tells whether there was something.
/// Bits of directories give none.
fn strip(entry: &mut Entry) -> bool {
    const SET_ID: u32 = 0o6000;
    if entry.kind == EntryKind::Directory {
        return false;
    }
    let before = (entry.mode, entry.xattrs.len());
    entry.mode &= !SET_ID;
    entry.xattrs.retain(|(name, _)| name != b"security.capability");
    before != (entry.mode, entry.xattrs.len())
}
