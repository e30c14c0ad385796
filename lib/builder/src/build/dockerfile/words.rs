//! A logical line → keyword, flags and arguments.
//!
//! All offsets are into the text given. Nothing here knows what an instruction means.

use std::ops::Range;

use serde_json::Value;

/// A word and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub text: String,
    pub range: Range<usize>,
}

/// A line cut in three.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Split {
    pub keyword: Range<usize>,
    pub flags: Vec<Piece>,
    /// The arguments, without blanks around.
    pub rest: Range<usize>,
}

/// What the arguments are written as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A JSON array of strings.
    Json(Vec<String>),
    /// Valid JSON that holds something else.
    NotStrings,
    /// Anything else: plain words.
    Plain,
}

const BLANKS: [char; 5] = ['\t', '\u{b}', '\u{c}', '\r', ' '];

/// Cuts off the keyword and the flags.
pub(super) fn split_command(text: &str, escape: char) -> Split {
    let start = text.len() - text.trim_start().len();
    let end = text.trim_end().len().max(start);
    let keyword_end = text[start..end].find(BLANKS).map_or(end, |at| start + at);
    let after = end - text[keyword_end..end].trim_start_matches(BLANKS).len();
    let (flags, rest) = flags(&text[..end], after, escape);
    let rest = trimmed(text, rest..end);
    Split { keyword: start..keyword_end, flags, rest }
}

/// A range without the blanks at its ends.
pub(super) fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let piece = &text[range.clone()];
    let start = range.start + (piece.len() - piece.trim_start().len());
    start..(range.start + piece.trim_end().len()).max(start)
}

/// Words that start with `--`, quotes and escapes taken away, up to the first other word or a bare
/// `--`; and where the arguments start.
fn flags(text: &str, from: usize, escape: char) -> (Vec<Piece>, usize) {
    let mut out = Vec::new();
    let mut at = from;
    loop {
        at += text[at..].len() - text[at..].trim_start().len();
        if !text[at..].starts_with("--") {
            return (out, at);
        }
        let piece = flag(text, at, escape);
        at = piece.range.end;
        if piece.text == "--" {
            return (out, at);
        }
        out.push(piece);
    }
}

fn flag(text: &str, start: usize, escape: char) -> Piece {
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text[start..].char_indices();
    while let Some((at, c)) = chars.next() {
        match quote {
            None if c.is_whitespace() => {
                return Piece { text: word, range: start..start + at };
            }
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ if c == escape => word.extend(chars.next().map(|(_, c)| c)),
            _ => word.push(c),
        }
    }
    Piece { text: word, range: start..text.len() }
}

/// Words between blanks; quotes mean nothing.
pub(super) fn blank_separated(text: &str, range: Range<usize>) -> Vec<Piece> {
    let mut out = Vec::new();
    let mut at = range.start;
    for word in text[range].split(BLANKS) {
        if !word.is_empty() {
            out.push(Piece { text: word.to_owned(), range: at..at + word.len() });
        }
        at += word.len() + 1;
    }
    out
}

/// Words between blanks, where quotes and escapes protect blanks and stay in the word.
pub(super) fn quoted(text: &str, range: Range<usize>, escape: char) -> Vec<Piece> {
    let mut out = Vec::new();
    let end = range.end;
    let mut at = range.start;
    loop {
        at += text[at..end].len() - text[at..end].trim_start().len();
        if at >= end {
            return out;
        }
        let piece = quoted_word(text, at..end, escape);
        at = piece.range.end;
        if !piece.text.is_empty() {
            out.push(piece);
        }
    }
}

fn quoted_word(text: &str, range: Range<usize>, escape: char) -> Piece {
    let start = range.start;
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text[range.clone()].char_indices();
    while let Some((at, c)) = chars.next() {
        match quote {
            None if c.is_whitespace() => {
                return Piece { text: word, range: start..start + at };
            }
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if c == open => quote = None,
            // An escape protects the next character, but nothing does inside single quotes; at the
            // very end it is dropped.
            _ if c == escape && quote != Some('\'') => {
                if let Some((_, next)) = chars.next() {
                    word.push(c);
                    word.push(next);
                }
                continue;
            }
            _ => {}
        }
        word.push(c);
    }
    Piece { text: word, range }
}

/// How arguments are written.
pub(super) fn json(text: &str) -> Form {
    if !text.trim_start().starts_with('[') {
        return Form::Plain;
    }
    let Ok(values) = serde_json::from_str::<Vec<Value>>(text.trim()) else { return Form::Plain };
    let strings = values.into_iter().map(|value| match value {
        Value::String(text) => Some(text),
        _ => None,
    });
    strings.collect::<Option<Vec<String>>>().map_or(Form::NotStrings, Form::Json)
}
