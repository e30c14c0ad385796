//! Just enough of zip files to read one small member.
//!
//! The list of members stands at the end; each tells where its own head is. Only members that are
//! stored or deflated are read, and no file of more than 4 GiB.

use std::io::Read;

use super::held::{At, Metered};

/// Bytes of the record at the end, and of the longest remark behind it.
const END: u64 = 22;
const MAX_REMARK: u64 = 65_535;
/// Bytes of a member's entry in the list, and of its own head, before names.
const ENTRY: usize = 46;
const HEAD: u64 = 30;
/// Largest list of members.
const MAX_LIST: u64 = 8 << 20;

/// Whether a file begins as a zip file does.
pub(super) fn is_zip(start: &[u8]) -> bool {
    start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06")
}

/// The content of the member `name`, of which it has at most `most` bytes; `None` where it is not
/// there or the file is broken.
pub(super) fn member(file: &dyn At, name: &str, most: u64) -> Option<Vec<u8>> {
    let file = Metered::new(file);
    let tail_start = file.size().saturating_sub(END + MAX_REMARK);
    let tail = file.at(tail_start, file.size() - tail_start)?;
    let end = tail.windows(4).rposition(|bytes| bytes == b"PK\x05\x06")?;
    let end = tail.get(end..)?;
    let length = u64::from(long(end, 12)?).min(MAX_LIST);
    let list = file.at(u64::from(long(end, 16)?), length)?;
    let mut rest = list.as_slice();
    while rest.starts_with(b"PK\x01\x02") {
        let lengths = [short(rest, 28)?, short(rest, 30)?, short(rest, 32)?].map(usize::from);
        let own = rest.get(ENTRY..ENTRY + lengths[0])?;
        if own == name.as_bytes() {
            return content(&file, rest, most);
        }
        rest = rest.get(ENTRY + lengths.iter().sum::<usize>()..)?;
    }
    None
}

/// The content of the member with this entry in the list.
fn content(file: &Metered<'_>, entry: &[u8], most: u64) -> Option<Vec<u8>> {
    let (method, stored, start) = (short(entry, 10)?, long(entry, 20)?, long(entry, 42)?);
    let head = file.at(u64::from(start), HEAD)?;
    head.starts_with(b"PK\x03\x04").then_some(())?;
    let skip = HEAD + u64::from(short(&head, 26)?) + u64::from(short(&head, 28)?);
    let bytes = file.at(u64::from(start) + skip, u64::from(stored).min(most))?;
    let mut out = Vec::new();
    match method {
        0 => out = bytes,
        8 => {
            let inflated = flate2::read::DeflateDecoder::new(bytes.as_slice()).take(most);
            // What is longer is of interest at its beginning.
            { inflated }.read_to_end(&mut out).ok()?;
        }
        _ => return None,
    }
    Some(out)
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}
