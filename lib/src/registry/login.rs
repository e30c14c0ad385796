//! Trying credentials out.

use reqwest::Method;

use super::Client;
use super::auth::Errand;
use super::scope::Scopes;
use super::server::{Call, Target};
use crate::config::Use;
use crate::error::Result;
use crate::spec::Reference;

impl Client {
    /// Asks `registry` (`host[:port]`, or `docker.io`) whether it takes the credentials that the
    /// options find for it.
    ///
    /// # Errors
    /// Unauthorized when it does not.
    pub async fn check_login(&self, registry: &str) -> Result<()> {
        // Only the registry counts of the name.
        let name = Reference::from_parts(registry, "library/login", None, None)?;
        let endpoints = (self.options().endpoints)(&name, Use::Write)?;
        let insecure = endpoints.last().is_some_and(|endpoint| endpoint.insecure);
        let server = self.server(name.registry(), insecure)?;
        let errand = Errand { repository: String::new(), scopes: Scopes::default() };
        let call = Call::new(Method::GET, Target::Path("/v2/".to_owned()), errand, &[200]);
        server.send(&call).await.map(|_| ())
    }
}
