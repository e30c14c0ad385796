//! A table of contents out of the blob, into the cache.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use super::super::keep::table_name;
use super::{Form, MAX_PACKED, Table};
use crate::blob::BlobReader;
use crate::error::{Error, IoContext, Result};
use crate::spec::Descriptor;
use crate::sys::{Dir, NewFile};
use crate::transport::Source;

/// Bytes at the end of an eStargz layer that tell where the table is.
const FOOTER: u64 = 51;

/// The table as it stands in the blob (of eStargz, to the end of the blob); from the cache, if it
/// is there. Nothing is verified.
///
/// # Errors
/// `Unsupported` where it cannot be read or kept; what the place says when it cannot be reached.
pub(in crate::inspect::files) async fn fetch<S: Source>(
    source: &S,
    layer: &Descriptor,
    table: &Table,
    dir: &Path,
) -> Result<File> {
    let name = table_name(&layer.digest, &table.digest);
    if let Ok(file) = File::open(dir.join(&name)) {
        return Ok(file);
    }
    let no_place = |error| Error::caused(crate::ErrorKind::Unsupported, "keeping it", error);
    std::fs::create_dir_all(dir).map_err(no_place)?;
    let new = Dir::open(dir).and_then(|dir| NewFile::create(dir, 0o644)).map_err(no_place)?;
    let stretch = match &table.form {
        Form::Chunked(place) => place.clone(),
        Form::Stargz => stargz_place(source, layer).await?,
    };
    let save = move |mut reader: BlobReader| {
        std::io::copy(&mut reader, &mut new.file()).doing(|| "reading it")?;
        let file = new.file().try_clone().doing(|| "keeping it")?;
        new.publish(name.as_bytes()).doing(|| "keeping it")?;
        Ok(file)
    };
    let mut file = source.open(layer).await?.consume_stretch(stretch, save).await?;
    file.seek(SeekFrom::Start(0)).doing(|| "reading it back")?;
    Ok(file)
}

/// Drops a table that turned out to be wrong.
pub(in crate::inspect::files) fn forget(dir: &Path, layer: &Descriptor, table: &Table) {
    let _ = std::fs::remove_file(dir.join(table_name(&layer.digest, &table.digest)));
}

/// Where the table of an eStargz layer begins; it goes on to the end of the blob.
async fn stargz_place<S: Source>(source: &S, layer: &Descriptor) -> Result<Range<u64>> {
    let size = layer.size;
    let nothing = || Error::unsupported("the layer has no table of contents at its end");
    let start = size.checked_sub(FOOTER).ok_or_else(nothing)?;
    let read = |mut reader: BlobReader| {
        let mut footer = Vec::new();
        reader.read_to_end(&mut footer).doing(|| "reading the end of the layer")?;
        Ok(footer)
    };
    let footer = source.open(layer).await?.consume_stretch(start..size, read).await?;
    let offset = stargz_offset(&footer).filter(|offset| *offset < start);
    let offset = offset.filter(|offset| size - offset <= MAX_PACKED).ok_or_else(nothing)?;
    Ok(offset..size)
}

/// What the footer says: an empty gzip member whose extra field holds the offset as sixteen digits
/// and `STARGZ`; in the older form without the head of a subfield, which makes it shorter.
fn stargz_offset(footer: &[u8]) -> Option<u64> {
    let member = |start: usize, skip: usize| {
        let member = footer.get(start..)?.strip_prefix(&[0x1f, 0x8b, 8, 4])?;
        let length = usize::from(u16::from_le_bytes([*member.get(6)?, *member.get(7)?]));
        let extra = member.get(8..8_usize.checked_add(length)?)?.get(skip..)?;
        let digits = extra.strip_suffix(b"STARGZ").filter(|digits| digits.len() == 16)?;
        u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    member(0, 4).or_else(|| member(4, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn footer(extra: &[u8]) -> Vec<u8> {
        let head = [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, extra.len() as u8, 0];
        [&head[..], extra, &[1, 0, 0, 0xff, 0xff], &[0; 8]].concat()
    }

    #[test]
    fn footers_of_both_forms_tell_the_place() {
        let new = footer(b"SG\x16\x0000000000000012abSTARGZ");
        assert_eq!((new.len() as u64, stargz_offset(&new)), (FOOTER, Some(0x12ab)));
        let old = [b"tail".to_vec(), footer(b"00000000000012abSTARGZ")].concat();
        assert_eq!((old.len() as u64, stargz_offset(&old)), (FOOTER, Some(0x12ab)));
        for cut in 0..new.len() - 13 {
            assert_eq!(stargz_offset(&new[..cut]), None, "{cut}");
        }
        assert_eq!(stargz_offset(&footer(b"SG\x16\x0000000000000012abSTARGY")), None);
    }
}
