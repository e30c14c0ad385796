//! Blobs: found, measured, downloaded, deleted (distribution spec, "Pulling blobs").
//!
//! A download goes on after a cut from the byte that was reached, asking the registry again and
//! not the storage that it had pointed to (such pointers expire), as long as it makes progress.
//! It neither verifies nor buffers: that is `blob`.

use std::ops::Range;
use std::sync::Arc;

use base64::Engine as _;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::RANGE;
use http::{Method, StatusCode};
use reqwest::Url;

use super::exchange::Answer;
use super::failure::Retry;
use super::repository::{Place, Repository};
use super::server::{Call, Target};
use crate::blob::{Blob, ByteStream, OpenRemote, Opening, RemoteBlob};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Event;
use crate::spec::{Descriptor, Digest};

/// Larger blobs get a connection of their own.
pub(super) const BULK: u64 = 1 << 20;
/// So many bytes more are progress, and restore patience.
const PROGRESS: u64 = 1 << 20;
/// Most other addresses of one blob that are tried.
const MAX_URLS: usize = 8;

impl Repository {
    /// A blob to be read; asks nobody before that.
    pub fn blob(&self, what: &Descriptor) -> Blob {
        if let Some(bytes) = inline(what) {
            return Blob::Bytes(bytes);
        }
        let allowed = if self.options.foreign_layers { MAX_URLS } else { 0 };
        let elsewhere = what.urls.iter().take(allowed).filter_map(|url| Url::parse(url).ok());
        let opener = Opener {
            repository: self.clone(),
            digest: what.digest.clone(),
            size: what.size,
            elsewhere: elsewhere.filter(|url| matches!(url.scheme(), "http" | "https")).collect(),
        };
        let (size, digest) = (what.size, what.digest.clone());
        Blob::Remote(RemoteBlob { size, digest, opener: Arc::new(opener), meter: None })
    }

    /// The size of a blob; `None` when it is not there.
    pub async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        match self.read(0, |place| async move { place.blob_size(digest).await }).await {
            Ok(size) => Ok(Some(size)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Deletes a blob.
    ///
    /// # Errors
    /// NotFound; Unsupported where the registry deletes nothing.
    pub async fn delete_blob(&self, digest: &Digest) -> Result<()> {
        let place = self.primary();
        let call = place.call(Method::DELETE, &format!("blobs/{digest}"), &[200, 202, 204]);
        place.server.send(&call).await?.drain().await;
        Ok(())
    }
}

/// The bytes that a descriptor itself holds.
fn inline(what: &Descriptor) -> Option<Bytes> {
    let data = what.data.as_ref()?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(data).ok()?;
    (bytes.len() as u64 == what.size && what.digest.matches(&bytes)).then(|| bytes.into())
}

impl Place {
    /// Whether the blob is there, by one small request.
    pub(super) async fn has_blob(&self, digest: &Digest) -> Result<bool> {
        let call = self.call(Method::HEAD, &format!("blobs/{digest}"), &[200, 404]);
        let there = self.server.send(&call).await?.status() == StatusCode::OK;
        if there {
            self.server.remember(digest, &self.name);
        }
        Ok(there)
    }

    async fn blob_size(&self, digest: &Digest) -> Result<u64> {
        let path = format!("blobs/{digest}");
        let head = self.call(Method::HEAD, &path, &[200, 400, 403, 405]);
        let answer = self.server.send(&head).await?;
        if let (StatusCode::OK, Some(size)) = (answer.status(), answer.length()) {
            return Ok(size);
        }
        // HEAD may be unknown, or unwelcome at the storage that the registry points to. A request
        // for one byte tells the size of all.
        let call = self.call(Method::GET, &path, &[200, 206]).header(RANGE, "bytes=0-0");
        let answer = self.server.send(&Call { bulk: true, ..call }).await?;
        let range = answer.header("content-range").and_then(parse_content_range);
        let size = match answer.status() {
            StatusCode::PARTIAL_CONTENT => range.and_then(|range| range.total),
            _ => answer.length(),
        };
        size.ok_or_else(|| answer.wrong(ErrorKind::Unsupported, "the size is not told"))
    }

    async fn open_blob(&self, digest: &Digest, size: u64, part: Range<u64>) -> Result<Piece> {
        let call = self.call(Method::GET, &format!("blobs/{digest}"), &[200, 206, 416]);
        self.open_at(call, size, part).await
    }

    /// A blob from an address of its descriptor. The address says nothing of who may know us: a
    /// call to another origin than the registry's carries no credentials.
    async fn open_elsewhere(&self, url: &Url, size: u64, part: Range<u64>) -> Result<Piece> {
        let call = self.call(Method::GET, "", &[200, 206, 416]);
        let target = Target::Url(url.clone());
        self.open_at(Call { target, anonymous: true, ..call }, size, part).await
    }

    async fn open_at(&self, mut call: Call, size: u64, part: Range<u64>) -> Result<Piece> {
        call.bulk = part.end.saturating_sub(part.start) > BULK;
        if part != (0..size) {
            // With an end: servers read ahead when there is none.
            let last = part.end.saturating_sub(1);
            call = call.header(RANGE, &format!("bytes={}-{last}", part.start));
        }
        let answer = self.server.send(&call).await?;
        let skip = check_start(&answer, size, part.start)?;
        Ok(Piece { place: answer.place.clone(), body: answer.stream(), skip })
    }
}

/// A stretch of a blob that is arriving.
struct Piece {
    place: String,
    body: ByteStream,
    /// Bytes at its start that are known already.
    skip: u64,
}

/// How many bytes of an answer come before `offset`.
fn check_start(answer: &Answer, size: u64, offset: u64) -> Result<u64> {
    let wrong = |text: String| Err(answer.wrong(ErrorKind::Corrupt, text));
    match answer.status() {
        StatusCode::PARTIAL_CONTENT => {
            let text = answer.header("content-range").unwrap_or("nothing");
            match parse_content_range(text) {
                Some(range) if range.fits(size, offset) => Ok(0),
                _ => wrong(format!("asked for bytes {offset}- of {size}, got {text:?}")),
            }
        }
        StatusCode::RANGE_NOT_SATISFIABLE => {
            wrong(format!("the blob ends before byte {offset} of {size}"))
        }
        _ => match answer.length() {
            Some(length) if length != size && answer.header("content-encoding").is_none() => {
                wrong(format!("expected {size} bytes, was offered {length}"))
            }
            _ => Ok(offset),
        },
    }
}

/// What a `Content-Range: bytes first-last/total` says.
#[derive(Debug, PartialEq)]
struct ContentRange {
    first: u64,
    last: u64,
    total: Option<u64>,
}

impl ContentRange {
    fn fits(&self, size: u64, offset: u64) -> bool {
        self.first == offset
            && self.last >= self.first
            && self.last < size
            && self.total.is_none_or(|total| total == size)
    }
}

fn parse_content_range(text: &str) -> Option<ContentRange> {
    let (range, total) = text.trim().strip_prefix("bytes")?.trim_start().split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let total = match total.trim() {
        "*" => None,
        number => Some(number.parse().ok()?),
    };
    Some(ContentRange { first: first.trim().parse().ok()?, last: last.trim().parse().ok()?, total })
}

/// Opens one blob, as often as it is needed.
struct Opener {
    repository: Repository,
    digest: Digest,
    size: u64,
    /// Where else it may be had, when the registry lacks it.
    elsewhere: Arc<[Url]>,
}

impl OpenRemote for Opener {
    fn open(&self, stretch: Range<u64>) -> Opening {
        // Whoever begins again had reason not to like what came: another mirror may do better.
        let skip = match stretch.start {
            _ if stretch.end < self.size => 0,
            0 => self.repository.note_begun(&self.digest),
            _ => 0,
        };
        let mut download = Download {
            repository: self.repository.clone(),
            digest: self.digest.clone(),
            size: self.size,
            elsewhere: self.elsewhere.clone(),
            position: stretch.start,
            end: stretch.end.min(self.size),
            piece: None,
            failed: 0,
            gained: 0,
        };
        Box::pin(async move {
            download.connect(skip).await?;
            Ok(Box::pin(stream::try_unfold(download, |mut download| async move {
                Ok(download.next().await?.map(|chunk| (chunk, download)))
            })) as ByteStream)
        })
    }
}

/// A blob on its way.
struct Download {
    repository: Repository,
    digest: Digest,
    size: u64,
    elsewhere: Arc<[Url]>,
    position: u64,
    /// Where to stop.
    end: u64,
    piece: Option<Piece>,
    /// Cuts since there was progress.
    failed: u32,
    /// Bytes since the last connection.
    gained: u64,
}

impl Download {
    async fn connect(&mut self, skip: usize) -> Result<()> {
        let (digest, size, position, end) = (&self.digest, self.size, self.position, self.end);
        let opened = self
            .repository
            .read(skip, |place| async move { place.open_blob(digest, size, position..end).await });
        self.piece = Some(match opened.await {
            Err(error) if error.kind() == ErrorKind::NotFound && !self.elsewhere.is_empty() => {
                self.connect_elsewhere(error).await?
            }
            other => other?,
        });
        self.gained = 0;
        Ok(())
    }

    async fn connect_elsewhere(&mut self, mut missing: Error) -> Result<Piece> {
        let place = self.repository.primary();
        for url in self.elsewhere.iter() {
            match place.open_elsewhere(url, self.size, self.position..self.end).await {
                Ok(piece) => return Ok(piece),
                Err(error) => missing = error,
            }
        }
        Err(missing)
    }

    async fn next(&mut self) -> Result<Option<Bytes>> {
        // What comes after a stretch of the blob is of no interest; behind the whole of it there
        // should be nothing, and whoever verifies wants to see that.
        let stops = self.end < self.size;
        loop {
            if stops && self.position >= self.end {
                return Ok(None);
            }
            let Some(piece) = &mut self.piece else {
                self.connect(0).await?;
                continue;
            };
            let cut = match piece.body.next().await {
                Some(Ok(chunk)) => {
                    let known = piece.skip.min(chunk.len() as u64);
                    piece.skip -= known;
                    let mut chunk = chunk.slice(known as usize..);
                    if stops {
                        let left = usize::try_from(self.end - self.position);
                        chunk.truncate(left.unwrap_or(usize::MAX));
                    }
                    if chunk.is_empty() {
                        continue;
                    }
                    self.position += chunk.len() as u64;
                    self.gained += chunk.len() as u64;
                    return Ok(Some(chunk));
                }
                None if self.position >= self.end => return Ok(None),
                None => {
                    let text = format!("ended after {} of {} bytes", self.position, self.end);
                    Error::caused(ErrorKind::Unavailable, piece.place.clone(), text)
                }
                Some(Err(error)) => error,
            };
            self.recover(cut).await?;
        }
    }

    /// Waits before the next connection, if there is to be one.
    async fn recover(&mut self, cut: Error) -> Result<()> {
        if cut.kind() != ErrorKind::Unavailable || self.position >= self.end {
            return Err(cut);
        }
        self.failed = if self.gained >= PROGRESS { 1 } else { self.failed + 1 };
        let server = &self.repository.primary().server;
        let Some(pause) = server.patience().pause(self.failed, Retry::Later) else {
            let doing = format!("giving up at byte {} of {}", self.position, self.size);
            return Err(cut.while_doing(doing));
        };
        let why = format!("going on at byte {}: {}", self.position, cut.chain());
        server.progress().event(Event::Retrying { task: None, why });
        self.piece = None;
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges() {
        let range = |first, last, total| Some(ContentRange { first, last, total });
        for (text, parsed) in [
            ("bytes 5-9/10", range(5, 9, Some(10))),
            ("bytes 5-9/*", range(5, 9, None)),
            (" bytes  0-0/1 ", range(0, 0, Some(1))),
            ("5-9/10", None),
            ("bytes */10", None),
            ("bytes 5-/10", None),
            ("bytes -5-9/10", None),
            ("bytes 5-9/x", None),
            ("", None),
        ] {
            assert_eq!(parse_content_range(text), parsed, "{text}");
        }
        let fits = |text| parse_content_range(text).unwrap().fits(10, 5);
        assert!(fits("bytes 5-9/10") && fits("bytes 5-7/10") && fits("bytes 5-9/*"));
        for wrong in
            ["bytes 4-9/10", "bytes 6-9/10", "bytes 5-9/11", "bytes 5-10/10", "bytes 5-4/10"]
        {
            assert!(!fits(wrong), "{wrong}");
        }
    }

    #[test]
    fn inline_bytes_must_match() {
        let mut what = Descriptor::of(crate::spec::MediaType::Empty, b"{}");
        assert_eq!(inline(&what), None);
        what.data = Some("e30=".to_owned());
        assert_eq!(inline(&what).unwrap(), "{}");
        what.data = Some("e31=".to_owned());
        assert_eq!(inline(&what), None);
    }
}
