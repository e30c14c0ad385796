//! Answers: head, body, and how faithfully the body is delivered.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::Response;
use hyper::body::Frame;
use tokio::sync::mpsc;

use super::super::content::Content;
use super::super::log::{InFlight, LogEntry};
use super::Connection;

/// Bytes per part of a large body.
const PART: usize = 256 << 10;

/// What a handler wants to happen.
pub enum Answer {
    Reply(Reply),
    /// Close the connection without an answer.
    Drop,
}

/// An answer: head, body, and how it is delivered.
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Payload,
    pub delivery: Box<Delivery>,
    /// Held until the body is delivered: counts what is in flight.
    pub in_flight: Option<InFlight>,
}

/// The body of an answer.
#[derive(Clone)]
pub enum Payload {
    Empty,
    /// `len` bytes of `content` from `start`.
    Part {
        content: Content,
        start: u64,
        len: u64,
    },
    /// `x` for ever, without a length.
    Endless,
}

/// How the body differs from what was meant. The default is an honest delivery.
#[derive(Clone, Default)]
pub struct Delivery {
    /// Close the connection after this many bytes of the body.
    pub drop_after: Option<u64>,
    /// Say nothing more after this many bytes of the body.
    pub stall_after: Option<u64>,
    /// So many bytes, then a pause.
    pub pace: Option<(usize, Duration)>,
    /// Invert the byte at this offset of the body.
    pub flip: Option<u64>,
    /// End after this many bytes, and say so in Content-Length.
    pub keep: Option<u64>,
    /// Append so many zero bytes, and say so in Content-Length.
    pub extra: u64,
    /// What to say about the length.
    pub length: Length,
}

/// What the head says about the length of the body.
#[derive(Clone, Copy, Default, PartialEq)]
pub enum Length {
    #[default]
    True,
    /// Nothing: chunked in HTTP/1.1.
    Unsaid,
    /// This number, whatever the body has.
    Claimed(u64),
}

impl Reply {
    pub fn new(status: u16) -> Reply {
        Reply {
            status,
            headers: Vec::new(),
            body: Payload::Empty,
            delivery: Box::default(),
            in_flight: None,
        }
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Reply {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn set_header(&mut self, name: &str, value: &str) {
        self.remove_header(name);
        self.headers.push((name.into(), value.into()));
    }

    pub fn remove_header(&mut self, name: &str) {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    }

    pub fn content(self, content: impl Into<Content>) -> Reply {
        let content = content.into();
        let len = content.size();
        self.part(content, 0, len)
    }

    pub fn part(mut self, content: Content, start: u64, len: u64) -> Reply {
        self.body = Payload::Part { content, start, len };
        self
    }

    pub fn json(self, value: &serde_json::Value) -> Reply {
        self.header("Content-Type", "application/json").content(value.to_string().into_bytes())
    }
}

/// Turns a reply into a response whose body is fed by a task when it is large or faulty.
pub(super) fn respond(
    reply: Reply,
    is_head: bool,
    entry: LogEntry,
    connection: Arc<Connection>,
) -> Response<OutBody> {
    let Reply { status, headers, body, delivery, in_flight } = reply;
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        // A value that no HTTP library can send is a mistake of the test: this panics there.
        response = response.header(name, value);
    }
    let no_body = matches!(status, 204 | 304);
    let said = match (&delivery.length, &body) {
        _ if no_body => None,
        (Length::Unsaid, _) | (Length::True, Payload::Endless) => None,
        (Length::Claimed(length), _) => Some(*length),
        (Length::True, Payload::Empty) => Some(delivery.extra),
        (Length::True, Payload::Part { len, .. }) => {
            Some(delivery.keep.unwrap_or(*len).min(*len) + delivery.extra)
        }
    };
    if let Some(length) = said {
        response = response.header("Content-Length", length);
    }
    let body = if is_head || no_body {
        OutBody::Unsaid
    } else {
        let (parts, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            feed(body, *delivery, &parts, in_flight, &entry, &connection).await;
        });
        OutBody::Fed(receiver)
    };
    response.body(body).expect("a well-formed reply")
}

async fn feed(
    body: Payload,
    how: Delivery,
    parts: &mpsc::Sender<Bytes>,
    mut in_flight: Option<InFlight>,
    entry: &LogEntry,
    connection: &Connection,
) {
    let (content, start, len) = match body {
        Payload::Empty => (None, 0, 0),
        Payload::Part { content, start, len } => (Some(content), start, len),
        Payload::Endless => (None, 0, u64::MAX),
    };
    let own = how.keep.unwrap_or(len).min(len);
    let total = own.saturating_add(how.extra);
    let stop = how.drop_after.into_iter().chain(how.stall_after).min();
    let end = total.min(stop.unwrap_or(u64::MAX));
    let step = how.pace.map_or(PART, |(bytes, _)| bytes.max(1)) as u64;
    let mut at = 0;
    while at < end {
        let next = end.min(at + step).min(if at < own { own } else { u64::MAX });
        let size = (next - at) as usize;
        let mut part = match &content {
            Some(content) if at < own => content.slice(start + at, size),
            Some(_) => Bytes::from(vec![0; size]),
            None => Bytes::from(vec![b'x'; size]),
        };
        if let Some(offset) = how.flip.filter(|offset| (at..next).contains(offset)) {
            let mut changed = part.to_vec();
            changed[(offset - at) as usize] ^= 0xff;
            part = changed.into();
        }
        if next == end && stop.is_none() {
            // Before the client can know that it has all and ask for more.
            in_flight = None;
        }
        if parts.send(part).await.is_err() {
            return;
        }
        at = next;
        entry.update(|logged| logged.sent = at);
        if let Some((_, pause)) = how.pace.filter(|_| at < end) {
            tokio::time::sleep(pause).await;
        }
    }
    // A body shorter than claimed can only end with the connection.
    let short = matches!(how.length, Length::Claimed(length) if length > total);
    if how.drop_after.is_some() && stop == how.drop_after || short && stop.is_none() {
        wait_until_taken(parts).await;
        connection.close().await;
        parts.closed().await;
    } else if how.stall_after.is_some() {
        parts.closed().await;
    }
    drop(in_flight);
}

/// The channel holds one part: when there is room again, the last one is with the connection.
async fn wait_until_taken(parts: &mpsc::Sender<Bytes>) {
    drop(parts.reserve().await);
}

/// The body of a response.
pub enum OutBody {
    /// Nothing, and nothing said about its length beyond the given headers.
    Unsaid,
    Fed(mpsc::Receiver<Bytes>),
}

impl hyper::body::Body for OutBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            OutBody::Unsaid => Poll::Ready(None),
            OutBody::Fed(parts) => {
                parts.poll_recv(context).map(|part| part.map(|p| Ok(Frame::data(p))))
            }
        }
    }
}
