//! One container in the foreground: codes, streams, signals, its end.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::machine::{Machine, need_containers};

#[test]
fn the_exit_code_is_the_program_s() {
    need_containers!();
    let machine = Machine::new();
    machine.run(&[], &["true"]).run().success();
    machine.run(&[], &["false"]).run().fails(1);
    machine.run(&[], &["sh", "-c", "exit 32"]).run().fails(32);
    // The kernel keeps signals from process 1 that it has no handler for.
    machine.run(&[], &["sh", "-c", "kill -9 $$"]).run().success();
    machine.run(&[], &["sh", "-c", "sh -c 'kill -9 $$'; exit $?"]).run().fails(137);
    machine.run(&[], &["/no/such"]).run().fails(127).says("/no/such");
    machine.run(&[], &["no-such"]).run().fails(127).says("executable file not found in $PATH");
    machine.run(&[], &["/etc"]).run().fails(126).says("is a directory");
    machine.run(&[], &["/etc/passwd"]).run().fails(126).says("permission denied");
    machine.run(&["--no-such-flag"], &["true"]).run().fails(125);
    machine.run(&["--user", "nobody-here"], &["true"]).run().fails(125).says("nobody-here");
    machine.run(&["-v", "/no/such/dir:/x:nocopy"], &["true"]).run().fails(125);
    machine.nothing_left();
}

#[test]
fn programs_in_mounts_have_the_same_codes() {
    need_containers!();
    use std::os::unix::fs::{PermissionsExt, symlink};
    let machine = Machine::new();
    let tools = machine.sandbox.path("tools");
    std::fs::create_dir(&tools).unwrap();
    let put = |name: &str, content: &[u8], mode: u32| {
        std::fs::write(tools.join(name), content).unwrap();
        std::fs::set_permissions(tools.join(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    put("plain", b"#!/bin/sh\n", 0o644);
    put("script", b"#!/bin/sh\nexit 6\n", 0o755);
    put("fails", b"#!/bin/sh\nexit 1\n", 0o755);
    put("orphan", b"#!/no/such/shell\n", 0o755);
    put("text", b"no program\n", 0o755);
    let mut elf = std::fs::read("/bin/busybox").unwrap();
    // e_machine: AArch64.
    elf[18..20].copy_from_slice(&183u16.to_le_bytes());
    put("arm", &elf, 0o755);
    symlink("/opt/tools/none", tools.join("dangling")).unwrap();
    // By the container's idea of paths.
    symlink("/opt/tools/script", tools.join("link")).unwrap();
    let bind = format!("{}:/opt/tools", tools.display());
    let file = format!("{}:/one", tools.join("plain").display());
    for (program, code, says) in [
        ("/opt/tools/script", 6, ""),
        ("/opt/tools/fails", 1, ""),
        ("/opt/tools/orphan", 126, "its interpreter /no/such/shell is missing"),
        ("/opt/tools/text", 126, "exec format error"),
        ("/opt/tools/arm", 126, "built for arm64, this host is amd64"),
        ("orphan", 126, "its interpreter /no/such/shell is missing"),
        ("/opt/tools/link", 6, ""),
        ("/opt/tools/none", 127, "/opt/tools/none"),
        ("/opt/tools/dangling", 127, "/opt/tools/dangling"),
        ("/opt/tools/plain", 126, "permission denied"),
        ("/opt/tools", 126, "is a directory"),
        ("/one", 126, "permission denied"),
        ("no-such", 127, "executable file not found in $PATH"),
    ] {
        let flags = ["-v", &bind, "-v", &file, "-e", "PATH=/opt/tools:/bin"];
        machine.run(&flags, &[program]).run().fails(code).says(says);
    }
    machine.run(&["-v", "v:/opt/tools"], &["/opt/tools/none"]).run().fails(127);
    // What fails for another reason is no missing program.
    let broken = ["-v", &bind, "--sysctl", "net.ipv4.ip_forward=x"];
    machine.run(&broken, &["/opt/tools/script"]).run().fails(125);
    machine.creel(["volume", "rm", "v"]).run().success();
    machine.nothing_left();
}

#[test]
fn streams_that_are_not_attached_stay_out() {
    need_containers!();
    let machine = Machine::new();
    let script = "cat; echo out; echo err >&2";
    for (flags, expected) in [
        (&["-a", "stdout"][..], ("out\n", "")),
        (&["-a", "STDERR"], ("", "err\n")),
        (&["--attach", "stdout", "--attach=stderr"], ("out\n", "err\n")),
        (&["-i", "-a", "stdin", "-a", "stdout"], ("in\nout\n", "")),
        // Input takes -i as well.
        (&["-a", "stdin", "-a", "stdout"], ("out\n", "")),
        (&["-i", "-a", "stdout"], ("out\n", "")),
    ] {
        let out = machine.run(flags, &["sh", "-c", script]).input("in\n").run().success();
        assert_eq!((out.stdout.as_str(), out.stderr.as_str()), expected, "{flags:?}");
    }
    let volume = ["-v", "v:/v", "-i", "-a", "stdin"];
    let out = machine.run(&volume, &["sh", "-c", "cat > /v/got"]).input("in\n").run().success();
    assert_eq!((out.stdout.trim().len(), out.stderr.as_str()), (64, ""));
    assert_eq!(machine.shell(&["-v", "v:/v"], "cat /v/got"), "in\n");
    let bad = machine.run(&["-a", "stdlog"], &["true"]).run().fails(125);
    bad.says("expected stdin, stdout or stderr");
    machine.creel(["volume", "rm", "v"]).run().success();
    machine.nothing_left();
}

#[test]
fn streams_stay_apart_and_clean() {
    need_containers!();
    let machine = Machine::new();
    let out = machine.run(&[], &["sh", "-c", "echo out; echo err >&2"]).run().success();
    assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("out\n", "err\n"));
    let out = machine.run(&[], &["sh", "-c", "yes 0123456789abcde | head -c 4096000"]).run();
    assert_eq!(out.success().stdout.len(), 4_096_000);
    let out = machine.run(&["-i"], &["cat"]).input("one\ntwo").run().success();
    assert_eq!(out.stdout, "one\ntwo");
    assert_eq!(machine.run(&[], &["cat"]).input("unread").run().success().stdout, "");
}

#[test]
fn signals_reach_the_program() {
    need_containers!();
    let machine = Machine::new();
    let script = "trap 'echo BYE; exit 7' INT; echo ready; while :; do sleep 0.05; done";
    let running = machine.run(&[], &["sh", "-c", script]).start();
    let out = running.interrupt_after(Duration::from_secs(2)).fails(7);
    assert_eq!(out.stdout, "ready\nBYE\n");
    machine.nothing_left();
}

#[test]
fn signals_can_be_kept_from_the_program() {
    need_containers!();
    let machine = Machine::new();
    let here = machine.sandbox.path("here");
    std::fs::create_dir(&here).unwrap();
    let bind = format!("{}:/here", here.display());
    let script = "trap 'echo caught; exit 7' INT TERM; echo up > /here/up; \
                  while test ! -e /here/go; do sleep 0.05; done; echo alone";
    // No keys that leave a container: that is what the empty list means.
    let start = |flags: &[&str]| {
        let flags = [flags, &["--detach-keys", "", "-v", &bind]].concat();
        let running = machine.run(&flags, &["sh", "-c", script]).start();
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        while std::fs::remove_file(here.join("up")).is_err() {
            assert!(std::time::Instant::now() < deadline, "it does not come up");
            std::thread::sleep(Duration::from_millis(5));
        }
        running
    };
    let running = start(&[]);
    running.signal(Signal::SIGTERM);
    assert_eq!(running.wait().fails(7).stdout, "caught\n");
    let running = start(&["--sig-proxy=false"]);
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        running.signal(signal);
    }
    std::fs::write(here.join("go"), "").unwrap();
    assert_eq!(running.wait().success().stdout, "alone\n");
    let keys = machine.run(&["--detach-keys", "ctrl-a"], &["true"]).run().fails(125);
    keys.says("--detach-keys needs --detach");
    machine.nothing_left();
}

#[test]
fn time_is_limited() {
    need_containers!();
    let machine = Machine::new();
    machine.run(&["--timeout", "1"], &["sleep", "100"]).run().fails(255);
    machine.nothing_left();
}

#[test]
fn what_is_killed_is_swept_by_the_next_run() {
    need_containers!();
    let machine = Machine::new();
    let running = machine.run(&[], &["sh", "-c", "echo up; sleep 1000"]).start();
    let id = running.id();
    std::thread::sleep(Duration::from_secs(2));
    running.signal(Signal::SIGKILL);
    assert!(machine.sandbox.mounts().is_empty(), "a mount got out");
    machine.run(&[], &["true"]).run().success();
    machine.nothing_left();
    // Its pipes are closed: nothing of it runs any more.
    assert_eq!(running.wait().stdout, "up\n", "{id}");
}

#[test]
fn a_directory_can_be_run() {
    need_containers!();
    let machine = Machine::new();
    let tree = machine.sandbox.path("tree");
    std::fs::create_dir_all(tree.join("bin")).unwrap();
    std::fs::copy("/bin/busybox", tree.join("bin/sh")).unwrap();
    let tree = tree.display().to_string();
    let words = ["--rm", "--network=none", "--rootfs", &tree, "sh", "-c", "echo $HOSTNAME; exit 3"];
    let out = machine.creel(words).run().fails(3);
    assert_eq!(out.stdout.trim().len(), 12);
    machine.nothing_left();
}
