//! Names: the tags of a repository, the repositories of a registry (distribution spec, "Listing
//! Tags"; the catalog is distribution's own).

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, de};

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
const MAX_NAMES: usize = 500_000;
/// Most bytes of all names of one list.
const MAX_BYTES: usize = 24 << 20;
/// Names asked for at a time; several registries refuse more.
const PAGE: usize = 1000;
/// Largest page: 100,000 of the longest tags at once.
const MAX_PAGE: u64 = 16 << 20;

impl Repository {
    /// The tags, in the registry's order. What is not a tag is left out: some registries list
    /// digests and empty names.
    ///
    /// # Errors
    /// NotFound for a repository that does not exist.
    pub async fn tags(&self) -> Result<Vec<String>> {
        let place = self.primary();
        let path = format!("/v2/{}/tags/list", place.name);
        list::<Tags>(&place.server, place.errand.clone(), &path).await
    }
}

impl Client {
    /// The repositories of a registry (`host[:port]`), where it tells them.
    pub async fn catalog(&self, registry: &str) -> Result<Vec<String>> {
        let server = self.registry(registry, Use::List)?;
        let errand = Errand { repository: String::new(), scopes: Scopes::catalog() };
        list::<Catalog>(&server, errand, "/v2/_catalog").await
    }
}

/// A kind of list.
trait Kind {
    /// One page as JSON.
    type Page: for<'de> Deserialize<'de>;

    /// Whether `name` belongs into the list.
    fn keeps(name: &str) -> bool;

    /// The names of a page; `None` if it is not a page of such a list.
    fn names(page: Self::Page) -> Option<Names<Self>>
    where
        Self: Sized;
}

struct Tags;
struct Catalog;

#[derive(Deserialize)]
struct TagPage {
    name: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    tags: Option<Names<Tags>>,
}

#[derive(Deserialize)]
struct CatalogPage {
    #[serde(default, deserialize_with = "present")]
    repositories: Option<Names<Catalog>>,
}

impl Kind for Tags {
    type Page = TagPage;

    fn keeps(name: &str) -> bool {
        is_tag(name)
    }

    fn names(page: TagPage) -> Option<Names<Tags>> {
        page.tags.or_else(|| page.name.map(|_| Names::default()))
    }
}

impl Kind for Catalog {
    type Page = CatalogPage;

    fn keeps(name: &str) -> bool {
        Reference::from_parts("registry.invalid", name, None, None).is_ok()
    }

    fn names(page: CatalogPage) -> Option<Names<Catalog>> {
        page.repositories
    }
}

/// Reads a list or `null`, which Go writes for an empty one; absence stays `None`.
fn present<'de, D: Deserializer<'de>, K: Kind>(
    deserializer: D,
) -> std::result::Result<Option<Names<K>>, D::Error> {
    Option::<Names<K>>::deserialize(deserializer).map(|names| Some(names.unwrap_or_default()))
}

/// The names of one page that belong into the list. The others are dropped while they are read, so
/// that a page of nothing else takes no memory.
struct Names<K> {
    kept: Vec<String>,
    /// How many there are on the page, with those that were dropped.
    count: usize,
    kind: PhantomData<K>,
}

impl<K> Default for Names<K> {
    fn default() -> Names<K> {
        Names { kept: Vec::new(), count: 0, kind: PhantomData }
    }
}

impl<'de, K: Kind> Deserialize<'de> for Names<K> {
    fn deserialize<D: Deserializer<'de>>(
        deserializer: D,
    ) -> std::result::Result<Names<K>, D::Error> {
        deserializer.deserialize_seq(Names::default())
    }
}

impl<'de, K: Kind> Visitor<'de> for Names<K> {
    type Value = Names<K>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of names")
    }

    fn visit_seq<A: SeqAccess<'de>>(
        mut self,
        mut names: A,
    ) -> std::result::Result<Names<K>, A::Error> {
        while let Some(name) = names.next_element::<Cow<'de, str>>()? {
            self.count += 1;
            if K::keeps(&name) {
                self.kept.push(name.into_owned());
            }
            if self.kept.len() > MAX_NAMES {
                return Err(de::Error::custom(too_many()));
            }
        }
        Ok(self)
    }
}

fn too_many() -> String {
    format!("the list has more than {MAX_NAMES} names, or more than {MAX_BYTES} bytes of them")
}

/// All names of all pages, each once.
async fn list<K: Kind>(server: &Server, errand: Errand, path: &str) -> Result<Vec<String>> {
    let pages = Pages::new(server, errand, path.to_owned(), "application/json", MAX_PAGE);
    let mut pages = pages.sized(path, PAGE);
    let mut names: Vec<String> = Vec::new();
    let (mut bytes, mut last) = (0, None);
    while let Some(page) = pages.next().await? {
        let invalid = |why: String| Error::caused(ErrorKind::Invalid, page.place.clone(), why);
        let parsed: K::Page =
            serde_json::from_slice(&page.body).map_err(|error| invalid(error.to_string()))?;
        let found = K::names(parsed).ok_or_else(|| invalid("the answer is not a list".into()))?;
        bytes += found.kept.iter().map(String::len).sum::<usize>();
        if names.len() + found.kept.len() > MAX_NAMES || bytes > MAX_BYTES {
            return Err(invalid(too_many()));
        }
        // A full page without a link: the link may have been lost on the way. A registry that
        // ends here says so once more, with an empty page or with this one.
        let end = found.kept.last().filter(|_| found.count == PAGE && !page.has_next);
        if let Some(end) = end.filter(|end| last.as_ref() != Some(*end)) {
            pages.guess(format!("{path}?n={PAGE}&last={}", end.replace('/', "%2F")));
            last = Some(end.clone());
        }
        names.extend(found.kept);
    }
    let mut seen: HashSet<&str> = HashSet::with_capacity(names.len());
    let is_new: Vec<bool> = names.iter().map(|name| seen.insert(name)).collect();
    let mut flags = is_new.into_iter();
    names.retain(|_| flags.next() == Some(true));
    Ok(names)
}
