//! The ground of the library: vocabulary, system calls, streams of bytes, layers.
//!
//! Holds what all other members use: `error`, `progress`, `spec`, `sys`, `template`, `blob`,
//! `layer` and `packages`. The only crate with `unsafe` code, below `sys`. Does not know
//! registries, stores or containers.

pub mod blob;
pub mod error;
pub mod layer;
pub mod packages;
pub mod progress;
pub mod spec;
pub mod sys;
pub mod template;

pub use error::{Error, ErrorKind, Result};
