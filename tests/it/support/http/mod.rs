//! A small HTTP server on a loopback port: the ground under `TestRegistry` and `RecordingServer`.
//!
//! Runs on a thread of its own with its own runtime, plain or over TLS, HTTP/1.1 or HTTP/2.
//! Every request is logged. An answer may be delivered badly on purpose (`Delivery`): cut,
//! slow, corrupted, of another length than it says.

mod recording;
mod reply;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, oneshot};

pub use self::recording::RecordingServer;
pub use self::reply::{Answer, Delivery, Length, OutBody, Payload, Reply};

use super::hosts;
use super::log::{Log, LogEntry};
use super::tls::ServerTls;

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
        let listener = std::net::TcpListener::bind((hosts::address(), 0)).expect("a free port");
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
            Ok(reply::respond(reply, is_head, entry, connection))
        }
        Answer::Drop => {
            connection.kill.notify_one();
            Err(std::io::Error::other("dropped on purpose"))
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
