//! Containers on a terminal, with a pseudo terminal in the place of a person's.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::pty::{OpenptyResult, Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, ttyname};

use super::machine::{Machine, need_containers};
use crate::support::program::find_program;

const PATIENCE: Duration = Duration::from_secs(60);

/// A terminal, and what was shown on it.
struct Terminal {
    keys: File,
    /// Held, so that what is shown can be read when nobody has it any more.
    own_end: OwnedFd,
    path: PathBuf,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    fn new(rows: u16, columns: u16) -> Terminal {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let OpenptyResult { master, slave } = openpty(&size, None).unwrap();
        let path = ttyname(&slave).unwrap();
        let keys = File::from(master);
        let shown = Arc::new(Mutex::new(Vec::new()));
        let (mut screen, seen) = (keys.try_clone().unwrap(), Arc::clone(&shown));
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = screen.read(&mut piece) {
                seen.lock().unwrap().extend(&piece[..length]);
            }
        });
        Terminal { keys, own_end: slave, path, shown }
    }

    /// `creel-run --rm --network none FLAGS app sh -c SCRIPT`, as a shell on this terminal would
    /// start it.
    fn start(&self, machine: &Machine, flags: &[&str], script: &str) -> Child {
        let program = find_program("creel-run").display().to_string();
        let first = ["--ctty", &program, "--rm", "--network", "none"];
        let words = [&first[..], flags, &["app", "sh", "-c", script]].concat();
        let started = machine.sandbox.command("setsid", words).env("CREEL_STATE", machine.state());
        let mut command = started.into_command();
        let end = || self.own_end.try_clone().unwrap();
        command.stdin(end()).stdout(end()).stderr(end());
        command.spawn().unwrap()
    }

    fn press(&self, keys: &str) {
        (&self.keys).write_all(keys.as_bytes()).unwrap();
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap()).into_owned()
    }

    /// Waits until this is shown.
    #[track_caller]
    fn shows(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.text().contains(text) {
            assert!(Instant::now() < deadline, "{text:?} is not shown: {:?}", self.text());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What `stty` says about it, or makes of it.
    fn stty(&self, words: &[&str]) -> String {
        let out = Command::new("stty").arg("-F").arg(&self.path).args(words).output().unwrap();
        assert!(out.status.success(), "{out:?}");
        String::from_utf8(out.stdout).unwrap()
    }
}

/// Waits for the end; the exit code.
#[track_caller]
fn code(mut child: Child) -> Option<i32> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            panic!("it does not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn id(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap())
}

#[test]
fn keys_go_in_and_come_back() {
    need_containers!();
    let machine = Machine::new();
    let terminal = Terminal::new(33, 101);
    let before = terminal.stty(&["-g"]);
    let child = terminal.start(&machine, &["-it"], "tty; stty size; echo $TERM; cat; exit 7");
    terminal.shows("/dev/pts/0\r\n33 101\r\nxterm\r\n");
    assert_ne!(terminal.stty(&["-g"]), before, "it is not raw");
    terminal.press("hello\n");
    terminal.shows("xterm\r\nhello\r\nhello\r\n");
    // The end of input, as the inner terminal takes it.
    terminal.press("\u{4}");
    assert_eq!(code(child), Some(7));
    assert_eq!(terminal.stty(&["-g"]), before);
    machine.nothing_left();
}

#[test]
fn control_c_reaches_the_program() {
    need_containers!();
    let machine = Machine::new();
    let terminal = Terminal::new(24, 80);
    let before = terminal.stty(&["-g"]);
    let script = "trap 'echo caught; exit 5' INT; echo ready; while :; do sleep 0.05; done";
    let child = terminal.start(&machine, &["-it"], script);
    terminal.shows("ready\r\n");
    terminal.press("\u{3}");
    terminal.shows("caught\r\n");
    assert_eq!(code(child), Some(5));
    assert_eq!(terminal.stty(&["-g"]), before);
}

#[test]
fn another_size_gets_through() {
    need_containers!();
    let machine = Machine::new();
    let terminal = Terminal::new(24, 80);
    let script = "trap 'stty size; exit 3' WINCH; stty size; while :; do sleep 0.05; done";
    let child = terminal.start(&machine, &["-it"], script);
    terminal.shows("24 80\r\n");
    terminal.stty(&["rows", "50", "cols", "132"]);
    terminal.shows("50 132\r\n");
    assert_eq!(code(child), Some(3));
    machine.nothing_left();
}

#[test]
fn the_terminal_is_as_before_however_it_ends() {
    need_containers!();
    let machine = Machine::new();
    let pidfile = machine.sandbox.path("pid");
    let flags = ["-it", "--pidfile", &pidfile.display().to_string()];
    let script = "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done";
    for (signal, expected) in [(Signal::SIGKILL, 137), (Signal::SIGTERM, 5)] {
        let terminal = Terminal::new(24, 80);
        let before = terminal.stty(&["-g"]);
        let child = terminal.start(&machine, &flags, script);
        terminal.shows("ready\r\n");
        let target = match signal {
            // The container's own process, behind the back of everybody.
            Signal::SIGKILL => {
                Pid::from_raw(std::fs::read_to_string(&pidfile).unwrap().trim().parse().unwrap())
            }
            _ => id(&child),
        };
        kill(target, signal).unwrap();
        assert_eq!(code(child), Some(expected), "{signal}: {:?}", terminal.text());
        assert_eq!(terminal.stty(&["-g"]), before, "{signal}");
        machine.nothing_left();
    }
    // One that cannot start.
    let terminal = Terminal::new(24, 80);
    let before = terminal.stty(&["-g"]);
    let child = terminal.start(&machine, &["-it", "-u", "nobody-here"], "true");
    assert_eq!(code(child), Some(125));
    assert_eq!(terminal.stty(&["-g"]), before);
}

#[test]
fn a_terminal_without_input() {
    need_containers!();
    let machine = Machine::new();
    let terminal = Terminal::new(24, 80);
    let child = terminal.start(&machine, &["-t"], "test -t 1 && echo screen; echo err >&2");
    // The outer one is not raw, so that control-C still is one; it adds its own.
    terminal.shows("screen\r\r\nerr\r\r\n");
    assert_eq!(code(child), Some(0));
    // Where there is none outside, programs have one all the same.
    let out = machine.run(&["-t"], &["sh", "-c", "test -t 0 && tty; echo err >&2"]).run().success();
    assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("/dev/pts/0\r\nerr\r\n", ""));
    let refused = machine.run(&["-it"], &["true"]).input("x").run().fails(125);
    refused.says("the input device is not a TTY");
    machine.nothing_left();
}

#[test]
fn without_a_terminal_inside_the_outer_one_stays_as_it_is() {
    need_containers!();
    let machine = Machine::new();
    let terminal = Terminal::new(24, 80);
    let before = terminal.stty(&["-g"]);
    let child = terminal.start(&machine, &["-i"], "test -t 0 || echo none; read line; echo $line");
    terminal.shows("none\r\n");
    assert_eq!(terminal.stty(&["-g"]), before);
    terminal.press("word\n");
    // Once as the outer terminal's echo.
    terminal.shows("word\r\nword\r\n");
    assert_eq!(code(child), Some(0));
}
