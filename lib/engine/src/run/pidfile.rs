//! `--pidfile`: the ID of the container's first process, for others.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::error::{IoContext, Result};
use crate::runtime::Bundle;

const PAUSE: Duration = Duration::from_millis(1);

/// Writes the file as soon as the container runs; takes it away when dropped.
pub(super) struct PidFile {
    path: PathBuf,
    /// Closed when nobody waits any more.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl PidFile {
    pub(super) fn watch(bundle: &Bundle, path: &Path) -> Result<PidFile> {
        // A place that cannot be written to is better known before the start.
        fs::write(path, "").doing(|| format!("writing {}", path.display()))?;
        let (stop, stopped) = mpsc::channel();
        let (bundle, to) = (bundle.clone(), path.to_owned());
        let wait = move || {
            while stopped.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
                if let Some(pid) = bundle.pid() {
                    // The container runs; that somebody took the place away meanwhile is no reason
                    // to end it.
                    let _ = fs::write(&to, pid.to_string());
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("pidfile".to_owned()).spawn(wait);
        let thread = thread.doing(|| "waiting for the container's start")?;
        Ok(PidFile { path: path.to_owned(), stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = fs::remove_file(&self.path);
    }
}
