//! Single files of the web, by their URL: what builds are made from.
//!
//! One GET along redirects, with all that `exchange` promises. Whether a file has changed since it
//! was fetched is the server's to say (`If-None-Match`, `If-Modified-Since`: RFC 9110, 13.1).
//! Promise: no more than the limit is taken, whatever the server says; what ends early is fetched
//! again; a secret goes to the named origin alone. Knows no registries.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use http::header::{AUTHORIZATION, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH};
use http::{HeaderMap, Method};
use reqwest::Url;

use super::body::Body;
use super::client::Client;
use super::exchange::{Answer, Line, Request, Secrets};
use super::failure::{Failure, Retry, shown};
use super::retry::{Patience, persist};
use super::tls::Trust;
use super::wire::Wire;
use crate::blob::{BlobReader, CHUNK, consume_stream};
use crate::config::Secret;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::spec::{Algorithm, Digest, Hasher};

/// Longest validator that is kept.
const MAX_VALIDATOR: usize = 1 << 10;

/// An `http` or `https` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebAddress(Url);

/// What a server calls one version of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    /// `ETag`.
    pub etag: Option<String>,
    /// `Last-Modified`.
    pub last_modified: Option<String>,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct FileRequest {
    /// Where it is.
    pub address: WebAddress,
    /// The version that is known already; nothing is sent if it is still the one.
    pub known: Validators,
    /// The value of `Authorization`, for this origin alone.
    pub authorization: Option<Secret>,
    /// Most bytes.
    pub limit: u64,
    /// What the file is named by.
    pub algorithm: Algorithm,
}

/// A file that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedFile {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// What the server calls this version.
    pub validators: Validators,
}

impl WebAddress {
    /// Reads a URL.
    ///
    /// # Errors
    /// Invalid for what is no `http` or `https` URL with a host.
    pub fn parse(text: &str) -> Result<WebAddress> {
        let wrong = || format!("{:?} is no URL", text.chars().take(200).collect::<String>());
        let url =
            Url::parse(text).map_err(|error| Error::caused(ErrorKind::Invalid, wrong(), error))?;
        match url.scheme() {
            "http" | "https" if url.has_host() => Ok(WebAddress(url)),
            other => Err(Error::invalid(format!("{other} is no protocol that files come by"))),
        }
    }

    /// Whether it holds a name or a password.
    pub fn has_credentials(&self) -> bool {
        !self.0.username().is_empty() || self.0.password().is_some()
    }

    /// The same without name and password, and with them as a value of `Authorization`.
    pub fn without_credentials(&self) -> (WebAddress, Option<Secret>) {
        let mut url = self.0.clone();
        let secret = self.has_credentials().then(|| {
            use base64::Engine;
            let decoded = |text: &str| percent_decoded(text.as_bytes());
            let mut pair = decoded(self.0.username());
            pair.push(b':');
            pair.extend(decoded(self.0.password().unwrap_or_default()));
            let text = base64::engine::general_purpose::STANDARD.encode(pair);
            Secret::new(format!("Basic {text}"))
        });
        // A URL with a host has room for both, so these cannot fail.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        (WebAddress(url), secret)
    }

    /// The host, and the host with its port where the URL names one.
    pub fn hosts(&self) -> Vec<String> {
        let host = self.0.host_str().unwrap_or_default();
        let port = self.0.port().map(|port| format!("{host}:{port}"));
        port.into_iter().chain([host.to_owned()]).collect()
    }

    /// The last part of the path, if that can name a file.
    pub fn file_name(&self) -> Option<String> {
        let path = percent_decoded(self.0.path().as_bytes());
        let path = String::from_utf8_lossy(&path);
        let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let usable = !matches!(name, "" | "." | "..") && !name.contains('\0');
        usable.then(|| name.to_owned())
    }

    /// Scheme, host and port, with a slash at the end.
    pub fn origin(&self) -> String {
        format!("{}/", self.0.origin().ascii_serialization())
    }

    /// The URL for people: no credentials, query or fragment.
    pub fn shown(&self) -> String {
        shown(&self.0)
    }

    /// The whole URL.
    pub fn text(&self) -> &str {
        self.0.as_str()
    }
}

/// Undoes percent-encoding.
pub fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        let code = tail.get(..2).filter(|_| first == b'%');
        let code = code.and_then(|hex| std::str::from_utf8(hex).ok());
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &tail[2..];
            }
            None => {
                out.push(first);
                rest = tail;
            }
        }
    }
    out
}

impl Validators {
    /// Whether there is anything to ask by.
    pub fn is_empty(&self) -> bool {
        self.etag.is_none() && self.last_modified.is_none()
    }

    /// The time of the last change in seconds since 1970, if the server tells it.
    pub fn modified(&self) -> Option<i64> {
        let text = self.last_modified.as_deref()?;
        let parsed = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
        Some(parsed.as_second())
    }

    fn of(answer: &Answer) -> Validators {
        let header = |name| {
            answer.header(name).filter(|text| text.len() <= MAX_VALIDATOR).map(str::to_owned)
        };
        Validators { etag: header("etag"), last_modified: header("last-modified") }
    }
}

impl Client {
    /// Fetches a file of the web into `to`, which it then is alone; `None` when the version that
    /// is known is still the one.
    ///
    /// # Errors
    /// What the server said; Invalid for more bytes than allowed; Denied for a redirect from https
    /// to http or to a private address.
    pub async fn file(&self, wanted: &FileRequest, to: &Arc<File>) -> Result<Option<FetchedFile>> {
        let (net, options) = self.parts();
        let home = Wire::named(Trust::default());
        let line = Line {
            net,
            home: &home,
            host: &wanted.address.0,
            timeouts: &options.timeouts,
            progress: &options.progress,
        };
        let patience = Patience::new(options);
        persist(&patience, &options.progress, || attempt(&line, wanted, to)).await
    }
}

async fn attempt(
    line: &Line<'_>,
    wanted: &FileRequest,
    to: &Arc<File>,
) -> Result<Option<FetchedFile>, Failure> {
    let (mut headers, mut secrets) = (HeaderMap::new(), HeaderMap::new());
    let put = |headers: &mut HeaderMap, name: HeaderName, value: Option<&str>| {
        if let Some(Ok(value)) = value.map(HeaderValue::from_str) {
            headers.insert(name, value);
        }
    };
    put(&mut headers, IF_NONE_MATCH, wanted.known.etag.as_deref());
    put(&mut headers, IF_MODIFIED_SINCE, wanted.known.last_modified.as_deref());
    let secret = wanted.authorization.as_ref().map(Secret::expose);
    put(&mut secrets, AUTHORIZATION, secret);
    let url = wanted.address.0.clone();
    let secrets = Secrets { origin: &wanted.address.0, headers: secrets };
    let request =
        Request { method: Method::GET, url, headers, body: Body::Empty, bulk: true, follow: true };
    let answer = line.exchange(&request, &secrets).await?;
    match answer.status().as_u16() {
        200 => {}
        304 if !wanted.known.is_empty() => return Ok(None),
        _ => {
            let secrets: Vec<String> = secret.into_iter().map(str::to_owned).collect();
            return Err(answer.refusal(&secrets).await);
        }
    }
    let (limit, algorithm) = (wanted.limit, wanted.algorithm);
    if answer.length().is_some_and(|length| length > limit) {
        return Err(Failure::lasting(answer.wrong(ErrorKind::Invalid, too_large(limit))));
    }
    let (place, validators) = (answer.place.clone(), Validators::of(&answer));
    let file = to.clone();
    let written =
        consume_stream(answer.stream(), move |reader| write(reader, &file, limit, algorithm)).await;
    match written {
        Ok((digest, size)) => Ok(Some(FetchedFile { digest, size, validators })),
        Err(error) => {
            let passing = error.kind() == ErrorKind::Unavailable;
            let retry = if passing { Retry::Later } else { Retry::Never };
            // A body's own errors say where they come from.
            let error = if passing { error } else { error.while_doing(place) };
            Err(Failure { error, retry, heard: true })
        }
    }
}

fn too_large(limit: u64) -> String {
    format!("the file is larger than the limit of {limit} bytes (--max-fetch)")
}

/// Writes what arrives from the file's start on.
fn write(
    mut reader: BlobReader,
    file: &File,
    limit: u64,
    algorithm: Algorithm,
) -> Result<(Digest, u64)> {
    let writing = || "writing a download";
    file.set_len(0).doing(writing)?;
    let mut hasher = Hasher::new(algorithm);
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::io("reading a download", error)),
        };
        let at = hasher.count();
        if at + count as u64 > limit {
            return Err(Error::invalid(too_large(limit)));
        }
        file.write_all_at(&buffer[..count], at).doing(writing)?;
        hasher.update(&buffer[..count]);
    }
    let size = hasher.count();
    Ok((hasher.finish(), size))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files() {
        for (url, name) in [
            ("https://x/a/b.tar.gz?c=d/e#f", Some("b.tar.gz")),
            ("https://x/a/", Some("a")),
            ("https://x", None),
            ("https://x/a/..", None),
            ("https://x/%2e%2e", None),
            ("https://x/a%2Fb%20c", Some("b c")),
            ("https://x/a%2F..", None),
            ("https://x/100%", Some("100%")),
            ("https://x/%00", None),
        ] {
            assert_eq!(WebAddress::parse(url).unwrap().file_name().as_deref(), name, "{url}");
        }
    }

    #[test]
    fn credentials_are_taken_off() {
        let address = WebAddress::parse("http://me:p%40ss@x:81/a?b").unwrap();
        assert!(address.has_credentials());
        assert_eq!(address.hosts(), ["x:81", "x"]);
        let (plain, secret) = address.without_credentials();
        assert_eq!((plain.text(), plain.shown()), ("http://x:81/a?b", "http://x:81/a".into()));
        assert_eq!(secret.unwrap().expose(), "Basic bWU6cEBzcw==");
        assert!(!plain.has_credentials() && plain.without_credentials().1.is_none());
        for wrong in ["ftp://x/a", "file:///etc/passwd", "x/a", "http://"] {
            assert!(WebAddress::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_of_servers() {
        let of = |text: &str| {
            Validators { last_modified: Some(text.into()), ..Validators::default() }.modified()
        };
        assert_eq!(of("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(of("yesterday"), None);
    }
}
