//! The kernel's packet filter: tables, chains, rules (linux/netfilter/nf_tables.h).

use std::io;

use super::message::{Message, attribute, find_attribute};
use crate::sys::{Netlink, NetlinkFamily, NetlinkReply};

const SUBSYSTEM: u16 = 10 << 8;
const NEW_TABLE: u16 = SUBSYSTEM;
const GET_TABLE: u16 = SUBSYSTEM | 1;
const NEW_CHAIN: u16 = SUBSYSTEM | 3;
const GET_CHAIN: u16 = SUBSYSTEM | 4;
const NEW_RULE: u16 = SUBSYSTEM | 6;
const GET_RULE: u16 = SUBSYSTEM | 7;
const GET_SET: u16 = SUBSYSTEM | 10;
const GET_SET_ELEMENTS: u16 = SUBSYSTEM | 13;
const GET_GENERATION: u16 = SUBSYSTEM | 16;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const BATCH_GENERATION: u16 = 1;

const NAME: u16 = 1;
const GENERATION_ID: u16 = 1;
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_EXPRESSIONS: u16 = 4;
const SET_TABLE: u16 = 1;
const SET_NAME: u16 = 2;
const ELEMENTS_TABLE: u16 = 1;
const ELEMENTS_SET: u16 = 2;

/// Bytes of the fixed part of all messages.
const FIXED: usize = 4;
const ACK: i32 = libc::NLM_F_ACK;
const DUMP: i32 = libc::NLM_F_DUMP;
const CREATE: i32 = libc::NLM_F_CREATE | ACK;

/// Where packets for others pass (`NF_INET_FORWARD`).
pub(super) const FORWARD: u32 = 2;
/// Where they leave (`NF_INET_POST_ROUTING`).
pub(super) const POSTROUTING: u32 = 4;

/// Whose packets a table sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// IPv4 and IPv6 (`NFPROTO_INET`).
    Both = 1,
    /// IPv4.
    Ipv4 = 2,
    /// What bridges pass on (`NFPROTO_BRIDGE`).
    Bridge = 7,
}

impl Family {
    /// nft's word.
    pub(super) fn word(self) -> &'static str {
        match self {
            Family::Both => "inet",
            Family::Ipv4 => "ip",
            Family::Bridge => "bridge",
        }
    }

    fn of(reply: &NetlinkReply) -> Option<Family> {
        let all = [Family::Both, Family::Ipv4, Family::Bridge];
        let first = *reply.payload.first()?;
        all.into_iter().find(|family| *family as u8 == first)
    }
}

/// What happens to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes no further (`NF_DROP`).
    Drop = 0,
    /// It passes this chain (`NF_ACCEPT`).
    Accept = 1,
}

/// The name of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ChainName {
    pub(super) family: Family,
    pub(super) table: String,
    pub(super) chain: String,
}

/// A chain that packets enter at a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BaseChain {
    pub(super) name: ChainName,
    pub(super) hook: u32,
    pub(super) policy: Option<u32>,
}

/// A chain to make.
pub(super) struct NewChain<'a> {
    pub(super) name: &'a ChainName,
    pub(super) kind: &'a str,
    pub(super) hook: u32,
    pub(super) priority: i32,
    pub(super) policy: Verdict,
}

/// Where a rule goes in its chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    First,
    Last,
}

impl ChainName {
    pub(super) fn new(family: Family, table: &str, chain: impl Into<String>) -> ChainName {
        ChainName { family, table: table.to_owned(), chain: chain.into() }
    }
}

/// The fixed part of a message.
fn fixed(family: Family, resource: u16) -> [u8; FIXED] {
    let [high, low] = resource.to_be_bytes();
    [family as u8, 0, high, low]
}

/// The message that makes a table, if it is missing.
pub(super) fn make_table(family: Family, table: &str) -> Message {
    Message::new(NEW_TABLE, CREATE, &fixed(family, 0)).text(NAME, table)
}

/// The message that makes a chain, if it is missing.
pub(super) fn make_chain(new: &NewChain<'_>) -> Message {
    Message::new(NEW_CHAIN, CREATE, &fixed(new.name.family, 0))
        .text(CHAIN_TABLE, &new.name.table)
        .text(CHAIN_NAME, &new.name.chain)
        .nest(CHAIN_HOOK, |hook| {
            let priority = new.priority.cast_unsigned();
            hook.big(HOOK_NUMBER, new.hook).big(HOOK_PRIORITY, priority)
        })
        .big(CHAIN_POLICY, new.policy as u32)
        .text(CHAIN_TYPE, new.kind)
}

/// The message that gives a chain another policy.
pub(super) fn set_policy(name: &ChainName, policy: Verdict) -> Message {
    Message::new(NEW_CHAIN, ACK, &fixed(name.family, 0))
        .text(CHAIN_TABLE, &name.table)
        .text(CHAIN_NAME, &name.chain)
        .big(CHAIN_POLICY, policy as u32)
}

/// The message that adds a rule; `expressions` adds what it compares and does.
pub(super) fn add_rule(
    name: &ChainName,
    place: Place,
    expressions: impl FnOnce(Message) -> Message,
) -> Message {
    let append = if place == Place::Last { libc::NLM_F_APPEND } else { 0 };
    Message::new(NEW_RULE, CREATE | append, &fixed(name.family, 0))
        .text(RULE_TABLE, &name.table)
        .text(RULE_CHAIN, &name.chain)
        .nest(RULE_EXPRESSIONS, expressions)
}

/// The expressions of a rule that the kernel has told.
pub(super) fn expressions(rule: &NetlinkReply) -> &[u8] {
    attribute(rule, FIXED, RULE_EXPRESSIONS).unwrap_or_default()
}

/// A connection to the packet filter of this network namespace.
pub(super) struct Nftables {
    socket: Netlink,
}

impl Nftables {
    pub(super) fn open() -> io::Result<Nftables> {
        Ok(Nftables { socket: Netlink::open(NetlinkFamily::Netfilter)? })
    }

    /// Changes with every change of the rules.
    pub(super) fn generation(&mut self) -> io::Result<u32> {
        let ask = Message::new(GET_GENERATION, ACK, &fixed(Family::Ipv4, 0));
        let replies = self.socket.exchange(&[ask.finish()])?;
        let id = replies
            .iter()
            .find_map(|reply| attribute(reply, FIXED, GENERATION_ID)?.try_into().ok());
        id.map(u32::from_be_bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Carries out all messages or none, and none if the rules have changed since `generation`:
    /// the error is `Interrupted` then.
    pub(super) fn commit(&mut self, generation: u32, messages: Vec<Message>) -> io::Result<()> {
        let begin = Message::new(BATCH_BEGIN, 0, &fixed_batch()).big(BATCH_GENERATION, generation);
        let end = Message::new(BATCH_END, 0, &fixed_batch());
        let all = std::iter::once(begin).chain(messages).chain([end]);
        let all: Vec<Vec<u8>> = all.map(Message::finish).collect();
        match self.socket.exchange(&all) {
            Err(error) if error.raw_os_error() == Some(libc::ERESTART) => {
                Err(io::ErrorKind::Interrupted.into())
            }
            done => done.map(drop),
        }
    }

    /// The names of all tables, with their families.
    pub(super) fn tables(&mut self) -> io::Result<Vec<(Family, String)>> {
        let ask = Message::new(GET_TABLE, DUMP, &[0; FIXED]);
        let replies = self.socket.exchange(&[ask.finish()])?;
        let table =
            |reply: &NetlinkReply| Some((Family::of(reply)?, text(attribute(reply, FIXED, NAME)?)));
        Ok(replies.iter().filter_map(table).collect())
    }

    /// Looks for a chain.
    pub(super) fn find_chain(&mut self, name: &ChainName) -> io::Result<bool> {
        let ask = Message::new(GET_CHAIN, ACK, &fixed(name.family, 0))
            .text(CHAIN_TABLE, &name.table)
            .text(CHAIN_NAME, &name.chain);
        match self.socket.exchange(&[ask.finish()]) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// All chains that packets enter at a hook.
    pub(super) fn base_chains(&mut self) -> io::Result<Vec<BaseChain>> {
        let ask = Message::new(GET_CHAIN, DUMP, &[0; FIXED]);
        Ok(self.socket.exchange(&[ask.finish()])?.iter().filter_map(base_chain).collect())
    }

    /// The rules of a table, or of one of its chains.
    pub(super) fn rules(
        &mut self,
        family: Family,
        table: &str,
        chain: Option<&str>,
    ) -> io::Result<Vec<NetlinkReply>> {
        let ask = Message::new(GET_RULE, DUMP, &fixed(family, 0)).text(RULE_TABLE, table);
        let ask = match chain {
            Some(chain) => ask.text(RULE_CHAIN, chain),
            None => ask,
        };
        self.socket.exchange(&[ask.finish()])
    }

    /// The elements of all sets of a table.
    pub(super) fn set_elements(
        &mut self,
        family: Family,
        table: &str,
    ) -> io::Result<Vec<NetlinkReply>> {
        let ask = Message::new(GET_SET, DUMP, &fixed(family, 0)).text(SET_TABLE, table);
        let sets = self.socket.exchange(&[ask.finish()])?;
        let mut elements = Vec::new();
        for name in sets.iter().filter_map(|set| attribute(set, FIXED, SET_NAME)) {
            let ask = Message::new(GET_SET_ELEMENTS, DUMP, &fixed(family, 0))
                .text(ELEMENTS_TABLE, table)
                .text(ELEMENTS_SET, &text(name));
            elements.extend(self.socket.exchange(&[ask.finish()])?);
        }
        Ok(elements)
    }
}

/// The fixed part of the messages around a batch: for this subsystem.
fn fixed_batch() -> [u8; FIXED] {
    [0, 0, 0, 10]
}

fn base_chain(reply: &NetlinkReply) -> Option<BaseChain> {
    let big = |bytes: &[u8]| Some(u32::from_be_bytes(bytes.try_into().ok()?));
    let hook = attribute(reply, FIXED, CHAIN_HOOK)?;
    Some(BaseChain {
        name: ChainName {
            family: Family::of(reply)?,
            table: text(attribute(reply, FIXED, CHAIN_TABLE)?),
            chain: text(attribute(reply, FIXED, CHAIN_NAME)?),
        },
        hook: big(find_attribute(hook, HOOK_NUMBER)?)?,
        policy: attribute(reply, FIXED, CHAIN_POLICY).and_then(big),
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.strip_suffix(&[0]).unwrap_or(bytes)).into_owned()
}
