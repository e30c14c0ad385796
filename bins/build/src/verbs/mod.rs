//! One file per verb: options in, one call of the library, a report out.

pub(crate) mod build;
pub(crate) mod check;
