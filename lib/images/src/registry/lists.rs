//! Names: the tags of a repository, the repositories of a registry (distribution spec, "Listing
//! Tags"; the catalog is distribution's own).

use std::collections::HashSet;

use serde::Deserialize;

use super::auth::Errand;
use super::client::Client;
use super::pages::Pages;
use super::repository::Repository;
use super::scope::Scopes;
use super::server::Server;
use crate::config::Use;
use crate::error::{Error, ErrorKind, Result};
use crate::spec::{Reference, is_tag};

/// Most names of one list.
const MAX_NAMES: usize = 1_000_000;
/// Names asked for at a time; several registries refuse more.
const PAGE: usize = 1000;

#[derive(Deserialize)]
struct TagPage {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct CatalogPage {
    #[serde(default)]
    repositories: Option<Vec<String>>,
}

impl Repository {
    /// The tags, in the registry's order. What is no tag is left out: some registries list digests
    /// and empty names.
    ///
    /// # Errors
    /// NotFound for a repository that does not exist.
    pub async fn tags(&self) -> Result<Vec<String>> {
        let place = self.primary();
        let path = format!("/v2/{}/tags/list?n={PAGE}", place.name);
        let read = |page: TagPage| page.tags.unwrap_or_default();
        let names = list(&place.server, place.errand.clone(), path, read).await?;
        Ok(names.into_iter().filter(|name| is_tag(name)).collect())
    }
}

impl Client {
    /// The repositories of a registry (`host[:port]`), where it tells them.
    pub async fn catalog(&self, registry: &str) -> Result<Vec<String>> {
        let server = self.registry(registry, Use::List)?;
        let errand = Errand { repository: String::new(), scopes: Scopes::catalog() };
        let path = format!("/v2/_catalog?n={PAGE}");
        let read = |page: CatalogPage| page.repositories.unwrap_or_default();
        let names = list(&server, errand, path, read).await?;
        let is_name = |name: &String| Reference::from_parts(registry, name, None, None).is_ok();
        Ok(names.into_iter().filter(is_name).collect())
    }
}

/// All names of all pages, each once.
async fn list<P: for<'de> Deserialize<'de>>(
    server: &Server,
    errand: Errand,
    path: String,
    read: impl Fn(P) -> Vec<String>,
) -> Result<Vec<String>> {
    let mut pages = Pages::new(server, errand, path, "application/json");
    let (mut names, mut seen) = (Vec::new(), HashSet::new());
    while let Some(page) = pages.next().await? {
        let parsed = serde_json::from_slice(&page.body)
            .map_err(|error| Error::caused(ErrorKind::Invalid, page.place.clone(), error))?;
        names.extend(read(parsed).into_iter().filter(|name| seen.insert(name.clone())));
        if names.len() > MAX_NAMES {
            let text = format!("the list has more than {MAX_NAMES} names");
            return Err(Error::caused(ErrorKind::Invalid, page.place, text));
        }
    }
    Ok(names)
}
