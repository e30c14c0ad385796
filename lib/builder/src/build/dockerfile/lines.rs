//! Physical lines → logical lines: continuation, comments, here-documents.

use std::ops::Range;

use super::super::diagnostic::{Diagnostic, Diagnostics};
use super::super::source::{Source, Span};
use super::directives::{self, BOM, Directives};
use super::heredoc::{self, Heredoc, MAX_HEREDOCS};
use super::instruction::Comment;
use super::words::{self, Form};
use super::{MAX_INSTRUCTIONS, parse};

/// The longest physical line (bytes).
const MAX_LINE: usize = 65_535;

/// One instruction's text.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// The lines joined, without continuation characters and comments.
    pub text: String,
    /// The whole instruction in the source, bodies of here-documents included.
    pub span: Span,
    /// The comments right above.
    pub comments: Vec<Comment>,
    /// The here-documents that belong to it.
    pub heredocs: Vec<Heredoc>,
    /// Blank lines inside a continuation.
    pub blanks: Vec<Span>,
    /// Pairs of offsets, in `text` and in the source, where a piece starts.
    pieces: Vec<(usize, usize)>,
}

impl Line {
    /// Where a piece of `text` stands in the source.
    pub(super) fn at(&self, range: Range<usize>) -> Span {
        let start = self.offset(range.start);
        match range.end.checked_sub(1) {
            Some(last) if range.end > range.start => Span::new(start, self.offset(last) + 1),
            _ => Span::new(start, start),
        }
    }

    fn offset(&self, at: usize) -> usize {
        let after = self.pieces.partition_point(|(start, _)| *start <= at);
        let (start, source) =
            after.checked_sub(1).and_then(|i| self.pieces.get(i)).copied().unwrap_or_default();
        source + (at - start)
    }

    /// A piece of the line as a line of its own, with all its here-documents.
    pub(super) fn part(&self, range: Range<usize>) -> Line {
        let mut line = Line {
            span: Span::new(self.offset(range.start), self.span.end),
            heredocs: self.heredocs.clone(),
            ..Line::default()
        };
        line.text = self.text[range.clone()].to_owned();
        line.pieces.push((0, self.offset(range.start)));
        let inside = self.pieces.iter().filter(|(at, _)| range.contains(at) && *at > range.start);
        line.pieces.extend(inside.map(|(at, source)| (at - range.start, *source)));
        line
    }

    /// Whether it holds the character that stands for bytes that are no text.
    pub(super) fn is_damaged(&self) -> bool {
        let damaged = |text: &str| text.contains(char::REPLACEMENT_CHARACTER);
        damaged(&self.text) || self.heredocs.iter().any(|heredoc| damaged(&heredoc.body))
    }

    fn push(&mut self, text: &str, offset: usize) {
        self.pieces.push((self.text.len(), offset));
        self.text.push_str(text);
    }
}

struct Reader<'a> {
    source: &'a Source,
    /// The next line, from 1.
    next: usize,
    escape: char,
    /// Here-documents without an end so far.
    unterminated: usize,
}

/// After so many here-documents without an end the rest of the file is not looked at: each costs a
/// search through all of it.
const MAX_UNTERMINATED: usize = 10;

/// Reads directives and lines. Stops at limits with an error.
pub(super) fn read(source: &Source, found: &mut Diagnostics) -> (Directives, Vec<Line>) {
    let directives = directives::read(source, found);
    let mut reader = Reader { source, next: 1, escape: directives.escape, unterminated: 0 };
    let mut lines = Vec::new();
    let mut comments = Vec::new();
    while let Some(span) = reader.physical() {
        let whole = source.slice(span);
        let text = whole.trim_start_matches(|c: char| c == BOM && span.start == 0).trim_start();
        let start = span.end - text.len();
        if let Some(comment) = text.strip_prefix('#') {
            if span.end > directives.end {
                note_comment(&mut comments, comment, start);
            }
            continue;
        }
        if text.is_empty() {
            continue;
        }
        if lines.len() == MAX_INSTRUCTIONS {
            let problem = format!("the file has more than {MAX_INSTRUCTIONS} instructions");
            found.push(Diagnostic::error(span, problem));
            break;
        }
        let mut line = Line { comments: std::mem::take(&mut comments), ..Line::default() };
        line.comments.drain(..line.comments.len().saturating_sub(MAX_COMMENTS));
        let last = reader.join(&mut line, text, start);
        line.span = Span::new(start, last.max(start));
        reader.take_bodies(&mut line, found);
        reader.check_lengths(&line, found);
        lines.push(line);
    }
    (directives, lines)
}

/// So many comments above an instruction are remembered, the last ones.
const MAX_COMMENTS: usize = 1000;

/// Comments add up until an instruction; an empty one forgets those before it.
fn note_comment(comments: &mut Vec<Comment>, text: &str, start: usize) {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        comments.clear();
        return;
    }
    let at = start + 1 + (text.len() - text.trim_start().len());
    let span = Span::new(at, at + trimmed.len());
    if comments.len() == 2 * MAX_COMMENTS {
        comments.drain(..MAX_COMMENTS);
    }
    comments.push(Comment { text: trimmed.to_owned(), span });
}

impl Reader<'_> {
    /// The next physical line, without its ending.
    fn physical(&mut self) -> Option<Span> {
        let span = self.source.line(self.next);
        let end = self.next >= self.source.line_count() && span.start == self.source.text().len();
        if end || self.next > self.source.line_count() {
            return None;
        }
        self.next += 1;
        Some(span)
    }

    /// Joins continuation lines to the first one; returns where the last one ends.
    fn join(&mut self, line: &mut Line, first: &str, start: usize) -> usize {
        let (mut text, mut more) = self.cut(first);
        line.push(text, start);
        let mut end = start + first.len();
        while more {
            let Some(span) = self.physical() else { break };
            let whole = self.source.slice(span);
            if whole.trim_start().starts_with('#') {
                continue;
            }
            end = span.end;
            if whole.trim().is_empty() {
                line.blanks.push(span);
                continue;
            }
            (text, more) = self.cut(whole);
            line.push(text, span.start);
        }
        end
    }

    /// A line without its continuation character, and whether it had one: the escape character at
    /// the end, blanks behind it allowed, not preceded by another one.
    fn cut<'a>(&self, line: &'a str) -> (&'a str, bool) {
        match line.trim_end_matches([' ', '\t']).strip_suffix(self.escape) {
            Some(text) if !text.ends_with(self.escape) => (text, true),
            _ => (line, false),
        }
    }

    /// Takes the bodies of the here-documents that the line announces.
    fn take_bodies(&mut self, line: &mut Line, found: &mut Diagnostics) {
        if !line.text.contains("<<") || !self.takes_heredocs(&line.text) {
            return;
        }
        let markers = heredoc::markers(&line.text);
        if markers.len() > MAX_HEREDOCS {
            let problem = format!("more than {MAX_HEREDOCS} here-documents in one instruction");
            found.push(Diagnostic::error(line.span, problem));
            return;
        }
        for (mut heredoc, range) in markers {
            heredoc.span = line.at(range);
            match self.body_end(&heredoc) {
                Ok((body, next)) => {
                    heredoc.body = self.source.slice(body).into();
                    line.span.end = self.source.line(next - 1).end;
                    self.next = next;
                }
                Err((problem, next)) => {
                    self.unterminated += 1;
                    let on = self.unterminated < MAX_UNTERMINATED;
                    self.next = if on { next } else { self.source.line_count() + 1 };
                    line.span.end = self.source.line(self.next - 1).end;
                    found.push(problem);
                    return;
                }
            }
            line.heredocs.push(heredoc);
        }
    }

    /// The span of a body and the line behind its end; or what is wrong and where to go on.
    fn body_end(&self, heredoc: &Heredoc) -> Result<(Span, usize), (Diagnostic, usize)> {
        let start = self.source.line(self.next).start;
        let mut nearly = None;
        for number in self.next..=self.source.line_count() {
            let span = self.source.line(number);
            let text = self.source.slice(span);
            if heredoc.ends_at(text) {
                return Ok((Span::new(start, span.start), number + 1));
            }
            if nearly.is_none() && text.trim() == heredoc.name.trim() {
                nearly = Some(number);
            }
        }
        let mut problem = Diagnostic::error(heredoc.span, "unterminated heredoc")
            .label(format!("no line is exactly {:?}", heredoc.name));
        if let Some(number) = nearly {
            let cure = "the end must stand alone on its line (behind <<- tabs may precede it)";
            problem = problem.hint(format!("line {number} is it but for blanks: {cure}"));
        }
        let next = nearly.map_or(self.source.line_count() + 1, |number| number + 1);
        Err((problem, next))
    }

    /// Whether markers on this line announce bodies: in RUN, COPY and ADD, there and behind
    /// ONBUILD, unless the arguments are JSON. A mistyped keyword counts as what it means, so that
    /// a body is not taken for instructions.
    fn takes_heredocs(&self, text: &str) -> bool {
        let split = words::split_command(text, self.escape);
        let mut keyword = parse::meant(&text[split.keyword.clone()]);
        let mut rest = split.rest.clone();
        if keyword.as_deref() == Some("ONBUILD") {
            let inner = words::split_command(&text[rest.clone()], self.escape);
            keyword = parse::meant(&text[rest.clone()][inner.keyword.clone()]);
            rest = rest.start + inner.rest.start..rest.start + inner.rest.end;
        }
        matches!(keyword.as_deref(), Some("RUN" | "COPY" | "ADD"))
            && matches!(words::json(&text[rest]), Form::Plain)
    }

    fn check_lengths(&self, line: &Line, found: &mut Diagnostics) {
        let (first, last) = self.source.line_range(line.span);
        for number in first..=last {
            let span = self.source.line(number);
            if span.end - span.start > MAX_LINE {
                let problem =
                    format!("dockerfile line greater than max allowed size of {MAX_LINE}");
                found.push(Diagnostic::error(Span::new(span.start, span.start + 1), problem));
            }
        }
    }
}
