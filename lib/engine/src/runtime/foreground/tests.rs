//! Real runs of a root with nothing but busybox, where this machine can do that.

#![allow(clippy::panic)]

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;
use crate::runtime::config::{Container, build};
use crate::runtime::files;
use crate::runtime::flags::*;
use crate::runtime::host::HostFacts;
use crate::runtime::options::{ImageDefaults, RunOptions, TerminalSize};
use crate::runtime::prepare::{Sources, prepare};
use crate::runtime::streams::Stream;
use crate::runtime::terminal::Person;
use crate::runtime::user::Accounts;
use crate::sys::Root;

/// Why this machine cannot run containers, if it cannot.
fn obstacle() -> Option<&'static str> {
    if crate::sys::effective_uid() != 0 {
        return Some("not root");
    }
    if !Path::new("/bin/busybox").exists() {
        return Some("no /bin/busybox");
    }
    (!runtime_program().exists()).then_some("no /usr/sbin/runc or /usr/bin/runc")
}

fn runtime_program() -> PathBuf {
    let places = ["/usr/sbin/runc", "/usr/bin/runc", "/usr/local/sbin/runc"].map(PathBuf::from);
    places.into_iter().find(|path| path.exists()).unwrap_or_else(|| "runc".into())
}

macro_rules! need_runtime {
    () => {
        if let Some(reason) = obstacle() {
            eprintln!("skipped: {reason}");
            return;
        }
    };
}

struct Machine {
    place: tempfile::TempDir,
    options: RunOptions,
}

struct Ran {
    outcome: Result<Outcome>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Ran {
    fn code(&self) -> i32 {
        match &self.outcome {
            Ok(Outcome::Exited(code)) => *code,
            other => panic!("{other:?}: {}", String::from_utf8_lossy(&self.stderr)),
        }
    }

    fn text(&self) -> String {
        assert_eq!((self.code(), String::from_utf8_lossy(&self.stderr).as_ref()), (0, ""));
        String::from_utf8(self.stdout.clone()).unwrap()
    }
}

impl Machine {
    fn new() -> Machine {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("root");
        for dir in ["bin", "etc", "bundle"] {
            fs::create_dir_all(root.join(dir)).unwrap();
        }
        fs::create_dir(place.path().join("bundle")).unwrap();
        fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
        for applet in ["sh", "id", "cat", "ls", "true", "sleep", "head", "yes", "stty", "mount"] {
            symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
        fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\nweb:x:1000:1001::/home:\n")
            .unwrap();
        fs::write(root.join("etc/group"), "root:x:0:\nwww:x:1001:\naudio:x:29:web\n").unwrap();
        Machine { place, options: RunOptions::default() }
    }

    fn runtime(&self) -> Runtime {
        Runtime {
            program: runtime_program(),
            state: self.place.path().join("state"),
            systemd_cgroup: false,
            without_cgroups: false,
            env: vec![("PATH".into(), "/usr/sbin:/usr/bin:/sbin:/bin".into())],
        }
    }

    /// The bundle, and what must live until it has run.
    fn bundle(&self, words: &[&str]) -> (Bundle, Sources) {
        use std::hash::{BuildHasher, RandomState};
        let options = RunOptions {
            command: words.iter().map(|word| (*word).to_owned()).collect(),
            ..self.options.clone()
        };
        let path = self.place.path();
        let root = Root::open(&path.join("root")).unwrap();
        let user = options.user.clone().unwrap_or_default();
        let hosts = path.join("hosts");
        fs::write(&hosts, "127.0.0.1\tlocalhost\n").unwrap();
        let staging = path.join("staging");
        fs::create_dir_all(&staging).unwrap();
        let mut sources = Sources::in_directory(&staging);
        sources.hold_binds(&options.mounts).unwrap();
        let container = Container {
            id: format!("creel-test-{:016x}", RandomState::new().hash_one(1)),
            root: path.join("root"),
            user: Accounts::read(&root).unwrap().resolve(&user, &options.groups).unwrap(),
            files: [(files::HOSTS.to_owned(), hosts)].into(),
            sources: sources.paths().collect(),
            ..Container::default()
        };
        let host = HostFacts::gather(options.privileged).unwrap();
        let spec = build(&options, &ImageDefaults::default(), &host, &container).unwrap().spec;
        prepare(&root, &spec, true, None).unwrap();
        (Bundle::write(&path.join("bundle"), &container.id, &spec).unwrap(), sources)
    }

    fn run_with(&self, words: &[&str], stdin: Stream, control: Control<'_>) -> Ran {
        let (bundle, _sources) = self.bundle(words);
        let (mut from_stdout, stdout) = io::pipe().unwrap();
        let (mut from_stderr, stderr) = io::pipe().unwrap();
        let read = |from: &mut io::PipeReader| {
            let mut bytes = Vec::new();
            from.read_to_end(&mut bytes).map(|_| bytes)
        };
        let (stdout, stderr) = (Stream::Relay(stdout.into()), Stream::Relay(stderr.into()));
        let streams = Streams { stdin, stdout, stderr };
        std::thread::scope(|scope| {
            let out = scope.spawn(move || read(&mut from_stdout));
            let err = scope.spawn(move || read(&mut from_stderr));
            let outcome = self.runtime().run(&bundle, streams, control);
            let (stdout, stderr) = (out.join().unwrap().unwrap(), err.join().unwrap().unwrap());
            // Nothing is left of it.
            let left = fs::read_dir(self.place.path().join("state")).map_or(0, Iterator::count);
            assert_eq!(left, 0);
            let groups = format!("/sys/fs/cgroup/memory/creel/{}", bundle.id);
            assert!(!Path::new(&groups).exists());
            Ran { outcome, stdout, stderr }
        })
    }

    fn run(&self, words: &[&str]) -> Ran {
        self.run_with(words, Stream::Null, Control::default())
    }

    fn shell(&self, script: &str) -> Ran {
        self.run(&["sh", "-c", script])
    }
}

#[test]
fn exit_codes() {
    need_runtime!();
    let machine = Machine::new();
    assert_eq!(machine.run(&["true"]).code(), 0);
    assert_eq!(machine.shell("exit 1").code(), 1);
    assert_eq!(machine.shell("exit 32").code(), 32);
    assert_eq!(machine.shell("exit 255").code(), 255);
    assert_eq!(machine.shell("sh -c 'kill -9 $$'; exit $?").code(), 137);
}

#[test]
fn streams_stay_apart_and_whole() {
    need_runtime!();
    let machine = Machine::new();
    let ran = machine.shell("printf 'a\\0b\\377'; printf 'x\\n' >&2; exit 3");
    assert_eq!(ran.code(), 3);
    assert_eq!((ran.stdout.as_slice(), ran.stderr.as_slice()), (&b"a\0b\xff"[..], &b"x\n"[..]));
    let ran = machine.shell("yes 0123456789abcde | head -c 1000000");
    assert_eq!((ran.code(), ran.stdout.len()), (0, 1_000_000));
}

#[test]
fn input_reaches_the_program() {
    need_runtime!();
    let machine = Machine::new();
    let (input, mut typed) = io::pipe().unwrap();
    typed.write_all(b"one\ntwo\n").unwrap();
    drop(typed);
    let ran = machine.run_with(&["cat"], Stream::Relay(input.into()), Control::default());
    assert_eq!(ran.text(), "one\ntwo\n");
    assert_eq!(machine.run(&["cat"]).text(), "");
    // Nobody writes and nobody closes: the program's end is the end.
    let (input, _held) = io::pipe().unwrap();
    let ran = machine.run_with(&["true"], Stream::Relay(input.into()), Control::default());
    assert_eq!(ran.code(), 0);
}

#[test]
fn who_runs() {
    need_runtime!();
    let mut machine = Machine::new();
    assert_eq!(machine.run(&["id"]).text(), "uid=0(root) gid=0(root) groups=0(root)\n");
    machine.options.user = Some("web".into());
    machine.options.groups = vec!["7".into()];
    assert_eq!(
        machine.run(&["id"]).text(),
        "uid=1000(web) gid=1001(www) groups=7,29(audio),1001(www)\n"
    );
    assert_eq!(machine.shell("echo $HOME; echo >/dev/stdout ok").text(), "/home\nok\n");
}

#[test]
fn nothing_leaks_in() {
    need_runtime!();
    let machine = Machine::new();
    // An open file that programs inherit, as careless callers leave them.
    let careless = rustix::io::dup(fs::File::open("/etc/passwd").unwrap()).unwrap();
    let script =
        "n=3; while [ $n -lt 200 ]; do [ -e /proc/self/fd/$n ] && echo $n; n=$((n+1)); done; true";
    assert_eq!(machine.shell(script).text(), "");
    drop(careless);
    let env = machine.shell("cat /proc/self/environ | tr '\\0' '\\n' | grep -c CARGO").stdout;
    assert_eq!(env, b"0\n".repeat(usize::from(!env.is_empty())));
}

#[test]
fn isolation_is_docker_s() {
    need_runtime!();
    let machine = Machine::new();
    let status = machine.run(&["cat", "/proc/self/status"]).text();
    for line in [
        "CapInh:\t0000000000000000",
        "CapPrm:\t00000000a80425fb",
        "CapEff:\t00000000a80425fb",
        "CapBnd:\t00000000a80425fb",
        "CapAmb:\t0000000000000000",
        "NoNewPrivs:\t0",
        "Seccomp:\t2",
        "SigBlk:\t0000000000000000",
    ] {
        assert!(status.lines().any(|have| have == line), "{line} in\n{status}");
    }
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).unwrap();
    // The C library keeps signals 32 and 33 for itself.
    assert_eq!(u64::from_str_radix(ignored, 16).unwrap() & !(0b11 << 31), 0, "{status}");
    for script in [
        "echo 1 > /proc/sys/kernel/domainname",
        "echo 1 > /proc/sysrq-trigger",
        "mkdir /sys/x",
        // The top is a file system of the container's own under cgroup v1.
        "mkdir /sys/fs/cgroup/$(ls /sys/fs/cgroup | grep -x memory)/x",
        "mount -t tmpfs x /bin",
        "[ -s /proc/kcore ] && head -c 1 /proc/kcore | grep -q .",
    ] {
        assert_ne!(machine.shell(script).code(), 0, "{script}");
    }
    let devices = machine.shell("cd /dev; echo *").text();
    // The runtime makes a link to the kernel's memory where the kernel shows it.
    assert_eq!(
        devices.strip_prefix("core ").unwrap_or(&devices),
        "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero\n"
    );
    assert_eq!(
        machine.shell("cat /etc/hosts; ls -a / | grep dockerenv").text(),
        "127.0.0.1\tlocalhost\n.dockerenv\n"
    );
    assert_eq!(machine.shell("ulimit -n; umask").text().lines().last().unwrap(), "0022");
}

#[test]
fn privileged_means_it() {
    need_runtime!();
    let mut machine = Machine::new();
    machine.options.privileged = true;
    let status = machine.run(&["cat", "/proc/self/status"]).text();
    assert!(status.contains("Seccomp:\t0"), "{status}");
    let own = fs::read_to_string("/proc/self/status").unwrap();
    let bounding = own.lines().find(|line| line.starts_with("CapBnd")).unwrap();
    assert!(status.contains(bounding), "{status}");
}

#[test]
fn limits_hold() {
    need_runtime!();
    let mut machine = Machine::new();
    machine.options.resources.memory = Some(64 << 20);
    machine.options.resources.pids = Some(20);
    let memory = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; true";
    assert_eq!(machine.shell(memory).text(), "67108864\n");
    machine.options.ulimits = vec![parse_ulimit("nofile=100:200").unwrap()];
    assert_eq!(machine.shell("ulimit -n; ulimit -Hn").text(), "100\n200\n");
}

#[test]
fn mounts_are_where_they_should_be() {
    need_runtime!();
    crate::sys::own_mounts().unwrap();
    let mut machine = Machine::new();
    let base = machine.place.path().to_owned();
    fs::create_dir_all(base.join("data/sub")).unwrap();
    fs::write(base.join("data/f"), "content\n").unwrap();
    let parse = |text: &str| parse_volume(text, &base).unwrap();
    machine.options.mounts =
        vec![parse("./data:/a/b"), parse("./data:/ro:ro"), parse_tmpfs("/t:size=1m").unwrap()];
    let ran = machine.shell(
        "cat /a/b/f; echo new > /a/b/sub/new; (echo x > /ro/f) 2>/dev/null || echo denied; \
         grep ' /t ' /proc/mounts",
    );
    assert_eq!(
        ran.text(),
        "content\ndenied\ntmpfs /t tmpfs rw,nosuid,nodev,noexec,relatime,size=1024k 0 0\n"
    );
    assert_eq!(fs::read(base.join("data/sub/new")).unwrap(), b"new\n");
    machine.options.mounts.clear();
    machine.options.read_only = true;
    assert_ne!(machine.shell("echo > /bin/x").code(), 0);
}

#[test]
fn what_cannot_start_leaves_nothing() {
    need_runtime!();
    let machine = Machine::new();
    let ran = machine.run(&["/no/such/program"]);
    let error = ran.outcome.unwrap_err().chain();
    assert!(error.starts_with("starting the container: runc: "), "{error}");
    assert!(error.contains("/no/such/program"), "{error}");
    assert_eq!((ran.stdout.len(), ran.stderr.len()), (0, 0));
}

#[test]
fn time_is_limited() {
    need_runtime!();
    let machine = Machine::new();
    let timeout = Some(Duration::from_millis(300));
    let control = Control { timeout, ..Control::default() };
    let ran = machine.run_with(&["sleep", "1000"], Stream::Null, control);
    assert!(matches!(ran.outcome, Ok(Outcome::TimedOut)), "{:?}", ran.outcome);
    let immediately = Control { timeout: Some(Duration::ZERO), ..Control::default() };
    let ran = machine.run_with(&["sleep", "1000"], Stream::Null, immediately);
    assert!(matches!(ran.outcome, Ok(Outcome::TimedOut)), "{:?}", ran.outcome);
}

#[test]
fn a_caller_can_stop_it() {
    need_runtime!();
    let machine = Machine::new();
    let (cancel, hold) = io::pipe().unwrap();
    let control = Control { cancel: Some(cancel.as_fd()), ..Control::default() };
    let ran = std::thread::scope(|scope| {
        scope.spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            drop(hold);
        });
        machine.run_with(&["sleep", "1000"], Stream::Null, control)
    });
    assert!(matches!(ran.outcome, Ok(Outcome::Cancelled)), "{:?}", ran.outcome);
}

/// Runs the ignored test `name` in a process of its own, in which no thread takes signals.
fn alone(name: &str) {
    use nix::sys::signal::SigSet;
    let path = format!("runtime::foreground::tests::{name}");
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([&path, "--exact", "--ignored", "--nocapture"]);
    // The test harness has threads of its own; what is blocked here stays so in them.
    SigSet::all().thread_block().unwrap();
    let output = command.output();
    SigSet::all().thread_unblock().unwrap();
    let output = output.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn signals_reach_the_program() {
    need_runtime!();
    alone("with_signals");
}

#[test]
#[ignore = "needs a process of its own; signals_reach_the_program runs it"]
fn with_signals() {
    let machine = Machine::new();
    let queue = SignalQueue::start().unwrap();
    let raise = |number: i32| {
        let me = i32::try_from(std::process::id()).unwrap();
        let pid = rustix::process::Pid::from_raw(me).unwrap();
        let signal = rustix::process::Signal::from_named_raw(number).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    };
    // Comes before there is anything to send it to, and would end the runtime.
    raise(libc::SIGUSR1);
    let script = "trap 'echo term; exit 6' TERM; echo ready; while :; do sleep 0.05; done";
    let (bundle, _) = machine.bundle(&["sh", "-c", script]);
    let (mut from, to) = io::pipe().unwrap();
    let streams =
        Streams { stdin: Stream::Null, stdout: Stream::Direct(to.into()), stderr: Stream::Null };
    let control = Control { signals: Some(&queue), ..Control::default() };
    std::thread::scope(|scope| {
        let told = scope.spawn(move || {
            let mut ready = [0; 6];
            from.read_exact(&mut ready).unwrap();
            raise(libc::SIGTERM);
            let mut rest = String::new();
            from.read_to_string(&mut rest).map(|_| rest)
        });
        let outcome = machine.runtime().run(&bundle, streams, control);
        assert!(matches!(outcome, Ok(Outcome::Exited(6))), "{outcome:?}");
        assert_eq!(told.join().unwrap().unwrap(), "term\n");
    });
}

#[test]
fn a_terminal_is_given_and_restored() {
    need_runtime!();
    alone("on_a_terminal");
}

/// A pseudo terminal: the side of the person's keyboard and screen, and the side of programs.
fn pseudo_terminal() -> (fs::File, fs::File) {
    let pair = nix::pty::openpty(None, None).unwrap();
    (pair.master.into(), pair.slave.into())
}

fn converse(machine: &Machine, words: &[&str], typed: &[u8]) -> (Result<Outcome>, String, Bundle) {
    let (mut keyboard, tty) = pseudo_terminal();
    crate::sys::set_terminal_size(&tty, 57, 123).unwrap();
    let before = rustix::termios::tcgetattr(&tty).unwrap();
    let (bundle, _) = machine.bundle(words);
    let person = Person {
        input: Some(tty.try_clone().unwrap().into()),
        output: tty.try_clone().unwrap().into(),
        detach_keys: parse_detach_keys("ctrl-p,ctrl-q").unwrap(),
    };
    let mut screen = keyboard.try_clone().unwrap();
    let typed = typed.to_vec();
    let shown = std::thread::spawn(move || {
        let (mut out, mut part) = (String::new(), [0; 1024]);
        let mut typed = Some(typed);
        // The end of a terminal is an error.
        while let Ok(count @ 1..) = screen.read(&mut part) {
            out.push_str(&String::from_utf8_lossy(&part[..count]));
            if out.contains("go\r\n") {
                typed.take().map_or(Ok(()), |typed| keyboard.write_all(&typed)).unwrap();
            }
        }
        out
    });
    let outcome = machine.runtime().run_on_terminal(&bundle, person, Control::default());
    let after = rustix::termios::tcgetattr(&tty).unwrap();
    assert_eq!(after.local_modes, before.local_modes);
    assert_eq!(after.input_modes, before.input_modes);
    assert_eq!(after.output_modes, before.output_modes);
    drop(tty);
    (outcome, shown.join().unwrap(), bundle)
}

#[test]
#[ignore = "needs a process of its own; a_terminal_is_given_and_restored runs it"]
fn on_a_terminal() {
    let mut machine = Machine::new();
    machine.options.terminal = Some(TerminalSize { rows: 57, columns: 123 });
    let script =
        "stty size; echo go; read line; echo got $line; [ -t 2 ] && echo tty $TERM; exit 7";
    let (outcome, shown, _) = converse(&machine, &["sh", "-c", script], b"some words\n");
    assert!(matches!(outcome, Ok(Outcome::Exited(7))), "{outcome:?} {shown}");
    for line in ["57 123\r\n", "got some words\r\n", "tty xterm\r\n"] {
        assert!(shown.contains(line), "{line:?} in {shown:?}");
    }
    let large = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done";
    let (outcome, shown, _) = converse(&machine, &["sh", "-c", large], b"");
    assert!(matches!(outcome, Ok(Outcome::Exited(0))), "{outcome:?}");
    assert!(shown.ends_with("line 19999\r\n"), "{}", shown.len());
    let (outcome, shown, _) = converse(&machine, &["/none"], b"");
    assert!(outcome.unwrap_err().chain().starts_with("starting the container: runc: "));
    assert_eq!(shown, "");
    let (outcome, _, bundle) =
        converse(&machine, &["sh", "-c", "echo go; sleep 1000"], b"x\x10\x11");
    let Ok(Outcome::Detached(left)) = outcome else { panic!("{outcome:?}") };
    left.process.signal(libc::SIGKILL).unwrap();
    assert_eq!(left.process.wait().unwrap(), Ended::Killed(libc::SIGKILL));
    machine.runtime().delete(&bundle).unwrap();
    assert_eq!(fs::read_dir(machine.place.path().join("state")).unwrap().count(), 0);
}
