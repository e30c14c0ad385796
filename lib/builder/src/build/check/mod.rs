//! The whole front end on one file: read, plan, advise, and what to say about it.
//!
//! [`check`] is what `creel-build check` does and what a build does first. It reads nothing but
//! what it is given and prints nothing; [`text`], [`to_json`] and [`to_sarif`] make reports of it.

mod json;
mod sarif;

pub(super) use json::location;
pub use json::to_json;
pub use sarif::to_sarif;

use super::diagnostic::{Diagnostic, Diagnostics, Severity, one_line, render};
use super::dockerfile::{self, Dockerfile};
use super::graph::{self, Bases, Plan, PlanOptions};
use super::lint::{self, Advice, ContextFiles, Options, rules};
use super::source::Span;
use super::suggest;

/// What is checked.
pub struct Request<'a> {
    /// What messages call the file.
    pub name: &'a str,
    /// The file.
    pub bytes: &'a [u8],
    /// Target, arguments, platforms.
    pub options: PlanOptions,
    /// The context, where there is one to look at.
    pub context: Option<ContextFiles<'a>>,
}

/// What came out.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The file as it was read.
    pub file: Dockerfile,
    /// What a build of it would do; complete only without errors.
    pub plan: Plan,
    /// Everything found, in the order of the text.
    pub found: Vec<Diagnostic>,
    /// How many findings were left out, because there were too many.
    pub dropped: usize,
    /// Why the file's own rules forbid to build it, if they do.
    pub violation: Option<String>,
}

/// Checks a file. `bases` is asked for base images; it may know none.
pub fn check(request: Request<'_>, bases: Bases<'_>) -> Checked {
    let mut file = dockerfile::parse(request.name, request.bytes);
    let mut found = std::mem::take(&mut file.diagnostics);
    syntax_note(&file, &mut found);
    let mut advice = Advice::new(lint_options(&file, &request.options, &mut found));
    lint::examine_text(&file, &mut advice);
    let plan = graph::plan(&file, &request.options, bases, &mut advice, &mut found);
    lint::examine_plan(&file, &plan, request.context, &mut advice);
    let violation = advice.violation();
    found.append(advice.into_found());
    let dropped = found.dropped();
    Checked { file, plan, found: found.into_sorted(), dropped, violation }
}

impl Checked {
    /// How many findings of a kind there are.
    pub fn count(&self, severity: Severity) -> usize {
        self.found.iter().filter(|found| found.severity == severity).count()
    }

    /// Whether it can be built.
    pub fn is_good(&self) -> bool {
        self.count(Severity::Error) == 0 && self.violation.is_none()
    }
}

/// The report for people: every finding with its excerpt, and a line that sums up.
pub fn text(checked: &Checked, color: bool) -> String {
    let mut out = String::new();
    for found in &checked.found {
        out.push_str(&render(found, &checked.file.source, color));
        out.push('\n');
    }
    out.push_str(&summary(checked));
    out.push('\n');
    out
}

/// One line for each finding.
pub fn lines(checked: &Checked) -> Vec<String> {
    checked.found.iter().map(|found| one_line(found, &checked.file.source)).collect()
}

/// What was found, in one sentence.
pub fn summary(checked: &Checked) -> String {
    let (errors, warnings) = (checked.count(Severity::Error), checked.count(Severity::Warning));
    let plural = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    };
    let found = |count: usize| if count == 1 { "has been found!" } else { "have been found!" };
    let warned = plural(warnings, "warning");
    let mut out = match (errors, warnings) {
        (0, 0) => "Check complete, no warnings found.".to_owned(),
        (0, _) => format!("Check complete, {warned} {}", found(warnings)),
        (_, 0) => format!("Check failed, {} {}", plural(errors, "error"), found(errors)),
        (_, _) => {
            format!("Check failed, {} and {warned} have been found!", plural(errors, "error"))
        }
    };
    if checked.dropped > 0 {
        out = format!("{out} ({} more are not shown)", checked.dropped);
    }
    if let Some(violation) = &checked.violation {
        out = format!("{out}\n{violation}");
    }
    out
}

/// The front end that a file names is not run; that is worth a word where it is not the usual one.
fn syntax_note(file: &Dockerfile, found: &mut Diagnostics) {
    let Some(syntax) = &file.directives.syntax else { return };
    let image = syntax.value.split_whitespace().next().unwrap_or_default();
    let name = image.strip_prefix("docker.io/").unwrap_or(image);
    let usual = |known: &str| {
        name.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '@']))
    };
    if usual("docker/dockerfile") || usual("docker/dockerfile-upstream") {
        return;
    }
    let text = format!("the front end {image} is not used: this program reads the file itself");
    found.push(Diagnostic::note(syntax.span, text));
}

/// Which rules count: by `--build-arg BUILDKIT_DOCKERFILE_CHECK`, else by the file.
fn lint_options(file: &Dockerfile, options: &PlanOptions, found: &mut Diagnostics) -> Options {
    let given = options.build_arguments.iter().find(|(n, _)| n == "BUILDKIT_DOCKERFILE_CHECK");
    let (parsed, span) = match (given, &file.directives.check) {
        (Some((_, value)), _) => (Options::parse(value), Span::default()),
        (None, Some(check)) => (Options::of_directive(&check.value), check.span),
        (None, None) => return Options::default(),
    };
    match parsed {
        Ok(options) => {
            let names = || rules::ALL.iter().map(|rule| rule.name);
            for name in options.names().filter(|name| !names().any(|known| known == *name)) {
                let known = suggest::nearest(name, names(), false);
                let text = format!("there is no rule {name:?}");
                found.push(Diagnostic::note(span, text).suggest(known));
            }
            options
        }
        Err(problem) => {
            let text = format!("failed to parse check options: {problem}");
            found.push(Diagnostic::error(span, text));
            Options::default()
        }
    }
}
