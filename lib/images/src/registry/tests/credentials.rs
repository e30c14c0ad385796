//! Who is told what: challenges, tokens, redirects.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::scripted::{Received, Reply, Server};
use super::{PASSWORD, options, repository, with_password};
use crate::config::{Credential, Secret};
use crate::error::ErrorKind;
use crate::progress::{Event, Progress};
use crate::registry::{Access, ClientOptions, Mount};
use crate::spec::Digest;

/// An image manifest that any registry here hands out.
const MANIFEST: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}"#;

fn manifest() -> Reply {
    Reply::new(200)
        .header("Content-Type", "application/vnd.oci.image.manifest.v1+json")
        .body(MANIFEST)
}

/// A registry with a token server at `realm`; `token` is what that hands out, by its count.
fn token_registry(
    realm: &'static str,
    reply: impl Fn(&Received) -> Reply + Send + Sync + 'static,
) -> Server {
    let tokens = AtomicUsize::new(0);
    Server::start(move |request| {
        if request.target.starts_with("/token") {
            let count = tokens.fetch_add(1, Ordering::Relaxed) + 1;
            return Reply::new(200).body(format!(r#"{{"token":"t{count}","expires_in":300}}"#));
        }
        let challenge = format!(
            r#"Bearer realm="{}",service="s",scope="repository:a/b:pull""#,
            realm.replace("HOST", request.header("host"))
        );
        match request.header("authorization") {
            "" | "Bearer bad" => Reply::new(401).header("WWW-Authenticate", challenge),
            _ => reply(request),
        }
    })
}

#[tokio::test]
async fn one_token_serves_everything() {
    let server = token_registry("http://HOST/token?x=y", |_| manifest());
    let repository = repository(with_password(), server.host(), Access::Push);
    let asked = futures_util::future::join_all((0..8).map(|_| repository.manifest("1"))).await;
    assert!(asked.iter().all(Result::is_ok));
    let tokens: Vec<_> =
        server.received().into_iter().filter(|r| r.target.starts_with("/token")).collect();
    assert_eq!(tokens.len(), 1);
    assert_eq!(tokens[0].target, "/token?x=y&service=s&scope=repository%3Aa%2Fb%3Apull%2Cpush");
    assert_eq!(tokens[0].header("authorization"), PASSWORD);
    let shown: Vec<_> = server.received();
    assert!(shown.iter().filter(|r| r.header("authorization") == "Bearer t1").count() == 8);
}

#[tokio::test]
async fn a_refused_token_is_renewed_once() {
    let expired = AtomicUsize::new(0);
    let server = token_registry("/token", move |request| {
        match (request.header("authorization"), expired.fetch_add(1, Ordering::Relaxed)) {
            ("Bearer t1", 1..) => Reply::new(401)
                .header("WWW-Authenticate", r#"Bearer realm="/token",error="invalid_token""#),
            _ => manifest(),
        }
    });
    let repository = repository(options(), server.host(), Access::Pull);
    for _ in 0..3 {
        repository.manifest("1").await.unwrap();
    }
    let lines = server.lines();
    assert_eq!(lines.iter().filter(|line| line.contains("/token")).count(), 2, "{lines:#?}");
    assert_eq!(lines.len(), 7, "{lines:#?}");
}

#[tokio::test]
async fn refusing_for_ever_ends() {
    let server = Server::start(|request| match request.target.as_str() {
        "/token?scope=repository%3Aa%2Fb%3Apull" => {
            Reply::new(200).body(r#"{"access_token":"secret-token"}"#)
        }
        _ => Reply::new(401)
            .header("WWW-Authenticate", r#"Bearer realm="/token""#)
            .body(format!("no: {}", request.header("authorization"))),
    });
    let repository = repository(with_password(), server.host(), Access::Pull);
    let error = repository.manifest("1").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert_eq!(server.lines().len(), 3);
    let text = error.chain();
    assert!(text.contains("GET http://127.0.0.1:") && text.contains("[redacted]"), "{text}");
    assert!(!text.contains("secret-token"), "{text}");
}

#[tokio::test]
async fn answers_without_measure_are_refused() {
    for (token, text) in [
        (Reply::new(200).body("x".repeat(2 << 20)), "larger than the limit of 1048576 bytes"),
        (Reply::new(200).body("{}"), "it holds no token"),
        (Reply::new(200).header("X", "x".repeat(100_000)).body("{}"), "headers are larger"),
        (Reply::new(500).body("e".repeat(1 << 20)), "500 Internal Server Error: eee"),
    ] {
        let server = Server::start(move |request| match request.target.starts_with("/token") {
            true => token.clone(),
            false => Reply::new(401).header("WWW-Authenticate", r#"Bearer realm="/token""#),
        });
        let repository = repository(options(), server.host(), Access::Pull);
        let error = repository.manifest("1").await.unwrap_err();
        assert!(error.chain().contains(text), "{}", error.chain());
        assert!(error.chain().len() < 10_000);
        assert!(server.lines().len() <= 4);
    }
}

#[tokio::test]
async fn basic_is_sent_from_the_first_challenge_on() {
    let server = Server::start(|request| match request.header("authorization") {
        "" => Reply::new(401).header("WWW-Authenticate", "Basic realm=\"x\""),
        _ => manifest(),
    });
    let repository = repository(with_password(), server.host(), Access::Pull);
    repository.manifest("1").await.unwrap();
    repository.manifest("2").await.unwrap();
    let shown: Vec<_> =
        server.received().iter().map(|r| r.header("authorization").to_owned()).collect();
    assert_eq!(shown, ["", PASSWORD, PASSWORD]);
}

#[tokio::test]
async fn anonymous_is_told_to_log_in() {
    let server = Server::start(|_| Reply::new(401).header("WWW-Authenticate", "Basic realm=\"x\""));
    let repository = repository(options(), server.host(), Access::Pull);
    let error = repository.manifest("1").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert!(error.chain().contains("no credentials for it"), "{}", error.chain());
    assert_eq!(server.lines().len(), 1);
}

#[tokio::test]
async fn identity_tokens_are_exchanged() {
    let server = Server::start(|request| match request.method.as_str() {
        "POST" => Reply::new(200).body(r#"{"access_token":"t"}"#),
        _ if request.header("authorization") == "Bearer t" => manifest(),
        _ => Reply::new(401)
            .header("WWW-Authenticate", r#"Bearer realm="/oauth2/token",service="s""#),
    });
    let credentials = Credential::IdentityToken(Secret::new("refresh"));
    let with_token =
        ClientOptions { credentials: Arc::new(move |_, _| Ok(credentials.clone())), ..options() };
    repository(with_token, server.host(), Access::Pull).manifest("1").await.unwrap();
    let exchange = server.received().remove(1);
    assert_eq!(exchange.line(), "POST /oauth2/token");
    assert_eq!(exchange.header("authorization"), "");
    assert_eq!(
        String::from_utf8(exchange.body).unwrap(),
        "grant_type=refresh_token&service=s&client_id=creel\
         &scope=repository%3Aa%2Fb%3Apull&refresh_token=refresh"
    );
}

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Progress for Heard {
    fn event(&self, event: Event) {
        if let Event::Warning(text) = event {
            self.0.lock().unwrap().push(text);
        }
    }
}

#[tokio::test]
async fn a_foreign_token_server_learns_nothing_unless_configured() {
    let tokens = Server::at("127.0.0.2", |_| Reply::new(200).body(r#"{"token":"t"}"#));
    let realm = format!("Bearer realm=\"http://{}/token\"", tokens.host());
    let server = Server::start(move |request| match request.header("authorization") {
        "Bearer t" => manifest(),
        _ => Reply::new(401).header("WWW-Authenticate", &realm),
    });
    let heard = Arc::new(Heard::default());
    let strict = ClientOptions { progress: heard.clone(), ..with_password() };
    let error = repository(strict, server.host(), Access::Pull).manifest("1").await.unwrap_err();
    assert!(error.chain().contains("127.0.0.2 is a private address"), "{}", error.chain());
    assert!(error.chain().contains("configure it as a token server"), "{}", error.chain());
    assert_eq!(heard.0.lock().unwrap().len(), 1);
    assert_eq!(tokens.lines().len(), 0);

    let configured =
        ClientOptions { token_servers: vec![tokens.host().to_owned()], ..with_password() };
    repository(configured, server.host(), Access::Pull).manifest("1").await.unwrap();
    assert_eq!(tokens.received()[0].header("authorization"), PASSWORD);
}

#[tokio::test]
async fn redirects_carry_secrets_only_to_their_origin() {
    let other_port = Server::start(|_| manifest());
    let elsewhere = format!("http://{}/x", other_port.host());
    let server = token_registry("/token", move |request| match request.target.as_str() {
        "/v2/a/b/manifests/same" => Reply::new(307).header("Location", "/v2/moved"),
        "/v2/a/b/manifests/port" => Reply::new(302).header("Location", &elsewhere),
        "/v2/a/b/manifests/private" => Reply::new(307).header("Location", "http://127.0.0.2:1/x"),
        "/v2/a/b/manifests/name" => Reply::new(307).header("Location", "http://localhost:1/x"),
        "/v2/a/b/manifests/loop" => Reply::new(307).header("Location", "loop"),
        "/v2/a/b/manifests/file" => Reply::new(307).header("Location", "file:///etc/passwd"),
        _ => manifest(),
    });
    let more = ClientOptions {
        headers: vec![("X-Meta".to_owned(), Secret::new("meta"))],
        ..with_password()
    };
    let repository = repository(more, server.host(), Access::Pull);
    repository.manifest("same").await.unwrap();
    let moved = server.received().pop().unwrap();
    assert_eq!(moved.header("authorization"), "Bearer t1");
    assert_eq!(moved.header("x-meta"), "meta");

    repository.manifest("port").await.unwrap();
    let moved = other_port.received().pop().unwrap();
    assert_eq!((moved.header("authorization"), moved.header("x-meta")), ("", ""));

    for (name, kind, text) in [
        ("private", ErrorKind::Denied, "127.0.0.2 is a private address"),
        ("name", ErrorKind::Denied, "localhost has the private address"),
        ("loop", ErrorKind::Failed, "more than 10 redirects"),
        ("file", ErrorKind::Invalid, "no http(s) URL"),
    ] {
        let error = repository.manifest(name).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{name}");
        assert!(error.chain().contains(text), "{}", error.chain());
    }
    assert_eq!(server.lines().iter().filter(|line| line.ends_with("/loop")).count(), 11);
}

#[tokio::test]
async fn a_mount_asks_for_one_token_more_and_copes_without() {
    // The token server silently leaves out what it does not permit.
    let server = token_registry("/token", |request| {
        match (request.target.contains("mount"), request.header("authorization")) {
            (true, _) => Reply::new(401).header(
                "WWW-Authenticate",
                r#"Bearer realm="/token",service="s",error="insufficient_scope""#,
            ),
            _ => manifest(),
        }
    });
    let repository = repository(with_password(), server.host(), Access::Push);
    repository.manifest("1").await.unwrap();
    let digest = Digest::sha256(b"x");
    for _ in 0..2 {
        let mount = repository.mount_blob(&digest, "c").await.unwrap();
        assert!(matches!(mount, Mount::Refused(None)));
    }
    let lines = server.lines();
    let joint = "GET /token?service=s&scope=repository%3Aa%2Fb%3Apull%2Cpush\
                 &scope=repository%3Ac%3Apull";
    assert_eq!(lines.iter().filter(|line| *line == joint).count(), 2, "{lines:#?}");
    assert_eq!(lines.iter().filter(|line| line.contains("mount")).count(), 2, "{lines:#?}");
    // The token for the repository itself is still good.
    repository.manifest("1").await.unwrap();
    assert_eq!(server.received().pop().unwrap().header("authorization"), "Bearer t1");
}

#[tokio::test]
async fn a_token_server_that_refuses_everything_for_a_part() {
    let server = Server::start(|request| match request.target.as_str() {
        target if target.contains("%3Ac%3Apull") => Reply::new(403).body("denied"),
        target if target.starts_with("/token") => Reply::new(200).body(r#"{"token":"t"}"#),
        _ if request.header("authorization") == "Bearer t" => manifest(),
        _ => Reply::new(401).header("WWW-Authenticate", r#"Bearer realm="/token""#),
    });
    let repository = repository(with_password(), server.host(), Access::Push);
    repository.manifest("1").await.unwrap();
    let mount = repository.mount_blob(&Digest::sha256(b"x"), "c").await.unwrap();
    assert!(matches!(mount, Mount::Refused(None)));
    assert_eq!(server.lines().len(), 4);
}
