//! Single files, and the secrets that let in.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::bases::{Remote, run_async};
use super::{GitAccess, GitAddress};
use crate::config::Secret;
use crate::error::{IoContext, Result};
use crate::registry::{FetchedFile, FileRequest, WebAddress};
use crate::sys::{self, Time};

/// Most bytes of a file or a repository from elsewhere, unless a person says otherwise.
pub const MAX_FETCH: u64 = 32 << 30;

/// The mode of a file that came, as with BuildKit.
const MODE: u32 = 0o600;

/// Finds a secret on one line by its ID.
pub type FindSecret<'a> = &'a dyn Fn(&str) -> Result<Option<String>>;

/// Fetches a file to a path that nothing has yet, with the time that its server tells; `None` if
/// the version that is known is still the one.
pub(in crate::build) fn download(
    remote: &Remote,
    request: &FileRequest,
    to: &Path,
) -> Result<Option<FetchedFile>> {
    let writing = || format!("writing {}", to.display());
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create_new(true).mode(MODE).open(to);
    let file = Arc::new(file.doing(writing)?);
    let client = (remote.places)()?.client(&remote.side)?;
    let found = run_async(client.file(request, &file))?;
    if let Some(found) = &found {
        let time = Time { secs: found.validators.modified().unwrap_or(0), nanos: 0 };
        sys::set_mode(&*file, MODE).doing(writing)?;
        sys::set_time(&*file, time).doing(writing)?;
    }
    Ok(found)
}

/// What a server is told of who asks.
pub(in crate::build) fn web_secret(
    address: &WebAddress,
    find: FindSecret<'_>,
) -> Result<Option<Secret>> {
    for host in address.hosts() {
        if let Some(header) = find(&format!("HTTP_AUTH_HEADER_{host}"))? {
            return Ok(Some(Secret::new(header)));
        }
        if let Some(token) = find(&format!("HTTP_AUTH_TOKEN_{host}"))? {
            return Ok(Some(Secret::new(format!("Bearer {token}"))));
        }
    }
    Ok(None)
}

/// What a repository's host is told of who asks: the secrets for this host count before those for
/// all.
pub(in crate::build) fn git_access(
    address: &GitAddress,
    find: FindSecret<'_>,
    agent: Option<PathBuf>,
) -> Result<GitAccess> {
    let remote = WebAddress::parse(&address.remote).ok();
    let hosts = remote.map_or_else(Vec::new, |remote| remote.hosts());
    let ends = hosts.iter().map(|host| format!(".{host}")).chain([String::new()]);
    let mut authorization = None;
    for end in ends {
        if let Some(header) = find(&format!("GIT_AUTH_HEADER{end}"))? {
            authorization = Some(Secret::new(header));
            break;
        }
        if let Some(token) = find(&format!("GIT_AUTH_TOKEN{end}"))? {
            authorization = Some(GitAccess::token(&token));
            break;
        }
    }
    Ok(GitAccess { authorization, agent, own_keys: false })
}
