//! One stage, step by step.

use std::time::Instant;

use super::super::diagnostic::Diagnostic;
use super::super::graph::{Input, Operation, Place, Stage, Step, Transfer};
use super::super::image::Draft;
use super::options::{BuildEvent, Failure, StepName};
use super::{BuildResult, Builder, named_image};
use crate::error::{Error, Result};
use crate::spec::Platform;

/// How a step came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// It changes the config only.
    Config,
    /// It was found.
    Cached,
    /// It was made.
    Made,
}

impl Builder<'_> {
    /// Makes a stage, whose needs are made.
    pub(super) fn stage(&self, index: usize, stage: &Stage) -> BuildResult<Draft> {
        let title = stage.title(index);
        let total = stage.steps.len() + 1;
        let from = format!("FROM {}", stage.base_text);
        let name = |number, text| StepName { stage: &title, number, total, text };
        let mut draft = self.begin(stage).map_err(|error| {
            let problem = Diagnostic::error(stage.span, error.chain());
            Failure::at(self.checked, problem, error)
        })?;
        match self.files_of(stage, &from) {
            Some(step) => self.timed(&mut draft, &step, name(1, &from))?,
            None => self.reporter.event(BuildEvent::Cached(name(1, &from))),
        }
        for (number, step) in stage.steps.iter().enumerate() {
            self.timed(&mut draft, step, name(number + 2, &step.text))?;
        }
        Ok(draft)
    }

    /// Carries a step out and tells how that went.
    fn timed(&self, draft: &mut Draft, step: &Step, name: StepName<'_>) -> BuildResult<()> {
        let begun = Instant::now();
        match self.step(draft, step, name)? {
            How::Config => {}
            How::Cached => {
                self.count(true);
                self.reporter.event(BuildEvent::Cached(name));
            }
            How::Made => {
                self.count(false);
                self.reporter.event(BuildEvent::Done(name, begun.elapsed().as_secs_f64()));
            }
        }
        Ok(())
    }

    /// The step that makes a layer of the directory that a stage starts with, if it does.
    fn files_of(&self, stage: &Stage, from: &str) -> Option<Step> {
        self.directory(&stage.base)?;
        let transfer = Transfer {
            from: Some(stage.base.clone()),
            sources: vec![Place::Path(".".to_owned())],
            destination: "/".to_owned(),
            destination_text: "/".to_owned(),
            ..Transfer::default()
        };
        Some(Step {
            span: stage.span,
            text: from.to_owned(),
            trigger: false,
            certain: true,
            operation: Operation::Transfer(Box::new(transfer)),
        })
    }

    /// What a stage starts with.
    fn begin(&self, stage: &Stage) -> Result<Draft> {
        let platform = stage.platform.as_ref().unwrap_or(&self.options.platform);
        let mut draft = match &stage.base {
            Input::Scratch => Draft::scratch(platform),
            Input::Stage(index) => self.draft(*index)?.next_stage(),
            Input::Image(name) => (*self.image(name, platform)?).clone(),
            Input::Named(key) => match named_image(&self.options.contexts, key) {
                Some(name) => (*self.image(name, platform)?).clone(),
                None => Draft::scratch(platform),
            },
            Input::Context => {
                return Err(Error::unsupported("building on the build context is not possible"));
            }
        };
        if let Some(Platform { os, architecture, variant, .. }) = &stage.platform {
            draft.config.os.clone_from(os);
            draft.config.architecture.clone_from(architecture);
            draft.config.variant.clone_from(variant);
        }
        if !self.options.inherit_labels {
            draft.config.config.labels.clear();
        }
        Ok(draft)
    }

    fn step(&self, draft: &mut Draft, step: &Step, name: StepName<'_>) -> BuildResult<How> {
        let result = match &step.operation {
            Operation::Transfer(transfer) => self.transfer(draft, step, transfer, name),
            Operation::Workdir(path) => {
                let made = self.workdir(draft, step, path, name.stage);
                draft.apply(step);
                made.map_err(Failure::from)
            }
            Operation::Run(run) => self.run(draft, step, run, name),
            _ => {
                draft.apply(step);
                Ok(How::Config)
            }
        };
        result.map_err(|failure| self.placed(step, failure))
    }

    /// A failure with the place of its step.
    fn placed(&self, step: &Step, failure: Failure) -> Failure {
        if failure.shown.is_some() {
            return failure;
        }
        let problem = Diagnostic::error(step.span, failure.error.chain());
        let Failure { error, code, tail, kept, .. } = failure;
        Failure { code, tail, kept, ..Failure::at(self.checked, problem, error) }
    }
}
