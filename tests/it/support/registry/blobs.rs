//! Blobs: reading whole and in ranges, asking, deleting.

use super::super::http::{Call, Reply};
use super::super::log::Kind;
use super::fault::Fault;
use super::{Inner, reply};

impl Inner {
    pub(super) fn blob(&self, call: &Call, name: &str, digest: &str, faults: &[Fault]) -> Reply {
        if !super::super::content::is_digest(digest) {
            return reply::error(400, "DIGEST_INVALID", "provided digest did not match grammar");
        }
        match call.method.as_str() {
            "GET" | "HEAD" => self.read_blob(call, name, digest, faults),
            "DELETE" if self.options.delete => self.delete_blob(name, digest),
            _ => reply::unsupported(405),
        }
    }

    fn read_blob(&self, call: &Call, name: &str, digest: &str, faults: &[Fault]) -> Reply {
        let state = self.state.lock().expect("state");
        if !state.repositories.contains_key(name) {
            return reply::name_unknown();
        }
        let Some(content) = state.blob(name, digest) else { return reply::blob_unknown() };
        drop(state);
        let size = content.size();
        let head = |status| {
            Reply::new(status)
                .header("Content-Type", "application/octet-stream")
                .header("Docker-Content-Digest", digest)
                .header("ETag", format!("\"{digest}\""))
                .header("Accept-Ranges", "bytes")
        };
        let range = call.header("range").filter(|_| self.options.ranges);
        let mut reply = match range.map_or(Range::None, |range| Range::parse(range, size)) {
            Range::Part(start, end) if !faults.iter().any(|f| matches!(f, Fault::IgnoreRange)) => {
                head(206).header("Content-Range", format!("bytes {start}-{end}/{size}")).part(
                    content,
                    start,
                    end - start + 1,
                )
            }
            Range::Outside => reply::error(416, "RANGE_INVALID", "range outside of the blob")
                .header("Content-Range", format!("bytes */{size}")),
            _ => head(200).content(content),
        };
        if call.method == "GET" {
            reply.in_flight = Some(self.log.enter(Kind::Blob));
        }
        reply
    }

    fn delete_blob(&self, name: &str, digest: &str) -> Reply {
        let mut state = self.state.lock().expect("state");
        let Some(repository) = state.repositories.get_mut(name) else {
            return reply::name_unknown();
        };
        match repository.blobs.remove(digest) {
            true => Reply::new(202),
            false => reply::blob_unknown(),
        }
    }
}

/// What a Range header asks for; several ranges at once are not supported and count as none.
enum Range {
    None,
    /// First and last byte.
    Part(u64, u64),
    Outside,
}

impl Range {
    fn parse(header: &str, size: u64) -> Range {
        let Some(range) = header.strip_prefix("bytes=") else { return Range::None };
        let Some((first, last)) = range.split_once('-') else { return Range::None };
        match (first.parse::<u64>(), last.parse::<u64>()) {
            (Ok(first), Ok(last)) if first <= last && first < size => {
                Range::Part(first, last.min(size - 1))
            }
            (Ok(first), Err(_)) if last.is_empty() && first < size => Range::Part(first, size - 1),
            (Ok(_), Ok(_)) => Range::Outside,
            (Ok(_), Err(_)) if last.is_empty() => Range::Outside,
            (Err(_), Ok(tail)) if first.is_empty() && tail > 0 && size > 0 => {
                Range::Part(size.saturating_sub(tail), size - 1)
            }
            _ => Range::None,
        }
    }
}
