//! This process and the machine it runs on.

/// The user ID that permissions are checked against.
pub fn effective_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Processors this process may use; at least one.
pub fn available_cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
