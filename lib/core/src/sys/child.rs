//! Starting programs with nothing of ours, and watching processes end.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use rustix::process::{Pid, PidfdFlags, WaitOptions};

/// Starts a program in a process group of its own, with no signal blocked or ignored and no open
/// file but those that the command gives it as standard streams.
pub fn spawn_clean(command: &mut Command) -> io::Result<Child> {
    start(command, || Ok(()))
}

/// The same for a program that helps this thread: it is told to end when the thread does, however
/// that happens, and new files of it get the usual modes (umask 022).
pub fn spawn_tied(command: &mut Command) -> io::Result<Child> {
    start(command, || {
        // SAFETY: system calls on numbers.
        #[allow(unsafe_code)]
        unsafe {
            libc::umask(0o022);
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    })
}

/// Ends a program that was started here and has not been waited for, and all others of its group.
pub fn kill_group(child: &Child) -> io::Result<()> {
    let number = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let group = number.ok_or(io::ErrorKind::InvalidInput)?;
    Ok(rustix::process::kill_process_group(group, rustix::process::Signal::KILL)?)
}

/// `more` runs between fork and exec: it may only make system calls on memory of its own.
fn start(
    command: &mut Command,
    more: impl Fn() -> io::Result<()> + Send + Sync + 'static,
) -> io::Result<Child> {
    command.process_group(0);
    // SAFETY: between fork and exec the closure only makes system calls on memory of its own.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(move || {
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&mut none);
            if libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
            // The C library's own signals stay out of reach, and two cannot be set: no harm.
            for number in 1..=libc::SIGRTMAX() {
                libc::signal(number, libc::SIG_DFL);
            }
            // Also what we inherited ourselves without knowing.
            let flags = libc::CLOSE_RANGE_CLOEXEC as libc::c_int;
            if libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, flags) != 0 {
                return Err(io::Error::last_os_error());
            }
            more()
        });
    }
    command.spawn()
}

/// Makes this process the parent of its descendants' orphans, so that it can wait for them.
pub fn adopt_orphans() -> io::Result<()> {
    // The kernel takes any non-zero value as "on".
    Ok(rustix::process::set_child_subreaper(Some(Pid::INIT))?)
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Killed(i32),
}

impl Ended {
    /// As shells tell it: 128 and the signal's number for killed processes.
    pub fn code(self) -> i32 {
        match self {
            Ended::Exited(code) => code,
            Ended::Killed(signal) => 128 + signal,
        }
    }
}

/// A child of ours (or an adopted one) that nobody has waited for yet; its ID stays its own as
/// long as this lives.
#[derive(Debug)]
pub struct Watched {
    pid: Pid,
    handle: OwnedFd,
}

impl Watched {
    /// Watches a child by its process ID.
    pub fn new(pid: u32) -> io::Result<Watched> {
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let pid = number.ok_or(io::ErrorKind::InvalidInput)?;
        let handle = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
        Ok(Watched { pid, handle })
    }

    /// The process ID.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_pid()
    }

    /// Sends a signal by number.
    pub fn signal(&self, number: i32) -> io::Result<()> {
        // SAFETY: the call takes two numbers; the process is ours and not yet waited for, so that
        // the number names no other one.
        #[allow(unsafe_code)]
        let result = unsafe { libc::kill(self.pid(), number) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Waits until it has ended.
    pub fn wait(self) -> io::Result<Ended> {
        loop {
            match rustix::process::waitpid(Some(self.pid), WaitOptions::empty()) {
                Ok(Some((_, status))) => {
                    if let Some(code) = status.exit_status() {
                        return Ok(Ended::Exited(code));
                    }
                    if let Some(signal) = status.terminating_signal() {
                        return Ok(Ended::Killed(signal));
                    }
                }
                Ok(None) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for Watched {
    /// Readable once the process has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}
