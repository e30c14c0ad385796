//! Rules of ours, on the finished plan.

use super::super::diagnostic::Diagnostic;
use super::super::dockerfile::{Comment, Dockerfile, Instruction, Kind, MountKind, Word};
use super::super::dockerignore::Ignore;
use super::super::graph::{Input, Operation, Place, Plan, Run, Step, Transfer, has_wildcards};
use super::super::source::Span;
use super::{Advice, Rule, rules, shell};

/// What is known of the build context.
#[derive(Clone, Copy)]
pub struct ContextFiles<'a> {
    /// What is left out.
    pub ignore: &'a Ignore,
    /// Whether a file or directory exists below the context's root.
    pub exists: &'a dyn Fn(&str) -> bool,
}

/// Looks at every step that was planned. Without `context` nothing is said about its files.
pub fn examine(
    file: &Dockerfile,
    plan: &Plan,
    context: Option<ContextFiles<'_>>,
    advice: &mut Advice,
) {
    let kept = kept_stages(plan);
    let exposed = context.map(exposed_secrets).unwrap_or_default();
    let mut room = MAX_PATTERN_CHECKS;
    for (index, (stage, written)) in plan.stages.iter().zip(&file.stages).enumerate() {
        if stage.steps.is_empty() && !stage.reachable {
            continue;
        }
        if let Input::Image(image) = &stage.base {
            base(written.from.base.span, &written.start.comments, image, advice);
        }
        let mut shell_words: Vec<String> = Vec::new();
        // Steps are in the order of the instructions that they come from.
        let mut body = written.body.iter();
        for step in stage.steps.iter().filter(|step| !step.trigger) {
            let Some(instruction) = body.by_ref().find(|i| i.span == step.span) else { continue };
            let mut look = Look { step, instruction, advice };
            match &step.operation {
                Operation::Shell(words) => shell_words.clone_from(words),
                Operation::Run(run) => look.run(run, &shell_words, kept.contains(&index)),
                Operation::Transfer(transfer) => {
                    look.transfer(transfer, context, &exposed, &mut room)
                }
                _ => {}
            }
        }
    }
}

/// The stages whose files end up in the result: the target and what it is built on.
fn kept_stages(plan: &Plan) -> Vec<usize> {
    let mut out = vec![plan.target];
    while let Some(Input::Stage(base)) =
        out.last().and_then(|i| plan.stages.get(*i)).map(|s| &s.base)
    {
        if out.contains(base) {
            break;
        }
        out.push(*base);
    }
    out
}

fn base(span: Span, comments: &[Comment], image: &str, advice: &mut Advice) {
    if image.contains('@') || !image.ends_with(":latest") {
        return;
    }
    let name = image.trim_end_matches(":latest");
    let text = format!("Base image {name} has no version: latest is another image tomorrow");
    let warning = Diagnostic::warning(rules::UNPINNED_BASE_IMAGE.name, span, text)
        .hint("name a version, or a digest as NAME@sha256:...");
    advice.add(&rules::UNPINNED_BASE_IMAGE, comments, warning);
}

struct Look<'a> {
    step: &'a Step,
    instruction: &'a Instruction,
    advice: &'a mut Advice,
}

impl Look<'_> {
    fn warn(&mut self, rule: &'static Rule, span: Span, text: String, hint: &str) {
        let warning = Diagnostic::warning(rule.name, span, text).hint(hint);
        self.advice.add(rule, &self.instruction.comments, warning);
    }

    fn run(&mut self, run: &Run, shell_words: &[String], kept: bool) {
        let Some(text) = run.arguments.last().filter(|_| run.shell && run.script.is_none()) else {
            return;
        };
        // Other shells have other words.
        let name = shell_words.first().map_or("sh", |path| path.rsplit('/').next().unwrap_or(path));
        if !matches!(name, "sh" | "bash" | "ash" | "dash" | "ksh" | "zsh") {
            return;
        }
        let commands = shell::commands(text);
        let span = self.instruction.keyword.span;
        let Kind::Run(written) = &self.instruction.kind else { return };
        let errexit = shell::options_hold(shell_words, 'e', "errexit")
            || shell::sets(&commands, 'e', "errexit");
        if written.script().is_some() && commands.len() > 1 && !errexit {
            let text = "A failure in this script is not noticed unless it is in the last command";
            let hint = "begin it with: set -e";
            self.warn(&rules::HEREDOC_ERREXIT, span, text.to_owned(), hint);
        }
        let pipefail = shell_words.iter().any(|word| word.contains("pipefail"))
            || shell::sets(&commands, '\0', "pipefail");
        if commands.iter().any(|command| command.piped) && !pipefail {
            let text = "A failure in front of a pipe is not noticed";
            let hint = "set -o pipefail (SHELL [\"/bin/bash\", \"-o\", \"pipefail\", \"-c\"])";
            self.warn(&rules::PIPEFAIL_MISSING, span, text.to_owned(), hint);
        }
        if kept && leaves_lists(run, &commands, text) {
            let text = "Package lists stay in the image";
            let hint = "end the RUN with: rm -rf /var/lib/apt/lists/*";
            self.warn(&rules::APT_LISTS_LEFT, span, text.to_owned(), hint);
        }
    }

    fn transfer(
        &mut self,
        transfer: &Transfer,
        context: Option<ContextFiles<'_>>,
        exposed: &[&str],
        room: &mut usize,
    ) {
        let (Kind::Copy(written) | Kind::Add(written)) = &self.instruction.kind else { return };
        let several = transfer.sources.len() + transfer.documents.len() > 1;
        let plain = |place: &Place| !matches!(place, Place::Path(path) if has_wildcards(path));
        if several
            && self.step.certain
            && !transfer.destination.ends_with('/')
            && transfer.sources.iter().all(plain)
        {
            let text = format!(
                "Several sources go to {:?}, which is no directory",
                transfer.destination_text
            );
            let hint = format!("write {}/", transfer.destination_text);
            self.warn(&rules::SOURCES_NEED_DIRECTORY, written.destination.span, text, &hint);
        }
        if transfer.from != Some(Input::Context) {
            return;
        }
        for (place, word) in transfer.sources.iter().zip(&written.paths) {
            let Place::Path(path) = place else { continue };
            if let Some(context) = context {
                let patterns = context.ignore.patterns().len();
                if let Some(left) = room.checked_sub(patterns) {
                    *room = left;
                    self.ignored(path, word, transfer.add, context);
                }
            }
            self.secret(path, word, exposed);
        }
    }

    /// `CopyIgnoredFile`. With exceptions in the file nothing can be said.
    fn ignored(&mut self, path: &str, word: &Word, add: bool, context: ContextFiles<'_>) {
        if context.ignore.has_exceptions() || !self.step.certain {
            return;
        }
        let cleaned = super::super::dockerignore::clean(path);
        let relative = cleaned.trim_start_matches('/');
        let by = match relative {
            "" | "." => context.ignore.excludes_everything(),
            relative => context.ignore.excluded_by(relative.as_bytes()),
        };
        let Some(pattern) = by else { return };
        let verb = if add { "Add" } else { "Copy" };
        let text =
            format!("Attempting to {verb} file {cleaned:?} that is excluded by .dockerignore");
        let hint = format!("line {} of it: {}", pattern.line, pattern.text);
        self.warn(&rules::COPY_IGNORED_FILE, word.span, text, &hint);
    }

    /// `SecretFileCopied`: a source named like one, or one in the directory that is copied whole.
    fn secret(&mut self, path: &str, word: &Word, exposed: &[&str]) {
        let cleaned = super::super::dockerignore::clean(path);
        let relative = cleaned.trim_start_matches('/');
        let whole = matches!(relative, "" | ".");
        let hint = "mount it where it is needed: RUN --mount=type=secret";
        if !whole {
            if !has_wildcards(path) && is_secret(relative) {
                let text = format!("{relative:?} usually holds secrets");
                self.warn(&rules::SECRET_FILE_COPIED, word.span, text, hint);
            }
            return;
        }
        for name in exposed {
            let text = format!("{name:?} of the context is copied and usually holds secrets");
            let hint = "leave it out: a line in .dockerignore";
            self.warn(&rules::SECRET_FILE_COPIED, word.span, text, hint);
        }
    }
}

/// How many patterns are compared with sources in one file.
const MAX_PATTERN_CHECKS: usize = 10_000_000;

/// The files in a context's root that usually hold secrets and are not left out.
fn exposed_secrets(context: ContextFiles<'_>) -> Vec<&'static str> {
    let exposed = |name: &&str| {
        context.ignore.excluded_by(name.as_bytes()).is_none() && (context.exists)(name)
    };
    SECRETS.into_iter().filter(exposed).collect()
}

/// Files and directories that hold secrets wherever they stand.
const SECRETS: [&str; 14] = [
    ".env",
    ".netrc",
    ".npmrc",
    ".pypirc",
    ".git-credentials",
    ".aws/credentials",
    ".docker/config.json",
    ".kube/config",
    ".ssh",
    "id_rsa",
    "id_ecdsa",
    "id_ed25519",
    "credentials.json",
    ".htpasswd",
];

fn is_secret(path: &str) -> bool {
    let last = path.rsplit('/').next().unwrap_or(path);
    let named = |secret: &&str| path == *secret || path.ends_with(&format!("/{secret}"));
    SECRETS.iter().any(named)
        || (last.starts_with(".env.") && !last.ends_with(".example") && !last.ends_with(".sample"))
        || last.ends_with(".key")
        || last.ends_with(".p12")
        || last.ends_with(".pfx")
}

/// Whether a command fetches package lists that stay.
fn leaves_lists(run: &Run, commands: &[shell::Command], text: &str) -> bool {
    let fetches = commands.iter().any(|command| {
        command.program().is_some_and(|(program, words)| {
            matches!(program, "apt-get" | "apt" | "aptitude") && words.iter().any(|w| w == "update")
        })
    });
    let elsewhere = run.mounts.iter().any(|mount| {
        let over = |target: &str| "/var/lib/apt/lists".starts_with(target);
        mount.kind != MountKind::Secret && mount.target.as_deref().is_some_and(over)
    });
    fetches
        && !elsewhere
        && !text.contains("/var/lib/apt/lists")
        && !text.contains("/var/lib/apt/*")
}
