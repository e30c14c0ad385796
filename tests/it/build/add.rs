//! `ADD` of what is elsewhere: files of the web, git repositories.

use std::io::Write as _;
use std::path::Path;

use super::result::{Made, build, built, steps};
use crate::support::content::sha256;
use crate::support::git::{Daemon, Repository, TIME};
use crate::support::http::RecordingServer;
use crate::support::peers::need;
use crate::support::program::Sandbox;
use crate::support::raw::RawServer;

const DATE: &str = "Sun, 09 Sep 2001 01:46:40 GMT";

fn top(sandbox: &Sandbox, instruction: &str) -> Vec<String> {
    built(sandbox, &format!("FROM scratch\n{instruction}\n"), &[]).top()
}

fn gzipped(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o640);
        header.set_uid(7);
        header.set_gid(8);
        tar.append_data(&mut header, name, text.as_bytes()).expect("an entry");
    }
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar.into_inner().expect("an archive")).expect("written");
    gzip.finish().expect("compressed")
}

#[test]
fn files_have_names_modes_and_times() {
    let (sandbox, server) = (Sandbox::new(), RecordingServer::start());
    server.answer("/a/f.txt", 200, &[("last-modified", DATE)], "f");
    server.answer("/?x", 200, &[], "unnamed");
    let url = server.url();
    let f = "d/f.txt 600 0:0 \"f\"";
    assert_eq!(top(&sandbox, &format!("ADD {url}/a/f.txt?q=1#x /d/")), ["d/ 755 0:0 dir", f]);
    assert_eq!(top(&sandbox, &format!("ADD {url}/a/f.txt /d")), ["d 600 0:0 \"f\""]);
    assert_eq!(
        top(&sandbox, &format!("ADD --chown=1:2 --chmod=644 {url}/a/f.txt /g")),
        ["g 644 1:2 \"f\""]
    );
    assert_eq!(top(&sandbox, &format!("ADD {url}/?x /d/"))[1], "d/__unnamed__ 600 0:0 \"unnamed\"");
    let both = format!("ADD {url}/a/f.txt {url}/?x /d/");
    assert_eq!(top(&sandbox, &both)[1..], ["d/__unnamed__ 600 0:0 \"unnamed\"", f]);
    let file = format!("FROM scratch\nADD {url}/a/f.txt {url}/?x /d/\n");
    let times = built(&sandbox, &file, &[]).times(&sandbox);
    assert_eq!((times["d/f.txt"], times["d/__unnamed__"]), (TIME, 0));
    assert_eq!(server.requests()[0].header("accept-encoding"), Some("identity"));
    // Nothing but the address is in the image.
    assert_eq!(
        built(&sandbox, &file, &[]).history(),
        [format!("ADD {url}/a/f.txt {url}/?x /d/ # buildkit")]
    );
}

#[test]
fn archives_from_elsewhere_stay_as_they_are_unless_asked() {
    let (sandbox, server) = (Sandbox::new(), RecordingServer::start());
    server.answer("/a.tar.gz", 200, &[], gzipped(&[("x/f", "f")]));
    server.answer("/none.tar", 200, &[], "no archive");
    let url = server.url();
    assert!(top(&sandbox, &format!("ADD {url}/a.tar.gz /d/"))[1].starts_with("d/a.tar.gz 600"));
    assert_eq!(
        top(&sandbox, &format!("ADD --unpack=true {url}/a.tar.gz /d")),
        ["d/ 755 0:0 dir", "d/x/ 755 0:0 dir", "d/x/f 640 7:8 \"f\""]
    );
    assert_eq!(
        top(&sandbox, &format!("ADD --unpack {url}/none.tar /d/"))[1],
        "d/none.tar 600 0:0 \"no archive\""
    );
}

#[test]
fn a_server_is_asked_whether_a_file_has_changed() {
    let (sandbox, server) = (Sandbox::new(), RecordingServer::start());
    server.answer("/f", 200, &[("etag", "\"1\""), ("last-modified", DATE)], "one");
    let file = format!("FROM scratch\nADD {}/f /f\n", server.url());
    assert_eq!(steps(&sandbox, &file, &[]), (1, 0));
    server.answer("/f", 304, &[], "");
    assert_eq!(steps(&sandbox, &file, &[]), (0, 1));
    let asked = server.requests();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].header("if-none-match"), None);
    assert_eq!(asked[1].header("if-none-match"), Some("\"1\""));
    assert_eq!(asked[1].header("if-modified-since"), Some(DATE));
    // Where the content is needed, it is asked for.
    server.answer("/f", 200, &[("etag", "\"1\"")], "one");
    assert_eq!(steps(&sandbox, &file.replace("/f /f", "/f /g"), &[]), (1, 0));
    assert_eq!(server.requests()[2].header("if-none-match"), None);
    // The content counts, not what the server calls it.
    server.answer("/f", 200, &[("etag", "\"2\"")], "one");
    assert_eq!(steps(&sandbox, &file, &[]), (0, 1));
    server.answer("/f", 200, &[("etag", "\"3\"")], "two");
    sandbox.write("work/Dockerfile", file.replace("/f /f", "/f /g"));
    let out = build(&sandbox, &["--explain", "."]).success();
    let why = format!("made because {}/f is different", server.url());
    assert!(out.stderr.contains(&why), "{}", out.stderr);
    assert_eq!(steps(&sandbox, &file, &[]), (1, 0));
    server.answer("/f", 304, &[], "");
    assert_eq!(steps(&sandbox, &file, &[]), (0, 1));
    assert_eq!(built(&sandbox, &file, &[]).top(), ["f 600 0:0 \"two\""]);
    // A server that cannot tell sends it again.
    server.answer("/f", 200, &[], "two");
    assert_eq!(steps(&sandbox, &file, &["--no-cache"]), (1, 0));
    assert_eq!(steps(&sandbox, &file, &[]), (0, 1));
    assert_eq!(server.requests().last().expect("a request").header("if-none-match"), None);
}

#[test]
fn a_checksum_is_kept_to() {
    let (sandbox, server) = (Sandbox::new(), RecordingServer::start());
    server.answer("/f", 200, &[], "f");
    let right = sha256(b"f");
    let file = format!("FROM scratch\nADD --checksum={right} {}/f /f\n", server.url());
    assert_eq!(steps(&sandbox, &file, &[]), (1, 0));
    assert_eq!(steps(&sandbox, &file, &[]), (0, 1));
    assert_eq!(server.requests().len(), 1, "what is known is not asked for");
    let wrong = sha256(b"g");
    sandbox.write("work/Dockerfile", file.replace(&right, &wrong));
    let out = build(&sandbox, &["-q", "."]).fails(6);
    let said = format!("digest mismatch for {}/f: {right} (expected: {wrong})", server.url());
    assert!(out.stderr.contains(&said), "{}", out.stderr);
    sandbox.write("work/Dockerfile", file.replace(&right, "sha256:12"));
    build(&sandbox, &["-q", "."]).fails(1).says("--checksum=sha256:12");
}

#[test]
fn refusals_and_redirects() {
    let (sandbox, server, other) =
        (Sandbox::new(), RecordingServer::start(), RecordingServer::start());
    other.answer("/there", 200, &[], "there");
    server.answer("/gone", 404, &[], "");
    server.answer("/closed", 401, &[], "");
    server.answer("/loop", 302, &[("location", "/loop")], "");
    server.answer("/file", 302, &[("location", "file:///etc/passwd")], "");
    server.answer("/moved", 302, &[("location", &format!("{}/there", other.url()))], "");
    let url = server.url();
    for (path, code, why) in [
        ("gone", 3, "404 Not Found"),
        ("closed", 4, "401 Unauthorized"),
        ("loop", 1, "more than 10 redirects"),
        ("file", 1, "redirect to an unsupported URL"),
    ] {
        sandbox.write("work/Dockerfile", format!("FROM scratch\nADD {url}/{path} /x\n"));
        let out = build(&sandbox, &["-q", "."]).fails(code);
        assert!(out.stderr.contains(why) && out.stderr.contains("Dockerfile:2"), "{}", out.stderr);
    }
    let host = server.host();
    let file = format!("FROM scratch\nADD {url}/moved /d/\n");
    let secret = format!("id=HTTP_AUTH_TOKEN_{host},env=WORD");
    sandbox.write("work/Dockerfile", &file);
    let args = ["build", "-q", "--secret", &secret, "."];
    let out = sandbox.build(args).env("WORD", "s3cret-word").run().success();
    let made = Made::of(&sandbox, out.stdout.trim());
    assert_eq!(made.top()[1], "d/moved 600 0:0 \"there\"");
    let asked = server.requests();
    let shown = asked.last().expect("a request").authorization.as_deref();
    assert_eq!(shown, Some("Bearer s3cret-word"));
    assert_eq!(other.requests()[0].authorization, None, "it is for one origin");
    // In an address it would be in the history.
    let count = asked.len();
    let with = url.replace("http://", "http://me:s3cret-word@");
    sandbox.write("work/Dockerfile", format!("FROM scratch\nADD {with}/moved /d/\n"));
    let out = build(&sandbox, &["-q", "."]).fails(1);
    assert!(out.stderr.contains("give them as a secret"), "{}", out.stderr);
    assert_eq!(server.requests().len(), count);
}

#[test]
fn servers_that_promise_too_much_or_send_too_little() {
    let sandbox = Sandbox::new();
    let large = "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n";
    let short = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc";
    for (answer, tries, code, why) in
        [(large, 1, 1, "the file is larger than the limit"), (short, 2, 5, "the connection broke")]
    {
        let server = RawServer::answering(answer);
        sandbox.write("work/Dockerfile", format!("FROM scratch\nADD {}/f /f\n", server.url()));
        let out = build(&sandbox, &["-q", "--retry", "1", "."]).fails(code);
        assert!(out.stderr.contains(why), "{}", out.stderr);
        assert_eq!(server.connections(), tries);
    }
    assert!(!sandbox.store().join("cache/build/web").exists());
}

#[test]
fn proxies_are_honoured() {
    let (sandbox, proxy) = (Sandbox::new(), RecordingServer::start());
    proxy.answer("/f", 200, &[], "by proxy");
    sandbox.write("work/Dockerfile", "FROM scratch\nADD http://host.invalid/f /f\n");
    let out = sandbox.build(["build", "-q", "."]).env("http_proxy", proxy.url()).run().success();
    assert_eq!(Made::of(&sandbox, out.stdout.trim()).top(), ["f 600 0:0 \"by proxy\""]);
}

/// A repository `r` with two commits, a tag of the first and a submodule `m`.
struct Places {
    sandbox: Sandbox,
    daemon: Daemon,
    first: String,
    second: String,
}

fn places() -> Places {
    let sandbox = Sandbox::new();
    let base = sandbox.path("git");
    let module = Repository::new(&base.join("m"));
    module.commit(&[("inner", "i")]);
    let repository = Repository::new(&base.join("r"));
    let first = repository.commit(&[("f", "1"), ("d/x", "x"), ("run", "#!")]);
    repository.git(&["tag", "-a", "-m", "t", "v1"]);
    repository.git(&["branch", "old"]);
    make_executable(&base.join("r/run"));
    let path = format!("{}/m", base.display());
    repository.git(&["-c", "protocol.file.allow=always", "submodule", "add", "-q", &path, "sub"]);
    repository.git(&["config", "-f", ".gitmodules", "submodule.sub.url", "../m"]);
    let second = repository.commit(&[("f", "2")]);
    let daemon = Daemon::start(&base);
    Places { sandbox, daemon, first, second }
}

fn make_executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::Permissions::from_mode(0o775);
    std::fs::set_permissions(path, mode).expect("a mode");
}

#[test]
fn repositories_give_the_files_of_a_commit() {
    need!("git");
    let Places { sandbox, daemon, first, .. } = places();
    let url = daemon.url("r");
    let modules = "[submodule \\\"sub\\\"]\\n\\tpath = sub\\n\\turl = ../m\\n";
    let now = [
        format!(".gitmodules 644 0:0 \"{modules}\""),
        "d/ 755 0:0 dir".into(),
        "d/x 644 0:0 \"x\"".into(),
        "f 644 0:0 \"2\"".into(),
        "run 755 0:0 \"#!\"".into(),
        "sub/ 755 0:0 dir".into(),
        "sub/inner 644 0:0 \"i\"".into(),
    ];
    assert_eq!(top(&sandbox, &format!("ADD {url} /")), now);
    let before = ["d/ 755 0:0 dir", "d/x 644 0:0 \"x\"", "f 644 0:0 \"1\"", "run 644 0:0 \"#!\""];
    for reference in ["v1", "old", "refs/tags/v1", &first] {
        assert_eq!(top(&sandbox, &format!("ADD {url}#{reference} /")), before, "{reference}");
    }
    assert_eq!(
        top(&sandbox, &format!("ADD --chown=1 --chmod=u=rwX,go= {url}#v1:d /e/")),
        ["e/ 755 1:1 dir", "e/x 600 1:1 \"x\""]
    );
    assert_eq!(
        top(&sandbox, &format!("ADD --exclude=d --exclude=r* {url}#v1 /")),
        ["f 644 0:0 \"1\""]
    );
    let kept = top(&sandbox, &format!("ADD --keep-git-dir {url}#v1 /"));
    let has = |name: &str| kept.iter().any(|line| line.starts_with(name));
    assert!(has(".git/HEAD 644 0:0") && has(".git/refs/tags/v1 ") && has("f 644"), "{kept:?}");
    assert!(!has(".git/hooks/"), "{kept:?}");
}

#[test]
fn what_a_person_has_set_up_for_git_does_not_count() {
    need!("git");
    let Places { sandbox, daemon, .. } = places();
    let hook = "#!/bin/sh\ntouch \"$(dirname \"$0\")/../ran\"\n";
    let hook = sandbox.write("home/hooks/post-checkout", hook);
    make_executable(&hook);
    let config = format!("[core]\n\thooksPath = {}\n", sandbox.path("home/hooks").display());
    sandbox.write("home/.gitconfig", &config);
    sandbox.write("home/global", &config);
    sandbox.write("work/Dockerfile", format!("FROM scratch\nADD {}#v1 /\n", daemon.url("r")));
    // Modes and times do not hang on whoever builds.
    let shell = sandbox.command("sh", ["-c", "umask 077; exec \"$0\" build -q ."]);
    let program = crate::support::program::find_program("creel-build");
    let shell = shell.arg(program).env("GIT_CONFIG_GLOBAL", sandbox.path("home/global"));
    let shell = shell.env("GIT_TEMPLATE_DIR", sandbox.path("home")).env("GIT_DIR", "/nowhere");
    let out = shell.run().success();
    assert!(!sandbox.path("home/ran").exists());
    let made = Made::of(&sandbox, out.stdout.trim());
    assert_eq!(made.top()[1], "d/x 644 0:0 \"x\"");
    assert!(made.times(&sandbox).values().all(|time| *time == TIME));
    // Nor is anything asked, or left behind.
    let left = std::fs::read_dir(sandbox.store().join("tmp")).expect("a folder").count();
    assert_eq!(left, 0);
}

#[test]
fn submodules_are_not_taken_from_this_machine() {
    need!("git");
    let Places { sandbox, daemon, .. } = places();
    let inner = sandbox.path("git/m").display().to_string();
    let repository = Repository::new(&sandbox.path("git/r"));
    for url in [&inner, "ext::sh -c touch% /tmp/x"] {
        repository.git(&["config", "-f", ".gitmodules", "submodule.sub.url", url]);
        repository.commit(&[]);
        let file = format!("FROM scratch\nADD {} /\n", daemon.url("r"));
        sandbox.write("work/Dockerfile", &file);
        let out = build(&sandbox, &["-q", "."]).fails(4);
        assert!(out.stderr.contains("not allowed"), "{}", out.stderr);
        // Without them there is nothing to refuse.
        let without = format!("{}?submodules=false", daemon.url("r"));
        assert!(
            top(&sandbox, &format!("ADD {without} /")).contains(&"sub/ 755 0:0 dir".to_owned())
        );
    }
}

#[test]
fn a_commit_is_fetched_once() {
    need!("git");
    let Places { sandbox, daemon, first, second } = places();
    let url = daemon.url("r");
    let by_name = format!("FROM scratch\nADD {url} /\n");
    assert_eq!(steps(&sandbox, &by_name, &[]), (1, 0));
    let before = daemon.connections();
    assert_eq!(steps(&sandbox, &by_name, &[]), (0, 1));
    assert_eq!(daemon.connections(), before + 1, "only the reference is looked up");
    assert_eq!(steps(&sandbox, &format!("FROM scratch\nADD {url}#{second} /\n"), &[]), (0, 1));
    assert_eq!(daemon.connections(), before + 1, "a commit's ID says all");
    // A moved branch is another commit.
    Repository::new(&sandbox.path("git/r")).commit(&[("f", "3")]);
    assert_eq!(steps(&sandbox, &by_name, &[]), (1, 0));
    let short = &first[..12];
    let file = format!("FROM scratch\nADD --checksum={short} {url}#v1 /\n");
    assert_eq!(steps(&sandbox, &file, &[]), (1, 0));
    sandbox.write("work/Dockerfile", file.replace("#v1", "#main"));
    let out = build(&sandbox, &["-q", "."]).fails(6);
    assert!(out.stderr.contains(&format!("(expected: {short})")), "{}", out.stderr);
    for (address, code, why) in [
        (format!("{url}#v9"), 3, "no branch or tag v9"),
        (daemon.url("none"), 3, "access denied or repository not exported"),
        (format!("{url}#v1:none"), 3, "opening none of"),
        (format!("{url}#--upload-pack=x"), 1, "is no reference"),
        ("git://127.0.0.1:1/r".to_owned(), 5, "git: "),
    ] {
        sandbox.write("work/Dockerfile", format!("FROM scratch\nADD {address} /\n"));
        let out = build(&sandbox, &["-q", "."]).fails(code);
        assert!(out.stderr.contains(why), "{address}: {}", out.stderr);
    }
}

#[test]
fn repositories_behind_a_plain_web_server() {
    need!("git");
    let Places { sandbox, .. } = places();
    let bare = sandbox.path("git/bare.git");
    let from = sandbox.path("git/r");
    let repository = Repository::new(&from);
    let (from, to) = (from.display().to_string(), bare.display().to_string());
    repository.git(&["clone", "-q", "--bare", &from, &to]);
    repository.git(&["--git-dir", &to, "update-server-info"]);
    let server = RecordingServer::start();
    let mut folders = vec![bare.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(bare.parent().expect("a parent")).expect("a name");
            let content = std::fs::read(&path).expect("a file");
            server.answer(&format!("/{}?", name.display()), 200, &[], content);
        }
    }
    let refs = std::fs::read(bare.join("info/refs")).expect("a file");
    server.answer("/bare.git/info/refs?", 200, &[], refs);
    let file = format!("FROM scratch\nADD {}/bare.git?ref=v1&submodules=false /\n", server.url());
    sandbox.write("work/Dockerfile", file);
    let args = ["build", "-q", "--secret", "id=GIT_AUTH_TOKEN,env=WORD", "."];
    let out = sandbox.build(args).env("WORD", "word").run().success();
    assert_eq!(Made::of(&sandbox, out.stdout.trim()).top()[2], "f 644 0:0 \"1\"");
    let basic = "Basic eC1hY2Nlc3MtdG9rZW46d29yZA==";
    let asked = server.requests();
    assert!(asked.iter().all(|asked| asked.authorization.as_deref() == Some(basic)), "{asked:?}");
}

#[test]
fn what_is_fetched_is_bounded() {
    need!("git");
    let (sandbox, server) = (Sandbox::new(), RecordingServer::start());
    server.answer("/f", 200, &[], "a file of some length");
    let repository = Repository::new(&sandbox.path("git/r"));
    // Small on its way, large on disk; then many files without content.
    repository.commit(&[("zeros", &"0".repeat(4 << 20))]);
    repository.git(&["branch", "large"]);
    std::fs::remove_file(repository.path().join("zeros")).expect("removed");
    let names: Vec<String> = (0..3000).map(|number| format!("d/{number}")).collect();
    repository.commit(&names.iter().map(|name| (name.as_str(), "")).collect::<Vec<_>>());
    repository.git(&["branch", "many"]);
    // What is in a submodule counts.
    let outer = Repository::new(&sandbox.path("git/o"));
    let inner = repository.path().display().to_string();
    let add = ["submodule", "add", "-q", "-b", "large", &inner, "in"];
    outer.git(&[&["-c", "protocol.file.allow=always"], &add[..]].concat());
    outer.git(&["config", "-f", ".gitmodules", "submodule.in.url", "../r"]);
    outer.commit(&[]);
    let daemon = Daemon::start(&sandbox.path("git"));
    let outer = daemon.url("o");
    let git = |branch: &str| format!("{}#{branch}", daemon.url("r"));
    let file = format!("{}/f", server.url());
    for (source, limit, fits) in [
        (file.as_str(), "20", false),
        (&file, "21", true),
        (&git("large"), "2m", false),
        (&git("large"), "16m", true),
        (&git("many"), "1m", false),
        (&git("many"), "64m", true),
        (&outer, "2m", false),
        (&format!("{outer}?submodules=false"), "2m", true),
    ] {
        sandbox.write("work/Dockerfile", format!("FROM scratch\nADD {source} /x/\n"));
        let out = build(&sandbox, &["-q", "--max-fetch", limit, "."]);
        match fits {
            true => out.success(),
            false => out.fails(1).says("(--max-fetch)"),
        };
    }
    // The same for contexts and for working containers.
    let context = format!("{}#large", daemon.url("r"));
    build(&sandbox, &["--max-fetch", "2m", &context]).fails(1).says("limit of 2097152 bytes");
    sandbox.build(["from", "--name", "c", "scratch"]).run().success();
    let args = ["add", "--max-fetch", "2m", "c", &context, "/x"];
    sandbox.build(args).run().fails(1).says("limit of 2097152 bytes");
    let left = std::fs::read_dir(sandbox.store().join("tmp")).expect("a folder").count();
    assert_eq!(left, 0);
}
