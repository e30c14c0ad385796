//! Rules about the text itself: nothing needs to be expanded for them.

use std::collections::HashSet;

use super::super::diagnostic::Diagnostic;
use super::super::dockerfile::{Dockerfile, Instruction, Kind, Stage};
use super::super::source::Span;
use super::{Advice, rules};

/// Looks at all instructions of a file.
pub fn examine(file: &Dockerfile, advice: &mut Advice) {
    let stages = &file.stages;
    for instruction in file.globals.iter().chain(stages.iter().flat_map(whole)) {
        blanks(instruction, advice);
        match &instruction.kind {
            Kind::Maintainer(_) => {
                let text = "Maintainer instruction is deprecated in favor of using label";
                let hint = "LABEL org.opencontainers.image.authors=\"...\"";
                let warning =
                    Diagnostic::warning(rules::MAINTAINER_DEPRECATED.name, instruction.span, text);
                advice.add(
                    &rules::MAINTAINER_DEPRECATED,
                    &instruction.comments,
                    warning.hint(hint),
                );
            }
            Kind::From(_) => from(instruction, advice),
            Kind::Arg(definitions) => {
                let names: Vec<&str> = definitions.iter().map(|d| d.name.text.as_str()).collect();
                description(instruction, "ARG", &names, advice);
            }
            _ => {}
        }
    }
    stage_names(stages, advice);
    keyword_casing(stages, advice);
}

/// A stage's `FROM` and what follows it.
fn whole(stage: &Stage) -> impl Iterator<Item = &Instruction> {
    std::iter::once(&stage.start).chain(&stage.body)
}

/// `NoEmptyContinuation`: once for an instruction, at the first blank line.
fn blanks(instruction: &Instruction, advice: &mut Advice) {
    if let Some(blank) = instruction.blanks.first() {
        let rule = &rules::NO_EMPTY_CONTINUATION;
        advice.warn(rule, &instruction.comments, *blank, "Empty continuation line");
    }
}

fn from(instruction: &Instruction, advice: &mut Advice) {
    let Kind::From(from) = &instruction.kind else { return };
    let comments = &instruction.comments;
    let Some(name) = &from.name else { return };
    if name.text != name.text.to_lowercase() {
        let text = format!("Stage name '{}' should be lowercase", name.text);
        advice.warn(&rules::STAGE_NAME_CASING, comments, name.span, text);
    }
    if let Some(as_word) = &from.as_word {
        // A keyword in mixed case is another rule's business.
        let keyword = instruction.keyword.text.as_str();
        let same = match (keyword == keyword.to_lowercase(), keyword == keyword.to_uppercase()) {
            (true, _) => as_word.text == as_word.text.to_lowercase(),
            (_, true) => as_word.text == as_word.text.to_uppercase(),
            _ => true,
        };
        if !same {
            let text = format!("'{}' and '{keyword}' keywords' casing do not match", as_word.text);
            advice.warn(&rules::FROM_AS_CASING, comments, as_word.span, text);
        }
    }
    description(instruction, "FROM", &[name.text.to_lowercase().as_str()], advice);
}

/// `InvalidDefinitionDescription`: the last comment above begins with a name that is defined.
fn description(instruction: &Instruction, keyword: &str, names: &[&str], advice: &mut Advice) {
    let Some(comment) = instruction.comments.last() else { return };
    let first = comment.text.split(' ').next().unwrap_or_default();
    if names.contains(&first) {
        return;
    }
    let example = if let [name] = names { name } else { "<arg_key>" };
    let text =
        format!("Comment for {keyword} should follow the format: `# {example} <description>`");
    let rule = &rules::INVALID_DEFINITION_DESCRIPTION;
    advice.warn(rule, &instruction.comments, instruction.keyword.span, text);
}

fn stage_names(stages: &[Stage], advice: &mut Advice) {
    let mut seen = HashSet::new();
    for stage in stages {
        let comments = &stage.start.comments;
        let (Some(name), Some(word)) = (stage.from.folded_name(), &stage.from.name) else {
            continue;
        };
        if matches!(name.as_str(), "scratch" | "context") {
            let text =
                format!("Stage name should not use the same name as reserved stage {name:?}");
            advice.warn(&rules::RESERVED_STAGE_NAME, comments, word.span, text);
        }
        if !seen.insert(name.clone()) {
            let text = format!("Duplicate stage name {name:?}, stage names should be unique");
            advice.warn(&rules::DUPLICATE_STAGE_NAME, comments, word.span, text);
        }
    }
}

/// `ConsistentInstructionCasing`: global arguments neither count nor are told.
fn keyword_casing(stages: &[Stage], advice: &mut Advice) {
    let all = || stages.iter().flat_map(whole);
    let (mut lower, mut upper) = (0, 0);
    for instruction in all() {
        let keyword = &instruction.keyword.text;
        lower += usize::from(*keyword == keyword.to_lowercase());
        upper += usize::from(*keyword == keyword.to_uppercase());
    }
    let mostly_lower = lower > upper;
    for instruction in all() {
        let keyword = &instruction.keyword.text;
        let (wanted, case) = match mostly_lower {
            true => (keyword.to_lowercase(), "lowercase"),
            false => (keyword.to_uppercase(), "uppercase"),
        };
        if *keyword != wanted {
            let text = format!(
                "Command '{keyword}' should match the case of the command majority ({case})"
            );
            let span: Span = instruction.keyword.span;
            advice.warn(&rules::CONSISTENT_INSTRUCTION_CASING, &instruction.comments, span, text);
        }
    }
}
