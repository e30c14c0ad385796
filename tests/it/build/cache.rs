//! What is made again and what is not.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use super::result::{build, built, steps};
use crate::support::program::Sandbox;

const FILE: &str = "FROM scratch\nCOPY a /a\nCOPY dir /d\nWORKDIR /w\n";

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    for (name, text) in [("a", "a"), ("dir/x", "x"), ("dir/y", "y"), ("other", "o")] {
        sandbox.write(&format!("work/{name}"), text);
    }
    assert_eq!(steps(&sandbox, FILE, &[]), (3, 0));
    assert_eq!(steps(&sandbox, FILE, &[]), (0, 3));
    sandbox
}

#[test]
fn the_same_again_gives_the_same_image() {
    let sandbox = sandbox();
    let digest = || build(&sandbox, &["-q", "-t", "app", "."]).success().stdout;
    let first = digest();
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(digest(), first);
    assert_eq!(steps(&sandbox, FILE, &["--no-cache"]), (3, 0));
}

#[test]
fn changes_of_files() {
    let modified = |sandbox: &Sandbox, name: &str| {
        let file = std::fs::File::options().append(true).open(sandbox.work(name)).expect("a file");
        file.set_modified(SystemTime::now() - Duration::from_secs(1000)).expect("a time");
    };
    let mode = |sandbox: &Sandbox, name: &str, mode: u32| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(sandbox.work(name), mode).expect("a mode");
    };
    let write = |sandbox: &Sandbox, name: &str, text: &str| {
        sandbox.write(&format!("work/{name}"), text);
    };
    type Change<'a> = &'a dyn Fn(&Sandbox);
    let changes: [(&str, Change<'_>, (u64, u64)); 9] = [
        ("nothing", &|_| {}, (0, 3)),
        ("time only", &|s| modified(s, "dir/x"), (0, 3)),
        ("one byte, the same size", &|s| write(s, "dir/x", "z"), (2, 1)),
        ("mode", &|s| mode(s, "dir/x", 0o640), (2, 1)),
        // The copied directory itself is not made after its source.
        ("mode of a directory", &|s| mode(s, "dir", 0o700), (0, 3)),
        ("a new file", &|s| write(s, "dir/new", ""), (2, 1)),
        ("a file that nobody copies", &|s| write(s, "other", "changed"), (0, 3)),
        ("the first file", &|s| write(s, "a", "b"), (3, 0)),
        (
            "another name",
            &|s| {
                std::fs::rename(s.work("dir/x"), s.work("dir/z")).expect("renamed");
            },
            (2, 1),
        ),
    ];
    for (what, change, expected) in changes {
        let sandbox = sandbox();
        change(&sandbox);
        assert_eq!(steps(&sandbox, FILE, &[]), expected, "{what}");
        assert_eq!(steps(&sandbox, FILE, &[]), (0, 3), "{what}, again");
    }
}

#[test]
fn changes_of_the_file() {
    for (what, file, expected) in [
        ("a label above", "FROM scratch\nLABEL a=b\nCOPY a /a\nCOPY dir /d\nWORKDIR /w\n", (0, 3)),
        (
            "an argument above",
            "FROM scratch\nARG X=1\nCOPY a /a\nCOPY dir /d\nWORKDIR /w\n",
            (0, 3),
        ),
        ("a variable above", "FROM scratch\nENV X=1\nCOPY a /a\nCOPY dir /d\nWORKDIR /w\n", (0, 3)),
        ("another destination", "FROM scratch\nCOPY a /b\nCOPY dir /d\nWORKDIR /w\n", (3, 0)),
        ("an owner", "FROM scratch\nCOPY a /a\nCOPY --chown=1 dir /d\nWORKDIR /w\n", (2, 1)),
        ("a mode", "FROM scratch\nCOPY a /a\nCOPY --chmod=700 dir /d\nWORKDIR /w\n", (2, 1)),
        ("left out", "FROM scratch\nCOPY a /a\nCOPY --exclude=x dir /d\nWORKDIR /w\n", (2, 1)),
        (
            "left out, what is not there",
            "FROM scratch\nCOPY a /a\nCOPY --exclude=q dir /d\nWORKDIR /w\n",
            (0, 3),
        ),
        ("another order", "FROM scratch\nCOPY dir /d\nCOPY a /a\nWORKDIR /w\n", (3, 0)),
        (
            "another spelling",
            "FROM scratch\ncopy  ./a  /a\nCOPY [\"dir\", \"/d\"]\nWORKDIR w\n",
            (0, 3),
        ),
        ("a user", "FROM scratch\nCOPY a /a\nCOPY dir /d\nUSER 1\nWORKDIR /w\n", (1, 2)),
        ("a document", "FROM scratch\nCOPY a /a\nCOPY dir /d\nCOPY <<x /w\nx y\nx\n", (1, 2)),
    ] {
        let sandbox = sandbox();
        assert_eq!(steps(&sandbox, file, &[]), expected, "{what}");
    }
}

#[test]
fn a_file_that_moves_in_the_context_is_the_same() {
    let sandbox = sandbox();
    std::fs::rename(sandbox.work("dir"), sandbox.work("moved")).expect("renamed");
    let file = FILE.replace("COPY dir", "COPY moved");
    assert_eq!(steps(&sandbox, &file, &[]), (0, 3));
}

#[test]
fn a_layer_of_its_own_survives_another_base() {
    let sandbox = sandbox();
    let file = |first: &str| format!("FROM scratch\nCOPY {first} /f\nCOPY --link dir /d\n");
    assert_eq!(steps(&sandbox, &file("a"), &[]), (2, 0));
    assert_eq!(steps(&sandbox, &file("other"), &[]), (1, 1));
}

#[test]
fn a_record_without_its_layer_does_not_count() {
    let sandbox = sandbox();
    let made = built(&sandbox, FILE, &[]);
    let layer = made.manifest["layers"][1]["digest"].as_str().expect("a digest").to_owned();
    std::fs::remove_file(sandbox.store().join("blobs/sha256").join(&layer[7..])).expect("removed");
    assert_eq!(steps(&sandbox, FILE, &[]), (1, 2));
    let again = built(&sandbox, FILE, &[]);
    assert_eq!(again.manifest["layers"], made.manifest["layers"]);
}

#[test]
fn damaged_records_do_not_count() {
    let sandbox = sandbox();
    let mut folders = vec![sandbox.store().join("cache")];
    let mut damaged = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    std::fs::write(path, b"{\"diffId\":").expect("written");
                    damaged += 1;
                }
            }
        }
    }
    assert!(damaged >= 4, "{damaged}");
    assert_eq!(steps(&sandbox, FILE, &[]), (3, 0));
    assert_eq!(steps(&sandbox, FILE, &[]), (0, 3));
}

#[test]
fn a_time_for_all_makes_equal_digests_anywhere() {
    let digest = |umask: &str, args: &str| {
        let sandbox = Sandbox::new();
        sandbox.write(
            "work/Dockerfile",
            "FROM scratch\nCOPY dir /d\nWORKDIR /w/x\nCOPY <<f /\n1\nf\n",
        );
        sandbox.write("work/dir/x", "x");
        let program = crate::support::program::find_program("creel-build");
        let line = format!("umask {umask}; exec {} -q {args} .", program.display());
        sandbox.command("/bin/sh", ["-c", &line]).run().success().stdout
    };
    let first = digest("022", "--reproducible");
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(digest("077", "--reproducible"), first);
    assert_eq!(digest("022", "--source-date-epoch 0"), first);
    assert_ne!(digest("022", "--source-date-epoch 1"), first);
}
