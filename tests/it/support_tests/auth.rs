//! Authentication: challenges, tokens and their scopes, TLS.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{RawReply, get, request};
use crate::support::http::RecordingServer;
use crate::support::image::small;
use crate::support::peers::{need, skopeo};
use crate::support::program::Sandbox;
use crate::support::registry::{Fault, Kind, TestRegistry, once};
use crate::support::tls::{ServerTls, TlsOptions};

fn token(reg: &TestRegistry, scopes: &[&str], user: Option<(&str, &str)>) -> RawReply {
    let scopes: Vec<String> = scopes.iter().map(|scope| format!("scope={scope}")).collect();
    let url = format!("{}/token?service=test-registry&{}", reg.url(), scopes.join("&"));
    let ask = request("GET", &url);
    match user {
        Some((user, password)) => ask.basic(user, password).send(),
        None => ask.send(),
    }
}

fn text(reply: &RawReply) -> String {
    let value = reply.json()["token"].as_str().expect("a token").to_string();
    assert_eq!(reply.json()["access_token"], value.as_str());
    value
}

/// Asks with a token.
fn with(reg: &TestRegistry, method: &str, path: &str, token: &str) -> RawReply {
    let url = format!("{}{path}", reg.url());
    request(method, &url).header("Authorization", &format!("Bearer {token}")).send()
}

const USER: Option<(&str, &str)> = Some(("user", "secret"));

#[test]
fn basic() {
    let reg = TestRegistry::builder().basic_auth("user", "secret").open_ping().start();
    get(&format!("{}/v2/", reg.url())).expect(200);
    let url = format!("{}/v2/_catalog", reg.url());
    let reply = get(&url).expect(401);
    assert_eq!(reply.expect_header("www-authenticate"), "Basic realm=\"test registry\"");
    request("GET", &url).basic("user", "wrong").send().expect(401);
    request("GET", &url).basic("user", "secret").send().expect(200);
    let last = reg.requests().pop().expect("a request");
    assert_eq!(last.authorization.as_deref(), Some("Basic dXNlcjpzZWNyZXQ="));
}

#[test]
fn challenges_name_the_scope() {
    let reg = TestRegistry::builder().token_auth("user", "secret").start();
    let challenge = |method: &str, path: &str| {
        let reply = request(method, &format!("{}{path}", reg.url())).send().expect(401);
        let value = reply.expect_header("www-authenticate").to_string();
        let start = format!("Bearer realm=\"{}/token\",service=\"test-registry\"", reg.url());
        value.strip_prefix(&start).expect("realm and service").to_string()
    };
    let digest = crate::support::content::sha256("x");
    let scope = |text: &str| format!(",scope=\"{text}\"");
    assert_eq!(challenge("GET", "/v2/"), "");
    assert_eq!(challenge("GET", "/v2/a/b/manifests/1"), scope("repository:a/b:pull"));
    assert_eq!(challenge("HEAD", "/v2/a/manifests/1"), scope("repository:a:pull"));
    assert_eq!(challenge("GET", "/v2/a/tags/list"), scope("repository:a:pull"));
    assert_eq!(challenge("PUT", "/v2/a/manifests/1"), scope("repository:a:pull,push"));
    assert_eq!(challenge("POST", "/v2/a/blobs/uploads/"), scope("repository:a:pull,push"));
    assert_eq!(challenge("DELETE", "/v2/a/manifests/1"), scope("repository:a:delete"));
    assert_eq!(challenge("GET", "/v2/_catalog"), scope("registry:catalog:*"));
    let mount = format!("/v2/a/blobs/uploads/?mount={digest}&from=b");
    assert_eq!(challenge("POST", &mount), scope("repository:a:pull,push repository:b:pull"));
}

#[test]
fn scopes_are_checked() {
    let reg = TestRegistry::builder().token_auth("user", "secret").start();
    small("linux/amd64").build().push(&reg, "a", "1");
    token(&reg, &[], Some(("user", "wrong"))).expect(401);
    let pull = text(&token(&reg, &["repository:a:pull"], USER).expect(200));
    with(&reg, "GET", "/v2/a/manifests/1", &pull).expect(200);
    with(&reg, "GET", "/v2/", &pull).expect(200);
    let reply = with(&reg, "POST", "/v2/a/blobs/uploads/", &pull).expect(401);
    let challenge = reply.expect_header("www-authenticate");
    assert!(
        challenge.ends_with("scope=\"repository:a:pull,push\",error=\"insufficient_scope\""),
        "{challenge}"
    );
    with(&reg, "GET", "/v2/b/manifests/1", &pull).expect(401);
    let reply = with(&reg, "GET", "/v2/a/manifests/1", "made-up").expect(401);
    assert!(reply.expect_header("www-authenticate").ends_with("error=\"invalid_token\""));

    // Several scopes, as several parameters and as one; a name may contain a colon.
    let both = token(&reg, &["repository:a:pull,push", "repository:b:pull"], USER);
    let digest = reg.put_blob("b", "x");
    let mount = format!("/v2/a/blobs/uploads/?mount={digest}&from=b");
    with(&reg, "POST", &mount, &text(&both)).expect(201);
    let both = token(&reg, &["repository:a:pull%2Cpush+repository:b:pull"], USER);
    with(&reg, "POST", &mount, &text(&both)).expect(201);
    let only = token(&reg, &["repository:a:pull,push"], USER);
    with(&reg, "POST", &mount, &text(&only)).expect(401);
    let all = token(&reg, &["repository:a:*", "registry:catalog:*"], USER);
    with(&reg, "DELETE", "/v2/a/manifests/1", &text(&all)).expect(202);
    with(&reg, "GET", "/v2/_catalog", &text(&all)).expect(200);
    assert_eq!(reg.count("GET", Kind::Token), 6);
}

#[test]
fn anonymous_and_denied() {
    let reg = TestRegistry::builder()
        .token_auth("user", "secret")
        .anonymous_pull()
        .deny("repository:private:pull")
        .start();
    small("linux/amd64").build().push(&reg, "a", "1");
    let anonymous = text(&token(&reg, &["repository:a:pull,push"], None).expect(200));
    with(&reg, "GET", "/v2/a/manifests/1", &anonymous).expect(200);
    with(&reg, "POST", "/v2/a/blobs/uploads/", &anonymous).expect(401);
    let lacking = text(&token(&reg, &["repository:private:pull"], USER).expect(200));
    with(&reg, "GET", "/v2/private/tags/list", &lacking).expect(401);
    let reg = TestRegistry::builder().token_auth("user", "secret").start();
    let nothing = text(&token(&reg, &["repository:a:pull"], None).expect(200));
    with(&reg, "GET", "/v2/a/tags/list", &nothing).expect(401);
}

#[test]
fn tokens_end() {
    let short = Duration::from_millis(30);
    let reg = TestRegistry::builder()
        .token_auth("user", "secret")
        .token_lifetime(short)
        .claimed_token_lifetime(json!(300))
        .start();
    let reply = token(&reg, &["repository:a:pull"], USER);
    assert_eq!(reply.json()["expires_in"], 300);
    reg.put_blob("a", "x");
    std::thread::sleep(short);
    with(&reg, "GET", "/v2/a/tags/list", &text(&reply)).expect(401);

    let reg = TestRegistry::builder()
        .token_auth("user", "secret")
        .claimed_token_lifetime(Value::Null)
        .start();
    reg.put_blob("a", "x");
    let reply = token(&reg, &["repository:a:pull"], USER);
    assert_eq!(reply.json().get("expires_in"), None);
    with(&reg, "GET", "/v2/a/tags/list", &text(&reply)).expect(200);
    reg.expire_tokens();
    with(&reg, "GET", "/v2/a/tags/list", &text(&reply)).expect(401);
    let fresh = text(&token(&reg, &["repository:a:pull"], USER));
    reg.inject(once("GET", Kind::Tags).after(1), Fault::ExpireTokens);
    with(&reg, "GET", "/v2/a/tags/list", &fresh).expect(200);
    with(&reg, "GET", "/v2/a/tags/list", &fresh).expect(401);
}

#[test]
fn refresh_tokens() {
    let reg =
        TestRegistry::builder().token_auth("user", "secret").refresh_token("identity").start();
    reg.put_blob("a", "x");
    let url = format!("{}/token", reg.url());
    let post = |form: &str| {
        let form =
            format!("service=test-registry&client_id=test&scope=repository%3Aa%3Apull&{form}");
        request("POST", &url).body(form.as_bytes()).send()
    };
    let reply = post("grant_type=refresh_token&refresh_token=identity").expect(200);
    assert_eq!(reply.json()["refresh_token"], "identity");
    with(&reg, "GET", "/v2/a/tags/list", &text(&reply)).expect(200);
    post("grant_type=refresh_token&refresh_token=other").expect(401);
    let reply = post("grant_type=password&username=user&password=secret").expect(200);
    assert_eq!(reply.json().get("refresh_token"), None);
    post("grant_type=password&username=user&password=secret&access_type=offline").expect(200);
    post("grant_type=other").expect(400);
    request("POST", &url).body("grant_type=refresh_token").send().expect(400);
    let reg = TestRegistry::builder().token_auth("user", "secret").no_token_post().start();
    request("POST", &format!("{}/token", reg.url())).body("x").send().expect(404);
}

#[test]
fn tokens_of_another_server() {
    let issuer = TestRegistry::builder().token_auth("user", "secret").start();
    let reg = TestRegistry::builder().tokens_from(&issuer).start();
    reg.put_blob("a", "x");
    let reply = get(&format!("{}/v2/a/tags/list", reg.url())).expect(401);
    let realm = format!("realm=\"{}/token\"", issuer.url());
    assert!(reply.expect_header("www-authenticate").contains(&realm));
    let given = text(&token(&issuer, &["repository:a:pull"], USER));
    with(&reg, "GET", "/v2/a/tags/list", &given).expect(200);
}

#[test]
fn another_realm() {
    let reg = TestRegistry::builder().token_auth("user", "secret").realm("file:///x").start();
    let reply = get(&format!("{}/v2/", reg.url())).expect(401);
    let challenge = reply.expect_header("www-authenticate");
    assert!(challenge.starts_with("Bearer realm=\"file:///x\","), "{challenge}");
}

#[test]
fn skopeo_logs_in() {
    need!("skopeo");
    let reg = TestRegistry::builder().token_auth("user", "secret").start();
    let app = small("linux/amd64").build();
    app.push(&reg, "app", "1");
    let sandbox = Sandbox::new();
    let copy = |credentials: &str| {
        let (from, to) = (reg.image("app:1"), reg.image("new:1"));
        let creds = [format!("--src-creds={credentials}"), format!("--dest-creds={credentials}")];
        skopeo(&sandbox, ["copy", &creds[0], &creds[1], &from, &to]).run()
    };
    copy("user:wrong").fails(1);
    copy("user:secret").success();
    assert_eq!(reg.manifest("new", "1").expect("copied").digest, app.root.digest);
    reg.assert_whole("new");
}

#[test]
fn http2() {
    need!("curl");
    let reg = TestRegistry::builder().tls_with(TlsOptions { http2: true, ..Default::default() });
    let reg = reg.start();
    let digest = reg.put_blob("a", "0123456789");
    let url = format!("{}/v2/a/blobs/{digest}", reg.url());
    let ca = reg.ca_path().display().to_string();
    let sandbox = Sandbox::new();
    let curl = |how: &str| {
        let args = ["-s", "-w", " %{http_version} %{http_code}", "--cacert", &ca, how, &url];
        sandbox.command("curl", args).run()
    };
    assert_eq!(curl("--http2").success().stdout, "0123456789 2 200");
    assert_eq!(curl("--http1.1").success().stdout, "0123456789 1.1 200");
    reg.inject(once("GET", Kind::Blob), Fault::DropAfter(4));
    let cut = curl("--http2");
    assert_ne!(cut.code(), Some(0));
    assert!(cut.stdout.starts_with("0123 2 "), "{cut}");
}

#[test]
fn tls() {
    let reg = TestRegistry::builder().tls().start();
    let digest = reg.put_blob("a", "over tls");
    let url = format!("{}/v2/a/blobs/{digest}", reg.url());
    assert!(url.starts_with("https://127.0.0.1:"));
    let reply = request("GET", &url).ca(reg.ca_path()).send().expect(200);
    assert_eq!(reply.text(), "over tls");
    // Faults work over TLS too.
    reg.inject(once("GET", Kind::Blob), Fault::DropAfter(4));
    let reply = request("GET", &url).ca(reg.ca_path()).send();
    assert_eq!((reply.whole, reply.text().as_str()), (false, "over"));

    let other = TestRegistry::builder().tls().start();
    let refused = |reg: &TestRegistry, ca| {
        let error = request("GET", &format!("{}/v2/", reg.url())).ca(ca).try_send();
        error.expect_err("a refused certificate").to_string()
    };
    let unknown = refused(&reg, other.ca_path());
    assert!(unknown.contains("certificate"), "{unknown}");
    let reg = TestRegistry::builder().tls_with(TlsOptions { expired: true, ..Default::default() });
    let reg = reg.start();
    assert!(refused(&reg, reg.ca_path()).contains("xpired"));
    let options = TlsOptions { wrong_host: true, ..Default::default() };
    let reg = TestRegistry::builder().tls_with(options).start();
    assert!(refused(&reg, reg.ca_path()).contains("not valid for name"));
}

#[test]
fn client_certificates() {
    let options = TlsOptions { client_certificate: true, ..Default::default() };
    let reg = TestRegistry::builder().tls_with(options).start();
    let url = format!("{}/v2/", reg.url());
    assert!(request("GET", &url).ca(reg.ca_path()).try_send().is_err());
    let tls = reg.tls();
    let ask = request("GET", &url).ca(reg.ca_path());
    ask.identity(tls.path("client.crt"), tls.path("client.key")).send().expect(200);
}

#[test]
fn recording_over_tls() {
    let tls = ServerTls::new(TlsOptions::default());
    let other = RecordingServer::start_tls(&tls);
    other.answer("/x", 200, &[], "seen");
    let reply = request("GET", &format!("{}/x", other.url())).ca(tls.path("ca.crt")).send();
    assert_eq!(reply.expect(200).text(), "seen");
}
