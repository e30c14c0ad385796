//! What ends a build before its time.
//!
//! A command of a build is in a process group of its own: who interrupts the program must be
//! passed on, or the command would go on alone. While no command runs, a signal does what it
//! always does.

use std::sync::Arc;
use std::time::Duration;

use creel::build::Cancel;
use creel::error::{IoContext, Result};
use creel::sys::{SignalQueue, Wait, wait_any};

/// A command that was told to end has so much time, then the program ends without it.
const GRACE: Duration = Duration::from_secs(15);

const HANGUP: i32 = 1;
const INTERRUPT: i32 = 2;
const QUIT: i32 = 3;
const TERMINATE: i32 = 15;

/// Watches for signals from now on. Must be called before any thread is made.
pub(crate) fn watch() -> Result<Arc<Cancel>> {
    let (stop, tell) = std::io::pipe().doing(|| "making a pipe")?;
    let signals = SignalQueue::start().doing(|| "holding signals back")?;
    let cancel = Arc::new(Cancel::new(stop));
    let ours = cancel.clone();
    std::thread::spawn(move || {
        // Open until somebody wants the end.
        let mut tell = Some(tell);
        loop {
            let _ = wait_any([Wait::Read(std::os::fd::AsFd::as_fd(&signals))], None);
            let Ok(Some(signal @ (HANGUP | INTERRUPT | QUIT | TERMINATE))) = signals.next() else {
                continue;
            };
            let code = 128 + signal;
            if !ours.is_needed() || tell.take().is_none() {
                // Whatever is half done is swept by the next one who writes into the store.
                std::process::exit(code);
            }
            std::thread::spawn(move || {
                std::thread::sleep(GRACE);
                std::process::exit(code);
            });
        }
    });
    Ok(cancel)
}
