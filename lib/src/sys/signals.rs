//! Signals.

use nix::sys::signal::{SigHandler, Signal, raise, signal};

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
