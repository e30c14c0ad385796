//! The bridge and its network of addresses.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};

use super::route::{self, Link, Route};
use crate::error::{Error, ErrorKind, Result};
use crate::sys::Netlink;

/// The default bridge.
pub(super) const DEFAULT: &str = "creel0";

const USUAL_MTU: u32 = 1500;
/// A route shorter than this is a way to everywhere (VPNs halve it), and takes no place.
const SHORTEST_NETWORK: u8 = 8;
/// Most bytes of `/etc/resolv.conf` that are read.
const MAX_RESOLVER: usize = 64 << 10;

/// The private networks that bridges get, by preference: how large each is, and their first ones.
const POOLS: [Pool; 3] = [
    Pool { first: Ipv4Addr::new(10, 87, 0, 0), prefix: 16, count: 41 },
    Pool { first: Ipv4Addr::new(172, 17, 0, 0), prefix: 16, count: 15 },
    Pool { first: Ipv4Addr::new(192, 168, 0, 0), prefix: 20, count: 16 },
];

struct Pool {
    first: Ipv4Addr,
    prefix: u8,
    count: u32,
}

impl Pool {
    fn subnets(&self) -> impl Iterator<Item = Subnet> {
        let (first, size) = (self.first.to_bits(), 1 << (32 - u32::from(self.prefix)));
        let at = move |number| Ipv4Addr::from_bits(first + number * size);
        (0..self.count).map(move |number| Subnet { first: at(number), prefix: self.prefix })
    }
}

/// A network of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subnet {
    pub(super) first: Ipv4Addr,
    pub(super) prefix: u8,
}

impl Subnet {
    /// The network that an address is in.
    pub(super) fn of(address: Ipv4Addr, prefix: u8) -> Subnet {
        let subnet = Subnet { first: address, prefix };
        Subnet { first: Ipv4Addr::from_bits(address.to_bits() & subnet.mask()), prefix }
    }

    /// The bits that all addresses have in common.
    pub(super) fn mask(self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0)
    }

    fn overlaps(self, other: Subnet) -> bool {
        let shorter = self.prefix.min(other.prefix);
        Subnet::of(self.first, shorter) == Subnet::of(other.first, shorter)
    }
}

/// A bridge that is ready for containers.
#[derive(Clone, Debug)]
pub(super) struct Bridge {
    pub(super) name: &'static str,
    pub(super) link: Link,
    /// The host's address.
    pub(super) gateway: Ipv4Addr,
    pub(super) subnet: Subnet,
}

/// The bridge with its address, made if it is missing.
///
/// No lock is needed: whoever makes it at the same time chooses the same network, because the
/// routes are read before the bridge is looked at, and an address cannot be added twice.
pub(super) fn ensure(host: &mut Netlink, name: &'static str) -> Result<Bridge> {
    let making = |error| super::refused("making the bridge", error);
    if let Some(found) = find(host, name)? {
        if !found.link.is_up {
            let raised = route::set_up(host, found.link.index);
            raised.map_err(|error| super::refused("bringing the bridge up", error))?;
        }
        return Ok(found);
    }
    let taken = route::routes(host).map_err(making)?;
    match route::make_bridge(host, name) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made.map_err(making)?,
    }
    if find(host, name)?.is_none() {
        let servers = name_servers();
        let subnet = free_subnet(&taken, &servers).ok_or_else(|| no_subnet(name))?;
        complete(host, name, subnet).map_err(making)?;
    }
    find(host, name)?.ok_or_else(|| making(io::ErrorKind::NotFound.into()))
}

/// The bridge, if it is there and has an address.
fn find(host: &mut Netlink, name: &'static str) -> Result<Option<Bridge>> {
    let looking = |error| super::refused("looking for the bridge", error);
    let Some(link) = route::find(host, name).map_err(looking)? else { return Ok(None) };
    if link.kind != "bridge" {
        return Err(Error::new(
            ErrorKind::Failed,
            format!(
                "the link {name} is not a bridge: containers cannot be connected to it (hint: \
                 remove it with `ip link del {name}`)"
            ),
        ));
    }
    let address = route::address_of(host, link.index).map_err(looking)?;
    Ok(address.map(|(gateway, prefix)| {
        let subnet = Subnet::of(gateway, prefix);
        Bridge { name, link, gateway, subnet }
    }))
}

/// Gives a new bridge what it needs; last the address, with which it counts as made.
fn complete(host: &mut Netlink, name: &str, subnet: Subnet) -> io::Result<()> {
    let gateway = Ipv4Addr::from_bits(subnet.first.to_bits() + 1);
    let link = route::find(host, name)?.ok_or(io::ErrorKind::NotFound)?;
    close_ipv6(name)?;
    let mtu = route::default_mtu(host)?.unwrap_or(USUAL_MTU);
    route::set_up_with(host, link.index, mtu, hardware_address(gateway))?;
    match route::add_address(host, link.index, gateway, subnet.prefix) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        added => added,
    }
}

/// The host does not speak IPv6 on the bridge: containers are no routers of it.
fn close_ipv6(name: &str) -> io::Result<()> {
    for (setting, value) in [("accept_ra", "0"), ("disable_ipv6", "1")] {
        match fs::write(format!("/proc/sys/net/ipv6/conf/{name}/{setting}"), value) {
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            written => written?,
        }
    }
    Ok(())
}

fn no_subnet(name: &str) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format!(
            "no private network is free for the bridge {name}: this host has routes to all of \
             10.87.0.0-10.127.0.0/16, 172.17.0.0-172.31.0.0/16 and 192.168.0.0/16 (hint: make the \
             bridge with a network of your own: `ip link add {name} type bridge`, `ip address add \
             ADDRESS/PREFIX dev {name}`; or run with --network host or --network none)"
        ),
    )
}

/// The first network that overlaps with no route and has no name server in it.
fn free_subnet(taken: &[Route], servers: &[Ipv4Addr]) -> Option<Subnet> {
    let routed = taken.iter().filter(|route| route.prefix >= SHORTEST_NETWORK);
    let mut used: Vec<Subnet> = routed.map(|route| Subnet::of(route.to, route.prefix)).collect();
    used.extend(servers.iter().map(|server| Subnet { first: *server, prefix: 32 }));
    POOLS
        .iter()
        .flat_map(Pool::subnets)
        .find(|subnet| !used.iter().any(|other| subnet.overlaps(*other)))
}

/// The name servers of this host, which may be reached by the default route alone.
fn name_servers() -> Vec<Ipv4Addr> {
    let text = fs::read("/etc/resolv.conf").unwrap_or_default();
    let text = text.get(..MAX_RESOLVER).unwrap_or(&text);
    let server = |line: &[u8]| {
        let line = std::str::from_utf8(line).ok()?;
        let mut words = line.split_ascii_whitespace();
        let address = words.next().filter(|word| *word == "nameserver").and(words.next())?;
        match address.parse().ok()? {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        }
    };
    text.split(|&byte| byte == b'\n').filter_map(server).collect()
}

/// An address on the wire follows from the one above it, as with Docker: a neighbour that
/// remembers an address that has a new owner is not wrong.
pub(super) fn hardware_address(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0x42, a, b, c, d]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn free(taken: &[&str]) -> Option<String> {
        let route = |text: &&str| {
            let (to, prefix) = text.split_once('/').unwrap();
            let (to, prefix) = (to.parse().unwrap(), prefix.parse().unwrap());
            Route { to, prefix, through: Some(1), is_main: true }
        };
        let taken: Vec<Route> = taken.iter().map(route).collect();
        free_subnet(&taken, &[]).map(|subnet| format!("{}/{}", subnet.first, subnet.prefix))
    }

    #[test]
    fn networks_do_not_overlap_with_routes() {
        for (taken, expected) in [
            (&[][..], "10.87.0.0/16"),
            (&["0.0.0.0/0"], "10.87.0.0/16"),
            // What VPNs put over the default route.
            (&["0.0.0.0/1", "128.0.0.0/1"], "10.87.0.0/16"),
            (&["10.87.5.0/24"], "10.88.0.0/16"),
            (&["10.87.0.7/32"], "10.88.0.0/16"),
            (&["10.80.0.0/12"], "10.96.0.0/16"),
            (&["10.0.0.0/8"], "172.17.0.0/16"),
            (&["10.0.0.0/8", "172.17.0.0/16", "172.18.0.0/15"], "172.20.0.0/16"),
            (&["10.0.0.0/8", "172.16.0.0/12"], "192.168.0.0/20"),
            (&["10.0.0.0/8", "172.16.0.0/12", "192.168.1.0/24"], "192.168.16.0/20"),
        ] {
            assert_eq!(free(taken).as_deref(), Some(expected), "{taken:?}");
        }
        assert_eq!(free(&["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]), None);
    }

    #[test]
    fn the_network_of_a_name_server_is_left_alone() {
        let server = Ipv4Addr::new(10, 87, 255, 53);
        let found = free_subnet(&[], &[server]).unwrap();
        assert_eq!(found.first.to_string(), "10.88.0.0");
    }

    #[test]
    fn all_pools_are_private_networks() {
        let subnets: Vec<Subnet> = POOLS.iter().flat_map(Pool::subnets).collect();
        assert!(subnets.iter().all(|subnet| subnet.first.is_private()));
        assert_eq!(subnets.last().unwrap().first.to_string(), "192.168.240.0");
        assert_eq!(Subnet::of(Ipv4Addr::new(10, 87, 3, 4), 16), subnets[0]);
    }
}
