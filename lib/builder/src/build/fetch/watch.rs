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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;
    use std::sync::mpsc::channel;

    use super::*;
    use crate::sys::spawn_tied;

    #[test]
    fn who_writes_too_much_is_ended_with_its_group() {
        let place = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        // The shell waits for a child that would never end.
        let script = "head -c 3000000 /dev/zero > large; sleep 100000; true";
        command.args(["-c", script]).current_dir(place.path());
        let mut child = spawn_tied(&mut command).unwrap();
        let (_ends, end) = channel();
        assert!(bound(place.path(), 1 << 20, &child, &end).unwrap());
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }

    #[test]
    fn who_ends_is_looked_at_once_more() {
        let place = tempfile::tempdir().unwrap();
        let mut child = spawn_tied(&mut Command::new("true")).unwrap();
        let look = |limit| {
            let (ends, end) = channel();
            drop(ends);
            bound(place.path(), limit, &child, &end).unwrap()
        };
        let empty = size(place.path(), ENTRY).unwrap();
        assert!(!look(empty));
        // Files without content are something as well.
        std::fs::write(place.path().join("f"), "").unwrap();
        assert!(look(empty) && !look(1 << 20));
        child.wait().unwrap();
    }
}
