//! Findings as JSON: BuildKit's members, and some more.

use serde_json::{Value, json};

use super::super::diagnostic::{Diagnostic, Severity};
use super::super::lint::rules;
use super::super::source::{Source, Span};
use super::Checked;

/// `warnings` and `buildError` as BuildKit's lint results have them; `errors`, `notes` and hints
/// beside them.
pub fn to_json(checked: &Checked) -> Value {
    let source = &checked.file.source;
    let of = |severity: Severity, show: fn(&Diagnostic, &Source) -> Value| -> Vec<Value> {
        let all = checked.found.iter().filter(|found| found.severity == severity);
        all.map(|found| show(found, source)).collect()
    };
    let errors = of(Severity::Error, plain);
    let mut out = json!({
        "file": source.name(),
        "warnings": of(Severity::Warning, warning),
        "errors": errors,
        "notes": of(Severity::Note, plain),
        "dropped": checked.dropped,
        "ok": checked.is_good(),
    });
    let first = errors.first().cloned();
    let violation = checked.violation.as_ref().map(|text| json!({ "message": text }));
    if let (Value::Object(members), Some(error)) = (&mut out, first.or(violation)) {
        members.insert("buildError".to_owned(), error);
    }
    out
}

fn warning(found: &Diagnostic, source: &Source) -> Value {
    let rule = rules::ALL.iter().find(|rule| Some(rule.name) == found.rule);
    json!({
        "ruleName": found.rule,
        "description": rule.map(|rule| rule.summary),
        "url": rule.and_then(|rule| rule.url()),
        "detail": found.message,
        "hints": found.hints,
        "location": location(found.span, source),
    })
}

fn plain(found: &Diagnostic, source: &Source) -> Value {
    json!({
        "message": found.message,
        "label": found.label,
        "hints": found.hints,
        "location": location(found.span, source),
    })
}

/// A place as BuildKit writes it.
pub(in crate::build) fn location(span: Span, source: &Source) -> Value {
    let place = |offset: usize| {
        let at = source.position(offset);
        json!({ "line": at.line, "character": at.column })
    };
    json!({
        "sourceIndex": 0,
        "ranges": [{ "start": place(span.start), "end": place(span.end) }],
    })
}
