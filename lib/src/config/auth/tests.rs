//! Look-up, helpers, login and logout, on files in temporary folders and helpers in shell.
#![allow(clippy::unwrap_used)]

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::config::HelperEnvironment;
use crate::error::ErrorKind;

/// A home with two auth files, Docker's configuration and a folder of helpers.
struct Home(TempDir);

/// Keeps what it is told in a file beside it; a host with a slash in it becomes a flat name.
const KEYCHAIN: &str = r#"
dir=$(dirname "$0"); host=$(cat)
echo "$1 $host" >> "$dir/log"
case $1 in
get) cat "$dir/kept-$(echo "$host" | tr / _)" 2>/dev/null || { echo "credentials not found in native keychain"; exit 1; } ;;
store) url=${host#*\"ServerURL\":\"}; url=${url%%\"*}; echo "$host" > "$dir/kept-$(echo "$url" | tr / _)" ;;
erase) rm "$dir/kept-$(echo "$host" | tr / _)" ;;
list) echo '{"h1":"u","https://index.docker.io/v1/":"u"}' ;;
esac
"#;

impl Home {
    fn new() -> Home {
        Home(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Another process writes the script: a test that forks in the meantime would hold it open,
    /// and the kernel runs no file that is open for writing.
    fn helper(&self, name: &str, script: &str) {
        let path = self.path(&format!("bin/docker-credential-{name}"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let made = Command::new("sh")
            .args(["-c", r#"printf '#!/bin/sh\n%s\n' "$2" > "$1" && chmod 755 "$1""#, "sh"])
            .arg(path)
            .arg(script)
            .status();
        assert!(made.unwrap().success());
    }

    fn paths(&self) -> ConfigPaths {
        let lookup = |name: &str| match name {
            "HOME" => Some(self.0.path().into()),
            "XDG_RUNTIME_DIR" => Some(self.path("run").into()),
            "PATH" => {
                let mut path = OsString::from(self.path("bin"));
                path.push(":/usr/bin:/bin");
                Some(path)
            }
            _ => None,
        };
        ConfigPaths::from_environment(&lookup, 1000)
    }

    fn store(&self) -> AuthStore {
        let mut store = AuthStore::new(&self.paths());
        store.helpers =
            Helpers::new(self.paths().helper_environment).with_patience(Duration::from_secs(20));
        store
    }

    fn compat(&self) -> AuthStore {
        let mut paths = self.paths();
        let path = self.path(".docker/config.json");
        paths.auth_file = Some(AuthFile { path, format: AuthFormat::Docker });
        AuthStore::new(&paths)
    }

    fn find(&self, registry: &str, repository: &str) -> Found {
        self.store().find(registry, repository).unwrap()
    }

    fn fails(&self, registry: &str) -> String {
        self.store().find(registry, "").unwrap_err().chain().replace(&self.tmp(), "HOME")
    }

    fn tmp(&self) -> String {
        self.0.path().display().to_string()
    }
}

const AUTH: &str = "run/containers/auth.json";
const USER: &str = ".config/containers/auth.json";
const DOCKER: &str = ".docker/config.json";

fn basic(user: &str, password: &str) -> Credential {
    Credential::Basic { user: user.to_owned(), password: Secret::new(password) }
}

fn key(text: &str) -> AuthKey {
    AuthKey::parse(text).unwrap()
}

/// `dTpw` and so on: `u:p` in base64.
fn auths(members: &[(&str, &str)]) -> String {
    let members: Vec<String> =
        members.iter().map(|(key, auth)| format!(r#""{key}": {{"auth": "{auth}"}}"#)).collect();
    format!(r#"{{"auths": {{{}}}}}"#, members.join(", "))
}

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
fn helpers_of_the_host_come_first_and_of_all_hosts_last() {
    let home = Home::new();
    home.helper("one", r#"cat > /dev/null; echo '{"ServerURL":"","Username":"one","Secret":"s"}'"#);
    home.helper("all", r#"cat > /dev/null; echo '{"Username":"<token>","Secret":"s"}'"#);
    home.helper("none", "echo credentials not found in native keychain; exit 1");
    home.write(
        AUTH,
        r#"{"auths": {"one": {"auth": "dTpw"}, "file": {"auth": "dTpw"}, "empty": {}, "none": {"auth": "dTpw"}},
            "credHelpers": {"one": "one", "none": "none", "https://index.docker.io/v1/": "one"},
            "credsStore": "all"}"#,
    );
    assert_eq!(home.find("one", "a/b").credential, basic("one", "s"));
    assert_eq!(home.find("docker.io", "a/b").credential, basic("one", "s"));
    assert_eq!(home.find("file", "a/b").credential, basic("u", "p"));
    let found = home.find("empty", "a/b");
    assert_eq!(found.credential, Credential::IdentityToken(Secret::new("s")));
    assert_eq!(found.origin.to_string(), "empty from docker-credential-all");
    // The helper of a host speaks for its file, and only for that.
    assert_eq!(home.find("none", "").credential, Credential::Anonymous);
    home.write(DOCKER, &auths(&[("none", "Mjpw")]));
    assert_eq!(home.find("none", "").credential, basic("2", "p"));
}

#[test]
fn helpers_of_registries_conf() {
    let home = Home::new();
    home.helper("kept", KEYCHAIN);
    home.write(AUTH, &auths(&[("h", "dTpw")]));
    let with = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        home.store().with_helpers(&names).find("h", "r").unwrap().credential
    };
    assert_eq!(with(&[]), basic("u", "p"));
    assert_eq!(with(&["kept"]), Credential::Anonymous);
    assert_eq!(with(&["kept", "containers-auth.json"]), basic("u", "p"));
}

#[test]
fn a_helper_sees_the_host_and_little_else() {
    let home = Home::new();
    home.helper(
        "spy",
        r#"dir=$(dirname "$0"); { echo "[$*]"; echo "[$(cat)]"; env | grep -v '^\(_\|PWD\|OLDPWD\|SHLVL\)=' | cut -d= -f1 | sort; } > "$dir/seen"
           echo '{"Username":"u","Secret":"p"}'"#,
    );
    home.write(AUTH, r#"{"credsStore": "spy"}"#);
    assert_eq!(home.find("h:5000", "a").credential, basic("u", "p"));
    assert_eq!(home.read("bin/seen"), "[get]\n[h:5000]\nHOME\nPATH\n");
    home.find("registry-1.docker.io", "library/a");
    assert!(home.read("bin/seen").starts_with("[get]\n[https://index.docker.io/v1/]\n"));
}

#[test]
fn helpers_that_fail_are_named() {
    let home = Home::new();
    home.helper("says", r"printf 'no \033[31mluck\nmore'; exit 3");
    home.helper("stderr", "echo locked >&2; exit 1");
    home.helper("mute", "exit 1");
    home.helper("liar", "echo 'Secret: hunter2'");
    home.helper("odd", r#"echo '{"Username":["hunter2"]}'"#);
    home.helper("flood", "cat /dev/zero");
    home.helper("growl", "cat /dev/zero >&2 & sleep 0.1; kill $!; exit 1");
    home.write("bin/docker-credential-data", "#!/bin/sh\n");
    for (name, why) in [
        ("says", r"get failed (exit status: 3): no \u{1b}[31mluck"),
        ("stderr", "get failed (exit status: 1): locked"),
        ("mute", "get failed (exit status: 1): it gave no reason"),
        ("liar", "its answer is not what was agreed on"),
        ("odd", "its answer is not what was agreed on"),
        ("flood", "its answer is larger than 262144 bytes"),
        ("data", "there is no program docker-credential-data in PATH"),
        ("missing", "there is no program docker-credential-missing in PATH"),
    ] {
        home.write(AUTH, &format!(r#"{{"credsStore": "{name}"}}"#));
        assert_eq!(home.fails("h"), format!("credential helper docker-credential-{name}: {why}"));
        let error = home.store().find("h", "").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Failed);
    }
    home.write(AUTH, r#"{"credsStore": "growl"}"#);
    assert!(home.fails("h").contains("get failed (exit status: 1): \\0\\0"), "{}", home.fails("h"));
    home.write(AUTH, r#"{"credHelpers": {"h": "../evil"}}"#);
    assert_eq!(home.fails("h"), r#""../evil" cannot be the name of a credential helper"#);
}

#[test]
fn a_helper_that_hangs_is_stopped_with_all_that_it_started() {
    let home = Home::new();
    home.helper("hang", r#"sleep 1000 & echo $! > "$(dirname "$0")/pid"; wait"#);
    home.helper("detached", r#"exec >&- 2>&-; sleep 1000"#);
    for name in ["hang", "detached"] {
        home.write(AUTH, &format!(r#"{{"credsStore": "{name}"}}"#));
        let mut store = home.store();
        store.helpers =
            Helpers::new(home.paths().helper_environment).with_patience(Duration::from_millis(500));
        let error = store.find("h", "").unwrap_err().chain();
        let expected = format!("docker-credential-{name}: it did not finish within 0.5 s");
        assert!(error.ends_with(&expected), "{error}");
    }
    let pid = home.read("bin/pid");
    let gone = || match fs::read_to_string(format!("/proc/{}/stat", pid.trim())) {
        Ok(stat) => stat.contains(") Z "),
        Err(_) => true,
    };
    while !gone() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn answers_are_asked_for_once() {
    let home = Home::new();
    home.helper("kept", KEYCHAIN);
    home.write(AUTH, r#"{"credsStore": "kept"}"#);
    let store = home.store();
    for repository in ["a", "b", "c"] {
        assert_eq!(store.find("h", repository).unwrap().credential, Credential::Anonymous);
    }
    assert_eq!(home.read("bin/log"), "get h\n");
    store.login(&key("h"), &basic("u", "p")).unwrap();
    assert_eq!(store.find("h", "a").unwrap().credential, basic("u", "p"));
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
fn login_makes_a_private_file() {
    let home = Home::new();
    let store = home.store();
    let place = store.login(&key("h:1"), &basic("user", "p:q")).unwrap();
    assert_eq!(place, Place::File(home.path(AUTH)));
    assert_eq!(
        home.read(AUTH),
        "{\n\t\"auths\": {\n\t\t\"h:1\": {\n\t\t\t\"auth\": \"dXNlcjpwOnE=\"\n\t\t}\n\t}\n}\n"
    );
    assert_eq!(fs::metadata(home.path(AUTH)).unwrap().permissions().mode() & 0o777, 0o600);
    for (name, credential) in [
        ("h:1/a/b", basic("u2", "p")),
        ("h:1", basic("u3", "")),
        ("i", Credential::IdentityToken(Secret::new("t\"\\"))),
        ("b", Credential::RegistryToken(Secret::new("b"))),
        ("docker.io", basic("u4", "p")),
    ] {
        store.login(&key(name), &credential).unwrap();
        assert_eq!(store.find_key(&key(name)).unwrap().credential, credential, "{name}");
    }
    assert_eq!(store.find("h:1", "a/b/c").unwrap().credential.user(), Some("u2"));
    assert_eq!(store.find("h:1", "a").unwrap().credential.user(), Some("u3"));
    for (credential, why) in [
        (Credential::Anonymous, "there is no credential to store"),
        (basic("a:b", "p"), "\"a:b\" cannot be stored as a user name"),
        (basic("<token>", "p"), "\"<token>\" cannot be stored as a user name"),
    ] {
        let error = store.login(&key("h"), &credential).unwrap_err();
        assert_eq!((error.kind(), error.chain()), (ErrorKind::Usage, why.to_owned()));
    }
}

#[test]
fn an_edit_keeps_everything_else_byte_for_byte() {
    let home = Home::new();
    // As Docker writes it: tabs, and no line end after the last brace.
    let before = "{\n\t\"auths\": {\n\t\t\"a\": {\n\t\t\t\"auth\": \"dTpw\",\n\t\t\t\"x\": [1,  2]\n\t\t},\n\t\t\"b\": {}\n\t},\n\t\"detachKeys\": \"ctrl-e,e\",\n\t\"big\": 1.50e400\n}";
    home.write(DOCKER, before);
    let store = home.compat();
    store.login(&key("c"), &basic("u", "p")).unwrap();
    let after =
        before.replace("\"b\": {}", "\"b\": {},\n\t\t\"c\": {\n\t\t\t\"auth\": \"dTpw\"\n\t\t}");
    assert_eq!(home.read(DOCKER), after);
    let removed = store.logout(&key("c")).unwrap();
    assert_eq!(removed, Logout::Removed(vec![Place::File(home.path(DOCKER))]));
    assert_eq!(home.read(DOCKER), before);

    let before = "{\n  \"x\": 1\n}\n";
    home.write(DOCKER, before);
    store.login(&key("c"), &basic("u", "p")).unwrap();
    assert_eq!(
        home.read(DOCKER),
        "{\n  \"auths\": {\n    \"c\": {\n      \"auth\": \"dTpw\"\n    }\n  },\n  \"x\": 1\n}\n"
    );
}

#[test]
fn a_broken_file_is_not_overwritten() {
    let home = Home::new();
    for text in
        ["{", r#"{"auths": [1]}"#, r#"{"auths": {"a": {}, "a": {}}}"#, r#"{"a": 1, "a": 1}"#]
    {
        home.write(AUTH, text);
        home.store().login(&key("h"), &basic("u", "p")).unwrap_err();
        home.store().logout_all().unwrap_err();
        assert_eq!(home.read(AUTH), text);
    }
}

#[test]
fn dockers_file_knows_whole_registries() {
    let home = Home::new();
    let store = home.compat();
    store.login(&key("docker.io"), &basic("u", "p")).unwrap();
    assert!(home.read(DOCKER).contains("\"https://index.docker.io/v1/\": {"));
    let error = store.login(&key("h/a"), &basic("u", "p")).unwrap_err();
    assert_eq!(
        error.chain(),
        "Docker's config.json keeps credentials for whole registries only, not for h/a"
    );
    assert_eq!(
        store.logout(&key("index.docker.io")).unwrap(),
        Logout::Removed(vec![Place::File(home.path(DOCKER))])
    );
    assert_eq!(home.read(DOCKER), "{\n\t\"auths\": {}\n}\n");
}

#[test]
fn logout_removes_every_name_of_a_registry_and_nothing_below() {
    let home = Home::new();
    home.write(AUTH, &auths(&[("h", "dTpw"), ("https://h/v1/", "dTpw"), ("h/a", "dTpw")]));
    let store = home.store();
    let here = Logout::Removed(vec![Place::File(home.path(AUTH))]);
    assert_eq!(store.logout(&key("h")).unwrap(), here);
    assert_eq!(home.read(AUTH).matches("auth\"").count(), 1);
    assert_eq!(store.logout(&key("h")).unwrap(), Logout::NotLoggedIn { elsewhere: None });
    assert_eq!(store.logout(&key("h/a")).unwrap(), here);
    home.write(DOCKER, &auths(&[("h", "dTpw")]));
    let origin = Origin::File { path: home.path(DOCKER), key: "h".into() };
    assert_eq!(store.logout(&key("h")).unwrap(), Logout::NotLoggedIn { elsewhere: Some(origin) });
}

#[test]
fn logout_makes_no_file() {
    let home = Home::new();
    let store = home.store();
    assert_eq!(store.logout(&key("h")).unwrap(), Logout::NotLoggedIn { elsewhere: None });
    assert_eq!(store.logout_all().unwrap(), []);
    assert!(!home.path("run").exists());
}

#[test]
fn login_gives_secrets_to_the_helper_if_there_is_one() {
    let home = Home::new();
    home.helper("kept", KEYCHAIN);
    let text = r#"{"credHelpers": {"h1": "kept"}, "auths": {"x": {"auth": "dTpw"}}}"#;
    home.write(AUTH, text);
    let store = home.store();
    let kept = Place::Helper("kept".to_owned());
    assert_eq!(store.login(&key("h1"), &basic("u", "p\"q")).unwrap(), kept);
    assert_eq!(
        home.read("bin/kept-h1"),
        "{\"ServerURL\":\"h1\",\"Username\":\"u\",\"Secret\":\"p\\\"q\"}\n"
    );
    assert_eq!(store.find("h1", "a").unwrap().credential, basic("u", "p\"q"));
    assert_eq!(home.read(AUTH), text);
    let error = store.login(&key("h1/a"), &basic("u", "p")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    let bearer = Credential::RegistryToken(Secret::new("b"));
    let error = store.login(&key("h1"), &bearer).unwrap_err().chain();
    assert!(error.ends_with("it keeps passwords and identity tokens only"), "{error}");
    assert_eq!(store.logout(&key("h1")).unwrap(), Logout::Removed(vec![kept.clone()]));
    assert_eq!(store.logout(&key("h1")).unwrap(), Logout::NotLoggedIn { elsewhere: None });

    home.write(AUTH, r#"{"credsStore": "kept"}"#);
    let token = Credential::IdentityToken(Secret::new("t"));
    assert_eq!(store.login(&key("docker.io"), &token).unwrap(), kept);
    assert_eq!(store.find("docker.io", "a").unwrap().credential, token);
    let by_conf = home.store().with_helpers(&["kept".to_owned()]);
    assert_eq!(by_conf.login(&key("h1"), &basic("u", "p")).unwrap(), kept);
    assert_eq!(store.logout_all().unwrap(), [kept]);
    assert_eq!(home.find("docker.io", "").credential, Credential::Anonymous);
    assert_eq!(home.find("h1", "").credential, Credential::Anonymous);
}

#[test]
fn logout_all_empties_the_file_and_keeps_the_rest() {
    let home = Home::new();
    home.write(AUTH, r#"{"auths": {"a": {"auth": "dTpw"}, "b/c": {}}, "x": 1}"#);
    home.write(DOCKER, &auths(&[("h", "dTpw")]));
    assert_eq!(home.store().logout_all().unwrap(), [Place::File(home.path(AUTH))]);
    assert_eq!(home.read(AUTH), "{\n\t\"auths\": {},\n\t\"x\": 1\n}");
    assert_eq!(home.find("h", "").credential, basic("u", "p"));
}

#[test]
fn nothing_prints_secrets() {
    let home = Home::new();
    home.write(AUTH, &auths(&[("h", "dTpodW50ZXIy")]));
    let found = home.find("h", "");
    assert_eq!(found.credential, basic("u", "hunter2"));
    assert!(!format!("{found:?} {}", found.origin).contains("hunter2"));
}

#[test]
fn without_places_there_is_nothing_to_write_to() {
    let store = AuthStore::new(&ConfigPaths::default());
    assert_eq!(store.find("h", "").unwrap().credential, Credential::Anonymous);
    let error = store.login(&key("h"), &basic("u", "p")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    let environment = HelperEnvironment::default();
    let error = Helpers::new(environment).find("x", "h").unwrap_err().chain();
    assert!(error.ends_with("there is no program docker-credential-x in PATH"), "{error}");
}
