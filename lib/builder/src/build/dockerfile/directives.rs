//! Parser directives: `# key=value` comments at the very top.

use super::super::diagnostic::{Diagnostic, Diagnostics};
use super::super::source::{Source, Span};

/// What the directives of a file say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directives {
    /// The escape character: a backslash unless `# escape=` names the backtick.
    pub escape: char,
    /// `# syntax=`: the front end that the file was written for.
    pub syntax: Option<Directive>,
    /// `# check=`: which lint rules count, and how.
    pub check: Option<Directive>,
    /// Where the directives end (a byte offset).
    pub(super) end: usize,
}

/// One directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    /// Its value, without blanks around.
    pub value: String,
    /// Where the value stands.
    pub span: Span,
}

impl Default for Directives {
    fn default() -> Directives {
        Directives { escape: '\\', syntax: None, check: None, end: 0 }
    }
}

/// The byte-order mark that some editors write.
pub(super) const BOM: char = '\u{feff}';

/// Reads the directives at the top of a file. The first line that is none ends them; a `#!` line
/// may stand before `syntax` and `check`.
pub(super) fn read(source: &Source, found: &mut Diagnostics) -> Directives {
    let mut out = Directives::default();
    let mut escape_seen = false;
    let mut shebang = false;
    for number in 1..=source.line_count() {
        let line = source.line(number);
        let start = if number == 1 && source.text().starts_with(BOM) { BOM.len_utf8() } else { 0 };
        let line = Span::new(line.start + start, line.end);
        if number == 1 && source.slice(line).starts_with("#!") {
            shebang = true;
            continue;
        }
        let Some((key, directive)) = split(source, line) else { break };
        let twice = match key.as_str() {
            "syntax" => out.syntax.replace(directive).is_some(),
            "check" => out.check.replace(directive).is_some(),
            // Behind a #! line it is a comment like others.
            "escape" if shebang => false,
            "escape" => {
                set_escape(&mut out, &directive, found);
                std::mem::replace(&mut escape_seen, true)
            }
            _ => break,
        };
        if twice {
            let text = format!("only one {key} parser directive can be used");
            found.push(Diagnostic::error(line, text));
        }
        out.end = line.end;
    }
    out
}

fn set_escape(out: &mut Directives, directive: &Directive, found: &mut Diagnostics) {
    match directive.value.as_str() {
        "\\" => out.escape = '\\',
        "`" => out.escape = '`',
        other => {
            let text = format!("invalid escape token '{other}' does not match ` or \\");
            found.push(Diagnostic::error(directive.span, text));
        }
    }
}

/// `# key = value` as lower-case key and value.
pub(super) fn split(source: &Source, line: Span) -> Option<(String, Directive)> {
    let text = source.slice(line);
    let comment = text.trim_start().strip_prefix('#')?;
    let (key, directive) = split_comment(comment)?;
    let start = line.start + (text.len() - text.trim_start().len()) + 1 + directive.span.start;
    let span = Span::new(start, start + directive.value.len());
    Some((key, Directive { span, ..directive }))
}

/// `key = value` of a comment without its `#`; the span is relative to `comment`.
pub(in crate::build) fn split_comment(comment: &str) -> Option<(String, Directive)> {
    let (key, value) = comment.split_once('=')?;
    let key = key.trim();
    let mut letters = key.chars();
    let is_key = letters.next().is_some_and(|c| c.is_ascii_alphabetic())
        && letters.all(|c| c.is_ascii_alphanumeric());
    let blank = value.len() - value.trim_start().len();
    if !is_key || value.trim().is_empty() {
        return None;
    }
    let start = comment.len() - value.len() + blank;
    let value = value.trim().to_owned();
    let span = Span::new(start, start + value.len());
    Some((key.to_ascii_lowercase(), Directive { value, span }))
}
