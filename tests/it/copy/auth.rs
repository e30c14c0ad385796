//! Who we are: told to those who should know, in the ways people have set it up, and to nobody else.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::json;

use super::faults::Fixture;
use crate::support::http::RecordingServer;
use crate::support::image::{image, layer, small};
use crate::support::log::{Kind, Logged};
use crate::support::program::Sandbox;
use crate::support::registry::{Builder, Fault, TestRegistry, always, once};

fn with_tokens() -> Builder {
    TestRegistry::builder().token_auth("user", "secret-word")
}

/// `app:1` in a registry, and a sandbox that has logged in there.
fn logged_in(registry: TestRegistry) -> Fixture {
    let f = Fixture::on(registry, 10_000);
    f.sandbox.log_in(&f.registry.host(), "user", "secret-word");
    f
}

/// The scopes that were asked for, one text per request for a token.
fn scopes(registry: &TestRegistry) -> Vec<String> {
    let requests = registry.requests().into_iter().filter(|r| r.kind == Kind::Token);
    requests.map(|r| crate::support::http::percent_decode(&r.path_and_query)).collect()
}

#[test]
fn one_token_for_each_repository() {
    let f = logged_in(with_tokens().start());
    f.pull().run().success();
    f.assert_pulled();
    let asked = scopes(&f.registry);
    assert_eq!(asked.len(), 1);
    assert!(asked[0].contains("scope=repository:app:pull"), "{asked:?}");
    assert!(!asked[0].contains("push"), "no more than is needed: {asked:?}");

    f.registry.clear_log();
    f.to(&f.registry.image("other:1")).run().success();
    f.registry.assert_whole("other");
    let asked = scopes(&f.registry);
    // Reading one, writing the other, and mounting from one into the other.
    assert!(asked.len() <= 3, "{asked:?}");
    let mounts = asked.iter().filter(|scope| {
        scope.contains("repository:other:pull,push") && scope.contains("repository:app:pull")
    });
    assert_eq!(mounts.count(), 1, "{asked:?}");
    assert_eq!(f.registry.count("PUT", Kind::Upload), 0, "all was mounted");
}

#[test]
fn a_denied_mount_becomes_an_upload() {
    // The token service leaves out what it denies, so the mount gets a 401 for ever.
    let registry = with_tokens().start();
    let f = logged_in(registry);
    let when = always("POST", Kind::Upload).path("mount=");
    let challenge = format!(
        "Bearer realm=\"{}/token\",service=\"test-registry\",scope=\"repository:other:pull,push repository:app:pull\",error=\"insufficient_scope\"",
        f.registry.url()
    );
    let refused =
        f.registry.inject(when, Fault::status(401).header("WWW-Authenticate", &challenge));
    f.to(&f.registry.image("other:1")).run().success();
    f.registry.assert_whole("other");
    assert_eq!(f.registry.count("PUT", Kind::Upload), 2);
    assert!((1..=4).contains(&refused.fired()), "{}", refused.fired());
}

#[test]
fn tokens_that_end_in_the_middle() {
    for (method, kind) in [
        ("GET", Kind::Blob),
        ("POST", Kind::Upload),
        ("PATCH", Kind::Upload),
        ("PUT", Kind::Upload),
        ("PUT", Kind::Manifest),
    ] {
        let f = logged_in(with_tokens().start());
        let to = TestRegistry::builder().tokens_from(&f.registry).start();
        for registry in [&f.registry, &to] {
            registry.inject(once(method, kind).path("/app/"), Fault::ExpireTokens);
        }
        f.to(&to.image("app:1"))
            .args(["--dest-creds", "user:secret-word", "--upload-piece", "4000"])
            .run()
            .success();
        to.assert_whole("app");
        assert_eq!(to.tags("app"), ["1"]);
    }
    let f = logged_in(with_tokens().token_lifetime(Duration::from_millis(1)).start());
    // No token is ever good: that is said, not tried for ever.
    f.pull().run().fails(4);
    assert!(f.registry.requests().len() < 10, "{}", f.registry.log_text());
}

#[test]
fn claims_about_lifetimes() {
    for claim in [json!(0), json!(-1), json!(1e18), json!(null), json!("soon")] {
        let f = logged_in(with_tokens().claimed_token_lifetime(claim).start());
        f.pull().run().success();
        f.assert_pulled();
        assert!(scopes(&f.registry).len() <= 4);
    }
}

#[test]
fn nonsense_from_the_token_service() {
    for body in ["", "{}", "null", "[]", r#"{"token": 5}"#, r#"{"token": "a\r\nX: y"}"#] {
        let f = logged_in(with_tokens().start());
        f.registry.inject(always("GET", Kind::Token), Fault::replace(body));
        let output = f.pull().run();
        assert!(matches!(output.code(), Some(1 | 4)), "{body}: {output}");
        output.hides("secret-word");
        assert!(f.registry.requests().len() < 10);
    }
}

#[test]
fn identity_tokens() {
    let f = Fixture::on(with_tokens().refresh_token("identity-token-value").start(), 10_000);
    let config = json!({"auths": {f.registry.host(): {
        "auth": "", "identitytoken": "identity-token-value",
    }}});
    f.sandbox.write_docker_config(&config.to_string());
    f.pull().run().success().hides("identity-token-value");
    assert_eq!(f.registry.count("POST", Kind::Token), 1);
    let wrong = config.to_string().replace("token-value", "token-wrong");
    f.sandbox.write_docker_config(&wrong);
    f.to("store:x").run().fails(4).hides("identity-token-wrong");
}

#[test]
fn basic_authentication() {
    let f = logged_in(TestRegistry::builder().basic_auth("user", "secret-word").start());
    f.pull().run().success();
    f.assert_pulled();
    f.to(&f.registry.image("other:1")).run().success();
    f.to("store:x").args(["--src-creds", "user:wr0ng-word"]).run().fails(4).hides("wr0ng-word");
    f.to("store:x").args(["--src-no-creds"]).run().fails(4).says("creel-copy login");
}

/// Puts a credential helper on the PATH that notes how it was called.
fn helper(sandbox: &Sandbox, name: &str, body: &str) -> String {
    let path =
        sandbox.write(&format!("bin/docker-credential-{name}"), format!("#!/bin/sh\n{body}\n"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    let path = std::env::var("PATH").expect("a PATH");
    format!("{}:{path}", sandbox.path("bin").display())
}

#[test]
fn credential_helpers() {
    let f = Fixture::on(with_tokens().start(), 10_000);
    let host = f.registry.host();
    let seen = f.sandbox.path("seen");
    let path = helper(
        &f.sandbox,
        "test",
        &format!(
            "read host; echo \"$1 $host\" >> {}; \
             echo '{{\"ServerURL\":\"x\",\"Username\":\"user\",\"Secret\":\"secret-word\"}}'",
            seen.display()
        ),
    );
    for config in [json!({"credHelpers": {&host: "test"}}), json!({"credsStore": "test"})] {
        let _ = std::fs::remove_file(&seen);
        f.sandbox.write_docker_config(&config.to_string());
        f.to("store:x").env("PATH", &path).run().success();
        let text = std::fs::read_to_string(&seen).expect("the helper was called");
        assert!(text.lines().all(|line| line == format!("get {host}")), "{text}");
        f.sandbox.copy(["rm", "store:x"]).run();
    }
}

#[test]
fn credential_helpers_that_fail() {
    for body in ["exit 1", "echo not JSON", "yes", "echo oops secret-word >&2; exit 1"] {
        let f = Fixture::on(with_tokens().start(), 1000);
        let path = helper(&f.sandbox, "bad", body);
        let config = json!({"credHelpers": {f.registry.host(): "bad"}});
        f.sandbox.write_docker_config(&config.to_string());
        let output = f.to("store:x").env("PATH", &path).run();
        assert!(matches!(output.code(), Some(1 | 4)), "{body}: {output}");
        output.says("docker-credential-bad");
    }
    let f = Fixture::on(with_tokens().start(), 1000);
    let config = json!({"credHelpers": {f.registry.host(): "absent"}});
    f.sandbox.write_docker_config(&config.to_string());
    let output = f.to("store:x").run();
    assert_ne!(output.code(), Some(0));
    output.says("docker-credential-absent");
}

#[test]
fn the_most_specific_key_counts() {
    let f = Fixture::on(with_tokens().start(), 1000);
    f.built.push(&f.registry, "team/app", "1");
    let host = f.registry.host();
    let auth = |password: &str| {
        use base64::Engine as _;
        let text = format!("user:{password}");
        json!({"auth": base64::engine::general_purpose::STANDARD.encode(text)})
    };
    let config = json!({"auths": {
        &host: auth("wrong"), format!("{host}/team"): auth("secret-word"),
        format!("{host}/other"): auth("wrong"),
    }});
    let file = f.sandbox.write("auth.json", config.to_string());
    let file = file.to_str().expect("text");
    let source = f.registry.image("team/app:1");
    f.sandbox.copy(["--authfile", file, &source, "store:x"]).run().success();
    f.to("store:y").args(["--authfile", file]).run().fails(4);
    f.sandbox.copy([&source, "store:y"]).env("REGISTRY_AUTH_FILE", file).run().success();
}

#[track_caller]
fn assert_told_nothing(requests: Vec<Logged>) {
    for request in requests {
        let text = format!("{request:?}");
        assert_eq!(request.authorization, None);
        assert!(!text.contains("secret-word") && !text.contains("c2VjcmV0"), "{text}");
    }
}

#[test]
fn a_realm_on_another_host_learns_nothing() {
    let proxy = RecordingServer::start();
    let f = logged_in(with_tokens().realm("http://token.invalid/token").start());
    let output = f.pull().env("HTTP_PROXY", proxy.url()).run();
    assert_ne!(output.code(), Some(0));
    output.hides("secret-word").says("withheld");
    assert!(!proxy.requests().is_empty(), "the token server is asked, through the proxy");
    assert_told_nothing(proxy.requests());
    for realm in ["file:///etc/passwd", "gopher://x/", "", "http://", "http://u:p@127.0.0.1/t"] {
        let f = logged_in(with_tokens().realm(realm).start());
        let output = f.pull().run();
        assert!(matches!(output.code(), Some(1 | 4)), "{realm}: {output}");
        output.hides("secret-word").hides("panicked");
    }
}

#[test]
fn a_token_service_that_redirects() {
    let other = RecordingServer::start();
    let f = logged_in(with_tokens().start());
    f.registry.inject(always("*", Kind::Token), Fault::redirect(&other.url()));
    let output = f.pull().run();
    assert_ne!(output.code(), Some(0));
    assert_told_nothing(other.requests());
    let f = Fixture::on(with_tokens().refresh_token("secret-word-identity").start(), 1000);
    let config = json!({"auths": {f.registry.host(): {"identitytoken": "secret-word-identity"}}});
    f.sandbox.write_docker_config(&config.to_string());
    f.registry.inject(always("*", Kind::Token), Fault::redirect(&other.url()));
    assert_ne!(f.pull().run().code(), Some(0));
    assert!(other.requests().iter().all(|r| r.body_len == 0), "{:?}", other.requests());
}

#[test]
fn foreign_layers_are_not_asked_for_unasked() {
    let other = RecordingServer::start();
    let f = logged_in(with_tokens().start());
    let built =
        image().layer(layer().file("x", "y").foreign(&format!("{}/layer", other.url()))).build();
    built.push(&f.registry, "app", "foreign");
    f.sandbox.copy([f.registry.image("app:foreign"), "store:x".into()]).run();
    assert_eq!(other.connections(), 0);
}

#[test]
fn no_secret_is_ever_shown() {
    for style in ["plain", "json", "none"] {
        let f = Fixture::on(with_tokens().start(), 100_000);
        f.registry.inject(once("GET", Kind::Blob), Fault::DropAfter(10));
        f.registry.inject(once("GET", Kind::Token), Fault::status(500));
        let run = |password: &str| {
            let creds = format!("user:{password}");
            f.to("store:x").args(["--progress", style, "--json", "--src-creds", &creds]).run()
        };
        run("secret-word").success().hides("secret-word").hides("c2VjcmV0").hides("token-");
        f.sandbox.copy(["rm", "store:x"]).run();
        run("wrong-secret").fails(4).hides("wrong-secret");
    }
}

fn login(
    sandbox: &Sandbox,
    host: &str,
    password: &str,
    more: &[&str],
) -> crate::support::program::Output {
    sandbox
        .copy(["login", "--username", "user", "--password-stdin"])
        .args(more)
        .arg(host)
        .input(format!("{password}\n"))
        .run()
}

#[test]
fn login_and_logout() {
    for registry in
        [with_tokens().start(), TestRegistry::builder().basic_auth("user", "secret-word").start()]
    {
        let sandbox = Sandbox::new();
        small("linux/amd64").build().push(&registry, "app", "1");
        let host = registry.host();
        let (auth, docker) = (sandbox.path("auth.json"), sandbox.path("config.json"));
        let kinds = [("--authfile", &auth), ("--compat-auth-file", &docker)];
        for (option, file) in kinds {
            let file = file.to_str().expect("text");
            login(&sandbox, &host, "wrong-word", &[option, file]).fails(4).hides("wrong-word");
            assert!(!std::path::Path::new(file).exists(), "a wrong password is not kept");
            login(&sandbox, &host, "secret-word", &[option, file]).success().hides("secret-word");
            let mode = std::fs::metadata(file).expect("the file").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            let known = sandbox.copy(["login", "--get-login", option, file, &host]).run().success();
            assert_eq!(known.stdout, "user\n");
            let source = registry.image("app:1");
            sandbox.copy([&source, "store:x"]).run().fails(4);
            sandbox.copy(["--authfile", file, &source, "store:x"]).run().success();
            sandbox.copy(["logout", option, file, &host]).run().success();
            sandbox.copy(["--authfile", file, &source, "store:y"]).run().fails(4);
            sandbox.copy(["login", "--get-login", option, file, &host]).run().fails(3);
            sandbox.copy(["logout", option, file, &host]).run().fails(3);
        }
        // Without a file: the usual place, which copies read.
        login(&sandbox, &host, "secret-word", &[]).success();
        sandbox.copy([&registry.image("app:1"), "store:z"]).run().success();
        sandbox.copy(["logout", "--all"]).run().success();
        sandbox.copy([&registry.image("app:1"), "store:zz"]).run().fails(4);
    }
}
