//! `COPY` and `ADD` of files: which, where to, and as what.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::result::{build, built};
use crate::support::program::Sandbox;

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    for (name, text) in [
        ("a.txt", "a"),
        ("b.txt", "b"),
        ("dir/x", "x"),
        ("dir/sub/y", "y"),
        ("odd/arr[0].txt", "o"),
    ] {
        sandbox.write(&format!("work/{name}"), text);
    }
    symlink("x", sandbox.work("dir/link")).expect("a link");
    symlink("dir", sandbox.work("to-dir")).expect("a link");
    for path in ["a.txt", "b.txt", "dir/x", "dir/sub/y"] {
        let mode = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(sandbox.work(path), mode).expect("a mode");
    }
    sandbox
}

#[track_caller]
fn check(instruction: &str, expected: &[&str]) {
    let sandbox = sandbox();
    let made = built(&sandbox, &format!("FROM scratch\n{instruction}\n"), &[]);
    assert_eq!(made.top(), expected, "{instruction}");
}

#[test]
fn files_go_where_the_destination_says() {
    check("COPY a.txt /f", &["f 644 0:0 \"a\""]);
    check("COPY a.txt /d/", &["d/ 755 0:0 dir", "d/a.txt 644 0:0 \"a\""]);
    check("COPY a.txt b.txt /", &["a.txt 644 0:0 \"a\"", "b.txt 644 0:0 \"b\""]);
    check("COPY a.txt .", &["a.txt 644 0:0 \"a\""]);
    check("COPY /../../a.txt /../f", &["f 644 0:0 \"a\""]);
}

#[test]
fn a_directory_means_its_content() {
    let inside = [
        "d/ 755 0:0 dir",
        "d/link 777 0:0 -> x",
        "d/sub/ 755 0:0 dir",
        "d/sub/y 644 0:0 \"y\"",
        "d/x 644 0:0 \"x\"",
    ];
    for source in ["dir", "dir/", "./dir/.", "di[r]", "to-dir"] {
        check(&format!("COPY {source} /d"), &inside);
    }
}

#[test]
fn wildcards_are_go_s() {
    check("COPY *.txt /d/", &["d/ 755 0:0 dir", "d/a.txt 644 0:0 \"a\"", "d/b.txt 644 0:0 \"b\""]);
    check("COPY odd/arr[[]0].txt /f", &["f 644 0:0 \"o\""]);
    check("COPY **/x /f", &["f 644 0:0 \"x\""]);
    check("COPY nothing* /d/", &[]);
}

#[test]
fn owners_modes_and_what_is_left_out() {
    check("COPY --chown=7 a.txt /n/f", &["n/ 755 7:7 dir", "n/f 644 7:7 \"a\""]);
    check("COPY --chown=7:8 --chmod=600 a.txt /n/f", &["n/ 600 7:8 dir", "n/f 600 7:8 \"a\""]);
    check("COPY --chmod=u=rwX,go= dir/sub /d", &["d/ 755 0:0 dir", "d/y 600 0:0 \"y\""]);
    check("COPY --exclude=sub --exclude=l* dir /d", &["d/ 755 0:0 dir", "d/x 644 0:0 \"x\""]);
    check("COPY --exclude=a.* *.txt /", &["b.txt 644 0:0 \"b\""]);
    check(
        "COPY --exclude=** --exclude=!sub/y dir /d",
        &["d/ 755 0:0 dir", "d/sub/ 755 0:0 dir", "d/sub/y 644 0:0 \"y\""],
    );
    check(
        "COPY --parents ./dir/./sub/y a.txt /p/",
        &["p/ 755 0:0 dir", "p/a.txt 644 0:0 \"a\"", "p/sub/ 755 0:0 dir", "p/sub/y 644 0:0 \"y\""],
    );
    check(
        "COPY --parents **/y /",
        &["dir/ 755 0:0 dir", "dir/sub/ 755 0:0 dir", "dir/sub/y 644 0:0 \"y\""],
    );
}

#[test]
fn documents_are_files() {
    check(
        "COPY <<f <<\"g\" /d/\n$PATH_ x\nf\n$y\ng",
        &["d/ 755 0:0 dir", "d/f 644 0:0 \" x\\n\"", "d/g 644 0:0 \"$y\\n\""],
    );
}

/// The names and links of an image below decide where a file goes.
#[test]
fn the_image_below_counts() {
    let sandbox = sandbox();
    sandbox.write("work/passwd", "app:x:5:6::/:\n");
    sandbox.write("work/group", "web:x:9:\n");
    sandbox.write("work/links/keep", "");
    symlink("/real", sandbox.work("links/in")).expect("a link");
    symlink("../../../../outside", sandbox.work("links/up")).expect("a link");
    let base = "FROM scratch AS base\nCOPY --chown=3:4 --chmod=711 dir /real\n\
                COPY passwd group /etc/\nCOPY links /\n";
    for (instruction, expected) in [
        ("COPY a.txt /real", &["real/ 711 3:4 dir", "real/a.txt 644 0:0 \"a\""][..]),
        ("COPY a.txt /in", &["real/ 711 3:4 dir", "real/a.txt 644 0:0 \"a\""]),
        (
            "COPY a.txt /in/new/f",
            &["real/ 711 3:4 dir", "real/new/ 755 0:0 dir", "real/new/f 644 0:0 \"a\""],
        ),
        ("COPY a.txt /up/", &["outside/ 755 0:0 dir", "outside/a.txt 644 0:0 \"a\""]),
        ("COPY --link a.txt /in/f", &["in/ 755 0:0 dir", "in/f 644 0:0 \"a\""]),
        ("COPY --chown=app a.txt /f", &["f 644 5:6 \"a\""]),
        ("COPY --chown=app:web a.txt /f", &["f 644 5:9 \"a\""]),
        ("COPY --chown=app: a.txt /f", &["f 644 5:0 \"a\""]),
        ("COPY --chown=1:web a.txt /f", &["f 644 1:9 \"a\""]),
        ("USER app\nWORKDIR /w/x", &["w/ 755 5:6 dir", "w/x/ 755 5:6 dir"]),
        ("WORKDIR /in", &[]),
    ] {
        let made = built(&sandbox, &format!("{base}FROM base\n{instruction}\n"), &[]);
        assert_eq!(made.top(), expected, "{instruction}");
    }
    for (instruction, message) in [
        ("COPY a.txt /real/x/f", "error: /real/x is not a directory"),
        ("COPY dir /etc/passwd", "error: cannot copy to non-directory: /etc/passwd"),
        ("COPY links/../dir/.. /etc/passwd", "error: cannot copy to non-directory: /etc/passwd"),
        ("COPY a.txt b.txt /f", "error: cannot copy 2 files to /f: not a directory"),
        ("COPY --chown=nobody a.txt /f", "error: --chown=nobody: unable to find user \"nobody\""),
        ("COPY a.txt /real/\nCOPY --parents dir/x /real/a.txt/", "non-directory: /real/a.txt"),
    ] {
        sandbox.write("work/Dockerfile", format!("{base}FROM base\n{instruction}\n"));
        let out = build(&sandbox, &["-q", "."]);
        assert!(out.stderr.contains(message), "{instruction}: {}", out.stderr);
        assert_ne!(out.code(), Some(0));
    }
}

#[test]
fn what_is_missing_is_explained() {
    let sandbox = sandbox();
    sandbox.write("work/.dockerignore", "# these\n*.txt\ndir/sub\n!dir/sub/y\n");
    let fails = |instruction: &str| {
        sandbox.write("work/Dockerfile", format!("FROM scratch\n{instruction}\n"));
        build(&sandbox, &["-q", "."]).fails(3).stderr
    };
    let text = fails("COPY dir/z /");
    assert!(text.starts_with("error: /dir/z is not in the build context"), "{text}");
    assert!(text.contains("--> Dockerfile:2:1") && text.contains("2 | COPY dir/z /"), "{text}");
    assert!(fails("COPY dri /").contains("(did you mean dir?)"));
    let text = fails("COPY a.txt /");
    assert!(text.contains(".dockerignore:2 leaves it out: *.txt"), "{text}");
    let made = built(&sandbox, "FROM scratch\nCOPY . /\n", &[]);
    let names: Vec<&str> = made.layers[0].keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            ".dockerignore",
            "Dockerfile",
            "dir/",
            "dir/link",
            "dir/sub/",
            "dir/sub/y",
            "dir/x",
            "odd/",
            "odd/arr[0].txt",
            "to-dir",
        ]
    );
}

#[test]
fn nothing_outside_the_context_is_reached() {
    let sandbox = sandbox();
    sandbox.write("secret", "secret");
    symlink("../secret", sandbox.work("out")).expect("a link");
    symlink(sandbox.path("secret"), sandbox.work("dir/abs")).expect("a link");
    sandbox.write("work/Dockerfile", "FROM scratch\nCOPY out /\n");
    build(&sandbox, &["-q", "."]).fails(3).hides("secret is");
    // Inside a directory a link is copied as what it is.
    let made = built(&sandbox, "FROM scratch\nCOPY dir /d\n", &[]);
    let link = format!("777 0:0 -> {}", sandbox.path("secret").display());
    assert_eq!(made.layers[0]["d/abs"], link);
}

#[test]
fn hard_links_stay_together() {
    let sandbox = sandbox();
    std::fs::hard_link(sandbox.work("dir/x"), sandbox.work("dir/sub/z")).expect("a link");
    let made = built(&sandbox, "FROM scratch\nCOPY dir /d\n", &[]);
    assert_eq!(made.layers[0]["d/sub/z"], "644 0:0 \"x\"");
    assert_eq!(made.layers[0]["d/x"], "644 0:0 = d/sub/z");
}
