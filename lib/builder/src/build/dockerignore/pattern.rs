//! One pattern, matched by following all its possible readings at once.

/// A character of a name, or a byte that is part of none.
type Unit = u32;

const SLASH: Unit = b'/' as Unit;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// This character.
    Literal(Unit),
    /// `?`: any but `/`.
    One,
    /// `*`: any number of any but `/`.
    Star,
    /// `**` in front of something: nothing, or anything that ends in `/`.
    Depth,
    /// `**` at the end, or in front of plain text: anything.
    All,
    /// `[…]`.
    Class { negated: bool, ranges: Vec<(Unit, Unit)> },
}

/// A pattern ready to be matched.
#[derive(Clone, Debug, Default)]
pub(super) struct Matcher {
    /// The characters before the first token that is none.
    prefix: Vec<Unit>,
    tokens: Vec<Token>,
}

fn units(bytes: &[u8]) -> Vec<Unit> {
    let mut out = Vec::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.extend(chunk.valid().chars().map(Unit::from));
        // Beyond all characters, so that a stray byte only equals itself.
        out.extend(chunk.invalid().iter().map(|b| 0x11_0000 + Unit::from(*b)));
    }
    out
}

impl Matcher {
    /// Reads a pattern; `None` where a class or an escape is malformed.
    pub(super) fn parse(text: &str) -> Option<Matcher> {
        let mut tokens = Vec::new();
        let mut chars = text.chars().peekable();
        // Leading stars in front of plain text need no `/` behind them: `**foo` fits `a/xfoo`.
        let plain = |rest: &str| !rest.contains(['*', '?', '\\', '[', ']']);
        if let Some(rest) =
            text.strip_prefix("**").filter(|rest| !rest.starts_with('/') && plain(rest))
        {
            tokens.push(Token::All);
            chars = rest.chars().peekable();
        }
        while let Some(c) = chars.next() {
            tokens.push(match c {
                '*' if chars.next_if_eq(&'*').is_some() => {
                    chars.next_if_eq(&'/');
                    if chars.peek().is_none() { Token::All } else { Token::Depth }
                }
                '*' => Token::Star,
                '?' => Token::One,
                '\\' => Token::Literal(chars.next()?.into()),
                '[' => class(&mut chars)?,
                c => Token::Literal(c.into()),
            });
        }
        // Depths in a row say no more than one.
        tokens.dedup_by(|b, a| {
            matches!((a, b), (Token::Depth, Token::Depth) | (Token::Star, Token::Star))
        });
        let literal = |token: &Token| match token {
            Token::Literal(unit) => Some(*unit),
            _ => None,
        };
        let prefix: Vec<Unit> = tokens.iter().map_while(literal).collect();
        let tokens = tokens.split_off(prefix.len());
        Some(Matcher { prefix, tokens })
    }

    /// Whether the whole path matches.
    pub(super) fn matches(&self, path: &[u8]) -> bool {
        let path = units(path);
        let Some(rest) = path.strip_prefix(self.prefix.as_slice()) else { return false };
        let mut states = States::new(&self.tokens);
        rest.iter().all(|unit| states.feed(*unit)) && states.at_end()
    }

    /// Whether anything below a directory could match.
    pub(super) fn may_match_below(&self, directory: &[u8]) -> bool {
        let mut path = units(directory);
        path.push(SLASH);
        if path.len() <= self.prefix.len() {
            return self.prefix.starts_with(&path);
        }
        let Some(rest) = path.strip_prefix(self.prefix.as_slice()) else { return false };
        let mut states = States::new(&self.tokens);
        rest.iter().all(|unit| states.feed(*unit))
    }
}

/// What stands between `[` and `]`, both `^` and ranges allowed.
fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Token> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty() && chars.next_if_eq(&']').is_some() {
            return Some(Token::Class { negated, ranges });
        }
        let low = class_character(chars)?;
        let high = match chars.next_if_eq(&'-') {
            Some(_) => class_character(chars)?,
            None => low,
        };
        if low > high {
            return None;
        }
        ranges.push((low, high));
    }
}

fn class_character(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Unit> {
    match chars.next()? {
        '-' | ']' => None,
        '\\' => chars.next().map(Unit::from),
        c => Some(c.into()),
    }
}

/// The places in the tokens that the text so far may have reached, each once: a character costs at
/// most as many steps as there are places.
struct States<'a> {
    tokens: &'a [Token],
    now: Vec<Place>,
    next: Vec<Place>,
    /// For each token, the last turn in which the places before and inside it were entered.
    entered: Vec<usize>,
    inside: Vec<usize>,
    turn: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Before(usize),
    /// In the text that a `Depth` takes.
    Inside(usize),
}

impl<'a> States<'a> {
    fn new(tokens: &'a [Token]) -> States<'a> {
        let entered = vec![0; tokens.len() + 1];
        let inside = entered.clone();
        let (now, next) = (Vec::new(), Vec::new());
        let mut states = States { tokens, now, next, entered, inside, turn: 1 };
        states.enter(0);
        std::mem::swap(&mut states.now, &mut states.next);
        states
    }

    /// Adds the place before token `i` and those reachable from it without any text.
    fn enter(&mut self, mut i: usize) {
        while self.entered[i] != self.turn {
            self.entered[i] = self.turn;
            self.next.push(Place::Before(i));
            match self.tokens.get(i) {
                Some(Token::Depth) => self.stay(i),
                Some(Token::Star | Token::All) => {}
                _ => return,
            }
            i += 1;
        }
    }

    fn stay(&mut self, i: usize) {
        if self.inside[i] != self.turn {
            self.inside[i] = self.turn;
            self.next.push(Place::Inside(i));
        }
    }

    /// Goes on by one character; false when nothing can match any more.
    fn feed(&mut self, unit: Unit) -> bool {
        self.turn += 1;
        self.next.clear();
        let now = std::mem::take(&mut self.now);
        for place in &now {
            match *place {
                Place::Inside(i) => {
                    self.stay(i);
                    if unit == SLASH {
                        self.enter(i + 1);
                    }
                }
                Place::Before(i) => self.pass(i, unit),
            }
        }
        self.now = now;
        std::mem::swap(&mut self.now, &mut self.next);
        !self.now.is_empty()
    }

    /// From before token `i` over one character.
    fn pass(&mut self, i: usize, unit: Unit) {
        let Some(token) = self.tokens.get(i) else { return };
        match token {
            Token::Depth => {}
            Token::All => self.enter(i),
            Token::Star if unit != SLASH => self.enter(i),
            Token::One if unit != SLASH => self.enter(i + 1),
            Token::Star | Token::One => {}
            Token::Literal(wanted) if *wanted == unit => self.enter(i + 1),
            Token::Literal(_) => {}
            Token::Class { negated, ranges } => {
                let inside = ranges.iter().any(|(low, high)| (*low..=*high).contains(&unit));
                if inside != *negated {
                    self.enter(i + 1);
                }
            }
        }
    }

    fn at_end(&self) -> bool {
        self.entered[self.tokens.len()] == self.turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The most places at a time for a pattern, over a path.
    #[test]
    fn a_character_costs_at_most_a_step_per_place() {
        for text in ["**/*".repeat(500), "a*".repeat(500), "*?".repeat(500), "**/a/".repeat(200)] {
            let matcher = Matcher::parse(&(text + "b")).unwrap_or_default();
            assert!(!matcher.tokens.is_empty());
            let mut states = States::new(&matcher.tokens);
            for unit in units("a/aa/".repeat(200).as_bytes()) {
                if !states.feed(unit) {
                    break;
                }
                assert!(states.now.len() <= 2 * matcher.tokens.len() + 1);
            }
        }
    }
}
