//! One logical line → one typed instruction.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::super::diagnostic::{Diagnostic, Diagnostics};
use super::super::suggest;
use super::flags::{self, Flags, Schema};
use super::heredoc;
use super::instruction::{
    ArgDefinition, CommandLine, Device, From, Instruction, KEYWORDS, Kind, Network, Onbuild, Pair,
    Run, Security, Transfer, Word,
};
use super::lines::Line;
use super::mount::{self, Mount};
use super::words::{self, Form, Piece, Split};

/// Lines that are no instructions. Those that follow each other are told as one: most often a
/// continuation character is missing above the first.
#[derive(Debug, Default)]
pub(super) struct Unknown {
    pending: Option<(Diagnostic, usize)>,
    /// How the line before ended.
    tail: String,
}

impl Unknown {
    fn add(&mut self, problem: Diagnostic, suggested: bool) -> Option<Diagnostic> {
        match &mut self.pending {
            Some((_, more)) if !suggested => {
                *more += 1;
                None
            }
            _ => {
                let before = self.take();
                self.pending = Some((problem, 0));
                before
            }
        }
    }

    fn take(&mut self) -> Option<Diagnostic> {
        let (problem, more) = self.pending.take()?;
        Some(match more {
            0 => problem,
            1 => problem.hint("the line below it is no instruction either"),
            more => problem.hint(format!("the {more} lines below it are no instructions either")),
        })
    }

    /// Tells what is still to be told.
    pub(super) fn finish(&mut self, found: &mut Diagnostics) {
        if let Some(problem) = self.take() {
            found.push(problem);
        }
    }
}

/// The keyword that a word is, or was probably meant to be, in upper case.
pub(super) fn meant(word: &str) -> Option<String> {
    let upper = word.to_ascii_uppercase();
    if KEYWORDS.contains(&upper.as_str()) {
        return Some(upper);
    }
    suggest::nearest(&upper, KEYWORDS, true)
}

/// Reads a line. Nothing is returned for one that cannot be understood.
pub(super) fn instruction(
    line: &Line,
    escape: char,
    found: &mut Diagnostics,
    unknown: &mut Unknown,
) -> Option<Instruction> {
    let split = words::split_command(&line.text, escape);
    let keyword = &line.text[split.keyword.clone()];
    if keyword.is_empty() {
        return None;
    }
    let upper = keyword.to_ascii_uppercase();
    let Some(name) = KEYWORDS.into_iter().find(|known| *known == upper) else {
        let span = line.at(split.keyword.clone());
        let suggestion = suggest::nearest(keyword, KEYWORDS, true);
        let suggested = suggestion.is_some();
        let mut problem =
            Diagnostic::error(span, format!("unknown instruction: {keyword}")).suggest(suggestion);
        if ["&&", "||", "|", ";", "(", "{", ","].iter().any(|end| unknown.tail.ends_with(end)) {
            problem = problem.hint(format!("is a {escape} missing at the end of the line above?"));
        }
        if let Some(before) = unknown.add(problem, suggested) {
            found.push(before);
        }
        return None;
    };
    unknown.finish(found);
    unknown.tail =
        line.text.trim_end().chars().rev().take(2).collect::<Vec<_>>().iter().rev().collect();
    let mut reading = Reading { line, split, name, escape, found };
    let kind = reading.kind()?;
    Some(Instruction {
        keyword: reading.word(reading.split.keyword.clone()),
        text: line.text.trim().to_owned(),
        span: line.span,
        comments: line.comments.clone(),
        blanks: line.blanks.clone(),
        kind,
    })
}

/// A line being read.
pub(super) struct Reading<'a> {
    line: &'a Line,
    split: Split,
    name: &'static str,
    escape: char,
    pub(super) found: &'a mut Diagnostics,
}

impl Reading<'_> {
    fn kind(&mut self) -> Option<Kind> {
        match self.name {
            "ADD" => self.transfer(flags::ADD).map(Kind::Add),
            "ARG" => self.arg().map(Kind::Arg),
            "CMD" => self.command(flags::NONE).map(|(command, _)| Kind::Cmd(command)),
            "COPY" => self.transfer(flags::COPY).map(Kind::Copy),
            "ENTRYPOINT" => self.command(flags::NONE).map(|(command, _)| Kind::Entrypoint(command)),
            "ENV" => self.pairs().map(Kind::Env),
            "EXPOSE" => self.list(false).map(Kind::Expose),
            "FROM" => Some(Kind::From(self.from())),
            "HEALTHCHECK" => self.healthcheck().map(Kind::Healthcheck),
            "LABEL" => self.pairs().map(Kind::Label),
            "MAINTAINER" => self.single().map(Kind::Maintainer),
            "ONBUILD" => self.onbuild().map(Kind::Onbuild),
            "RUN" => self.run().map(Kind::Run),
            "SHELL" => self.shell().map(Kind::Shell),
            "STOPSIGNAL" => self.single().map(Kind::StopSignal),
            "USER" => self.single().map(Kind::User),
            "VOLUME" => self.volume().map(Kind::Volume),
            _ => self.single().map(Kind::Workdir),
        }
    }

    // Small tools.

    pub(super) fn rest(&self) -> &str {
        &self.line.text[self.split.rest.clone()]
    }

    pub(super) fn has_rest(&self) -> bool {
        !self.split.rest.is_empty()
    }

    fn word(&self, range: Range<usize>) -> Word {
        Word { text: self.line.text[range.clone()].to_owned(), span: self.line.at(range) }
    }

    fn placed(&self, piece: Piece) -> Word {
        Word { text: piece.text, span: self.line.at(piece.range) }
    }

    fn error(&mut self, at: Range<usize>, text: impl Into<String>) {
        self.found.push(Diagnostic::error(self.line.at(at), text));
    }

    /// An error about the arguments, or the keyword where there are none.
    pub(super) fn error_here<T>(&mut self, text: impl Into<String>) -> Option<T> {
        let range = match self.split.rest.is_empty() {
            true => self.split.keyword.clone(),
            false => self.split.rest.clone(),
        };
        self.error(range, text);
        None
    }

    pub(super) fn flags(&mut self, schema: Schema) -> Flags {
        let words: Vec<Word> =
            self.split.flags.clone().into_iter().map(|piece| self.placed(piece)).collect();
        Flags::read(self.name, schema, &words, self.found)
    }

    fn blank_separated(&self) -> Vec<Word> {
        let pieces = words::blank_separated(&self.line.text, self.split.rest.clone());
        pieces.into_iter().map(|piece| self.placed(piece)).collect()
    }

    /// Arguments that may be a JSON array or words between blanks.
    fn json_or_words(&mut self) -> Option<Vec<Word>> {
        match words::json(self.rest()) {
            Form::Json(texts) => {
                let span = self.line.at(self.split.rest.clone());
                Some(texts.into_iter().map(|text| Word { text, span }).collect())
            }
            Form::NotStrings => self.not_strings(),
            Form::Plain => Some(self.blank_separated()),
        }
    }

    pub(super) fn not_strings<T>(&mut self) -> Option<T> {
        self.error_here("when using JSON array syntax, arrays must be comprised of strings only")
    }

    pub(super) fn at_least_one<T>(&mut self) -> Option<T> {
        self.error_here(format!("{} requires at least one argument", self.name))
    }

    // Instructions.

    fn single(&mut self) -> Option<Word> {
        self.flags(flags::NONE);
        if self.split.rest.is_empty() {
            return self.error_here(format!("{} requires exactly one argument", self.name));
        }
        Some(self.word(self.split.rest.clone()))
    }

    fn list(&mut self, json: bool) -> Option<Vec<Word>> {
        self.flags(flags::NONE);
        let words = if json { self.json_or_words()? } else { self.blank_separated() };
        if words.is_empty() { self.at_least_one() } else { Some(words) }
    }

    fn volume(&mut self) -> Option<Vec<Word>> {
        let mut volumes = self.list(true)?;
        for volume in &mut volumes {
            volume.text = volume.text.trim().to_owned();
        }
        if volumes.iter().any(|volume| volume.text.is_empty()) {
            return self.error_here("VOLUME specified can not be an empty string");
        }
        Some(volumes)
    }

    fn command(&mut self, schema: Schema) -> Option<(CommandLine, Flags)> {
        let flags = self.flags(schema);
        let command = match words::json(self.rest()) {
            Form::Json(words) => CommandLine::Exec(words),
            Form::NotStrings => return self.not_strings(),
            Form::Plain => CommandLine::Shell(self.word(self.split.rest.clone())),
        };
        Some((command, flags))
    }

    fn shell(&mut self) -> Option<Vec<String>> {
        match self.command(flags::NONE)?.0 {
            CommandLine::Exec(words) if !words.is_empty() => Some(words),
            CommandLine::Shell(word) if !word.text.is_empty() => {
                self.error_here("SHELL requires the arguments to be in JSON form")
            }
            _ => self.at_least_one(),
        }
    }

    fn run(&mut self) -> Option<Run> {
        let (command, mut flags) = self.command(flags::RUN)?;
        let mounts = flags.all("mount");
        for mount in &mounts {
            if let Err(problem) = Mount::check(mount) {
                self.found.push(problem);
            }
        }
        let network = match flags.take("network") {
            None => Network::Default,
            Some(word) => match word.text.as_str() {
                "default" => Network::Default,
                "none" => Network::None,
                "host" => Network::Host,
                other => {
                    let text = format!("invalid network mode {other:?}");
                    let known = suggest::nearest(other, ["default", "none", "host"], false);
                    self.found.push(Diagnostic::error(word.span, text).suggest(known));
                    Network::Default
                }
            },
        };
        let security = match flags.take("security") {
            None => Security::Sandbox,
            Some(word) => match word.text.as_str() {
                "sandbox" => Security::Sandbox,
                "insecure" => Security::Insecure,
                other => {
                    let text = format!("security {other:?} is not valid");
                    let known = suggest::nearest(other, ["sandbox", "insecure"], false);
                    self.found.push(Diagnostic::error(word.span, text).suggest(known));
                    Security::Sandbox
                }
            },
        };
        let devices = flags.all("device").iter().filter_map(|word| self.device(word)).collect();
        let heredocs = self.line.heredocs.clone();
        Some(Run { command, heredocs, mounts, network, security, devices })
    }

    fn device(&mut self, word: &Word) -> Option<Device> {
        match mount::device(word) {
            Ok(device) => Some(device),
            Err(problem) => {
                self.found.push(problem);
                None
            }
        }
    }

    fn from(&mut self) -> From {
        let platform = self.flags(flags::FROM).take("platform");
        let mut words = self.blank_separated().into_iter();
        let (base, as_word, name) = (words.next(), words.next(), words.next());
        let is_as = as_word.as_ref().is_some_and(|word| word.text.eq_ignore_ascii_case("as"));
        let fits = words.next().is_none() && (as_word.is_none() || (is_as && name.is_some()));
        if base.is_none() || !fits {
            self.error_here::<()>("FROM requires either one or three arguments");
        }
        if let Some(name) =
            name.as_ref().filter(|name| fits && !is_stage_name(&name.text.to_lowercase()))
        {
            let text = format!(
                "invalid name for build stage: {:?}, name can't start with a number or contain symbols",
                name.text
            );
            self.found.push(Diagnostic::error(name.span, text));
        }
        // Without a base the rest of the stage can still be looked at.
        let base = base.unwrap_or_else(|| Word {
            text: "scratch".to_owned(),
            span: self.line.at(self.split.keyword.clone()),
        });
        let (as_word, name) = if is_as { (as_word, name) } else { (None, None) };
        From { base, platform, name, as_word }
    }

    fn arg(&mut self) -> Option<Vec<ArgDefinition>> {
        self.flags(flags::NONE);
        let pieces = words::quoted(&self.line.text, self.split.rest.clone(), self.escape);
        if pieces.is_empty() {
            return self.at_least_one();
        }
        let mut descriptions = descriptions(self.line);
        let mut out = Vec::new();
        for piece in pieces {
            let word = self.placed(piece);
            let (name, default) = match split_pair(&word) {
                Some((name, value)) => (name, Some(value)),
                None => (word, None),
            };
            if name.text.is_empty() {
                self.error_here::<()>("ARG names can not be blank");
                continue;
            }
            let description = descriptions.remove(name.text.as_str()).map(str::to_owned);
            out.push(ArgDefinition { name, default, description });
        }
        Some(out)
    }

    fn pairs(&mut self) -> Option<Vec<Pair>> {
        self.flags(flags::NONE);
        let pieces = words::quoted(&self.line.text, self.split.rest.clone(), self.escape);
        let Some(first) = pieces.first() else { return self.at_least_one() };
        if !first.text.contains('=') {
            return self.legacy_pair();
        }
        let mut out = Vec::new();
        for piece in pieces {
            let word = self.placed(piece);
            match split_pair(&word) {
                None => {
                    let text = format!(
                        "Syntax error - can't find = in {:?}. Must be of the form: name=value",
                        word.text
                    );
                    let problem = Diagnostic::error(word.span, text)
                        .hint("values with blanks need quotes: name=\"a b\"");
                    self.found.push(problem);
                }
                Some((key, _)) if key.text.is_empty() => {
                    let text = format!("{} names can not be blank", self.name);
                    self.found.push(Diagnostic::error(word.span, text));
                }
                Some((key, value)) => out.push(Pair { key, value, legacy: false }),
            }
        }
        Some(out)
    }

    /// `KEY the rest of the line`.
    fn legacy_pair(&mut self) -> Option<Vec<Pair>> {
        let range = self.split.rest.clone();
        let text = self.rest();
        let blank = |c: char| matches!(c, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ');
        let Some(end) = text.find(blank) else {
            return self.error_here(format!("{} must have two arguments", self.name));
        };
        let value = text.len() - text[end..].trim_start_matches(blank).len();
        let key = self.word(range.start..range.start + end);
        let value = self.word(range.start + value..range.end);
        Some(vec![Pair { key, value, legacy: true }])
    }

    fn transfer(&mut self, schema: Schema) -> Option<Transfer> {
        let mut flags = self.flags(schema);
        let mut words = self.json_or_words()?;
        let destination = words.pop();
        let Some(destination) = destination.filter(|_| !words.is_empty()) else {
            return self.error_here(format!(
                "{} requires at least two arguments, but only one was provided. \
                 Destination could not be determined",
                self.name
            ));
        };
        if heredoc::marker(&destination.text).is_some() {
            let text = format!("{} cannot accept a heredoc as a destination", self.name);
            self.found.push(Diagnostic::error(destination.span, text));
        }
        let mut out = Transfer {
            destination,
            from: flags.take("from"),
            chown: flags.take("chown"),
            chmod: flags.take("chmod"),
            checksum: flags.take("checksum"),
            link: flags.switch("link").unwrap_or(false),
            parents: flags.switch("parents").unwrap_or(false),
            keep_git_dir: flags.switch("keep-git-dir"),
            unpack: flags.switch("unpack"),
            exclude: flags.all("exclude"),
            ..Transfer::default()
        };
        // Bodies are found by name: of two markers with one name the last body counts.
        let bodies: HashMap<&str, &Arc<str>> =
            self.line.heredocs.iter().map(|h| (h.name.as_str(), &h.body)).collect();
        for word in words {
            match heredoc::marker(&word.text) {
                Some(marker) => {
                    let body =
                        bodies.get(marker.name.as_str()).copied().cloned().unwrap_or_default();
                    out.documents.push(heredoc::Heredoc { body, span: word.span, ..marker });
                }
                None => out.paths.push(word),
            }
        }
        Some(out)
    }

    fn onbuild(&mut self) -> Option<Onbuild> {
        self.flags(flags::NONE);
        if self.split.rest.is_empty() {
            return self.at_least_one();
        }
        let inner = words::split_command(self.rest(), self.escape);
        let keyword = self.rest()[inner.keyword].to_ascii_uppercase();
        match keyword.as_str() {
            "ONBUILD" => {
                return self.error_here("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
            }
            "FROM" | "MAINTAINER" => {
                return self.error_here(format!("{keyword} isn't allowed as an ONBUILD trigger"));
            }
            _ => {}
        }
        let mut trigger = self.rest().to_owned();
        for heredoc in &self.line.heredocs {
            trigger.push('\n');
            trigger.push_str(&heredoc.body);
            trigger.push_str(&heredoc.name);
        }
        let line = self.line.part(self.split.rest.clone());
        // What is wrong with it is for those who build on this image: advice, no error, here.
        let mut ignored = Diagnostics::default();
        let mut unknown = Unknown::default();
        let instruction = instruction(&line, self.escape, &mut ignored, &mut unknown);
        let instruction = instruction.filter(|_| !ignored.has_errors()).map(Box::new);
        Some(Onbuild { trigger, instruction })
    }
}

/// Comments `# NAME text` above, the first for each name.
fn descriptions(line: &Line) -> HashMap<&str, &str> {
    let comments = line.comments.iter().rev();
    comments.filter_map(|comment| comment.text.split_once(' ')).collect()
}

fn is_stage_name(name: &str) -> bool {
    let mut letters = name.bytes();
    letters.next().is_some_and(|b| b.is_ascii_lowercase())
        && letters.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b))
}

/// `name=value` in two words.
fn split_pair(word: &Word) -> Option<(Word, Word)> {
    let (name, value) = word.text.split_once('=')?;
    // Places are exact unless a continuation runs through the word.
    let middle = (word.span.start + name.len()).min(word.span.end);
    let key = Word { text: name.to_owned(), span: (word.span.start..middle).into() };
    let start = (middle + 1).min(word.span.end);
    Some((key, Word { text: value.to_owned(), span: (start..word.span.end).into() }))
}
