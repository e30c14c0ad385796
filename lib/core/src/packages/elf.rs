//! Sections of ELF executables by name, read with little memory and no trust.

use super::held::{At, Metered};

/// Most sections that are looked through.
const MAX_SECTIONS: u64 = 4096;
/// Largest table of names.
const MAX_NAMES: u64 = 1 << 20;
/// Largest section that is handed out.
const MAX_SECTION: u64 = 16 << 20;

/// Whether a file begins as an ELF file does.
pub(super) fn is_elf(start: &[u8]) -> bool {
    start.starts_with(b"\x7fELF")
}

/// The content of the sections with these names, where they are there.
pub(super) fn sections<const N: usize>(file: &dyn At, names: [&str; N]) -> [Option<Vec<u8>>; N] {
    let mut found = [const { None }; N];
    // What is cut or contradicts itself has no sections.
    let _ = search(&Metered::new(file), &names, &mut found);
    found
}

fn search(file: &dyn At, wanted: &[&str], found: &mut [Option<Vec<u8>>]) -> Option<()> {
    let start = file.at(0, 64)?;
    let wide = match start.get(4)? {
        1 => false,
        2 => true,
        _ => return None,
    };
    let read = Numbers { wide, big: *start.get(5)? == 2 };
    let (table, size, count, strings) = match wide {
        true => (read.word(&start, 40)?, 58, 60, 62),
        false => (read.word(&start, 32)?, 46, 48, 50),
    };
    let size = read.half(&start, size)?;
    let count = read.half(&start, count)?.min(MAX_SECTIONS);
    let strings = read.half(&start, strings)?;
    let header = |number: u64| {
        let offset = table.checked_add(number.checked_mul(size)?)?;
        let bytes = file.at(offset, size.min(64))?;
        read.section(&bytes)
    };
    let names = header(strings)?;
    let names = file.at(names.offset, names.size.min(MAX_NAMES))?;
    for number in 0..count {
        let Some(section) = header(number) else { continue };
        let Some(name) = names.get(usize::try_from(section.name).ok()?..) else { continue };
        let end = name.iter().position(|&b| b == 0).unwrap_or(name.len());
        let at = wanted.iter().position(|wanted| wanted.as_bytes() == &name[..end]);
        if let Some(at) = at
            && section.size <= MAX_SECTION
        {
            found[at] = file.at(section.offset, section.size);
        }
    }
    Some(())
}

struct Section {
    name: u64,
    offset: u64,
    size: u64,
}

/// How numbers stand in a file.
struct Numbers {
    wide: bool,
    big: bool,
}

impl Numbers {
    fn number(&self, bytes: &[u8], at: usize, length: usize) -> Option<u64> {
        let bytes = bytes.get(at..at.checked_add(length)?)?;
        let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        Some(match self.big {
            true => bytes.iter().fold(0, add),
            false => bytes.iter().rev().fold(0, add),
        })
    }

    fn half(&self, bytes: &[u8], at: usize) -> Option<u64> {
        self.number(bytes, at, 2)
    }

    fn word(&self, bytes: &[u8], at: usize) -> Option<u64> {
        self.number(bytes, at, if self.wide { 8 } else { 4 })
    }

    fn section(&self, bytes: &[u8]) -> Option<Section> {
        let (offset, size) = if self.wide { (24, 32) } else { (16, 20) };
        Some(Section {
            name: self.number(bytes, 0, 4)?,
            offset: self.word(bytes, offset)?,
            size: self.word(bytes, size)?,
        })
    }
}
