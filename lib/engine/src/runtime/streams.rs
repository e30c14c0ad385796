//! Standard streams between a person and a container.
//!
//! Owns the pipes and the threads that copy through them. A container never gets our own files or
//! terminal: it could read what is typed, change their owner or make them return early. Promise:
//! nothing that was written is lost, a slow reader slows the writer, and every thread has ended
//! when `Relays::finish` returns.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::error::{Error, IoContext, Result};
use crate::sys::{Wait, no_sigpipe_here, set_nonblocking, wait_any};

const BUFFER: usize = 64 << 10;

/// One of a container's standard streams.
#[derive(Debug)]
pub enum Stream {
    /// Nothing: `/dev/null`.
    Null,
    /// Copied from or to this file.
    Relay(OwnedFd),
    /// This file itself; for pipes that were made for this container.
    Direct(OwnedFd),
}

/// The three standard streams.
#[derive(Debug)]
pub struct Streams {
    /// What the container reads.
    pub stdin: Stream,
    /// What it writes.
    pub stdout: Stream,
    /// What it complains about.
    pub stderr: Stream,
}

/// Which of this process's streams a container is connected to; the others are `/dev/null`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attached {
    /// What it reads.
    pub stdin: bool,
    /// What it writes.
    pub stdout: bool,
    /// What it complains about.
    pub stderr: bool,
}

impl Attached {
    /// All of them.
    pub const ALL: Attached = Attached { stdin: true, stdout: true, stderr: true };
}

impl Streams {
    /// This process's own.
    pub fn own(attached: Attached) -> Result<Streams> {
        let copy = |wanted: bool, stream: std::os::fd::BorrowedFd<'_>| match wanted {
            true => {
                let copied = stream.try_clone_to_owned();
                copied.doing(|| "opening the standard streams").map(Stream::Relay)
            }
            false => Ok(Stream::Null),
        };
        Ok(Streams {
            stdin: copy(attached.stdin, io::stdin().as_fd())?,
            stdout: copy(attached.stdout, io::stdout().as_fd())?,
            stderr: copy(attached.stderr, io::stderr().as_fd())?,
        })
    }
}

/// Threads that copy, and what stops them.
pub(super) struct Relays {
    threads: Vec<(&'static str, JoinHandle<io::Result<()>>)>,
    /// Closed to tell the threads that the container is gone.
    gone: Option<PipeWriter>,
    watch: PipeReader,
}

/// Tells whether what comes through a stream is the container's.
pub(super) type Gate = Box<dyn Fn() -> bool + Send>;

impl Relays {
    pub(super) fn new() -> Result<Relays> {
        let (watch, gone) = io::pipe().doing(|| "making a pipe")?;
        Ok(Relays { threads: Vec::new(), gone: Some(gone), watch })
    }

    /// Gives `streams` to a command and starts to copy. Nothing of standard error is passed on
    /// before `is_container` says that it is not the runtime's.
    pub(super) fn connect(
        &mut self,
        command: &mut Command,
        streams: Streams,
        is_container: Gate,
    ) -> Result<()> {
        let pipe = || io::pipe().doing(|| "making a pipe");
        match streams.stdin {
            Stream::Null => command.stdin(Stdio::null()),
            Stream::Direct(file) => command.stdin(file),
            Stream::Relay(file) => {
                let (ours, theirs) = pipe()?;
                self.feed(file, theirs)?;
                command.stdin(ours)
            }
        };
        match streams.stdout {
            Stream::Null => command.stdout(Stdio::null()),
            Stream::Direct(file) => command.stdout(file),
            Stream::Relay(file) => {
                let (ours, theirs) = pipe()?;
                self.drain("standard output", ours.into(), file, None)?;
                command.stdout(theirs)
            }
        };
        match streams.stderr {
            Stream::Null => command.stderr(Stdio::null()),
            Stream::Direct(file) => command.stderr(file),
            Stream::Relay(file) => {
                let (ours, theirs) = pipe()?;
                self.drain("standard error", ours.into(), file, Some(is_container))?;
                command.stderr(theirs)
            }
        };
        Ok(())
    }

    /// Copies all of `from` to `to` until its end, or until nothing is left once the container is
    /// gone.
    pub(super) fn drain(
        &mut self,
        name: &'static str,
        from: OwnedFd,
        to: OwnedFd,
        gate: Option<Gate>,
    ) -> Result<()> {
        let watch = self.watch.try_clone().doing(|| "making a pipe")?;
        self.start(name, move || drain(File::from(from), File::from(to), &watch, gate.as_deref()))
    }

    /// Copies `from` into the container's pipe as far as it reads.
    fn feed(&mut self, from: OwnedFd, to: PipeWriter) -> Result<()> {
        set_nonblocking(&to).doing(|| "making a pipe")?;
        let watch = self.watch.try_clone().doing(|| "making a pipe")?;
        self.start("standard input", move || feed(File::from(from), to, &watch))
    }

    fn start(
        &mut self,
        name: &'static str,
        work: impl FnOnce() -> io::Result<()> + Send + 'static,
    ) -> Result<()> {
        let run = move || {
            no_sigpipe_here();
            work()
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run);
        self.threads.push((name, thread.doing(|| format!("starting the copying of {name}"))?));
        Ok(())
    }

    /// Lets the threads take what is left, and waits for them. Returns the first failure.
    pub(super) fn finish(mut self) -> Result<()> {
        self.gone = None;
        let mut result = Ok(());
        for (name, thread) in self.threads.drain(..) {
            let outcome = match thread.join() {
                Ok(outcome) => outcome.doing(|| format!("copying the container's {name}")),
                Err(_) => {
                    Err(Error::new(crate::ErrorKind::Failed, format!("{name} was not copied")))
                }
            };
            result = result.and(outcome);
        }
        result
    }
}

fn drain(
    mut from: File,
    mut to: File,
    gone: &PipeReader,
    gate: Option<&(dyn Fn() -> bool + Send)>,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    let mut is_open = gate.is_none();
    loop {
        let [readable, ended] =
            wait_any([Wait::Read(from.as_fd()), Wait::Gone(gone.as_fd())], None)?;
        if !readable {
            if ended {
                return Ok(());
            }
            continue;
        }
        if let Some(gate) = gate.filter(|_| !is_open) {
            if !is_container(gate, gone)? {
                // The runtime's own words: its log has them too.
                return Ok(());
            }
            is_open = true;
        }
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if is_passing(&error) => continue,
            // A terminal whose last user is gone.
            Err(error) if error.raw_os_error() == Some(libc::EIO) => return Ok(()),
            Err(error) => return Err(error),
        };
        match to.write_all(buffer.get(..count).unwrap_or_default()) {
            // Nobody reads any more: by closing our end the writer learns it, as in any pipeline.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            other => other?,
        }
    }
}

/// Waits until it is known who writes.
fn is_container(gate: &(dyn Fn() -> bool + Send), gone: &PipeReader) -> io::Result<bool> {
    loop {
        if gate() {
            return Ok(true);
        }
        let [ended] = wait_any([Wait::Gone(gone.as_fd())], Some(Duration::from_millis(1)))?;
        if ended {
            return Ok(gate());
        }
    }
}

fn feed(mut from: File, mut to: PipeWriter, gone: &PipeReader) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        // Room first: what the container does not want is left for whoever reads after it.
        let [_, ended] = wait_any([Wait::Write(to.as_fd()), Wait::Gone(gone.as_fd())], None)?;
        if ended {
            return Ok(());
        }
        let waits = [Wait::Read(from.as_fd()), Wait::Gone(to.as_fd()), Wait::Gone(gone.as_fd())];
        let [readable, closed, ended] = wait_any(waits, None)?;
        if closed || ended {
            return Ok(());
        }
        if !readable {
            continue;
        }
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if is_passing(&error) => continue,
            // A terminal that belongs to somebody else now.
            Err(error) if error.raw_os_error() == Some(libc::EIO) => return Ok(()),
            Err(error) => return Err(error),
        };
        if !write_patiently(&mut to, buffer.get(..count).unwrap_or_default(), gone)? {
            return Ok(());
        }
    }
}

/// Writes everything; `false` when nobody will read it.
fn write_patiently(to: &mut PipeWriter, mut bytes: &[u8], gone: &PipeReader) -> io::Result<bool> {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(false),
            Err(error) if is_passing(&error) => {
                let waits = [Wait::Write(to.as_fd()), Wait::Gone(gone.as_fd())];
                let [_, ended] = wait_any(waits, None)?;
                if ended {
                    return Ok(false);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Everything that comes out of a relay into which `bytes` went.
    fn relayed(bytes: Vec<u8>, gate: Option<Gate>) -> Vec<u8> {
        let (from, mut source) = io::pipe().unwrap();
        let (mut sink, to) = io::pipe().unwrap();
        let mut relays = Relays::new().unwrap();
        relays.drain("test", from.into(), to.into(), gate).unwrap();
        let writer = std::thread::spawn(move || source.write_all(&bytes));
        let reader = std::thread::spawn(move || {
            let mut out = Vec::new();
            sink.read_to_end(&mut out).map(|_| out)
        });
        let _ = writer.join().unwrap();
        relays.finish().unwrap();
        reader.join().unwrap().unwrap()
    }

    #[test]
    fn everything_comes_through() {
        let bytes: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
        assert_eq!(relayed(bytes.clone(), None), bytes);
        assert_eq!(relayed(bytes.clone(), Some(Box::new(|| true))), bytes);
        assert_eq!(relayed(b"runtime's words".to_vec(), Some(Box::new(|| false))), b"");
    }

    #[test]
    fn a_reader_that_left_is_no_failure() {
        let (from, mut source) = io::pipe().unwrap();
        let (sink, to) = io::pipe().unwrap();
        let mut relays = Relays::new().unwrap();
        relays.drain("test", from.into(), to.into(), None).unwrap();
        drop(sink);
        no_sigpipe_here();
        let error =
            std::iter::repeat_with(|| source.write_all(b"x")).find_map(Result::err).unwrap();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        relays.finish().unwrap();
    }

    #[test]
    fn input_stops_with_its_reader() {
        let (from, mut source) = io::pipe().unwrap();
        let (mut container, to) = io::pipe().unwrap();
        let mut relays = Relays::new().unwrap();
        relays.feed(from.into(), to).unwrap();
        source.write_all(b"hello").unwrap();
        let mut got = [0; 5];
        container.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"hello");
        drop(container);
        // The source stays open: only the reader's going away can end this.
        relays.finish().unwrap();
        drop(source);
    }

    #[test]
    fn a_writer_that_stays_does_not_hold_us() {
        let (from, mut source) = io::pipe().unwrap();
        let (mut sink, to) = io::pipe().unwrap();
        let mut relays = Relays::new().unwrap();
        relays.drain("test", from.into(), to.into(), None).unwrap();
        source.write_all(b"last words").unwrap();
        relays.finish().unwrap();
        let mut out = Vec::new();
        sink.read_to_end(&mut out).unwrap();
        assert_eq!(out, b"last words");
        drop(source);
    }
}
