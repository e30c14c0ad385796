//! Building images: the Dockerfile language, its execution, and working containers.
//!
//! Holds `build`, a folder of its own so that its paths match the library's.
//!
//! The modules of lower members are imported here, so that a path like `crate::spec::Digest` means
//! the same in every member of the library.

pub mod build;

pub(crate) use creel_core::{blob, error, layer, progress, spec, sys};
pub(crate) use creel_engine::{network, runtime};
pub(crate) use creel_images::{config, copy, registry, snapshot, store, transport};

pub use creel_core::{Error, ErrorKind, Result};
