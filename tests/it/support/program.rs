//! Running our programs as people do: in a home, with an environment and a store of their own.
//!
//! ```ignore
//! let sandbox = Sandbox::new();
//! let out = sandbox.copy(["docker://…", "oci:out"]).run().success();
//! assert_eq!(out.stdout, "");
//! sandbox.inspect(["docker://…"]).env("NO_COLOR", "1").run().fails(3);
//! ```

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{PipeReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// A program that runs longer than this is stuck: it is killed, and the test fails.
const PATIENCE: Duration = Duration::from_secs(120);

/// A temporary place with everything a program of ours reads from its surroundings.
///
/// Nothing of the surrounding environment gets in but PATH: no proxies, no credentials. The
/// containers configuration directory exists and is empty, `CONTAINERS_REGISTRIES_CONF` names an
/// empty file so that the machine's own does not count.
pub struct Sandbox {
    folder: TempDir,
}

impl Sandbox {
    pub fn new() -> Sandbox {
        let sandbox = Sandbox { folder: tempfile::tempdir().expect("a temporary directory") };
        for name in
            ["home", "config/containers", "data", "cache", "run", "tmp", "docker", "store", "work"]
        {
            std::fs::create_dir_all(sandbox.path(name)).expect("a directory of the sandbox");
        }
        sandbox.write("registries.conf", "");
        sandbox
    }

    /// The root of all that the sandbox holds.
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// A path inside the sandbox.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A path inside the directory in which programs start.
    pub fn work(&self, name: &str) -> PathBuf {
        self.path("work").join(name)
    }

    /// The store root (`CREEL_ROOT`).
    pub fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// What is mounted below the sandbox's root, innermost last. A program that cleans up after
    /// itself leaves nothing here.
    pub fn mounts(&self) -> Vec<PathBuf> {
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
        points.filter(|point| point.starts_with(self.root())).collect()
    }

    /// Writes a file inside the sandbox, making its directories.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        let folder = path.parent().expect("a parent");
        std::fs::create_dir_all(folder).expect("a directory of the sandbox");
        std::fs::write(&path, content).expect("writing into the sandbox");
        path
    }

    /// The `registries.conf` in force.
    pub fn write_registries_conf(&self, text: &str) {
        self.write("registries.conf", text);
    }

    /// The user's `policy.json`.
    pub fn write_policy(&self, text: &str) {
        self.write("config/containers/policy.json", text);
    }

    /// Docker's `config.json` (`DOCKER_CONFIG`).
    pub fn write_docker_config(&self, text: &str) {
        self.write("docker/config.json", text);
    }

    /// Credentials for one registry in Docker's `config.json`.
    pub fn log_in(&self, host: &str, user: &str, password: &str) {
        use base64::Engine as _;
        let auth = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        let config = serde_json::json!({"auths": {host: {"auth": auth}}});
        self.write_docker_config(&config.to_string());
    }

    pub fn copy<I: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = I>) -> Invocation {
        self.program("creel-copy", args)
    }

    pub fn inspect<I: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = I>) -> Invocation {
        self.program("creel-inspect", args)
    }

    pub fn build<I: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = I>) -> Invocation {
        self.program("creel-build", args)
    }

    /// `creel-run` (the name `run` belongs to [`Invocation::run`]).
    pub fn container<I: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = I>) -> Invocation {
        self.program("creel-run", args)
    }

    fn program<I: AsRef<OsStr>>(
        &self,
        name: &str,
        args: impl IntoIterator<Item = I>,
    ) -> Invocation {
        let program = find_program(name);
        self.command(program, args)
    }

    /// Any program, in the same surroundings.
    pub fn command<I: AsRef<OsStr>>(
        &self,
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = I>,
    ) -> Invocation {
        let mut command = Command::new(program.as_ref());
        command.args(args).current_dir(self.path("work")).env_clear();
        let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
        command.env("PATH", with_system_folders(path)).env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
        for (name, folder) in [
            ("HOME", "home"),
            ("XDG_CONFIG_HOME", "config"),
            ("XDG_DATA_HOME", "data"),
            ("XDG_CACHE_HOME", "cache"),
            ("XDG_RUNTIME_DIR", "run"),
            ("TMPDIR", "tmp"),
            ("DOCKER_CONFIG", "docker"),
            ("CREEL_ROOT", "store"),
            ("CONTAINERS_REGISTRIES_CONF", "registries.conf"),
        ] {
            command.env(name, self.path(folder));
        }
        Invocation { command, input: None }
    }
}

impl Drop for Sandbox {
    /// Unmounts what peers (containers/storage does) and killed programs left, so that the
    /// directory can be removed and nothing outside of it is touched on the way.
    fn drop(&mut self) {
        for point in self.mounts().iter().rev() {
            let _ = Command::new("umount").arg("-l").arg(point).status();
        }
    }
}

/// Programs in `sbin` are found too, as root's shell finds them.
fn with_system_folders(path: OsString) -> OsString {
    let mut path = path;
    path.push(":/usr/local/sbin:/usr/sbin:/sbin");
    path
}

/// Our program beside the test binary (`target/debug/deps/it-…` → `target/debug/NAME`).
pub fn find_program(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("the path of the test binary");
    let folder = own.parent().and_then(Path::parent).expect("the target directory");
    let program = folder.join(name);
    assert!(
        program.exists(),
        "{} is missing: build the programs first with `cargo build --workspace`",
        program.display()
    );
    program
}

/// A command that is about to run.
pub struct Invocation {
    command: Command,
    input: Option<Vec<u8>>,
}

impl Invocation {
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Invocation {
        self.command.arg(arg);
        self
    }

    pub fn args<I: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = I>) -> Invocation {
        self.command.args(args);
        self
    }

    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Invocation {
        self.command.env(name, value);
        self
    }

    pub fn unset(mut self, name: &str) -> Invocation {
        self.command.env_remove(name);
        self
    }

    pub fn current_dir(mut self, folder: impl AsRef<Path>) -> Invocation {
        self.command.current_dir(folder);
        self
    }

    /// What the program reads on stdin; nothing by default.
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Invocation {
        self.input = Some(bytes.into());
        self
    }

    /// The command itself, for other streams than pipes.
    pub fn into_command(self) -> Command {
        self.command
    }

    /// Runs to the end.
    pub fn run(self) -> Output {
        self.start().wait()
    }

    /// Starts and lets it run; end it with one of the methods of [`Running`].
    pub fn start(mut self) -> Running {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let (text, mut child) = self.spawn();
        let stdout = collect(child.stdout.take().expect("a pipe"));
        let stderr = collect(child.stderr.take().expect("a pipe"));
        Running { child, text, stdout, stderr, patience: PATIENCE }
    }

    /// Runs to the end with output streams as node or ssh may leave them: non-blocking pipes, full
    /// when the program starts, and read slowly.
    pub fn run_non_blocking(mut self) -> Output {
        let (stdout, stderr) = (SlowPipe::new(), SlowPipe::new());
        self.command.stdout(stdout.writer).stderr(stderr.writer);
        let (text, child) = self.spawn();
        drop(self);
        let read = |reader, fill| {
            let (mut slow, mut before) = (Slow(reader), vec![0; fill]);
            collect_from(move || slow.read_exact(&mut before).map(|()| slow))
        };
        let stdout = read(stdout.reader, stdout.fill);
        let stderr = read(stderr.reader, stderr.fill);
        Running { child, text, stdout, stderr, patience: PATIENCE }.wait()
    }

    fn spawn(&mut self) -> (String, Child) {
        let text = format!("{:?}", self.command);
        self.command.stdin(if self.input.is_some() { Stdio::piped() } else { Stdio::null() });
        let mut child = self.command.spawn().unwrap_or_else(|e| panic!("starting {text}: {e}"));
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), self.input.take()) {
            // A program that does not read to the end of its input is within its rights.
            std::thread::spawn(move || drop(stdin.write_all(&input)));
        }
        (text, child)
    }
}

/// A pipe that takes nothing at first, and whose writing end does not wait.
struct SlowPipe {
    reader: PipeReader,
    writer: File,
    /// The bytes that fill it.
    fill: usize,
}

impl SlowPipe {
    fn new() -> SlowPipe {
        const O_NONBLOCK: i32 = 0o4000;
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let again = format!("/proc/self/fd/{}", writer.as_raw_fd());
        let mut options = File::options();
        let mut writer = options.write(true).custom_flags(O_NONBLOCK).open(again).expect("a pipe");
        let mut fill = 0;
        while let Ok(count) = writer.write(&[0; 4096]) {
            fill += count;
        }
        SlowPipe { reader, writer, fill }
    }
}

/// Reads a page at a time, with a pause before each.
struct Slow(PipeReader);

impl Read for Slow {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        std::thread::sleep(Duration::from_millis(1));
        let most = buffer.len().min(4096);
        self.0.read(&mut buffer[..most])
    }
}

/// What a pipe gave, once it has ended.
type Collected = mpsc::Receiver<Vec<u8>>;

fn collect(pipe: impl Read + Send + 'static) -> Collected {
    collect_from(|| Ok(pipe))
}

fn collect_from<R: Read>(open: impl FnOnce() -> std::io::Result<R> + Send + 'static) -> Collected {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut all = Vec::new();
        let _ = open().and_then(|mut pipe| pipe.read_to_end(&mut all));
        let _ = sender.send(all);
    });
    receiver
}

/// A program under way.
pub struct Running {
    child: Child,
    text: String,
    stdout: Collected,
    stderr: Collected,
    patience: Duration,
}

impl Running {
    /// Another time after which the program counts as stuck than two minutes.
    pub fn patience(mut self, time: Duration) -> Running {
        self.patience = time;
        self
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        // It may have ended by itself meanwhile; then there is nobody to signal.
        let _ = kill(Pid::from_raw(self.child.id() as i32), signal);
    }

    /// `kill -9` after a while, then what it left behind.
    pub fn kill_after(self, time: Duration) -> Output {
        std::thread::sleep(time);
        self.signal(Signal::SIGKILL);
        self.wait()
    }

    /// SIGINT (control-C) after a while, then its end.
    pub fn interrupt_after(self, time: Duration) -> Output {
        std::thread::sleep(time);
        self.signal(Signal::SIGINT);
        self.wait()
    }

    /// `kill -9` as soon as `due` says so (asked every millisecond), or when it ended by itself.
    pub fn kill_when(mut self, mut due: impl FnMut() -> bool) -> Output {
        let start = Instant::now();
        while self.child.try_wait().expect("waiting").is_none() && !due() {
            assert!(
                start.elapsed() < self.patience,
                "{}: the moment to kill it never came",
                self.text
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        self.signal(Signal::SIGKILL);
        self.wait()
    }

    /// Waits for the end.
    pub fn wait(mut self) -> Output {
        let start = Instant::now();
        let mut stuck = false;
        let mut pause = Duration::from_micros(200);
        let mut peak_memory = 0;
        let status = loop {
            peak_memory = peak_memory.max(peak_memory_of(self.child.id()));
            if let Some(status) = self.child.try_wait().expect("waiting") {
                break status;
            }
            if start.elapsed() > self.patience && !stuck {
                stuck = true;
                self.signal(Signal::SIGKILL);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(5));
        };
        let text = |all: Collected| {
            let all = all.recv_timeout(self.patience).unwrap_or_else(|_| {
                panic!("{}: a process that it started still holds its output", self.text)
            });
            String::from_utf8_lossy(&all).into_owned()
        };
        let (stdout, stderr) = (text(self.stdout), text(self.stderr));
        let output = Output { command: self.text, status, stdout, stderr, peak_memory };
        assert!(!stuck, "still running after {:?}\n{output}", self.patience);
        output
    }
}

/// The largest resident size so far, in bytes; 0 when the process is gone.
fn peak_memory_of(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

/// What a program left behind.
pub struct Output {
    command: String,
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
    /// The largest resident size of the process itself, in bytes, looked at every few
    /// milliseconds: what it grew to in its very last moment may be missed.
    pub peak_memory: u64,
}

impl Output {
    /// The exit code; `None` when a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The same, if it ended with 0.
    #[track_caller]
    pub fn success(self) -> Output {
        self.fails(0)
    }

    /// The same, if it ended with this code.
    #[track_caller]
    pub fn fails(self, code: i32) -> Output {
        assert_eq!(self.code(), Some(code), "exit code\n{self}");
        self
    }

    /// The same, if stderr contains this.
    #[track_caller]
    pub fn says(self, part: &str) -> Output {
        assert!(self.stderr.contains(part), "stderr lacks {part:?}\n{self}");
        self
    }

    /// The same, if neither stdout nor stderr contains this (a secret, an escape character).
    #[track_caller]
    pub fn hides(self, part: &str) -> Output {
        let shown = self.stderr.contains(part) || self.stdout.contains(part);
        assert!(!shown, "the output shows {part:?}\n{self}");
        self
    }

    /// stdout as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("not JSON: {e}\n{self}"))
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "command: {}", self.command)?;
        writeln!(f, "ended with: {}", self.status)?;
        writeln!(f, "--- stdout\n{}", self.stdout)?;
        writeln!(f, "--- stderr\n{}", self.stderr)
    }
}
