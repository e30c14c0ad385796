//! What an instruction says, as data. Nothing is expanded here.

use super::super::source::Span;
use super::heredoc::Heredoc;
use crate::spec::Healthcheck;

/// The keywords of the language.
pub const KEYWORDS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// A piece of text and where it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word {
    /// The text.
    pub text: String,
    /// Its place.
    pub span: Span,
}

/// A comment line, without `#` and blanks around.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// The text.
    pub text: String,
    /// Its place.
    pub span: Span,
}

/// One instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// The keyword as written.
    pub keyword: Word,
    /// The whole instruction on one line, here-documents left out.
    pub text: String,
    /// Its place, bodies of here-documents included.
    pub span: Span,
    /// The comments right above it.
    pub comments: Vec<Comment>,
    /// Blank lines inside it.
    pub blanks: Vec<Span>,
    /// What it says.
    pub kind: Kind,
}

/// What an instruction says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `ADD`.
    Add(Transfer),
    /// `ARG`: at least one.
    Arg(Vec<ArgDefinition>),
    /// `CMD`.
    Cmd(CommandLine),
    /// `COPY`.
    Copy(Transfer),
    /// `ENTRYPOINT`.
    Entrypoint(CommandLine),
    /// `ENV`: at least one pair.
    Env(Vec<Pair>),
    /// `EXPOSE`: ports in the order written.
    Expose(Vec<Word>),
    /// `FROM`.
    From(From),
    /// `HEALTHCHECK`; its shell form has no shell yet (`CMD-SHELL`).
    Healthcheck(Healthcheck),
    /// `LABEL`: at least one pair.
    Label(Vec<Pair>),
    /// `MAINTAINER`.
    Maintainer(Word),
    /// `ONBUILD`.
    Onbuild(Onbuild),
    /// `RUN`.
    Run(Run),
    /// `SHELL`: at least one word.
    Shell(Vec<String>),
    /// `STOPSIGNAL`.
    StopSignal(Word),
    /// `USER`.
    User(Word),
    /// `VOLUME`: at least one path.
    Volume(Vec<Word>),
    /// `WORKDIR`.
    Workdir(Word),
}

/// `FROM [--platform=P] IMAGE [AS NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct From {
    /// Image, stage or named context.
    pub base: Word,
    /// `--platform`.
    pub platform: Option<Word>,
    /// The stage's name as written.
    pub name: Option<Word>,
    /// The word `AS` as written.
    pub as_word: Option<Word>,
}

impl From {
    /// The stage's name in lower case, as it is compared everywhere.
    pub fn folded_name(&self) -> Option<String> {
        self.name.as_ref().map(|name| name.text.to_lowercase())
    }
}

/// A definition in `ARG`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgDefinition {
    /// The variable.
    pub name: Word,
    /// What it is without `--build-arg`, not expanded.
    pub default: Option<Word>,
    /// What the comment `# NAME text` above says.
    pub description: Option<String>,
}

/// A pair in `ENV` or `LABEL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The key, not expanded.
    pub key: Word,
    /// The value, not expanded.
    pub value: Word,
    /// Written as `KEY value` instead of `KEY=value`.
    pub legacy: bool,
}

/// The command of `RUN`, `CMD` and `ENTRYPOINT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandLine {
    /// Text for the shell; empty where nothing was written.
    Shell(Word),
    /// A JSON array: the words themselves.
    Exec(Vec<String>),
}

/// `RUN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// What runs.
    pub command: CommandLine,
    /// The here-documents of its line.
    pub heredocs: Vec<Heredoc>,
    /// Values of `--mount`, not expanded: see [`Mount::parse`](super::Mount::parse).
    pub mounts: Vec<Word>,
    /// `--network`.
    pub network: Network,
    /// `--security`.
    pub security: Security,
    /// `--device`.
    pub devices: Vec<Device>,
}

impl Run {
    /// The document that is the whole command (`RUN <<EOF`), where it is one.
    pub fn script(&self) -> Option<&Heredoc> {
        match &self.command {
            CommandLine::Shell(word) => {
                super::heredoc::marker(&word.text).and_then(|_| self.heredocs.first())
            }
            CommandLine::Exec(_) => None,
        }
    }

    /// The text the shell gets: the command with its documents, or the one document that is it.
    /// Nothing for the exec form.
    pub fn shell_text(&self) -> Option<String> {
        let CommandLine::Shell(word) = &self.command else { return None };
        if let Some(script) = self.script() {
            return Some(script.content());
        }
        let mut text = word.text.clone();
        for heredoc in &self.heredocs {
            text.push('\n');
            text.push_str(&heredoc.body);
            text.push_str(&heredoc.name);
        }
        Some(text)
    }
}

/// `RUN --network`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// As the build's.
    #[default]
    Default,
    /// Loopback only.
    None,
    /// The host's; needs to be allowed.
    Host,
}

/// `RUN --security`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Security {
    /// As always.
    #[default]
    Sandbox,
    /// All capabilities and devices; needs to be allowed.
    Insecure,
}

/// `RUN --device`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// A CDI name.
    pub name: String,
    /// Whether the step fails without it.
    pub required: bool,
}

/// `COPY` and `ADD`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transfer {
    /// Sources that are paths (for `ADD` also URLs), not expanded.
    pub paths: Vec<Word>,
    /// Sources that are here-documents; they follow the paths.
    pub documents: Vec<Heredoc>,
    /// Where to, not expanded.
    pub destination: Word,
    /// `COPY --from`.
    pub from: Option<Word>,
    /// `--chown`, not expanded.
    pub chown: Option<Word>,
    /// `--chmod`, not expanded.
    pub chmod: Option<Word>,
    /// `ADD --checksum`, not expanded.
    pub checksum: Option<Word>,
    /// `--link`.
    pub link: bool,
    /// `COPY --parents`.
    pub parents: bool,
    /// `ADD --keep-git-dir`.
    pub keep_git_dir: Option<bool>,
    /// `ADD --unpack`.
    pub unpack: Option<bool>,
    /// `--exclude`.
    pub exclude: Vec<Word>,
}

/// `ONBUILD`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Onbuild {
    /// The instruction as images keep it: one line, bodies of here-documents below.
    pub trigger: String,
    /// The same, read; nothing where it cannot be.
    pub instruction: Option<Box<Instruction>>,
}

impl Instruction {
    /// The keyword in upper case.
    pub fn name(&self) -> &'static str {
        match &self.kind {
            Kind::Add(_) => "ADD",
            Kind::Arg(_) => "ARG",
            Kind::Cmd(_) => "CMD",
            Kind::Copy(_) => "COPY",
            Kind::Entrypoint(_) => "ENTRYPOINT",
            Kind::Env(_) => "ENV",
            Kind::Expose(_) => "EXPOSE",
            Kind::From(_) => "FROM",
            Kind::Healthcheck(_) => "HEALTHCHECK",
            Kind::Label(_) => "LABEL",
            Kind::Maintainer(_) => "MAINTAINER",
            Kind::Onbuild(_) => "ONBUILD",
            Kind::Run(_) => "RUN",
            Kind::Shell(_) => "SHELL",
            Kind::StopSignal(_) => "STOPSIGNAL",
            Kind::User(_) => "USER",
            Kind::Volume(_) => "VOLUME",
            Kind::Workdir(_) => "WORKDIR",
        }
    }

    /// What the comment `# NAME text` above says about `name`.
    pub fn description(&self, name: &str) -> Option<&str> {
        let about = |comment: &'_ Comment| {
            comment.text.strip_prefix(name).is_some_and(|rest| rest.starts_with(' '))
        };
        let comment = self.comments.iter().find(|comment| about(comment))?;
        comment.text.get(name.len() + 1..)
    }
}
