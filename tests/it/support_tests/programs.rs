//! The runner shows what a program did, and keeps it away from the machine's own settings.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::program::{Sandbox, find_program};

fn shell(sandbox: &Sandbox, script: &str) -> crate::support::program::Invocation {
    sandbox.command("sh", ["-c", script])
}

#[test]
fn surroundings() {
    let sandbox = Sandbox::new();
    let out = shell(&sandbox, "env | cut -d= -f1 | sort | tr '\\n' ' '; pwd").run().success();
    let names = "CONTAINERS_REGISTRIES_CONF CREEL_ROOT DOCKER_CONFIG HOME LC_ALL PATH PWD TMPDIR TZ \
                 XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME XDG_RUNTIME_DIR ";
    assert_eq!(out.stdout, format!("{names}{}\n", sandbox.path("work").display()));
    let out = shell(&sandbox, "echo $A; cat; ls -d $HOME $TMPDIR $XDG_CONFIG_HOME/containers >&2")
        .env("A", "b")
        .input("typed\n")
        .run()
        .success();
    assert_eq!(out.stdout, "b\ntyped\n");
    assert_eq!(out.stderr.lines().count(), 3);
    sandbox.log_in("host", "user", "secret");
    let out = shell(&sandbox, "cat $DOCKER_CONFIG/config.json").run();
    assert_eq!(out.json()["auths"]["host"]["auth"], "dXNlcjpzZWNyZXQ=");
}

#[test]
fn ends() {
    let sandbox = Sandbox::new();
    let out =
        shell(&sandbox, "echo out; echo err >&2; exit 3").run().fails(3).says("err").hides("x");
    assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("out\n", "err\n"));
    let shown = out.to_string();
    assert!(shown.contains("exit 3") && shown.contains("out\n") && shown.contains("err\n"));
    let failed =
        std::panic::catch_unwind(|| shell(&Sandbox::new(), "echo why >&2; exit 4").run().success());
    let message = *failed.err().expect("a panic").downcast::<String>().expect("a message");
    assert!(message.contains("why") && message.contains("Some(4)"), "{message}");
}

#[test]
fn signals() {
    use std::os::unix::process::ExitStatusExt as _;
    let sandbox = Sandbox::new();
    let long = "trap 'echo caught; exit 5' INT; touch begun; while :; do sleep 0.01; done";
    let running = shell(&sandbox, long).start();
    let begun = sandbox.work("begun");
    while !begun.exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    running.signal(Signal::SIGINT);
    assert_eq!(running.wait().fails(5).stdout, "caught\n");
    let out = sandbox.command("sleep", ["60"]).start().interrupt_after(Duration::from_millis(5));
    assert_eq!(out.status.signal(), Some(Signal::SIGINT as i32));
    let out = sandbox.command("sleep", ["60"]).start().kill_after(Duration::from_millis(5));
    assert_eq!((out.code(), out.status.signal()), (None, Some(Signal::SIGKILL as i32)));
    std::fs::remove_file(&begun).expect("removing the mark");
    let out = shell(&sandbox, long).start().kill_when(|| begun.exists());
    assert_eq!(out.status.signal(), Some(Signal::SIGKILL as i32));
}

#[test]
fn a_missing_program_is_named() {
    let found = std::panic::catch_unwind(|| find_program("creel-nothing"));
    let message = *found.expect_err("a panic").downcast::<String>().expect("a message");
    assert!(message.contains("/creel-nothing is missing: build the programs first"), "{message}");
}

#[test]
fn output_held_by_a_child_is_not_waited_for() {
    let sandbox = Sandbox::new();
    let running = shell(&sandbox, "sleep 10 & echo").start().patience(Duration::from_millis(50));
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| running.wait()));
    let message = *result.err().expect("a panic").downcast::<String>().expect("a message");
    assert!(message.contains("a process that it started still holds its output"), "{message}");
}

#[test]
fn memory_is_seen() {
    let sandbox = Sandbox::new();
    let copy = ["if=/dev/zero", "of=/dev/null", "bs=64M", "count=20"];
    let big = sandbox.command("dd", copy).run().success().peak_memory;
    assert!((64 << 20..256 << 20).contains(&big), "{big}");
}
