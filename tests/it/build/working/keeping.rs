//! Containers that stay: listed, inspected, kept alive, removed.

use serde_json::json;

use super::{commit, verb, with_base};
use crate::support::program::Sandbox;

#[test]
fn containers_are_listed_and_looked_at() {
    let Some(sandbox) = with_base() else { return };
    verb(&sandbox, &["from", "--name", "one", "base"]);
    verb(&sandbox, &["from", "--name", "two", "scratch"]);
    let list = sandbox.build(["containers", "--json"]).run().success().json();
    let names: Vec<&str> = list
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["containername"].as_str().expect("a name"))
        .collect();
    assert_eq!(names, ["one", "two"]);
    assert_eq!(list[0]["imagename"], "docker.io/library/base:latest");
    let id = list[0]["id"].as_str().expect("an ID").to_owned();
    let table = verb(&sandbox, &["containers"]);
    let lines: Vec<Vec<&str>> =
        table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0].join(" "), "CONTAINER ID IMAGE ID IMAGE NAME CONTAINER NAME");
    assert_eq!((lines[1][0], lines[1].last()), (&id[..12], Some(&"one")));
    assert_eq!(verb(&sandbox, &["containers", "-q"]).lines().next(), Some(id.as_str()));
    let filled = verb(&sandbox, &["containers", "--format", "{{.ContainerName}}={{.ImageName}}"]);
    assert_eq!(filled, "one=docker.io/library/base:latest\ntwo=scratch");
    for (filters, expected) in [
        (&["name=n"][..], "one"),
        (&["name=w"], "two"),
        (&[&format!("id={}", &id[..5])], "one"),
        (&["ancestor=base"], "one"),
        (&["ancestor=base:latest,name=o"], "one"),
        (&["ancestor=base", "name=two"], ""),
        (&["ancestor=ase"], ""),
        (&[&format!("ancestor={}", list[0]["imageid"].as_str().expect("an ID"))], "one"),
    ] {
        let flags: Vec<&str> = filters.iter().flat_map(|filter| ["--filter", *filter]).collect();
        let args = [&["containers", "--format", "{{.ContainerName}}"], &flags[..]].concat();
        assert_eq!(verb(&sandbox, &args), expected, "{filters:?}");
    }
    sandbox.build(["containers", "--filter", "size=1"]).run().fails(2).says("ancestor=");
    let about = sandbox.build(["inspect", "one"]).run().success().json();
    assert_eq!((&about["Container"], &about["ContainerID"]), (&json!("one"), &json!(id)));
    assert_eq!(
        about["OCIv1"]["config"]["Env"],
        json!(["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "A=1"])
    );
    let field =
        verb(&sandbox, &["inspect", "--format", "{{.OCIv1.Config.Cmd}} {{.FromImage}}", &id[..8]]);
    assert_eq!(field, "[/d/old] docker.io/library/base:latest");
    sandbox.build(["inspect", "none"]).run().fails(3).says("no such working container");
    sandbox.build(["inspect", "--type", "image", "base"]).run().fails(1).says("creel-inspect");
    // They are nobody else's business.
    let ps = sandbox.container(["ps", "-a", "-q"]).run().success();
    assert_eq!(ps.stdout, "");
}

#[test]
fn what_a_container_needs_stays() {
    let Some(sandbox) = with_base() else { return };
    sandbox.write("work/f", "f");
    verb(&sandbox, &["from", "--name", "c", "base"]);
    verb(&sandbox, &["copy", "c", "f", "/f"]);
    sandbox.copy(["rm", "base"]).run().success();
    sandbox.copy(["prune"]).run().success();
    sandbox.inspect(["check"]).run().success();
    let made = commit(&sandbox, &["c", "result"]);
    assert_eq!((made.layers.len(), made.top()), (3, vec!["f 644 0:0 \"f\"".to_owned()]));
    // The container goes, and with it what only it needed.
    verb(&sandbox, &["rm", "c"]);
    sandbox.copy(["rm", "result"]).run().success();
    sandbox.copy(["prune"]).run().success();
    let left = std::fs::read_dir(sandbox.store().join("blobs/sha256")).expect("a folder").count();
    assert_eq!(left, 0);
}

#[test]
fn containers_go() {
    let sandbox = Sandbox::new();
    for name in ["a", "b", "c"] {
        verb(&sandbox, &["from", "--name", name, "scratch"]);
    }
    let id = verb(&sandbox, &["inspect", "--format", "{{.ContainerID}}", "b"]);
    assert_eq!(verb(&sandbox, &["rm", "b"]), id);
    let out = sandbox.build(["rm", "b", "a"]).run().fails(3);
    out.says("no such working container: b");
    assert_eq!(verb(&sandbox, &["containers", "-q"]).lines().count(), 1);
    // Its name is free again.
    verb(&sandbox, &["from", "--name", "a", "scratch"]);
    verb(&sandbox, &["commit", "--rm", "a", "done"]);
    sandbox.build(["inspect", "a"]).run().fails(3);
    verb(&sandbox, &["rm", "--all"]);
    assert_eq!(verb(&sandbox, &["containers", "-q"]), "");
    let left: Vec<_> =
        std::fs::read_dir(sandbox.store().join("containers")).expect("a folder").collect();
    assert!(left.is_empty(), "{left:?}");
    sandbox.build(["from", "--name", "a/b", "scratch"]).run().fails(2).says("a/b");
    sandbox.build(["rm"]).run().fails(2);
}

#[test]
fn mounted_until_it_is_unmounted() {
    let Some(sandbox) = with_base() else { return };
    verb(&sandbox, &["from", "--name", "c", "base"]);
    let place = verb(&sandbox, &["mount", "c"]);
    let place = std::path::Path::new(&place);
    assert_eq!(std::fs::read(place.join("d/old")).expect("a file"), b"old");
    assert_eq!(verb(&sandbox, &["mount", "c"]), place.display().to_string());
    assert_eq!(verb(&sandbox, &["mount"]), format!("c {}", place.display()));
    std::fs::write(place.join("d/new"), "new").expect("written");
    std::fs::remove_file(place.join("d/old")).expect("removed");
    // Other verbs see it and are seen.
    sandbox.write("work/f", "f");
    verb(&sandbox, &["copy", "c", "f", "/f"]);
    assert_eq!(std::fs::read(place.join("f")).expect("a file"), b"f");
    let expected =
        ["d/ 755 0:0 dir", "d/.wh.old 644 0:0 \"\"", "d/new 644 0:0 \"new\"", "f 644 0:0 \"f\""];
    assert_eq!(commit(&sandbox, &["c"]).top(), expected);
    assert_eq!(
        verb(&sandbox, &["inspect", "--format", "{{.MountPoint}}", "c"]),
        place.display().to_string()
    );
    assert_eq!(verb(&sandbox, &["umount", "c"]), "c");
    assert_eq!(verb(&sandbox, &["unmount", "c"]), "");
    assert!(sandbox.mounts().is_empty());
    assert_eq!(commit(&sandbox, &["c"]).top(), expected);
    // Mounted, it goes all the same.
    verb(&sandbox, &["mount", "c"]);
    verb(&sandbox, &["rm", "c"]);
    assert!(sandbox.mounts().is_empty() && !place.exists());
}

#[test]
fn a_killed_step_leaves_a_container() {
    let Some(sandbox) = with_base() else { return };
    verb(&sandbox, &["from", "--name", "c", "base"]);
    let id = verb(&sandbox, &["inspect", "--format", "{{.ContainerID}}", "c"]);
    // As a killed program leaves it: the lock's file is there, nobody holds it.
    let lock = sandbox.store().join("containers").join(&id).join("lock");
    std::fs::write(&lock, "").expect("written");
    // Others clean up after themselves, and leave it.
    sandbox.container(["ps", "-a"]).run().success();
    verb(&sandbox, &["config", "--user", "u", "c"]);
    assert_eq!(commit(&sandbox, &["c"]).config["config"]["User"], "u");
    assert!(!lock.exists());
}
