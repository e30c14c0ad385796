//! Upload sessions: start, mount, chunks in order, status, finish, cancel.

use std::io::Write as _;

use super::super::content::{Spool, is_digest};
use super::super::http::{Answer, Call, Reply};
use super::super::log::Kind;
use super::fault::{Fault, Location};
use super::state::Upload;
use super::{Inner, auth, reply};

/// Why a request body did not arrive whole.
enum Cut {
    /// The fault said so.
    OnPurpose,
    /// The client's doing.
    ByClient,
}

impl Inner {
    pub(super) async fn upload(
        &self,
        call: &mut Call,
        name: &str,
        id: &str,
        faults: &[Fault],
    ) -> Answer {
        let _in_flight = self.log.enter(Kind::Upload);
        match (call.method.as_str(), id) {
            ("POST", "") => self.start_upload(call, name, faults).await,
            ("GET", id) if !id.is_empty() => Answer::Reply(self.upload_status(call, name, id)),
            ("PATCH" | "PUT", id) if !id.is_empty() => self.take_part(call, name, id, faults).await,
            ("DELETE", id) if !id.is_empty() => Answer::Reply(self.cancel_upload(call, name, id)),
            _ => Answer::Reply(reply::unsupported(405)),
        }
    }

    async fn start_upload(&self, call: &mut Call, name: &str, faults: &[Fault]) -> Answer {
        if let Some(digest) = call.query_one("mount") {
            call.drain().await;
            return Answer::Reply(self.mount(call, name, &digest, faults));
        }
        let Some(digest) = call.query_one("digest").filter(|_| self.options.single_post) else {
            call.drain().await;
            return Answer::Reply(self.new_session(name, faults));
        };
        let mut spool = Spool::new();
        match self.receive(call, &mut spool, faults).await {
            Ok(()) => Answer::Reply(self.finish(name, &digest, spool, faults)),
            Err(_) => Answer::Drop,
        }
    }

    fn mount(&self, call: &Call, name: &str, digest: &str, faults: &[Fault]) -> Reply {
        if !is_digest(digest) {
            return reply::error(400, "DIGEST_INVALID", "provided digest did not match grammar");
        }
        let refused = faults.iter().any(|fault| matches!(fault, Fault::RefuseMount));
        let mut state = self.state.lock().expect("state");
        let content = match call.query_one("from") {
            _ if refused || !self.options.mounts => None,
            Some(from) => state.blob(&from, digest),
            None if self.options.anonymous_mounts => state.blobs.get(digest).cloned(),
            None => None,
        };
        match content {
            Some(content) => {
                state.add_blob(name, digest, content);
                drop(state);
                self.created(&format!("/v2/{name}/blobs/{digest}"), digest)
            }
            None => {
                drop(state);
                self.new_session(name, faults)
            }
        }
    }

    fn new_session(&self, name: &str, faults: &[Fault]) -> Reply {
        let mut state = self.state.lock().expect("state");
        state.next_upload += 1;
        let id = format!("{:08}-{}", state.next_upload, auth::rand_text());
        let upload = Upload {
            spool: Some(Spool::new()),
            offset: 0,
            state: auth::rand_text(),
            short_chunk: false,
        };
        let secret = upload.state.clone();
        state.repository(name).uploads.insert(id.clone(), upload);
        drop(state);
        let mut reply = self.session_reply(202, name, &id, &secret, 0, faults);
        if let Some(least) = self.options.chunk_min {
            reply.set_header("OCI-Chunk-Min-Length", &least.to_string());
        }
        reply
    }

    /// The answer that tells where an upload goes on.
    fn session_reply(
        &self,
        status: u16,
        name: &str,
        id: &str,
        secret: &str,
        offset: u64,
        faults: &[Fault],
    ) -> Reply {
        let form = faults.iter().find_map(|fault| match fault {
            Fault::Location(form) => Some(form),
            _ => None,
        });
        let path = format!("/v2/{name}/blobs/uploads/{id}");
        let location = match form.unwrap_or(&self.options.location) {
            Location::Absolute => Some(format!("{}{path}?_state={secret}", self.url)),
            Location::Relative => Some(format!("{path}?_state={secret}")),
            Location::Bare => Some(path),
            Location::Under(url) => Some(format!("{url}{path}?_state={secret}")),
            Location::Exactly(text) => Some(text.clone()),
            Location::Missing => None,
        };
        let mut reply = Reply::new(status)
            .header("Range", format!("0-{}", offset.saturating_sub(1)))
            .header("Docker-Upload-UUID", id);
        if let Some(location) = location {
            reply = reply.header("Location", location);
        }
        reply
    }

    fn upload_status(&self, call: &Call, name: &str, id: &str) -> Reply {
        let mut state = self.state.lock().expect("state");
        let Some(upload) = find(&mut state, call, name, id) else { return reply::upload_unknown() };
        let (secret, offset) = (upload.state.clone(), upload.offset);
        drop(state);
        self.session_reply(204, name, id, &secret, offset, &[])
    }

    fn cancel_upload(&self, call: &Call, name: &str, id: &str) -> Reply {
        let mut state = self.state.lock().expect("state");
        if find(&mut state, call, name, id).is_none() {
            return reply::upload_unknown();
        }
        state.repository(name).uploads.remove(id);
        Reply::new(204)
    }

    /// PATCH and PUT: checks where the part belongs, takes it, and ends the session with PUT.
    async fn take_part(&self, call: &mut Call, name: &str, id: &str, faults: &[Fault]) -> Answer {
        let last = call.method == "PUT";
        let digest = call.query_one("digest");
        if last && !digest.as_deref().is_some_and(is_digest) {
            call.drain().await;
            let reply = reply::error(400, "DIGEST_INVALID", "digest missing or malformed");
            return Answer::Reply(reply);
        }
        let (mut spool, secret) = match self.open_part(call, name, id, last) {
            Ok(open) => open,
            Err(reply) => {
                call.drain().await;
                return Answer::Reply(reply);
            }
        };
        let start = spool.size();
        let received = self.receive(call, &mut spool, faults).await;
        let got = spool.size() - start;
        if let (Ok(()), Some(digest)) = (&received, digest.filter(|_| last)) {
            self.state.lock().expect("state").repository(name).uploads.remove(id);
            return Answer::Reply(self.finish(name, &digest, spool, faults));
        }
        let offset = spool.size();
        let mut state = self.state.lock().expect("state");
        if let Some(upload) = state.repository(name).uploads.get_mut(id) {
            upload.offset = offset;
            upload.short_chunk = self.options.chunk_min.is_some_and(|least| got < least);
            upload.spool = Some(spool);
            if self.options.one_use_locations {
                upload.state = auth::rand_text();
            }
        }
        let current = state.repository(name).uploads.get(id).map(|u| u.state.clone());
        drop(state);
        match received {
            Ok(()) => {
                let secret = current.unwrap_or(secret);
                Answer::Reply(self.session_reply(202, name, id, &secret, offset, faults))
            }
            Err(_) => Answer::Drop,
        }
    }

    /// Takes the session's bytes out for writing, or says why this part does not fit.
    fn open_part(
        &self,
        call: &Call,
        name: &str,
        id: &str,
        last: bool,
    ) -> Result<(Spool, String), Reply> {
        let length = call.header("content-length").and_then(|text| text.parse::<u64>().ok());
        if !self.options.chunked_bodies && length.is_none() {
            return Err(reply::error(411, "SIZE_INVALID", "the length of the body is required"));
        }
        let kind = call.header("content-type").unwrap_or("application/octet-stream");
        if kind != "application/octet-stream" {
            return Err(reply::error(400, "BLOB_UPLOAD_INVALID", "bad Content-Type"));
        }
        let mut state = self.state.lock().expect("state");
        let Some(upload) = find(&mut state, call, name, id) else {
            return Err(reply::upload_unknown());
        };
        if let Some(range) = call.header("content-range") {
            let parsed = range.split_once('-').and_then(|(first, last)| {
                Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?))
            });
            let Some((first, end)) = parsed else {
                return Err(reply::error(400, "BLOB_UPLOAD_INVALID", "bad Content-Range"));
            };
            if first != upload.offset {
                let (secret, offset) = (upload.state.clone(), upload.offset);
                return Err(self.session_reply(416, name, id, &secret, offset, &[]));
            }
            let len = end.checked_sub(first).map(|n| n + 1);
            if length.is_some() && length != len {
                let why = "Content-Range does not match Content-Length";
                return Err(reply::error(400, "SIZE_INVALID", why));
            }
        }
        if upload.short_chunk && !(last && length == Some(0)) {
            return Err(reply::error(400, "SIZE_INVALID", "a chunk before was too short"));
        }
        let secret = upload.state.clone();
        match upload.spool.take() {
            Some(spool) => Ok((spool, secret)),
            None => Err(reply::error(400, "BLOB_UPLOAD_INVALID", "the session is being written")),
        }
    }

    /// Appends the request body; with a fault, only its first bytes.
    async fn receive(
        &self,
        call: &mut Call,
        spool: &mut Spool,
        faults: &[Fault],
    ) -> Result<(), Cut> {
        let mut left = faults.iter().find_map(|fault| match fault {
            Fault::DropRequestAfter(n) => Some(*n),
            _ => None,
        });
        loop {
            if left == Some(0) {
                return Err(Cut::OnPurpose);
            }
            let Some(part) = call.part().await else { break };
            let Ok(part) = part else { return Err(Cut::ByClient) };
            let taken = left.map_or(part.len(), |left| part.len().min(left as usize));
            spool.write_all(&part[..taken]).expect("spooling an upload");
            left = left.map(|left| left - taken as u64);
        }
        match left {
            Some(_) => Err(Cut::OnPurpose),
            None => Ok(()),
        }
    }

    fn finish(&self, name: &str, digest: &str, spool: Spool, faults: &[Fault]) -> Reply {
        let (content, sha256) = spool.finish();
        let found = match digest.starts_with("sha256:") {
            true => sha256,
            false => content.digest_like(digest),
        };
        if found != digest {
            let why = format!("provided digest did not match uploaded content: {found}");
            return reply::error(400, "DIGEST_INVALID", &why);
        }
        if !faults.iter().any(|fault| matches!(fault, Fault::Forget)) {
            self.state.lock().expect("state").add_blob(name, digest, content);
        }
        self.created(&format!("/v2/{name}/blobs/{digest}"), digest)
    }

    pub(super) fn created(&self, path: &str, digest: &str) -> Reply {
        Reply::new(201)
            .header("Location", format!("{}{path}", self.url))
            .header("Docker-Content-Digest", digest)
    }
}

/// The session, if the request's `_state` is the current one (or absent, for a bare Location).
fn find<'a>(
    state: &'a mut super::state::State,
    call: &Call,
    name: &str,
    id: &str,
) -> Option<&'a mut Upload> {
    let secret = call.query_one("_state");
    let upload = state.repositories.get_mut(name)?.uploads.get_mut(id)?;
    secret.is_none_or(|secret| secret == upload.state).then_some(upload)
}
