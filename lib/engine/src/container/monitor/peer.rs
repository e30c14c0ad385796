//! One client of a monitor, on the monitor's side.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use super::super::log::LogStream;
use super::wire::{Answer, FrameKind, WaitCondition, put_frame, take_frame};
use crate::error::Result;

/// Output that is held for a client; above it the container waits until the client reads.
const MAX_HELD: usize = 1 << 20;
/// Bytes that are read from a client at once.
const BLOCK: usize = 16 << 10;

/// What a client is connected to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Streams {
    pub(super) stdin: bool,
    pub(super) stdout: bool,
    pub(super) stderr: bool,
}

/// A connected client.
#[derive(Debug)]
pub(super) struct Peer {
    socket: UnixStream,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    pub(super) attached: Option<Streams>,
    pub(super) waits: Option<WaitCondition>,
    /// It goes once everything is sent.
    leaving: bool,
    gone: bool,
}

impl Peer {
    pub(super) fn new(socket: UnixStream) -> io::Result<Peer> {
        socket.set_nonblocking(true)?;
        Ok(Peer {
            socket,
            incoming: Vec::new(),
            outgoing: Vec::new(),
            attached: None,
            waits: None,
            leaving: false,
            gone: false,
        })
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone || (self.leaving && self.outgoing.is_empty())
    }

    pub(super) fn is_full(&self) -> bool {
        self.attached.is_some() && self.outgoing.len() > MAX_HELD
    }

    pub(super) fn has_output(&self) -> bool {
        !self.outgoing.is_empty()
    }

    pub(super) fn writes_input(&self) -> bool {
        self.attached.is_some_and(|streams| streams.stdin)
    }

    /// Passes on what the container wrote, if the client wants it.
    pub(super) fn output(&mut self, stream: LogStream, bytes: &[u8]) {
        let Some(wanted) = self.attached else { return };
        let (wanted, kind) = match stream {
            LogStream::Stdout => (wanted.stdout, FrameKind::Output),
            LogStream::Stderr => (wanted.stderr, FrameKind::ErrorOutput),
        };
        if wanted {
            put_frame(&mut self.outgoing, kind, bytes);
            self.send();
        }
    }

    pub(super) fn answer(&mut self, answer: &Answer) {
        put_frame(&mut self.outgoing, FrameKind::Answer, &answer.to_payload());
        self.send();
    }

    /// Gives the last answer.
    pub(super) fn dismiss(&mut self, answer: &Answer) {
        self.answer(answer);
        self.leaving = true;
    }

    pub(super) fn send(&mut self) {
        while !self.outgoing.is_empty() && !self.gone {
            match self.socket.write(&self.outgoing) {
                Ok(count) => drop(self.outgoing.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.gone = true,
            }
        }
    }

    /// Reads what the client sent; afterwards [`next_frame`](Self::next_frame) has it.
    pub(super) fn receive(&mut self) {
        let mut block = [0; BLOCK];
        match self.socket.read(&mut block) {
            Ok(0) => self.gone = true,
            Ok(count) => self.incoming.extend_from_slice(block.get(..count).unwrap_or_default()),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            Err(_) => self.gone = true,
        }
    }

    pub(super) fn next_frame(&mut self) -> Option<(FrameKind, Vec<u8>)> {
        match take_frame(&mut self.incoming) {
            Ok(frame) => frame,
            Err(_) => {
                self.gone = true;
                None
            }
        }
    }
}

impl AsFd for Peer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A request that could not be read is answered, not dropped.
pub(super) fn refused(result: &Result<()>) -> Answer {
    match result {
        Ok(()) => Answer::Done,
        Err(error) => Answer::Refused(super::Refusal { not_running: false, text: error.chain() }),
    }
}
