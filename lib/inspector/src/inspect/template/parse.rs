//! From text to actions.

use serde_json::Value;

use super::wrong;
use crate::error::Result;

/// Deepest nesting of blocks and brackets.
const MAX_DEPTH: usize = 64;

pub(super) enum Action {
    Text(String),
    Print(Pipeline),
    If(Pipeline, Vec<Action>, Vec<Action>),
    With(Pipeline, Vec<Action>, Vec<Action>),
    /// Names of variables, what to range over, the body, and what to do for nothing.
    Range(Vec<String>, Pipeline, Vec<Action>, Vec<Action>),
}

pub(super) struct Pipeline(pub(super) Vec<Command>);

pub(super) struct Command {
    pub(super) function: Option<String>,
    pub(super) operands: Vec<Operand>,
}

pub(super) enum Operand {
    Literal(Value),
    /// `.A.B`
    Dot(Vec<String>),
    /// `$x.A`; the empty name is the root.
    Variable(String, Vec<String>),
    /// `(…).A`
    Group(Pipeline, Vec<String>),
}

/// What stands between the texts.
enum Piece {
    Text(String),
    Code(Vec<Token>),
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    /// `.A.B`, or `.` without names.
    Fields(Vec<String>),
    Variable(String, Vec<String>),
    Literal(Value),
    Pipe,
    Open,
    /// A closing bracket with the fields behind it.
    Close(Vec<String>),
    Comma,
    Assign,
}

pub(super) fn parse(template: &str) -> Result<Vec<Action>> {
    let pieces = pieces(template)?;
    let mut parser = Parser { pieces: pieces.into_iter() };
    let (actions, end) = parser.block(0)?;
    match end {
        None => Ok(actions),
        Some(_) => Err(wrong("there is an end or else without a begin")),
    }
}

fn pieces(template: &str) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut rest = template;
    let mut trim = false;
    while let Some(start) = rest.find("{{") {
        let mut text = &rest[..start];
        let code = &rest[start + 2..];
        let end = code_end(code).ok_or_else(|| wrong("a {{ is not closed"))?;
        let (mut inner, behind) = (&code[..end], &code[end + 2..]);
        if trim {
            text = text.trim_start();
        }
        if let Some(trimmed) = inner.strip_prefix('-').filter(|rest| rest.starts_with([' ', '\n']))
        {
            (inner, text) = (trimmed, text.trim_end());
        }
        trim = inner.ends_with(" -");
        let inner = inner.strip_suffix('-').filter(|_| trim).unwrap_or(inner).trim();
        pieces.push(Piece::Text(text.to_owned()));
        if !(inner.starts_with("/*") && inner.ends_with("*/")) {
            pieces.push(Piece::Code(tokens(inner)?));
        }
        rest = behind;
    }
    let rest = if trim { rest.trim_start() } else { rest };
    pieces.push(Piece::Text(rest.to_owned()));
    Ok(pieces)
}

/// Where the code ends: a `}}` outside of quotes.
fn code_end(code: &str) -> Option<usize> {
    let bytes = code.as_bytes();
    let (mut quote, mut escaped) = (None, false);
    for (at, &byte) in bytes.iter().enumerate() {
        match quote {
            Some(open) => {
                if byte == open && !escaped {
                    quote = None;
                }
                escaped = open == b'"' && byte == b'\\' && !escaped;
            }
            None if byte == b'"' || byte == b'`' => quote = Some(byte),
            None if byte == b'}' && bytes.get(at + 1) == Some(&b'}') => return Some(at),
            None => {}
        }
    }
    None
}

fn tokens(code: &str) -> Result<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '|' => (Token::Pipe, 1),
            '(' => (Token::Open, 1),
            ')' => {
                let (fields, length) = fields(&rest[1..]);
                (Token::Close(fields), length + 1)
            }
            ',' => (Token::Comma, 1),
            ':' if rest.starts_with(":=") => (Token::Assign, 2),
            '"' | '`' => literal(rest, first)?,
            '.' => {
                let (fields, length) = fields(rest);
                (Token::Fields(fields), length.max(1))
            }
            '$' => {
                let name = word(&rest[1..]);
                let (fields, length) = fields(&rest[1 + name.len()..]);
                (Token::Variable(name.to_owned(), fields), 1 + name.len() + length)
            }
            '0'..='9' | '-' => {
                let end =
                    rest[1..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |e| e + 1);
                let number: i64 = rest[..end].parse().map_err(|_| wrong("a number is none"))?;
                (Token::Literal(Value::from(number)), end)
            }
            _ if is_word(first) => {
                let name = word(rest);
                let token = match name {
                    "true" | "false" => Token::Literal(Value::from(name == "true")),
                    "nil" => Token::Literal(Value::Null),
                    _ => Token::Word(name.to_owned()),
                };
                (token, name.len())
            }
            other => return Err(wrong(format!("{other:?} means nothing here"))),
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn word(text: &str) -> &str {
    &text[..text.find(|c| !is_word(c)).unwrap_or(text.len())]
}

/// `.A.B` at the begin of a text.
fn fields(text: &str) -> (Vec<String>, usize) {
    let (mut names, mut length) = (Vec::new(), 0);
    while let Some(rest) = text[length..].strip_prefix('.') {
        let name = word(rest);
        if name.is_empty() {
            break;
        }
        names.push(name.to_owned());
        length += 1 + name.len();
    }
    (names, length)
}

fn literal(text: &str, quote: char) -> Result<(Token, usize)> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if c == quote && !escaped {
            let inside = &text[1..at];
            let value = match quote {
                '`' => inside.to_owned(),
                _ => unquoted(inside),
            };
            return Ok((Token::Literal(Value::from(value)), at + 1));
        }
        escaped = quote == '"' && c == '\\' && !escaped;
    }
    Err(wrong("a text in quotes is not closed"))
}

fn unquoted(text: &str) -> String {
    let mut out = String::new();
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match characters.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
}

/// What ended a block.
enum End {
    End,
    Else(Vec<Token>),
}

struct Parser {
    pieces: std::vec::IntoIter<Piece>,
}

impl Parser {
    fn block(&mut self, depth: usize) -> Result<(Vec<Action>, Option<End>)> {
        if depth > MAX_DEPTH {
            return Err(wrong("it is nested too deeply"));
        }
        let mut actions = Vec::new();
        while let Some(piece) = self.pieces.next() {
            let tokens = match piece {
                Piece::Text(text) => {
                    actions.push(Action::Text(text));
                    continue;
                }
                Piece::Code(tokens) => tokens,
            };
            match tokens.split_first() {
                Some((Token::Word(word), [])) if word == "end" => {
                    return Ok((actions, Some(End::End)));
                }
                Some((Token::Word(word), rest)) if word == "else" => {
                    return Ok((actions, Some(End::Else(rest.to_vec()))));
                }
                Some((Token::Word(word), rest))
                    if ["if", "with", "range"].contains(&word.as_str()) =>
                {
                    actions.push(self.branch(word, rest, depth + 1)?);
                }
                _ => actions.push(Action::Print(pipeline(&tokens, depth)?)),
            }
        }
        Ok((actions, None))
    }

    fn branch(&mut self, word: &str, tokens: &[Token], depth: usize) -> Result<Action> {
        let (names, tokens) = match word {
            "range" => variables(tokens),
            _ => (Vec::new(), tokens),
        };
        let subject = pipeline(tokens, depth)?;
        let (then, end) = self.block(depth)?;
        let otherwise = match end {
            Some(End::End) => Vec::new(),
            Some(End::Else(tokens)) => match tokens.split_first() {
                None => match self.block(depth)? {
                    (actions, Some(End::End)) => actions,
                    _ => return Err(wrong(format!("{word} has no end"))),
                },
                // `else if` closes with the same `end`.
                Some((Token::Word(next), rest)) if next == "if" => {
                    vec![self.branch("if", rest, depth + 1)?]
                }
                _ => return Err(wrong("after else there can only be if")),
            },
            None => return Err(wrong(format!("{word} has no end"))),
        };
        Ok(match word {
            "if" => Action::If(subject, then, otherwise),
            "with" => Action::With(subject, then, otherwise),
            _ => Action::Range(names, subject, then, otherwise),
        })
    }
}

/// `$i, $x :=` before what is ranged over.
fn variables(tokens: &[Token]) -> (Vec<String>, &[Token]) {
    match tokens {
        [Token::Variable(a, _), Token::Comma, Token::Variable(b, _), Token::Assign, rest @ ..] => {
            (vec![a.clone(), b.clone()], rest)
        }
        [Token::Variable(a, _), Token::Assign, rest @ ..] => (vec![a.clone()], rest),
        rest => (Vec::new(), rest),
    }
}

fn pipeline(tokens: &[Token], depth: usize) -> Result<Pipeline> {
    let mut tokens = tokens.iter();
    let (pipeline, closed) = commands(&mut tokens, depth)?;
    match closed {
        None => Ok(pipeline),
        Some(_) => Err(wrong("a bracket closes that was not opened")),
    }
}

/// Commands up to the end or a closing bracket, whose fields are given back.
fn commands<'a>(
    tokens: &mut std::slice::Iter<'a, Token>,
    depth: usize,
) -> Result<(Pipeline, Option<&'a [String]>)> {
    if depth > MAX_DEPTH {
        return Err(wrong("it is nested too deeply"));
    }
    let mut done = Vec::new();
    let mut command = Command { function: None, operands: Vec::new() };
    let mut closed = None;
    while let Some(token) = tokens.next() {
        match token {
            Token::Word(name) if command.function.is_none() && command.operands.is_empty() => {
                command.function = Some(name.clone());
            }
            // A function without values, as a value.
            Token::Word(name) => return Err(wrong(format!("{name} stands where a value should"))),
            Token::Fields(fields) => command.operands.push(Operand::Dot(fields.clone())),
            Token::Variable(name, fields) => {
                command.operands.push(Operand::Variable(name.clone(), fields.clone()));
            }
            Token::Literal(value) => command.operands.push(Operand::Literal(value.clone())),
            Token::Open => {
                let (inner, fields) = commands(tokens, depth + 1)?;
                let fields = fields.ok_or_else(|| wrong("a bracket is not closed"))?;
                command.operands.push(Operand::Group(inner, fields.to_vec()));
            }
            Token::Close(fields) => {
                closed = Some(fields.as_slice());
                break;
            }
            Token::Pipe => {
                let next = Command { function: None, operands: Vec::new() };
                done.push(std::mem::replace(&mut command, next));
            }
            Token::Comma | Token::Assign => {
                return Err(wrong("\",\" and \":=\" are for range only"));
            }
        }
    }
    done.push(command);
    if done.iter().any(|command| command.function.is_none() && command.operands.is_empty()) {
        return Err(wrong("something is missing between {{ and }}"));
    }
    Ok((Pipeline(done), closed))
}
