//! Lists that come in pages (RFC 8288 `Link` headers with `rel="next"`).
//!
//! Promise: the next page is asked of the registry itself, whatever its link says; a list ends
//! after a bounded number of pages and bytes, and a page that was seen before is an error. What
//! cannot be followed is an error too: half a list is worse than none.

use std::collections::HashSet;

use http::Method;
use http::header::LINK;
use reqwest::Url;

use super::auth::Errand;
use super::exchange::Answer;
use super::failure::clean;
use super::server::{Call, LOOK, Server, Target};
use crate::error::{Error, ErrorKind, Result};

/// Most pages of one list.
const MAX_PAGES: usize = 10_000;

/// A list that is being read.
pub(super) struct Pages<'a> {
    server: &'a Server,
    errand: Errand,
    accept: &'static str,
    /// Largest page in bytes.
    limit: u64,
    next: Option<Next>,
    seen: HashSet<String>,
}

/// What to ask for next.
enum Next {
    /// This page.
    Page(String),
    /// The first page in a size of our choice, or as the registry likes where it refuses that.
    First { sized: String, plain: String },
    /// A page that no link has named: none is there if it is refused.
    Guess(String),
}

/// One page.
pub(super) struct Page {
    /// `GET https://…`.
    pub(super) place: String,
    pub(super) body: bytes::Bytes,
    /// Whether a link names a further one.
    pub(super) has_next: bool,
}

impl<'a> Pages<'a> {
    /// The list that begins at `path`, in pages of at most `limit` bytes.
    pub(super) fn new(
        server: &'a Server,
        errand: Errand,
        path: String,
        accept: &'static str,
        limit: u64,
    ) -> Pages<'a> {
        let next = Some(Next::Page(path));
        Pages { server, errand, accept, limit, next, seen: HashSet::new() }
    }

    /// The same, asked for in pages of `count` entries where the registry allows that.
    pub(super) fn sized(self, path: &str, count: usize) -> Pages<'a> {
        let next = Next::First { sized: format!("{path}?n={count}"), plain: path.to_owned() };
        Pages { next: Some(next), ..self }
    }

    /// Goes on with a page that no link has named, if the registry has one.
    pub(super) fn guess(&mut self, path: String) {
        if !self.seen.contains(&path) {
            self.next = Some(Next::Guess(path));
        }
    }

    /// The next page, if there is one.
    pub(super) async fn next(&mut self) -> Result<Option<Page>> {
        let (path, answer) = match self.next.take() {
            None => return Ok(None),
            Some(Next::Page(path)) => (path.clone(), self.ask(path, &[200]).await?),
            Some(Next::First { sized, plain }) => match self.ask(sized.clone(), LOOK).await? {
                answer if answer.status() == http::StatusCode::OK => (sized, answer),
                refused => {
                    refused.drain().await;
                    (plain.clone(), self.ask(plain, &[200]).await?)
                }
            },
            Some(Next::Guess(path)) => match self.ask(path.clone(), LOOK).await? {
                answer if answer.status() == http::StatusCode::OK => (path, answer),
                _ => return Ok(None),
            },
        };
        let answer = answer.data()?;
        let place = answer.place.clone();
        let next = next_path(&answer)?;
        self.seen.insert(path);
        if let Some(next) = &next
            && (self.seen.contains(next) || self.seen.len() >= MAX_PAGES)
        {
            let why = if self.seen.contains(next) {
                "the list leads back to a page that was read already".to_owned()
            } else {
                format!("the list has more than {MAX_PAGES} pages")
            };
            return Err(Error::caused(ErrorKind::Invalid, place, why));
        }
        let has_next = next.is_some();
        self.next = next.map(Next::Page);
        let body = answer.bytes(self.limit).await.map_err(|failure| failure.error)?;
        Ok(Some(Page { place, body, has_next }))
    }

    async fn ask(&self, path: String, expected: &'static [u16]) -> Result<Answer> {
        let call = Call::new(Method::GET, Target::Path(path), self.errand.clone(), expected);
        self.server.send(&call.header(http::header::ACCEPT, self.accept)).await
    }
}

/// Path and query of the next page.
fn next_path(answer: &Answer) -> Result<Option<String>> {
    let headers = answer.raw_headers(LINK.as_str());
    let headers: Vec<_> = headers.map(String::from_utf8_lossy).collect();
    match find_next(headers.iter().map(AsRef::as_ref)) {
        None => Ok(None),
        Some(target) => resolve_next(&answer.url, &target)
            .map(Some)
            .map_err(|error| error.while_doing(answer.place.clone())),
    }
}

/// Servers behind proxies often err about their scheme, host, port and path, so only what follows
/// the API's own path counts of a link; it is asked of the registry at its own address.
fn resolve_next(asked: &Url, target: &str) -> Result<String> {
    let refuse = |why: &str| {
        let target = clean(target, 200);
        Err(Error::invalid(format!("cannot follow the link to the next page {target:?}: {why}")))
    };
    let url = match asked.join(target) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => url,
        _ => return refuse("not an http or https URL"),
    };
    // The API may lie below another path where the link was made.
    let path = match url.path().find("/v2/") {
        Some(start) => &url.path()[start..],
        None => return refuse("not a path of the registry API"),
    };
    let is_same_list = path.rsplit('/').next() == asked.path().rsplit('/').next();
    if !is_same_list {
        return refuse("not a page of the same list");
    }
    Ok(match url.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    })
}

/// The target of the link to the next page, if there is one: that with the relation `next`, in
/// whatever spelling, or the only one that does not say what it is for.
fn find_next<'a>(headers: impl Iterator<Item = &'a str>) -> Option<String> {
    let links: Vec<Link<'_>> = headers.flat_map(parse_links).collect();
    let named = links.iter().find(|link| {
        let relations = link.relations.iter().flat_map(|rel| rel.split_ascii_whitespace());
        relations.into_iter().any(|relation| relation.eq_ignore_ascii_case("next"))
    });
    let unnamed = || match links.as_slice() {
        [only] if only.relations.is_empty() => Some(only),
        _ => None,
    };
    named.or_else(unnamed).map(|link| link.target.trim().to_owned())
}

#[derive(Debug, PartialEq)]
struct Link<'a> {
    target: &'a str,
    /// The values of `rel`, unquoted.
    relations: Vec<&'a str>,
}

fn parse_links(header: &str) -> Vec<Link<'_>> {
    let mut links = Vec::new();
    let mut rest = header;
    while let Some((_, link)) = rest.split_once('<') {
        let Some((target, after)) = link.split_once('>') else { break };
        // Commas separate links, but may stand in a target: so the next `<` ends the parameters.
        let end = after.find('<').unwrap_or(after.len());
        links.push(Link { target, relations: relations(&after[..end]) });
        rest = &after[end..];
    }
    // Some leave the brackets out.
    if links.is_empty() && !header.trim().is_empty() && !header.contains('<') {
        let (target, after) = header.split_once(';').unwrap_or((header, ""));
        links.push(Link { target, relations: relations(after) });
    }
    links
}

fn relations(parameters: &str) -> Vec<&str> {
    let parameters = parameters.split([';', ',']).filter_map(|one| one.split_once('='));
    let of_kind = parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("rel"));
    of_kind.map(|(_, value)| value.trim().trim_matches(['"', '\''])).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn links() {
        for (headers, target) in [
            (&[r#"</v2/_catalog?n=1&last=a>; rel="next""#][..], Some("/v2/_catalog?n=1&last=a")),
            (&["<x>;rel=next"], Some("x")),
            (&["<x>; rel='next'"], Some("x")),
            (&[r#"<x>; REL = "Next""#], Some("x")),
            (&[r#"<x>; rel="last next""#], Some("x")),
            (&[r#"<x>; title="a"; rel=next; type=y"#], Some("x")),
            (&[r#"<a>; rel="prev", <b,c>; title=t; rel="next""#], Some("b,c")),
            (&[r#"<a>; rel="first""#, r#"<b>; rel="next""#], Some("b")),
            (&["<x>"], Some("x")),
            (&["< x >; title=page"], Some("x")),
            (&["/v2/a/tags/list?last=x; rel=next"], Some("/v2/a/tags/list?last=x")),
            (&["/v2/a/tags/list?last=x"], Some("/v2/a/tags/list?last=x")),
            (&["<a>", "<b>"], None),
            (&[r#"<a>; rel="prev""#], None),
            (&[r#"<a>; rel="nextish""#], None),
            (&["rel=next"], Some("rel=next")),
            (&[""], None),
            (&["<a"], None),
            (&[], None),
        ] {
            assert_eq!(find_next(headers.iter().copied()).as_deref(), target, "{headers:?}");
        }
    }

    #[test]
    fn the_next_page_is_at_the_registry() {
        let asked = Url::parse("https://r.example/v2/a/tags/list").unwrap();
        for (target, path) in [
            ("/v2/a/tags/list?last=x%2Fy", Some("/v2/a/tags/list?last=x%2Fy")),
            ("list?n=2", Some("/v2/a/tags/list?n=2")),
            ("?n=2&last=b", Some("/v2/a/tags/list?n=2&last=b")),
            ("http://r.example:8080/v2/a/tags/list?n=2", Some("/v2/a/tags/list?n=2")),
            ("https://inner.invalid/v2/a/tags/list?last=x", Some("/v2/a/tags/list?last=x")),
            ("//inner.invalid/v2/a/tags/list", Some("/v2/a/tags/list")),
            ("/artifactory/api/docker/local/v2/a/tags/list?last=x", Some("/v2/a/tags/list?last=x")),
            ("/v2/b/tags/list?last=x", Some("/v2/b/tags/list?last=x")),
            ("/v2/", None),
            ("/v2/a/manifests/1", None),
            ("/logout", None),
            ("file:///v2/a/tags/list", None),
            ("http://", None),
        ] {
            assert_eq!(resolve_next(&asked, target).ok().as_deref(), path, "{target}");
        }
    }
}
