//! `RecordingServer`: "the other host", which sees everything and knows next to nothing.

use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::super::content::Content;
use super::super::log::{Log, Logged};
use super::super::tls::ServerTls;
use super::{Answer, Call, Reply, Server};

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

    pub fn requests(&self) -> Vec<Logged> {
        self.log.requests()
    }

    /// TCP connections accepted so far: none, if nobody even tried.
    pub fn connections(&self) -> u64 {
        self.server.connections()
    }
}
