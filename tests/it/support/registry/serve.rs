//! From a request to its answer: faults, route, authorization, handler.

use std::sync::Arc;

use super::super::http::{Answer, Call, Reply, percent_decode};
use super::auth::{self, Scope};
use super::fault::{Canned, Fault};
use super::{Inner, Kind, reply};

/// Where a request goes.
enum Route {
    Ping,
    Token,
    Catalog,
    Tags(String),
    Manifest(String, String),
    Blob(String, String),
    Upload(String, String),
    Referrers(String, String),
}

impl Route {
    fn parse(path: &str) -> Option<Route> {
        let rest = match path {
            "/v2" | "/v2/" => return Some(Route::Ping),
            "/token" => return Some(Route::Token),
            "/v2/_catalog" => return Some(Route::Catalog),
            _ => path.strip_prefix("/v2/")?,
        };
        if let Some(name) = rest.strip_suffix("/tags/list") {
            return Some(Route::Tags(name.into()));
        }
        type Make = fn(String, String) -> Route;
        let kinds: [(&str, Make); 4] = [
            ("/blobs/uploads/", Route::Upload),
            ("/manifests/", Route::Manifest),
            ("/blobs/", Route::Blob),
            ("/referrers/", Route::Referrers),
        ];
        kinds.iter().find_map(|(middle, make)| {
            let (name, last) = rest.rsplit_once(middle)?;
            (!last.contains('/')).then(|| make(name.into(), percent_decode(last)))
        })
    }

    fn repository(&self) -> Option<&str> {
        match self {
            Route::Ping | Route::Token | Route::Catalog => None,
            Route::Tags(name)
            | Route::Manifest(name, _)
            | Route::Blob(name, _)
            | Route::Upload(name, _)
            | Route::Referrers(name, _) => Some(name),
        }
    }

    /// What a token must allow for this request.
    fn scopes(&self, call: &Call) -> Vec<Scope> {
        let Some(name) = self.repository() else {
            let catalog = matches!(self, Route::Catalog);
            return catalog.then(Scope::catalog).into_iter().collect();
        };
        let actions: &[&str] = match call.method.as_str() {
            "GET" if matches!(self, Route::Upload(..)) => &["pull", "push"],
            "DELETE" if matches!(self, Route::Upload(..)) => &["pull", "push"],
            "GET" | "HEAD" => &["pull"],
            "DELETE" => &["delete"],
            _ => &["pull", "push"],
        };
        let mut scopes = vec![Scope::repository(name, actions)];
        if matches!(self, Route::Upload(..)) && call.method == "POST" {
            let from = call.query_one("from");
            scopes.extend(from.map(|from| Scope::repository(&from, &["pull"])));
        }
        scopes
    }
}

impl Inner {
    pub(super) async fn answer(self: Arc<Self>, mut call: Call) -> Answer {
        let path_and_query = match call.query.as_str() {
            "" => call.path.clone(),
            query => format!("{}?{query}", call.path),
        };
        let faults = self.faults.take(&call, Kind::of(&call.path), &path_and_query);
        let answer = match self.fail_first(&mut call, &path_and_query, &faults).await {
            Some(answer) => answer,
            None => self.handle(&mut call, &faults).await,
        };
        if faults.iter().any(|fault| matches!(fault, Fault::LoseReply)) {
            return Answer::Drop;
        }
        match answer {
            Answer::Drop => Answer::Drop,
            Answer::Reply(mut reply) => {
                if !faults.iter().any(|fault| matches!(fault, Fault::AnswerEarly(_))) {
                    // An answer on a body that was not read to its end may never reach the client.
                    call.drain().await;
                }
                faults.iter().for_each(|fault| fault.spoil(&mut reply));
                reply
                    .headers
                    .push(("Docker-Distribution-API-Version".into(), "registry/2.0".into()));
                Answer::Reply(reply)
            }
        }
    }

    /// The faults that come before any handling.
    async fn fail_first(
        &self,
        call: &mut Call,
        path_and_query: &str,
        faults: &[Fault],
    ) -> Option<Answer> {
        for fault in faults {
            match fault {
                Fault::Delay(time) => tokio::time::sleep(*time).await,
                Fault::Hang => {
                    call.drain().await;
                    std::future::pending::<()>().await;
                }
                Fault::ExpireTokens => {
                    if let Some(issuer) = &self.issuer {
                        issuer.expire_all();
                    }
                }
                Fault::Answer(canned) | Fault::AnswerEarly(canned) => {
                    return Some(Answer::Reply(canned.reply()));
                }
                Fault::Redirect { code, to } => {
                    let location = format!("{to}{path_and_query}");
                    return Some(Answer::Reply(Reply::new(*code).header("Location", location)));
                }
                Fault::DropRequestAfter(n) if Kind::of(&call.path) != Kind::Upload => {
                    let mut got = 0;
                    while got < *n {
                        let Some(Ok(part)) = call.part().await else { break };
                        got += part.len() as u64;
                    }
                    return Some(Answer::Drop);
                }
                _ => {}
            }
        }
        None
    }

    async fn handle(&self, call: &mut Call, faults: &[Fault]) -> Answer {
        let Some(route) = Route::parse(&call.path) else {
            return Answer::Reply(Reply::new(404).content("404 page not found\n"));
        };
        if let Route::Token = route {
            return Answer::Reply(match &self.issuer {
                Some(issuer) => issuer.give_token(call).await,
                None => Reply::new(404),
            });
        }
        if let Err(reply) = self.authorize(call, &route) {
            return Answer::Reply(reply);
        }
        if route.repository().is_some_and(|name| !reply::is_repository(name)) {
            return Answer::Reply(reply::error(400, "NAME_INVALID", "invalid repository name"));
        }
        match route {
            Route::Ping | Route::Token => {
                Answer::Reply(Reply::new(200).json(&serde_json::json!({})))
            }
            Route::Catalog => Answer::Reply(self.catalog(call)),
            Route::Tags(name) => Answer::Reply(self.tags(call, &name)),
            Route::Manifest(name, what) => self.manifest(call, &name, &what, faults).await,
            Route::Blob(name, digest) => Answer::Reply(self.blob(call, &name, &digest, faults)),
            Route::Upload(name, id) => self.upload(call, &name, &id, faults).await,
            Route::Referrers(name, what) => Answer::Reply(self.referrers(call, &name, &what)),
        }
    }

    fn authorize(&self, call: &Call, route: &Route) -> Result<(), Reply> {
        if matches!(route, Route::Ping) && self.options.open_ping {
            return Ok(());
        }
        let authorization = call.header("authorization");
        if let Some((user, password)) = &self.options.basic {
            auth::check_basic(authorization, user, password)?;
        }
        match &self.issuer {
            Some(issuer) => issuer.check(authorization, &route.scopes(call)),
            None => Ok(()),
        }
    }
}

impl Canned {
    fn reply(&self) -> Reply {
        let mut reply = Reply::new(self.status).content(self.body.clone());
        reply.headers = self.headers.clone();
        reply
    }
}
