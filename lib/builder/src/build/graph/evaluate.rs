//! One stage's instructions, in order, each seeing what those above it have set.

use std::collections::HashSet;
use std::sync::Arc;

use super::super::diagnostic::{Diagnostic, Diagnostics};
use super::super::dockerfile::{
    ArgDefinition, CommandLine, Dockerfile, Instruction, Kind, Onbuild, Pair, Word,
};
use super::super::expand::{Budget, ExpandError, Expansion, Lexer, Scope};
use super::super::lint::{Advice, rules};
use super::super::source::Span;
use super::super::suggest;
use super::globals::Globals;
use super::options::BaseImage;
use super::resolve::Names;
use super::{Argument, Operation, PlanOptions, Stage, Step, paths};

/// `PATH` where the base does not set it.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Declared, but none of the environment's business.
const NOT_IN_ENVIRONMENT: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

/// What an instruction sees.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub scope: Scope,
    /// Whether the base is known: otherwise an unset variable may be set by it.
    pub known: bool,
    /// Nothing while it hangs on an unknown base.
    pub workdir: Option<String>,
    pub user: String,
    /// Empty for the default.
    pub shell: Vec<String>,
    /// Arguments declared so far, each time again.
    pub declared: Vec<(String, Option<String>)>,
    declared_names: HashSet<String>,
    declared_size: usize,
    /// Whether a `WORKDIR` of this file has been seen.
    workdir_set: bool,
    /// Where CMD, ENTRYPOINT and HEALTHCHECK of this stage stand.
    once: [Option<Span>; 3],
}

impl State {
    fn empty() -> State {
        State {
            scope: Scope::default(),
            known: true,
            workdir: None,
            user: String::new(),
            shell: Vec::new(),
            declared: Vec::new(),
            declared_names: HashSet::new(),
            declared_size: 0,
            workdir_set: false,
            once: [None, None, None],
        }
    }

    /// On an image.
    pub(super) fn of(image: &BaseImage, budget: &mut Budget) -> Result<State, ExpandError> {
        let mut state = State::empty();
        state.scope.set("PATH", DEFAULT_PATH, true, budget)?;
        for entry in &image.env {
            let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
            state.scope.set(name, value, true, budget)?;
        }
        state.workdir = Some(paths::join("/", &image.workdir));
        state.user.clone_from(&image.user);
        state.shell.clone_from(&image.shell);
        Ok(state)
    }

    /// On something that nothing is known of.
    pub(super) fn unknown(budget: &mut Budget) -> State {
        let mut state = State::empty();
        state.known = false;
        // It has some PATH; which one is not known.
        let _ = state.scope.set("PATH", DEFAULT_PATH, false, budget);
        state
    }

    /// Forgets what counts per stage.
    pub(super) fn begin_stage(&mut self) {
        self.once = [None, None, None];
    }

    /// What a copy costs beyond the variables.
    pub(super) fn size(&self) -> usize {
        self.declared_size
    }

    fn declare(&mut self, name: &str, value: Option<String>) {
        self.declared_size += 32 + name.len() + value.as_ref().map_or(0, String::len);
        self.declared_names.insert(name.to_owned());
        self.declared.push((name.to_owned(), value));
    }
}

/// A value and whether it is known for sure.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub text: String,
    pub certain: bool,
}

pub(super) struct Evaluator<'a> {
    pub file: &'a Dockerfile,
    pub options: &'a PlanOptions,
    pub globals: &'a Globals,
    pub names: &'a Names,
    pub index: usize,
    pub advice: &'a mut Advice,
    pub found: &'a mut Diagnostics,
    pub budget: &'a mut Budget,
    pub state: State,
    pub stage: &'a mut Stage,
    /// While a trigger is executed: the `FROM` that brought it.
    pub trigger: Option<Span>,
}

impl Evaluator<'_> {
    /// Executes one instruction.
    pub(super) fn instruction(&mut self, instruction: &Instruction) {
        // Said already.
        if self.budget.is_spent() {
            return;
        }
        let made = match &instruction.kind {
            Kind::Add(transfer) => self.transfer(instruction, transfer, true),
            Kind::Copy(transfer) => self.transfer(instruction, transfer, false),
            Kind::Run(run) => self.run(instruction, run),
            Kind::Arg(definitions) => self.arg(instruction, definitions),
            Kind::Env(pairs) => self.env(instruction, pairs),
            Kind::Label(pairs) => self.label(instruction, pairs),
            Kind::Cmd(command) => {
                self.used_once(instruction, 0);
                self.command(instruction, command)
                    .map(|(words, sure)| (Operation::Cmd(words), sure))
            }
            Kind::Entrypoint(command) => {
                self.used_once(instruction, 1);
                let made = self.command(instruction, command);
                made.map(|(words, sure)| (Operation::Entrypoint(words), sure))
            }
            Kind::Healthcheck(check) => {
                self.used_once(instruction, 2);
                Some((Operation::Healthcheck(check.clone()), true))
            }
            Kind::Expose(words) => self.expose(instruction, words),
            Kind::Volume(words) => self.volume(instruction, words),
            Kind::Shell(words) => {
                self.state.shell.clone_from(words);
                Some((Operation::Shell(words.clone()), true))
            }
            Kind::StopSignal(word) => self.stop_signal(instruction, word),
            Kind::User(word) => self.expand(instruction, word).map(|user| {
                self.state.user.clone_from(&user.text);
                (Operation::User(user.text), user.certain)
            }),
            Kind::Workdir(word) => self.workdir(instruction, word),
            Kind::Maintainer(word) => Some((Operation::Maintainer(word.text.clone()), true)),
            Kind::Onbuild(onbuild) => self.onbuild(instruction, onbuild),
            Kind::From(_) => None,
        };
        if let Some((operation, certain)) = made {
            self.stage.steps.push(Step {
                span: self.trigger.unwrap_or(instruction.span),
                text: instruction.text.clone(),
                trigger: self.trigger.is_some(),
                certain,
                operation,
            });
        }
    }

    // Tools.

    /// Where to point.
    pub(super) fn place(&self, span: Span) -> Span {
        self.trigger.unwrap_or(span)
    }

    pub(super) fn error(&mut self, span: Span, text: impl Into<String>) {
        let span = self.place(span);
        self.found.push(Diagnostic::error(span, text));
    }

    /// A lexer for this stage.
    pub(super) fn lexer(&self) -> Lexer {
        // Triggers are kept without the file that they were written in: the default escape.
        let escape = if self.trigger.is_some() { '\\' } else { self.file.directives.escape };
        Lexer { keep_unset: !self.state.known, ..Lexer::new(escape) }
    }

    /// Expands a word of an instruction.
    pub(super) fn expand(&mut self, instruction: &Instruction, word: &Word) -> Option<Value> {
        let expansion = self.expanded(instruction, self.lexer(), &word.text, word.span)?;
        Some(self.value(expansion))
    }

    pub(super) fn value(&self, expansion: Expansion) -> Value {
        let certain = (self.state.known || expansion.unset.is_empty())
            && expansion.used.iter().all(|name| self.state.scope.is_certain(name));
        Value { text: expansion.text, certain }
    }

    /// Expands a text and tells of variables that nobody sets.
    pub(super) fn expanded(
        &mut self,
        instruction: &Instruction,
        lexer: Lexer,
        text: &str,
        span: Span,
    ) -> Option<Expansion> {
        match lexer.expand(text, &self.state.scope, self.budget) {
            Ok(expansion) => {
                self.advise_unset(instruction, &expansion.unset, span);
                Some(expansion)
            }
            Err(error) => {
                self.error(span, format!("failed to process {}: {error}", shortened(text)));
                None
            }
        }
    }

    pub(super) fn advise_unset(&mut self, instruction: &Instruction, unset: &[String], span: Span) {
        for name in unset {
            if self.state.declared_names.contains(name)
                || NOT_IN_ENVIRONMENT.contains(&name.as_str())
            {
                continue;
            }
            if self.advice.is_full() {
                return;
            }
            let known = suggest::nearest(name, self.state.scope.names(), false);
            // An unknown base may set it; by custom it does so in capitals.
            if !self.state.known && known.is_none() && !name.contains(char::is_lowercase) {
                continue;
            }
            let mut text = format!("Usage of undefined variable '${name}'");
            if let Some(known) = known {
                text = format!("{text} (did you mean ${known}?)");
            }
            let span = self.place(span);
            self.advice.warn(&rules::UNDEFINED_VAR, &instruction.comments, span, text);
        }
    }

    fn set(&mut self, name: &str, value: &Value, span: Span) -> Option<()> {
        match self.state.scope.set(name, &value.text, value.certain, self.budget) {
            Ok(()) => Some(()),
            Err(error) => {
                self.error(span, error.to_string());
                None
            }
        }
    }

    /// CMD, ENTRYPOINT and HEALTHCHECK: of several in a stage only the last counts.
    fn used_once(&mut self, instruction: &Instruction, which: usize) {
        let here = self.place(instruction.keyword.span);
        if let Some(span) = self.state.once[which].replace(here) {
            let text = format!(
                "Multiple {} instructions should not be used in the same stage because only the last one will be used",
                instruction.keyword.text
            );
            let comments = &instruction.comments;
            self.advice.warn(&rules::MULTIPLE_INSTRUCTIONS_DISALLOWED, comments, span, text);
        }
    }

    /// The shell in front of a shell form.
    pub(super) fn shell(&self) -> Vec<String> {
        match self.state.shell.is_empty() {
            true => vec!["/bin/sh".to_owned(), "-c".to_owned()],
            false => self.state.shell.clone(),
        }
    }

    // Instructions.

    fn command(
        &mut self,
        instruction: &Instruction,
        command: &CommandLine,
    ) -> Option<(Vec<String>, bool)> {
        match command {
            CommandLine::Exec(words) => Some((words.clone(), true)),
            CommandLine::Shell(word) => {
                if self.state.shell.is_empty() {
                    let text = format!(
                        "JSON arguments recommended for {} to prevent unintended behavior related to OS signals",
                        instruction.keyword.text
                    );
                    let span = self.place(instruction.keyword.span);
                    let comments = &instruction.comments;
                    self.advice.warn(&rules::JSON_ARGS_RECOMMENDED, comments, span, text);
                }
                let mut words = self.shell();
                words.push(word.text.clone());
                Some((words, self.state.known || !self.state.shell.is_empty()))
            }
        }
    }

    fn pairs(&mut self, instruction: &Instruction, pairs: &[Pair]) -> Option<Vec<(String, Value)>> {
        // All see the variables as they were before the instruction.
        let mut out = Vec::new();
        let mut complete = true;
        for pair in pairs {
            if pair.legacy {
                let keyword = &instruction.keyword.text;
                let text = format!(
                    "\"{keyword} key=value\" should be used instead of legacy \"{keyword} key value\" format"
                );
                let span = self.place(instruction.keyword.span);
                let comments = &instruction.comments;
                self.advice.warn(&rules::LEGACY_KEY_VALUE_FORMAT, comments, span, text);
            }
            let key = self.expand(instruction, &pair.key);
            match (key, self.expand(instruction, &pair.value)) {
                (Some(key), Some(mut value)) => {
                    value.certain &= key.certain;
                    out.push((key.text, value));
                }
                _ => complete = false,
            }
        }
        complete.then_some(out)
    }

    fn env(&mut self, instruction: &Instruction, pairs: &[Pair]) -> Option<(Operation, bool)> {
        let values = self.pairs(instruction, pairs)?;
        for ((name, value), pair) in values.iter().zip(pairs) {
            self.advise_secret(instruction, "ENV", name, pair.key.span);
            self.set(name, value, pair.key.span)?;
        }
        let certain = values.iter().all(|(_, value)| value.certain);
        let values = values.into_iter().map(|(name, value)| (name, value.text)).collect();
        Some((Operation::Env(values), certain))
    }

    fn label(&mut self, instruction: &Instruction, pairs: &[Pair]) -> Option<(Operation, bool)> {
        let values = self.pairs(instruction, pairs)?;
        let certain = values.iter().all(|(_, value)| value.certain);
        let values = values.into_iter().map(|(name, value)| (name, value.text)).collect();
        Some((Operation::Label(values), certain))
    }

    fn advise_secret(&mut self, instruction: &Instruction, keyword: &str, name: &str, span: Span) {
        if !rules_secret(name) {
            return;
        }
        let text =
            format!("Do not use ARG or ENV instructions for sensitive data ({keyword} {name:?})");
        let span = self.place(span);
        self.advice.warn(&rules::SECRETS_USED_IN_ARG_OR_ENV, &instruction.comments, span, text);
    }

    fn arg(
        &mut self,
        instruction: &Instruction,
        definitions: &[ArgDefinition],
    ) -> Option<(Operation, bool)> {
        let mut out = Vec::new();
        let mut certain = true;
        for definition in definitions {
            let value = self.define(instruction, definition)?;
            certain &= value.as_ref().is_none_or(|value| value.certain);
            out.push((definition.name.text.clone(), value.map(|value| value.text)));
        }
        Some((Operation::Arg(out), certain))
    }

    /// Declares one argument: `--build-arg`, else its default, else the global one.
    fn define(
        &mut self,
        instruction: &Instruction,
        definition: &ArgDefinition,
    ) -> Option<Option<Value>> {
        use super::super::expand::Variables;
        let name = definition.name.text.as_str();
        let span = definition.name.span;
        self.advise_secret(instruction, "ARG", name, span);
        let raw = |text: &str| Value { text: text.to_owned(), certain: true };
        let mut inherited = false;
        let value = match (self.options.argument(name), &definition.default) {
            (Some(given), _) => Some(raw(given)),
            (None, Some(word)) => Some(self.expand(instruction, word)?),
            (None, None) => {
                let global = self.globals.scope.get(name).map(raw);
                inherited = global.is_some();
                global
            }
        };
        if let Some(value) = value.as_ref().filter(|_| !NOT_IN_ENVIRONMENT.contains(&name)) {
            self.set(name, value, span)?;
        }
        self.state.declare(name, value.as_ref().map(|value| value.text.clone()));
        let global = self.globals.declared(name).filter(|_| inherited);
        // Arguments about platforms are nobody's to give.
        if global.is_some() || !inherited {
            let own = || {
                Arc::new(Argument {
                    name: name.to_owned(),
                    value: value.as_ref().map(|value| value.text.clone()),
                    description: definition.description.clone(),
                    span: self.place(span),
                    uses: Vec::new(),
                })
            };
            let argument = global.cloned().unwrap_or_else(own);
            self.stage.arguments.push(argument);
        }
        Some(value)
    }

    fn workdir(&mut self, instruction: &Instruction, word: &Word) -> Option<(Operation, bool)> {
        let value = self.expand(instruction, word)?;
        let absolute = value.text.starts_with('/');
        if !self.state.workdir_set && !absolute && value.certain {
            let text = format!(
                "Relative workdir {:?} can have unexpected results if the base image changes",
                value.text
            );
            let span = self.place(word.span);
            let comments = &instruction.comments;
            self.advice.warn(&rules::WORKDIR_RELATIVE_PATH, comments, span, text);
        }
        self.state.workdir_set = true;
        let base = self.state.workdir.clone().or_else(|| absolute.then(|| "/".to_owned()));
        let base = base.filter(|_| value.certain);
        self.state.workdir = base.map(|base| paths::join(&base, &value.text));
        let shown = self.state.workdir.clone().unwrap_or(value.text);
        Some((Operation::Workdir(shown), self.state.workdir.is_some()))
    }

    fn onbuild(
        &mut self,
        instruction: &Instruction,
        onbuild: &Onbuild,
    ) -> Option<(Operation, bool)> {
        if onbuild.instruction.is_none() {
            let text = "ONBUILD holds an instruction that images built on this one cannot execute";
            let span = self.place(instruction.keyword.span);
            self.advice.warn(&rules::INVALID_ONBUILD_TRIGGER, &instruction.comments, span, text);
        }
        Some((Operation::Onbuild(onbuild.trigger.clone()), true))
    }
}

/// The beginning of a text, quoted.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// Whether a name looks like that of a secret: one of its words is a word for one, and none says
/// that it is public or only names a file or a version.
fn rules_secret(name: &str) -> bool {
    const SECRET: [&str; 10] = [
        "apikey",
        "auth",
        "credential",
        "credentials",
        "key",
        "password",
        "pword",
        "passwd",
        "secret",
        "token",
    ];
    const HARMLESS: [&str; 3] = ["public", "file", "version"];
    let lower = name.to_lowercase();
    let has = |words: &[&str]| lower.split('_').any(|word| words.contains(&word));
    has(&SECRET) && !has(&HARMLESS)
}
