//! The firewall's part: what leaves a network of ours gets the host's address.
//!
//! A table of our own, so that nobody's rules are touched (nf_tables, linux/netfilter/nf_tables.h).

use std::io;
use std::net::Ipv4Addr;

use super::message::Message;
use crate::sys::{Netlink, NetlinkFamily};

const TABLE: &str = "creel";

const SUBSYSTEM: u16 = 10 << 8;
const NEW_TABLE: u16 = SUBSYSTEM;
const NEW_CHAIN: u16 = SUBSYSTEM | 3;
const GET_CHAIN: u16 = SUBSYSTEM | 4;
const NEW_RULE: u16 = SUBSYSTEM | 6;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;

const NAME: u16 = 1;
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_EXPRESSIONS: u16 = 4;
const LIST_ELEMENT: u16 = 1;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;

const POSTROUTING: u32 = 4;
/// Where source addresses are changed (`NF_IP_PRI_NAT_SRC`).
const PRIORITY: u32 = 100;

const REGISTER: u32 = 1;
const META_OUTGOING_NAME: u32 = 7;
const FROM_NETWORK_HEADER: u32 = 1;
const SOURCE_ADDRESS: u32 = 12;
const EQUAL: u32 = 0;
const DIFFERENT: u32 = 1;
/// Names of links are compared with all that the kernel keeps of them.
const LINK_NAME: usize = 16;

const ACK: i32 = libc::NLM_F_ACK;
const CREATE: i32 = libc::NLM_F_CREATE;

/// The fixed part of all messages: for IPv4, in this version.
fn fixed(resource: u16) -> [u8; 4] {
    let [high, low] = resource.to_be_bytes();
    [libc::AF_INET as u8, 0, high, low]
}

/// A network of ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subnet {
    pub(super) first: Ipv4Addr,
    pub(super) prefix: u8,
}

/// Sees to it that what leaves `subnet` by another link than `bridge` gets the host's address.
pub(super) fn ensure_masquerade(bridge: &str, subnet: Subnet) -> io::Result<()> {
    let mut socket = Netlink::open(NetlinkFamily::Netfilter)?;
    let chain = format!("{bridge}-{}-{}", subnet.first, subnet.prefix);
    let look =
        Message::new(GET_CHAIN, ACK, &fixed(0)).text(CHAIN_TABLE, TABLE).text(CHAIN_NAME, &chain);
    match socket.exchange(&[look.finish()]) {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    // All of it or nothing.
    let messages = [
        Message::new(BATCH_BEGIN, 0, &fixed(10)),
        Message::new(NEW_TABLE, CREATE, &fixed(0)).text(NAME, TABLE),
        Message::new(NEW_CHAIN, CREATE, &fixed(0))
            .text(CHAIN_TABLE, TABLE)
            .text(CHAIN_NAME, &chain)
            .nest(CHAIN_HOOK, |hook| {
                hook.big(HOOK_NUMBER, POSTROUTING).big(HOOK_PRIORITY, PRIORITY)
            })
            .text(CHAIN_TYPE, "nat"),
        masquerade(&chain, bridge, subnet),
        Message::new(BATCH_END, 0, &fixed(10)),
    ];
    socket.exchange(&messages.map(Message::finish)).map(drop)
}

/// `ip saddr SUBNET oifname != BRIDGE masquerade`
fn masquerade(chain: &str, bridge: &str, subnet: Subnet) -> Message {
    let mut name = bridge.as_bytes().to_vec();
    name.resize(LINK_NAME, 0);
    let mask = u32::MAX.checked_shl(32 - u32::from(subnet.prefix)).unwrap_or(0);
    let expressions = |list: Message| {
        let list = expression(list, "payload", |data| {
            data.big(1, REGISTER).big(2, FROM_NETWORK_HEADER).big(3, SOURCE_ADDRESS).big(4, 4)
        });
        let list = expression(list, "bitwise", |data| {
            data.big(1, REGISTER)
                .big(2, REGISTER)
                .big(3, 4)
                .nest(4, |value| value.put(DATA_VALUE, &mask.to_be_bytes()))
                .nest(5, |value| value.put(DATA_VALUE, &[0; 4]))
        });
        let list = compare(list, EQUAL, &subnet.first.octets());
        let list =
            expression(list, "meta", |data| data.big(1, REGISTER).big(2, META_OUTGOING_NAME));
        let list = compare(list, DIFFERENT, &name);
        expression(list, "masq", |data| data)
    };
    Message::new(NEW_RULE, CREATE | libc::NLM_F_APPEND | ACK, &fixed(0))
        .text(RULE_TABLE, TABLE)
        .text(RULE_CHAIN, chain)
        .nest(RULE_EXPRESSIONS, expressions)
}

fn expression(list: Message, name: &str, data: impl FnOnce(Message) -> Message) -> Message {
    list.nest(LIST_ELEMENT, |element| {
        element.text(EXPRESSION_NAME, name).nest(EXPRESSION_DATA, data)
    })
}

fn compare(list: Message, how: u32, value: &[u8]) -> Message {
    expression(list, "cmp", |data| {
        data.big(1, REGISTER).big(2, how).nest(3, |nested| nested.put(DATA_VALUE, value))
    })
}
