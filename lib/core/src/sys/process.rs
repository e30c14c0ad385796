//! This process and the machine it runs on.

/// The user ID that permissions are checked against.
pub fn effective_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Processors this process may use; at least one.
pub fn available_cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Leaves the session, and lets whoever waits for this process go on: from here on a child of it
/// does the work. Returns whether this is the child; the other one should end.
///
/// Must be called while this process has one thread.
pub fn into_background() -> std::io::Result<bool> {
    // SAFETY: with one thread, the child is a whole copy of this process.
    #[allow(unsafe_code)]
    let child = unsafe { libc::fork() };
    match child {
        -1 => Err(std::io::Error::last_os_error()),
        0 => {
            rustix::process::setsid()?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Puts `/dev/null` in place of the standard streams.
pub fn drop_standard_streams() -> std::io::Result<()> {
    let null = std::fs::File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}
