//! Contexts that are elsewhere.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::PathBuf;

use super::super::bases::Remote;
use super::super::context::{START, below, is_archive, unpack};
use super::super::dockerfile::MAX_FILE;
use super::web::{FindSecret, download, git_access, web_secret};
use super::{Git, GitAccess, GitAddress};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::registry::{FileRequest, Validators, WebAddress};
use crate::spec::Algorithm;
use crate::store::Writer;

/// Where a context is that is not here.
#[derive(Clone, Debug)]
pub enum ContextAddress {
    /// The files of a commit.
    Git(Box<GitAddress>),
    /// An archive, or a Dockerfile alone.
    Web(WebAddress),
}

/// A context that came.
#[derive(Debug)]
pub struct FetchedContext {
    /// What it is.
    pub content: ContextContent,
    /// The time of its commit, or of its last change by its server, in seconds since 1970.
    pub time: Option<i64>,
}

/// What a context is.
#[derive(Debug)]
pub enum ContextContent {
    /// A directory, which goes with the writer.
    Directory(PathBuf),
    /// The bytes of a Dockerfile, one more than its limit at most.
    Dockerfile(Vec<u8>),
}

/// How a context is fetched.
pub struct ContextFetch<'a> {
    /// Where it is put.
    pub writer: &'a Writer,
    /// How others are reached.
    pub remote: &'a Remote,
    /// Secrets that let in.
    pub secret: FindSecret<'a>,
    /// The socket of a person's SSH agent.
    pub agent: Option<PathBuf>,
    /// Whether `.git` stays, where the address does not say.
    pub keep_git_dir: bool,
}

impl ContextAddress {
    /// Reads an address; `None` for what names a place here.
    pub fn parse(text: &str) -> Result<Option<ContextAddress>> {
        if GitAddress::is_one(text) {
            return GitAddress::parse(text).map(Box::new).map(ContextAddress::Git).map(Some);
        }
        match text.starts_with("http://") || text.starts_with("https://") {
            true => WebAddress::parse(text).map(ContextAddress::Web).map(Some),
            false => Ok(None),
        }
    }
}

impl ContextFetch<'_> {
    /// Brings a context here.
    pub fn fetch(&self, address: &ContextAddress) -> Result<FetchedContext> {
        match address {
            ContextAddress::Git(address) => {
                self.git(address).map_err(|error| error.while_doing("fetching the context"))
            }
            ContextAddress::Web(address) => {
                let (file, time) = self.file(address)?;
                self.opened(file).map(|content| FetchedContext { content, time })
            }
        }
    }

    /// Fetches a Dockerfile alone; one byte more than its limit at most.
    pub fn dockerfile(&self, address: &WebAddress) -> Result<Vec<u8>> {
        start(self.file(address)?.0, MAX_FILE as u64 + 1)
    }

    fn git(&self, address: &GitAddress) -> Result<FetchedContext> {
        let access = git_access(address, self.secret, self.agent.clone())?;
        // Who names a repository to build from may show it their keys.
        let access = GitAccess { own_keys: true, ..access };
        let git = Git::new(self.remote, access, self.writer.scratch()?);
        let commit = git.resolve(address)?;
        let mut place = self.writer.scratch()?;
        let keep = address.keep_git_dir.unwrap_or(self.keep_git_dir);
        let time = git.checkout(address, &commit, keep, &place)?;
        if let Some(directory) = &address.subdirectory {
            place = below(&place, directory)
                .map_err(|error| error.while_doing(format!("opening {directory} of it")))?;
        }
        Ok(FetchedContext { content: ContextContent::Directory(place), time: Some(time) })
    }

    fn file(&self, address: &WebAddress) -> Result<(File, Option<i64>)> {
        let (address, secret) = address.without_credentials();
        let secret = match secret {
            Some(secret) => Some(secret),
            None => web_secret(&address, self.secret)?,
        };
        let request = FileRequest {
            address,
            known: Validators::default(),
            authorization: secret,
            limit: self.remote.max_fetch,
            algorithm: Algorithm::Sha256,
        };
        let path = self.writer.scratch()?.join("download");
        let found = download(self.remote, &request, &path)?;
        let lost = || Error::new(ErrorKind::Failed, "a file was not sent");
        let time = found.ok_or_else(lost)?.validators.modified();
        let file = File::open(&path).doing(|| format!("opening {}", path.display()))?;
        Ok((file, time))
    }

    /// An archive is unpacked, anything else is a Dockerfile.
    fn opened(&self, mut file: File) -> Result<ContextContent> {
        let reading = || "reading a context";
        let begin = start(file.try_clone().doing(reading)?, START)?;
        file.rewind().doing(reading)?;
        if !is_archive(&begin) {
            return Ok(ContextContent::Dockerfile(start(file, MAX_FILE as u64 + 1)?));
        }
        let place = self.writer.scratch()?;
        unpack(file, &place)?;
        Ok(ContextContent::Directory(place))
    }
}

fn start(file: File, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).doing(|| "reading a download")?;
    Ok(bytes)
}
