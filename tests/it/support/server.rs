//! Real servers, started for one test and gone with it: Debian's docker-registry, dockerd.
//!
//! ```ignore
//! need!("docker-registry");
//! let reg = DockerRegistry::builder().htpasswd("user", "secret").start();
//! app.push_http(&reg.url(), "app", "1", |request| request.basic("user", "secret"));
//! … assert_eq!(reg.requests().iter().filter(|r| r.method == "GET").count(), 3);
//! ```

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use tempfile::TempDir;

use super::client;
use super::peers::find;
use super::program::{Invocation, Sandbox};
use super::tls::{ServerTls, TlsOptions};

/// How long a server may take to answer its first request.
const PATIENCE: Duration = Duration::from_secs(30);

/// A process that ends when this is dropped: first asked, then killed.
struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    fn start(mut command: Command, log: PathBuf) -> Process {
        let file = File::create(&log).expect("a log file");
        let again = file.try_clone().expect("a log file");
        command.stdin(Stdio::null()).stdout(file).stderr(again);
        let child = command.spawn().unwrap_or_else(|e| panic!("starting {command:?}: {e}"));
        Process { child, log }
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Asks until `ready` says yes; false when the process ended.
    fn wait_until(&mut self, mut ready: impl FnMut() -> bool) -> bool {
        let start = Instant::now();
        while !ready() {
            if self.child.try_wait().expect("waiting").is_some() {
                return false;
            }
            assert!(start.elapsed() < PATIENCE, "no answer from a server:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        true
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        let start = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if start.elapsed() > Duration::from_secs(10) {
                let _ = self.child.kill();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// docker-registry 2.8 with deleting on, foreign URLs allowed, schema 1 accepted.
pub struct DockerRegistry {
    process: Process,
    port: u16,
    tls: Option<ServerTls>,
    folder: TempDir,
}

/// What the registry shall ask for; see [`DockerRegistry::builder`].
#[derive(Default)]
pub struct DockerRegistryBuilder {
    user: Option<(String, String)>,
    tls: bool,
    no_delete: bool,
}

/// One line of the access log.
#[derive(Clone, Debug, PartialEq)]
pub struct Access {
    pub method: String,
    pub path_and_query: String,
    pub status: u16,
}

impl DockerRegistryBuilder {
    /// Basic authentication with this user.
    pub fn htpasswd(mut self, user: &str, password: &str) -> DockerRegistryBuilder {
        self.user = Some((user.into(), password.into()));
        self
    }

    /// TLS with a CA of its own: [`DockerRegistry::ca_path`].
    pub fn tls(mut self) -> DockerRegistryBuilder {
        self.tls = true;
        self
    }

    pub fn no_delete(mut self) -> DockerRegistryBuilder {
        self.no_delete = true;
        self
    }

    pub fn start(self) -> DockerRegistry {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let tls = self.tls.then(|| ServerTls::new(TlsOptions::default()));
        // Another process may take the port between our looking and its binding: then once more.
        for _ in 0..10 {
            let port = free_port();
            let config = folder.path().join("config.json");
            let text = self.config(port, folder.path(), tls.as_ref());
            fs::write(&config, text).expect("writing a configuration");
            let mut command = Command::new(find("docker-registry").expect("docker-registry"));
            command.arg("serve").arg(&config).env("OTEL_TRACES_EXPORTER", "none");
            let mut process = Process::start(command, folder.path().join("log"));
            let scheme = if tls.is_some() { "https" } else { "http" };
            let url = format!("{scheme}://127.0.0.1:{port}/v2/");
            let ready = process.wait_until(|| {
                let mut ask = client::request("GET", &url);
                if let Some(tls) = &tls {
                    ask = ask.ca(tls.path("ca.crt"));
                }
                ask.try_send().is_ok_and(|reply| matches!(reply.status, 200 | 401))
            });
            if ready {
                return DockerRegistry { process, port, tls, folder };
            }
        }
        panic!("docker-registry does not start");
    }

    /// JSON is YAML too.
    fn config(&self, port: u16, folder: &Path, tls: Option<&ServerTls>) -> String {
        let mut config = json!({
            "version": "0.1",
            "log": {"accesslog": {"disabled": false}, "level": "warn"},
            "storage": {
                "filesystem": {"rootdirectory": folder.join("data")},
                "delete": {"enabled": !self.no_delete},
            },
            "http": {"addr": format!("127.0.0.1:{port}"), "secret": "test"},
            "validation": {"manifests": {"urls": {"allow": ["^https?://"]}}},
            "compatibility": {"schema1": {"enabled": true}},
        });
        if let Some(tls) = tls {
            config["http"]["tls"] =
                json!({"certificate": tls.path("server.crt"), "key": tls.path("server.key")});
        }
        if let Some((user, password)) = &self.user {
            let path = folder.join("htpasswd");
            fs::write(&path, htpasswd(user, password)).expect("writing htpasswd");
            config["auth"] = json!({"htpasswd": {"realm": "test", "path": path}});
        }
        config.to_string()
    }
}

/// One line of a password file, bcrypt at its cheapest. Needs `htpasswd`.
fn htpasswd(user: &str, password: &str) -> Vec<u8> {
    let mut command = Command::new("htpasswd");
    let output = command.args(["-nbB", "-C", "4", user, password]).output().expect("htpasswd");
    assert!(output.status.success(), "htpasswd failed");
    output.stdout
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}

impl DockerRegistry {
    /// Plain HTTP, no authentication.
    pub fn start() -> DockerRegistry {
        DockerRegistry::builder().start()
    }

    pub fn builder() -> DockerRegistryBuilder {
        DockerRegistryBuilder::default()
    }

    /// `127.0.0.1:PORT`
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.host())
    }

    /// `docker://127.0.0.1:PORT/` and this name.
    pub fn image(&self, name: &str) -> String {
        format!("docker://{}/{name}", self.host())
    }

    pub fn ca_path(&self) -> PathBuf {
        self.tls.as_ref().expect("a registry with TLS").path("ca.crt")
    }

    /// Where it keeps its data.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The access log so far, without the requests of the tests' own client (which gives no
    /// User-Agent).
    pub fn requests(&self) -> Vec<Access> {
        let log = self.process.log();
        let all = log.lines().filter_map(parse_access);
        all.filter(|(_, agent)| !agent.is_empty()).map(|(access, _)| access).collect()
    }
}

/// `127.0.0.1 - - [time] "GET /v2/ HTTP/1.1" 200 2 "referrer" "agent"`
fn parse_access(line: &str) -> Option<(Access, String)> {
    let mut quoted = line.split('"');
    quoted.next()?.contains(" - ").then_some(())?;
    let mut request = quoted.next()?.split(' ');
    let (method, path) = (request.next()?, request.next()?);
    let status = quoted.next()?.split_whitespace().next()?.parse().ok()?;
    let agent = quoted.nth(2).unwrap_or_default().to_string();
    Some((Access { method: method.into(), path_and_query: path.into(), status }, agent))
}

/// A Docker daemon with a root of its own: no bridge, no firewall rules. Needs `dockerd` and root.
pub struct Dockerd {
    process: Process,
    folder: TempDir,
}

impl Dockerd {
    pub fn start() -> Dockerd {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let at = |name: &str| folder.path().join(name).display().to_string();
        let socket = format!("unix://{}", at("docker.sock"));
        let mut command = Command::new(find("dockerd").expect("dockerd"));
        command
            .args(["--data-root", &at("data"), "--exec-root", &at("exec")])
            .args(["--pidfile", &at("pid"), "--config-file", &at("daemon.json"), "-H", &socket])
            .args(["--iptables=false", "--ip6tables=false", "--ip-forward=false"])
            .args(["--ip-masq=false", "--bridge=none", "--insecure-registry=127.0.0.0/8"]);
        for proxy in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"] {
            command.env_remove(proxy);
        }
        fs::write(folder.path().join("daemon.json"), "{}").expect("writing a configuration");
        let mut process = Process::start(command, folder.path().join("log"));
        let path = folder.path().join("docker.sock");
        let ready = process.wait_until(|| std::os::unix::net::UnixStream::connect(&path).is_ok());
        assert!(ready, "dockerd does not start:\n{}", process.log());
        Dockerd { process, folder }
    }

    /// The path of its socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    /// What `DOCKER_HOST` must be.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// What it wrote to its log.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// `docker` as a client of this daemon.
    pub fn docker<I: AsRef<std::ffi::OsStr>>(
        &self,
        sandbox: &Sandbox,
        args: impl IntoIterator<Item = I>,
    ) -> Invocation {
        sandbox.command("docker", args).env("DOCKER_HOST", self.url()).env("DOCKER_BUILDKIT", "0")
    }
}
