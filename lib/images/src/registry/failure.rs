//! What a failed request means: its kind, what a person reads, and whether asking again may help.
//!
//! Owns the reading of error bodies (distribution spec, "Error codes") and of transport errors.
//! Promise: whatever a server sends, the message is one line of bounded length without control
//! characters, and shows no query string, no user info and none of the secrets that were sent.

use std::error::Error as StdError;
use std::time::Duration;

use http::{Method, StatusCode};
use reqwest::Url;
use serde_json::Value;

use crate::error::{Error, ErrorKind};

/// Most bytes of an error body that are read.
pub(super) const MAX_BODY: u64 = 64 << 10;
/// Most characters of an error body that are shown.
const MAX_SHOWN: usize = 4 << 10;
/// Most errors of one body that are shown.
const MAX_ERRORS: usize = 8;

/// A request that failed.
#[derive(Debug)]
pub(super) struct Failure {
    /// What to report, with method and URL.
    pub(super) error: Error,
    /// Whether it may work later.
    pub(super) retry: Retry,
    /// Whether the other side answered in HTTP at all.
    pub(super) heard: bool,
}

/// Whether asking again may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    /// No: the answer would be the same.
    Never,
    /// Yes, after a pause of our choice.
    Later,
    /// Yes, and the server has too much to do: ask less often.
    Throttled {
        /// How long it wants to be left alone.
        after: Option<Duration>,
    },
}

impl Failure {
    /// A failure that repetition does not cure.
    pub(super) fn lasting(error: Error) -> Failure {
        Failure { error, retry: Retry::Never, heard: true }
    }

    /// The error to report after `attempts` of them.
    pub(super) fn given_up(self, attempts: u32) -> Error {
        match attempts {
            0 | 1 => self.error,
            _ => self.error.while_doing(format!("giving up after {attempts} attempts")),
        }
    }

    /// A failure of the network or of a server's moment.
    pub(super) fn passing(place: String, why: &str) -> Failure {
        let error = Error::caused(ErrorKind::Unavailable, place, why.to_owned());
        Failure { error, retry: Retry::Later, heard: false }
    }

    /// The same failure, seen from a larger action.
    pub(super) fn while_doing(self, doing: String) -> Failure {
        Failure { error: self.error.while_doing(doing), ..self }
    }
}

/// `GET https://host/path`, safe to show.
pub(super) fn place(method: &Method, url: &Url) -> String {
    format!("{method} {}", shown(url))
}

/// A URL without user info, query and fragment.
pub(super) fn shown(url: &Url) -> String {
    clean(&format!("{}{}", url.origin().ascii_serialization(), url.path()), 1024)
}

/// One line of at most `limit` characters, with control characters escaped.
pub(super) fn clean(text: &str, limit: usize) -> String {
    let mut out = String::new();
    for (count, character) in text.trim().chars().enumerate() {
        if count == limit {
            out.push('…');
            break;
        }
        // Besides control characters: those that turn the direction of text around.
        let harmful = character.is_control()
            || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        match character {
            '\n' | '\r' | '\t' => out.push(' '),
            _ if harmful => out.extend(character.escape_unicode()),
            _ => out.push(character),
        }
    }
    out
}

/// What a server said with an error status.
pub(super) struct Refusal<'a> {
    /// `GET https://…`.
    pub(super) place: String,
    /// The status.
    pub(super) status: StatusCode,
    /// How long it wants to be left alone.
    pub(super) retry_after: Option<Duration>,
    /// The (cut) body.
    pub(super) body: &'a [u8],
    /// What must not be shown, should the server echo it.
    pub(super) secrets: &'a [String],
}

impl Refusal<'_> {
    /// The failure it amounts to.
    pub(super) fn into_failure(self) -> Failure {
        let said = parse_body(self.body);
        let kind = kind(self.status, &said);
        let mut text = format!("{} {}", self.status.as_u16(), reason(self.status));
        for one in said.iter().take(MAX_ERRORS) {
            let mut part = one.text();
            for secret in self.secrets.iter().filter(|secret| secret.len() >= 4) {
                part = part.replace(secret.as_str(), "[redacted]");
            }
            let part = clean(&part, MAX_SHOWN);
            if !part.is_empty() {
                text.push_str(": ");
                text.push_str(&part);
            }
        }
        let throttled = self.status == StatusCode::TOO_MANY_REQUESTS
            || said.iter().any(|one| one.code == "TOOMANYREQUESTS");
        let transient = is_transient(self.status) || throttled;
        if throttled {
            text.push_str(" (rate limit)");
        }
        let retry = match (throttled, transient) {
            (true, _) => Retry::Throttled { after: self.retry_after },
            // A busy server names its pause with 503 as well.
            (_, true) if self.retry_after.is_some() => Retry::Throttled { after: self.retry_after },
            (_, true) => Retry::Later,
            _ => Retry::Never,
        };
        Failure { error: Error::caused(kind, self.place, text), retry, heard: true }
    }
}

fn reason(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("unknown status")
}

/// Whether the same request may be answered differently a moment later.
fn is_transient(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429) || (status.is_server_error() && status.as_u16() != 501)
}

fn kind(status: StatusCode, said: &[Said]) -> ErrorKind {
    let says = |codes: &[&str]| said.iter().any(|one| codes.contains(&one.code.as_str()));
    match status.as_u16() {
        401 => ErrorKind::Unauthorized,
        _ if is_transient(status) || says(&["TOOMANYREQUESTS"]) => ErrorKind::Unavailable,
        403 => ErrorKind::Denied,
        _ if says(&["MANIFEST_UNKNOWN", "BLOB_UNKNOWN", "NAME_UNKNOWN", "NOT_FOUND"]) => {
            ErrorKind::NotFound
        }
        _ if says(&["UNSUPPORTED"]) => ErrorKind::Unsupported,
        _ if says(&["UNAUTHORIZED"]) => ErrorKind::Unauthorized,
        _ if says(&["DENIED"]) => ErrorKind::Denied,
        404 | 410 => ErrorKind::NotFound,
        405 | 501 => ErrorKind::Unsupported,
        400 | 409 | 413 | 422 => ErrorKind::Invalid,
        _ => ErrorKind::Failed,
    }
}

/// One error of a body.
#[derive(Debug, Default, PartialEq)]
struct Said {
    code: String,
    message: String,
    detail: String,
}

impl Said {
    fn text(&self) -> String {
        let parts = [&self.code, &self.message, &self.detail];
        let parts: Vec<_> =
            parts.into_iter().filter(|part| !part.is_empty()).map(String::as_str).collect();
        parts.join(": ")
    }
}

/// Reads `{"errors": […]}`, its relatives, or a line of plain text.
fn parse_body(body: &[u8]) -> Vec<Said> {
    let Ok(document) = serde_json::from_slice::<Value>(body) else {
        let text = String::from_utf8_lossy(body);
        let is_page = text.trim_start().starts_with('<');
        let message = if is_page { String::new() } else { text.into_owned() };
        return vec![Said { message, ..Said::default() }];
    };
    match document.get("errors").and_then(Value::as_array) {
        Some(errors) => errors.iter().map(read_error).collect(),
        None => vec![read_error(&document)],
    }
}

fn read_error(error: &Value) -> Said {
    let text = |keys: &[&str]| {
        keys.iter().find_map(|key| error.get(key)?.as_str()).unwrap_or_default().to_owned()
    };
    let detail = match error.get("detail") {
        Some(Value::String(text)) => text.clone(),
        Some(detail @ (Value::Object(_) | Value::Array(_))) => detail.to_string(),
        _ => String::new(),
    };
    Said {
        code: text(&["code", "error"]),
        message: text(&["message", "error_description", "details"]),
        detail: clean(&detail, 300),
    }
}

/// What a request that got no answer failed of.
pub(super) fn unanswered(place: String, error: reqwest::Error) -> Failure {
    // The innermost cause says what happened; the layers around it only repeat who asked.
    let mut cause: &(dyn StdError + 'static) = &error;
    while let Some(next) = cause.source() {
        if let Some(ours) = next.downcast_ref::<Error>() {
            let text = ours.chain();
            return Failure::lasting(Error::caused(ours.kind(), place, text));
        }
        cause = next;
    }
    let text = clean(&cause.to_string(), 500);
    if let Some(tls) = tls_error(&error) {
        let hint = match tls {
            rustls::Error::InvalidMessage(_) => ": the server speaks http, not https",
            _ => "",
        };
        let error =
            Error::caused(ErrorKind::Failed, place, format!("no secure connection: {text}{hint}"));
        return Failure { heard: false, ..Failure::lasting(error) };
    }
    let what = match () {
        () if error.is_builder() => {
            return Failure::lasting(Error::caused(ErrorKind::Failed, place, text));
        }
        () if error.is_timeout() => "timed out",
        () if error.is_connect() => "cannot connect",
        () => "the connection broke",
    };
    Failure::passing(place, &format!("{what}: {text}"))
}

fn tls_error(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut next = error.source();
    while let Some(cause) = next {
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        // An `io::Error` names as its source not the error that it wraps but that one's source.
        let wrapped = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => cause.source(),
        };
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn refusal(status: u16, body: &str) -> Failure {
        let secrets = ["s3cr3t-token".to_owned()];
        Refusal {
            place: "GET https://r/v2/a".to_owned(),
            status: StatusCode::from_u16(status).unwrap(),
            retry_after: None,
            body: body.as_bytes(),
            secrets: &secrets,
        }
        .into_failure()
    }

    #[test]
    fn kinds_follow_status_and_codes() {
        let unknown = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
        let blob = r#"{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown","detail":{"digest":"sha256:ab"}}]}"#;
        for (status, body, kind, text) in [
            (
                404,
                unknown,
                ErrorKind::NotFound,
                "404 Not Found: MANIFEST_UNKNOWN: manifest unknown",
            ),
            (
                400,
                unknown,
                ErrorKind::NotFound,
                "400 Bad Request: MANIFEST_UNKNOWN: manifest unknown",
            ),
            (404, "", ErrorKind::NotFound, "404 Not Found"),
            (404, "<html>lost</html>", ErrorKind::NotFound, "404 Not Found"),
            (401, "{}", ErrorKind::Unauthorized, "401 Unauthorized"),
            (403, "no\r\n", ErrorKind::Denied, "403 Forbidden: no"),
            (500, "[1", ErrorKind::Unavailable, "500 Internal Server Error: [1"),
            (501, "", ErrorKind::Unsupported, "501 Not Implemented"),
            (521, "", ErrorKind::Unavailable, "521 unknown status"),
            (413, "", ErrorKind::Invalid, "413 Payload Too Large"),
            (
                400,
                blob,
                ErrorKind::Invalid,
                "400 Bad Request: MANIFEST_BLOB_UNKNOWN: blob unknown: {\"digest\":\"sha256:ab\"}",
            ),
            (429, "{}", ErrorKind::Unavailable, "429 Too Many Requests (rate limit)"),
        ] {
            let failure = refusal(status, body);
            assert_eq!(failure.error.kind(), kind, "{status} {body}");
            assert_eq!(failure.error.chain(), format!("GET https://r/v2/a: {text}"));
        }
    }

    #[test]
    fn only_passing_troubles_are_retried() {
        for status in [408, 500, 502, 503, 504, 521] {
            assert_eq!(refusal(status, "").retry, Retry::Later, "{status}");
        }
        for status in [400, 401, 403, 404, 405, 413, 416, 501] {
            assert_eq!(refusal(status, "").retry, Retry::Never, "{status}");
        }
        assert_eq!(refusal(429, "").retry, Retry::Throttled { after: None });
    }

    #[test]
    fn hostile_bodies_are_cut_escaped_and_redacted() {
        let evil = "a\u{1b}[31m\u{202e}b s3cr3t-token \u{7}".to_owned() + &"x".repeat(10_000);
        let body = serde_json::json!({"errors":[{"code":"X","message":evil}]}).to_string();
        let text = refusal(400, &body).error.chain();
        assert!(text.contains("X: a\\u{1b}[31m\\u{202e}b [redacted] \\u{7}xxx"), "{text}");
        assert!(text.ends_with('…') && text.chars().count() < MAX_SHOWN + 100);
    }

    #[test]
    fn urls_are_shown_without_secrets() {
        let url = Url::parse("https://user:pass@h.io:444/v2/x?sig=secret#y").unwrap();
        assert_eq!(place(&Method::PUT, &url), "PUT https://h.io:444/v2/x");
    }
}
