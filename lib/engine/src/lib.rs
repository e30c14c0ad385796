//! Containers: from an image and options to a running process.
//!
//! Holds `runtime`, `network` and `run`. Does not know Dockerfiles.
//!
//! The modules of lower members are imported here, so that a path like `crate::spec::Digest` means
//! the same in every member of the library.

pub mod network;
pub mod run;
pub mod runtime;

pub(crate) use creel_core::{error, spec, sys};
pub(crate) use creel_images::{copy, snapshot, store, transport};

pub use creel_core::{Error, ErrorKind, Result};
