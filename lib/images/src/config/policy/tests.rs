//! Choice of the file, scopes, and every way in which a policy can be wrong.
#![allow(clippy::unwrap_used)]

use std::fs;

use super::*;
use crate::config::Choice;

const ACCEPT: &str = r#"[{"type": "insecureAcceptAnything"}]"#;
const REJECT: &str = r#"[{"type": "reject"}]"#;

fn policy(text: &str) -> Policy {
    Policy::parse(PathBuf::from("/p.json"), text.as_bytes()).unwrap()
}

/// A policy that rejects by default and accepts in these scopes of `transport`.
fn accepting(transport: &str, scopes: &[&str]) -> Policy {
    let scopes: Vec<String> = scopes.iter().map(|scope| format!("{scope:?}: {ACCEPT}")).collect();
    let scopes = scopes.join(", ");
    policy(&format!(r#"{{"default": {REJECT}, "transports": {{"{transport}": {{{scopes}}}}}}}"#))
}

fn image(text: &str) -> PolicyScope {
    let (registry, rest) = text.split_once('/').unwrap();
    let (rest, digest) = rest.split_once('@').map_or((rest, None), |(r, d)| (r, Some(d)));
    let (repository, tag) = rest.split_once(':').map_or((rest, None), |(r, t)| (r, Some(t)));
    PolicyScope::docker(registry, repository, tag, digest)
}

#[test]
fn the_file_is_chosen_like_this() {
    let dir = tempfile::tempdir().unwrap();
    let [user, system] = ["user.json", "system.json"].map(|name| dir.path().join(name));
    let load = |policy: Choice| Policy::load(&ConfigPaths { policy, ..ConfigPaths::default() });
    let usual = || Choice::FirstOf(vec![user.clone(), system.clone()]);

    let none = load(usual()).unwrap();
    assert_eq!(none.file(), None);
    none.check(&image("h/a")).unwrap();
    assert_eq!(load(Choice::Explicit(user.clone())).unwrap_err().kind(), ErrorKind::NotFound);

    fs::write(&system, format!(r#"{{"default": {REJECT}}}"#)).unwrap();
    let policy = load(usual()).unwrap();
    assert_eq!(policy.file(), Some(system.as_path()));
    assert_eq!(policy.check(&image("h/a")).unwrap_err().kind(), ErrorKind::Denied);
    fs::write(&user, format!(r#"{{"default": {ACCEPT}}}"#)).unwrap();
    load(usual()).unwrap().check(&image("h/a")).unwrap();
    fs::write(&user, " ").unwrap();
    let error = load(usual()).unwrap_err().chain();
    assert!(error.ends_with("user.json: EOF while parsing a value at line 1 column 1"), "{error}");
    Policy::accept_anything().check(&image("h/a")).unwrap();
}

#[test]
fn every_scope_of_a_registrys_image() {
    let scope = image("a.example.com:5000/team/app:1");
    let names: Vec<&str> = scope.names().collect();
    assert_eq!(
        names,
        [
            "a.example.com:5000/team/app:1",
            "a.example.com:5000/team/app",
            "a.example.com:5000/team",
            "a.example.com:5000",
            "*.example.com",
            "*.com"
        ]
    );
    for (asked, first) in [
        ("h/a", "h/a:latest"),
        ("h/a@sha256:00", "h/a@sha256:00"),
        ("h/a:1@sha256:00", "h/a@sha256:00"),
    ] {
        assert_eq!(image(asked).names().next(), Some(first));
    }
    for name in names.into_iter().chain([""]) {
        accepting("docker", &[name]).check(&scope).unwrap();
    }
    for name in ["a.example.com", "a.example.com:5000/te", "a.example.com:5000/team/app:11"] {
        accepting("docker", &[name]).check(&scope).unwrap_err();
    }
    accepting("docker-daemon", &[""]).check(&scope).unwrap_err();
}

#[test]
fn the_most_specific_scope_wins_alone() {
    let policy = policy(&format!(
        r#"{{"default": {ACCEPT}, "transports": {{"docker": {{
            "h": {REJECT}, "h/ok": {ACCEPT}, "h/ok/bad": {REJECT}, "h/ok/bad:good": {ACCEPT},
            "*.io": {REJECT}, "a.io": {ACCEPT}}}}}}}"#
    ));
    for ok in ["h/ok:1", "h/ok/x", "h/ok/bad:good", "i/x", "a.io/x", "io/x"] {
        policy.check(&image(ok)).unwrap();
    }
    // A digest may be of any tag, so the tag beside it opens nothing.
    for bad in ["h/x", "h/okay", "h/ok/bad", "h/ok/bad:good@sha256:00", "b.io/x", "a.io:80/x"] {
        assert_eq!(policy.check(&image(bad)).unwrap_err().kind(), ErrorKind::Denied, "{bad}");
    }
}

#[test]
fn scopes_of_paths() {
    let scope = |path: &str| PolicyScope::path("oci", Path::new(path)).unwrap();
    assert_eq!(scope("/a/b/c").names().collect::<Vec<_>>(), ["/a/b/c", "/a/b", "/a"]);
    assert_eq!(scope("/a/").names().collect::<Vec<_>>(), ["/a"]);
    assert_eq!(scope("/").names().count(), 0);
    accepting("oci", &["/a/b"]).check(&scope("/a/b/c")).unwrap();
    accepting("oci", &["/a/b"]).check(&scope("/a/bc")).unwrap_err();
    accepting("oci", &[""]).check(&scope("/")).unwrap();
    accepting("dir", &["/a"]).check(&scope("/a")).unwrap_err();
    let error = PolicyScope::path("oci", Path::new("a")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
}

#[test]
fn scopes_of_other_transports() {
    let archive = PolicyScope::whole("docker-archive", "docker-archive:/x.tar");
    accepting("docker-archive", &[""]).check(&archive).unwrap();
    accepting("docker-archive", &["/x.tar"]).check(&archive).unwrap_err();
    let daemon = PolicyScope::named("docker-daemon", "docker.io", "library/a", None, None);
    accepting("docker-daemon", &["docker.io/library/a:latest"]).check(&daemon).unwrap();
    let error = accepting("docker", &["docker.io"]).check(&daemon).unwrap_err().chain();
    assert_eq!(
        error,
        "docker-daemon:docker.io/library/a:latest: rejected by policy (the default of /p.json)"
    );
}

#[test]
fn refusals_say_what_and_where() {
    let text = format!(
        r#"{{"default": {REJECT}, "transports": {{"docker": {{
            "h": [{{"type": "insecureAcceptAnything"}}, {{"type": "signedBy", "keyType": "GPGKeys",
                "keyPath": "/k", "signedIdentity": {{"type": "matchExact"}}}}],
            "i": [{{"type": "sigstoreSigned", "keyData": "a2V5"}}],
            "j": [{{"type": "signedBaseLayer", "baseLayerIdentity": {{"type": "matchExact"}}}}]}}}}}}"#
    );
    let policy = policy(&text);
    for (registry, kind, why) in [
        (
            "h",
            ErrorKind::Corrupt,
            "policy requires signedBy, which cannot be verified yet (scope \"h\" of transport \"docker\" of /p.json)",
        ),
        (
            "i",
            ErrorKind::Corrupt,
            "policy requires sigstoreSigned, which cannot be verified yet (scope \"i\" of transport \"docker\" of /p.json)",
        ),
        (
            "j",
            ErrorKind::Corrupt,
            "policy requires signedBaseLayer, which cannot be verified yet (scope \"j\" of transport \"docker\" of /p.json)",
        ),
        ("k", ErrorKind::Denied, "rejected by policy (the default of /p.json)"),
    ] {
        let error = policy.check(&image(&format!("{registry}/a"))).unwrap_err();
        assert_eq!(error.kind(), kind);
        assert_eq!(error.chain(), format!("docker://{registry}/a:latest: {why}"));
    }
}

#[test]
fn wrong_policies() {
    let docker = |scope: &str| {
        format!(r#"{{"default": {ACCEPT}, "transports": {{"docker": {{"{scope}": {ACCEPT}}}}}}}"#)
    };
    let oci = |scope: &str| docker(scope).replace("\"docker\"", "\"oci\"");
    let default = |list: &str| format!(r#"{{"default": {list}}}"#);
    for (text, why) in [
        ("{}".into(), "the policy has no \"default\""),
        ("[]".into(), "the policy is not an object"),
        (default("[]"), "\"default\" has no requirements"),
        (default("{}"), "\"default\" is not a list of requirements"),
        (default("null"), "\"default\" is not a list of requirements"),
        (default("[1]"), "a requirement of \"default\" is not an object"),
        (default("[{}]"), "a requirement of \"default\" has no \"type\""),
        (default(r#"[{"type": 1}]"#), "a requirement of \"default\" has no \"type\""),
        (
            default(r#"[{"type": "Reject"}]"#),
            "a requirement of \"default\" has the unknown type \"Reject\"",
        ),
        (
            default(r#"[{"type": "reject", "x": 1}]"#),
            "a requirement of \"default\" has the unknown key \"x\"",
        ),
        (
            default(r#"[{"type": "signedBy", "keydata": ""}]"#),
            "a requirement of \"default\" has the unknown key \"keydata\"",
        ),
        (format!(r#"{{"default": {ACCEPT}, "x": 1}}"#), "the policy has the unknown key \"x\""),
        (
            format!(r#"{{"default": {ACCEPT}, "transports": []}}"#),
            "\"transports\" is not an object",
        ),
        (
            format!(r#"{{"default": {ACCEPT}, "transports": {{"docker": []}}}}"#),
            "transport \"docker\" is not an object",
        ),
        (
            docker("https://h"),
            "scope \"https://h\" of transport \"docker\" is a URL; leave out the part up to \"://\"",
        ),
        (
            docker("h*.io"),
            "scope \"h*.io\" of transport \"docker\" has a wildcard that is not *.DOMAIN",
        ),
        (
            docker("*.io/a"),
            "scope \"*.io/a\" of transport \"docker\" has a wildcard that is not *.DOMAIN",
        ),
        (docker("h/"), "scope \"h/\" of transport \"docker\" ends in an empty part"),
        (oci("a"), "scope \"a\" of transport \"oci\" is not an absolute path"),
        (
            oci("/"),
            "scope \"/\" of transport \"oci\" is the root; use the scope \"\" for everything",
        ),
        (
            oci("/a/../b"),
            "scope \"/a/../b\" of transport \"oci\" is not a plain path without \".\", \"..\" and empty parts",
        ),
    ] {
        let error = Policy::parse(PathBuf::from("/p.json"), text.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert_eq!(error.chain(), format!("/p.json: {why}"));
    }
}

#[test]
fn equal_keys_and_rubbish_are_refused() {
    for (text, why) in [
        (
            format!(r#"{{"default": {REJECT}, "default": {ACCEPT}}}"#),
            "the key \"default\" is there twice",
        ),
        (
            r#"{"default": [{"type": "reject", "type": "insecureAcceptAnything"}]}"#.into(),
            "the key \"type\" is there twice",
        ),
        (format!(r#"{{"default": {ACCEPT}}} x"#), "trailing characters"),
        (format!(r#"{{"default": {ACCEPT}"#), "EOF while parsing an object"),
        (format!(r#"{{"default": {}"#, "[".repeat(100_000)), "recursion limit exceeded"),
    ] {
        let error = Policy::parse(PathBuf::from("/p.json"), text.as_bytes()).unwrap_err().chain();
        assert!(error.starts_with(&format!("/p.json: {why} at line 1 column ")), "{error}");
    }
}

#[test]
fn transports_that_are_not_known_do_no_harm() {
    accepting("ostree", &["anything", ""]).check(&image("h/a")).unwrap_err();
}
