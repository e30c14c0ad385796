//! Which entry of which file is taken, and every form that it may have.

use super::*;

#[test]
fn files_are_asked_in_order() {
    let home = Home::new();
    let nothing = home.find("h", "r");
    assert_eq!(nothing.credential, Credential::Anonymous);
    let searched = [AUTH, USER, DOCKER, ".dockercfg"].map(|name| home.path(name)).to_vec();
    assert_eq!(nothing.origin, Origin::Nowhere { searched });

    home.write(".dockercfg", r#"{"https://h/v1/": {"auth": "NDpw", "email": "e"}}"#);
    assert_eq!(home.find("h", "r").credential, basic("4", "p"));
    home.write(DOCKER, &auths(&[("h", "Mzpw")]));
    assert_eq!(home.find("h", "r").credential, basic("3", "p"));
    home.write(USER, &auths(&[("h", "Mjpw")]));
    assert_eq!(home.find("h", "r").credential, basic("2", "p"));
    home.write(AUTH, &auths(&[("other", "MTpw")]));
    assert_eq!(home.find("h", "r").credential, basic("2", "p"));
    home.write(AUTH, &auths(&[("h", "MTpw")]));
    let found = home.find("h", "r");
    assert_eq!(found.credential, basic("1", "p"));
    assert_eq!(found.origin.to_string(), format!("h in {}", home.path(AUTH).display()));
}

#[test]
fn an_explicit_file_is_the_only_one() {
    let home = Home::new();
    home.write(AUTH, &auths(&[("h", "MTpw")]));
    let mut paths = home.paths();
    let path = home.path("mine.json");
    paths.auth_file = Some(AuthFile { path: path.clone(), format: AuthFormat::Containers });
    let found = AuthStore::new(&paths).find("h", "").unwrap();
    assert_eq!(found.origin, Origin::Nowhere { searched: vec![path] });
    home.write("mine.json", &auths(&[("h", "Mjpw")]));
    assert_eq!(AuthStore::new(&paths).find("h", "").unwrap().credential, basic("2", "p"));
}

#[test]
fn the_most_specific_path_wins_and_hosts_are_exact() {
    let home = Home::new();
    home.write(
        AUTH,
        &auths(&[("h", "MDpw"), ("h/a", "MTpw"), ("h/a/b", "Mjpw"), ("h:5000", "NTpw")]),
    );
    for (registry, repository, user) in [
        ("h", "", "0"),
        ("h", "x/a", "0"),
        ("h", "ab", "0"),
        ("h", "a", "1"),
        ("h", "a/bc", "1"),
        ("h", "a/b", "2"),
        ("h", "a/b/c/d", "2"),
        ("h:5000", "a/b", "5"),
    ] {
        let found = home.find(registry, repository).credential;
        assert_eq!(found, basic(user, "p"), "{registry}/{repository}");
    }
    for registry in ["h:443", "sub.h", "hh", "H"] {
        assert_eq!(home.find(registry, "a").credential, Credential::Anonymous, "{registry}");
    }
}

#[test]
fn old_keys_and_the_names_of_docker_hub() {
    let home = Home::new();
    for name in
        ["https://index.docker.io/v1/", "index.docker.io", "docker.io", "registry-1.docker.io"]
    {
        home.write(AUTH, &auths(&[("other", "MTpw"), (name, "Mjpw")]));
        for asked in ["docker.io", "index.docker.io", "registry-1.docker.io"] {
            assert_eq!(home.find(asked, "library/a").credential, basic("2", "p"), "{name} {asked}");
        }
    }
    home.write(AUTH, &auths(&[("https://h:1/v2/", "MTpw"), ("http://i", "Mjpw")]));
    assert_eq!(home.find("h:1", "a").credential, basic("1", "p"));
    assert_eq!(home.find("i", "a").credential, basic("2", "p"));
    // The plain name is better than a URL, wherever it stands.
    home.write(AUTH, &auths(&[("https://h/v1/", "MTpw"), ("h", "Mjpw")]));
    assert_eq!(home.find("h", "a").credential, basic("2", "p"));
}

#[test]
fn every_form_of_entry() {
    let home = Home::new();
    let token = |text: &str| Credential::IdentityToken(Secret::new(text));
    for (entry, expected) in [
        (r#"{"auth": "dTpw"}"#, basic("u", "p")),
        // With padding, without, and with zero bytes at the end.
        (r#"{"auth": "dXNlcjpwOnE6cg=="}"#, basic("user", "p:q:r")),
        (r#"{"auth": "dXNlcjpwOnE6cg"}"#, basic("user", "p:q:r")),
        (r#"{"auth": "dTpwAAAA"}"#, basic("u", "p")),
        ("{\"auth\": \"dXNlcjpw\\nOnE6cg==\\n\"}", basic("user", "p:q:r")),
        (r#"{"auth": "dTo="}"#, basic("u", "")),
        (r#"{"username": "u", "password": "p"}"#, basic("u", "p")),
        (r#"{"auth": "dTpw", "username": "x", "password": "y"}"#, basic("u", "p")),
        (r#"{"identitytoken": "t"}"#, token("t")),
        (r#"{"auth": "MDAwMDo=", "identitytoken": "t"}"#, token("t")),
        (r#"{"registrytoken": "b"}"#, Credential::RegistryToken(Secret::new("b"))),
        (r#"{"username": "<token>", "password": "t"}"#, token("t")),
        (r#"{}"#, Credential::Anonymous),
        ("null", Credential::Anonymous),
        (r#"{"auth": "", "identitytoken": ""}"#, Credential::Anonymous),
        (r#"{"auth": null, "email": 1}"#, Credential::Anonymous),
    ] {
        home.write(AUTH, &format!(r#"{{"auths": {{"h": {entry}}}, "x": [1]}}"#));
        assert_eq!(home.find("h", "").credential, expected, "{entry}");
    }
    for text in ["", " \n", "{}", r#"{"auths": null}"#] {
        home.write(AUTH, text);
        assert_eq!(home.find("h", "").credential, Credential::Anonymous, "{text:?}");
    }
}

#[test]
fn bad_files_are_named_and_their_secrets_are_not() {
    let home = Home::new();
    let place = "HOME/run/containers/auth.json";
    for (text, why) in [
        (auths(&[("h", "c2VjcmV0!")]), r#"the entry for "h" holds an "auth" that is not base64"#),
        (
            auths(&[("h", "c2VjcmV0")]),
            r#"the entry for "h" holds an "auth" that is not USER:PASSWORD"#,
        ),
        (auths(&[("h", "dTr/")]), r#"the entry for "h" holds an "auth" that is not UTF-8"#),
        (
            auths(&[("h", "dTpw"), ("h", "dTpx")]),
            "unexpected type of value, or a key that is there twice, at line 1 column 37",
        ),
        (
            r#"{"auths": {"h": "c2VjcmV0"}}"#.into(),
            "unexpected type of value, or a key that is there twice, at line 1 column 26",
        ),
        (
            r#"{"auths": "c2VjcmV0"}"#.into(),
            "unexpected type of value, or a key that is there twice, at line 1 column 20",
        ),
        (
            r#"{"auths": {"h": {"auth": "c2VjcmV0"#.into(),
            "EOF while parsing a string at line 1 column 34",
        ),
        (
            "[".repeat(100_000),
            "unexpected type of value, or a key that is there twice, at line 1 column 1",
        ),
    ] {
        home.write(AUTH, &text);
        assert_eq!(home.fails("h"), format!("{place}: {why}"));
    }
    home.write(AUTH, &" ".repeat(5 << 20));
    assert_eq!(home.fails("h"), format!("{place} is larger than 4194304 bytes"));
    // An entry that is not asked for does no harm.
    home.write(AUTH, &auths(&[("bad", "?"), ("h", "dTpw")]));
    assert_eq!(home.find("h", "").credential, basic("u", "p"));
}

#[test]
fn headers_for_registries() {
    let home = Home::new();
    assert_eq!(home.store().http_headers().unwrap(), []);
    home.write(
        DOCKER,
        r#"{"HttpHeaders": {"X-Meta-Team": "a b", "Authorization": "Bearer s", "User-Agent": "x"}}"#,
    );
    let headers = home.store().http_headers().unwrap();
    assert_eq!(headers, [("X-Meta-Team".to_owned(), Secret::new("a b"))]);
    for bad in [r#""X-Meta-A": "a\r\nHost: b""#, r#""X-Meta-A:": "a""#, r#""X-Meta-\u00e9": "a""#] {
        home.write(DOCKER, &format!(r#"{{"HttpHeaders": {{{bad}}}}}"#));
        let error = home.store().http_headers().unwrap_err().chain();
        assert!(error.ends_with("is not a usable header"), "{error}");
    }
}

#[test]
fn nothing_prints_secrets() {
    let home = Home::new();
    home.write(AUTH, &auths(&[("h", "dTpodW50ZXIy")]));
    let found = home.find("h", "");
    assert_eq!(found.credential, basic("u", "hunter2"));
    assert!(!format!("{found:?} {}", found.origin).contains("hunter2"));
}
