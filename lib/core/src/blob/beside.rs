//! A hash that is computed beside the work on what is hashed.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use super::CHUNK;
use crate::error::{Error, ErrorKind, IoContext as _, Result};
use crate::spec::{Algorithm, Hasher};

/// Chunks that may wait for the hash.
const DEPTH: usize = 8;
/// Less than this is hashed where it is: a thread would cost more.
const SMALL: u64 = (DEPTH * CHUNK) as u64;

/// A hash of a stream that comes in chunks. Once there is much of it, a thread of its own hashes,
/// at most eight chunks behind.
pub struct HashBeside {
    place: Place,
}

/// Where the hashing happens.
enum Place {
    Here(Hasher),
    There { full: SyncSender<Vec<u8>>, empty: Receiver<Vec<u8>>, thread: JoinHandle<Hasher> },
    Lost,
}

impl HashBeside {
    /// A hash of nothing yet.
    pub fn new(algorithm: Algorithm) -> HashBeside {
        HashBeside { place: Place::Here(Hasher::new(algorithm)) }
    }

    /// Takes the next chunk; an empty buffer for the one after it comes back.
    pub fn take(&mut self, mut chunk: Vec<u8>) -> Result<Vec<u8>> {
        match &mut self.place {
            Place::Here(hasher) if hasher.count() + (chunk.len() as u64) < SMALL => {
                hasher.update(&chunk);
                chunk.clear();
                return Ok(chunk);
            }
            Place::Here(_) => self.move_away()?,
            Place::There { .. } | Place::Lost => {}
        }
        let Place::There { full, empty, .. } = &self.place else { return Err(lost()) };
        let mut next = empty.try_recv().unwrap_or_else(|_| Vec::with_capacity(CHUNK));
        next.clear();
        full.send(chunk).map_err(|_| lost())?;
        Ok(next)
    }

    /// The hash of all that was taken.
    pub fn finish(self) -> Result<Hasher> {
        match self.place {
            Place::Here(hasher) => Ok(hasher),
            Place::There { full, empty, thread } => {
                drop((full, empty));
                thread.join().map_err(|_| lost())
            }
            Place::Lost => Err(lost()),
        }
    }

    fn move_away(&mut self) -> Result<()> {
        let Place::Here(mut hasher) = std::mem::replace(&mut self.place, Place::Lost) else {
            return Ok(());
        };
        let (full, work) = sync_channel::<Vec<u8>>(DEPTH);
        let (done, empty): (Sender<Vec<u8>>, _) = channel();
        let work = move || {
            for chunk in work {
                hasher.update(&chunk);
                // Nobody wants the buffer back at the end.
                let _ = done.send(chunk);
            }
            hasher
        };
        let thread = std::thread::Builder::new().name("hash".to_owned()).spawn(work);
        let thread = thread.doing(|| "starting a thread that hashes")?;
        self.place = Place::There { full, empty, thread };
        Ok(())
    }
}

fn lost() -> Error {
    Error::new(ErrorKind::Failed, "the thread that hashes has ended")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::spec::Digest;

    #[test]
    fn little_and_much_have_their_digests() {
        for size in [0, 1, CHUNK, SMALL as usize - 1, SMALL as usize, 5 * SMALL as usize + 17] {
            let content: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
            let mut hash = HashBeside::new(Algorithm::Sha256);
            let mut buffer = Vec::new();
            for part in content.chunks(100_003) {
                buffer.extend_from_slice(part);
                buffer = hash.take(buffer).unwrap();
                assert!(buffer.is_empty());
            }
            let hasher = hash.finish().unwrap();
            assert_eq!(hasher.count(), size as u64);
            assert_eq!(hasher.finish(), Digest::sha256(&content));
        }
    }
}
