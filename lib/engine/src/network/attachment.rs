//! A container's connection to the bridge.

use std::fs::{self, DirBuilder};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::address::Lease;
use super::firewall::{self, Subnet};
use super::route::{self, Link, Pair};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::sys::{Lock, LockMode, Netlink, NetlinkFamily, UserNamespace, new_network};

const BRIDGE: &str = "creel0";
const INSIDE: &str = "eth0";
/// The bridge's network is the first of these that this machine has no way to yet.
const SECOND_OCTETS: std::ops::RangeInclusive<u8> = 87..=127;
const PREFIX: u8 = 16;
const USUAL_MTU: u32 = 1500;
/// Longest name of a link.
const MAX_NAME: usize = 15;

/// Where the addresses of the bridge's containers are kept.
pub(super) fn directory(state: &Path) -> PathBuf {
    state.join("network").join(BRIDGE)
}

/// A network namespace that is connected to the bridge, for one container.
#[derive(Debug)]
pub struct Attachment {
    namespace: OwnedFd,
    lease: Lease,
    gateway: Ipv4Addr,
}

impl Attachment {
    /// Makes a namespace for the container `id` and connects it: an address on the bridge, a way
    /// out under the host's address. What is missing of the bridge is made. `state` is the
    /// directory on memory that all share who use the bridge; `runs` tells whether a container
    /// still runs that has lost its keeper. The namespace belongs to `users` if it was made with a
    /// network.
    ///
    /// # Errors
    /// `Denied` or `Unsupported`, naming the choices, when the host does not give the rights.
    pub fn to_bridge(
        state: &Path,
        id: &str,
        users: Option<&UserNamespace>,
        runs: &dyn Fn(&str) -> bool,
    ) -> Result<Attachment> {
        let dir = directory(state);
        let making = || format!("making directory {}", dir.display());
        DirBuilder::new().recursive(true).mode(0o700).create(&dir).doing(making)?;
        let made = users.map_or(Ok(None), UserNamespace::network);
        let (namespace, mut inside) = made
            .and_then(|made| made.map_or_else(new_network, Ok))
            .map_err(|error| refused("making a network namespace", error))?;
        let mut host = open(NetlinkFamily::Route)?;
        let (bridge, gateway, subnet, lease) = {
            // Held for moments: nobody else makes the bridge or takes the same address.
            let _alone = Lock::acquire(&state.join("network/lock"), LockMode::Exclusive)?;
            let (bridge, gateway, subnet) =
                ensure_bridge(&mut host).map_err(|error| refused("making the bridge", error))?;
            firewall::ensure_masquerade(BRIDGE, subnet)
                .map_err(|error| refused("setting up the firewall", error))?;
            (bridge, gateway, subnet, Lease::take(&dir, subnet, id, runs)?)
        };
        allow_forwarding()?;
        let pair = Pair {
            name: &link_name(id),
            bridge,
            namespace: namespace.as_fd(),
            inside: INSIDE,
            hardware: hardware_address(lease.address),
        };
        connect(&mut host, &mut inside, &pair, lease.address, subnet.prefix, gateway)
            .map_err(|error| refused("connecting the container to the bridge", error))?;
        Ok(Attachment { namespace, lease, gateway })
    }

    /// A path to the namespace, good while this lives.
    pub fn path(&self) -> PathBuf {
        let (process, file) = (std::process::id(), self.namespace.as_raw_fd());
        PathBuf::from(format!("/proc/{process}/fd/{file}"))
    }

    /// The container's address.
    pub fn address(&self) -> Ipv4Addr {
        self.lease.address
    }

    /// The host's address as the container sees it.
    pub fn gateway(&self) -> Ipv4Addr {
        self.gateway
    }

    /// Gives the address back. The links go with the namespace, when the container has left it.
    pub fn detach(self) -> Result<()> {
        self.lease.release()
    }
}

fn open(family: NetlinkFamily) -> Result<Netlink> {
    Netlink::open(family).map_err(|error| refused("opening a socket for network settings", error))
}

/// The host does not let us; what a person can do instead.
fn refused(doing: &'static str, error: io::Error) -> Error {
    let kind = match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => ErrorKind::Denied,
        Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EPROTONOSUPPORT | libc::EINVAL) => {
            ErrorKind::Unsupported
        }
        _ => ErrorKind::Failed,
    };
    let hint = "the container cannot have a network of its own here (--network host and \
                --network none need none)";
    Error::caused(kind, hint, Error::io(doing, error))
}

/// The bridge with its address, made if it is missing.
fn ensure_bridge(host: &mut Netlink) -> io::Result<(Link, Ipv4Addr, Subnet)> {
    if let Some(bridge) = route::find(host, BRIDGE)?
        && let Some((address, prefix)) = route::address_of(host, bridge.index)?
    {
        return Ok((bridge, address, subnet_of(address, prefix)));
    }
    let subnet = free_subnet(&route::routes(host)?)
        .ok_or_else(|| io::Error::other("every network from 10.87.0.0/16 on is in use"))?;
    let gateway = Ipv4Addr::from_bits(subnet.first.to_bits() + 1);
    match route::make_bridge(host, BRIDGE, hardware_address(gateway)) {
        // Left half made by somebody who was killed.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made?,
    }
    let bridge = route::find(host, BRIDGE)?.ok_or(io::ErrorKind::NotFound)?;
    let mtu = route::default_mtu(host)?.unwrap_or(USUAL_MTU);
    // The bridge takes no advice from its containers.
    let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{BRIDGE}/accept_ra"), "0");
    route::set_up_with(host, bridge.index, mtu)?;
    // Last: with an address it counts as made.
    route::add_address(host, bridge.index, gateway, subnet.prefix)?;
    Ok((Link { mtu, ..bridge }, gateway, subnet))
}

fn subnet_of(address: Ipv4Addr, prefix: u8) -> Subnet {
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
    Subnet { first: Ipv4Addr::from_bits(address.to_bits() & mask), prefix }
}

fn free_subnet(taken: &[route::Route]) -> Option<Subnet> {
    let overlaps = |subnet: &Subnet, route: &route::Route| {
        let shorter = route.prefix.min(subnet.prefix);
        let same = |address| subnet_of(address, shorter).first;
        // The way to everywhere else takes no place.
        route.prefix > 0 && same(route.to) == same(subnet.first)
    };
    SECOND_OCTETS
        .map(|octet| Subnet { first: Ipv4Addr::new(10, octet, 0, 0), prefix: PREFIX })
        .find(|subnet| !taken.iter().any(|route| overlaps(subnet, route)))
}

fn allow_forwarding() -> Result<()> {
    const PATH: &str = "/proc/sys/net/ipv4/ip_forward";
    match fs::read_to_string(PATH) {
        Ok(text) if text.trim() == "1" => Ok(()),
        _ => {
            fs::write(PATH, "1").map_err(|error| refused("letting the host forward packets", error))
        }
    }
}

fn connect(
    host: &mut Netlink,
    inside: &mut Netlink,
    pair: &Pair<'_>,
    address: Ipv4Addr,
    prefix: u8,
    gateway: Ipv4Addr,
) -> io::Result<()> {
    const LOOPBACK: u32 = 1;
    route::make_pair(host, pair)?;
    route::set_up(inside, LOOPBACK)?;
    let link = route::find(inside, pair.inside)?.ok_or(io::ErrorKind::NotFound)?;
    route::add_address(inside, link.index, address, prefix)?;
    route::set_up(inside, link.index)?;
    route::add_default_route(inside, gateway)
}

fn link_name(id: &str) -> String {
    format!("creel{id}").chars().take(MAX_NAME).collect()
}

/// As Docker makes them: an address on the wire follows from the one above it.
fn hardware_address(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0x42, a, b, c, d]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use route::Route;

    #[test]
    fn networks_do_not_overlap() {
        let route = |to: &str, prefix| Route { to: to.parse().unwrap(), prefix, through: 1 };
        let free = |taken: &[Route]| free_subnet(taken).map(|s| s.first.to_string());
        assert_eq!(free(&[route("0.0.0.0", 0)]).unwrap(), "10.87.0.0");
        assert_eq!(free(&[route("10.87.5.0", 24)]).unwrap(), "10.88.0.0");
        assert_eq!(free(&[route("10.80.0.0", 12)]).unwrap(), "10.96.0.0");
        assert_eq!(free(&[route("10.0.0.0", 8)]), None);
    }

    #[test]
    fn names_and_numbers_of_links() {
        assert_eq!(link_name("0123456789abcdef"), "creel0123456789");
        assert_eq!(hardware_address(Ipv4Addr::new(10, 87, 0, 2)), [2, 0x42, 10, 87, 0, 2]);
    }
}
