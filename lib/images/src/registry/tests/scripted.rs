//! A server that says what a test tells it to, and remembers what it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(super) struct Received {
    pub(super) method: String,
    /// Path and query.
    pub(super) target: String,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Received {
    /// A header's value, or nothing.
    pub(super) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    /// `METHOD target`.
    pub(super) fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }
}

/// What to answer.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Close the connection after so many bytes of the body.
    cut: Option<usize>,
    /// Keep silent for ever after what was sent.
    hang: bool,
}

impl Reply {
    pub(super) fn new(status: u16) -> Reply {
        Reply { status, headers: Vec::new(), body: Vec::new(), cut: None, hang: false }
    }

    /// No answer: the connection is closed.
    pub(super) fn nothing() -> Reply {
        Reply::new(0)
    }

    pub(super) fn header(mut self, name: &str, value: impl ToString) -> Reply {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub(super) fn body(mut self, body: impl AsRef<[u8]>) -> Reply {
        self.body = body.as_ref().to_owned();
        self
    }

    pub(super) fn cut_after(self, count: usize) -> Reply {
        Reply { cut: Some(count), ..self }
    }

    pub(super) fn hang_after(self, count: usize) -> Reply {
        Reply { cut: Some(count), hang: true, ..self }
    }
}

/// The server; its threads end with the test's process.
pub(super) struct Server {
    address: String,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Server {
    /// Starts a server on 127.0.0.1 that answers by `script`.
    pub(super) fn start(script: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Server {
        Server::at("127.0.0.1", script)
    }

    /// Starts a server on another address of this machine.
    pub(super) fn at(
        ip: &str,
        script: impl Fn(&Received) -> Reply + Send + Sync + 'static,
    ) -> Server {
        let listener = TcpListener::bind((ip, 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let received = Arc::<Mutex<Vec<Received>>>::default();
        let (log, script) = (received.clone(), Arc::new(script));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, script) = (log.clone(), script.clone());
                std::thread::spawn(move || serve(stream, &log, &*script));
            }
        });
        Server { address, received }
    }

    /// `ip:port`.
    pub(super) fn host(&self) -> &str {
        &self.address
    }

    /// Everything that was asked until now.
    pub(super) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// The first lines of everything that was asked.
    pub(super) fn lines(&self) -> Vec<String> {
        self.received().iter().map(Received::line).collect()
    }
}

fn serve(
    stream: TcpStream,
    log: &Mutex<Vec<Received>>,
    script: &dyn Fn(&Received) -> Reply,
) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let request = read_request(&mut reader)?;
        log.lock().unwrap().push(request.clone());
        let reply = script(&request);
        if reply.status == 0 {
            return None;
        }
        let mut head = format!("HTTP/1.1 {} x\r\n", reply.status);
        let has_length = reply.headers.iter().any(|(name, _)| name == "Content-Length");
        for (name, value) in &reply.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !has_length {
            head.push_str(&format!("Content-Length: {}\r\n", reply.body.len()));
        }
        let mut stream = &stream;
        stream.write_all(format!("{head}\r\n").as_bytes()).ok()?;
        if request.method != "HEAD" {
            let sent = reply.cut.unwrap_or(reply.body.len()).min(reply.body.len());
            stream.write_all(&reply.body[..sent]).ok()?;
        }
        if reply.hang {
            // Until the other side has had enough.
            let _ = reader.read(&mut [0]);
        }
        if reply.cut.is_some() {
            return None;
        }
    }
}

fn read_request(reader: &mut impl BufRead) -> Option<Received> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_owned(), value.to_owned()));
    }
    let mut request = Received { method, target, headers, body: Vec::new() };
    let length = request.header("content-length").parse().unwrap_or(0);
    request.body = vec![0; length];
    reader.read_exact(&mut request.body).ok()?;
    Some(request)
}
