//! Talking to a monitor.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::super::log::LogStream;
use super::wire::{Answer, FrameKind, Request, put_frame, take_frame};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::sys::Dir;

const BLOCK: usize = 64 << 10;

/// A connection to the monitor of one container.
#[derive(Debug)]
pub struct MonitorClient {
    socket: UnixStream,
    incoming: Vec<u8>,
}

/// What comes from a container that one is attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// It wrote this.
    Output(LogStream, Vec<u8>),
    /// It has ended, or could not be attached to.
    Answered(Answer),
    /// The monitor was killed.
    Lost,
}

impl MonitorClient {
    /// Connects to the socket at `path`; `None` when no monitor is there.
    pub fn connect(path: &Path) -> Result<Option<MonitorClient>> {
        let connecting = || format!("connecting to the container's monitor at {}", path.display());
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(None);
        };
        // The name of a socket is short, those of directories are not.
        let socket = Dir::open(directory).and_then(|dir| {
            let directory = format!("/proc/self/fd/{}", dir.as_fd().as_raw_fd());
            UnixStream::connect(Path::new(&directory).join(name))
        });
        match socket {
            Ok(socket) => Ok(Some(MonitorClient { socket, incoming: Vec::new() })),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error).doing(connecting),
        }
    }

    /// Sends a request.
    pub fn send(&mut self, request: &Request) -> Result<()> {
        let mut frame = Vec::new();
        put_frame(&mut frame, FrameKind::Request, &request.to_payload()?);
        self.socket.write_all(&frame).map_err(|error| {
            let kind = match error.kind() {
                // It is about to end.
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
                    ErrorKind::Unavailable
                }
                _ => ErrorKind::Failed,
            };
            Error::caused(kind, "asking the container's monitor", error)
        })
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// `Unavailable` when the monitor ends without answering.
    pub fn ask(&mut self, request: &Request) -> Result<Answer> {
        self.send(request)?;
        loop {
            match self.receive()? {
                Attachment::Output(..) => {}
                Attachment::Answered(answer) => return Ok(answer),
                Attachment::Lost => {
                    return Err(Error::new(
                        ErrorKind::Unavailable,
                        "the container's monitor ended without an answer",
                    ));
                }
            }
        }
    }

    /// Passes bytes to the container's standard input.
    pub fn input(&mut self, bytes: &[u8]) -> Result<()> {
        let mut frames = Vec::new();
        put_frame(&mut frames, FrameKind::Input, bytes);
        self.socket.write_all(&frames).doing(|| "passing input to the container")
    }

    /// Ends the container's standard input.
    pub fn end_input(&mut self) -> Result<()> {
        let mut frame = Vec::new();
        put_frame(&mut frame, FrameKind::InputEnd, &[]);
        self.socket.write_all(&frame).doing(|| "ending the container's input")
    }

    /// Waits for what comes next.
    pub fn receive(&mut self) -> Result<Attachment> {
        loop {
            if let Some((kind, payload)) = take_frame(&mut self.incoming)? {
                match kind {
                    FrameKind::Output => {
                        return Ok(Attachment::Output(LogStream::Stdout, payload));
                    }
                    FrameKind::ErrorOutput => {
                        return Ok(Attachment::Output(LogStream::Stderr, payload));
                    }
                    FrameKind::Answer => {
                        return Answer::from_payload(&payload).map(Attachment::Answered);
                    }
                    _ => return Err(Error::invalid("not an answer of a container's monitor")),
                }
            }
            let mut block = vec![0; BLOCK];
            match self.socket.read(&mut block) {
                Ok(0) => return Ok(Attachment::Lost),
                Ok(count) => {
                    self.incoming.extend_from_slice(block.get(..count).unwrap_or_default());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Ok(Attachment::Lost);
                }
                Err(error) => return Err(error).doing(|| "listening to the container's monitor"),
            }
        }
    }

    /// Whether something was received that [`receive`](Self::receive) hands out without waiting.
    pub fn has_received(&self) -> bool {
        !self.incoming.is_empty()
    }
}

impl AsFd for MonitorClient {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
