//! Laying out what is copied: files, archives, what came from elsewhere, here-documents.

use std::fs::File;
use std::io::{BufReader, Read, Seek};

use super::super::transfer::{ArchivePlace, Chosen, Layout, Origin, Owner, lay_out};
use super::super::view::join;
use super::elsewhere::Brought;
use crate::blob::Decoder;
use crate::error::{Error, IoContext, Result};
use crate::layer::tar::TarReader;
use crate::store::Writer;
use crate::sys::{FileKind, Time};

const BUFFER: usize = 256 << 10;
/// The start of a file that tells whether it is an archive (bytes).
const START: u64 = 4 << 20;
/// The mode of files that are written in a Dockerfile.
const DOCUMENT_MODE: u32 = 0o644;

/// What sources have become, in their order.
#[derive(Default)]
pub(in crate::build) struct Pieces<'a> {
    /// Where they are, by number; the step's own origin is the first, if it has one.
    pub(in crate::build) origins: Vec<&'a Origin>,
    pieces: Vec<Piece<'a>>,
}

/// What a source has become.
struct Piece<'a> {
    /// The number of its origin.
    number: usize,
    origin: &'a Origin,
    chosen: &'a [Chosen],
    /// Whether archives are unpacked.
    unpack: bool,
}

impl<'a> Pieces<'a> {
    pub(in crate::build) fn new(own: Option<&'a Origin>) -> Pieces<'a> {
        Pieces { origins: own.into_iter().collect(), pieces: Vec::new() }
    }

    /// Adds files of the step's own origin.
    pub(in crate::build) fn add(&mut self, chosen: &'a [Chosen], unpack: bool) {
        if let Some(origin) = self.origins.first() {
            self.pieces.push(Piece { number: 0, origin, chosen, unpack });
        }
    }

    /// Adds what came from elsewhere.
    pub(in crate::build) fn add_brought(&mut self, brought: &'a Brought) {
        let Brought { origin, chosen, unpack } = brought;
        let number = self.origins.len();
        self.origins.push(origin);
        self.pieces.push(Piece { number, origin, chosen, unpack: *unpack });
    }

    /// The times of everything.
    pub(in crate::build) fn times(&self) -> impl Iterator<Item = Time> {
        self.pieces.iter().flat_map(|piece| piece.chosen).flat_map(|chosen| {
            let inside = chosen.inside.iter().map(|inside| inside.meta.mtime);
            std::iter::once(chosen.meta.mtime).chain(inside)
        })
    }
}

/// Where pieces go, and how.
pub(in crate::build) struct Laying<'a> {
    /// Where the content of archives is kept.
    pub(in crate::build) writer: &'a Writer,
    /// The destination as written.
    pub(in crate::build) shown: &'a str,
    /// The same in the image, no part of it a link.
    pub(in crate::build) target: &'a [u8],
    /// Whether files go into the target rather than become it.
    pub(in crate::build) into: bool,
    /// The owner that was asked for, for what archives hold as well.
    pub(in crate::build) owner: Option<Owner>,
    /// Names and contents of here-documents.
    pub(in crate::build) documents: &'a [(String, String)],
    /// The time of those.
    pub(in crate::build) made_at: Time,
}

/// One thing to be laid out.
struct Task<'p> {
    number: usize,
    chosen: &'p Chosen,
    /// The archive that it is, if it is to be unpacked.
    archive: Option<File>,
}

impl Laying<'_> {
    /// Lays pieces out in their order, then here-documents.
    ///
    /// # Errors
    /// Invalid where more than one file would become the target.
    pub(in crate::build) fn lay(&self, layout: &mut Layout<'_>, pieces: &Pieces<'_>) -> Result<()> {
        let mut tasks = Vec::new();
        for Piece { number, origin, chosen, unpack } in &pieces.pieces {
            for chosen in *chosen {
                let archive = if *unpack { archive(origin, chosen)? } else { None };
                tasks.push(Task { number: *number, chosen, archive });
            }
        }
        let is_file = |task: &&Task<'_>| task.chosen.meta.kind != FileKind::Directory;
        let into = self.into || tasks.iter().any(|task| task.archive.is_some());
        let target = Target {
            laying: self,
            into,
            files: tasks.iter().filter(is_file).count() + self.documents.len(),
        };
        for task in tasks {
            let chosen = task.chosen;
            if let Some(archive) = task.archive {
                self.unpack(layout, archive)
                    .doing(|| format!("unpacking {}", String::from_utf8_lossy(&chosen.path)))?;
            } else if chosen.meta.kind == FileKind::Directory {
                layout.place_content(task.number, chosen, self.target)?;
            } else {
                let path = target.of(layout, &chosen.name)?;
                layout.place_file(task.number, chosen, path)?;
            }
        }
        for (name, content) in self.documents {
            let path = target.of(layout, name.as_bytes())?;
            layout.place_bytes(path, content.as_bytes(), DOCUMENT_MODE, self.made_at)?;
        }
        Ok(())
    }

    fn unpack(&self, layout: &mut Layout<'_>, archive: File) -> Result<()> {
        let content = self.writer.scratch()?.join("content");
        let place = ArchivePlace { target: self.target, owner: self.owner, content: &content };
        let decoder = Decoder::new(archive).doing(|| "reading it")?;
        lay_out(layout, &place, BufReader::with_capacity(BUFFER, decoder))
    }
}

/// Where single files go.
struct Target<'a> {
    laying: &'a Laying<'a>,
    into: bool,
    /// How many there are.
    files: usize,
}

impl Target<'_> {
    fn of(&self, layout: &Layout<'_>, name: &[u8]) -> Result<Vec<u8>> {
        let Laying { target, shown, .. } = self.laying;
        match layout.own_kind(target) {
            _ if self.into => Ok(join(target, name)),
            Some(FileKind::Directory) => Ok(join(target, name)),
            None => Ok(target.to_vec()),
            Some(_) => Err(Error::invalid(format!(
                "cannot copy {} files to {shown}: not a directory (end it with a / to make one)",
                self.files
            ))),
        }
    }
}

/// A file that begins like an archive, compressed or not.
fn archive(origin: &Origin, chosen: &Chosen) -> Result<Option<File>> {
    if chosen.meta.kind != FileKind::File {
        return Ok(None);
    }
    let opening = || format!("opening {}", String::from_utf8_lossy(&chosen.path));
    let mut file = origin.root.open_file(&chosen.path).doing(opening)?;
    let Ok(decoder) = Decoder::new(file.try_clone().doing(opening)?) else { return Ok(None) };
    // A header is enough; whoever only claims to be one of these is told from a tar here.
    let start = BufReader::with_capacity(BUFFER, decoder.take(START));
    let is_archive = matches!(TarReader::new(start).next_entry(), Ok(Some(_)));
    file.rewind().doing(opening)?;
    Ok(Some(file).filter(|_| is_archive))
}
