//! The client: one for a whole job, so that connections, tokens and knowledge are shared.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::auth::Errand;
use super::options::{Access, ClientOptions};
use super::repository::{Place, Repository};
use super::scope::Scopes;
use super::server::Server;
use super::wire::Net;
use crate::config::Use;
use crate::error::{Error, Result};
use crate::spec::Reference;

/// Talks to registries. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    options: Arc<ClientOptions>,
    net: Arc<Net>,
    /// By name, and by whether they need not prove who they are.
    servers: Mutex<HashMap<(String, bool), Arc<Server>>>,
}

impl Client {
    /// A client; connects to nothing yet.
    pub fn new(options: ClientOptions) -> Client {
        let net = Arc::new(Net::new(&options));
        let inner = Inner { options: Arc::new(options), net, servers: Mutex::default() };
        Client { inner: Arc::new(inner) }
    }

    /// The repository of `name`, to be used for `access`. Asks nobody yet.
    ///
    /// # Errors
    /// What the options' finders of endpoints and certificates say: Denied for a blocked registry.
    pub fn repository(&self, name: &Reference, access: Access) -> Result<Repository> {
        let mut places = Vec::new();
        for endpoint in (self.inner.options.endpoints)(name, access.purpose())? {
            let scopes = Scopes::repository(&endpoint.repository, access);
            places.push(Arc::new(Place {
                server: self.server(&endpoint.registry, endpoint.insecure)?,
                registry: endpoint.registry,
                errand: Errand { repository: endpoint.repository.clone(), scopes },
                name: endpoint.repository,
                lists_referrers: OnceLock::new(),
            }));
        }
        if places.is_empty() {
            return Err(Error::invalid(format!("no place is configured for {}", name.name())));
        }
        Ok(Repository::new(places, self.inner.options.clone()))
    }

    /// Connections and settings, for what goes to no registry.
    pub(super) fn parts(&self) -> (&Net, &ClientOptions) {
        (&self.inner.net, &self.inner.options)
    }

    /// The registry itself (`host[:port]`), for what concerns no repository.
    pub(super) fn registry(&self, registry: &str, purpose: Use) -> Result<Arc<Server>> {
        // Only the registry counts of the name.
        let name = Reference::from_parts(registry, "library/any", None, None)?;
        let endpoints = (self.inner.options.endpoints)(&name, purpose)?;
        let insecure = endpoints.last().is_some_and(|endpoint| endpoint.insecure);
        self.server(name.registry(), insecure)
    }

    fn server(&self, registry: &str, insecure: bool) -> Result<Arc<Server>> {
        let key = (registry.to_owned(), insecure);
        let mut servers = self.inner.servers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = servers.get(&key) {
            return Ok(server.clone());
        }
        let net = self.inner.net.clone();
        let server = Arc::new(Server::new(registry, insecure, net, &self.inner.options)?);
        servers.insert(key, server.clone());
        Ok(server)
    }
}
