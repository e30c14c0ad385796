//! `ADD` of archives: what becomes of their members, and of what is there already.

use super::result::{build, built, tree};
use crate::support::program::Sandbox;

/// A member of an archive: its name, its mode and what it is.
type Member = (&'static str, u32, What);

enum What {
    Dir,
    File(&'static str),
    Link(&'static str),
    Hard(&'static str),
    Fifo,
}

use What::{Dir, Fifo, File, Hard, Link};

fn archive(members: &[Member]) -> Vec<u8> {
    let mut out = tar::Builder::new(Vec::new());
    for (name, mode, what) in members {
        let mut header = tar::Header::new_gnu();
        header.set_mode(*mode);
        header.set_uid(7);
        header.set_gid(8);
        header.set_mtime(1_000_000_000);
        let (kind, content, target) = match what {
            Dir => (tar::EntryType::Directory, "", ""),
            File(text) => (tar::EntryType::Regular, *text, ""),
            Link(target) => (tar::EntryType::Symlink, "", *target),
            Hard(target) => (tar::EntryType::Link, "", *target),
            Fifo => (tar::EntryType::Fifo, "", ""),
        };
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        // The fields themselves: the library would clean names and refuse some.
        let old = header.as_old_mut();
        old.name[..name.len()].copy_from_slice(name.as_bytes());
        old.linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_cksum();
        out.append(&header, content.as_bytes()).expect("a member");
    }
    out.into_inner().expect("an archive")
}

/// An image with a bit of everything below `/x`.
const BASE: &str = "FROM scratch AS base\nCOPY base /\nFROM base\n";

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("work/base/x/real/old", "old");
    sandbox.write("work/base/x/file", "old");
    sandbox.write("work/base/y/f", "y");
    for (target, link) in [("real", "lnk"), ("/x/real", "abs"), ("../../y", "up"), ("no", "dead")] {
        std::os::unix::fs::symlink(target, sandbox.work("base/x").join(link)).expect("a link");
    }
    for path in ["base/x", "base/x/real", "base/y"] {
        mode(&sandbox, path, 0o755);
    }
    for path in ["base/x/real/old", "base/x/file", "base/y/f"] {
        mode(&sandbox, path, 0o644);
    }
    sandbox
}

fn mode(sandbox: &Sandbox, path: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(sandbox.work(path), mode).expect("a mode");
}

/// What of the tree below `/x` an archive that is added there changes: `-` for what goes, `+` for
/// what comes.
fn changes(members: &[Member]) -> Vec<String> {
    let sandbox = sandbox();
    sandbox.write("work/a.tar", archive(members));
    let before = tree(&sandbox, BASE);
    let after = tree(&sandbox, &format!("{BASE}ADD a.tar /x/\n"));
    let gone = before.iter().filter(|line| !after.contains(line)).map(|line| format!("-{line}"));
    let new = after.iter().filter(|line| !before.contains(line)).map(|line| format!("+{line}"));
    gone.chain(new).collect()
}

#[test]
fn a_member_takes_the_place_of_what_is_there() {
    let link = |name: &str| -> String {
        let target = [("lnk", "real"), ("abs", "/x/real"), ("up", "../../y"), ("dead", "no")];
        let (_, target) = target.iter().find(|(known, _)| *known == name).expect("a link");
        format!("-x/{name} 777 0:0 -> {target}")
    };
    for (what, members, expected) in [
        (
            "a file, in a directory and over a file",
            &[("real/new", 0o640, File("n")), ("file", 0o600, File("new"))][..],
            vec!["-x/file 644 0:0 \"old\"", "+x/file 600 7:8 \"new\"", "+x/real/new 640 7:8 \"n\""],
        ),
        (
            "a directory that meets one: its entry counts, what is in it stays",
            &[("real/", 0o700, Dir), ("real/new", 0o640, File("n"))],
            vec!["-x/real/ 755 0:0 dir", "+x/real/ 700 7:8 dir", "+x/real/new 640 7:8 \"n\""],
        ),
        (
            "a directory over a link to one",
            &[("lnk/", 0o755, Dir), ("lnk/f", 0o644, File("f"))],
            vec![&link("lnk"), "+x/lnk/ 755 7:8 dir", "+x/lnk/f 644 7:8 \"f\""],
        ),
        (
            "a directory over a file",
            &[("file", 0o755, Dir), ("file/f", 0o644, File("f"))],
            vec!["-x/file 644 0:0 \"old\"", "+x/file/ 755 7:8 dir", "+x/file/f 644 7:8 \"f\""],
        ),
        (
            "a file over a directory",
            &[("real", 0o644, File("f"))],
            vec!["-x/real/ 755 0:0 dir", "-x/real/old 644 0:0 \"old\"", "+x/real 644 7:8 \"f\""],
        ),
        (
            "a link over a directory, a pipe over a link",
            &[("real", 0o777, Link("/y")), ("dead", 0o644, Fifo)],
            vec![
                &link("dead"),
                "-x/real/ 755 0:0 dir",
                "-x/real/old 644 0:0 \"old\"",
                "+x/dead 644 7:8 Fifo",
                "+x/real 777 7:8 -> /y",
            ],
        ),
        (
            "a file over a link, which is not followed",
            &[("lnk", 0o644, File("f")), ("dead", 0o600, File("d"))],
            vec![&link("dead"), &link("lnk"), "+x/dead 600 7:8 \"d\"", "+x/lnk 644 7:8 \"f\""],
        ),
        (
            "a directory that no entry describes is looked for through links",
            &[("lnk/f", 0o644, File("f")), ("abs/g", 0o644, File("g"))],
            // The target is the root for absolute links: there is no x in x.
            vec![
                "+x/real/f 644 7:8 \"f\"",
                "+x/x/ 755 0:0 dir",
                "+x/x/real/ 755 0:0 dir",
                "+x/x/real/g 644 7:8 \"g\"",
            ],
        ),
        (
            "a link that leads out ends at the target",
            &[("up/f", 0o644, File("f")), ("dead/f", 0o644, File("f"))],
            vec![
                "+x/no/ 755 0:0 dir",
                "+x/no/f 644 7:8 \"f\"",
                "+x/y/ 755 0:0 dir",
                "+x/y/f 644 7:8 \"f\"",
            ],
        ),
        (
            "links of the archive itself",
            &[
                ("n", 0o777, Link("real/../deep")),
                ("n/a", 0o644, File("1")),
                ("n", 0o755, Dir),
                ("n/a", 0o644, File("2")),
            ],
            vec![
                "+x/deep/ 755 0:0 dir",
                "+x/deep/a 644 7:8 \"1\"",
                "+x/n/ 755 7:8 dir",
                "+x/n/a 644 7:8 \"2\"",
            ],
        ),
        (
            "the last of several counts",
            &[
                ("n", 0o644, File("1")),
                ("n", 0o755, Dir),
                ("n/a", 0o644, File("a")),
                ("n", 0o600, File("2")),
            ],
            vec!["+x/n 600 7:8 \"2\""],
        ),
        (
            "a directory that replaces one by way of a file is empty",
            &[("real", 0o644, File("f")), ("real", 0o755, Dir), ("real/n", 0o644, File("n"))],
            vec![
                "-x/real/ 755 0:0 dir",
                "-x/real/old 644 0:0 \"old\"",
                "+x/real/ 755 7:8 dir",
                "+x/real/n 644 7:8 \"n\"",
            ],
        ),
        (
            "names that are written in other ways",
            &[
                ("./a/../b/./c", 0o644, File("c")),
                ("//d//e", 0o644, File("e")),
                ("./", 0o700, Dir),
                ("q/..", 0o700, Dir),
                ("b/../real/../../x2/../file", 0o644, File("never")),
            ][..4],
            vec![
                "+x/b/ 755 0:0 dir",
                "+x/b/c 644 7:8 \"c\"",
                "+x/d/ 755 0:0 dir",
                "+x/d/e 644 7:8 \"e\"",
            ],
        ),
        (
            "hard links",
            &[
                ("z", 0o640, File("z")),
                ("b", 0o640, Hard("./z")),
                ("lnk/c", 0o640, Hard("/b")),
                ("z", 0o600, File("new")),
            ],
            vec!["+x/b 640 7:8 \"z\"", "+x/real/c 640 7:8 = x/b", "+x/z 600 7:8 \"new\""],
        ),
    ] {
        assert_eq!(changes(members), expected, "{what}");
    }
}

#[test]
fn what_an_archive_may_not_hold() {
    for (members, message) in [
        (&[("../f", 0o644, File("f"))][..], "leaves the directory"),
        (&[("a/../../f", 0o644, File("f"))], "leaves the directory"),
        (&[("f", 0o644, Hard("../y/f"))], "leaves the directory"),
        (&[("f", 0o644, Hard("real/old"))], "hard link to real/old, which is not in the archive"),
        (&[("f", 0o644, Hard("f"))], "hard link to f, which is not in the archive"),
        (&[("file/f", 0o644, File("f"))], "/x/file is not a directory"),
        (&[("l", 0o777, Link("l")), ("l/f", 0o644, File("f"))], "too many symbolic links in /x/l"),
    ] {
        let sandbox = sandbox();
        sandbox.write("work/a.tar", archive(members));
        sandbox.write("work/Dockerfile", format!("{BASE}ADD a.tar /x/\n"));
        let out = build(&sandbox, &["-q", "."]).fails(1);
        assert!(out.stderr.contains(message), "{message}: {}", out.stderr);
        assert!(out.stderr.contains("Dockerfile:4:1"), "{}", out.stderr);
    }
}

#[test]
fn flags_and_destinations() {
    let sandbox = sandbox();
    sandbox.write("work/a.tar", archive(&[("d", 0o711, Dir), ("d/a", 0o640, File("a"))]));
    sandbox.write("work/b.tar", archive(&[("e/b", 0o600, File("b"))]));
    sandbox.write("work/f", "f");
    mode(&sandbox, "f", 0o644);
    let a = ["x/d/ 711 7:8 dir", "x/d/a 640 7:8 \"a\""];
    let b = ["x/e/ 755 0:0 dir", "x/e/b 600 7:8 \"b\""];
    let top = |line: &'static str| vec![line];
    for (instruction, expected) in [
        ("ADD --chmod=644 a.tar /x", [top("x/ 755 0:0 dir"), a.to_vec()].concat()),
        ("ADD --chmod=u=rw,go= a.tar /x", [top("x/ 755 0:0 dir"), a.to_vec()].concat()),
        (
            "ADD --chown=5:6 a.tar /x",
            vec!["x/ 755 5:6 dir", "x/d/ 711 5:6 dir", "x/d/a 640 5:6 \"a\""],
        ),
        // Whom directories belong to that no entry describes is not for --chown to say.
        (
            "ADD --chown=5:6 b.tar /x",
            vec!["x/ 755 5:6 dir", "x/e/ 755 0:0 dir", "x/e/b 600 5:6 \"b\""],
        ),
        ("ADD *.tar /x", [top("x/ 755 0:0 dir"), a.to_vec(), b.to_vec()].concat()),
        ("ADD a.tar b.tar /x/", [top("x/ 755 0:0 dir"), a.to_vec(), b.to_vec()].concat()),
        ("ADD --link *.tar /x", [top("x/ 755 0:0 dir"), a.to_vec(), b.to_vec()].concat()),
        (
            "ADD --chmod=600 f a.tar /x",
            [top("x/ 600 0:0 dir"), a.to_vec(), top("x/f 600 0:0 \"f\"")].concat(),
        ),
        ("ADD b.tar f /x", [top("x/ 755 0:0 dir"), b.to_vec(), top("x/f 644 0:0 \"f\"")].concat()),
        ("ADD --exclude=a* *.tar /x", [top("x/ 755 0:0 dir"), b.to_vec()].concat()),
    ] {
        let made = built(&sandbox, &format!("FROM scratch\n{instruction}\n"), &[]);
        assert_eq!(made.top(), expected, "{instruction}");
    }
    let made = built(&sandbox, "FROM scratch\nADD --unpack=false a.tar /x\n", &[]);
    assert_eq!(made.top().len(), 1);
    let made = built(&sandbox, "FROM scratch\nCOPY a.tar b.tar /x/\n", &[]);
    assert_eq!(made.top().len(), 3);
    let times = built(&sandbox, "FROM scratch\nADD a.tar /x\n", &[]).times(&sandbox);
    assert_eq!((times["x/d/"], times["x/d/a"]), (1_000_000_000, 1_000_000_000));
}

#[test]
fn names_that_mean_deletions_are_left_out() {
    let sandbox = sandbox();
    let members = [
        ("real/.wh.old", 0o644, File("")),
        (".wh..wh..opq", 0o644, File("")),
        (".wh.d/f", 0o644, File("f")),
        ("kept", 0o644, File("k")),
    ];
    sandbox.write("work/a.tar", archive(&members));
    let before = tree(&sandbox, BASE);
    let after = tree(&sandbox, &format!("{BASE}ADD a.tar /x/\n"));
    assert!(before.iter().all(|line| after.contains(line)), "{after:?}");
    assert_eq!(after.len(), before.len() + 1, "{after:?}");
    let out = build(&sandbox, &["--no-cache", "."]).success();
    for name in ["x/real/.wh.old", "x/.wh..wh..opq", "x/.wh.d/f"] {
        assert!(out.stderr.contains(&format!("/{name} is left out")), "{name}: {}", out.stderr);
    }
}
