//! How mistakes in templates are told: where, and what, in Go's words where scripts may know them.

use std::fmt::Display;

use crate::error::Error;

/// A mistake without a place.
pub(super) fn wrong(what: impl Display) -> Error {
    Error::usage(format!("invalid template: {what}"))
}

/// A mistake at byte `at` of `template`.
pub(super) fn wrong_at(template: &str, at: usize, what: impl Display) -> Error {
    let before = template.get(..at).unwrap_or(template);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Error::usage(format!("invalid template: line {line}, column {column}: {what}"))
}
