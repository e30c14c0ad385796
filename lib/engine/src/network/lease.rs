//! The addresses of a network's containers.
//!
//! A container's link on the host is named after its address. The kernel lets no two links of a
//! network namespace have one name, so no two containers can have one address, whichever state
//! directory they are in; and the link, with it the address, is gone when the last process has left
//! the container's namespace. Nothing is written down but a hint on where to begin.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::BorrowedFd;
use std::path::Path;

use super::bridge::{Bridge, hardware_address};
use super::route::{self, Pair};
use crate::error::{Error, ErrorKind, Result};
use crate::sys::Netlink;

/// What links of ours begin with.
pub(super) const PREFIX: &str = "creel";

/// A container that is about to be connected.
pub(super) struct Wanted<'a> {
    pub(super) id: &'a str,
    pub(super) namespace: BorrowedFd<'a>,
    /// The link's name in its namespace.
    pub(super) inside: &'a str,
    /// A file with the number of the address that comes next.
    pub(super) hint: &'a Path,
}

/// Connects a namespace to the bridge under an address that is free, whose link it becomes.
pub(super) fn take(host: &mut Netlink, bridge: &Bridge, wanted: &Wanted<'_>) -> Result<Ipv4Addr> {
    // Neither the network's own, nor the host's, nor the one for all.
    let places = (!bridge.subnet.mask()).saturating_sub(2);
    let hint = fs::read_to_string(wanted.hint).ok().and_then(|text| text.trim().parse().ok());
    // An address is taken again as late as possible.
    let start: u32 = hint.unwrap_or(0);
    for step in 0..places {
        let place = start.wrapping_add(step) % places;
        let address = Ipv4Addr::from_bits(bridge.subnet.first.to_bits() + 2 + place);
        if address == bridge.gateway {
            continue;
        }
        match route::make_pair(host, &pair(bridge, wanted, address, &name(address))) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(refused(bridge, error)),
            Ok(()) => {
                // Without it the next one looks longer.
                let _ = fs::write(wanted.hint, ((place + 1) % places).to_string());
                return Ok(address);
            }
        }
    }
    Err(Error::new(
        ErrorKind::Busy,
        format!("all {places} addresses of the bridge {} are in use", bridge.name),
    ))
}

fn pair<'a>(bridge: &Bridge, wanted: &Wanted<'a>, address: Ipv4Addr, name: &'a str) -> Pair<'a> {
    Pair {
        name,
        note: wanted.id,
        bridge: bridge.link.index,
        mtu: bridge.link.mtu,
        namespace: wanted.namespace,
        inside: wanted.inside,
        hardware: hardware_address(address),
    }
}

fn refused(bridge: &Bridge, error: io::Error) -> Error {
    match error.raw_os_error() {
        Some(libc::EXFULL) => Error::new(
            ErrorKind::Busy,
            format!("the bridge {} has as many links as the kernel allows (1023)", bridge.name),
        ),
        _ => super::refused("connecting the container to the bridge", error),
    }
}

/// The name of the link of whoever has the address.
fn name(address: Ipv4Addr) -> String {
    format!("{PREFIX}{:08x}", address.to_bits())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_link_is_its_address() {
        assert_eq!(name(Ipv4Addr::new(10, 87, 0, 2)), "creel0a570002");
        assert_eq!(name(Ipv4Addr::BROADCAST).len(), 13);
        assert_eq!(hardware_address(Ipv4Addr::new(10, 87, 0, 2)), [2, 0x42, 10, 87, 0, 2]);
    }
}
