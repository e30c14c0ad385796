//! Who we are to one registry: challenges answered, tokens kept.
//!
//! Owns the credentials and tokens for one origin. A token is asked for once per repository and
//! set of permissions, however many requests want it at the same time, and used by every request
//! that it covers. Promise: one new token for a refused request, never two. Uses `token` to fetch.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use http::header::HeaderValue;

use super::challenge::Challenge;
use super::exchange::Line;
use super::failure::{Failure, shown};
use super::options::{ClientOptions, FindCredential};
use super::retry::{Patience, persist};
use super::scope::Scopes;
use super::token::{Token, TokenServer, basic, bearer};
use crate::blob::blocking;
use crate::config::Credential;
use crate::error::{Error, Result};
use crate::progress::{Event, Listener};

/// For what a request needs permission.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Errand {
    /// The repository that credentials are looked up for; empty for the registry itself.
    pub(super) repository: String,
    /// What a token must permit.
    pub(super) scopes: Scopes,
}

/// How the registry wants to be spoken to; known after its first challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Scheme {
    Basic,
    Bearer(TokenServer),
}

/// Answers the challenges of one registry.
pub(super) struct Authorizer {
    /// As a person names it.
    registry: String,
    find: FindCredential,
    token_servers: Vec<String>,
    progress: Listener,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    scheme: Option<Scheme>,
    credentials: HashMap<String, Credential>,
    tokens: Vec<Kept>,
    /// What the registry, asked for one set of permissions, turned out to want.
    adapted: HashMap<Scopes, Scopes>,
    /// Fetches under way, so that each happens once.
    flights: HashMap<Scopes, Arc<tokio::sync::Mutex<()>>>,
    warned: bool,
}

struct Kept {
    server: TokenServer,
    repository: String,
    scopes: Scopes,
    token: Token,
}

impl Authorizer {
    pub(super) fn new(registry: &str, options: &ClientOptions) -> Authorizer {
        Authorizer {
            registry: registry.to_owned(),
            find: options.credentials.clone(),
            token_servers: options.token_servers.clone(),
            progress: options.progress.clone(),
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The header for a request, as far as it is known that one is needed.
    pub(super) async fn header(
        &self,
        line: &Line<'_>,
        patience: &Patience,
        errand: &Errand,
    ) -> Result<Option<HeaderValue>> {
        let scheme = self.lock().scheme.clone();
        match scheme {
            None => Ok(None),
            Some(scheme) => self.prove(scheme, line, patience, errand, None).await,
        }
    }

    /// The header for a request that was refused with `challenges` when it had `refused`; `None`
    /// when there is nothing else to show.
    pub(super) async fn renew(
        &self,
        line: &Line<'_>,
        patience: &Patience,
        errand: &Errand,
        challenges: &[Challenge],
        refused: Option<&HeaderValue>,
    ) -> Result<Option<HeaderValue>> {
        let named = |scheme: &str| challenges.iter().find(|challenge| challenge.scheme == scheme);
        let scheme = if let Some(challenge) = named("bearer") {
            let wanted = Scopes::parse(challenge.parameter("scope").unwrap_or_default());
            let adapted = errand.scopes.adapted(&wanted);
            let mut state = self.lock();
            if adapted != errand.scopes {
                state.adapted.insert(errand.scopes.clone(), adapted);
            }
            Scheme::Bearer(TokenServer::named_by(challenge, line.host)?)
        } else if named("basic").is_some() {
            Scheme::Basic
        } else {
            return Ok(None);
        };
        {
            let mut state = self.lock();
            state.scheme = Some(scheme.clone());
            state.tokens.retain(|kept| Some(&kept.token.header) != refused);
        }
        let header = self.prove(scheme, line, patience, errand, refused).await?;
        Ok(header.filter(|header| Some(header) != refused))
    }

    async fn prove(
        &self,
        scheme: Scheme,
        line: &Line<'_>,
        patience: &Patience,
        errand: &Errand,
        refused: Option<&HeaderValue>,
    ) -> Result<Option<HeaderValue>> {
        if let Scheme::Bearer(server) = &scheme
            && let Some(header) = self.kept(server, errand, refused)
        {
            return Ok(Some(header));
        }
        match (self.credential(&errand.repository).await?, scheme) {
            (Credential::RegistryToken(token), _) => bearer(token.expose()).map(Some),
            (Credential::Basic { user, password }, Scheme::Basic) => {
                basic(&user, &password).map(Some).map_err(|failure| failure.error)
            }
            (_, Scheme::Basic) => Ok(None),
            (credential, Scheme::Bearer(server)) => {
                self.fetch(server, credential, line, patience, errand, refused).await.map(Some)
            }
        }
    }

    /// A token that is still good for the errand.
    fn kept(
        &self,
        server: &TokenServer,
        errand: &Errand,
        refused: Option<&HeaderValue>,
    ) -> Option<HeaderValue> {
        let mut state = self.lock();
        let now = Instant::now();
        state.tokens.retain(|kept| kept.token.expires > now);
        let wanted = state.adapted.get(&errand.scopes).unwrap_or(&errand.scopes);
        let good = |kept: &&Kept| {
            kept.server == *server
                && kept.repository == errand.repository
                && kept.scopes.covers(wanted)
                && Some(&kept.token.header) != refused
        };
        state.tokens.iter().find(good).map(|kept| kept.token.header.clone())
    }

    async fn fetch(
        &self,
        server: TokenServer,
        credential: Credential,
        line: &Line<'_>,
        patience: &Patience,
        errand: &Errand,
        refused: Option<&HeaderValue>,
    ) -> Result<HeaderValue> {
        let (wanted, flight) = {
            let mut state = self.lock();
            let wanted = state.adapted.get(&errand.scopes).unwrap_or(&errand.scopes).clone();
            let flight = state.flights.entry(wanted.clone()).or_default().clone();
            (wanted, flight)
        };
        let _alone = flight.lock().await;
        if let Some(header) = self.kept(&server, errand, refused) {
            return Ok(header);
        }
        let (credential, withheld) = self.permitted(&server, credential, line);
        let fetched =
            persist(patience, &self.progress, || server.fetch(line, &credential, &wanted)).await;
        let token = fetched.map_err(|error| self.explain(error, &server, &wanted, withheld))?;
        let header = token.header.clone();
        let repository = errand.repository.clone();
        self.lock().tokens.push(Kept { server, repository, scopes: wanted, token });
        Ok(header)
    }

    /// What `server` may see of `credential`, and whether that is less than all.
    fn permitted(
        &self,
        server: &TokenServer,
        credential: Credential,
        line: &Line<'_>,
    ) -> (Credential, bool) {
        let nothing_to_hide = matches!(credential, Credential::Anonymous);
        if nothing_to_hide || server.may_know_us(line.host, &self.token_servers) {
            return (credential, false);
        }
        if !std::mem::replace(&mut self.lock().warned, true) {
            self.progress.event(Event::Warning(self.withheld(server)));
        }
        (Credential::Anonymous, true)
    }

    fn withheld(&self, server: &TokenServer) -> String {
        format!(
            "the credentials for {} were not sent to {}, a token server of another domain; \
             configure it as a token server if it is to have them",
            self.registry,
            shown(&server.realm)
        )
    }

    fn explain(
        &self,
        error: Error,
        server: &TokenServer,
        wanted: &Scopes,
        withheld: bool,
    ) -> Error {
        let doing = format!("asking for a token for {} with {}", self.registry, wanted.text());
        let error = error.while_doing(doing);
        match withheld {
            true => error.while_doing(self.withheld(server)),
            false => error,
        }
    }

    /// The credential for a repository; found once, on a thread that may wait for a helper.
    async fn credential(&self, repository: &str) -> Result<Credential> {
        if let Some(credential) = self.lock().credentials.get(repository) {
            return Ok(credential.clone());
        }
        let (find, registry) = (self.find.clone(), self.registry.clone());
        let name = repository.to_owned();
        let found = blocking(move || find(&registry, &name)).await?;
        self.lock().credentials.insert(repository.to_owned(), found.clone());
        Ok(found)
    }

    /// What to say when the registry refuses everything that there is to show.
    pub(super) fn refused(&self, failure: Failure, errand: &Errand) -> Failure {
        let known = self.lock().credentials.get(&errand.repository).cloned();
        let text = match known.unwrap_or(Credential::Anonymous) {
            Credential::Anonymous => format!(
                "{} does not serve this to anyone, and there are no credentials for it (or \
                 nothing has that name)",
                self.registry
            ),
            _ => format!("{} does not accept the credentials for this", self.registry),
        };
        failure.while_doing(text)
    }
}
