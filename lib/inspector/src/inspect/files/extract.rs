//! Files out of an image onto the disk.
//!
//! What is wanted is written as one archive in the order of the merged tree and unpacked by
//! `layer`, whose rules keep everything inside its directory.

use std::collections::BTreeMap;
use std::io::{BufReader, BufWriter, PipeWriter};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::content::visit;
use super::entry::{EntryKind, FileEntry};
use super::layer::LayerIndex;
use super::merged::{Merged, Node};
use super::name::Name;
use super::wanted::Wanted;
use crate::blob::blocking;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::layer::tar::{self, TarWriter};
use crate::layer::{
    Ownership, Rights, UnpackOptions, UnpackReport, Unpacker, WhiteoutForm, join_path as join,
    split_path as split,
};
use crate::spec::Image;
use crate::sys::{self, Device, Dir, Root, Time};
use crate::transport::Source;

/// Bytes between the two ends of the archive.
const BUFFER: usize = 256 << 10;
/// Entries without content that are written at once.
const AT_ONCE: usize = 1000;

type Writer = TarWriter<BufWriter<PipeWriter>>;

/// Puts what the image has at `path` into the directory `into`, under its own name; the root's
/// content directly. The directory is made if need be.
///
/// Owners are kept where this runs as root; `rights` says what becomes of set-id programs and
/// devices. After a failure nothing is left.
///
/// # Errors
/// `NotFound` if the image has no such path, `AlreadyExists` if the directory has that name.
pub async fn extract<S: Source>(
    source: &S,
    image: &Image,
    merged: &Merged<'_>,
    path: &[u8],
    into: &Path,
    rights: Rights,
) -> Result<UnpackReport> {
    let from = merged.resolve(path, false)?;
    let plan = Plan::new(merged, &from)?;
    let doing = || format!("extracting into {}", into.display());
    std::fs::create_dir_all(into).doing(doing)?;
    let root = Root::open(into).doing(doing)?;
    refuse_existing(root.dir(), &from).doing(doing)?;
    let place = Place::make(root.dir().try_clone().doing(doing)?).doing(doing)?;
    let report = transfer(source, image, plan, &place, rights).await.doing(doing)?;
    place.settle().doing(doing)?;
    Ok(report)
}

fn refuse_existing(dir: &Dir, from: &[u8]) -> Result<()> {
    let taken = match split(from) {
        Some((_, name)) => dir.lookup(name).doing(|| "looking at the directory")?.is_some(),
        None => !dir.entries().doing(|| "reading the directory")?.is_empty(),
    };
    let what = match split(from) {
        Some((_, name)) => format!("{} is there already", Name::from(name)),
        None => "the directory is not empty".to_owned(),
    };
    if taken { Err(Error::new(ErrorKind::AlreadyExists, what)) } else { Ok(()) }
}

/// A directory beside the final place, with a name that goes when it is not needed any more.
struct Place {
    dir: Dir,
    name: Vec<u8>,
}

impl Place {
    fn make(dir: Dir) -> Result<Place> {
        let name = format!(".creel-extract-{}", std::process::id()).into_bytes();
        dir.make_dir(&name, 0o700).doing(|| "making a directory to work in")?;
        Ok(Place { dir, name })
    }

    fn open(&self) -> Result<Dir> {
        self.dir.open_dir(&self.name).doing(|| "opening the directory to work in")
    }

    /// Moves everything to its final place.
    fn settle(self) -> Result<()> {
        let inner = self.open()?;
        for entry in inner.entries().doing(|| "reading the directory to work in")? {
            inner.rename(&entry.name, &self.dir, &entry.name).doing(|| "moving into place")?;
        }
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.dir.remove_tree(&self.name);
    }
}

/// What is wanted of the merged tree.
struct Plan<'m> {
    merged: &'m Merged<'m>,
    from: Vec<u8>,
    /// Bytes of every path that lead to `from`.
    skip: usize,
    /// By layer: the files.
    files: BTreeMap<usize, Wanted>,
}

impl<'m> Plan<'m> {
    fn new(merged: &'m Merged<'m>, from: &[u8]) -> Result<Plan<'m>> {
        let skip = split(from).map_or(0, |(dir, _)| if dir.is_empty() { 0 } else { dir.len() + 1 });
        let mut plan = Plan { merged, from: from.to_vec(), skip, files: BTreeMap::new() };
        for (_, node) in plan.nodes() {
            let link = node.entry.filter(|entry| entry.kind == EntryKind::Hardlink);
            if let Some(link) = link.filter(|link| merged.content(node.layer, link).is_none()) {
                let what = "is a hard link to something that its layer does not hold";
                return Err(Error::invalid(format!("/{} {what}", link.path)));
            }
        }
        plan.files = Wanted::of(merged, plan.nodes(), |_, _| true);
        Ok(plan)
    }

    /// The thing itself and what is below it; of the root, only that.
    fn nodes(&self) -> impl Iterator<Item = (&'m [u8], Node)> {
        let merged = self.merged;
        let (path, from) = (merged.path(&self.from), self.from.clone());
        let own = path.zip(merged.at(&from)).filter(|(path, _)| !path.is_empty());
        own.into_iter().chain(merged.below(&from))
    }

    /// All that has no content, parents first.
    fn bare(&self) -> impl Iterator<Item = tar::Entry> {
        let skip = self.skip;
        self.nodes().filter_map(move |(path, node)| match node.entry {
            None => Some(implied(&path[skip..])),
            Some(entry) if !matches!(entry.kind, EntryKind::File | EntryKind::Hardlink) => {
                Some(bare(&path[skip..], &entry))
            }
            Some(_) => None,
        })
    }
}

fn implied(path: &[u8]) -> tar::Entry {
    tar::Entry {
        path: path.to_vec(),
        kind: tar::EntryKind::Directory,
        mode: 0o755,
        uid: 0,
        gid: 0,
        mtime: Time::default(),
        size: 0,
        xattrs: Vec::new(),
        unread: Vec::new(),
    }
}

fn bare(path: &[u8], entry: &FileEntry) -> tar::Entry {
    let device = entry.device.map(|(major, minor)| Device { major, minor }).unwrap_or_default();
    let kind = match entry.kind {
        EntryKind::Directory => tar::EntryKind::Directory,
        EntryKind::Symlink => tar::EntryKind::Symlink(entry.link.clone().unwrap_or_default().0),
        EntryKind::Char => tar::EntryKind::Char(device),
        EntryKind::Block => tar::EntryKind::Block(device),
        EntryKind::Fifo => tar::EntryKind::Fifo,
        _ => tar::EntryKind::File,
    };
    tar::Entry {
        path: join(b"", path),
        kind,
        mode: entry.mode,
        uid: entry.uid,
        gid: entry.gid,
        mtime: Time { secs: entry.mtime, nanos: entry.mtime_nanos },
        size: 0,
        xattrs: entry.xattrs.iter().map(|(key, value)| (key.0.clone(), value.0.clone())).collect(),
        unread: Vec::new(),
    }
}

/// Writes the archive on one side and unpacks it on the other.
async fn transfer<S: Source>(
    source: &S,
    image: &Image,
    plan: Plan<'_>,
    place: &Place,
    rights: Rights,
) -> Result<UnpackReport> {
    let ownership = match sys::effective_uid() {
        0 => Ownership::Keep,
        _ => Ownership::Current,
    };
    let whiteouts = WhiteoutForm::Apply;
    let options = UnpackOptions { whiteouts, ownership, rights, ..UnpackOptions::default() };
    let unpacker = Unpacker::new(Root::new(place.open()?), options)?;
    let (reading, writing) = std::io::pipe().doing(|| "making a pipe")?;
    let unpack = tokio::task::spawn_blocking(move || {
        unpacker.unpack(BufReader::with_capacity(BUFFER, reading))
    });
    let written = write(source, image, plan, writing).await;
    let unpacked = unpack
        .await
        .map_err(|error| Error::caused(ErrorKind::Failed, "unpacking stopped", error))?;
    match (written, unpacked) {
        // The writer only notices that the other side has gone.
        (Err(error), Err(cause)) if error.kind() == ErrorKind::Failed => Err(cause),
        (Err(error), _) => Err(error),
        (Ok(()), unpacked) => unpacked,
    }
}

async fn write<S: Source>(
    source: &S,
    image: &Image,
    plan: Plan<'_>,
    out: PipeWriter,
) -> Result<()> {
    let mut writer = TarWriter::new(BufWriter::with_capacity(BUFFER, out));
    let mut bare = plan.bare();
    loop {
        let some: Vec<tar::Entry> = bare.by_ref().take(AT_ONCE).collect();
        if some.is_empty() {
            break;
        }
        writer = blocking(move || {
            some.iter().try_for_each(|entry| writer.begin(entry))?;
            Ok(writer)
        })
        .await?;
    }
    drop(bare);
    let (layers, skip) = (plan.merged.layers(), plan.skip);
    for (number, wanted) in plan.files {
        let Some((layer, index)) = image.layers().get(number).zip(layers.get(number)) else {
            continue;
        };
        writer = files_of_layer(source, &layer.descriptor, index, wanted, skip, writer).await?;
    }
    blocking(move || {
        let (mut out, _) = writer.finish()?;
        std::io::Write::flush(&mut out).doing(|| "writing the archive")
    })
    .await
}

async fn files_of_layer<S: Source>(
    source: &S,
    layer: &crate::spec::Descriptor,
    index: &LayerIndex,
    wanted: Wanted,
    skip: usize,
    writer: Writer,
) -> Result<Writer> {
    // Out again at the end: the closure that uses it must own it.
    let shared = Arc::new(Mutex::new(writer));
    let (inner, wanted) = (shared.clone(), Arc::new(wanted));
    visit(source, layer, index, wanted.clone(), move |mut member| {
        let mut writer = inner.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = member.entry.clone();
        let mut paths = wanted.paths(entry.ordinal).map(|path| &path[skip..]);
        let Some(first) = paths.next() else { return Ok(()) };
        writer.begin(&tar::Entry { size: entry.size, ..bare(first, &entry) })?;
        member.each_chunk(|bytes| writer.content(bytes))?;
        // Further names of the same file.
        paths.try_for_each(|other| {
            let kind = tar::EntryKind::HardLink(first.to_vec());
            writer.begin(&tar::Entry { kind, ..bare(other, &entry) })
        })
    })
    .await?;
    let back = Arc::into_inner(shared);
    let back =
        back.ok_or_else(|| Error::new(ErrorKind::Failed, "the layer is still being read"))?;
    Ok(back.into_inner().unwrap_or_else(PoisonError::into_inner))
}
