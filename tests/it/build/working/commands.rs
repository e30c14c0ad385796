//! `run`: commands in working containers.

use super::{commit, verb, with_commands};
use crate::support::program::Sandbox;

fn run(sandbox: &Sandbox, args: &[&str]) -> String {
    verb(sandbox, &[&["run", "--network", "none"], args].concat())
}

#[test]
fn changes_stay_in_the_container() {
    let Some(sandbox) = with_commands() else { return };
    verb(&sandbox, &["from", "--name", "c", "base"]);
    assert_eq!(run(&sandbox, &["c", "--", "echo", "-n", "hello"]), "hello");
    run(&sandbox, &["c", "sh", "-c", "echo 1 > /f; mkdir /d; rm /etc/passwd"]);
    assert_eq!(run(&sandbox, &["c", "cat", "/f"]), "1");
    // What the machine needs for a command leaves no trace.
    let expected =
        ["d/ 755 0:0 dir", "etc/ 755 0:0 dir", "etc/.wh.passwd 644 0:0 \"\"", "f 644 0:0 \"1\\n\""];
    assert_eq!(commit(&sandbox, &["c"]).top(), expected);
    run(&sandbox, &["c", "true"]);
    assert_eq!(commit(&sandbox, &["c"]).top(), expected);
    assert!(sandbox.mounts().is_empty());
}

#[test]
fn nothing_is_left_of_a_command_without_effect() {
    let Some(sandbox) = with_commands() else { return };
    verb(&sandbox, &["from", "--name", "c", "base"]);
    run(&sandbox, &["--workingdir", "/made/for/it", "c", "true"]);
    assert!(commit(&sandbox, &["c"]).top().is_empty());
}

#[test]
fn what_a_command_is_told() {
    let Some(sandbox) = with_commands() else { return };
    sandbox.write("work/host/f", "from the host");
    verb(&sandbox, &["from", "--name", "c", "--add-host", "h:1.2.3.4", "base"]);
    verb(&sandbox, &["config", "--env", "A=1", "--user", "app", "--workingdir", "/tmp", "c"]);
    assert_eq!(run(&sandbox, &["c", "sh", "-c", "id -u; echo $A; pwd"]), "5\n1\n/tmp");
    let args = ["--user", "0", "-e", "A=2", "--workingdir", "/etc", "--hostname", "box", "c"];
    let script = "id -u; echo $A; pwd; hostname; grep -c 1.2.3.4 /etc/hosts";
    assert_eq!(run(&sandbox, &[&args[..], &["sh", "-c", script]].concat()), "0\n2\n/etc\nbox\n1");
    let mounted = ["-v", "./host:/m:ro", "c", "sh", "-c", "cat /m/f; ! touch /m/x"];
    assert_eq!(run(&sandbox, &mounted), "from the host");
    let memory = ["--mount", "type=tmpfs,target=/m", "--user", "0", "c", "touch", "/m/x"];
    run(&sandbox, &memory);
    let fed = sandbox.build(["run", "--network", "none", "c", "cat"]).input("fed").run().success();
    assert_eq!(fed.stdout, "fed");
    let rights = |flags: &[&str]| {
        run(
            &sandbox,
            &[flags, &["--user", "0", "c", "grep", "CapEff", "/proc/self/status"]].concat(),
        )
    };
    assert!(rights(&["--cap-drop", "ALL"]).ends_with("0000000000000000"));
    assert_ne!(rights(&["--cap-add", "NET_ADMIN"]), rights(&[]));
    assert!(commit(&sandbox, &["c"]).top().is_empty());
}

#[test]
fn how_a_command_ends() {
    let Some(sandbox) = with_commands() else { return };
    verb(&sandbox, &["from", "--name", "c", "base"]);
    let code =
        |args: &[&str]| sandbox.build(["run", "--network", "none", "c"]).args(args).run().code();
    assert_eq!(code(&["sh", "-c", "touch /f; exit 7"]), Some(7));
    assert_eq!(code(&["no-such-program"]), Some(127));
    assert_eq!(code(&["/etc"]), Some(126));
    assert_eq!(code(&[]), Some(2));
    // What it did before it failed is there.
    assert_eq!(commit(&sandbox, &["c"]).top(), ["f 644 0:0 \"\""]);
    sandbox.build(["run", "--isolation", "chroot", "c", "true"]).run().fails(2).says("chroot");
    sandbox.build(["run", "-v", "name:/m", "c", "true"]).run().fails(1).says("/m");
    sandbox.build(["run", "none", "true"]).run().fails(3);
    verb(&sandbox, &["run", "--network", "none", "--add-history", "c", "true"]);
    let history = commit(&sandbox, &["c"]).history();
    assert_eq!(history[history.len() - 2..], ["- /bin/sh -c true", "/bin/sh"]);
}

#[test]
fn a_mounted_container_runs_commands() {
    let Some(sandbox) = with_commands() else { return };
    verb(&sandbox, &["from", "--name", "c", "base"]);
    let place = verb(&sandbox, &["mount", "c"]);
    run(&sandbox, &["c", "sh", "-c", "echo 1 > /f"]);
    assert_eq!(std::fs::read_to_string(format!("{place}/f")).expect("a file"), "1\n");
    verb(&sandbox, &["umount", "c"]);
    assert_eq!(commit(&sandbox, &["c"]).top(), ["f 644 0:0 \"1\\n\""]);
}
