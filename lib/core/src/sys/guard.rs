//! A process that outlives its maker for a moment, to end what that one has started.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// How often a process ID is looked for after its starter is gone, and the pause between.
const TRIES: u32 = 2000;
const PAUSE_NANOSECONDS: libc::c_long = 5_000_000;
/// Digits of a process ID.
const MAX_DIGITS: usize = 10;

/// Kills a process when this process ends, in whatever way, without having called it off.
///
/// Keeps the mount namespace of the thread that makes it until then.
#[derive(Debug)]
pub struct Guard {
    process: libc::pid_t,
    /// Its end is what the guard waits for.
    pipe: OwnedFd,
}

impl Guard {
    /// Guards the process whose ID will stand in a file; it may be started later.
    #[allow(unsafe_code)]
    pub fn over(pid_file: &Path) -> io::Result<Guard> {
        let path = CString::new(pid_file.as_os_str().as_bytes())?;
        let mut ends = [0; 2];
        // SAFETY: the array has room for two numbers.
        if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: both were opened just now and belong to nobody else.
        let (reader, pipe) =
            unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) };
        // SAFETY: the child only makes system calls on memory that was there before, and never
        // returns.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                // SAFETY: as above.
                unsafe { watch(reader.as_raw_fd(), &path) }
            }
            process => Ok(Guard { process, pipe }),
        }
    }

    /// Sends it away: what it guards has ended.
    #[allow(unsafe_code)]
    pub fn call_off(self) {
        // SAFETY: one byte of constant memory is written to a file that is ours.
        unsafe { libc::write(self.pipe.as_raw_fd(), [1_u8].as_ptr().cast(), 1) };
        let mut status = 0;
        // SAFETY: the process is a child of ours that nobody else waits for.
        while unsafe { libc::waitpid(self.process, &raw mut status, 0) } == -1
            && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
        {}
    }
}

/// What the guard does: waits for the end of its maker, then kills.
///
/// # Safety
/// For a process of one thread that was forked from one of several: makes system calls only.
#[allow(unsafe_code)]
unsafe fn watch(reader: libc::c_int, pid_file: &CString) -> ! {
    // SAFETY: all memory is on this stack or was made before the fork; no call allocates or locks.
    unsafe {
        // Whoever signals a whole group shall not take the guard with it.
        libc::setsid();
        libc::dup2(reader, 0);
        // Else the ends of other guards' pipes would stay open here.
        libc::syscall(libc::SYS_close_range, 1, libc::c_uint::MAX, 0);
        let mut byte = 0_u8;
        let read = loop {
            let read = libc::read(0, (&raw mut byte).cast(), 1);
            if read != -1 || *libc::__errno_location() != libc::EINTR {
                break read;
            }
        };
        if read != 0 {
            libc::_exit(0);
        }
        let pause = libc::timespec { tv_sec: 0, tv_nsec: PAUSE_NANOSECONDS };
        for _ in 0..TRIES {
            if let Some(process) = process_in(pid_file) {
                libc::kill(process, libc::SIGKILL);
                break;
            }
            libc::nanosleep(&raw const pause, std::ptr::null_mut());
        }
        libc::_exit(0)
    }
}

/// The process ID that stands in a file.
///
/// # Safety
/// None to think of; makes system calls only.
#[allow(unsafe_code)]
unsafe fn process_in(path: &CString) -> Option<libc::pid_t> {
    let mut text = [0_u8; MAX_DIGITS];
    // SAFETY: the path ends with a zero, and the buffer has the length that is told.
    let count = unsafe {
        let file = libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        if file < 0 {
            return None;
        }
        let count = libc::read(file, text.as_mut_ptr().cast(), MAX_DIGITS);
        libc::close(file);
        count
    };
    let mut process: libc::pid_t = 0;
    for digit in text.iter().take(usize::try_from(count).ok()?) {
        match digit {
            b'0'..=b'9' => {
                process = process.checked_mul(10)?.checked_add((digit - b'0').into())?;
            }
            _ => break,
        }
    }
    // 0 and 1 are no commands of a build.
    (process > 1).then_some(process)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    fn sleeper() -> std::process::Child {
        Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap()
    }

    #[test]
    fn kills_when_it_is_left_alone() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("pid");
        let guard = Guard::over(&path).unwrap();
        let mut guarded = sleeper();
        // As if this process had ended: the pipe closes without a word.
        let Guard { process, pipe } = guard;
        drop(pipe);
        std::fs::write(&path, guarded.id().to_string()).unwrap();
        use std::os::unix::process::ExitStatusExt;
        assert_eq!(guarded.wait().unwrap().signal(), Some(libc::SIGKILL));
        Guard { process, pipe: std::fs::File::create(place.path().join("x")).unwrap().into() }
            .call_off();
    }

    #[test]
    fn goes_when_it_is_called_off() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("pid");
        let mut guarded = sleeper();
        std::fs::write(&path, guarded.id().to_string()).unwrap();
        Guard::over(&path).unwrap().call_off();
        assert!(guarded.try_wait().unwrap().is_none());
        guarded.kill().unwrap();
        guarded.wait().unwrap();
    }
}
