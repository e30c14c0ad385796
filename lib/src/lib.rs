//! Container images: registries, layouts, archives and a local store, and what one does with them.
//!
//! Metadata is a value, content is a stream, a place is a trait, a verb is a function.
//! `lib/README.md` is the map.

pub mod blob;
pub mod build;
#[cfg(feature = "cli")]
pub mod cli;
pub mod config;
pub mod copy;
pub mod error;
pub mod inspect;
pub mod layer;
pub mod network;
pub mod packages;
pub mod progress;
pub mod registry;
pub mod run;
pub mod runtime;
pub mod snapshot;
pub mod spec;
pub mod store;
pub mod sys;
pub mod template;
pub mod transport;

pub use error::{Error, ErrorKind, Result};
