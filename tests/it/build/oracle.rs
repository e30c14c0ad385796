//! Another parser as a judge: on files without here-documents both must read the same.

use creel::build::dockerfile::{self as ours, CommandLine, Kind, Word};
use parse_dockerfile::{self as theirs, Command, JsonOrStringArray, Source};

/// Random numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % most
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

const LINES: [&str; 24] = [
    "FROM debian:12",
    "FROM --platform=$BUILDPLATFORM a AS b",
    "from x as y",
    "ARG A=1",
    "RUN echo hello",
    "RUN [\"a\", \"b c\"]",
    "RUN --mount=type=cache,target=/c make all",
    "run  ls -la | grep 'x y'  ",
    "COPY a b /c/",
    "COPY --from=b --chown=1:1 x /y",
    "COPY [\"a b\", \"/c\"]",
    "ADD https://x/y.tar /z",
    "ENV A=b C=\"d e\"",
    "ENV A b c",
    "LABEL a=b",
    "CMD [\"x\"]",
    "CMD x y",
    "ENTRYPOINT [\"/x\", \"-y\"]",
    "EXPOSE 80 90/udp",
    "USER u:g",
    "WORKDIR /a/b",
    "VOLUME /a /b",
    "STOPSIGNAL SIGTERM",
    "SHELL [\"/bin/bash\", \"-c\"]",
];

/// A file of whole instructions, some broken over lines, with comments and blank lines.
fn file(dice: &mut Dice) -> String {
    let mut out = String::new();
    if dice.below(4) == 0 {
        out.push_str("# syntax=docker/dockerfile:1\n");
    }
    out.push_str("FROM first\n");
    for _ in 0..dice.below(8) {
        let line = dice.pick(&LINES);
        let shell = line.to_uppercase().starts_with("RUN") && !line.contains('[');
        let blank = line.rfind(' ').filter(|_| shell && dice.below(2) == 0);
        match blank {
            Some(at) => {
                let inside = dice.pick(&["", "# comment\n", "  # comment\n"]);
                out.push_str(&format!("{} \\\n{inside}{}\n", &line[..at], &line[at..]));
            }
            None => out.push_str(&format!("{}{line}\n", dice.pick(&["", "  ", "\t"]))),
        }
        out.push_str(dice.pick(&["", "\n", "# comment\n"]));
    }
    out
}

/// The other parser leaves continuation and comments in a command; blanks differ then.
fn joined(command: &str) -> String {
    let lines = command.lines().filter(|line| !line.trim_start().starts_with('#'));
    let text: String = lines.map(|line| format!("{} ", line.trim_end_matches('\\'))).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What we read, one instruction a line.
fn ours(text: &str) -> Option<Vec<String>> {
    let file = ours::parse("f", text.as_bytes());
    if file.diagnostics.has_errors() {
        return None;
    }
    let stages = file.stages.iter().flat_map(|s| std::iter::once(&s.start).chain(&s.body));
    let texts = |words: &[Word]| words.iter().map(|word| word.text.clone()).collect::<Vec<_>>();
    let command = |command: &CommandLine| match command {
        CommandLine::Exec(words) => format!("{words:?}"),
        CommandLine::Shell(word) => format!("{:?}", joined(&word.text)),
    };
    let one = |instruction: &ours::Instruction| match &instruction.kind {
        Kind::From(from) => {
            format!("FROM {} {:?}", from.base.text, from.name.as_ref().map(|name| &name.text))
        }
        Kind::Run(run) => format!("RUN {} {}", command(&run.command), run.mounts.len()),
        Kind::Cmd(line) => format!("CMD {}", command(line)),
        Kind::Entrypoint(line) => format!("ENTRYPOINT {}", command(line)),
        Kind::Copy(copy) => format!("COPY {:?} {}", texts(&copy.paths), copy.destination.text),
        Kind::Add(add) => format!("ADD {:?} {}", texts(&add.paths), add.destination.text),
        Kind::Expose(ports) => format!("EXPOSE {:?}", texts(ports)),
        Kind::Volume(paths) => format!("VOLUME {:?}", texts(paths)),
        Kind::User(word) => format!("USER {}", word.text),
        Kind::Workdir(word) => format!("WORKDIR {}", word.text),
        Kind::StopSignal(word) => format!("STOPSIGNAL {}", word.text),
        Kind::Shell(words) => format!("SHELL {words:?}"),
        _ => instruction.name().to_owned(),
    };
    Some(file.globals.iter().chain(stages).map(one).collect())
}

/// What the other parser reads, in the same words.
fn theirs(text: &str) -> Option<Vec<String>> {
    use theirs::Instruction as I;
    let file = theirs::parse(text).ok()?;
    let command = |command: &Command<'_>| match command {
        Command::Exec(words) => {
            format!("{:?}", words.value.iter().map(|word| &*word.value).collect::<Vec<_>>())
        }
        Command::Shell(text) => format!("{:?}", joined(text.value)),
        _ => "?".to_owned(),
    };
    let sources = |sources: &[Source<'_>]| {
        let one = |source: &Source<'_>| match source {
            Source::Path(path) => path.value.to_string(),
            _ => "?".to_owned(),
        };
        sources.iter().map(one).collect::<Vec<_>>()
    };
    let one = |instruction: &I<'_>| match instruction {
        I::From(from) => {
            format!(
                "FROM {} {:?}",
                from.image.value,
                from.as_.as_ref().map(|(_, name)| &*name.value)
            )
        }
        I::Run(run) => {
            let mounts = run.options.iter().filter(|flag| flag.name.value == "mount").count();
            format!("RUN {} {mounts}", command(&run.arguments))
        }
        I::Cmd(cmd) => format!("CMD {}", command(&cmd.arguments)),
        I::Entrypoint(entry) => format!("ENTRYPOINT {}", command(&entry.arguments)),
        I::Copy(copy) => format!("COPY {:?} {}", sources(&copy.src), copy.dest.value),
        I::Add(add) => format!("ADD {:?} {}", sources(&add.src), add.dest.value),
        I::Expose(expose) => {
            format!("EXPOSE {:?}", expose.arguments.iter().map(|a| &*a.value).collect::<Vec<_>>())
        }
        I::Volume(volume) => {
            let paths: Vec<&str> = match &volume.arguments {
                JsonOrStringArray::Json(words) => words.value.iter().map(|w| &*w.value).collect(),
                JsonOrStringArray::String(words) => words.iter().map(|w| &*w.value).collect(),
            };
            format!("VOLUME {paths:?}")
        }
        I::User(user) => format!("USER {}", user.arguments.value),
        I::Workdir(workdir) => format!("WORKDIR {}", workdir.arguments.value),
        I::Stopsignal(signal) => format!("STOPSIGNAL {}", signal.arguments.value),
        I::Shell(shell) => {
            format!("SHELL {:?}", shell.arguments.iter().map(|a| &*a.value).collect::<Vec<_>>())
        }
        I::Arg(_) => "ARG".to_owned(),
        I::Env(_) => "ENV".to_owned(),
        I::Label(_) => "LABEL".to_owned(),
        _ => "?".to_owned(),
    };
    Some(file.instructions.iter().map(one).collect())
}

#[test]
fn both_read_the_same() {
    let mut dice = Dice(1);
    let mut compared = 0;
    for _ in 0..2000 {
        let text = file(&mut dice);
        let Some(theirs) = theirs(&text) else { continue };
        let ours = ours(&text);
        assert_eq!(ours.as_ref(), Some(&theirs), "{text}");
        compared += 1;
    }
    // It refuses what is only frowned upon, such as two stages of one name.
    assert!(compared > 500, "only {compared} files were compared");
}
