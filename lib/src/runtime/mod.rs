//! From an image's config and a person's options to a running process.
//!
//! Owns the data of one run ([`RunOptions`], [`ImageDefaults`], [`HostFacts`]), the text of flags,
//! users, capabilities and seccomp, the OCI runtime configuration, and the call of the runtime
//! itself. Is given a mounted root file system. Promise: all that touches the root goes through a
//! handle of it; the configuration is a pure function of its inputs, byte for byte. Does not know
//! stores, snapshots or how networks are made.

pub mod capabilities;
pub mod config;
pub mod files;
pub mod flags;
pub mod host;
pub mod lookup;
mod mounted;
pub mod options;
pub mod prepare;
pub mod seccomp;
pub mod user;

pub use host::HostFacts;
pub use options::{ImageDefaults, RunOptions};
pub use user::{Accounts, ResolvedUser};
