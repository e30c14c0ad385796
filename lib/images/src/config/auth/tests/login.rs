//! What login and logout write.

use super::*;

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
