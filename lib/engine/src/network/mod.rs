//! Networks of containers: a bridge, addresses on it, and the way out.
//!
//! Owns the bridge `creel0`, its firewall tables `creel`, and the namespace of a container that is
//! connected. Talks to the kernel by its own messages; only the older iptables is a program that is
//! called, where a host uses it. Everything is kept by the kernel, for one network namespace of the
//! host: programs with other stores and state directories share the bridge and get other
//! addresses. Promise: what belongs to one container goes with it, however it ends: its namespace
//! with its links and its address. The bridge and the tables stay for the next container, as
//! Docker's do. Does not know images or runtimes.

mod attachment;
mod bridge;
mod expression;
mod firewall;
mod lease;
mod legacy;
mod message;
mod nftables;
mod others;
mod route;

pub use attachment::Attachment;

use std::io;

use crate::error::{Error, ErrorKind};

/// The host does not let us; what a person can do instead.
fn refused(doing: &'static str, error: io::Error) -> Error {
    let kind = match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES | libc::EROFS) => ErrorKind::Denied,
        Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EPROTONOSUPPORT | libc::EINVAL) => {
            ErrorKind::Unsupported
        }
        _ => ErrorKind::Failed,
    };
    let hint = "the container cannot have a network of its own here (--network host and \
                --network none need none)";
    Error::caused(kind, hint, Error::io(doing, error))
}
