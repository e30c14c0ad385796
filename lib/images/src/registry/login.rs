//! Trying credentials out.

use http::Method;

use super::Client;
use super::auth::Errand;
use super::scope::Scopes;
use super::server::{Call, Target};
use crate::config::Use;
use crate::error::Result;

impl Client {
    /// Asks `registry` (`host[:port]`, or `docker.io`) whether it takes the credentials that the
    /// options find for it.
    ///
    /// # Errors
    /// Unauthorized when it does not.
    pub async fn check_login(&self, registry: &str) -> Result<()> {
        let server = self.registry(registry, Use::Write)?;
        let errand = Errand { repository: String::new(), scopes: Scopes::default() };
        let call = Call::new(Method::GET, Target::Path("/v2/".to_owned()), errand, &[200]);
        server.send(&call).await?.drain().await;
        Ok(())
    }
}
