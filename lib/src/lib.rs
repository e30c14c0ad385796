//! Container images: registries, layouts, archives and a local store, and what one does with them.
//!
//! Metadata is a value, content is a stream, a place is a trait, a verb is a function.
//! `lib/README.md` is the map.

pub mod blob;
pub mod build;
#[cfg(feature = "cli")]
pub mod cli;
pub mod config;
pub mod error;
pub mod layer;
pub mod progress;
pub mod spec;
pub mod sys;
pub mod transport;

pub use error::{Error, ErrorKind, Result};
