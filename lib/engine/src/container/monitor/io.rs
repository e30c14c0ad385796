//! A container's standard streams on the monitor's side.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::error::{IoContext, Result};
use crate::sys::{set_nonblocking, set_terminal_size};

/// No more than this is held for a container that does not read its input.
pub(super) const MAX_INPUT: usize = 64 << 10;

/// The ends that a monitor holds: three pipes, or the controlling side of a terminal.
#[derive(Debug, Default)]
pub struct ContainerIo {
    /// Where standard input is written to; absent when it is closed or `/dev/null`.
    pub stdin: Option<OwnedFd>,
    /// Where standard output is read from.
    pub stdout: Option<OwnedFd>,
    /// Where standard error is read from.
    pub stderr: Option<OwnedFd>,
    /// A terminal, in place of the pipes.
    pub terminal: Option<OwnedFd>,
}

/// The same, in use.
#[derive(Debug)]
pub(super) struct OpenIo {
    input: Option<File>,
    pub(super) outputs: [Option<File>; 2],
    terminal: Option<OwnedFd>,
    /// Input on its way.
    pending: Vec<u8>,
    /// The input is to be closed once nothing is pending.
    closing: bool,
}

/// What came of reading an output.
pub(super) enum Taken {
    Bytes(usize),
    Nothing,
    End,
}

impl OpenIo {
    pub(super) fn new(io: ContainerIo) -> Result<OpenIo> {
        let preparing = || "preparing the container's standard streams";
        let ContainerIo { stdin, stdout, stderr, terminal } = io;
        let (input, output) = match &terminal {
            Some(terminal) => {
                let copy = || terminal.try_clone().doing(preparing);
                (Some(copy()?), Some(copy()?))
            }
            None => (stdin, stdout),
        };
        for file in [&input, &output, &stderr].into_iter().flatten() {
            set_nonblocking(file).doing(preparing)?;
        }
        Ok(OpenIo {
            input: input.map(File::from),
            outputs: [output.map(File::from), stderr.map(File::from)],
            terminal,
            pending: Vec::new(),
            closing: false,
        })
    }

    /// Whether input can be taken from clients.
    pub(super) fn has_room(&self) -> bool {
        self.pending.len() < MAX_INPUT
    }

    /// The input, if something waits to be written to it.
    pub(super) fn waiting_input(&self) -> Option<BorrowedFd<'_>> {
        self.input.as_ref().filter(|_| !self.pending.is_empty()).map(AsFd::as_fd)
    }

    /// Takes bytes for the container.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        if self.input.is_some() {
            self.pending.extend_from_slice(bytes);
            self.write_input();
        }
    }

    /// Closes the input after what is pending. A terminal stays open.
    pub(super) fn close_input(&mut self) {
        if self.terminal.is_none() {
            self.closing = true;
            self.write_input();
        }
    }

    pub(super) fn write_input(&mut self) {
        let Some(input) = &mut self.input else {
            self.pending.clear();
            return;
        };
        while !self.pending.is_empty() {
            match input.write(&self.pending) {
                Ok(count) => drop(self.pending.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // The container does not read any more.
                Err(_) => {
                    self.pending.clear();
                    self.input = None;
                    return;
                }
            }
        }
        if self.closing {
            self.input = None;
        }
    }

    /// Reads from output `index`; at its end it is closed.
    pub(super) fn read(&mut self, index: usize, buffer: &mut [u8]) -> Taken {
        let Some(Some(output)) = self.outputs.get_mut(index) else { return Taken::End };
        match output.read(buffer) {
            Ok(count) if count > 0 => return Taken::Bytes(count),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                return Taken::Nothing;
            }
            // The end, or a terminal whose last user is gone.
            _ => {}
        }
        if let Some(output) = self.outputs.get_mut(index) {
            *output = None;
        }
        Taken::End
    }

    /// Sets the terminal's size, if there is one.
    pub(super) fn resize(&self, rows: u16, columns: u16) -> io::Result<bool> {
        match &self.terminal {
            Some(terminal) => set_terminal_size(terminal, rows, columns).map(|()| true),
            None => Ok(false),
        }
    }
}
