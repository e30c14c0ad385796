//! A plan as text, for people.

use std::fmt::Write;

use super::{Input, Mount, Operation, Plan, Run, Stage, Step, Transfer};

/// One block per stage, one line per step.
pub fn to_text(plan: &Plan) -> String {
    let mut out = String::new();
    for (index, stage) in plan.stages.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        write_stage(&mut out, plan, index, stage);
    }
    out
}

fn write_stage(out: &mut String, plan: &Plan, index: usize, stage: &Stage) {
    let mut notes = Vec::new();
    if let Some(platform) = &stage.platform {
        notes.push(platform.to_string());
    }
    if index == plan.target {
        notes.push("target".to_owned());
    }
    if !stage.reachable {
        notes.push("not needed".to_owned());
    }
    let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join(", ")) };
    let (title, base) = (stage.title(index), input(plan, &stage.base));
    // Writing to a string cannot fail.
    let _ = writeln!(out, "stage {index} {title}: from {base}{notes}");
    for (number, step) in stage.steps.iter().enumerate() {
        let trigger = if step.trigger { "ONBUILD " } else { "" };
        // That a command's shell and environment hang on the base goes without saying.
        let command = matches!(
            step.operation,
            Operation::Run(_) | Operation::Cmd(_) | Operation::Entrypoint(_)
        );
        let unsure = match step.certain || command {
            true => "",
            false => "  # depends on the base image",
        };
        let text = printable(&operation(plan, step));
        let _ = writeln!(out, "  {index}.{} {trigger}{text}{unsure}", number + 1);
    }
}

/// The name of a place in a plan.
pub(super) fn input(plan: &Plan, input: &Input) -> String {
    match input {
        Input::Scratch => "scratch".to_owned(),
        Input::Context => "the context".to_owned(),
        Input::Stage(index) => {
            let title = plan.stages.get(*index).map(|stage| stage.title(*index));
            format!("stage {index} {}", title.unwrap_or_default())
        }
        Input::Named(name) => format!("context {name}"),
        Input::Image(name) => format!("image {name}"),
    }
}

fn operation(plan: &Plan, step: &Step) -> String {
    let pairs = |pairs: &[(String, String)]| {
        let all: Vec<String> =
            pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        all.join(" ")
    };
    match &step.operation {
        Operation::Transfer(transfer) => transfer_text(plan, transfer),
        Operation::Run(run) => run_text(plan, run),
        Operation::Arg(arguments) => {
            let one = |(name, value): &(String, Option<String>)| match value {
                Some(value) => format!("{name}={value}"),
                None => name.clone(),
            };
            format!("ARG {}", arguments.iter().map(one).collect::<Vec<_>>().join(" "))
        }
        Operation::Cmd(words) => format!("CMD {words:?}"),
        Operation::Entrypoint(words) => format!("ENTRYPOINT {words:?}"),
        Operation::Env(values) => format!("ENV {}", pairs(values)),
        Operation::Label(values) => format!("LABEL {}", pairs(values)),
        Operation::Expose(ports) => {
            let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
            format!("EXPOSE {}", ports.join(" "))
        }
        Operation::Healthcheck(check) => format!("HEALTHCHECK {:?}", check.test),
        Operation::Maintainer(text) => format!("MAINTAINER {text}"),
        Operation::Onbuild(trigger) => format!("ONBUILD {trigger}"),
        Operation::Shell(words) => format!("SHELL {words:?}"),
        Operation::StopSignal(signal) => format!("STOPSIGNAL {signal}"),
        Operation::User(user) => format!("USER {user}"),
        Operation::Volume(paths) => format!("VOLUME {paths:?}"),
        Operation::Workdir(path) => format!("WORKDIR {path}"),
    }
}

fn transfer_text(plan: &Plan, transfer: &Transfer) -> String {
    let mut out = if transfer.add { "ADD" } else { "COPY" }.to_owned();
    for source in &transfer.sources {
        let _ = write!(out, " {}", source.text());
    }
    for (name, _) in &transfer.documents {
        let _ = write!(out, " <<{name}");
    }
    let _ = write!(out, " -> {}", transfer.destination);
    if let Some(from) = transfer.from.as_ref().filter(|from| **from != Input::Context) {
        let _ = write!(out, " from {}", input(plan, from));
    }
    out
}

fn run_text(plan: &Plan, run: &Run) -> String {
    let words: Vec<&str> = run.arguments.iter().map(String::as_str).collect();
    let mut out = match run.shell {
        true => format!("RUN {}", words.join(" ")),
        false => format!("RUN {:?}", run.arguments),
    };
    for mount in &run.mounts {
        let _ = write!(out, "  [{}]", mount_text(plan, mount));
    }
    out
}

fn mount_text(plan: &Plan, mount: &Mount) -> String {
    let mut out = mount.kind.name().to_owned();
    if let Some(id) = &mount.id {
        let _ = write!(out, " {id}");
    }
    if let Some(from) = &mount.from {
        let source = mount.source.as_deref().unwrap_or("/");
        let _ = write!(out, " {source} of {}", input(plan, from));
    }
    if let Some(target) = &mount.target {
        let _ = write!(out, " at {target}");
    }
    if let Some(env) = &mount.env {
        let _ = write!(out, " as ${env}");
    }
    out
}

/// One line, without anything that acts on a terminal.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}
