//! When helpers are asked, what they see, and all the ways in which they fail.

use super::*;

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
    // More than a pipe holds: it would wait for ever if nobody read it.
    home.helper("growl", "head -c 300000 /dev/zero >&2; exit 1");
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

/// Fails to ask helper `name` within `patience`.
fn too_late(home: &Home, name: &str, patience: Duration) {
    home.write(AUTH, &format!(r#"{{"credsStore": "{name}"}}"#));
    let mut store = home.store();
    store.helpers = Helpers::new(home.paths().helper_environment).with_patience(patience);
    let error = store.find("h", "").unwrap_err().chain();
    let seconds = patience.as_secs_f32();
    let expected = format!("docker-credential-{name}: it did not finish within {seconds} s");
    assert!(error.ends_with(&expected), "{error}");
}

#[test]
fn a_helper_that_hangs_is_stopped() {
    let home = Home::new();
    home.helper("hang", "sleep 1000");
    home.helper("silent", "exec >&- 2>&-; sleep 1000");
    too_late(&home, "hang", Duration::from_millis(100));
    too_late(&home, "silent", Duration::from_millis(100));
}

#[test]
fn what_a_helper_started_is_stopped_with_it() {
    let home = Home::new();
    home.helper("family", r#"sleep 1000 & echo $! > "$(dirname "$0")/pid"; wait"#);
    // A busy machine may take long to get as far as the second process.
    let mut patience = Duration::from_millis(100);
    while !fs::read_to_string(home.path("bin/pid")).is_ok_and(|pid| pid.ends_with('\n')) {
        too_late(&home, "family", patience);
        patience *= 2;
    }
    let pid = home.read("bin/pid");
    let runs = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        stat.is_ok_and(|stat| stat.contains("(sleep)") && !stat.contains(") Z "))
    };
    while runs() {
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
fn without_places_there_is_nothing_to_write_to() {
    let store = AuthStore::new(&ConfigPaths::default());
    assert_eq!(store.find("h", "").unwrap().credential, Credential::Anonymous);
    let error = store.login(&key("h"), &basic("u", "p")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    let environment = HelperEnvironment::default();
    let error = Helpers::new(environment).find("x", "h").unwrap_err().chain();
    assert!(error.ends_with("there is no program docker-credential-x in PATH"), "{error}");
}
