//! Version ranges as skopeo's `images-by-semver` takes them.
//!
//! Alternatives are separated by `||`, conditions of one by commas or spaces; all conditions of an
//! alternative must hold. Operators: `=`, `!=`, `>`, `>=`, `<`, `<=`, `~`, `^`; `x` and `*` stand
//! for any number. A leading `v` of a tag does not count; pre-releases only match a condition
//! that names one.

use std::cmp::Ordering;

use crate::error::{Error, Result};

/// A range of versions.
pub struct Range(Vec<Vec<Condition>>);

struct Condition {
    operator: Operator,
    /// The numbers given; a missing one stands for any.
    numbers: Vec<u64>,
    pre: Option<String>,
}

#[derive(Clone, Copy, PartialEq)]
enum Operator {
    Equal,
    Unequal,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
    Tilde,
    Caret,
}

struct Version {
    numbers: [u64; 3],
    pre: Option<String>,
}

impl Range {
    /// Reads a range.
    pub fn parse(text: &str) -> Result<Range> {
        let bad = || Error::usage(format!("{text:?} is not a version range (as \">= 1.2, < 2\")"));
        let alternative = |part: &str| -> Option<Vec<Condition>> {
            // An operator and its version may stand apart.
            let spaced = ["> =", "< ="]
                .iter()
                .fold(part.to_owned(), |s, op| s.replace(op, &op.replace(' ', "")));
            let mut joined = String::new();
            for word in spaced.split([' ', ',']).filter(|word| !word.is_empty()) {
                joined.push_str(word);
                joined.push(if word.ends_with(['=', '<', '>', '~', '^', '!']) {
                    '\u{0}'
                } else {
                    ','
                });
            }
            joined
                .replace('\u{0}', "")
                .split(',')
                .filter(|c| !c.is_empty())
                .map(Condition::parse)
                .collect()
        };
        let all: Option<Vec<_>> = text.split("||").map(alternative).collect();
        all.filter(|all| all.iter().all(|conditions| !conditions.is_empty()))
            .map(Range)
            .ok_or_else(bad)
    }

    /// Whether `tag` is a version in the range.
    pub fn contains(&self, tag: &str) -> bool {
        let Some(version) = Version::parse(tag) else { return false };
        self.0.iter().any(|conditions| conditions.iter().all(|condition| condition.holds(&version)))
    }
}

impl Condition {
    fn parse(text: &str) -> Option<Condition> {
        const OPERATORS: [(&str, Operator); 10] = [
            (">=", Operator::GreaterEqual),
            ("=>", Operator::GreaterEqual),
            ("<=", Operator::LessEqual),
            ("=<", Operator::LessEqual),
            ("!=", Operator::Unequal),
            ("=", Operator::Equal),
            (">", Operator::Greater),
            ("<", Operator::Less),
            ("~", Operator::Tilde),
            ("^", Operator::Caret),
        ];
        let (operator, rest) = OPERATORS
            .iter()
            .find_map(|(sign, operator)| Some((*operator, text.strip_prefix(sign)?)))
            .unwrap_or((Operator::Equal, text));
        let rest = rest.trim().trim_start_matches('v');
        let (numbers, pre) = match rest.split_once('-') {
            Some((numbers, pre)) => (numbers, Some(pre.to_owned())),
            None => (rest, None),
        };
        let mut given = Vec::new();
        for number in numbers.split('.') {
            match number {
                "x" | "X" | "*" => break,
                number => given.push(number.parse().ok()?),
            }
        }
        (given.len() <= 3).then_some(Condition { operator, numbers: given, pre })
    }

    fn holds(&self, version: &Version) -> bool {
        if version.pre.is_some() && self.pre.is_none() {
            return false;
        }
        let given = self.numbers.len();
        let prefix = |count: usize| {
            self.numbers.iter().zip(version.numbers).take(count).all(|(a, b)| *a == b)
        };
        let order = version.compare(&self.floor());
        match self.operator {
            Operator::Equal => prefix(given) && (given < 3 || version.pre == self.pre),
            Operator::Unequal => !(prefix(given) && version.pre == self.pre),
            // `> 1.2` means beyond every 1.2.x.
            Operator::Greater => order == Ordering::Greater && !(given < 3 && prefix(given)),
            Operator::GreaterEqual => order != Ordering::Less,
            Operator::Less => order == Ordering::Less,
            Operator::LessEqual => order != Ordering::Greater || (given < 3 && prefix(given)),
            Operator::Tilde => order != Ordering::Less && prefix(given.min(2)),
            Operator::Caret => order != Ordering::Less && prefix(self.caret_width()),
        }
    }

    /// How many leading numbers `^` holds fixed: up to the first that is not zero.
    fn caret_width(&self) -> usize {
        let first = self.numbers.iter().position(|number| *number > 0);
        first.map_or(self.numbers.len(), |position| position + 1)
    }

    fn floor(&self) -> Version {
        let at = |position: usize| self.numbers.get(position).copied().unwrap_or(0);
        Version { numbers: [at(0), at(1), at(2)], pre: self.pre.clone() }
    }
}

impl Version {
    /// `v1.2.3-pre+build`; missing numbers are zero.
    fn parse(tag: &str) -> Option<Version> {
        let text = tag.strip_prefix('v').unwrap_or(tag);
        let text = text.split('+').next()?;
        let (numbers, pre) = match text.split_once('-') {
            Some((numbers, pre)) => (numbers, Some(pre.to_owned())),
            None => (text, None),
        };
        let mut out = [0; 3];
        for (position, number) in numbers.split('.').enumerate() {
            *out.get_mut(position)? = number.parse().ok()?;
        }
        Some(Version { numbers: out, pre })
    }

    fn compare(&self, other: &Version) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| match (&self.pre, &other.pre) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(a), Some(b)) => compare_pre(a, b),
        })
    }
}

/// Semantic versioning §11: numbers by value and below words, more fields above fewer.
fn compare_pre(a: &str, b: &str) -> Ordering {
    let mut left = a.split('.');
    let mut right = b.split('.');
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) => match (a.parse::<u64>(), b.parse::<u64>()) {
                (Ok(a), Ok(b)) => a.cmp(&b),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => a.cmp(b),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (range, inside, outside) in [
            (
                ">= 1.2, < 2",
                &["1.2", "v1.2.0", "1.9.9"][..],
                &["1.1.9", "2.0.0", "1.5.0-rc1", "latest"][..],
            ),
            (">=1.2 <2", &["1.3"], &["2.1"]),
            ("^1.2.3", &["1.2.3", "1.9.0"], &["1.2.2", "2.0.0"]),
            ("^0.2.3", &["0.2.4"], &["0.3.0"]),
            ("~1.2", &["1.2.0", "1.2.9"], &["1.3.0"]),
            ("1.x || 3.1", &["1.0", "1.99.1", "3.1.4"], &["2.0", "3.2"]),
            ("!= 1.2.3", &["1.2.4"], &["1.2.3"]),
            ("> 1.2", &["1.3.0"], &["1.2.9", "1.2.0"]),
            ("<= 1.2", &["1.2.9", "1.1"], &["1.3"]),
            (
                ">= 1.0.0-beta.2",
                &["1.0.0-beta.11", "1.0.0", "1.0.0-rc"],
                &["1.0.0-beta.1", "1.0.0-alpha"],
            ),
            ("*", &["0.1", "9"], &["a", "1.2.3.4"]),
        ] {
            let parsed = Range::parse(range).unwrap();
            for tag in inside {
                assert!(parsed.contains(tag), "{range} should hold {tag}");
            }
            for tag in outside {
                assert!(!parsed.contains(tag), "{range} should not hold {tag}");
            }
        }
        for bad in ["", "abc", ">= ", "1.2.3.4", "1 || "] {
            assert!(Range::parse(bad).is_err(), "{bad:?}");
        }
    }
}
