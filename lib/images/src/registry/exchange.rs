//! One request and its answer, along redirects.
//!
//! Owns rule "a credential goes only to the origin it was stored for": the headers of every hop
//! are built from nothing, and secrets join them only at their origin. https never becomes http;
//! ten redirects at most; heads, bodies and pauses are bounded. Neither authenticates nor repeats:
//! that is `server`.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, HeaderValue, LOCATION};
use http::{HeaderMap, Method, StatusCode};
use reqwest::Url;
use tokio::time::{Instant, timeout};

use super::address;
use super::blobs::BULK;
use super::body::{Body, Watch, outgoing};
use super::failure::{Failure, MAX_BODY, Refusal, place, shown, unanswered};
use super::options::Timeouts;
use super::retry::parse_retry_after;
use super::wire::{MAX_HEADERS, Net, Wire};
use crate::blob::ByteStream;
use crate::error::{Error, ErrorKind};
use crate::progress::{Event, Listener};

/// Most redirects of one request.
const MAX_REDIRECTS: usize = 10;
/// Fewer bytes than this in the time of a stall are no progress.
const LEAST_PROGRESS: u64 = 1 << 10;

/// A request before anybody has been told who we are.
#[derive(Clone)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    /// Sent to every host on the way: nothing secret.
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
    /// Much is to be moved, so it gets a connection of its own.
    pub(super) bulk: bool,
    /// Whether redirects are followed.
    pub(super) follow: bool,
}

/// Headers that only one origin may see.
pub(super) struct Secrets<'a> {
    pub(super) origin: &'a Url,
    pub(super) headers: HeaderMap,
}

/// The way to one registry and to the hosts that it sends us to.
pub(super) struct Line<'a> {
    pub(super) net: &'a Net,
    /// The connections to the registry's own host.
    pub(super) home: &'a Wire,
    /// Any URL of the registry's own host.
    pub(super) host: &'a Url,
    pub(super) timeouts: &'a Timeouts,
    /// Told of every request.
    pub(super) progress: &'a Listener,
}

impl Line<'_> {
    /// Sends `request` and follows redirects; returns the first answer that is none.
    pub(super) async fn exchange(
        &self,
        request: &Request,
        secrets: &Secrets<'_>,
    ) -> Result<Answer, Failure> {
        let (mut method, mut url, mut body) =
            (request.method.clone(), request.url.clone(), request.body.clone());
        for _ in 0..=MAX_REDIRECTS {
            let mut headers = request.headers.clone();
            if address::same_origin(&url, secrets.origin) {
                headers.extend(secrets.headers.clone());
            }
            let begun = Instant::now();
            let answer = self.hop(&method, &url, headers, &body, request.bulk).await;
            self.tell(&method, &url, begun, &answer);
            let answer = answer?;
            let Some(next) = answer.redirect().filter(|_| request.follow) else {
                return Ok(answer);
            };
            let next = check_redirect(&url, &method, answer.status(), next)
                .map_err(|error| Failure::lasting(error.while_doing(answer.place.clone())))?;
            if answer.status() == StatusCode::SEE_OTHER && method != Method::HEAD {
                (method, body) = (Method::GET, Body::Empty);
            }
            answer.drain().await;
            url = next;
        }
        let text = format!("more than {MAX_REDIRECTS} redirects");
        let place = place(&request.method, &request.url);
        Err(Failure::lasting(Error::caused(ErrorKind::Failed, place, text)))
    }

    fn tell(&self, method: &Method, url: &Url, begun: Instant, answer: &Result<Answer, Failure>) {
        let what = match answer {
            Ok(answer) => answer.status().as_u16().to_string(),
            Err(failure) => failure.error.chain(),
        };
        let (place, time) = (place(method, url), begun.elapsed().as_millis());
        self.progress.event(Event::Request(format!("{place}: {what} ({time} ms)")));
    }

    async fn hop(
        &self,
        method: &Method,
        url: &Url,
        mut headers: HeaderMap,
        body: &Body,
        bulk: bool,
    ) -> Result<Answer, Failure> {
        let place = place(method, url);
        let lasting = |error: Error| Failure::lasting(error.while_doing(place.clone()));
        let home = address::same_host(url, self.host).then_some(self.home);
        let client = self.net.client(home, url, bulk).map_err(lasting)?;
        // Blobs are asked for as they are stored; nothing here undoes a transfer compression.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let has_length = matches!(*method, Method::POST | Method::PUT | Method::PATCH);
        if has_length || body.size() > 0 {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(body.size()));
        }
        let (watch, timeouts) = (Watch::default(), self.timeouts);
        let builder = client.request(method.clone(), url.clone()).headers(headers);
        let answer = match body.open().await.map_err(Failure::lasting)? {
            None => timeout(timeouts.answer, builder.send()).await.ok(),
            Some(source) => {
                let outgoing = reqwest::Body::wrap_stream(outgoing(source, watch.clone()));
                let wait = if body.size() > BULK { timeouts.commit } else { timeouts.answer };
                watch.supervise(builder.body(outgoing).send(), timeouts.stall, wait).await
            }
        };
        if let Some(failure) = watch.take_failure() {
            return Err(Failure::lasting(failure));
        }
        let response = match answer {
            None => return Err(Failure::passing(place, "no answer in time")),
            Some(Err(error)) => return Err(unanswered(place, error)),
            Some(Ok(response)) => response,
        };
        check_head(&response).map_err(lasting)?;
        let pace = Pace::new(self.timeouts.stall);
        Ok(Answer { response, place, url: url.clone(), pace })
    }
}

fn check_head(response: &reqwest::Response) -> Result<(), Error> {
    let sizes = response.headers().iter().map(|(name, value)| name.as_str().len() + value.len());
    match sizes.sum::<usize>() > MAX_HEADERS as usize {
        true => Err(Error::invalid(format!("its headers are larger than {MAX_HEADERS} bytes"))),
        false => Ok(()),
    }
}

/// Where a redirect leads, if we may go there.
fn check_redirect(
    asked: &Url,
    method: &Method,
    status: StatusCode,
    next: &str,
) -> Result<Url, Error> {
    let url = asked.join(next).ok().filter(|url| url.has_host());
    let Some(url) = url.filter(|url| matches!(url.scheme(), "http" | "https")) else {
        return Err(Error::invalid("redirected to what is no http(s) URL"));
    };
    if asked.scheme() == "https" && url.scheme() == "http" {
        let text = format!("redirected from https to {}, which is refused", shown(&url));
        return Err(Error::new(ErrorKind::Denied, text));
    }
    let keeps_method = matches!(status.as_u16(), 303 | 307 | 308);
    if !keeps_method && !matches!(*method, Method::GET | Method::HEAD) {
        return Err(Error::unsupported(format!("{status} for a {method} is not followed")));
    }
    Ok(url)
}

/// An answer whose head has arrived.
pub(super) struct Answer {
    response: reqwest::Response,
    /// `GET https://host/path` of the last hop.
    pub(super) place: String,
    /// The URL that answered.
    pub(super) url: Url,
    pace: Pace,
}

impl Answer {
    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// A header's value, if it is there once and is text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// All values of a header that are text.
    pub(super) fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        self.response.headers().get_all(name).iter().filter_map(|value| value.to_str().ok())
    }

    /// What `Content-Length` says.
    pub(super) fn length(&self) -> Option<u64> {
        self.header("content-length")?.parse().ok()
    }

    fn redirect(&self) -> Option<&str> {
        let is_redirect = matches!(self.status().as_u16(), 301 | 302 | 303 | 307 | 308);
        self.response.headers().get(LOCATION).filter(|_| is_redirect)?.to_str().ok()
    }

    /// An error about what this answer says.
    pub(super) fn wrong(&self, kind: ErrorKind, what: impl Into<String>) -> Error {
        Error::caused(kind, self.place.clone(), what.into())
    }

    /// The next bytes of the body.
    async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        let begun = Instant::now();
        match timeout(self.pace.left(), self.response.chunk()).await {
            Err(_) => {
                let text = format!("no progress for {} s", self.pace.stall.as_secs());
                Err(Failure::passing(self.place.clone(), &text))
            }
            Ok(Err(error)) => Err(unanswered(self.place.clone(), error)),
            Ok(Ok(chunk)) => {
                self.pace.note(begun.elapsed(), chunk.as_ref().map_or(0, Bytes::len) as u64);
                Ok(chunk)
            }
        }
    }

    /// The whole body.
    ///
    /// # Errors
    /// Invalid when it is larger than `limit`.
    pub(super) async fn bytes(mut self, limit: u64) -> Result<Bytes, Failure> {
        let mut out = Vec::new();
        let too_large = |answer: &Answer| {
            let text = format!("the answer is larger than the limit of {limit} bytes");
            Failure::lasting(answer.wrong(ErrorKind::Invalid, text))
        };
        if self.length().is_some_and(|length| length > limit) {
            return Err(too_large(&self));
        }
        while let Some(chunk) = self.chunk().await? {
            if (out.len() + chunk.len()) as u64 > limit {
                return Err(too_large(&self));
            }
            out.extend_from_slice(&chunk);
        }
        Ok(out.into())
    }

    /// The body as it arrives; ends without an error where the server ended it.
    pub(super) fn stream(self) -> ByteStream {
        Box::pin(stream::try_unfold(self, |mut answer| async move {
            match answer.chunk().await {
                Ok(Some(chunk)) => Ok(Some((chunk, answer))),
                Ok(None) => Ok(None),
                Err(failure) => Err(failure.error),
            }
        }))
    }

    /// Reads a short body to its end, so that the connection can serve the next request.
    pub(super) async fn drain(mut self) {
        let mut left = MAX_BODY as usize;
        while let Ok(Some(chunk)) = self.chunk().await {
            match left.checked_sub(chunk.len()) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    }

    /// The failure that an unwelcome answer amounts to.
    pub(super) async fn refusal(mut self, secrets: &[String]) -> Failure {
        let mut body = Vec::new();
        // What has arrived of it is enough: the status already says what happened.
        while let Ok(Some(chunk)) = self.chunk().await {
            body.extend_from_slice(&chunk);
            if body.len() as u64 > MAX_BODY {
                body.truncate(MAX_BODY as usize);
                break;
            }
        }
        let retry_after = self.header("retry-after");
        let now = std::time::SystemTime::now();
        Refusal {
            status: self.status(),
            retry_after: retry_after.and_then(|value| parse_retry_after(value, now)),
            place: self.place,
            body: &body,
            secrets,
        }
        .into_failure()
    }
}

/// Tells a slow body from one that has stopped, however slowly it drips. Only time spent waiting
/// for the server counts.
#[derive(Debug)]
struct Pace {
    stall: Duration,
    waited: Duration,
    gained: u64,
}

impl Pace {
    fn new(stall: Duration) -> Pace {
        Pace { stall, waited: Duration::ZERO, gained: 0 }
    }

    /// How much longer there may be no progress.
    fn left(&self) -> Duration {
        self.stall.saturating_sub(self.waited)
    }

    fn note(&mut self, waited: Duration, bytes: u64) {
        self.waited += waited;
        self.gained += bytes;
        if self.gained >= LEAST_PROGRESS {
            (self.waited, self.gained) = (Duration::ZERO, 0);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn where_redirects_may_lead() {
        let asked = Url::parse("https://r.example/v2/a").unwrap();
        let check = |method: Method, status: u16, next: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            check_redirect(&asked, &method, status, next).map(String::from)
        };
        assert_eq!(check(Method::GET, 302, "/b").unwrap(), "https://r.example/b");
        assert_eq!(check(Method::PUT, 307, "https://s.example/").unwrap(), "https://s.example/");
        for (method, status, next, kind) in [
            (Method::GET, 302, "http://r.example/v2/a", ErrorKind::Denied),
            (Method::GET, 307, "file:///etc/passwd", ErrorKind::Invalid),
            (Method::GET, 307, "https://", ErrorKind::Invalid),
            (Method::PUT, 302, "/b", ErrorKind::Unsupported),
            (Method::POST, 301, "/b", ErrorKind::Unsupported),
        ] {
            let error = check(method, status, next).unwrap_err();
            assert_eq!(error.kind(), kind, "{status} {next}");
        }
    }

    #[test]
    fn dripping_is_no_progress() {
        let mut pace = Pace::new(Duration::from_secs(30));
        for _ in 0..29 {
            pace.note(Duration::from_secs(1), 1);
        }
        assert_eq!(pace.left(), Duration::from_secs(1));
        pace.note(Duration::from_secs(1), LEAST_PROGRESS);
        assert_eq!(pace.left(), Duration::from_secs(30));
    }
}
