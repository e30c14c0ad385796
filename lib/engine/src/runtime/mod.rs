//! From an image's config and a person's options to a running process.
//!
//! Owns the data of one run ([`RunOptions`], [`ImageDefaults`], [`HostFacts`]), the text of flags,
//! users, capabilities and seccomp, the OCI runtime configuration, and the call of the runtime
//! itself. Is given a mounted root file system. Promise: all that touches the root goes through a
//! handle of it; the configuration is a pure function of its inputs, byte for byte. Does not know
//! stores, snapshots or how networks are made.

pub mod binfmt;
pub mod capabilities;
pub mod cdi;
pub mod config;
pub mod devices;
pub mod files;
pub mod flags;
pub mod foreground;
pub mod host;
pub mod id_map;
pub mod lookup;
mod mounted;
pub mod options;
pub mod prepare;
pub mod runc;
pub mod seccomp;
pub mod streams;
pub mod terminal;
pub mod user;
mod view;

pub use cdi::{CDI_DIRECTORIES, CdiEdits, CdiName, resolve_cdi};
pub use config::{Built, Container, build, check_options, to_json};
pub use foreground::{Control, Outcome};
pub use host::{HostFacts, HostNames};
pub use lookup::{CannotStart, Look, find_program};
pub use options::{ImageDefaults, RunOptions};
pub use prepare::{Made, Sources, prepare};
pub use runc::{Bundle, Runtime};
pub use streams::{Attached, Stream, Streams};
pub use terminal::{Detached, Person};
pub use user::{Accounts, ResolvedUser};
