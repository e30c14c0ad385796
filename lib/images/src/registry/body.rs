//! Bodies on their way out: replayable, and watched while they are sent.
//!
//! A request may have to be made again (a new token, a redirect, a cut), so a streamed body is a
//! way to open the stream, not the stream. Promise: the last bytes are held back until their
//! source has vouched for all of them, so a damaged blob never arrives whole.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};

use crate::blob::{ByteStream, CHUNK, Opening};
use crate::error::{Error, Result};

/// What a request carries.
#[derive(Clone)]
pub(super) enum Body {
    /// Nothing.
    Empty,
    /// A few bytes.
    Bytes(Bytes),
    /// More of them, as they came: nothing is copied to join them.
    Chunks(Vec<Bytes>),
    /// `size` bytes, opened anew for every attempt.
    Stream {
        /// How many there are.
        size: u64,
        /// Opens them at their start.
        open: Arc<dyn Fn() -> Opening + Send + Sync>,
    },
}

impl Body {
    /// How many bytes there are.
    pub(super) fn size(&self) -> u64 {
        match self {
            Body::Empty => 0,
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::Chunks(chunks) => chunks.iter().map(|chunk| chunk.len() as u64).sum(),
            Body::Stream { size, .. } => *size,
        }
    }

    /// The bytes from their start, if there are any.
    pub(super) async fn open(&self) -> Result<Option<ByteStream>> {
        Ok(match self {
            Body::Empty => None,
            Body::Bytes(bytes) => Some(in_chunks(bytes.clone())),
            Body::Chunks(chunks) => {
                Some(Box::pin(stream::iter(chunks.clone().into_iter().map(Ok))))
            }
            Body::Stream { open, .. } => Some(open().await?),
        })
    }
}

fn in_chunks(mut bytes: Bytes) -> ByteStream {
    let chunks = std::iter::from_fn(move || {
        let chunk = bytes.split_to(bytes.len().min(CHUNK));
        (!chunk.is_empty()).then_some(Ok(chunk))
    });
    Box::pin(stream::iter(chunks))
}

/// What is known of a body while it is sent.
#[derive(Clone, Default)]
pub(super) struct Watch(Arc<Mutex<Watched>>);

#[derive(Default)]
struct Watched {
    pieces: u64,
    waiting_for_source: bool,
    ended: bool,
    failure: Option<Error>,
}

impl Watch {
    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The failure of the body's source, which is then the reason why the request failed.
    pub(super) fn take_failure(&self) -> Option<Error> {
        self.lock().failure.take()
    }

    /// Waits for an answer as long as the body makes progress (or its source is to blame), and for
    /// `commit` once it has been sent; `None` when time is up.
    pub(super) async fn supervise<T>(
        &self,
        answer: impl Future<Output = T>,
        stall: Duration,
        commit: Duration,
    ) -> Option<T> {
        let mut answer = std::pin::pin!(answer);
        let mut seen = None;
        loop {
            if let Ok(answer) = tokio::time::timeout(stall, &mut answer).await {
                return Some(answer);
            }
            let (pieces, waiting, ended) = {
                let watched = self.lock();
                (watched.pieces, watched.waiting_for_source, watched.ended)
            };
            if ended {
                return tokio::time::timeout(commit, answer).await.ok();
            }
            if !waiting && seen == Some(pieces) {
                return None;
            }
            seen = Some(pieces);
        }
    }
}

/// The stream as it is sent; tells `watch` how it goes.
pub(super) fn outgoing(
    source: ByteStream,
    watch: Watch,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    // HTTP/2 asks again after the end.
    let start = (source.fuse(), None::<Bytes>, watch);
    let pieces = stream::unfold(start, |(mut source, mut held, watch)| async move {
        loop {
            watch.lock().waiting_for_source = true;
            let next = source.next().await;
            watch.lock().waiting_for_source = false;
            let piece = match next {
                Some(Ok(chunk)) => match held.replace(chunk) {
                    Some(piece) => piece,
                    None => continue,
                },
                Some(Err(error)) => {
                    watch.lock().failure = Some(error);
                    let error = io::Error::other("the content could not be read");
                    return Some((Err(error), (source, None, watch)));
                }
                None => {
                    watch.lock().ended = true;
                    held.take()?
                }
            };
            watch.lock().pieces += 1;
            return Some((Ok(piece), (source, held, watch)));
        }
    });
    pieces.fuse()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn source(items: Vec<Result<&'static str, Error>>) -> ByteStream {
        Box::pin(stream::iter(items.into_iter().map(|item| item.map(Bytes::from))))
    }

    #[tokio::test]
    async fn the_last_piece_waits_for_the_verdict() {
        let watch = Watch::default();
        let items = vec![Ok("a"), Ok("b"), Err(Error::corrupt("wrong digest"))];
        let sent: Vec<_> = outgoing(source(items), watch.clone()).collect().await;
        assert_eq!(sent.len(), 2);
        assert_eq!(sent[0].as_ref().unwrap(), "a");
        assert!(sent[1].is_err(), "b must not be sent");
        assert_eq!(watch.take_failure().unwrap().chain(), "wrong digest");
    }

    #[tokio::test]
    async fn everything_is_sent_in_order() {
        let items = vec![Ok("a"), Ok("b"), Ok("c")];
        let sent: Vec<_> =
            outgoing(source(items), Watch::default()).map(|item| item.unwrap()).collect().await;
        assert_eq!(sent, ["a", "b", "c"]);
        assert_eq!(outgoing(source(vec![]), Watch::default()).count().await, 0);
    }

    #[tokio::test]
    async fn asking_after_the_end_is_harmless() {
        let ending = |rest: u8| async move { (rest > 0).then(|| (Ok(Bytes::from("x")), rest - 1)) };
        let strict: ByteStream = Box::pin(stream::unfold(2, ending));
        let mut sent = Box::pin(outgoing(strict, Watch::default()));
        for _ in 0..2 {
            assert_eq!(sent.next().await.unwrap().unwrap(), "x");
        }
        assert!(sent.next().await.is_none() && sent.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_moving_is_given_up() {
        let stall = Duration::from_secs(30);
        let commit = Duration::from_secs(600);
        let never = std::future::pending::<()>();
        let begun = tokio::time::Instant::now();
        assert_eq!(Watch::default().supervise(never, stall, commit).await, None);
        assert_eq!(begun.elapsed(), 2 * stall);

        let sent = Watch::default();
        sent.lock().ended = true;
        let slow = tokio::time::sleep(Duration::from_secs(500));
        assert_eq!(sent.supervise(slow, stall, commit).await, Some(()));
    }
}
