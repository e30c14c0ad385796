//! A container on a terminal.
//!
//! Owns the pseudo terminal that the runtime hands over, the copying between it and a person's
//! terminal, its size, and the keys that leave a container. Promise: the person's terminal is as it
//! was on every way out, also when the container is killed; all output comes before the end. The
//! container never gets the person's terminal itself.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use super::foreground::{Clock, Control, KILL, Outcome, Stop};
use super::runc::{Bundle, Runtime};
use super::streams::Relays;
use crate::error::{IoContext, Result};
use crate::sys::{
    Dir, RawTerminal, Wait, Watched, adopt_orphans, receive_file, set_nonblocking,
    set_terminal_size, terminal_size, wait_any,
};

const SOCKET: &str = "console.sock";
const BUFFER: usize = 4096;
/// No more than this is held for a container that does not read what is typed.
const MAX_TYPED: usize = 64 << 10;

/// The person's side.
#[derive(Debug)]
pub struct Person {
    /// What is typed; none: nothing.
    pub input: Option<OwnedFd>,
    /// Where output goes.
    pub output: OwnedFd,
    /// What leaves the container; empty: nothing does.
    pub detach_keys: Vec<u8>,
}

/// A container that goes on.
#[derive(Debug)]
pub struct Detached {
    /// Its first process, a child of ours that must be waited for.
    pub process: Watched,
    /// The controlling side of its terminal. When the last handle of it is closed, the container's
    /// programs are hung up.
    pub terminal: OwnedFd,
}

impl Runtime {
    /// Runs the bundle's container, whose configuration asks for a terminal, until its end or until
    /// the person leaves it.
    ///
    /// This process becomes the parent of its descendants' orphans.
    pub fn run_on_terminal(
        &self,
        bundle: &Bundle,
        person: Person,
        control: Control<'_>,
    ) -> Result<Outcome> {
        bundle.sweep()?;
        // Before the start: after it nothing may fail and leave the container alone.
        let mut relays = Relays::new()?;
        let (process, terminal) = match self.start_on_terminal(bundle) {
            Ok(started) => started,
            Err(error) => {
                let _ = self.delete(bundle);
                return Err(error);
            }
        };
        // Until all output is out, the person's terminal must not add to it.
        let raw = raw_terminal(&person);
        let talk = raw.and_then(|raw| {
            converse(&process, &terminal, person, control, &mut relays).map(|talk| (talk, raw))
        });
        if let Ok((Talk::Left, _)) = talk {
            relays.finish()?;
            return Ok(Outcome::Detached(Detached { process, terminal }));
        }
        // Without effect on a process that has ended.
        let _ = process.signal(KILL.0);
        let ended = process.wait().doing(|| "waiting for the container");
        let copied = relays.finish();
        let deleted = self.delete(bundle);
        let outcome = match talk? {
            (Talk::Ended(Some(stop)), _) => stop.outcome(),
            (Talk::Ended(None) | Talk::Left, _) => Outcome::Exited(ended?.code()),
        };
        copied.and(deleted)?;
        Ok(outcome)
    }

    fn start_on_terminal(&self, bundle: &Bundle) -> Result<(Watched, OwnedFd)> {
        let starting = || "starting the container";
        adopt_orphans().doing(starting)?;
        let socket = ConsoleSocket::make(bundle)?;
        let mut command = self.run_command(bundle);
        command.arg("--detach").arg("--console-socket").arg(SOCKET).arg(&bundle.id);
        let runtime = self.spawn(command)?;
        let terminal = socket.wait(&runtime).doing(starting)?;
        let ended = runtime.wait().doing(starting)?;
        match (ended.code(), terminal, bundle.pid()) {
            (0, Some(terminal), Some(pid)) => {
                Ok((Watched::new(pid).doing(|| "watching the container")?, terminal))
            }
            _ => Err(self.failure(bundle, "starting the container")),
        }
    }
}

/// Where the runtime sends the terminal to.
struct ConsoleSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ConsoleSocket {
    fn make(bundle: &Bundle) -> Result<ConsoleSocket> {
        let making = || "making the socket for the terminal";
        let path = bundle.dir.join(SOCKET);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other.doing(making)?,
        }
        // The name of a socket is short, those of directories are not.
        let dir = Dir::open(&bundle.dir).doing(making)?;
        let short = format!("/proc/self/fd/{}/{SOCKET}", dir.as_fd().as_raw_fd());
        let listener = UnixListener::bind(short).doing(making)?;
        Ok(ConsoleSocket { listener, path })
    }

    /// The terminal; `None` when the runtime ended without sending one.
    fn wait(&self, runtime: &Watched) -> io::Result<Option<OwnedFd>> {
        loop {
            let waits = [Wait::Read(self.listener.as_fd()), Wait::Read(runtime.as_fd())];
            let [called, ended] = wait_any(waits, None)?;
            if called {
                let (caller, _) = self.listener.accept()?;
                return receive_file(&caller).map(Some);
            }
            if ended {
                return Ok(None);
            }
        }
    }
}

impl Drop for ConsoleSocket {
    fn drop(&mut self) {
        // The bundle goes soon anyway.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Sets the person's terminal, if it is one; what is returned restores it.
fn raw_terminal(person: &Person) -> Result<Option<RawTerminal>> {
    let setting = || "setting the terminal";
    match &person.input {
        Some(input) => RawTerminal::start(input.try_clone().doing(setting)?).doing(setting),
        None => Ok(None),
    }
}

enum Talk {
    Ended(Option<Stop>),
    Left,
}

/// Copies both ways until one side has enough.
fn converse(
    process: &Watched,
    terminal: &OwnedFd,
    person: Person,
    control: Control<'_>,
    relays: &mut Relays,
) -> Result<Talk> {
    let copying = || "copying between terminals";
    set_nonblocking(terminal).doing(copying)?;
    let size_of = person.output.try_clone().doing(copying)?;
    resize(size_of.as_fd(), terminal);
    let from = terminal.try_clone().doing(copying)?;
    relays.drain("terminal output", from, person.output, None)?;
    let mut typing = Typing {
        input: person.input.map(File::from),
        terminal: File::from(terminal.try_clone().doing(copying)?),
        keys: DetachKeys::new(person.detach_keys),
        typed: Vec::new(),
    };
    let mut clock = Clock::new(control);
    loop {
        let waits = [
            Wait::Read(process.as_fd()),
            clock.signals(),
            clock.cancel(),
            typing.wait_for_input(),
            typing.wait_for_room(),
        ];
        let [ended, signalled, cancelled, readable, room] =
            wait_any(waits, clock.left()).doing(copying)?;
        if ended {
            return Ok(Talk::Ended(clock.stop));
        }
        if signalled {
            for signal in clock.take_signals().doing(copying)? {
                match signal {
                    libc::SIGWINCH => resize(size_of.as_fd(), terminal),
                    _ if control.drop_signals => {}
                    other => process.signal(other).doing(copying)?,
                }
            }
        }
        if clock.must_stop(cancelled) {
            process.signal(KILL.0).doing(copying)?;
        }
        if readable && typing.read().doing(copying)? {
            return Ok(Talk::Left);
        }
        if room {
            typing.write();
        }
    }
}

/// Gives the container's terminal the size of the person's, if that has one.
fn resize(person: BorrowedFd<'_>, terminal: &OwnedFd) {
    if let Some((rows, columns)) = terminal_size(person) {
        // A terminal that is gone needs no size.
        let _ = set_terminal_size(terminal, rows, columns);
    }
}

/// What is typed, on its way.
struct Typing {
    input: Option<File>,
    terminal: File,
    keys: DetachKeys,
    typed: Vec<u8>,
}

impl Typing {
    fn wait_for_input(&self) -> Wait<'_> {
        let input = self.input.as_ref().filter(|_| self.typed.len() < MAX_TYPED);
        input.map_or(Wait::Never, |input| Wait::Read(input.as_fd()))
    }

    fn wait_for_room(&self) -> Wait<'_> {
        if self.typed.is_empty() { Wait::Never } else { Wait::Write(self.terminal.as_fd()) }
    }

    /// Takes what was typed; true when it says to leave.
    fn read(&mut self) -> io::Result<bool> {
        let Some(input) = &mut self.input else { return Ok(false) };
        let mut buffer = [0; BUFFER];
        match input.read(&mut buffer) {
            // The person's side is closed: nothing more will be typed.
            Ok(0) => self.input = None,
            Ok(count) => {
                let bytes = buffer.get(..count).unwrap_or_default();
                return Ok(self.keys.take(bytes, &mut self.typed));
            }
            Err(error) if error.raw_os_error() == Some(libc::EIO) => self.input = None,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            Err(error) => return Err(error),
        }
        Ok(false)
    }

    fn write(&mut self) {
        match self.terminal.write(&self.typed) {
            Ok(count) => drop(self.typed.drain(..count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // The container is about to end; its end is what counts.
            Err(_) => self.typed.clear(),
        }
    }
}

/// Finds a sequence of keys in what is typed, and holds its beginning back until it is clear
/// whether the rest follows.
struct DetachKeys {
    keys: Vec<u8>,
    matched: usize,
}

impl DetachKeys {
    fn new(keys: Vec<u8>) -> DetachKeys {
        DetachKeys { keys, matched: 0 }
    }

    /// Adds to `out` what is not part of the sequence; true at its end.
    fn take(&mut self, typed: &[u8], out: &mut Vec<u8>) -> bool {
        for &byte in typed {
            while self.keys.get(self.matched) != Some(&byte) {
                // The longest beginning that what was held back ends with stays held back.
                let held = self.keys.get(..self.matched).unwrap_or_default();
                let Some(&first) = held.first() else { break };
                let shorter = (1..held.len())
                    .find(|&skip| held.get(skip..).is_some_and(|rest| held.starts_with(rest)));
                let skip = shorter.unwrap_or(held.len());
                out.push(first);
                out.extend_from_slice(held.get(1..skip).unwrap_or_default());
                self.matched -= skip;
            }
            match self.keys.get(self.matched) == Some(&byte) {
                true => self.matched += 1,
                false => out.push(byte),
            }
            if self.matched > 0 && self.matched == self.keys.len() {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn leaving_keys() {
        let check = |keys: &[u8], typed: &[&[u8]], passed: &[u8], left: bool| {
            let mut detach = DetachKeys::new(keys.to_vec());
            let mut out = Vec::new();
            let end = typed.iter().any(|part| detach.take(part, &mut out));
            assert_eq!((out.as_slice(), end), (passed, left), "{keys:?} {typed:?}");
        };
        check(&[16, 17], &[b"ab\x10\x11cd"], b"ab", true);
        check(&[16, 17], &[b"a\x10", b"\x11"], b"a", true);
        check(&[16, 17], &[b"a\x10b\x11"], b"a\x10b\x11", false);
        check(&[16, 17], &[b"\x10\x10\x11"], b"\x10", true);
        check(&[16, 17], &[b"\x10"], b"", false);
        check(b"aab", &[b"aaab"], b"a", true);
        check(&[], &[b"\x10\x11"], b"\x10\x11", false);
        check(b"x", &[b"abx"], b"ab", true);
    }
}
