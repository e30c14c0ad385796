//! From a file to a plan: which stages, in which order, with which triggers.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::diagnostic::{Diagnostic, Diagnostics};
use super::super::dockerfile::{Dockerfile, Instruction, Kind, parse_trigger};
use super::super::expand::Budget;
use super::super::lint::{Advice, rules};
use super::super::source::Span;
use super::evaluate::{Evaluator, State};
use super::globals::{self, Globals};
use super::options::{BaseImage, Bases, PlanOptions, context_base};
use super::resolve::{self, Edge, Head, Names, Resolver};
use super::{Input, Plan, Stage};
use crate::spec::Platform;

/// What reading a trigger again costs beyond its text.
const TRIGGER: usize = 256;

/// References below their use are looked at one by one up to this number.
const MAX_CYCLES: usize = 20;

/// Works out what a build would do. Mistakes go to `found`, advice to `advice`; the plan is
/// complete only when there are no mistakes.
pub fn plan(
    file: &Dockerfile,
    options: &PlanOptions,
    bases: Bases<'_>,
    advice: &mut Advice,
    found: &mut Diagnostics,
) -> Plan {
    if file.stages.is_empty() {
        return Plan::default();
    }
    let mut budget = Budget::default();
    let globals = globals::evaluate(file, options, true, &mut budget, found);
    let mut resolver =
        Resolver { file, options, globals: &globals, budget: &mut budget, advice, found };
    resolver.check_defaults();
    let (heads, names) = resolver.heads();
    let target = resolver.target(&names);
    let count = heads.len();
    let mut planner = Planner {
        file,
        options,
        globals: &globals,
        heads,
        names,
        bases,
        advice,
        found,
        budget,
        images: vec![None; count],
        triggers: vec![None; count],
        needs: vec![BTreeSet::new(); count],
        states: Vec::new(),
    };
    let reachable = planner.reach(target);
    let stages = planner.evaluate(&reachable);
    planner.finish(stages, target)
}

struct Planner<'a> {
    file: &'a Dockerfile,
    options: &'a PlanOptions,
    globals: &'a Globals,
    heads: Vec<Head>,
    names: Names,
    bases: Bases<'a>,
    advice: &'a mut Advice,
    found: &'a mut Diagnostics,
    budget: Budget,
    /// What the base image of each stage contributes, where it was asked for and is known.
    images: Vec<Option<BaseImage>>,
    /// The triggers of each stage that was looked at.
    triggers: Vec<Option<Vec<Instruction>>>,
    needs: Vec<BTreeSet<usize>>,
    /// How each stage ends.
    states: Vec<Option<State>>,
}

impl Planner<'_> {
    /// The stages that `target` needs, with what they need noted.
    fn reach(&mut self, target: usize) -> Vec<bool> {
        let mut reachable = vec![false; self.heads.len()];
        let mut backward = Vec::new();
        self.visit(target, &mut reachable, &mut backward);
        let needed = reachable.clone();
        if self.options.all_stages {
            for index in 0..self.heads.len() {
                self.visit(index, &mut reachable, &mut backward);
            }
        }
        self.tell_order(&backward);
        needed
    }

    fn visit(&mut self, first: usize, seen: &mut [bool], backward: &mut Vec<(usize, Edge)>) {
        let mut ahead = vec![first];
        while let Some(index) = ahead.pop() {
            if std::mem::replace(&mut seen[index], true) {
                continue;
            }
            for edge in self.edges(index) {
                self.needs[index].insert(edge.to);
                if edge.to >= index {
                    backward.push((index, edge));
                }
                ahead.push(edge.to);
            }
            if let Input::Stage(base) = self.heads[index].base {
                self.needs[index].insert(base);
                ahead.push(base);
            }
        }
    }

    /// What a stage takes from others, by its own instructions and by triggers of its base.
    fn edges(&mut self, index: usize) -> Vec<Edge> {
        if self.heads[index].replaced {
            return Vec::new();
        }
        let triggers = self.find_triggers(index);
        let stage = &self.file.stages[index];
        let from = stage.start.span;
        let mut out = Vec::new();
        for instruction in &triggers {
            out.extend(resolve::edges(instruction, index, &self.names, self.options, &|_| from));
        }
        for instruction in &stage.body {
            out.extend(resolve::edges(instruction, index, &self.names, self.options, &|span| span));
        }
        self.triggers[index] = Some(triggers);
        out
    }

    /// The instructions that the base of a stage makes it execute.
    fn find_triggers(&mut self, index: usize) -> Vec<Instruction> {
        let texts: Vec<String> = match self.heads[index].base.clone() {
            Input::Stage(base) if base < index => {
                let trigger = |instruction: &Instruction| match &instruction.kind {
                    Kind::Onbuild(onbuild) => Some(onbuild.trigger.clone()),
                    _ => None,
                };
                let replaced = self.heads[base].replaced;
                let body = self.file.stages[base].body.iter().filter(|_| !replaced);
                body.filter_map(trigger).collect()
            }
            Input::Image(name) => self.triggers_of(index, &name),
            Input::Named(name) => self.triggers_of(index, &context_base(&name)),
            _ => Vec::new(),
        };
        let span = self.file.stages[index].from.base.span;
        let mut out = Vec::new();
        for text in texts {
            if let Err(error) = self.budget.pay(text.len() + TRIGGER) {
                self.found.push(Diagnostic::error(span, error.to_string()));
                return out;
            }
            let read = parse_trigger(&text);
            match read.diagnostics.list().iter().find(|_| read.diagnostics.has_errors()) {
                Some(problem) => {
                    let text = format!("the base's ONBUILD {text:?}: {}", problem.message);
                    self.found.push(Diagnostic::error(span, text));
                }
                None => out.extend(read.globals),
            }
        }
        out
    }

    /// Asks for a base image; its triggers.
    fn triggers_of(&mut self, index: usize, name: &str) -> Vec<String> {
        let platform = self.platform(index);
        self.images[index] = (self.bases)(name, &platform);
        self.images[index].as_ref().map(|image| image.on_build.clone()).unwrap_or_default()
    }

    fn platform(&self, index: usize) -> Platform {
        self.heads[index].platform.clone().unwrap_or_else(|| self.options.platform.clone())
    }

    /// Tells of references to stages that stand below.
    fn tell_order(&mut self, backward: &[(usize, Edge)]) {
        for (count, (index, edge)) in backward.iter().enumerate() {
            let title = |index: usize| self.title(index);
            let circular = count < MAX_CYCLES && self.leads(edge.to, *index);
            let text = match (circular, edge.mount) {
                (true, _) => format!("circular dependency detected on stage: {}", title(*index)),
                (false, false) => format!(
                    "cannot copy from stage {:?}, it needs to be defined before current stage {:?}",
                    title(edge.to),
                    title(*index)
                ),
                (false, true) => format!(
                    "cannot mount from stage {:?}, stage needs to be defined before current command",
                    title(edge.to)
                ),
            };
            let line = self.file.source.line_of(self.file.stages[edge.to].start.span.start);
            let problem = Diagnostic::error(edge.span, text);
            self.found.push(match edge.to == *index {
                true => problem.hint("a stage cannot take files from itself"),
                false => problem.hint(format!("stage {:?} starts on line {line}", title(edge.to))),
            });
        }
    }

    fn title(&self, index: usize) -> String {
        self.heads[index].name.clone().unwrap_or_else(|| format!("stage-{index}"))
    }

    /// Whether stage `from` needs stage `to`, itself or by others.
    fn leads(&self, from: usize, to: usize) -> bool {
        let mut seen = vec![false; self.heads.len()];
        let mut ahead = vec![from];
        while let Some(index) = ahead.pop() {
            if index == to {
                return true;
            }
            if !std::mem::replace(&mut seen[index], true) {
                ahead.extend(&self.needs[index]);
            }
        }
        false
    }

    fn evaluate(&mut self, reachable: &[bool]) -> Vec<Stage> {
        let mut out = Vec::new();
        for (index, reachable) in reachable.iter().enumerate() {
            let head = self.heads[index].clone();
            let from = &self.file.stages[index];
            let name = head.name.clone();
            let mut stage = Stage {
                description: name
                    .as_deref()
                    .and_then(|name| from.start.description(name))
                    .map(str::to_owned),
                name,
                span: from.start.span,
                base_text: head.base_text.clone(),
                base: head.base.clone(),
                platform: head.platform.clone(),
                reachable: *reachable,
                needs: self.needs[index].iter().copied().collect(),
                steps: Vec::new(),
                arguments: self.used(&head),
                known: true,
            };
            let state = match (reachable | self.options.all_stages) && !head.replaced {
                true => self.evaluate_stage(index, &mut stage),
                false => None,
            };
            self.states.push(state);
            out.push(stage);
        }
        out
    }

    fn evaluate_stage(&mut self, index: usize, stage: &mut Stage) -> Option<State> {
        let mut state = self.start(index)?;
        stage.known = state.known;
        state.begin_stage();
        let triggers = self.triggers[index].take().unwrap_or_default();
        let mut evaluator = Evaluator {
            file: self.file,
            options: self.options,
            globals: self.globals,
            names: &self.names,
            index,
            advice: self.advice,
            found: self.found,
            budget: &mut self.budget,
            state,
            stage,
            trigger: None,
        };
        let from = self.file.stages[index].from.base.span;
        for instruction in &triggers {
            evaluator.trigger = Some(from);
            evaluator.instruction(instruction);
        }
        evaluator.trigger = None;
        for instruction in &self.file.stages[index].body {
            evaluator.instruction(instruction);
        }
        Some(evaluator.state)
    }

    /// What a stage starts with.
    fn start(&mut self, index: usize) -> Option<State> {
        let known = match self.heads[index].base.clone() {
            Input::Stage(base) => {
                let state = self.states.get(base).and_then(Option::as_ref).cloned();
                let state = state.unwrap_or_else(|| State::unknown(&mut self.budget));
                return self.paid(state, index);
            }
            Input::Scratch => Some(BaseImage::empty()),
            Input::Image(name) | Input::Named(name) => {
                let image = self.images[index].take();
                if let Some(image) = &image {
                    self.advise_image(index, &name, image);
                }
                image
            }
            Input::Context => None,
        };
        match known {
            Some(image) => match State::of(&image, &mut self.budget) {
                Ok(state) => Some(state),
                Err(error) => self.too_much(index, &error.to_string()),
            },
            None => Some(State::unknown(&mut self.budget)),
        }
    }

    /// Arguments are copied from stage to stage; that costs as well.
    fn paid(&mut self, state: State, index: usize) -> Option<State> {
        match self.budget.pay(state.size()) {
            Ok(()) => Some(state),
            Err(error) => self.too_much(index, &error.to_string()),
        }
    }

    fn too_much<T>(&mut self, index: usize, text: &str) -> Option<T> {
        let span: Span = self.file.stages[index].from.base.span;
        self.found.push(Diagnostic::error(span, text));
        None
    }

    fn advise_image(&mut self, index: usize, name: &str, image: &BaseImage) {
        let Some(actual) = &image.platform else { return };
        let expected = self.platform(index);
        if expected.os == actual.os && expected.architecture == actual.architecture {
            return;
        }
        let stage = &self.file.stages[index];
        let text = format!(
            "Base image {name} was pulled with platform {:?}, expected {:?} for current build",
            actual.to_string(),
            expected.to_string()
        );
        let span = stage.from.base.span;
        self.advice.warn(&rules::INVALID_BASE_IMAGE_PLATFORM, &stage.start.comments, span, text);
    }

    /// The global arguments that `FROM` uses.
    fn used(&self, head: &Head) -> Vec<Arc<super::Argument>> {
        head.uses.iter().filter_map(|name| self.globals.declared(name)).cloned().collect()
    }

    fn finish(self, stages: Vec<Stage>, target: usize) -> Plan {
        let given = &self.options.build_arguments;
        let proxies = given.iter().filter(|(name, _)| globals::is_proxy(name)).cloned().collect();
        let declared: BTreeSet<&str> = self
            .file
            .globals
            .iter()
            .chain(self.file.stages.iter().flat_map(|stage| &stage.body))
            .filter_map(|instruction| match &instruction.kind {
                Kind::Arg(definitions) => Some(definitions),
                _ => None,
            })
            .flatten()
            .map(|definition| definition.name.text.as_str())
            .collect();
        let unused = |name: &&str| !declared.contains(name) && !globals::needs_no_declaration(name);
        let unused_arguments =
            given.iter().map(|(name, _)| name.as_str()).filter(unused).map(str::to_owned).collect();
        let epoch = "SOURCE_DATE_EPOCH";
        let global = self.globals.declared(epoch).and_then(|argument| argument.value.clone());
        let source_date_epoch = self
            .options
            .argument(epoch)
            .map(str::to_owned)
            .or(global.filter(|value| !value.is_empty()));
        Plan {
            stages,
            target,
            globals: self.globals.arguments.clone(),
            proxies,
            source_date_epoch,
            unused_arguments,
        }
    }
}
