#![allow(clippy::unwrap_used, clippy::panic)]

mod arguments;
mod limits;
mod run;
mod stages;
mod transfer;

use proptest::prelude::*;

use super::*;
use crate::build::check::{self, Checked, Request};
use crate::build::diagnostic::{Severity, one_line};

/// What is asked for in a test.
#[derive(Default)]
struct Ask<'a> {
    target: Option<&'a str>,
    arguments: &'a [(&'a str, &'a str)],
    contexts: &'a [&'a str],
    all: bool,
    bases: &'a [(&'a str, BaseImage)],
}

fn checked(text: &str, ask: &Ask<'_>) -> Checked {
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let options = PlanOptions {
        target: ask.target.map(str::to_owned),
        build_arguments: ask.arguments.iter().map(pair).collect(),
        platform: Platform::new("linux", "amd64", None),
        build_platform: Platform::new("linux", "amd64", None),
        contexts: ask.contexts.iter().map(|name| context_key(name)).collect(),
        all_stages: ask.all,
    };
    let mut bases = |name: &str, _: &Platform| {
        ask.bases.iter().find(|(known, _)| *known == name).map(|(_, image)| image.clone())
    };
    let request = Request { name: "f", bytes: text.as_bytes(), options, context: None };
    check::check(request, &mut bases)
}

/// Errors and the plan, as text.
fn shown(text: &str, ask: &Ask<'_>) -> String {
    let checked = checked(text, ask);
    let mut out = String::new();
    for found in checked.found.iter().filter(|found| found.severity == Severity::Error) {
        out.push_str(&one_line(found, &checked.file.source));
        out.push('\n');
    }
    out + &to_text(&checked.plan)
}

fn plain(text: &str) -> String {
    shown(text, &Ask::default())
}

/// Errors alone, without the file's name.
fn errors(text: &str) -> Vec<String> {
    errors_of(text, &Ask::default())
}

fn errors_of(text: &str, ask: &Ask<'_>) -> Vec<String> {
    let checked = checked(text, ask);
    let errors = checked.found.iter().filter(|found| found.severity == Severity::Error);
    errors
        .map(|e| one_line(e, &checked.file.source).replacen("f:", "", 1).replacen("error: ", "", 1))
        .collect()
}

/// The steps of a single stage on scratch, one a line.
fn steps(body: &str) -> Vec<String> {
    let text = plain(&format!("FROM scratch\n{body}\n"));
    let rest = |line: &str| line.trim_start().split_once(' ').map(|(_, rest)| rest.to_owned());
    text.lines().skip(1).filter_map(rest).collect()
}

proptest! {
    /// Whatever a file says, it is checked, planned and reported without a panic.
    #[test]
    fn nothing_panics(
        lines in prop::collection::vec(
            (
                prop::sample::select(vec![
                    "FROM", "FROM", "FROM", "ARG", "ENV", "RUN", "COPY", "ADD", "EXPOSE", "USER", "WORKDIR",
                    "ONBUILD COPY", "ONBUILD RUN", "VOLUME", "STOPSIGNAL", "CMD", "HEALTHCHECK CMD", "SHELL",
                    "LABEL", "# check=skip=all\nRUN", "", "<<E",
                ]),
                prop::collection::vec(
                    prop::sample::select(vec![
                        "scratch", "x", "y", "$x", "${y:-z}", "${x%%*}", "${", "x=1", "x=$y", "y=${x/a/b}", "as",
                        "a", "b", "0", "--from=a", "--from=1", "--from=b", "--from=$x", "--platform=$x",
                        "--mount=target=/c,from=a", "--mount=type=secret,id=$x", "--mount=type=cache",
                        "--chmod=u+x", "--chmod=99", "--chown=$x", "<<E", "[\"a\"]", ".", "/", "..", "é", "|",
                        "80/tcp", "1-2", "$x-3", "https://a/b.git", "\\\n", "\nE\n", "apt-get", "update", ".env",
                    ]),
                    0..6,
                ),
            ),
            0..14,
        ),
        known in any::<bool>(),
        target in prop::sample::select(vec![None, Some("a"), Some("0"), Some("zz")]),
    ) {
        let mut text = String::new();
        for (keyword, words) in &lines {
            text.push_str(&format!("{keyword} {}\n", words.join(" ")));
        }
        let image = BaseImage {
            env: vec!["x=v".to_owned()],
            on_build: vec!["COPY --from=a $x /".to_owned()],
            ..BaseImage::default()
        };
        let bases = [("docker.io/library/x:latest", image)];
        let ask = Ask {
            target,
            all: target.is_none(),
            arguments: &[("y", "w$x")],
            contexts: &["b"],
            bases: if known { &bases } else { &[] },
        };
        let checked = checked(&text, &ask);
        check::text(&checked, true);
        check::to_json(&checked);
        check::to_sarif(&checked, "0");
        to_text(&checked.plan);
        to_json(&checked.plan, &checked.file.source);
        crate::build::call::outline(&checked.plan);
    }
}
