//! Output streams that others made: non-blocking, full, or closed.

use std::os::unix::process::ExitStatusExt;

use nix::sys::signal::Signal;

use crate::support::image::{image, layer};
use crate::support::program::{Invocation, Output, Sandbox};

/// Asserts that a command prints the same into pipes that do not block as into usual ones.
#[track_caller]
fn same(command: &dyn Fn() -> Invocation) -> Output {
    let (usual, other) = (command().run(), command().run_non_blocking());
    assert_eq!(usual.code(), other.code(), "{usual}\n{other}");
    assert!(usual.stdout == other.stdout, "stdout of {} bytes\n{other}", usual.stdout.len());
    assert_eq!(usual.stderr, other.stderr);
    usual
}

#[test]
fn results_of_any_size_come_through_pipes_that_do_not_block() {
    let sandbox = Sandbox::new();
    let mut many = layer();
    for number in 0..1500 {
        many = many.file(&format!("directory/file-{number}"), "x");
    }
    let text = "a line of text\n".repeat(40_000);
    let built = image().layer(many.file("text", &text)).build();
    built.write_layout(&sandbox.work("l"), Some("1"));
    let at = "oci:l:1";
    for words in [
        &["files", "-R", at][..],
        &["files", "-R", "--json", at],
        &["cat", at, "text"],
        &["grep", "line", at],
        &["report", at, "-o", "-"],
        &["--raw", at],
        &["completion", "bash"],
        &["--help"],
    ] {
        let output = same(&|| sandbox.inspect(words));
        assert_eq!((output.code(), output.stderr.as_str()), (Some(0), ""), "{output}");
    }
    assert_eq!(sandbox.inspect(["cat", at, "text"]).run_non_blocking().stdout, text);
    for words in [&["completion", "zsh"][..], &["copy", "--help"], &["tags", "oci:l"]] {
        assert_eq!(same(&|| sandbox.copy(words)).code(), Some(0));
    }
    same(&|| sandbox.copy([at, "oci:l:1", "--no-such-flag"]));
}

#[test]
fn archives_and_messages_of_builds_come_through_pipes_that_do_not_block() {
    let sandbox = Sandbox::new();
    let steps: String = (0..300).map(|n| format!("COPY f /{n}\nMAINTAINER x\n")).collect();
    sandbox.write("work/Dockerfile", format!("FROM scratch\n{steps}"));
    sandbox.write("work/f", "content ".repeat(1000));
    sandbox.build(["-q", "."]).run().success();
    // Everything comes from the cache, so that both print the same.
    let output = same(&|| sandbox.build(["-o", "-", "."]));
    assert_eq!(output.code(), Some(0), "{output}");
    assert!(output.stdout.len() > 1 << 20 && output.stderr.len() > 4096);
    assert_eq!(same(&|| sandbox.build(["check"])).code(), Some(0));
    assert_eq!(same(&|| sandbox.build(["--print-plan", "--json", "."])).code(), Some(0));
}

#[test]
fn a_reader_that_has_gone_ends_programs_quietly() {
    let sandbox = Sandbox::new();
    let text = "a line of text\n".repeat(40_000);
    let built = image().layer(layer().file("text", &text)).build();
    built.write_layout(&sandbox.work("l"), Some("1"));
    sandbox.write("work/Dockerfile", "FROM scratch\nCOPY f /\n");
    sandbox.write("work/f", &text);
    sandbox.build(["-q", "."]).run().success();
    for command in [
        sandbox.inspect(["cat", "oci:l:1", "text"]),
        sandbox.inspect(["grep", "line", "oci:l:1"]),
        sandbox.inspect(["completion", "bash"]),
        sandbox.copy(["tags", "oci:l"]),
        sandbox.build(["--quiet", "-o", "-", "."]),
        sandbox.build(["check", "--json"]),
    ] {
        let mut command = command.into_command();
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let ended = command.stdout(writer).output().expect("started");
        let said = String::from_utf8_lossy(&ended.stderr);
        let signal = ended.status.signal();
        assert_eq!((signal, &*said), (Some(Signal::SIGPIPE as i32), ""), "{command:?}");
    }
    let left = std::fs::read_dir(sandbox.store().join("tmp")).expect("a folder").count();
    assert_eq!(left, 0);
}

#[test]
fn a_full_disk_is_told() {
    let sandbox = Sandbox::new();
    image().layer(layer().file("f", "x")).build().write_layout(&sandbox.work("l"), Some("1"));
    for command in [
        sandbox.inspect(["cat", "oci:l:1", "f"]),
        sandbox.inspect(["oci:l:1", "--json"]),
        sandbox.copy(["tags", "oci:l"]),
        sandbox.inspect(["--help"]),
    ] {
        let mut command = command.into_command();
        command.stdout(std::fs::File::options().write(true).open("/dev/full").expect("a device"));
        let ended = command.output().expect("started");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{said}");
        assert!(said.contains("No space left on device"), "{said}");
    }
}
