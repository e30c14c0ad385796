//! Just enough of rpm's own database format (`Packages.db`, as SUSE uses it) to read all records.
//!
//! A table of slots at the begin of the file says where each record lies, in blocks of 16 bytes;
//! a record has a head of 16 bytes. Numbers have their lowest byte first.

use super::held::{At, Metered};

/// Bytes of a page of slots.
const PAGE: u64 = 4096;
/// Bytes of a slot, of a block and of a record's head; the first two slots are the file's head.
const UNIT: u64 = 16;
/// Most pages of slots: half a million packages.
const MAX_PAGES: u32 = 2048;
/// Largest record.
const MAX_RECORD: u32 = 16 << 20;

/// Hands out every record; `None` for what is no such database, or broken.
pub(super) fn records(file: &dyn At, mut take: impl FnMut(&[u8])) -> Option<()> {
    let file = Metered::new(file);
    let head = file.at(0, 2 * UNIT)?;
    let version = number(&head, 4)?;
    let pages = number(&head, 12).filter(|pages| (1..=MAX_PAGES).contains(pages))?;
    (head.starts_with(b"RpmP") && version == 0).then_some(())?;
    for page in 0..u64::from(pages) {
        let slots = file.at(page * PAGE, PAGE)?;
        let skip = if page == 0 { 2 } else { 0 };
        for slot in slots.chunks_exact(UNIT as usize).skip(skip) {
            slot.starts_with(b"Slot").then_some(())?;
            let (package, block) = (number(slot, 4)?, number(slot, 8)?);
            // A slot that is free.
            if package == 0 {
                continue;
            }
            let start = u64::from(block) * UNIT;
            let head = file.at(start, UNIT)?;
            let length = number(&head, 12).filter(|length| *length <= MAX_RECORD)?;
            (head.starts_with(b"BlbS") && number(&head, 4)? == package).then_some(())?;
            take(&file.at(start + UNIT, u64::from(length))?);
        }
    }
    Some(())
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    impl At for Vec<u8> {
        fn at(&self, offset: u64, length: u64) -> Option<Vec<u8>> {
            let start = usize::try_from(offset).ok()?;
            let end = start.checked_add(usize::try_from(length).ok()?)?;
            self.get(start..end).map(<[u8]>::to_vec)
        }

        fn size(&self) -> u64 {
            self.len() as u64
        }
    }

    fn numbers(magic: &[u8; 4], rest: [u32; 3]) -> Vec<u8> {
        let rest = rest.iter().flat_map(|number| number.to_le_bytes());
        magic.iter().copied().chain(rest).collect()
    }

    fn database() -> Vec<u8> {
        let mut file = [numbers(b"RpmP", [0, 1, 1]), vec![0; 16]].concat();
        file.extend(numbers(b"Slot", [7, 256, 3]));
        file.extend(numbers(b"Slot", [0, 0, 0]));
        file.extend(numbers(b"Slot", [9, 259, 3]));
        while file.len() < 4096 {
            file.extend(numbers(b"Slot", [0, 0, 0]));
        }
        for (package, text) in [(7, b"one"), (9, b"two")] {
            let record = [numbers(b"BlbS", [package, 1, 3]), text.to_vec(), vec![0; 29]];
            file.extend(record.concat());
        }
        file
    }

    fn read(file: &Vec<u8>) -> Option<Vec<Vec<u8>>> {
        let mut found = Vec::new();
        records(file, |record| found.push(record.to_vec())).map(|()| found)
    }

    #[test]
    fn records_are_found_by_their_slots() {
        assert_eq!(read(&database()).unwrap(), [b"one", b"two"]);
    }

    /// All slots lead to one record.
    #[test]
    fn one_record_is_not_read_for_ever() {
        let mut file = [numbers(b"RpmP", [0, 1, 1]), vec![0; 16]].concat();
        while file.len() < 4096 {
            file.extend(numbers(b"Slot", [7, 256, 60_000]));
        }
        file.extend(numbers(b"BlbS", [7, 1, 1 << 20]));
        file.resize(file.len() + (1 << 20), 0);
        let mut count = 0;
        assert_eq!(records(&file, |_| count += 1), None);
        assert!((1..=6).contains(&count), "{count}");
    }

    #[test]
    fn what_is_broken_is_refused() {
        let whole = database();
        for (at, byte) in [(0, b'X'), (4, 1), (12, 0), (14, 1), (32, b'X'), (41, 0), (4096, b'X')] {
            let mut file = whole.clone();
            file[at] = byte;
            assert_eq!(read(&file), None, "{at}");
        }
        for cut in [0, 31, 4095, 4096, whole.len() - 32] {
            assert_eq!(read(&whole[..cut].to_vec()), None, "{cut}");
        }
    }
}
