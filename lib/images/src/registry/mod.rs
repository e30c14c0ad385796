//! Registries: a client of the OCI distribution protocol.
//!
//! Owns requests, authentication, retries, resumption and everything known of a registry during a
//! job. Uses `config` for what people have set up, `blob` for content, `spec` for names and
//! manifests. Promises: credentials go only where they belong; whatever is asked for by digest is
//! verified or handed out with its check; every request, answer, pause and list is bounded; no
//! request is made that is not needed. Does not know what is being copied, or why.
//!
//! From the outside in: [`Client`] → [`Repository`] (`manifests`, `blobs`, `upload`, `pieces`,
//! `lists`, `referrers`) → `server` (the door, who we are, patience) → `exchange` (one request
//! along redirects) → `wire` (connections).

mod address;
mod auth;
mod blobs;
mod body;
mod challenge;
mod client;
mod exchange;
mod failure;
mod file;
mod gate;
mod journal;
mod lists;
mod login;
mod manifests;
mod options;
mod pages;
mod pieces;
mod referrers;
mod repository;
mod resolve;
mod retry;
mod scope;
mod server;
#[cfg(test)]
pub(crate) mod tests;
mod tls;
mod token;
mod upload;
mod wire;

pub use client::Client;
pub use file::percent_decoded;
pub use file::{FetchedFile, FileRequest, Validators, WebAddress};
pub use manifests::Deletion;
pub use options::{
    Access, ClientOptions, FindCertificates, FindCredential, FindEndpoints, Timeouts,
};
pub use repository::Repository;
pub use upload::{Mount, UploadSession};
