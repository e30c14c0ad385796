//! Go: what the linker writes into every executable since Go 1.18 (debug/buildinfo).

use super::found::Found;
use super::{Ecosystem, Package};

/// Begins the header of the section `.go.buildinfo`.
const MAGIC: &[u8] = b"\xff Go buildinf:";
/// Strings stand behind the header, each after its length.
const INLINE: u8 = 2;
const HEADER: usize = 32;

/// Adds the modules of an executable, from its `.go.buildinfo`.
///
/// `None` where there is nothing, or the form of Go before 1.18, which points into memory.
pub(super) fn parse(section: &[u8], found_in: &str, found: &mut Found) -> Option<()> {
    let rest = section.strip_prefix(MAGIC)?;
    let flags = *rest.get(1)?;
    if flags & INLINE == 0 {
        return None;
    }
    let mut rest = section.get(HEADER..)?;
    let version = string(&mut rest)?;
    let modules = string(&mut rest)?;
    let toolchain = version.split(' ').next().unwrap_or_default();
    if let Some(number) = toolchain.strip_prefix("go") {
        found.add(Package::new(Ecosystem::Golang, "stdlib", number, found_in));
    }
    let module =
        |name: &str, version: &str| Some(Package::new(Ecosystem::Golang, name, version, found_in));
    let mut last = None;
    for line in modules.lines() {
        let mut words = line.split('\t');
        match (words.next(), words.next(), words.next()) {
            (Some("mod" | "dep"), Some(name), Some(version)) => {
                last.take().into_iter().for_each(|package| found.add(package));
                last = module(name, version);
            }
            // The line before was replaced by this one.
            (Some("=>"), Some(name), Some(version)) => last = module(name, version),
            _ => {}
        }
    }
    last.into_iter().for_each(|package| found.add(package));
    Some(())
}

/// A string after its length (LEB128).
fn string(rest: &mut &[u8]) -> Option<String> {
    let (mut length, mut shift) = (0_u64, 0);
    loop {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        length |= u64::from(byte & 0x7f).checked_shl(shift)?;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
        if shift > 56 {
            return None;
        }
    }
    let length = usize::try_from(length).ok()?;
    let text = rest.get(..length)?;
    *rest = &rest[length..];
    // The list of modules stands between two marks of 16 bytes.
    let text = match text.len() > 33 && text[text.len() - 17] == b'\n' {
        true => &text[16..text.len() - 16],
        false => text,
    };
    Some(String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn modules_of_an_executable() {
        let mut section = MAGIC.to_vec();
        section.extend([8, INLINE]);
        section.resize(HEADER, 0);
        let modules = "0123456789abcdefpath\tcmd/x\nmod\texample.com/x\t(devel)\t\ndep\ta.b/c\tv1.0.0\th1:\n\
                       dep\told\tv1\n=>\tnew\tv2\th1:\nbuild\tCGO_ENABLED=0\n0123456789abcdef";
        for text in ["go1.22.1", modules] {
            let length = text.len();
            if length < 128 {
                section.push(length as u8);
            } else {
                section.extend([(length & 0x7f) as u8 | 0x80, (length >> 7) as u8]);
            }
            section.extend(text.as_bytes());
        }
        let mut found = Found::default();
        parse(&section, "/bin/x", &mut found).unwrap();
        let found = found.into_packages();
        let names: Vec<String> =
            found.iter().map(|p| format!("{}@{}", p.name, p.version)).collect();
        assert_eq!(names, ["a.b/c@v1.0.0", "example.com/x@(devel)", "new@v2", "stdlib@1.22.1"]);
        for cut in 0..section.len() - 1 {
            assert!(parse(&section[..cut], "/", &mut Found::default()).is_none());
        }
    }
}
