//! From text to tokens.

use super::error::wrong_at;
use super::numbers::{Number, number};
use super::quote::unquote;
use crate::error::Result;

/// What a template is made of.
#[derive(Debug)]
pub(super) enum Piece {
    /// Text that is printed as it stands.
    Text(String),
    /// What stands between `{{` and `}}`; where it begins.
    Action(Vec<Token>, usize),
}

#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// Its first byte in the template.
    pub(super) at: usize,
    /// Whether white space stands before it.
    pub(super) spaced: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// A function or a keyword.
    Word(String),
    /// `.Name`
    Field(String),
    /// `.` alone
    Dot,
    /// `$name`; the empty name is the root.
    Variable(String),
    Text(String),
    Number(Number),
    Pipe,
    Open,
    Close,
    Comma,
    /// `:=`
    Declare,
    /// `=`
    Assign,
}

/// Cuts a template into texts and actions, white space trimmed where markers ask for it.
pub(super) fn pieces(template: &str) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    let (mut at, mut trim) = (0, false);
    while let Some(found) = template[at..].find("{{") {
        let (mut text, open) = (&template[at..at + found], at + found);
        let inside = &template[open + 2..];
        let (left_trim, skip) = match inside.strip_prefix('-') {
            Some(rest) if rest.starts_with(is_space) => (true, 1),
            _ => (false, 0),
        };
        if trim {
            text = text.trim_start_matches(is_space);
        }
        if left_trim {
            text = text.trim_end_matches(is_space);
        }
        push_text(&mut pieces, text);
        let start = open + 2 + skip;
        let body = template[start..].trim_start_matches(is_space);
        let end = if body.starts_with("/*") {
            comment_end(template, template.len() - body.len())?
        } else {
            let mut lexer = Lexer { template, at: start, tokens: Vec::new(), brackets: 0 };
            let end = lexer.action(open)?;
            pieces.push(Piece::Action(lexer.tokens, start));
            end
        };
        (at, trim) = end;
    }
    let rest = &template[at..];
    push_text(&mut pieces, if trim { rest.trim_start_matches(is_space) } else { rest });
    Ok(pieces)
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
}

/// Where a comment's action ends, and whether white space after it is trimmed.
fn comment_end(template: &str, start: usize) -> Result<(usize, bool)> {
    let close = template[start + 2..].find("*/");
    let close = close.ok_or_else(|| wrong_at(template, start, "unclosed comment"))?;
    let behind = start + 2 + close + 2;
    right_delimiter(template, behind)
        .ok_or_else(|| wrong_at(template, behind, "comment ends before closing delimiter"))
}

/// Past `}}` or ` -}}` at `at`, and whether it trims.
fn right_delimiter(template: &str, at: usize) -> Option<(usize, bool)> {
    let rest = &template[at..];
    if rest.starts_with("}}") {
        return Some((at + 2, false));
    }
    let marked = rest.strip_prefix(is_space).is_some_and(|rest| rest.starts_with("-}}"));
    marked.then_some((at + 4, true))
}

/// The template with `\t` and `\n` of its texts replaced by what they stand for.
pub(super) fn with_line_escapes(template: &str) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    let replaced = |text: &str| text.replace("\\t", "\t").replace("\\n", "\n");
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(&replaced(before));
        let end = after.find("}}").map_or(after.len(), |end| end + 2);
        out.push_str("{{");
        out.push_str(&after[..end]);
        rest = &after[end..];
    }
    out + &replaced(rest)
}

fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

pub(super) fn is_word(character: char) -> bool {
    character == '_' || character.is_alphanumeric()
}

struct Lexer<'t> {
    template: &'t str,
    at: usize,
    tokens: Vec<Token>,
    brackets: usize,
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        &self.template[self.at..]
    }

    fn wrong(&self, what: impl std::fmt::Display) -> crate::Error {
        wrong_at(self.template, self.at, what)
    }

    /// Reads tokens up to the end of the action that opened at `open`.
    fn action(&mut self, open: usize) -> Result<(usize, bool)> {
        loop {
            if let Some(end) = right_delimiter(self.template, self.at) {
                return match self.brackets {
                    0 => Ok(end),
                    _ => Err(self.wrong("unclosed left paren")),
                };
            }
            let trimmed = self.rest().trim_start_matches(is_space);
            let spaced = trimmed.len() < self.rest().len();
            if spaced {
                // The space of ` -}}` belongs to the marker.
                let last = self.template.len() - trimmed.len() - 1;
                if let Some(end) = right_delimiter(self.template, last)
                    && self.brackets == 0
                {
                    return Ok(end);
                }
                self.at = self.template.len() - trimmed.len();
                if trimmed.starts_with("}}") {
                    continue;
                }
            }
            let Some(first) = self.rest().chars().next() else {
                return Err(wrong_at(self.template, open, "unclosed action"));
            };
            let at = self.at;
            let kind = self.token(first)?;
            self.tokens.push(Token { kind, at, spaced });
        }
    }

    fn token(&mut self, first: char) -> Result<Kind> {
        let rest = self.rest();
        let (kind, length) = match first {
            '|' => (Kind::Pipe, 1),
            ',' => (Kind::Comma, 1),
            '=' => (Kind::Assign, 1),
            ':' if rest.starts_with(":=") => (Kind::Declare, 2),
            '(' => {
                self.brackets += 1;
                (Kind::Open, 1)
            }
            ')' => {
                let left = self.brackets.checked_sub(1);
                self.brackets = left.ok_or_else(|| self.wrong("unexpected right paren"))?;
                (Kind::Close, 1)
            }
            '"' | '`' | '\'' => self.quoted(first)?,
            '$' => {
                let name = word(&rest[1..]);
                (Kind::Variable(name.to_owned()), 1 + name.len())
            }
            '.' if !rest[1..].starts_with(|c: char| c.is_ascii_digit()) => match word(&rest[1..]) {
                "" => (Kind::Dot, 1),
                name => (Kind::Field(name.to_owned()), 1 + name.len()),
            },
            '+' | '-' | '.' | '0'..='9' => {
                let (number, length) = number(rest).map_err(|what| self.wrong(what))?;
                (Kind::Number(number), length)
            }
            _ if is_word(first) => {
                let name = word(rest);
                (Kind::Word(name.to_owned()), name.len())
            }
            _ => return Err(self.wrong(format!("unexpected {first:?} in action"))),
        };
        self.at += length;
        Ok(kind)
    }

    /// A text in quotes, or a character, which is a number.
    fn quoted(&self, quote: char) -> Result<(Kind, usize)> {
        let rest = self.rest();
        let mut escaped = false;
        for (at, c) in rest.char_indices().skip(1) {
            if c == quote && !escaped {
                let inside = &rest[1..at];
                let kind = match quote {
                    '`' => Kind::Text(inside.replace('\r', "")),
                    '"' => Kind::Text(unquote(inside, quote).map_err(|what| self.wrong(what))?),
                    _ => {
                        let text = unquote(inside, quote).map_err(|what| self.wrong(what))?;
                        let mut characters = text.chars();
                        match (characters.next(), characters.next()) {
                            (Some(one), None) => Kind::Number(Number::Int(i64::from(one as u32))),
                            _ => return Err(self.wrong("malformed character constant")),
                        }
                    }
                };
                return Ok((kind, at + 1));
            }
            if c == '\n' && quote != '`' {
                break;
            }
            escaped = quote != '`' && c == '\\' && !escaped;
        }
        Err(self.wrong("unterminated quoted string"))
    }
}

fn word(text: &str) -> &str {
    &text[..text.find(|c| !is_word(c)).unwrap_or(text.len())]
}
