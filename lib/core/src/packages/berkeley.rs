//! Just enough of Berkeley DB's hash files to read all values: rpm's database before version 4.16.
//!
//! Pages of one size; the first describes the file. Values on hash pages stand there themselves or,
//! larger ones, on a chain of overflow pages. Only files whose numbers have their lowest byte first
//! are read, which is how Linux images have them.

use super::held::{At, Metered};

/// What a hash file says it is.
const MAGIC: u32 = 0x06_1561;
/// Bytes before what is on a page.
const HEAD: usize = 26;
/// Most pages.
const MAX_PAGES: u32 = 1 << 21;
/// Largest value.
const MAX_VALUE: usize = 16 << 20;

// Kinds of pages.
const HASH_UNSORTED: u8 = 2;
const OVERFLOW: u8 = 7;
const HASH_META: u8 = 8;
const HASH: u8 = 13;
// Kinds of values.
const INLINE: u8 = 1;
const ELSEWHERE: u8 = 3;

/// Hands out every value; `None` for what is no such file, or broken.
pub(super) fn values(file: &dyn At, mut take: impl FnMut(&[u8])) -> Option<()> {
    let meta = file.at(0, 64)?;
    let (size, last) = (long(&meta, 20)?, long(&meta, 32)?);
    let fits = long(&meta, 12)? == MAGIC && meta.get(25) == Some(&HASH_META);
    let encrypted = meta.get(24) != Some(&0);
    if !fits || encrypted || !size.is_power_of_two() || !(512..=65536).contains(&size) {
        return None;
    }
    let file = Pages { file: Metered::new(file), size: u64::from(size) };
    for number in 1..=last.min(MAX_PAGES) {
        let page = file.page(number)?;
        if !matches!(page.get(25)?, &(HASH | HASH_UNSORTED)) {
            continue;
        }
        // Keys and values in turn, the first at the end of the page.
        let count = usize::from(short(&page, 20)?);
        for value in (1..count).step_by(2) {
            let start = usize::from(short(&page, HEAD + 2 * value)?);
            let end = usize::from(short(&page, HEAD + 2 * (value - 1))?);
            let item = page.get(start..end)?;
            file.file.spend(item.len() as u64 + 16)?;
            match *item.first()? {
                INLINE => take(&item[1..]),
                ELSEWHERE => take(&file.chain(long(item, 4)?, long(item, 8)?)?),
                _ => {}
            }
        }
    }
    Some(())
}

struct Pages<'a> {
    file: Metered<'a>,
    size: u64,
}

impl Pages<'_> {
    fn page(&self, number: u32) -> Option<Vec<u8>> {
        self.file.at(u64::from(number).checked_mul(self.size)?, self.size)
    }

    /// A value of `length` bytes on a chain of pages.
    fn chain(&self, mut number: u32, length: u32) -> Option<Vec<u8>> {
        let length = usize::try_from(length).ok().filter(|length| *length <= MAX_VALUE)?;
        (length as u64 <= self.file.size()).then_some(())?;
        let mut value = Vec::with_capacity(length);
        while value.len() < length {
            let page = self.page(number)?;
            (page.get(25) == Some(&OVERFLOW)).then_some(())?;
            let part = page.get(HEAD..HEAD.checked_add(usize::from(short(&page, 22)?))?)?;
            // A page without anything could lead in a circle.
            (!part.is_empty()).then_some(())?;
            value.extend_from_slice(&part[..part.len().min(length - value.len())]);
            number = long(&page, 16)?;
        }
        Some(value)
    }
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}
