//! `Dockerfile` text → lines → typed instructions.
//!
//! [`parse()`] never fails: it returns what could be understood and all [`Diagnostics`] with their
//! places. Lines are joined, comments dropped and here-documents taken by `lines`; `words` cuts a
//! line into flags and arguments, `parse` makes an [`Instruction`] of it. Nothing is expanded yet
//! and nothing beyond one instruction is checked. Every size and count has a limit.

mod directives;
mod flags;
mod healthcheck;
mod heredoc;
mod instruction;
mod lines;
mod mount;
mod parse;
mod words;

pub(super) use directives::split_comment;
pub use directives::{Directive, Directives};
pub(super) use crate::spec::parse_duration;
pub use heredoc::Heredoc;
pub use instruction::{
    ArgDefinition, CommandLine, Comment, Device, From, Instruction, KEYWORDS, Kind, Network,
    Onbuild, Pair, Run, Security, Transfer, Word,
};
pub use mount::{Expand, Mount, MountKind, Sharing};

use std::borrow::Cow;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::source::{Source, Span};

/// A larger file is refused (bytes).
pub const MAX_FILE: usize = 16 << 20;
/// A file with more lines is refused.
pub const MAX_LINES: usize = 500_000;
/// A file with more instructions is refused.
pub const MAX_INSTRUCTIONS: usize = 50_000;
/// A file with more stages is refused.
pub const MAX_STAGES: usize = 1000;

/// A file that was read.
#[derive(Clone, Debug)]
pub struct Dockerfile {
    /// Its name and text.
    pub source: Source,
    /// The parser directives at its top.
    pub directives: Directives,
    /// `ARG` before the first `FROM`.
    pub globals: Vec<Instruction>,
    /// Each `FROM` and what follows it.
    pub stages: Vec<Stage>,
    /// What is wrong with it.
    pub diagnostics: Diagnostics,
}

/// A `FROM` and the instructions up to the next one.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The instruction that starts it; its kind is always [`Kind::From`].
    pub start: Instruction,
    /// What `start` says.
    pub from: From,
    /// The others.
    pub body: Vec<Instruction>,
}

/// Reads a file. `name` is what messages call it.
pub fn parse(name: &str, bytes: &[u8]) -> Dockerfile {
    let mut found = Diagnostics::default();
    let source = match checked_size(bytes) {
        Ok(()) => Source::new(name, decoded(bytes)),
        Err(problem) => {
            found.push(Diagnostic::error(Span::default(), problem));
            return empty(Source::new(name, ""), found);
        }
    };
    let valid = std::str::from_utf8(bytes).is_ok();
    let (directives, lines) = lines::read(&source, &mut found);
    let mut instructions = Vec::new();
    let mut unknown = parse::Unknown::default();
    for line in &lines {
        if !valid && line.is_damaged() {
            found.push(Diagnostic::error(line.span, "the instruction is not valid UTF-8"));
        }
        if let Some(instruction) =
            parse::instruction(line, directives.escape, &mut found, &mut unknown)
        {
            instructions.push(instruction);
        }
    }
    unknown.finish(&mut found);
    let mut file = empty(source, found);
    file.directives = directives;
    file.arrange(instructions, lines.is_empty());
    file
}

/// Reads the text that an image keeps of an `ONBUILD`: exactly one instruction.
pub fn parse_trigger(text: &str) -> Dockerfile {
    let mut found = Diagnostics::default();
    let source = Source::new("ONBUILD", text);
    let (directives, lines) = lines::read(&source, &mut found);
    let mut unknown = parse::Unknown::default();
    let mut read = |line| parse::instruction(line, directives.escape, &mut found, &mut unknown);
    let instructions: Vec<Instruction> = lines.iter().filter_map(&mut read).collect();
    unknown.finish(&mut found);
    if lines.len() != 1 {
        let whole = Span::new(0, text.len());
        found.push(Diagnostic::error(whole, "onbuild trigger should be a single expression"));
    }
    let mut file = empty(source, found);
    file.globals = instructions;
    file
}

fn empty(source: Source, diagnostics: Diagnostics) -> Dockerfile {
    let directives = Directives::default();
    Dockerfile { source, directives, globals: Vec::new(), stages: Vec::new(), diagnostics }
}

fn checked_size(bytes: &[u8]) -> Result<(), String> {
    if bytes.len() > MAX_FILE {
        return Err(format!("the file has more than {MAX_FILE} bytes"));
    }
    if bytes.iter().filter(|b| **b == b'\n').count() > MAX_LINES {
        return Err(format!("the file has more than {MAX_LINES} lines"));
    }
    Ok(())
}

fn decoded(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

impl Dockerfile {
    /// Distributes instructions over stages.
    fn arrange(&mut self, instructions: Vec<Instruction>, blank: bool) {
        let whole = Span::new(0, self.source.line(1).end);
        if blank && !self.diagnostics.has_errors() {
            let text = match self.source.text().is_empty() {
                true => "the Dockerfile cannot be empty",
                false => "file with no instructions",
            };
            self.diagnostics.push(Diagnostic::error(whole, text));
            return;
        }
        let mut orphans = 0;
        for instruction in instructions {
            let kind = &instruction.kind;
            match (kind, self.stages.last_mut()) {
                (Kind::From(from), _) => {
                    if self.stages.len() == MAX_STAGES {
                        let text = format!("the file has more than {MAX_STAGES} stages");
                        self.diagnostics.push(Diagnostic::error(instruction.span, text));
                        return;
                    }
                    let from = from.clone();
                    self.stages.push(Stage { start: instruction, from, body: Vec::new() });
                }
                (_, Some(stage)) => stage.body.push(instruction),
                (Kind::Arg(_), None) => self.globals.push(instruction),
                (_, None) => {
                    orphans += 1;
                    if orphans == 1 {
                        self.diagnostics.push(before_from(&instruction));
                    }
                }
            }
        }
        if self.stages.is_empty() && !self.diagnostics.has_errors() {
            self.diagnostics
                .push(Diagnostic::error(whole, "dockerfile contains no stages to build"));
        }
    }
}

fn before_from(instruction: &Instruction) -> Diagnostic {
    Diagnostic::error(instruction.keyword.span, "no build stage in current context")
        .label(format!("{} before the first FROM", instruction.keyword.text.to_uppercase()))
        .hint("only ARG may stand before FROM")
}

#[cfg(test)]
mod tests;
