//! `RawServer`: answers that no HTTP library would send, written byte by byte.
//!
//! ```ignore
//! let server = RawServer::start(|mut stream| {
//!     read_head(&mut stream);
//!     let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1152921504606846976\r\n\r\nx");
//!     hold(stream);
//! });
//! ```

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// A TCP server on a loopback port that leaves every connection to a function; stops when dropped.
pub struct RawServer {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl RawServer {
    /// Calls `talk` for each connection, on a thread of its own; then the connection is closed.
    pub fn start(talk: impl Fn(TcpStream) + Send + Sync + 'static) -> RawServer {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("the address of the listener");
        let (connections, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, stopped, talk) = (connections.clone(), stop.clone(), Arc::new(talk));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                count.fetch_add(1, Ordering::Relaxed);
                let talk = talk.clone();
                std::thread::spawn(move || talk(stream));
            }
        });
        RawServer { address, connections, stop, thread: Some(thread) }
    }

    /// Answers every request with these bytes, then closes the connection.
    pub fn answering(bytes: impl Into<Vec<u8>>) -> RawServer {
        let bytes = bytes.into();
        RawServer::start(move |mut stream| {
            read_head(&mut stream);
            // The client may have enough before the end.
            let _ = stream.write_all(&bytes);
        })
    }

    /// Accepts and says nothing.
    pub fn silent() -> RawServer {
        RawServer::start(hold)
    }

    /// `127.0.0.1:PORT`
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for RawServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Reads a request's head; what the client sent after it stays unread.
pub fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// Keeps the connection open, and silent, until the client closes it.
pub fn hold(mut stream: TcpStream) {
    let mut rest = [0; 4096];
    while matches!(stream.read(&mut rest), Ok(n) if n > 0) {}
}

/// Writes the bytes one at a time with a pause before each.
pub fn drip(stream: &mut TcpStream, bytes: &[u8], pause: Duration) {
    for byte in bytes {
        std::thread::sleep(pause);
        if stream.write_all(&[*byte]).is_err() {
            return;
        }
    }
}
