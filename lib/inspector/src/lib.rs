//! Answers about images: configuration, files, differences, packages.
//!
//! Holds `inspect`, a folder of its own so that its paths match the library's.
//!
//! The modules of lower members are imported here, so that a path like `crate::spec::Digest` means
//! the same in every member of the library.

pub mod inspect;

pub(crate) use creel_core::{blob, error, layer, packages, spec, sys, template};
pub(crate) use creel_images::{snapshot, store, transport};

pub use creel_core::{Error, ErrorKind, Result};
