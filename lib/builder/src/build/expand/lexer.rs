//! Quotes, escapes and substitutions.

use std::collections::HashSet;

use super::budget::Budget;
use super::scope::Variables;
use super::{ExpandError, pattern};

/// Substitutions may nest this deep.
pub const MAX_DEPTH: usize = 100;

/// An expanded word is at most this long (bytes), or twice as long as it is written.
pub const MAX_WORD: usize = 1 << 20;

/// How to read a word.
#[derive(Clone, Copy, Debug)]
pub struct Lexer {
    /// The escape character: a backslash or a backtick.
    pub escape: char,
    /// Leave quotes in the result.
    pub keep_quotes: bool,
    /// Leave escapes in the result.
    pub keep_escapes: bool,
    /// Quotes are characters like others (bodies of here-documents).
    pub plain_quotes: bool,
    /// Leave substitutions of unset variables as they are written.
    pub keep_unset: bool,
}

/// What became of a word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expansion {
    /// The text.
    pub text: String,
    /// The text split at blanks that are neither quoted nor escaped.
    pub words: Vec<String>,
    /// Variables that had a value, in the order of first use.
    pub used: Vec<String>,
    /// Variables that had none, in the order of first use.
    pub unset: Vec<String>,
}

impl Lexer {
    /// Reads words as instructions do.
    pub fn new(escape: char) -> Lexer {
        Lexer {
            escape,
            keep_quotes: false,
            keep_escapes: false,
            plain_quotes: false,
            keep_unset: false,
        }
    }

    /// Expands `word`.
    pub fn expand(
        &self,
        word: &str,
        variables: &dyn Variables,
        budget: &mut Budget,
    ) -> Result<Expansion, ExpandError> {
        // Most words hold nothing special.
        budget.pay(word.len())?;
        let mut run = Run {
            lexer: self,
            chars: word.chars().collect(),
            at: 0,
            depth: 0,
            raw: self.keep_escapes,
            variables,
            budget,
            used: Seen::default(),
            unset: Seen::default(),
        };
        let (text, words) = run.until(None)?;
        Ok(Expansion { text, words, used: run.used.list, unset: run.unset.list })
    }
}

/// Names, each once.
#[derive(Default)]
struct Seen {
    list: Vec<String>,
    set: HashSet<String>,
}

impl Seen {
    fn add(&mut self, name: &str) {
        if self.set.insert(name.to_owned()) {
            self.list.push(name.to_owned());
        }
    }
}

/// Words being collected.
#[derive(Default)]
struct Words {
    current: String,
    done: Vec<String>,
}

impl Words {
    fn push_split(&mut self, text: &str) {
        for c in text.chars() {
            if !c.is_whitespace() {
                self.current.push(c);
            } else if !self.current.is_empty() {
                self.done.push(std::mem::take(&mut self.current));
            }
        }
    }

    fn finish(mut self) -> Vec<String> {
        if !self.current.is_empty() {
            self.done.push(self.current);
        }
        self.done
    }
}

struct Run<'a> {
    lexer: &'a Lexer,
    chars: Vec<char>,
    at: usize,
    depth: usize,
    /// Whether escapes stay in the text: differs inside patterns.
    raw: bool,
    variables: &'a dyn Variables,
    budget: &'a mut Budget,
    used: Seen,
    unset: Seen,
}

impl Run<'_> {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        Some(c)
    }

    /// Everything up to `stop` (which is eaten), or to the end.
    fn until(&mut self, stop: Option<char>) -> Result<(String, Vec<String>), ExpandError> {
        let mut text = String::new();
        let mut words = Words::default();
        while let Some(c) = self.peek() {
            if Some(c) == stop {
                self.at += 1;
                return Ok((text, words.finish()));
            }
            match c {
                '$' => {
                    let value = self.dollar()?;
                    text.push_str(&value);
                    words.push_split(&value);
                }
                '\'' if !self.lexer.plain_quotes => {
                    self.raw_piece(&mut text, &mut words, Self::single)?
                }
                '"' if !self.lexer.plain_quotes => {
                    self.raw_piece(&mut text, &mut words, Self::double)?
                }
                '<' => self.raw_piece(&mut text, &mut words, Self::less)?,
                _ => self.plain(&mut text, &mut words),
            }
            if text.len() > MAX_WORD.max(2 * self.chars.len()) {
                return Err(too_long());
            }
        }
        match stop {
            None => Ok((text, words.finish())),
            Some(c) => Err(ExpandError::new(format!("syntax error: missing '{c}'"))),
        }
    }

    fn raw_piece(
        &mut self,
        text: &mut String,
        words: &mut Words,
        read: fn(&mut Self) -> Result<String, ExpandError>,
    ) -> Result<(), ExpandError> {
        let piece = read(self)?;
        text.push_str(&piece);
        words.current.push_str(&piece);
        Ok(())
    }

    /// An ordinary character, or an escape and the character it protects.
    fn plain(&mut self, text: &mut String, words: &mut Words) {
        let Some(c) = self.next() else { return };
        if c != self.lexer.escape {
            text.push(c);
            words.push_split(c.encode_utf8(&mut [0; 4]));
            return;
        }
        if self.raw {
            text.push(c);
            words.current.push(c);
        }
        if let Some(protected) = self.next() {
            text.push(protected);
            words.current.push(protected);
        }
    }

    /// `'…'`: nothing is special inside.
    fn single(&mut self) -> Result<String, ExpandError> {
        let keep = self.lexer.keep_quotes;
        let mut out = String::new();
        out.extend(self.next().filter(|_| keep));
        loop {
            match self.next() {
                None => {
                    return Err(ExpandError::new(
                        "unexpected end of statement while looking for matching single-quote",
                    ));
                }
                Some('\'') => {
                    if keep {
                        out.push('\'');
                    }
                    return Ok(out);
                }
                Some(c) => out.push(c),
            }
        }
    }

    /// `"…"`: variables count, and the escape character before `"`, `$` and itself.
    fn double(&mut self) -> Result<String, ExpandError> {
        let keep = self.lexer.keep_quotes;
        let mut out = String::new();
        out.extend(self.next().filter(|_| keep));
        while let Some(c) = self.peek() {
            match c {
                '"' => {
                    self.at += 1;
                    if keep {
                        out.push('"');
                    }
                    return Ok(out);
                }
                '$' => out.push_str(&self.dollar()?),
                _ => {
                    self.at += 1;
                    if c != self.lexer.escape {
                        out.push(c);
                        continue;
                    }
                    if self.raw {
                        out.push(c);
                    }
                    match self.peek() {
                        None => {}
                        Some(next) if next == '"' || next == '$' || next == self.lexer.escape => {
                            self.at += 1;
                            out.push(next);
                        }
                        Some(_) => out.push(c),
                    }
                }
            }
        }
        Err(ExpandError::new("unexpected end of statement while looking for matching double-quote"))
    }

    /// `<`, or `<<` with the blanks behind it: they belong to the marker of a here-document.
    fn less(&mut self) -> Result<String, ExpandError> {
        let start = self.at;
        self.at += 1;
        if self.peek() == Some('<') {
            self.at += 1;
            while matches!(self.peek(), Some('\t' | '\r' | ' ')) {
                self.at += 1;
            }
        }
        Ok(self.chars[start..self.at].iter().collect())
    }

    fn dollar(&mut self) -> Result<String, ExpandError> {
        self.at += 1;
        if self.peek() != Some('{') {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".to_owned());
            }
            let value = self.value(&name)?;
            return Ok(match value {
                None if self.lexer.keep_unset => format!("${name}"),
                value => value.unwrap_or_default(),
            });
        }
        self.at += 1;
        if self.depth >= MAX_DEPTH {
            return Err(ExpandError::new(format!(
                "substitutions are nested more than {MAX_DEPTH} deep"
            )));
        }
        self.depth += 1;
        let value = self.braces();
        self.depth -= 1;
        value
    }

    /// What follows `${`.
    fn braces(&mut self) -> Result<String, ExpandError> {
        match self.peek() {
            None => return Err(missing_brace()),
            Some('{' | '}' | ':') => {
                return Err(ExpandError::new("syntax error: bad substitution"));
            }
            Some(_) => {}
        }
        let name = self.name();
        let Some(modifier) = self.next() else { return Err(missing_brace()) };
        match modifier {
            '}' => {
                let value = self.value(&name)?;
                Ok(match value {
                    None if self.lexer.keep_unset => format!("${{{name}}}"),
                    value => value.unwrap_or_default(),
                })
            }
            ':' => {
                let Some(modifier) = self.next() else { return Err(missing_brace()) };
                match modifier {
                    '-' | '+' | '?' => self.alternative(&name, modifier, true),
                    other => Err(unsupported(&format!(":{other}"))),
                }
            }
            '-' | '+' | '?' => self.alternative(&name, modifier, false),
            '#' | '%' => self.trim(&name, modifier),
            '/' => self.replace(&name),
            other => Err(unsupported(&other.to_string())),
        }
    }

    /// `${name-word}` and its relatives; with `null` an empty value counts as none.
    fn alternative(
        &mut self,
        name: &str,
        modifier: char,
        null: bool,
    ) -> Result<String, ExpandError> {
        let word = self.argument('}', false)?;
        let value = self.value(name)?;
        if value.is_none() && self.lexer.keep_unset {
            let colon = if null { ":" } else { "" };
            return Ok(format!("${{{name}{colon}{modifier}{word}}}"));
        }
        let present = value.as_ref().is_some_and(|value| !null || !value.is_empty());
        match modifier {
            '-' if present => Ok(value.unwrap_or_default()),
            '-' => Ok(word),
            '+' if present => Ok(word),
            '+' => Ok(String::new()),
            _ if present => Ok(value.unwrap_or_default()),
            _ if !word.is_empty() => Err(ExpandError::new(format!("{name}: {word}"))),
            _ if value.is_none() => {
                Err(ExpandError::new(format!("{name}: is not allowed to be unset")))
            }
            _ => Err(ExpandError::new(format!("{name}: is not allowed to be empty"))),
        }
    }

    /// `${name#pattern}`, `##`, `%` and `%%`.
    fn trim(&mut self, name: &str, modifier: char) -> Result<String, ExpandError> {
        let word = self.argument('}', true)?;
        let Some(value) = self.value(name)? else {
            let unset = format!("${{{name}{modifier}{word}}}");
            return Ok(if self.lexer.keep_unset { unset } else { String::new() });
        };
        let (pattern, longest) = match word.strip_prefix(modifier) {
            Some(pattern) => (pattern, true),
            None => (word.as_str(), false),
        };
        match modifier {
            '#' => pattern::trim_prefix(pattern, &value, longest, self.budget),
            _ => pattern::trim_suffix(pattern, &value, longest, self.budget),
        }
    }

    /// `${name/pattern/replacement}` and `//`.
    fn replace(&mut self, name: &str) -> Result<String, ExpandError> {
        let all = self.peek() == Some('/');
        if all {
            self.at += 1;
        }
        let pattern = self.argument('/', true)?;
        let replacement = self.argument('}', true)?;
        let Some(value) = self.value(name)? else {
            let slashes = if all { "//" } else { "/" };
            let unset = format!("${{{name}{slashes}{pattern}/{replacement}}}");
            return Ok(if self.lexer.keep_unset { unset } else { String::new() });
        };
        pattern::replace(&pattern, &value, &replacement, all, self.budget)
    }

    /// The word behind a modifier.
    fn argument(&mut self, stop: char, raw: bool) -> Result<String, ExpandError> {
        let outer = std::mem::replace(&mut self.raw, raw);
        let result = self.until(Some(stop));
        self.raw = outer;
        match result {
            Err(_) if self.peek().is_none() && stop == '/' => {
                Err(ExpandError::new("syntax error: missing '/' in ${}"))
            }
            Err(_) if self.peek().is_none() => Err(missing_brace()),
            other => other.map(|(text, _)| text),
        }
    }

    /// A name: letters, digits and `_`; or digits alone; or one special character.
    fn name(&mut self) -> String {
        let start = self.at;
        match self.peek() {
            Some(c) if c.is_numeric() => {
                while self.peek().is_some_and(char::is_numeric) {
                    self.at += 1;
                }
            }
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => self.at += 1,
            _ => {
                while self.peek().is_some_and(|c| c.is_alphanumeric() || c == '_') {
                    self.at += 1;
                }
            }
        }
        self.chars[start..self.at].iter().collect()
    }

    fn value(&mut self, name: &str) -> Result<Option<String>, ExpandError> {
        match self.variables.get(name) {
            Some(value) => {
                self.budget.pay(value.len() + 1)?;
                self.used.add(name);
                Ok(Some(value.to_owned()))
            }
            None => {
                self.unset.add(name);
                Ok(None)
            }
        }
    }
}

pub(super) fn too_long() -> ExpandError {
    ExpandError::new(format!("the value is longer than {MAX_WORD} bytes"))
}

fn missing_brace() -> ExpandError {
    ExpandError::new("syntax error: missing '}'")
}

fn unsupported(modifier: &str) -> ExpandError {
    ExpandError::new(format!("unsupported modifier ({modifier}) in substitution"))
}
