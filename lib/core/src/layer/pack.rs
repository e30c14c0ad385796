//! Packing: a directory tree becomes a layer archive.
//!
//! The archive depends on the tree and the options alone: names in byte order, whiteouts before
//! what stands beside them, numbers for owners, times as asked for. Names that share an inode
//! become hard links to the first of them.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};

use super::form::{WhiteoutForm, is_private};
use super::ids::Ownership;
use super::name::{OPAQUE, WHITEOUT, check_entry_name, join, split};
use super::stack::Stack;
use super::tar::{Entry, EntryKind, TarWriter};
use crate::error::{Error, IoContext, Result};
use crate::sys::{Dir, FileKind, Meta, Root, Time, read_xattrs};

const BUFFER: usize = 256 * 1024;

/// How a tree is packed.
#[derive(Clone, Debug)]
pub struct PackOptions<'a> {
    /// How deletions stand in the tree; [`Apply`](WhiteoutForm::Apply) for a tree without any.
    pub form: WhiteoutForm,
    /// The layers below, if known: deletions of what they do not have are left out, and files of
    /// which overlayfs copied only the metadata get their content from there.
    pub lower: Option<&'a Stack<'a>>,
    /// Whom the files belong to in the image.
    pub ownership: Ownership,
    /// Later modification times become this one.
    pub latest: Option<Time>,
    /// Whether fractions of a second are kept, at the cost of a kilobyte for each entry.
    pub subseconds: bool,
    /// Whether the root directory gets an entry.
    pub root_entry: bool,
    /// Levels of directories; more are an error.
    pub depth: usize,
}

impl Default for PackOptions<'_> {
    fn default() -> Self {
        PackOptions {
            form: WhiteoutForm::OverlayTrusted,
            lower: None,
            ownership: Ownership::Keep,
            latest: None,
            subseconds: false,
            root_entry: false,
            depth: 512,
        }
    }
}

/// What was packed, and what of the tree an archive cannot hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackReport {
    /// Entries of the archive, whiteouts among them.
    pub entries: u64,
    /// Whiteouts and opaque markers.
    pub whiteouts: u64,
    /// Bytes of content of all files.
    pub bytes: u64,
    /// Length of the archive.
    pub archive_bytes: u64,
    /// Sockets, which were left out.
    pub skipped_sockets: Vec<Vec<u8>>,
}

/// Writes the tree below `root` as a layer archive to `out`.
///
/// # Errors
/// [`Unsupported`](crate::ErrorKind::Unsupported) for what no layer can express: names that begin
/// with `.wh.`, directories that overlayfs renamed, owners outside the map, too many levels;
/// otherwise what the file system or `out` said, also when a file changes meanwhile.
pub fn pack(root: &Root, options: &PackOptions<'_>, out: &mut dyn Write) -> Result<PackReport> {
    let mut pass = Pass {
        tar: TarWriter::new(BufWriter::with_capacity(BUFFER, out)),
        options,
        links: HashMap::new(),
        report: PackReport::default(),
        buffer: vec![0; BUFFER],
    };
    let facts = pass.facts(read_xattrs(root.dir()).doing(|| "reading attributes of the root")?);
    if options.root_entry {
        let meta = root.dir().meta().doing(|| "examining the root")?;
        let entry = pass.described(b".", EntryKind::Directory, &meta, facts.xattrs.clone());
        pass.put(&entry?)?;
    }
    pass.directory(root.dir(), b"", &facts, true, 0)?;
    let (mut out, archive_bytes) = pass.tar.finish()?;
    out.flush().doing(|| "writing the archive")?;
    Ok(PackReport { archive_bytes, ..pass.report })
}

struct Pass<'a, W: Write> {
    tar: TarWriter<BufWriter<W>>,
    options: &'a PackOptions<'a>,
    /// First name of every inode that has more.
    links: HashMap<(u64, u64), Vec<u8>>,
    report: PackReport,
    buffer: Vec<u8>,
}

/// What attributes say about one object.
#[derive(Default)]
struct Facts {
    /// Those that belong into an archive.
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Hides what lower layers have.
    opaque: bool,
    /// May hold whiteouts that are files with an attribute.
    holds_file_whiteouts: bool,
    is_file_whiteout: bool,
    /// Content is in a lower layer, under another name if there is one.
    metadata_only: bool,
    redirect: Option<Vec<u8>>,
}

impl<W: Write> Pass<'_, W> {
    /// Packs what is in a directory. `shows_lower` tells whether lower layers may show through.
    fn directory(
        &mut self,
        dir: &Dir,
        path: &[u8],
        facts: &Facts,
        mut shows_lower: bool,
        level: usize,
    ) -> Result<()> {
        let shown = || format!("packing directory \"{}\"", path.escape_ascii());
        if level > self.options.depth {
            let limit = self.options.depth;
            return Err(Error::unsupported(format!("more than {limit} levels"))).doing(shown);
        }
        if facts.opaque && shows_lower {
            self.deletion(path, OPAQUE)?;
            shows_lower = false;
        }
        let mut entries = dir.entries().doing(shown)?;
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let mut rest = Vec::with_capacity(entries.len());
        for entry in entries {
            let packing = || format!("packing \"{}\"", join(path, &entry.name).escape_ascii());
            if !self.is_deletion(dir, &entry.name, entry.kind, facts).doing(packing)? {
                rest.push(entry.name);
            } else if shows_lower && self.lower_has(&join(path, &entry.name))? {
                self.deletion(path, &[WHITEOUT, &entry.name].concat())?;
            }
        }
        for name in rest {
            let path = join(path, &name);
            self.object(dir, &name, &path, shows_lower, level)
                .doing(|| format!("packing \"{}\"", path.escape_ascii()))?;
        }
        Ok(())
    }

    fn object(
        &mut self,
        dir: &Dir,
        name: &[u8],
        path: &[u8],
        shows_lower: bool,
        level: usize,
    ) -> Result<()> {
        if name.starts_with(WHITEOUT) {
            return Err(Error::unsupported("a name with .wh. means a deletion in a layer"));
        }
        let meta = dir.lookup(name).doing(|| "examining it")?;
        let meta = meta.ok_or_else(|| Error::not_found("it disappeared"))?;
        if meta.kind == FileKind::Directory {
            let inner = dir.open_dir(name).doing(|| "opening it")?;
            let facts = self.facts(read_xattrs(&inner).doing(|| "reading attributes")?);
            if facts.redirect.is_some() {
                return Err(Error::unsupported("overlayfs has renamed this directory"));
            }
            self.entry(path, EntryKind::Directory, &meta, facts.xattrs.clone())?;
            let shows_lower = shows_lower && self.lower_has(path)?;
            return self.directory(&inner, path, &facts, shows_lower, level + 1);
        }
        if meta.kind == FileKind::Socket {
            self.report.skipped_sockets.push(path.to_vec());
            return Ok(());
        }
        if meta.links > 1 {
            let first = self.links.entry((meta.dev, meta.ino)).or_insert_with(|| path.to_vec());
            if first != path {
                let target = first.clone();
                return self.entry(path, EntryKind::HardLink(target), &meta, Vec::new());
            }
        }
        if meta.kind == FileKind::File {
            return self.file(dir, name, path, &meta);
        }
        let facts = self.facts(dir.read_xattrs_of(name).doing(|| "reading attributes")?);
        let kind = match meta.kind {
            FileKind::Symlink => {
                EntryKind::Symlink(dir.read_link(name).doing(|| "reading the link")?)
            }
            FileKind::Char => EntryKind::Char(meta.device),
            FileKind::Block => EntryKind::Block(meta.device),
            _ => EntryKind::Fifo,
        };
        self.entry(path, kind, &meta, facts.xattrs)
    }

    fn file(&mut self, dir: &Dir, name: &[u8], path: &[u8], meta: &Meta) -> Result<()> {
        let mut file = dir.open_known_file(name, meta).doing(|| "opening it")?;
        let facts = self.facts(read_xattrs(&file).doing(|| "reading attributes")?);
        if facts.metadata_only {
            file = self.lower_content(path, facts.redirect.as_deref())?;
        }
        let size = Meta::of(&file).doing(|| "examining it")?.size;
        let entry = self.described(path, EntryKind::File, meta, facts.xattrs)?;
        self.put(&Entry { size, ..entry })?;
        self.report.bytes += size;
        self.tar.content_from(&mut file, &mut self.buffer)
    }

    /// The file whose content overlayfs did not copy.
    fn lower_content(&self, path: &[u8], redirect: Option<&[u8]>) -> Result<File> {
        let original = match redirect {
            Some(absolute) if absolute.starts_with(b"/") => absolute[1..].to_vec(),
            Some(sibling) => join(split(path).unwrap_or_default().0, sibling),
            None => path.to_vec(),
        };
        let missing = || Error::unsupported("its content is in a lower layer that is not known");
        let found = self.options.lower.ok_or_else(missing)?.find(&original)?.ok_or_else(missing)?;
        found.parent.open_known_file(&found.name, &found.meta).doing(|| "opening its lower file")
    }

    fn entry(
        &mut self,
        path: &[u8],
        kind: EntryKind,
        meta: &Meta,
        xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    ) -> Result<()> {
        let entry = self.described(path, kind, meta, xattrs)?;
        self.put(&entry)
    }

    fn described(
        &self,
        path: &[u8],
        kind: EntryKind,
        meta: &Meta,
        xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    ) -> Result<Entry> {
        let (uid, gid) = self.options.ownership.in_image(meta.uid, meta.gid)?;
        let mut mtime = meta.mtime;
        if !self.options.subseconds {
            mtime.nanos = 0;
        }
        mtime = self.options.latest.map_or(mtime, |latest| mtime.min(latest));
        let slash: &[u8] = if kind == EntryKind::Directory { b"/" } else { b"" };
        let path = [path, slash].concat();
        let mode = meta.mode;
        Ok(Entry { path, kind, mode, uid, gid, mtime, size: 0, xattrs, unread: Vec::new() })
    }

    /// An empty file whose name says what is deleted; nothing else of it matters to anybody.
    fn deletion(&mut self, dir: &[u8], name: &[u8]) -> Result<()> {
        self.report.whiteouts += 1;
        self.put(&Entry {
            path: join(dir, name),
            kind: EntryKind::File,
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: Time::default(),
            size: 0,
            xattrs: Vec::new(),
            unread: Vec::new(),
        })
    }

    fn put(&mut self, entry: &Entry) -> Result<()> {
        check_entry_name(&entry.path)?;
        self.report.entries += 1;
        self.tar.begin(entry)
    }

    fn lower_has(&self, path: &[u8]) -> Result<bool> {
        self.options.lower.map_or(Ok(true), |lower| Ok(lower.lookup(path)?.is_some()))
    }

    /// Whether a name stands for a deletion.
    fn is_deletion(
        &self,
        dir: &Dir,
        name: &[u8],
        kind: Option<FileKind>,
        facts: &Facts,
    ) -> Result<bool> {
        let looking = || "looking for whiteouts";
        if self.options.form == WhiteoutForm::Apply {
            return Ok(false);
        }
        match kind {
            None | Some(FileKind::Char) => {
                let meta = dir.lookup(name).doing(looking)?;
                Ok(meta.is_some_and(|meta| self.options.form.is_whiteout(&meta)))
            }
            Some(FileKind::File) if facts.holds_file_whiteouts => {
                Ok(self.facts(dir.read_xattrs_of(name).doing(looking)?).is_file_whiteout)
            }
            Some(_) => Ok(false),
        }
    }

    /// Sorts attributes into those of the image and those of overlayfs.
    fn facts(&self, all: Vec<(Vec<u8>, Vec<u8>)>) -> Facts {
        let mut facts = Facts::default();
        let prefix = self.options.form.xattr("");
        for (name, value) in all {
            match prefix.as_deref().and_then(|prefix| name.strip_prefix(prefix)) {
                Some(b"opaque") => {
                    facts.opaque = value == b"y";
                    facts.holds_file_whiteouts = value == b"x";
                }
                Some(b"whiteout") => facts.is_file_whiteout = true,
                Some(b"metacopy") => facts.metadata_only = true,
                Some(b"redirect") => facts.redirect = Some(value),
                _ if is_private(&name) => {}
                _ => facts.xattrs.push((name, value)),
            }
        }
        facts
    }
}
