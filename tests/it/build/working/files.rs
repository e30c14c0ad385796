//! `from`, `copy`, `add` and `commit`: files in, a layer out.

use serde_json::json;

use super::{commit, verb, with_base};
use crate::support::program::Sandbox;

#[test]
fn an_image_from_nothing() {
    let sandbox = Sandbox::new();
    sandbox.write("work/app", "program");
    sandbox.write("work/dir/a", "a");
    sandbox.write("work/dir/sub/b", "b");
    let name = verb(&sandbox, &["from", "scratch"]);
    assert_eq!(name, "working-container");
    let digest = verb(&sandbox, &["copy", "--chmod", "755", &name, "app", "/bin/app"]);
    assert_eq!(digest.len(), 64, "{digest}");
    verb(&sandbox, &["copy", "--chown", "7:8", &name, "dir", "/data"]);
    verb(
        &sandbox,
        &["config", "--cmd", "/bin/app -v", "--env", "A=1", "--workingdir", "/w", &name],
    );
    // Below the working directory, which is made.
    verb(&sandbox, &["copy", &name, "app"]);
    let made = commit(&sandbox, &[&name, "app:1"]);
    assert_eq!(
        made.top(),
        [
            "bin/ 755 0:0 dir",
            "bin/app 755 0:0 \"program\"",
            "data/ 755 7:8 dir",
            "data/a 644 7:8 \"a\"",
            "data/sub/ 755 7:8 dir",
            "data/sub/b 644 7:8 \"b\"",
            "w/ 755 0:0 dir",
            "w/app 644 0:0 \"program\"",
        ]
    );
    assert_eq!(made.layers.len(), 1);
    let config = &made.config["config"];
    assert_eq!(config["Cmd"], json!(["/bin/app", "-v"]));
    assert_eq!((&config["Env"], &config["WorkingDir"]), (&json!(["A=1"]), &json!("/w")));
    assert_eq!(made.history(), ["/bin/sh"]);
    // By its name too.
    let committed = verb(&sandbox, &["commit", &name, "app:1"]);
    let digest = sandbox.copy(["digest", "store:app:1"]).run().success().stdout;
    assert_eq!(digest.trim(), committed);
}

#[test]
fn changes_lie_on_the_base() {
    let Some(sandbox) = with_base() else { return };
    sandbox.write("work/new", "new");
    assert_eq!(verb(&sandbox, &["from", "base"]), "base-working-container");
    assert_eq!(verb(&sandbox, &["from", "base"]), "base-working-container-1");
    assert_eq!(verb(&sandbox, &["from", "--name", "x", "base"]), "x");
    sandbox.build(["from", "--name", "x", "base"]).run().fails(1).says("already in use");
    let first = commit(&sandbox, &["x"]);
    assert_eq!((first.top().len(), first.layers.len()), (0, 3));
    verb(&sandbox, &["copy", "--chown", "app:web", "x", "new", "/d/"]);
    verb(&sandbox, &["copy", "x", "new", "/d/old"]);
    let second = commit(&sandbox, &["x"]);
    let times = |made: &super::Made| made.config["history"].clone();
    assert_eq!(second.top(), ["d/ 755 0:0 dir", "d/new 644 5:9 \"new\"", "d/old 644 0:0 \"new\""]);
    assert_eq!(second.layers[..2], first.layers[..2]);
    assert_eq!(second.config["config"]["Cmd"], json!(["/d/old"]));
    let lines = times(&second).as_array().expect("lines").len();
    assert_eq!(lines, times(&first).as_array().expect("lines").len());
    assert_eq!(second.history().last().map(String::as_str), Some("/bin/sh"));
    assert!(sandbox.mounts().is_empty());
}

#[test]
fn what_is_copied_and_where_to() {
    let sandbox = Sandbox::new();
    for (name, content) in [("a.txt", "a"), ("b.txt", "b"), ("c[1]", "c"), ("sub/d", "d")] {
        sandbox.write(&format!("work/{name}"), content);
    }
    std::os::unix::fs::symlink("a.txt", sandbox.work("link")).expect("a link");
    verb(&sandbox, &["from", "--name", "c", "scratch"]);
    for args in [
        &["c", "*.txt", "/texts"][..],
        &["c", "c[1]", "/one"],
        &["c", "link", "/two/"],
        &["c", "a.txt", "sub", "/both"],
    ] {
        verb(&sandbox, &[&["copy", "-q"], args].concat());
    }
    let absolute = sandbox.work("sub/../b.txt").display().to_string();
    verb(&sandbox, &["copy", "c", &absolute, "/three"]);
    assert_eq!(
        commit(&sandbox, &["c"]).top(),
        [
            "both/ 755 0:0 dir",
            "both/a.txt 644 0:0 \"a\"",
            "both/d 644 0:0 \"d\"",
            "one 644 0:0 \"c\"",
            "texts/ 755 0:0 dir",
            "texts/a.txt 644 0:0 \"a\"",
            "texts/b.txt 644 0:0 \"b\"",
            "three 644 0:0 \"b\"",
            "two/ 755 0:0 dir",
            "two/link 644 0:0 \"a\"",
        ]
    );
    sandbox.build(["copy", "c", "a.tx", "/x"]).run().fails(3).says("did you mean");
    sandbox.build(["copy", "c", "*.none", "/x"]).run().fails(3).says("nothing matches");
    sandbox.build(["copy", "c", "a.txt", "/two"]).run().success();
    sandbox.build(["copy", "c", "sub", "/one"]).run().fails(1).says("non-directory");
    sandbox.build(["copy", "--chown", "nobody", "c", "a.txt", "/x"]).run().fails(3);
    assert!(!commit(&sandbox, &["c"]).top().iter().any(|line| line.starts_with("x ")));
}

#[test]
fn a_context_is_a_border() {
    let sandbox = Sandbox::new();
    sandbox.write("work/ctx/in", "in");
    sandbox.write("work/ctx/secret", "s");
    sandbox.write("work/ctx/.dockerignore", "secret\n");
    sandbox.write("work/out", "out");
    std::os::unix::fs::symlink("../out", sandbox.work("ctx/leads-out")).expect("a link");
    verb(&sandbox, &["from", "--name", "c", "scratch"]);
    let copy = ["copy", "--contextdir", "ctx", "c"];
    sandbox.build(copy).args([".", "/all/"]).run().success();
    for source in ["../out", "leads-out"] {
        sandbox.build(copy).args([source, "/x"]).run().fails(3);
    }
    sandbox.build(copy).args(["secret", "/x"]).run().fails(3).says("line 1");
    let made = commit(&sandbox, &["c"]);
    let names: Vec<&String> = made.layers[0].keys().collect();
    assert_eq!(names, ["all/", "all/.dockerignore", "all/in", "all/leads-out"]);
}

#[test]
fn archives_are_unpacked_by_add_alone() {
    let sandbox = Sandbox::new();
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(1);
    header.set_mode(0o640);
    header.set_uid(3);
    header.set_gid(4);
    archive.append_data(&mut header, "in/f", &b"x"[..]).expect("an entry");
    sandbox.write("work/a.tar", archive.into_inner().expect("an archive"));
    sandbox.write("work/plain", "p");
    verb(&sandbox, &["from", "--name", "c", "scratch"]);
    verb(&sandbox, &["add", "c", "a.tar", "/unpacked"]);
    verb(&sandbox, &["add", "--chown", "1:1", "c", "a.tar", "plain", "/owned/"]);
    verb(&sandbox, &["copy", "c", "a.tar", "/kept"]);
    let made = commit(&sandbox, &["c"]);
    let top = made.top();
    let line = |start: &str| top.iter().find(|line| line.starts_with(start)).cloned();
    assert_eq!(line("unpacked/in/f").as_deref(), Some("unpacked/in/f 640 3:4 \"x\""));
    assert_eq!(line("owned/in/f").as_deref(), Some("owned/in/f 640 1:1 \"x\""));
    assert_eq!(line("owned/plain").as_deref(), Some("owned/plain 644 1:1 \"p\""));
    assert!(line("kept 644 0:0").is_some(), "{top:?}");
}

#[test]
fn files_come_from_containers_and_images() {
    let Some(sandbox) = with_base() else { return };
    sandbox.write("work/f", "f");
    verb(&sandbox, &["from", "--name", "one", "base"]);
    verb(&sandbox, &["copy", "--chown", "5:5", "one", "f", "/made"]);
    verb(&sandbox, &["from", "--name", "two", "base"]);
    verb(&sandbox, &["copy", "--from", "one", "two", "/made", "/from-container"]);
    verb(&sandbox, &["copy", "--from", "base", "two", "d/old", "/from-image"]);
    assert_eq!(
        commit(&sandbox, &["two"]).top(),
        ["from-container 644 5:5 \"f\"", "from-image 644 0:0 \"old\""]
    );
    sandbox.build(["copy", "--from", "two", "two", "/made", "/x"]).run().fails(2);
    assert!(sandbox.mounts().is_empty());
}

#[test]
fn squashed_and_reproducible() {
    let Some(sandbox) = with_base() else { return };
    sandbox.write("work/f", "f");
    verb(&sandbox, &["from", "--name", "c", "base"]);
    verb(&sandbox, &["copy", "c", "f", "/d/old"]);
    let made = commit(&sandbox, &["--squash", "c"]);
    assert_eq!(
        made.top(),
        [
            "d/ 755 0:0 dir",
            "d/old 644 0:0 \"f\"",
            "etc/ 755 0:0 dir",
            "etc/group 644 0:0 \"root:x:0:\\nweb:x:9:app\\n\"",
            "etc/passwd 644 0:0 \"root:x:0:0::/root:/bin/sh\\napp:x:5:6::/:/bin/sh\\n\"",
        ]
    );
    assert_eq!((made.layers.len(), made.history().len()), (1, 1));
    let omitted = commit(&sandbox, &["--omit-history", "c"]);
    assert!(omitted.config.get("history").is_none() && omitted.config["created"].is_string());
    for (flag, why) in [("--manifest", "not made"), ("--sign-by", "not signed")] {
        sandbox.build(["commit", flag, "x", "c"]).run().fails(2).says(why);
    }
    let pinned = |args: &[&str]| verb(&sandbox, &[&["commit"], args, &["c"]].concat());
    let first = pinned(&["--timestamp", "0"]);
    assert_eq!(
        sandbox.build(["commit", "c"]).env("SOURCE_DATE_EPOCH", "0").run().success().stdout.trim(),
        first
    );
    assert_eq!(super::Made::of(&sandbox, &first).config["created"], "1970-01-01T00:00:00Z");
    sandbox.build(["commit", "c"]).env("SOURCE_DATE_EPOCH", "x").run().fails(2);
    // Another container with the same changes.
    verb(&sandbox, &["from", "--name", "again", "base"]);
    verb(&sandbox, &["copy", "again", "f", "/d/old"]);
    assert_eq!(verb(&sandbox, &["commit", "--timestamp", "0", "again"]), first);
}
