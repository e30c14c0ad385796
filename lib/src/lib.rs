//! Container images: registries, layouts, archives and a local store, and what one does with them.
//!
//! Metadata is a value, content is a stream, a place is a trait, a verb is a function.
//! This crate only re-exports the member crates beside it, so that they build side by side and
//! their users need one name. `lib/README.md` is the map.

pub use creel_builder::build;
#[cfg(feature = "cli")]
pub use creel_cli::cli;
pub use creel_core::{Error, ErrorKind, Result};
pub use creel_core::{blob, error, layer, packages, progress, spec, sys, template};
pub use creel_engine::{container, network, run, runtime};
pub use creel_images::{config, copy, registry, snapshot, store, transport};
pub use creel_inspector::inspect;
