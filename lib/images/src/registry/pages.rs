//! Lists that come in pages (RFC 8288 `Link` headers with `rel="next"`).
//!
//! Promise: the next page is asked of the registry itself, whatever its link says; a list ends
//! after a bounded number of pages, and a page that was seen before is an error.

use std::collections::HashSet;

use http::Method;
use reqwest::Url;

use super::address::same_host;
use super::auth::Errand;
use super::exchange::Answer;
use super::failure::clean;
use super::server::{Call, Server, Target};
use crate::error::{Error, ErrorKind, Result};

/// Most pages of one list.
const MAX_PAGES: usize = 1000;
/// Largest page.
const MAX_PAGE: u64 = 8 << 20;

/// A list that is being read.
pub(super) struct Pages<'a> {
    server: &'a Server,
    errand: Errand,
    accept: &'static str,
    next: Option<String>,
    seen: HashSet<String>,
}

/// One page.
pub(super) struct Page {
    /// `GET https://…`.
    pub(super) place: String,
    pub(super) body: bytes::Bytes,
}

impl<'a> Pages<'a> {
    /// The list that begins at `path`.
    pub(super) fn new(
        server: &'a Server,
        errand: Errand,
        path: String,
        accept: &'static str,
    ) -> Pages<'a> {
        Pages { server, errand, accept, next: Some(path), seen: HashSet::new() }
    }

    /// The next page, if there is one.
    pub(super) async fn next(&mut self) -> Result<Option<Page>> {
        let Some(path) = self.next.take() else { return Ok(None) };
        let call = Call::new(Method::GET, Target::Path(path.clone()), self.errand.clone(), &[200])
            .header(http::header::ACCEPT, self.accept);
        let answer = self.server.send(&call).await?;
        let place = answer.place.clone();
        self.seen.insert(path);
        self.next = next_path(&answer)?;
        if let Some(next) = &self.next
            && (self.seen.contains(next) || self.seen.len() >= MAX_PAGES)
        {
            let why = if self.seen.contains(next) {
                "the list leads back to a page that was read already".to_owned()
            } else {
                format!("the list has more than {MAX_PAGES} pages")
            };
            return Err(Error::caused(ErrorKind::Invalid, place, why));
        }
        let body = answer.bytes(MAX_PAGE).await.map_err(|failure| failure.error)?;
        Ok(Some(Page { place, body }))
    }
}

/// Path and query of the next page.
fn next_path(answer: &Answer) -> Result<Option<String>> {
    for header in answer.headers("link") {
        if let Some(target) = parse_link(header) {
            let next = resolve_next(&answer.url, target);
            return next.map(Some).map_err(|error| error.while_doing(answer.place.clone()));
        }
    }
    Ok(None)
}

/// Behind proxies servers often err about scheme and port, so of those the registry's own count;
/// another host is never asked.
fn resolve_next(asked: &Url, target: &str) -> Result<String> {
    let refuse = |why: &str| {
        Error::invalid(format!("the link to the next page {:?} {why}", clean(target, 200)))
    };
    let url = asked.join(target).map_err(|_| refuse("is no URL"))?;
    if !same_host(asked, &url) {
        return Err(refuse("leads to another host"));
    }
    if !url.path().starts_with("/v2/") {
        return Err(refuse("leads out of the registry's API"));
    }
    Ok(match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    })
}

/// The target of the link whose relation is `next`, if a header has one.
fn parse_link(header: &str) -> Option<&str> {
    let mut rest = header;
    loop {
        let (target, after) = rest.split_once('<')?.1.split_once('>')?;
        // Commas separate links, but may stand in a target: so the next `<` ends the parameters.
        let end = after.find('<').unwrap_or(after.len());
        let is_next = after[..end].split([';', ',']).any(|parameter| {
            parameter.split_once('=').is_some_and(|(name, value)| {
                name.trim().eq_ignore_ascii_case("rel") && value.trim().trim_matches('"') == "next"
            })
        });
        if is_next {
            return Some(target);
        }
        rest = &after[end..];
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn links() {
        for (header, target) in [
            (r#"</v2/_catalog?n=1&last=a>; rel="next""#, Some("/v2/_catalog?n=1&last=a")),
            ("<x>;rel=next", Some("x")),
            (r#"<a>; rel="prev", <b,c>; title=t; rel="next""#, Some("b,c")),
            (r#"<a>; rel="prev""#, None),
            ("", None),
            ("<a", None),
        ] {
            assert_eq!(parse_link(header), target, "{header}");
        }
    }

    #[test]
    fn the_next_page_is_at_the_registry() {
        let asked = Url::parse("https://r.example/v2/a/tags/list").unwrap();
        for (target, path) in [
            ("/v2/a/tags/list?last=x%2Fy", Some("/v2/a/tags/list?last=x%2Fy")),
            ("list?n=2", Some("/v2/a/tags/list?n=2")),
            ("http://r.example:8080/v2/a/tags/list?n=2", Some("/v2/a/tags/list?n=2")),
            ("https://evil.example/v2/a/tags/list", None),
            ("//evil.example/v2/", None),
            ("/logout", None),
            ("file:///v2/", None),
        ] {
            assert_eq!(resolve_next(&asked, target).ok().as_deref(), path, "{target}");
        }
    }
}
