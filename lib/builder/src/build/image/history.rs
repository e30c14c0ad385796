//! What history says of an instruction, in BuildKit's words.

use crate::build::graph::{Chmod, Operation, Run, Transfer};
use crate::spec::Healthcheck;

/// The `created_by` of an instruction; `None` for those that leave no line.
pub(in crate::build) fn created_by(operation: &Operation) -> Option<String> {
    let text = match operation {
        Operation::Transfer(transfer) => format!("{} # buildkit", transfer_text(transfer)),
        Operation::Run(run) => format!("RUN {} # buildkit", run_text(run)),
        Operation::Arg(arguments) => {
            let one = |(name, value): &(String, Option<String>)| match value {
                Some(value) => format!("{name}={value}"),
                None => name.clone(),
            };
            format!("ARG {}", arguments.iter().map(one).collect::<Vec<_>>().join(" "))
        }
        Operation::Cmd(words) => format!("CMD {}", quoted(words)),
        Operation::Entrypoint(words) => format!("ENTRYPOINT {}", quoted(words)),
        Operation::Env(pairs) => format!("ENV {}", joined(pairs)),
        Operation::Label(pairs) => format!("LABEL {}", joined(pairs)),
        Operation::Expose(ports) => {
            let mut ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
            ports.sort();
            format!("EXPOSE [{}]", ports.join(" "))
        }
        Operation::Healthcheck(check) => format!("HEALTHCHECK {}", health(check)),
        Operation::Maintainer(text) => format!("MAINTAINER {text}"),
        Operation::Onbuild(_) => return None,
        Operation::Shell(words) => format!("SHELL [{}]", words.join(" ")),
        Operation::StopSignal(signal) => format!("STOPSIGNAL {signal}"),
        Operation::User(user) => format!("USER {user}"),
        Operation::Volume(paths) => format!("VOLUME [{}]", paths.join(" ")),
        Operation::Workdir(path) => format!("WORKDIR {path}"),
    };
    Some(text)
}

fn joined(pairs: &[(String, String)]) -> String {
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

/// As Go prints a list with `%q`.
fn quoted(words: &[String]) -> String {
    format!("[{}]", words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" "))
}

fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn transfer_text(transfer: &Transfer) -> String {
    let mut words = vec![if transfer.add { "ADD" } else { "COPY" }.to_owned()];
    if transfer.parents {
        words.push("--parents".to_owned());
    }
    if let Some(owner) = &transfer.chown {
        words.push(format!("--chown={owner}"));
    }
    match &transfer.chmod {
        Some(Chmod::Octal(mode)) => words.push(format!("--chmod={mode:o}")),
        Some(Chmod::Symbolic(text)) => words.push(format!("--chmod={text}")),
        None => {}
    }
    words.extend(transfer.sources.iter().map(|source| source.text().to_owned()));
    words.extend(transfer.documents.iter().map(|(name, _)| format!("<<{name}")));
    words.push(transfer.destination_text.clone());
    words.join(" ")
}

/// The command, with the arguments that it saw in front.
fn run_text(run: &Run) -> String {
    let command = run.arguments.join(" ");
    if run.build_arguments.is_empty() {
        return command;
    }
    let arguments: Vec<String> =
        run.build_arguments.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("|{} {} {command}", arguments.len(), arguments.join(" "))
}

fn health(check: &Healthcheck) -> String {
    let seconds = |nanoseconds: i64| format!("{}s", nanoseconds as f64 / 1e9);
    format!(
        "{{Test:[{}] Interval:{} Timeout:{} StartPeriod:{} StartInterval:{} Retries:{}}}",
        check.test.join(" "),
        seconds(check.interval),
        seconds(check.timeout),
        seconds(check.start_period),
        seconds(check.start_interval),
        check.retries
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::build::graph::Place;

    #[test]
    fn lines_read_as_buildkit_writes_them() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let run = |arguments| Run {
            arguments: words(&["/bin/sh", "-c", "make"]),
            build_arguments: arguments,
            ..Run::default()
        };
        let copy = Transfer {
            sources: vec![Place::Path("a".into()), Place::Path("b".into())],
            destination: "/w/d/".into(),
            destination_text: "d/".into(),
            chown: Some("1:2".into()),
            chmod: Some(Chmod::Octal(0o644)),
            link: true,
            ..Transfer::default()
        };
        for (operation, expected) in [
            (Operation::Cmd(words(&["a\"", "b c\n"])), r#"CMD ["a\"" "b c\n"]"#),
            (Operation::Env(vec![pair("A", "1"), pair("B", "x y")]), "ENV A=1 B=x y"),
            (Operation::Arg(vec![("A".into(), None), ("B".into(), Some("1".into()))]), "ARG A B=1"),
            (Operation::Run(Box::new(run(vec![]))), "RUN /bin/sh -c make # buildkit"),
            (
                Operation::Run(Box::new(run(vec![pair("foo", "bar2"), pair("bar", "123")]))),
                "RUN |2 foo=bar2 bar=123 /bin/sh -c make # buildkit",
            ),
            (Operation::Transfer(Box::new(copy)), "COPY --chown=1:2 --chmod=644 a b d/ # buildkit"),
            (Operation::Volume(words(&["/a", "/b"])), "VOLUME [/a /b]"),
            (Operation::Shell(words(&["/bin/bash", "-c"])), "SHELL [/bin/bash -c]"),
        ] {
            assert_eq!(created_by(&operation).unwrap(), expected);
        }
        assert_eq!(created_by(&Operation::Onbuild("RUN x".into())), None);
    }
}
