//! How a failure is told: the chain, a hint by kind, and the exit code.

use super::say;
use crate::error::{Error, ErrorKind};
use crate::sys::{OutputClosed, die_of_closed_pipe};

/// The code that a shell gives a program killed by SIGPIPE.
const CLOSED_PIPE: u8 = 128 + 13;

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
///
/// Where stdout was closed by whoever read it, the program ends at once and quietly, as programs in
/// pipelines do.
pub fn report_failure(program: &str, error: &Error) -> u8 {
    if OutputClosed::caused(error) {
        die_of_closed_pipe();
        return CLOSED_PIPE;
    }
    say(format_args!("{program}: {}", error.chain()));
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
