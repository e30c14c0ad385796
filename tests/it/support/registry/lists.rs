//! Lists: tags, catalog, referrers, with paging by Link.

use serde_json::{Value, json};

use super::super::content::{Descriptor, is_digest};
use super::super::http::{Call, Reply};
use super::{Inner, reply};

impl Inner {
    pub(super) fn tags(&self, call: &Call, name: &str) -> Reply {
        if call.method != "GET" {
            return reply::unsupported(405);
        }
        let state = self.state.lock().expect("state");
        let Some(repository) = state.repositories.get(name) else { return reply::name_unknown() };
        let all: Vec<String> = repository.tags.keys().cloned().collect();
        drop(state);
        page(call, all, self.options.tag_page, |tags| json!({"name": name, "tags": tags}))
    }

    pub(super) fn catalog(&self, call: &Call) -> Reply {
        if call.method != "GET" {
            return reply::unsupported(405);
        }
        let all = self.state.lock().expect("state").repositories.keys().cloned().collect();
        page(call, all, self.options.tag_page, |names| json!({"repositories": names}))
    }

    pub(super) fn referrers(&self, call: &Call, name: &str, subject: &str) -> Reply {
        if !self.options.referrers {
            return Reply::new(404).header("Content-Type", "text/plain").content("not found\n");
        }
        if call.method != "GET" {
            return reply::unsupported(405);
        }
        if !is_digest(subject) {
            return reply::error(400, "DIGEST_INVALID", "provided digest did not match grammar");
        }
        let mut found = self.state.lock().expect("state").referrers(name, subject);
        let wanted = call.query_one("artifactType").filter(|_| self.options.referrers_filter);
        if let Some(wanted) = &wanted {
            found.retain(|one| one.more.get("artifactType") == Some(&json!(wanted)));
        }
        let (shown, next) = self.referrers_page(call, found);
        let media_type = "application/vnd.oci.image.index.v1+json";
        let shown: Vec<Value> = shown.iter().map(Descriptor::json).collect();
        let body = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": shown});
        let mut reply = Reply::new(200).json(&body);
        reply.set_header("Content-Type", media_type);
        if wanted.is_some() {
            reply.set_header("OCI-Filters-Applied", "artifactType");
        }
        if let Some(next) = next {
            let filter = wanted.map(|wanted| format!("&artifactType={}", percent_encode(&wanted)));
            let filter = filter.unwrap_or_default();
            let link =
                format!("</v2/{name}/referrers/{subject}?last={next}{filter}>; rel=\"next\"");
            reply.set_header("Link", &link);
        }
        reply
    }

    fn referrers_page(
        &self,
        call: &Call,
        mut all: Vec<Descriptor>,
    ) -> (Vec<Descriptor>, Option<String>) {
        if let Some(last) = call.query_one("last") {
            all.retain(|one| one.digest > last);
        }
        let Some(size) = self.options.referrers_page.filter(|size| *size < all.len()) else {
            return (all, None);
        };
        all.truncate(size);
        let next = all.last().map(|last| last.digest.clone());
        (all, next)
    }
}

/// One page of a sorted list: `n` and `last` of the request, at most `most` at a time.
fn page(
    call: &Call,
    all: Vec<String>,
    most: Option<usize>,
    body: impl FnOnce(&[String]) -> Value,
) -> Reply {
    let asked = match call.query_one("n").map(|n| n.parse::<usize>()) {
        Some(Err(_)) => {
            return reply::error(400, "PAGINATION_NUMBER_INVALID", "n is not a number");
        }
        Some(Ok(n)) => Some(n),
        None => None,
    };
    let last = call.query_one("last").unwrap_or_default();
    let rest: Vec<String> = all.into_iter().filter(|one| *one > last).collect();
    let size = asked.into_iter().chain(most).min().unwrap_or(rest.len());
    let shown = &rest[..size.min(rest.len())];
    let mut reply = Reply::new(200).json(&body(shown));
    if let Some(end) = shown.last().filter(|_| shown.len() < rest.len()) {
        let link = format!("<{}?n={size}&last={end}>; rel=\"next\"", call.path);
        reply.set_header("Link", &link);
    }
    reply
}

/// Percent-encodes everything but unreserved characters.
pub fn percent_encode(text: &str) -> String {
    let keep = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    let encode = |b: u8| if keep(b) { char::from(b).to_string() } else { format!("%{b:02X}") };
    text.bytes().map(encode).collect()
}
