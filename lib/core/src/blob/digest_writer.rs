//! Names what is written.

use std::io::{Result, Write};

use crate::spec::{Algorithm, Digest, Hasher};

/// Hashes and counts what passes on its way to a writer.
///
/// Only [`DigestWriter::finish`] tells the digest, so what was not finished has no name.
pub struct DigestWriter<W> {
    inner: W,
    hasher: Hasher,
}

impl<W: Write> DigestWriter<W> {
    /// Hashes with SHA-256.
    pub fn new(inner: W) -> DigestWriter<W> {
        DigestWriter::with_algorithm(inner, Algorithm::Sha256)
    }

    /// Hashes with `algorithm`.
    pub fn with_algorithm(inner: W, algorithm: Algorithm) -> DigestWriter<W> {
        DigestWriter { inner, hasher: Hasher::new(algorithm) }
    }

    /// Bytes written so far.
    pub fn count(&self) -> u64 {
        self.hasher.count()
    }

    /// The writer behind.
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.inner
    }

    /// Digest and number of the bytes written. Does not flush.
    pub fn finish(self) -> (Digest, u64) {
        let count = self.hasher.count();
        (self.hasher.finish(), count)
    }
}

impl<W: Write> Write for DigestWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> Result<()> {
        self.inner.flush()
    }
}
