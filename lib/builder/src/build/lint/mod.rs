//! Advice: rules of good style that a file breaks without being wrong.
//!
//! The rules are BuildKit's and a few of our own ([`rules`]). Which of them count is said by
//! `# check=` at the top of the file ([`Options`]) and by the same words in a comment above an
//! instruction. [`Advice`] collects what was found, by `text` on the file itself, by
//! [`graph`](super::graph) while it expands, by `own` on the finished plan.

mod options;
mod own;
pub mod rules;
mod shell;
mod text;

pub use options::Options;
pub use own::{ContextFiles, examine as examine_plan};
pub use rules::{Rule, Whose};
pub use text::examine as examine_text;

use std::collections::BTreeSet;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::dockerfile::Comment;
use super::source::Span;

/// What was found so far, and what counts.
#[derive(Clone, Debug, Default)]
pub struct Advice {
    options: Options,
    found: Diagnostics,
    violated: BTreeSet<&'static str>,
}

impl Advice {
    /// Nothing found yet.
    pub fn new(options: Options) -> Advice {
        Advice { options, found: Diagnostics::default(), violated: BTreeSet::new() }
    }

    /// Notes that `rule` is broken at `span`, unless it does not count; `comments` are those above
    /// the instruction.
    pub fn warn(
        &mut self,
        rule: &'static Rule,
        comments: &[Comment],
        span: Span,
        message: impl Into<String>,
    ) {
        self.add(rule, comments, Diagnostic::warning(rule.name, span, message));
    }

    /// The same for a warning with hints.
    pub fn add(&mut self, rule: &'static Rule, comments: &[Comment], warning: Diagnostic) {
        // What is not shown anyway is not looked at closely.
        let comments = if self.found.is_full() { &[] } else { comments };
        let local = comments.iter().find_map(|comment| Options::of_comment(&comment.text));
        let counts = match local {
            Some(local) => self.options.merged(&local).counts(rule),
            None => self.options.counts(rule),
        };
        if !counts {
            return;
        }
        if self.options.is_error(rule) {
            self.violated.insert(rule.name);
        }
        self.found.push(warning);
    }

    /// Whether warnings are only counted by now.
    pub fn is_full(&self) -> bool {
        self.found.is_full()
    }

    /// What the file's own rules forbid (`error=true`): the error's text.
    pub fn violation(&self) -> Option<String> {
        if self.violated.is_empty() {
            return None;
        }
        let names: Vec<&str> = self.violated.iter().copied().collect();
        Some(format!("lint violation found for rules: {}", names.join(", ")))
    }

    /// All warnings.
    pub fn into_found(self) -> Diagnostics {
        self.found
    }
}

#[cfg(test)]
mod tests;
