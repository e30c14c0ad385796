//! A tiny HTTP/1.1 client that shows what really came over the wire: one request, one connection.
//!
//! It follows no redirect, repeats nothing and believes nothing. Tests of the servers use it, and
//! it pushes images to real registries.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use super::content::Content;

/// A request being put together; see [`request`].
pub struct Request {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: Option<Content>,
    chunked: bool,
    declared: Option<u64>,
    ca: Option<PathBuf>,
    identity: Option<(PathBuf, PathBuf)>,
    patience: Duration,
}

/// An answer as it came.
#[derive(Debug)]
pub struct RawReply {
    pub status: u16,
    /// Lower-case names, in the order of arrival.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Did the body end as its head promised?
    pub whole: bool,
}

/// Starts a request to `http://HOST:PORT/…` or `https://…`.
pub fn request(method: &str, url: &str) -> Request {
    Request {
        method: method.into(),
        url: url.into(),
        headers: Vec::new(),
        body: None,
        chunked: false,
        declared: None,
        ca: None,
        identity: None,
        patience: Duration::from_secs(10),
    }
}

/// GET without more ado.
pub fn get(url: &str) -> RawReply {
    request("GET", url).send()
}

impl Request {
    pub fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// `Authorization: Basic …`
    pub fn basic(self, user: &str, password: &str) -> Request {
        use base64::Engine as _;
        let pair = format!("{user}:{password}");
        let pair = base64::engine::general_purpose::STANDARD.encode(pair);
        self.header("Authorization", &format!("Basic {pair}"))
    }

    pub fn body(mut self, body: impl Into<Content>) -> Request {
        self.body = Some(body.into());
        self
    }

    /// Sends the body in chunks, without Content-Length.
    pub fn chunked(mut self) -> Request {
        self.chunked = true;
        self
    }

    /// Says another Content-Length than the body has.
    pub fn declare(mut self, length: u64) -> Request {
        self.declared = Some(length);
        self
    }

    /// The CA certificate to believe, for https.
    pub fn ca(mut self, path: impl Into<PathBuf>) -> Request {
        self.ca = Some(path.into());
        self
    }

    /// A client certificate and its key.
    pub fn identity(mut self, certificate: PathBuf, key: PathBuf) -> Request {
        self.identity = Some((certificate, key));
        self
    }

    /// How long to wait for the next byte.
    pub fn patience(mut self, time: Duration) -> Request {
        self.patience = time;
        self
    }

    /// The answer; panics when there is none.
    pub fn send(self) -> RawReply {
        let what = format!("{} {}", self.method, self.url);
        self.try_send().unwrap_or_else(|e| panic!("{what}: {e}"))
    }

    /// The answer, or why there is none.
    pub fn try_send(self) -> std::io::Result<RawReply> {
        let (scheme, rest) = self.url.split_once("://").expect("an absolute URL");
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let tcp = TcpStream::connect(host)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(self.patience))?;
        tcp.set_write_timeout(Some(self.patience))?;
        if scheme == "http" {
            return self.exchange(tcp, host, path);
        }
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name).to_string();
        let name = ServerName::try_from(name).map_err(std::io::Error::other)?;
        let session = rustls::ClientConnection::new(Arc::new(self.tls()), name);
        let session = session.map_err(std::io::Error::other)?;
        self.exchange(rustls::StreamOwned::new(session, tcp), host, path)
    }

    fn tls(&self) -> rustls::ClientConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = self.ca.as_deref().map_or_else(rustls::RootCertStore::empty, super::tls::roots);
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("TLS versions")
            .with_root_certificates(roots);
        match &self.identity {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = vec![CertificateDer::from_pem_file(certificate).expect("PEM")];
                let key = PrivateKeyDer::from_pem_file(key).expect("PEM");
                config.with_client_auth_cert(chain, key).expect("a client certificate")
            }
        }
    }

    fn exchange<S: Read + Write>(
        &self,
        mut stream: S,
        host: &str,
        path: &str,
    ) -> std::io::Result<RawReply> {
        let head = self.head(host, path);
        // A server may answer and close before it has read everything: then the answer counts.
        let sent = stream.write_all(head.as_bytes()).and_then(|()| self.send_body(&mut stream));
        let answer = read_reply(&mut stream, self.method == "HEAD");
        match (sent, answer) {
            (Err(error), Err(_)) => Err(error),
            (_, answer) => answer,
        }
    }

    fn head(&self, host: &str, path: &str) -> String {
        let mut head = format!("{} /{path} HTTP/1.1\r\nHost: {host}\r\n", self.method);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let length = self.declared.or(self.body.as_ref().map(Content::size));
        match length {
            _ if self.chunked => head.push_str("Transfer-Encoding: chunked\r\n"),
            Some(length) => head.push_str(&format!("Content-Length: {length}\r\n")),
            None if matches!(self.method.as_str(), "POST" | "PUT" | "PATCH") => {
                head.push_str("Content-Length: 0\r\n");
            }
            None => {}
        }
        head.push_str("Connection: close\r\n\r\n");
        head
    }

    fn send_body(&self, stream: &mut impl Write) -> std::io::Result<()> {
        let mut at = 0;
        while let Some(body) = self.body.as_ref().filter(|body| at < body.size()) {
            let part = body.slice(at, 256 << 10);
            at += part.len() as u64;
            if self.chunked {
                write!(stream, "{:x}\r\n", part.len())?;
            }
            stream.write_all(&part)?;
            if self.chunked {
                stream.write_all(b"\r\n")?;
            }
        }
        if self.chunked {
            stream.write_all(b"0\r\n\r\n")?;
        }
        stream.flush()
    }
}

impl RawReply {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.as_str())
    }

    /// The header; panics when it is missing.
    pub fn expect_header(&self, name: &str) -> &str {
        self.header(name).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// The same, if it has this status.
    pub fn expect(self, status: u16) -> RawReply {
        assert_eq!(self.status, status, "{:?}\n{}", self.headers, self.text());
        self
    }

    /// The code of a registry's JSON error.
    pub fn code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().unwrap_or_default().to_string()
    }
}

fn read_reply(stream: &mut impl Read, is_head: bool) -> std::io::Result<RawReply> {
    let mut input = Input { stream, buffer: Vec::new() };
    loop {
        let (status, headers) = input.head()?;
        if (100..200).contains(&status) {
            continue;
        }
        let mut reply = RawReply { status, headers, body: Vec::new(), whole: true };
        if is_head || matches!(status, 204 | 304) {
            return Ok(reply);
        }
        let chunked = reply.header("transfer-encoding").is_some_and(|value| value == "chunked");
        let length = reply.header("content-length").and_then(|value| value.parse::<u64>().ok());
        reply.whole = match length {
            _ if chunked => input.chunks(&mut reply.body),
            Some(length) => input.take(length, &mut reply.body),
            None => !input.take(u64::MAX, &mut reply.body),
        };
        return Ok(reply);
    }
}

struct Input<'a, S> {
    stream: &'a mut S,
    buffer: Vec<u8>,
}

impl<S: Read> Input<'_, S> {
    /// More bytes in the buffer; false at the end, after an error, or when nothing comes.
    fn fill(&mut self) -> std::io::Result<bool> {
        let mut part = vec![0; 64 << 10];
        loop {
            match self.stream.read(&mut part) {
                Ok(n) => {
                    self.buffer.extend_from_slice(&part[..n]);
                    return Ok(n > 0);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn line(&mut self) -> std::io::Result<String> {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_string());
            }
            if !self.fill()? {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn head(&mut self) -> std::io::Result<(u16, Vec<(String, String)>)> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| std::io::Error::other(format!("not HTTP: {first:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            match line.split_once(':') {
                None => return Ok((status, headers)),
                Some((name, value)) => {
                    headers.push((name.to_ascii_lowercase(), value.trim().to_string()));
                }
            }
        }
    }

    /// Moves `length` bytes to `out`; false when fewer came.
    fn take(&mut self, length: u64, out: &mut Vec<u8>) -> bool {
        let mut left = length;
        loop {
            let n = (self.buffer.len() as u64).min(left) as usize;
            out.extend(self.buffer.drain(..n));
            left -= n as u64;
            if left == 0 {
                return true;
            }
            if !self.fill().unwrap_or(false) {
                return false;
            }
        }
    }

    fn chunks(&mut self, out: &mut Vec<u8>) -> bool {
        loop {
            let Ok(line) = self.line() else { return false };
            let Ok(size) = u64::from_str_radix(line.trim(), 16) else { return false };
            if !self.take(size, out) || self.line().is_err() {
                return false;
            }
            if size == 0 {
                return true;
            }
        }
    }
}
