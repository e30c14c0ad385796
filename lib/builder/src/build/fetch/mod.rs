//! What builds take from elsewhere: files of the web and git repositories.
//!
//! Owns the addresses that people write ([`GitAddress`]) and how git is called ([`Git`]); single
//! files come through `registry`, which owns HTTP. Promise: git runs with nothing of a person's
//! configuration, asks nobody, runs no hook and speaks no protocol but http(s), ssh and its own;
//! secrets appear in no argument, message or file. Does not know steps or caches.

mod address;
mod context;
mod git;
mod tidy;
mod watch;
mod web;

pub use address::GitAddress;
pub use context::{ContextAddress, ContextContent, ContextFetch, FetchedContext};
pub(in crate::build) use git::expect;
pub use git::{Commit, Git, GitAccess, GitSettings};
pub use web::FindSecret;
pub use web::MAX_FETCH;
pub(in crate::build) use web::{download, git_access, web_secret};
