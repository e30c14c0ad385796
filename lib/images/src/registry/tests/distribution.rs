//! Debian's `docker-registry` on a loopback port, with its access log.

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running registry; stopped when dropped.
pub(crate) struct Distribution {
    process: Child,
    place: tempfile::TempDir,
    port: u16,
    /// Requests that were counted before.
    counted: usize,
}

impl Distribution {
    /// Starts one; `None` where it is not installed. `more` is added to its configuration.
    pub(crate) fn start(more: &str) -> Option<Distribution> {
        Distribution::start_with("", more)
    }

    /// The same with more lines below `http:`.
    pub(crate) fn start_with(http: &str, more: &str) -> Option<Distribution> {
        let program = Path::new("/usr/bin/docker-registry");
        if !program.exists() {
            eprintln!("skipped: {} is not installed", program.display());
            return None;
        }
        let place = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let data = place.path().join("data");
        let config = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    \
             enabled: true\nhttp:\n  addr: 127.0.0.1:{port}\n{http}validation:\n  manifests:\n    \
             urls:\n      allow:\n        - ^https?://\n{more}",
            data.display()
        );
        let path = place.path().join("config.yml");
        std::fs::write(&path, config).unwrap();
        let log = File::create(place.path().join("log")).unwrap();
        let process = Command::new(program)
            .arg("serve")
            .arg(&path)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let registry = Distribution { process, place, port, counted: 0 };
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        for _ in 0..200 {
            if std::net::TcpStream::connect(address).is_ok() {
                return Some(registry);
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("docker-registry does not come up");
    }

    /// `127.0.0.1:port`.
    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Everything that was logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.place.path().join("log")).unwrap()
    }

    /// The requests since the last call: `METHOD path status`.
    pub(crate) fn requests(&mut self) -> Vec<String> {
        let requests: Vec<_> = self.log().lines().filter_map(read_access).collect();
        let new = requests[self.counted..].to_vec();
        self.counted = requests.len();
        new
    }
}

/// `METHOD path status` of a line of the access log, which is in Apache's form.
fn read_access(line: &str) -> Option<String> {
    let mut quoted = line.split('"');
    let (_, request, status) = (quoted.next()?, quoted.next()?, quoted.next()?);
    let (request, protocol) = request.rsplit_once(' ')?;
    protocol.starts_with("HTTP/").then_some(())?;
    Some(format!("{request} {}", status.split_whitespace().next()?))
}

impl Drop for Distribution {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs a program; `false` where it is not installed.
pub(crate) fn run(program: &str, arguments: &[&str], stdout: Option<&Path>) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stderr(std::process::Stdio::null());
    if let Some(path) = stdout {
        command.stdout(std::fs::File::create(path).unwrap());
    }
    match command.status() {
        Ok(status) => {
            assert!(status.success(), "{program} {arguments:?}");
            true
        }
        Err(error) => {
            eprintln!("skipped: {program}: {error}");
            false
        }
    }
}
