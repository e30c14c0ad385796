//! Firewalls of other programs, which may refuse what a bridge of ours forwards.
//!
//! A packet that one chain accepts may still be dropped by the next. iptables' chain `FORWARD`
//! (Docker, ufw, kube-proxy) gets two rules that let the bridge's packets pass: our own chain has
//! judged them. Into other chains (firewalld, a person's own) nobody writes but their owner: a
//! warning names them and the cure.

use std::io;

use super::expression as e;
use super::legacy;
use super::nftables::{
    BaseChain, ChainName, FORWARD, Family, NewChain, Nftables, Place, Verdict, add_rule,
    expressions, make_chain, make_table, set_policy,
};

/// iptables' table, and the tables beside it, which filter nothing.
const IPTABLES: &str = "filter";
const HARMLESS: [&str; 6] = ["nat", "mangle", "raw", "security", OWN, IPTABLES];
const OWN: &str = "creel";

/// Lets the bridge's packets pass iptables' chain, and looks for others that refuse them. With
/// `close`, iptables' chain refuses from now on what no rule accepts.
pub(super) fn open_for(
    nft: &mut Nftables,
    bridge: &str,
    close: bool,
    warn: &mut dyn FnMut(&str),
) -> io::Result<()> {
    // Both iptables may be in use; the older one is then where programs put their rules.
    let legacy = legacy::open_for(bridge, close, warn)?;
    let close = close && !legacy;
    let tables = nft.tables()?;
    if close || tables.contains(&(Family::Ipv4, IPTABLES.to_owned())) {
        retry(|| open_iptables(nft, bridge, close))?;
    }
    let foreign = |(family, name): &(Family, String)| is_foreign(*family, name);
    if tables.iter().any(foreign) {
        for chain in refusing_chains(nft, bridge)? {
            warn(&cure(&chain, bridge));
        }
    }
    Ok(())
}

/// Carries out what depends on the rules until nobody has changed them meanwhile.
pub(super) fn retry(mut carry_out: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    loop {
        match carry_out() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// `-I FORWARD -i BRIDGE -j ACCEPT` and the same with `-o`, unless a rule there names the bridge.
fn open_iptables(nft: &mut Nftables, bridge: &str, close: bool) -> io::Result<()> {
    let generation = nft.generation()?;
    let name = ChainName::new(Family::Ipv4, IPTABLES, "FORWARD");
    let exists = nft.find_chain(&name)?;
    if !exists && !close {
        return Ok(());
    }
    let mut messages = Vec::new();
    match (exists, close) {
        (true, true) => messages.push(set_policy(&name, Verdict::Drop)),
        (true, false) => {}
        (false, _) => messages.extend([
            make_table(Family::Ipv4, IPTABLES),
            make_chain(&NewChain {
                name: &name,
                kind: "filter",
                hook: FORWARD,
                priority: 0,
                policy: Verdict::Drop,
            }),
        ]),
    }
    if !exists || !is_named(&nft.rules(Family::Ipv4, IPTABLES, Some(&name.chain))?, bridge) {
        for link in [e::goes_to, e::comes_from] {
            messages.push(add_rule(&name, Place::First, |list| {
                e::verdict(e::counted(link(list, bridge)), Verdict::Accept)
            }));
        }
    }
    match messages.is_empty() {
        true => Ok(()),
        false => nft.commit(generation, messages),
    }
}

/// Whether one of the kernel's answers names a link.
fn is_named(replies: &[crate::sys::NetlinkReply], link: &str) -> bool {
    let name = e::with_end(link);
    replies.iter().any(|reply| reply.payload.windows(name.len()).any(|part| part == name))
}

/// Whether a table is neither ours nor iptables' own, and sees packets of IPv4.
fn is_foreign(family: Family, table: &str) -> bool {
    match family {
        Family::Ipv4 => !HARMLESS.contains(&table),
        Family::Both => table != OWN,
        _ => false,
    }
}

/// The chains of others that refuse what no rule accepts, in tables that do not know the bridge.
fn refusing_chains(nft: &mut Nftables, bridge: &str) -> io::Result<Vec<ChainName>> {
    let mut found = Vec::new();
    for chain in nft.base_chains()? {
        let foreign = is_foreign(chain.name.family, &chain.name.table);
        if foreign && chain.hook == FORWARD && refuses(nft, &chain)? && !knows(nft, &chain, bridge)?
        {
            found.push(chain.name);
        }
    }
    Ok(found)
}

/// Whether a chain refuses what it does not accept: by its policy, or by its last rule.
fn refuses(nft: &mut Nftables, chain: &BaseChain) -> io::Result<bool> {
    if chain.policy == Some(Verdict::Drop as u32) {
        return Ok(true);
    }
    let name = &chain.name;
    let rules = nft.rules(name.family, &name.table, Some(&name.chain))?;
    Ok(rules.last().is_some_and(|rule| e::refuse_everything(expressions(rule))))
}

/// Whether a table has rules or sets with the bridge in them: its owner has seen to it.
fn knows(nft: &mut Nftables, chain: &BaseChain, bridge: &str) -> io::Result<bool> {
    let (family, table) = (chain.name.family, &chain.name.table);
    Ok(is_named(&nft.rules(family, table, None)?, bridge)
        || is_named(&nft.set_elements(family, table)?, bridge))
}

fn cure(chain: &ChainName, bridge: &str) -> String {
    let ChainName { family, table, chain } = chain;
    let name = format!("{} {table} {chain}", family.word());
    let cure = match table.as_str() {
        "firewalld" => format!(
            "`firewall-cmd --permanent --zone=trusted --add-interface={bridge}`, `firewall-cmd \
             --reload`"
        ),
        _ => format!(
            "`nft insert rule {name} iifname {bridge} accept`, `nft insert rule {name} oifname \
             {bridge} accept`"
        ),
    };
    format!(
        "the firewall chain {name:?} drops forwarded packets: the container reaches this host \
         alone (hint: {cure})"
    )
}
