//! Blobs put into a repository: mounted, sent whole, or in pieces (distribution spec, "Pushing
//! blobs").
//!
//! Two requests for a new blob (begin, and the bytes with their digest), one for a blob that
//! another repository of the registry has. A `Location` is used as the server gave it. What of it
//! leads to another origin carries no credentials; what leads from https to http is refused, except
//! for the registry's own host, which is then met by https (servers behind proxies err so).

use std::sync::{Arc, Mutex, PoisonError};

use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use reqwest::Url;

use super::address::same_host;
use super::auth::Errand;
use super::blobs::BULK;
use super::body::Body;
use super::exchange::Answer;
use super::failure::{Failure, Retry, shown};
use super::options::Access;
use super::repository::{Place, Repository};
use super::retry::persist;
use super::scope::Scopes;
use super::server::{Call, Target};
use crate::blob::Blob;
use crate::error::{Error, ErrorKind, Result};
use crate::spec::Digest;

/// Longest `Location` that is taken.
const MAX_LOCATION: usize = 16 << 10;

/// An upload that the registry has begun.
#[derive(Clone, Debug)]
pub struct UploadSession {
    pub(super) location: Url,
    /// The least size of a piece that is not the last.
    pub(super) least_piece: usize,
}

/// What became of an attempt to mount a blob.
#[derive(Debug)]
pub enum Mount {
    /// The repository has the blob now.
    Done,
    /// It has not; the registry may have begun an upload instead.
    Refused(Option<UploadSession>),
}

impl Repository {
    /// Lets the registry take a blob from its repository `from`, without moving a byte.
    ///
    /// # Errors
    /// Only what would also keep the bytes from being sent; "not allowed" and "not there" are
    /// [`Mount::Refused`].
    pub async fn mount_blob(&self, digest: &Digest, from: &str) -> Result<Mount> {
        self.primary().mount_blob(digest, from).await
    }

    /// Tells the registry that an upload that it has begun will not be used.
    pub async fn cancel_upload(&self, session: UploadSession) {
        self.primary().cancel_upload(session).await;
    }

    /// Whether the repository has a blob, as far as this process has seen: no request is made.
    pub fn knows_blob(&self, digest: &Digest) -> bool {
        let place = self.primary();
        place.server.holder(digest).is_some_and(|holder| holder == place.name)
    }

    /// Takes back that the repository has been seen to have a blob.
    pub fn forget_blob(&self, digest: &Digest) {
        let place = self.primary();
        place.server.forget(digest, &place.name);
    }

    /// Another repository of the same registry that has been seen to have a blob.
    pub fn known_holder(&self, digest: &Digest) -> Option<String> {
        let place = self.primary();
        place.server.holder(digest).filter(|holder| *holder != place.name)
    }

    /// Whether the repository has a blob, by one small request.
    pub async fn has_blob(&self, digest: &Digest) -> Result<bool> {
        self.primary().has_blob(digest).await
    }

    /// Puts a blob, using `session` if the registry has begun one already; returns its digest and
    /// size. `known` is the digest of what [`Blob::Bytes`] holds; SHA-256 is computed without it.
    ///
    /// # Errors
    /// Corrupt when the bytes are not what their digest says; whatever the blob's source reports.
    pub async fn put_blob(
        &self,
        blob: Blob,
        known: Option<&Digest>,
        session: Option<UploadSession>,
    ) -> Result<(Digest, u64)> {
        let place = self.primary();
        let (digest, size) = match blob {
            Blob::Unnamed(_) => self.put_unnamed(blob, session).await?,
            Blob::Bytes(bytes) => {
                let digest = known.cloned().unwrap_or_else(|| Digest::sha256(&bytes));
                let size = bytes.len() as u64;
                place.put_whole(&digest, size, Body::Bytes(bytes), session).await?;
                (digest, size)
            }
            Blob::File(file) => {
                let (digest, size) = (file.digest.clone(), file.size);
                self.put_known(&digest, size, session, move || Blob::File(file.clone())).await?;
                (digest, size)
            }
            Blob::Remote(remote) => {
                let (digest, size) = (remote.digest.clone(), remote.size);
                self.put_known(&digest, size, session, move || Blob::Remote(remote.clone()))
                    .await?;
                (digest, size)
            }
        };
        place.server.remember(&digest, &place.name);
        Ok((digest, size))
    }

    /// Puts a blob that can be opened as often as needed.
    async fn put_known(
        &self,
        digest: &Digest,
        size: u64,
        session: Option<UploadSession>,
        open: impl Fn() -> Blob + Send + Sync + 'static,
    ) -> Result<()> {
        if size > self.options.chunk_above {
            return self.put_in_pieces(digest, size, session, &open).await;
        }
        let open = Arc::new(move || {
            let blob = open();
            Box::pin(async move { blob.into_stream().await }) as crate::blob::Opening
        });
        self.primary().put_whole(digest, size, Body::Stream { size, open }, session).await
    }
}

impl Place {
    async fn mount_blob(&self, digest: &Digest, from: &str) -> Result<Mount> {
        if self.server.refuses_mounts(from, &self.name) {
            return Ok(Mount::Refused(None));
        }
        // Whether one token may cover both repositories is asked for here only: some token
        // servers refuse everything when they refuse a part.
        let scopes = self.errand.scopes.clone().union(&Scopes::repository(from, Access::Pull));
        let errand = Errand { scopes, ..self.errand.clone() };
        let call = self.call(Method::POST, &mount_path(digest, from), &[201, 202]);
        let answer = match self.server.send(&Call { errand, ..call }).await {
            Ok(answer) => answer,
            Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
            Err(error) => {
                if matches!(error.kind(), ErrorKind::Unauthorized | ErrorKind::Denied) {
                    self.server.note_refused_mount(from, &self.name);
                }
                return Ok(Mount::Refused(None));
            }
        };
        if answer.status() == StatusCode::CREATED {
            answer.drain().await;
            self.server.remember(digest, &self.name);
            return Ok(Mount::Done);
        }
        let session = UploadSession::begun(&answer).ok();
        answer.drain().await;
        Ok(Mount::Refused(session))
    }

    /// Begins an upload.
    pub(super) async fn begin_upload(&self) -> Result<UploadSession, Failure> {
        let call = self.call(Method::POST, "blobs/uploads/", &[202]);
        let answer = self.server.attempt(&call).await?;
        let session = UploadSession::begun(&answer).map_err(Failure::lasting);
        answer.drain().await;
        session
    }

    /// Begins an upload and sends all of it in one request; from the start again after a failure.
    pub(super) async fn put_whole(
        &self,
        digest: &Digest,
        size: u64,
        body: Body,
        session: Option<UploadSession>,
    ) -> Result<()> {
        let begun = Mutex::new(session);
        persist(self.server.patience(), self.server.progress(), || async {
            let begun = begun.lock().unwrap_or_else(PoisonError::into_inner).take();
            let session = match begun {
                Some(session) => session,
                None => self.begin_upload().await?,
            };
            let finished = self.finish_upload(session.clone(), digest, size, body.clone()).await;
            if finished.as_ref().is_err_and(|failure| failure.retry == Retry::Never) {
                self.cancel_upload(session).await;
            }
            finished
        })
        .await
    }

    /// Sends the (last) bytes with the digest of all.
    pub(super) async fn finish_upload(
        &self,
        session: UploadSession,
        digest: &Digest,
        size: u64,
        body: Body,
    ) -> Result<(), Failure> {
        let url = with_digest(session.location, digest);
        let mut call = self.upload_call(Method::PUT, url, &[200, 201, 204]);
        call.bulk = size > BULK && !matches!(body, Body::Empty);
        call.body = if size == 0 { Body::Empty } else { body };
        let answer = self.server.attempt(&call).await?;
        let stored = answer.header("docker-content-digest").and_then(|text| text.parse().ok());
        let stored: Option<Digest> = stored;
        let place = answer.place.clone();
        answer.drain().await;
        let lost =
            |text: String| Failure::lasting(Error::caused(ErrorKind::Corrupt, place.clone(), text));
        match stored {
            Some(stored) if stored == *digest => Ok(()),
            Some(stored) => Err(lost(format!("sent {digest}, the registry stored {stored}"))),
            // A registry that does not say what it stored is asked; where that cannot be, the
            // manifest will tell.
            None if self.has_blob(digest).await.unwrap_or(true) => Ok(()),
            None => Err(lost(format!("the registry took {digest} and does not have it"))),
        }
    }

    pub(super) fn upload_call(
        &self,
        method: Method,
        location: Url,
        expected: &'static [u16],
    ) -> Call {
        let call = Call::new(method, Target::Url(location), self.errand.clone(), expected);
        call.header(CONTENT_TYPE, "application/octet-stream")
    }

    /// Tells the registry that an upload will not be finished; whether it listens does not matter.
    pub(super) async fn cancel_upload(&self, session: UploadSession) {
        let target = Target::Url(session.location);
        let call = Call::new(Method::DELETE, target, self.errand.clone(), &[200, 202, 204, 404]);
        if let Ok(answer) = self.server.attempt(&call).await {
            answer.drain().await;
        }
    }
}

impl UploadSession {
    /// The session that an answer to `POST` describes.
    fn begun(answer: &Answer) -> Result<UploadSession> {
        let least = answer.header("oci-chunk-min-length").and_then(|text| text.parse().ok());
        let location = location(answer)?.ok_or_else(|| {
            answer.wrong(ErrorKind::Invalid, "the registry does not say where to upload to")
        })?;
        Ok(UploadSession { location, least_piece: least.unwrap_or(0) })
    }

    /// Goes on where `answer` says.
    pub(super) fn follow(&mut self, answer: &Answer) -> Result<()> {
        if let Some(location) = location(answer)? {
            self.location = location;
        }
        Ok(())
    }
}

/// The `Location` of an answer to an upload request.
fn location(answer: &Answer) -> Result<Option<Url>> {
    let Some(text) = answer.header("location").filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    resolve_location(&answer.url, text)
        .map(Some)
        .map_err(|error| error.while_doing(answer.place.clone()))
}

fn resolve_location(asked: &Url, text: &str) -> Result<Url> {
    let refuse = |why: &str| Error::invalid(format!("the upload location {why}"));
    if text.len() > MAX_LOCATION {
        return Err(refuse("is too long"));
    }
    let mut url = asked.join(text).map_err(|_| refuse("is no URL"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(refuse("is no http(s) URL"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("holds credentials"));
    }
    if asked.scheme() == "https" && url.scheme() == "http" {
        if !same_host(asked, &url) {
            let text = format!("the upload location {} would not be encrypted", shown(&url));
            return Err(Error::new(ErrorKind::Denied, text));
        }
        let port = url.port().or(asked.port());
        let upgraded = url.set_scheme("https").and_then(|()| url.set_port(port).map_err(|_| ()));
        upgraded.map_err(|()| refuse("is no URL"))?;
    }
    Ok(url)
}

/// `location` as it is, with the digest at the end of its query.
fn with_digest(mut location: Url, digest: &Digest) -> Url {
    let encoded = format!("digest={}", digest.to_string().replace(':', "%3A"));
    let query = match location.query() {
        None | Some("") => encoded,
        Some(query) => format!("{query}&{encoded}"),
    };
    location.set_query(Some(&query));
    location
}

fn mount_path(digest: &Digest, from: &str) -> String {
    // Both are of grammars that need no more escaping than this.
    let digest = digest.to_string().replace(':', "%3A");
    format!("blobs/uploads/?mount={digest}&from={}", from.replace('/', "%2F"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn resolve(asked: &str, location: &str) -> Result<String> {
        resolve_location(&Url::parse(asked).unwrap(), location).map(String::from)
    }

    #[test]
    fn locations_are_taken_as_they_are() {
        let asked = "https://r.example:8443/v2/a/blobs/uploads/";
        for (location, expected) in [
            (
                "/v2/a/blobs/uploads/1?_state=a%2Bb%3D=",
                "https://r.example:8443/v2/a/blobs/uploads/1?_state=a%2Bb%3D=",
            ),
            ("?x=1", "https://r.example:8443/v2/a/blobs/uploads/?x=1"),
            ("1", "https://r.example:8443/v2/a/blobs/uploads/1"),
            ("https://up.example/s?sig=%2F", "https://up.example/s?sig=%2F"),
            ("http://r.example/v2/1", "https://r.example:8443/v2/1"),
            ("http://r.example:444/v2/1", "https://r.example:444/v2/1"),
        ] {
            assert_eq!(resolve(asked, location).unwrap(), expected);
        }
        for location in
            ["http://up.example/1", "ftp://r.example/", "https://u:p@r.example/", "file:///x"]
        {
            assert!(resolve(asked, location).is_err(), "{location}");
        }
        assert_eq!(resolve("http://r:5000/v2/", "http://r/v2/1").unwrap(), "http://r/v2/1");
    }

    #[test]
    fn the_digest_ends_the_query() {
        let digest = Digest::sha256(b"");
        let encoded = format!("digest=sha256%3A{}", digest.hex());
        for (location, joint) in
            [("https://r/u", "?"), ("https://r/u?", "?"), ("https://r/u?a=%20b", "?a=%20b&")]
        {
            let url = with_digest(Url::parse(location).unwrap(), &digest);
            assert_eq!(url.as_str(), format!("https://r/u{joint}{encoded}"));
        }
        assert_eq!(
            mount_path(&digest, "a/b"),
            format!("blobs/uploads/?mount=sha256%3A{}&from=a%2Fb", digest.hex())
        );
    }
}
