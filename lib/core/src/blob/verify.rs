//! Checks size and digest as bytes pass.

use std::io::Read;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;

use super::{ByteStream, Meter};
use crate::error::{Error, Result};
use crate::spec::{Digest, Hasher};

/// The running check of one blob.
#[derive(Clone)]
pub struct Verifier {
    hasher: Hasher,
    digest: Digest,
    size: u64,
    meter: Option<Meter>,
}

impl Verifier {
    /// Expects `size` bytes that hash to `digest`.
    pub fn new(digest: &Digest, size: u64) -> Verifier {
        Verifier {
            hasher: Hasher::new(digest.algorithm()),
            digest: digest.clone(),
            size,
            meter: None,
        }
    }

    /// Goes on from a hash over the first bytes; `None` if it cannot belong to this blob.
    pub fn resume(digest: &Digest, size: u64, hasher: Hasher) -> Option<Verifier> {
        (hasher.algorithm() == digest.algorithm() && hasher.count() <= size).then(|| Verifier {
            hasher,
            digest: digest.clone(),
            size,
            meter: None,
        })
    }

    /// Tells `meter` of every byte that passes.
    pub fn with_meter(self, meter: Option<Meter>) -> Verifier {
        Verifier { meter, ..self }
    }

    /// How many bytes have passed.
    pub fn position(&self) -> u64 {
        self.hasher.count()
    }

    /// The hash so far, for whoever wants to go on later.
    pub fn hasher(&self) -> &Hasher {
        &self.hasher
    }

    /// Takes the next bytes; fails as soon as there are too many.
    pub fn update(&mut self, bytes: &[u8]) -> Result<()> {
        if self.hasher.count() + bytes.len() as u64 > self.size {
            return Err(Error::corrupt(format!(
                "{} is longer than the {} bytes it should have",
                self.digest, self.size
            )));
        }
        self.hasher.update(bytes);
        if let Some(meter) = &self.meter {
            meter(bytes.len() as u64);
        }
        Ok(())
    }

    /// The verdict at the end.
    pub fn finish(&self) -> Result<()> {
        if self.position() != self.size {
            return Err(Error::corrupt(format!(
                "{} ended after {} of {} bytes",
                self.digest,
                self.position(),
                self.size
            )));
        }
        let found = self.hasher.clone().finish();
        if found != self.digest {
            return Err(Error::corrupt(format!(
                "{} has other bytes: their digest is {found}",
                self.digest
            )));
        }
        Ok(())
    }
}

/// A reader that ends in an error unless the bytes were right.
pub struct VerifyReader<R> {
    inner: R,
    verifier: Verifier,
    done: bool,
}

impl<R: Read> VerifyReader<R> {
    /// Wraps `inner`.
    pub fn new(inner: R, verifier: Verifier) -> VerifyReader<R> {
        VerifyReader { inner, verifier, done: false }
    }
}

impl<R: Read> Read for VerifyReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if buffer.is_empty() || self.done {
            return Ok(0);
        }
        let count = self.inner.read(buffer)?;
        match count {
            0 => {
                self.verifier.finish()?;
                self.done = true;
            }
            count => self.verifier.update(&buffer[..count])?,
        }
        Ok(count)
    }
}

/// A stream that ends in an error unless the bytes were right.
pub struct VerifiedStream {
    inner: ByteStream,
    verifier: Verifier,
    done: bool,
}

impl VerifiedStream {
    pub(super) fn new(inner: ByteStream, verifier: Verifier) -> VerifiedStream {
        VerifiedStream { inner, verifier, done: false }
    }

    /// The check so far: after an error, where to resume.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }
}

impl Stream for VerifiedStream {
    type Item = Result<Bytes>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes>>> {
        if self.done {
            return Poll::Ready(None);
        }
        let next = std::task::ready!(self.inner.as_mut().poll_next(context));
        let item = match next {
            Some(Ok(chunk)) => self.verifier.update(&chunk).map(|()| Some(chunk)),
            Some(Err(error)) => Err(error),
            None => self.verifier.finish().map(|()| None),
        };
        self.done = !matches!(item, Ok(Some(_)));
        Poll::Ready(item.transpose())
    }
}
