//! A small HTTP server on a loopback port: the ground under `TestRegistry` and `RecordingServer`.
//!
//! Runs on a thread of its own with its own runtime, plain or over TLS, HTTP/1.1 or HTTP/2.
//! Every request is logged. An answer may be delivered badly on purpose (`Delivery`): cut,
//! slow, corrupted, of another length than it says.

use std::convert::Infallible;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, mpsc, oneshot};

use super::content::Content;
use super::log::{InFlight, Log, LogEntry};
use super::tls::ServerTls;

/// Bytes per part of a large body.
const PART: usize = 256 << 10;

/// One request on its way through a handler.
pub struct Call {
    pub method: String,
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    pub body: Incoming,
    pub entry: LogEntry,
    pub connection: Arc<Connection>,
}

impl Call {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The values of one query parameter, percent-decoded, in order.
    pub fn query_all(&self, name: &str) -> Vec<String> {
        query_values(&self.query, name)
    }

    pub fn query_one(&self, name: &str) -> Option<String> {
        self.query_all(name).into_iter().next()
    }

    /// The next part of the request body; `None` at its end.
    pub async fn part(&mut self) -> Option<Result<Bytes, hyper::Error>> {
        loop {
            match self.body.frame().await? {
                Err(error) => return Some(Err(error)),
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        self.entry.update(|logged| logged.body_len += data.len() as u64);
                        return Some(Ok(data));
                    }
                }
            }
        }
    }

    /// The whole request body, `None` when it is longer than `limit` (the rest is then drained).
    pub async fn whole(&mut self, limit: usize) -> Result<Option<Vec<u8>>, hyper::Error> {
        let mut all = Vec::new();
        let mut fits = true;
        while let Some(part) = self.part().await {
            let part = part?;
            fits &= all.len() + part.len() <= limit;
            if fits {
                all.extend_from_slice(&part);
            }
        }
        Ok(fits.then_some(all))
    }

    /// Reads the request body and throws it away.
    pub async fn drain(&mut self) {
        while let Some(Ok(_)) = self.part().await {}
    }
}

/// The values of one parameter of a query or form.
pub fn query_values(query: &str, name: &str) -> Vec<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| *key == name).map(|(_, value)| percent_decode(value)).collect()
}

/// Undoes percent-encoding and `+` for a space.
pub fn percent_decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let code = (byte == b'%' && tail.len() >= 2)
            .then(|| std::str::from_utf8(&tail[..2]).ok())
            .flatten()
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code {
            Some(code) => {
                out.push(code);
                rest = &tail[2..];
            }
            None => {
                out.push(if byte == b'+' { b' ' } else { byte });
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

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

/// One accepted connection.
pub struct Connection {
    pub id: u64,
    kill: Notify,
    blocked: AtomicBool,
}

impl Connection {
    /// Closes the connection as soon as what was handed to it has left.
    async fn close(&self) {
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            if !self.blocked.load(Ordering::Relaxed) {
                break;
            }
        }
        self.kill.notify_one();
    }
}

type Handler = Arc<dyn Fn(Call) -> Pin<Box<dyn Future<Output = Answer> + Send>> + Send + Sync>;

/// A running server; stops when dropped.
pub struct Server {
    address: SocketAddr,
    scheme: &'static str,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
    connections: Arc<AtomicU64>,
}

impl Server {
    /// Binds a free loopback port, then asks `make` for the handler (which thus knows the URL).
    pub fn start<F, Fut>(
        log: Arc<Log>,
        tls: Option<&ServerTls>,
        make: impl FnOnce(&str) -> F,
    ) -> Server
    where
        F: Fn(Call) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Answer> + Send + 'static,
    {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a non-blocking listener");
        let address = listener.local_addr().expect("the address of the listener");
        let scheme = if tls.is_some() { "https" } else { "http" };
        let handle = make(&format!("{scheme}://{address}"));
        let handler: Handler = Arc::new(move |call| Box::pin(handle(call)));
        let acceptor = tls.map(ServerTls::acceptor);
        let (stop, stopped) = oneshot::channel();
        let connections = Arc::new(AtomicU64::new(0));
        let count = connections.clone();
        let thread = std::thread::Builder::new()
            .name(format!("server {}", address.port()))
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime");
                runtime.block_on(async {
                    tokio::select! {
                        _ = stopped => {}
                        () = accept(listener, acceptor, handler, log, count) => {}
                    }
                });
            })
            .expect("a thread");
        Server { address, scheme, stop: Some(stop), thread: Some(thread), connections }
    }

    /// `127.0.0.1:PORT`
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// `http://127.0.0.1:PORT` or `https://…`
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(
    listener: std::net::TcpListener,
    tls: Option<tokio_rustls::TlsAcceptor>,
    handler: Handler,
    log: Arc<Log>,
    count: Arc<AtomicU64>,
) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a tokio listener");
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let id = count.fetch_add(1, Ordering::Relaxed);
        let connection =
            Arc::new(Connection { id, kill: Notify::new(), blocked: AtomicBool::new(false) });
        let (handler, log, tls) = (handler.clone(), log.clone(), tls.clone());
        tokio::spawn(async move {
            match tls {
                None => serve(stream, false, connection, handler, log).await,
                Some(tls) => {
                    let Ok(stream) = tls.accept(stream).await else { return };
                    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    serve(stream, http2, connection, handler, log).await;
                }
            }
        });
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    http2: bool,
    connection: Arc<Connection>,
    handler: Handler,
    log: Arc<Log>,
) {
    let io = TokioIo::new(Watched { stream, connection: connection.clone() });
    let of_call = connection.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        answer(request, of_call.clone(), handler.clone(), log.clone())
    });
    let killed = connection.kill.notified();
    if http2 {
        let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(io, service);
        tokio::select! { _ = served => {}, () = killed => {} }
    } else {
        let served = hyper::server::conn::http1::Builder::new().serve_connection(io, service);
        tokio::select! { _ = served => {}, () = killed => {} }
    }
}

async fn answer(
    request: Request<Incoming>,
    connection: Arc<Connection>,
    handler: Handler,
    log: Arc<Log>,
) -> Result<Response<OutBody>, std::io::Error> {
    let (head, body) = request.into_parts();
    let entry = log.begin(&head.method, &head.uri, &head.headers, connection.id);
    let is_head = head.method == hyper::Method::HEAD;
    let call = Call {
        method: head.method.to_string(),
        path: head.uri.path().to_string(),
        query: head.uri.query().unwrap_or_default().to_string(),
        headers: head.headers,
        body,
        entry: entry.clone(),
        connection: connection.clone(),
    };
    match handler(call).await {
        Answer::Reply(reply) => {
            entry.update(|logged| logged.status = reply.status);
            Ok(respond(reply, is_head, entry, connection))
        }
        Answer::Drop => {
            connection.kill.notify_one();
            Err(std::io::Error::other("dropped on purpose"))
        }
    }
}

/// Turns a reply into a response whose body is fed by a task when it is large or faulty.
fn respond(
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
        if next == end {
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
    drop(in_flight);
    // A body shorter than claimed can only end with the connection.
    let short = matches!(how.length, Length::Claimed(length) if length > total);
    if how.drop_after.is_some() && stop == how.drop_after || short && stop.is_none() {
        wait_until_taken(parts).await;
        connection.close().await;
        parts.closed().await;
    } else if how.stall_after.is_some() {
        parts.closed().await;
    }
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

/// A stream that remembers whether its last write had to wait for the other side.
struct Watched<S> {
    stream: S,
    connection: Arc<Connection>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.connection.blocked.store(done.is_pending(), Ordering::Relaxed);
        done
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_flush(context);
        self.connection.blocked.store(done.is_pending(), Ordering::Relaxed);
        done
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Answers of a [`RecordingServer`]: path part, status, headers, body.
type Canned = (String, u16, Vec<(String, String)>, Bytes);

/// A server that logs every request with all its headers and knows only canned answers.
///
/// Use it as "the other host" of a redirect, a Location, a Link or a realm, to see what arrives:
///
/// ```ignore
/// let other = RecordingServer::start();
/// other.answer("/storage/x", 200, &[], "bytes");
/// … assert!(other.requests().iter().all(|r| r.authorization.is_none()));
/// ```
pub struct RecordingServer {
    server: Server,
    log: Arc<Log>,
    canned: Arc<Mutex<Vec<Canned>>>,
}

impl RecordingServer {
    /// Answers 404 to everything until told otherwise.
    pub fn start() -> RecordingServer {
        RecordingServer::start_with(None)
    }

    /// The same over TLS, with a certificate of the given set.
    pub fn start_tls(tls: &ServerTls) -> RecordingServer {
        RecordingServer::start_with(Some(tls))
    }

    fn start_with(tls: Option<&ServerTls>) -> RecordingServer {
        let log = Arc::new(Log::default());
        let canned: Arc<Mutex<Vec<Canned>>> = Arc::default();
        let known = canned.clone();
        let server = Server::start(log.clone(), tls, |_| {
            move |mut call: Call| {
                let known = known.clone();
                async move {
                    call.drain().await;
                    let wanted = format!("{}?{}", call.path, call.query);
                    let known = known.lock().expect("answers");
                    let found =
                        known.iter().rev().find(|(part, ..)| wanted.contains(part.as_str()));
                    Answer::Reply(match found {
                        None => Reply::new(404),
                        Some((_, status, headers, body)) => {
                            let mut reply = Reply::new(*status).content(body.clone());
                            reply.headers = headers.clone();
                            reply
                        }
                    })
                }
            }
        });
        RecordingServer { server, log, canned }
    }

    /// From now on requests whose path and query contain `part` get this answer; later ones win.
    pub fn answer(
        &self,
        part: &str,
        status: u16,
        headers: &[(&str, &str)],
        body: impl Into<Content>,
    ) {
        let headers = headers.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
        let entry = (part.to_string(), status, headers, body.into().bytes());
        self.canned.lock().expect("answers").push(entry);
    }

    pub fn host(&self) -> String {
        self.server.host()
    }

    pub fn url(&self) -> String {
        self.server.url()
    }

    pub fn requests(&self) -> Vec<super::log::Logged> {
        self.log.requests()
    }

    /// TCP connections accepted so far: none, if nobody even tried.
    pub fn connections(&self) -> u64 {
        self.server.connections()
    }
}
