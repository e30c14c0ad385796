//! Go's text/template over JSON values: what people write after `--format`.
//!
//! The whole language but methods, channels and complex numbers, and the functions that Docker's
//! templates have. What Go knows by types, a [`Schema`] tells. A template calls nothing that is not
//! here, and its time, depth and output are bounded.

mod compare;
mod error;
mod execute;
mod functions;
mod lex;
mod numbers;
mod parse;
mod print;
mod printf;
mod quote;
mod schema;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod value;

pub use schema::{Field, Schema, Zero};

use std::collections::HashMap;

use serde_json::Value as Json;

use self::error::wrong;
use self::execute::Run;
use self::parse::{Node, parse};
use crate::error::Result;

/// Longest template.
const MAX_TEMPLATE: usize = 64 << 10;
/// Most steps of one run.
const MAX_STEPS: u64 = 5_000_000;
/// Longest result.
const MAX_OUTPUT: usize = 16 << 20;
/// Deepest nesting of blocks, brackets and templates, each in the other.
const MAX_DEPTH: usize = 64;

/// A template that was read.
#[derive(Debug)]
pub struct Template {
    text: String,
    main: Vec<Node>,
    named: HashMap<String, Vec<Node>>,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// `Usage`, with line and column, for what breaks the language's rules, and for functions that
    /// are not known.
    pub fn parse(text: &str) -> Result<Template> {
        if text.len() > MAX_TEMPLATE {
            return Err(wrong(format!("it is longer than {MAX_TEMPLATE} bytes")));
        }
        let parsed = parse(text)?;
        Ok(Template { text: text.to_owned(), main: parsed.main, named: parsed.named })
    }

    /// [`Template::parse`] of a template in which `\t` and `\n` outside of `{{…}}` stand for a tab
    /// and a line feed, as in the formats of Docker's lists.
    pub fn parse_row(text: &str) -> Result<Template> {
        Template::parse(&lex::with_line_escapes(text))
    }

    /// Fills it in.
    ///
    /// # Errors
    /// `Usage` for fields that are not there, values that a function does not take, and what takes
    /// too long.
    pub fn fill(&self, data: &Json, schema: &Schema) -> Result<String> {
        Run::new(self, data, schema).run()
    }

    /// The titles of a table whose rows it makes: `titles` holds one for each field. Functions that
    /// only change how a value looks leave titles as they are, as in Docker's tables.
    pub fn fill_titles(&self, titles: &Json) -> Result<String> {
        Run::new(self, titles, &Schema::default()).making_titles().run()
    }
}

/// Fills a template in once.
///
/// # Errors
/// As [`Template::parse`] and [`Template::fill`].
pub fn fill(template: &str, data: &Json, schema: &Schema) -> Result<String> {
    Template::parse(template)?.fill(data, schema)
}
