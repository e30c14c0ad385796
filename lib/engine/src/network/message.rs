//! Messages to the kernel: a header, a fixed part, attributes in attributes.

use crate::sys::NetlinkReply;

/// Bytes of a message's header.
const HEADER: usize = 16;
const NESTED: u16 = libc::NLA_F_NESTED as u16;
/// What the kernel adds to the type of some attributes.
const TYPE: u16 = !(libc::NLA_F_NESTED as u16 | libc::NLA_F_NET_BYTEORDER as u16);

/// A message being written.
pub(super) struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// A request of this type with its fixed part; `flags` beside `NLM_F_REQUEST`.
    pub(super) fn new(kind: u16, flags: i32, fixed: &[u8]) -> Message {
        // All flags there are fit into the header's sixteen bits.
        let flags = (flags | libc::NLM_F_REQUEST) as u16;
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.resize(HEADER, 0);
        bytes.extend_from_slice(fixed);
        Message { bytes }
    }

    /// Adds an attribute.
    pub(super) fn put(mut self, kind: u16, value: &[u8]) -> Message {
        self.add(kind, |message| message.bytes.extend_from_slice(value));
        self
    }

    /// Adds text with its end.
    pub(super) fn text(self, kind: u16, value: &str) -> Message {
        self.put(kind, &[value.as_bytes(), &[0]].concat())
    }

    /// Adds a number in the machine's order.
    pub(super) fn number(self, kind: u16, value: u32) -> Message {
        self.put(kind, &value.to_ne_bytes())
    }

    /// Adds a number in the network's order.
    pub(super) fn big(self, kind: u16, value: u32) -> Message {
        self.put(kind, &value.to_be_bytes())
    }

    /// Adds an attribute made of attributes.
    pub(super) fn nest(self, kind: u16, inside: impl FnOnce(Message) -> Message) -> Message {
        self.wrap(kind | NESTED, &[], inside)
    }

    /// The same without the mark of nesting, with a fixed part in front.
    pub(super) fn wrap(
        mut self,
        kind: u16,
        fixed: &[u8],
        inside: impl FnOnce(Message) -> Message,
    ) -> Message {
        self.add(kind, |message| {
            message.bytes.extend_from_slice(fixed);
            let bytes = std::mem::take(&mut message.bytes);
            message.bytes = inside(Message { bytes }).bytes;
        });
        self
    }

    fn add(&mut self, kind: u16, write: impl FnOnce(&mut Message)) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        let at = self.bytes.len();
        self.bytes.extend([0, 0]);
        self.bytes.extend(kind.to_ne_bytes());
        write(self);
        // No attribute of ours comes near this.
        let length = u16::try_from(self.bytes.len() - at).unwrap_or(u16::MAX);
        if let Some(place) = self.bytes.get_mut(at..at + 2) {
            place.copy_from_slice(&length.to_ne_bytes());
        }
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// The bytes to send.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        if let Some(place) = self.bytes.get_mut(..4) {
            place.copy_from_slice(&length.to_ne_bytes());
        }
        self.bytes
    }
}

/// The value of an attribute behind the fixed part of a reply.
pub(super) fn attribute(reply: &NetlinkReply, fixed: usize, wanted: u16) -> Option<&[u8]> {
    let mut rest = reply.payload.get(fixed..)?;
    loop {
        let short = |at: usize| Some(u16::from_ne_bytes(rest.get(at..at + 2)?.try_into().ok()?));
        let (length, kind) = (usize::from(short(0)?), short(2)? & TYPE);
        let value = rest.get(4..length)?;
        if kind == wanted {
            return Some(value);
        }
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
}

/// A number in the machine's order.
pub(super) fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_measured() {
        let bytes = Message::new(16, libc::NLM_F_ACK, &[7; 4])
            .text(3, "ab")
            .nest(18, |inner| inner.number(1, 5).big(2, 1))
            .finish();
        assert_eq!(bytes.len() as u32, u32::from_ne_bytes(bytes[..4].try_into().unwrap()));
        assert_eq!(bytes.len(), 16 + 4 + 8 + (4 + 8 + 8));
        let reply = NetlinkReply { kind: 16, payload: bytes[16..].to_vec() };
        assert_eq!(attribute(&reply, 4, 3).unwrap(), b"ab\0");
        let nested = attribute(&reply, 4, 18).unwrap().to_vec();
        let nested = NetlinkReply { kind: 0, payload: nested };
        assert_eq!(number(attribute(&nested, 0, 1).unwrap()), Some(5));
        assert_eq!(attribute(&nested, 0, 2).unwrap(), [0, 0, 0, 1]);
        assert_eq!(attribute(&nested, 0, 3), None);
        // Lengths that cannot be are the end, not a loop.
        let odd = NetlinkReply { kind: 0, payload: vec![0; 8] };
        assert_eq!(attribute(&odd, 0, 1), None);
    }
}
