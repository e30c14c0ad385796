//! A plan as JSON, for programs.

use serde_json::{Map, Value, json};

use super::super::dockerfile::{MountKind, Network, Security};
use super::super::source::Source;
use super::{Chmod, Input, Mount, Operation, Place, Plan, Run, Stage, Step, Transfer};

/// The whole plan. Members that say nothing are left out.
pub fn to_json(plan: &Plan, source: &Source) -> Value {
    let stages = plan.stages.iter().enumerate();
    let stages: Vec<Value> = stages.map(|(index, s)| stage(plan, index, s, source)).collect();
    compact(json!({
        "target": plan.target,
        "stages": stages,
        "images": plan.images(),
        "sourceDateEpoch": plan.source_date_epoch,
        "unusedBuildArgs": plan.unused_arguments,
    }))
}

fn stage(plan: &Plan, index: usize, stage: &Stage, source: &Source) -> Value {
    let steps: Vec<Value> = stage.steps.iter().map(|s| step(s, source)).collect();
    compact(json!({
        "index": index,
        "name": stage.name,
        "description": stage.description,
        "line": source.line_of(stage.span.start),
        "base": input(&stage.base),
        "baseKnown": stage.known,
        "platform": stage.platform.as_ref().map(ToString::to_string),
        "target": index == plan.target,
        "needed": stage.reachable,
        "needs": stage.needs,
        "steps": steps,
    }))
}

fn input(input: &Input) -> Value {
    match input {
        Input::Scratch => json!({ "type": "scratch" }),
        Input::Context => json!({ "type": "context" }),
        Input::Stage(index) => json!({ "type": "stage", "stage": index }),
        Input::Named(name) => json!({ "type": "named-context", "name": name }),
        Input::Image(name) => json!({ "type": "image", "image": name }),
    }
}

fn step(step: &Step, source: &Source) -> Value {
    let (first, last) = source.line_range(step.span);
    let (name, what) = operation(&step.operation);
    let mut out = json!({
        "instruction": name,
        "text": step.text,
        "lines": [first, last],
        "trigger": step.trigger.then_some(true),
        "certain": (!step.certain).then_some(false),
    });
    if let (Value::Object(out), Value::Object(what)) = (&mut out, what) {
        out.extend(what);
    }
    compact(out)
}

fn operation(operation: &Operation) -> (&'static str, Value) {
    let pairs = |pairs: &[(String, String)]| -> Vec<Value> {
        pairs.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect()
    };
    match operation {
        Operation::Transfer(t) => (if t.add { "ADD" } else { "COPY" }, transfer(t)),
        Operation::Run(r) => ("RUN", run(r)),
        Operation::Arg(arguments) => {
            let one = |(name, value): &(String, Option<String>)| {
                compact(json!({ "name": name, "value": value }))
            };
            ("ARG", json!({ "arguments": arguments.iter().map(one).collect::<Vec<_>>() }))
        }
        Operation::Cmd(words) => ("CMD", json!({ "arguments": words })),
        Operation::Entrypoint(words) => ("ENTRYPOINT", json!({ "arguments": words })),
        Operation::Env(values) => ("ENV", json!({ "values": pairs(values) })),
        Operation::Label(values) => ("LABEL", json!({ "values": pairs(values) })),
        Operation::Expose(ports) => {
            let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
            ("EXPOSE", json!({ "ports": ports }))
        }
        Operation::Healthcheck(check) => ("HEALTHCHECK", json!({ "healthcheck": check })),
        Operation::Maintainer(text) => ("MAINTAINER", json!({ "value": text })),
        Operation::Onbuild(trigger) => ("ONBUILD", json!({ "value": trigger })),
        Operation::Shell(words) => ("SHELL", json!({ "arguments": words })),
        Operation::StopSignal(signal) => ("STOPSIGNAL", json!({ "value": signal })),
        Operation::User(user) => ("USER", json!({ "value": user })),
        Operation::Volume(paths) => ("VOLUME", json!({ "paths": paths })),
        Operation::Workdir(path) => ("WORKDIR", json!({ "value": path })),
    }
}

fn transfer(transfer: &Transfer) -> Value {
    let source = |place: &Place| match place {
        Place::Path(text) => json!({ "path": text }),
        Place::Url(text) => json!({ "url": text }),
        Place::Git(text) => json!({ "git": text }),
    };
    let document = |(name, content): &(String, String)| json!({ "name": name, "content": content });
    let chmod = transfer.chmod.as_ref().map(|chmod| match chmod {
        Chmod::Octal(mode) => format!("{mode:o}"),
        Chmod::Symbolic(text) => text.clone(),
    });
    compact(json!({
        "from": transfer.from.as_ref().map(input),
        "sources": transfer.sources.iter().map(source).collect::<Vec<_>>(),
        "documents": transfer.documents.iter().map(document).collect::<Vec<_>>(),
        "destination": transfer.destination,
        "chown": transfer.chown,
        "chmod": chmod,
        "checksum": transfer.checksum,
        "link": transfer.link.then_some(true),
        "parents": transfer.parents.then_some(true),
        "keepGitDir": transfer.keep_git_dir,
        "unpack": transfer.unpack,
        "exclude": transfer.exclude,
    }))
}

fn run(run: &Run) -> Value {
    let script =
        run.script.as_ref().map(|(name, content)| json!({ "name": name, "content": content }));
    let environment: Map<String, Value> =
        run.environment.iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    compact(json!({
        "arguments": run.arguments,
        "shell": run.shell,
        "script": script,
        "mounts": run.mounts.iter().map(mount).collect::<Vec<_>>(),
        "network": match run.network {
            Network::Default => None,
            Network::None => Some("none"),
            Network::Host => Some("host"),
        },
        "security": (run.security == Security::Insecure).then_some("insecure"),
        "devices": run.devices.iter().map(|device| {
            json!({ "name": device.name, "required": device.required })
        }).collect::<Vec<_>>(),
        "environment": environment,
        "workdir": run.workdir,
        "user": run.user,
    }))
}

fn mount(mount: &Mount) -> Value {
    let mode = mount.mode.map(|mode| format!("{mode:04o}"));
    compact(json!({
        "type": mount.kind.name(),
        "id": mount.id,
        "from": mount.from.as_ref().map(input),
        "source": mount.source,
        "target": mount.target,
        "readOnly": mount.read_only,
        "size": mount.size,
        "sharing": (mount.kind == MountKind::Cache).then(|| mount.sharing.name()),
        "required": mount.required.then_some(true),
        "env": mount.env,
        "mode": mode,
        "uid": mount.uid,
        "gid": mount.gid,
    }))
}

/// Without members that are null, empty lists or empty texts.
pub(in crate::build) fn compact(value: Value) -> Value {
    let Value::Object(members) = value else { return value };
    let says = |value: &Value| match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::String(text) => !text.is_empty(),
        _ => true,
    };
    Value::Object(members.into_iter().filter(|(_, value)| says(value)).collect())
}
