//! Which files a source means: wildcards, links, `--parents`, `--exclude`.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::result::{build, built, tree};
use crate::support::program::Sandbox;

/// A context with files, links of all kinds, and names that look like patterns.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    for name in ["a.txt", "b.txt", "d/1", "d/e/2", "d/e/f/3", "g/1", "odd/[x]", "odd/*", "h/h/h"] {
        sandbox.write(&format!("work/{name}"), name);
    }
    for (target, link) in [
        ("a.txt", "l/file"),
        ("../a.txt", "l/up"),
        ("/a.txt", "l/absolute"),
        ("../d", "l/dir"),
        ("dir", "l/twice"),
        ("../../../../../a.txt", "l/over"),
        ("d", "to-d"),
    ] {
        std::fs::create_dir_all(sandbox.work("l")).expect("a directory");
        symlink(target, sandbox.work(link)).expect("a link");
    }
    sandbox.write("work/empty/.keep", "");
    std::fs::remove_file(sandbox.work("empty/.keep")).expect("removed");
    for entry in walk(&sandbox.path("work")) {
        let is_directory = entry.is_dir();
        let mode = std::fs::Permissions::from_mode(if is_directory { 0o755 } else { 0o644 });
        std::fs::set_permissions(entry, mode).expect("a mode");
    }
    sandbox
}

fn walk(path: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(path).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            out.extend(walk(&path));
        }
        out.push(path);
    }
    out
}

/// The names that an instruction makes: directories end in `/`, links say where they lead, files
/// what they hold unless that is their own path.
fn made(sandbox: &Sandbox, instruction: &str) -> Vec<String> {
    let made = built(sandbox, &format!("FROM scratch\n{instruction}\n"), &[]);
    let short = |line: &String| {
        let (path, what) = line.split_once(' ').expect("a line");
        let what = what.splitn(3, ' ').last().expect("what it is");
        match what.trim_matches('"') {
            "dir" => path.to_owned(),
            same if path.ends_with(same) => path.to_owned(),
            other => format!("{path} {other}"),
        }
    };
    made.top().iter().map(short).collect()
}

#[track_caller]
fn check(rows: &[(&str, &[&str])]) {
    let sandbox = sandbox();
    for (instruction, expected) in rows {
        assert_eq!(made(&sandbox, instruction), *expected, "{instruction}");
    }
}

#[test]
fn links_that_are_named_or_found_by_a_wildcard_are_followed() {
    let d: &[&str] = &["o/", "o/1 d/1", "o/e/", "o/e/2 d/e/2", "o/e/f/", "o/e/f/3 d/e/f/3"];
    check(&[
        ("COPY l/up /o", &["o a.txt"]),
        ("COPY l/absolute /o/", &["o/", "o/absolute a.txt"]),
        ("COPY l/over /o", &["o a.txt"]),
        ("COPY l/u* /o/", &["o/", "o/up a.txt"]),
        ("COPY l/[ao]* /o/", &["o/", "o/absolute a.txt", "o/over a.txt"]),
        ("COPY l/dir /o", d),
        ("COPY l/twice/ /o", d),
        ("COPY l/d?r /o", d),
        ("COPY to-* /o", d),
        ("COPY l/dir/e/2 /o", &["o d/e/2"]),
        ("COPY to-d/*/2 /o", &["o d/e/2"]),
        // Links are not gone through to find something.
        ("COPY */e/2 /o", &["o d/e/2"]),
        ("COPY l/*/e /o", &[]),
        // In a directory that is copied a link is a link.
        (
            "COPY l /o",
            &[
                "o/",
                "o/absolute -> /a.txt",
                "o/dir -> ../d",
                "o/file -> a.txt",
                "o/over -> ../../../../../a.txt",
                "o/twice -> dir",
                "o/up -> ../a.txt",
            ],
        ),
    ]);
}

#[test]
fn a_link_to_nothing_ends_the_build_by_its_name() {
    let sandbox = sandbox();
    sandbox.write("work/.dockerignore", "b.txt\n");
    symlink("../b.txt", sandbox.work("l/ignored")).expect("a link");
    for (instruction, name, hint) in [
        ("COPY l/file /o/", "/l/file", "/l/file is a symbolic link to a.txt"),
        ("COPY l/f* /o/", "/l/file", "/l/file is a symbolic link to a.txt"),
        ("COPY l/* /o/", "/l/file", "/l/file is a symbolic link to a.txt"),
        ("COPY l/file/x /o/", "/l/file/x", ""),
        ("COPY l/ignored /o/", "/l/ignored", ".dockerignore:1 leaves it out: b.txt"),
        ("COPY l/ig* /o/", "/l/ignored", "/l/ignored is a symbolic link to ../b.txt"),
    ] {
        sandbox.write("work/Dockerfile", format!("FROM scratch\n{instruction}\n"));
        let out = build(&sandbox, &["-q", "."]).fails(3);
        let said = format!("{name} is not in the build context");
        assert!(out.stderr.contains(&said) && out.stderr.contains(hint), "{}", out.stderr);
    }
    // One that is left out itself is not there.
    sandbox.write("work/.dockerignore", "l/file\nl/ignored\n");
    assert_eq!(made(&sandbox, "COPY l/[if][gi]* /o/").len(), 0);
    sandbox.write("work/Dockerfile", "FROM scratch\nCOPY l/ignored /o\n");
    let out = build(&sandbox, &["-q", "."]).fails(3);
    assert!(out.stderr.contains(".dockerignore:2 leaves it out"), "{}", out.stderr);
}

#[test]
fn wildcards_mean_what_go_s_match_means() {
    check(&[
        ("COPY *.txt /o/", &["o/", "o/a.txt", "o/b.txt"]),
        ("COPY ?.txt /o/", &["o/", "o/a.txt", "o/b.txt"]),
        ("COPY [a-a].txt /o/", &["o/", "o/a.txt"]),
        ("COPY [^a].txt /o/", &["o/", "o/b.txt"]),
        ("COPY odd/[[]x] /o/", &["o/", "o/[x] odd/[x]"]),
        ("COPY odd/\\\\[x\\\\] /o/", &["o/", "o/[x] odd/[x]"]),
        ("COPY odd/\\\\* /o/", &["o/", "o/* odd/*"]),
        ("COPY [\"odd/[[]x]\", \"/o/\"]", &["o/", "o/[x] odd/[x]"]),
        // One component each, `**` like `*`; what is found is taken with its content.
        ("COPY */1 /o/", &["o/", "o/1 g/1"]),
        ("COPY **/2 /o/", &[]),
        ("COPY d/**/2 /o/", &["o/", "o/2 d/e/2"]),
        ("COPY d/* /o/", &["o/", "o/1 d/1", "o/2 d/e/2", "o/f/", "o/f/3 d/e/f/3"]),
        ("COPY ./d/../*.txt /o/", &["o/", "o/a.txt", "o/b.txt"]),
        ("COPY /../../*.txt /o/", &["o/", "o/a.txt", "o/b.txt"]),
        // Several directories make one, and files may go into it.
        ("COPY [dg] /o", &["o/", "o/1 g/1", "o/e/", "o/e/2 d/e/2", "o/e/f/", "o/e/f/3 d/e/f/3"]),
        ("COPY g a.txt /o", &["o/", "o/1 g/1", "o/a.txt"]),
        ("COPY g/ h/ /o", &["o/", "o/1 g/1", "o/h/", "o/h/h h/h/h"]),
        ("COPY empty /o", &["o/"]),
        ("COPY empt* /o/p", &["o/", "o/p/"]),
    ]);
}

#[test]
fn what_matches_nothing_makes_nothing() {
    let sandbox = sandbox();
    for (instruction, expected) in [
        ("COPY no* /o/", vec![]),
        ("COPY no*/1 /o/", vec![]),
        ("COPY d/1/* /o/", vec![]),
        ("ADD no*.tar /o", vec![]),
        ("COPY no* a.txt /o", vec!["o a.txt"]),
        ("COPY no* a.txt /o/", vec!["o/", "o/a.txt"]),
        ("COPY --exclude=*.txt a.txt /o/", vec![]),
        ("COPY --exclude=*.txt *.txt /o/", vec![]),
        ("COPY --exclude=** d /o/", vec!["o/"]),
        // There the source is the context, which is there.
        ("COPY --parents no* /o/", vec!["o/"]),
        ("COPY --parents d/./no* /o/", vec!["o/"]),
        ("COPY --parents no*/./d /o/", vec![]),
    ] {
        assert_eq!(made(&sandbox, instruction), expected, "{instruction}");
    }
    for (instruction, warning) in [
        ("COPY no* /o/", "warning: nothing in the build context matches no*"),
        ("COPY --exclude=*.txt a.txt d/1 /o/", "warning: a.txt is left out by --exclude"),
    ] {
        sandbox.write("work/Dockerfile", format!("FROM scratch\n{instruction}\n"));
        let out = build(&sandbox, &["--progress=plain", "."]).success();
        assert!(out.stderr.contains(warning), "{}", out.stderr);
    }
    for (instruction, code, message) in [
        ("COPY no /o/", 3, "/no is not in the build context"),
        ("COPY no* no /o/", 3, "/no is not in the build context"),
        ("COPY --parents no /o/", 3, "/no is not in the build context"),
        ("COPY --parents no/./* /o/", 3, "/no is not in the build context"),
        ("COPY --parents a.txt/./* /o/", 1, "/a.txt is not a directory"),
        ("COPY a[ /o/", 1, "syntax error in pattern \"a[\""),
        ("COPY [\"d/[z-\", \"/o/\"]", 1, "syntax error in pattern \"[z-\""),
        ("COPY --parents a[ /o/", 1, "syntax error in pattern \"a[\""),
        ("COPY a.txt b.txt /o", 1, "cannot copy 2 files to /o: not a directory"),
        ("COPY *.txt /o", 1, "cannot copy 2 files to /o: not a directory"),
        ("COPY a.txt <<b /o\nx\nb", 1, "cannot copy 2 files to /o: not a directory"),
        ("COPY a.txt g /o", 1, "/o is not a directory"),
    ] {
        sandbox.write("work/Dockerfile", format!("FROM scratch\n{instruction}\n"));
        let out = build(&sandbox, &["-q", "."]).fails(code);
        assert!(out.stderr.contains(message), "{instruction}: {}", out.stderr);
    }
}

#[test]
fn an_empty_copy_does_not_make_a_directory_of_its_destination() {
    let file = "FROM scratch\nCOPY no* /o/x/\nCOPY a.txt /o/x\n";
    assert_eq!(tree(&sandbox(), file)[1..], ["o/x 644 0:0 \"a.txt\""]);
}

#[test]
fn what_is_left_out() {
    let d = ["o/", "o/1 d/1", "o/e/", "o/e/2 d/e/2", "o/e/f/", "o/e/f/3 d/e/f/3"];
    check(&[
        ("COPY --exclude=a.txt *.txt d/1 /o/", &["o/", "o/1 d/1", "o/b.txt"]),
        ("COPY --exclude=a.txt a.txt b.txt /o/", &["o/", "o/b.txt"]),
        ("COPY --exclude=1 d /o", &[&d[..1], &d[2..]].concat()),
        ("COPY --exclude=/1 d /o", &[&d[..1], &d[2..]].concat()),
        ("COPY --exclude=./1 d /o", &[&d[..1], &d[2..]].concat()),
        // What a directory is called itself is not part of what is copied.
        ("COPY --exclude=d d /o", &d),
        ("COPY --exclude=d/1 d /o", &d),
        ("COPY --exclude=2 d /o", &d),
        ("COPY --exclude=*/2 d /o", &[&d[..3], &d[4..]].concat()),
        ("COPY --exclude=**/[23] d /o", &["o/", "o/1 d/1", "o/e/", "o/e/f/"]),
        ("COPY --exclude=e d /o", &d[..2]),
        ("COPY --exclude=e --exclude=!e/f/3 d /o", &[&d[..3], &d[4..]].concat()),
        ("COPY --exclude=e/* --exclude=!e/f d /o", &[&d[..3], &d[4..]].concat()),
        ("COPY --exclude=**/1 d g /o", &[&d[..1], &d[2..]].concat()),
        (
            "COPY --parents --exclude=1 d /o/",
            &["o/", "o/d/", "o/d/1", "o/d/e/", "o/d/e/2", "o/d/e/f/", "o/d/e/f/3"],
        ),
        ("COPY --parents --exclude=d/e d /o/", &["o/", "o/d/", "o/d/1"]),
        ("COPY --parents --exclude=e d/./. /o/", &["o/", "o/1 d/1"]),
        (
            "COPY --parents --exclude=d/e --exclude=!d/e/2 d /o/",
            &["o/", "o/d/", "o/d/1", "o/d/e/", "o/d/e/2"],
        ),
        ("COPY --parents --exclude=d d/1 g/1 /o/", &["o/", "o/g/", "o/g/1"]),
    ]);
}

#[test]
fn parents_are_kept_from_the_pivot_on() {
    check(&[
        ("COPY --parents d/e/2 /o/", &["o/", "o/d/", "o/d/e/", "o/d/e/2"]),
        ("COPY --parents ./d/e/2 a.txt /o", &["o/", "o/a.txt", "o/d/", "o/d/e/", "o/d/e/2"]),
        ("COPY --parents /d/e/../e/2 /o/", &["o/", "o/d/", "o/d/e/", "o/d/e/2"]),
        ("COPY --parents ../d/e/2 /o/", &["o/", "o/d/", "o/d/e/", "o/d/e/2"]),
        ("COPY --parents d/./e/2 /o/", &["o/", "o/e/", "o/e/2 d/e/2"]),
        ("COPY --parents d/e/./2 /o/", &["o/", "o/2 d/e/2"]),
        ("COPY --parents d/./e/./2 /o/", &["o/", "o/e/", "o/e/2 d/e/2"]),
        ("COPY --parents /./d/1 /o/", &["o/", "o/d/", "o/d/1"]),
        ("COPY --parents d/./../1 /o/", &["o/", "o/1 d/1"]),
        ("COPY --parents d/e/f /o/", &["o/", "o/d/", "o/d/e/", "o/d/e/f/", "o/d/e/f/3"]),
        ("COPY --parents d/e/f/ /o/", &["o/", "o/d/", "o/d/e/", "o/d/e/f/", "o/d/e/f/3"]),
        ("COPY --parents d/e/f/. /o/", &["o/", "o/d/", "o/d/e/", "o/d/e/f/", "o/d/e/f/3"]),
        (
            "COPY --parents d/./. /o/",
            &["o/", "o/1 d/1", "o/e/", "o/e/2 d/e/2", "o/e/f/", "o/e/f/3 d/e/f/3"],
        ),
        ("COPY --parents */1 /o/", &["o/", "o/d/", "o/d/1", "o/g/", "o/g/1"]),
        (
            "COPY --parents d*/./* /o/",
            &["o/", "o/1 d/1", "o/e/", "o/e/2 d/e/2", "o/e/f/", "o/e/f/3 d/e/f/3"],
        ),
        ("COPY --parents [dg]/./1 /o/", &["o/", "o/1 g/1"]),
        // Any depth, none included; what is below something that matches comes with it.
        ("COPY --parents **/1 /o/", &["o/", "o/d/", "o/d/1", "o/g/", "o/g/1"]),
        ("COPY --parents d/**/2 /o/", &["o/", "o/d/", "o/d/e/", "o/d/e/2"]),
        ("COPY --parents d/**/1 /o/", &["o/", "o/d/", "o/d/1"]),
        ("COPY --parents d/./**/f /o/", &["o/", "o/e/", "o/e/f/", "o/e/f/3 d/e/f/3"]),
        ("COPY --parents **/h /o/", &["o/", "o/h/", "o/h/h/", "o/h/h/h"]),
        (
            "COPY --parents d/** /o/",
            &["o/", "o/d/", "o/d/1", "o/d/e/", "o/d/e/2", "o/d/e/f/", "o/d/e/f/3"],
        ),
        ("COPY --parents odd/[[]x] /o/", &["o/", "o/odd/", "o/odd/[x]"]),
        ("COPY --parents empty /o/", &["o/", "o/empty/"]),
        // What is found stays what it is; links are followed in front of the pivot.
        (
            "COPY --parents l/file l/up /o/",
            &["o/", "o/l/", "o/l/file -> a.txt", "o/l/up -> ../a.txt"],
        ),
        ("COPY --parents l/t* to-d /o/", &["o/", "o/l/", "o/l/twice -> dir", "o/to-d -> d"]),
        ("COPY --parents to-d/./e/2 /o/", &["o/", "o/e/", "o/e/2 d/e/2"]),
        ("COPY --parents l/twice/e/./2 /o/", &["o/", "o/2 d/e/2"]),
        ("COPY --parents **/e/2 /o/", &["o/", "o/d/", "o/d/e/", "o/d/e/2"]),
    ]);
    let sandbox = sandbox();
    sandbox.write("work/Dockerfile", "FROM scratch\nCOPY --parents to-d/e/2 /o/\n");
    let out = build(&sandbox, &["-q", "."]).fails(3);
    let hint = "/to-d is a symbolic link to d: --parents follows links in front of /./ only";
    assert!(out.stderr.contains("/to-d/e/2 is not in the build context"), "{}", out.stderr);
    assert!(out.stderr.contains(hint), "{}", out.stderr);
}

#[test]
fn directories_on_the_way_stay_as_they_are() {
    let sandbox = sandbox();
    let base = "FROM scratch AS base\nCOPY --chown=3:4 --chmod=1777 d /d\nFROM base\n";
    let top = |instruction: &str| built(&sandbox, &format!("{base}{instruction}\n"), &[]).top();
    assert_eq!(
        top("COPY --parents --chown=5 --chmod=700 d/e/2 g/1 /"),
        [
            "d/ 1777 3:4 dir",
            "d/e/ 1777 3:4 dir",
            "d/e/2 700 5:5 \"d/e/2\"",
            "g/ 700 5:5 dir",
            "g/1 700 5:5 \"g/1\"",
        ]
    );
    // What is chosen itself takes their place.
    assert_eq!(top("COPY --parents --chown=5 d/e /")[..2], ["d/ 1777 3:4 dir", "d/e/ 755 5:5 dir"]);
}

#[test]
fn modes_of_what_is_copied_and_of_what_is_made_on_the_way() {
    let sandbox = sandbox();
    let mode = |path: &str, mode: u32| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(sandbox.work(path), mode).expect("a mode");
    };
    mode("a.txt", 0o4755);
    mode("d/e", 0o750);
    mode("d/e/2", 0o600);
    let rows = |instruction: &str| -> Vec<String> {
        let made = built(&sandbox, &format!("FROM scratch\n{instruction}\n"), &[]);
        let short = |line: &String| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
        made.top().iter().map(short).collect()
    };
    for (chmod, expected) in [
        ("", ["o/ 755", "o/p/ 755", "o/p/a.txt 4755"]),
        ("--chmod=640", ["o/ 640", "o/p/ 640", "o/p/a.txt 640"]),
        ("--chmod=0711", ["o/ 711", "o/p/ 711", "o/p/a.txt 711"]),
        ("--chmod=u=rw,go=r", ["o/ 755", "o/p/ 755", "o/p/a.txt 644"]),
        ("--chmod=u+rwX,go=rX", ["o/ 755", "o/p/ 755", "o/p/a.txt 4755"]),
        ("--chmod=a-x", ["o/ 755", "o/p/ 755", "o/p/a.txt 4644"]),
        ("--chmod=go=u-w", ["o/ 755", "o/p/ 755", "o/p/a.txt 4755"]),
        ("--chmod=u-s,g+s", ["o/ 755", "o/p/ 755", "o/p/a.txt 2755"]),
    ] {
        assert_eq!(rows(&format!("COPY {chmod} a.txt /o/p/")), expected, "{chmod}");
    }
    for (chmod, expected) in [
        ("", ["o/ 755", "o/1 644", "o/e/ 750", "o/e/2 600", "o/e/f/ 755", "o/e/f/3 644"]),
        (
            "--chmod=700",
            ["o/ 700", "o/1 700", "o/e/ 700", "o/e/2 700", "o/e/f/ 700", "o/e/f/3 700"],
        ),
        (
            "--chmod=u=rwX,go=rX",
            ["o/ 755", "o/1 644", "o/e/ 755", "o/e/2 644", "o/e/f/ 755", "o/e/f/3 644"],
        ),
        ("--chmod=+X", ["o/ 755", "o/1 644", "o/e/ 751", "o/e/2 600", "o/e/f/ 755", "o/e/f/3 644"]),
        (
            "--chmod=go=",
            ["o/ 755", "o/1 600", "o/e/ 700", "o/e/2 600", "o/e/f/ 700", "o/e/f/3 600"],
        ),
    ] {
        assert_eq!(rows(&format!("COPY {chmod} d /o")), expected, "{chmod}");
    }
    let expected = ["o/ 755", "o/d/ 700", "o/d/e/ 700", "o/d/e/2 600"];
    assert_eq!(rows("COPY --parents --chmod=go= d/e/2 /o/"), expected);
    let expected = ["o/ 600", "o/d/ 600", "o/d/e/ 600", "o/d/e/2 600"];
    assert_eq!(rows("COPY --parents --chmod=600 d/e/2 /o/"), expected);
}

#[test]
fn root_is_known_without_accounts() {
    let sandbox = sandbox();
    for (owner, expected) in [
        ("root", "0:0"),
        ("root:root", "0:0"),
        ("0:root", "0:0"),
        ("root:7", "0:7"),
        ("root:", "0:0"),
        ("7:root", "7:0"),
    ] {
        for copy in ["COPY", "COPY --link", "ADD"] {
            let file = format!("FROM scratch\n{copy} --chown={owner} a.txt /a\n");
            let line = format!("a 644 {expected} \"a.txt\"");
            assert_eq!(built(&sandbox, &file, &[]).top(), [line], "{copy} {owner}");
        }
    }
    sandbox.write("work/passwd", "app:x:5:6::/:\n");
    let with = "FROM scratch AS base\nCOPY passwd /etc/passwd\nFROM base\n";
    for (file, owner) in [
        ("FROM scratch\n", "app"),
        ("FROM scratch\n", "root:app"),
        ("FROM scratch\n", "daemon:root"),
        (with, "nobody"),
    ] {
        sandbox.write("work/Dockerfile", format!("{file}COPY --chown={owner} a.txt /a\n"));
        let out = build(&sandbox, &["-q", "."]).fails(3);
        assert!(out.stderr.contains(&format!("--chown={owner}: unable to find")), "{}", out.stderr);
    }
    sandbox.write("work/passwd", "root:x:9:8::/:\n");
    let file = format!("{with}COPY --chown=root a.txt /a\n");
    assert_eq!(built(&sandbox, &file, &[]).top(), ["a 644 9:8 \"a.txt\""]);
}

#[test]
fn nothing_outside_a_source_is_reached() {
    let sandbox = sandbox();
    sandbox.write("work/secret", "secret");
    for (target, link) in [("/secret", "abs"), ("../../../secret", "up"), ("/real/..", "dots")] {
        std::fs::create_dir_all(sandbox.work("s/x")).expect("a directory");
        symlink(target, sandbox.work("s/x").join(link)).expect("a link");
    }
    sandbox.write("work/s/real/f", "f");
    let base = "FROM scratch AS s\nCOPY s /\n";
    for (instruction, expected) in [
        ("COPY --from=s /x/dots/real/f /o", vec!["o f"]),
        ("COPY --from=s /x/dots/real /o", vec!["o/", "o/f"]),
        ("COPY --from=s ../../../real/f /o", vec!["o f"]),
        (
            "COPY --from=s /x/d* /o/",
            vec![
                "o/",
                "o/real/",
                "o/real/f",
                "o/x/",
                "o/x/abs -> /secret",
                "o/x/dots -> /real/..",
                "o/x/up -> ../../../secret",
            ],
        ),
        ("COPY --from=s --parents /x/./dots /o/", vec!["o/", "o/dots -> /real/.."]),
    ] {
        let rest = format!("{instruction}\n");
        let made = built(&sandbox, &format!("{base}FROM scratch\n{rest}"), &[]);
        let short = |line: &String| {
            let (path, what) = line.split_once(' ').expect("a line");
            let what = what.splitn(3, ' ').last().expect("what it is").trim_matches('"').to_owned();
            match what.as_str() {
                "dir" => path.to_owned(),
                what if path.ends_with(what) && path.len() > 1 => path.to_owned(),
                what => format!("{path} {what}"),
            }
        };
        assert_eq!(made.top().iter().map(short).collect::<Vec<_>>(), expected, "{instruction}");
    }
    for source in ["/x/abs", "/x/up", "/x/u*", "/x/dots/secret"] {
        sandbox
            .write("work/Dockerfile", format!("{base}FROM scratch\nCOPY --from=s {source} /o\n"));
        build(&sandbox, &["-q", "."]).fails(3).says("is not in stage s");
    }
}

#[test]
fn a_layer_of_its_own_has_plain_directories() {
    let sandbox = sandbox();
    let base =
        "FROM scratch AS base\nCOPY --chown=3:4 d /d\nCOPY to-d /was\nCOPY l /l\nFROM base\n";
    for (instruction, expected) in [
        ("COPY --link a.txt /l/dir/x", vec!["l/ 755 0:0", "l/dir/ 755 0:0", "l/dir/x 644 0:0"]),
        ("COPY --link a.txt /d", vec!["d 644 0:0"]),
        ("COPY --link a.txt /d/", vec!["d/ 755 0:0", "d/a.txt 644 0:0"]),
        ("WORKDIR /d\nCOPY --link a.txt .", vec!["d/ 755 0:0", "d/a.txt 644 0:0"]),
        ("COPY --link g /", vec!["1 644 0:0"]),
        ("COPY --link --chmod=600 --chown=1:2 a.txt /n/a", vec!["n/ 600 1:2", "n/a 600 1:2"]),
        ("COPY --link --parents d/1 /n/", vec!["n/ 755 0:0", "n/d/ 755 0:0", "n/d/1 644 0:0"]),
    ] {
        let made = built(&sandbox, &format!("{base}{instruction}\n"), &[]);
        let short = |line: &String| line.split(' ').take(3).collect::<Vec<_>>().join(" ");
        assert_eq!(made.top().iter().map(short).collect::<Vec<_>>(), expected, "{instruction}");
        let alone = built(&sandbox, &format!("FROM scratch\n{instruction}\n"), &[]);
        assert_eq!(
            alone.config["rootfs"]["diff_ids"].as_array().and_then(|ids| ids.last()),
            made.config["rootfs"]["diff_ids"].as_array().and_then(|ids| ids.last())
        );
    }
}

#[test]
fn a_document_is_called_what_a_file_can_be_called() {
    let sandbox = sandbox();
    for (marker, end, name) in [
        ("\"../../x\"", "../../x", "x"),
        ("\"/x\"", "/x", "x"),
        ("..x", "..x", "..x"),
        ("\"./b\"", "./b", "b"),
        ("\"y/../x\"", "y/../x", "x"),
    ] {
        for into in ["/d/", "/d/e/"] {
            let file = format!("FROM scratch\nCOPY <<{marker} {into}\nt\n{end}\n");
            let top = built(&sandbox, &file, &[]).top();
            let line = format!("{}{name} 644 0:0 \"t\\n\"", &into[1..]);
            assert_eq!(top.last(), Some(&line), "{marker}");
        }
    }
    for name in ["..", ".", "/", "a/b", "../a/b", "a/..", "../.."] {
        for instruction in ["COPY", "ADD"] {
            let file = format!("FROM scratch\n{instruction} <<\"{name}\" /d/\nt\n{name}\n");
            sandbox.write("work/Dockerfile", file);
            let out = build(&sandbox, &["-q", "."]).fails(1);
            let message = format!("invalid here-document name {name:?}: not a file name");
            assert!(out.stderr.contains(&message), "{name}: {}", out.stderr);
            assert!(out.stderr.contains("Dockerfile:2:"), "{}", out.stderr);
        }
        let file = format!("FROM scratch\nRUN <<\"{name}\"\n#!/bin/sh\n{name}\n");
        sandbox.write("work/Dockerfile", file);
        build(&sandbox, &["-q", "."]).fails(1).says("invalid here-document name");
    }
    // One that means a deletion is left out like any other file of that name.
    let file = "FROM scratch\nCOPY <<.wh.x /d/\nt\n.wh.x\nCOPY a.txt /e/.wh.y/f\n";
    sandbox.write("work/Dockerfile", file);
    let out = build(&sandbox, &["-q", "."]).fails(1);
    assert!(out.stderr.contains("a name with .wh. means a deletion in a layer"), "{}", out.stderr);
}
