//! One container from its directory to its end.
//!
//! Owns what stays with a container while it lives and afterwards: its monitor and its log.

pub mod attach;
pub mod log;
pub mod monitor;
pub mod restart;
