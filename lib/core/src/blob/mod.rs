//! Content as a stream: opened, verified, wrapped and unwrapped, and handed across the border of
//! async code.
//!
//! A [`Blob`] is what a place hands out. However it is consumed, its reader fails at the end unless
//! size and digest match, so nobody verifies twice and nobody publishes before the end was seen.
//! Memory is bounded by a few chunks per open blob. Knows bytes and digests, no places.

mod beside;
mod border;
mod decode;
mod digest_writer;
mod encode;
mod gunzip;
mod gzip;
mod input;
mod recompress;
mod verify;

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;

pub use beside::HashBeside;
pub use border::{BlobReader, blocking, consume_stream};
pub use decode::{Budget, Decoder, Format};
pub use digest_writer::DigestWriter;
pub use encode::{Encoder, Encoding};
pub use recompress::{Expectation, Recompressed, Recompressor};
pub use verify::{VerifiedStream, Verifier, VerifyReader};

use crate::error::Result;
use crate::spec::{Descriptor, Digest};

/// Size of the pieces in which bytes travel between threads.
pub const CHUNK: usize = 256 << 10;

/// Chunks from the network, not verified.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// Some content that can be read once.
pub enum Blob {
    /// Small, in memory, and already verified (manifests, configs).
    Bytes(Bytes),
    /// A stretch of a local file.
    File(FileBlob),
    /// Behind a network; nothing has been asked for yet.
    Remote(RemoteBlob),
    /// Made while it is read; its digest is known when it ends, to whoever hashes it.
    Unnamed(Box<dyn Read + Send>),
}

/// A stretch of a local file that should have the given digest.
#[derive(Clone)]
pub struct FileBlob {
    /// The open file; only positioned reads are made.
    pub file: Arc<File>,
    /// Where the blob begins.
    pub offset: u64,
    /// Its length in bytes.
    pub size: u64,
    /// Its digest, checked by whoever reads it to the end.
    pub digest: Digest,
    /// Told of every byte that is read.
    pub meter: Option<Meter>,
}

/// A blob that a server holds.
#[derive(Clone)]
pub struct RemoteBlob {
    /// Its size in bytes.
    pub size: u64,
    /// Its digest.
    pub digest: Digest,
    /// How to ask for it.
    pub opener: Arc<dyn OpenRemote>,
    /// Told of every byte that arrives.
    pub meter: Option<Meter>,
}

/// Counts bytes as they pass.
pub type Meter = Arc<dyn Fn(u64) + Send + Sync>;

impl Blob {
    /// The same content, with `meter` told of every byte that is read from a file or a network.
    pub fn metered(self, meter: Meter) -> Blob {
        match self {
            Blob::File(file) => Blob::File(FileBlob { meter: Some(meter), ..file }),
            Blob::Remote(remote) => Blob::Remote(RemoteBlob { meter: Some(meter), ..remote }),
            other => other,
        }
    }
}

/// The future of an opened stream.
pub type Opening = Pin<Box<dyn Future<Output = Result<ByteStream>> + Send>>;

/// Asks a server for the bytes of one blob, or some of them.
///
/// The stream reconnects by itself as its place sees fit; it neither verifies nor buffers.
pub trait OpenRemote: Send + Sync {
    /// Opens a stretch, which is not empty and within the size.
    fn open(&self, stretch: Range<u64>) -> Opening;
}

impl RemoteBlob {
    /// The verified stream, from the start or from where `resume` has hashed to.
    pub async fn stream(&self, resume: Option<Verifier>) -> Result<VerifiedStream> {
        let verifier = resume
            .unwrap_or_else(|| Verifier::new(&self.digest, self.size))
            .with_meter(self.meter.clone());
        let rest = match verifier.position() {
            position if position == self.size => Box::pin(futures_util::stream::empty()),
            position => self.opener.open(position..self.size).await?,
        };
        Ok(VerifiedStream::new(rest, verifier))
    }
}

impl FileBlob {
    /// A whole file that `descriptor` describes.
    pub fn whole(file: File, descriptor: &Descriptor) -> FileBlob {
        FileBlob {
            file: Arc::new(file),
            offset: 0,
            size: descriptor.size,
            digest: descriptor.digest.clone(),
            meter: None,
        }
    }

    /// A verifying reader of the stretch.
    pub fn reader(&self) -> VerifyReader<impl Read + Send + use<>> {
        let stretch = border::Stretch::new(self.file.clone(), self.offset, self.size);
        let verifier = Verifier::new(&self.digest, self.size).with_meter(self.meter.clone());
        VerifyReader::new(stretch, verifier)
    }
}
