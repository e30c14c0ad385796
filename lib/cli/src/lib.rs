//! What the programs share on a terminal: progress, error messages, common flags.
//!
//! Holds `cli`. Used by the programs alone; nothing in the library knows a terminal.
//!
//! The modules of lower members are imported here, so that a path like `crate::spec::Digest` means
//! the same in every member of the library.

pub mod cli;

pub(crate) use creel_core::{error, progress, spec, sys, template};
pub(crate) use creel_images::{config, store};

pub use creel_core::{Error, ErrorKind, Result};
