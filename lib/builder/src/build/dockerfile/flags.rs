//! Flags of instructions: which there are, and reading them.

use std::collections::BTreeMap;

use super::super::diagnostic::{Diagnostic, Diagnostics};
use super::super::suggest;
use super::instruction::Word;

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// Nothing, `=true` or `=false`.
    Bool,
    /// A value, once.
    Value,
    /// A value, any number of times.
    Values,
}

/// The flags of one instruction.
pub(super) type Schema = &'static [(&'static str, Takes)];

pub(super) const NONE: Schema = &[];
pub(super) const FROM: Schema = &[("platform", Takes::Value)];
pub(super) const RUN: Schema = &[
    ("mount", Takes::Values),
    ("network", Takes::Value),
    ("security", Takes::Value),
    ("device", Takes::Values),
];
pub(super) const COPY: Schema = &[
    ("from", Takes::Value),
    ("chown", Takes::Value),
    ("chmod", Takes::Value),
    ("link", Takes::Bool),
    ("parents", Takes::Bool),
    ("exclude", Takes::Values),
];
pub(super) const ADD: Schema = &[
    ("chown", Takes::Value),
    ("chmod", Takes::Value),
    ("link", Takes::Bool),
    ("keep-git-dir", Takes::Bool),
    ("checksum", Takes::Value),
    ("unpack", Takes::Bool),
    ("exclude", Takes::Values),
];
pub(super) const HEALTHCHECK: Schema = &[
    ("interval", Takes::Value),
    ("timeout", Takes::Value),
    ("start-period", Takes::Value),
    ("start-interval", Takes::Value),
    ("retries", Takes::Value),
];

/// The flags that an instruction was given.
#[derive(Debug, Default)]
pub(super) struct Flags {
    /// Those that may be given once.
    single: BTreeMap<&'static str, Word>,
    /// Those that may be repeated, in order.
    repeated: Vec<(&'static str, Word)>,
}

impl Flags {
    /// Reads `words` by `schema`; every mistake is told.
    pub(super) fn read(
        keyword: &str,
        schema: Schema,
        words: &[Word],
        found: &mut Diagnostics,
    ) -> Flags {
        let mut flags = Flags::default();
        for word in words {
            if let Err(problem) = flags.add(keyword, schema, word) {
                found.push(problem);
            }
        }
        flags
    }

    fn add(&mut self, keyword: &str, schema: Schema, word: &Word) -> Result<(), Diagnostic> {
        let wrong = |text: String| Diagnostic::error(word.span, text);
        let (flag, value) = match word.text.split_once('=') {
            Some((flag, value)) => (flag, Some(value)),
            None => (word.text.as_str(), None),
        };
        let name = flag.strip_prefix("--").unwrap_or(flag);
        let Some((name, takes)) = schema.iter().find(|(known, _)| *known == name) else {
            return Err(unknown(keyword, schema, name, wrong(format!("unknown flag: {flag}"))));
        };
        if self.single.contains_key(name) {
            return Err(wrong(format!("duplicate flag specified: {flag}")));
        }
        let value = match (takes, value) {
            (Takes::Bool, None) => "true",
            (Takes::Bool, Some(value)) => match value.to_ascii_lowercase().as_str() {
                "true" => "true",
                "false" => "false",
                "" => return Err(wrong(format!("missing a value on flag: {flag}"))),
                _ => {
                    let text = format!("expecting boolean value for flag {flag}, not: {value}");
                    return Err(wrong(text));
                }
            },
            (_, Some(value)) => value,
            (_, None) => {
                let hint = format!("the value belongs to the same word: {flag}=VALUE");
                return Err(wrong(format!("missing a value on flag: {flag}")).hint(hint));
            }
        };
        // The value's place is the end of the word, unless quotes or escapes made it shorter.
        let mut span = word.span;
        if span.end - span.start == word.text.len() && value.len() < word.text.len() {
            span.start = span.end - value.len();
        }
        let word = Word { text: value.to_owned(), span };
        match takes {
            Takes::Values => self.repeated.push((name, word)),
            Takes::Bool | Takes::Value => {
                self.single.insert(name, word);
            }
        }
        Ok(())
    }

    /// A flag's value.
    pub(super) fn word(&self, name: &str) -> Option<&Word> {
        self.single.get(name)
    }

    /// A flag's value, moved out.
    pub(super) fn take(&mut self, name: &str) -> Option<Word> {
        self.single.remove(name)
    }

    /// All values of a flag.
    pub(super) fn all(&self, name: &str) -> Vec<Word> {
        let same = self.repeated.iter().filter(|(given, _)| *given == name);
        same.map(|(_, word)| word.clone()).collect()
    }

    /// A switch that was given, and how.
    pub(super) fn switch(&self, name: &str) -> Option<bool> {
        self.word(name).map(|word| word.text == "true")
    }
}

fn unknown(keyword: &str, schema: Schema, name: &str, problem: Diagnostic) -> Diagnostic {
    let names = schema.iter().map(|(known, _)| *known);
    let problem = problem.suggest(suggest::nearest(name, names.clone(), false));
    let listed: Vec<String> = names.map(|name| format!("--{name}")).collect();
    let problem = match listed.as_slice() {
        [] => problem.hint(format!("{keyword} takes no flags")),
        listed => problem.hint(format!("{keyword} takes {}", listed.join(", "))),
    };
    match keyword {
        "CMD" | "ENTRYPOINT" | "RUN" => {
            problem.hint(format!("if it belongs to the command: {keyword} -- --{name}"))
        }
        _ => problem,
    }
}
