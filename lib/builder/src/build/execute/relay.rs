//! The socket of a person's SSH agent, as commands see it: with the owner and mode that a step asks
//! for, whoever the person's own socket lets in.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::error::{IoContext, Result};

/// So many commands talk to an agent at the same time; more are turned away.
const MAX_TALKS: usize = 64;
/// An agent that takes nothing for so long is given up.
const PATIENCE: Duration = Duration::from_secs(30);
const BUFFER: usize = 16 << 10;
/// What the socket is called in its directory.
const NAME: &str = "agent";

/// Passes on what is said to a socket of its own; ends when dropped.
pub(super) struct Relay {
    /// Holds the directory that the socket is in.
    directory: File,
    path: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Makes a socket in a directory of our own, for the agent at `agent`.
    pub(super) fn start(
        agent: &Path,
        directory: &Path,
        (uid, gid): (u32, u32),
        mode: u32,
    ) -> Result<Relay> {
        let asking = || format!("connecting to the SSH agent at {}", agent.display());
        UnixStream::connect(agent).doing(asking)?;
        let path = directory.join(NAME);
        let making = || format!("making socket {}", path.display());
        let directory = File::open(directory).doing(making)?;
        let listener = UnixListener::bind(short(&directory)).doing(making)?;
        std::os::unix::fs::lchown(&path, Some(uid), Some(gid)).doing(making)?;
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).doing(making)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, agent) = (stop.clone(), agent.to_owned());
        let thread = std::thread::spawn(move || listen(&listener, &agent, &stopped));
        Ok(Relay { directory, path, stop, thread: Some(thread) })
    }

    /// Where the socket is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes it; if that cannot be, nobody waits for it.
        let woken = UnixStream::connect(short(&self.directory));
        if let Some(thread) = self.thread.take().filter(|_| woken.is_ok()) {
            let _ = thread.join();
        }
    }
}

/// The socket's path, short enough for the kernel however deep its directory is.
fn short(directory: &File) -> String {
    format!("/proc/self/fd/{}/{NAME}", directory.as_raw_fd())
}

/// Takes commands' connections until it is stopped, and ends them then.
fn listen(listener: &UnixListener, agent: &Path, stop: &AtomicBool) {
    let mut talks: Vec<Talk> = Vec::new();
    for client in listener.incoming() {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        talks.retain(|talk| !talk.is_over());
        // Who is turned away sees an end, as with an agent that is gone.
        if let Ok(client) = client
            && talks.len() < MAX_TALKS
            && let Ok(talk) = Talk::begin(client, agent)
        {
            talks.push(talk);
        }
    }
}

/// One connection. When it is dropped, what was said before still reaches the agent.
struct Talk {
    client: UnixStream,
    agent: UnixStream,
    threads: [Option<JoinHandle<()>>; 2],
}

impl Talk {
    fn begin(client: UnixStream, agent: &Path) -> io::Result<Talk> {
        let agent = UnixStream::connect(agent)?;
        agent.set_write_timeout(Some(PATIENCE))?;
        let forward = pass(client.try_clone()?, agent.try_clone()?);
        let back = pass(agent.try_clone()?, client.try_clone()?);
        Ok(Talk { client, agent, threads: [Some(forward), Some(back)] })
    }

    fn is_over(&self) -> bool {
        self.threads.iter().flatten().all(JoinHandle::is_finished)
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        let [forward, back] = &mut self.threads;
        for (stream, how, thread) in [
            // Who reads from it still gets what has come.
            (&self.client, Shutdown::Read, forward),
            (&self.agent, Shutdown::Both, back),
        ] {
            // It may have ended by itself.
            let _ = stream.shutdown(how);
            if let Some(thread) = thread.take() {
                let _ = thread.join();
            }
        }
    }
}

/// Passes on in a thread what one side says, and its end.
fn pass(mut from: UnixStream, mut to: UnixStream) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut buffer = [0; BUFFER];
        loop {
            match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) if to.write_all(&buffer[..count]).is_ok() => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                _ => break,
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    })
}
