//! What the four programs have in common: how they speak, draw progress, fail and describe
//! themselves. Used by `bins/` alone.

mod docs;
mod environment;
mod failure;
mod progress;
mod size;
mod verb;

pub use docs::{Shell, completion, man_pages};
pub use environment::{Surroundings, given_credential};
pub use failure::{exit_code, report_failure};
pub use progress::{Style, listener};
pub use size::{bytes, table};
pub use verb::with_default_verb;

/// Lets `program | head` end quietly instead of with an error about a closed pipe.
pub fn quiet_pipes() {
    crate::sys::default_sigpipe();
}
