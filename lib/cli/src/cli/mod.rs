//! What the four programs have in common: how they speak, draw progress, fail and describe
//! themselves. Used by `bins/` alone.

mod docs;
mod durable;
mod environment;
mod failure;
mod oci_runtime;
mod progress;
mod rows;
mod size;
mod speech;
mod verb;

pub use docs::DocsVerb;
pub use durable::StoreArgs;
pub use environment::{Surroundings, given_credential};
pub use failure::{exit_code, report_failure};
pub use oci_runtime::{runtime_environment, runtime_program};
pub use progress::{Style, listener, with_requests};
pub use rows::formatted_rows;
pub use size::{Columns, bytes, table};
pub use speech::{print, say};
pub use verb::with_default_verb;
