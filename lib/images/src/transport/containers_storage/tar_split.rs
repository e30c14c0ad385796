//! An unpacked archive put together again, byte for byte.
//!
//! When podman unpacks a layer it notes, one JSON object a line, everything of the archive that is
//! no file content: headers, padding, the end. In between stand the files, by name and size.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::blob::{CHUNK, Decoder};
use crate::error::{Error, ErrorKind, Result};
use crate::sys::Root;

/// Longest line: a PAX header of 1 MiB in base64, and room.
const MAX_LINE: u64 = 4 << 20;

const FILE: u8 = 1;
const SEGMENT: u8 = 2;

/// Reads the archive.
pub(super) struct TarSplit {
    notes: BufReader<Decoder<File>>,
    tree: Root,
    line: Vec<u8>,
    current: Part,
}

enum Part {
    Segment(Cursor<Vec<u8>>),
    File { file: File, left: u64, name: Vec<u8> },
}

/// One line of the notes.
#[derive(Deserialize)]
struct Note<'a> {
    #[serde(rename = "type")]
    kind: u8,
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    /// The name in base64, when it is no text.
    #[serde(borrow, default)]
    name_raw: Option<Cow<'a, str>>,
    #[serde(default)]
    size: Option<u64>,
    #[serde(borrow, default)]
    payload: Option<Cow<'a, str>>,
}

/// What a line stands for.
enum Piece {
    Segment(Vec<u8>),
    File { name: Vec<u8>, size: u64 },
}

impl TarSplit {
    /// Reads `notes` and takes the files from below `tree`.
    pub(super) fn new(notes: Decoder<File>, tree: Root) -> TarSplit {
        let notes = BufReader::with_capacity(CHUNK, notes);
        let current = Part::Segment(Cursor::default());
        TarSplit { notes, tree, line: Vec::new(), current }
    }

    /// The size of the archive, without opening its files.
    pub(super) fn measure(mut self) -> Result<u64> {
        let mut size = 0_u64;
        while let Some(piece) = self.next_piece()? {
            let more = match piece {
                Piece::Segment(bytes) => bytes.len() as u64,
                Piece::File { size, .. } => size,
            };
            size = size.checked_add(more).ok_or_else(|| damaged("sizes without end"))?;
        }
        Ok(size)
    }

    fn next_piece(&mut self) -> Result<Option<Piece>> {
        self.line.clear();
        let mut limited = (&mut self.notes).take(MAX_LINE);
        let count = limited.read_until(b'\n', &mut self.line);
        let count = count.map_err(|error| Error::io("reading the notes on a layer", error))?;
        if count == 0 {
            return Ok(None);
        }
        if self.line.last() != Some(&b'\n') && count as u64 == MAX_LINE {
            return Err(damaged("a line is too long"));
        }
        let note: Note<'_> = serde_json::from_slice(&self.line).map_err(|error| {
            Error::caused(ErrorKind::Corrupt, "the store's notes on a layer are damaged", error)
        })?;
        note.into_piece().map(Some)
    }

    /// Goes on with the next piece; `false` at the end.
    fn advance(&mut self) -> Result<bool> {
        self.current = match self.next_piece()? {
            None => return Ok(false),
            Some(Piece::Segment(bytes)) => Part::Segment(Cursor::new(bytes)),
            // Directories, links and empty files.
            Some(Piece::File { size: 0, .. }) => Part::Segment(Cursor::default()),
            Some(Piece::File { name, size }) => {
                let file = self.open(&name, size)?;
                Part::File { file, left: size, name }
            }
        };
        Ok(true)
    }

    fn open(&self, name: &[u8], size: u64) -> Result<File> {
        let opening = || format!("opening {} of a layer", name.escape_ascii());
        let file = self.tree.open_file(name).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => changed(name, "is gone"),
            std::io::ErrorKind::PermissionDenied => Error::caused(
                ErrorKind::Denied,
                format!("{} (files of other users need root or `podman unshare`)", opening()),
                error,
            ),
            _ => Error::io(opening(), error),
        })?;
        match file.metadata() {
            Ok(meta) if meta.len() == size => Ok(file),
            Ok(_) => Err(changed(name, "has another size")),
            Err(error) => Err(Error::io(opening(), error)),
        }
    }
}

impl Note<'_> {
    fn into_piece(self) -> Result<Piece> {
        let decode = |text: &str| STANDARD.decode(text).map_err(|_| damaged("bad base64"));
        match self.kind {
            SEGMENT => Ok(Piece::Segment(decode(&self.payload.unwrap_or_default())?)),
            FILE => {
                let name = match (self.name, self.name_raw) {
                    (Some(name), _) if !name.is_empty() => name.as_bytes().to_vec(),
                    (_, Some(raw)) => decode(&raw)?,
                    _ => return Err(damaged("a file without a name")),
                };
                Ok(Piece::File { name, size: self.size.unwrap_or(0) })
            }
            _ => Err(damaged("a line of an unknown kind")),
        }
    }
}

fn damaged(what: &str) -> Error {
    Error::corrupt(format!("the store's notes on a layer are damaged: {what}"))
}

fn changed(name: &[u8], how: &str) -> Error {
    let name = name.escape_ascii();
    Error::corrupt(format!("a layer was changed in the store: its file {name} {how}"))
}

impl Read for TarSplit {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            let count = match &mut self.current {
                Part::Segment(bytes) => bytes.read(into)?,
                Part::File { left: 0, .. } => 0,
                Part::File { file, left, name } => {
                    let most = usize::try_from(*left).unwrap_or(usize::MAX).min(into.len());
                    let count = file.read(&mut into[..most])?;
                    if count == 0 {
                        return Err(changed(name, "became shorter").into());
                    }
                    *left -= count as u64;
                    count
                }
            };
            if count > 0 || !self.advance()? {
                return Ok(count);
            }
        }
    }
}
