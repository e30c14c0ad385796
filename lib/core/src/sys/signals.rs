//! Signals.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::sys::signal::{SigHandler, SigSet, Signal, raise, signal};

/// Ends the process as a closed pipe ends programs in pipelines. (Rust's start-up code ignores the
/// signal, and rightly so: a socket that the other side has closed raises it too.)
pub fn die_of_closed_pipe() {
    // SAFETY: no handler of ours is involved, only the kernel's default action.
    #[allow(unsafe_code)]
    let reset = unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) };
    if reset.is_ok() {
        let _ = raise(Signal::SIGPIPE);
    }
}

/// Signals of this process, read one after the other instead of interrupting it.
///
/// Must be made before other threads are: a thread that does not hold them back would take them.
#[derive(Debug)]
pub struct SignalQueue {
    file: OwnedFd,
    before: libc::sigset_t,
}

/// What is not held back: what cannot be, what a mistake of our own raises, and what the terminal
/// sends to those who use it from the background.
const LEFT: [i32; 11] = [
    libc::SIGKILL,
    libc::SIGSTOP,
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGABRT,
    libc::SIGTRAP,
    libc::SIGSYS,
    libc::SIGTTIN,
    libc::SIGTTOU,
];

/// The C library keeps those between for itself.
const LAST_PLAIN: i32 = 31;
const FIRST_REAL_TIME: i32 = 34;
const LAST_REAL_TIME: i32 = 64;

impl SignalQueue {
    /// Starts to hold signals back, all that can be sent to a process on purpose.
    #[allow(unsafe_code)]
    pub fn start() -> io::Result<SignalQueue> {
        let numbers = (1..=LAST_PLAIN).chain(FIRST_REAL_TIME..=LAST_REAL_TIME);
        // SAFETY: the sets are memory of our own, and all calls only read or fill them.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            let mut before: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            for number in numbers.filter(|number| !LEFT.contains(number)) {
                libc::sigaddset(&mut set, number);
            }
            match libc::pthread_sigmask(libc::SIG_BLOCK, &set, &mut before) {
                0 => {}
                error => return Err(io::Error::from_raw_os_error(error)),
            }
            let fd = libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
            if fd < 0 {
                let error = io::Error::last_os_error();
                libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
                return Err(error);
            }
            Ok(SignalQueue { file: OwnedFd::from_raw_fd(fd), before })
        }
    }

    /// The next signal's number, when there is one.
    pub fn next(&self) -> io::Result<Option<i32>> {
        let mut record = [0; size_of::<libc::signalfd_siginfo>()];
        match rustix::io::read(&self.file, &mut record) {
            Ok(_) => {
                let [a, b, c, d, ..] = record;
                Ok(i32::try_from(u32::from_ne_bytes([a, b, c, d])).ok())
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for SignalQueue {
    /// Readable when there is a signal.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for SignalQueue {
    fn drop(&mut self) {
        // SAFETY: gives the set that was there before to the call that gave it to us.
        #[allow(unsafe_code)]
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, std::ptr::null_mut());
        }
    }
}

/// Makes writing to a closed pipe an error in this thread, whatever the process does otherwise.
pub fn no_sigpipe_here() {
    let mut set = SigSet::empty();
    set.add(Signal::SIGPIPE);
    // It cannot fail for a signal that exists.
    let _ = set.thread_block();
}
