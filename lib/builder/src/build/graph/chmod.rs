//! `--chmod`: octal, or symbolic as the `chmod` program takes it.

/// A change of permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chmod {
    /// These bits.
    Octal(u32),
    /// `u=rwX,go-w`: applied to each file's own.
    Symbolic(String),
}

impl Chmod {
    /// Reads a value; the error is the text of a diagnostic.
    pub fn parse(text: &str) -> Result<Chmod, String> {
        let octal = !text.is_empty() && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
        if let Some(mode) = u32::from_str_radix(text, 8).ok().filter(|m| octal && *m <= 0o7777) {
            return Ok(Chmod::Octal(mode));
        }
        if !octal && !text.is_empty() && text.split(',').all(is_clause) {
            return Ok(Chmod::Symbolic(text.to_owned()));
        }
        Err(format!(
            "invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777"
        ))
    }
}

/// `[ugoa]*([+-=]([rwxXst]*|[ugo]))+`.
fn is_clause(clause: &str) -> bool {
    let mut rest = clause.trim_start_matches(['u', 'g', 'o', 'a']);
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let Some(after) = rest.strip_prefix(['+', '-', '=']) else { return false };
        rest = match after.strip_prefix(['u', 'g', 'o']) {
            Some(copied) => copied,
            None => after.trim_start_matches(['r', 'w', 'x', 'X', 's', 't']),
        };
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes() {
        for (text, mode) in [("755", 0o755), ("0", 0), ("07777", 0o7777), ("0000644", 0o644)] {
            assert_eq!(Chmod::parse(text), Ok(Chmod::Octal(mode)));
        }
        for text in ["u=rwX,go=rX", "+x", "a-w", "u+x-w", "g=u", "u=", "ug+s,+t"] {
            assert_eq!(Chmod::parse(text), Ok(Chmod::Symbolic(text.to_owned())), "{text}");
        }
        for text in ["9999", "10000", "", "x", "u", "u=rwz", "755,u+x", "u+x,", "0o755", "-755"] {
            let error = Chmod::parse(text).err().unwrap_or_default();
            assert!(error.starts_with(&format!("invalid chmod parameter: '{text}'")), "{text}");
        }
    }
}
