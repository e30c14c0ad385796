//! Git repositories made in code, and git's own daemon to serve them on a loopback port.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// When everything is committed: 2001-09-09 01:46:40 UTC.
pub const TIME: u64 = 1_000_000_000;

/// A repository with a working tree.
pub struct Repository {
    path: PathBuf,
}

impl Repository {
    /// An empty one in a new directory.
    pub fn new(path: &Path) -> Repository {
        std::fs::create_dir_all(path).expect("a directory");
        let repository = Repository { path: path.to_owned() };
        repository.git(&["init", "-q", "-b", "main"]);
        repository
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs git in it; what it printed.
    pub fn git(&self, args: &[&str]) -> String {
        let mut command = Command::new("git");
        command.args(args).current_dir(&self.path).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("GIT_") {
                command.env_remove(name);
            }
        }
        let date = format!("{TIME} +0000");
        for (name, value) in [
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_AUTHOR_NAME", "a"),
            ("GIT_AUTHOR_EMAIL", "a@example.com"),
            ("GIT_COMMITTER_NAME", "a"),
            ("GIT_COMMITTER_EMAIL", "a@example.com"),
            ("GIT_AUTHOR_DATE", &date),
            ("GIT_COMMITTER_DATE", &date),
        ] {
            command.env(name, value);
        }
        let out = command.output().expect("git");
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "git {args:?}: {said}");
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    }

    /// Writes files and commits them; the commit's ID.
    pub fn commit(&self, files: &[(&str, &str)]) -> String {
        for (name, text) in files {
            let path = self.path.join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            std::fs::write(path, text).expect("a file");
        }
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", "m"]);
        self.git(&["rev-parse", "HEAD"])
    }
}

/// Serves every repository below a directory by git's own protocol; stops when dropped.
pub struct Daemon {
    address: SocketAddr,
    count: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Daemon {
    pub fn start(base: &Path) -> Daemon {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (count, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, stopped) = (count.clone(), stop.clone());
        let base = base.to_owned();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                counted.fetch_add(1, Ordering::SeqCst);
                let other = stream.try_clone().expect("a socket");
                let child = Command::new("git")
                    .args(["daemon", "--inetd", "--export-all"])
                    .arg(format!("--base-path={}", base.display()))
                    .env("GIT_CONFIG_COUNT", "1")
                    .env("GIT_CONFIG_KEY_0", "safe.directory")
                    .env("GIT_CONFIG_VALUE_0", "*")
                    .stdin(Stdio::from(OwnedFd::from(stream)))
                    .stdout(Stdio::from(OwnedFd::from(other)))
                    .stderr(Stdio::null())
                    .spawn();
                let mut child = child.expect("git daemon");
                std::thread::spawn(move || child.wait());
            }
        });
        Daemon { address, count, stop, thread: Some(thread) }
    }

    /// The address of a repository below the directory.
    pub fn url(&self, name: &str) -> String {
        format!("git://{}/{name}", self.address)
    }

    /// How often anybody has connected.
    pub fn connections(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes it.
        let _ = std::net::TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
