//! Words with variables in them, as a Dockerfile has them.
//!
//! A [`Lexer`] takes quotes and escapes away and puts values in place of `$name`, `${name}` and
//! the modifiers `:-` `-` `:+` `+` `:?` `?` `#` `##` `%` `%%` `/` `//`. [`Scope`] is what one
//! instruction sees. All work is paid for from a [`Budget`], so that no file can make it grow
//! beyond what its size explains. Knows no instruction.

mod budget;
mod lexer;
mod pattern;
mod scope;

pub use budget::Budget;
pub use lexer::{Expansion, Lexer, MAX_DEPTH, MAX_WORD};
pub use scope::{NoVariables, Scope, Variables};

use std::fmt;

/// Why a word cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpandError(String);

impl ExpandError {
    fn new(text: impl Into<String>) -> ExpandError {
        ExpandError(text.into())
    }
}

impl fmt::Display for ExpandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ExpandError {}

#[cfg(test)]
mod tests;
