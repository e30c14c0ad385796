//! What a registry does wrong on purpose: which requests (`When`), and what happens (`Fault`).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::super::content::Content;
use super::super::http::{Call, Length, Payload, Reply};
use super::super::log::Kind;

/// Which requests a fault befalls. Start with [`once`] or [`always`].
#[derive(Clone)]
pub struct When {
    method: String,
    kind: Kind,
    part: String,
    /// A header's name and what its value contains.
    header: Option<(String, String)>,
    with_body: bool,
    skip: usize,
    times: usize,
}

/// The first request with this method (`"*"` for any) and kind.
pub fn once(method: &str, kind: Kind) -> When {
    let (method, part) = (method.into(), String::new());
    When { method, kind, part, header: None, with_body: false, skip: 0, times: 1 }
}

/// Every request with this method (`"*"` for any) and kind.
pub fn always(method: &str, kind: Kind) -> When {
    once(method, kind).times(usize::MAX)
}

impl When {
    /// Only requests whose path and query contain this.
    pub fn path(mut self, part: &str) -> When {
        self.part = part.into();
        self
    }

    /// Only requests with a header whose value contains this.
    pub fn header(mut self, name: &str, part: &str) -> When {
        self.header = Some((name.into(), part.into()));
        self
    }

    /// Only requests with a body.
    pub fn with_body(mut self) -> When {
        self.with_body = true;
        self
    }

    /// Lets the first `n` matching requests pass.
    pub fn after(mut self, n: usize) -> When {
        self.skip = n;
        self
    }

    /// At most so often.
    pub fn times(mut self, n: usize) -> When {
        self.times = n;
        self
    }

    fn matches(&self, call: &Call, kind: Kind, path_and_query: &str) -> bool {
        let has_header = |(name, part): &(String, String)| {
            call.header(name).is_some_and(|value| value.contains(part.as_str()))
        };
        let has_body = || call.header("content-length").is_some_and(|length| length != "0");
        (self.method == "*" || self.method == call.method)
            && self.kind == kind
            && path_and_query.contains(&self.part)
            && self.header.as_ref().is_none_or(has_header)
            && (!self.with_body || has_body())
    }
}

/// What goes wrong. Several faults on one request all apply, in the order they were injected.
#[derive(Clone)]
pub enum Fault {
    // Before the request is handled.
    /// Waits, then goes on.
    Delay(Duration),
    /// Reads the request and never answers; the connection stays open.
    Hang,
    /// Closes the connection after this many bytes of the request's body; those bytes count as
    /// received (an upload session has them).
    DropRequestAfter(u64),
    /// Answers this instead of handling the request; see [`Fault::status`].
    Answer(Canned),
    /// The same without reading the request's body first.
    AnswerEarly(Canned),
    /// Sends the client to the same path and query under another URL; see [`Fault::redirect`].
    Redirect { code: u16, to: String },
    /// All tokens given so far end now (so this request gets a 401).
    ExpireTokens,

    // While it is handled.
    /// A mount is answered with 202 and a new session.
    RefuseMount,
    /// A range is answered with 200 and the whole blob.
    IgnoreRange,
    /// 201 for a finished upload or a manifest which is then not there.
    Forget,
    /// The session lies on a Location of this form.
    Location(Location),

    // The answer.
    /// Handles the request, then closes the connection instead of answering.
    LoseReply,
    /// Sets a header of the answer.
    Header(String, String),
    /// Leaves a header of the answer out.
    NoHeader(String),
    /// Another body, with its own length.
    Body(Content),
    /// Closes the connection after this many bytes of the answer's body.
    DropAfter(u64),
    /// Falls silent after this many bytes of the answer's body.
    StallAfter(u64),
    /// So many bytes of the body, then a pause, again and again.
    Slow { bytes: usize, pause: Duration },
    /// Inverts the byte of the body at this offset; the length stays right.
    FlipByte(u64),
    /// Ends the body after this many bytes and says that this is its length.
    Shorten(u64),
    /// Appends zero bytes to the body and says that this is its length.
    Lengthen(u64),
    /// Does not say how long the body is.
    NoLength,
    /// Says that the body has this length, whatever it has.
    ClaimLength(u64),
    /// A body without length and without end.
    Endless,
    /// Anything else: changes the answer at will.
    Edit(Arc<dyn Fn(&mut Reply) + Send + Sync>),
}

/// A whole answer given in advance.
#[derive(Clone)]
pub struct Canned {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Content,
}

/// Forms of the Location of an upload session.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Location {
    /// `http://127.0.0.1:PORT/v2/…?_state=…`
    #[default]
    Absolute,
    /// `/v2/…?_state=…`
    Relative,
    /// `/v2/…` without a query.
    Bare,
    /// The path and query under this URL: another host.
    Under(String),
    /// Exactly this.
    Exactly(String),
    /// No Location at all.
    Missing,
}

impl Fault {
    /// An answer with this status and an empty body; add to it with [`Fault::header`] and
    /// [`Fault::body`].
    pub fn status(status: u16) -> Fault {
        Fault::Answer(Canned { status, headers: Vec::new(), body: Content::from("") })
    }

    /// An answer with a registry's JSON error.
    pub fn error(status: u16, code: &str, message: &str) -> Fault {
        let body = super::reply::error_body(code, message).to_string();
        Fault::status(status).header("Content-Type", "application/json").body(body.as_str())
    }

    /// Adds a header to [`Fault::status`]; for other faults use [`Fault::Header`].
    pub fn header(mut self, name: &str, value: &str) -> Fault {
        match &mut self {
            Fault::Answer(canned) | Fault::AnswerEarly(canned) => {
                canned.headers.push((name.into(), value.into()));
            }
            _ => panic!("only Fault::status takes a header; use Fault::set"),
        }
        self
    }

    /// Sets the body of [`Fault::status`].
    pub fn body(mut self, body: impl Into<Content>) -> Fault {
        match &mut self {
            Fault::Answer(canned) | Fault::AnswerEarly(canned) => canned.body = body.into(),
            _ => panic!("only Fault::status takes a body; use Fault::Body"),
        }
        self
    }

    /// [`Fault::status`] sent before the request's body is read.
    pub fn early(self) -> Fault {
        match self {
            Fault::Answer(canned) => Fault::AnswerEarly(canned),
            other => other,
        }
    }

    /// 307 to the same path under another URL.
    pub fn redirect(to: &str) -> Fault {
        Fault::Redirect { code: 307, to: to.into() }
    }

    /// Sets a header of the honest answer.
    pub fn set(name: &str, value: &str) -> Fault {
        Fault::Header(name.into(), value.into())
    }

    /// Removes a header of the honest answer. For `Content-Length` use [`Fault::NoLength`].
    pub fn unset(name: &str) -> Fault {
        Fault::NoHeader(name.into())
    }

    /// Another body, with its right length.
    pub fn replace(body: impl Into<Content>) -> Fault {
        Fault::Body(body.into())
    }

    pub fn edit(change: impl Fn(&mut Reply) + Send + Sync + 'static) -> Fault {
        Fault::Edit(Arc::new(change))
    }

    /// Applies the faults that concern the answer.
    pub(super) fn spoil(&self, reply: &mut Reply) {
        match self {
            Fault::Header(name, value) => reply.set_header(name, value),
            Fault::NoHeader(name) => reply.remove_header(name),
            Fault::Body(content) => {
                let (content, len) = (content.clone(), content.size());
                reply.body = Payload::Part { content, start: 0, len };
            }
            Fault::DropAfter(n) => reply.delivery.drop_after = Some(*n),
            Fault::StallAfter(n) => reply.delivery.stall_after = Some(*n),
            Fault::Slow { bytes, pause } => reply.delivery.pace = Some((*bytes, *pause)),
            Fault::FlipByte(offset) => reply.delivery.flip = Some(*offset),
            Fault::Shorten(n) => reply.delivery.keep = Some(*n),
            Fault::Lengthen(n) => reply.delivery.extra = *n,
            Fault::NoLength => reply.delivery.length = Length::Unsaid,
            Fault::ClaimLength(n) => reply.delivery.length = Length::Claimed(*n),
            Fault::Endless => {
                reply.body = Payload::Endless;
                reply.delivery.length = Length::Unsaid;
            }
            Fault::Edit(change) => change(reply),
            _ => {}
        }
    }
}

/// Faults that wait for their requests.
#[derive(Default)]
pub(super) struct Faults(Mutex<Vec<Waiting>>);

struct Waiting {
    when: When,
    fault: Fault,
    seen: usize,
    fired: Arc<AtomicUsize>,
}

impl Faults {
    pub(super) fn inject(&self, when: When, fault: Fault) -> Injected {
        let fired = Arc::new(AtomicUsize::new(0));
        let waiting = Waiting { when, fault, seen: 0, fired: fired.clone() };
        self.0.lock().expect("faults").push(waiting);
        Injected(fired)
    }

    pub(super) fn clear(&self) {
        self.0.lock().expect("faults").clear();
    }

    /// The faults for this request; counts them as used.
    pub(super) fn take(&self, call: &Call, kind: Kind, path_and_query: &str) -> Vec<Fault> {
        let mut due = Vec::new();
        for waiting in self.0.lock().expect("faults").iter_mut() {
            if !waiting.when.matches(call, kind, path_and_query) {
                continue;
            }
            waiting.seen += 1;
            let turn = waiting.seen.saturating_sub(waiting.when.skip);
            if turn >= 1 && turn <= waiting.when.times {
                waiting.fired.fetch_add(1, Ordering::Relaxed);
                due.push(waiting.fault.clone());
            }
        }
        due
    }
}

/// An injected fault: tells how often it struck. Assert on it, else a test may pass by luck.
pub struct Injected(Arc<AtomicUsize>);

impl Injected {
    pub fn fired(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}
