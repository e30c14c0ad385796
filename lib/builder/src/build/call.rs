//! What a file offers: its targets, and what one of them can be told.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::check::location;
use super::dockerfile::MountKind;
use super::graph::{Argument, Operation, Plan, Stage, compact};
use super::source::{Source, Span};

/// A stage that can be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name; empty for a stage without one.
    pub name: String,
    /// Whether it is built when nothing is said.
    pub default: bool,
    /// What its comment says.
    pub description: Option<String>,
    /// The base as written.
    pub base: String,
    /// `--platform`.
    pub platform: Option<String>,
    /// Where it starts.
    pub span: Span,
}

/// What a build of one target can be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// The target's name.
    pub name: String,
    /// What its comment says.
    pub description: Option<String>,
    /// Arguments that it or a stage it needs uses, in the order of the file.
    pub arguments: Vec<Arc<Argument>>,
    /// Secrets: id, and whether it is required.
    pub secrets: Vec<(String, bool)>,
    /// Agents: id, and whether it is required.
    pub ssh: Vec<(String, bool)>,
    /// Caches by id.
    pub caches: Vec<String>,
}

/// All stages of a plan.
pub fn targets(plan: &Plan) -> Vec<Target> {
    let last = plan.stages.len().saturating_sub(1);
    let one = |(index, stage): (usize, &Stage)| Target {
        name: stage.name.clone().unwrap_or_default(),
        default: index == last,
        description: stage.description.clone(),
        base: stage.base_text.clone(),
        platform: stage.platform.as_ref().map(ToString::to_string),
        span: stage.span,
    };
    plan.stages.iter().enumerate().map(one).collect()
}

/// What a plan's target, and the stages it needs, can be told.
pub fn outline(plan: &Plan) -> Outline {
    let Some(target) = plan.stages.get(plan.target) else { return Outline::default() };
    let mut out = Outline {
        name: target.name.clone().unwrap_or_default(),
        description: target.description.clone(),
        ..Outline::default()
    };
    let globals: HashMap<&str, &Arc<Argument>> =
        plan.globals.iter().map(|global| (global.name.as_str(), global)).collect();
    let mut seen = HashSet::new();
    for stage in plan.stages.iter().filter(|stage| stage.reachable) {
        // With an argument come the global ones that its default uses.
        let mut ahead: Vec<&Arc<Argument>> = stage.arguments.iter().rev().collect();
        while let Some(argument) = ahead.pop() {
            if seen.insert(argument.name.as_str()) {
                out.arguments.push(argument.clone());
                ahead.extend(argument.uses.iter().filter_map(|name| globals.get(name.as_str())));
            }
        }
        for step in &stage.steps {
            if let Operation::Run(run) = &step.operation {
                run.mounts.iter().for_each(|mount| {
                    let Some(id) = &mount.id else { return };
                    match mount.kind {
                        MountKind::Secret => add(&mut out.secrets, id, mount.required),
                        MountKind::Ssh => add(&mut out.ssh, id, mount.required),
                        MountKind::Cache if !out.caches.contains(id) => out.caches.push(id.clone()),
                        _ => {}
                    }
                });
            }
        }
    }
    out.arguments.sort_by_key(|argument| argument.span);
    out
}

fn add(list: &mut Vec<(String, bool)>, id: &str, required: bool) {
    match list.iter_mut().find(|(known, _)| known == id) {
        Some((_, known)) => *known |= required,
        None => list.push((id.to_owned(), required)),
    }
}

/// Targets as JSON, with BuildKit's members.
pub fn targets_json(targets: &[Target], source: &Source) -> Value {
    let one = |target: &Target| {
        compact(json!({
            "name": target.name,
            "default": target.default.then_some(true),
            "description": target.description,
            "base": target.base,
            "platform": target.platform,
            "location": location(target.span, source),
        }))
    };
    json!({ "targets": targets.iter().map(one).collect::<Vec<_>>() })
}

/// An outline as JSON, with BuildKit's members.
pub fn outline_json(outline: &Outline, source: &Source) -> Value {
    let argument = |argument: &Arc<Argument>| {
        compact(json!({
            "name": argument.name,
            "description": argument.description,
            "value": argument.value,
            "location": location(argument.span, source),
        }))
    };
    let named = |(id, required): &(String, bool)| {
        compact(json!({ "name": id, "required": required.then_some(true) }))
    };
    let cache = |id: &String| json!({ "ID": id });
    compact(json!({
        "name": outline.name,
        "description": outline.description,
        "args": outline.arguments.iter().map(argument).collect::<Vec<_>>(),
        "secrets": outline.secrets.iter().map(named).collect::<Vec<_>>(),
        "ssh": outline.ssh.iter().map(named).collect::<Vec<_>>(),
        "cache": outline.caches.iter().map(cache).collect::<Vec<_>>(),
    }))
}

/// Rows of a table of targets: name, base, what it is.
pub fn targets_rows(targets: &[Target]) -> Vec<Vec<String>> {
    let row = |target: &Target| {
        let name = if target.name.is_empty() { "-" } else { &target.name };
        let mark = if target.default { " (default)" } else { "" };
        let description = target.description.clone().unwrap_or_default();
        vec![format!("{name}{mark}"), target.base.clone(), description]
    };
    targets.iter().map(row).collect()
}

/// A table: its head and its rows.
pub type Table = (Vec<&'static str>, Vec<Vec<String>>);

/// Tables of an outline: arguments, secrets, agents, caches; empty ones are left out.
pub fn outline_tables(outline: &Outline) -> Vec<Table> {
    let argument = |argument: &Arc<Argument>| {
        let value = argument.value.clone().unwrap_or_default();
        vec![argument.name.clone(), value, argument.description.clone().unwrap_or_default()]
    };
    let named = |list: &[(String, bool)]| -> Vec<Vec<String>> {
        let word = |required: bool| if required { "true" } else { "" }.to_owned();
        list.iter().map(|(id, required)| vec![id.clone(), word(*required)]).collect()
    };
    let tables = [
        (
            vec!["BUILD ARG", "VALUE", "DESCRIPTION"],
            outline.arguments.iter().map(argument).collect(),
        ),
        (vec!["SECRET", "REQUIRED"], named(&outline.secrets)),
        (vec!["SSH", "REQUIRED"], named(&outline.ssh)),
        (vec!["CACHE"], outline.caches.iter().map(|id| vec![id.clone()]).collect()),
    ];
    tables.into_iter().filter(|(_, rows)| !rows.is_empty()).collect()
}
