//! Token servers: which one may know who we are, how it is asked, and what it answers.
//!
//! Follows the distribution project's token specification and its OAuth2 variant. Promise: a
//! credential reaches only a server that belongs to the registry (or that the person configured);
//! anybody else is asked anonymously. Keeps nothing; that is `auth`.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use reqwest::Url;
use serde_json::Value;

use super::address::{same_domain, same_host};
use super::body::Body;
use super::challenge::Challenge;
use super::exchange::{Answer, Line, Request, Secrets};
use super::failure::{Failure, shown};
use super::scope::Scopes;
use crate::config::{Credential, Secret};
use crate::error::{Error, ErrorKind, Result};

/// Longest realm that is taken.
const MAX_REALM: usize = 4 << 10;
/// Largest answer of a token server.
const MAX_REPLY: u64 = 1 << 20;
/// How long a token is good for when nobody says.
const DEFAULT_LIFE: u64 = 60;
/// The longest that a token is kept.
const LONGEST_LIFE: u64 = 24 * 3600;
/// A token is not used in its last moments.
const MARGIN: Duration = Duration::from_secs(10);
/// The name of this program in OAuth2.
const CLIENT_ID: &str = "creel";

/// Token servers of another domain than their registry's: (registry's domain, server's host).
const KNOWN: &[(&str, &str)] = &[(".scw.cloud", "api.scaleway.com")];

/// Who hands out tokens for a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TokenServer {
    pub(super) realm: Url,
    service: Option<String>,
}

/// A token and until when it is used.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) header: HeaderValue,
    pub(super) expires: Instant,
}

impl TokenServer {
    /// The server that a `Bearer` challenge of the registry at `base` names.
    pub(super) fn named_by(challenge: &Challenge, base: &Url) -> Result<TokenServer> {
        let realm = challenge.parameter("realm").unwrap_or_default();
        let refuse = |why: &str| {
            let realm = super::failure::clean(realm, 200);
            Error::invalid(format!("{base} names the token server {realm:?}, which {why}"))
        };
        if realm.is_empty() || realm.len() > MAX_REALM {
            return Err(refuse("is no address"));
        }
        let realm = base.join(realm).map_err(|_| refuse("is no address"))?;
        if !matches!(realm.scheme(), "http" | "https") || !realm.has_host() {
            return Err(refuse("is no http(s) address"));
        }
        if !realm.username().is_empty() || realm.password().is_some() {
            return Err(refuse("holds credentials of its own"));
        }
        if base.scheme() == "https" && realm.scheme() == "http" {
            return Err(refuse("would be asked without encryption"));
        }
        let service = challenge.parameter("service").filter(|service| !service.is_empty());
        Ok(TokenServer { realm, service: service.map(str::to_owned) })
    }

    /// Whether it may be told the credentials for the registry at `base`.
    pub(super) fn may_know_us(&self, base: &Url, configured: &[String]) -> bool {
        let (Some(ours), Some(host)) = (base.host_str(), self.realm.host_str()) else {
            return false;
        };
        let with_port = self.realm.port_or_known_default().map(|port| format!("{host}:{port}"));
        let is_configured = configured.iter().any(|name| {
            name.eq_ignore_ascii_case(host)
                || with_port.as_deref().is_some_and(|full| name.eq_ignore_ascii_case(full))
        });
        let is_known =
            KNOWN.iter().any(|(domain, server)| ours.ends_with(domain) && host == *server);
        let is_private = self.realm.scheme() == "https";
        is_configured
            || same_host(&self.realm, base)
            || (is_private && (is_known || same_domain(ours, host)))
    }

    /// Asks for a token with `scopes`.
    pub(super) async fn fetch(
        &self,
        line: &Line<'_>,
        credential: &Credential,
        scopes: &Scopes,
    ) -> Result<Token, Failure> {
        let asked = Instant::now();
        if let Credential::IdentityToken(secret) = credential {
            let secrets = [secret.expose().to_owned()];
            let answer = self.send(line, self.oauth_request(secret, scopes), None).await?;
            // Servers without the OAuth2 variant may still take the token as a password.
            match answer.status() {
                StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => answer.drain().await,
                _ => return read_reply(answer, &secrets, asked).await,
            }
        }
        let (authorization, secrets) = match credential {
            Credential::Basic { user, password } => {
                let shown = vec![password.expose().to_owned()];
                (Some(basic(user, password)?), shown)
            }
            Credential::IdentityToken(secret) => {
                (Some(basic("<token>", secret)?), vec![secret.expose().to_owned()])
            }
            _ => (None, Vec::new()),
        };
        let answer = self.send(line, self.plain_request(scopes), authorization).await?;
        read_reply(answer, &secrets, asked).await
    }

    async fn send(
        &self,
        line: &Line<'_>,
        request: Request,
        authorization: Option<HeaderValue>,
    ) -> Result<Answer, Failure> {
        let headers = HeaderMap::from_iter(authorization.map(|value| (AUTHORIZATION, value)));
        line.exchange(&request, &Secrets { origin: &self.realm, headers }).await
    }

    fn plain_request(&self, scopes: &Scopes) -> Request {
        let mut url = self.realm.clone();
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = &self.service {
                query.append_pair("service", service);
            }
            for scope in scopes.texts() {
                query.append_pair("scope", &scope);
            }
        }
        request(Method::GET, url)
    }

    /// The refresh token travels in the body, so no redirect is followed.
    fn oauth_request(&self, secret: &Secret, scopes: &Scopes) -> Request {
        let mut form = self.realm.clone();
        form.query_pairs_mut()
            .clear()
            .append_pair("grant_type", "refresh_token")
            .append_pair("service", self.service.as_deref().unwrap_or_default())
            .append_pair("client_id", CLIENT_ID)
            .append_pair("scope", &scopes.text())
            .append_pair("refresh_token", secret.expose());
        let body = Body::Bytes(form.query().unwrap_or_default().to_owned().into());
        let mut request =
            Request { body, follow: false, ..request(Method::POST, self.realm.clone()) };
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers.insert(CONTENT_TYPE, form);
        request
    }
}

fn request(method: Method, url: Url) -> Request {
    let headers = HeaderMap::new();
    Request { method, url, headers, body: Body::Empty, bulk: false, follow: true }
}

/// The header that proves who we are by name and password.
pub(super) fn basic(user: &str, password: &Secret) -> Result<HeaderValue, Failure> {
    let text = STANDARD.encode(format!("{user}:{}", password.expose()));
    secret_header(&format!("Basic {text}")).map_err(Failure::lasting)
}

/// The header that shows a token.
pub(super) fn bearer(token: &str) -> Result<HeaderValue> {
    secret_header(&format!("Bearer {token}"))
}

fn secret_header(text: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| Error::invalid("the token has characters that no header may have"))?;
    value.set_sensitive(true);
    Ok(value)
}

async fn read_reply(answer: Answer, secrets: &[String], asked: Instant) -> Result<Token, Failure> {
    if !answer.status().is_success() {
        return Err(answer.refusal(secrets).await);
    }
    let what = format!("the answer of the token server {}", shown(&answer.url));
    let bytes = answer.bytes(MAX_REPLY).await?;
    parse_reply(&bytes, asked).map_err(|error| Failure::lasting(error.while_doing(what)))
}

fn parse_reply(bytes: &[u8], asked: Instant) -> Result<Token> {
    let reply: Value = serde_json::from_slice(bytes)
        .map_err(|error| Error::caused(ErrorKind::Invalid, "it is no JSON", error))?;
    let text = |key| reply.get(key).and_then(Value::as_str).filter(|text: &&str| !text.is_empty());
    let token = text("token").or_else(|| text("access_token"));
    let token = token.ok_or_else(|| Error::invalid("it holds no token"))?;
    let life = match reply.get("expires_in") {
        Some(Value::Number(number)) => number.as_f64().unwrap_or_default() as u64,
        Some(Value::String(text)) => text.parse().unwrap_or_default(),
        _ => 0,
    };
    let life = Duration::from_secs(life.clamp(DEFAULT_LIFE, LONGEST_LIFE));
    Ok(Token { header: bearer(token)?, expires: asked + life - MARGIN })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::registry::challenge;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn named(base: &str, realm: &str) -> Result<TokenServer> {
        let header = format!("Bearer realm=\"{realm}\",service=\"s\"");
        TokenServer::named_by(&challenge::parse([header.as_str()])[0], &url(base))
    }

    #[test]
    fn who_may_know_our_credentials() {
        let configured = ["tokens.example:8443".to_owned(), "other.example".to_owned()];
        for (base, realm, allowed) in [
            ("https://registry-1.docker.io", "https://auth.docker.io/token", true),
            ("https://reg.example", "https://reg.example/token", true),
            ("https://reg.example", "https://reg.example:8443/jwt/auth", true),
            ("https://reg.example", "/token", true),
            ("https://rg.fr-par.scw.cloud", "https://api.scaleway.com/t", true),
            ("http://localhost:5000", "http://localhost:5001/token", true),
            ("http://reg.example", "https://auth.reg.example/token", true),
            ("http://reg.example.com", "http://auth.example.com/token", false),
            ("https://reg.example", "https://tokens.example:8443/", true),
            ("https://reg.example", "https://tokens.example/", false),
            ("https://reg.example", "https://other.example:1/", true),
            ("https://ghrc.io", "https://ghcr.io/token", false),
            ("https://a.azurecr.io", "https://b.azurecr.io/token", false),
            ("https://10.0.0.1", "https://10.0.0.2/token", false),
        ] {
            let server = named(base, realm).unwrap();
            assert_eq!(server.may_know_us(&url(base), &configured), allowed, "{base} {realm}");
        }
    }

    #[test]
    fn realms_that_are_refused() {
        let long = format!("https://reg.example/{}", "x".repeat(MAX_REALM));
        for realm in [
            "",
            "http://reg.example/token",
            "file:///etc/passwd",
            "gopher://x/",
            "https://u:p@x/",
            &long,
        ] {
            let error = named("https://reg.example", realm).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{realm}");
            assert!(error.chain().len() < 400, "{error}");
        }
    }

    #[test]
    fn how_tokens_are_asked_for() {
        let server = named("https://r.example", "https://r.example/t?x=y").unwrap();
        let scopes = Scopes::parse("repository:a/b:pull,push repository:c:pull");
        assert_eq!(
            server.plain_request(&scopes).url.as_str(),
            "https://r.example/t?x=y&service=s&scope=repository%3Aa%2Fb%3Apull%2Cpush\
             &scope=repository%3Ac%3Apull"
        );
        let request = server.oauth_request(&Secret::new("re&fresh"), &scopes);
        let Body::Bytes(body) = &request.body else { unreachable!("a form is bytes") };
        assert_eq!(
            body,
            "grant_type=refresh_token&service=s&client_id=creel\
             &scope=repository%3Aa%2Fb%3Apull%2Cpush+repository%3Ac%3Apull&refresh_token=re%26fresh"
        );
        assert_eq!((request.follow, request.url.as_str()), (false, "https://r.example/t?x=y"));
    }

    #[test]
    fn replies_good_and_bad() {
        let now = Instant::now();
        let life = |json: &str| parse_reply(json.as_bytes(), now).map(|token| token.expires - now);
        let seconds = |count| Duration::from_secs(count) - MARGIN;
        for (json, expected) in [
            (r#"{"token":"t"}"#, 60),
            (r#"{"access_token":"t","expires_in":300}"#, 300),
            (r#"{"token":"","access_token":"t","expires_in":0}"#, 60),
            (r#"{"token":"t","expires_in":-1}"#, 60),
            (r#"{"token":"t","expires_in":1000000000000000000}"#, LONGEST_LIFE),
            (r#"{"token":"t","expires_in":"120"}"#, 120),
        ] {
            assert_eq!(life(json).unwrap(), seconds(expected), "{json}");
        }
        for json in ["", "{}", "[]", r#"{"token":7}"#, r#"{"token":""}"#, "{\"token\":\"a\\nb\"}"] {
            assert!(life(json).is_err(), "{json}");
        }
        let token = parse_reply(br#"{"token":"abc"}"#, now).unwrap();
        assert_eq!(token.header.to_str().unwrap(), "Bearer abc");
        assert!(token.header.is_sensitive());
    }
}
