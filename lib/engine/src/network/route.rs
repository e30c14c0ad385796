//! Links, addresses and routes.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::message::{Message, attribute, number};
use crate::sys::{Netlink, NetlinkReply};

const IPV4: u8 = libc::AF_INET as u8;
/// Bytes of the fixed parts of messages on links, addresses and routes.
const LINK: usize = 16;
const ADDRESS: usize = 8;
const ROUTE: usize = 12;

const ACK: i32 = libc::NLM_F_ACK;
const CREATE: i32 = libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL;

/// `VETH_INFO_PEER` of linux/veth.h.
const PEER: u16 = 1;

/// A link, as far as we care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) mtu: u32,
}

/// A pair of links: one for the bridge, its other end in a namespace.
#[derive(Debug)]
pub(super) struct Pair<'a> {
    pub(super) name: &'a str,
    pub(super) bridge: Link,
    pub(super) namespace: BorrowedFd<'a>,
    pub(super) inside: &'a str,
    pub(super) hardware: [u8; 6],
}

/// The fixed part of a message on a link that goes up.
fn link(index: u32, up: bool) -> [u8; LINK] {
    let mut bytes = [0; LINK];
    let flags = if up { (libc::IFF_UP as u32).to_ne_bytes() } else { [0; 4] };
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    bytes[8..12].copy_from_slice(&flags);
    bytes[12..].copy_from_slice(&flags);
    bytes
}

fn done(socket: &mut Netlink, message: Message) -> io::Result<()> {
    socket.exchange(&[message.finish()]).map(drop)
}

/// Looks for a link by its name.
pub(super) fn find(socket: &mut Netlink, name: &str) -> io::Result<Option<Link>> {
    let message =
        Message::new(libc::RTM_GETLINK, ACK, &link(0, false)).text(libc::IFLA_IFNAME, name);
    match socket.exchange(&[message.finish()]) {
        Ok(replies) => Ok(replies.iter().find_map(read_link)),
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_link(reply: &NetlinkReply) -> Option<Link> {
    let index = number(reply.payload.get(4..8)?)?;
    let mtu = number(attribute(reply, LINK, libc::IFLA_MTU)?)?;
    (reply.kind == libc::RTM_NEWLINK).then_some(Link { index, mtu })
}

/// Makes a bridge, down and without an address. Its hardware address is given, so that it does
/// not change with the links that come and go.
pub(super) fn make_bridge(socket: &mut Netlink, name: &str, hardware: [u8; 6]) -> io::Result<()> {
    let message = Message::new(libc::RTM_NEWLINK, CREATE, &link(0, false))
        .text(libc::IFLA_IFNAME, name)
        .put(libc::IFLA_ADDRESS, &hardware)
        .nest(libc::IFLA_LINKINFO, |info| info.text(libc::IFLA_INFO_KIND, "bridge"));
    done(socket, message)
}

/// Makes a pair, its outer end up and on its bridge.
pub(super) fn make_pair(socket: &mut Netlink, pair: &Pair<'_>) -> io::Result<()> {
    let mtu = pair.bridge.mtu;
    let peer = |data: Message| {
        data.wrap(PEER, &link(0, false), |peer| {
            peer.text(libc::IFLA_IFNAME, pair.inside)
                .put(libc::IFLA_ADDRESS, &pair.hardware)
                .number(libc::IFLA_MTU, mtu)
                .number(libc::IFLA_NET_NS_FD, pair.namespace.as_raw_fd().cast_unsigned())
        })
    };
    let message = Message::new(libc::RTM_NEWLINK, CREATE, &link(0, true))
        .text(libc::IFLA_IFNAME, pair.name)
        .number(libc::IFLA_MTU, mtu)
        .number(libc::IFLA_MASTER, pair.bridge.index)
        .nest(libc::IFLA_LINKINFO, |info| {
            info.text(libc::IFLA_INFO_KIND, "veth").nest(libc::IFLA_INFO_DATA, peer)
        });
    done(socket, message)
}

/// Brings a link up.
pub(super) fn set_up(socket: &mut Netlink, index: u32) -> io::Result<()> {
    done(socket, Message::new(libc::RTM_NEWLINK, ACK, &link(index, true)))
}

/// Brings a link up with an MTU that stays.
pub(super) fn set_up_with(socket: &mut Netlink, index: u32, mtu: u32) -> io::Result<()> {
    let message = Message::new(libc::RTM_NEWLINK, ACK, &link(index, true));
    done(socket, message.number(libc::IFLA_MTU, mtu))
}

/// Gives a link an address of a network.
pub(super) fn add_address(
    socket: &mut Netlink,
    index: u32,
    address: Ipv4Addr,
    prefix: u8,
) -> io::Result<()> {
    let mut fixed = [0; ADDRESS];
    fixed[0] = IPV4;
    fixed[1] = prefix;
    fixed[4..].copy_from_slice(&index.to_ne_bytes());
    let bits = address.to_bits() | u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
    let message = Message::new(libc::RTM_NEWADDR, CREATE, &fixed)
        .put(libc::IFA_LOCAL, &address.octets())
        .put(libc::IFA_ADDRESS, &address.octets())
        .put(libc::IFA_BROADCAST, &Ipv4Addr::from_bits(bits).octets());
    done(socket, message)
}

/// Sends everything that has no other way through `gateway`.
pub(super) fn add_default_route(socket: &mut Netlink, gateway: Ipv4Addr) -> io::Result<()> {
    let mut fixed = [0; ROUTE];
    fixed[0] = IPV4;
    fixed[4] = libc::RT_TABLE_MAIN;
    fixed[5] = libc::RTPROT_BOOT;
    fixed[6] = libc::RT_SCOPE_UNIVERSE;
    fixed[7] = libc::RTN_UNICAST;
    let message =
        Message::new(libc::RTM_NEWROUTE, CREATE, &fixed).put(libc::RTA_GATEWAY, &gateway.octets());
    done(socket, message)
}

/// A network that this machine has a way to, with the link it goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) to: Ipv4Addr,
    pub(super) prefix: u8,
    pub(super) through: u32,
}

/// All networks that this machine has a way to.
pub(super) fn routes(socket: &mut Netlink) -> io::Result<Vec<Route>> {
    let mut fixed = [0; ROUTE];
    fixed[0] = IPV4;
    let message = Message::new(libc::RTM_GETROUTE, libc::NLM_F_DUMP, &fixed);
    Ok(socket.exchange(&[message.finish()])?.iter().filter_map(read_route).collect())
}

fn read_route(reply: &NetlinkReply) -> Option<Route> {
    let prefix = *reply.payload.get(1)?;
    let to = attribute(reply, ROUTE, libc::RTA_DST).and_then(ipv4);
    let through = number(attribute(reply, ROUTE, libc::RTA_OIF)?)?;
    let own =
        reply.kind == libc::RTM_NEWROUTE && reply.payload.get(4) == Some(&libc::RT_TABLE_MAIN);
    own.then_some(Route { to: to.unwrap_or(Ipv4Addr::UNSPECIFIED), prefix, through })
}

/// The address of a link, with the length of its network's prefix.
pub(super) fn address_of(socket: &mut Netlink, index: u32) -> io::Result<Option<(Ipv4Addr, u8)>> {
    let mut fixed = [0; ADDRESS];
    fixed[0] = IPV4;
    let message = Message::new(libc::RTM_GETADDR, libc::NLM_F_DUMP, &fixed);
    let replies = socket.exchange(&[message.finish()])?;
    Ok(replies.iter().find_map(|reply| {
        let own = number(reply.payload.get(4..8)?)? == index;
        let address = attribute(reply, ADDRESS, libc::IFA_LOCAL).and_then(ipv4)?;
        own.then_some((address, *reply.payload.get(1)?))
    }))
}

/// The MTU of the link that leads out of here.
pub(super) fn default_mtu(socket: &mut Netlink) -> io::Result<Option<u32>> {
    let all = routes(socket)?;
    let Some(out) = all.iter().find(|route| route.prefix == 0) else { return Ok(None) };
    let message = Message::new(libc::RTM_GETLINK, ACK, &link(out.through, false));
    let replies = socket.exchange(&[message.finish()])?;
    Ok(replies.iter().find_map(read_link).map(|link| link.mtu))
}

fn ipv4(bytes: &[u8]) -> Option<Ipv4Addr> {
    let octets: [u8; 4] = bytes.try_into().ok()?;
    Some(Ipv4Addr::from(octets))
}
