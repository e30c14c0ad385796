//! Emulators that the kernel starts for programs of other machines (binfmt_misc).

use std::fs;
use std::path::Path;

use super::host::read_text;

/// Whether the host has an emulator or interpreter registered (binfmt_misc) for programs that
/// begin with `header`.
pub fn runs_foreign(header: &[u8]) -> bool {
    runs_foreign_at(Path::new("/proc/sys/fs/binfmt_misc"), header)
}

fn runs_foreign_at(directory: &Path, header: &[u8]) -> bool {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| read_text(&entry.path()).ok()).any(|text| takes(&text, header))
}

/// Whether one registration, as the kernel shows it, is on and fits.
fn takes(text: &str, header: &[u8]) -> bool {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let bytes = |name: &str| {
        let digits = field(name)?;
        let pair = |at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
        (0..digits.len()).step_by(2).map(pair).collect::<Option<Vec<u8>>>()
    };
    let Some(magic) = bytes("magic ") else { return false };
    let mask = bytes("mask ").unwrap_or_else(|| vec![0xff; magic.len()]);
    let offset = field("offset ").and_then(|digits| digits.parse().ok()).unwrap_or(0);
    let fits = |part: &[u8]| {
        part.iter().zip(&mask).zip(&magic).all(|((byte, mask), magic)| byte & mask == magic & mask)
    };
    text.starts_with("enabled")
        && magic.len() == mask.len()
        && header.get(offset..offset + magic.len()).is_some_and(fits)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn registered_emulators() {
        let place = tempfile::tempdir().unwrap();
        let register = |text: &str| fs::write(place.path().join("x"), text).unwrap();
        let fits = |header: &[u8]| runs_foreign_at(place.path(), header);
        register("enabled\ninterpreter /q\nflags: F\noffset 1\nmagic 454c\nmask fff0\n");
        assert!(fits(b"\x7fEL") && fits(b"\x7fEA") && !fits(b"\x7fEX") && !fits(b"\x7fE"));
        register("disabled\noffset 0\nmagic 7f\n");
        assert!(!fits(b"\x7fELF"));
        register("enabled\nextension .exe\n");
        assert!(!fits(b"\x7fELF"));
    }
}
