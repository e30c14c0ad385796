//! What rules of the packet filter compare and do.
//!
//! Each function adds one or a few expressions to a rule that is being written. Values are laid
//! out as iptables lays them out, which must be able to read the rules that go into its chains.

use std::net::Ipv4Addr;

use super::bridge::Subnet;
use super::message::{Message, find_attribute};
use super::nftables::Verdict;

const LIST_ELEMENT: u16 = 1;
const NAME: u16 = 1;
const DATA: u16 = 2;
const VALUE: u16 = 1;
const VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const IMMEDIATE_DATA: u16 = 2;

const REGISTER: u32 = 1;
const VERDICT_REGISTER: u32 = 0;

const EQUAL: u32 = 0;
const DIFFERENT: u32 = 1;

const FROM_LINK_HEADER: u32 = 0;
const FROM_NETWORK_HEADER: u32 = 1;
const FROM_TRANSPORT_HEADER: u32 = 2;

const META_PROTOCOL: u32 = 16;
const META_INCOMING_NAME: u32 = 6;
const META_OUTGOING_NAME: u32 = 7;

const CT_STATE: u32 = 0;
const CT_STATUS: u32 = 2;
/// Of a known connection, or related to one.
const ESTABLISHED: u32 = 0b110;
/// Sent here by a rule that changed its destination (`IPS_DST_NAT`).
const REDIRECTED: u32 = 0x20;

/// The packet came in by the link of this name.
pub(super) fn comes_from(list: Message, link: &str) -> Message {
    compare(meta(list, META_INCOMING_NAME), EQUAL, &with_end(link))
}

/// It came in by a link whose name begins so.
pub(super) fn comes_from_some(list: Message, prefix: &str) -> Message {
    compare(meta(list, META_INCOMING_NAME), EQUAL, prefix.as_bytes())
}

/// It goes out by the link of this name.
pub(super) fn goes_to(list: Message, link: &str) -> Message {
    compare(meta(list, META_OUTGOING_NAME), EQUAL, &with_end(link))
}

/// It goes out by another link.
pub(super) fn goes_elsewhere(list: Message, link: &str) -> Message {
    compare(meta(list, META_OUTGOING_NAME), DIFFERENT, &with_end(link))
}

/// Its source is in this network.
pub(super) fn is_from(list: Message, subnet: Subnet) -> Message {
    const SOURCE: u32 = 12;
    let list = payload(list, FROM_NETWORK_HEADER, SOURCE, 4);
    let mask = Ipv4Addr::from_bits(subnet.mask()).octets();
    compare(masked(list, mask), EQUAL, &subnet.first.octets())
}

/// It belongs to a connection that somebody may have.
pub(super) fn is_answer(list: Message) -> Message {
    has_bits(list, CT_STATE, ESTABLISHED)
}

/// A rule of the host's changed its destination: it was published.
pub(super) fn is_redirected(list: Message) -> Message {
    has_bits(list, CT_STATUS, REDIRECTED)
}

/// It is an IPv6 router's announcement.
pub(super) fn announces_router(list: Message) -> Message {
    const ETHERNET_TYPE: u32 = 12;
    const IPV6: [u8; 2] = [0x86, 0xdd];
    const ICMPV6: u8 = 58;
    const ROUTER_ADVERTISEMENT: u8 = 134;
    let list = compare(payload(list, FROM_LINK_HEADER, ETHERNET_TYPE, 2), EQUAL, &IPV6);
    let list = compare(meta(list, META_PROTOCOL), EQUAL, &[ICMPV6]);
    compare(payload(list, FROM_TRANSPORT_HEADER, 0, 1), EQUAL, &[ROUTER_ADVERTISEMENT])
}

/// Counts packets, as iptables does with every rule.
pub(super) fn counted(list: Message) -> Message {
    add(list, "counter", |data| data)
}

/// What happens to the packet.
pub(super) fn verdict(list: Message, verdict: Verdict) -> Message {
    add(list, "immediate", |data| {
        data.big(1, VERDICT_REGISTER).nest(IMMEDIATE_DATA, |value| {
            value.nest(VERDICT, |value| value.big(VERDICT_CODE, verdict as u32))
        })
    })
}

/// Its source becomes the host's address.
pub(super) fn masquerade(list: Message) -> Message {
    add(list, "masq", |data| data)
}

fn add(list: Message, name: &str, data: impl FnOnce(Message) -> Message) -> Message {
    list.nest(LIST_ELEMENT, |element| element.text(NAME, name).nest(DATA, data))
}

fn meta(list: Message, key: u32) -> Message {
    add(list, "meta", |data| data.big(1, REGISTER).big(2, key))
}

fn payload(list: Message, base: u32, offset: u32, length: u32) -> Message {
    add(list, "payload", |data| data.big(1, REGISTER).big(2, base).big(3, offset).big(4, length))
}

fn compare(list: Message, how: u32, value: &[u8]) -> Message {
    add(list, "cmp", |data| {
        data.big(1, REGISTER).big(2, how).nest(3, |nested| nested.put(VALUE, value))
    })
}

fn masked(list: Message, mask: [u8; 4]) -> Message {
    add(list, "bitwise", |data| {
        data.big(1, REGISTER)
            .big(2, REGISTER)
            .big(3, 4)
            .nest(4, |value| value.put(VALUE, &mask))
            .nest(5, |value| value.put(VALUE, &[0; 4]))
    })
}

/// Something that is known about its connection has one of these bits, in the machine's order.
fn has_bits(list: Message, key: u32, bits: u32) -> Message {
    let list = add(list, "ct", |data| data.big(1, REGISTER).big(2, key));
    compare(masked(list, bits.to_ne_bytes()), DIFFERENT, &[0; 4])
}

/// Names are compared up to and with their end.
pub(super) fn with_end(name: &str) -> Vec<u8> {
    [name.as_bytes(), &[0]].concat()
}

/// Whether a rule's expressions refuse every packet: they drop or reject it, and compare nothing.
pub(super) fn refuse_everything(expressions: &[u8]) -> bool {
    let mut refuses = false;
    for (name, data) in parts(expressions) {
        match name {
            b"counter" | b"log" => {}
            b"reject" => refuses = true,
            b"immediate" if drops(data) => refuses = true,
            _ => return false,
        }
    }
    refuses
}

/// Whether an immediate verdict is to drop.
fn drops(data: &[u8]) -> bool {
    let code = find_attribute(data, IMMEDIATE_DATA)
        .and_then(|value| find_attribute(value, VERDICT))
        .and_then(|value| find_attribute(value, VERDICT_CODE));
    code == Some(&(Verdict::Drop as u32).to_be_bytes())
}

/// The names of a rule's expressions with their data.
fn parts(expressions: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = expressions;
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(rest.get(..2)?.try_into().ok()?));
        let element = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        let name = find_attribute(element, NAME)?;
        let data = find_attribute(element, DATA).unwrap_or_default();
        Some((name.strip_suffix(&[0]).unwrap_or(name), data))
    })
}
