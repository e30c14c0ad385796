//! The kernel's message socket for networks, and namespaces of networks.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
};

use super::poll::{Wait, wait_any};

/// Bytes of a message's header.
const HEADER: usize = 16;
/// The kernel sends no more at once.
const BUFFER: usize = 64 << 10;
/// The kernel answers at once; it does not, if an answer was lost.
const PATIENCE: Duration = Duration::from_secs(10);

const ERROR: u16 = libc::NLMSG_ERROR as u16;
const DONE: u16 = libc::NLMSG_DONE as u16;

/// Whom messages are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetlinkFamily {
    /// Links, addresses, routes.
    Route,
    /// Firewalls.
    Netfilter,
}

/// A message of the kernel's: its type and what follows the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetlinkReply {
    /// The type.
    pub kind: u16,
    /// What follows the header.
    pub payload: Vec<u8>,
}

/// A socket to the kernel's network code of one namespace: the one in which it was opened.
#[derive(Debug)]
pub struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    /// Opens a socket in the calling thread's network namespace.
    pub fn open(family: NetlinkFamily) -> io::Result<Netlink> {
        let protocol = match family {
            NetlinkFamily::Route => None,
            NetlinkFamily::Netfilter => Some(netlink::NETFILTER),
        };
        let (kind, flags) = (SocketType::RAW, SocketFlags::CLOEXEC);
        let socket = socket_with(AddressFamily::NETLINK, kind, flags, protocol)?;
        bind(&socket, &SocketAddrNetlink::new(0, 0))?;
        Ok(Netlink { socket, sequence: 0 })
    }

    /// Sends messages, each with its header, and collects the answers. The last but one at least
    /// must ask for an acknowledgement or a list, or nothing would tell the end.
    ///
    /// # Errors
    /// The kernel's error number for the first message that it refused.
    pub fn exchange(&mut self, messages: &[Vec<u8>]) -> io::Result<Vec<NetlinkReply>> {
        let mut bytes = Vec::new();
        let mut last = None;
        let asks = (libc::NLM_F_ACK | libc::NLM_F_DUMP) as u16;
        for message in messages {
            self.sequence = self.sequence.wrapping_add(1);
            let at = bytes.len();
            bytes.extend_from_slice(message);
            if let Some(place) = bytes.get_mut(at + 8..at + 12) {
                place.copy_from_slice(&self.sequence.to_ne_bytes());
            }
            if short(message, 6).is_some_and(|flags| flags & asks != 0) {
                last = Some(self.sequence);
            }
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        let last = last.ok_or(io::ErrorKind::InvalidInput)?;
        send(&self.socket, &bytes, SendFlags::empty())?;
        let mut replies = Vec::new();
        while !self.receive(last, &mut replies)? {}
        Ok(replies)
    }

    /// Takes what has come; whether that was all.
    fn receive(&self, last: u32, replies: &mut Vec<NetlinkReply>) -> io::Result<bool> {
        let [ready] = wait_any([Wait::Read(self.socket.as_fd())], Some(PATIENCE))?;
        if !ready {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut buffer = vec![0; BUFFER];
        let (length, _) = recv(&self.socket, &mut buffer, RecvFlags::empty())?;
        let mut rest = buffer.get(..length).unwrap_or_default();
        while let Some(length) = word(rest, 0).and_then(|n| usize::try_from(n).ok()) {
            let Some(message) = rest.get(..length).filter(|_| length >= HEADER) else { break };
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            let (kind, sequence) = (short(message, 4).unwrap_or(0), word(message, 8).unwrap_or(0));
            let payload = message.get(HEADER..).unwrap_or_default();
            let code = word(payload, 0).unwrap_or(0).cast_signed();
            match kind {
                // The error number is negative here.
                ERROR if code != 0 => return Err(io::Error::from_raw_os_error(-code)),
                ERROR | DONE if sequence == last => return Ok(true),
                ERROR | DONE => {}
                _ => replies.push(NetlinkReply { kind, payload: payload.to_vec() }),
            }
        }
        Ok(false)
    }
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Makes a network namespace, which lives as long as the handle or a process in it, and opens a
/// socket for its links.
pub fn new_network() -> io::Result<(OwnedFd, Netlink)> {
    let make = || {
        unshare(CloneFlags::CLONE_NEWNET)?;
        let handle = std::fs::File::open("/proc/thread-self/ns/net")?;
        Ok((OwnedFd::from(handle), Netlink::open(NetlinkFamily::Route)?))
    };
    // A thread's namespace is its own, and gone with it.
    let thread = std::thread::Builder::new().name("network".to_owned()).spawn(make)?;
    thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread ended unexpectedly")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A list of all links: each is a message of its own.
    #[test]
    fn links_are_listed_and_nonsense_is_refused() {
        let mut socket = Netlink::open(NetlinkFamily::Route).unwrap();
        let message = |kind: u16, flags: i32| {
            let mut bytes = 32u32.to_ne_bytes().to_vec();
            bytes.extend(kind.to_ne_bytes());
            bytes.extend((flags as u16 | libc::NLM_F_REQUEST as u16).to_ne_bytes());
            bytes.resize(32, 0);
            bytes
        };
        let links = socket.exchange(&[message(libc::RTM_GETLINK, libc::NLM_F_DUMP)]).unwrap();
        assert!(!links.is_empty());
        assert!(links.iter().all(|reply| reply.kind == libc::RTM_NEWLINK));
        assert!(socket.exchange(&[message(9999, libc::NLM_F_ACK)]).is_err());
        assert!(socket.exchange(&[message(libc::RTM_GETLINK, 0)]).is_err());
    }
}
