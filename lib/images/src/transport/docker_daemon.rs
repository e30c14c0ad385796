//! `docker-daemon:`, the images of a Docker engine, through its socket.
//!
//! Uses `docker_archive`, the form in which the engine hands images out and takes them in. Reading
//! passes through a nameless file, for the engine can only send a whole image; writing is one
//! stream, made while it is sent. Knows two requests of the engine's API and its error messages.

use std::error::Error as _;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use reqwest::{Body, Client, Response, StatusCode};
use serde::Deserialize;
use tokio::sync::{Mutex, OnceCell, mpsc};
use tokio::task::JoinHandle;

use super::archive::{ArchiveStream, Output, scratch_file};
use super::docker_archive::{ABILITIES, DockerArchiveSource, ImageWriter};
use super::{Abilities, Item, Origin, Presence, Sink, layout_archive};
use crate::blob::{Blob, blocking};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::spec::{Descriptor, Manifest, Reference};

const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";
/// Largest part of an answer that is read when it is no archive.
const MAX_ANSWER: usize = 1 << 20;
/// Largest part of an engine's message that is shown.
const MAX_MESSAGE: usize = 4 << 10;

/// A Docker engine.
#[derive(Clone)]
struct Engine {
    client: Client,
    base: String,
    host: String,
}

impl Engine {
    /// An engine at `unix:///path`, `tcp://host:port` or `http://host:port`.
    fn at(host: Option<&str>) -> Result<Engine> {
        let host = host.unwrap_or(DEFAULT_HOST);
        let builder = Client::builder()
            .tls_backend_preconfigured(no_tls()?)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(30));
        let (builder, base) = match host.split_once("://") {
            Some(("unix", path)) if path.starts_with('/') => {
                (builder.unix_socket(path), "http://localhost".to_owned())
            }
            Some(("tcp" | "http", address)) if !address.is_empty() => {
                (builder, format!("http://{}", address.trim_end_matches('/')))
            }
            _ => {
                return Err(Error::usage(format!(
                    "{host:?} is no address of a Docker engine that can be reached here (there \
                     are unix:///path and tcp://host:port)"
                )));
            }
        };
        let client = builder.build().map_err(|error| {
            Error::caused(ErrorKind::Failed, "preparing to talk to the Docker engine", error)
        })?;
        Ok(Engine { client, base, host: host.to_owned() })
    }

    fn unreachable(&self, error: reqwest::Error) -> Error {
        let mut cause = error.source();
        let mut kind = ErrorKind::Unavailable;
        while let Some(inner) = cause {
            let io = inner.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
            if io == Some(std::io::ErrorKind::PermissionDenied) {
                kind = ErrorKind::Denied;
            }
            cause = inner.source();
        }
        let doing = format!("talking to the Docker engine at {}", self.host);
        Error::caused(kind, doing, error.without_url())
    }

    /// The engine's own words about a request that failed.
    async fn refusal(&self, response: Response) -> Error {
        #[derive(Deserialize)]
        struct Refusal {
            message: String,
        }
        let status = response.status();
        let body = read_bounded(response).await.unwrap_or_default();
        let message = match serde_json::from_slice::<Refusal>(&body) {
            Ok(refusal) => refusal.message,
            Err(_) => String::from_utf8_lossy(&body).into_owned(),
        };
        let kind = match status {
            StatusCode::NOT_FOUND => ErrorKind::NotFound,
            StatusCode::BAD_REQUEST => ErrorKind::Invalid,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ErrorKind::Denied,
            _ => ErrorKind::Failed,
        };
        let status = status.as_u16();
        let host = &self.host;
        let message = shown(&message);
        Error::new(kind, format!("the Docker engine at {host} answered {status}: {message}"))
    }
}

/// The engine is spoken to in plain HTTP, but the client insists on a set-up for TLS.
fn no_tls() -> Result<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::caused(ErrorKind::Failed, "preparing TLS", error))?;
    let nobody = rustls::RootCertStore::empty();
    Ok(builder.with_root_certificates(nobody).with_no_client_auth())
}

/// A message from elsewhere: bounded, on one line, without control characters.
fn shown(message: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let mut text: String = message.trim().chars().map(clean).take(MAX_MESSAGE).collect();
    if text.is_empty() {
        text.push_str("nothing");
    }
    text
}

async fn read_bounded(response: Response) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| {
            Error::caused(ErrorKind::Unavailable, "reading the engine's answer", error)
        })?;
        let room = MAX_ANSWER.saturating_sub(body.len());
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if room < chunk.len() {
            break;
        }
    }
    Ok(body)
}

impl DockerArchiveSource {
    /// The image `name` of the Docker engine at `host` (its usual socket if not said), which is
    /// copied into a nameless file in the directory `scratch`.
    ///
    /// # Errors
    /// `NotFound` when the engine has no such image, `Unavailable` when there is no engine.
    pub async fn from_daemon(
        host: Option<&str>,
        name: &Reference,
        scratch: &Path,
    ) -> Result<DockerArchiveSource> {
        let engine = Engine::at(host)?;
        let url = format!("{}/images/{name}/get", engine.base);
        let response = engine.client.get(url).send().await;
        let response = response.map_err(|error| engine.unreachable(error))?;
        let reading = || format!("reading docker-daemon:{name}");
        if !response.status().is_success() {
            return Err(engine.refusal(response).await).doing(reading);
        }
        let chunks =
            response.bytes_stream().map(|chunk| chunk.map_err(|error| engine.unreachable(error)));
        let file = spool(Box::pin(chunks), scratch).await.doing(reading)?;
        DockerArchiveSource::only_in(file, format!("docker-daemon:{name}"), scratch).await
    }
}

/// Writes a stream to a nameless file.
async fn spool(
    mut chunks: impl Stream<Item = Result<Bytes>> + Unpin,
    scratch: &Path,
) -> Result<File> {
    let (sender, mut receiver) = mpsc::channel::<Bytes>(8);
    let scratch = scratch.to_owned();
    let write = blocking(move || {
        let writing = || format!("writing into {}", scratch.display());
        let mut file = scratch_file(&scratch)?;
        while let Some(chunk) = receiver.blocking_recv() {
            file.write_all(&chunk).doing(writing)?;
        }
        Ok(file)
    });
    let pump = async move {
        while let Some(chunk) = chunks.next().await {
            if sender.send(chunk?).await.is_err() {
                break;
            }
        }
        Ok(())
    };
    let (pumped, file) = tokio::join!(pump, write);
    pumped.and(file)
}

/// The images of a Docker engine, for writing one, under one name or several.
pub struct DockerDaemonSink {
    engine: Engine,
    name: Reference,
    scratch: PathBuf,
    /// Begun when there is something to send.
    load: OnceCell<Load>,
}

/// A request that loads an image while it is written.
struct Load {
    writer: ImageWriter,
    answer: Mutex<Option<Answer>>,
}

/// The running request; when it is dropped, the connection is cut and the engine loads nothing.
struct Answer(JoinHandle<Result<()>>);

impl Drop for Answer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl DockerDaemonSink {
    /// A sink for the image `name` of the Docker engine at `host` (its usual socket if not said).
    /// What has no size before it is read passes through a nameless file in `scratch`.
    ///
    /// # Errors
    /// `Usage` for a name with a digest: the engine computes those itself.
    pub fn new(host: Option<&str>, name: &Reference, scratch: &Path) -> Result<DockerDaemonSink> {
        let name = name.with_default_tag();
        if name.digest().is_some() {
            return Err(Error::usage(format!(
                "docker-daemon:{name} has a digest; an image is loaded under a tag"
            )));
        }
        let engine = Engine::at(host)?;
        Ok(DockerDaemonSink { engine, name, scratch: scratch.to_owned(), load: OnceCell::new() })
    }

    async fn load(&self) -> Result<&Load> {
        self.load.get_or_try_init(|| self.begin()).await
    }

    async fn begin(&self) -> Result<Load> {
        let (archive, chunks) = ArchiveStream::new();
        let answer = tokio::spawn(send(self.engine.clone(), Body::wrap_stream(chunks)));
        let answer = Mutex::new(Some(Answer(answer)));
        let output = Output::Stream(archive);
        let marked = layout_archive::mark(&output).await;
        let writer = ImageWriter::new(output, Some(self.name.clone()), &self.scratch);
        let load = Load { writer, answer };
        match marked {
            Ok(()) => Ok(load),
            Err(error) => Err(load.why(error).await),
        }
    }
}

async fn send(engine: Engine, body: Body) -> Result<()> {
    let request = engine
        .client
        .post(format!("{}/images/load?quiet=1", engine.base))
        .header("Content-Type", "application/x-tar")
        .body(body);
    let response = request.send().await.map_err(|error| engine.unreachable(error))?;
    if !response.status().is_success() {
        return Err(engine.refusal(response).await);
    }
    let report = read_bounded(response).await?;
    match failure(&report) {
        Some(message) => Err(Error::new(
            ErrorKind::Failed,
            format!("the Docker engine at {} refused the image: {message}", engine.host),
        )),
        None => Ok(()),
    }
}

/// What an engine reports after it has said that all is well: lines of JSON, the last of which may
/// be an error.
fn failure(report: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Line {
        error: Option<String>,
    }
    let lines = report.split(|b| *b == b'\n');
    let error = lines.filter_map(|line| serde_json::from_slice::<Line>(line).ok()?.error).next();
    error.map(|error| shown(&error))
}

impl Load {
    /// The reason for a failed write: what the engine said, if it has ended the request.
    async fn why(&self, error: Error) -> Error {
        let Some(mut answer) = self.answer.lock().await.take() else { return error };
        // A request that is still running is not the reason.
        match tokio::time::timeout(Duration::from_secs(1), &mut answer.0).await {
            Ok(Ok(Err(reason))) if error.kind() == ErrorKind::Failed => reason,
            _ => error,
        }
    }

    async fn explain<T>(&self, result: Result<T>) -> Result<T> {
        match result {
            Ok(value) => Ok(value),
            Err(error) => Err(self.why(error).await),
        }
    }
}

impl Sink for DockerDaemonSink {
    /// The engine does not tell which manifest an image had.
    async fn current(&self) -> Result<Option<Descriptor>> {
        Ok(None)
    }

    async fn presence(&self, what: &Descriptor) -> Result<Presence> {
        match self.load.get() {
            Some(load) => Ok(load.writer.presence(what).await),
            None => Ok(Presence::Missing),
        }
    }

    async fn put(&self, item: Item, content: Blob) -> Result<Descriptor> {
        let load = self.load().await?;
        load.explain(load.writer.put(item, content).await).await
    }

    async fn link(&self, _: &Descriptor, _: &Origin) -> Result<bool> {
        Ok(false)
    }

    async fn publish(&self, name: Option<&str>, root: &Manifest) -> Result<()> {
        let load = self.load().await?;
        load.explain(load.writer.publish(name, root).await).await
    }

    async fn finish(&self) -> Result<()> {
        let Some(load) = self.load.get() else { return Ok(()) };
        load.explain(load.writer.finish().await).await?;
        let Some(mut answer) = load.answer.lock().await.take() else { return Ok(()) };
        let loading = || format!("loading docker-daemon:{}", self.name);
        match (&mut answer.0).await {
            Ok(result) => result.doing(loading),
            Err(error) => Err(Error::caused(ErrorKind::Failed, loading(), error)),
        }
    }

    fn abilities(&self) -> Abilities {
        // The engine makes a manifest of its own when it hands the image out again.
        Abilities { keeps_manifests: false, ..ABILITIES }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Read};
    use std::os::unix::net::{UnixListener, UnixStream};

    use crate::spec::Dialect;
    use crate::transport::cases::{check, image, put_children, store};
    use crate::transport::{DockerArchiveSink, Entry, InPath};

    /// An engine that answers one request with `status` and `body`; returns what it was sent.
    fn engine(
        path: &Path,
        status: &'static str,
        body: Vec<u8>,
    ) -> std::thread::JoinHandle<(String, Vec<u8>)> {
        let listener = UnixListener::bind(path).unwrap();
        std::thread::spawn(move || {
            let (mut connection, _) = listener.accept().unwrap();
            let request = read_request(&connection);
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            connection.write_all(head.as_bytes()).unwrap();
            connection.write_all(&body).unwrap();
            request
        })
    }

    /// The request line and the (chunked) body, as far as it comes.
    fn read_request(connection: &UnixStream) -> (String, Vec<u8>) {
        let mut reader = BufReader::new(connection);
        let mut lines = Vec::new();
        let mut line = String::new();
        while reader.read_line(&mut line).unwrap() > 2 {
            lines.push(std::mem::take(&mut line).to_ascii_lowercase());
        }
        let mut body = Vec::new();
        while lines.iter().any(|line| line.contains("transfer-encoding: chunked")) {
            let mut size = String::new();
            reader.read_line(&mut size).unwrap();
            let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
            let mut chunk = vec![0; size + 2];
            if reader.read_exact(&mut chunk).is_err() || size == 0 {
                break;
            }
            body.extend_from_slice(&chunk[..size]);
        }
        (lines[0].trim().to_owned(), body)
    }

    fn host(path: &Path) -> String {
        format!("unix://{}", path.display())
    }

    fn app() -> Reference {
        Reference::parse("app:1").unwrap()
    }

    #[tokio::test]
    async fn an_image_is_read_from_an_engine() {
        let dir = tempfile::tempdir().unwrap();
        let made = image(Dialect::Docker, "x");
        let path = dir.path().join("a.tar");
        let place = InPath { path: path.clone(), entry: Entry::Named("app:1".into()) };
        store(&DockerArchiveSink::new(&place, dir.path()).unwrap(), &made, None).await.unwrap();
        let socket = dir.path().join("socket");
        let server = engine(&socket, "200 OK", std::fs::read(&path).unwrap());
        let host = host(&socket);
        let source = DockerArchiveSource::from_daemon(Some(&host), &app(), dir.path()).await;
        check(&source.unwrap(), &made).await;
        let (request, _) = server.join().unwrap();
        assert_eq!(request, "get /images/docker.io/library/app:1/get http/1.1");
    }

    #[tokio::test]
    async fn an_image_is_sent_to_an_engine() {
        let dir = tempfile::tempdir().unwrap();
        let made = image(Dialect::Docker, "x");
        let socket = dir.path().join("socket");
        let report = br#"{"stream":"Loaded image: app:1\n"}"#.to_vec();
        let server = engine(&socket, "200 OK", report);
        let sink = DockerDaemonSink::new(Some(&host(&socket)), &app(), dir.path()).unwrap();
        store(&sink, &made, None).await.unwrap();
        let (request, archive) = server.join().unwrap();
        assert_eq!(request, "post /images/load?quiet=1 http/1.1");
        let path = dir.path().join("sent.tar");
        std::fs::write(&path, archive).unwrap();
        let place = InPath { path, entry: Entry::Named("app:1".into()) };
        check(&DockerArchiveSource::open(&place, dir.path()).await.unwrap(), &made).await;
    }

    #[tokio::test]
    async fn what_the_engine_says_is_passed_on() {
        let dir = tempfile::tempdir().unwrap();
        let made = image(Dialect::Docker, "x");
        let socket = dir.path().join("1");
        let message = br#"{"message":"No such image:\u001b app:1"}"#.to_vec();
        let server = engine(&socket, "404 Not Found", message);
        let source =
            DockerArchiveSource::from_daemon(Some(&host(&socket)), &app(), dir.path()).await;
        let error = source.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.chain().ends_with("answered 404: No such image:  app:1"), "{error:?}");
        server.join().unwrap();

        let socket = dir.path().join("2");
        let report = b"{\"stream\":\"x\"}\n{\"errorDetail\":{},\"error\":\"disk full\"}\n".to_vec();
        let server = engine(&socket, "200 OK", report);
        let sink = DockerDaemonSink::new(Some(&host(&socket)), &app(), dir.path()).unwrap();
        let error = store(&sink, &made, None).await.unwrap_err();
        assert!(error.chain().ends_with("refused the image: disk full"), "{error:?}");
        server.join().unwrap();
    }

    #[tokio::test]
    async fn no_engine() {
        let dir = tempfile::tempdir().unwrap();
        let made = image(Dialect::Docker, "x");
        let socket = host(&dir.path().join("none"));
        let source = DockerArchiveSource::from_daemon(Some(&socket), &app(), dir.path()).await;
        let error = source.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.chain().contains(&format!("engine at {socket}")), "{error:?}");
        let sink = DockerDaemonSink::new(Some(&socket), &app(), dir.path()).unwrap();
        let error = put_children(&sink, &made).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        for bad in ["ssh://host", "unix://relative", "tcp://", "/var/run/docker.sock"] {
            assert_eq!(Engine::at(Some(bad)).err().unwrap().kind(), ErrorKind::Usage, "{bad}");
        }
    }

    #[tokio::test]
    async fn a_copy_that_is_given_up_loads_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let made = image(Dialect::Docker, "x");
        let socket = dir.path().join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        let server = std::thread::spawn(move || {
            let (mut connection, _) = listener.accept().unwrap();
            let mut all = Vec::new();
            let _ = connection.read_to_end(&mut all);
            all
        });
        let sink = DockerDaemonSink::new(Some(&host(&socket)), &app(), dir.path()).unwrap();
        put_children(&sink, &made).await.unwrap();
        drop(sink);
        let sent = tokio::task::spawn_blocking(move || server.join().unwrap()).await.unwrap();
        // The last chunk of a whole request is an empty one.
        assert!(!sent.ends_with(b"0\r\n\r\n"));
    }
}
