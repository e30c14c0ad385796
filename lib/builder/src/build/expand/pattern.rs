//! Patterns of substitutions: `*` any text, `?` one character, `\` protects; nothing else counts.
//!
//! A pattern is cut at its stars into pieces of fixed length. The shortest match takes every piece
//! as early as it can; the longest takes the last piece as late as it can. Each comparison is
//! paid for.

use super::ExpandError;
use super::budget::Budget;
use super::lexer::{MAX_WORD, too_long};

/// What stands for one character of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Literal(char),
    Any,
}

/// A pattern anchored at its start.
#[derive(Debug)]
struct Pattern {
    /// The pieces between stars; a star stands between two neighbours.
    pieces: Vec<Vec<Token>>,
}

impl Pattern {
    fn parse(text: &str) -> Result<Pattern, ExpandError> {
        let mut pieces = vec![Vec::new()];
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let token = match c {
                '*' => {
                    pieces.push(Vec::new());
                    continue;
                }
                '?' => Token::Any,
                '\\' => match chars.next() {
                    // These end a substitution and are protected for its sake.
                    Some(c @ ('}' | '/' | '*' | '?' | '\\')) => Token::Literal(c),
                    other => {
                        let escape: String = std::iter::once('\\').chain(other).collect();
                        return Err(ExpandError::new(format!(
                            "invalid pattern ({text}) in substitution: invalid escape '{escape}'"
                        )));
                    }
                },
                c => Token::Literal(c),
            };
            if let Some(piece) = pieces.last_mut() {
                piece.push(token);
            }
        }
        Ok(Pattern { pieces })
    }

    /// The same pattern read backwards.
    fn reversed(mut self) -> Pattern {
        self.pieces.reverse();
        self.pieces.iter_mut().for_each(|piece| piece.reverse());
        self
    }

    /// Where a match of the text's beginning ends, the shortest or the longest.
    fn end(
        &self,
        text: &[char],
        longest: bool,
        budget: &mut Budget,
    ) -> Result<Option<usize>, ExpandError> {
        let Some((first, rest)) = self.pieces.split_first() else { return Ok(Some(0)) };
        if !fits(first, text, budget)? {
            return Ok(None);
        }
        let mut at = first.len();
        let Some((last, middle)) = rest.split_last() else { return Ok(Some(at)) };
        for piece in middle {
            match earliest(piece, text, at, budget)? {
                Some(found) => at = found + piece.len(),
                None => return Ok(None),
            }
        }
        let found = if longest {
            latest(last, text, at, budget)?
        } else {
            earliest(last, text, at, budget)?
        };
        Ok(found.map(|found| found + last.len()))
    }
}

fn fits(piece: &[Token], text: &[char], budget: &mut Budget) -> Result<bool, ExpandError> {
    if text.len() < piece.len() {
        return Ok(false);
    }
    let same = |(token, c): (&Token, &char)| *token == Token::Any || *token == Token::Literal(*c);
    let compared = piece.iter().zip(text).take_while(|pair| same(*pair)).count();
    budget.pay(compared + 1)?;
    Ok(compared == piece.len())
}

fn earliest(
    piece: &[Token],
    text: &[char],
    from: usize,
    budget: &mut Budget,
) -> Result<Option<usize>, ExpandError> {
    for at in from..=text.len() {
        if fits(piece, &text[at..], budget)? {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

fn latest(
    piece: &[Token],
    text: &[char],
    from: usize,
    budget: &mut Budget,
) -> Result<Option<usize>, ExpandError> {
    for at in (from..=text.len()).rev() {
        if fits(piece, &text[at..], budget)? {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

/// `value` without the shortest or longest beginning that matches.
pub(super) fn trim_prefix(
    pattern: &str,
    value: &str,
    longest: bool,
    budget: &mut Budget,
) -> Result<String, ExpandError> {
    let pattern = Pattern::parse(pattern)?;
    let chars: Vec<char> = value.chars().collect();
    let end = pattern.end(&chars, longest, budget)?.unwrap_or(0);
    Ok(chars[end..].iter().collect())
}

/// `value` without the shortest or longest end that matches.
pub(super) fn trim_suffix(
    pattern: &str,
    value: &str,
    longest: bool,
    budget: &mut Budget,
) -> Result<String, ExpandError> {
    let pattern = Pattern::parse(pattern)?.reversed();
    let chars: Vec<char> = value.chars().rev().collect();
    let end = pattern.end(&chars, longest, budget)?.unwrap_or(0);
    Ok(chars[end..].iter().rev().collect())
}

/// `value` with the first match, or all, replaced. Matches are the longest from the left; where
/// the pattern matches nothing at all, `replacement` is inserted, but never right behind a match.
pub(super) fn replace(
    pattern: &str,
    value: &str,
    replacement: &str,
    all: bool,
    budget: &mut Budget,
) -> Result<String, ExpandError> {
    let pattern = Pattern::parse(pattern)?;
    let chars: Vec<char> = value.chars().collect();
    let mut out = String::new();
    let mut at = 0;
    let mut last_end = None;
    while at <= chars.len() {
        let end = pattern.end(&chars[at..], true, budget)?.map(|length| at + length);
        match end {
            Some(end) if end > at || last_end != Some(at) => {
                budget.pay(replacement.len())?;
                out.push_str(replacement);
                if out.len() > MAX_WORD {
                    return Err(too_long());
                }
                last_end = Some(end);
                if !all {
                    out.extend(&chars[end..]);
                    return Ok(out);
                }
                if end > at {
                    at = end;
                    continue;
                }
            }
            // With no match from here, a pattern that starts with a star matches nowhere.
            None if pattern.pieces.first().is_some_and(Vec::is_empty) => {
                out.extend(&chars[at..]);
                return Ok(out);
            }
            _ => {}
        }
        out.extend(chars.get(at));
        at += 1;
    }
    Ok(out)
}
