//! The process that stays with a container.
//!
//! Owns a running container's standard streams, its log, its exit code and its restarts, and a
//! socket over which others attach, send signals, stop it and wait for it. One thread, one `poll`:
//! a monitor of an idle container never wakes up. Promise: the exit code is recorded before anyone
//! is told of it; all output is in the log before that; a client that goes away or does not read
//! costs nobody but itself a byte. Does not know how a container is started: [`Launcher`] does.

mod client;
mod io;
mod peer;
mod serve;
mod wire;

pub use client::{Attachment, MonitorClient};
pub use io::ContainerIo;
pub use serve::{Exit, Launcher, MonitorSettings, Started, monitor};
pub use wire::{Answer, Refusal, Request, WaitCondition};

/// The version of the protocol. A monitor answers requests of older versions, and refuses verbs
/// that it does not know, so that programs and monitors of different releases understand each
/// other.
pub const PROTOCOL_VERSION: u32 = 1;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::zombie_processes)]
mod tests;
