#![allow(clippy::unwrap_used, clippy::panic)]

mod errors;
mod forms;
mod heredocs;
mod lines;
mod mounts;

use proptest::prelude::*;

use super::*;
use crate::build::diagnostic::one_line;

/// Instructions, one a line, in an order that shows what was understood.
fn dump(text: &str) -> String {
    let file = parse("f", text.as_bytes());
    let mut out = String::new();
    for diagnostic in file.diagnostics.list() {
        out.push_str(&one_line(diagnostic, &file.source));
        out.push('\n');
    }
    let stages =
        file.stages.iter().flat_map(|stage| std::iter::once(&stage.start).chain(&stage.body));
    for instruction in file.globals.iter().chain(stages) {
        out.push_str(&show(instruction));
        out.push('\n');
    }
    out
}

/// The same with `FROM x` put in front and left out of the result.
fn body(text: &str) -> String {
    dump(&format!("FROM x\n{text}")).replacen("FROM \"x\"\n", "", 1)
}

fn show(instruction: &Instruction) -> String {
    let list = |words: &[Word]| {
        let texts: Vec<String> = words.iter().map(|word| format!("{:?}", word.text)).collect();
        texts.join(" ")
    };
    let rest = match &instruction.kind {
        Kind::Add(transfer) | Kind::Copy(transfer) => show_transfer(transfer),
        Kind::Arg(definitions) => {
            let one = |arg: &ArgDefinition| match &arg.default {
                Some(value) => format!("{:?}={:?}", arg.name.text, value.text),
                None => format!("{:?}", arg.name.text),
            };
            definitions.iter().map(one).collect::<Vec<_>>().join(" ")
        }
        Kind::Cmd(command) | Kind::Entrypoint(command) => show_command(command),
        Kind::Env(pairs) | Kind::Label(pairs) => {
            let one = |pair: &Pair| {
                let sign = if pair.legacy { " " } else { "=" };
                format!("{:?}{sign}{:?}", pair.key.text, pair.value.text)
            };
            pairs.iter().map(one).collect::<Vec<_>>().join(" ")
        }
        Kind::Expose(words) | Kind::Volume(words) => list(words),
        Kind::From(from) => {
            let platform = from.platform.as_ref().map(|p| format!("--platform={:?} ", p.text));
            let name = from.name.as_ref().map(|name| format!(" as {:?}", name.text));
            let (platform, name) = (platform.unwrap_or_default(), name.unwrap_or_default());
            format!("{platform}{:?}{name}", from.base.text)
        }
        Kind::Healthcheck(check) => {
            let times = [check.interval, check.timeout, check.start_period, check.start_interval];
            format!("{:?} {times:?} {}", check.test, check.retries)
        }
        Kind::Onbuild(onbuild) => {
            let read = onbuild.instruction.as_ref().map(|inner| format!(" -> {}", show(inner)));
            format!("{:?}{}", onbuild.trigger, read.unwrap_or_default())
        }
        Kind::Run(run) => {
            let documents = run.heredocs.iter().map(show_document).collect::<String>();
            let mounts = run.mounts.iter().map(|word| format!(" mount={:?}", word.text));
            let mounts = mounts.collect::<String>();
            format!("{}{documents}{mounts}", show_command(&run.command))
        }
        Kind::Shell(words) => format!("{words:?}"),
        Kind::Maintainer(word)
        | Kind::StopSignal(word)
        | Kind::User(word)
        | Kind::Workdir(word) => {
            format!("{:?}", word.text)
        }
    };
    format!("{} {rest}", instruction.name())
}

fn show_command(command: &CommandLine) -> String {
    match command {
        CommandLine::Shell(word) => format!("{:?}", word.text),
        CommandLine::Exec(words) => format!("{words:?}"),
    }
}

fn show_document(document: &Heredoc) -> String {
    let expand = if document.expand { "" } else { " raw" };
    let descriptor = document.descriptor.map(|fd| format!(" fd={fd}")).unwrap_or_default();
    format!(" <{:?}{expand}{descriptor} {:?}>", document.name, document.content())
}

fn show_transfer(transfer: &Transfer) -> String {
    let mut out = String::new();
    for path in &transfer.paths {
        out.push_str(&format!("{:?} ", path.text));
    }
    for document in &transfer.documents {
        out.push_str(show_document(document).trim_start());
        out.push(' ');
    }
    out.push_str(&format!("-> {:?}", transfer.destination.text));
    let flags = [
        ("from", &transfer.from),
        ("chown", &transfer.chown),
        ("chmod", &transfer.chmod),
        ("checksum", &transfer.checksum),
    ];
    for (name, word) in flags {
        if let Some(word) = word {
            out.push_str(&format!(" {name}={:?}", word.text));
        }
    }
    let switches = [
        ("link", transfer.link.then_some(true)),
        ("parents", transfer.parents.then_some(true)),
        ("keep-git-dir", transfer.keep_git_dir),
        ("unpack", transfer.unpack),
    ];
    for (name, switch) in switches {
        if let Some(switch) = switch {
            out.push_str(&format!(" {name}={switch}"));
        }
    }
    for word in &transfer.exclude {
        out.push_str(&format!(" exclude={:?}", word.text));
    }
    out
}

proptest! {
    #[test]
    fn the_parser_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        parse("f", &bytes);
    }

    #[test]
    fn the_parser_never_panics_on_what_looks_right(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "FROM", "RUN", "COPY", "ADD", "ENV", "ARG", "ONBUILD", "HEALTHCHECK", "CMD", "as",
                "--from=", "--mount=type=", "--x", "--", "[\"a\"", "]", "<<E", "<<-'E'", "E", "\n", "\n",
                "\\\n", "# c\n", "\\", "`", "\"", "'", "a=b", "é", "\t", "\r\n", "$x", "${", ",", "\u{feff}",
                "#escape=`\n", "<<", "a=\"b c\"", "scratch",
            ]),
            0..40,
        ),
        glue in prop::sample::select(vec!["", " "]),
    ) {
        let text = words.join(glue);
        let file = parse("f", text.as_bytes());
        for diagnostic in file.diagnostics.list() {
            crate::build::diagnostic::render(diagnostic, &file.source, false);
        }
        parse_trigger(&text);
    }
}
