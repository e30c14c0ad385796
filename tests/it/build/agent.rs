//! `RUN --mount=type=ssh`: a person's SSH agent, for one command.

use std::io::Read as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::result::{Made, build, built, steps};
use super::run::sandbox;
use crate::support::peers;
use crate::support::program::Sandbox;

/// Long enough for whatever is on its way.
const PATIENCE: Duration = Duration::from_secs(60);

/// A socket that stands for an agent and tells what it hears.
fn agent(path: &Path) -> Receiver<String> {
    let listener = UnixListener::bind(path).expect("a socket");
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut heard = Vec::new();
            stream.expect("a connection").read_to_end(&mut heard).expect("an end");
            let text = String::from_utf8_lossy(&heard).into_owned();
            if !text.is_empty() && tell.send(text).is_err() {
                return;
            }
        }
    });
    told
}

/// Whether any file of the store holds a text.
fn kept(sandbox: &Sandbox, text: &str) -> String {
    let mut grep = Command::new("grep");
    let found = grep.args(["-rlF", text]).arg(sandbox.store()).output().expect("grep");
    String::from_utf8_lossy(&found.stdout).into_owned()
}

#[test]
fn commands_reach_an_agent_and_nothing_of_it_stays() {
    let Some(sandbox) = sandbox() else { return };
    let (path, other) = (sandbox.path("agent-of-mine"), sandbox.path("agent-of-another"));
    let (told, _others) = (agent(&path), agent(&other));
    let given = |path: &Path| format!("default={}", path.display());
    let (first, second) = (given(&path), given(&other));
    let stat = "stat -c '%F %a %u:%g' $SSH_AUTH_SOCK";
    let file = format!(
        "FROM base\nRUN --mount=type=ssh {stat} > /o; echo $SSH_AUTH_SOCK >> /o\nUSER app\n\
         RUN --mount=type=ssh,mode=640,uid=5,gid=6,target=/run/a {stat} >&2; test -w /run/a\n"
    );
    sandbox.write("work/Dockerfile", file);
    let out = build(&sandbox, &["--ssh", &first, "."]).success();
    assert!(out.stderr.contains("socket 640 5:6"), "{}", out.stderr);
    let made = Made::of(&sandbox, out.stdout.trim());
    let o = "644 0:0 \"socket 600 0:0\\n/run/buildkit/ssh_agent.0\\n\"";
    assert_eq!(made.layers[4].iter().collect::<Vec<_>>(), [(&"o".to_owned(), &o.to_owned())]);
    assert!(made.top().is_empty(), "{:?}", made.top());
    // What a command says comes to the agent: logger talks to whatever is at /dev/log.
    let file = "FROM base\nRUN --mount=type=ssh,target=/dev/log logger from-inside\n";
    let made = built(&sandbox, file, &["--ssh", &first]);
    let heard = told.recv_timeout(PATIENCE).expect("a word from inside");
    assert!(heard.contains("from-inside"), "{heard}");
    assert!(made.top().is_empty(), "{:?}", made.top());
    assert!(!made.config.to_string().contains("agent-of-mine"), "{}", made.config);
    assert_eq!(kept(&sandbox, "agent-of-mine"), "");
    // Whose agent it was counts for nothing, nor whether there was one.
    assert_eq!(steps(&sandbox, file, &["--ssh", &second]), (0, 1));
    assert_eq!(steps(&sandbox, file, &[]), (0, 1));
    assert!(sandbox.mounts().is_empty());
}

#[test]
fn agents_that_are_not_there() {
    let Some(sandbox) = sandbox() else { return };
    let write = |mount: &str| {
        let run = format!("FROM base\nRUN --mount={mount} test -z \"$SSH_AUTH_SOCK\"\n");
        sandbox.write("work/Dockerfile", run);
    };
    write("type=ssh");
    build(&sandbox, &["-q", "."]).success();
    write("type=ssh,id=mine,required");
    let out = build(&sandbox, &["-q", "."]).fails(3);
    assert!(out.stderr.contains("no SSH agent mine was given (--ssh)"), "{}", out.stderr);
    let none = format!("mine={}", sandbox.path("none").display());
    let out = build(&sandbox, &["-q", "--ssh", &none, "."]).fails(3);
    assert!(out.stderr.contains("connecting to the SSH agent at /"), "{}", out.stderr);
}

/// OpenSSH's agent with a new key; ended when dropped.
struct OpenSsh {
    process: Child,
    socket: PathBuf,
}

impl OpenSsh {
    fn start(sandbox: &Sandbox) -> OpenSsh {
        let (socket, key) = (sandbox.path("openssh"), sandbox.path("key"));
        let run = |program: &str, args: &[&str]| {
            let mut command = Command::new(program);
            command.args(args).env("SSH_AUTH_SOCK", sandbox.path("openssh"));
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().expect("a program of OpenSSH")
        };
        let process = run("ssh-agent", &["-D", "-a", &socket.display().to_string()]);
        let agent = OpenSsh { process, socket };
        let start = Instant::now();
        while !agent.socket.exists() {
            assert!(start.elapsed() < PATIENCE, "the agent did not start");
            std::thread::sleep(Duration::from_millis(5));
        }
        let key = key.display().to_string();
        let args = ["-q", "-t", "ed25519", "-N", "", "-f", &key];
        for (program, args) in [("ssh-keygen", &args[..]), ("ssh-add", &["-q", &key])] {
            let ended = run(program, args).wait().expect("an end");
            assert!(ended.success(), "{program}");
        }
        agent
    }
}

impl Drop for OpenSsh {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn openssh_talks_to_its_agent() {
    if !peers::have(&["ssh-agent", "ssh-add", "ssh-keygen"]) {
        return;
    }
    let Some(sandbox) = sandbox() else { return };
    let agent = OpenSsh::start(&sandbox);
    let given = format!("mine={}", agent.socket.display());
    // This machine's own client, in the container: as a user who could not reach the agent itself.
    let mut args = vec!["--ssh".to_owned(), given];
    for folder in ["/usr", "/lib", "/lib64"].into_iter().filter(|folder| Path::new(folder).exists())
    {
        args.extend(["-v".to_owned(), format!("{folder}:{folder}:ro")]);
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let file = "FROM base\nUSER app\nENV PATH=/usr/bin:/bin\n\
                RUN --mount=type=ssh,id=mine,required,uid=5 ssh-add -l | grep -q ED25519\n";
    let made = built(&sandbox, file, &args);
    assert!(made.top().iter().all(|line| !line.contains("agent")), "{:?}", made.top());
    assert_eq!(kept(&sandbox, "ssh-ed25519"), "");
    // Without the owner it has no business there.
    sandbox.write("work/Dockerfile", file.replace(",uid=5", ""));
    build(&sandbox, &[&args[..], &["-q", "."]].concat()).fails(1).says("ssh-add -l");
}
