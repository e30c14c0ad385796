//! Archives that are packed as a whole, or come through a pipe: unpacked once, then read like any.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::blob::{Budget, CHUNK, Decoder, Format};
use crate::error::{Error, IoContext, Result};

/// Bytes that are enough for [`Format::of`].
pub(in crate::transport) const MAGIC: usize = 6;

/// Archives hold whole images, often of zeros: more is allowed than for a layer.
const BUDGET: Budget = Budget { floor: 16 << 30, ratio: 200 };

/// `file` itself, if it is a regular file and not packed; else its content in a nameless file in
/// the directory `scratch`.
pub(super) fn plain(mut file: File, scratch: &Path) -> Result<File> {
    let meta = file.metadata().doing(|| "looking at the file")?;
    if meta.is_dir() {
        return Err(Error::invalid("it is a directory"));
    }
    if meta.is_file() {
        let mut start = [0; MAGIC];
        let count = file.read_at(&mut start, 0).doing(|| "reading its first bytes")?;
        if Format::of(&start[..count]) == Format::Plain {
            return Ok(file);
        }
        file.seek(SeekFrom::Start(0)).doing(|| "reading its first bytes")?;
    }
    spool(file, BUDGET, scratch)
}

fn spool(packed: impl Read, budget: Budget, scratch: &Path) -> Result<File> {
    let spooling = || format!("unpacking it into {}", scratch.display());
    let mut reader = Decoder::new(packed).doing(|| "reading its first bytes")?.with_budget(budget);
    let mut out = super::scratch_file(scratch)?;
    let mut buffer = vec![0; CHUNK];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(out),
            Ok(count) => out.write_all(&buffer[..count]).doing(spooling)?,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io("unpacking it", error)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::Archive;
    use super::super::tests::tar_of;
    use super::*;
    use crate::layer::tar::EntryKind;

    fn packed_in_all_ways(bytes: &[u8]) -> Vec<(Format, Vec<u8>)> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(bytes).unwrap();
        let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        bzip2.write_all(bytes).unwrap();
        let skippable =
            [&b"\x50\x2a\x4d\x18\x03\0\0\0abc"[..], &zstd::encode_all(bytes, 1).unwrap()];
        vec![
            (Format::Plain, bytes.to_vec()),
            (Format::Gzip, gzip.finish().unwrap()),
            (Format::Zstd, zstd::encode_all(bytes, 1).unwrap()),
            (Format::Zstd, skippable.concat()),
            (Format::Bzip2, bzip2.finish().unwrap()),
        ]
    }

    #[test]
    fn packed_archives_read_like_plain_ones_and_damaged_ones_do_not() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a");
        let content: Vec<u8> =
            (0..100_000_u32).flat_map(|n| n.wrapping_mul(n).to_le_bytes()).collect();
        let tar = tar_of(&[("a", EntryKind::File, &content)]);
        for (packing, bytes) in packed_in_all_ways(&tar) {
            assert_eq!(Format::of(&bytes), packing);
            std::fs::write(&path, &bytes).unwrap();
            let archive = Archive::open(&path, place.path()).unwrap();
            assert_eq!(archive.read("a", 1 << 20).unwrap().unwrap(), content, "{packing:?}");
            std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
            assert!(Archive::open(&path, place.path()).is_err(), "{packing:?}");
        }
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
    }

    #[test]
    fn xz_is_read_too() {
        use base64::Engine as _;
        let packed = "/Td6WFoAAATm1rRGAgAhARwAAAAQz1jM4Cf/AGJdADCAM1AYaImDAdzibiEFTojwlRne3pGkkNB2\
             pZLcVKt3DTDDVOtnchfKdHE+oM83Z+AEQajoJd6SLTCD0lIjjgE4tY6eGIYexOjAl80wQp8EAHJz3lRh5x+S\
             tdGWn3heoEkAAAAAFxRXFeE45a4AAX6AUAAAAFwHloixxGf7AgAAAAAEWVo=";
        let bytes = base64::engine::general_purpose::STANDARD.decode(packed).unwrap();
        assert_eq!(Format::of(&bytes), Format::Xz);
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a.tar.xz");
        std::fs::write(&path, &bytes).unwrap();
        let archive = Archive::open(&path, place.path()).unwrap();
        assert_eq!(archive.read("a", 9).unwrap().unwrap(), &b"abc"[..]);
        std::fs::write(&path, &bytes[..bytes.len() - 40]).unwrap();
        assert!(Archive::open(&path, place.path()).is_err());
    }

    #[test]
    fn a_pipe_is_read_once() {
        let place = tempfile::tempdir().unwrap();
        let tar = tar_of(&[("a", EntryKind::File, b"abc")]);
        for (packing, bytes) in packed_in_all_ways(&tar) {
            let (reader, mut writer) = std::io::pipe().unwrap();
            let file = File::from(std::os::fd::OwnedFd::from(reader));
            let thread = std::thread::spawn(move || writer.write_all(&bytes).unwrap());
            let archive = Archive::from_file(file, "-".into(), place.path()).unwrap();
            assert_eq!(archive.read("a", 9).unwrap().unwrap(), &b"abc"[..], "{packing:?}");
            thread.join().unwrap();
        }
    }

    #[test]
    fn a_bomb_is_stopped() {
        let place = tempfile::tempdir().unwrap();
        let bomb = zstd::encode_all(&vec![0; 1 << 20][..], 1).unwrap();
        let budget = Budget { floor: 1000, ratio: 1 };
        let error = spool(&bomb[..], budget, place.path()).unwrap_err();
        assert!(error.chain().contains("expands to more than 1000 bytes"), "{error:?}");
    }
}
