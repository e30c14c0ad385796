//! What is wrapped around an archive, or around a layer in one: gzip, zstd, bzip2, xz.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::blob::CHUNK;
use crate::error::{Error, IoContext, Result};
use crate::sys::{self, Dir};

/// A compression, told by the first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transport) enum Packing {
    None,
    Gzip,
    Zstd,
    Bzip2,
    Xz,
}

/// Unpacked, an archive may be so many times larger than it is packed…
const MAX_RATIO: u64 = 200;
/// … or this large in any case.
const MAX_FLOOR: u64 = 4 << 30;
/// Largest window of a zstd frame (as the reference program decodes without being asked).
const WINDOW_LOG: u32 = 27;
/// Most memory for xz, in KiB: what its strongest preset needs.
const XZ_MEMORY: u32 = 80 << 10;

impl Packing {
    /// Looks at the first bytes of something.
    pub(in crate::transport) fn of(start: &[u8]) -> Packing {
        match start {
            [0x1f, 0x8b, ..] => Packing::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Packing::Zstd,
            // A frame to be skipped, in front of the first real one.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Packing::Zstd,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Packing::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Packing::Xz,
            _ => Packing::None,
        }
    }
}

/// Bytes that are enough for [`Packing::of`].
pub(in crate::transport) const MAGIC: usize = 6;

/// Reads what `packed` holds, in one thread and with bounded memory.
pub(in crate::transport) fn decoder<'a>(
    packing: Packing,
    packed: impl Read + Send + 'a,
) -> Result<Box<dyn Read + Send + 'a>> {
    let packed = BufReader::with_capacity(CHUNK, packed);
    Ok(match packing {
        Packing::None => Box::new(packed),
        Packing::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(packed)),
        Packing::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(packed).doing(|| "starting zstd")?;
            decoder.window_log_max(WINDOW_LOG).doing(|| "starting zstd")?;
            Box::new(decoder)
        }
        Packing::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(packed)),
        Packing::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(packed, true, XZ_MEMORY)),
    })
}

/// `file` itself, if it is a regular file and not packed; else its content in a nameless file in
/// the directory `scratch`.
pub(super) fn plain(mut file: File, scratch: &Path) -> Result<File> {
    let meta = file.metadata().doing(|| "looking at the file")?;
    let mut start = [0; MAGIC];
    if meta.is_file() {
        let count = file.read_at(&mut start, 0).doing(|| "reading its first bytes")?;
        let packing = Packing::of(&start[..count]);
        if packing == Packing::None {
            return Ok(file);
        }
        file.seek(SeekFrom::Start(0)).doing(|| "reading its first bytes")?;
        let limit = meta.len().saturating_mul(MAX_RATIO).max(MAX_FLOOR);
        return spool(packing, file, limit, scratch);
    }
    if meta.is_dir() {
        return Err(Error::invalid("it is a directory"));
    }
    // A pipe: its size is known at its end.
    let mut count = 0;
    while count < MAGIC {
        match file.read(&mut start[count..]).doing(|| "reading its first bytes")? {
            0 => break,
            more => count += more,
        }
    }
    let packing = Packing::of(&start[..count]);
    let limit = if packing == Packing::None { u64::MAX } else { MAX_FLOOR * 16 };
    let whole = std::io::Cursor::new(start[..count].to_vec()).chain(file);
    spool(packing, whole, limit, scratch)
}

fn spool(packing: Packing, packed: impl Read + Send, limit: u64, scratch: &Path) -> Result<File> {
    let spooling = || format!("unpacking it into {}", scratch.display());
    let mut reader = decoder(packing, packed)?;
    let dir = Dir::open(scratch).doing(spooling)?;
    let mut out = sys::scratch_file(&dir).doing(spooling)?;
    let mut buffer = vec![0; CHUNK];
    let mut written = 0;
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => return Ok(out),
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => {
                let kind = crate::ErrorKind::Corrupt;
                return Err(Error::caused(kind, format!("its {packing:?} data is damaged"), error));
            }
        };
        written += count as u64;
        if written > limit {
            return Err(Error::invalid(format!(
                "it unpacks to more than {limit} bytes; unpack it by hand if that is right"
            )));
        }
        out.write_all(&buffer[..count]).doing(spooling)?;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::Archive;
    use super::super::tests::tar_of;
    use super::*;
    use crate::layer::tar::EntryKind;

    fn packed_in_all_ways(bytes: &[u8]) -> Vec<(Packing, Vec<u8>)> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(bytes).unwrap();
        let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        bzip2.write_all(bytes).unwrap();
        let skippable =
            [&b"\x50\x2a\x4d\x18\x03\0\0\0abc"[..], &zstd::encode_all(bytes, 1).unwrap()];
        vec![
            (Packing::None, bytes.to_vec()),
            (Packing::Gzip, gzip.finish().unwrap()),
            (Packing::Zstd, zstd::encode_all(bytes, 1).unwrap()),
            (Packing::Zstd, skippable.concat()),
            (Packing::Bzip2, bzip2.finish().unwrap()),
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
            assert_eq!(Packing::of(&bytes), packing);
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
        assert_eq!(Packing::of(&bytes), Packing::Xz);
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
        let error = spool(Packing::Zstd, &bomb[..], 1000, place.path()).unwrap_err();
        assert!(error.to_string().contains("more than 1000 bytes"), "{error}");
    }
}
