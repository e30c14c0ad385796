//! What a test server was asked: one `Logged` per request, and how many ran at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use hyper::{HeaderMap, Method, Uri};

/// What a request is about, told from its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Ping,
    Manifest,
    Blob,
    Upload,
    Tags,
    Catalog,
    Referrers,
    Token,
    Other,
}

impl Kind {
    pub fn of(path: &str) -> Kind {
        match path {
            "/v2" | "/v2/" => Kind::Ping,
            "/v2/_catalog" => Kind::Catalog,
            "/token" => Kind::Token,
            _ if !path.starts_with("/v2/") => Kind::Other,
            _ if path.ends_with("/tags/list") => Kind::Tags,
            _ if path.contains("/manifests/") => Kind::Manifest,
            _ if path.contains("/blobs/uploads") => Kind::Upload,
            _ if path.contains("/blobs/") => Kind::Blob,
            _ if path.contains("/referrers/") => Kind::Referrers,
            _ => Kind::Other,
        }
    }
}

/// One request as the server saw it.
#[derive(Clone, Debug)]
pub struct Logged {
    pub method: String,
    pub kind: Kind,
    pub path_and_query: String,
    /// 0 when the connection was closed instead of answered.
    pub status: u16,
    pub authorization: Option<String>,
    pub range: Option<String>,
    /// Bytes of the request body that arrived.
    pub body_len: u64,
    /// Bytes of the answer's body that were handed to the connection.
    pub sent: u64,
    pub connection_id: u64,
    /// When its head had arrived: shows whether a client waited as it was told.
    pub at: Instant,
    /// Lower-case names, in the order of arrival.
    pub headers: Vec<(String, String)>,
}

impl Logged {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.as_str())
    }
}

/// A logged request that is still being answered.
#[derive(Clone)]
pub struct LogEntry(Arc<Mutex<Logged>>);

impl LogEntry {
    pub fn update(&self, change: impl FnOnce(&mut Logged)) {
        change(&mut self.0.lock().expect("log entry"));
    }
}

/// All requests since the start or the last `clear`.
#[derive(Default)]
pub struct Log {
    entries: Mutex<Vec<Arc<Mutex<Logged>>>>,
    running: Arc<Mutex<HashMap<Kind, (usize, usize)>>>,
}

impl Log {
    pub fn begin(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        connection_id: u64,
    ) -> LogEntry {
        let text = |name: &str| {
            headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let logged = Logged {
            method: method.to_string(),
            kind: Kind::of(uri.path()),
            path_and_query: uri.path_and_query().map_or("/", |text| text.as_str()).to_string(),
            status: 0,
            authorization: text("authorization"),
            range: text("range"),
            body_len: 0,
            sent: 0,
            connection_id,
            at: Instant::now(),
            headers: headers
                .iter()
                .map(|(name, value)| {
                    (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
                })
                .collect(),
        };
        let entry = Arc::new(Mutex::new(logged));
        self.entries.lock().expect("log").push(entry.clone());
        LogEntry(entry)
    }

    pub fn requests(&self) -> Vec<Logged> {
        let entries = self.entries.lock().expect("log");
        entries.iter().map(|entry| entry.lock().expect("log entry").clone()).collect()
    }

    pub fn clear(&self) {
        self.entries.lock().expect("log").clear();
        self.running.lock().expect("gauge").values_mut().for_each(|(now, most)| *most = *now);
    }

    /// Counts a request as running until the result is dropped.
    pub fn enter(&self, kind: Kind) -> InFlight {
        let mut running = self.running.lock().expect("gauge");
        let (now, most) = running.entry(kind).or_default();
        *now += 1;
        *most = (*most).max(*now);
        InFlight { kind, running: self.running.clone() }
    }

    /// The largest number of requests of this kind that ran at the same time.
    pub fn most_in_flight(&self, kind: Kind) -> usize {
        self.running.lock().expect("gauge").get(&kind).map_or(0, |(_, most)| *most)
    }
}

/// One running request of a kind; see [`Log::enter`].
pub struct InFlight {
    kind: Kind,
    running: Arc<Mutex<HashMap<Kind, (usize, usize)>>>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some((now, _)) = self.running.lock().expect("gauge").get_mut(&self.kind) {
            *now -= 1;
        }
    }
}
