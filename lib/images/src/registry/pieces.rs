//! Uploads in acknowledged pieces: for content whose digest is known only at its end, and for
//! blobs so large that a cut should cost one piece and not all.
//!
//! A piece is held in memory until the registry says that it has it, while the next one is made;
//! at most two uploads of a client are in pieces at once, so memory stays flat. Where the registry lost the upload, a known
//! blob begins anew. Uses `journal` to go on in another process.

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::header::CONTENT_RANGE;
use http::{Method, StatusCode};

use super::body::Body;
use super::exchange::Answer;
use super::failure::{Failure, Retry};
use super::journal::{Entry, Journal};
use super::repository::{Place, Repository};
use super::retry::persist;
use super::upload::UploadSession;
use crate::blob::{Blob, ByteStream, CHUNK, Verifier};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Event;
use crate::spec::{Algorithm, Digest, Hasher};

/// Largest piece, whatever the registry asks for.
const MAX_PIECE: usize = 64 << 20;
/// Smaller chunks are joined: each of them costs memory of its own.
const SMALL: usize = CHUNK / 4;

impl Repository {
    /// Puts content that is made while it is read.
    pub(super) async fn put_unnamed(
        &self,
        blob: Blob,
        session: Option<UploadSession>,
    ) -> Result<(Digest, u64)> {
        let place = self.primary();
        let _slot = place.server.piece_slot().await;
        let mut content = Pieces::new(blob.into_stream().await?);
        let first = content.next(self.options.chunk).await?;
        let mut hasher = Hasher::new(Algorithm::Sha256);
        first.hash(&mut hasher);
        if content.is_at_end() {
            let (size, digest) = (hasher.count(), hasher.finish());
            place.put_whole(&digest, size, Body::Chunks(first.0), session).await?;
            return Ok((digest, size));
        }
        let mut upload = Upload::begin(place, session).await?;
        let size_of_piece = self.piece_size(&upload.session);
        let mut piece = first;
        while !piece.is_empty() {
            let (sent, next) = tokio::join!(upload.send(piece), content.next(size_of_piece));
            piece = match sent.map_err(Error::from).and(next) {
                Ok(next) => next,
                Err(error) => return Err(upload.abandoned(error).await),
            };
            piece.hash(&mut hasher);
        }
        let (size, digest) = (hasher.count(), hasher.finish());
        upload.finish(&digest).await?;
        Ok((digest, size))
    }

    /// Puts a large blob that can be opened as often as needed.
    pub(super) async fn put_in_pieces(
        &self,
        digest: &Digest,
        size: u64,
        session: Option<UploadSession>,
        open: &(dyn Fn() -> Blob + Send + Sync),
    ) -> Result<()> {
        let place = self.primary();
        let _slot = place.server.piece_slot().await;
        let mut journal =
            Journal::open(self.options.journal.as_deref(), &place.registry, &place.name, digest)
                .await?;
        let mut begun = session;
        let mut failed = 0;
        loop {
            let outcome = self.try_pieces(digest, size, begun.take(), open, &mut journal).await;
            let lost = match outcome {
                Ok(()) => return journal.forget().await,
                Err(Broken::Failed(error)) => return Err(error),
                Err(Broken::Lost(error)) => error,
            };
            journal.forget_session().await?;
            failed += 1;
            let Some(pause) = place.server.patience().pause(failed, Retry::Later) else {
                return Err(lost.while_doing(format!("giving up after {failed} uploads")));
            };
            let why = format!("the upload begins again: {}", lost.chain());
            place.server.progress().event(Event::Retrying { task: None, why });
            tokio::time::sleep(pause).await;
        }
    }

    async fn try_pieces(
        &self,
        digest: &Digest,
        size: u64,
        session: Option<UploadSession>,
        open: &(dyn Fn() -> Blob + Send + Sync),
        journal: &mut Journal,
    ) -> Result<(), Broken> {
        let (mut upload, state) = match self.resumed(size, journal).await {
            Some(resumed) => resumed,
            None => (Upload::begin(self.primary(), session).await?, None),
        };
        let size_of_piece = self.piece_size(&upload.session);
        let opened = open_at(open(), digest, size, upload.held, state).await?;
        let (mut content, mut hasher) = (Pieces::new(opened.0), opened.1);
        let mut next = content.next(size_of_piece).await;
        loop {
            let piece = match next {
                Ok(piece) => piece,
                // What is there already is of no use without the rest.
                Err(error) => {
                    journal.forget_session().await?;
                    return Err(Broken::Failed(upload.abandoned(error).await));
                }
            };
            if piece.is_empty() {
                return upload.finish(digest).await;
            }
            if let Some(hasher) = hasher.as_mut().filter(|_| journal.is_kept()) {
                piece.hash(hasher);
            }
            let sent;
            (sent, next) = tokio::join!(upload.send(piece), content.next(size_of_piece));
            sent?;
            journal.note(&upload.session, upload.held, hasher.as_ref()).await?;
        }
    }

    /// The upload that an earlier process has left, if the registry still has it.
    async fn resumed(&self, size: u64, journal: &Journal) -> Option<(Upload<'_>, Option<Hasher>)> {
        let Entry { session, hasher } = journal.entry()?;
        let mut upload = Upload { place: self.primary(), session, held: 0, inherited: true };
        // Whatever goes wrong here, beginning anew is always possible.
        upload.held = upload.ask_position().await.ok()?;
        (upload.held <= size).then_some((upload, hasher))
    }

    fn piece_size(&self, session: &UploadSession) -> usize {
        self.options.chunk.max(session.least_piece).clamp(1, MAX_PIECE)
    }
}

/// The verified content from `position` on, and the hash over what comes before where it is worth
/// noting: where reading that again would cost a download. Local content is read again and dropped.
async fn open_at(
    blob: Blob,
    digest: &Digest,
    size: u64,
    position: u64,
    state: Option<Hasher>,
) -> Result<(ByteStream, Option<Hasher>)> {
    if let Blob::Remote(remote) = &blob {
        let state = match position {
            0 => Some(Hasher::new(digest.algorithm())),
            _ => state.filter(|hasher| hasher.count() == position),
        };
        if let Some(hasher) = state
            && let Some(verifier) = Verifier::resume(digest, size, hasher.clone())
        {
            return Ok((Box::pin(remote.stream(Some(verifier)).await?), Some(hasher)));
        }
    }
    let stream = blob.into_stream().await?;
    let skipping = stream.scan(position, |skip, item| {
        let item = item.map(|chunk| {
            let known = (*skip).min(chunk.len() as u64);
            *skip -= known;
            chunk.slice(known as usize..)
        });
        std::future::ready(Some(item))
    });
    Ok((Box::pin(skipping), None))
}

/// How an upload ended early.
enum Broken {
    /// The registry has it no more: begin again.
    Lost(Error),
    /// No use in trying.
    Failed(Error),
}

impl From<Error> for Broken {
    fn from(error: Error) -> Broken {
        Broken::Failed(error)
    }
}

impl From<Broken> for Error {
    fn from(broken: Broken) -> Error {
        match broken {
            Broken::Lost(error) | Broken::Failed(error) => error,
        }
    }
}

/// An upload under way.
struct Upload<'a> {
    place: &'a Place,
    session: UploadSession,
    /// Bytes that the registry has acknowledged.
    held: u64,
    /// Begun by another process, and not known to be of use yet.
    inherited: bool,
}

impl Upload<'_> {
    /// Begins an upload, if the registry has not begun one already.
    async fn begin(place: &Place, begun: Option<UploadSession>) -> Result<Upload<'_>> {
        let session = match begun {
            Some(session) => session,
            None => {
                let (patience, progress) = (place.server.patience(), place.server.progress());
                persist(patience, progress, || place.begin_upload()).await?
            }
        };
        Ok(Upload { place, session, held: 0, inherited: false })
    }

    /// Sends one piece until the registry has all of it.
    async fn send(&mut self, piece: Piece) -> Result<(), Broken> {
        let start = self.held;
        let end = start + piece.size();
        let mut failed = 0;
        while self.held < end {
            let rest = piece.behind(self.held - start);
            let before = self.held;
            let failure = match self.patch(rest).await {
                Ok(held) if held > before && held <= end => {
                    (self.held, self.inherited) = (held, false);
                    continue;
                }
                Ok(held) => {
                    let text = format!("the registry has {held} bytes of an upload, not {end}");
                    Failure::passing(super::failure::shown(&self.session.location), &text)
                }
                Err(failure) => failure,
            };
            failed += 1;
            let is_range = failure.error.kind() == ErrorKind::Corrupt;
            let retry = if is_range { Retry::Later } else { failure.retry };
            let Some(pause) = self.place.server.patience().pause(failed, retry) else {
                let error = failure.given_up(failed);
                // What its request may still be doing there is nothing to wait for.
                return Err(if self.inherited {
                    Broken::Lost(error)
                } else {
                    Broken::Failed(error)
                });
            };
            let why = failure.error.chain();
            self.place.server.progress().event(Event::Retrying { task: None, why });
            tokio::time::sleep(pause).await;
            self.held = match self.ask_position().await {
                Ok(held) if (start..=end).contains(&held) => held,
                Ok(_) => return Err(Broken::Lost(failure.error)),
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    return Err(Broken::Failed(error));
                }
                Err(error) => return Err(Broken::Lost(error)),
            };
        }
        Ok(())
    }

    /// Sends bytes once; returns how many the registry has of all.
    async fn patch(&mut self, piece: Piece) -> Result<u64, Failure> {
        let end = self.held + piece.size();
        let location = self.session.location.clone();
        let mut call = self
            .place
            .upload_call(Method::PATCH, location, &[201, 202, 204, 416])
            .header(CONTENT_RANGE, &format!("{}-{}", self.held, end - 1));
        call.body = Body::Chunks(piece.0);
        call.bulk = true;
        let answer = self.place.server.attempt(&call).await?;
        if answer.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            let error = answer.wrong(ErrorKind::Corrupt, "the registry expects other bytes");
            return Err(Failure::lasting(error));
        }
        self.session.follow(&answer).map_err(Failure::lasting)?;
        let held = held(&answer).unwrap_or(end);
        answer.drain().await;
        Ok(held)
    }

    /// How many bytes the registry has.
    async fn ask_position(&mut self) -> Result<u64> {
        let location = self.session.location.clone();
        let call = self.place.upload_call(Method::GET, location, &[200, 204]);
        let answer = self.place.server.send(&call).await?;
        self.session.follow(&answer)?;
        let held = held(&answer).unwrap_or(0);
        answer.drain().await;
        Ok(held)
    }

    async fn finish(self, digest: &Digest) -> Result<(), Broken> {
        let finished = self.place.finish_upload(self.session, digest, self.held, Body::Empty).await;
        finished.map_err(|failure| match failure.error.kind() {
            // The bytes are right, as their source has made sure: the registry mixed them up.
            ErrorKind::Invalid | ErrorKind::NotFound => Broken::Lost(failure.error),
            _ if failure.retry != Retry::Never => Broken::Lost(failure.error),
            _ => Broken::Failed(failure.error),
        })
    }

    /// Lets go of an upload that cannot be finished.
    async fn abandoned(self, error: impl Into<Error>) -> Error {
        self.place.cancel_upload(self.session).await;
        error.into()
    }
}

/// What `Range: 0-<last>` says of an upload. An empty one is `0-0` at some registries and `0--1`
/// at others; a single byte that is taken for none is only sent again.
fn held(answer: &Answer) -> Option<u64> {
    parse_held(answer.header("range")?)
}

fn parse_held(range: &str) -> Option<u64> {
    let range = range.trim().strip_prefix("bytes=").unwrap_or(range.trim());
    match range.strip_prefix("0-")? {
        "-1" | "0" => Some(0),
        last => last.parse::<u64>().ok()?.checked_add(1),
    }
}

/// A stretch of content, mostly in the chunks in which it came.
#[derive(Debug, Default)]
struct Piece(Vec<Bytes>);

impl Piece {
    /// Adds a chunk; `small` holds what is not worth being one and comes before it.
    fn push(&mut self, chunk: Bytes, small: &mut BytesMut) {
        if chunk.len() < SMALL && small.len() + chunk.len() <= CHUNK {
            return small.extend_from_slice(&chunk);
        }
        self.end(small);
        self.0.push(chunk);
    }

    fn end(&mut self, small: &mut BytesMut) {
        if !small.is_empty() {
            self.0.push(small.split().freeze());
        }
    }

    fn is_empty(&self) -> bool {
        self.size() == 0
    }

    fn size(&self) -> u64 {
        self.0.iter().map(|chunk| chunk.len() as u64).sum()
    }

    fn hash(&self, hasher: &mut Hasher) {
        self.0.iter().for_each(|chunk| hasher.update(chunk));
    }

    /// What comes after its first `skip` bytes.
    fn behind(&self, mut skip: u64) -> Piece {
        let rest = self.0.iter().map(|chunk| {
            let known = skip.min(chunk.len() as u64);
            skip -= known;
            chunk.slice(known as usize..)
        });
        Piece(rest.filter(|chunk| !chunk.is_empty()).collect())
    }
}

/// Cuts a stream into pieces of equal size.
struct Pieces {
    stream: ByteStream,
    rest: Bytes,
    ended: bool,
}

impl Pieces {
    fn new(stream: ByteStream) -> Pieces {
        Pieces { stream, rest: Bytes::new(), ended: false }
    }

    /// The next `size` bytes, or fewer at the end, or none after it.
    async fn next(&mut self, size: usize) -> Result<Piece> {
        let (mut piece, mut small) = (Piece::default(), BytesMut::new());
        let mut wanted = size;
        loop {
            if self.rest.len() > wanted {
                piece.push(self.rest.split_to(wanted), &mut small);
                piece.end(&mut small);
                return Ok(piece);
            }
            wanted -= self.rest.len();
            piece.push(std::mem::take(&mut self.rest), &mut small);
            // A full piece is only given out when more is known to follow, or the end has come.
            match if self.ended { None } else { self.stream.next().await } {
                Some(chunk) => self.rest = chunk?,
                None => {
                    self.ended = true;
                    piece.end(&mut small);
                    return Ok(piece);
                }
            }
        }
    }

    /// Whether the last piece has been given out.
    fn is_at_end(&self) -> bool {
        self.ended
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    async fn cut(chunks: Vec<Result<&'static str>>, size: usize) -> Vec<Result<Vec<u8>>> {
        let chunks = chunks.into_iter().map(|chunk| chunk.map(Bytes::from));
        let mut pieces = Pieces::new(Box::pin(futures_util::stream::iter(chunks)));
        let mut out = Vec::new();
        loop {
            let piece = pieces.next(size).await;
            let is_last = piece.as_ref().map_or(true, Piece::is_empty);
            out.push(piece.map(|piece| piece.0.concat()));
            if is_last {
                return out;
            }
        }
    }

    #[tokio::test]
    async fn pieces_have_the_size_asked_for() {
        for (chunks, expected) in [
            (vec!["abcdefg"], vec!["abc", "def", "g", ""]),
            (vec!["a", "b", "", "cd", "ef"], vec!["abc", "def", ""]),
            (vec![], vec![""]),
        ] {
            let pieces = cut(chunks.into_iter().map(Ok).collect(), 3).await;
            let pieces: Vec<_> = pieces.into_iter().map(|piece| piece.unwrap()).collect();
            let expected: Vec<_> = expected.into_iter().map(str::as_bytes).collect();
            assert_eq!(pieces, expected);
        }
    }

    #[tokio::test]
    async fn the_last_full_piece_waits_for_the_verdict() {
        let pieces = cut(vec![Ok("abc"), Ok("def"), Err(Error::corrupt("wrong"))], 3).await;
        assert_eq!(pieces.len(), 2);
        assert_eq!(pieces[0].as_ref().unwrap(), b"abc");
        assert_eq!(pieces[1].as_ref().unwrap_err().chain(), "wrong");
    }

    #[tokio::test]
    async fn small_chunks_are_joined_in_order() {
        let content: Vec<u8> = (0..600_000_u32).flat_map(u32::to_le_bytes).collect();
        let (mut chunks, mut at) = (Vec::new(), 0);
        for size in [1, 7, 300_000, 0, 90_000, 5].into_iter().cycle().take(30_000) {
            let end = content.len().min(at + size);
            chunks.push(Ok(Bytes::copy_from_slice(&content[at..end])));
            at = end;
        }
        let mut pieces = Pieces::new(Box::pin(futures_util::stream::iter(chunks)));
        let piece = pieces.next(1 << 30).await.unwrap();
        assert!(piece.0.concat() == content);
        assert!(piece.0.len() < 40, "{} chunks", piece.0.len());
    }

    #[test]
    fn what_is_left_of_a_piece() {
        let piece = Piece(["ab", "", "cde", "f"].map(Bytes::from).into());
        for (skip, rest) in [(0, "abcdef"), (1, "bcdef"), (2, "cdef"), (4, "ef"), (6, "")] {
            assert_eq!(piece.behind(skip).0.concat(), rest.as_bytes(), "{skip}");
        }
    }

    #[test]
    fn what_a_registry_says_it_holds() {
        for (range, bytes) in [
            ("0-9", Some(10)),
            ("bytes=0-9", Some(10)),
            ("0-0", Some(0)),
            ("0--1", Some(0)),
            ("5-9", None),
            ("", None),
            ("0-18446744073709551615", None),
        ] {
            assert_eq!(parse_held(range), bytes, "{range}");
        }
    }
}
