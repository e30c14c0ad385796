use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::super::log::{LogFormat, LogLimits, LogReader, LogSelection, LogStream, LogWriter};
use super::super::restart::RestartPolicy;
use super::*;
use crate::error::Result;
use crate::sys::Watched;

/// Starts shell commands in place of containers.
struct Shell {
    script: &'static str,
    exits: mpsc::Sender<Exit>,
}

impl Launcher for Shell {
    fn start(&mut self) -> Result<Started> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", self.script]).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let io = ContainerIo {
            stdin: child.stdin.take().map(Into::into),
            stdout: child.stdout.take().map(Into::into),
            stderr: child.stderr.take().map(Into::into),
            terminal: None,
        };
        Ok(Started { process: Watched::new(child.id()).unwrap(), io })
    }

    fn ended(&mut self, exit: &Exit) -> Result<()> {
        let _ = self.exits.send(exit.clone());
        Ok(())
    }
}

struct Monitored {
    place: tempfile::TempDir,
    thread: JoinHandle<Result<Exit>>,
    exits: mpsc::Receiver<Exit>,
}

fn run(script: &'static str, settings: MonitorSettings) -> Monitored {
    let place = tempfile::tempdir().unwrap();
    let (sender, exits) = mpsc::channel();
    let listener = UnixListener::bind(socket(place.path())).unwrap();
    let log = LogWriter::open(&log_path(place.path()), LogFormat::Cri, LogLimits::default());
    let log = log.unwrap();
    let thread = std::thread::spawn(move || {
        let mut shell = Shell { script, exits: sender };
        let started = shell.start()?;
        monitor(&mut shell, &listener, Some(log), started, settings)
    });
    Monitored { place, thread, exits }
}

fn socket(place: &Path) -> PathBuf {
    place.join("monitor.sock")
}

fn log_path(place: &Path) -> PathBuf {
    place.join("log")
}

impl Monitored {
    fn client(&self) -> MonitorClient {
        MonitorClient::connect(&socket(self.place.path())).unwrap().unwrap()
    }

    fn attached(&self) -> MonitorClient {
        let mut client = self.client();
        client.send(&Request::Attach { stdin: true, stdout: true, stderr: true }).unwrap();
        client
    }

    fn logged(&self) -> String {
        let selection = LogSelection::default();
        let mut log =
            LogReader::open(&log_path(self.place.path()), LogFormat::Cri, selection).unwrap();
        std::iter::from_fn(|| log.next_record().unwrap())
            .map(|record| String::from_utf8(record.text).unwrap())
            .collect()
    }

    fn next_exit(&self) -> Exit {
        self.exits.recv_timeout(Duration::from_secs(60)).unwrap()
    }
}

/// Everything up to the answer.
fn everything(client: &mut MonitorClient) -> (String, String, Answer) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    loop {
        match client.receive().unwrap() {
            Attachment::Output(LogStream::Stdout, bytes) => out.extend(bytes),
            Attachment::Output(LogStream::Stderr, bytes) => err.extend(bytes),
            Attachment::Answered(answer) => {
                return (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap(), answer);
            }
            Attachment::Lost => panic!("the monitor is gone"),
        }
    }
}

fn once() -> MonitorSettings {
    MonitorSettings { stdin_once: true, ..RestartPolicy::No.into() }
}

#[test]
fn streams_and_code_reach_a_client_and_the_log() {
    let monitored = run("read line; echo got $line; echo oops >&2; cat; exit 7", once());
    let mut client = monitored.attached();
    client.input(b"hello\n").unwrap();
    client.input(b"rest").unwrap();
    client.end_input().unwrap();
    let (out, err, answer) = everything(&mut client);
    assert_eq!((out.as_str(), err.as_str()), ("got hello\nrest", "oops\n"));
    assert_eq!(answer, Answer::Exited(7));
    let logged = monitored.logged();
    let exit = monitored.thread.join().unwrap().unwrap();
    assert_eq!((exit.code, exit.stopped), (7, false));
    assert!(logged.contains("got hello\n") && logged.contains("rest"), "{logged}");
}

#[test]
fn several_clients_get_the_same_and_one_that_leaves_disturbs_nobody() {
    let monitored = run("read go; seq 50000", RestartPolicy::No.into());
    let mut stays = monitored.attached();
    let mut also = monitored.attached();
    let leaves = monitored.attached();
    drop(leaves);
    stays.input(b"go\n").unwrap();
    let expected: String = (1..=50_000).map(|number| format!("{number}\n")).collect();
    let thread = std::thread::spawn(move || everything(&mut also));
    assert_eq!(everything(&mut stays), (expected.clone(), String::new(), Answer::Exited(0)));
    assert_eq!(thread.join().unwrap().0, expected);
    assert_eq!(monitored.logged(), expected);
}

#[test]
fn stop_asks_first_and_kills_then() {
    let polite = run("trap 'exit 3' TERM; echo up; while :; do sleep 0.01; done", once());
    wait_for_output(&polite);
    let stop = Request::Stop { signal: None, timeout: None };
    assert_eq!(polite.client().ask(&stop).unwrap(), Answer::Exited(3));
    assert!(polite.thread.join().unwrap().unwrap().stopped);

    let deaf = run("trap '' TERM; echo up; while :; do sleep 0.01; done", once());
    wait_for_output(&deaf);
    let stop = Request::Stop { signal: None, timeout: Some(1) };
    assert_eq!(deaf.client().ask(&stop).unwrap(), Answer::Exited(137));
}

fn wait_for_output(monitored: &Monitored) {
    let until = std::time::Instant::now() + Duration::from_secs(60);
    while monitored.logged().is_empty() {
        assert!(std::time::Instant::now() < until, "nothing is written");
        std::thread::yield_now();
    }
}

#[test]
fn a_failing_container_is_started_again_as_often_as_allowed() {
    let monitored = run("exit 5", RestartPolicy::OnFailure { retries: 2 }.into());
    let exits: Vec<Exit> = (0..3).map(|_| monitored.next_exit()).collect();
    assert_eq!(exits.iter().map(|exit| exit.code).collect::<Vec<_>>(), [5, 5, 5]);
    let delays: Vec<_> =
        exits.iter().map(|exit| exit.restarts_in.map(|delay| delay.as_millis())).collect();
    assert_eq!(delays, [Some(100), Some(200), None]);
    assert_eq!(monitored.thread.join().unwrap().unwrap().restarts, 2);
}

#[test]
fn what_is_stopped_stays_ended_also_between_two_runs() {
    let monitored = run("exit 0", RestartPolicy::Always.into());
    // In a delay that grows there is time for it.
    for _ in 0..3 {
        monitored.next_exit();
    }
    let stop = Request::Stop { signal: None, timeout: None };
    assert_eq!(monitored.client().ask(&stop).unwrap(), Answer::Exited(0));
    monitored.thread.join().unwrap().unwrap();
}

#[test]
fn signals_are_sent_and_a_kill_that_is_meant_ends_the_restarts() {
    let script = "trap 'echo usr1' USR1; echo up; while :; do sleep 0.01; done";
    let monitored = run(script, RestartPolicy::Always.into());
    wait_for_output(&monitored);
    let mut client = monitored.attached();
    let usr1 = Request::Signal { number: libc::SIGUSR1, stays_ended: false };
    assert_eq!(monitored.client().ask(&usr1).unwrap(), Answer::Done);
    let Attachment::Output(LogStream::Stdout, bytes) = client.receive().unwrap() else {
        panic!("no output");
    };
    assert_eq!(bytes, b"usr1\n");
    let kill = Request::Signal { number: libc::SIGKILL, stays_ended: true };
    assert_eq!(monitored.client().ask(&kill).unwrap(), Answer::Done);
    assert_eq!(everything(&mut client).2, Answer::Exited(137));
    monitored.thread.join().unwrap().unwrap();
}

#[test]
fn waiting_for_one_end_and_for_the_last_one() {
    let monitored = run("read line; exit 4", RestartPolicy::OnFailure { retries: 1 }.into());
    let mut next = monitored.client();
    next.send(&Request::Wait { condition: WaitCondition::NextExit }).unwrap();
    let mut last = monitored.client();
    last.send(&Request::Wait { condition: WaitCondition::NotRunning }).unwrap();
    let resize = Request::Resize { rows: 1, columns: 1 };
    assert_eq!(monitored.client().ask(&resize).unwrap(), Answer::Done);
    monitored.attached().input(b"\n").unwrap();
    assert_eq!(next.receive().unwrap(), Attachment::Answered(Answer::Exited(4)));
    let kill = Request::Signal { number: libc::SIGKILL, stays_ended: true };
    monitored.next_exit();
    let until = std::time::Instant::now() + Duration::from_secs(60);
    while monitored.client().ask(&resize).unwrap() != Answer::Done {
        assert!(std::time::Instant::now() < until, "it does not start again");
    }
    assert_eq!(monitored.client().ask(&kill).unwrap(), Answer::Done);
    assert_eq!(last.receive().unwrap(), Attachment::Answered(Answer::Exited(137)));
    monitored.thread.join().unwrap().unwrap();
}

#[test]
fn requests_of_other_releases_are_answered() {
    let known = Request::Stop { signal: Some(15), timeout: None };
    let payload = known.to_payload().unwrap();
    assert_eq!(Request::from_payload(&payload).unwrap(), known);
    let newer = br#"{"version":9,"request":{"verb":"freeze","deeply":true}}"#;
    assert_eq!(Request::from_payload(newer).unwrap_err().kind(), crate::ErrorKind::Unsupported);
}
