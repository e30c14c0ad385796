//! Who may do what: Basic, or Bearer tokens with scopes as the distribution token protocol has it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value, json};

use super::super::http::{Call, Reply, query_values};
use super::reply;

/// What the registry calls itself towards its token service.
const SERVICE: &str = "test-registry";

/// What the token service knows and how it behaves.
#[derive(Clone)]
pub(super) struct TokenOptions {
    pub(super) user: String,
    pub(super) password: String,
    pub(super) refresh_token: Option<String>,
    pub(super) anonymous_pull: bool,
    pub(super) lifetime: Duration,
    /// Said instead of the true `expires_in`; null leaves it out.
    pub(super) claimed_lifetime: Option<Value>,
    pub(super) denied: Vec<String>,
    pub(super) post: bool,
}

/// Gives tokens and knows what each one allows. Several registries may trust one issuer.
pub(super) struct Issuer {
    pub(super) options: TokenOptions,
    /// URL of the token endpoint, set when its server has started.
    pub(super) realm: OnceLock<String>,
    tokens: Mutex<HashMap<String, Grant>>,
}

struct Grant {
    scopes: Vec<Scope>,
    ends: Instant,
}

/// `repository:NAME:pull,push`
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scope {
    kind: String,
    name: String,
    actions: BTreeSet<String>,
}

impl Scope {
    pub(super) fn parse(text: &str) -> Option<Scope> {
        let (kind, rest) = text.split_once(':')?;
        let (name, actions) = rest.rsplit_once(':')?;
        let actions = actions.split(',').filter(|a| !a.is_empty()).map(String::from).collect();
        Some(Scope { kind: kind.into(), name: name.into(), actions })
    }

    pub(super) fn repository(name: &str, actions: &[&str]) -> Scope {
        let actions = actions.iter().map(|a| a.to_string()).collect();
        Scope { kind: "repository".into(), name: name.into(), actions }
    }

    pub(super) fn catalog() -> Scope {
        let actions = BTreeSet::from(["*".to_string()]);
        Scope { kind: "registry".into(), name: "catalog".into(), actions }
    }

    fn covers(&self, needed: &Scope, action: &str) -> bool {
        self.kind == needed.kind
            && self.name == needed.name
            && (self.actions.contains(action) || self.actions.contains("*"))
    }

    fn text(&self) -> String {
        let actions: Vec<&str> = self.actions.iter().map(String::as_str).collect();
        format!("{}:{}:{}", self.kind, self.name, actions.join(","))
    }
}

impl Issuer {
    pub(super) fn new(options: TokenOptions) -> Issuer {
        Issuer { options, realm: OnceLock::new(), tokens: Mutex::default() }
    }

    pub(super) fn expire_all(&self) {
        self.tokens.lock().expect("tokens").clear();
    }

    /// Lets the request pass or gives the 401 that tells how to get in.
    pub(super) fn check(&self, authorization: Option<&str>, needed: &[Scope]) -> Result<(), Reply> {
        let Some(token) = authorization.and_then(|value| strip_scheme(value, "Bearer")) else {
            return Err(self.challenge(needed, None));
        };
        let tokens = self.tokens.lock().expect("tokens");
        let Some(grant) = tokens.get(token).filter(|grant| grant.ends > Instant::now()) else {
            return Err(self.challenge(needed, Some("invalid_token")));
        };
        let allowed = needed.iter().all(|scope| {
            let mut actions = scope.actions.iter();
            actions.all(|action| grant.scopes.iter().any(|given| given.covers(scope, action)))
        });
        match allowed {
            true => Ok(()),
            false => Err(self.challenge(needed, Some("insufficient_scope"))),
        }
    }

    fn challenge(&self, needed: &[Scope], error: Option<&str>) -> Reply {
        let realm = self.realm.get().expect("the token server has started");
        let mut value = format!(r#"Bearer realm="{realm}",service="{SERVICE}""#);
        if !needed.is_empty() {
            let scopes: Vec<String> = needed.iter().map(Scope::text).collect();
            value.push_str(&format!(r#",scope="{}""#, scopes.join(" ")));
        }
        if let Some(error) = error {
            value.push_str(&format!(r#",error="{error}""#));
        }
        reply::error(401, "UNAUTHORIZED", "authentication required")
            .header("WWW-Authenticate", value)
    }

    /// Answers the token endpoint: GET with or without Basic, POST with a form (OAuth 2).
    pub(super) async fn give_token(&self, call: &mut Call) -> Reply {
        match call.method.as_str() {
            "GET" => {
                let known = match call.header("authorization") {
                    None => false,
                    Some(value) if self.is_user(value) => true,
                    Some(_) => return reply::error(401, "UNAUTHORIZED", "wrong credentials"),
                };
                self.grant(&call.query, known, None)
            }
            "POST" if self.options.post => {
                let Ok(Some(form)) = call.whole(1 << 20).await else { return Reply::new(400) };
                self.grant_form(&String::from_utf8_lossy(&form))
            }
            _ => Reply::new(404),
        }
    }

    fn grant_form(&self, form: &str) -> Reply {
        let field = |name: &str| query_values(form, name).into_iter().next().unwrap_or_default();
        if field("client_id").is_empty() || field("service").is_empty() {
            return Reply::new(400).json(&json!({"error": "invalid_request"}));
        }
        let options = &self.options;
        let refresh = field("refresh_token");
        let known = match field("grant_type").as_str() {
            "refresh_token" => options.refresh_token.as_ref() == Some(&refresh),
            "password" => {
                field("username") == options.user && field("password") == options.password
            }
            _ => return Reply::new(400).json(&json!({"error": "unsupported_grant_type"})),
        };
        if !known {
            return Reply::new(401).json(&json!({"error": "invalid_grant"}));
        }
        let offline = field("access_type") == "offline" || !refresh.is_empty();
        self.grant(form, true, options.refresh_token.as_deref().filter(|_| offline))
    }

    fn grant(&self, query: &str, known: bool, refresh_token: Option<&str>) -> Reply {
        let asked = query_values(query, "scope");
        let asked = asked.iter().flat_map(|scopes| scopes.split_whitespace());
        let scopes = asked.filter_map(Scope::parse).map(|scope| self.allowed(scope, known));
        let scopes: Vec<Scope> = scopes.filter(|scope| !scope.actions.is_empty()).collect();
        let mut tokens = self.tokens.lock().expect("tokens");
        let token = format!("token-{}-{}", std::process::id(), rand_text());
        let lifetime = self.options.lifetime;
        tokens.insert(token.clone(), Grant { scopes, ends: Instant::now() + lifetime });
        let mut body = json!({"token": token, "access_token": token});
        match &self.options.claimed_lifetime {
            None => body["expires_in"] = json!(lifetime.as_secs()),
            Some(Value::Null) => {}
            Some(claim) => body["expires_in"] = claim.clone(),
        }
        if let Some(refresh_token) = refresh_token {
            body["refresh_token"] = json!(refresh_token);
        }
        Reply::new(200).json(&body)
    }

    /// What of a wished scope is granted; what is denied is left out silently.
    fn allowed(&self, mut scope: Scope, known: bool) -> Scope {
        let pull_only = !known;
        scope.actions.retain(|action| {
            let whole = format!("{}:{}:{action}", scope.kind, scope.name);
            let public = self.options.anonymous_pull && action == "pull";
            !self.options.denied.contains(&whole) && (!pull_only || public)
        });
        scope
    }

    fn is_user(&self, authorization: &str) -> bool {
        is_basic(authorization, &self.options.user, &self.options.password)
    }
}

/// Lets the request pass or gives the 401 of Basic authentication.
pub(super) fn check_basic(
    authorization: Option<&str>,
    user: &str,
    password: &str,
) -> Result<(), Reply> {
    if authorization.is_some_and(|value| is_basic(value, user, password)) {
        return Ok(());
    }
    let reply = reply::error(401, "UNAUTHORIZED", "authentication required");
    Err(reply.header("WWW-Authenticate", r#"Basic realm="test registry""#))
}

fn is_basic(authorization: &str, user: &str, password: &str) -> bool {
    let wanted = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    strip_scheme(authorization, "Basic") == Some(wanted.as_str())
}

fn strip_scheme<'a>(value: &'a str, scheme: &str) -> Option<&'a str> {
    let (found, rest) = value.split_once(' ')?;
    found.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// A text that has not been given before in this process.
pub(super) fn rand_text() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    super::super::content::hex(&super::super::content::noise(number, 12))
}
