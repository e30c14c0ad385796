//! One file per verb: options in, one call of the library, a report out.

pub mod copy;
pub mod delete;
pub mod digest;
pub mod login;
pub mod store;
pub mod sync;
pub mod tag;
pub mod tags;
