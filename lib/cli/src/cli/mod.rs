//! What the four programs have in common: how they speak, draw progress, fail and describe
//! themselves. Used by `bins/` alone.

mod arguments;
mod docs;
mod durable;
mod environment;
mod failure;
mod flags;
mod foreign_verb;
mod oci_runtime;
mod progress;
mod rows;
mod size;
mod speech;
mod verb;

pub use arguments::{arguments, arguments_from, parse_bool};
pub use docs::DocsVerb;
pub use durable::StoreArgs;
pub use environment::{Surroundings, given_credential};
pub use failure::{exit_code, report_failure};
pub use flags::{command, matches, read};
pub use foreign_verb::foreign_verb;
pub use oci_runtime::{monitor_program, runtime_environment, runtime_program};
pub use progress::{Style, listener, with_requests};
pub use rows::formatted_rows;
pub use size::{Columns, bytes, table};
pub use speech::{
    Content, one_line, print, print_content, print_drawing, print_json, print_json_line, say,
    say_drawing, say_json, say_output, takes_color,
};
pub use verb::with_default_verb;
