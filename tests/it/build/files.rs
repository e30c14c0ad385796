//! Which files are read, and that hostile ones do no harm.

use std::os::unix::fs::symlink;

use crate::support::program::Sandbox;

fn lines(sandbox: &Sandbox, args: &[&str]) -> String {
    sandbox.build(["check", "--format=lines"]).args(args).run().success().stdout
}

#[test]
fn a_dockerfile_is_found_named_or_read() {
    let sandbox = Sandbox::new();
    let file = |name: &str| format!("FROM scratch\nMAINTAINER {name}\n");
    sandbox.write("work/app/Containerfile", file("c"));
    assert!(lines(&sandbox, &["app"]).starts_with("app/Containerfile:2:1: "));
    sandbox.write("work/app/Dockerfile", file("d"));
    assert!(lines(&sandbox, &["app"]).starts_with("app/Dockerfile:2:1: "));
    sandbox.write("work/app/sub/Other", file("o"));
    assert!(lines(&sandbox, &["-f", "app/sub/Other", "app"]).starts_with("app/sub/Other:2:1: "));
    assert!(lines(&sandbox, &["-f", "sub/Other", "app"]).starts_with("app/sub/Other:2:1: "));
    for args in [&["-"][..], &["-f", "-", "app"]] {
        let out = sandbox.build(["check", "--format=lines"]).args(args).input(file("s")).run();
        assert!(out.success().stdout.starts_with("-:2:1: "));
    }
    let out = sandbox.build(["check", "-f", "-", "-"]).run().fails(2);
    assert!(out.stderr.contains("cannot be both"), "{}", out.stderr);
    let out = sandbox.build(["check", "-"]).input(b"\x1f\x8b\x08".to_vec()).run();
    assert!(out.stderr.contains("unpacking the build context"), "{}", out.stderr);
}

#[test]
fn a_file_of_its_own_says_what_is_left_out() {
    let sandbox = Sandbox::new();
    sandbox.write("work/Dockerfile", "FROM scratch\nCOPY a b ./\n");
    sandbox.write("work/Dockerfile2", "FROM scratch\nCOPY a b ./\n");
    sandbox.write("work/.dockerignore", "# first\na\n");
    sandbox.write("work/Dockerfile2.dockerignore", "b\n");
    let warning = |file: &str, column: usize, name: &str| {
        let text = format!("Attempting to Copy file \"{name}\" that is excluded by .dockerignore");
        format!("{file}:2:{column}: warning: {text} [CopyIgnoredFile]\n")
    };
    assert_eq!(lines(&sandbox, &[]), warning("Dockerfile", 6, "a"));
    assert_eq!(lines(&sandbox, &["-f", "Dockerfile2", "."]), warning("Dockerfile2", 8, "b"));
    let out = sandbox.build(["check"]).run().success();
    assert!(out.stdout.contains("= help: line 2 of it: a\n"), "{}", out.stdout);
    sandbox.write("work/.dockerignore", "ok\n[\n");
    let out = sandbox.build(["check"]).run().fails(1);
    assert_eq!(
        out.stderr,
        "creel-build: reading .dockerignore: line 2: syntax error in pattern \"[\"\n"
    );
}

#[test]
fn secrets_of_the_context_are_noticed() {
    let sandbox = Sandbox::new();
    sandbox.write("work/Dockerfile", "FROM scratch\nCOPY . /app/\n");
    sandbox.write("work/.env", "");
    sandbox.write("work/.aws/credentials", "");
    assert_eq!(lines(&sandbox, &[]).matches("[SecretFileCopied]").count(), 2);
    sandbox.write("work/.dockerignore", ".env\n.aws\n");
    assert_eq!(lines(&sandbox, &[]), "");
}

#[test]
fn no_file_outside_of_the_context_is_read() {
    let sandbox = Sandbox::new();
    let secret = "do not show this";
    sandbox.write("work/secret", secret);
    sandbox.write("work/app/x", "");
    for target in ["../secret".to_owned(), sandbox.work("secret").display().to_string()] {
        let link = sandbox.work("app/Dockerfile");
        let _ = std::fs::remove_file(&link);
        symlink(target, &link).expect("a link");
        for args in [&["app"][..], &["-f", "app/Dockerfile", "app"]] {
            let out = sandbox.build(["check"]).args(args).run().fails(3);
            assert!(!out.stderr.contains(secret) && !out.stdout.contains(secret));
        }
    }
    // Inside it a link is as good as the file.
    std::fs::remove_file(sandbox.work("app/Dockerfile")).expect("removing a link");
    sandbox.write("work/app/docker/File", "FROM scratch\n");
    symlink("docker/File", sandbox.work("app/Dockerfile")).expect("a link");
    assert_eq!(lines(&sandbox, &["app"]), "");
}

#[test]
fn pipes_and_directories_are_refused() {
    let sandbox = Sandbox::new();
    let path = sandbox.work("Dockerfile");
    sandbox.command("mkfifo", [&path]).run().success();
    let out = sandbox.build(["check"]).run().fails(1);
    assert!(out.stderr.starts_with("creel-build: opening"), "{}", out.stderr);
    std::fs::remove_file(&path).expect("removing the pipe");
    std::fs::create_dir(&path).expect("a directory");
    sandbox.build(["check"]).run().fails(1);
}

#[test]
fn large_and_odd_files_are_refused_with_a_reason() {
    let sandbox = Sandbox::new();
    let check = |content: &[u8]| {
        sandbox.write("work/Dockerfile", content);
        sandbox.build(["check", "--format=lines"]).run().fails(1).stdout
    };
    let large = check(&vec![b'#'; (16 << 20) + 5]);
    assert_eq!(large, "Dockerfile:1:1: error: the file has more than 16777216 bytes\n");
    let endless = check(b"FROM scratch\nRUN <<EOF\nx\n");
    assert_eq!(endless, "Dockerfile:2:5: error: unterminated heredoc\n");
    let stages = check(&b"FROM scratch\n".repeat(100_000));
    assert!(
        stages.starts_with("Dockerfile:1001:1: error: the file has more than 1000 stages\n"),
        "{stages}"
    );
    let binary = check(b"\x7fELF\x02\x01\x01\x00\xff\xfe");
    assert!(binary.starts_with("Dockerfile:1:1: error: the instruction is not valid UTF-8\n"));
    // Nothing acts on a terminal.
    sandbox.write("work/Dockerfile", "FROM scratch\nRU\u{1b}[31mN x\n");
    let out = sandbox.build(["check"]).run().fails(1);
    assert!(!out.stdout.contains('\u{1b}'), "{:?}", out.stdout);
}

#[test]
fn a_context_may_be_an_archive() {
    let sandbox = Sandbox::new();
    let mut tar = tar::Builder::new(Vec::new());
    for (name, text) in
        [("Dockerfile", "FROM scratch\nCOPY f /\n"), ("f", "x"), (".dockerignore", "y")]
    {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, text.as_bytes()).expect("an entry");
    }
    let archive = tar.into_inner().expect("an archive");
    sandbox.write("work/c.tar", &archive);
    let piped = sandbox.build(["-q", "-"]).input(archive).run().success();
    let made = super::result::Made::of(&sandbox, piped.stdout.trim());
    assert_eq!(made.top(), ["f 644 0:0 \"x\""]);
    let named = sandbox.build(["-q", "c.tar"]).run().success();
    assert_eq!(named.stdout, piped.stdout);
    let left = std::fs::read_dir(sandbox.store().join("tmp")).expect("a folder").count();
    assert_eq!(left, 0);
}
