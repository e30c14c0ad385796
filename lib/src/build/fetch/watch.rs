//! How much a program puts on disk, looked at while it runs.

use std::path::Path;
use std::process::Child;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::super::cache::usage::size;
use crate::error::Result;
use crate::sys::kill_group;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(200);
/// A look that takes long is followed by so many times its length without one.
const REST: u32 = 10;
/// What a file takes besides its content, so that files without any are counted too (bytes).
const ENTRY: u64 = 512;

/// Waits until nobody can send any more, and ends `child` with its group as soon as there is more
/// than `limit` below `place`; whether there was.
///
/// What is written between two looks can be above the limit.
pub(super) fn bound(place: &Path, limit: u64, child: &Child, end: &Receiver<()>) -> Result<bool> {
    let mut rest = LOOK;
    loop {
        let over = end.recv_timeout(rest) != Err(RecvTimeoutError::Timeout);
        let begun = Instant::now();
        if size(place, ENTRY)? > limit {
            // It may be gone by itself.
            let _ = kill_group(child);
            return Ok(true);
        }
        if over {
            return Ok(false);
        }
        rest = LOOK.max(begun.elapsed() * REST);
    }
}
