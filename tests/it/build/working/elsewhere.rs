//! `add` and `copy` of what is elsewhere: files of the web, git repositories.

use super::{commit, verb};
use crate::support::content::sha256;
use crate::support::git::{Daemon, Repository, TIME};
use crate::support::http::RecordingServer;
use crate::support::peers::need;
use crate::support::program::Sandbox;

#[test]
fn files_of_the_web() {
    let (sandbox, server) = (Sandbox::new(), RecordingServer::start());
    let date = "Sun, 09 Sep 2001 01:46:40 GMT";
    server.answer("/a/f.txt", 200, &[("last-modified", date)], "f");
    server.answer("/gone", 404, &[], "");
    sandbox.write("work/here", "h");
    let url = server.url();
    verb(&sandbox, &["from", "--name", "c", "scratch"]);
    let added = verb(&sandbox, &["add", "c", &format!("{url}/a/f.txt?q=1"), "/d/"]);
    assert_eq!(added.len(), 64, "{added}");
    verb(
        &sandbox,
        &["copy", "--chown", "1:2", "--chmod", "644", "c", &format!("{url}/a/f.txt"), "/g"],
    );
    verb(&sandbox, &["add", "c", "here", &format!("{url}/a/f.txt"), "/both"]);
    let missing = ["add", "c", "here", &format!("{url}/gone"), "/none"];
    sandbox.build(missing).run().fails(3).says("404 Not Found");
    let made = commit(&sandbox, &["c"]);
    assert_eq!(
        made.top(),
        [
            "both/ 755 0:0 dir",
            "both/f.txt 600 0:0 \"f\"",
            "both/here 644 0:0 \"h\"",
            "d/ 755 0:0 dir",
            "d/f.txt 600 0:0 \"f\"",
            "g 644 1:2 \"f\"",
        ]
    );
    assert_eq!(made.times(&sandbox)["d/f.txt"], TIME);
}

#[test]
fn a_checksum_is_kept_to() {
    let (sandbox, server) = (Sandbox::new(), RecordingServer::start());
    server.answer("/f", 200, &[], "f");
    sandbox.write("work/here", "h");
    let url = format!("{}/f", server.url());
    verb(&sandbox, &["from", "--name", "c", "scratch"]);
    let (right, wrong) = (sha256(b"f"), sha256(b"g"));
    let add = |checksum: &str, sources: &[&str]| {
        let args = ["add", "--checksum", checksum, "c"];
        sandbox.build(args).args(sources).arg("/f").run()
    };
    let out = add(&wrong, &[&url]).fails(6);
    let said = format!("digest mismatch for {url}: {right} (expected: {wrong})");
    assert!(out.stderr.contains(&said), "{}", out.stderr);
    assert!(commit(&sandbox, &["c"]).top().is_empty());
    add(&right, &[&url]).success();
    add("sha256:12", &[&url]).fails(1).says("--checksum=sha256:12");
    for sources in [&["here"][..], &[&url, &url]] {
        add(&right, sources).fails(2).says("for one URL or git repository");
    }
    assert_eq!(commit(&sandbox, &["c"]).top(), ["f 600 0:0 \"f\""]);
}

#[test]
fn secrets_let_in_and_appear_nowhere() {
    let (sandbox, server) = (Sandbox::new(), RecordingServer::start());
    server.answer("/f", 200, &[], "f");
    verb(&sandbox, &["from", "--name", "c", "scratch"]);
    let host = server.url().trim_start_matches("http://").to_owned();
    let secret = format!("id=HTTP_AUTH_TOKEN_{host},env=WORD");
    let url = format!("{}/f", server.url());
    let args = ["add", "--add-history", "--secret", &secret, "c", &url, "/f"];
    sandbox.build(args).env("WORD", "geheim").run().success();
    assert_eq!(server.requests()[0].authorization.as_deref(), Some("Bearer geheim"));
    let made = commit(&sandbox, &["c"]);
    assert!(!made.config.to_string().contains("geheim"), "{}", made.config);
    let with = format!("http://me:word@{host}/f");
    sandbox.build(["add", "c", &with, "/f"]).run().fails(1).says("give them as a secret");
}

#[test]
fn repositories() {
    need!("git");
    let sandbox = Sandbox::new();
    let repository = Repository::new(&sandbox.path("git/r"));
    let first = repository.commit(&[("f", "1"), ("d/x", "x")]);
    repository.git(&["tag", "v1"]);
    repository.commit(&[("f", "2")]);
    let daemon = Daemon::start(&sandbox.path("git"));
    let url = daemon.url("r");
    verb(&sandbox, &["from", "--name", "c", "scratch"]);
    verb(&sandbox, &["add", "c", &url, "/now"]);
    verb(&sandbox, &["copy", "--chown", "3", "c", &format!("{url}#v1:d"), "/before/"]);
    let tagged = format!("{url}#v1");
    verb(&sandbox, &["add", "--checksum", &first[..12], "c", &tagged, "/checked"]);
    let moved = ["add", "--checksum", &first[..12], "c", &url, "/checked"];
    sandbox.build(moved).run().fails(6).says("(expected: ");
    // What is here is meant before what looks like an address.
    sandbox.write("work/me@host:f", "here");
    verb(&sandbox, &["copy", "c", "me@host:f", "/here"]);
    assert_eq!(
        commit(&sandbox, &["c"]).top(),
        [
            "before/ 755 3:3 dir",
            "before/x 644 3:3 \"x\"",
            "checked/ 755 0:0 dir",
            "checked/d/ 755 0:0 dir",
            "checked/d/x 644 0:0 \"x\"",
            "checked/f 644 0:0 \"1\"",
            "here 644 0:0 \"here\"",
            "now/ 755 0:0 dir",
            "now/d/ 755 0:0 dir",
            "now/d/x 644 0:0 \"x\"",
            "now/f 644 0:0 \"2\"",
        ]
    );
    let left = std::fs::read_dir(sandbox.store().join("tmp")).expect("a folder").count();
    assert_eq!(left, 0);
}
