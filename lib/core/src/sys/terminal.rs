//! Terminals.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::termios::OptionalActions;

use crate::error::{IoContext, Result};

/// While this lives, what is typed is not shown.
pub struct HiddenInput(Termios);

impl HiddenInput {
    /// Stops the terminal on standard input from showing what is typed.
    pub fn start() -> Result<HiddenInput> {
        let doing = || "hiding what is typed";
        let before = tcgetattr(std::io::stdin()).map_err(std::io::Error::from).doing(doing)?;
        let mut hidden = before.clone();
        hidden.local_flags.remove(LocalFlags::ECHO);
        let set = tcsetattr(std::io::stdin(), SetArg::TCSAFLUSH, &hidden);
        set.map_err(std::io::Error::from).doing(doing)?;
        Ok(HiddenInput(before))
    }
}

impl Drop for HiddenInput {
    fn drop(&mut self) {
        // The terminal may be gone; nobody is left to care then.
        let _ = tcsetattr(std::io::stdin(), SetArg::TCSAFLUSH, &self.0);
    }
}

/// While this lives, the terminal hands on every key at once and shows none by itself.
pub struct RawTerminal {
    terminal: OwnedFd,
    before: rustix::termios::Termios,
}

impl RawTerminal {
    /// Sets the terminal; `None` when it is not one.
    pub fn start(terminal: OwnedFd) -> io::Result<Option<RawTerminal>> {
        let before = match rustix::termios::tcgetattr(&terminal) {
            Ok(before) => before,
            Err(rustix::io::Errno::NOTTY | rustix::io::Errno::INVAL) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut raw = before.clone();
        raw.make_raw();
        rustix::termios::tcsetattr(&terminal, OptionalActions::Drain, &raw)?;
        Ok(Some(RawTerminal { terminal, before }))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // The terminal may be gone; nobody is left to care then.
        let _ = rustix::termios::tcsetattr(&self.terminal, OptionalActions::Drain, &self.before);
    }
}

/// Rows and columns of a terminal; `None` when it is not one.
pub fn terminal_size(terminal: impl AsFd) -> Option<(u16, u16)> {
    let size = rustix::termios::tcgetwinsize(terminal).ok()?;
    Some((size.ws_row, size.ws_col))
}

/// Sets rows and columns; those who use the terminal get a signal.
pub fn set_terminal_size(terminal: impl AsFd, rows: u16, columns: u16) -> io::Result<()> {
    let size =
        rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(rustix::termios::tcsetwinsize(terminal, size)?)
}

/// Makes reads and writes of an open file of our own return instead of waiting.
pub fn set_nonblocking(file: impl AsFd) -> io::Result<()> {
    Ok(rustix::io::ioctl_fionbio(file, true)?)
}

/// Takes one open file that the other side of a socket sends.
pub fn receive_file(socket: &UnixStream) -> io::Result<OwnedFd> {
    let mut name = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [io::IoSliceMut::new(&mut name)];
    recvmsg(socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut files) = message
            && let Some(file) = files.next()
        {
            return Ok(file);
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "no open file was sent"))
}
