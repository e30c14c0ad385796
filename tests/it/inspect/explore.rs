//! `explore` in a real terminal of 80 columns and 24 rows.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::image::{image, layer};
use crate::support::peers::need;
use crate::support::program::{Sandbox, find_program};

/// How long the screen may take to show something.
const PATIENCE: Duration = Duration::from_secs(30);

/// A terminal of its own, with a server of its own.
struct Terminal {
    socket: PathBuf,
}

impl Terminal {
    fn start(sandbox: &Sandbox, words: &str) -> Terminal {
        let terminal = Terminal { socket: sandbox.path("tmux") };
        let program = find_program("creel-inspect");
        let (store, work) = (sandbox.store(), sandbox.work(""));
        let line = format!(
            "cd {} && CREEL_ROOT={} {} {words}; echo ended with $?; exec sleep 100",
            work.display(),
            store.display(),
            program.display()
        );
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", &line]);
        terminal
    }

    fn tmux(&self, words: &[&str]) -> String {
        let output = Command::new("tmux").arg("-S").arg(&self.socket).args(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys", "-t", ":"], keys].concat());
    }

    /// The screen as soon as it shows this.
    #[track_caller]
    fn shows(&self, part: &str) -> String {
        self.waits(part, |screen| screen.contains(part))
    }

    #[track_caller]
    fn hides(&self, part: &str) -> String {
        self.waits(part, |screen| !screen.contains(part))
    }

    #[track_caller]
    fn waits(&self, what: &str, done: impl Fn(&str) -> bool) -> String {
        let (start, mut last) = (Instant::now(), String::new());
        loop {
            let screen = self.tmux(&["capture-pane", "-p", "-t", ":"]);
            // Drawing may be half done.
            if done(&screen) && screen == last {
                return screen;
            }
            assert!(start.elapsed() < PATIENCE, "waiting for {what:?}:\n{screen}");
            last = screen;
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux").arg("-S").arg(&self.socket).arg("kill-server").output();
    }
}

#[test]
fn an_image_is_explored_with_keys() {
    need!("tmux");
    let sandbox = Sandbox::new();
    let built = image()
        .layer(
            layer()
                .dir("etc")
                .file("etc/motd", "hello from the file\n")
                .file("etc/old", vec![b'x'; 500])
                .dir("usr")
                .file("usr/evil\u{1b}[31m", "x")
                .created_by("RUN first"),
        )
        .layer(
            layer()
                .file("etc/motd", "changed\n")
                .whiteout("etc/old")
                .file("etc/new", vec![b'n'; 2000])
                .created_by("RUN second"),
        )
        .build();
    built.write_layout(&sandbox.work("l"), Some("1"));
    let terminal = Terminal::start(&sandbox, "explore oci:l:1");
    let screen = terminal.shows("RUN second");
    let lines: Vec<&str> = screen.lines().collect();
    assert_eq!(lines[0], "oci:l:1", "{screen}");
    assert!(lines[1].contains(" Layers (2) ") && lines[1].contains(" Files up to layer 2 "));
    assert!(lines[23].contains("Tab side") && lines[23].contains("q quit"), "{screen}");
    assert!(screen.contains("> etc") && !screen.contains("motd"), "{screen}");
    // Everything open: what the second layer did is marked.
    terminal.keys(&["e"]);
    let screen = terminal.shows("motd");
    for part in ["2.01 kB   v etc", "8 B ~     motd", "2.00 kB +     new", "500 B -     old"] {
        assert!(screen.contains(part), "{part}\n{screen}");
    }
    assert!(screen.contains("evil\\u{1b}[31m"), "{screen}");
    // The first layer alone.
    terminal.keys(&["k"]);
    let screen = terminal.shows("Files up to layer 1");
    assert!(screen.contains("+     motd") && !screen.contains("new"), "{screen}");
    // A file opens, and closes.
    terminal.keys(&["Tab", "j", "Enter"]);
    let screen = terminal.shows("hello from the file");
    assert!(screen.contains(" /etc/motd "), "{screen}");
    terminal.keys(&["Escape"]);
    terminal.hides("hello from the file");
    // The filter shows what matches and what leads there.
    terminal.keys(&["/", "evil"]);
    terminal.shows("filter: evil_");
    let screen = terminal.hides("motd");
    assert!(screen.contains("v usr"), "{screen}");
    terminal.keys(&["Escape"]);
    terminal.shows("motd");
    // Waste of the whole image.
    terminal.keys(&["w"]);
    let screen = terminal.shows(" Waste: ");
    assert!(screen.contains("2x /etc/motd"), "{screen}");
    terminal.keys(&["Escape", "q"]);
    terminal.shows("ended with 0");
}

#[test]
fn without_a_terminal_there_is_nothing_to_explore() {
    let sandbox = Sandbox::new();
    sandbox.inspect(["explore", "oci:l:1"]).run().fails(2).says("needs a terminal");
}
