//! `ADD` of archives.

use std::fs::File;
use std::io::{BufReader, Read, Seek};

use super::super::dockerignore::Ignore;
use super::super::transfer::{Chosen, Origin, Pattern, select};
use crate::blob::Decoder;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::layer::tar::TarReader;
use crate::layer::{UnpackOptions, Unpacker, WhiteoutForm};
use crate::store::Writer;
use crate::sys::{FileKind, Root};

const BUFFER: usize = 256 << 10;

/// The content of an archive as a tree of its own, in a place of the writer's; `None` for what is
/// no archive.
pub(in crate::build) fn unpacked(
    writer: &Writer,
    origin: &Origin,
    chosen: &Chosen,
) -> Result<Option<(Origin, Chosen)>> {
    if chosen.meta.kind != FileKind::File {
        return Ok(None);
    }
    let shown = String::from_utf8_lossy(&chosen.path).into_owned();
    let unpacking = || format!("unpacking {shown}");
    let file = origin.root.open_file(&chosen.path).doing(unpacking)?;
    if !is_archive(&file).doing(unpacking)? {
        return Ok(None);
    }
    unpack_archive(writer, file, &shown).doing(unpacking).map(Some)
}

fn unpack_archive(writer: &Writer, mut file: File, shown: &str) -> Result<(Origin, Chosen)> {
    file.rewind().doing(|| "reading it")?;
    let place = writer.scratch()?;
    // The archive's own modes apply below; the directory itself is nobody's.
    let options = UnpackOptions { whiteouts: WhiteoutForm::Apply, ..UnpackOptions::default() };
    let decoder = Decoder::new(file).doing(|| "reading it")?;
    let unpacker = Unpacker::new(Root::open(&place)?, options)?;
    unpacker.unpack(BufReader::with_capacity(BUFFER, decoder))?;
    let origin = Origin::image(Root::open(&place)?, shown);
    let all = Pattern { text: ".", exclude: &Ignore::default(), parents: false };
    let chosen = select(&origin, &all)?;
    let whole = chosen.ok().and_then(|chosen| chosen.into_iter().next());
    let whole = whole.ok_or_else(|| Error::new(ErrorKind::Failed, "its tree is gone"))?;
    Ok((origin, whole))
}

/// Whether a file begins like an archive, compressed or not.
fn is_archive(file: &File) -> std::io::Result<bool> {
    let Ok(decoder) = Decoder::new(file.try_clone()?) else { return Ok(false) };
    // A header is enough; whoever only claims to be one of these is told from a tar here.
    let start = BufReader::with_capacity(BUFFER, decoder.take(4 << 20));
    Ok(matches!(TarReader::new(start).next_entry(), Ok(Some(_))))
}
