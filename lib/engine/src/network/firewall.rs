//! The firewall's part: what leaves a network of ours gets the host's address, and nothing gets in
//! that was not asked for.
//!
//! Owns the tables `ip creel` and `bridge creel`, and the decision that the host forwards packets.
//! Promise: whoever is beside this host reaches nothing in a container that was not published, and
//! no more of the host's other networks than before.

use std::fs;
use std::io;

use super::bridge::Bridge;
use super::expression as e;
use super::message::Message;
use super::nftables::{
    ChainName, FORWARD, Family, NewChain, Nftables, POSTROUTING, Place, Verdict, add_rule,
    make_chain, make_table,
};
use super::{lease, others, route};
use crate::error::Result;
use crate::sys::Netlink;

const TABLE: &str = "creel";
/// Where source addresses are changed (`NF_IP_PRI_NAT_SRC`).
const SOURCE_NAT: i32 = 100;
/// Where packets are filtered (`NF_IP_PRI_FILTER`).
const FILTER: i32 = 0;
/// What a bridge for which the host's forwarding was switched on has as its note.
const CLOSED: &str = "creel: forwarding was off";
const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";

/// Sees to it that containers on the bridge reach others, and nobody reaches them unasked. `warn`
/// hears of other firewalls that are in the way.
pub(super) fn ensure(
    host: &mut Netlink,
    bridge: &Bridge,
    warn: &mut dyn FnMut(&str),
) -> Result<()> {
    let setting = |error| super::refused("setting up the firewall", error);
    let mut nft = Nftables::open().map_err(setting)?;
    let made = ensure_own(&mut nft, bridge).map_err(setting)?;
    let is_forwarding = fs::read(FORWARDING).is_ok_and(|text| text.trim_ascii() == b"1");
    // Rules that somebody flushed are made again, also those that keep the host closed.
    let close = !is_forwarding || made && bridge.link.note == CLOSED;
    others::open_for(&mut nft, bridge.name, close, warn).map_err(setting)?;
    if is_forwarding {
        return Ok(());
    }
    // For whoever makes the rules again.
    route::set_note(host, bridge.link.index, CLOSED).map_err(setting)?;
    fs::write(FORWARDING, "1")
        .map_err(|error| super::refused("letting the host forward packets", error))
}

/// Makes our own rules unless they are there; whether they were missing.
fn ensure_own(nft: &mut Nftables, bridge: &Bridge) -> io::Result<bool> {
    let base = format!("{}-{}-{}", bridge.name, bridge.subnet.first, bridge.subnet.prefix);
    let leaving = ChainName::new(Family::Ipv4, TABLE, base.clone());
    let passing = ChainName::new(Family::Ipv4, TABLE, format!("{base}-forward"));
    if nft.find_chain(&passing)? {
        return Ok(false);
    }
    others::retry(|| {
        let generation = nft.generation()?;
        if nft.find_chain(&passing)? {
            return Ok(());
        }
        let mut messages = vec![make_table(Family::Ipv4, TABLE)];
        if !nft.find_chain(&leaving)? {
            messages.extend(leave(&leaving, bridge));
        }
        messages.extend(pass(&passing, bridge.name));
        nft.commit(generation, messages)
    })?;
    refuse_routers(nft)?;
    Ok(true)
}

/// `ip saddr SUBNET oifname != BRIDGE masquerade`
fn leave(name: &ChainName, bridge: &Bridge) -> [Message; 2] {
    let chain = NewChain {
        name,
        kind: "nat",
        hook: POSTROUTING,
        priority: SOURCE_NAT,
        policy: Verdict::Accept,
    };
    let rule = add_rule(name, Place::Last, |list| {
        e::masquerade(e::goes_elsewhere(e::is_from(list, bridge.subnet), bridge.name))
    });
    [make_chain(&chain), rule]
}

/// To the bridge go: what its own containers send each other (which is seen here where the kernel
/// filters bridges), answers, and what a rule of the host's has sent there; nothing else.
fn pass(name: &ChainName, bridge: &str) -> [Message; 5] {
    let chain =
        NewChain { name, kind: "filter", hook: FORWARD, priority: FILTER, policy: Verdict::Accept };
    let to_bridge = |verdict, compare: fn(Message, &str) -> Message| {
        add_rule(name, Place::Last, |list| {
            e::verdict(compare(e::goes_to(list, bridge), bridge), verdict)
        })
    };
    [
        make_chain(&chain),
        to_bridge(Verdict::Accept, e::comes_from),
        to_bridge(Verdict::Accept, |list, _| e::is_answer(list)),
        to_bridge(Verdict::Accept, |list, _| e::is_redirected(list)),
        to_bridge(Verdict::Drop, |list, _| list),
    ]
}

/// No container announces itself to others as their IPv6 router. Containers have no IPv6 unless
/// they are told so; a kernel that cannot filter bridges leaves it at that.
fn refuse_routers(nft: &mut Nftables) -> io::Result<()> {
    let name = ChainName::new(Family::Bridge, TABLE, "forward");
    let chain = NewChain {
        name: &name,
        kind: "filter",
        hook: FORWARD,
        priority: FILTER,
        policy: Verdict::Accept,
    };
    let made = others::retry(|| {
        let generation = nft.generation()?;
        if nft.find_chain(&name)? {
            return Ok(());
        }
        let rule = add_rule(&name, Place::Last, |list| {
            let list = e::announces_router(e::comes_from_some(list, lease::PREFIX));
            e::verdict(list, Verdict::Drop)
        });
        let messages = vec![make_table(Family::Bridge, TABLE), make_chain(&chain), rule];
        nft.commit(generation, messages)
    });
    match made {
        Err(error) if is_missing(&error) => Ok(()),
        made => made,
    }
}

/// Whether the kernel has no such part.
fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EOPNOTSUPP | libc::EAFNOSUPPORT | libc::ENOENT | libc::EPROTONOSUPPORT)
    )
}
