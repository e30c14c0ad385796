//! One container from its directory to its end.
//!
//! Owns what is kept of a container while it lives and afterwards: its log.

pub mod log;
