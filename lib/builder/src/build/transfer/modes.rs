//! `--chmod`, applied to a file's own mode.

use crate::build::graph::Chmod;

/// The mode of something that has `mode` now.
pub(super) fn changed(chmod: &Chmod, mode: u32, is_directory: bool) -> u32 {
    match chmod {
        Chmod::Octal(mode) => *mode,
        Chmod::Symbolic(text) => {
            text.split(',').fold(mode, |mode, clause| apply(clause, mode, is_directory))
        }
    }
}

fn apply(clause: &str, mut mode: u32, is_directory: bool) -> u32 {
    let at = clause.find(['+', '-', '=']).unwrap_or(clause.len());
    let (who, mut actions) = clause.split_at(at);
    let all = who.is_empty() || who.contains('a');
    let has = |letter: char| all || who.contains(letter);
    // The places of the nine bits that are meant.
    let mut mask = 0;
    for (letter, bits) in [('u', 0o700), ('g', 0o070), ('o', 0o007)] {
        mask |= if has(letter) { bits } else { 0 };
    }
    while let Some(operator) = actions.chars().next() {
        let rest = &actions[1..];
        let end = rest.find(['+', '-', '=']).unwrap_or(rest.len());
        let (letters, next) = rest.split_at(end);
        actions = next;
        let mut bits = 0;
        for letter in letters.chars() {
            bits |= match letter {
                'r' => 0o444 & mask,
                'w' => 0o222 & mask,
                'x' => 0o111 & mask,
                'X' if is_directory || mode & 0o111 != 0 => 0o111 & mask,
                's' => (if has('u') { 0o4000 } else { 0 }) | (if has('g') { 0o2000 } else { 0 }),
                't' => 0o1000,
                'u' => spread(mode >> 6) & mask,
                'g' => spread(mode >> 3) & mask,
                'o' => spread(mode) & mask,
                _ => 0,
            };
        }
        let special = (if has('u') { 0o4000 } else { 0 })
            | (if has('g') { 0o2000 } else { 0 })
            | (if all { 0o1000 } else { 0 });
        mode = match operator {
            '+' => mode | bits,
            '-' => mode & !bits,
            // Of directories the special bits stay, as with the program.
            _ if is_directory => mode & !mask | bits,
            _ => mode & !(mask | special) | bits,
        };
    }
    mode
}

/// Three bits in all three places.
fn spread(bits: u32) -> u32 {
    (bits & 7) * 0o111
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_program_does() {
        for (text, mode, directory, expected) in [
            ("u=rwX,go=rX", 0o600, false, 0o644),
            ("u=rwX,go=rX", 0o700, false, 0o755),
            ("u=rwX,go=rX", 0o600, true, 0o755),
            ("+x", 0o644, false, 0o755),
            ("a-w", 0o666, false, 0o444),
            ("g=u", 0o640, false, 0o660),
            ("u+s,+t", 0o755, false, 0o5755),
            ("go=", 0o777, false, 0o700),
            ("u+x-w", 0o600, false, 0o500),
            ("a=r", 0o4755, false, 0o444),
        ] {
            let chmod = Chmod::Symbolic(text.to_owned());
            assert_eq!(changed(&chmod, mode, directory), expected, "{text} on {mode:o}");
        }
        assert_eq!(changed(&Chmod::Octal(0o601), 0o755, true), 0o601);
    }
}
