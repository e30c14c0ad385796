//! Signals.

use nix::sys::signal::{SigHandler, Signal, signal};

/// Lets a closed pipe end the process, as programs in pipelines should, instead of failing writes
/// (Rust's start-up code ignores the signal).
pub fn default_sigpipe() {
    // SAFETY: no handler of ours is involved, only the kernel's default action; called at start
    // before other threads exist.
    #[allow(unsafe_code)]
    let result = unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) };
    // It can only fail for an unknown signal number.
    debug_assert!(result.is_ok());
}
