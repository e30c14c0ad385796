//! Mistakes and advice with their place in the text, and how they look.
//!
//! A [`Diagnostic`] is data; [`render`] draws it with the excerpt of the source and carets below.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::source::{Source, Span};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing wrong, but worth knowing.
    Note,
    /// Works, and should not be written like this.
    Warning,
    /// Cannot be built.
    Error,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The lint rule that found it.
    pub rule: Option<&'static str>,
    /// What is wrong.
    pub message: String,
    /// Where.
    pub span: Span,
    /// A few words beside the carets.
    pub label: Option<String>,
    /// What could be done about it, or what else is worth knowing.
    pub hints: Vec<String>,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            rule: None,
            message: message.into(),
            span,
            label: None,
            hints: Vec::new(),
        }
    }

    /// A warning of a lint rule at a place.
    pub fn warning(rule: &'static str, span: Span, message: impl Into<String>) -> Diagnostic {
        let error = Diagnostic::error(span, message);
        Diagnostic { severity: Severity::Warning, rule: Some(rule), ..error }
    }

    /// Something worth knowing about a place.
    pub fn note(span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Note, ..Diagnostic::error(span, message) }
    }

    /// With one more hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Diagnostic {
        self.hints.push(hint.into());
        self
    }

    /// With words beside the carets.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Diagnostic {
        self.label = Some(label.into());
        self
    }

    /// With "did you mean" at the end of the message, where there is something to suggest.
    #[must_use]
    pub fn suggest(mut self, suggestion: Option<String>) -> Diagnostic {
        if let Some(suggestion) = suggestion {
            self.message = format!("{} (did you mean {suggestion}?)", self.message);
        }
        self
    }
}

/// More findings than this in one file help nobody; the rest is only counted.
pub const MAX_DIAGNOSTICS: usize = 1000;

/// Findings in the order they were made, up to [`MAX_DIAGNOSTICS`].
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    errors: usize,
    dropped: usize,
}

impl Diagnostics {
    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.errors += usize::from(diagnostic.severity == Severity::Error);
        if self.list.len() < MAX_DIAGNOSTICS {
            self.list.push(diagnostic);
        } else {
            self.dropped += 1;
        }
    }

    /// Adds all of `other`.
    pub fn append(&mut self, other: Diagnostics) {
        self.errors += other.dropped_errors();
        self.dropped += other.dropped;
        other.list.into_iter().for_each(|diagnostic| self.push(diagnostic));
    }

    /// Whether what is added now is only counted.
    pub fn is_full(&self) -> bool {
        self.list.len() >= MAX_DIAGNOSTICS
    }

    fn dropped_errors(&self) -> usize {
        let kept = self.list.iter().filter(|d| d.severity == Severity::Error).count();
        self.errors - kept
    }

    /// Whether there was an error.
    pub fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// How many were found beyond the limit.
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// The findings.
    pub fn list(&self) -> &[Diagnostic] {
        &self.list
    }

    /// The findings in the order of the text, each once.
    pub fn into_sorted(self) -> Vec<Diagnostic> {
        let mut list = self.list;
        list.sort_by_key(|d| d.span.start);
        let mut kept: Vec<Diagnostic> = Vec::with_capacity(list.len());
        for diagnostic in list {
            let same = |other: &&Diagnostic| other.span.start == diagnostic.span.start;
            if !kept.iter().rev().take_while(same).any(|other| *other == diagnostic) {
                kept.push(diagnostic);
            }
        }
        kept
    }
}

/// An excerpt shows at most so many lines of what a diagnostic is about.
const MAX_EXCERPT: usize = 6;

/// Draws a diagnostic: what, where, the lines concerned with carets, hints. Ends in a newline.
///
/// Control characters of the source are shown as pictures, so nothing acts on a terminal.
pub fn render(diagnostic: &Diagnostic, source: &Source, color: bool) -> String {
    let (level, name) = match diagnostic.severity {
        Severity::Error => (Level::ERROR, "error"),
        Severity::Warning => (Level::WARNING, "warning"),
        Severity::Note => (Level::NOTE, "note"),
    };
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let mut title = level.with_name(Some(name)).primary_title(diagnostic.message.as_str());
    if let Some(rule) = diagnostic.rule {
        title = title.id(rule);
    }
    let (first, last) = source.line_range(diagnostic.span);
    let shown = source.line(first).to(source.line(last.min(first + MAX_EXCERPT - 1)));
    let excerpt = source.slice(shown);
    let end = diagnostic.span.end.min(shown.end).max(diagnostic.span.start);
    let marked = diagnostic.span.start - shown.start..end - shown.start;
    let mut annotation = AnnotationKind::Primary.span(marked);
    if let Some(label) = &diagnostic.label {
        annotation = annotation.label(label.as_str());
    }
    let snippet =
        Snippet::source(excerpt).line_start(first).path(source.name()).annotation(annotation);
    let mut group = title.element(snippet);
    for hint in &diagnostic.hints {
        group = group.element(Level::HELP.message(hint.as_str()));
    }
    let mut out = renderer.render(&[group]).to_string();
    out.push('\n');
    out
}

/// One line: `Dockerfile:3:7: warning: message [Rule]`.
pub fn one_line(diagnostic: &Diagnostic, source: &Source) -> String {
    let at = source.position(diagnostic.span.start);
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    let rule = diagnostic.rule.map(|rule| format!(" [{rule}]")).unwrap_or_default();
    let message: String = diagnostic.message.chars().map(visible).collect();
    format!("{}:{}:{}: {severity}: {message}{rule}", source.name(), at.line, at.column)
}

/// Text from outside may hold escape sequences that would act on a terminal.
fn visible(character: char) -> char {
    if character.is_control() { '\u{fffd}' } else { character }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnostic_shows_its_place() {
        let source = Source::new("Dockerfile", "FROM x\nRUN --mont=type=cache ls\n");
        let diagnostic = Diagnostic::error(Span::new(11, 17), "unknown flag: --mont")
            .suggest(Some("mount".to_owned()))
            .hint("RUN takes --mount, --network, --security and --device");
        assert_eq!(
            render(&diagnostic, &source, false),
            "\
error: unknown flag: --mont (did you mean mount?)
 --> Dockerfile:2:5
  |
2 | RUN --mont=type=cache ls
  |     ^^^^^^
  |
  = help: RUN takes --mount, --network, --security and --device
"
        );
        assert_eq!(
            one_line(&diagnostic, &source),
            "Dockerfile:2:5: error: unknown flag: --mont (did you mean mount?)"
        );
    }

    #[test]
    fn findings_beyond_the_limit_are_counted() {
        let mut found = Diagnostics::default();
        for at in 0..MAX_DIAGNOSTICS + 5 {
            found.push(Diagnostic::error(Span::new(at, at), "x"));
        }
        let mut all = Diagnostics::default();
        all.append(found);
        assert_eq!((all.list().len(), all.dropped()), (MAX_DIAGNOSTICS, 5));
        assert!(all.has_errors());
    }
}
