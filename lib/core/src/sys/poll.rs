//! Waiting for several files at once.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Something to wait for.
#[derive(Clone, Copy, Debug)]
pub enum Wait<'a> {
    /// Something to read, the end, or an error.
    Read(BorrowedFd<'a>),
    /// Room to write, or an error.
    Write(BorrowedFd<'a>),
    /// Only the other end's going away.
    Gone(BorrowedFd<'a>),
    /// Nothing: keeps the place in the list.
    Never,
}

/// Waits until one of `waits` is ready or `timeout` is over; tells for each whether it is.
pub fn wait_any<const N: usize>(
    waits: [Wait<'_>; N],
    timeout: Option<Duration>,
) -> io::Result<[bool; N]> {
    let mut places = [usize::MAX; N];
    let mut fds = Vec::with_capacity(N);
    for (place, wait) in places.iter_mut().zip(waits) {
        let (fd, flags) = match wait {
            Wait::Read(fd) => (fd, PollFlags::IN),
            Wait::Write(fd) => (fd, PollFlags::OUT),
            Wait::Gone(fd) => (fd, PollFlags::empty()),
            Wait::Never => continue,
        };
        *place = fds.len();
        fds.push(PollFd::from_borrowed_fd(fd, flags));
    }
    let timeout = timeout.map(|left| Timespec {
        tv_sec: left.as_secs().cast_signed(),
        tv_nsec: left.subsec_nanos().into(),
    });
    match poll(&mut fds, timeout.as_ref()) {
        Ok(_) => {}
        Err(rustix::io::Errno::INTR) => return Ok([false; N]),
        Err(error) => return Err(error.into()),
    }
    Ok(places.map(|place| fds.get(place).is_some_and(|fd| !fd.revents().is_empty())))
}
