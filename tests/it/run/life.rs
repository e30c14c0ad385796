//! Containers in the background: started, stopped, watched, entered.

use std::time::{Duration, Instant};

use super::machine::{Machine, base, need_containers};
use crate::support::program::Output;

/// `creel-run run -d --network none FLAGS app sh -c SCRIPT`.
fn run(machine: &Machine, flags: &[&str], script: &str) -> Output {
    let words = ["run", "-d", "--network", "none"];
    let command = ["app", "sh", "-c", script];
    machine.creel(words.iter().chain(flags).chain(&command)).run()
}

fn field(machine: &Machine, name: &str, format: &str) -> String {
    let out = machine.creel(["inspect", "-f", format, name]).run().success().stdout;
    out.trim_end().to_owned()
}

/// Waits until a field of `inspect` has a value.
#[track_caller]
fn until(machine: &Machine, name: &str, format: &str, value: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while field(machine, name, format) != value {
        assert!(Instant::now() < deadline, "{format} is {}", field(machine, name, format));
    }
}

/// Ends at once when it is asked to, with code 3.
const POLITE: &str = "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.05; done";

#[test]
fn a_service_is_started_watched_stopped_and_started_again() {
    need_containers!();
    let machine = Machine::new();
    let id = run(&machine, &["--name", "web"], POLITE).success().stdout;
    assert_eq!(id.trim().len(), 64);
    assert_eq!(field(&machine, "web", "{{.State.Status}} {{.State.Running}}"), "running true");
    let follow = machine.creel(["logs", "-f", "web"]).start();
    let out = machine.creel(["exec", "web", "sh", "-c", "echo in $HOSTNAME; exit 9"]).run();
    assert_eq!(out.fails(9).stdout, format!("in {}\n", &id[..12]));
    machine.creel(["rm", "web"]).run().fails(1).says("is running");
    assert_eq!(machine.creel(["stop", "web"]).run().success().stdout, "web\n");
    assert_eq!(follow.wait().success().stdout, "up\nbye\n");
    let state = "{{.State.Status}} {{.State.ExitCode}} {{.State.Pid}}";
    assert_eq!(field(&machine, "web", state), "exited 3 0");
    assert_eq!(machine.creel(["wait", "web"]).run().success().stdout, "3\n");
    assert_eq!(machine.creel(["stop", "web"]).run().success().stdout, "web\n");
    machine.creel(["kill", "web"]).run().fails(1).says("is not running");
    assert_eq!(machine.creel(["start", "web"]).run().success().stdout, "web\n");
    assert_eq!(machine.creel(["start", "web"]).run().success().stdout, "web\n");
    machine.creel(["kill", "-s", "TERM", "web"]).run().success();
    assert_eq!(machine.creel(["wait", "web"]).run().success().stdout, "3\n");
    let tail = machine.creel(["logs", "--tail", "3", "web"]).run().success().stdout;
    assert_eq!(tail, "bye\nup\nbye\n");
    assert_eq!(machine.creel(["rm", "web"]).run().success().stdout, "web\n");
    machine.nothing_left();
}

#[test]
fn what_was_written_in_a_run_is_there_in_the_next() {
    need_containers!();
    let machine = Machine::with(base().config("Volumes", serde_json::json!({"/data": {}})));
    let words = ["create", "--network", "none", "--name", "c", "-v", "named:/named", "app"];
    let script = "echo x >> /data/f; echo x >> /named/f; echo x >> /f; cat /data/f /named/f /f";
    machine.creel(words.iter().chain(&["sh", "-c", script])).run().success();
    assert_eq!(field(&machine, "c", "{{.State.Status}}"), "created");
    assert_eq!(machine.creel(["wait", "c"]).run().success().stdout, "0\n");
    for _ in 0..2 {
        machine.creel(["start", "c"]).run().success();
        machine.creel(["wait", "c"]).run().success();
    }
    let lines = machine.creel(["logs", "c"]).run().success().stdout;
    assert_eq!(lines, "x\n".repeat(3 + 6));
    machine.creel(["rm", "-v", "c"]).run().success();
    let volumes = machine.creel(["volume", "ls", "-q"]).run().success().stdout;
    assert_eq!(volumes, "named\n");
    machine.nothing_left();
}

#[test]
fn a_policy_starts_a_failing_container_again() {
    need_containers!();
    let machine = Machine::new();
    run(&machine, &["--name", "c", "--restart", "on-failure:2"], "echo run; exit 5").success();
    assert_eq!(machine.creel(["wait", "c"]).run().success().stdout, "5\n");
    assert_eq!(machine.creel(["logs", "c"]).run().success().stdout, "run\n".repeat(3));
    until(&machine, "c", "{{.RestartCount}} {{.State.Status}}", "2 exited");
    let policy =
        "{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}";
    assert_eq!(field(&machine, "c", policy), "on-failure 2");
    run(&machine, &["--name", "d", "--restart", "always"], "exit 0").success();
    until(&machine, "d", "{{.State.Status}}", "restarting");
    machine.creel(["stop", "d"]).run().success();
    assert_eq!(field(&machine, "d", "{{.State.Status}}"), "exited");
    machine.creel(["rm", "-f", "c", "d"]).run().success();
    machine.nothing_left();
}

#[test]
fn what_cannot_start_says_why_and_stays_to_be_looked_at() {
    need_containers!();
    let machine = Machine::new();
    let words = ["run", "-d", "--network", "none", "--name", "c", "app", "nope"];
    machine.creel(words).run().fails(127).says("executable file not found");
    assert_eq!(field(&machine, "c", "{{.State.Status}} {{.State.ExitCode}}"), "created 127");
    assert!(field(&machine, "c", "{{.State.Error}}").contains("nope"));
    machine.creel(["start", "c"]).run().fails(1).says("executable file not found");
    machine.creel(["exec", "c", "true"]).run().fails(125).says("is not running");
    machine.creel(["rm", "c"]).run().success();
    let gone = ["run", "-d", "--rm", "--network", "none", "--name", "c", "app", "nope"];
    machine.creel(gone).run().fails(127);
    machine.nothing_left();
}

#[test]
fn a_paused_container_stands_still() {
    need_containers!();
    let machine = Machine::new();
    run(&machine, &["--name", "c"], POLITE).success();
    machine.creel(["pause", "c"]).run().success();
    assert_eq!(field(&machine, "c", "{{.State.Status}} {{.State.Paused}}"), "paused true");
    machine.creel(["exec", "c", "true"]).run().fails(125).says("is paused");
    machine.creel(["pause", "c"]).run().fails(1).says("already paused");
    machine.creel(["unpause", "c"]).run().success();
    machine.creel(["unpause", "c"]).run().fails(1).says("is not paused");
    machine.creel(["pause", "c"]).run().success();
    machine.creel(["stop", "c"]).run().success();
    assert_eq!(field(&machine, "c", "{{.State.ExitCode}}"), "3");
    machine.creel(["rm", "c"]).run().success();
    machine.nothing_left();
}

#[test]
fn a_command_inside_has_streams_variables_and_codes_of_its_own() {
    need_containers!();
    let machine = Machine::new();
    run(&machine, &["--name", "c", "-e", "A=1", "-w", "/tmp"], POLITE).success();
    let exec = |flags: &[&str], command: &[&str]| {
        machine.creel(["exec"].iter().chain(flags).chain(&["c"]).chain(command)).run()
    };
    let script = "echo $A $B $PWD $(id -un) $HOME; echo oops >&2; exit 7";
    let out = exec(&["-e", "B=2", "-w", "/bin", "-u", "web"], &["sh", "-c", script]).fails(7);
    assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("1 2 /bin web /home/web\n", "oops\n"));
    exec(&[], &["nope"]).fails(127).says("executable file not found");
    exec(&[], &["/etc/passwd"]).fails(126);
    exec(&["-u", "nobody-here"], &["true"]).fails(125).says("unable to find user");
    exec(&["-d"], &["sh", "-c", "echo later > /later"]).success();
    let seen = exec(&[], &["sh", "-c", "until [ -s /later ]; do sleep 0.01; done; cat /later"]);
    assert_eq!(seen.success().stdout, "later\n");
    let input = machine.creel(["exec", "-i", "c", "cat"]).input("typed").run();
    assert_eq!(input.success().stdout, "typed");
    let plain = exec(&[], &["sh", "-c", "grep CapEff /proc/self/status"]).success().stdout;
    let mighty = exec(&["--privileged"], &["sh", "-c", "grep CapEff /proc/self/status"]);
    assert_ne!(plain, mighty.success().stdout);
    machine.creel(["rm", "-f", "c"]).run().success();
    machine.nothing_left();
}

#[test]
fn one_attaches_to_what_runs() {
    need_containers!();
    let machine = Machine::new();
    run(&machine, &["-i", "--name", "c"], "read a; echo got $a; read b; exit 6").success();
    let out = machine.creel(["attach", "c"]).input("one\ntwo\n").run();
    assert_eq!(out.fails(6).stdout, "got one\n");
    machine.creel(["attach", "c"]).run().fails(125).says("is not running");
    machine.creel(["rm", "c"]).run().success();
    machine.nothing_left();
}

#[test]
fn logs_are_bounded_and_readable_by_others() {
    need_containers!();
    let machine = Machine::new();
    let flags = ["--name", "c", "--log-driver", "json-file", "--log-opt", "max-size=20k"];
    run(&machine, &[&flags[..], &["--log-opt", "max-file=2"]].concat(), "seq 5000").success();
    machine.creel(["wait", "c"]).run().success();
    let out = machine.creel(["logs", "c"]).run().success().stdout;
    let first: u32 = out.lines().next().unwrap().parse().unwrap();
    assert!(first > 1, "nothing was rotated away");
    let expected: String = (first..=5000).map(|number| format!("{number}\n")).collect();
    assert_eq!(out, expected);
    let stamped = machine.creel(["logs", "-t", "-n", "1", "c"]).run().success().stdout;
    assert!(stamped.ends_with("Z 5000\n") && stamped.len() == 30 + 6, "{stamped}");
    let id = field(&machine, "c", "{{.Id}}");
    let file = machine.sandbox.store().join("containers").join(id).join("log/container.log");
    let text = std::fs::read_to_string(file).unwrap();
    let record: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((&record["log"], &record["stream"]), (&"5000\n".into(), &"stdout".into()));
    run(&machine, &["--name", "d", "--log-driver", "none"], "echo x").success();
    machine.creel(["logs", "d"]).run().fails(1).says("does not support reading");
    machine.creel(["rm", "-f", "c", "d"]).run().success();
    machine.nothing_left();
}

#[test]
fn no_line_of_much_output_is_lost() {
    need_containers!();
    let machine = Machine::new();
    let count = if std::env::var_os("CREEL_SOAK").is_some() { 20_000_000 } else { 300_000 };
    let script = format!("read go; seq {count}");
    let flags = ["-i", "--name", "c", "--log-opt", "max-size=1m", "--log-opt", "max-file=1000"];
    run(&machine, &flags, &script).success();
    let follow = machine.creel(["logs", "-f", "c"]).start();
    let attached = machine.creel(["attach", "c"]).input("go\n").run().success().stdout;
    let expected: String = (1..=count).map(|number| format!("{number}\n")).collect();
    assert!(attached == expected, "an attached client missed something");
    assert!(follow.wait().success().stdout == expected, "a follower missed something");
    assert!(machine.creel(["logs", "c"]).run().success().stdout == expected, "the log has a gap");
    machine.creel(["rm", "-f", "c"]).run().success();
    machine.nothing_left();
}

#[test]
fn an_idle_monitor_is_small_and_sleeps() {
    need_containers!();
    let machine = Machine::new();
    run(&machine, &["--name", "c"], "sleep 1000").success();
    let id = field(&machine, "c", "{{.Id}}");
    let monitor = monitors(&machine, &id);
    let [monitor] = monitor.as_slice() else { panic!("{monitor:?}") };
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{monitor}/{file}")).unwrap();
    let number = |text: &str, name: &str| -> u64 {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let memory = read("smaps_rollup");
    assert!(number(&memory, "Private_Dirty:") < 3 << 10, "{memory}");
    let switches = || number(&read("status"), "voluntary_ctxt_switches:");
    let before = switches();
    machine.creel(["exec", "c", "sleep", "0.5"]).run().success();
    assert_eq!(switches(), before, "the monitor woke up");
    machine.creel(["rm", "-f", "c"]).run().success();
    machine.nothing_left();
}

/// The processes that hold a container's lock.
fn monitors(machine: &Machine, id: &str) -> Vec<u32> {
    let lock = machine.sandbox.store().join("containers").join(id).join("lock");
    let holds = |pid: &u32| {
        let files = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        files.filter_map(|file| std::fs::read_link(file.path()).ok()).any(|path| path == lock)
    };
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(holds).collect()
}
