//! A container's connection to the bridge.

use std::fs::DirBuilder;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::bridge::{self, Bridge};
use super::lease::{self, Wanted};
use super::{firewall, refused, route};
use crate::error::{IoContext, Result};
use crate::sys::{Netlink, NetlinkFamily, UserNamespace, new_network};

const INSIDE: &str = "eth0";

/// A network namespace that is connected to the bridge, for one container.
///
/// The links go with the namespace, when this is dropped and the last process has left it; with
/// them the address becomes free.
#[derive(Debug)]
pub struct Attachment {
    namespace: OwnedFd,
    address: Ipv4Addr,
    gateway: Ipv4Addr,
}

impl Attachment {
    /// Makes a namespace for the container `id` and connects it: an address on the bridge, a way
    /// out under the host's address, no IPv6. What is missing of the bridge is made. `state` is a
    /// directory on memory. The namespace belongs to `users` if it was made with a network. `warn`
    /// hears of firewalls that are in the container's way.
    ///
    /// # Errors
    /// `Denied` or `Unsupported`, naming the choices, when the host does not give the rights.
    pub fn to_bridge(
        state: &Path,
        id: &str,
        users: Option<&UserNamespace>,
        warn: &mut dyn FnMut(&str),
    ) -> Result<Attachment> {
        let made = users.map_or(Ok(None), UserNamespace::network);
        let (namespace, mut inside) = made
            .and_then(|made| made.map_or_else(new_network, Ok))
            .map_err(|error| refused("making a network namespace", error))?;
        let mut host = Netlink::open(NetlinkFamily::Route)
            .map_err(|error| refused("opening a socket for network settings", error))?;
        let bridge = bridge::ensure(&mut host, bridge::DEFAULT)?;
        firewall::ensure(&mut host, &bridge, warn)?;
        let hint = hint(state)?;
        let wanted = Wanted { id, namespace: namespace.as_fd(), inside: INSIDE, hint: &hint };
        let address = lease::take(&mut host, &bridge, &wanted)?;
        settle(&mut inside, &bridge, address)
            .map_err(|error| refused("connecting the container to the bridge", error))?;
        Ok(Attachment { namespace, address, gateway: bridge.gateway })
    }

    /// A path to the namespace, good while this lives.
    pub fn path(&self) -> PathBuf {
        let (process, file) = (std::process::id(), self.namespace.as_raw_fd());
        PathBuf::from(format!("/proc/{process}/fd/{file}"))
    }

    /// The container's address.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// The host's address as the container sees it.
    pub fn gateway(&self) -> Ipv4Addr {
        self.gateway
    }
}

/// Where it is kept which address comes next.
fn hint(state: &Path) -> Result<PathBuf> {
    let directory = state.join("network");
    let making = || format!("making directory {}", directory.display());
    DirBuilder::new().recursive(true).mode(0o700).create(&directory).doing(making)?;
    Ok(directory.join(format!("{}.next", bridge::DEFAULT)))
}

/// The container's side of its connection.
fn settle(inside: &mut Netlink, bridge: &Bridge, address: Ipv4Addr) -> io::Result<()> {
    const LOOPBACK: u32 = 1;
    route::set_up(inside, LOOPBACK)?;
    let link = route::find(inside, INSIDE)?.ok_or(io::ErrorKind::NotFound)?;
    route::add_address(inside, link.index, address, bridge.subnet.prefix)?;
    route::set_up(inside, link.index)?;
    route::add_default_route(inside, bridge.gateway)
}
