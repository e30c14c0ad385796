//! What names mean: stages, contexts, images; which stages a target needs.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};

use super::super::diagnostic::{Diagnostic, Diagnostics};
use super::super::dockerfile::{Dockerfile, Instruction, Kind, Mount};
use super::super::expand::{Expansion, Lexer};
use super::super::lint::{Advice, rules};
use super::super::source::Span;
use super::super::suggest;
use super::globals::Globals;
use super::{Input, PlanOptions};
use crate::spec::{Platform, Reference};

/// What a `FROM` means.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub name: Option<String>,
    pub base: Input,
    pub base_text: String,
    pub platform: Option<Platform>,
    /// A context of the stage's name stands for the whole stage.
    pub replaced: bool,
    /// Global arguments that `FROM` uses.
    pub uses: Vec<String>,
}

/// Stages by name and number.
#[derive(Debug, Default)]
pub(super) struct Names {
    by_name: HashMap<String, Vec<usize>>,
    count: usize,
    /// How often names were compared with those of stages.
    compared: Cell<usize>,
}

/// More names than this are not compared with those of stages.
const MAX_COMPARED: usize = 1000;

/// A need of a stage that one of its instructions brings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    pub to: usize,
    pub span: Span,
    pub mount: bool,
}

impl Names {
    /// The stage a name means in stage `at`: the latest above it, else the first at or below it.
    fn stage(&self, name: &str, at: usize) -> Option<usize> {
        let all = self.by_name.get(&name.to_lowercase())?;
        all.iter().rev().find(|index| **index < at).or(all.first()).copied()
    }

    fn add(&mut self, name: Option<&String>) {
        if let Some(name) = name {
            self.by_name.entry(name.clone()).or_default().push(self.count);
        }
        self.count += 1;
    }

    /// Where the files of `from=name` come from, in stage `at`. A number is one for `COPY` only.
    pub(super) fn input(
        &self,
        name: &str,
        at: usize,
        numbers: bool,
        options: &PlanOptions,
    ) -> Result<Input, String> {
        if numbers && let Ok(number) = name.parse::<i64>() {
            let index = usize::try_from(number).ok().filter(|index| *index < self.count);
            return index.map(Input::Stage).ok_or(format!("invalid stage index {number}"));
        }
        if let Some(index) = self.stage(name, at) {
            return Ok(Input::Stage(index));
        }
        if name == "scratch" {
            return Ok(Input::Scratch);
        }
        if let Some(context) = options.context(name, None) {
            return Ok(Input::Named(context));
        }
        image(name).map(Input::Image)
    }

    /// The stage that a name was probably meant to be, where it means an image instead.
    pub(super) fn nearly(&self, name: &str) -> Option<String> {
        let compared = self.compared.get();
        let plain = !name.contains(['/', ':', '@']) && compared < MAX_COMPARED;
        self.compared.set(compared + usize::from(plain));
        plain.then(|| suggest::nearest(name, self.all(), true)).flatten()
    }

    /// The target's index.
    pub(super) fn target(&self, wanted: &str) -> Option<usize> {
        let named = self.by_name.get(&wanted.to_lowercase()).and_then(|all| all.last()).copied();
        named.or_else(|| wanted.parse().ok().filter(|index| *index < self.count))
    }

    fn all(&self) -> BTreeSet<&str> {
        self.by_name.keys().map(String::as_str).collect()
    }
}

/// An image's full name.
fn image(name: &str) -> Result<String, String> {
    match Reference::parse(name) {
        Ok(reference) => Ok(reference.with_default_tag().to_string()),
        Err(error) => Err(format!("failed to parse stage name {name:?}: {}", error.chain())),
    }
}

/// What resolving needs.
pub(super) struct Resolver<'a> {
    pub file: &'a Dockerfile,
    pub options: &'a PlanOptions,
    pub globals: &'a Globals,
    pub budget: &'a mut super::super::expand::Budget,
    pub advice: &'a mut Advice,
    pub found: &'a mut Diagnostics,
}

impl Resolver<'_> {
    /// Reads every `FROM`.
    pub(super) fn heads(&mut self) -> (Vec<Head>, Names) {
        let mut names = Names::default();
        let mut heads = Vec::new();
        for index in 0..self.file.stages.len() {
            let head = self.head(index, &names);
            names.add(head.name.as_ref());
            heads.push(head);
        }
        (heads, names)
    }

    fn head(&mut self, index: usize, names: &Names) -> Head {
        let file = self.file;
        let stage = &file.stages[index];
        let from = &stage.from;
        let span = from.base.span;
        let base = self.head_word(&stage.start, &from.base.text, span);
        let mut head = Head {
            name: from.folded_name(),
            base: Input::Scratch,
            base_text: from.base.text.clone(),
            platform: None,
            replaced: false,
            uses: Vec::new(),
        };
        if let Some(word) = &from.platform {
            head.platform =
                self.platform(&stage.start, &word.text, word.span, &mut head.uses, &head.name);
        }
        if let Some(context) =
            head.name.as_ref().and_then(|name| self.options.context(name, head.platform.as_ref()))
        {
            head.base = Input::Named(context);
            head.replaced = true;
            return head;
        }
        let Some(base) = base else { return head };
        head.uses.extend(base.used.iter().cloned());
        if base.text.is_empty() {
            let text = format!("base name ({}) should not be blank", from.base.text);
            self.found.push(Diagnostic::error(span, text));
            return head;
        }
        head.base = match names.stage(&base.text, index) {
            Some(earlier) => Input::Stage(earlier),
            None if base.text == "scratch" => Input::Scratch,
            None => match self.options.context(&base.text, head.platform.as_ref()) {
                Some(context) => Input::Named(context),
                None => match image(&base.text) {
                    Ok(image) => Input::Image(image),
                    Err(text) => {
                        let known = suggest::nearest(&base.text, names.all(), true);
                        self.found.push(Diagnostic::error(span, text).suggest(known));
                        Input::Scratch
                    }
                },
            },
        };
        head
    }

    /// Expands a word of `FROM`, where only global arguments count.
    fn head_word(&mut self, from: &Instruction, text: &str, span: Span) -> Option<Expansion> {
        let lexer = Lexer::new(self.file.directives.escape);
        let expansion = match lexer.expand(text, &self.globals.scope, self.budget) {
            Ok(expansion) => expansion,
            Err(error) => {
                let text = format!("failed to process {text:?}: {error}");
                self.found.push(Diagnostic::error(span, text));
                return None;
            }
        };
        for name in expansion.unset.iter().filter(|name| !self.globals.knows(name)) {
            if self.advice.is_full() {
                break;
            }
            let mut text = format!("FROM argument '{name}' is not declared");
            if let Some(known) = self.nearest_argument(name) {
                text = format!("{text} (did you mean {known}?)");
            }
            self.advice.warn(&rules::UNDEFINED_ARG_IN_FROM, &from.comments, span, text);
        }
        Some(expansion)
    }

    fn nearest_argument(&self, name: &str) -> Option<String> {
        let declared = self.globals.arguments.iter().map(|argument| argument.name.as_str());
        suggest::nearest(name, self.globals.scope.names().chain(declared), false)
    }

    fn platform(
        &mut self,
        from: &Instruction,
        text: &str,
        span: Span,
        uses: &mut Vec<String>,
        name: &Option<String>,
    ) -> Option<Platform> {
        let expansion = self.head_word(from, text, span)?;
        uses.extend(expansion.used.iter().cloned());
        let known = expansion.unset.iter().take(10).find_map(|name| self.nearest_argument(name));
        if expansion.text.is_empty() {
            let text = format!("empty platform value from expression {text}");
            self.found.push(Diagnostic::error(span, text).suggest(known));
            return None;
        }
        match expansion.text.parse::<Platform>() {
            Ok(platform) => {
                self.advise_platform(from, text, span, &expansion, &platform, name);
                Some(platform)
            }
            Err(error) => {
                let text = format!("failed to parse platform {text}: {}", error.chain());
                self.found.push(Diagnostic::error(span, text).suggest(known));
                None
            }
        }
    }

    fn advise_platform(
        &mut self,
        from: &Instruction,
        text: &str,
        span: Span,
        expansion: &Expansion,
        platform: &Platform,
        name: &Option<String>,
    ) {
        use super::super::expand::Variables;
        let target = self.globals.scope.get("TARGETPLATFORM");
        if expansion.used == ["TARGETPLATFORM"]
            && expansion.unset.is_empty()
            && target == Some(expansion.text.as_str())
        {
            let text = format!(
                "Setting platform to predefined {text} in FROM is redundant as this is the default behavior"
            );
            self.advice.warn(&rules::REDUNDANT_TARGET_PLATFORM, &from.comments, span, text);
        }
        let name = name.as_deref().unwrap_or_default();
        let named = name.contains(&platform.os) || name.contains(&platform.architecture);
        if expansion.used.is_empty() && expansion.unset.is_empty() && !named {
            let text =
                format!("FROM --platform flag should not use constant value {:?}", expansion.text);
            self.advice.warn(
                &rules::FROM_PLATFORM_FLAG_CONST_DISALLOWED,
                &from.comments,
                span,
                text,
            );
        }
    }

    /// Whether the images are valid without any `--build-arg`.
    pub(super) fn check_defaults(&mut self) {
        let mut ignored = Diagnostics::default();
        let defaults =
            super::globals::evaluate(self.file, self.options, false, self.budget, &mut ignored);
        if ignored.has_errors() {
            return;
        }
        let lexer = Lexer::new(self.file.directives.escape);
        for stage in &self.file.stages {
            let base = &stage.from.base;
            let Ok(expansion) = lexer.expand(&base.text, &defaults.scope, self.budget) else {
                return;
            };
            if Reference::parse(&expansion.text).is_err() {
                let text = format!(
                    "Default value for ARG {} results in empty or invalid base image name",
                    base.text
                );
                let comments = &stage.start.comments;
                self.advice.warn(&rules::INVALID_DEFAULT_ARG_IN_FROM, comments, base.span, text);
            }
        }
    }

    /// The target's index; the last stage where it is not found.
    pub(super) fn target(&mut self, names: &Names) -> usize {
        let last = self.file.stages.len().saturating_sub(1);
        let Some(wanted) = &self.options.target else { return last };
        names.target(wanted).unwrap_or_else(|| {
            let span = self.file.stages.last().map(|stage| stage.start.span).unwrap_or_default();
            let all = names.all();
            let listed = all.iter().copied().collect::<Vec<_>>().join(", ");
            let known = suggest::nearest(wanted, all, true);
            let text = format!("target stage {wanted:?} could not be found");
            let problem = Diagnostic::error(span, text).suggest(known);
            self.found.push(match listed.is_empty() {
                true => problem.hint("no stage of this file has a name"),
                false => problem.hint(format!("stages of this file: {listed}")),
            });
            last
        })
    }
}

/// The stages that an instruction of stage `at` takes files from. `place` is where to point.
pub(super) fn edges(
    instruction: &Instruction,
    at: usize,
    names: &Names,
    options: &PlanOptions,
    place: &dyn Fn(Span) -> Span,
) -> Vec<Edge> {
    let edge = |name: &str, span: Span, mount: bool| match names.input(name, at, !mount, options) {
        Ok(Input::Stage(to)) => Some(Edge { to, span: place(span), mount }),
        _ => None,
    };
    match &instruction.kind {
        Kind::Copy(transfer) => {
            transfer.from.iter().filter_map(|from| edge(&from.text, from.span, false)).collect()
        }
        Kind::Run(run) => {
            let from = |word| Mount::check(word).ok().flatten().map(|from| (from, word.span));
            let all = run.mounts.iter().filter_map(from);
            all.filter_map(|(from, span)| edge(&from, span, true)).collect()
        }
        _ => Vec::new(),
    }
}
