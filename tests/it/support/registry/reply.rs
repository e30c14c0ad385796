//! Answers that registries give, and names that they accept.

use serde_json::{Value, json};

use super::super::http::Reply;

pub(super) fn error_body(code: &str, message: &str) -> Value {
    json!({"errors": [{"code": code, "message": message}]})
}

pub(super) fn error(status: u16, code: &str, message: &str) -> Reply {
    Reply::new(status).json(&error_body(code, message))
}

pub(super) fn blob_unknown() -> Reply {
    error(404, "BLOB_UNKNOWN", "blob unknown to registry")
}

pub(super) fn manifest_unknown(what: &str) -> Reply {
    error(404, "MANIFEST_UNKNOWN", &format!("manifest unknown: {what}"))
}

pub(super) fn name_unknown() -> Reply {
    error(404, "NAME_UNKNOWN", "repository name not known to registry")
}

pub(super) fn upload_unknown() -> Reply {
    error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
}

pub(super) fn unsupported(status: u16) -> Reply {
    error(status, "UNSUPPORTED", "the operation is unsupported")
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/…)*`
pub(super) fn is_repository(name: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let is_part = |part: &str| {
        let bytes = part.as_bytes();
        let ends = bytes.first().zip(bytes.last());
        let separators = part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        ends.is_some_and(|(first, last)| is_word(*first) && is_word(*last))
            && separators.into_iter().all(|separator| {
                matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-')
            })
    };
    name.len() <= 255 && name.split('/').all(is_part)
}

/// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`
pub(super) fn is_tag(tag: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let bytes = tag.as_bytes();
    bytes.len() <= 128
        && bytes.first().is_some_and(|b| is_word(*b))
        && bytes.iter().all(|b| is_word(*b) || matches!(b, b'.' | b'-'))
}
