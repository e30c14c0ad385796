//! Names with wildcards, as Go's `filepath.Match` reads them, one component at a time.

/// Whether a pattern without `/` fits a whole name. A malformed pattern fits nothing.
pub(super) fn fits(pattern: &str, name: &[u8]) -> bool {
    let name: Vec<u32> = units(name);
    let Some(tokens) = parse(pattern) else { return false };
    // Where the pattern may go on, and from where it may start again after a star.
    let (mut t, mut n) = (0, 0);
    let mut again: Option<(usize, usize)> = None;
    loop {
        let more = match tokens.get(t) {
            Some(Token::Star) => {
                again = Some((t, n));
                t += 1;
                continue;
            }
            Some(token) => name.get(n).is_some_and(|unit| token.takes(*unit)),
            None if n == name.len() => return true,
            None => false,
        };
        if more {
            (t, n) = (t + 1, n + 1);
            continue;
        }
        match again {
            Some((star, start)) if start < name.len() => {
                again = Some((star, start + 1));
                (t, n) = (star + 1, start + 1);
            }
            _ => return false,
        }
    }
}

/// Whether a pattern means anything.
pub(super) fn is_well_formed(pattern: &str) -> bool {
    parse(pattern).is_some()
}

/// A component without wildcards, its escapes taken away.
pub(super) fn plain(component: &str) -> Option<Vec<u8>> {
    let mut out = String::new();
    for token in parse(component)? {
        match token {
            Token::One(unit) => out.push(char::from_u32(unit)?),
            // `[[]` is the usual way to write a bracket.
            Token::Class { negated: false, ranges } => match ranges.as_slice() {
                [(low, high)] if low == high => out.push(char::from_u32(*low)?),
                _ => return None,
            },
            _ => return None,
        }
    }
    Some(out.into_bytes())
}

enum Token {
    One(u32),
    Any,
    Star,
    Class { negated: bool, ranges: Vec<(u32, u32)> },
}

impl Token {
    fn takes(&self, unit: u32) -> bool {
        match self {
            Token::One(wanted) => *wanted == unit,
            Token::Any => true,
            Token::Star => false,
            Token::Class { negated, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&unit)) != *negated
            }
        }
    }
}

fn parse(pattern: &str) -> Option<Vec<Token>> {
    let mut chars = pattern.chars().peekable();
    let mut out = Vec::new();
    while let Some(c) = chars.next() {
        out.push(match c {
            '*' => Token::Star,
            '?' => Token::Any,
            '\\' => Token::One(chars.next()?.into()),
            '[' => {
                let negated = chars.next_if_eq(&'^').is_some();
                let mut ranges = Vec::new();
                while ranges.is_empty() || chars.next_if_eq(&']').is_none() {
                    let low = bound(&mut chars)?;
                    let high = match chars.next_if_eq(&'-') {
                        Some(_) => bound(&mut chars)?,
                        None => low,
                    };
                    ranges.push((low, high));
                }
                Token::Class { negated, ranges }
            }
            c => Token::One(c.into()),
        });
    }
    Some(out)
}

fn bound(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<u32> {
    match chars.next()? {
        '-' | ']' => None,
        '\\' => chars.next().map(u32::from),
        c => Some(c.into()),
    }
}

fn units(bytes: &[u8]) -> Vec<u32> {
    let mut out = Vec::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.extend(chunk.valid().chars().map(u32::from));
        out.extend(chunk.invalid().iter().map(|b| 0x11_0000 + u32::from(*b)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("*", "anything", true),
            ("*.txt", "a.txt", true),
            ("*.txt", "a.txt.gz", false),
            ("**.t*t", "a.b.txt", true),
            ("a?c", "abc", true),
            ("a?c", "a\u{e9}c", true),
            ("a?c", "ac", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[^a-c]x", "dx", true),
            ("arr[[]0].txt", "arr[0].txt", true),
            (r"\*", "*", true),
            (r"\*", "a", false),
            ("[", "[", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
        ] {
            assert_eq!(fits(pattern, name.as_bytes()), expected, "{pattern} {name}");
        }
        assert!(fits("a?", b"a\xff") && !fits("a\u{fffd}", b"a\xff"));
        let hard = format!("{}b", "a*".repeat(40));
        assert!(!fits(&hard, &[b'a'; 200]));
        assert_eq!(plain(r"a\*[[]").as_deref(), Some(&b"a*["[..]));
        assert_eq!(plain("a*"), None);
    }
}
