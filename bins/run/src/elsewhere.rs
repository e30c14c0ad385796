//! Docker's verbs that this program does not have: where they are, or that they are to come.

use std::ffi::{OsStr, OsString};

use clap::Command;
use creel::error::Error;

/// Verbs that another program of Creel, or another word, stands for.
const ELSEWHERE: [(&str, &str); 23] = [
    ("build", "creel-build DIRECTORY"),
    ("buildx", "creel-build DIRECTORY"),
    ("commit", "creel-build from, run and commit"),
    ("container", "creel-run run, ps, rm and inspect"),
    ("df", "creel-inspect df"),
    ("export", "creel-inspect extract"),
    ("history", "creel-inspect history IMAGE"),
    ("image", "creel-inspect images, creel-copy rm and creel-copy prune"),
    ("images", "creel-inspect images"),
    ("import", "creel-build"),
    ("info", "creel-inspect df and creel-run --version"),
    ("load", "creel-copy docker-archive:FILE:NAME store:NAME"),
    ("login", "creel-copy login"),
    ("logout", "creel-copy logout"),
    ("prune", "creel-copy prune and creel-run volume prune"),
    ("pull", "creel-copy IMAGE"),
    ("push", "creel-build push IMAGE"),
    ("rmi", "creel-copy rm IMAGE"),
    ("save", "creel-copy store:NAME docker-archive:FILE:NAME"),
    ("search", "creel-copy tags REPOSITORY"),
    ("system", "creel-inspect df and creel-copy prune"),
    ("tag", "creel-copy tag"),
    ("version", "creel-run --version"),
];

/// Verbs that a later release brings.
const LATER: [&str; 13] = [
    "compose",
    "cp",
    "diff",
    "events",
    "healthcheck",
    "network",
    "pod",
    "port",
    "rename",
    "secret",
    "stats",
    "top",
    "update",
];

/// Docker's longer form: `container run` is `run`.
pub fn without_group(mut words: Vec<OsString>, command: &Command) -> Vec<OsString> {
    let grouped = match words.as_slice() {
        [_, group, verb, ..] => group == "container" && command.find_subcommand(verb).is_some(),
        _ => false,
    };
    if grouped {
        words.remove(1);
    }
    words
}

/// What to tell a person who wrote such a verb where the image would stand.
pub fn explain(word: &OsStr) -> Option<Error> {
    let word = word.to_str()?;
    let what = match ELSEWHERE.iter().find(|(verb, _)| *verb == word) {
        Some((_, instead)) => format!("instead of `creel-run {word}` there is {instead}"),
        None if LATER.contains(&word) => {
            format!("creel-run {word} is not available in this release")
        }
        None => return None,
    };
    Some(Error::usage(format!("{what} (an image of that name: `creel-run run {word}`)")))
}
