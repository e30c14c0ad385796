//! Streams that somebody else made, and may have made non-blocking.
//!
//! A flag like that belongs to the open file, which a shell, node or ssh shares with us: where
//! nothing can be written or read right now, that means "wait", never an error.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use rustix::io::Errno;

use super::poll::{Wait, wait_any};

/// Reads and writes that wait where they cannot go on at once.
#[derive(Debug)]
pub struct Patient<F>(pub F);

impl<F: AsFd> Write for Patient<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match rustix::io::write(&self.0, bytes) {
                Err(Errno::AGAIN) => drop(wait_any([Wait::Write(self.0.as_fd())], None)?),
                Err(Errno::INTR) => {}
                other => return Ok(other?),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<F: AsFd> Read for Patient<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match rustix::io::read(&self.0, &mut *buffer) {
                Err(Errno::AGAIN) => drop(wait_any([Wait::Read(self.0.as_fd())], None)?),
                Err(Errno::INTR) => {}
                other => return Ok(other?),
            }
        }
    }
}

/// Standard output, written to directly: what is written is out, and nothing is kept back.
///
/// Where nobody reads any more, writes fail with [`OutputClosed`].
#[derive(Debug, Default)]
pub struct Output(());

/// Whoever read our standard output has gone, as in `program | head`.
#[derive(Debug)]
pub struct OutputClosed;

impl fmt::Display for OutputClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("standard output was closed")
    }
}

impl std::error::Error for OutputClosed {}

impl OutputClosed {
    /// Whether this is what an error comes from.
    pub fn caused(error: &(dyn std::error::Error + 'static)) -> bool {
        let mut next = Some(error);
        while let Some(error) = next {
            let carried = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            if carried
                .is_some_and(|inner| inner.is::<OutputClosed>() || OutputClosed::caused(inner))
            {
                return true;
            }
            next = error.source();
        }
        false
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match Patient(io::stdout().lock()).write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                Err(io::Error::new(io::ErrorKind::BrokenPipe, OutputClosed))
            }
            other => other,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::error::{Error, IoContext};
    use crate::sys::set_nonblocking;

    #[test]
    fn a_full_pipe_is_waited_for() {
        let (reader, writer) = io::pipe().unwrap();
        set_nonblocking(&writer).unwrap();
        set_nonblocking(&reader).unwrap();
        let bytes: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
        let sent = bytes.clone();
        let writing = std::thread::spawn(move || Patient(writer).write_all(&sent));
        let mut got = Vec::new();
        Patient(reader).read_to_end(&mut got).unwrap();
        writing.join().unwrap().unwrap();
        assert!(got == bytes);
    }

    #[test]
    fn a_closed_output_is_found_below_what_was_being_done() {
        let closed = || io::Error::new(io::ErrorKind::BrokenPipe, OutputClosed);
        let once = Err::<(), _>(closed()).doing(|| "writing").unwrap_err();
        assert!(OutputClosed::caused(&once));
        let through_a_reader = io::Error::from(once);
        let twice = Error::io("packing", through_a_reader).while_doing("exporting");
        assert!(OutputClosed::caused(&twice));
        let other = io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(!OutputClosed::caused(&Error::io("talking", other)));
    }
}
