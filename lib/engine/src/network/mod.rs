//! Networks of containers: a bridge, addresses on it, and the way out.
//!
//! Owns the bridge `creel0` and its firewall table, the addresses (`<state>/network/creel0/`, a
//! locked file each), and the namespace of a container that is connected. Talks to the kernel
//! alone, by its own messages; no program is called. Promise: what belongs to one container goes
//! with it, however it ends: its namespace with its links by the kernel's doing, its address when
//! its lock is free. The bridge and the table stay for the next container, as Docker's do. Does
//! not know images or runtimes.

mod address;
mod attachment;
mod firewall;
mod message;
mod route;

pub use address::release;
pub use attachment::Attachment;
