//! Building images: for now the language, from text to a graph of steps.
//!
//! Four stages, each a pure function over values: `Dockerfile` text → lines → typed instructions
//! ([`dockerfile`]) → graph of steps ([`graph`]), with variables filled in by [`expand`], names of
//! the context filtered by [`dockerignore`] and advice given by [`lint`]. Mistakes are
//! [`diagnostic`]s: all of them at once, each with its place in the text.
//! Uses `spec` and `sys`. Does not execute, fetch or store anything.

pub mod call;
pub mod check;
pub mod context;
pub mod diagnostic;
pub mod dockerfile;
pub mod dockerignore;
pub mod expand;
pub mod graph;
pub mod lint;
pub mod source;
mod suggest;
