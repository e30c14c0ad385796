//! How a failure is told: the chain, a hint by kind, and the exit code.

use super::say;
use crate::error::{Error, ErrorKind};

/// The exit code of copy, inspect and the store verbs.
pub fn exit_code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Usage => 2,
        ErrorKind::NotFound => 3,
        ErrorKind::Unauthorized | ErrorKind::Denied => 4,
        ErrorKind::Unavailable => 5,
        ErrorKind::Corrupt => 6,
        ErrorKind::Cancelled => 130,
        ErrorKind::AlreadyExists
        | ErrorKind::Invalid
        | ErrorKind::Unsupported
        | ErrorKind::Busy
        | ErrorKind::Failed => 1,
    }
}

/// Prints `error` to stderr and returns its exit code. `program` is how to call this one.
pub fn report_failure(program: &str, error: &Error) -> u8 {
    say(format_args!("{program}: {}", printable(&error.chain())));
    if let Some(hint) = hint(error.kind()) {
        say(format_args!("  hint: {hint}"));
    }
    exit_code(error.kind())
}

fn hint(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::Unauthorized => {
            Some("log in with `creel-copy login HOST`, or name a file with --authfile")
        }
        ErrorKind::Unavailable => {
            Some("once that can be reached, the same command continues where this one stopped")
        }
        _ => None,
    }
}

/// Text from outside may hold escape sequences that would act on a terminal.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && character != '\t' {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(printable("a\u{1b}[31mb\nc"), "a\\u{1b}[31mb\\nc");
    }
}
