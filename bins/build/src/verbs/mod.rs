//! One file per verb: options in, one call of the library, a report out.

pub(crate) mod build;
pub(crate) mod cache;
pub(crate) mod check;
pub(crate) mod containers;
pub(crate) mod in_container;
pub(crate) mod remote;
mod runs;
pub(crate) mod working;
