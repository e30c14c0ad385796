//! Here-documents: markers on a line, bodies below it.

use std::ops::Range;
use std::sync::Arc;

use super::super::expand::{Budget, Lexer, NoVariables};
use super::super::source::Span;

/// An instruction has at most so many.
pub(super) const MAX_HEREDOCS: usize = 1000;

/// A marker with its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heredoc {
    /// The word that ends the body; in `COPY` and `ADD` also the file's name.
    pub name: String,
    /// Whether variables count in the body: no part of the marker was quoted.
    pub expand: bool,
    /// `<<-`: leading tabs are taken away.
    pub strip_tabs: bool,
    /// `3<<NAME`: the file descriptor.
    pub descriptor: Option<u32>,
    /// The body as written, every line with its ending.
    pub body: Arc<str>,
    /// Where the marker stands.
    pub span: Span,
}

impl Heredoc {
    /// The body, without leading tabs where `<<-` asks for it.
    pub fn content(&self) -> String {
        if !self.strip_tabs {
            return self.body.to_string();
        }
        self.body.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
    }

    /// The name of the file that it makes: below a root, where `..` leads nowhere.
    ///
    /// # Errors
    /// The text of a diagnostic, for a name of more than one part or of none.
    pub fn file_name(&self) -> Result<String, String> {
        let path = super::super::dockerignore::clean(&format!("/{}", self.name));
        match path.trim_start_matches('/') {
            name if name.is_empty() || name.contains('/') => {
                Err(format!("invalid here-document name {:?}: not a file name", self.name))
            }
            name => Ok(name.to_owned()),
        }
    }

    /// Whether this line ends the body.
    pub(super) fn ends_at(&self, line: &str) -> bool {
        let line = line.trim_end_matches(['\n', '\r']);
        let line = if self.strip_tabs { line.trim_start_matches('\t') } else { line };
        line == self.name
    }
}

/// Reads a word as a marker: digits, `<<`, perhaps `-`, and one word that may be quoted.
pub(super) fn marker(word: &str) -> Option<Heredoc> {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit());
    let descriptor = word[..word.len() - rest.len()].parse().ok();
    let rest = rest.strip_prefix("<<")?;
    let (strip_tabs, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let rest = rest.trim_start_matches([' ', '\t', '\n', '\r', '\u{c}']);
    if rest.is_empty() || rest.contains('<') {
        return None;
    }
    // Quotes of the marker disappear; whether there were any decides about its body.
    let plain = words(rest, Lexer { keep_unset: true, ..Lexer::new('\\') })?;
    let quoted = words(rest, Lexer { keep_unset: true, keep_quotes: true, ..Lexer::new('\\') })?;
    let ([name], [raw]) = (plain.as_slice(), quoted.as_slice()) else { return None };
    let quotes = |text: &str| text.chars().filter(|c| matches!(c, '\'' | '"')).count();
    let expand = quotes(name) == quotes(raw);
    Some(Heredoc { name: name.clone(), expand, strip_tabs, descriptor, ..Heredoc::default() })
}

/// The markers of an instruction's line and where they stand in it. Where the line has
/// unbalanced quotes or a bad substitution there are none: it is left to the shell.
pub(super) fn markers(line: &str) -> Vec<(Heredoc, Range<usize>)> {
    let lexer =
        Lexer { keep_quotes: true, keep_escapes: true, keep_unset: true, ..Lexer::new('\\') };
    let mut out = Vec::new();
    let mut from = 0;
    for word in words(line, lexer).unwrap_or_default() {
        let Some(heredoc) = marker(&word) else { continue };
        let at = line.get(from..).and_then(|rest| rest.find(&word)).map_or(from, |at| from + at);
        from = at + word.len();
        out.push((heredoc, at..from.min(line.len())));
    }
    out
}

fn words(text: &str, lexer: Lexer) -> Option<Vec<String>> {
    lexer.expand(text, &NoVariables, &mut Budget::default()).ok().map(|expansion| expansion.words)
}
