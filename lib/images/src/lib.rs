//! Images: where they lie and how they move.
//!
//! Holds `config`, `registry`, `store`, `snapshot`, `transport` and `copy`. Does not know
//! containers or builds.
//!
//! The modules of lower members are imported here, so that a path like `crate::spec::Digest` means
//! the same in every member of the library.

pub mod config;
pub mod copy;
pub mod registry;
pub mod snapshot;
pub mod store;
pub mod transport;

pub(crate) use creel_core::{blob, error, layer, progress, spec, sys};

pub use creel_core::{Error, ErrorKind, Result};
